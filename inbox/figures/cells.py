"""Facts folded into cells: what happened in a quarter of an hour, by channel and by who did it. Pure.

A cell is one day (UTC) of one kind, channel and value of a dimension, or of a combination of dimensions (decision 54);
in it a slot per quarter of an hour in which something happened, so that days of any time zone can be put together from
slots. Adding is the same in whatever order; a fact that is gone is taken out again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from base.mongo import Document
from inbox.figures.facts import GRAIN_MIN, OPENS

Dimension = Literal["channel", "agent", "team", "label", "agent+team", "agent+team+label"]
DIMENSIONS: tuple[Dimension, ...] = ("channel", "agent", "team", "label", "agent+team", "agent+team+label")
#: Of these there is a cell per combination that occurs; what it is of stands in fields of its own.
COMBINED: tuple[Dimension, ...] = ("agent+team", "agent+team+label")
#: By what facts can be told apart besides their channel → the field of a combined cell.
FIELDS: Mapping[str, str] = {"agent": "agent_id", "team": "team_id", "label": "label"}
#: Buckets of a histogram per doubling of a time: a percentile is off by less than a twentieth.
PER_DOUBLING = 8
#: The day of cells that hold all days together.
EVER = "ever"
#: Kinds of which the sum of all days is kept, because what is open follows from it.
SUMMED = frozenset({*OPENS, "closed"})
_SLOT = timedelta(minutes=GRAIN_MIN)

#: A cell: kind, dimension, value, channel, day.
Place = tuple[str, str, str, str, str]
#: What is added to which field of which cell.
Changes = dict[Place, Counter[str]]


@dataclass
class Sum:
    """Facts added up. `times` and `business`: bucket → how many; `scores`: mark → how many."""

    n: int = 0
    ms: int = 0
    business_ms: int = 0
    times: Counter[int] = field(default_factory=Counter)
    business: Counter[int] = field(default_factory=Counter)
    scores: Counter[int] = field(default_factory=Counter)

    def add(self, slot: Mapping[str, Any]) -> None:
        """Add what a cell holds of a slot."""
        self.n += slot.get("n", 0)
        self.ms += slot.get("ms", 0)
        self.business_ms += slot.get("b", 0)
        if len(slot) == 1:
            return
        for name, counter in (("h", self.times), ("bh", self.business), ("s", self.scores)):
            for bucket, count in slot.get(name, {}).items():
                counter[int(bucket)] += count

    def mean(self, *, business: bool) -> float | None:
        """Average, in milliseconds."""
        return (self.business_ms if business else self.ms) / self.n if self.n else None

    def percentile(self, share: float, *, business: bool) -> float | None:
        """What so many of all (0 to 1) do not exceed, about, in milliseconds."""
        buckets = self.business if business else self.times
        total = sum(buckets.values())
        if total <= 0:
            return None
        wanted, passed = max(1, math.ceil(share * total)), 0
        for bucket in sorted(buckets):
            passed += buckets[bucket]
            if passed >= wanted:
                return middle_of(bucket)
        return None


def bucket_of(ms: int) -> int:
    """Which bucket a time falls into."""
    return 0 if ms < 1000 else 1 + int(PER_DOUBLING * math.log2(ms / 1000))


def middle_of(bucket: int) -> float:
    """The time a bucket stands for, in milliseconds."""
    return 500.0 if bucket == 0 else 1000 * 2 ** ((bucket - 0.5) / PER_DOUBLING)


def slot_of(at: datetime) -> tuple[str, int]:
    """The day and the number of its slot."""
    utc = at.astimezone(UTC)
    return utc.date().isoformat(), (utc.hour * 60 + utc.minute) // GRAIN_MIN


def begins(day: str, slot: int) -> datetime:
    """When a slot begins."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + slot * _SLOT


def grained(at: datetime) -> datetime:
    """The beginning of the slot an instant lies in."""
    return begins(*slot_of(at))


