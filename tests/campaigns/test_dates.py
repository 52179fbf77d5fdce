"""When a date that we know of somebody comes: all zones, both days on which clocks change, leap days."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from campaigns.dates import day_in, occasion, read_date
from campaigns.definition import must_read
from campaigns.models import DateTrigger
from campaigns.wallclock import at_clock

ZONES = sorted(available_timezones())
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def trigger(**more: Any) -> DateTrigger:
    spec = {"type": "date", "field": "attributes.birthday", **more}
    found = must_read({"name": "x", "trigger": spec, "steps": [{"id": "e", "type": "exit"}]}).trigger
    assert isinstance(found, DateTrigger)
    return found


def person(value: Any, zone: str | None = "Europe/Berlin", **more: Any) -> dict[str, Any]:
    return {"_id": "prf_1", "attributes": {"birthday": value}, "time_zone": zone, **more}


def comes(value: Any, *, zone: str | None = "Europe/Berlin", now: datetime = NOW, **spec: Any) -> str | None:
    found = occasion(trigger(**spec), person(value, zone), "Europe/Berlin", now)
    return f"{found.due_at:%Y-%m-%dT%H:%M:%S} {found.key}" if found else None


@pytest.mark.parametrize(
    ("value", "spec", "due"),
    [
        ("1990-12-05", {"yearly": True, "at": "10:00"}, "2026-12-05T09:00:00 1990-12-05:2026"),
        ("1990-11-28", {"yearly": True, "at": "12:59"}, "2027-11-28T11:59:00 1990-11-28:2027"),  # a minute ago
        ("1990-12-05", {"yearly": True, "offset": "-P7D"}, "2026-11-28T08:00:00 1990-12-05:2026"),
        ("1990-12-05", {"yearly": True, "offset": "P1MT2H"}, "2027-01-05T10:00:00 1990-12-05:2026"),
        ("--12-05", {"yearly": True}, "2026-12-05T08:00:00 --12-05:2026"),
        ("12-05", {"yearly": True}, "2026-12-05T08:00:00 --12-05:2026"),
        ("--12-05", {}, None),  # a day without a year comes every year or not at all
        ("2026-12-01", {}, "2026-12-01T08:00:00 2026-12-01:2026"),
        ("2026-11-27", {}, None),
        ("2027-05-01", {"yearly": True}, "2027-05-01T07:00:00 2027-05-01:2027"),  # a day to come is the first one
        ("2026-11-28T11:00:00Z", {"offset": "PT2H"}, "2026-11-28T13:00:00 2026-11-28T11:00:00.000+00:00:2026"),
        ("2026-11-28T15:00:00", {}, "2026-11-28T14:00:00 2026-11-28T15:00:00.000:2026"),  # by the person's own clock
        (datetime(1990, 12, 5, tzinfo=UTC), {"yearly": True}, "2026-12-05T08:00:00 1990-12-05:2026"),
        ("1990-12-05T00:00:00Z", {"yearly": True}, "2026-12-05T08:00:00 1990-12-05:2026"),
        (None, {}, None), ("soon", {}, None), (7, {}, None), (["1990-12-05"], {"yearly": True}, None),
        ({"a": 1}, {}, None), (True, {}, None), ("0001-01-01", {"yearly": True}, None), ("9999-12-31", {}, None),
        ("2026-02-30", {}, None), ("", {}, None),
    ],
)  # fmt: skip
def test_when_it_comes(value: Any, spec: dict[str, Any], due: str | None) -> None:
    if spec.get("offset") == "-P7D":
        assert comes(value, now=NOW - timedelta(hours=12), **spec) == due
    else:
        assert comes(value, **spec) == due


@pytest.mark.parametrize(
    ("now", "day"),
    [(datetime(2026, 1, 1, tzinfo=UTC), "2026-02-28"), (datetime(2028, 1, 1, tzinfo=UTC), "2028-02-29"),
     (datetime(2027, 3, 1, tzinfo=UTC), "2028-02-29"), (datetime(2100, 1, 1, tzinfo=UTC), "2100-02-28")],
)  # fmt: skip
def test_the_29th_of_february_is_kept_on_the_28th(now: datetime, day: str) -> None:
    assert str(comes("1992-02-29", now=now, yearly=True)).startswith(f"{day}T08:00:00")
    assert str(comes("--02-29", now=now, yearly=True)).startswith(f"{day}T08:00:00")


def test_parcelvoy_610_an_unknown_zone_is_the_deployments_own_and_is_told() -> None:
    """A few invalid zone names stopped 600,000 recipients being queued."""
    for name in ("Mars/Phobos", "", "../etc/passwd", "Europe", "\x00", "CET+1"):
        found = occasion(trigger(), person("2026-12-01", name), "Europe/Berlin", NOW)
        assert found is not None and found.due_at == datetime(2026, 12, 1, 8, tzinfo=UTC), name
        assert found.unknown_zone == (name[:60] or None)
    found = occasion(trigger(zone="Asia/Tokyo"), person("2026-12-01", "Mars"), "Europe/Berlin", NOW)
    assert found is not None and found.unknown_zone is None and found.due_at == datetime(2026, 12, 1, tzinfo=UTC)
    found = occasion(trigger(), {"attributes": {"birthday": "2026-12-01"}, "time_zone": 7}, "Nowhere", NOW)
    assert found is not None and found.due_at == datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_what_we_noted_ourselves_has_its_first_anniversary_a_year_later() -> None:
    joined = {"created_at": datetime(2026, 11, 28, 11, tzinfo=UTC), "time_zone": "UTC"}
    yearly = trigger(field="created_at", yearly=True, at="23:00")
    found = occasion(yearly, joined, "UTC", NOW)
    assert found is not None and found.due_at == datetime(2027, 11, 28, 23, tzinfo=UTC)
    week = occasion(trigger(field="created_at", offset="P7D"), joined, "UTC", NOW)
    assert week is not None and week.due_at == datetime(2026, 12, 5, 11, tzinfo=UTC)


@pytest.mark.parametrize("field", ["orders.last_at", "created_at", "traits.next_order_at", "tier_since"])
def test_fields_of_ours_hold_dates_too(field: str) -> None:
    head, _, key = field.partition(".")
    at = datetime(2026, 12, 1, tzinfo=UTC)  # midnight UTC: of ours it is a moment, not a day
    document = {head: {key: at} if key else at, "time_zone": "America/New_York"}
    found = occasion(trigger(field=field), document, "UTC", NOW)
    assert found is not None and found.due_at == at


def test_in_the_hour_that_a_clock_change_skips_and_in_the_one_it_repeats() -> None:
    skipped = comes("2027-03-28", at="02:30")
    assert skipped is not None and skipped.startswith("2027-03-28T01:00:00")
    repeated = comes("2026-10-25", at="02:30", now=datetime(2026, 1, 1, tzinfo=UTC))
    assert repeated is not None and repeated.startswith("2026-10-25T00:30:00")
    by_offset = comes("2027-03-21", at="02:30", offset="P7D")
    assert by_offset is not None and by_offset.startswith("2027-03-28T01:00:00")
    from_a_skipped_one = comes("2027-03-28", at="02:30", offset="P1D")  # the day after has half past two again
    assert from_a_skipped_one is not None and from_a_skipped_one.startswith("2027-03-29T00:30:00")


days = st.dates(date(1900, 1, 1), date(2100, 12, 31))
clocks = st.times().map(lambda each: f"{each:%H:%M}")
instants = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=400, deadline=None)
@example(day=date(1992, 2, 29), zone="Pacific/Apia", clock="23:30", now=datetime(2011, 12, 29, 12, tzinfo=UTC))
@example(day=date(1990, 3, 29), zone="Europe/Berlin", clock="02:30", now=datetime(2026, 3, 28, tzinfo=UTC))
@given(day=days, zone=st.sampled_from(ZONES), clock=clocks, now=instants)
def test_in_every_zone_a_birthday_comes_once_a_year_on_its_day(
    day: date, zone: str, clock: str, now: datetime
) -> None:  # fmt: skip
    place, spec = ZoneInfo(zone), trigger(yearly=True, at=clock)
    found = occasion(spec, person(day.isoformat(), zone), "UTC", now)
    if found is None:  # nobody was born in the future and had birthdays already
        assert day.year > now.year + 1 or day.year >= 2090
        return
    assert found.due_at >= now and (found.due_at - now < timedelta(days=367 + 366) or day.year > now.year)
    year = int(found.key.rpartition(":")[2])
    assert found.due_at == at_clock(day_in(year, day.month, day.day), time.fromisoformat(clock), place)
    again = occasion(spec, person(day.isoformat(), zone), "UTC", found.due_at + timedelta(milliseconds=1))
    assert again is not None and again.key == f"{day.isoformat()}:{year + 1}" and again.due_at > found.due_at
    # nothing in between was passed over
    before = at_clock(day_in(year - 1, day.month, day.day), time.fromisoformat(clock), place)
    assert before < now or year == day.year


@settings(max_examples=300, deadline=None)
@given(
    value=st.none() | st.text(max_size=30) | st.integers() | days.map(str) | instants.map(str) | instants | days
    | st.datetimes().map(lambda each: each.isoformat()) | st.lists(st.integers(), max_size=2),
    zone=st.none() | st.sampled_from(ZONES) | st.text(max_size=10), yearly=st.booleans(),
    offset=st.none() | st.sampled_from(["P3650D", "-P3650D", "PT1S", "P119M", "-P1Y"]), now=instants,
)  # fmt: skip
def test_whatever_stands_there_never_breaks_and_never_lies_before(
    value: Any, zone: str | None, yearly: bool, offset: str | None, now: datetime
) -> None:
    spec = trigger(yearly=yearly, **({"offset": offset} if offset else {}))
    found = occasion(spec, person(value, zone), "Europe/Berlin", now)
    assert found is None or (found.due_at >= now and found.due_at.tzinfo is not None)
    read_date(value, ZoneInfo("UTC"))
