"""What happens becomes one post for each endpoint that wants to hear of it. Writes rows, and nothing else.

A listener of `campaigns.triggers`: told of every event, perhaps twice, which the key of a post forgives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from base.mongo import Document
from profiles.events import Event
from webhooks.outgoing.endpoints import Ringer
from webhooks.outgoing.names import wants
from webhooks.outgoing.store import EndpointStore, PostStore


class FanOut:
    """Plans posts."""

    def __init__(self, endpoints: EndpointStore, posts: PostStore, doorbell: Ringer) -> None:
        self._endpoints = endpoints
        self._posts = posts
        self._doorbell = doorbell

    async def hear(self, events: Sequence[Event]) -> None:
        """Plan what these events ask for."""
        listening = await self._endpoints.listening()
        posts = [_post(each, event) for event in events for each in listening if is_for(each, event)]
        if posts and await self._posts.plan(posts):
            await self._doorbell.ring("hook")


def is_for(endpoint: Document, event: Event) -> bool:
    """Whether an endpoint may want this event. Of what belongs to no channel it is asked later whom it is about."""
    channels = endpoint["channels"]
    in_scope = channels is None or event.channel_id is None or event.channel_id in channels
    return in_scope and wants(endpoint["events"], event.name)


def _post(endpoint: Document, event: Event) -> Mapping[str, Any]:
    return {
        "key": f"{endpoint['_id']}:{event.id}", "endpoint_id": endpoint["_id"], "event_id": event.id,
        "event": event.name, "profile_id": event.profile_id, "channel_id": event.channel_id, "host": endpoint["host"],
    }  # fmt: skip
