"""Who is in which segment: found for all, kept for each, told once; whatever crosses, dies or is changed meanwhile."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound, TooSlow, WrongInput
from base.mongo import Document, ExecutionTimeout
from profiles.appraisal import Appraisal
from profiles.membership import SegmentAppraiser, SegmentBuilder, SegmentInput, SegmentPatch, Segments
from profiles.models import NewEvent
from profiles.segments import Facts, ListedEvents, matches, parse, with_segments
from profiles.store import segments as segment_rows
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.tags import TagStore
from profiles.store.tallies import LANES
from profiles.survivorship import Facts as Said
from profiles.survivorship import new_profile
from profiles.uses import SegmentUses, Uses
from tests.dying import Dying
from tests.profiles.conftest import People

VIP = {"field": "tags", "op": "eq", "value": "vip"}
BUYERS = {"event": "order.paid", "count": {"gte": 2}, "within": "P30D"}
FRESH = {"field": "created_at", "op": "within_last", "value": "P30D"}


@dataclass
class Club:
    """People and their segments."""

    people: People
    store: SegmentStore
    segments: Segments
    builder: SegmentBuilder
    appraisal: Appraisal
    numbers: Any = field(default_factory=lambda: iter(range(10**6)))

    async def joins(self, **fields: Any) -> str:
        profile_id = f"prf_{next(self.numbers):026d}"
        row = {**new_profile(profile_id, [Said(at=self.people.clock(), source="api")]), **fields}
        await self.people.profiles.insert([row])
        return profile_id

    async def does(self, profile_id: str, name: str = "order.paid", **more: Any) -> None:
        at = more.pop("at", self.people.clock())
        key = f"{name}:{next(self.numbers)}"
        await self.people.events.record([NewEvent(name, key, at, profile_id, properties=more)])
        await self.appraisal.hear(await self.people.events.find(profile_id, [name]))

    async def make(self, rule: Mapping[str, Any], name: str = "Some") -> str:
        row = await self.segments.create(SegmentInput(name=name, rule=dict(rule)))
        return str(row["_id"])

    async def made(self, rule: Mapping[str, Any], name: str = "Some") -> str:
        segment_id = await self.make(rule, name)
        await self.builder.drain()
        return segment_id

    async def edit(self, segment_id: str, rule: Mapping[str, Any]) -> None:
        await self.segments.change(segment_id, SegmentPatch(rule=dict(rule)))

    async def settle(self) -> None:
        for _ in range(30):
            self.people.clock.forward(milliseconds=1)
            if not await self.appraisal.drain(200):
                return
        raise AssertionError("the appraisal does not come to an end")

    async def members(self, segment_id: str) -> set[str]:
        found = await self.segments.members(segment_id, limit=200)
        row = await self.segments.get(segment_id)
        assert row["members"] == len(found.data), "the tally is wrong"
        return {each.id for each in found.data}

    async def told(self, segment_id: str | None = None) -> list[tuple[str, str]]:
        wanted: Document = {"name": {"$in": ["segment.entered", "segment.left"]}}
        if segment_id:
            wanted["properties.segment_id"] = segment_id
        found = self.people.db.collection("events").find(wanted).sort("_id", 1)
        return [(row["name"].partition(".")[2], row["profile_id"]) async for row in found]

    async def by_the_rules(self) -> dict[str, set[str]]:
        """Who should be in each segment, asked one by one in memory."""
        rows = await self.store.all()
        result: dict[str, set[str]] = {row["_id"]: set() for row in rows}
        keys = {row["_id"]: row["_id"] for row in rows}
        now = self.people.clock()
        async for person in self.people.db.collection("profiles").find({"merged_into": None}):
            events = await self.people.db.collection("events").find({"profile_id": person["_id"]}).to_list(None)
            inside: set[str] = set()
            for _ in rows:  # inner ones settle before outer ones
                doc = {**person, "segments": sorted(inside)}
                facts = Facts(doc, ListedEvents(events, now))
                inside = {r["_id"] for r in rows if matches(with_segments(parse(r["rule"]), keys), facts, now)}
            for each in inside:
                result[each].add(person["_id"])
        return result

    async def check(self) -> None:
        wanted = await self.by_the_rules()
        assert {key: await self.members(key) for key in wanted} == wanted


@pytest.fixture
async def club(people: People) -> AsyncIterator[Club]:
    await people.db.ensure_indexes(segment_rows.INDEXES)
    store, members = SegmentStore(people.db, people.clock), MemberStore(people.db)
    segments = Segments(people.db, store, members, people.profiles, people.clock, Uses(SegmentUses(store)))
    builder = SegmentBuilder(people.db, store, members, people.profiles, people.clock, stretch=3)
    appraisal = Appraisal(
        people.db, people.profiles, people.events, people.clock, (SegmentAppraiser(store, TagStore(people.db)),)
    )
    yield Club(people, store, segments, builder, appraisal)
    for name in ("segments", "segment_builds", "segment_tallies", "segment_edition"):
        await people.db.collection(name).delete_many({})


# -- building and keeping -------------------------------------------------------------------------------------------


async def test_the_first_build_finds_all_and_tells_nobody(club: Club) -> None:
    ids = [await club.joins(tags=["vip"] if n % 2 else []) for n in range(8)]
    await club.settle()
    segment = await club.make(VIP)
    row = await club.segments.get(segment)
    assert (row["state"], row["members"], row["progress"]) == ("building", None, 0.0)
    assert (await club.segments.members(segment)).data == []
    await club.builder.drain()
    row = await club.segments.get(segment)
    assert (row["state"], row["members"], row["progress"]) == ("live", 4, None)
    assert await club.members(segment) == set(ids[1::2])
    await club.settle()
    assert await club.told() == []


async def test_entering_and_leaving_are_told_once(club: Club) -> None:
    anna = await club.joins()
    segment = await club.made(VIP)
    await club.settle()
    for tags, told in ((["vip"], ["entered"]), (["vip", "x"], []), ([], ["left"]), (["vip"], ["entered"])):
        before = len(await club.told())
        await club.people.profiles.write(anna, {"tags": tags})
        await club.settle()
        await club.people.profiles.appraisals.due([anna])
        await club.settle()
        assert [name for name, _ in (await club.told())[before:]] == told
        assert await club.members(segment) == ({anna} if "vip" in tags else set())
    (event, *_) = await club.people.events.find(anna, ["segment.entered"])
    assert event.properties == {"segment_id": segment, "version": 1}


async def test_mautic_8113_what_a_change_costs_depends_on_who_changed(club: Club) -> None:
    """mautic#8113: forty minutes for a segment of 260,000, whether ten rows had changed or five thousand."""
    ids = [await club.joins(score=n) for n in range(60)]
    segment = await club.made({"field": "score", "op": "gte", "value": 30})
    await club.settle()
    for each in ids[:3]:
        await club.people.profiles.write(each, {"score": 50})
    assert await club.appraisal.drain(200) == 3, "nobody else was looked at"
    assert await club.members(segment) == {*ids[:3], *ids[30:]}


