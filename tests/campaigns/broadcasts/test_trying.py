"""Wordings side by side, and how fast anything goes."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict
from campaigns.contents import TemplateInput
from tests.campaigns.broadcasts.conftest import Post, opened

AB: dict[str, Any] = {
    "arms": [{"name": "a", "content": {"text": "A"}}, {"name": "b", "content": {"text": "B"}}],
    "sample_percent": 40, "decide_after": "PT1H", "metric": "clicked", "min_sample": 10,
}  # fmt: skip


async def sampled(post: Post, **more: Any) -> str:
    await post.people(120)
    broadcast = await post.started(content=None, ab={**AB, **more})
    for _ in range(3):
        await post.deliver(500)
    await post.look()
    return broadcast


async def test_a_sample_goes_first_and_the_rest_gets_the_winner(post: Post) -> None:
    broadcast = await sampled(post)
    first = Counter(post.world.sent())
    assert 20 < sum(first.values()) < 75 and min(first.values()) >= 10
    counts = await post.counts(broadcast)
    assert counts["arms"]["rest"]["waiting"] == 120 - sum(first.values())
    await post.world.db.collection("sends").update_many(
        {"source.node_id": "b", "state": "accepted"}, {"$set": {"clicked_at": now()}}
    )
    await post.store.touch([broadcast])
    await post.world.db.collection("broadcasts").update_many({}, {"$set": {"decide_at": now()}})
    await post.due(broadcast)
    await post.settle()
    winner = (await post.broadcasts.get(broadcast))["winner"]
    assert (winner["arm"], winner["why"], winner["certain"]) == ("b", "won", True)
    assert "b is ahead" in winner["sentence"]
    assert Counter(post.world.sent()) == first + Counter({"B": 120 - sum(first.values())})
    figures = await post.broadcasts.figures(broadcast)
    assert {each["name"] for each in figures.trial} == {"a", "b"}
    assert await post.status(broadcast) == "done"


async def test_a_sample_too_small_falls_back_and_says_so(post: Post) -> None:
    broadcast = await sampled(post, min_sample=500, fallback="b")
    await post.world.db.collection("broadcasts").update_many({}, {"$set": {"decide_at": now()}})
    await post.due(broadcast)
    await post.settle()
    winner = (await post.broadcasts.get(broadcast))["winner"]
    assert (winner["arm"], winner["why"]) == ("b", "too_small") and len(post.world.sent()) == 120


async def test_the_winner_may_be_chosen_by_hand_and_stands(post: Post) -> None:
    broadcast = await sampled(post, automatic=False, decide_after=None)
    await post.due(broadcast)
    await post.settle()
    assert len(post.world.sent()) < 80 and await post.status(broadcast) == "running"
    await post.broadcasts.choose(broadcast, "a", "usr_x")
    with pytest.raises(Conflict):
        await post.broadcasts.choose(broadcast, "b", "usr_x")
    await post.settle()
    assert len(post.world.sent()) == 120 and await post.status(broadcast) == "done"


async def test_two_who_decide_at_once_decide_once(post: Post) -> None:
    broadcast = await sampled(post)
    await post.world.db.collection("broadcasts").update_many({}, {"$set": {"decide_at": now()}})
    heads = [await post.broadcasts.get(broadcast) for _ in range(2)]
    minders = [post.minder, opened(post.world).minder]
    await asyncio.gather(*(each.mind(head) for each, head in zip(minders, heads, strict=True)))
    assert (await post.broadcasts.get(broadcast))["rev"] == heads[0]["rev"] + 1


async def test_what_is_compared_is_pinned(post: Post) -> None:
    template = await post.world.templates.create(TemplateInput(name="T", text="Old"), None)
    await post.people(4)
    pinned = await post.started(content=None, template_id=template["_id"], wording="pinned")
    latest = await post.started(content=None, template_id=template["_id"])
    await post.world.templates.patch(template["_id"], {"text": "New"}, None)
    await post.settle()
    assert Counter(post.world.sent()) == {"Old": 4, "New": 4} and pinned != latest


@pytest.mark.timeout(60)
async def test_two_workers_together_keep_the_rate(post: Post) -> None:
    """listmonk#2974: its limits hold per worker, so two send twice as fast."""
    await post.people(200)
    times: list[float] = []
    post.world.provider().script = lambda message: times.append(time.monotonic())
    broadcast = await post.started(rate={"per_minute": 600})
    await post.due(broadcast)  # as after an outage: everybody is overdue
    other = opened(post.world)
    assert other
    begun = time.monotonic()
    while time.monotonic() - begun < 8:
        await asyncio.gather(post.deliver(200), post.deliver(200))
        await asyncio.sleep(0.02)
    assert len(times) >= 30, "it does move"
    for place, first in enumerate(times):
        for span in (1.0, 4.0, 8.0):
            inside = [each for each in times[place:] if each < first + span]
            assert len(inside) <= 20 + span * 580 / 60 + 1, (span, len(inside))
    assert len(times) <= 20 + 8.5 * 580 / 60


async def test_a_bucket_never_gives_more_than_its_limit_to_any_number(post: Post) -> None:
    taken = await asyncio.gather(*(post.paces.take("x", 7, 20.0, 0.001) for _ in range(12)))
    assert sum(taken) == 20
    days = await asyncio.gather(*(post.paces.take_of_day("d", 7, "0", (10, 25)) for _ in range(8)))
    assert sum(days) == 10
    assert [await post.paces.take_of_day("d", 30, day, (10, 25)) for day in ("0", "5", "6", "6")] == [0, 25, 25, 0]


async def test_a_ramp_spreads_people_over_days(post: Post) -> None:
    await post.people(30)
    broadcast = await post.started(ramp=[5, 10])
    days = Counter((row["due_at"] - now() + timedelta(hours=1)).days for row in await post.rows(broadcast))
    assert days == {0: 5, 1: 10, 2: 10, 3: 5}
    await post.due(broadcast)  # whatever happens, the day holds
    for _ in range(4):
        await post.deliver(100)
    assert len(post.world.sent()) == 5
    left = [row for row in await post.rows(broadcast) if row["state"] == "deferred"]
    assert {row["reason"]["code"] for row in left} == {"ramp"} and min(row["due_at"] for row in left) > now()


async def test_quiet_hours_wait_or_skip(post: Post) -> None:
    await post.people(2)
    at = now()
    quiet = {"from": (at - timedelta(hours=2)).strftime("%H:%M"), "to": (at + timedelta(hours=2)).strftime("%H:%M"),
             "zone": "UTC"}  # fmt: skip
    waits = await post.started(quiet_hours=quiet)
    skips = await post.started(quiet_hours=quiet, on_quiet="skip")
    await post.deliver(100)
    assert await post.states(waits) == {"deferred": 2} and await post.states(skips) == {"skipped": 2}
