"""The stream: order, gaps, resume, who may see what, slow readers."""

import asyncio
import json
import re
from dataclasses import dataclass

import pytest

from base.bus import Bus
from base.clock import now
from base.feed import Feed, Notice
from base.mongo import Database
from desk import live
from desk.live import Tail, Viewer
from tests.desk.world import channel, wrote


@pytest.fixture
async def feed(mongo_url, redis_url, fresh_database_name, redis_prefix):
    database = Database(mongo_url, fresh_database_name)
    bus = Bus(redis_url, prefix=redis_prefix)
    yield Feed(database, bus, now)
    await bus.close()
    database.close()


@pytest.fixture
async def tail(feed):
    tail = Tail(feed, feed._bus, gap_wait_s=0.6)
    task = asyncio.create_task(tail.run())
    await asyncio.wait_for(tail.started.wait(), 5)
    yield tail
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _notices(count, channel_id=None):
    return [Notice("message.created", {"n": i}, channel_id) for i in range(count)]


async def _late(feed, position, n):
    await feed._rows.insert_one(
        {"_id": position, "at": now(), "type": "message.created", "channel_id": None, "data": {"n": n}}
    )


async def _next(viewer, within=3.0):
    return (await asyncio.wait_for(viewer.queue.get(), within))["_id"]


async def test_rows_come_in_order_and_once(feed, tail):
    viewer = Viewer()
    tail.viewers.add(viewer)
    await asyncio.gather(*(feed.append(_notices(3)) for _ in range(10)))
    assert [await _next(viewer) for _ in range(30)] == list(range(1, 31))
    assert viewer.queue.empty()


async def test_a_young_gap_is_waited_for_and_a_late_row_comes_in_its_place(feed, tail):
    viewer = Viewer()
    tail.viewers.add(viewer)
    await feed._reserve(1)
    await feed.append(_notices(2))
    await asyncio.sleep(0.2)
    assert viewer.queue.empty()
    await _late(feed, 1, "late")
    assert [await _next(viewer) for _ in range(3)] == [1, 2, 3]


async def test_an_old_gap_is_passed_over(feed, tail):
    viewer = Viewer()
    tail.viewers.add(viewer)
    await feed._reserve(1)
    await feed.append(_notices(2))
    assert [await _next(viewer) for _ in range(2)] == [2, 3]


async def test_a_tail_that_starts_later_waits_for_writers_under_way(feed):
    await feed.append(_notices(3))
    await feed._reserve(1)
    tail = Tail(feed, feed._bus, gap_wait_s=1.0)
    task = asyncio.create_task(tail.run())
    await asyncio.sleep(0.2)
    await _late(feed, 4, "under way")
    await asyncio.wait_for(tail.started.wait(), 5)
    assert tail.position == 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_full_queue_cuts_its_reader():
    class Transport(asyncio.Transport):
        aborted = False

        def abort(self):
            self.aborted = True

    viewer = Viewer(Transport(), asyncio.Queue(2))
    for i in range(3):
        viewer.offer({"_id": i})
    assert (viewer.dropped, viewer.transport.aborted) == (True, True)


# -- through HTTP --------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def coming_is_no_news(desk, monkeypatch):
    """Whoever opens a stream is here, and that is told to all: the streams of these tests tell only what they say."""

    async def untold():
        return None

    monkeypatch.setattr(desk.runtime.agents, "_told", untold)


@dataclass
class Read:
    id: int
    event: str
    data: dict


async def _events(answer, count, within=5.0):
    found, current = [], {}

    async def read():
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if not line and "event" in current:
                found.append(Read(int(current["id"]), current["event"], json.loads(current["data"])))
                current.clear()
                if len(found) == count:
                    return
            elif line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                current[name] = value

    await asyncio.wait_for(read(), within)
    return found


async def test_the_stream_says_where_it_stands_and_what_happens(desk):
    person = await desk.person()
    async with person.client.get("/api/v1/stream") as answer:
        assert answer.content_type == "text/event-stream"
        (hello,) = await _events(answer, 1)
        assert hello.event == "hello"
        await desk.runtime.feed.append(_notices(2))
        first, second = await _events(answer, 2)
    assert [first.data["type"], first.data["data"], second.id - first.id] == ["message.created", {"n": 0}, 1]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.data["at"])


