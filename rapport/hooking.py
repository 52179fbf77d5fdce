"""Endpoints of the deployment's own that are told what happens here, and what carries that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from base.clock import iso
from base.ids import unique_key
from base.mongo import Document
from campaigns.tasks import Tasks
from desk.api.event_views import EventViews
from desk.store import DeskStore
from rapport.people import People
from rapport.plumbing import Plumbing
from webhooks.outgoing.endpoints import Endpoints
from webhooks.outgoing.fanout import FanOut
from webhooks.outgoing.posting import Poster
from webhooks.outgoing.standing import SWITCHED_OFF
from webhooks.outgoing.store import EndpointStore, PostStore


@dataclass(frozen=True)
class Hooks:
    """Rows of endpoints and posts, and who plans these."""

    endpoints: EndpointStore
    posts: PostStore
    fan_out: FanOut


def open_hooks(plumbing: Plumbing) -> Hooks:
    """What is needed before anything happens."""
    endpoints, posts = EndpointStore(plumbing.db, plumbing.clock), PostStore(plumbing.db, plumbing.clock)
    return Hooks(endpoints, posts, FanOut(endpoints, posts, plumbing.doorbell))


def open_endpoints(plumbing: Plumbing, hooks: Hooks) -> Endpoints:
    """The use cases."""
    guard = plumbing.http.guard
    return Endpoints(hooks.endpoints, hooks.posts, plumbing.box, guard, plumbing.doorbell, plumbing.clock)


def open_poster(
    plumbing: Plumbing, hooks: Hooks, endpoints: Endpoints, people: People, tasks: Tasks, runtime: Any
) -> Poster:  # fmt: skip
    """What calls out. `runtime`: everything that the views of the API read from."""
    return Poster(
        endpoints, hooks.endpoints, hooks.posts, people.events, EventViews(runtime), plumbing.http,
        ToldByTasks(tasks, people.users), plumbing.feed, plumbing.clock,
    )  # fmt: skip


class ToldByTasks:
    """Tells every administrator of the whole deployment by a task; one who has seen to it frees the others."""

    def __init__(self, tasks: Tasks, users: DeskStore) -> None:
        self._tasks = tasks
        self._users = users

    async def switched_off(self, endpoint: Document) -> None:
        """See `webhooks.outgoing.posting.Telling`."""
        cause = unique_key("endpoint switched off", endpoint["_id"], iso(endpoint["disabled_at"]))
        for user in await self._users.users():
            if user.role != "admin" or not user.active or user.channels is not None:
                continue
            await self._tasks.create_once(
                {
                    "key": unique_key(cause, user.id), "shared_key": cause,
                    "text": f"Webhooks to {endpoint['url']} are switched off: it took none for five days, or says that "
                    "it is gone. Mend it, then switch it on in Settings → Webhooks.",
                    "assignee_id": user.id, "due_at": endpoint["disabled_at"], "profile_id": None,
                    "conversation_id": None, "order_id": None,
                    "source": {
                        "kind": "webhook_endpoint", "id": endpoint["_id"],
                        "code": SWITCHED_OFF[endpoint["disabled_why"]], "params": {"url": endpoint["url"]},
                    },
                }
            )  # fmt: skip
