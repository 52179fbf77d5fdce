"""One next follow-up per person: set, put off, handed over, done; found when it is due, months ahead too."""

import asyncio
from datetime import datetime, timedelta

import pytest

from base.errors import NotFound
from profiles.follow_up import FollowUpInput, FollowUps
from profiles.joining import earlier, left_over
from profiles.models import Profile
from profiles.segments.memory import Facts, matches
from profiles.segments.mongo import to_filter
from profiles.segments.rules import parse
from profiles.store.profiles import as_profile
from tests.profiles.conftest import People


@pytest.fixture
def promises(people: People) -> FollowUps:
    return FollowUps(people.db, people.profiles, people.events, people.clock)


async def somebody(people: People, number: str = "1") -> str:
    known = await people.resolver.refer("customer_id", number, create=True)
    assert known is not None
    return known.profile_id


def due(at: datetime, text: str = "Call", assignee: str | None = "usr_1") -> FollowUpInput:
    return FollowUpInput(at=at, text=text, assignee_id=assignee)


async def listed(people: People, user_id: str, until: datetime) -> list[Profile]:
    """Whom somebody is to get back to by then: theirs, and nobody's."""
    return [as_profile(row) for row in await people.profiles.to_follow_up([user_id, None], until, 5)]


async def test_what_was_promised_months_ahead_is_due_then(people: People, promises: FollowUps) -> None:
    who, now = await somebody(people), people.clock()
    await promises.set(who, due(now + timedelta(days=150), "Ask for the spring order"), "usr_2")
    assert await listed(people, "usr_1", now + timedelta(days=149)) == []
    people.clock.forward(days=150)
    (found,) = await listed(people, "usr_1", people.clock())
    assert found.id == who and found.next_follow_up is not None
    assert (found.next_follow_up.text, found.next_follow_up.by) == ("Ask for the spring order", "usr_2")
    assert await listed(people, "usr_9", people.clock()) == []


async def test_its_history_is_on_the_timeline_with_by_whom(people: People, promises: FollowUps) -> None:
    who, now = await somebody(people), people.clock()
    first = (await promises.set(who, due(now), "usr_1")).next_follow_up
    assert first is not None
    assert (await promises.set(who, due(now), "usr_1")).next_follow_up == first
    await promises.snooze(who, first.id, now + timedelta(days=3), "usr_2")
    await promises.hand_over(who, first.id, None, "usr_3")
    (nobodys,) = await listed(people, "usr_8", now + timedelta(days=3))
    assert nobodys.id == who
    second = (await promises.set(who, due(now + timedelta(days=9), "Other"), "usr_1")).next_follow_up
    await promises.done(who, first.id, "usr_1")  # one that stands no more
    assert (await people.profiles.get(who)).next_follow_up == second  # type: ignore[union-attr]
    await promises.done(who, None, "usr_4", "Reached")
    await promises.done(who, None, "usr_4")
    await promises.clear(who, "usr_4")
    told = await people.events.for_profile(who, 20, kinds=["task"])
    assert [each.name for each in reversed(told)] == [
        f"follow_up.{each}" for each in ("set", "snoozed", "handed_over", "set", "done")
    ]
    assert [each.properties["by"] for each in reversed(told)] == ["usr_1", "usr_2", "usr_3", "usr_1", "usr_4"]
    assert told[0].properties["result"] == "Reached" and told[1].properties["from"]["text"] == "Call"
    assert told[3].properties["changes"]["at"]["to"] == now + timedelta(days=3)
    with pytest.raises(NotFound):
        await promises.set("prf_" + "0" * 26, due(now), "usr_1")


async def test_of_many_at_once_one_stands_and_each_is_told(people: People, promises: FollowUps) -> None:
    who, now = await somebody(people), people.clock()
    await asyncio.gather(*(promises.set(who, due(now, f"Number {n}"), "usr_1") for n in range(6)))
    told = await people.events.find(who, ["follow_up.set"])
    assert len(told) == 6
    last = max(told, key=lambda each: int(each.dedupe.rpartition(":")[2]))
    assert (await people.profiles.get(who)).next_follow_up.id == last.properties["follow_up_id"]  # type: ignore[union-attr]


async def test_rules_ask_for_it(people: People, promises: FollowUps) -> None:
    who, now = await somebody(people), people.clock()
    other = await somebody(people, "2")
    await promises.set(who, due(now + timedelta(days=2)), "usr_1")
    rule = parse({"field": "next_follow_up.at", "op": "before", "value": (now + timedelta(days=7)).isoformat()})
    wanted = to_filter(rule, now)
    found = [row["_id"] async for row in people.db.collection("profiles").find(wanted)]
    assert found == [who]
    for each in (who, other):
        profile = await people.profiles.get(each)
        assert profile is not None and matches(rule, Facts(profile.document()), now) == (each == who)


def test_of_two_the_earlier_stays_and_the_other_is_left_over() -> None:
    one, other = {"at": datetime(2026, 1, 2)}, {"at": datetime(2026, 1, 1)}  # noqa: DTZ001
    assert earlier(one, other) is other and left_over(one, other) is one
    assert earlier(one, None) is one and left_over(one, None) is None and earlier(None, None) is None
