"""Whatever dies when: everybody stands in the ledger once, is sent to once, and it all comes to an end."""

import random
import time
from typing import Any

import pytest

from campaigns.broadcasts.figures import adds_up
from channels.failures import Failure, SendFailed
from tests.campaigns.broadcasts.conftest import Post, opened
from tests.dying import Dying

ROOMS = ("broadcasts", "broadcast_waves", "broadcast_paces", "sends", "messages", "events", "tasks", "feed")


async def _life(post: Post, dying: Dying | None, at: int, after: bool) -> int:
    """A broadcast from its start to its end with a pause, one death on the way; the writes it took."""
    for room in ROOMS:
        await post.world.db.collection(room).delete_many({})
    provider = post.world.provider()
    provider.sent.clear()
    provider.accepted.clear()
    head = await post.draft(holdout_percent=30)
    broadcast, used = head["_id"], 0

    async def work() -> None:
        await post.broadcasts.set_status(broadcast, "running")
        await post.plan()
        await post.broadcasts.set_status(broadcast, "paused")
        await post.look()
        await post.broadcasts.set_status(broadcast, "running")
        await post.look()
        await post.plan()

    if dying is None:
        await work()
    else:
        await dying.on(at, after, work)
        used = dying.count
    if await post.status(broadcast) in ("draft", "paused"):
        await post.broadcasts.set_status(broadcast, "running")
    for _ in range(3):
        await post.look()
        await post.expired()
        await post.settle()
    counts = await post.counts(broadcast)
    assert counts["people"] == 30 and adds_up(counts) and counts["waiting"] == 0, counts
    assert counts["accepted"] == len(post.world.sent()) == 30 - counts["reasons"].get("holdout", 0)
    assert await post.status(broadcast) == "done"
    assert len({row["profile_id"] for row in await post.rows(broadcast)}) == 30
    return used


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_killed_at_every_write_and_resumed(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    await post.people(30)
    small = opened(post.world, stretch=12)
    dying = Dying(monkeypatch)
    writes = await _life(small, dying, -1, False)
    assert writes > 10
    places = [(at, after) for at in range(1, writes + 1) for after in (False, True)]
    random.Random(7).shuffle(places)
    begun, tried = time.monotonic(), 0
    for at, after in places:
        await _life(small, dying, at, after)
        tried += 1
        if tried >= 12 and time.monotonic() - begun > 120:
            break
    print(f"\nkilled at {tried} of {len(places)} places around {writes} writes; nothing lost, nothing twice")  # noqa: T201


async def test_another_attempt_that_dies_half_way_tries_nobody_twice(post: Post) -> None:
    await post.people(40)
    post.world.provider().script = lambda message: SendFailed(Failure.CONTENT_REJECTED, "no")
    broadcast = await post.started()
    await post.settle()
    if await post.status(broadcast) == "paused":
        await post.broadcasts.set_status(broadcast, "running")
        await post.settle()
    post.world.provider().script = None
    real = post.mailings.taken_over

    async def dies(ids: Any) -> None:
        raise RuntimeError("gone")

    post.mailings.taken_over = dies  # type: ignore[method-assign]
    await post.broadcasts.retry(broadcast)
    await post.planner.drain()
    post.mailings.taken_over = real  # type: ignore[method-assign]
    await post.expired()
    await post.settle()
    counts = await post.counts(broadcast)
    assert counts["accepted"] == 40 == len(post.world.sent()) and counts["failed"] == 0


async def test_two_who_turn_out_to_be_one_get_one_message(post: Post) -> None:
    first, second = await post.people(2)
    broadcast = await post.started()
    # as a merge leaves it: the second person's rows and identity are the first one's
    db = post.world.db
    await db.collection("profiles").update_one({"_id": second}, {"$set": {"merged_into": first, "joined": first}})
    for room in ("sends", "identities"):
        await db.collection(room).update_many({"profile_id": second}, {"$set": {"profile_id": first}})
    await post.settle()
    counts = await post.counts(broadcast)
    assert len(post.world.sent()) == 1 and counts["reasons"] == {"same_person": 1}
