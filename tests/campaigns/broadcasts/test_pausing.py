"""Pause, resume and cancel repeat nobody and leave nobody out; each failure of others by its name."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from campaigns.broadcasts.figures import adds_up
from channels.failures import Failure, SendFailed
from tests.campaigns.broadcasts.conftest import Post, opened


async def test_listmonk_2313_resume_after_a_stop_by_errors_repeats_nobody(post: Post) -> None:
    """listmonk#2313: after it stopped itself for errors the resume began at the top: three copies for most."""
    await post.people(90)
    broken = True

    def script(message: Any) -> Any:
        nonlocal broken
        return SendFailed(Failure.CONTENT_REJECTED, "no") if broken and len(post.world.provider().sent) >= 30 else None

    post.world.provider().script = script
    broadcast = await post.started()
    await post.deliver(60)
    await post.look()
    assert await post.status(broadcast) == "paused"
    head = await post.broadcasts.get(broadcast)
    assert head["paused_by"] == "breaker" and "failed" in head["paused_because"]
    assert head["paused_figures"]["failed"] <= head["paused_figures"]["ended"]
    tasks = await post.world.db.collection("tasks").find({}).to_list(None)
    assert len(tasks) == 1 and "News" in tasks[0]["text"]
    await post.look()
    assert await post.deliver(500) == 0
    broken = False
    await post.broadcasts.set_status(broadcast, "running")
    await post.settle()
    counts = await post.counts(broadcast)
    assert adds_up(counts) and counts["accepted"] + counts["failed"] == 90 == counts["people"]
    await post.broadcasts.retry(broadcast)
    await post.settle()
    assert len(post.world.sent()) == 90 and (await post.counts(broadcast))["accepted"] == 90


async def test_listmonk_2070_pause_and_resume_ten_times_sends_once(post: Post) -> None:
    await post.people(60)
    broadcast = await post.started()
    for _ in range(10):
        await post.deliver(5)
        await post.broadcasts.set_status(broadcast, "paused")
        await post.look()
        await post.deliver(50)
        await post.broadcasts.set_status(broadcast, "running")
        await post.look()
    await post.settle()
    assert len(post.world.sent()) == 60 and (await post.counts(broadcast))["accepted"] == 60
    assert await post.status(broadcast) == "done"


@pytest.mark.parametrize("planned", [0, 1, 2], ids=["before planning", "in the midst of it", "after it"])
async def test_listmonk_2278_2591_2860_2168_1762_done_means_everybody(post: Post, planned: int) -> None:
    """listmonk: "finished" short of its audience after a shutdown, a pause or a changed setting."""
    await post.people(100)
    head = await post.draft()
    await post.broadcasts.set_status(head["_id"], "running")
    if planned == 1:
        (wave,) = await post.waves.of(head["_id"])
        halted = opened(post.world)
        claimed = await halted.waves.claim()
        assert claimed is not None and claimed["_id"] == wave["_id"]  # its worker is gone now
    if planned == 2:
        await post.plan()
        await post.deliver(20)
    await post.broadcasts.set_status(head["_id"], "paused")
    await post.look()
    await post.plan()
    await post.look()
    assert await post.status(head["_id"]) == "paused"
    await post.broadcasts.set_status(head["_id"], "running")
    await post.look()
    assert await post.status(head["_id"]) == "running"
    await post.expired()
    await post.settle()
    assert await post.status(head["_id"]) == "done"
    assert len(post.world.sent()) == 100


async def test_listmonk_1802_being_told_to_slow_down_is_not_done(post: Post) -> None:
    """listmonk#1802: 454 throttling errors were counted as sent."""
    await post.people(20)
    calls = 0

    def script(message: Any) -> Any:
        nonlocal calls
        calls += 1
        return SendFailed(Failure.RATE_LIMITED, "454", retry_after_s=0.05) if calls % 3 == 0 else None

    post.world.provider().script = script
    broadcast = await post.started()
    for _ in range(60):
        await post.settle()
        if await post.status(broadcast) == "done":
            break
        await post.due(broadcast)
        await asyncio.sleep(0.1)
    assert len(post.world.sent()) == 20 and (await post.counts(broadcast))["accepted"] == 20


async def test_parcelvoy_533_nothing_is_stuck_half_way(post: Post) -> None:
    """parcelvoy#533: stuck at 30 %. A planner that dies is followed by another, whatever it had come to."""
    await post.people(100)
    head = await post.draft()
    await post.broadcasts.set_status(head["_id"], "running")
    real, seen = post.mailings.add, 0

    async def dies(rows: Any) -> int:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise asyncio.CancelledError
        return await real(rows)

    post.mailings.add = dies  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await post.planner.drain()
    post.mailings.add = real  # type: ignore[method-assign]
    await post.expired()
    await post.settle()
    assert len(post.world.sent()) == 100 and await post.status(head["_id"]) == "done"


