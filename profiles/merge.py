"""Two profiles turn out to be one person, or two after all.

A merge is decided in one transaction: the loser becomes a tombstone, the survivor gets its fields, and a duty is kept
with both before-images. From then on every read by the old id leads to the survivor. What hangs on the loser in other
collections then follows, moved by whoever keeps it (`Mover`), step by step and repeatable: a worker that dies leaves a
duty that is due again. Rows that somebody wrote meanwhile without having heard of it are found by later looks.

Undoing is the same the other way round. Identities never change hands by what is said in a message, and a reply goes
to the identity of its conversation, so neither merging nor parting changes where anything is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.clock import Clock
from base.errors import Conflict, NotFound
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import UNAVAILABLE, Database, Document, Session
from profiles.joining import OBJECTIONS, Difference, Joined, Layer, Parted, Side, joined, objections, taken_out
from profiles.models import Identity, NewEvent
from profiles.store.belongings import Joining, Parting
from profiles.store.events import EventStore
from profiles.store.merges import STANDING, UNDER_WAY, MergeStore
from profiles.store.profiles import ProfileStore
from profiles.store.stage_log import StageLogStore, move_row

log = logging.getLogger(__name__)

#: After everything has moved, looked at again so much later: for rows of who had not heard of it.
LOOKS = (timedelta(seconds=2), timedelta(seconds=30), timedelta(minutes=10))
#: How long a caller waits for a merge that somebody else carries out.
PATIENCE_S = 10.0
#: What a caller sees of the state of the duty.
STATES: Mapping[str, str] = {
    "moving": "moving", "settling": "done", "done": "done", "returning": "returning", "resettling": "undone",
    "undone": "undone",
}  # fmt: skip


class Mover(Protocol):
    """A room's part in a merge: what it keeps of a person. Each call may run twice and be cut short anywhere."""

    @property
    def name(self) -> str:
        """What is moved, as people call it: `conversations`, `orders` …"""

    async def count(self, profile_id: str) -> int:
        """How much the person has."""

    async def holders(self, profile_ids: Sequence[str]) -> set[str]:
        """Which of these people have anything."""

    async def carried(self, joining: Joining) -> int:
        """How much this merge has moved so far."""

    async def move(self, joining: Joining) -> int:
        """Give all of the loser's to the survivor; how much was not there yet."""

    async def bring_back(self, parting: Parting) -> int:
        """Give back what the merge moved, and what came to the returning identities since; how much."""


#: Counts anew what a profile shows of what it holds.
Recount = Callable[[str], Awaitable[object]]
#: Profile → when one of us last wrote to it.
Answered = Callable[[Iterable[str]], Awaitable[dict[str, datetime]]]


@dataclass(frozen=True)
class Outlook:
    """What a merge would do, or has done. `survivor_id` and `other_id` are ids of today."""

    survivor_id: str
    other_id: str
    moves: dict[str, int]
    differences: tuple[Difference, ...]
    set_aside: Document
    #: Codes of what speaks against it; with one of them it is not done.
    objections: tuple[str, ...] = ()
    merge_id: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class Undone:
    """A merge that was taken back. `kept`: fields edited since, which stayed, with what they were before the merge."""

    merge_id: str
    survivor_id: str
    other_id: str
    state: str
    kept: Document = field(default_factory=dict)


#: What a person is, as against what was done with them.
_OWN = frozenset({"identities", "consents", "events", "import_rows"})


class _Overtaken(Exception):
    """One of the two was written in between: look again."""


