"""Windows and caps: values in, values out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.policies.capping import Slot, fullest, sentence_of, span_of
from campaigns.policies.models import BreakerRule, Cap, SendingPolicies

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 29, 10, 0, tzinfo=UTC)  # the day on which clocks go forward in Berlin


def slot(send: str, at: datetime, **more: str) -> Slot:
    told = {"send_class": "marketing", "group": "marketing", "channel_id": "chn_a", "provider": "email", **more}
    return Slot(send, at, **told)


def test_a_day_is_the_persons_own_and_a_clock_change_shortens_it() -> None:
    day = span_of("P1D")
    assert day is not None
    assert day.since(NOW, BERLIN) == datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    assert day.frees(NOW, BERLIN) == datetime(2026, 3, 29, 22, 0, tzinfo=UTC), "23 hours later"
    tokyo = ZoneInfo("Asia/Tokyo")
    assert day.since(NOW, tokyo) == datetime(2026, 3, 28, 15, 0, tzinfo=UTC)
    week = span_of("P7D")
    assert week is not None and week.since(NOW, BERLIN) == datetime(2026, 3, 22, 23, 0, tzinfo=UTC)
    hours = span_of("PT24H")
    assert hours is not None and hours.since(NOW, BERLIN) == NOW - timedelta(hours=24)


@pytest.mark.parametrize("text", ["P1M", "P1DT2H", "-P1D", "PT0S", "week", ""])
def test_what_is_no_span(text: str) -> None:
    assert span_of(text) is None


def test_caps_tell_class_group_and_channel_apart() -> None:
    cap = Cap.model_validate({"most": 1, "per": "P1D", "group": "news", "channel": "email"})
    mine = slot("snd_2", NOW, group="news")
    assert fullest([cap], mine, [slot("snd_1", NOW)], BERLIN, NOW) is None, "another group"
    assert fullest([cap], mine, [slot("snd_1", NOW, group="news", provider="line")], BERLIN, NOW) is None
    full = fullest([cap], mine, [slot("snd_1", NOW, group="news")], BERLIN, NOW)
    assert full is not None and "1 a day (news, email)" in sentence_of(full)
    assert fullest([cap], mine, [slot("snd_2", NOW, group="news")], BERLIN, NOW) is None, "its own slot is no rival"
    order = slot("snd_3", NOW, send_class="transactional")
    assert fullest([cap], order, [slot("snd_1", NOW, group="news")], BERLIN, NOW) is None, "order notices pass"


@given(
    st.lists(st.integers(0, 20 * 24 * 60), max_size=12), st.integers(1, 4),
    st.sampled_from(["P1D", "P3D", "PT5H", "P7D"]),
    st.sampled_from(["Europe/Berlin", "Asia/Tokyo", "America/New_York"]),
)  # fmt: skip
def test_room_comes_when_it_is_promised_and_not_before(minutes: list[int], most: int, per: str, zone_name: str) -> None:
    cap, zone = Cap(most=most, per=per), ZoneInfo(zone_name)
    others = [slot(f"snd_{i}", NOW - timedelta(minutes=each)) for i, each in enumerate(minutes)]
    full = fullest([cap], slot("snd_x", NOW), others, zone, NOW)
    if full is not None:
        assert full.until > NOW
        assert fullest([cap], slot("snd_x", full.until), others, zone, full.until) is None
        before = full.until - timedelta(milliseconds=2)
        assert fullest([cap], slot("snd_x", before), others, zone, before) is not None


def test_bad_rules_are_named() -> None:
    for bad in ({"most": 0, "per": "P1D"}, {"most": 1, "per": "P1M"}, {"most": 1, "per": "P200D"},
                {"most": 1, "per": "P1D", "class": "service"}, {"most": 1, "per": "P1D", "more": 1}):  # fmt: skip
        with pytest.raises(ValidationError):
            Cap.model_validate(bad)
    with pytest.raises(ValidationError, match="two caps count the same"):
        SendingPolicies.model_validate({"caps": [{"most": 1, "per": "P1D"}, {"most": 2, "per": "P1D"}]})


def test_mautic_14470_one_failure_is_no_catastrophe() -> None:
    rule = BreakerRule()
    assert not rule.trips(1, 1) and not rule.trips(19, 19) and not rule.trips(20, 101) and rule.trips(20, 100)
