"""How a report is said and drawn: names of reports and columns, numbers in the reader's language, bars. Pure.

Bars are decoration: each figure stands in the table as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from base.ids import is_id
from base.wallclock import WEEKDAYS
from desk.i18n import N_, Formats
from inbox.figures.tables import By, Column, Row, Table

#: Report → its name, and what it tells.
NAMES: Mapping[str, tuple[str, str]] = {
    "volume": (N_("Volume"), N_("Conversations that began, messages in and out.")),
    "first-response": (N_("First answer"), N_("From a customer’s first message to the first answer of a colleague.")),
    "next-response": (N_("Further answers"), N_("From a later message to its answer.")),
    "resolution": (N_("Resolution"), N_("From when a conversation was opened until it was resolved.")),
    "backlog": (N_("Backlog"), N_("What was open at the end of each time.")),
    "busiest-hours": (N_("Busiest hours"), N_("When customers write.")),
    "channel-mix": (N_("Channels"), N_("Where customers write.")),
    "agent-load": (N_("Colleagues"), N_("Who got, answered and resolved how much.")),
    "csat": (N_("Satisfaction"), N_("Marks from 1 to 5 after a conversation was resolved.")),
    "nps": (N_("Recommendation"), N_("From 0 to 10; the score is promoters less detractors, of a hundred.")),
    "sla": (N_("SLA"), N_("Of what was promised, how much was kept.")),
}  # fmt: skip
COLUMNS: Mapping[str, str] = {
    "created": N_("New conversations"), "reopened": N_("Opened again"), "received": N_("Messages in"),
    "sent": N_("Messages out"),
    "resolved": N_("Resolved"), "count": N_("How often"), "mean_s": N_("Average"), "median_s": N_("Median"),
    "p90_s": N_("9 of 10 within"), "opened": N_("Opened"), "closed": N_("Ended"), "open": N_("Open at the end"),
    "assigned": N_("Given to them"), "answered": N_("Answers to somebody who waited"), "mean": N_("Average mark"),
    "good": N_("4 or 5"), "mark_5": "5", "mark_4": "4", "mark_3": "3", "mark_2": "2", "mark_1": "1",
    "asked": N_("Asked"), "score": N_("NPS"), "promoters": N_("Promoters"), "passives": N_("Passives"),
    "detractors": N_("Detractors"), "kept": N_("Kept"), "missed": N_("Missed"), "kept_share": N_("Kept, in percent"),
}  # fmt: skip
BYS: Mapping[By, str] = {
    "day": N_("Day"), "hour": N_("Hour"), "week_hour": N_("Hour of the week"), "channel": N_("Channel"),
    "team": N_("Team"), "agent": N_("Colleague"), "label": N_("Labels"),
}  # fmt: skip
NOBODY: Mapping[By, str] = {"team": N_("No team"), "agent": N_("Nobody"), "label": N_("No label")}
DAYS: Mapping[str, str] = dict(zip(WEEKDAYS, (
    N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday"), N_("Sunday"),
), strict=True))  # fmt: skip
KINDS: Mapping[str, str] = {
    "created": N_("New conversation"), "reopened": N_("Opened again"), "closed": N_("Ended"),
    "first_response": N_("First answer"), "next_response": N_("Further answer"), "resolution": N_("Resolved"),
    "received": N_("Messages in"), "sent": N_("Messages out"), "assigned": N_("Given to a colleague"),
    "csat_asked": N_("Asked for a mark"), "csat": N_("Mark"), "nps_asked": N_("Asked for a recommendation"),
    "nps": N_("Recommendation"), "kept": N_("Promise kept"), "missed": N_("Promise missed"),
}  # fmt: skip
NOTHING = "–"
#: Rows whose names are written out below a chart at most.
_TICKS = 5


@dataclass(frozen=True)
class Cell:
    """One number. `key` of its column; `counts`: its rows add up to it."""

    key: str
    text: str
    counts: bool


@dataclass(frozen=True)
class Line:
    """One row of the table."""

    key: str
    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Bar:
    """One bar: its place and height, of a hundred; `said` as a tooltip."""

    said: str
    height: float
    below: bool = False


@dataclass(frozen=True)
class Chart:
    """The leading column. `said`: what it shows, for who does not see it."""

    title: str
    said: str
    bars: tuple[Bar, ...]
    ticks: tuple[str, ...]


@dataclass(frozen=True)
class Square:
    """One hour of the week; `share` of the busiest, 0 to 4 steps of ink."""

    key: str
    said: str
    text: str
    ink: int


@dataclass(frozen=True)
class Week:
    """Hours of the week as a grid: weekday → its 24 hours."""

    days: tuple[tuple[str, tuple[Square, ...]], ...]
    said: str


def number_of(column: Column, value: float | None, formats: Formats) -> str:
    """A figure in the reader's language; a dash for none."""
    if value is None:
        return NOTHING
    if column.unit == "seconds":
        return formats.span(value, parts=2) if value >= 60 else formats.text(N_("%(n)s s"), n=int(value))
    if column.unit == "share":
        return formats.text(N_("%(percent)s %%"), percent=formats.number(round(100 * value, 1)))
    return formats.number(round(value, 2) if column.unit in ("mark", "score") else int(value))


