"""Closed conversations that are written to: opened again, or another one begins, as the channel is set."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from inbox.reopening import Reopening
from tests.inbox.conftest import AGENT, House

DAY = timedelta(days=1)


@pytest.mark.parametrize(("rule", "after", "again"), [
    (None, 13 * DAY, True), (None, 15 * DAY, False),
    (Reopening(days=2), 1 * DAY, True), (Reopening(days=2), 3 * DAY, False), (Reopening(days=60), 50 * DAY, True),
    (Reopening(mode="always"), 900 * DAY, True), (Reopening(mode="never"), timedelta(minutes=1), False),
])  # fmt: skip
async def test_a_message_after_the_end(house: House, rule: Reopening | None, after: timedelta, again: bool) -> None:
    channel_id, other = await house.channel(), await house.channel("keyed")
    talk = await house.conversation(channel_id, "anna")
    beside = await house.conversation(other, "bo", "keyed")
    if rule is not None:
        await house.inbox.answering.choose_reopening(channel_id, rule, "usr_x")
    for each in (talk, beside):
        await house.inbox.actions.set_status(each.id, "resolved", AGENT)
    house.clock.ahead = after
    result = await house.inbox.receiver.receive([
        house.arrival(channel_id, "anna", "late"), house.arrival(other, "bo", "late-2", provider="keyed"),
    ])  # fmt: skip
    ids = [each.conversation_id for each in result.outcomes]
    assert (ids[0] == talk.id) == again
    assert (ids[1] == beside.id) == (after < 14 * DAY)


def test_odd_rules_are_refused() -> None:
    for wrong in ({"mode": "sometimes"}, {"days": 0}, {"days": 99_999}, {"until": 1}):
        with pytest.raises(ValidationError):
            Reopening.model_validate(wrong)
