"""How often something comes again, in every zone and on both days on which clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.recurrence import FREQUENCIES, Recurrence, following
from campaigns.wallclock import at_clock

ZONES = sorted(available_timezones())
BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
NINE = time(9)
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def first(text: str, after: datetime, zone: ZoneInfo = BERLIN, clock: time = NINE, start: date | None = None) -> str:
    found = following(Recurrence.parse(text), start, clock, zone, after)
    return found.isoformat() if found else "never"


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "after", "comes"),
    [
        ("FREQ=WEEKLY;BYDAY=MO", at(2026, 11, 28), "2026-11-30T08:00:00+00:00"),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO", at(2026, 11, 30, 8), "2026-12-07T08:00:00+00:00"),
        ("freq=daily", at(2026, 11, 28, 7, 59, 59), "2026-11-28T08:00:00+00:00"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", at(2027, 2, 1), "2027-02-28T08:00:00+00:00"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", at(2026, 11, 1), "2026-11-30T08:00:00+00:00"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", at(2026, 11, 1), "2028-02-29T08:00:00+00:00"),
        ("FREQ=DAILY;BYHOUR=8,18;BYMINUTE=30", at(2026, 7, 1, 6, 31), "2026-07-01T16:30:00+00:00"),
        ("FREQ=DAILY;UNTIL=20261128", at(2026, 11, 28, 7), "2026-11-28T08:00:00+00:00"),
        ("FREQ=DAILY;UNTIL=20261128", at(2026, 11, 28, 8), "never"),
        ("FREQ=DAILY;UNTIL=20261128T080000Z", at(2026, 11, 28, 7), "2026-11-28T08:00:00+00:00"),
    ],
)
def test_when_it_comes(text: str, after: datetime, comes: str) -> None:
    assert first(text, after) == comes


def test_dittofeed_mondays_at_seven_in_tokyo_are_mondays_there() -> None:
    """Its weekday was that of UTC: "Mondays 07:00 Tokyo" fired on Tuesday."""
    assert first("FREQ=WEEKLY;BYDAY=MO", at(2026, 11, 28), TOKYO, time(7)) == "2026-11-29T22:00:00+00:00"


def test_dittofeed_nine_in_berlin_is_nine_on_the_day_clocks_change() -> None:
    """Its offset was that of the day before: 09:00 fired at 08:00."""
    assert first("FREQ=DAILY", at(2026, 3, 29), BERLIN) == "2026-03-29T07:00:00+00:00"
    assert first("FREQ=DAILY", at(2026, 10, 25), BERLIN) == "2026-10-25T08:00:00+00:00"
    half_past_two = time(2, 30)
    assert first("FREQ=DAILY", at(2026, 3, 29), BERLIN, half_past_two) == "2026-03-29T01:00:00+00:00"  # skipped
    assert first("FREQ=DAILY", at(2026, 10, 25), BERLIN, half_past_two) == "2026-10-25T00:30:00+00:00"  # the first
    assert first("FREQ=DAILY", at(2026, 10, 25, 0, 30), BERLIN, half_past_two) == "2026-10-26T01:30:00+00:00"


def test_every_hour_of_a_day_on_which_clocks_change_comes_once() -> None:
    rule = Recurrence.parse("FREQ=HOURLY")
    spring = list(islice(rule.times(None, NINE, BERLIN, at(2026, 3, 28, 23)), 5))
    assert [each.hour for each in spring] == [0, 1, 2, 3, 4] and len(set(spring)) == 5


def test_what_counts_counts_from_its_start() -> None:
    every_other = "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"
    start = date(2026, 11, 2)
    assert first(every_other, at(2026, 11, 10), start=start) == "2026-11-16T08:00:00+00:00"
    thrice = Recurrence.parse("FREQ=DAILY;COUNT=3")
    assert len(list(thrice.times(start, NINE, BERLIN, at(2026, 1, 1)))) == 3
    assert len(list(thrice.times(start, NINE, BERLIN, at(2026, 11, 3, 12)))) == 1
    assert first("FREQ=HOURLY;INTERVAL=6", at(2031, 6, 1, 1), start=start) == "2031-06-01T07:00:00+00:00"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is one rule"), ("FREQ=SECONDLY", "FREQ is one of"), ("BYDAY=MO", "FREQ is one of"),
        ("FREQ=WEEKLY;BYDAY=XX", "is no rule"), ("FREQ=WEEKLY;BYDAY", "is no part"), ("FREQ=DAILY;X=1", "not known"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL is a number"), ("FREQ=DAILY;COUNT=99999", "COUNT is a number"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20300101", "not both"), ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL is a day"),
        ("FREQ=DAILY;BYHOUR=25", "is no rule"), ("FREQ=HOURLY;BYMONTH=2", "does not go with"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "does not go with"), ("FREQ=DAILY\nEXRULE:FREQ=DAILY", "is one rule"),
        ("FREQ=DAILY;" + "BYHOUR=9;" * 60, "is one rule"), ("FREQ=DAILY;FREQ=DAILY", "is no part"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recurrence.parse(text)


@pytest.mark.parametrize("text", ["FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31"])
def test_a_rule_that_never_comes_is_found_out_at_once(text: str) -> None:
    begun = datetime.now(UTC)
    assert not Recurrence.parse(text).ever(None, NINE)
    assert datetime.now(UTC) - begun < timedelta(seconds=3)


def test_what_leaves_its_day_open_needs_a_start() -> None:
    for text in ("FREQ=WEEKLY", "FREQ=MONTHLY", "FREQ=YEARLY", "FREQ=YEARLY;BYDAY=MO", "FREQ=WEEKLY;BYDAY=MO;COUNT=2"):
        assert Recurrence.parse(text).lacks_start(), text
    for text in ("FREQ=DAILY", "FREQ=HOURLY", "FREQ=WEEKLY;BYDAY=MO", "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=1"):
        assert Recurrence.parse(text).lacks_start() is None, text


rules = st.one_of(
    st.just("FREQ=DAILY"),
    st.sets(st.sampled_from(DAYS), min_size=1).map(lambda days: f"FREQ=WEEKLY;BYDAY={','.join(sorted(days))}"),
    st.integers(-28, 28).filter(bool).map(lambda day: f"FREQ=MONTHLY;BYMONTHDAY={day}"),
    st.tuples(st.integers(1, 12), st.integers(1, 28)).map(lambda md: f"FREQ=YEARLY;BYMONTH={md[0]};BYMONTHDAY={md[1]}"),
)
clocks = st.times().map(lambda each: each.replace(microsecond=0))
instants = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=300, deadline=None)
@given(text=rules, zone=st.sampled_from(ZONES).map(ZoneInfo), clock=clocks, after=instants)
def test_in_every_zone_it_comes_on_its_day_at_its_hour(text: str, zone: ZoneInfo, clock: time, after: datetime) -> None:
    rule = Recurrence.parse(text)
    found = list(islice(rule.times(None, clock, zone, after), 4))
    assert len(found) == 4 and found[0] > after and all(one < other for one, other in pairwise(found))
    for each in found:
        local = each.astimezone(zone)
        # its wall clock, or the first moment after a gap that swallowed it
        gaps = [at_clock(local.date() - timedelta(days=back), clock, zone) for back in (0, 1)]
        assert local.time() == clock or each in gaps, (each, local)
    # whoever begins to reckon later finds the same
    assert list(islice(rule.times(None, clock, zone, found[0]), 3)) == found[1:]
    assert list(islice(rule.times(None, clock, zone, found[0] - timedelta(seconds=1)), 4)) == found


@settings(max_examples=200, deadline=None)
@given(zone=st.sampled_from(ZONES), year=st.integers(2000, 2036), clock=clocks)
def test_once_a_day_is_once_a_day_whatever_the_clocks_do(zone: str, year: int, clock: time) -> None:
    place = ZoneInfo(zone)
    found = list(islice(Recurrence.parse("FREQ=DAILY").times(None, clock, place, at(year, 1, 1)), 365))
    days = [each.astimezone(place).date() for each in found]
    gaps = [(other - one) for one, other in pairwise(found)]
    assert all(timedelta(hours=20) <= gap <= timedelta(hours=49) for gap in gaps), zone
    assert len(set(days)) >= 364  # a day that an island leaves out is the first moment of the next


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.sampled_from(FREQUENCIES).map(lambda each: f"FREQ={each};BYDAY=+1MO;WKST=SU"))
def test_reading_never_breaks(text: str) -> None:
    try:
        rule = Recurrence.parse(text)
    except ValueError as error:
        assert str(error)
    else:
        rule.ever(None, NINE)
