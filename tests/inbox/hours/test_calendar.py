"""Business hours as laws over any week, zone and night on which clocks change; and days that are known."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.wallclock import WEEKDAYS
from inbox.hours.calendar import Calendar
from inbox.hours.models import HoursInput, clock_of

ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "Asia/Shanghai", "America/Havana", "Pacific/Apia", "UTC")
#: Around the nights on which clocks change, or a day is left out, in one of those zones.
EDGES = (
    datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC), datetime(2011, 12, 30, tzinfo=UTC), datetime(2025, 2, 4, tzinfo=UTC),
)  # fmt: skip


def hours(zone: str = "UTC", **more: Any) -> HoursInput:
    """Some business hours."""
    return HoursInput.model_validate({"name": "x", "zone": zone, **more})


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@st.composite
def spans(draw: st.DrawFn) -> list[tuple[str, str]]:
    edges = sorted(draw(st.sets(st.integers(0, 96).map(lambda each: each * 15), max_size=6)))
    return [(clock_of(a), clock_of(b)) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    edge = draw(st.sampled_from(EDGES)).date()
    days = draw(st.sets(st.integers(-3, 3), max_size=3))
    return Calendar(hours(
        draw(st.sampled_from(ZONES)), week={day: draw(spans()) for day in WEEKDAYS},
        holidays=draw(st.sampled_from([None, {"country": "CN"}, {"country": "DE", "subdivision": "BY"}])),
        special=[{"date": edge + timedelta(days=each), "spans": draw(spans())} for each in days],
    ))  # fmt: skip


moments = st.builds(
    lambda edge, minutes, ms: edge + timedelta(minutes=minutes, milliseconds=ms),
    st.sampled_from(EDGES), st.integers(-10_000, 10_000), st.integers(0, 59_999),
)  # fmt: skip
lengths = st.integers(0, 100_000_000).map(lambda ms: timedelta(milliseconds=ms))


@given(calendars(), moments, lengths, lengths)
def test_open_time_adds_up(calendar: Calendar, start: datetime, one: timedelta, two: timedelta) -> None:
    middle, end = start + one, start + one + two
    assert calendar.worked(start, end) == calendar.worked(start, middle) + calendar.worked(middle, end)
    assert timedelta() <= calendar.worked(start, end) <= end - start


@given(calendars(), moments, lengths)
def test_what_was_added_was_worked(calendar: Calendar, start: datetime, length: timedelta) -> None:
    end = calendar.add(start, length)
    if end is None:
        assert calendar.opens_at(start) is None or calendar.worked(start, start + timedelta(days=400)) < length
    else:
        assert end >= start and calendar.worked(start, end) == length
        assert length == timedelta() or calendar.worked(start, end - timedelta(milliseconds=1)) < length


@given(calendars(), moments, lengths, lengths)
def test_more_work_ends_no_earlier(calendar: Calendar, start: datetime, one: timedelta, two: timedelta) -> None:
    first, second = calendar.add(start, min(one, two)), calendar.add(start, max(one, two))
    assert second is None or (first is not None and first <= second)


@given(calendars(), moments)
def test_it_opens_when_it_says(calendar: Calendar, now: datetime) -> None:
    opens_at = calendar.opens_at(now)
    assert calendar.is_open(now) == (opens_at == now) == (calendar.closes_at(now) is not None)
    if opens_at is not None:
        assert calendar.is_open(opens_at)
        assert calendar.worked(now, opens_at) == timedelta()


@given(calendars(), moments, lengths)
def test_open_times_are_apart_and_in_order(calendar: Calendar, start: datetime, length: timedelta) -> None:
    found = list(calendar.between(start, start + length))
    edges = [edge for each in found for edge in (each.opens_at, each.closes_at)]
    assert edges == sorted(set(edges)) and all(start <= each <= start + length for each in edges)


@pytest.mark.parametrize(
    ("zone", "day", "open_h"),
    [
        ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5), ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Asia/Shanghai", "2026-03-29", 24), ("Pacific/Apia", "2011-12-30", 0),
    ],
)  # fmt: skip
def test_a_day_is_as_long_as_its_clocks_say(zone: str, day: str, open_h: float) -> None:
    always = Calendar(hours(zone, week={each: [["00:00", "24:00"]] for each in WEEKDAYS}))
    lengths = [each.closes_at - each.opens_at for each in always.spans(date.fromisoformat(day))]
    assert sum(lengths, timedelta()) == timedelta(hours=open_h)
    assert len(list(always.between(at("2026-03-01"), at("2026-11-01")))) == 1


def test_split_shifts_and_nights() -> None:
    shop = Calendar(hours("Europe/Berlin", week={
        "mon": [["13:30", "18:00"], ["09:00", "12:30"]], "fri": [["22:00", "24:00"]], "sat": [["00:00", "02:00"]],
    }))  # fmt: skip
    assert shop.add(at("2026-06-01T10:00"), timedelta(hours=1)) == at("2026-06-01T12:00"), "over the break at noon"
    assert shop.opens_at(at("2026-06-01T10:30")) == at("2026-06-01T11:30")
    assert shop.closes_at(at("2026-06-05T21:00")) == at("2026-06-06T00:00"), "past midnight as one"


def test_holidays_special_days_and_swapped_workdays() -> None:
    week = {day: [["09:00", "18:00"]] for day in WEEKDAYS[:5]}
    china = Calendar(hours("Asia/Shanghai", week=week, holidays={"country": "CN"}))
    assert china.plan(date(2025, 10, 1)).why == "holiday" and not china.spans(date(2025, 10, 1))
    assert china.plan(date(2025, 9, 28)).why == "workday" and china.is_open(at("2025-09-28T02:00")), "a Sunday"
    assert not china.spans(date(2025, 9, 21))
    assert china.holidays(2025, "zh_CN").days[date(2025, 10, 1)] == "国庆节"
    bavaria = {"country": "DE", "subdivision": "BY", "open_on": ["2026-05-01"]}
    special = [{"date": "2026-01-06", "spans": [["10:00", "11:00"]], "name": "Sale"}, {"date": "2026-01-07"}]
    shop = Calendar(hours("Europe/Berlin", week=week, holidays=bavaria, special=special))
    assert [shop.plan(date(2026, 1, n)).why for n in (1, 5, 6, 7)] == ["holiday", "week", "special", "special"]
    assert shop.spans(date(2026, 1, 6)) and not shop.spans(date(2026, 1, 7)) and shop.spans(date(2026, 5, 1))
    assert shop.plan(date(2026, 6, 4)).name == "Corpus Christi"


def test_who_is_never_there_is_not_waited_for() -> None:
    never = Calendar(hours(special=[{"date": "2026-06-01"}]))
    assert never.opens_at(at("2026-01-01")) is None and never.add(at("2026-01-01"), timedelta(seconds=1)) is None
    once = Calendar(hours(special=[{"date": "2026-06-01", "spans": [["09:00", "10:00"]]}]))
    assert once.opens_at(at("2026-01-01")) == at("2026-06-01T09:00") and once.opens_at(at("2026-07-01")) is None
    with pytest.raises(ValueError, match="forwards"):
        once.add(at("2026-01-01"), timedelta(seconds=-1))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"week": {"mon": [["09:00", "12:00"], ["11:00", "13:00"]]}}, "overlaps"),
        ({"week": {"mon": [["22:00", "06:00"]]}}, "until 24:00 and on the next day"),
        ({"week": {"mon": [["9:00", "10:00"]]}}, "no time of day"), ({"zone": "Mars/Base"}, "no time zone"),
        ({"holidays": {"country": "ZZ"}}, "special days"),
        ({"holidays": {"country": "DE", "subdivision": "XX"}}, "one of BB, BE"),
        ({"holidays": {"country": "CN", "subdivision": "XX"}}, "it takes none"),
        ({"special": [{"date": "2026-01-01"}, {"date": "2026-01-01"}]}, "twice"),
        ({"special": [{"date": "9999-12-31"}]}, "1970 to 2199"),
    ],
)  # fmt: skip
def test_a_fault_says_what_to_do(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        hours(**{"zone": "UTC", **fields})