async def test_time_alone_moves_people(club: Club) -> None:
    anna = await club.joins()
    await club.does(anna, at=club.people.clock() - timedelta(days=29))
    await club.does(anna)
    fresh, buyers, lately = await club.make(FRESH), await club.make(BUYERS), await club.make(
        {"last_event": "order.paid", "op": "within_last", "value": "P7D"}
    )  # fmt: skip
    await club.settle()  # nobody is due when the build has to see to it
    await club.builder.drain()
    assert [await club.members(each) for each in (fresh, buyers, lately)] == [{anna}] * 3
    for days, inside in ((1.01, (fresh, lately)), (6, (fresh,)), (23, ())):
        club.people.clock.forward(days=days)
        await club.settle()
        assert {each for each in (fresh, buyers, lately) if await club.members(each)} == set(inside)
        await club.check()
    assert sorted(name for name, _ in await club.told()) == ["left"] * 3


@pytest.mark.parametrize("rule", [
    {"event": "order.paid", "count": {"eq": 0}}, {"event": "order.paid", "count": {"lt": 2}, "within": "P10D"},
    {"event": "order.paid", "where": [{"field": "properties.total", "op": "gte", "value": 50}]},
    {"event": "order.paid", "count": {"lte": 1}, "where": [{"field": "properties.total", "op": "gte", "value": 50}]},
    {"last_event": "order.paid", "op": "missing"}, {"last_event": "order.paid", "op": "exists"},
    {"last_event": "order.paid", "op": "older_than", "value": "P10D"},
    {"not": {"all": [{"event": "order.paid"}, VIP]}}, {"any": [BUYERS, VIP, {"event": "page.viewed"}]},
    {"near": {"field": "location", "lat": 52.1, "lon": 4.5, "km": 25}},
    {"field": "attributes.born", "op": "day_of_year", "value": "today"},
    {"field": "created_at", "op": "older_than", "value": "P2M"}, {"all": []},
    {"bucket": {"salt": "x", "from": 0, "to": 50}}, {"field": "attributes.trial", "op": "within_last", "value": "P5D"},
])  # fmt: skip
async def test_building_and_keeping_agree_with_the_rule(club: Club, rule: dict[str, Any]) -> None:
    dice = random.Random(str(rule))
    start = club.people.clock()
    for n in range(12):
        there = {"type": "Point", "coordinates": [4.5 + n / 20, 52.1]}
        more = {"born": f"1990-03-{1 + n % 5:02d}", "trial": (start + timedelta(days=n - 6)).isoformat()}
        created = start - timedelta(days=dice.choice([0, 40, 58, 59, 60, 61, 90]), hours=dice.randrange(24))
        tags = ["vip"] if n % 3 == 0 else []
        each = await club.joins(tags=tags, location=there, attributes=more, created_at=created)
        for _ in range(dice.randrange(4)):
            at = start - timedelta(days=dice.randrange(20))
            await club.does(
                each, dice.choice(["order.paid", "order.paid", "page.viewed"]), at=at, total=dice.randrange(100)
            )
    stone = await club.joins(tags=["vip"])
    await club.people.db.collection("profiles").update_one({"_id": stone}, {"$set": {"merged_into": "prf_x"}})
    await club.settle()
    await club.made(rule)
    await club.check()
    for hours in (5, 20, 24, 30, 72, 24 * 3, 24 * 20, 24 * 30):
        club.people.clock.forward(hours=hours)
        await club.settle()
        await club.check()


