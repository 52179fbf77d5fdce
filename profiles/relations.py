"""Custom relations between people: mother of and child of, works at, referred by. Told on both timelines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from base.clock import Clock
from base.errors import FieldError, NotFound, WrongInput
from base.ids import is_id, new_id, unique_key
from base.mongo import Database, Document, DuplicateKeyError, Session
from profiles.models import NewEvent
from profiles.normalise import clean_text
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore
from profiles.store.relations import RelationStore
from profiles.terms import RelationKind, Terms

Way = Literal["forth", "back"]
RELATIONS_MAX = 200


@dataclass(frozen=True)
class Relation:
    """What a person is to another. `way` `back`: read from the other side. `other_id` is the id of today."""

    id: str
    kind: str
    way: Way
    other_id: str
    other_name: str
    note: str | None
    at: datetime
    by: str | None


class Relations:
    """The use cases."""

    def __init__(
        self, database: Database, store: RelationStore, profiles: ProfileStore, events: EventStore, terms: Terms,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._profiles = profiles
        self._events = events
        self._terms = terms
        self._clock = clock

    async def of_profile(self, profile_id: str) -> list[Relation]:
        """All of a person's, each once: people merged since are one, and nobody is related to themselves."""
        rows = await self._store.of_profile(profile_id)
        people = await self._profiles.many({row["other_id"] for row in rows})
        found: dict[tuple[str, str, str], Relation] = {}
        for row in rows:
            other = people.get(row["other_id"])
            if other is None or other.id == profile_id:
                continue
            relation = Relation(
                row["_id"], row["kind"], row["way"], other.id, other.display_name, row.get("note"), row["at"],
                row.get("by"),
            )  # fmt: skip
            found.setdefault((relation.kind, relation.way, relation.other_id), relation)
        return list(found.values())

    async def add(
        self, profile_id: str, kind: str, other_id: str, *, way: Way = "forth", note: str | None = None,
        by: str | None = None,
    ) -> str:  # fmt: skip
        """Say what the first is to the second; the id of its side. Said twice is said once.

        Raises `NotFound`, `WrongInput`.
        """
        known = (await self._terms.now()).relation(kind)
        if known is None:
            raise WrongInput("There is no such kind of relation.", [FieldError("kind", "is not in the list")])
        rows = await self._profiles.documents([profile_id, other_id])
        if profile_id not in rows:
            raise NotFound("There is no such profile.")
        if other_id not in rows:
            raise WrongInput("There is no such profile.", [FieldError("other_id", "is nobody's id")])
        one, other = rows[profile_id]["_id"], rows[other_id]["_id"]
        if one == other:
            raise WrongInput("Nobody is related to themselves.", [FieldError("other_id", "is the same person")])
        if len(await self._store.of_profile(one)) >= RELATIONS_MAX:
            raise WrongInput("This person has 200 relations already.", [FieldError("kind", "has 200 already")])
        ends = (one, other) if way == "forth" else (other, one)
        text = clean_text(note, 300) if note else None
        for _ in range(3):
            try:
                link = await self._database.in_transaction(lambda session: self._put(known, ends, text, by, session))
                return await self._side(link, one)
            except DuplicateKeyError:
                continue  # somebody says the same just now: read it
        raise WrongInput("This relation is being changed just now.")

    async def remove(self, profile_id: str, relation_id: str, *, by: str | None = None) -> None:
        """Take it away from both. Raises `NotFound`. It can be put back for thirty days."""
        await self._turn(profile_id, relation_id, self._clock(), by)

    async def restore(self, profile_id: str, relation_id: str, *, by: str | None = None) -> None:
        """Put it back. Raises `NotFound`."""
        await self._turn(profile_id, relation_id, None, by)

    async def _put(
        self, kind: RelationKind, ends: tuple[str, str], note: str | None, by: str | None, session: Session
    ) -> str:  # fmt: skip
        one, other = sorted(ends) if kind.mutual else ends
        pair = unique_key(kind.key, one, other)
        known, now = await self._store.by_pair(pair, session), self._clock()
        if known is not None:
            if await self._store.turn(known["link"], None, session, note):
                await self._tell("profile.relation_added", known, by, session)
            return str(known["link"])
        link = new_id("rel")
        rows: list[Document] = [
            {"_id": new_id("rel"), "link": link, "pair": pair, "way": way, "profile_id": mine, "other_id": theirs,
             "kind": kind.key, "note": note, "at": now, "by": by, "removed_at": None, "rev": 0}
            for way, mine, theirs in (("forth", one, other), ("back", other, one))
        ]  # fmt: skip
        await self._store.add(rows, session)
        await self._tell("profile.relation_added", rows[0], by, session)
        return link

    async def _side(self, link: str, profile_id: str) -> str:
        rows = await self._store.of_profile(profile_id)
        return next((str(row["_id"]) for row in rows if row["link"] == link), link)

    async def _turn(self, profile_id: str, relation_id: str, removed_at: datetime | None, by: str | None) -> None:
        row = await self._store.get(relation_id) if is_id(relation_id, "rel") else None
        if row is None or row["profile_id"] != profile_id:
            raise NotFound("There is no such relation.")
        name = "profile.relation_removed" if removed_at else "profile.relation_added"

        async def work(session: Session) -> None:
            if await self._store.turn(row["link"], removed_at, session):
                await self._tell(name, row, by, session)

        await self._database.in_transaction(work)

    async def _tell(self, name: str, row: Document, by: str | None, session: Session) -> None:
        now, mark = self._clock(), new_id("evt")
        sides: Sequence[tuple[str, str]] = ((row["profile_id"], row["other_id"]), (row["other_id"], row["profile_id"]))
        back: dict[str, Any] = {"forth": "back", "back": "forth"}
        ways = (row["way"], back[row["way"]])
        events = [
            NewEvent(
                name, f"{name}:{mark}:{way}", now, mine,
                properties={"kind": row["kind"], "way": way, "other_id": other, "by": by},
            )
            for way, (mine, other) in zip(ways, sides, strict=True)
        ]  # fmt: skip
        await self._events.record(events, session)