def row_name(by: By, key: str, names: Mapping[str, str], formats: Formats, zone: ZoneInfo) -> str:
    """What a row is called."""
    if by == "day":
        return formats.date(datetime.fromisoformat(key).replace(hour=12, tzinfo=formats.zone))
    if by == "hour":
        at = datetime.fromisoformat(key)
        return Formats(formats.language, zone, formats.now).moment(at)
    if by == "week_hour":
        day, _, hour = key.partition("-")
        return formats.text(N_("%(day)s, %(hour)s:00"), day=formats.text(DAYS[day]), hour=hour)
    if not key:
        return formats.text(NOBODY[by]) if by in NOBODY else NOTHING
    if is_id(key, "tok"):
        return formats.text(N_("A program"))
    return names.get(key) or (key if by == "label" else formats.text(N_("Gone")))


def lines_of(found: Table, names: Mapping[str, str], formats: Formats, zone: ZoneInfo) -> list[Line]:
    """The table's rows."""
    return [
        Line(row.key, row_name(found.by, row.key, names, formats, zone), cells_of(found, row, formats))
        for row in found.rows
    ]  # fmt: skip


def cells_of(found: Table, row: Row, formats: Formats) -> tuple[Cell, ...]:
    """The numbers of one row."""
    pairs = zip(found.definition.columns, row.values, strict=True)
    return tuple(Cell(each.key, number_of(each, value, formats), each.unit == "count") for each, value in pairs)


def chart_of(found: Table, lines: Sequence[Line], formats: Formats) -> Chart | None:
    """Bars of the leading column; None where there is nothing to draw."""
    place = next(n for n, each in enumerate(found.definition.columns) if each.key == found.definition.lead)
    column = found.definition.columns[place]
    values = [row.values[place] or 0 for row in found.rows]
    if len(values) < 2 or not any(values) or found.by == "week_hour":
        return None
    most = max(abs(each) for each in values)
    bars = tuple(
        Bar(f"{line.name}: {line.cells[place].text}", round(100 * abs(value) / most, 1), value < 0)
        for line, value in zip(lines, values, strict=True)
    )
    best = max(range(len(values)), key=lambda each: values[each])
    title = formats.text(COLUMNS[column.key])
    said = formats.text(
        N_("%(column)s from %(first)s to %(last)s, most at %(best)s: %(value)s"), column=title, first=lines[0].name,
        last=lines[-1].name, best=lines[best].name, value=lines[best].cells[place].text,
    )  # fmt: skip
    step = max(1, len(lines) // (_TICKS - 1))
    ticks = [each.name for each in lines[::step]][: _TICKS - 1]
    return Chart(title, said, bars, tuple(dict.fromkeys([*ticks, lines[-1].name])))


def week_of(found: Table, lines: Sequence[Line], formats: Formats) -> Week | None:
    """Hours of the week as squares; None for other reports."""
    if found.by != "week_hour":
        return None
    values = [int(row.values[0] or 0) for row in found.rows]
    most = max(values) or 1
    squares = [
        Square(line.key, f"{line.name}: {line.cells[0].text}", line.cells[0].text, -(-4 * value // most))
        for line, value in zip(lines, values, strict=True)
    ]
    days = tuple(
        (formats.text(DAYS[day]), tuple(squares[24 * n : 24 * n + 24])) for n, day in enumerate(WEEKDAYS)
    )  # fmt: skip
    best = max(range(len(values)), key=lambda each: values[each])
    said = formats.text(N_("Messages in by hour of the week, most on %(best)s"), best=squares[best].said)
    return Week(days, said)