async def test_people_who_come_and_change_during_a_build_are_in_it_rightly(club: Club) -> None:
    ids = [await club.joins(tags=["vip"] if n % 2 else []) for n in range(9)]
    await club.settle()
    segment = await club.make(VIP)
    real, changed = club.builder._one_stretch, iter(ids)

    async def disturbed(*args: Any) -> None:
        for each in [found for _ in range(3) if (found := next(changed, None))]:
            person = await club.people.profiles.get(each)
            assert person is not None
            await club.people.profiles.write(each, {"tags": [] if person.tags else ["vip"]})
            await club.joins(tags=["vip"])
        await real(*args)
        await club.settle()

    club.builder._one_stretch = disturbed  # type: ignore[method-assign]
    await club.builder.drain()
    await club.settle()
    await club.check()
    assert await club.told() == [] and len(await club.members(segment)) > 4


# -- edits ----------------------------------------------------------------------------------------------------------


async def test_an_edit_serves_the_old_members_until_the_new_are_whole_and_tells_nobody(club: Club) -> None:
    ids = [await club.joins(tags=["vip"] if n % 2 else ["eu"]) for n in range(8)]
    segment = await club.made(VIP)
    await club.settle()
    await club.edit(segment, {"field": "tags", "op": "eq", "value": "eu"})
    assert await club.members(segment) == set(ids[1::2])
    assert (await club.segments.get(segment))["state"] == "building"
    await club.people.profiles.write(ids[0], {"tags": ["eu", "vip"]})  # lives on by the old rule meanwhile
    await club.settle()
    assert await club.told() == [("entered", ids[0])]
    await club.builder.drain()
    assert await club.members(segment) == set(ids[0::2])
    await club.settle()
    assert await club.told() == [("entered", ids[0])]
    await club.people.profiles.write(ids[0], {"tags": []})
    await club.settle()
    assert await club.told() == [("entered", ids[0]), ("left", ids[0])]
    assert await club.people.db.collection("profiles").count_documents({"segments": segment}) == 0
    assert await club.people.db.collection("segment_tallies").count_documents({}) == LANES
    assert await club.people.db.collection("segment_builds").count_documents({}) == 0


