"""Ratings as rows: one per time a conversation was closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.duty import DutyBook, due_index
from base.mongo import Database, Document, Indexes, Session, inserted_apart_from_duplicates, whole
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.store.belongings import Belongings

CHOSEN = "chosen"
INDEXES: Indexes = {
    "ratings": [
        due_index(),
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("profile_id", ASCENDING), ("asked_at", DESCENDING)], name="by_profile"),
        IndexModel([("conversation_id", ASCENDING)], name="by_conversation"),
        IndexModel(
            [("mark", ASCENDING)], name="once_asked", unique=True, partialFilterExpression={"mark": {"$exists": True}}
        ),
        IndexModel(
            [("answered_at", DESCENDING), ("_id", DESCENDING)], name="answered",
            partialFilterExpression={"answered_at": {"$exists": True}},
        ),
    ]
}  # fmt: skip


@dataclass(frozen=True)
class RatingFilter:
    """Which ratings are listed, of which question. `channels`: what the asking person may see; None: everything."""

    kind: str = "csat"
    score: int | None = None
    agent_id: str | None = None
    channel_id: str | None = None
    conversation_id: str | None = None
    profile_id: str | None = None
    channels: Sequence[str] | None = None


class RatingStore:
    """`ratings` `{_id rat_, key, kind? "nps", state: due|asked|answered|skipped, due_at?, conversation_id, closed_at,
    profile_id, identity_id, channel_id, agent_id, team_id, why?, asked_at?, mark?, send_key?, score?, comment?,
    answered_at?, thanks_id?, words_from?, words_until?, lease…}`; `mark` says whom, what and when, so that of two who
    ask one person at once one does; `thanks_id` is the send that thanked for a press, and what is written in the hour
    after the press may be its comment; `rating_rules` are two rows `{_id: "chosen" | "nps", …, by}`."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("ratings")
        self._rules = database.collection("rating_rules")
        self.duties = DutyBook(self._rows)
        self.belongings = Belongings("ratings", self._rows, "rat", by_identity="always")

    async def plan(self, rows: Sequence[Document]) -> int:
        """Keep those whose key is new; how many."""
        return len(rows) - len(await inserted_apart_from_duplicates(self._rows, rows))

    async def get(self, rating_id: str) -> Document | None:
        """One of them."""
        return await self._rows.find_one({"_id": rating_id})

    async def asked_since(self, profile_id: str, since: datetime, kind: str) -> bool:
        """Whether a person has been asked this since then."""
        wanted = {"profile_id": profile_id, "asked_at": {"$gt": since}, **_of_kind(kind)}
        return await self._rows.find_one(wanted, {"_id": 1}) is not None

    async def open_question(self, profile_id: str, identity_id: str, since: datetime) -> Document | None:
        """The last one a person was asked at this address since then, while it has no answer."""
        wanted = {"profile_id": profile_id, "identity_id": identity_id, "asked_at": {"$gt": since}}
        row = await self._rows.find_one(wanted, sort=[("asked_at", DESCENDING)])
        return row if row and row["state"] == "asked" else None

    async def settle(self, row: Document, change: Document, session: Session | None = None) -> bool:
        """Note what became of a claimed one; False when it is somebody else's now."""
        wanted = {"_id": row["_id"], "lease": row["lease"], "state": "due"}
        update = {"$set": change, "$unset": {"lease": "", "due_at": ""}}
        return (await self._rows.update_one(wanted, update, session=session)).matched_count == 1

    async def answer(self, rating_id: str, fields: Mapping[str, Any], session: Session) -> bool:
        """The first answer to one that was asked; False when there is one already."""
        wanted = {"_id": rating_id, "state": "asked"}
        change: Document = {"$set": {"state": "answered", **fields}}
        return (await self._rows.update_one(wanted, change, session=session)).matched_count == 1

    async def thanked(
        self, rating_id: str, send_id: str, since: datetime, until: datetime, session: Session
    ) -> None:  # fmt: skip
        """Whoever gave this mark is thanked for it; what they write from then till then may belong to it."""
        told = {"thanks_id": send_id, "words_from": since, "words_until": until}
        await self._rows.update_one({"_id": rating_id}, {"$set": told}, session=session)

    async def awaiting_words(self, profile_ids: Sequence[str]) -> list[Document]:
        """Marks of these people that were thanked for and have no comment."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "state": "answered", "comment": None,
                  "thanks_id": {"$exists": True}}  # fmt: skip
        return await whole(self._rows.find(wanted).hint("by_profile"))

    async def comment(self, rating_id: str, text: str) -> bool:
        """Words to an answer that has none yet."""
        wanted = {"_id": rating_id, "state": "answered", "comment": None}
        return (await self._rows.update_one(wanted, {"$set": {"comment": text}})).matched_count == 1

    async def page(
        self, wanted: RatingFilter, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """Answered ones, the latest first."""
        condition, size = _condition(wanted), bounded(limit)
        if cursor is not None:
            at, last = read_cursor(cursor, datetime, str)
            condition["$or"] = [{"answered_at": {"$lt": at}}, {"answered_at": at, "_id": {"$lt": last}}]
        found = self._rows.find(condition).sort([("answered_at", DESCENDING), ("_id", DESCENDING)])
        shown, more = cut(await found.limit(size + 1).to_list(None), size)
        return Page(shown, write_cursor(shown[-1]["answered_at"], shown[-1]["_id"]) if more else None)

    async def counts(
        self, wanted: RatingFilter, since: datetime, *, at_most: int = 20_000, scores: Sequence[int] = range(5, 0, -1)
    ) -> dict[int, int]:  # fmt: skip
        """Score → how often it was given since then, of the latest ones."""
        condition = {**_condition(wanted), "answered_at": {"$gte": since}}
        rows = await whole(self._rows.find(condition, {"score": 1}).sort("answered_at", DESCENDING).limit(at_most))
        given = [row["score"] for row in rows]
        return {score: given.count(score) for score in scores}

    async def rules(self, name: str = CHOSEN) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._rules.find_one({"_id": name}) or {}

    async def choose(self, fields: Mapping[str, Any], by: str, name: str = CHOSEN) -> None:
        """From now on so."""
        await self._rules.update_one({"_id": name}, {"$set": {**fields, "by": by}}, upsert=True)


def _of_kind(kind: str) -> Document:
    """Rows from before there was a second question say nothing of theirs."""
    return {"kind": kind if kind != "csat" else None}


def _condition(wanted: RatingFilter) -> Document:
    fields = ("score", "agent_id", "channel_id", "conversation_id", "profile_id")
    condition: Document = {name: value for name in fields if (value := getattr(wanted, name)) is not None}
    condition |= {"answered_at": {"$exists": True}, **_of_kind(wanted.kind)}
    if wanted.channels is not None:
        condition["channel_id"] = {"$in": [each for each in wanted.channels if wanted.channel_id in (None, each)]}
    return condition
