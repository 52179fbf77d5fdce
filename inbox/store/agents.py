"""Colleagues as the queue knows them, as rows: what they say they are, when they were seen, what they can take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from base.mongo import Database, Document, DuplicateKeyError, Session, whole

CHOSEN = "chosen"


class AgentStore:
    """Rows are `{_id: usr_, state?, state_at?, until?, on_phone?, seen_at?, capacity?, skills?, languages?, turns?,
    rev}`. Whatever decides what somebody gets counts `rev`, so that what is given at the same moment clashes."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("agents")

    async def all(self) -> dict[str, Document]:
        """Everybody who was ever seen, by id."""
        return {row["_id"]: row for row in await whole(self._rows.find({}))}

    async def get(self, user_id: str) -> Document | None:
        """One of them."""
        return await self._rows.find_one({"_id": user_id})

    async def seen(self, user_id: str, at: datetime) -> Document:
        """A window of theirs is open then; the row as it was before, empty for who is new."""
        for _ in range(2):
            try:
                before = await self._rows.find_one_and_update(
                    {"_id": user_id}, {"$max": {"seen_at": at}, "$setOnInsert": {"rev": 0}}, upsert=True
                )
                return before or {}
            except DuplicateKeyError:  # two windows at once
                continue
        return {}

    async def change(self, user_id: str, fields: Mapping[str, Any]) -> Document:
        """Set these; the row afterwards."""
        for _ in range(2):
            try:
                after: Document = await self._rows.find_one_and_update(
                    {"_id": user_id}, {"$set": dict(fields), "$inc": {"rev": 1}}, upsert=True,
                    return_document=ReturnDocument.AFTER,
                )  # fmt: skip
                return after
            except DuplicateKeyError:
                continue
        raise AssertionError("a row that is there cannot be inserted twice")

    async def take_turn(self, user_id: str, rev: int, team_id: str, turn: int, session: Session) -> bool:
        """They are given something; whether their row still was as it was read."""
        change = {"$set": {f"turns.{team_id}": turn}, "$inc": {"rev": 1}}
        result = await self._rows.update_one({"_id": user_id, "rev": rev}, change, session=session)
        return result.matched_count == 1


class PresenceRuleStore:
    """`{_id: "chosen", states, capacity, by}`; no row: nobody has chosen yet."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("agent_states")

    async def chosen(self) -> Document:
        """What was chosen; empty where nothing was."""
        return await self._rows.find_one({"_id": CHOSEN}) or {}

    async def choose(self, fields: Mapping[str, Any], by: str) -> None:
        """From now on so."""
        await self._rows.update_one({"_id": CHOSEN}, {"$set": {**fields, "by": by}}, upsert=True)
