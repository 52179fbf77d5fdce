"""The consent ledger: acts are added, never changed; what is effective is read from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.mongo import Database, Document, Indexes, Session, whole
from profiles.store.belongings import Belongings

INDEXES: Indexes = {
    "consents": [
        IndexModel([("address_key", ASCENDING), ("purpose", ASCENDING), ("at", ASCENDING)], name="by_address"),
        IndexModel([("profile_id", ASCENDING), ("at", DESCENDING)], name="by_profile"),
        IndexModel([("wake_at", ASCENDING)], name="pauses", sparse=True),
        IndexModel(
            [("dedupe", ASCENDING)], name="once", unique=True,
            partialFilterExpression={"dedupe": {"$exists": True}},
        ),
    ]
}  # fmt: skip


class ConsentStore:
    """Acts are `{_id, address_key, profile_id, purpose, granted, source, by_person, proof, wording, wording_version,
    by, at}` and, where it applies, `pending` (waits for a confirmation), `until` (a pause), `retracts` (the act it
    undoes).
    """

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("consents")
        self.belongings = Belongings("consents", self._rows, "log")

    async def add(self, act: Document, session: Session) -> None:
        """Raises `DuplicateKeyError` when an act with this `dedupe` is kept already."""
        await self._rows.insert_one(act, session=session)

    async def add_many(self, acts: Sequence[Document], session: Session) -> None:
        """The same for many."""
        if acts:
            await self._rows.insert_many(list(acts), session=session)

    async def at(
        self, address_keys: Iterable[str], purposes: Iterable[str] | None = None, session: Session | None = None
    ) -> list[Document]:
        """All acts at these addresses, in the order in which they were done; of two at once the denial last."""
        wanted: Document = {"address_key": {"$in": list(address_keys)}}
        if purposes is not None:
            wanted["purpose"] = {"$in": list(purposes)}
        order = [("at", ASCENDING), ("granted", DESCENDING), ("_id", ASCENDING)]
        return await whole(self._rows.find(wanted, session=session).sort(order))

    async def get(self, act_id: str) -> Document | None:
        """One act."""
        return await self._rows.find_one({"_id": act_id})

    async def many(self, act_ids: Sequence[str]) -> list[Document]:
        """Acts by their ids."""
        return await whole(self._rows.find({"_id": {"$in": list(act_ids)}})) if act_ids else []

    async def pauses_over(self, now: datetime, limit: int) -> list[Document]:
        """Pauses that ended and whose profile does not say so yet."""
        return await self._rows.find({"wake_at": {"$lte": now}}).sort("wake_at", ASCENDING).limit(limit).to_list(limit)

    async def woken(self, act_id: str, session: Session) -> None:
        """The profile says now that this pause is over."""
        await self._rows.update_one({"_id": act_id}, {"$unset": {"wake_at": ""}}, session=session)

    async def ledger(self, profile_ids: Sequence[str], limit: int = 200) -> list[Document]:
        """The acts of one person by all their ids, newest first."""
        found = self._rows.find({"profile_id": {"$in": list(profile_ids)}})
        return await found.sort([("at", DESCENDING), ("_id", DESCENDING)]).limit(limit).to_list(limit)

    async def delete_of(self, profile_ids: Sequence[str], session: Session | None = None) -> int:
        """Erase the ledger of these people."""
        return (await self._rows.delete_many({"profile_id": {"$in": list(profile_ids)}}, session=session)).deleted_count
