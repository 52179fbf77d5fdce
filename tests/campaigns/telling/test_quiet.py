"""When nobody is disturbed, over the nights on which clocks change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.wallclock import WEEKDAYS
from campaigns.telling.models import TellingChoice
from campaigns.telling.quiet import quiet_until

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ("Europe/Berlin", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe")


def choice(**quiet: Any) -> TellingChoice:
    return TellingChoice.model_validate({"quiet": quiet})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        ({}, "2026-11-27T03:00", None),
        ({"from": "20:00", "to": "08:00"}, "2026-11-27T12:00", None),
        ({"from": "20:00", "to": "08:00"}, "2026-11-27T20:00", "2026-11-28T08:00"),
        ({"from": "20:00", "to": "08:00"}, "2026-11-28T07:59", "2026-11-28T08:00"),
        ({"from": "20:00", "to": "08:00"}, "2026-11-28T08:00", None),
        ({"from": "12:00", "to": "13:00"}, "2026-11-28T12:30", "2026-11-28T13:00"),
        # Friday night runs into a quiet weekend, and that into the night to Monday.
        ({"from": "20:00", "to": "08:00", "days": ["sat", "sun"]}, "2026-11-27T21:00", "2026-11-30T08:00"),
        ({"days": ["sat"]}, "2026-11-28T10:00", "2026-11-29T00:00"),
        # Clocks go back on the last Sunday of October, and forward on that of March.
        ({"from": "20:00", "to": "08:00"}, "2026-10-24T22:00", "2026-10-25T08:00"),
        ({"from": "20:00", "to": "02:30"}, "2026-03-28T22:00", "2026-03-29T03:00"),
    ],
)
def test_quiet_ends_in_the_morning(quiet: dict[str, Any], now: str, until: str | None) -> None:
    assert quiet_until(choice(**quiet), BERLIN, at(now)) == (at(until) if until else None)


def test_a_pause_runs_into_the_night() -> None:
    paused = TellingChoice.model_validate(
        {"quiet": {"from": "20:00", "to": "08:00"}, "paused_until": at("2026-11-27T21:00")}
    )
    assert quiet_until(paused, BERLIN, at("2026-11-27T12:00")) == at("2026-11-28T08:00")
    assert quiet_until(paused, BERLIN, at("2026-11-28T09:00")) is None


@given(
    st.sampled_from(ZONES), st.integers(0, 366 * 24 * 60), st.sets(st.sampled_from(WEEKDAYS), max_size=6),
    st.tuples(st.integers(0, 23), st.integers(0, 23)).filter(lambda each: each[0] != each[1]),
)  # fmt: skip
def test_when_it_ends_it_is_not_quiet(zone: str, minute: int, days: set[str], hours: tuple[int, int]) -> None:
    chosen = choice(**{"from": f"{hours[0]:02}:00", "to": f"{hours[1]:02}:00", "days": sorted(days)})
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    until = quiet_until(chosen, ZoneInfo(zone), now)
    if until is not None:
        assert now < until <= now + timedelta(days=8)
        assert quiet_until(chosen, ZoneInfo(zone), until) is None
        middle = now + (until - now) / 2
        assert quiet_until(chosen, ZoneInfo(zone), middle) == until


@pytest.mark.parametrize(
    "quiet",
    [{"from": "20:00"}, {"from": "8", "to": "9"}, {"from": "09:00", "to": "09:00"}, {"days": list(WEEKDAYS)},
     {"days": ["someday"]}, {"until": "x"}],
)  # fmt: skip
def test_quiet_that_makes_no_sense_is_refused(quiet: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        choice(**quiet)
