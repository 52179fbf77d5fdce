"""Hits: kept at the door in a moment, judged some seconds later with their neighbours, then told as events.

A machine's hit is an event too, with `bot`; nothing that counts people or moves a journey looks at it
(`profiles.store.events`, `campaigns.matching`), unless a trigger asks for machines.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from base.clock import Clock
from base.duty import settled
from base.mongo import UNAVAILABLE, Document
from base.queue import Doorbell
from campaigns.tracking.machines import PATIENCE, Caller, Hit, at_the_door, by_neighbours
from campaigns.tracking.store import TrackingStore, hit_row
from campaigns.tracking.tokens import HONEYPOT, PIXEL, TrackedLink, TrackedLinks
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.effects import send_event
from inbox.models import line_id
from profiles.events import EventStore, NewEvent

log = logging.getLogger(__name__)

#: How long a caller waits for a hit to be kept; then it goes on without them.
DOOR_S = 0.3
#: How long, and of how many hits, we try to keep what a store that is away would not take.
TRIED_S, OPEN_MAX = 120.0, 5_000
#: Targets remembered by a process, so that a link leads somewhere while the store is away.
REMEMBERED = 10_000


class HitBook:
    """The door's share and the worker's."""

    def __init__(
        self, store: TrackingStore, links: TrackedLinks, events: EventStore, channels: ChannelStore, registry: Registry,
        doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._links = links
        self._events = events
        self._channels = channels
        self._registry = registry
        self._doorbell = doorbell
        self._clock = clock
        self._targets: OrderedDict[str, str] = OrderedDict()
        self._open: set[asyncio.Task[None]] = set()

    # -- at the door -------------------------------------------------------------------------------------------

    def read(self, token: str) -> TrackedLink | None:
        """What a token stands for; None when it is none of ours."""
        return self._links.read(token)

    async def target(self, link: TrackedLink) -> str | None:
        """Where the link leads: only ever to what was kept under its id. None: to nothing any more."""
        known = self._targets.get(link.link_id)
        if known is None:
            known = await self._store.target(link.link_id)
            if known is not None:
                self._targets[link.link_id] = known
                while len(self._targets) > REMEMBERED:
                    self._targets.popitem(last=False)
        return known

    async def note(self, link: TrackedLink, caller: Caller) -> None:
        """Keep that it was called. A store that is slow or away holds up nobody: it is tried on in the background."""
        if len(self._open) >= OPEN_MAX:
            log.warning("a hit is not kept: too many wait for the store")
            return
        row = hit_row(link.send_id, link.link_id, self._clock(), at_the_door(caller), PATIENCE)
        task = asyncio.create_task(self._keep(row))
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        await asyncio.wait({task}, timeout=DOOR_S)

    async def close(self) -> None:
        """What waits for the store has a moment left."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=2.0)

    async def _keep(self, row: Document) -> None:
        end = asyncio.get_running_loop().time() + TRIED_S
        while True:
            try:
                await self._store.keep_hits([row])
                return
            except UNAVAILABLE:
                if asyncio.get_running_loop().time() > end:
                    log.warning("a hit was lost: the store was away too long")
                    return
                await asyncio.sleep(1.0)

    # -- some seconds later ------------------------------------------------------------------------------------

    async def drain(self, limit: int = 500) -> int:
        """Judge the hits whose visit is over, and tell of them; how many. May run twice for the same hit."""
        now = self._clock()
        rows = await self._store.claim(now, limit)
        if not rows:
            return 0
        ids = {row["send_id"] for row in rows}
        sends, hits = await self._store.sends(ids), await self._store.hits_of(ids)
        targets = await self._store.targets(row["link_id"] for row in rows)
        kinds = {each.id: self._registry.get(each.provider).card.kind for each in await self._channels.list()}
        events: list[NewEvent] = []
        marks: list[tuple[str, str, str, datetime]] = []
        for row in rows:
            send = sends.get(row["send_id"])
            if send is None or row["link_id"] == HONEYPOT:
                continue  # erased, or the trap itself
            bot = _judged(row, hits.get(row["send_id"], ()), send, kinds.get(send["channel_id"], "chat"))
            opened = row["link_id"] == PIXEL
            events.append(_event(row, send, bot, None if opened else targets.get(row["link_id"])))
            seen = f"{'machine_' if bot else ''}{'opened' if opened else 'clicked'}_at"
            marks.append((send["_id"], line_id(send), seen, row["at"]))
        if await self._events.record(events):
            await self._doorbell.ring("react")
        await self._store.seen(marks)
        done = {"$set": {"state": "judged", "judged_at": now}, "$unset": {"lease": "", "due_at": ""}}
        await self._store.duties.settle([settled(row, done) for row in rows])
        return len(rows)


def _judged(row: Document, hits: Sequence[Document], send: Document, channel_kind: str) -> str | None:
    own = Hit(row["link_id"], row["at"], row["bot"])
    others = [replace(own, link_id=each["link_id"], at=each["at"], bot=each["bot"]) for each in hits]
    return by_neighbours(
        own, others, links=send.get("links") or 0, handed_at=send.get("first_handed_at") or send.get("handed_at"),
        channel_kind=channel_kind,
    )  # fmt: skip


def _event(row: Document, send: Document, bot: str | None, url: str | None) -> NewEvent:
    name = "message.opened" if row["link_id"] == PIXEL else "message.clicked"
    hour = row["at"].strftime("%Y-%m-%dT%H")
    dedupe = f"{name}:{send['_id']}:{row['link_id']}:{hour}:{'machine' if bot else 'person'}"
    made = send_event(send, name, row["at"], dedupe=dedupe)
    source = send["source"]
    more = {
        "link": url, "bot": bot, "step": source.get("node_id"),
        **({f"{source['kind']}_id": source["id"]} if source["kind"] in ("journey", "broadcast") else {}),
    }  # fmt: skip
    told = {**made.properties, **{key: value for key, value in more.items() if value is not None}}
    return replace(made, properties=told)
