"""Which reports there are, of what their columns are made, and the table of one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from base.mongo import Document
from inbox.figures.cells import COMBINED, FIELDS, Sum, begins, slots_in
from inbox.figures.facts import OPENS, Kind
from inbox.figures.periods import Span, Step, Steps

Unit = Literal["count", "seconds", "share", "mark", "score"]
By = Literal["day", "hour", "week_hour", "channel", "team", "agent", "label"]
#: Steps of time; the others are dimensions.
BY_TIME: tuple[By, ...] = ("day", "hour", "week_hour")
ANY: tuple[By, ...] = ("day", "hour", "channel", "team", "agent", "label")
#: Kind → what happened of it in one row of a report.
Sums = Mapping[str, Sum]
_NOTHING = Sum()


@dataclass(frozen=True)
class Column:
    """One figure of each row. `kinds`: the facts behind it; `scores`: only those marks; `open`: what was open at the
    end of the row's time, instead of what happened in it."""

    key: str
    unit: Unit
    kinds: tuple[Kind, ...]
    value: Callable[[Sums, bool], float | None]
    scores: tuple[int, ...] | None = None
    open: bool = False


@dataclass(frozen=True)
class Definition:
    """A report. `by`: how it can be grouped, the first where nothing is said; `lead`: the column that is drawn."""

    name: str
    by: tuple[By, ...]
    columns: tuple[Column, ...]
    lead: str
    timed: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """All facts it is made of."""
        return tuple(dict.fromkeys(kind for each in self.columns for kind in each.kinds))

    @property
    def is_counted(self) -> bool:
        """Whether it only says how often: no times, no marks."""
        return not self.timed and all(each.unit in ("count", "share") and each.scores is None for each in self.columns)

    def column(self, key: str) -> Column | None:
        """The one of this name."""
        return next((each for each in self.columns if each.key == key), None)


