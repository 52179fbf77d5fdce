"""The duty that puts a broadcast into the ledger: people are gone through by their ids, stretch after stretch.

After each stretch it is noted how far it is. Whoever goes on after a crash may do a stretch again: the send keys are
unique, so nobody stands in the ledger twice, and a stretch is passed only when all of it is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from base.clock import Clock
from base.feed import Feed, Notice
from base.mongo import UNAVAILABLE, Document
from campaigns.bells import Ringer
from campaigns.broadcasts.heads import plan_of
from campaigns.broadcasts.places import Place, Places, Plan, row_of
from campaigns.broadcasts.reviewing import counted_in
from campaigns.broadcasts.store import BroadcastStore, WaveStore
from campaigns.broadcasts.timing import Queue
from campaigns.broadcasts.ways import Way
from campaigns.wallclock import zone_or
from inbox.store import MailingStore

log = logging.getLogger(__name__)

#: Ids of one stretch: at first, and where few of them are in the audience.
STRETCH, LONGEST = 2_000, 16_000
#: A planner gives another wave its turn after so many stretches; kept short, so that a pause is seen soon.
TURN = 20
#: When a wave of a paused broadcast is looked at again; a resume does not wait for it.
PAUSED_FOR = timedelta(seconds=2)
#: A wave that failed so often without getting on is given up.
TRIES = 5


class _Lost(Exception):
    """Somebody else carries this wave on."""


class Planner:
    """Carries waves out. Any number of workers may; each wave has one at a time."""

    def __init__(
        self, store: BroadcastStore, waves: WaveStore, places: Places, mailings: MailingStore, feed: Feed,
        doorbell: Ringer, clock: Clock, *, stretch: int = STRETCH,
    ) -> None:  # fmt: skip
        self._store = store
        self._waves = waves
        self._places = places
        self._mailings = mailings
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._stretch = stretch
        self._kinds: Mapping[str, Callable[[Document, Document], Any]] = {
            "first": self._audience, "newcomers": self._audience, "review": self._review, "retry": self._retry,
        }  # fmt: skip

    async def drain(self) -> int:
        """Carry on all waves that are due; how many. For the clockwork."""
        done = 0
        while (wave := await self._waves.claim()) is not None:
            done += 1
            try:
                await self._carry(wave)
            except _Lost:
                continue
            except UNAVAILABLE:
                raise
            except Exception:
                log.exception("a broadcast could not be planned", extra={"wave": wave["_id"], "n": wave["attempts"]})
                if wave["attempts"] < TRIES:
                    await self._waves.put_off(wave, self._clock() + PAUSED_FOR)
                else:
                    await self._waves.close(wave, {"fault": "The audience could not be read. See the worker's log."})
        return done

    async def _carry(self, wave: Document) -> None:
        head = await self._store.get(wave["broadcast_id"])
        if head is None or (head["status"] == "cancelled" and wave["kind"] != "review"):
            await self._waves.close(wave, {})
            return
        if wave["kind"] != "review" and head["status"] != "running":
            await self._waves.put_off(wave, self._clock() + PAUSED_FOR)  # paused, or just being started
            return
        await self._kinds[wave["kind"]](wave, head)

    async def _told(self, wave: Document) -> None:
        await self._store.touch([wave["broadcast_id"]])
        await self._feed.append([Notice("broadcast.updated", {"broadcast_id": wave["broadcast_id"]})])
        await self._doorbell.ring("deliver")

    # -- the audience ------------------------------------------------------------------------------------------

    async def _audience(self, wave: Document, head: Document) -> None:
        """The ledger is written while the next stretch is read."""
        plan, queue = plan_of(head, wave["at"]), self._queue(head, wave)
        if wave["kind"] == "newcomers":
            plan = replace(plan, start=wave["at"])
        writing: asyncio.Task[int] | None = None
        note: Document = {}
        after, seen, total = wave["after"], wave["seen"], max(wave["total"], await self._places.total())
        size, stretches = self._stretch, 0
        try:
            while (found := await self._places.stretch(after, size)) is not None:
                people = await self._wanted(wave, plan, (after, found[0]))
                places = await self._places.of(plan, people)
                now = self._clock()
                rows = [row_of(plan, each, queue, now) for each in places]
                if writing is not None:
                    await self._written(wave, writing, note)
                after, seen = found[0], seen + found[1]
                note = {"after": after, "seen": seen, "total": max(total, seen), "placed": list(queue.placed.items())}
                writing = asyncio.create_task(self._mailings.add(rows))
                size = min(size * 2, LONGEST) if len(people) < size // 4 else self._stretch
                stretches += 1
                if stretches >= TURN:
                    break
            if writing is not None:
                await self._written(wave, writing, note)
                writing = None
        finally:
            if writing is not None:
                await asyncio.wait([writing])
        if found is None:
            await self._through(wave, {"seen": seen, "total": seen})
        else:
            await self._waves.put_off({**wave}, self._clock())

    async def _wanted(self, wave: Document, plan: Plan, between: tuple[str, str]) -> Sequence[Document]:
        people = await self._places.audience(plan.broadcast, between)
        if wave["kind"] == "first" or not people:
            return people
        known = await self._mailings.known(plan.broadcast_id, [person["_id"] for person in people])
        return [person for person in people if person["_id"] not in known]

    async def _written(self, wave: Document, writing: asyncio.Task[int], note: Document) -> None:
        """Only what stands in the ledger is passed."""
        await writing
        if not await self._waves.duties.advance(wave, note):
            raise _Lost
        await self._told(wave)
        head = (await self._store.many([wave["broadcast_id"]])).get(wave["broadcast_id"])
        if head is None or head["status"] != "running":
            await self._waves.put_off(wave, self._clock() + PAUSED_FOR)
            raise _Lost

    async def _through(self, wave: Document, fields: Document) -> None:
        if not await self._waves.close(wave, fields):
            raise _Lost
        await self._told(wave)

    def _queue(self, head: Document, wave: Document) -> Queue:
        broadcast = plan_of(head, wave["at"]).broadcast
        zone, _ = zone_or(None, self._places.project_zone)
        ramp = broadcast.ramp if wave["kind"] == "first" else ()
        return Queue(broadcast.rate, ramp, zone, dict(wave["placed"]))

    # -- another attempt ---------------------------------------------------------------------------------------

    async def _retry(self, wave: Document, head: Document) -> None:
        """Whose last attempt failed is asked for once more, at an address that is good today."""
        plan, queue, after = plan_of(head, wave["at"]), self._queue(head, wave), wave["after"]
        plan = plan.due_at_once(self._clock())
        again, left = wave.get("again", 0), wave.get("left", 0)
        while rows := await self._mailings.ended_badly(plan.broadcast_id, wave["states"], after, self._stretch // 4):
            old = {row["profile_id"]: row for row in rows if row["_id"] <= wave["until"]}
            if not old:
                break  # all that follow are attempts of this wave
            places = await self._places.of(plan, [{"_id": each} for each in old])
            going = [place for place in places if isinstance(place.way, Way)]
            await self._mailings.add([self._attempt(plan, place, queue, old[place.profile_id]) for place in going])
            await self._mailings.taken_over([old[place.profile_id]["_id"] for place in going])
            after, again, left = rows[-1]["_id"], again + len(going), left + len(old) - len(going)
            note = {"after": after, "again": again, "left": left, "placed": list(queue.placed.items())}
            if not await self._waves.duties.advance(wave, note):
                raise _Lost
        await self._through(wave, {"again": again, "left": left})

    def _attempt(self, plan: Plan, place: Place, queue: Queue, before: Document) -> Document:
        """The arm stays: whoever tried one wording gets no other."""
        row = row_of(plan, place, queue, self._clock(), (before["source"].get("visit") or 1) + 1)
        row["source"]["node_id"] = before["source"].get("node_id")
        return row

    # -- the review --------------------------------------------------------------------------------------------

    async def _review(self, wave: Document, head: Document) -> None:
        """The same without a ledger: who would get it, who not and why."""
        if head["rev"] != wave["rev"] and head["status"] != "draft":
            await self._through(wave, {})
            return
        plan, found = plan_of(head, self._clock()), dict(wave["found"])
        after, seen, total = wave["after"], wave["seen"], max(wave["total"], await self._places.total())
        while (stretch := await self._places.stretch(after, self._stretch)) is not None:
            people = await self._places.audience(plan.broadcast, (after, stretch[0]))
            found = counted_in(found, await self._places.of(plan, people))
            after, seen = stretch[0], seen + stretch[1]
            note = {"after": after, "seen": seen, "total": max(total, seen), "found": found}
            note["profile_ids"] = sorted({each for ids in found.get("samples", {}).values() for each in ids})
            if not await self._waves.duties.advance(wave, note):
                raise _Lost
            await self._feed.append([Notice("broadcast.updated", {"broadcast_id": plan.broadcast_id})])
        await self._through(wave, {"total": seen})
