"""What goes by its age: counted before, in batches, resumed, by indexes alone; nothing younger, nothing open."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import WrongInput
from base.ids import id_before
from campaigns.tracking.store import TrackingStore
from channels.adapter import Delivery
from profiles.models import IdentityRef
from profiles.resolve import Reference
from profiles.store.retention import RetentionStore
from tests.rapport.merging import Town, opened

OLD, YOUNG = timedelta(days=500), timedelta(days=5)


@pytest.fixture(scope="module")
async def town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        yield town


async def tonight(town: Town, turns: int = 20) -> int:
    store, total = RetentionStore(town.runtime.db), 0
    await town.runtime.retention.drain()
    await store.hurry(now() - timedelta(seconds=1))
    for _ in range(turns):
        total += await town.runtime.retention.drain()
    return total


async def aged(town: Town, name: str, prefix: Any, row: dict[str, Any], age: timedelta) -> str:
    """A copy of a row as if it had been made so long ago."""
    made = id_before(prefix, now() - age)[:-4] + f"{next(town.numbers):04d}"
    await town.runtime.db.collection(name).insert_one({**row, "_id": made})
    return made


def of(outlook: list[Any], name: str) -> Any:
    return next(each for each in outlook if each.name == name)


async def test_old_deliveries_go_and_waiting_ones_stay(town: Town) -> None:
    channel = town.channels[0]
    for n in range(3):
        await town.runtime.journal.keep(channel, "generic", f"r{n}", Delivery("POST", b'{"type": "x"}', {}, {}, now()))
    rows = await town.rows("deliveries")
    kept = [{name: value for name, value in row.items() if name != "_id"} for row in rows]
    done = [await aged(town, "deliveries", "dlv", {**kept[0], "key": f"a{n}", "state": "done"}, OLD) for n in range(7)]
    waits = await aged(town, "deliveries", "dlv", {**kept[1], "key": "b"}, OLD)
    await town.runtime.retention.choose({"deliveries": 90, "delivery_bodies": 30}, "usr_x")
    middle = await aged(town, "deliveries", "dlv", {**kept[0], "key": "c", "state": "done"}, timedelta(days=60))
    outlook = await town.runtime.retention.outlook()
    assert (of(outlook, "deliveries").count, of(outlook, "delivery_bodies").count) == (7, 8)
    await tonight(town)
    left = {row["_id"]: row for row in await town.rows("deliveries")}
    assert not set(done) & left.keys() and waits in left and bytes(left[waits]["body"])
    assert not bytes(left[middle]["body"]) and left[middle]["erased_at"] is not None
    (night, *_) = await town.runtime.retention.nights()
    assert night["counts"]["deliveries"] == 7 and night["counts"]["delivery_bodies"] == 8
    assert await town.runtime.journal.again({"_id": middle}) == 0  # nothing is left that could be replayed


async def test_visitors_go_and_whoever_left_anything_stays(town: Town) -> None:
    ids = []
    for n in range(4):
        ref = IdentityRef(kind="anonymous", value=f"browser-{n}-of-somebody", verified=False)
        (known,) = await town.runtime.resolver.identify([Reference([ref], at=now())])
        ids.append(known.profile_id)
    writer = await town.says("frieda")
    profiles = town.runtime.db.collection("profiles")
    await profiles.update_many({"_id": {"$in": [*ids[:3], writer]}}, {"$set": {"last_seen_at": now() - OLD}})
    await profiles.update_one({"_id": ids[1]}, {"$set": {"tags": ["vip"]}})
    await town.runtime.retention.choose({"visitors": 400}, "usr_x")
    assert of(await town.runtime.retention.outlook(), "visitors").count == 2
    await tonight(town)
    left = {row["_id"] for row in await town.rows("profiles")}
    assert left & set(ids) == {ids[1], ids[3]} and writer in left
    assert not await town.rows("identities", profile_id=ids[0]) and not await town.rows("events", profile_id=ids[0])


async def test_closed_conversations_go_with_their_messages_when_somebody_chose_so(town: Town) -> None:
    await town.says("gerda", "old and closed")
    await town.says("hilde", "old and open")
    await town.says("ina", "merged into that")
    talks = town.runtime.db.collection("conversations")
    await talks.update_many({}, {"$set": {"last_activity_at": now() - OLD}})
    (gerda,) = [row for row in await town.rows("messages") if row["text"] == "old and closed"]
    await talks.update_one({"_id": gerda["conversation_id"]}, {"$set": {"status": "resolved"}, "$unset": {"open": ""}})
    (ina,) = [row for row in await town.rows("messages") if row["text"] == "merged into that"]
    head, part = gerda["conversation_id"], ina["conversation_id"]
    await talks.update_one({"_id": part}, {"$set": {"status": "merged", "merged_into": head}})
    await talks.update_one({"_id": head}, {"$set": {"parts": [part]}})
    assert of(await town.runtime.retention.outlook(), "closed_conversations").days is None  # for ever, unless chosen
    tried = await town.runtime.retention.outlook({"closed_conversations": 365})
    assert of(tried, "closed_conversations").count == 1
    await tonight(town)
    assert await town.rows("messages", _id=gerda["_id"])
    await town.runtime.retention.choose({"closed_conversations": 365}, "usr_x")
    await tonight(town)
    assert not await town.rows("messages", _id=gerda["_id"])
    assert not await town.rows("conversations", _id=head) and not await town.rows("conversations", _id=part)
    assert not await town.rows("messages", _id=ina["_id"])
    assert [row["text"] for row in await town.rows("messages") if row["text"] == "old and open"]


async def test_links_go_so_long_after_they_were_last_sent(town: Town) -> None:
    store = TrackingStore(town.runtime.db, now)
    made = {f"lnk-{name}": (f"https://shop.example/{name}", "jrn_x", ["prf_x"]) for name in ("old", "used", "new")}
    await store.know(made)
    rows = town.runtime.db.collection("tracked_links")
    await rows.update_many({"_id": {"$in": ["lnk-old", "lnk-used"]}}, {"$set": {"used_at": now() - OLD}})
    await store.know({"lnk-used": made["lnk-used"]})  # a journey that goes on sends it again
    await tonight(town)
    assert len(await town.rows("tracked_links", source_id="jrn_x")) == 3, "for ever, unless chosen"
    await town.runtime.retention.choose({"links": 365}, "usr_x")
    assert of(await town.runtime.retention.outlook(), "links").count == 1
    await tonight(town)
    assert {row["_id"] for row in await town.rows("tracked_links", source_id="jrn_x")} == {"lnk-used", "lnk-new"}


async def test_cut_short_the_night_goes_on(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    (row, *_) = await town.rows("events")
    kept = {name: value for name, value in row.items() if name not in ("_id", "dedupe")}
    for n in range(1200):
        await aged(town, "events", "evt", {**kept, "name": "page.viewed", "state": "done", "dedupe": f"view-{n}"}, OLD)
    monkeypatch.setattr("profiles.retention.TURN_S", -1.0)  # every turn is over at once
    store = RetentionStore(town.runtime.db)
    await town.runtime.retention.drain()
    await store.hurry(now() - timedelta(seconds=1))
    assert await town.runtime.retention.drain() == 0
    monkeypatch.setattr("profiles.retention.TURN_S", 15.0)
    removed = store.removed
    calls = 0

    async def dies(*given: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return await removed(*given)

    monkeypatch.setattr(town.runtime.retention._store, "removed", dies)
    await store.hurry(now() - timedelta(seconds=1))
    with pytest.raises(KeyboardInterrupt):
        await town.runtime.retention.drain()
    await store.hurry(now() - timedelta(seconds=1))
    await town.runtime.retention.drain()
    assert not await town.rows("events", name="page.viewed")


async def test_wrong_times_are_refused_with_their_place(town: Town) -> None:
    for days in ({"deliveries": 1}, {"nothing": 5}, {"events": 99999}):
        with pytest.raises(WrongInput) as refused:
            await town.runtime.retention.choose(days, "usr_x")
        assert [fault.path for fault in refused.value.errors] == [f"days.{next(iter(days))}"]


async def test_no_kind_reads_a_whole_collection(town: Town) -> None:
    """The server is asked how it finds the rows of each kind."""
    from rapport.retention import _made, _steps, _visitors
    from webhooks.journal import _old

    at, db = now() - OLD, town.runtime.db.handle
    asked = {
        "deliveries": _old(at), "events": _made("evt", at, state="done"), "profiles": _visitors(at),
        "enrolment_log": _steps(at), "conversations": {"status": "resolved", "last_activity_at": {"$lt": at}},
        "erasures": {"done_at": {"$lt": at}}, "sends": _made("snd", at, state={"$in": ["accepted"]}),
    }  # fmt: skip
    for name, wanted in asked.items():
        plan = await db.command("explain", {"find": name, "filter": wanted, "sort": {"_id": 1}, "limit": 500})
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"]), (name, plan["queryPlanner"]["winningPlan"])
