"""Teams as rows. No two that stand have one name, however it is written, and a channel has one team."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, Indexes, whole

#: What was taken away can be put back for so long.
KEPT_S = 30 * 24 * 3600
INDEXES: Indexes = {
    "teams": [
        IndexModel([("folded", ASCENDING)], name="one_name", unique=True, partialFilterExpression={"stands": True}),
        IndexModel(
            [("channel_ids", ASCENDING)], name="one_team_of_a_channel", unique=True,
            partialFilterExpression={"stands": True, "channel_ids": {"$gt": ""}},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", expireAfterSeconds=KEPT_S),
    ]
}  # fmt: skip


class TeamStore:
    """Rows are `{_id: tea_, name, folded, members: [{user_id, watches}], channel_ids, routing, hours_id, stands,
    removed_at?, rev, created_at, updated_at}`; what stands between is `inbox.routing.models.TeamInput` as JSON."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("teams")
        self._clock = clock

    async def add(self, team_id: str, fields: Mapping[str, Any]) -> Document:
        """A new one. Raises `DuplicateKeyError` when its name or one of its channels is taken."""
        now = self._clock()
        row = {
            "_id": team_id, **fields, "folded": _folded(fields["name"]), "stands": True, "rev": 1, "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        await self._rows.insert_one(row)
        return row

    async def all(self) -> list[Document]:
        """Those that stand, by name. There are a few dozen."""
        return await whole(self._rows.find({"stands": True}).sort("folded", ASCENDING))

    async def of_member(self, user_id: str) -> list[str]:
        """The teams that stand and this person is in, watching or not."""
        found = self._rows.find({"members.user_id": user_id, "stands": True}, {"_id": 1})
        return [row["_id"] for row in await whole(found)]

    async def get(self, team_id: str) -> Document | None:
        """One that stands."""
        return await self._rows.find_one({"_id": team_id, "stands": True})

    async def names(self, team_ids: Iterable[str]) -> dict[str, str]:
        """Id → name, of those that were taken away too."""
        wanted = {"_id": {"$in": sorted(set(team_ids))}}
        return {row["_id"]: row["name"] async for row in self._rows.find(wanted, {"name": 1})}

    async def standing(self, team_ids: Iterable[str]) -> dict[str, str]:
        """Id → name, of those that were not taken away."""
        wanted = {"_id": {"$in": sorted(set(team_ids))}, "stands": True}
        return {row["_id"]: row["name"] async for row in self._rows.find(wanted, {"name": 1}).hint(BY_ID)}

    async def change(self, team_id: str, rev: int, fields: Mapping[str, Any]) -> Document | None:
        """Replace it where it still has this revision. Raises `DuplicateKeyError` as `add`."""
        change = {**fields, "folded": _folded(fields["name"]), "updated_at": self._clock()}
        return await self._rows.find_one_and_update(
            {"_id": team_id, "rev": rev, "stands": True}, {"$set": change, "$inc": {"rev": 1}},
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip

    async def remove(self, team_id: str) -> bool:
        """Take it away; for `KEPT_S` it can be put back."""
        change: Document = {"$set": {"stands": False, "removed_at": self._clock()}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": team_id, "stands": True}, change)).modified_count == 1

    async def restore(self, team_id: str) -> bool:
        """Put it back. Raises `DuplicateKeyError` when its name or a channel was given away meanwhile."""
        change: Document = {"$set": {"stands": True}, "$unset": {"removed_at": ""}, "$inc": {"rev": 1}}
        return (await self._rows.update_one({"_id": team_id, "stands": False}, change)).modified_count == 1


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