async def test_coming_back_misses_nothing(desk):
    person, feed = await desk.person(), desk.runtime.feed
    async with person.client.get("/api/v1/stream") as answer:
        await _events(answer, 1)
        await feed.append(_notices(1))
        (seen,) = await _events(answer, 1)
    await feed.append(_notices(5))
    for headers, query in (({"Last-Event-ID": str(seen.id)}, ""), ({}, f"?after={seen.id}")):
        async with person.client.get(f"/api/v1/stream{query}", headers=headers) as answer:
            hello, *missed = await _events(answer, 6)
            await feed.append(_notices(1))
            (fresh,) = await _events(answer, 1)
        assert hello.event == "hello"
        assert [each.id for each in missed][:5] == list(range(seen.id + 1, seen.id + 6))
        assert fresh.id > missed[-1].id


async def test_too_much_missed_is_a_reset(desk, monkeypatch):
    monkeypatch.setattr(live, "BACKLOG_MAX", 3)
    person = await desk.person()
    await desk.runtime.feed.append(_notices(6))
    for after in ("1", "999999"):
        await asyncio.sleep(0.3)
        async with person.client.get("/api/v1/stream", headers={"Last-Event-ID": after}) as answer:
            first = (await _events(answer, 1))[0]
        assert first.event == "reset", after


async def test_notices_of_channels_out_of_scope_are_not_sent(desk):
    person = await desk.person(channels=["chn_mine"])
    async with person.client.get("/api/v1/stream") as answer:
        await _events(answer, 1)
        foreign, mine, common = Notice("a", {}, "chn_other"), Notice("b", {}, "chn_mine"), Notice("c", {}, None)
        await desk.runtime.feed.append([foreign, mine, foreign, common])
        seen = await _events(answer, 2)
    assert [each.data["type"] for each in seen] == ["b", "c"]
    async with person.client.get("/api/v1/stream", headers={"Last-Event-ID": str(seen[0].id - 2)}) as answer:
        again = await _events(answer, 3)
    assert [each.data.get("type") for each in again] == [None, "b", "c"]


async def test_what_is_told_to_one_person_is_told_to_nobody_else(desk):
    one, other = await desk.person(), await desk.person()
    for person, expected in ((one, ["mine", "common"]), (other, ["common"])):
        async with person.client.get("/api/v1/stream") as answer:
            await _events(answer, 1)
            await desk.runtime.feed.append([Notice("mine", {}, None, (one.user_id,)), Notice("nobody's", {}, None, ()),
                                            Notice("common")])  # fmt: skip
            told = await _events(answer, len(expected))
        assert [each.data["type"] for each in told] == expected


async def test_what_belongs_to_no_channel_is_told_to_who_may_see_the_person(desk):
    mine, other = [await channel(desk.runtime, name=name) for name in ("Mine", "Other")]
    seen = (await wrote(desk.runtime, mine, "mira")).profile_id
    hidden = (await wrote(desk.runtime, other, "otto")).profile_id
    limited, whole = await desk.person(channels=[mine.id]), await desk.person()
    orders = [Notice("order.updated", {"order_id": who, "profile_id": who}) for who in (hidden, seen)]
    for person, expected in ((limited, [seen]), (whole, [hidden, seen])):
        async with person.client.get("/api/v1/stream") as answer:
            await _events(answer, 1)
            await desk.runtime.feed.append(orders)
            told = await _events(answer, len(expected))
        assert [each.data["data"]["profile_id"] for each in told] == expected


@pytest.mark.parametrize("how", ["signed out", "switched off"])
async def test_a_closed_session_ends_the_stream_within_seconds(desk, monkeypatch, how):
    monkeypatch.setattr(live, "RECHECK_S", 0.2)
    person = await desk.person()
    async with person.client.get("/api/v1/stream") as answer:
        await _events(answer, 1)
        if how == "signed out":
            await desk.runtime.users.close_sessions_of(person.user_id)
        else:
            await desk.runtime.users.change_user(person.user_id, {"active": False})
        await asyncio.wait_for(answer.content.read(), 3)


async def test_nobody_listens_without_coming_in(desk):
    async with (await desk.person()).client.get("/api/v1/stream", headers={"Authorization": "Bearer no"}) as answer:
        assert answer.status == 401


async def test_streams_of_one_person_are_bounded(desk, monkeypatch):
    monkeypatch.setattr(live, "STREAMS_PER_PRINCIPAL", 2)
    person = await desk.person()
    open_ones = [await person.client.get("/api/v1/stream") for _ in range(2)]
    async with person.client.get("/api/v1/stream") as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
    for each in open_ones:
        each.close()
    await asyncio.sleep(0.2)  # long before the streams themselves look whether anybody is there
    async with person.client.get("/api/v1/stream") as answer:
        assert answer.status == 200, "closed windows do not count"


async def test_a_wrong_position_is_refused(desk):
    person = await desk.person()
    for value in ("x", "-1", "1e3", "9" * 30):
        async with person.client.get("/api/v1/stream", headers={"Last-Event-ID": value}) as answer:
            assert answer.status == 422
