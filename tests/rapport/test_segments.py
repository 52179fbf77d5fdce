"""Segments in the whole house: people are merged, parted, erased, and buy; members and tallies stay right."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from campaigns.facts import FactReader
from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput, SegmentPatch
from profiles.segments import matches, parse
from tests.rapport.merging import Town, opened

VIP = {"field": "tags", "op": "eq", "value": "vip"}
KEPT = ("segments", "segment_builds", "segment_tallies", "segment_edition")


@pytest.fixture(scope="module")
async def _town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        yield town


@pytest.fixture
async def town(_town: Town) -> AsyncIterator[Town]:
    yield _town
    await _town.empty()
    for room in KEPT:
        await _town.runtime.db.collection(room).delete_many({})


async def segment(town: Town, rule: dict[str, Any], name: str = "Some") -> str:
    row = await town.runtime.segments.create(SegmentInput(name=name, rule=rule))
    await town.runtime.segment_builder.drain()
    return str(row["_id"])


async def settled(town: Town) -> None:
    for _ in range(20):
        if not (await town.runtime.reactor.react(500) + await town.runtime.appraisal.drain(500)):
            return
    raise AssertionError("no end")


async def members(town: Town, segment_id: str) -> set[str]:
    found = (await town.runtime.segments.members(segment_id)).data
    assert (await town.runtime.segments.get(segment_id))["members"] == len(found)
    return {each.id for each in found}


async def told(town: Town, segment_id: str) -> list[tuple[str, str]]:
    rows = await town.rows("events", **{"properties.segment_id": segment_id})
    return [(row["name"], row["profile_id"]) for row in rows]


async def test_what_happens_anywhere_moves_people(town: Town) -> None:
    anna = await town.says("anna")
    await settled(town)
    rules: list[dict[str, Any]] = [
        {"field": "orders.count", "op": "gte", "value": 1}, {"event": "order.paid", "count": {"gte": 2}},
        {"consent": "news", "is": "granted"}, {"event": "message.received", "count": {"gte": 2}},
        {"reachable": "generic"}, {"field": "stage", "op": "eq", "value": "customer"},
    ]  # fmt: skip
    ids = [await segment(town, rule) for rule in rules]
    bought, twice, news, talks, reach, customers = ids
    assert [bool(await members(town, each)) for each in ids] == [False, False, False, False, True, False]
    await town.buys("anna")
    await town.buys("anna")
    await town.answers("anna", True, "news")
    await town.says("anna", "again")
    await town.runtime.editor.patch(anna, ProfilePatch(stage="customer"))
    await town.runtime.consent.suppress(await town.identity("anna"), "bounced")
    await settled(town)
    assert [bool(await members(town, each)) for each in ids] == [True, True, True, True, False, True]
    for each in (bought, twice, news, talks, customers):
        assert await told(town, each) == [("segment.entered", anna)]
    assert await told(town, reach) == [("segment.left", anna)]


async def test_merged_parted_and_erased_people_are_counted_rightly(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    await town.runtime.editor.patch(double, ProfilePatch(add_tags=["vip"]))
    await town.buys("anna")
    await town.buys("double")
    await settled(town)
    vip, twice = await segment(town, VIP), await segment(town, {"event": "order.paid", "count": {"gte": 2}})
    assert (await members(town, vip), await members(town, twice)) == ({double}, set())
    merge = await town.runtime.merger.merge(anna, double, by=None)
    await settled(town)
    assert (await members(town, vip), await members(town, twice)) == ({anna}, {anna})
    await town.runtime.merger.unmerge(str(merge.merge_id), by=None)
    await settled(town)
    assert (await members(town, vip), await members(town, twice)) == ({double}, set())
    assert await told(town, twice) == [("segment.entered", anna), ("segment.left", anna)]
    assert await told(town, vip) == [("segment.entered", anna), ("segment.left", anna)]
    await town.runtime.privacy.erasures.at_once(double, by="usr_1")
    await settled(town)
    assert (await members(town, vip), await members(town, twice)) == (set(), set())
    await town.done()


async def test_who_is_merged_just_now_is_not_looked_at(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    await settled(town)
    twice = await segment(town, {"event": "message.received", "count": {"gte": 2}})
    merge = await town.runtime.merger.merge(anna, double, by=None)
    merges = town.runtime.db.collection("merges")
    await merges.update_one({"_id": merge.merge_id}, {"$set": {"state": "moving"}})
    assert await town.runtime.appraisal.drain(50) == 1
    assert await members(town, twice) == set()
    await merges.update_one({"_id": merge.merge_id}, {"$set": {"state": "settling"}})
    await town.runtime.profiles.appraisals.due([anna])
    await settled(town)
    assert await members(town, twice) == {anna}


async def test_a_journey_sees_the_members_that_are_served(town: Town) -> None:
    anna = await town.says("anna")
    await town.runtime.editor.patch(anna, ProfilePatch(add_tags=["vip"]))
    await settled(town)
    first = await segment(town, VIP)
    house = town.runtime
    reader = FactReader(
        house.profiles, house.events, house.order_store, house.conversations, house.channels, house.registry,
        house.clock, segments=house.segment_rows,
    )  # fmt: skip

    async def inside() -> bool:
        subject = (await reader.subjects([anna], []))[anna]
        return matches(parse({"segment": first}), subject, house.clock())

    assert await inside()
    await house.segments.change(first, SegmentPatch(rule={"any": [VIP, {"field": "score", "op": "gt", "value": 90}]}))
    assert await inside()
    await house.segment_builder.drain()
    assert await inside() and await members(town, first) == {anna}
    await house.segments.change(first, SegmentPatch(rule={"not": VIP}))
    assert await inside()
    await house.segment_builder.drain()
    assert not await inside()
