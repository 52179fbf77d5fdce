"""Clock times, gaps, folds and calendar durations, over zones and both days of a clock change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.wallclock import (
    WEEKDAYS,
    Clock24,
    Duration,
    at_clock,
    instant,
    known_zone,
    next_clock,
    next_open,
    window_end,
    zone_or,
)


def wall(year: int, month: int = 1, day: int = 1, *clock: int) -> datetime:
    """What a clock on the wall shows: a time without a zone, on purpose."""
    return datetime(year, month, day, *clock)  # noqa: DTZ001


#: Usual and southern, a shift of half an hour (Lord Howe), one at midnight (Santiago), a skipped day (Apia), odd ones.
ZONES = [
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Beirut", "Pacific/Apia",
    "Asia/Tokyo", "Asia/Shanghai", "Asia/Kathmandu", "Pacific/Chatham", "Africa/Casablanca", "Europe/Dublin",
    "America/St_Johns", "Antarctica/Troll", "Asia/Gaza", "UTC", "Pacific/Kiritimati", "America/Sao_Paulo",
]  # fmt: skip
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(wall(2009), wall(2040)).map(lambda value: value.replace(microsecond=0, tzinfo=UTC))
clocks = st.times().map(lambda value: value.replace(microsecond=0))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("zone", "local", "expected"),
    [
        ("America/New_York", wall(2026, 3, 8, 2, 30), utc(2026, 3, 8, 7, 0)),  # gap: 03:00 EDT
        ("America/New_York", wall(2026, 11, 1, 1, 30), utc(2026, 11, 1, 5, 30)),  # fold: the first 01:30
        ("Europe/Berlin", wall(2026, 3, 29, 2, 0), utc(2026, 3, 29, 1, 0)),
        ("Europe/Berlin", wall(2026, 10, 25, 2, 59, 59), utc(2026, 10, 25, 0, 59, 59)),
        ("Australia/Lord_Howe", wall(2026, 10, 4, 2, 10), utc(2026, 10, 3, 15, 30)),
        ("Australia/Lord_Howe", wall(2026, 4, 5, 1, 45), utc(2026, 4, 4, 14, 45)),
        ("Pacific/Apia", wall(2011, 12, 30, 9, 0), utc(2011, 12, 30, 10, 0)),  # a day that never was
        ("Asia/Kathmandu", wall(2026, 1, 1, 5, 45), utc(2026, 1, 1, 0, 0)),
    ],
)
def test_a_local_time_is_the_first_valid_instant(zone: str, local: datetime, expected: datetime) -> None:
    assert instant(local, ZoneInfo(zone)) == expected


@given(moments, zones)
@settings(max_examples=150, deadline=None)
def test_an_instant_comes_back_from_its_own_clock_or_is_its_earlier_twin(moment: datetime, zone: ZoneInfo) -> None:
    local = moment.astimezone(zone).replace(tzinfo=None)
    back = instant(local, zone)
    assert back <= moment
    assert back.astimezone(zone).replace(tzinfo=None) == local


@given(st.datetimes(wall(2009), wall(2040)), zones)
@settings(max_examples=150, deadline=None)
def test_in_a_gap_nothing_valid_lies_between(local: datetime, zone: ZoneInfo) -> None:
    local = local.replace(microsecond=0)
    found = instant(local, zone)
    shown = found.astimezone(zone).replace(tzinfo=None)
    assert shown >= local
    if shown != local:  # a gap: one second earlier the clock had not come to `local` yet
        before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        assert before < local


@given(moments, clocks, zones, st.sets(st.sampled_from(WEEKDAYS), max_size=3))
@settings(max_examples=150, deadline=None)
def test_the_next_clock_time_is_due_once_and_not_before_now(
    now: datetime, clock: time, zone: ZoneInfo, days: set[str]
) -> None:
    due = next_clock(now, clock, zone, tuple(days))
    assert now <= due <= now + timedelta(days=15)
    shown = due.astimezone(zone)
    if shown.time().replace(tzinfo=None) == clock:
        assert not days or WEEKDAYS[shown.weekday()] in days
    again = next_clock(due + timedelta(seconds=1), clock, zone, tuple(days))
    assert again - due > timedelta(hours=20) or shown.time() != clock  # never twice on one day, folds included


@given(moments, clocks, clocks, zones, st.sets(st.sampled_from(WEEKDAYS), max_size=3))
@settings(max_examples=150, deadline=None)
def test_a_window_is_open_now_or_opens_later(
    now: datetime, opens: time, closes: time, zone: ZoneInfo, days: set[str]
) -> None:
    at = next_open(now, opens, closes, zone, tuple(days))
    assert now <= at <= now + timedelta(days=16)
    end = window_end(at, opens, closes, zone)
    assert end is not None and end > at
    if at > now and not days:
        assert window_end(now, opens, closes, zone) is None


def test_an_overnight_window_is_not_inverted() -> None:
    """mautic: start and stop hours were swapped when start > stop."""
    berlin = ZoneInfo("Europe/Berlin")
    opens, closes = time(22), time(6)
    assert window_end(utc(2026, 6, 1, 21, 0), opens, closes, berlin) == utc(2026, 6, 2, 4, 0)  # 23:00 there
    assert window_end(utc(2026, 6, 1, 10, 0), opens, closes, berlin) is None  # noon
    assert next_open(utc(2026, 6, 1, 10, 0), opens, closes, berlin) == utc(2026, 6, 1, 20, 0)


def test_dittofeed_weekdays_are_those_of_the_person() -> None:
    """dittofeed: "Mondays 07:00 Tokyo" fired on Tuesday, because the day was taken in UTC."""
    tokyo = ZoneInfo("Asia/Tokyo")
    due = next_clock(utc(2026, 11, 20, 12), time(7), tokyo, ("mon",))
    assert due.astimezone(tokyo) == datetime(2026, 11, 23, 7, tzinfo=tokyo)
    assert due == utc(2026, 11, 22, 22)


def test_dittofeed_nine_in_berlin_stays_nine_on_the_change_day() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    due = next_clock(utc(2026, 3, 28, 12), time(9), berlin)
    assert due.astimezone(berlin).hour == 9 and due == utc(2026, 3, 29, 7)


@pytest.mark.parametrize(
    ("text", "start", "zone", "expected"),
    [
        ("P1D", utc(2026, 3, 7, 14, 0), "America/New_York", utc(2026, 3, 8, 13, 0)),  # 09:00 stays 09:00: 23 hours
        ("PT24H", utc(2026, 3, 7, 14, 0), "America/New_York", utc(2026, 3, 8, 14, 0)),
        ("P1D", utc(2026, 10, 31, 13, 0), "America/New_York", utc(2026, 11, 1, 14, 0)),
        ("P1M", utc(2026, 1, 31, 12, 0), "UTC", utc(2026, 2, 28, 12, 0)),
        ("P1Y", utc(2024, 2, 29, 12, 0), "UTC", utc(2025, 2, 28, 12, 0)),
        ("P1DT2H", utc(2026, 3, 7, 14, 0), "America/New_York", utc(2026, 3, 8, 15, 0)),
        ("-P3D", utc(2026, 3, 31, 12, 0), "Europe/Berlin", utc(2026, 3, 28, 13, 0)),
        ("P2W", utc(2026, 1, 1), "UTC", utc(2026, 1, 15)),
        ("PT0.5S", utc(2026, 1, 1), "UTC", utc(2026, 1, 1) + timedelta(milliseconds=500)),
        ("PT2H", utc(2026, 11, 1, 6, 30), "America/New_York", utc(2026, 11, 1, 8, 30)),  # begun in the second 01:30
    ],
)
def test_days_are_calendar_days_and_hours_elapse(text: str, start: datetime, zone: str, expected: datetime) -> None:
    assert Duration.parse(text).after(start, ZoneInfo(zone)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "3D",
        "P3",
        "PT3",
        "P1H",
        "P-1D",
        "P1.5D",
        "P11Y",
        "PT1S ; drop",
        "P9999999D",
        "P1D" * 30,
        "٣",
        "P٣D",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|ten years"):
        Duration.parse(text)


@given(moments, zones, st.integers(0, 3000), st.integers(0, 100_000))
@settings(max_examples=100, deadline=None)
def test_a_duration_never_goes_back(start: datetime, zone: ZoneInfo, days: int, seconds: int) -> None:
    due = Duration.parse(f"P{days}DT{seconds}S").after(start, zone)
    rough = timedelta(days=days, seconds=seconds)
    assert abs((due - start) - rough) <= timedelta(hours=27)
    assert due >= start + timedelta(seconds=seconds) - timedelta(hours=2) if days else due == start + rough


def test_far_dates_do_not_break() -> None:
    far = Duration.parse("P10Y").after(utc(9985, 1, 1), ZoneInfo("Asia/Tokyo"))
    assert far.year == 9990


@pytest.mark.parametrize(
    "name", ["Mars/Base", "../../etc/passwd", "", "America", "x" * 200, "Europe/Bérlin", "/etc/localtime"]
)
def test_parcelvoy_610_an_unknown_zone_falls_back_with_a_warning(name: str) -> None:
    """parcelvoy#610: a few invalid zone names stopped 600,000 recipients being queued."""
    assert known_zone(name) is None
    assert zone_or(name, "Europe/Berlin") == (ZoneInfo("Europe/Berlin"), bool(name))
    assert zone_or(name, "also wrong")[0] == ZoneInfo("UTC")


def test_clock_times() -> None:
    assert Clock24.parse("09:05").at == time(9, 5)
    for wrong in ("9:00", "24:00", "12:60", "noon", "", "12:00:61"):
        with pytest.raises(ValueError, match="time of day"):
            Clock24.parse(wrong)
    assert at_clock(date(2026, 3, 8), time(2, 30), ZoneInfo("America/New_York")) == utc(2026, 3, 8, 7)