@dataclass(frozen=True)
class Row:
    """`key`: a value of the dimension (`""`: nobody's) or a step of time; values in the order of the columns."""

    key: str
    values: tuple[float | None, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Table:
    """A report as it is shown."""

    definition: Definition
    by: By
    span: Span
    business: bool
    rows: tuple[Row, ...]
    total: Row


# -- columns ---------------------------------------------------------------------------------------------------------


def _of(sums: Sums, *kinds: str) -> int:
    return sum(sums.get(kind, _NOTHING).n for kind in kinds)


def _counted(key: str, *kinds: Kind, is_open: bool = False) -> Column:
    return Column(key, "count", kinds, lambda sums, _: _of(sums, *kinds), open=is_open)


def _joined(sums: Iterable[Sum]) -> Sum:
    joined = Sum()
    for each in sums:
        joined.n += each.n
        joined.ms += each.ms
        joined.business_ms += each.business_ms
        joined.times.update(each.times)
        joined.business.update(each.business)
        joined.scores.update(each.scores)
    return joined


def _of_kinds(sums: Sums, kinds: Iterable[str]) -> Sum:
    return _joined(sums.get(kind, _NOTHING) for kind in kinds)


def _mean(*kinds: Kind) -> Column:
    return Column("mean_s", "seconds", kinds, lambda sums, b: _seconds(_of_kinds(sums, kinds).mean(business=b)))


def _passed(key: str, share: float, *kinds: Kind) -> Column:
    def value(sums: Sums, business: bool) -> float | None:
        return _seconds(_of_kinds(sums, kinds).percentile(share, business=business))

    return Column(key, "seconds", kinds, value)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else round(ms / 1000, 1)


def _times(*kinds: Kind) -> tuple[Column, ...]:
    return _counted("count", *kinds), _mean(*kinds), _passed("median_s", 0.5, *kinds), _passed("p90_s", 0.9, *kinds)


def _share(key: str, part: Kind, *whole: Kind) -> Column:
    def value(sums: Sums, _: bool) -> float | None:
        total = _of(sums, *whole)
        return round(_of(sums, part) / total, 4) if total else None

    return Column(key, "share", whole, value)


def _marks(sums: Sums, kind: str, wanted: Iterable[int]) -> int:
    scores = sums.get(kind, _NOTHING).scores
    return sum(scores[each] for each in wanted)


def _of_marks(key: str, kind: Kind, *wanted: int) -> Column:
    return Column(key, "count", (kind,), lambda sums, _: _marks(sums, kind, wanted), scores=wanted)


def _mean_mark(sums: Sums, _: bool) -> float | None:
    scores = sums.get("csat", _NOTHING).scores
    total = sum(scores.values())
    return round(sum(mark * n for mark, n in scores.items()) / total, 2) if total else None


def _good(sums: Sums, _: bool) -> float | None:
    total = _of(sums, "csat")
    return round(_marks(sums, "csat", (4, 5)) / total, 4) if total else None


PROMOTERS, PASSIVES, DETRACTORS = (9, 10), (7, 8), tuple(range(7))


def nps_of(sums: Sums, _: bool = False) -> float | None:
    """Promoters less detractors, of a hundred who answered: -100 to 100."""
    total = _of(sums, "nps")
    if not total:
        return None
    return round(100 * (_marks(sums, "nps", PROMOTERS) - _marks(sums, "nps", DETRACTORS)) / total, 1)


REPORTS: Mapping[str, Definition] = {
    each.name: each
    for each in (
        Definition(
            "volume", ANY, (
                _counted("created", "created"), _counted("reopened", "reopened"), _counted("received", "received"),
                _counted("sent", "sent"), _counted("resolved", "resolution"),
            ), "created",
        ),
        Definition("first-response", ANY, _times("first_response"), "median_s", timed=True),
        Definition("next-response", ANY, _times("next_response"), "median_s", timed=True),
        Definition("resolution", ANY, _times("resolution"), "median_s", timed=True),
        Definition(
            "backlog", ANY, (
                _counted("opened", *OPENS), _counted("closed", "closed"), _counted("open", *OPENS, is_open=True),
            ), "open",
        ),
        Definition("busiest-hours", ("week_hour",), (_counted("received", "received"), _counted("created", "created")),
                   "received"),
        Definition(
            "channel-mix", ("channel",), (
                _counted("created", "created"), _counted("received", "received"), _counted("sent", "sent"),
                _counted("resolved", "resolution"),
            ), "received",
        ),
        Definition(
            "agent-load", ("agent",), (
                _counted("assigned", "assigned"), _counted("sent", "sent"),
                _counted("answered", "first_response", "next_response"),
                _passed("median_s", 0.5, "first_response", "next_response"), _counted("resolved", "resolution"),
                _counted("open", *OPENS, is_open=True),
            ), "sent", timed=True,
        ),
        Definition(
            "csat", ANY, (
                _counted("count", "csat"), Column("mean", "mark", ("csat",), _mean_mark),
                Column("good", "share", ("csat",), _good),
                *(_of_marks(f"mark_{mark}", "csat", mark) for mark in range(5, 0, -1)),
                _counted("asked", "csat_asked"),
            ), "mean",
        ),
        Definition(
            "nps", ANY, (
                _counted("count", "nps"), Column("score", "score", ("nps",), nps_of),
                _of_marks("promoters", "nps", *PROMOTERS), _of_marks("passives", "nps", *PASSIVES),
                _of_marks("detractors", "nps", *DETRACTORS), _counted("asked", "nps_asked"),
            ), "score",
        ),
        Definition(
            "sla", ANY, (
                _counted("kept", "kept"), _counted("missed", "missed"), _share("kept_share", "kept", "kept", "missed"),
            ), "kept_share",
        ),
    )
}  # fmt: skip


# -- the table -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """What is open: `ever`: key → how many in all; `later`: (when, key, how many more) of the time and after it."""

    ever: Mapping[str, int]
    later: Sequence[tuple[datetime, str, int]]

    def at(self, moment: datetime, key: str | None = None) -> int:
        """How many were open then; of one key, or of all."""
        base = sum(self.ever.values()) if key is None else self.ever.get(key, 0)
        return base - sum(n for when, own, n in self.later if when >= moment and key in (None, own))


def key_field(dimension: str, by: By) -> str:
    """What of a cell says under which row of a report by dimension it counts."""
    if by == "channel":
        return "channel_id"
    return FIELDS.get(by, "value") if dimension in COMBINED else "value"


def folded(cells: Iterable[Document], span: Span, by: By, steps: Steps | None) -> dict[str, dict[str, Sum]]:
    """Key of a row → kind → what happened in the time."""
    found: dict[str, dict[str, Sum]] = {}
    places: dict[tuple[str, str], str | None] = {}  # thousands of cells share a few thousand quarters of an hour
    for cell in cells:
        day, kind = cell["day"], cell["kind"]
        own = "" if steps else cell[key_field(cell["dimension"], by)]
        for number, slot in cell.get("q", {}).items():
            place = day, number
            if place not in places:
                places[place] = _step_at(begins(day, int(number)), span, steps)
            step = places[place]
            if step is None:
                continue
            kinds = found.setdefault(step or own, {})
            one = kinds.get(kind)
            if one is None:
                one = kinds[kind] = Sum()
            one.add(slot)
    return found


def _step_at(at: datetime, span: Span, steps: Steps | None) -> str | None:
    """The key of the step an instant lies in, `""` where there are none; None: outside of the time."""
    if not span.since <= at < span.until:
        return None
    if steps is None:
        return ""
    number = steps.of(at)
    return None if number is None else steps.steps[number].key


def added(groups: Iterable[Sums]) -> dict[str, Sum]:
    """All rows as one."""
    rows = list(groups)
    return {
        kind: _joined(row.get(kind, _NOTHING) for row in rows)
        for kind in dict.fromkeys(kind for row in rows for kind in row)
    }


def opened_of(cells: Iterable[Document], ever: Iterable[Document], by: By) -> Opened:
    """What is open, from cells of opening and closing and their sums of all days."""
    sums: dict[str, int] = {}
    for cell in ever:
        key = cell[key_field(cell["dimension"], by)]
        sums[key] = sums.get(key, 0) + _sign(cell["kind"]) * cell.get("n", 0)
    later = [
        (begins_at, cell[key_field(cell["dimension"], by)], _sign(cell["kind"]) * slot.get("n", 0))
        for cell in cells for begins_at, slot in slots_in(cell)
    ]  # fmt: skip
    return Opened(sums, later)


def _sign(kind: str) -> int:
    return -1 if kind == "closed" else int(kind in OPENS)


def table(
    definition: Definition, by: By, span: Span, groups: Mapping[str, Sums], whole: Sums, steps: Steps | None,
    opened: Opened | None, *, business: bool, open_in_all: int | None = None,
) -> Table:  # fmt: skip
    """The report: all steps of a time, and of a dimension those values of which there is anything. `whole` and
    `open_in_all` are of everything: of several labels of one thing each counts in its own row."""
    if steps is not None:
        parts = [(each.key, each.spans) for each in steps.steps]
    else:
        keys = {*groups, *(opened.ever if opened else ())}
        parts = [(key, (span,)) for key in keys if _says(definition, key, span, groups, opened)]
    ends = _ends(steps, opened) if steps is not None and opened is not None else {}

    def row(key: str, spans: tuple[Span, ...], sums: Sums, left: int | None) -> Row:
        values = tuple(left if each.open else each.value(sums, business) for each in definition.columns)
        return Row(key, values, spans)

    def left_in(key: str) -> int | None:
        if opened is None:
            return None
        return ends[key] if steps is not None else opened.at(span.until, key)

    rows = [row(key, spans, groups.get(key, {}), left_in(key)) for key, spans in parts]
    if steps is None:
        lead = next(place for place, each in enumerate(definition.columns) if each.unit == "count")
        rows.sort(key=lambda each: (-(each.values[lead] or 0), each.key))
    total = row("", (span,), whole, open_in_all)
    return Table(definition, by, span, business, tuple(rows), total)


def _says(
    definition: Definition, key: str, span: Span, groups: Mapping[str, Sums], opened: Opened | None
) -> bool:  # fmt: skip
    happened = any(groups.get(key, {}).get(kind, _NOTHING).n for kind in definition.kinds)
    return happened or bool(opened and opened.at(span.until, key))


def _ends(steps: Steps, opened: Opened) -> dict[str, int]:
    """Step → what was open at its end, in one pass from now backwards."""
    left, found = sum(opened.ever.values()), {}
    later = sorted(opened.later, key=lambda each: each[0])
    for each in sorted(steps.steps, key=_end_of, reverse=True):
        while later and later[-1][0] >= _end_of(each):
            left -= later.pop()[2]
        found[each.key] = left
    return found


def _end_of(step: Step) -> datetime:
    return max(span.until for span in step.spans)
