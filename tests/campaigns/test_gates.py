"""Who may enter, again or at all, and when nothing is sent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.gates import Enter, Ignore, RunBrief, entry, quiet_until
from campaigns.models import QuietHours, Reentry

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def policy(**spec: Any) -> Reentry:
    return Reentry.model_validate(spec)


def brief(
    number: int = 0, lane: str = "person", *, live: bool = False, cause: str = "evt_0", days_ago: float = 1
) -> RunBrief:
    return RunBrief(f"enr_{number}_{lane}", f"{number}|{lane}", cause, live, NOW - timedelta(days=days_ago))


def test_the_first_time_everybody_enters() -> None:
    for mode in ("once", "after_exit"):
        assert entry(policy(mode=mode), None, "evt_1", [], NOW) == Enter("0|person")
    assert entry(policy(mode="per_key"), "ord_1", "evt_1", [], NOW) == Enter("0|key:ord_1")
    assert entry(policy(mode="per_key"), None, "evt_1", [], NOW) == Enter("0|key:evt_1")


def test_the_same_cause_never_enters_twice() -> None:
    for mode in ("once", "after_exit", "per_key"):
        known = [brief(cause="evt_1", lane="person" if mode != "per_key" else "key:a")]
        found = entry(policy(mode=mode), "a", "evt_1", known, NOW)
        assert found == Ignore("already_entered", known[0].id)


def test_a_run_that_was_stopped_before_its_first_step_takes_nobodys_turn() -> None:
    stopped = replace(brief(), stopped=True)
    for mode in ({"mode": "once"}, {"mode": "cooldown", "cooldown": "P30D"}):
        assert entry(policy(**mode), None, "evt_2", [stopped], NOW) == Enter("1|person")
        assert entry(policy(**mode), None, "evt_0", [stopped], NOW) == Ignore("already_entered", stopped.id)


def test_once_means_once() -> None:
    assert entry(policy(mode="once"), None, "evt_2", [brief()], NOW) == Ignore("once", "enr_0_person")


def test_after_exit_numbers_the_runs() -> None:
    assert entry(policy(mode="after_exit"), None, "evt_3", [brief(1), brief(0)], NOW) == Enter("2|person")
    assert entry(policy(mode="after_exit"), None, "evt_3", [brief(live=True)], NOW) == Ignore("active", "enr_0_person")


def test_cooldown_counts_from_the_last_entry() -> None:
    rule = policy(mode="cooldown", cooldown="P7D")
    assert entry(rule, None, "evt_2", [brief(days_ago=6.9)], NOW) == Ignore("cooldown", "enr_0_person")
    assert entry(rule, None, "evt_2", [brief(days_ago=7)], NOW) == Enter("1|person")


def test_keys_run_side_by_side_and_each_once() -> None:
    known = [brief(lane="key:a", live=True), brief(lane="key:b")]
    assert entry(policy(mode="per_key"), "c", "evt_9", known, NOW) == Enter("0|key:c")
    assert entry(policy(mode="per_key"), "a", "evt_9", known, NOW) == Ignore("active", "enr_0_key:a")
    assert entry(policy(mode="per_key"), "b", "evt_9", known, NOW) == Ignore("once", "enr_0_key:b")


def test_no_key_can_be_mistaken_for_another() -> None:
    """A key that looks like our own numbering stays a key of its own."""
    taken = {entry(policy(mode="per_key"), key, "e", [], NOW) for key in ("a", "a|1", "1|a", "0|key:a", "")}
    assert len(taken) == 5


@pytest.mark.parametrize("mode", ["once", "after_exit", "per_key"])
def test_if_active(mode: str) -> None:
    lane = "key:a" if mode == "per_key" else "person"
    running = brief(lane=lane, live=True)
    restart = entry(policy(mode=mode, if_active="restart"), "a", "evt_2", [running], NOW)
    assert restart == Enter(f"1|{lane}", ends=(running.id,))
    queue = entry(policy(mode=mode, if_active="queue_one"), "a", "evt_2", [running], NOW)
    assert queue == Enter(f"1|{lane}", behind=running.id)
    waiting = brief(1, lane, live=True, cause="evt_2")
    third = entry(policy(mode=mode, if_active="queue_one"), "a", "evt_3", [running, waiting], NOW)
    assert third == Ignore("queued_already", waiting.id)


def test_a_restart_that_died_half_way_is_finished() -> None:
    ended = RunBrief("enr_0", "0|person", "evt_1", False, NOW, replaced_by="evt_2")
    assert entry(policy(mode="once", if_active="restart"), None, "evt_2", [ended], NOW) == Enter("1|person")
    assert entry(policy(mode="once", if_active="restart"), None, "evt_3", [ended], NOW) == Ignore("once", "enr_0")


@pytest.mark.parametrize(
    ("zone", "utc", "until"),
    [
        ("Europe/Berlin", (22, 30), datetime(2026, 11, 24, 7, tzinfo=UTC)),  # 23:30 there
        ("Europe/Berlin", (5, 0), datetime(2026, 11, 23, 7, tzinfo=UTC)),  # 06:00 there
        ("Europe/Berlin", (12, 0), None),
        ("Asia/Shanghai", (12, 59), None),  # 20:59 there
        ("Asia/Shanghai", (13, 0), datetime(2026, 11, 24, 0, tzinfo=UTC)),
        ("No/Zone", (12, 0), None),  # the project's zone: Berlin
    ],
)
def test_quiet_hours_are_the_persons_own(zone: str, utc: tuple[int, int], until: datetime | None) -> None:
    quiet = QuietHours.model_validate({"from": "21:00", "to": "08:00", "zone": "profile"})
    at = datetime(2026, 11, 23, *utc, tzinfo=UTC)
    assert quiet_until(quiet, zone, "Europe/Berlin", at) == until
    assert quiet_until(None, zone, "Europe/Berlin", at) is None


def test_quiet_hours_may_be_fixed_to_a_zone() -> None:
    quiet = QuietHours.model_validate({"from": "21:00", "to": "08:00", "zone": "Asia/Tokyo"})
    assert quiet_until(quiet, "Europe/Berlin", "UTC", NOW) is None  # 19:00 in Tokyo
    assert quiet_until(quiet, "Europe/Berlin", "UTC", NOW + timedelta(hours=2)) == datetime(
        2026, 11, 23, 23, tzinfo=UTC
    )
