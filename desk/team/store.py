"""Rows of the team: second factors, and what holds for everybody who works here.

Secrets of factors are sealed by who hands them in; of recovery codes only the fingerprint is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.mongo import Database, Document

RULES = "team"


@dataclass(frozen=True)
class Factor:
    """What is kept of somebody's second factor. `secret` None: not confirmed yet."""

    user_id: str
    secret: str | None
    #: Sealed; shown until it is confirmed.
    next_secret: str | None
    last_step: int
    codes_left: int
    since: datetime | None


class FactorStore:
    """One row for each person who has a second factor or is about to."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("factors")
        self._clock = clock

    async def of(self, user_id: str) -> Factor | None:
        """The factor of a person; None without a row."""
        row = await self._rows.find_one({"_id": user_id})
        if row is None:
            return None
        return Factor(
            row["_id"], row.get("secret"), row.get("next_secret"), row.get("last_step", 0), len(row.get("codes", ())),
            row.get("since"),
        )  # fmt: skip

    async def holders(self) -> frozenset[str]:
        """Everybody who has a confirmed one."""
        return frozenset([row["_id"] async for row in self._rows.find({"secret": {"$ne": None}}, {"_id": 1})])

    async def propose(self, user_id: str, sealed: str) -> None:
        """Keep a secret that is yet to be confirmed, beside the one that holds; the first of several stays."""
        held = {"$ifNull": ["$next_secret", sealed]}
        await self._rows.update_one({"_id": user_id}, [{"$set": {"next_secret": held}}], upsert=True)

    async def drop_proposal(self, user_id: str) -> None:
        """Forget it. Who has no other one has no row any more."""
        await self._rows.delete_one({"_id": user_id, "secret": None})
        await self._rows.update_one({"_id": user_id}, {"$unset": {"next_secret": ""}})

    async def confirm(self, user_id: str, sealed: str, step: int, prints: Sequence[str]) -> bool:
        """The proposed secret holds from now on; False when it is another one or already does."""
        change: Document = {
            "$set": {"secret": sealed, "last_step": step, "codes": list(prints), "since": self._clock()},
            "$unset": {"next_secret": ""},
        }
        result = await self._rows.update_one({"_id": user_id, "next_secret": sealed}, change)
        return bool(result.modified_count)

    async def spend_step(self, user_id: str, step: int) -> bool:
        """Use up all steps up to this one; False when it was: of two who come at once only one gets True."""
        wanted = {"_id": user_id, "last_step": {"$lt": step}}
        return bool((await self._rows.update_one(wanted, {"$set": {"last_step": step}})).modified_count)

    async def spend_code(self, user_id: str, code_print: str) -> bool:
        """Use up a recovery code; False when there is no such one."""
        wanted = {"_id": user_id, "codes": code_print}
        return bool((await self._rows.update_one(wanted, {"$pull": {"codes": code_print}})).modified_count)

    async def replace_codes(self, user_id: str, prints: Sequence[str]) -> None:
        """New recovery codes; the former ones are void."""
        await self._rows.update_one({"_id": user_id}, {"$set": {"codes": list(prints)}})

    async def remove(self, user_id: str) -> bool:
        """Forget the factor; False without one."""
        return bool((await self._rows.delete_one({"_id": user_id})).deleted_count)


class RuleStore:
    """The one row of what holds for all colleagues."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("team_rules")

    async def rules(self) -> Document:
        """What was chosen; empty before anybody chose."""
        return await self._rows.find_one({"_id": RULES}) or {}

    async def choose(self, change: Mapping[str, Any]) -> None:
        """Replace these parts."""
        await self._rows.update_one({"_id": RULES}, {"$set": dict(change)}, upsert=True)
