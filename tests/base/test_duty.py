"""Claiming what is due: one owner each, leases that run out, late writes refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from base.clock import now
from base.duty import ALONE_AFTER, MAX_CRASHES, DutyBook, LeaseLost, Renew, beating, due_index, held, settled
from base.mongo import Database


@pytest.fixture
async def book(mongo_url: str, fresh_database_name: str) -> AsyncIterator[DutyBook]:
    database = Database(mongo_url, fresh_database_name)
    await database.ensure_indexes({"duties": [due_index()]})
    yield DutyBook(database.collection("duties"), lease_s=1)
    database.close()


async def fill(book: DutyBook, count: int) -> None:
    await book.collection.insert_many([{"_id": str(i), "state": "pending", "due_at": now()} for i in range(count)])


async def test_many_claimers_share_without_overlap(book: DutyBook) -> None:
    await fill(book, 300)
    book.lease_s = 60
    owners: Counter[str] = Counter()

    async def claimer() -> None:
        while rows := await book.claim(["pending"], now(), limit=20):
            owners.update(row["_id"] for row in rows)

    await asyncio.gather(*(claimer() for _ in range(8)))
    left = await book.claim(["pending"], now(), limit=500)
    owners.update(row["_id"] for row in left)
    assert len(owners) == 300 and set(owners.values()) == {1}


async def test_a_lease_that_ran_out_is_due_again_and_the_late_writer_is_refused(book: DutyBook) -> None:
    await fill(book, 1)
    (first,) = await book.claim(["pending"], now(), limit=5)
    assert await book.claim(["pending"], now() + timedelta(seconds=0.5), limit=5) == []
    await asyncio.sleep(1.2)
    (second,) = await book.claim(["pending"], now(), limit=5)
    assert second["fence"] == 2 and second["attempts"] == 2
    assert await book.settle([settled(first, {"$set": {"state": "done", "by": "late"}})]) == 0
    assert await book.settle([settled(second, {"$set": {"state": "done", "by": "right"}})]) == 1


async def test_a_worker_whose_clock_is_ahead_does_not_steal(book: DutyBook) -> None:
    await fill(book, 3)
    book.lease_s = 60
    await book.claim(["pending"], now(), limit=5)
    assert await book.claim(["pending"], now() + timedelta(minutes=10), limit=5) == []


async def test_renewing_needs_the_lease(book: DutyBook) -> None:
    await fill(book, 1)
    (row,) = await book.claim(["pending"], now(), limit=1)
    assert await book.renew(["0"], row["lease"]) == 1
    assert await book.renew(["0"], "somebody else") == 0


async def test_a_lease_that_is_watched_is_written_only_when_a_third_of_it_has_run_out(book: DutyBook) -> None:
    await fill(book, 1)
    (row,) = await book.claim(["pending"], now(), limit=1)
    lease, began = book.watched(row), row["due_at"]
    assert await lease.ours()
    kept = await book.collection.find_one({"_id": "0"})
    assert kept is not None and kept["due_at"] == began
    await asyncio.sleep(0.4)
    assert await lease.ours()
    kept = await book.collection.find_one({"_id": "0"})
    assert kept is not None and kept["due_at"] > began
    await book.collection.update_one({"_id": "0"}, {"$unset": {"lease": ""}})
    assert not await lease.ours()
    await asyncio.sleep(0.4)
    assert not await lease.ours()


async def test_a_row_that_kills_its_workers_takes_nobody_with_it(book: DutyBook) -> None:
    """The batch dies as often as the poison is in it; those beside it are claimed without it soon enough."""
    await fill(book, 20)
    book.lease_s = 60
    for _ in range(MAX_CRASHES + 2):
        while rows := await book.claim(["pending"], now(), limit=50):
            if any(row["_id"] == "7" for row in rows):
                break  # the worker is dead
            await book.settle([settled(row, {"$set": {"state": "done"}}) for row in rows])
        ran_out = {"state": "pending", "due_at": {"$gt": now()}}
        await book.collection.update_many(ran_out, {"$set": {"due_at": now()}})
    left = await book.collection.find({"state": "pending"}).to_list(None)
    assert [row["_id"] for row in left] == ["7"] and left[0]["attempts"] > MAX_CRASHES
    spent = await book.collection.find({"state": "done"}).to_list(None)
    assert max(row["attempts"] for row in spent) <= ALONE_AFTER + 1


async def test_a_claim_is_bounded_by_weight(book: DutyBook) -> None:
    weighed = DutyBook(book.collection, lease_s=60, weight="bytes", weight_max=100)
    sizes = [60, 30, 30, 500, 10, None, 20]
    rows = [{"_id": str(i), "state": "pending", "due_at": now() - timedelta(seconds=60 - i), "bytes": size}
            for i, size in enumerate(sizes)]  # fmt: skip
    await book.collection.insert_many(rows)
    claims = []
    while taken := await weighed.claim(["pending"], now(), limit=5):
        claims.append([row["_id"] for row in taken])
    assert claims == [["0", "1"], ["2"], ["3"], ["4", "5", "6"]]


async def test_a_lease_is_kept_for_as_long_as_the_work_takes(book: DutyBook) -> None:
    await fill(book, 1)
    (row,) = await book.claim(["pending"], now(), limit=1)
    async with book.held(row):
        await asyncio.sleep(1.6)
        assert await book.claim(["pending"], now(), limit=1) == []
    await asyncio.sleep(1.2)
    assert len(await book.claim(["pending"], now(), limit=1)) == 1


async def test_who_lost_the_lease_is_stopped_where_it_stands(book: DutyBook) -> None:
    await fill(book, 1)
    (row,) = await book.claim(["pending"], now(), limit=1)
    reached: list[str] = []
    with pytest.raises(LeaseLost):
        async with book.held(row):
            await book.collection.update_one({"_id": row["_id"]}, {"$set": {"lease": "somebody else's"}})
            try:
                await asyncio.sleep(5)
            finally:
                reached.append("tidied")
            reached.append("went on")
    assert reached == ["tidied"]


async def test_a_lease_that_cannot_be_renewed_ends_the_work() -> None:
    async def away() -> int:
        raise ConnectionError

    begun = asyncio.get_running_loop().time()
    with pytest.raises(LeaseLost):
        async with held(away, 0.3):
            await asyncio.sleep(5)
    assert asyncio.get_running_loop().time() - begun < 2


async def test_what_the_work_raises_is_its_own() -> None:
    async def ours() -> int:
        return 1

    with pytest.raises(TimeoutError, match="mine"):
        async with held(ours, 0.3):
            raise TimeoutError("mine")
    task = asyncio.create_task(_asleep(ours))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _asleep(renew: Renew) -> None:
    async with held(renew, 0.3):
        await asyncio.sleep(5)


async def test_who_may_not_stop_is_told_how_long_it_is_theirs() -> None:
    answers, told = [1, 0], []

    async def renew() -> int:
        return answers.pop(0)

    async with beating(renew, 0.3, told.append):
        await asyncio.sleep(0.5)
    assert len(told) == 2 and 0 < told[0] <= 0.3 and told[1] == 0
