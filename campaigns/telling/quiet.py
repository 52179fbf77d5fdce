"""When somebody is not to be disturbed. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from base.wallclock import WEEKDAYS, at_clock
from campaigns.telling.models import Nearness, Quiet, TellingChoice
from campaigns.wallclock import Clock24, window_end

#: Turns of looking: a quiet day, the night after it, the next quiet day … a week has no more.
_TURNS = 20
#: After so long it is asked again whether who is away has come back; of what has waited for `LONG` less often.
SOON, LATER, LONG = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)


def quiet_until(choice: TellingChoice, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When the quiet ends in which `now` lies; None: it is not quiet."""
    at = now
    for _ in range(_TURNS):
        after = _ends(choice, zone, at)
        if after is None:
            break
        at = after
    return at if at > now else None


def rests(choice: TellingChoice, nearness: Nearness) -> bool:
    """Whether it is quiet because of where somebody is, until they come back."""
    wanted = choice.quiet.presence
    return nearness == "away" if wanted == "away" else wanted == "gone" and nearness != "here"


def look_again(since: datetime, now: datetime) -> datetime:
    """When it is asked once more whether somebody has come back: what has waited for long, less often."""
    return now + (SOON if now - since < LONG else LATER)


def _ends(choice: TellingChoice, zone: ZoneInfo, at: datetime) -> datetime | None:
    if choice.paused_until is not None and at < choice.paused_until:
        return choice.paused_until
    quiet = choice.quiet
    local = at.astimezone(zone).date()
    if WEEKDAYS[local.weekday()] in quiet.days:
        return at_clock(local + timedelta(days=1), time(), zone)
    return _night_ends(quiet, zone, at)


def _night_ends(quiet: Quiet, zone: ZoneInfo, at: datetime) -> datetime | None:
    if quiet.start is None or quiet.end is None:
        return None
    return window_end(at, Clock24.parse(quiet.start).at, Clock24.parse(quiet.end).at, zone)
