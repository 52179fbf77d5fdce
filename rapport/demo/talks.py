"""What the people of the demo have talked about, and when: weeks with their Mondays and Sundays, days with their hours,
colleagues who are quick or thorough. Pure and seeded: the same person on the same day always has the same past."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.wallclock import at_clock
from rapport.demo import cast

#: Where the shop is, and by whose clock its people sleep.
ZONE = ZoneInfo("Europe/Amsterdam")
#: How far back anything goes, and since when, days ago, there has been a Tuesday with a newsletter and many questions.
DAYS, BUSY_AGE = 120, 14
#: What was asked within these hours may still be open, for the newcomer to answer.
FRESH = timedelta(hours=20)
#: When people write, by the clock: (hours, weight).
_DAYTIME = ((8, 2), (9, 5), (10, 7), (11, 7), (12, 5), (13, 4), (14, 5), (15, 5), (16, 4), (17, 3))
_EVENING = ((7, 1), (9, 2), (12, 4), (13, 3), (17, 3), (18, 5), (19, 7), (20, 8), (21, 6), (22, 3), (23, 1))
#: How likely a question of a Monday to Sunday comes on that day after all.
_WEEK = (1.0, 0.85, 0.8, 0.8, 0.75, 0.45, 0.35)
#: Of each colleague: share of the work, minutes to an answer as a rule, marks from 1 to 5 by weight.
_COLLEAGUES = ((5, 11.0, (0, 1, 2, 9, 22)), (3, 19.0, (0, 1, 3, 8, 16)), (2, 43.0, (2, 2, 5, 9, 9)))
_OPENS, _CLOSES = 9, 17


@dataclass(frozen=True)
class Exchange:
    """What somebody asked and what a colleague answered."""

    asked_at: datetime
    question: str
    answered_at: datetime | None
    answer: str
    thanks: str | None

    @property
    def last_at(self) -> datetime:
        """When the last of it was said."""
        if self.answered_at is None:
            return self.asked_at
        return self.answered_at + timedelta(minutes=4) if self.thanks else self.answered_at


@dataclass(frozen=True)
class Mark:
    """What somebody thought of it afterwards: 1 to 5, or as `nps` 0 to 10."""

    at: datetime
    score: int
    nps: bool


@dataclass(frozen=True)
class Talk:
    """One conversation. `colleague`: the number of who had it; `closed_at` None: it is still open; `again`: what came
    after it had been closed, and when that was closed."""

    channel: cast.Channel
    exchanges: tuple[Exchange, ...]
    colleague: int
    label: str
    closed_at: datetime | None
    mark: Mark | None = None
    again: tuple[Exchange, datetime] | None = None


def talks(one: cast.Person, now: datetime) -> list[Talk]:
    """The person's past conversations, one on a channel, the oldest first."""
    dice = random.Random(one.number * 7 + 1)
    channels = [one.channels[0], *(each for each in one.channels[1:] if dice.random() < 0.6)]
    return sorted((_talk(dice, one, each, now) for each in channels), key=lambda each: each.exchanges[0].asked_at)


def _talk(dice: random.Random, one: cast.Person, channel: cast.Channel, now: datetime) -> Talk:
    colleague = dice.choices((0, 1, 2), [share for share, _, _ in _COLLEAGUES])[0]
    colleague = 1 if one.language == "zh" and dice.random() < 0.7 else colleague
    found, asked, label = [], _moment(dice, channel, now), ""
    for _ in range(dice.choice((1, 1, 1, 1, 2, 2, 3))):
        exchange, topic = _exchange(dice, one, colleague, asked, now)
        found.append(exchange)
        label = label or topic
        asked = exchange.last_at + timedelta(minutes=dice.lognormvariate(math.log(90), 1.0))
        if exchange.answered_at is None or asked > now - timedelta(minutes=5):
            break
    closed = found[-1].last_at + timedelta(minutes=dice.lognormvariate(math.log(240), 1.2))
    if now - found[-1].asked_at <= FRESH:
        return Talk(channel, tuple(found), colleague, label, None)
    # What would be closed tomorrow was closed some time since yesterday: nothing old is left open.
    some_time = max(found[-1].last_at + timedelta(minutes=2), now - timedelta(minutes=dice.uniform(5, 1200)))
    closed = closed if closed < now else some_time
    mark = _mark(dice, colleague, closed, now) if dice.random() < 0.27 else None
    return Talk(channel, tuple(found), colleague, label, closed, mark, _again(dice, one, colleague, closed, now))


