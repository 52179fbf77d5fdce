"""When each person's turn is: by schedule and zone, day of the ramp, and place in the row. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns.broadcasts.models import At, Broadcast, Local, Rate
from campaigns.wallclock import Duration, at_clock, next_clock, zone_or

#: Where the clocks are furthest ahead and behind.
EARLIEST_ZONE, LATEST_ZONE = "Pacific/Kiritimati", "Etc/GMT+12"
#: How long before its first message a broadcast is planned.
PLAN_AHEAD = timedelta(minutes=10)


@dataclass(frozen=True)
class Turn:
    """When it is somebody's turn (None: never, that time is past). `zone`: by whose clocks; `late`: it was past."""

    at: datetime | None
    zone: str | None = None
    late: bool = False


def first_turn(broadcast: Broadcast, now: datetime) -> datetime:
    """When the first person could be written to, wherever they live."""
    match broadcast.schedule:
        case At(at=at):
            return max(at, now)
        case Local(date=date, time=clock):
            return max(at_clock(date, clock.at, ZoneInfo(EARLIEST_ZONE)), now)
        case _:
            return now


def turn(broadcast: Broadcast, own_zone: str | None, project_zone: str, start: datetime) -> Turn:
    """A person's turn in a broadcast that begins at `start`. An unknown zone is none: it holds up nobody."""
    schedule = broadcast.schedule
    if not isinstance(schedule, Local):
        return Turn(start)
    zone, _ = zone_or(own_zone, schedule.fallback_zone or project_zone)
    at = at_clock(schedule.date, schedule.time.at, zone)
    if at >= start:
        return Turn(at, zone.key)
    if schedule.late == "skip":
        return Turn(None, zone.key, late=True)
    if schedule.late == "next_day":
        return Turn(next_clock(start, schedule.time.at, zone), zone.key, late=True)
    return Turn(start, zone.key, late=True)


def last_turn(broadcast: Broadcast, people: int, start: datetime, zone: ZoneInfo) -> datetime:
    """About when the last of so many people is written to, as far as schedule, rate and ramp say it."""
    at = start
    if isinstance(broadcast.schedule, Local):
        schedule = broadcast.schedule
        at = max(at, at_clock(schedule.date, schedule.time.at, ZoneInfo(LATEST_ZONE)))
    day = day_of(max(people - 1, 0), broadcast.ramp) if broadcast.ramp else 0
    if day:
        at = Duration(f"P{day}D", days=day).after(at, zone)
        people = min(people, broadcast.ramp[min(day, len(broadcast.ramp) - 1)])
    return at + spacing(broadcast.rate) * max(people - 1, 0)


def spacing(rate: Rate | None) -> timedelta:
    """The time between two turns; none without a rate."""
    if rate is None:
        return timedelta()
    seconds = [60 / rate.per_minute if rate.per_minute else 0.0, 3600 / rate.per_hour if rate.per_hour else 0.0]
    return timedelta(seconds=max(seconds))


def day_of(place: int, sizes: Sequence[int]) -> int:
    """On which day of a ramp somebody's turn is, from 0, who stands at this place from 0."""
    for day, size in enumerate(sizes):
        if place < size:
            return day
        place -= size
    return len(sizes) + place // sizes[-1] if sizes else 0


@dataclass
class Queue:
    """Puts people one behind the other. `placed` is what has to be remembered to go on after a crash."""

    rate: Rate | None
    ramp: Sequence[int]
    zone: ZoneInfo
    placed: dict[str, int] = field(default_factory=dict)

    def stands(self, at: datetime, zone_name: str | None) -> datetime:
        """The time of the next person who would be due at `at`."""
        if self.ramp:
            day = day_of(self._next("ramp"), self.ramp)
            if day:
                zone = ZoneInfo(zone_name) if zone_name else self.zone
                at = Duration(f"P{day}D", days=day).after(at, zone)
        apart = spacing(self.rate)
        return at + apart * self._next(at.isoformat()) if apart else at

    def _next(self, name: str) -> int:
        number = self.placed.get(name, 0)
        self.placed[name] = number + 1
        return number


@dataclass(frozen=True)
class Bucket:
    """A token bucket that lets no more than its limit pass in any span of time."""

    name: str
    depth: float
    per_s: float


def buckets(rate: Rate | None) -> tuple[Bucket, ...]:
    """What is asked at each hand-over: one bucket for each limit."""
    if rate is None:
        return ()
    limits = (("minute", rate.per_minute, 60), ("hour", rate.per_hour, 3600))
    return tuple(_bucket(name, limit, span_s) for name, limit, span_s in limits if limit is not None)


def _bucket(name: str, limit: int, span_s: int) -> Bucket:
    """Two seconds' worth deep, and so much slower that depth and refill together make the limit: a bucket of one
    token needs no such reserve, because two of its tokens are never closer than they may be."""
    depth = max(1.0, float(limit * 2 // span_s))
    return Bucket(name, depth, limit / span_s if depth == 1.0 else (limit - depth) / span_s)
