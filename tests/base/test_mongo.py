"""The one module that knows the driver: concerns and patience are ours, whatever the address says."""

import asyncio
import os
import sys
import time
from typing import Any

import pytest
from motor.motor_asyncio import AsyncIOMotorClientSession
from pymongo import ReadPreference
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError, WaitQueueTimeoutError
from pymongo.read_concern import ReadConcern

from base.errors import TooSlow
from base.mongo import (
    ASCENDING,
    DUTY,
    UNAVAILABLE,
    WAIT_MS,
    BulkWriteError,
    Database,
    IndexModel,
    changed_in_parts,
    in_time,
    inserted_apart_from_duplicates,
)


@pytest.mark.parametrize("options", ["", "?w=1&journal=false&readPreference=secondary&readConcernLevel=available"])
async def test_concerns_are_set_in_code_and_never_inherited(options: str) -> None:
    database = Database(f"mongodb://127.0.0.1:9/{options}", "nowhere")
    rows = database.collection("messages")
    assert rows.write_concern == DUTY and DUTY.document == {"w": "majority", "j": True, "wtimeout": 5000}
    assert rows.read_concern == ReadConcern("local") and rows.read_preference == ReadPreference.PRIMARY
    database.close()


async def test_patience_and_compression_are_ours() -> None:
    database = Database("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=60000&compressors=zlib", "nowhere")
    options = database.client.delegate.options
    assert options.server_selection_timeout == 3 and options.pool_options.wait_queue_timeout == 1
    assert options.pool_options.max_pool_size == 50 and options.retry_writes and options.retry_reads
    assert options.pool_options._compression_settings.compressors == []
    database.close()


def test_the_drivers_threads_are_counted_by_us_unless_the_operator_does() -> None:
    threads = sys.modules["motor.frameworks.asyncio"]._EXECUTOR  # as base.mongo had it made
    assert threads._max_workers == int(os.environ["MOTOR_MAX_WORKERS"])


async def test_a_server_that_is_away_is_said_after_three_seconds() -> None:
    database, begun = Database("mongodb://127.0.0.1:9/", "nowhere"), time.monotonic()
    with pytest.raises(UNAVAILABLE) as caught:
        await database.ping()
    assert isinstance(caught.value, ServerSelectionTimeoutError) and time.monotonic() - begun >= 2.9
    database.close()


async def test_a_busy_pool_is_said_after_a_second(mongo_url: str, fresh_database_name: str) -> None:
    database = Database(mongo_url, fresh_database_name, pool_size=1)
    rows = database.collection("reports")
    await rows.insert_one({"_id": 1})
    slow = asyncio.ensure_future(rows.find_one({"$where": "sleep(4000) || true"}))
    await asyncio.sleep(0.5)
    with pytest.raises(UNAVAILABLE) as caught:
        await rows.find_one({"_id": 1})
    assert isinstance(caught.value, WaitQueueTimeoutError)
    assert await slow == {"_id": 1}
    database.close()


async def test_a_transaction_stands_or_falls_as_a_whole(mongo_url: str, fresh_database_name: str) -> None:
    database = Database(mongo_url, fresh_database_name)
    rows = database.collection("rows")
    await rows.insert_one({"_id": 0})

    async def half(session: object) -> None:
        await rows.insert_one({"_id": 1}, session=session)
        raise KeyError("in the middle")

    async def whole(session: object) -> int:
        await rows.insert_many([{"_id": 2}, {"_id": 3}], session=session)
        return 2

    with pytest.raises(KeyError):
        await database.in_transaction(half)
    assert await database.in_transaction(whole) == 2
    assert [row["_id"] for row in await database.aggregate(rows, [{"$sort": {"_id": 1}}])] == [0, 2, 3]
    database.close()


async def test_transactions_that_clash_come_again_also_at_their_end(mongo_url: str, fresh_database_name: str) -> None:
    """Where a collection is made by the first write in it, clashes are told by the commit."""
    database = Database(mongo_url, fresh_database_name)
    for round_ in range(4):
        rows = database.collection(f"counters{round_}")

        async def count(session: object, rows: Any = rows) -> None:
            await rows.update_one({"_id": "all"}, {"$inc": {"number": 1}}, upsert=True, session=session)

        await asyncio.gather(*(database.in_transaction(count) for _ in range(8)))
        assert await rows.find({}).to_list(None) == [{"_id": "all", "number": 8}]
    database.close()


