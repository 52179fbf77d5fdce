"""A person is erased everywhere: asked for once, carried out room by room, finished whatever dies in between.

First what speaks of the person and still waits to be worked off is waited for, so that it is theirs and goes with them.
Then the rooms are emptied. A minute later all are looked at once more, for what was written by who had not heard of it.
Where colleagues' own words may still name the person is noted for one of them to decide (`profiles.places`). Then the
row forgets whom it was about, and is the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from base.clock import Clock
from base.duty import LeaseLost, settled
from base.errors import NotFound
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import Document
from base.pages import Page
from base.signing import hmac_hex
from profiles.holdings import Holdings, Traces, traces_from, traces_of
from profiles.keys import profile_mark
from profiles.normalise import clean_text
from profiles.places import Places, pattern_of, words_of
from profiles.store.erasures import ErasureStore
from profiles.store.profiles import ProfileStore

log = logging.getLogger(__name__)

#: After so long nobody still holds what was read before the rooms were emptied: longer than any lease.
SETTLE = timedelta(seconds=60)
#: Between two looks at whether what came before has been worked off.
PATIENCE = timedelta(seconds=2)
_HASH_LENGTH = 40

#: Whether something that has to be done first is still under way; its name, or None.
Wait = Callable[[Traces, datetime], Awaitable[str | None]]
#: Where colleagues' own words name the person.
Look = Callable[[Traces], Awaitable[Places]]
#: Somebody is asked to see to the places of this erasure. May be called twice.
Remind = Callable[[Document], Awaitable[None]]


class Erasures:
    """Asks for erasures and carries them out."""

    def __init__(
        self, profiles: ProfileStore, store: ErasureStore, holdings: Holdings, feed: Feed, clock: Clock, *,
        key: str | bytes, waits: Sequence[Wait] = (), late_waits: Sequence[Wait] = (), settle: timedelta = SETTLE,
        look: Look | None = None, remind: Remind | None = None,
    ) -> None:  # fmt: skip
        """`key` makes the hashes of the log: without it nobody can tell whose they are. `waits` are asked before the
        rooms are emptied, `late_waits` before they are looked at once more."""
        self._profiles = profiles
        self._store = store
        self._holdings = holdings
        self._feed = feed
        self._clock = clock
        self._key = key
        self._waits = waits
        self._late_waits = late_waits
        self._settle = settle
        self._look = look
        self._remind = remind

    async def traces(self, profile_id: str) -> Traces:
        """By what everything on this person is found. Raises `NotFound`."""
        profile = await self._profiles.get(profile_id)
        if profile is None:
            raise NotFound("There is no such profile.")
        ids = [profile.id, *await self._profiles.tombstones_of(profile.id)]
        return traces_of([profile], ids, await self._profiles.identity_rows.all_rows_of(ids))

    async def outlook(self, profile_id: str) -> dict[str, int]:
        """Room → how much would go."""
        return await self._holdings.counts(await self.traces(profile_id))

    async def ask(self, profile_id: str, *, by: str, source: str = "desk", reason: str | None = None) -> Document:
        """Erase this person; the row. From here on it happens, whatever dies. Raises `NotFound`."""
        traces = await self.traces(profile_id)
        now = self._clock()
        row: Document = {
            "_id": new_id("ers"), "state": "erasing", "due_at": now, "attempts": 0, "fence": 0,
            "profile_id": traces.profile_ids[0], "traces": traces.as_document(), "asked_by": by, "asked_at": now,
            "source": source, "reason": clean_text(reason, 200) if reason else None,
            "held": await self._holdings.counts(traces), "erased": {}, "rooms_done": [],
            "hashes": self._hashes(traces), "done_at": None, "scrubbed_at": None,
        }  # fmt: skip
        return await self._store.add(row)

    def hash_of(self, identity_key: str) -> str:
        """What the log keeps of an identity."""
        return hmac_hex(self._key, b"rapport erasure\x1f" + identity_key.encode())[:_HASH_LENGTH]

    def _hashes(self, traces: Traces) -> list[str]:
        return [self.hash_of(key) for key in (*traces.keys, *map(profile_mark, traces.profile_ids))]

    async def named_since(self, keys: Collection[str], at: datetime) -> set[str]:
        """Which of these keys of identities (or marks of profiles) were those of somebody whose erasure takes in what
        was brought at `at`: their rooms were emptied later. People whom the undo of an import removed do not count."""
        hashes = {self.hash_of(key): key for key in keys}
        return {hashes[each] for each in await self._store.named_since(list(hashes), at)} if hashes else set()

    async def known(self, identity_keys: Sequence[str]) -> list[Document]:
        """Erasures of whoever had one of these identities."""
        return await self._store.with_hash([self.hash_of(key) for key in identity_keys])

    async def get(self, erasure_id: str) -> Document:
        """One line of the log. Raises `NotFound`."""
        row = await self._store.get(erasure_id)
        if row is None:
            raise NotFound("There is no such erasure.")
        return row

    async def log(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """All of it, newest first."""
        return await self._store.page(limit=limit, cursor=cursor)

    async def unscrubbed(self) -> int:
        """How many finished ones may still have traces in the database's files."""
        return await self._store.unscrubbed()

    async def at_once(
        self, profile_id: str, *, by: str, source: str = "api", reason: str | None = None
    ) -> Document:  # fmt: skip
        """Ask for it and do what somebody may wait for; the rest is left to `drain`. When this returns it stands, and
        mostly the rooms are empty already. Raises `NotFound`."""
        asked = await self.ask(profile_id, by=by, source=source, reason=reason)
        for row in await self._store.claim(self._clock(), 1, asked["_id"]):
            await self._carry_on(row, waited_for=True)
        return asked

    async def drain(self, limit: int = 4, *, only: str | None = None) -> int:
        """Carry on with due erasures; how many. A chore, safe to be done by several at once."""
        rows = await self._store.claim(self._clock(), limit, only)
        for row in rows:
            await self._carry_on(row)
        return len(rows)

    async def _carry_on(self, row: Document, *, waited_for: bool = False) -> None:
        traces = traces_from(row["traces"])
        if row["state"] == "settling":
            traces = replace(traces, until=row["emptied_at"])
            if not row.get("rooms_done") and await self._waiting(row, self._late_waits, traces, row["emptied_at"]):
                return
        if row["state"] == "erasing" and not row.get("rooms_done"):
            # Merges and deliveries may have brought more since it was asked for.
            traces = await self._traces_now(traces)
            if await self._waiting(row, self._waits, traces, row["asked_at"]):
                return
            fresh = {"traces": traces.as_document(), "hashes": self._hashes(traces)}
            if not await self._store.duties.settle([settled(row, {"$set": fresh})]):
                return
        try:
            async with self._store.duties.held(row):
                emptied = await self._emptied(row, traces, waited_for)
                places = await self._places(row, traces) if emptied else Places()
        except LeaseLost:
            return
        if emptied:
            await self._end(row, traces, places)

    async def _emptied(self, row: Document, traces: Traces, waited_for: bool) -> bool:
        """Go through the rooms; False when it is not for us to go on."""
        for room in self._holdings.rooms:
            if room.name in row.get("rooms_done", ()):
                continue
            if waited_for and room.read_whole:
                await self._store.rest(row, self._clock(), None)
                return False
            count = await room.erase(traces)
            if not await self._store.emptied(row, room.name, count):
                return False  # somebody else has it now
            if count:
                await self._feed.append([Notice("erasure.updated", {"erasure_id": row["_id"]})])
        return True

    async def _waiting(self, row: Document, waits: Sequence[Wait], traces: Traces, at: datetime) -> bool:
        """Whether something that began before `at` has to end first; looked at again later then."""
        for wait in waits:
            if waits_for := await wait(traces, at):
                await self._store.rest(row, self._clock() + PATIENCE, waits_for)
                return True
        return False

    async def _traces_now(self, traces: Traces) -> Traces:
        try:
            return (await self.traces(traces.profile_ids[0])).joined(traces)
        except NotFound:  # its profile is gone already: this is a second try
            return traces

    async def _places(self, row: Document, traces: Traces) -> Places:
        """Where colleagues' own words still name the person; looked for when all else is done."""
        return await self._look(traces) if self._look and row["state"] != "erasing" else Places()

    async def _end(self, row: Document, traces: Traces, places: Places) -> None:
        now = self._clock()
        if row["state"] == "erasing":
            await self._store.turn(row, "settling", now + self._settle, {"emptied_at": now, "waits_for": None})
        else:
            told: Document = {"places": [each.stored() for each in places.found], "all_read": places.all_read}
            if (pattern := pattern_of(traces)) and pattern.search(words_of(row.get("reason"))):
                told["reason"] = None  # whoever asked wrote down of whom
            if self._remind and (places.found or not places.all_read):
                await self._remind({**row, **told})
            await self._store.turn(row, "done", None, {"done_at": now, **told})
            log.info("a person was erased", extra={"erasure": row["_id"]})
        await self._feed.append([Notice("erasure.updated", {"erasure_id": row["_id"]})])
