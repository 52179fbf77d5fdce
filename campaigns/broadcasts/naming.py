"""Broadcasts that name a tag or a segment."""

from __future__ import annotations

from typing import Any

from base.mongo import Document
from campaigns.broadcasts.store import BroadcastStore
from profiles.uses import Definition, Use


class BroadcastUses:
    """Broadcasts that are not over: those that are done ask for nobody by themselves any more."""

    def __init__(self, heads: BroadcastStore) -> None:
        self._heads = heads

    async def definitions(self) -> list[Definition]:
        """See `profiles.uses.Source`."""
        return [
            Definition(Use("broadcast", head["_id"], head["name"]), (head["body"], *_segments_in(head["body"])))
            for head in await self._heads.not_over()
        ]


def _segments_in(body: Document) -> list[Any]:
    """The segments that a broadcast names in lists, as rules name them. A draft may hold less."""
    audience = body.get("audience") or {}
    named = (audience.get("segment_ids"), (audience.get("exclude") or {}).get("segment_ids"))
    return [{"segment": each} for ids in named for each in ids or ()]
