"""Who only fails is switched off after five days, and administrators are told; who fails now and then is not."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.clock import now
from base.http import HttpReply
from tests.dying import Died
from tests.webhooks.outgoing.conftest import URL, House
from webhooks.outgoing.standing import (
    PATIENCE,
    RETRIES,
    WAIT_MAX,
    failing_from,
    is_given_up,
    kept_of,
    next_try,
)

AT = datetime(2026, 11, 28, 9, tzinfo=UTC)


def broken(url: str, body: bytes) -> HttpReply:
    return HttpReply(503, {}, b"down")


async def tasks(house: House) -> list[Any]:
    found = await house.runtime.db.collection("tasks").find({"source.kind": "webhook_endpoint"}).to_list(None)
    return sorted(found, key=lambda each: each["assignee_id"])


async def fail_for(house: House, days: int) -> None:
    """Something happens each day, and none of it is taken."""
    for _ in range(days):
        await house.happens("order.paid")
        for _ in range(4):
            await house.post()
            await house.travel(hours=6)


async def test_five_days_of_failure_switch_it_off(house: House) -> None:
    admins = [(await house.runtime.users.add_user(f"{n}@example.org", n, "admin")).id for n in ("ada", "bea")]
    await house.runtime.users.add_user("agent@example.org", "agent", "agent")
    await house.runtime.users.add_user("part@example.org", "part", "admin", channels=[house.channel])
    endpoint_id, _ = await house.endpoint("*")
    house.phone.script = broken
    await fail_for(house, 4)
    row = await house.runtime.endpoints.get(endpoint_id)
    assert row["state"] == "on" and timedelta(days=3) < now() - row["failing_since"] < PATIENCE
    await fail_for(house, 2)
    row = await house.runtime.endpoints.get(endpoint_id)
    assert (row["state"], row["disabled_why"]) == ("disabled", "failing")
    assert [each["assignee_id"] for each in await tasks(house)] == sorted(admins)
    assert (await tasks(house))[0]["source"]["params"] == {"url": URL}
    posted = len(house.phone.posted)
    await house.post()
    await house.happens("order.paid")
    await house.post()
    assert len(house.phone.posted) == posted and await house.rows(state="planned") == []
    row = await house.runtime.endpoints.change(endpoint_id, {"state": "on"})
    assert row["failing_since"] is None and "disabled_why" not in row
    house.phone.script = None
    assert await house.runtime.endpoints.redeliver_failed(endpoint_id) > 0
    await house.post()
    assert {each["state"] for each in await house.rows()} == {"done"}


async def test_one_that_is_taken_in_five_days_keeps_it_on(house: House) -> None:
    endpoint_id, _ = await house.endpoint("*")
    for days in (4, 4, 4):
        house.phone.script = broken
        await fail_for(house, days)
        house.phone.script = None
        await house.happens("order.paid")
        await house.post()
    row = await house.runtime.endpoints.get(endpoint_id)
    assert row["state"] == "on" and row["failing_since"] is None and await tasks(house) == []


async def test_410_switches_off_at_once(house: House) -> None:
    await house.runtime.users.add_user("ada@example.org", "Ada", "admin")
    endpoint_id, _ = await house.endpoint("*")
    house.phone.script = lambda url, body: HttpReply(410, {}, b"")
    await house.happens("order.paid", times=5)
    await house.post()
    row = await house.runtime.endpoints.get(endpoint_id)
    assert (row["state"], row["disabled_why"]) == ("disabled", "gone")
    assert {each["state"] for each in await house.rows()} == {"failed"} and len(await tasks(house)) == 1


async def test_who_dies_before_telling_tells_nobody_twice(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.runtime.users.add_user("ada@example.org", "Ada", "admin")
    await house.runtime.users.add_user("bea@example.org", "Bea", "admin")
    await house.endpoint("*")
    house.phone.script = lambda url, body: HttpReply(410, {}, b"")
    create, left = house.runtime.tasks.create_once, [1]

    async def dies(fields: Any) -> Any:
        if not left:
            return await create(fields)
        made = await create(fields)
        left.clear()
        raise Died(made)

    monkeypatch.setattr(house.runtime.tasks, "create_once", dies)
    await house.happens("order.paid")
    await house.runtime.poster.drain(5)
    for task in list(house.runtime.poster._calls._under_way):
        with pytest.raises(Died):
            await task
    assert len(await tasks(house)) == 1
    assert await house.runtime.poster.tell() == 1 and await house.runtime.poster.tell() == 0
    assert len(await tasks(house)) == 2


def test_the_tries_of_a_post() -> None:
    at, times = AT, []
    for tries in range(1, len(RETRIES) + 1):
        again = next_try(tries, at, None, lambda low, high: 1.0)
        assert again is not None
        times.append((again - at).total_seconds())
        at = again
    assert times == [5, 300, 1800, 7200, 18000, 36000, 36000] and next_try(len(RETRIES) + 1, at) is None
    later = AT + timedelta(hours=3)
    assert next_try(1, AT, later) == later
    assert next_try(1, AT, AT + timedelta(days=900)) == AT + WAIT_MAX
    assert next_try(7, AT, AT) > AT + timedelta(hours=7)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("value", "after"),
    [("120", 120), ("Sat, 28 Nov 2026 09:01:00 GMT", 60), ("", None), ("soon", None), ("9" * 9, None), ("²", None)],
)
def test_retry_after(value: str, after: int | None) -> None:
    found = HttpReply(503, {"retry-after": value}, b"").asks_again_at(AT)
    assert found == (AT + timedelta(seconds=after) if after is not None else None)


@given(st.binary(max_size=9000))
def test_what_is_kept_of_an_answer_can_be_shown(body: bytes) -> None:
    kept = kept_of(HttpReply(200, {}, body))
    assert len(kept) <= 2000 and all(letter in "\n\t" or ord(letter) >= 32 for letter in kept)


@given(st.lists(st.tuples(st.floats(0.01, 200), st.booleans(), st.integers(1, 8)), max_size=40))
def test_nobody_is_given_up_who_took_anything_or_was_not_asked(story: list[tuple[float, bool, int]]) -> None:
    """A story of hours that pass, and whether what was posted then was taken. By a plain reading of the rule."""
    at, since, last = AT, None, None
    told: list[tuple[datetime, bool]] = []
    for hours, taken, tries in story:
        at += timedelta(hours=hours)
        told.append((at, taken))
        if taken:
            since = last = None
            continue
        since = failing_from(since, last, at)
        last = at
        if is_given_up(since, tries, at):
            run = [when for when, was in told if when >= since]
            assert tries >= 4 and at - run[0] >= PATIENCE
            assert not [when for when, was in told if was and when >= since]
            assert all(b - a <= PATIENCE for a, b in pairwise(run))