def values_of(fact: Mapping[str, Any]) -> Iterator[tuple[Dimension, str]]:
    """Under what a fact is counted: `""` is nobody's. One of several labels is counted under each of them."""
    agent, team = fact.get("agent_id") or "", fact.get("team_id") or ""
    yield "channel", ""
    yield "agent", agent
    yield "team", team
    yield "agent+team", f"{agent}|{team}"
    for label in fact["labels"]:
        yield "label", label
        yield "agent+team+label", f"{agent}|{team}|{label}"


def dimension_for(told_apart: Collection[str]) -> Dimension:
    """The coarsest cells that tell all of these of `FIELDS` apart."""
    if len(told_apart) > 1:
        return "agent+team+label" if "label" in told_apart else "agent+team"
    return next((each for each in DIMENSIONS if each in told_apart), "channel")


def fields_in(dimension: str, value: str) -> dict[str, str]:
    """What a combined cell is of, by field; nothing for others. A label may hold whatever divides the rest."""
    if dimension not in COMBINED:
        return {}
    names = dimension.split("+")
    return dict(zip((FIELDS[each] for each in names), value.split("|", len(names) - 1), strict=True))


def changes_of(gone: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> Changes:
    """What cells are to be changed by when these facts go and those come."""
    changes: Changes = {}
    for facts, sign in ((gone, -1), (new, 1)):
        for fact in facts:
            _count(changes, fact, sign)
    return {place: fields for place, counter in changes.items() if (fields := Counter(_not_zero(counter)))}


def _not_zero(counter: Mapping[str, int]) -> dict[str, int]:
    return {name: by for name, by in counter.items() if by}


def combined(changes: Changes) -> Changes:
    """Those of cells of combinations, and of a day."""
    return {place: fields for place, fields in changes.items() if place[1] in COMBINED and place[4] != EVER}


def still_to_add(wanted: Changes, kept: Changes) -> Changes:
    """What makes kept cells of a day the wanted ones; sums of all days get as much more."""
    changes: Changes = {}
    for place in wanted.keys() | kept.keys():
        fields = Counter(wanted.get(place, {}))
        fields.subtract(kept.get(place, {}))
        if not (more := Counter(_not_zero(fields))):
            continue
        changes[place] = more
        if place[0] in SUMMED:
            counted = sum(by for path, by in more.items() if path.endswith(".n"))
            changes.setdefault((*place[:4], EVER), Counter()).update({"n": counted})
    return changes


def _count(changes: Changes, fact: Mapping[str, Any], sign: int) -> None:
    day, slot = slot_of(fact["at"])
    added = {f"q.{slot}.{name}": sign * value for name, value in _parts(fact).items()}
    for dimension, value in values_of(fact):
        place = fact["kind"], dimension, value, fact["channel_id"], day
        changes.setdefault(place, Counter()).update(added)
        if fact["kind"] in SUMMED:
            changes.setdefault((*place[:4], EVER), Counter()).update({"n": sign * fact["n"]})


def _parts(fact: Mapping[str, Any]) -> dict[str, int]:
    parts: dict[str, int] = {"n": fact["n"]}
    if fact.get("ms") is not None:
        parts |= {"ms": fact["ms"], f"h.{bucket_of(fact['ms'])}": 1}
    if fact.get("business_ms") is not None:
        parts |= {"b": fact["business_ms"], f"bh.{bucket_of(fact['business_ms'])}": 1}
    if fact.get("score") is not None:
        parts[f"s.{fact['score']}"] = 1
    return parts


def id_of(place: Place) -> str:
    """The id of a cell."""
    return "|".join(place)


def slots_in(cell: Document) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
    """The slots of a cell and when they begin."""
    midnight = datetime.fromisoformat(cell["day"]).replace(tzinfo=UTC)
    for number, slot in cell.get("q", {}).items():
        yield midnight + int(number) * _SLOT, slot