async def test_mautic_6324_an_edit_during_an_edit_takes_its_place(club: Club) -> None:
    ids = [await club.joins(score=n) for n in range(8)]
    segment = await club.made({"field": "score", "op": "gte", "value": 4})
    await club.edit(segment, {"field": "score", "op": "gte", "value": 6})
    await club.edit(segment, {"field": "score", "op": "gte", "value": 7})
    assert await club.people.db.collection("segment_builds").count_documents({}) == 1
    await club.builder.drain()
    await club.settle()
    assert await club.members(segment) == {ids[7]}
    for key, count in ((segment, 0), (f"{segment}.2", 0), (f"{segment}.3", 1)):
        assert await club.people.db.collection("profiles").count_documents({"segments": key}) == count


async def test_a_name_alone_builds_nothing(club: Club) -> None:
    segment = await club.made(VIP)
    row = await club.segments.change(segment, SegmentPatch(name="Best", description="Ours", rule=dict(VIP)))
    assert (row["name"], row["description"], row["state"], row["version"]) == ("Best", "Ours", "live", 1)


# -- segments of segments -------------------------------------------------------------------------------------------


async def test_mautic_13088_a_change_inside_reaches_the_outer_ones_in_the_same_look(club: Club) -> None:
    anna = await club.joins()
    inner = await club.make(VIP, "Inner")
    middle = await club.make({"not": {"segment": inner}}, "Middle")
    outer = await club.make({"all": [{"segment": inner}, {"not": {"segment": middle}}]}, "Outer")
    await club.builder.drain()
    await club.settle()
    assert [await club.members(each) for each in (inner, middle, outer)] == [set(), {anna}, set()]
    await club.people.profiles.write(anna, {"tags": ["vip"]})
    assert await club.appraisal.drain(10) == 1
    assert [await club.members(each) for each in (inner, middle, outer)] == [{anna}, set(), {anna}]
    assert sorted(await club.told()) == [("entered", anna), ("entered", anna), ("left", anna)]


async def test_an_edit_inside_changes_the_outer_ones_with_it(club: Club) -> None:
    ids = [await club.joins(tags=["vip"] if n % 2 else ["eu"]) for n in range(6)]
    inner = await club.made(VIP, "Inner")
    outer = await club.made({"not": {"segment": inner}}, "Outer")
    await club.settle()
    await club.edit(inner, {"field": "tags", "op": "eq", "value": "eu"})
    assert (await club.members(inner), await club.members(outer)) == (set(ids[1::2]), set(ids[0::2]))
    await club.builder.drain()
    assert (await club.members(inner), await club.members(outer)) == (set(ids[0::2]), set(ids[1::2]))
    await club.settle()
    assert await club.told() == []
    await club.check()


async def test_circles_are_refused_with_their_way_and_used_ones_stay(club: Club) -> None:
    first = await club.make(VIP, "First")
    second = await club.make({"any": [VIP, {"segment": first}]}, "Second")
    third = await club.make({"segment": second}, "Third")
    with pytest.raises(WrongInput) as caught:
        await club.edit(first, {"all": [VIP, {"not": {"segment": third}}]})
    (fault,) = caught.value.errors
    assert (
        fault.path == "rule.all[1].not.segment" and fault.message == "asks for itself: First → Third → Second → First"
    )
    with pytest.raises(WrongInput):
        await club.edit(first, {"segment": first})
    with pytest.raises(WrongInput) as caught:
        await club.make({"any": [{"segment": "seg_unknown"}]})
    assert caught.value.errors[0].path == "rule.any[0].segment"
    with pytest.raises(Conflict, match="Second"):
        await club.segments.delete(first)
    await club.builder.drain()
    await club.check()
    for each in (third, second, first):
        await club.segments.delete(each)
        with pytest.raises(NotFound):
            await club.segments.get(each)
    await club.builder.drain()
    for name in ("segments", "segment_builds", "segment_tallies"):
        assert await club.people.db.collection(name).count_documents({}) == 0
    assert await club.people.db.collection("profiles").count_documents({"segments": {"$ne": []}}) == 0