def _exchange(
    dice: random.Random, one: cast.Person, colleague: int, asked: datetime, now: datetime
) -> tuple[Exchange, str]:  # fmt: skip
    question, answer, topic = dice.choice(cast.lines_of(one))
    answered: datetime | None = _answered(dice, colleague, asked)
    fresh = now - asked <= FRESH
    if answered is not None and (answered > now - timedelta(minutes=5) or (fresh and dice.random() < 0.6)):
        answered = None if fresh else now - timedelta(hours=1)
    thanks = cast.thanks(one, dice) if answered is not None and dice.random() < 0.5 else None
    return Exchange(asked, question, answered, answer, thanks), topic


def _again(
    dice: random.Random, one: cast.Person, colleague: int, closed: datetime, now: datetime
) -> tuple[Exchange, datetime] | None:  # fmt: skip
    """Some come back with the same matter after a day or two."""
    asked = closed + timedelta(hours=dice.uniform(8, 60))
    if dice.random() > 0.09 or asked > now - timedelta(days=4):
        return None
    exchange, _ = _exchange(dice, one, colleague, asked, now)
    return exchange, exchange.last_at + timedelta(minutes=dice.uniform(20, 400))


def _mark(dice: random.Random, colleague: int, closed: datetime, now: datetime) -> Mark | None:
    at = closed + timedelta(minutes=dice.uniform(3, 200))
    if at > now:
        return None
    if dice.random() < 0.3:
        return Mark(at, dice.choices(range(11), (1, 0, 1, 1, 1, 2, 3, 6, 10, 14, 15))[0], nps=True)
    return Mark(at, dice.choices(range(1, 6), _COLLEAGUES[colleague][2])[0], nps=False)


def _moment(dice: random.Random, channel: cast.Channel, now: datetime) -> datetime:
    """When somebody wrote: more of late than long ago, fewer at weekends, by mail in the office, by chat in the
    evening."""
    hours = _DAYTIME if channel == "email" or dice.random() < 0.45 else _EVENING
    while True:
        age = min(dice.uniform(0, 95) if dice.random() < 0.6 else dice.expovariate(1 / 13), DAYS)
        day = (now - timedelta(days=age)).astimezone(ZONE).date()
        day = _busy_day(now) if dice.random() < 0.03 else day
        if dice.random() < _WEEK[day.weekday()]:
            break
    hour = dice.choices([each for each, _ in hours], [weight for _, weight in hours])[0]
    at = at_clock(day, time(hour, dice.randrange(60)), ZONE) + timedelta(seconds=dice.randrange(60))
    if at > now - timedelta(minutes=5):
        at = now - timedelta(minutes=dice.uniform(5, 600))
    return _utc(at)


def _busy_day(now: datetime) -> date:
    day = (now - timedelta(days=BUSY_AGE)).astimezone(ZONE).date()
    return day - timedelta(days=(day.weekday() - 1) % 7)


def _answered(dice: random.Random, colleague: int, asked: datetime) -> datetime:
    took = timedelta(minutes=dice.lognormvariate(math.log(_COLLEAGUES[colleague][1]), 0.8))
    return _utc(_at_work(asked) + took)


def _at_work(at: datetime) -> datetime:
    """From when on somebody is there."""
    local = at.astimezone(ZONE)
    if is_open(at):
        return at
    day = local.date() if local.hour < _OPENS else local.date() + timedelta(days=1)
    while day.weekday() > 4:
        day += timedelta(days=1)
    return _opening(day)


def is_open(at: datetime) -> bool:
    """Whether the shop's people are at work."""
    local = at.astimezone(ZONE)
    return local.weekday() < 5 and _OPENS <= local.hour < _CLOSES


def _opening(day: date) -> datetime:
    return at_clock(day, time(_OPENS), ZONE)


def _utc(at: datetime) -> datetime:
    return at.astimezone(ZoneInfo("UTC")).replace(microsecond=0)
