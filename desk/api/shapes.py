"""What the bodies, queries and answers of the API are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from base.clock import iso, to_millisecond
from base.errors import FieldError, WrongInput
from base.pages import LIMIT_DEFAULT, LIMIT_MAX, Page, cut, read_cursor, write_cursor

#: Years a caller's time may lie in: what every part of the house can reckon with.
FIRST_YEAR, LAST_YEAR = 1970, 2199


def _written(value: Any) -> Any:
    if isinstance(value, str) and not value[4:5] == "-":
        raise ValueError("is a time such as 2026-11-22T09:30:00Z")
    return value


def _reckonable(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a zone, e.g. a Z at the end")
    return to_millisecond(value)


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T09:30:00.000Z"]})

#: A time that goes out.
Time = Annotated[datetime, PlainSerializer(iso, return_type=str), _TIME_SCHEMA]
#: A time in a body.
When = Annotated[datetime, AfterValidator(_reckonable), _TIME_SCHEMA]
#: A time in a query string, where everything is text: a bare number is none.
Since = Annotated[datetime, BeforeValidator(_written), AfterValidator(_reckonable), _TIME_SCHEMA]
#: A short text that says something.
Name = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"\S")]

_ID = "_[0-9a-z]{26}$"
ChannelId = Annotated[str, StringConstraints(pattern=f"^chn{_ID}")]
ProfileId = Annotated[str, StringConstraints(pattern=f"^prf{_ID}")]
IdentityId = Annotated[str, StringConstraints(pattern=f"^idn{_ID}")]
ConversationId = Annotated[str, StringConstraints(pattern=f"^cnv{_ID}")]
JourneyId = Annotated[str, StringConstraints(pattern=f"^jrn{_ID}")]
BroadcastId = Annotated[str, StringConstraints(pattern=f"^brd{_ID}")]
SegmentId = Annotated[str, StringConstraints(pattern=f"^seg{_ID}")]
ViewId = Annotated[str, StringConstraints(pattern=f"^viw{_ID}")]
UserId = Annotated[str, StringConstraints(pattern=f"^usr{_ID}")]
TeamId = Annotated[str, StringConstraints(pattern=f"^tea{_ID}")]


class Body(BaseModel):
    """Base of what comes in: unknown fields are refused, so a typing error never passes in silence."""

    model_config = ConfigDict(extra="forbid", str_max_length=100_000, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The fields the caller wrote, by name. What was left out is not to be changed."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _without_defaults(schema: dict[str, Any]) -> None:
    for each in schema.get("properties", {}).values():
        each.pop("default", None)


class Patch(Body):
    """Base of changes: only what was written is changed, so defaults mean nothing (`given`). Null clears a field
    where its type takes it."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class Query(BaseModel):
    """Base of query strings."""

    model_config = ConfigDict(extra="forbid", str_max_length=500)


class PageQuery(Query):
    """Query of a list."""

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Rows per page.")
    cursor: str | None = Field(None, min_length=1, max_length=500, description="`next_cursor` of the page before.")


class View(BaseModel):
    """Base of what goes out."""

    model_config = ConfigDict(from_attributes=True, extra="ignore", populate_by_name=True)


class Money(BaseModel):
    """An amount in the smallest unit of its currency."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    amount_minor: int = Field(ge=-(2**53), le=2**53)
    currency: str = Field(pattern="^[A-Z]{3}$")


def page(rows: Sequence[Any], next_cursor: str | None) -> dict[str, Any]:
    """The one shape of a list."""
    return {"data": list(rows), "next_cursor": next_cursor}


def sliced(rows: Sequence[Any], key: Callable[[Any], str], wanted: PageQuery) -> tuple[list[Any], str | None]:
    """A part of a list that is short enough to be read whole, and the cursor of the next part.

    Raises `WrongInput` for a cursor that names none of its rows.
    """
    start = 0
    if wanted.cursor is not None:
        (last,) = read_cursor(wanted.cursor, str)
        places = [place for place, row in enumerate(rows) if key(row) == last]
        if not places:
            raise WrongInput(
                "This cursor leads nowhere.", [FieldError("cursor", "names nothing of this list any more")]
            )
        start = places[0] + 1
    part, more = cut(rows[start:], wanted.limit)
    return part, write_cursor(key(part[-1])) if more else None


def listed(found: Page[Any], rows: Sequence[Any]) -> dict[str, Any]:
    """A list of `rows` that were made of a store's page."""
    return page(rows, found.next_cursor)


def plain(value: Any) -> Any:
    """Models and times as JSON values; times have the API's form wherever they stand."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(by_alias=True))
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    return value