class Merger:
    """Merges and unmerges profiles, and carries out what follows."""

    def __init__(
        self, database: Database, profiles: ProfileStore, merges: MergeStore, events: EventStore, feed: Feed,
        clock: Clock, *, movers: Sequence[Mover], recounts: Sequence[Recount], answered: Answered,
    ) -> None:  # fmt: skip
        """`movers` in the order in which they move: identities first, so that what is new goes to the survivor."""
        self._database = database
        self._profiles = profiles
        self._merges = merges
        self._stage_log = StageLogStore(database)
        self._events = events
        self._feed = feed
        self._clock = clock
        self._movers = tuple(movers)
        self._recounts = tuple(recounts)
        self._answered = answered

    # -- merging -----------------------------------------------------------------------------------------------

    async def elsewhere(self, profile_ids: Sequence[str]) -> set[str]:
        """Which of these people have anything beside who they are, what they allow and what happened to them."""
        rooms = [mover for mover in self._movers if mover.name not in _OWN]
        return set().union(*await asyncio.gather(*(room.holders(profile_ids) for room in rooms)))

    async def outlook(self, survivor_id: str, other_id: str, choices: Mapping[str, Side] | None = None) -> Outlook:
        """The dry run: what would move and which values would stay. Writes nothing. Raises `NotFound`, `WrongInput`."""
        rows = await self._both(survivor_id, other_id)
        this, other = rows[survivor_id], rows[other_id]
        if this["_id"] == other["_id"]:
            return Outlook(this["_id"], other["_id"], {}, (), {})
        plan = await self._plan(this, other, choices or {})
        against = await self._against(this["_id"], other["_id"])
        counts = await asyncio.gather(*(mover.count(other["_id"]) for mover in self._movers))
        moves = {mover.name: count for mover, count in zip(self._movers, counts, strict=True) if count}
        return Outlook(this["_id"], other["_id"], moves, plan.differences, plan.set_aside, tuple(against))

    async def merge(
        self, survivor_id: str, other_id: str, *, by: str | None, choices: Mapping[str, Side] | None = None
    ) -> Outlook:
        """Make them one person under the id of the first. Two that are one already stay so: nothing is done.

        When it returns with the state `done` everything has moved; with `moving` a worker goes on. Raises `NotFound`,
        `WrongInput`, `Conflict` (an objection, or one of them is part of a merge that is still being carried out).
        """
        for _ in range(12):
            rows = await self._both(survivor_id, other_id)
            this, other = rows[survivor_id], rows[other_id]
            if this["_id"] == other["_id"]:
                return Outlook(this["_id"], other["_id"], {}, (), {})
            await self._wait_for([this["_id"], other["_id"]])
            against = await self._against(this["_id"], other["_id"])
            if against:
                raise Conflict(OBJECTIONS[against[0]], code=against[0])
            plan = await self._plan(this, other, choices or {})
            merge_id = await self._decided(this, other, plan, choices or {}, by)
            if merge_id is not None:
                row = await self._carried_out(merge_id)
                return Outlook(
                    this["_id"], other["_id"], row["moved"], plan.differences, plan.set_aside, (), merge_id,
                    STATES[row["state"]],
                )  # fmt: skip
        raise Conflict("These profiles are being changed too often just now.", code="contended")

    async def _both(self, one: str, other: str) -> dict[str, Document]:
        rows = await self._profiles.documents([one, other])
        if one not in rows or other not in rows:
            raise NotFound("There is no such profile.")
        return rows

    async def _plan(self, this: Document, other: Document, choices: Mapping[str, Side]) -> Joined:
        answered = await self._answered([this["_id"], other["_id"]])
        return joined(this, other, choices, self._clock(), answered)

    async def _against(self, this: str, other: str) -> list[str]:
        if await self._merges.being_erased([this, other]):
            return ["being_erased"]  # else the erasure would go on with the survivor
        held: dict[str, list[Identity]] = await self._profiles.identity_rows.of_profiles([this, other])
        return objections(held[this], held[other], len(await self._merges.standing(this)))

    async def _decided(
        self, this: Document, other: Document, plan: Joined, choices: Mapping[str, Side], by: str | None
    ) -> str | None:
        """The one transaction; None when one of the two was written since it was read."""
        merge_id, now = new_id("mrg"), self._clock()
        ids = [this["_id"], other["_id"]]
        family = [*ids, *await self._profiles.tombstones_of(ids[0]), *await self._profiles.tombstones_of(ids[1])]
        row = {
            "_id": merge_id, "state": "moving", "due_at": now, "fence": 0, "attempts": 0, "passes": 0,
            "survivor_id": ids[0], "other_id": ids[1], "by": by, "at": now,
            "before": {"survivor": this, "other": other}, "changed": plan.fields, "choices": _pairs(choices),
            "set_aside": _pairs(plan.set_aside), "moved": {}, "identity_ids": [], "kept": [],
        }  # fmt: skip
        stone = {
            "_id": other["_id"], "merged_into": ids[0], "joined": ids[0], "merge_id": merge_id, "merged_at": now,
            "created_at": other["created_at"], "updated_at": now, "rev": other["rev"] + 1,
            **({"unannounced": True} if other.get("unannounced") else {}),
        }  # fmt: skip
        fields = {**plan.fields, "updated_at": now}

        async def work(session: Session) -> None:
            # in the order of their ids, so that two merges of the same people follow each other
            for profile_id in sorted(ids):
                mine = profile_id == ids[0]
                written = self._profiles.amend(this, fields, (), session) if mine else None
                if not await (written or self._profiles.replace(other, stone, session)):
                    raise _Overtaken
            if await self._merges.under_way(ids, session):
                raise _Overtaken
            await self._merges.add(row, session)
            await self._moved(this, fields, row, merge_id, by, session)
            await self._profiles.suggestions.merged(family, merge_id, session)

        try:
            await self._database.in_transaction(work)
        except _Overtaken:
            return None
        return merge_id

    # -- unmerging ---------------------------------------------------------------------------------------------

    async def unmerge(self, merge_id: str, *, by: str | None) -> Undone:
        """Make two of them again: each has what it had, and what came to its identities since. May be repeated.

        Fields of the survivor that somebody edited since stay; `kept` names them. Who was merged into the survivor
        since stays there. Raises `NotFound`; `Conflict` when the survivor itself was merged since: that is to be
        undone first.
        """
        for _ in range(12):
            row = await self._merges.get(merge_id)
            if row is None:
                raise NotFound("There is no such merge.")
            if row["state"] not in STANDING:
                return _undone(await self._carried_out(merge_id))
            await self._wait_for([row["survivor_id"], row["other_id"]])
            try:
                await self._database.in_transaction(lambda session: self._part(merge_id, by, session))
            except _Overtaken:
                continue
            return _undone(await self._carried_out(merge_id))
        raise Conflict("These profiles are being changed too often just now.", code="contended")

    async def _part(self, merge_id: str, by: str | None, session: Session) -> None:
        row = await self._merges.get(merge_id, session)
        if row is None:
            raise NotFound("There is no such merge.")
        now, survivor_id, other_id = self._clock(), row["survivor_id"], row["other_id"]
        stones = await self._profiles.stones([survivor_id, other_id], session)
        survivor, stone = stones.get(survivor_id), stones.get(other_id)
        if survivor is None or stone is None or stone.get("merge_id") != merge_id:
            raise NotFound("One of them is not there any more.")
        if survivor["merged_into"]:
            raise Conflict("This person was merged on since. Undo that merge first.", code="merged_on")
        back = await self._taken_out(row, survivor, session)
        before = row["before"]["other"]
        other = {**before, "merged_into": None, "updated_at": now, "rev": stone["rev"] + 1}
        other |= {"unannounced": True} if stone.get("unannounced") else {}
        if not stone.get("unannounced"):
            other.pop("unannounced", None)
        if not await self._profiles.amend(survivor, {**back.fields, "updated_at": now}, back.gone, session):
            raise _Overtaken
        if not await self._profiles.replace(stone, other, session):
            raise _Overtaken
        await self._moved(survivor, back.fields, row, f"{merge_id}:undone", by, session)
        await self._merges.forget_images(survivor_id, merge_id, row["before"]["survivor"], session)
        await self._profiles.realign(other_id, session)
        parting = Parting(merge_id, survivor_id, other_id)
        ids = await self._profiles.identity_rows.belongings.returning(parting, session)
        fields = {"identity_ids": ids, "kept": _pairs(back.kept), "undone_by": by, "undone_at": now}
        if not await self._merges.turn(merge_id, STANDING[1:], "returning", now, fields, session):
            raise _Overtaken
        await self._profiles.suggestions.reopen(merge_id, session)

    async def _moved(
        self, before: Document, fields: Mapping[str, Any], row: Document, key: str, by: str | None, session: Session
    ) -> None:  # fmt: skip
        """Log and tell that the survivor stands in another stage by this merge or by its undoing, once each. The one
        who returns stands where they stood: that is no move."""
        if fields.get("stage", before["stage"]) == before["stage"]:
            return
        now = self._clock()
        move = {**move_row(before, fields, now, key=key, by=by, source="merge"), "merge_id": row["_id"]}
        await self._stage_log.add(move, session)
        properties = {
            "from": move["from"], "to": move["to"], "reason": None, "source": "merge", "by": by, "merge_id": row["_id"],
        }  # fmt: skip
        name = "profile.stage_changed"
        event = NewEvent(name, f"{name}:{key}", now, before["_id"], properties=properties)
        await self._events.record([event], session)

    async def _taken_out(self, row: Document, survivor: Document, session: Session) -> Parted:
        """The survivor without this merge; the records of later ones become what they would have been without it."""
        standing = await self._merges.standing(row["survivor_id"], session)
        later = [each for each in reversed(standing) if each["_id"] > row["_id"]]
        if any(each["state"] in UNDER_WAY for each in later):
            raise _Overtaken
        answered = await self._answered([row["survivor_id"], *(each["other_id"] for each in later)])
        taken = taken_out(survivor, _layer(row), [_layer(each) for each in later], answered)
        for each, (before, plan) in zip(later, taken.later, strict=True):
            fields = {"before.survivor": before, "changed": plan.fields, "set_aside": _pairs(plan.set_aside)}
            await self._merges.rewrite(each["_id"], fields, session)
        return taken.survivor

    # -- carrying out ------------------------------------------------------------------------------------------

    async def drain(self, limit: int = 20) -> int:
        """Carry on with merges that are due; how many."""
        rows = await self._merges.claim(self._clock(), limit)
        for row in rows:
            await self._tried(row)
        return len(rows)

    async def of_profile(self, profile_id: str, limit: int = 50) -> list[Document]:
        """The merges a person was part of, newest first, each with `undoable`."""
        ids = [profile_id, *await self._profiles.tombstones_of(profile_id)]
        rows = await self._merges.of_profiles(ids, limit)
        return [{**row, "undoable": row["survivor_id"] == profile_id and _stands(row)} for row in rows]

    async def get(self, merge_id: str) -> Document | None:
        """One merge."""
        return await self._merges.get(merge_id)

    async def undone(self, merge_id: str) -> Undone | None:
        """What the undoing of a merge left as it was; None where it was not undone."""
        row = await self._merges.get(merge_id)
        return None if row is None or _stands(row) else _undone(row)

    async def _tried(self, row: Document) -> None:
        try:
            await self._work(row)
        except UNAVAILABLE:
            raise
        except Exception:  # it stays leased and is due again; another merge must not wait for it
            log.exception("a merge cannot be carried on", extra={"merge": row["_id"], "attempts": row["attempts"]})

    async def _wait_for(self, profile_ids: Sequence[str]) -> None:
        """Finish what is under way with these people. Raises `Conflict` when it takes too long."""
        for merge_id in await self._merges.under_way(profile_ids):
            row = await self._carried_out(merge_id)
            if row["state"] in UNDER_WAY:
                raise Conflict("An earlier merge is still being carried out. Try again in a moment.", code="moving")

    async def _carried_out(self, merge_id: str) -> Document:
        """Do it now, or wait a while for whoever does it; the row as it then is."""
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = await self._merges.get(merge_id)
            if found is None:
                raise NotFound("One of them is not there any more.")
            if found["state"] not in UNDER_WAY or asyncio.get_running_loop().time() > end:
                return found
            rows = await self._merges.claim(self._clock(), 1, merge_id)
            for row in rows:
                await self._tried(row)
            if not rows:
                await asyncio.sleep(0.05)

    async def _work(self, row: Document) -> None:
        forth = row["state"] in STANDING
        joining = Joining(row["_id"], row["other_id"], row["survivor_id"])
        parting = Parting(row["_id"], row["survivor_id"], row["other_id"], row["identity_ids"])
        changed, lease = 0, self._merges.duties.watched(row)
        for mover in self._movers:
            changed += await (mover.move(joining) if forth else mover.bring_back(parting))
            if not await lease.ours():
                return
        first = row["state"] in UNDER_WAY
        if changed or first:
            for profile_id in [row["survivor_id"]] if forth else [row["survivor_id"], row["other_id"]]:
                for recount in self._recounts:
                    await recount(profile_id)
        moved = {mover.name: await mover.carried(joining) for mover in self._movers} if forth else row["moved"]
        await self._close(row, {name: count for name, count in moved.items() if count}, first)

    async def _close(self, row: Document, moved: Mapping[str, int], first: bool) -> None:
        """Note how far it is; the first time, tell of it."""
        now, forth = self._clock(), row["state"] in STANDING
        passes = row["passes"] + (0 if first else 1)
        fields: Document = {"moved": dict(moved), "passes": passes}
        if passes < len(LOOKS):
            fields |= {"state": "settling" if forth else "resettling", "due_at": now + LOOKS[passes]}
        else:
            fields |= {"state": "done" if forth else "undone"}

        async def work(session: Session) -> bool:
            if not await self._merges.settle(row, fields, session):
                return False
            await self._events.record(_told(row, now) if first else [], session)
            return True

        if await self._database.in_transaction(work) and first:
            kind = "profile.merged" if forth else "profile.unmerged"
            ids = (row["survivor_id"], row["other_id"])
            await self._feed.append([Notice(kind, {"profile_id": each, "merge_id": row["_id"]}) for each in ids])


