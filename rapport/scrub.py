"""`rapport scrub`: writes the private database anew, so that what was erased is in none of its files any more.

A database that deletes a row leaves its bytes: in the log of its replica set (oplog), in its journal, in free blocks of
its files, in its history store, in lines about slow queries. So everything that *is there* is copied into a second
server with empty files, compared hash by hash, and put in the place of the first, whose folder is then deleted. The
web and worker processes are stopped meanwhile; killed at any moment, either the old or the new folder is whole.

What no program can promise is the disk below: blocks of deleted files are free, not overwritten. Encrypt it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from base import clock
from base.errors import Misconfigured
from base.mongo import Database
from profiles.store.erasures import ErasureStore
from rapport.embedded import COPY, FORMER, EmbeddedServers, end_swap, swap_in

#: Databases of the server's own: users, replica set, sessions. The new one makes its own.
OWN = ("admin", "local", "config")
#: Bytes of documents sent in one insert.
BATCH_BYTES = 8_000_000
#: Free space wanted beside the present size.
MARGIN = 1.2

Client = AsyncMongoClient[Any]


@dataclass(frozen=True)
class Scrubbed:
    """What was done. Bytes as the folders take on the disk."""

    documents: int
    bytes_before: int
    bytes_after: int
    seconds: float
    erasures: int


async def scrub(data: Path, database: str, say: Callable[[str], None]) -> Scrubbed:
    """Raises `Misconfigured` while a `rapport up` runs on `data`, without room on the disk, or when the copy differs;
    then nothing has changed."""
    begun, started = clock.now(), time.monotonic()
    if not (data / "mongod" / "db").is_dir() and not (data / FORMER).is_dir():
        raise Misconfigured(f"There is no private database in {data}.")
    old = EmbeddedServers(data, redis=False)
    await old.start()
    if old.mended:
        say(old.mended)
    new = EmbeddedServers(data / COPY, redis=False)
    try:
        before = _size(data / "mongod")
        if shutil.disk_usage(data).free < before * MARGIN:
            raise Misconfigured(f"{data} needs {before * MARGIN / 1e6:.0f} MB of free space for the copy.")
        await new.start()
        say("Copying what is there …")
        documents = await _copied(old.servers.mongo_url, new.servers.mongo_url)
        completed = await _noted(new.servers.mongo_url, database, begun)
        await new.stop()
    except BaseException:
        await new.stop()
        await old.stop()
        shutil.rmtree(data / COPY, ignore_errors=True)
        raise
    await old.stop(keep=True)
    try:
        after = _size(data / COPY / "mongod")
        swap_in(data, data / COPY / "mongod")
        say("Deleting the former files …")
        end_swap(data)
    finally:
        await old.stop()
    return Scrubbed(documents, before, after, time.monotonic() - started, completed)


async def scrub_into(source: str, target: str, database: str, say: Callable[[str], None]) -> Scrubbed:
    """The same for a MongoDB of one's own: the database is copied from the server `source` into the empty one `target`
    and compared; whose files then hold only what was there. Web and worker processes are stopped meanwhile, and turn to
    the new server afterwards. Raises `Misconfigured` when the target is not empty, is the same server, is no replica
    set, or when the copy differs; the source is never changed."""
    begun, started = clock.now(), time.monotonic()
    async with _raw(source) as old, _raw(target) as new:
        await _require_empty(old, new, database)
        before = await _stored_bytes(old, database)
        say("Copying what is there …")
        await _pause_expiry(old, new, needed=False)
        try:
            documents = await _copy_database(old[database], new[database])
        except BaseException:
            await new.drop_database(database)
            raise
        finally:
            await _resume_expiry(old, new)
        after = await _stored_bytes(new, database)
    completed = await _noted(target, database, begun)
    return Scrubbed(documents, before, after, time.monotonic() - started, completed)


async def _require_empty(old: Client, new: Client, database: str) -> None:
    hello = [dict(await server.admin.command("hello")) for server in (old, new)]
    if not hello[1].get("setName"):
        raise Misconfigured("The new server is no replica set: start it with --replSet and run rs.initiate() once.")
    ids = [each.get("topologyVersion", {}).get("processId") for each in hello]
    if ids[0] == ids[1]:
        raise Misconfigured("The new server is the one that is used now: nothing would be written anew.")
    if database in await new.list_database_names():
        raise Misconfigured(f"There is a database {database} on the new server already: it has to be empty.")


async def _stored_bytes(server: Client, database: str) -> int:
    stats = dict(await server[database].command("dbStats"))
    return int(stats.get("storageSize", 0)) + int(stats.get("indexSize", 0))


async def _pause_expiry(*servers: Client, needed: bool = True) -> None:
    """Nothing goes by its age while two are compared. Not `needed`: where nobody lets us, a row that goes meanwhile
    makes the comparison fail."""
    for server in servers:
        try:
            await server.admin.command({"setParameter": 1, "ttlMonitorEnabled": False})
        except OperationFailure:
            if needed:
                raise


async def _resume_expiry(*servers: Client) -> None:
    for server in servers:
        with suppress(OperationFailure):
            await server.admin.command({"setParameter": 1, "ttlMonitorEnabled": True})


async def _copied(old_url: str, new_url: str) -> int:
    async with _raw(old_url) as old, _raw(new_url) as new:
        await _pause_expiry(old, new)
        documents = 0
        for name in await old.list_database_names():
            if name not in OWN:
                documents += await _copy_database(old[name], new[name])
        return documents


@asynccontextmanager
async def _raw(url: str) -> AsyncIterator[Client]:
    """Documents as bytes: nothing is read and written in another form."""
    async with AsyncMongoClient[Any](url, document_class=RawBSONDocument, w="majority", journal=True) as client:
        yield client


async def _copy_database(old: Any, new: Any) -> int:
    documents = 0
    async for about in await old.list_collections():
        name = about["name"]
        if about["type"] != "collection" or name.startswith("system."):
            continue
        await new.create_collection(name, **dict(about["options"]))
        documents += await _copy_rows(old[name], new[name])
        indexes = [dict(index) async for index in await old[name].list_indexes()]
        wanted = [{key: each for key, each in index.items() if key != "ns"} for index in indexes]
        if len(wanted) > 1:
            await new.command({"createIndexes": name, "indexes": [each for each in wanted if each["name"] != "_id_"]})
    mine, theirs = await new.command({"dbHash": 1}), await old.command({"dbHash": 1})
    if dict(mine["collections"]) != dict(theirs["collections"]):
        raise Misconfigured(f"The copy of {new.name} differs from the original; nothing was changed.")
    return documents


async def _copy_rows(old: Any, new: Any) -> int:
    batch: list[RawBSONDocument] = []
    size = documents = 0
    async for row in old.find({}).sort("$natural", 1).batch_size(1000):
        batch.append(row)
        size += len(row.raw)
        if size >= BATCH_BYTES or len(batch) >= 5000:
            await new.insert_many(batch, ordered=False)
            documents, batch, size = documents + len(batch), [], 0
    if batch:
        await new.insert_many(batch, ordered=False)
    return documents + len(batch)


async def _noted(new_url: str, database: str, begun: Any) -> int:
    """The erasure log says from now on that nothing is left of those that were done before."""
    opened = Database(new_url, database)
    try:
        return await ErasureStore(opened).scrubbed(begun, clock.now())
    finally:
        opened.close()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
