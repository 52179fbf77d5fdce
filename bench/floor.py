"""Bare floors: the least code that does a comparable thing with the same libraries, each in a process of its own.

Nothing of Rapport runs in them but the opened database handle, so that driver, concerns and pool are the same.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import aiosmtplib
from aiohttp import web
from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne

from base.mongo import Database
from bench.child import Json, run, tell

#: Rows of one claim of the journey floor.
CLAIM = 500


async def keep(task: Json, questions: AsyncIterator[Json]) -> None:
    """An aiohttp handler that writes each request by one insert, majority and journal. Says `{port}`, then serves."""
    rows = _database(task).collection("kept")

    async def handle(request: web.Request) -> web.Response:
        await rows.insert_one({"body": await request.read(), "at": datetime.now(UTC)})
        return web.Response()

    app = web.Application()
    app.router.add_post("/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    tell({"port": runner.addresses[0][1]})
    async for _ in questions:
        tell({})
    await runner.cleanup()


async def chain(task: Json, _: AsyncIterator[Json]) -> None:
    """Event, find-or-create profile, conversation and message, one after the other; `at_once` of such chains."""
    database = _database(task)
    await database.ensure_indexes(
        {"chain_events": [_once("key")], "chain_profiles": [_once("key")], "chain_conversations": [_once("key")],
         "chain_messages": [_once("key")]}
    )  # fmt: skip
    mark, numbers = secrets.token_hex(4), iter(range(10**9))
    end, done = time.monotonic() + task["seconds"], 0

    async def work() -> None:
        nonlocal done
        while time.monotonic() < end:
            await _one_message(database, f"{mark}{next(numbers)}", f"{mark}{done % task['people']}")
            done += 1

    begun = time.monotonic()
    await asyncio.gather(*(work() for _ in range(task["at_once"])))
    tell({"per_s": done / (time.monotonic() - begun)})


async def _one_message(database: Database, event: str, person: str) -> None:
    now = datetime.now(UTC)
    await database.collection("chain_events").insert_one({"key": event, "at": now, "name": "message.received"})
    profile = await database.collection("chain_profiles").find_one_and_update(
        {"key": person}, {"$setOnInsert": {"name": "Person", "created_at": now}, "$set": {"seen_at": now}},
        upsert=True, return_document=ReturnDocument.AFTER,
    )  # fmt: skip
    conversation = await database.collection("chain_conversations").find_one_and_update(
        {"key": person}, {"$setOnInsert": {"profile": profile["_id"]}, "$set": {"last_at": now}, "$inc": {"unread": 1}},
        upsert=True, return_document=ReturnDocument.AFTER,
    )  # fmt: skip
    message = {"key": event, "conversation": conversation["_id"], "text": "Where is my order?", "at": now}
    await database.collection("chain_messages").insert_one(message)


async def advance(task: Json, _: AsyncIterator[Json]) -> None:
    """Due rows: claim 500 by find and update with a lease token, then advance each of them by one bulk write."""
    database = _database(task)
    rows = database.collection("advanced")
    await rows.drop()
    due = IndexModel([("state", ASCENDING), ("due_at", ASCENDING)], name="due")
    await database.ensure_indexes({"advanced": [due]})
    past, later = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=1)
    await rows.insert_many([_run(number, past) for number in range(task["rows"])], ordered=False)
    begun = time.monotonic()
    while claimed := await _claim(rows):
        change = {"$set": {"node": "second", "due_at": later, "updated_at": later}, "$inc": {"rev": 1},
                  "$unset": {"lease": ""}}  # fmt: skip
        await rows.bulk_write([UpdateOne({"_id": r["_id"], "lease": r["lease"]}, change) for r in claimed], False)
    tell({"per_s": task["rows"] / (time.monotonic() - begun)})


async def _claim(rows: Any) -> list[Json]:
    now, token = datetime.now(UTC), secrets.token_hex(12)
    head = rows.find({"state": "waiting", "due_at": {"$lte": now}}, {"_id": 1}).hint("due").limit(CLAIM)
    ids = [row["_id"] async for row in head]
    if not ids:
        return []
    lease = {"$set": {"lease": token, "due_at": now + timedelta(seconds=30)}}
    await rows.update_many({"_id": {"$in": ids}, "state": "waiting", "due_at": {"$lte": now}}, lease)
    found: list[Json] = await rows.find({"_id": {"$in": ids}, "lease": token}).to_list(None)
    return found


def _run(number: int, due: datetime) -> Json:
    return {"_id": f"run_{number:08d}", "journey": "one", "profile": f"prf_{number:08d}", "node": "first", "rev": 0,
            "state": "waiting", "due_at": due, "data": {"event": {"name": "order.paid"}}}  # fmt: skip


async def upsert(task: Json, _: AsyncIterator[Json]) -> None:
    """People of a list, each one document under a unique key, upserted 400 at a time."""
    database = _database(task)
    rows = database.collection("upserted")
    await database.ensure_indexes({"upserted": [_once("key")]})
    begun = time.monotonic()
    for start in range(0, task["rows"], 400):
        numbers = range(start, min(start + 400, task["rows"]))
        await rows.bulk_write([_upserted(task["mark"], n) for n in numbers], ordered=False)
    tell({"per_s": task["rows"] / (time.monotonic() - begun)})


def _upserted(mark: str, number: int) -> UpdateOne:
    fields = {
        "name": f"Person {number}", "emails": [f"p{number}.{mark}@example.org"], "phones": [f"+49170{number:07d}"],
        "tags": ["tea", f"t{number % 7}"], "stage": "lead", "attributes": {"points": number % 500},
        "address": {"street": f"Main Street {number}", "city": "Leiden", "postal_code": "23112", "country": "NL"},
    }  # fmt: skip
    return UpdateOne({"key": f"{mark}-{number}"}, {"$set": fields}, upsert=True)


async def mail(task: Json, _: AsyncIterator[Json]) -> None:
    """One fixed mail again and again over ten kept connections."""
    fixed, left = base64.b64decode(task["mail"]), iter(range(task["count"]))

    async def send() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=task["port"], start_tls=False) as smtp:
            for _ in left:
                await smtp.sendmail("shop@example.com", ["somebody@example.com"], fixed)

    await _timed(task, lambda: asyncio.gather(*(send() for _ in range(10))))


async def post(task: Json, _: AsyncIterator[Json]) -> None:
    """One fixed JSON body again and again, `at_once` requests on their way."""
    left = iter(range(task["count"]))
    fixed = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "4915112345678", "type": "text",
             "text": {"body": "Thank you! " * 8}, "biz_opaque_callback_data": "k" * 40}  # fmt: skip
    headers = {"Authorization": "Bearer token"}

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100), headers=headers) as session:

        async def send() -> None:
            for _ in left:
                async with session.post(task["url"], json=fixed) as answer:
                    await answer.json()

        await _timed(task, lambda: asyncio.gather(*(send() for _ in range(task["at_once"]))))


async def _timed(task: Json, work: Callable[[], Awaitable[object]]) -> None:
    begun = time.monotonic()
    await work()
    tell({"per_s": task["count"] / (time.monotonic() - begun)})


def _database(task: Json) -> Database:
    return Database(task["mongo"], "bench_floor")


def _once(field: str) -> IndexModel:
    return IndexModel([(field, ASCENDING)], unique=True)


FLOORS = {"keep": keep, "chain": chain, "advance": advance, "upsert": upsert, "mail": mail, "post": post}


async def main(task: Json, questions: AsyncIterator[Json]) -> None:
    await FLOORS[task["floor"]](task, questions)


if __name__ == "__main__":
    run(main)
