"""How often something comes again: the RRULE of RFC 5545, by the wall clock of a zone. Pure.

https://www.rfc-editor.org/rfc/rfc5545#section-3.3.10 (read 2026-11-28). dateutil finds the local times, `wallclock`
makes instants of them, so a clock change moves or doubles nothing. A rule that leaves open on which day it falls, or
counts from somewhere, needs a start: then a definition alone says when it comes, whoever reckons, and whenever.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from campaigns.wallclock import Clock24, instant

FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
PARTS = frozenset(
    {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY", "BYHOUR",
     "BYMINUTE", "BYSETPOS", "WKST"}
)  # fmt: skip
#: What says on which day a rule falls; without one of them it is that of the start.
_DAYS: Mapping[str, frozenset[str]] = {
    "WEEKLY": frozenset({"BYDAY"}), "MONTHLY": frozenset({"BYDAY", "BYMONTHDAY"}),
    "YEARLY": frozenset({"BYDAY", "BYMONTHDAY", "BYYEARDAY"}),
}  # fmt: skip
_DAY_PARTS = frozenset({"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYDAY"})
#: Frequency → what goes with it, and what goes with an INTERVAL: else a rule may come never, and it takes dateutil
#: until the year 9999 to find out.
_ALLOWED: Mapping[str, frozenset[str]] = {
    "HOURLY": PARTS - _DAY_PARTS - {"BYSETPOS"} | {"BYDAY"}, "DAILY": PARTS - {"BYSETPOS"},
    "WEEKLY": PARTS - {"BYSETPOS"},
}  # fmt: skip
_ALLOWED_IN_STEPS: Mapping[str, frozenset[str]] = {
    "HOURLY": frozenset({"BYMINUTE"}), "DAILY": frozenset({"BYHOUR", "BYMINUTE"}),
    "WEEKLY": frozenset({"BYDAY", "BYHOUR", "BYMINUTE"}),
    "MONTHLY": frozenset({"BYDAY", "BYMONTHDAY", "BYSETPOS", "BYHOUR", "BYMINUTE"}), "YEARLY": PARTS,
}  # fmt: skip
_ALWAYS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"})
TEXT_MAX, INTERVAL_MAX, COUNT_MAX = 300, 1000, 10_000
#: So far ahead is looked for the next time; what comes less often never comes.
AHEAD, AHEAD_HOURLY = timedelta(days=3660), timedelta(days=400)
#: The clock time of rules that name none.
MORNING = Clock24.parse("09:00")
END_OF_TIME = datetime(9999, 12, 31)  # noqa: DTZ001 - local
_UNTIL = re.compile(r"(\d{8})(?:T(\d{6})(Z?))?", re.ASCII)


@dataclass(frozen=True)
class Recurrence:
    """A rule, read. `text` as its author wrote it; `parts` without COUNT and UNTIL, which are kept beside."""

    text: str
    parts: Mapping[str, str]
    count: int | None = None
    #: A local time, or an instant.
    until: datetime | None = None

    @classmethod
    def parse(cls, text: str) -> Recurrence:
        """Raises ValueError with a sentence."""
        parts = _parts(text)
        count = _number(parts.pop("COUNT", None), "COUNT", COUNT_MAX)
        until = _until(parts.pop("UNTIL", None))
        if count is not None and until is not None:
            raise ValueError("give COUNT or UNTIL, not both")
        _require_together(parts, _number(parts.get("INTERVAL"), "INTERVAL", INTERVAL_MAX) or 1)
        found = cls(text.strip(), parts, count, until)
        try:
            found._rule(datetime(2000, 1, 1), datetime(2000, 1, 2))  # noqa: DTZ001 - local
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError):
            raise ValueError(f"{text[:80]!r} is no rule such as FREQ=WEEKLY;BYDAY=MO,TH") from None
        return found

    @property
    def frequency(self) -> str:
        """YEARLY to HOURLY."""
        return self.parts["FREQ"]

    @property
    def names_hours(self) -> bool:
        """It says itself at which clock time it comes."""
        return "BYHOUR" in self.parts or "BYMINUTE" in self.parts or self.frequency == "HOURLY"

    def lacks_start(self) -> str | None:
        """Why it cannot do without a start; None when it can."""
        if self.count is not None or int(self.parts.get("INTERVAL", "1")) > 1:
            return "COUNT and INTERVAL count from a day: name it as start"
        days = _DAYS.get(self.frequency)
        if days is not None and not days & self.parts.keys():
            return f"say on which day with {' or '.join(sorted(days))}, or name a start"
        if (
            self.frequency == "YEARLY"
            and "BYYEARDAY" not in self.parts
            and not {"BYMONTH", "BYWEEKNO"} & set(self.parts)
        ):
            return "say in which month with BYMONTH, or name a start"
        return None

    def ever(self, start: date | None, clock: time) -> bool:
        """Whether there is any day on which it comes, UNTIL and COUNT apart."""
        if int(self.parts.get("INTERVAL", "1")) > 1:
            rule = self._rule(datetime.combine(start or date(2000, 1, 1), clock), END_OF_TIME)
        else:  # every 400 years the calendar is the same; from so late on an empty rule is soon at the end of time
            days = {name: value for name, value in self.parts.items() if name in _DAY_PARTS | {"BYSETPOS"}}
            days["FREQ"] = "MONTHLY" if self.frequency == "MONTHLY" else "YEARLY"
            rule = replace(self, parts=days)._rule(datetime(9590, 1, 1), END_OF_TIME)  # noqa: DTZ001 - local
        return next(iter(rule), None) is not None

    def _rule(self, start: datetime, until: datetime) -> rrule:
        text = ";".join(f"{name}={value}" for name, value in self.parts.items())
        found = rrulestr(text, dtstart=start)
        if not isinstance(found, rrule):
            raise ValueError("one rule")
        return found.replace(until=until)

    def times(self, start: date | None, clock: time, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
        """Its instants later than `after`, in order, each once; none beyond the horizon."""
        local = after.astimezone(zone).replace(tzinfo=None)
        hourly = self.frequency == "HOURLY"
        first = self._first(start, clock, local)
        horizon = max(local, first) + (AHEAD_HOURLY if hourly else AHEAD)
        last = after
        for found in islice(self._rule(first, horizon), self.count):
            if self._over(found, zone):
                return
            if found < local - timedelta(days=1):
                continue
            at = instant(found, zone)
            if at > last:  # two local times that a clock change makes one instant are one
                last = at
                yield at

    def _first(self, start: date | None, clock: time, local: datetime) -> datetime:
        """From where the rule is unrolled: as late as makes no difference."""
        if start is None:
            back = 2 if self.frequency in ("HOURLY", "DAILY") else 400
            day = local.date() - timedelta(days=back)
            return datetime.combine(day if back == 2 else day.replace(month=1, day=1), clock)
        first = datetime.combine(start, clock)
        if self.frequency == "HOURLY" and self.count is None and first < local:
            step = timedelta(hours=int(self.parts.get("INTERVAL", "1")))
            return first + step * max(0, (local - first) // step - int(timedelta(days=2) / step) - 1)
        return first

    def _over(self, found: datetime, zone: ZoneInfo) -> bool:
        if self.until is None:
            return False
        return (found if self.until.tzinfo is None else instant(found, zone)) > self.until


def following(
    rule: Recurrence, start: date | None, clock: time, zone: ZoneInfo, after: datetime
) -> datetime | None:  # fmt: skip
    """The next time later than `after`."""
    return next(rule.times(start, clock, zone, after), None)


def _parts(text: str) -> dict[str, str]:
    plain = text.strip().upper().removeprefix("RRULE:")
    if not plain or len(plain) > TEXT_MAX or "\n" in plain:
        raise ValueError(f"is one rule of at most {TEXT_MAX} characters, such as FREQ=WEEKLY;BYDAY=MO")
    found: dict[str, str] = {}
    for part in plain.rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value or name in found:
            raise ValueError(f"{part[:40]!r} is no part of a rule such as FREQ=WEEKLY;BYDAY=MO")
        if name not in PARTS:
            raise ValueError(f"{name[:40]} is not known here; known are {', '.join(sorted(PARTS))}")
        found[name] = value
    if found.get("FREQ") not in FREQUENCIES:
        raise ValueError(f"FREQ is one of {', '.join(FREQUENCIES)}")
    return found


def _require_together(parts: Mapping[str, str], interval: int) -> None:
    frequency = parts["FREQ"]
    allowed = _ALLOWED.get(frequency, PARTS)
    if interval > 1:
        allowed = allowed & _ALLOWED_IN_STEPS[frequency]
    foreign = sorted(parts.keys() - allowed - _ALWAYS)
    if foreign:
        with_steps = " with an INTERVAL" if interval > 1 else ""
        raise ValueError(f"{foreign[0]} does not go with FREQ={frequency}{with_steps}")


def _number(value: str | None, name: str, most: int) -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()) or not 1 <= int(value[:9]) <= most:
        raise ValueError(f"{name} is a number from 1 to {most}")
    return int(value)


def _until(value: str | None) -> datetime | None:
    if value is None:
        return None
    found = _UNTIL.fullmatch(value)
    try:
        if found is None:
            raise ValueError(value)
        at = datetime.strptime(found[1] + (found[2] or "235959"), "%Y%m%d%H%M%S")  # noqa: DTZ007 - local
    except ValueError:
        raise ValueError("UNTIL is a day or a time such as 20271231 or 20271231T220000Z") from None
    return at.replace(tzinfo=UTC) if found[3] else at
