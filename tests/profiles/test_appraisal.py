"""Whoever was changed is looked at again, once and with what is there by then; nothing is lost or told twice."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from base.mongo import Document
from channels.vocabulary import Address, Person
from profiles.appraisal import EVENTS_MAX, Appraisal, Appraiser, Subject, Verdict, value_at, with_fields
from profiles.models import NewEvent
from profiles.resolve import Sighting
from profiles.segments import Needs
from tests.dying import Dying
from tests.profiles.conftest import People


@dataclass
class Counting:
    """Keeps in `attributes.paid` how often somebody paid, and tells of each change of the number."""

    names: Collection[str] = ("order.paid",)
    path: str = "rfm.paid"
    again: datetime | None = None
    prepared: int = 0
    seen: list[str] = field(default_factory=list)

    async def prepare(self) -> None:
        self.prepared += 1

    def event_needs(self) -> Needs:
        return dict.fromkeys(self.names)

    def appraise(self, subject: Subject, now: datetime) -> Verdict:
        person = subject.document
        self.seen.append(person["_id"])
        if person["name"] == "Poison":
            raise ValueError("unreadable")
        count = subject.events.count("order.paid", None, ())
        if count == (value_at(person, self.path) or 0):
            return Verdict(again_at=self.again)
        told = NewEvent("counted", f"counted:{person['_id']}:{person['rev']}", now, person["_id"], None,
                        properties={"count": count})  # fmt: skip
        return Verdict({self.path: count}, [told], self.again)


@dataclass
class Doubling:
    """Sees what the former one found."""

    async def prepare(self) -> None:
        return

    def event_needs(self) -> Needs:
        return {}

    def appraise(self, subject: Subject, now: datetime) -> Verdict:
        return Verdict({"rfm.double": 2 * (value_at(subject.document, "rfm.paid") or 0)})


def appraisal(people: People, *appraisers: Appraiser, busy: Any = None) -> Appraisal:
    more = {} if busy is None else {"busy": busy}
    return Appraisal(people.db, people.profiles, people.events, people.clock, appraisers, **more)


async def person(people: People, name: str = "anna") -> str:
    sighting = Sighting(Address(channel_id="chn_1", external_id=name), "telegram", people.clock(), Person(name=name))
    (known,) = await people.resolver.resolve([sighting])
    return known.profile_id


async def row(people: People, profile_id: str) -> Document:
    found = await people.db.collection("profiles").find_one({"_id": profile_id})
    assert found is not None
    return found


async def pays(people: People, profile_id: str, *keys: str) -> None:
    await people.events.record([NewEvent("order.paid", f"paid:{key}", people.clock(), profile_id) for key in keys])


async def told(people: People) -> list[int]:
    rows = people.db.collection("events").find({"name": "counted"}).sort("_id", 1)
    return [each["properties"]["count"] async for each in rows]


async def settled(people: People, looking: Appraisal) -> None:
    """Until nobody is due; whoever died is forgotten."""
    for _ in range(10):
        people.clock.forward(seconds=31)
        if not await looking.drain(100):
            return
    raise AssertionError("the appraisal does not come to an end")


# -- what makes due -------------------------------------------------------------------------------------------------


async def _changed(people: People, profile_id: str) -> None:
    assert await people.profiles.change([(await row(people, profile_id), {"name": "B"}, None)], people.clock())


async def _only_seen(people: People, profile_id: str) -> None:
    before = await row(people, profile_id)
    seen = (before["last_seen_at"] or people.clock()) + timedelta(days=1)
    assert await people.profiles.change([(before, {}, seen)], people.clock())


async def _written(people: People, profile_id: str) -> None:
    await people.profiles.write(profile_id, {"tags": ["x"]})


async def _replaced(people: People, profile_id: str) -> None:
    async def work(session: Any) -> None:
        before = await row(people, profile_id)
        assert await people.profiles.replace(before, {**before, "name": "C", "rev": before["rev"] + 1}, session)

    await people.db.in_transaction(work)


async def _amended(people: People, profile_id: str) -> None:
    async def work(session: Any) -> None:
        assert await people.profiles.amend(await row(people, profile_id), {"name": "D"}, ("location",), session)

    await people.db.in_transaction(work)


async def _reached(people: People, profile_id: str) -> None:
    await people.profiles.refresh_reach([profile_id])


async def _asked(people: People, profile_id: str) -> None:
    assert await people.profiles.appraisals.due([profile_id, "prf_unknown"]) == 1


async def _asked_all(people: People, profile_id: str) -> None:
    assert await people.profiles.appraisals.due_where({"stage": "new"}) is None


WRITES = (_changed, _only_seen, _written, _replaced, _amended, _reached, _asked, _asked_all)


@pytest.mark.parametrize("write", WRITES)
async def test_every_write_makes_due_also_somebody_who_is_being_looked_at(
    people: People, write: Callable[[People, str], Awaitable[None]]
) -> None:
    anna, looking = await person(people), appraisal(people)
    assert (await row(people, anna))["appraise_at"] == people.clock()
    assert await looking.drain(10) == 1
    assert "appraise_at" not in await row(people, anna)
    await write(people, anna)
    assert (await row(people, anna))["appraise_at"] == people.clock()
    (claimed,) = await people.profiles.appraisals.claim(10)
    assert await people.profiles.appraisals.claim(10) == []
    await write(people, anna)
    after = await row(people, anna)
    assert after["appraise_at"] == people.clock() and "appraise_by" not in after
    assert claimed["appraise_by"]


async def test_who_was_changed_just_now_does_not_wait_behind_a_crowd_and_the_crowd_goes_on(people: People) -> None:
    crowd = [await person(people, f"p{number}") for number in range(9)]
    long_ago = people.clock() - timedelta(hours=1)
    await people.db.collection("profiles").update_many({}, {"$set": {"appraise_at": long_ago}})
    anna = await person(people)
    claimed = [each["_id"] for each in await people.profiles.appraisals.claim(4)]
    assert anna in claimed
    assert len(set(claimed) & set(crowd)) == 3


async def test_a_tombstone_is_never_due(people: People) -> None:
    anna = await person(people)

    async def work(session: Any) -> None:
        stone = {"_id": anna, "merged_into": "prf_other", "rev": 9}
        assert await people.profiles.replace(await row(people, anna), stone, session)

    await people.db.in_transaction(work)
    assert "appraise_at" not in await row(people, anna)
    await people.profiles.write(anna, {"consents": []})  # by somebody who has not heard of it
    counting = Counting()
    await appraisal(people, counting).drain(10)
    assert "appraise_at" not in await row(people, anna) and not counting.seen


# -- a look ---------------------------------------------------------------------------------------------------------


async def test_each_appraiser_sees_what_the_former_found_and_all_is_written_at_once(people: People) -> None:
    anna = await person(people)
    await pays(people, anna, "1", "2")
    counting = Counting(again=people.clock() + timedelta(days=3))
    looking = appraisal(people, counting, Doubling())
    rev = (await row(people, anna))["rev"]
    assert await looking.drain(10) == 1
    after = await row(people, anna)
    assert after["rfm"] == {"paid": 2, "double": 4} and after["rev"] == rev + 1
    assert after["appraise_at"] == counting.again and await told(people) == [2]
    assert await looking.drain(10) == 0  # what it wrote made nobody due
    people.clock.forward(days=3)
    counting.again = None
    assert await looking.drain(10) == 1
    assert "appraise_at" not in await row(people, anna) and (await row(people, anna))["rev"] == rev + 1


async def test_an_event_that_somebody_counts_makes_due(people: People) -> None:
    anna, looking = await person(people), appraisal(people, Counting())
    await looking.drain(10)
    for name, due in (("order.shipped", 0), ("order.paid", 1)):
        await people.events.record([NewEvent(name, name, people.clock(), anna)])
        events = await people.events.find(anna, [name])
        await looking.hear(events)
        assert await looking.drain(10) == due
    assert await told(people) == [1]


async def test_who_was_changed_meanwhile_is_looked_at_again(people: People) -> None:
    anna = await person(people)
    await pays(people, anna, "1")

    class Disturbing(Counting):
        async def prepare(self) -> None:
            await super().prepare()
            if self.prepared == 1:
                await pays(people, anna, "2")
                await people.profiles.write(anna, {"tags": ["new"]})

    looking = appraisal(people, Disturbing())
    assert await looking.drain(10) == 1
    assert "rfm" not in await row(people, anna) and await told(people) == []
    assert await looking.drain(10) == 1
    assert (await row(people, anna))["rfm"] == {"paid": 2} and await told(people) == [2]
    assert (await row(people, anna))["tags"] == ["new"]


async def test_one_that_cannot_be_read_keeps_nobody_waiting(people: People) -> None:
    poison, anna = await person(people, "Poison"), await person(people)
    for each in (poison, anna):
        await pays(people, each, each)
    counting = Counting()
    looking = appraisal(people, counting)
    await looking.drain(10)
    assert await told(people) == [1]
    assert await looking.drain(10) == 0
    people.clock.forward(minutes=10)
    assert await looking.drain(10) == 1 and counting.seen.count(poison) == 2


async def test_who_is_being_merged_is_looked_at_afterwards(people: People) -> None:
    anna, merging = await person(people), {"busy"}
    await pays(people, anna, "1")

    async def busy() -> set[str]:
        return merging

    looking = appraisal(people, Counting(), busy=busy)
    merging.add(anna)
    await looking.drain(10)
    assert await told(people) == [] and await looking.drain(10) == 0
    merging.clear()
    people.clock.forward(seconds=5)
    await looking.drain(10)
    assert await told(people) == [1]


async def test_more_events_than_fit_are_read_person_by_person(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiles.appraisal.EVENTS_MAX", 3)
    ids = [await person(people, f"p{n}") for n in range(5)]
    for each in ids:
        await pays(people, each, *(f"{each}{n}" for n in range(4)))
    await appraisal(people, Counting()).drain(10)
    assert [(await row(people, each))["rfm"]["paid"] for each in ids] == [4] * 5 and EVENTS_MAX > 3


async def test_an_event_told_before_does_not_keep_the_rest_from_being_written(people: People) -> None:
    ids = [await person(people, f"p{n}") for n in range(3)]
    for each in ids:
        await pays(people, each, each)
    rev = (await row(people, ids[1]))["rev"]
    await people.events.record(
        [NewEvent("counted", f"counted:{ids[1]}:{rev}", people.clock(), properties={"count": 9})]
    )
    await appraisal(people, Counting()).drain(10)
    assert sorted(await told(people)) == [1, 1, 9]
    assert [(await row(people, each))["rfm"] for each in ids] == [{"paid": 1}] * 3


# -- races and deaths -----------------------------------------------------------------------------------------------


async def test_many_workers_and_writers_at_once_count_everything_once(people: People) -> None:
    ids = [await person(people, f"p{n}") for n in range(20)]
    looking = [appraisal(people, Counting()) for _ in range(3)]
    stop = False

    async def work(one: Appraisal) -> None:
        while not stop:
            await one.drain(7)
            await asyncio.sleep(0)

    async def live(mine: list[str], writer: int) -> None:
        for turn in range(12):
            for each in mine:
                await pays(people, each, f"{each}{writer}{turn}")
                await looking[0].hear(await people.events.find(each, ["order.paid"], limit=1))
                await people.profiles.write(each, {"tags": [f"{writer}-{turn}"]})

    workers = [asyncio.create_task(work(one)) for one in looking]
    await asyncio.gather(live(ids[:10], 1), live(ids[10:], 2), live(ids[5:15], 3))
    stop = True
    await asyncio.gather(*workers)
    await settled(people, looking[0])
    assert [(await row(people, each))["rfm"]["paid"] for each in ids] == [12] * 5 + [24] * 10 + [12] * 5
    last: dict[str, int] = {}
    async for event in people.db.collection("events").find({"name": "counted"}).sort("_id", 1):
        count, who = event["properties"]["count"], event["profile_id"]
        assert count > last.get(who, 0)  # each number once, and never backwards
        last[who] = count


WRITES_AND_READS = ("update_many", "update_one", "bulk_write", "insert_many", "find_one")


@pytest.mark.parametrize("after", [False, True])
async def test_dying_at_any_await_loses_and_doubles_nothing(
    people: People, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    dying = Dying(monkeypatch, WRITES_AND_READS)
    looking, deaths = appraisal(people, Counting(), Doubling()), 0
    steady = await person(people, "steady")
    await settled(people, looking)
    for death in range(1, 30):
        ids = [await person(people, f"p{death}-{n}") for n in range(3)]
        for each in ids[:2]:
            await pays(people, each, each)
        await people.profiles.write(steady, {"tags": ["nothing follows"]})
        before = len(await told(people))
        deaths += await dying.on(death, after, lambda: looking.drain(100))
        await settled(people, looking)
        assert [(await row(people, each)).get("rfm") for each in ids] == [
            {"paid": 1, "double": 2}, {"paid": 1, "double": 2}, {"double": 0},
        ]  # fmt: skip
        assert len(await told(people)) == before + 2
        if dying.count and deaths < death:
            break
    assert deaths >= 4


def test_paths() -> None:
    document = {"a": {"b": 1, "c": 2}, "d": None}
    after = with_fields(document, {"a.b": 5, "d.e.f": 6, "g": 7})
    assert after == {"a": {"b": 5, "c": 2}, "d": {"e": {"f": 6}}, "g": 7} and document["a"] == {"b": 1, "c": 2}
    assert value_at(after, "d.e.f") == 6 and value_at(after, "a.x.y") is None


async def test_of_who_has_very_much_only_the_latest_are_read(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has few is read whole beside them; what the store gives answers like all there is."""
    monkeypatch.setattr("profiles.appraisal.MUCH", 3)
    talker, other = await person(people, "talker"), await person(people, "other")
    at = people.clock()
    says = [
        NewEvent("message.received", f"m{n}", at - timedelta(minutes=n // 3), talker, None, properties={"n": n})
        for n in range(30)
    ]
    ahead = NewEvent("message.received", "ahead", at + timedelta(days=1), talker, None)
    await people.events.record([*says, ahead])
    await pays(people, talker, *(f"t{n}" for n in range(5)))
    await pays(people, other, "o1")
    needs = {"message.received": 4, "order.paid": None}
    latest = await people.events.latest(talker, needs, at)
    found = [each["properties"].get("n") for each in latest if each["name"] == "message.received"]
    assert sorted(each for each in found if each is not None) == [0, 1, 2, 3, 4, 5] and found.count(None) == 1
    assert sum(each["name"] == "order.paid" for each in latest) == 5
    assert await people.events.numbers([talker, other], needs) == {talker: 36, other: 1}
    await appraisal(people, Counting()).drain(10)
    assert [(await row(people, each))["rfm"]["paid"] for each in (talker, other)] == [5, 1]