async def test_what_was_taken_away_comes_back_under_its_id_and_is_found_anew(club: Club) -> None:
    vip, other = await club.joins(tags=["vip"]), await club.joins()
    inner = await club.made(VIP)
    outer = await club.made({"not": {"segment": inner}})
    await club.segments.delete(outer)
    assert (await club.segments.removed(outer) or {})["name"] == "Some"
    back = await club.segments.restore(outer)  # before its former members were cleared away
    assert (back["state"], back["version"], back["live"]) == ("building", 2, None)
    await club.segments.restore(outer)  # once more changes nothing
    await club.builder.drain()
    await club.settle()
    assert await club.members(outer) == {other} and await club.members(inner) == {vip}
    assert await club.segments.removed(outer) is None
    await club.segments.delete(outer)
    await club.segments.delete(inner)
    with pytest.raises(WrongInput):
        await club.segments.restore(outer)
    with pytest.raises(NotFound):
        await club.segments.restore("seg_" + "0" * 26)
    assert await club.told() == []


async def test_two_edits_at_once_make_no_circle(club: Club) -> None:
    first, second = await club.make(VIP, "First"), await club.make(VIP, "Second")
    done = await asyncio.gather(
        club.edit(first, {"segment": second}), club.edit(second, {"segment": first}), return_exceptions=True
    )
    assert sorted(type(each) for each in done if each) == [WrongInput]
    await club.builder.drain()
    await club.check()


# -- people who go, join and part -----------------------------------------------------------------------------------


async def test_tallies_follow_erasure_merging_and_parting(club: Club) -> None:
    anna, double, gone = [await club.joins(tags=["vip"]) for _ in range(3)]
    segment = await club.made(VIP)
    await club.settle()
    assert len(await club.members(segment)) == 3
    await club.people.profiles.delete([gone])
    before = await club.people.db.collection("profiles").find_one({"_id": double})
    assert before is not None
    stone = {"_id": double, "merged_into": anna, "rev": before["rev"] + 1}

    async def replace(row: Document, after: Document) -> None:
        async def work(session: Any) -> None:
            assert await club.people.profiles.replace(row, after, session)

        await club.people.db.in_transaction(work)

    await replace(before, stone)
    assert await club.members(segment) == {anna}
    await replace(stone, {**before, "rev": stone["rev"] + 1})
    assert await club.members(segment) == {anna, double}
    await club.settle()
    assert await club.told() == [] and await club.members(segment) == {anna, double}


async def test_who_switched_profiling_off_is_judged_by_what_they_said_alone(club: Club) -> None:
    anna = await club.joins(tags=["vip"], profiling_off=True, score=90)
    await club.does(anna)
    vip, score, paid = [
        await club.make(rule) for rule in (VIP, {"field": "score", "op": "gt", "value": 50}, {"event": "order.paid"})
    ]
    await club.builder.drain()
    assert [await club.members(each) for each in (vip, score, paid)] == [{anna}, set(), set()]
    await club.people.profiles.appraisals.due([anna])
    await club.settle()
    assert [await club.members(each) for each in (vip, score, paid)] == [{anna}, set(), set()]


# -- previews -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [VIP, BUYERS, {"not": VIP}, {"any": [VIP, {"event": "order.paid", "count": 0}]}])
async def test_a_preview_counts_and_shows_some(club: Club, rule: dict[str, Any]) -> None:
    for n in range(12):
        each = await club.joins(tags=["vip"] if n % 2 else [])
        for _ in range(n % 3):
            await club.does(each)
    stone = await club.joins(tags=["vip"])
    await club.people.db.collection("profiles").replace_one({"_id": stone}, {"_id": stone, "merged_into": "prf_x"})
    seen = await club.segments.preview(rule)
    await club.made(rule)
    ((_, wanted),) = (await club.by_the_rules()).items()
    assert (seen.count, seen.at_least) == (len(wanted), False)
    assert len(seen.sample) == min(5, len(wanted)) and {each.id for each in seen.sample} <= wanted


