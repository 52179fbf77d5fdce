"""A person with fifty thousand entries: every page costs what it shows, not what there is."""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import new_id
from profiles.events import NewEvent
from profiles.kinds import kind_of
from tests.desk.api.conftest import World, answer_of

ENTRIES, MESSAGES, RARE = 50_000, 25_000, 40
START = datetime(2021, 1, 1, tzinfo=UTC)
#: Far above what a page takes here, far below reading fifty thousand rows.
BOUND_MS = 400
NAMES = ("message.received", "message.sent", "page.viewed", "order.paid", "profile.score_changed", "message.delivered")


@pytest.fixture(scope="module")
async def person(own_world: World) -> AsyncIterator[str]:
    """Somebody with very much behind them."""
    world, draw = own_world, random.Random(7)
    messages = [
        {"_id": new_id("msg"), "dedupe": f"long:{n}", "profile_id": world.ours.profile,
         "channel_id": world.ours.channel, "direction": "in" if n % 2 else "out",
         "text": f"Line {n} " + "tea " * 40, "received_at": START,
         "author": {"type": "agent", "id": "usr_" + "0" * 26} if n % 2 == 0 else {"type": "customer"}}
        for n in range(MESSAGES)
    ]  # fmt: skip
    events = []
    for n in range(ENTRIES):
        name = "note.added" if n % (ENTRIES // RARE) == 0 else draw.choice(NAMES)
        message = messages[n % MESSAGES]["_id"] if name.startswith("message.") else None
        events.append(
            {"_id": new_id("evt"), "name": name, "kind": kind_of(name), "dedupe": f"long:{n}", "state": "done",
             "profile_id": world.ours.profile, "channel_id": world.ours.channel if message else None,
             "occurred_at": START + timedelta(minutes=n // 3), "received_at": START,
             "properties": {"message_id": message} if message else {},
             **({"by": "usr_" + "0" * 26} if name == "note.added" else {})}
        )  # fmt: skip
    for start in range(0, ENTRIES, 5000):
        if messages[start : start + 5000]:
            await world.runtime.db.collection("messages").insert_many(messages[start : start + 5000])
        await world.runtime.db.collection("events").insert_many(events[start : start + 5000])
    yield world.ours.profile


MIDDLE = {"at": (START + timedelta(minutes=ENTRIES // 6)).isoformat().replace("+00:00", "Z")}
PAGES: dict[str, dict[str, Any]] = {
    "first": {}, "middle": MIDDLE, "rare kind": {"kind": "note"}, "several kinds": {"kind": "note,order"},
    "several kinds in the middle": {"kind": "note,call,order", **MIDDLE}, "by us": {"by_us": "true"},
    "a month": {"since": "2021-01-10T00:00:00Z", "until": "2021-01-12T00:00:00Z"},
    "a kind in a month": {"kind": "message", "since": "2021-01-10T00:00:00Z", "until": "2021-01-12T00:00:00Z"},
}  # fmt: skip


@pytest.mark.parametrize("asked", PAGES.values(), ids=list(PAGES))
async def test_a_page_costs_what_it_shows(own_world: World, person: str, asked: dict[str, Any]) -> None:
    took = []
    async with own_world.client() as client:
        for _ in range(8):
            begun = time.perf_counter()
            page = await answer_of(await client.get(f"/api/v1/profiles/{person}/timeline", params=asked))
            took.append((time.perf_counter() - begun) * 1000)
    assert page["data"] and min(took) < BOUND_MS, took
    said = [each for each in page["data"] if each["name"] in ("message.received", "message.sent")]
    assert all(each["text"].startswith(("Line ", "Hello from anna")) for each in said)


@pytest.mark.parametrize("asked", PAGES.values(), ids=list(PAGES))
async def test_the_index_is_read_no_further_than_the_page(own_world: World, person: str, asked: dict[str, Any]) -> None:
    """What is flaky on a clock is exact in what the server says it looked at."""
    database = own_world.runtime.db.handle
    await database.command({"profile": 2})
    try:
        async with own_world.client() as client:
            await client.get(f"/api/v1/profiles/{person}/timeline", params=asked)
    finally:
        await database.command({"profile": 0})
    reads = await database["system.profile"].find({"op": "query"}).to_list(None)
    await database["system.profile"].drop()
    of = Counter(each["ns"].partition(".")[2] for each in reads)
    assert of["events"] == 1 and of["messages"] <= 1, of
    for each in reads:
        assert each.get("keysExamined", 0) <= 2500, each.get("command")
        assert not each.get("hasSortStage"), each.get("command")


async def world_goes_on(world: World, person: str) -> None:
    """Something happens to them now."""
    event = NewEvent("note.added", new_id("evt"), datetime.now(UTC), person, properties={"by": "usr_x"})
    await world.runtime.events.record([event])


async def test_both_ways_give_the_same_row_of_entries_while_more_come(own_world: World, person: str) -> None:
    path, kinds = f"/api/v1/profiles/{person}/timeline", {"kind": "note", "limit": 7}
    async with own_world.client() as client:
        whole = (await answer_of(await client.get(path, params={"kind": "note", "limit": 200})))["data"]
        part = await answer_of(await client.get(path, params={**kinds, **MIDDLE}))
        seen = part["data"]
        up, down = part["previous_cursor"], part["next_cursor"]
        while down:
            part = await answer_of(await client.get(path, params={**kinds, "cursor": down}))
            seen, down = seen + part["data"], part["next_cursor"]
            await world_goes_on(own_world, person)
        while True:
            part = await answer_of(await client.get(path, params={**kinds, "newer": up}))
            if not part["data"]:
                break
            seen, up = part["data"] + seen, part["previous_cursor"]
    known = {each["id"] for each in whole}
    seen = [each for each in seen if each["id"] in known]  # what came meanwhile stands before all of them
    assert [each["id"] for each in seen] == [each["id"] for each in whole] and len(whole) >= RARE
