"""Which templates, snippets and offers stood in the messages of which step or arm: what worked is read by that."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Database, Indexes, UpdateOne, whole

INDEXES: Indexes = {
    "content_uses": [IndexModel([("content", ASCENDING)], name="by_content")],
}


@dataclass(frozen=True)
class Place:
    """A step of a journey or an arm of a broadcast; `node` None: the whole broadcast."""

    kind: str
    source_id: str
    node: str | None


class UseStore:
    """Rows `{_id, content, source_kind, source_id, node_id, at}`: one per content and place, `at` the last time it was
    seen there. A template is called by its id, others by `snippet_use` and `offer_use` (`campaigns.wording.parts`)."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("content_uses")
        self._clock = clock

    async def note(self, uses: Iterable[tuple[str, Place]]) -> None:
        """These contents stood in messages of these places. May run twice."""
        now = self._clock()
        changes = [_noted(content, place, now) for content, place in sorted(set(uses), key=repr)]
        if changes:
            await self._rows.bulk_write(changes, ordered=False)

    async def of(self, contents: Collection[str]) -> dict[str, list[Place]]:
        """Content → where it stood."""
        found: dict[str, list[Place]] = {}
        for row in await whole(self._rows.find({"content": {"$in": list(contents)}}).sort("_id", ASCENDING)):
            place = Place(row["source_kind"], row["source_id"], row["node_id"])
            found.setdefault(row["content"], []).append(place)
        return found


def _noted(content: str, place: Place, now: datetime) -> UpdateOne:
    key = unique_key("use", content, place.source_id, place.node or "")
    own = {"content": content, "source_kind": place.kind, "source_id": place.source_id, "node_id": place.node}
    return UpdateOne({"_id": key}, {"$set": {"at": now}, "$setOnInsert": own}, upsert=True)
