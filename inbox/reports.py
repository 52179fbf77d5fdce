"""Reports over the inbox, and the rows behind each of their numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from base.errors import FieldError, NotFound, WrongInput
from base.mongo import Document
from base.pages import Page
from inbox.figures.cells import FIELDS, dimension_for
from inbox.figures.facts import OPENS
from inbox.figures.periods import Span, Steps, by_day, by_hour, by_hour_of_week
from inbox.figures.tables import (
    BY_TIME,
    REPORTS,
    By,
    Definition,
    Opened,
    Table,
    added,
    folded,
    key_field,
    opened_of,
    table,
)
from inbox.store import FigureStore
from inbox.store.figures import Narrowed
from profiles.sheets.cells import guarded

_CLOCK_OF = ("closed", *OPENS)
_FAR = "9999-12-31"
_DAY = timedelta(days=1)
#: From so many days on the server adds up.
_WORTH_DAYS = 3


@dataclass(frozen=True)
class Asked:
    """What is asked of a report. `by` None: as the report is usually read; `narrowed`: with the channels one sees."""

    name: str
    span: Span
    zone: ZoneInfo
    by: By | None = None
    business: bool = False
    narrowed: Narrowed = field(default_factory=Narrowed)


class Reports:
    """Reads tables and rows."""

    def __init__(self, store: FigureStore) -> None:
        self._store = store

    async def table(self, asked: Asked) -> Table:
        """A report. Raises `NotFound`, `WrongInput`, `TooSlow`."""
        definition, by = self._checked(asked)
        steps = steps_of(by, asked)
        dimension = _dimension(by, asked.narrowed)
        groups = folded(await self._cells(definition, by, dimension, asked, steps), asked.span, by, steps)
        whole = added(groups.values())
        several = by == "label" and asked.narrowed.label is None  # one of two labels counts under both
        once = _dimension("channel", asked.narrowed)
        if several:
            every = await self._cells(definition, "channel", once, asked, None)
            whole = added(folded(every, asked.span, "channel", None).values())
        opened, left = None, None
        if any(each.open for each in definition.columns):
            since = asked.span.since if steps else asked.span.until
            opened = await self._opened(asked, by, dimension, since)
            all_of_them = await self._opened(asked, "channel", once, since) if several else opened
            left = all_of_them.at(asked.span.until)
        return table(
            definition, by, asked.span, groups, whole, steps, opened, business=asked.business, open_in_all=left
        )  # fmt: skip

    async def _cells(
        self, definition: Definition, by: By, dimension: str, asked: Asked, steps: Steps | None
    ) -> list[Document]:  # fmt: skip
        """Those of the time. Where only numbers of a dimension are asked for, the server adds up whole days."""
        kinds, narrowed = definition.kinds, asked.narrowed
        first, last = asked.span.since.date(), asked.span.until.date()
        if steps is not None or not definition.is_counted or (last - first).days < _WORTH_DAYS:
            days = first.isoformat(), last.isoformat()
            return await self._store.cells(kinds, dimension, days, narrowed, times=definition.timed)
        edges = [
            await self._store.cells(kinds, dimension, (day.isoformat(), day.isoformat()), narrowed, times=False)
            for day in (first, last)
        ]
        between = (first + _DAY).isoformat(), (last - _DAY).isoformat()
        sums = await self._store.sums(kinds, dimension, between, narrowed, key_field(dimension, by))
        return [*edges[0], *sums, *edges[1]]

    async def _opened(self, asked: Asked, by: By, dimension: str, since: datetime) -> Opened:
        """What is open, from now back to an instant."""
        days = since.date().isoformat(), _FAR
        later = await self._store.cells(_CLOCK_OF, dimension, days, asked.narrowed, times=False)
        return opened_of(later, await self._store.ever(_CLOCK_OF, dimension, asked.narrowed), by)

    async def rows(
        self, asked: Asked, column: str, of: str | None, *, limit: int, cursor: str | None
    ) -> Page[Document]:  # fmt: skip
        """The facts behind one number: of a column, and of a row by its key or (None) of all. Their `n` add up to it;
        of a mean or a share they are what it is made of. Raises `NotFound`, `WrongInput`, `TooSlow`."""
        definition, by = self._checked(asked)
        found = definition.column(column)
        if found is None:
            keys = " ".join(each.key for each in definition.columns)
            raise WrongInput("There is no such column.", [FieldError("column", f"is one of {keys}")])
        spans, narrowed = self._place(asked, by, of)
        if found.open:
            at = max(each.until for each in spans)
            return await self._store.open_at(at, narrowed, limit=limit, cursor=cursor)
        return await self._store.rows(
            found.kinds, spans, narrowed, limit=limit, cursor=cursor, scores=found.scores
        )  # fmt: skip

    async def people(self, asked: Asked) -> int | None:
        """How many people there are among resolutions; None where they are too many to be told apart."""
        return await self._store.people("resolution", asked.span, asked.narrowed)

    def _checked(self, asked: Asked) -> tuple[Definition, By]:
        definition = REPORTS.get(asked.name)
        if definition is None:
            raise NotFound(f"There is no such report. There are {', '.join(REPORTS)}.")
        by: By = asked.by or definition.by[0]
        if by not in definition.by:
            raise WrongInput(
                "This report is not read that way.", [FieldError("by", f"is one of {' '.join(definition.by)}")]
            )
        return definition, by

    def _place(self, asked: Asked, by: By, of: str | None) -> tuple[Sequence[Span], Narrowed]:
        if of is None:
            return (asked.span,), asked.narrowed
        steps = steps_of(by, asked)
        if steps is not None:
            step = next((each for each in steps.steps if each.key == of), None)
            if step is None:
                raise WrongInput("There is no such row.", [FieldError("of", "is the key of a row of the report")])
            return step.spans, asked.narrowed
        if by == "channel":
            seen = asked.narrowed.channels
            return (asked.span,), replace(asked.narrowed, channels=[of] if seen is None or of in seen else [])
        if asked.narrowed.values.get(by, of) != of:
            return (asked.span,), Narrowed([])
        return (asked.span,), replace(asked.narrowed, **{by: of})


def steps_of(by: By, asked: Asked) -> Steps | None:
    """Steps of time; None for a dimension."""
    makers: Mapping[str, Callable[[Span, ZoneInfo], Steps]] = {
        "day": by_day, "hour": by_hour, "week_hour": by_hour_of_week
    }  # fmt: skip
    return makers[by](asked.span, asked.zone) if by in BY_TIME else None


def _dimension(by: By, narrowed: Narrowed) -> str:
    """The cells that answer it."""
    return dimension_for({*narrowed.values, *({by} & FIELDS.keys())})


def as_csv(found: Table, names: Mapping[str, str]) -> str:
    """The table with a head and its total as the last line. Texts are guarded against formulas."""
    held = io.StringIO()
    writer = csv.writer(held)
    columns = [each.key for each in found.definition.columns]
    writer.writerow([found.by, "name", *columns])
    for row in found.rows:
        writer.writerow([guarded(row.key), guarded(names.get(row.key, "")), *_written(row.values)])
    writer.writerow(["total", "", *_written(found.total.values)])
    return held.getvalue()


def rows_as_csv(rows: Sequence[Document]) -> str:
    """Facts with a head."""
    names = ("at", "kind", "n", "conversation_id", "profile_id", "channel_id", "agent_id", "team_id", "seconds",
             "business_seconds", "score", "labels")  # fmt: skip
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(names)
    for row in rows:
        told = {
            **row, "at": _iso(row["at"]), "labels": " ".join(each for each in row["labels"] if each),
            "seconds": _second(row.get("ms")), "business_seconds": _second(row.get("business_ms")),
        }  # fmt: skip
        writer.writerow([_cell(told.get(name)) for name in names])
    return held.getvalue()


def _cell(value: object) -> object:
    return value if isinstance(value, (int, float)) else guarded(str(value or ""))


def _second(ms: int | None) -> float | None:
    return None if ms is None else round(ms / 1000, 1)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(values: Sequence[float | None]) -> list[object]:
    return ["" if each is None else each for each in values]
