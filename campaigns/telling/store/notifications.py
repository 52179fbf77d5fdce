"""What somebody is told, as rows: one per person and cause, unread until they have seen it. Ids alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from base.clock import Clock
from base.ids import new_id, unique_key
from base.mongo import BY_ID, Database, Document, Indexes, inserted_apart_from_duplicates, whole
from base.pages import Page, newest_first
from campaigns.telling.models import Notification, Way
from profiles.store.belongings import Belongings

#: What somebody was told is known for so long.
KEPT_S = 60 * 24 * 3600
#: Unread ones that are counted.
COUNTED_MAX = 1000
_UNREAD = "unread"

INDEXES: Indexes = {
    "notifications": [
        IndexModel([("key", ASCENDING)], name="once", unique=True),
        IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="by_user"),
        IndexModel(
            [("user_id", ASCENDING), ("_id", DESCENDING)], name=_UNREAD, partialFilterExpression={"unread": True}
        ),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_S),
    ]
}


class NotificationStore:
    """Rows `{_id: ntf_, key, user_id, kind, about, conversation_id, profile_id, channel_id, by, ways, app, at,
    unread?: true, read_at?}`. `app`: it stands in the desk; `ways`: how else it is told."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("notifications")
        self._clock = clock
        self.belongings = Belongings("notifications", self._rows, "ntf", by_identity="never")

    async def add(self, told: Sequence[tuple[Notification, Sequence[Way]]]) -> tuple[list[Document], list[Document]]:
        """Keep these, each once for a person and cause; (all of them as they stand, those that were new)."""
        rows = {row["key"]: row for row in (_row(each, ways) for each, ways in told)}
        made = list(rows.values())
        known = await inserted_apart_from_duplicates(self._rows, made)
        if known:
            keys = [made[place]["key"] for place in known]
            rows |= {row["key"]: row for row in await whole(self._rows.find({"key": {"$in": keys}}))}
        return list(rows.values()), [row for place, row in enumerate(made) if place not in known]

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Rows by id."""
        found = self._rows.find({"_id": {"$in": sorted(set(ids))}}).hint(BY_ID)
        return {row["_id"]: row for row in await whole(found)}

    async def get(self, user_id: str, notification_id: str) -> Document | None:
        """One of somebody's."""
        return await self._rows.find_one({"_id": notification_id, "user_id": user_id})

    async def page(
        self, user_id: str, *, unread: bool | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """What stands in somebody's desk, the newest first. Raises `WrongInput` for a foreign cursor."""
        wanted: Document = {"user_id": user_id, "app": True}
        if unread is not None:
            wanted["unread"] = True if unread else {"$exists": False}
        return await newest_first(self._rows, wanted, limit, cursor)

    async def unread(self, user_id: str, limit: int = COUNTED_MAX) -> list[Document]:
        """What somebody has not read, the newest first: what it is about and where it belongs alone."""
        wanted = {"user_id": user_id, "unread": True, "app": True}
        fields = {"about": 1, "channel_id": 1, "profile_id": 1}
        return await whole(self._rows.find(wanted, fields).sort("_id", DESCENDING).limit(limit).hint(_UNREAD))

    async def read(self, user_id: str, at: datetime, **about: Any) -> int:
        """Somebody has read what fits; how many were unread."""
        change: Document = {"$set": {"read_at": at}, "$unset": {"unread": ""}}
        wanted = {**about, "user_id": user_id, "unread": True}
        hint = BY_ID if "_id" in about else _UNREAD
        return (await self._rows.update_many(wanted, change, hint=hint)).modified_count

    async def unread_again(self, user_id: str, read_at: datetime) -> int:
        """What somebody has read at that very moment is unread again; how many."""
        wanted = {"user_id": user_id, "read_at": read_at}
        change: Document = {"$set": {"unread": True}, "$unset": {"read_at": ""}}
        return (await self._rows.update_many(wanted, change, hint="by_user")).modified_count


def _row(told: Notification, ways: Sequence[Way]) -> Document:
    return {
        "_id": new_id("ntf"), "key": unique_key("notification", told.user_id, told.cause), "user_id": told.user_id,
        "kind": told.kind, "about": told.about, "conversation_id": told.conversation_id,
        "profile_id": told.profile_id, "channel_id": told.channel_id, "by": told.by, "at": told.at,
        "app": "app" in ways, "ways": [way for way in ways if way != "app"], "unread": True,
    }  # fmt: skip
