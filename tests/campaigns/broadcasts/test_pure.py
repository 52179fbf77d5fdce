"""Times, arms, winner, breaker and figures: values in, values out."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.broadcasts.arms import arm_of, is_held_out
from campaigns.broadcasts.breaker import noted, trips
from campaigns.broadcasts.models import Broadcast, must_read
from campaigns.broadcasts.timing import Queue, buckets, day_of, first_turn, turn
from campaigns.broadcasts.winner import ArmResult, decide
from campaigns.policies.models import BreakerRule

RULE = BreakerRule()
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def broadcast(**more: object) -> Broadcast:
    return must_read(
        {"name": "n", "channel_ids": ["chn_" + "0" * 26], "content": {"text": "t"}, "audience": {"rule": {"all": []}},
         **more}
    )  # fmt: skip


def local(late: str = "send_now", day: str = "2026-12-05", time: str = "09:00") -> Broadcast:
    return broadcast(schedule={"type": "local", "date": day, "time": time, "late": late})


def test_everybody_is_written_to_when_their_own_clocks_say_so() -> None:
    one = local()
    assert first_turn(one, NOW) == datetime(2026, 12, 4, 19, 0, tzinfo=UTC)
    start = first_turn(one, NOW)
    for name in ("Asia/Tokyo", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Etc/GMT+12"):
        at = turn(one, name, "UTC", start).at
        assert at is not None and at.astimezone(ZoneInfo(name)).strftime("%d %H:%M") == "05 09:00"
        assert at >= start


def test_parcelvoy_610_a_zone_nobody_knows_holds_up_nobody() -> None:
    """parcelvoy#610: a few invalid zone names kept 600k people from being queued."""
    for name in ("Mars/Olympus", "", None, "../etc/passwd", "berlin"):
        found = turn(local(), name, "Europe/Berlin", NOW)
        assert found.at == datetime(2026, 12, 5, 8, 0, tzinfo=UTC) and found.zone == "Europe/Berlin"


@pytest.mark.parametrize(("late", "hour"), [("send_now", NOW), ("next_day", None), ("skip", None)])
def test_where_it_is_too_late_the_author_has_said_what_happens(late: str, hour: datetime | None) -> None:
    one = local(late, day="2026-11-28", time="09:00")  # 09:00 in Berlin was four hours ago
    found = turn(one, "Europe/Berlin", "UTC", NOW)
    assert found.late
    if late == "next_day":
        assert found.at == datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
    else:
        assert found.at == hour
    assert not turn(one, "America/Los_Angeles", "UTC", NOW).late


@given(st.sampled_from(sorted(available_timezones())), st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08"]))
def test_on_days_when_clocks_change_everybody_still_has_a_turn(zone: str, day: str) -> None:
    one = local("next_day", day=day, time="02:30")
    found = turn(one, zone, "UTC", first_turn(one, NOW - timedelta(days=300)))
    assert found.at is not None


def test_a_rate_spreads_the_turns_and_a_ramp_the_days() -> None:
    queue = Queue(broadcast(rate={"per_minute": 30}).rate, (2, 3), BERLIN)
    times = [queue.stands(NOW, None) for _ in range(9)]
    days = [(at - NOW).days for at in times]
    assert days == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert times[1] - times[0] == timedelta(seconds=2) and times[3] - times[2] == timedelta(seconds=2)
    again = Queue(broadcast(rate={"per_minute": 30}).rate, (2, 3), BERLIN, dict(queue.placed))
    assert (again.stands(NOW, None) - NOW).days == 3


@given(st.integers(0, 10_000), st.lists(st.integers(1, 50), min_size=1, max_size=6))
def test_no_day_of_a_ramp_takes_more_than_its_size(place: int, sizes: list[int]) -> None:
    day = day_of(place, sizes)
    own = [each for each in range(max(0, place - 60), place + 60) if day_of(each, sizes) == day]
    assert len(own) <= sizes[min(day, len(sizes) - 1)]


@given(st.integers(1, 1_000_000))
def test_depth_and_refill_of_a_bucket_make_its_limit_together(limit: int) -> None:
    found = buckets(broadcast(rate={"per_minute": limit, "per_hour": limit}).rate)
    for bucket, span_s in zip(found, (60, 3600), strict=True):
        most = bucket.depth + bucket.per_s * span_s
        assert most <= limit + 1e-6 or (bucket.depth == 1.0 and bucket.per_s * span_s <= limit + 1e-6)


def test_arms_and_control_group_are_stable_shares() -> None:
    one = broadcast(
        holdout_percent=10,
        ab={"arms": [{"name": "a", "share": 30}, {"name": "b", "share": 70}], "sample_percent": 40,
            "decide_after": "PT1H"},
    )  # fmt: skip
    people = [f"prf_{i:026d}" for i in range(4000)]
    arms = [arm_of("brd_1", one.ab, each) for each in people]
    assert arms == [arm_of("brd_1", one.ab, each) for each in people]
    assert 0.56 < arms.count("rest") / 4000 < 0.64
    assert 0.25 < arms.count("a") / (4000 - arms.count("rest")) < 0.35
    held = [is_held_out("brd_1", one, each) for each in people]
    assert 0.08 < sum(held) / 4000 < 0.12
    other = [is_held_out("brd_2", one, each) for each in people]
    assert sum(a and b for a, b in zip(held, other, strict=True)) < 80, "another broadcast holds out others"


def test_the_winner_explains_itself() -> None:
    trial = broadcast(ab={"arms": [{"name": "a"}, {"name": "b"}], "sample_percent": 20, "decide_after": "PT4H",
                          "min_sample": 100, "fallback": "a"}).ab  # fmt: skip
    assert trial is not None
    small = decide(trial, [ArmResult("a", 99, 20), ArmResult("b", 500, 300)])
    assert (small.arm, small.why) == ("a", "too_small") and "a reached 99" in small.sentence
    won = decide(trial, [ArmResult("a", 500, 40), ArmResult("b", 500, 90)])
    assert (won.arm, won.why, won.certain) == ("b", "won", True) and "90 of 500 clicked (18.0%)" in won.sentence
    close = decide(trial, [ArmResult("a", 500, 40), ArmResult("b", 500, 42)])
    assert (close.arm, close.certain) == ("b", False) and "chance" in close.sentence
    draw = decide(trial, [ArmResult("a", 500, 40), ArmResult("b", 500, 40)])
    assert (draw.arm, draw.why) == ("a", "draw")


def test_the_breaker_wants_twenty_people_and_a_fifth() -> None:
    """mautic#14470, #15512: one failure stopped a campaign; repeats of one person counted."""
    assert (
        trips([], 19, 19, RULE) is None and trips([], 20, 101, RULE) is None and trips([], 20, 100, RULE) == (20, 100)
    )
    ring = noted([], 500, 1000, NOW, RULE)
    assert trips(ring, 505, 1010, RULE) is None and trips(ring, 530, 1040, RULE) == (30, 40)
    for minute in range(1, 30):
        ring = noted(ring, 500 + minute, 1000 + minute * 100, NOW + timedelta(minutes=minute), RULE)
    assert len(ring) <= 12 and NOW + timedelta(minutes=18) <= ring[0]["at"] <= NOW + timedelta(minutes=19)
