"""How somebody stands, and when what they have goes to others: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from inbox.routing.models import Agent, PresenceRules, RoutingPolicy, State, TeamInput
from inbox.routing.releasing import goes_back
from inbox.routing.standing import LONG_AGO, Standing, is_on_leave, standing

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RULES = PresenceRules()


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def agent(**more: Any) -> Agent:
    return Agent(id="usr_a", **more)


def stands(found: Agent | None) -> tuple[str, bool, bool]:
    how = standing(found, RULES, NOW)
    return how.state.key, how.here, how.takes_work


def test_what_is_said_and_what_is_seen() -> None:
    assert stands(None) == ("offline", False, False)
    assert stands(agent(seen_at=at(-1))) == ("online", True, True)
    assert stands(agent(seen_at=at(-2))) == ("offline", False, False)
    assert stands(agent(state="busy", state_at=at(-9), seen_at=at(0))) == ("busy", True, False)
    assert stands(agent(state="away", state_at=at(-9), seen_at=at(0))) == ("away", False, False)
    assert stands(agent(state="online", on_phone=True)) == ("online", True, True)  # CW 5436
    assert stands(agent(state="gone_fishing", seen_at=at(0))) == ("online", True, True)
    lunch = agent(state="away", state_at=at(-30), until=at(-1), seen_at=at(0))
    assert stands(lunch) == ("online", True, True) and standing(lunch, RULES, NOW).since == at(-1)


def test_who_is_on_leave() -> None:
    away = agent(state="away", state_at=at(-60), until=at(23 * 60), seen_at=at(0))
    assert is_on_leave(away, RULES, NOW)
    assert not is_on_leave(away.model_copy(update={"until": at(22 * 60)}), RULES, NOW)
    assert not is_on_leave(away.model_copy(update={"until": None}), RULES, NOW)
    assert not is_on_leave(away.model_copy(update={"state": "busy"}), RULES, NOW)


def test_since_when() -> None:
    assert standing(agent(seen_at=at(-5)), RULES, NOW).since == at(-5)
    assert standing(agent(state="away", state_at=at(-7), seen_at=at(0)), RULES, NOW).since == at(-7)
    assert standing(agent(), RULES, NOW).since == LONG_AGO


def away_since(minutes: float) -> Standing:
    return Standing(RULES.gone, at(minutes))


def test_when_a_conversation_goes_back() -> None:
    waits = {"waiting_since": at(-40), "assigned_at": at(-60)}
    here = Standing(RULES.usual, at(-60))
    assert not goes_back(waits, here, NOW)
    assert goes_back(waits, away_since(-10), NOW) and not goes_back(waits, away_since(-9), NOW)
    assert not goes_back({"assigned_at": at(-60)}, away_since(-600), NOW)  # nobody waits
    assert not goes_back({**waits, "assigned_at": at(-5)}, away_since(-600), NOW)  # given to them while away
    back = {"reopened_at": at(-1), "waiting_since": at(-1), "assigned_at": at(-600)}
    assert goes_back(back, away_since(-2), NOW) and not goes_back(back, Standing(RULES.gone, at(0)), NOW)
    assert not goes_back({**back, "last_reply_at": at(-0.5), "waiting_since": None}, away_since(-2), NOW)
    assert goes_back({"reopened_at": at(-1)}, away_since(-2), NOW)  # a snooze has ended
    patient = Standing(State(key="leave", names={"en": "On leave"}), at(-9000))
    assert not goes_back(waits, patient, NOW) and goes_back(back, patient, NOW)


@pytest.mark.parametrize("wrong", [
    {"states": [{"key": "a", "names": {"en": "A"}}, {"key": "b", "names": {"en": "B"}}]},
    {"states": [{"key": "a", "names": {"en": "A"}, "takes_work": True, "counts_as_here": True}] * 2},
    {"states": [{"key": "a", "names": {"en": "A"}, "takes_work": True}, {"key": "b", "names": {"en": "B"}}]},
    {"capacity": 0},
])  # fmt: skip
def test_states_that_make_no_sense(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        PresenceRules.model_validate(wrong)


def test_teams_that_make_no_sense() -> None:
    somebody = {"user_id": f"usr_{'a' * 26}"}
    with pytest.raises(ValidationError, match="twice"):
        TeamInput.model_validate({"name": "x", "members": [somebody, {**somebody, "watches": True}]})
    with pytest.raises(ValidationError, match="max_wait_s"):
        RoutingPolicy.model_validate({"fallback_team_id": f"tea_{'a' * 26}"})
