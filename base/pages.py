"""Pages of long lists: a cursor names the last row seen, so inserts before it move nothing."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pymongo import DESCENDING

from base.errors import FieldError, WrongInput
from base.mongo import Collection, Document

T = TypeVar("T")
U = TypeVar("U")
LIMIT_DEFAULT, LIMIT_MAX = 50, 200


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list. `next_cursor` None: there are no more."""

    data: list[T]
    next_cursor: str | None = None

    def each(self, made: Callable[[T], U]) -> Page[U]:
        """The same page of what is made of each row."""
        return Page([made(row) for row in self.data], self.next_cursor)


async def newest_first(
    rows: Collection, wanted: Mapping[str, Any], limit: int | None, cursor: str | None
) -> Page[Document]:  # fmt: skip
    """Rows that a filter (on other fields than `_id`) finds, by their ids. Raises `WrongInput` for a foreign cursor."""
    before = {} if cursor is None else {"_id": {"$lt": read_cursor(cursor, str)[0]}}
    size = bounded(limit)
    found = await rows.find({**wanted, **before}).sort("_id", DESCENDING).limit(size + 1).to_list(None)
    given, more = cut(found, size)
    return Page(given, write_cursor(given[-1]["_id"]) if more else None)


def bounded(limit: int | None) -> int:
    """The number of rows to give: 1 to 200, 50 where nothing was asked."""
    return LIMIT_DEFAULT if limit is None else max(1, min(limit, LIMIT_MAX))


def write_cursor(*values: str | int | datetime) -> str:
    """An opaque text for the sort values of the last row given."""
    plain = [{"t": value.isoformat()} if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def read_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The values again; `kinds` (str, int or datetime) are what they must be. Raises `WrongInput` for any
    other text."""
    try:
        plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(plain, list):
            raise _unknown()
        values = tuple(_instant(value["t"]) if isinstance(value, dict) else value for value in plain)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error) as error:
        raise _unknown() from error
    if len(values) != len(kinds) or any(type(v) is not k for v, k in zip(values, kinds, strict=True)):
        raise _unknown()
    return values


def cut(rows: Sequence[T], limit: int) -> tuple[list[T], bool]:
    """Rows read one beyond `limit`: those to give, and whether more follow."""
    return list(rows[:limit]), len(rows) > limit


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _unknown() -> WrongInput:
    sentence = "This cursor was not given out by this list."
    return WrongInput(sentence, [FieldError("cursor", sentence)])