async def test_a_preview_that_would_take_too_long_says_at_least(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(30):
        await club.does(await club.joins(tags=["vip"]))
    monkeypatch.setattr("profiles.membership.book.PREVIEW_STRETCH", 10)
    monkeypatch.setattr(club.segments, "_preview_s", 0.000_001)
    try:
        seen = await club.segments.preview({"event": "order.paid"})
    except Conflict as error:
        assert error.code == "too_slow"
    else:
        assert seen.at_least and 0 < seen.count < 30


@pytest.mark.parametrize("where", [False, True])
async def test_a_preview_by_events_is_stopped_by_the_server_itself(
    club: Club, monkeypatch: pytest.MonkeyPatch, where: bool
) -> None:
    """The events of one stretch may be many: reading them has its limit, too, and the answer says what to do."""
    for _ in range(5):
        await club.does(await club.joins(tags=["vip"]))
    rule: dict[str, Any] = {"event": "order.paid"}
    if where:
        rule["where"] = [{"field": "properties.total", "op": "exists"}]
    given: list[int] = []
    members, reads = club.segments._members, "happened" if where else "counted"
    read = getattr(members, reads)

    async def slow(*asked: Any, time_ms: int, **more: Any) -> Any:
        given.append(time_ms)
        await read(*asked, time_ms=time_ms, **more)
        raise ExecutionTimeout("operation exceeded time limit", 50)

    monkeypatch.setattr(members, reads, slow)
    with pytest.raises(TooSlow, match="too large to preview now") as refused:
        await club.segments.preview(rule)
    assert refused.value.code == "too_slow" and len(given) == 1 and 0 < given[0] <= 1500


# -- races and deaths -----------------------------------------------------------------------------------------------


WRITES = ("update_many", "update_one", "bulk_write", "insert_many", "insert_one", "delete_one", "delete_many")
Step = Callable[[Club, str], Awaitable[object]]


@pytest.mark.parametrize("after", [False, True])
async def test_a_builder_that_dies_anywhere_is_carried_on(
    club: Club, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    dying = Dying(monkeypatch, WRITES)
    for n in range(7):
        await club.joins(tags=["vip"] if n % 2 else ["eu"], score=n)
    inner = await club.made(VIP)
    outer = await club.made({"not": {"segment": inner}})
    await club.settle()
    deaths, rules = 0, (VIP, {"field": "tags", "op": "eq", "value": "eu"})
    for death in range(1, 60):
        old = [await club.members(each) for each in (inner, outer)]
        await club.edit(inner, rules[death % 2])
        deaths += await dying.on(death, after, club.builder.drain)
        row = await club.segments.get(inner)
        if row["state"] == "building":
            assert [await club.members(each) for each in (inner, outer)] == old
        await club.people.db.collection("segment_builds").update_many({}, {"$set": {"due_at": club.people.clock()}})
        await club.builder.drain()
        assert [await club.members(each) for each in (inner, outer)] == old[::-1]
        if deaths < death:
            break
    await club.settle()
    await club.check()
    assert deaths >= 15 and await club.told() == []


async def test_builders_edits_writers_and_appraisals_at_once_end_right(club: Club) -> None:
    dice = random.Random(3)
    ids = [await club.joins(tags=["vip"] if n % 2 else [], score=n) for n in range(30)]
    first = await club.make(VIP)
    second = await club.make({"all": [{"segment": first}, {"field": "score", "op": "gte", "value": 10}]})
    third = await club.make(BUYERS)
    stop = False

    async def keep(work: Callable[[], Awaitable[object]]) -> None:
        while not stop:
            await work()
            await asyncio.sleep(0.002)

    async def live() -> None:
        for _ in range(60):
            each = dice.choice(ids)
            if dice.random() < 0.4:
                await club.does(each)
            else:
                await club.people.profiles.write(
                    each, {"tags": dice.choice([["vip"], [], ["eu"]]), "score": dice.randrange(30)}
                )

    async def edit() -> None:
        for value in (5, 20, 15):
            await club.edit(first, dice.choice([VIP, {"field": "tags", "op": "eq", "value": "eu"}]))
            await asyncio.sleep(0.05)
            await club.edit(second, {"all": [{"segment": first}, {"field": "score", "op": "gte", "value": value}]})
            await asyncio.sleep(0.05)

    background = [asyncio.create_task(keep(work)) for work in (
        club.builder.drain, club.builder.drain, lambda: club.appraisal.drain(5), lambda: club.appraisal.drain(5),
    )]  # fmt: skip
    await asyncio.gather(live(), live(), edit())
    stop = True
    await asyncio.gather(*background)
    club.people.clock.forward(seconds=31)
    await club.people.db.collection("segment_builds").update_many({}, {"$set": {"due_at": club.people.clock()}})
    await club.builder.drain()
    await club.settle()
    await club.check()
    inside: dict[str, bool] = {}
    for name, who in await club.told(third):  # never edited: entering and leaving take turns
        assert inside.get(who, False) is (name == "left")
        inside[who] = name == "entered"
