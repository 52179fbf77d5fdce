"""How many conversations are in a view, by channel; and the marks that have yet to be counted in (decision 43)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo import ASCENDING, IndexModel, ReturnDocument

from base.ids import new_id
from base.mongo import BY_ID, WAIT_MS, Database, Document, Indexes, Session, UpdateOne, whole
from inbox.signs import own_key, place_of
from inbox.view_filter import ConversationFilter, ViewFilter, condition

#: The row that names what is kept; every fold and every build writes it, so that no two of them overlap.
HEAD = "kept"
INDEXES: Indexes = {
    "view_tallies": [IndexModel([("place", ASCENDING), ("channel_id", ASCENDING)], name="by_place")],
    "view_marks": [],
}


class MarkStore:
    """Rows are `{_id, marks: [{before, after}]}` with signs (`inbox.signs`), all of one transaction, written in it."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("view_marks")

    async def add(self, marks: Iterable[Document | None], session: Session) -> None:
        """Leave marks; those that are None are none."""
        left = [mark for mark in marks if mark is not None]
        if left:
            await self._rows.insert_one({"_id": new_id("log"), "marks": left}, session=session)

    async def first(self, limit: int | None = None, session: Session | None = None) -> list[Document]:
        """The oldest rows, or all of them."""
        found = self._rows.find({}, session=session).sort("_id", ASCENDING)
        return await whole(found.limit(limit) if limit else found)

    async def remove(self, rows: Sequence[Document], session: Session) -> None:
        """They are counted in."""
        await self._rows.delete_many({"_id": {"$in": [each["_id"] for each in rows]}}, hint=BY_ID, session=session)


class ViewTallyStore:
    """Rows are `{_id: "place|channel", place, channel_id, count}`, and the head `{_id: "kept", keys, turn,
    compared_at}`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("view_tallies")
        self._talks = database.collection("conversations")

    async def keys(self) -> set[str]:
        """Views that are counted."""
        head = await self._rows.find_one({"_id": HEAD})
        return set(head["keys"]) if head else set()

    async def lock(self, session: Session) -> set[str]:
        """The same, for who is about to write: whoever does so beside us has to come again."""
        head: Document = await self._rows.find_one_and_update(
            {"_id": HEAD}, {"$inc": {"turn": 1}, "$setOnInsert": {"keys": []}}, upsert=True, session=session,
            return_document=ReturnDocument.AFTER,
        )  # fmt: skip
        return set(head["keys"])

    async def keep(self, keys: Iterable[str], session: Session) -> None:
        """These and no others are counted."""
        await self._rows.update_one({"_id": HEAD}, {"$set": {"keys": sorted(keys)}}, session=session)

    async def of(self, places: Sequence[str], channels: Sequence[str] | None) -> dict[str, int]:
        """Place → its count on these channels, or on all."""
        wanted: Document = {"place": {"$in": list(places)}}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        found: dict[str, int] = dict.fromkeys(places, 0)
        for row in await whole(self._rows.find(wanted, {"place": 1, "count": 1}).hint("by_place")):
            found[row["place"]] += row["count"]
        return found

    async def add(self, changes: Mapping[tuple[str, str], int], session: Session) -> None:
        """Count in."""
        writes = [
            UpdateOne(
                {"_id": f"{place}|{channel_id}"},
                {"$inc": {"count": by}, "$setOnInsert": {"place": place, "channel_id": channel_id}}, upsert=True,
            )
            for (place, channel_id), by in changes.items()
        ]  # fmt: skip
        if writes:
            await self._rows.bulk_write(writes, ordered=False, session=session)

    async def forget(self, keys: Iterable[str], session: Session) -> None:
        """Take the tallies of views away, for everybody and for each person."""
        for key in keys:
            end = own_key(key, "\U0010ffff")
            either = [{"place": key}, {"place": {"$gte": own_key(key, ""), "$lt": end}}]
            await self._rows.delete_many({"$or": either}, session=session)

    async def all_of(self, key: str, session: Session) -> dict[tuple[str, str], int]:
        """(place, channel) → count, as kept."""
        either = [{"place": key}, {"place": {"$gte": own_key(key, ""), "$lt": own_key(key, "\U0010ffff")}}]
        rows = await whole(self._rows.find({"$or": either}, session=session))
        return {(row["place"], row["channel_id"]): row["count"] for row in rows if row["count"]}

    async def counted(self, key: str, view: ViewFilter, session: Session | None = None) -> dict[tuple[str, str], int]:
        """The same, by counting the conversations that there are. For a new view, and for comparing."""
        whoever = view.model_copy(update={"assignee": ()}) if "me" in view.assignee else view
        steps: list[Document] = [
            {"$match": condition(ConversationFilter(whoever))},
            {"$group": {
                "_id": {"channel_id": "$channel_id", "assignee_id": {"$ifNull": ["$assignee_id", None]}},
                "count": {"$sum": 1},
            }},
        ]  # fmt: skip
        owned = ViewFilter(assignee=view.assignee)
        found: dict[tuple[str, str], int] = {}
        for row in await self._talks.aggregate(steps, session=session, maxTimeMS=WAIT_MS).to_list(None):
            sign = {"status": "open", "channel_id": row["_id"]["channel_id"], "assignee_id": row["_id"]["assignee_id"]}
            place = place_of(sign, key, owned)
            if place is not None:
                at = place, row["_id"]["channel_id"]
                found[at] = found.get(at, 0) + row["count"]
        return found

    async def to_compare(self, now: datetime, before: datetime) -> bool:
        """Whether nobody has compared since `before`; if so, it is ours to do."""
        wanted = {"_id": HEAD, "$or": [{"compared_at": {"$lt": before}}, {"compared_at": {"$exists": False}}]}
        return (await self._rows.update_one(wanted, {"$set": {"compared_at": now}})).modified_count == 1