async def test_a_commit_whose_answer_is_lost_is_asked_for_again(
    mongo_url: str, fresh_database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, lost = Database(mongo_url, fresh_database_name), [True]
    rows = database.collection("rows")
    commit = AsyncIOMotorClientSession.commit_transaction

    async def losing(self: AsyncIOMotorClientSession) -> None:
        await commit(self)
        if lost.pop():
            lost.append(False)
            error = AutoReconnect("the answer was lost")
            error._add_error_label("UnknownTransactionCommitResult")
            raise error

    monkeypatch.setattr(AsyncIOMotorClientSession, "commit_transaction", losing)
    ran = []

    async def one(session: object) -> str:
        ran.append(1)
        await rows.insert_one({"_id": len(ran)}, session=session)
        return "done"

    assert await database.in_transaction(one) == "done" and ran == [1]
    assert await rows.find({}).to_list(None) == [{"_id": 1}]
    database.close()


async def test_a_collection_without_indexes_is_there_from_the_beginning(
    mongo_url: str, fresh_database_name: str
) -> None:  # fmt: skip
    database = Database(mongo_url, fresh_database_name)
    await asyncio.gather(*(database.ensure_indexes({"counters": []}) for _ in range(3)))
    assert await database.handle.list_collection_names() == ["counters"]
    database.close()


async def test_only_duplicates_are_passed_over(mongo_url: str, fresh_database_name: str) -> None:
    database = Database(mongo_url, fresh_database_name)
    await database.ensure_indexes({"rows": [IndexModel([("key", 1)], name="once", unique=True)], "empty": []})
    rows = database.collection("rows")
    assert await inserted_apart_from_duplicates(rows, []) == set()
    assert await inserted_apart_from_duplicates(rows, [{"key": 1}, {"key": 2}]) == set()
    assert await inserted_apart_from_duplicates(rows, [{"key": 2}, {"key": 3}, {"key": 1}]) == {0, 2}
    await database.handle.command("collMod", "rows", validator={"key": {"$type": "int"}})
    with pytest.raises(BulkWriteError):
        await inserted_apart_from_duplicates(rows, [{"key": 3}, {"key": "four"}])
    assert await rows.count_documents({}) == 3
    database.close()


async def test_many_rows_are_changed_part_by_part_each_once(
    mongo_url: str, fresh_database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base.mongo.PART", 7)
    database = Database(mongo_url, fresh_database_name)
    rows = database.collection("rows")
    await database.ensure_indexes({"rows": [IndexModel([("of", ASCENDING), ("state", ASCENDING)], name="by_state")]})
    states = ("a", "b", "c")
    await rows.insert_many([{"_id": place, "of": "x", "state": states[place % 3], "n": 0} for place in range(60)])
    wanted = {"of": "x", "state": {"$in": ["a", "b"]}}
    change = {"$set": {"state": "c"}, "$inc": {"n": 1}}
    assert await changed_in_parts(rows, wanted, change, hint="by_state") == 40
    assert await changed_in_parts(rows, wanted, change, hint="by_state") == 0
    assert {row["n"] async for row in rows.find({"_id": {"$mod": [3, 2]}})} == {0}
    assert await rows.count_documents({"state": "c"}) == 60 and await rows.count_documents({"n": 1}) == 40
    # what stays wanted is come to once all the same
    assert await changed_in_parts(rows, {"of": "x"}, [{"$set": {"n": {"$add": ["$n", 1]}}}], hint="by_state") == 60
    assert {row["n"] async for row in rows.find({})} == {1, 2}
    database.close()


async def test_an_index_longer_in_the_making_than_an_answer_is_waited_for(mongo_url: str, database_name: str) -> None:
    patient = Database(mongo_url, database_name)
    rows = patient.collection("many")
    for _ in range(10):
        await rows.insert_many([{"key": f"{n} of many", "more": [n, n + 1, n + 2]} for n in range(10_000)])
    hasty = Database(mongo_url, database_name, answer_ms=100)
    await hasty.ensure_indexes({"many": [IndexModel([("key", 1)], name="key"), IndexModel([("more", 1)], name="more")]})
    assert {"key", "more"} <= (await rows.index_information()).keys()
    hasty.close()
    patient.close()


async def test_a_replica_set_is_known_by_its_name(mongo_url: str) -> None:
    database = Database(mongo_url, "nowhere")
    assert (await database.require_replica_set())["setName"]
    assert not await database.speaks_zlib()
    database.close()


async def test_the_server_itself_ends_what_takes_too_long(mongo_url: str, fresh_database_name: str) -> None:
    """Who waits gives up after half a minute; the server would go on for as long as it takes."""
    database = Database(mongo_url, fresh_database_name)
    rows = database.collection("rows")
    await rows.insert_many([{"n": n} for n in range(200)])
    body = {"body": "function() { sleep(20); return true; }", "args": [], "lang": "js"}
    slow = [{"$match": {"$expr": {"$function": body}}}, {"$count": "n"}]
    begun = time.monotonic()
    with pytest.raises(TooSlow, match="Ask for less"), in_time("Ask for less."):
        await database.aggregate(rows, slow, time_ms=100)
    assert time.monotonic() - begun < 2
    assert (database.client.delegate.options.pool_options.socket_timeout or 0) > WAIT_MS / 1000
    assert await database.aggregate(rows, [{"$count": "n"}]) == [{"n": 200}]
    database.close()
