"""The use cases of business hours, and what others ask of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from inbox.hours.calendar import Calendar
from inbox.hours.models import HoursInput
from inbox.store import HoursStore

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5


@dataclass(frozen=True)
class Hours:
    """Business hours as they stand."""

    id: str
    written: HoursInput
    rev: int
    created_at: datetime
    updated_at: datetime

    def calendar(self) -> Calendar:
        """How they lie in time."""
        return Calendar(self.written)


class BusinessHours:
    """The use cases. For others, `is_open` and `opens_at`: hours that are not there count as always open."""

    def __init__(self, store: HoursStore) -> None:
        self._store = store
        self._calendars: dict[str, tuple[int, Calendar]] = {}

    async def all(self) -> list[Hours]:
        """Those that stand, by name."""
        return [_hours(row) for row in await self._store.all()]

    async def get(self, hours_id: str) -> Hours:
        """Raises `NotFound`."""
        row = await self._store.get(hours_id)
        if row is None:
            raise NotFound("There are no such business hours.")
        return _hours(row)

    async def create(self, wanted: HoursInput) -> Hours:
        """New ones. Raises `Conflict` when the name is taken."""
        try:
            return _hours(await self._store.add(new_id("hrs"), wanted.model_dump(mode="json")))
        except DuplicateKeyError:
            raise _taken() from None

    async def change(self, hours_id: str, fields: Mapping[str, Any]) -> Hours:
        """Replace the parts given. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            known = await self.get(hours_id)
            wanted = _checked({**known.written.model_dump(mode="json"), **fields})
            anew = wanted.model_copy(update={"name": ""}) != known.written.model_copy(update={"name": ""})
            try:
                row = await self._store.change(hours_id, known.rev, wanted.model_dump(mode="json"), holds_anew=anew)
            except DuplicateKeyError:
                raise _taken() from None
            if row is not None:
                return _hours(row)
        raise Conflict("These business hours are being changed too often just now.", code="contended")

    async def remove(self, hours_id: str) -> None:
        """Take them away. Raises `NotFound`."""
        if not await self._store.remove(hours_id):
            raise NotFound("There are no such business hours.")

    async def restore(self, hours_id: str) -> Hours:
        """Put them back; nothing is done to those that stand. Raises `NotFound`, `Conflict`."""
        try:
            await self._store.restore(hours_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(hours_id)

    async def is_open(self, hours_id: str, at: datetime) -> bool:
        """Whether it is open then."""
        calendar = await self._calendar(hours_id)
        return calendar is None or calendar.is_open(at)

    async def opens_at(self, hours_id: str, at: datetime) -> datetime | None:
        """`at` while it is open, else when it opens next; None: not within years."""
        calendar = await self._calendar(hours_id)
        return at if calendar is None else calendar.opens_at(at)

    async def edition(self) -> int:
        """A number that grows with every change of any hours: the same number, the same hours."""
        return await self._store.edition()

    async def calendars(self, hours_ids: Collection[str]) -> dict[str, tuple[int, Calendar]]:
        """Those of them that stand, each with its revision."""
        rows = [row for row in await self._store.all() if row["_id"] in hours_ids]
        return {row["_id"]: (row["rev"], self._read(row)) for row in rows}

    async def held_since(self, hours_ids: Collection[str]) -> dict[str, datetime]:
        """Since when each is open as it is now, or counts as always open; missing where that is not known."""
        return await self._store.held_since(hours_ids)

    async def _calendar(self, hours_id: str) -> Calendar | None:
        row = await self._store.get(hours_id)
        if row is None:
            self._calendars.pop(hours_id, None)
            return None
        return self._read(row)

    def _read(self, row: Document) -> Calendar:
        known = self._calendars.get(row["_id"])
        if known is None or known[0] != row["rev"]:
            known = self._calendars[row["_id"]] = row["rev"], _hours(row).calendar()
        return known[1]


def _hours(row: Document) -> Hours:
    written = HoursInput.model_validate({name: row[name] for name in HoursInput.model_fields})
    return Hours(row["_id"], written, row["rev"], row["created_at"], row["updated_at"])


def _checked(fields: Mapping[str, Any]) -> HoursInput:
    try:
        return HoursInput.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The business hours have faults.", faults) from None


def _taken() -> Conflict:
    return Conflict("There are business hours with this name already.", code="name_taken")