def _told(row: Document, at: datetime) -> list[NewEvent]:
    """One event on the survivor's timeline; when it is undone one on each."""
    survivor, other = row["survivor_id"], row["other_id"]
    before = row["before"]
    owners = {each.get("owner_id") for each in before.values()} - {None}
    if row["state"] == "moving":
        more = {"other_id": other, "merge_id": row["_id"], "by": row["by"], "owner_ids": sorted(owners)}
        return [NewEvent("profile.merged", f"profile.merged:{row['_id']}", at, survivor, properties=more)]
    by = {"merge_id": row["_id"], "by": row.get("undone_by")}
    return [
        NewEvent(
            "profile.unmerged", f"profile.unmerged:{row['_id']}:{mine}", at, mine, properties={**by, "other_id": theirs}
        )
        for mine, theirs in ((survivor, other), (other, survivor))
    ]


def _layer(row: Document) -> Layer:
    choices: dict[str, Side] = {each["field"]: each["value"] for each in row["choices"]}
    return Layer(row["before"]["survivor"], row["before"]["other"], choices, row["changed"], row["at"])


def _pairs(fields: Mapping[str, Any]) -> list[Document]:
    """Field paths hold dots, which a key of a document had better not."""
    return [{"field": name, "value": value} for name, value in fields.items()]


def _stands(row: Document) -> bool:
    return row["state"] in STANDING


def _undone(row: Document) -> Undone:
    kept = {each["field"]: each["value"] for each in row["kept"] or ()}
    return Undone(row["_id"], row["survivor_id"], row["other_id"], STATES[row["state"]], kept)