async def test_parcelvoy_627_a_broadcast_by_local_time_begins_without_a_restart(post: Post) -> None:
    """parcelvoy#627: a campaign by local time never began until somebody restarted the program."""
    east, west = await post.people(3, zone="Asia/Tokyo"), await post.people(3, zone="America/New_York", begin=3)
    tomorrow = (now() + timedelta(days=2)).date().isoformat()
    head = await post.draft(schedule={"type": "local", "date": tomorrow, "time": "09:00"})
    await post.broadcasts.set_status(head["_id"], "scheduled")
    assert await post.status(head["_id"]) == "scheduled"
    await post.world.db.collection("broadcasts").update_many({}, {"$set": {"start_at": now()}})
    await post.look()
    await post.plan()
    rows = {row["profile_id"]: row for row in await post.rows(head["_id"])}
    spans = {rows[b]["due_at"] - rows[a]["due_at"] for a in east for b in west}
    assert spans <= {timedelta(hours=13), timedelta(hours=14)} and len(rows) == 6


async def test_parcelvoy_434_a_failed_send_holds_up_nobody(post: Post) -> None:
    await post.people(10)

    def script(message: Any) -> Any:
        return SendFailed(Failure.CONTENT_REJECTED, "no") if message.to.external_id == "chat0" else None

    post.world.provider().script = script
    broadcast = await post.started()
    await post.settle()
    counts = await post.counts(broadcast)
    assert (counts["accepted"], counts["failed"]) == (9, 1) and await post.status(broadcast) == "done"


async def test_a_pause_between_the_writing_and_the_call_still_counts(post: Post) -> None:
    await post.people(10)
    broadcast = await post.started()
    real = post.source.prepare

    async def slow(sends: Any, barred: Any, at: Any) -> Any:
        answers = await real(sends, barred, at)
        await post.broadcasts.set_status(broadcast, "paused")
        return answers

    post.source.prepare = slow  # type: ignore[method-assign]
    await post.deliver(100)
    assert post.world.sent() == [] and {row["tries"] for row in await post.rows(broadcast)} == {0}
    post.source.prepare = real  # type: ignore[method-assign]
    await post.broadcasts.set_status(broadcast, "running")
    await post.settle()
    assert len(post.world.sent()) == 10


async def test_cancel_ends_all_that_has_not_gone(post: Post) -> None:
    await post.people(50)
    broadcast = await post.started()
    await post.deliver(15)
    await post.broadcasts.set_status(broadcast, "cancelled")
    assert await post.deliver(100) >= 0
    await post.look()
    counts = await post.counts(broadcast)
    assert counts["accepted"] == len(post.world.sent()) <= 50 and adds_up(counts)
    assert counts["reasons"].get("cancelled", 0) == 50 - counts["accepted"] and counts["waiting"] == 0
    with pytest.raises(Conflict):
        await post.broadcasts.set_status(broadcast, "running")


async def test_a_cancelled_broadcast_is_not_planned_on(post: Post) -> None:
    await post.people(100)
    head = await post.draft()
    await post.broadcasts.set_status(head["_id"], "running")
    await post.broadcasts.set_status(head["_id"], "cancelled")
    await post.settle()
    assert post.world.sent() == [] and await post.states(head["_id"]) == {}
    assert await post.waves.all_done(head["_id"])


@pytest.mark.parametrize("overdue", ["send_now", "next_day", "skip"])
async def test_resume_asks_what_becomes_of_local_times_that_passed(post: Post, overdue: Any) -> None:
    await post.people(4, zone="Asia/Tokyo")
    tomorrow = (now() + timedelta(days=2)).date().isoformat()
    head = await post.draft(schedule={"type": "local", "date": tomorrow, "time": "09:00"})
    broadcast = head["_id"]
    await post.broadcasts.set_status(broadcast, "running")
    await post.world.db.collection("broadcasts").update_many({}, {"$set": {"start_at": now()}})
    await post.look()
    await post.plan()
    assert (await post.states(broadcast)) == {"planned": 4}
    await post.broadcasts.set_status(broadcast, "paused")
    await post.look()
    past = now() - timedelta(hours=3)
    await post.world.db.collection("sends").update_many({}, {"$set": {"wanted_at": past}})
    await post.broadcasts.set_status(broadcast, "running", overdue=overdue)
    await post.settle()
    rows = await post.rows(broadcast)
    if overdue == "send_now":
        assert {row["state"] for row in rows} == {"accepted"}
    elif overdue == "skip":
        assert {(row["state"], row["reason"]["code"]) for row in rows} == {("skipped", "overdue")}
    else:
        assert {row["state"] for row in rows} == {"deferred"}
        assert {row["due_at"] for row in rows} == {past.replace(microsecond=past.microsecond) + timedelta(days=1)}


async def test_nothing_is_overdue_where_no_local_time_was_promised(post: Post) -> None:
    await post.people(2)
    broadcast = await post.started()
    await post.broadcasts.set_status(broadcast, "paused")
    with pytest.raises(WrongInput):
        await post.broadcasts.set_status(broadcast, "running", overdue="skip")


async def test_who_had_not_heard_of_a_resume_keeps_nobody_back(post: Post) -> None:
    """A worker read "paused" and writes it down after the resume: the next look finds these people."""
    await post.people(5)
    broadcast = await post.started()
    await post.broadcasts.set_status(broadcast, "paused")
    await post.deliver(100)
    rows = await post.rows(broadcast)
    assert {row["reason"]["code"] for row in rows} == {"broadcast_paused"}
    quiet = {"$set": {"status": "running", "moving": None, "active": True}}
    await post.world.db.collection("broadcasts").update_many({}, quiet)
    await post.settle()
    assert len(post.world.sent()) == 5
