"""Posts go out as Standard Webhooks, side by side, repeated while that helps; who only fails is switched off.

What is posted is written down before the first try: every try, and every redelivery, says the same under the same
`webhook-id`, which is the id of the event. Who dies in the middle of a post leaves it to the next.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (read 2026-11-28)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import orjson

from base.clock import Clock, iso
from base.feed import Feed, Notice
from base.http import HttpClient, HttpFailed, HttpReply
from base.mongo import Document
from base.side_by_side import SideBySide
from base.signing import standard_headers
from profiles.events import Event, EventStore
from webhooks.outgoing.endpoints import Endpoints
from webhooks.outgoing.names import TEST
from webhooks.outgoing.standing import GONE, failing_from, is_given_up, kept_of, next_try
from webhooks.outgoing.store import DONE, FAILED, SKIPPED, EndpointStore, PostStore

#: Seconds for one answer, and bytes that are read of it at most.
TIMEOUT_S, READ_MAX = 15.0, 1_000_000


class Views(Protocol):
    """How what an event is about looks to programs."""

    async def of(self, event: Event, channels: frozenset[str] | None) -> Mapping[str, Any] | None:
        """Name → view, as the API shows it to who is limited to these channels; None: it is not for them."""
        ...


class Telling(Protocol):
    """Tells administrators that something needs them."""

    async def switched_off(self, endpoint: Document) -> None:
        """This endpoint was switched off by itself. The same endpoint and time again tell nobody twice."""
        ...


class Poster:
    """Drains due posts."""

    def __init__(
        self, endpoints: Endpoints, rows: EndpointStore, posts: PostStore, events: EventStore, views: Views,
        http: HttpClient, telling: Telling, feed: Feed, clock: Clock,
    ) -> None:  # fmt: skip
        self._endpoints = endpoints
        self._rows = rows
        self._posts = posts
        self._events = events
        self._views = views
        self._http = http
        self._telling = telling
        self._feed = feed
        self._clock = clock
        self._calls = SideBySide(posts.by_host, self._post, self._worn_out)

    async def drain(self, limit: int) -> int:
        """Begin as many due posts as there is room for; how many. Does not wait for slow answers."""
        return await self._calls.drain(limit)

    async def idle(self) -> None:
        """Wait for the posts under way."""
        await self._calls.idle()

    async def close(self) -> None:
        """Give up what is under way; it is due again when its lease ends."""
        await self._calls.close()

    async def _worn_out(self, row: Document) -> None:
        await self._posts.settle(row, FAILED, self._said(error="crashed"), tried=False)

    async def _post(self, row: Document) -> None:
        endpoint = await self._rows.get(row["endpoint_id"])
        if endpoint is None or (endpoint["state"] != "on" and not row.get("test")):
            error = "removed" if endpoint is None else "switched_off"
            await self._posts.settle(row, FAILED, self._said(error=error), tried=False)
            return
        body = row.get("body") or await self._written(row, endpoint)
        if body is not None:
            await self._posted(row, endpoint, body.encode())

    async def _written(self, row: Document, endpoint: Document) -> str | None:
        """The body as it will go out each time; None: nothing goes, and that is noted."""
        if row.get("test"):
            body = written(TEST, row["event_id"], row["created_at"], {"endpoint_id": endpoint["_id"]})
        else:
            event = await self._events.get(row["event_id"])
            if event is None:  # its person was erased, or it has gone by its age
                await self._posts.settle(row, FAILED, self._said(error="event_gone"), tried=False)
                return None
            scope = None if endpoint["channels"] is None else frozenset(endpoint["channels"])
            views = await self._views.of(event, scope)
            if views is None:
                await self._posts.settle(row, SKIPPED, self._said(error="not_in_scope"), tried=False)
                return None
            body = written(event.name, event.id, event.occurred_at, data_of(event, views))
        return body if await self._posts.write(row, body) else None

    async def _posted(self, row: Document, endpoint: Document, body: bytes) -> None:
        headers = {"Content-Type": "application/json", **self._signed(endpoint, row["event_id"], body)}
        begun, reply, said = time.monotonic(), None, {}
        try:
            reply = await self._http.request(
                "POST", endpoint["url"], headers=headers, data=body, timeout_s=TIMEOUT_S, max_bytes=READ_MAX
            )
            said = {"status": reply.status, "answer": kept_of(reply)}
        except HttpFailed as failed:
            said = {"error": failed.reason, "detail": str(failed)[:300]}
        said = self._said(ms=round((time.monotonic() - begun) * 1000), **said)
        if reply is not None and 200 <= reply.status < 300:
            await self._went(row, endpoint, said)
        else:
            await self._failed(row, endpoint, said, reply)
        if row.get("test"):
            await self._show(endpoint["_id"])

    async def _went(self, row: Document, endpoint: Document, said: Document) -> None:
        await self._posts.settle(row, DONE, said)
        if endpoint["failing_since"] is not None:
            await self._rows.works(endpoint["_id"])
            await self._show(endpoint["_id"])

    async def _failed(self, row: Document, endpoint: Document, said: Document, reply: HttpReply | None) -> None:
        now, tries = self._clock(), row["failures"] + 1
        gone = reply is not None and reply.status == GONE
        again = next_try(tries, now, reply.asks_again_at(now) if reply is not None else None)
        if row.get("test") or gone or again is None:  # a test is tried once: somebody waits for what it says
            held = await self._posts.settle(row, FAILED, said)
        else:
            held = await self._posts.put_off(row, again, said)
        if held and not row.get("test"):
            await self._judge(endpoint, tries, now, gone)

    async def _judge(self, endpoint: Document, tries: int, now: datetime, gone: bool) -> None:
        """Note that it failed, and switch it off if it has done nothing else for long, or says that it is gone."""
        since = failing_from(endpoint["failing_since"], endpoint["last_failed_at"], now)
        await self._rows.fails(endpoint["_id"], endpoint, since, now)
        row = None
        if gone:
            row = await self._rows.disable(endpoint["_id"], "gone", None)
        elif is_given_up(since, tries, now):
            row = await self._rows.disable(endpoint["_id"], "failing", since)
        if row is not None:
            await self.tell()
        if row is not None or endpoint["failing_since"] is None:
            await self._show(endpoint["_id"])

    async def tell(self) -> int:
        """Tell of those that were switched off by themselves; of how many. Also a chore: who dies in between tells
        nobody, and nobody is told twice."""
        rows = await self._rows.untold()
        for row in rows:
            await self._telling.switched_off(row)
            await self._rows.told(row)
        return len(rows)

    async def _show(self, endpoint_id: str) -> None:
        await self._feed.append([Notice("webhook_endpoint.updated", {"endpoint_id": endpoint_id})])

    def _signed(self, endpoint: Document, message_id: str, body: bytes) -> dict[str, str]:
        return standard_headers(self._endpoints.secrets_of(endpoint), message_id, self._clock(), body)

    def _said(self, **what: Any) -> Document:
        return {"at": self._clock(), **what}


def data_of(event: Event, views: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of an event: itself, and what it is about as the API shows it."""
    return {
        "id": event.id, "recorded_at": iso(event.received_at), "profile_id": event.profile_id,
        "identity_id": event.identity_id, "channel_id": event.channel_id, "conversation_id": event.conversation_id,
        "properties": event.to_json()["properties"], **views,
    }  # fmt: skip


def written(name: str, message_id: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The body, as text."""
    return orjson.dumps({"type": name, "timestamp": iso(at), "data": {"id": message_id, **data}}).decode()
