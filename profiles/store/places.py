"""Collections in which colleagues write, looked through for somebody's name: newest first, within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence

from pymongo import DESCENDING

from base.mongo import Database, Document, ExecutionTimeout
from profiles.places import PLACES_MAX, Place, Places, words_of

#: Rows of one collection that are read for one erasure, and how long the server may take.
ROWS_MAX, TIME_MS = 200_000, 20_000
_TURN = 200


class Texts:
    """As `profiles.places.Written`: some fields of a collection's rows, or all."""

    def __init__(
        self, database: Database, name: str, *, fields: Sequence[str] = (), where: Document | None = None,
        id_of: Callable[[Document], str] | None = None, more: Sequence[str] = (), rows_max: int = ROWS_MAX,
    ) -> None:  # fmt: skip
        """`fields` that hold words (none named: all); `more`: fields that `id_of` needs."""
        self.name = name
        self._rows = database.collection(name)
        self._fields, self._more = tuple(fields), tuple(more)
        self._where = where or {}
        self._id_of = id_of or (lambda row: str(row["_id"]))
        self._rows_max = rows_max

    async def naming(self, pattern: re.Pattern[str]) -> Places:
        """As `profiles.places.Written`."""
        shape = dict.fromkeys((*self._fields, *self._more), 1) if self._fields else None
        rows = self._rows.find(self._where, shape).sort("_id", DESCENDING).limit(self._rows_max + 1)
        found: dict[Place, None] = {}
        read = 0
        try:
            async for row in rows.max_time_ms(TIME_MS).batch_size(_TURN):
                read += 1
                if read % _TURN == 0:
                    await asyncio.sleep(0)  # others have a turn
                told = {name: row.get(name) for name in self._fields} if self._fields else row
                if pattern.search(words_of(told)):
                    found[Place(self.name, self._id_of(row))] = None
                if read > self._rows_max or len(found) > PLACES_MAX:
                    return Places(tuple(found), all_read=False)
        except ExecutionTimeout:
            return Places(tuple(found), all_read=False)
        return Places(tuple(found))
