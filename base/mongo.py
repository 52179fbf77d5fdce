"""The one module that knows the driver: connection, concerns, transactions, indexes.

Motor reached its end of life on 2026-05-14; everything that differs between it and PyMongo's async client
(`start_session`, `aggregate`, `list_indexes`, `close`) is called here and nowhere else. See
docs/decisions/0002-motor-behind-one-module.md for the way out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

# Motor runs every call in a thread pool and sizes it once, when it is imported: five per core by default, which on a
# small machine lets a few slow reports hold up the door. An operator's own MOTOR_MAX_WORKERS wins.
os.environ.setdefault("MOTOR_MAX_WORKERS", "32")

from bson.raw_bson import RawBSONDocument
from gridfs.errors import CorruptGridFile, NoFile
from motor.motor_asyncio import (
    AsyncIOMotorClient,
    AsyncIOMotorClientSession,
    AsyncIOMotorCollection,
    AsyncIOMotorCursor,
    AsyncIOMotorDatabase,
    AsyncIOMotorGridFSBucket,
)
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    CollectionInvalid,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)
from pymongo.operations import DeleteOne, InsertOne, UpdateMany, UpdateOne
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from base.errors import Misconfigured, TooSlow

log = logging.getLogger(__name__)

Document = dict[str, Any]
Collection = AsyncIOMotorCollection[Document]
Session = AsyncIOMotorClientSession
Indexes = Mapping[str, Sequence[IndexModel]]

#: Acknowledged by a majority and on disk: what we say we hold survives the process and the primary.
DUTY = WriteConcern(w="majority", j=True, wtimeout=5000)

#: The index of ids. Where rows are asked for by their ids and by something else that has an index, the server may take
#: the other one, and read through all that is due; so it is told.
BY_ID = "_id_"

#: Rows of one trip where all of them are wanted; the server's own first trip brings 101.
TRIP = 1000

#: Rows of one write where very many are changed alike: none of them takes longer than a second or two.
PART = 5000

#: How long we wait for an answer.
ANSWER_MS = 30_000
#: How long the server works on one question. A little less than we wait for it, so that nothing goes on unheard.
WAIT_MS = 28_000
#: The same for what somebody looks at and may ask again, and who waits for it with others beside them.
LOOK_MS = 8_000

#: For so long a transaction is tried again that clashes with others, and so long the server may take to commit one.
CLASHES_S, COMMIT_MS = 120.0, 5000

#: What a caller sees when the database is away or too busy; a door answers 503 and the sender comes again.
UNAVAILABLE = (
    ServerSelectionTimeoutError, WaitQueueTimeoutError, NetworkTimeout, AutoReconnect, ConnectionFailure,
    ExecutionTimeout,
)  # fmt: skip

#: The server's code for a collection that is there.
_THERE_ALREADY = 48
#: The server's code while an index of the collection is new: there is no moment yet at which it could be read.
_NO_SNAPSHOT = 246

__all__ = [
    "ASCENDING", "BY_ID", "DESCENDING", "DUTY", "LOOK_MS", "UNAVAILABLE", "WAIT_MS", "Bucket", "BulkWriteError",
    "Collection", "Database", "DeleteOne", "Document", "DuplicateKeyError", "ExecutionTimeout", "IndexModel", "Indexes",
    "InsertOne", "OperationFailure", "Session", "UpdateMany", "UpdateOne", "changed_in_parts", "duplicates_only",
    "in_time", "inserted_apart_from_duplicates", "whole",
]  # fmt: skip


class Database:
    """An open connection to one database. Every collection handed out reads from the primary and writes as a duty."""

    def __init__(self, url: str, name: str, *, pool_size: int = 50, answer_ms: int = ANSWER_MS) -> None:
        """Nothing is sent until the first call. `answer_ms`: how long an answer is waited for."""
        self.client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(
            url,
            tz_aware=True,
            appname="rapport",
            serverSelectionTimeoutMS=3000,
            waitQueueTimeoutMS=1000,
            connectTimeoutMS=3000,
            socketTimeoutMS=answer_ms,
            maxPoolSize=pool_size,
            retryWrites=True,
            retryReads=True,
            compressors=[],
        )
        self.handle: AsyncIOMotorDatabase[Document] = self.client.get_database(
            name,
            write_concern=DUTY,
            read_concern=ReadConcern("local"),
            read_preference=ReadPreference.PRIMARY,
        )

    def collection(self, name: str) -> Collection:
        """The collection, with our concerns. Only a `store` may ask."""
        return self.handle[name]

    def bucket(self, name: str) -> Bucket:
        """Bytes of any length, in the collections `name.files` and `name.chunks`. Only a `store` may ask."""
        return Bucket(self.handle, name)

    async def ping(self) -> None:
        """Raise one of `UNAVAILABLE` unless a primary answers."""
        await self.handle.command("ping")

    async def in_transaction(self, work: Callable[[Session], Coroutine[Any, Any, Any]]) -> Any:
        """Run `work` in one transaction and return what it returns.

        `work` runs again on every clash, so it may only touch the database, and must pass the session to each call.
        A `DuplicateKeyError` inside has already aborted the transaction: let it out, re-read, come again.

        Motor's own `with_transaction` lets out whatever goes wrong with the commit, clashes and lost answers among it
        (it commits as it leaves a block of its own), so that is done here.
        """
        begun, tries = time.monotonic(), 0

        def again(error: PyMongoError, label: str) -> bool:
            return error.has_error_label(label) and time.monotonic() - begun < CLASHES_S

        async with await self.client.start_session() as session:
            while True:
                session.start_transaction(ReadConcern("snapshot"), DUTY, max_commit_time_ms=COMMIT_MS)
                try:
                    result = await work(session)
                    await _committed(session, again)
                    return result
                except PyMongoError as error:
                    await _aborted(session)
                    if not again(error, "TransientTransactionError"):
                        raise
                except BaseException:
                    await _aborted(session)
                    raise
                tries += 1
                await asyncio.sleep(random.uniform(0, min(0.002 * 2**tries, 0.2)))  # else the same two meet again

    async def aggregate(
        self, collection: Collection, pipeline: Sequence[Mapping[str, Any]], *, time_ms: int | None = None,
        at_one_moment: bool = False, **options: Any,
    ) -> list[Document]:  # fmt: skip
        """All results of a pipeline. Keep them few: the pipeline should end in a limit or a group.

        The server gives up after `time_ms` (`ExecutionTimeout`), and always before we stop waiting for it.
        `at_one_moment`: each row as it stood when it began. Otherwise one that is written meanwhile and moves along the
        index may be met twice or not at all.
        """
        limited = {"maxTimeMS": WAIT_MS if time_ms is None else min(time_ms, WAIT_MS), **options}
        if at_one_moment:
            try:
                still = collection.with_options(read_concern=ReadConcern("snapshot"))
                return await still.aggregate(list(pipeline), **limited).to_list(None)
            except OperationFailure as error:
                if error.code != _NO_SNAPSHOT:
                    raise
        return await collection.aggregate(list(pipeline), **limited).to_list(None)

    async def ensure_indexes(self, indexes: Indexes) -> None:
        """Create what is missing. Repeatable; an index of the same name with other keys is an error.

        One over millions of rows is longer in the making than an answer is waited for. The server goes on with it, and
        who asks for it again waits for the same: it is asked for until it is there.

        A collection without indexes of its own is made, too: made by the first write, it would let the transactions
        that write at the same time fail and come again.
        """
        there = set(await self.handle.list_collection_names())
        for name, models in indexes.items():
            if not models and name not in there:
                await self._make(name)
            while models:
                try:
                    await self.collection(name).create_indexes(list(models))
                    break
                except NetworkTimeout:
                    log.info("indexes are still being built", extra={"collection": name})

    async def _make(self, name: str) -> None:
        try:
            await self.handle.create_collection(name)
        except CollectionInvalid:
            return  # somebody else has
        except OperationFailure as error:
            if error.code != _THERE_ALREADY:  # somebody else does at this moment
                raise

    async def drop_indexes(self, names: Mapping[str, Sequence[str]]) -> None:
        """Drop those that are there. Repeatable."""
        for collection, indexes in names.items():
            there = await self.collection(collection).index_information()
            for name in set(indexes) & there.keys():
                await self.collection(collection).drop_index(name)

    async def require_replica_set(self) -> Document:
        """Return the server's greeting, or raise `Misconfigured` for a standalone: transactions need a replica set."""
        hello = await self.client.admin.command("hello")
        if not hello.get("setName"):
            raise Misconfigured(
                "RAPPORT_MONGO_URL points to a standalone mongod. Rapport needs a replica set (one node is enough) "
                "because messages and their conversation are written in one transaction. Start mongod with "
                "--replSet rs0 and run rs.initiate() once."
            )
        return hello

    async def server_status(self) -> Document:
        """Version and name of the server, for `rapport check`."""
        return await self.client.admin.command("buildInfo")

    async def speaks_zlib(self) -> bool:
        """Whether the server would agree on zlib with a stranger: the way into CVE-2025-14847."""
        hello = await self.client.admin.command("hello", compression=["zlib"])
        return "zlib" in (hello.get("compression") or ())

    async def drop(self) -> None:
        """Delete the whole database. For tests and the demo's reset."""
        await self.client.drop_database(self.handle.name)

    def close(self) -> None:
        """Let go of every connection."""
        self.client.close()


async def _committed(session: Session, again: Callable[[PyMongoError, str], bool]) -> None:
    """The answer to a commit may be lost: the same commit is asked for once more, and done once."""
    while True:
        try:
            await session.commit_transaction()
            return
        except PyMongoError as error:
            if isinstance(error, ExecutionTimeout) or not again(error, "UnknownTransactionCommitResult"):
                raise


async def _aborted(session: Session) -> None:
    if session.in_transaction:  # type: ignore[truthy-function]  # a property of motor's
        await session.abort_transaction()


class Bucket:
    """Bytes beside the documents (GridFS). What was put is read or deleted, never changed; no part of transactions."""

    #: Larger than the driver's default: a picture is mostly one document, and a range reads little too much.
    CHUNK_BYTES = 512 * 1024

    def __init__(self, handle: AsyncIOMotorDatabase[Document], name: str) -> None:
        self._bucket = AsyncIOMotorGridFSBucket(handle, name, chunk_size_bytes=self.CHUNK_BYTES, write_concern=DUTY)
        self._chunks = handle[f"{name}.chunks"]

    async def put(self, name: str, content: bytes | IO[bytes], metadata: Document) -> Any:
        """Keep `content`, or what an open file holds; its id.

        It is seen (in `name.files`) only once all of it is on disk at a majority.
        """
        return await self._bucket.upload_from_stream(name, content, metadata=metadata)

    async def put_file(self, name: str, path: Path, metadata: Document) -> Any:
        """The same for a file on disk, of which no more than a piece is in memory."""
        file = await asyncio.to_thread(path.open, "rb")
        try:
            return await self._bucket.upload_from_stream(name, file, metadata=metadata)
        finally:
            file.close()

    async def read(self, blob_id: Any, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """`length` bytes from `start`, or all that follow, in pieces. Raises `KeyError` when (part of) it is gone."""
        try:
            blob = await self._bucket.open_download_stream(blob_id)
            left = max(0, blob.length - start) if length is None else min(length, max(0, blob.length - start))
            if start:
                blob.seek(start)
            while left > 0:
                piece = await blob.readchunk()
                if not piece:
                    raise KeyError(blob_id)
                yield piece[:left]
                left -= len(piece)
        except (NoFile, CorruptGridFile):
            raise KeyError(blob_id) from None

    async def delete(self, blob_id: Any) -> None:
        """Forget it, the pieces first: what dies in between is still listed and can be deleted again."""
        await self._chunks.delete_many({"files_id": blob_id})
        try:
            await self._bucket.delete(blob_id)
        except NoFile:
            return


@contextmanager
def in_time(sentence: str) -> Iterator[None]:
    """What took the server longer than it was given becomes `TooSlow` with this sentence: what to do about it."""
    try:
        yield
    except ExecutionTimeout as error:
        raise TooSlow(sentence) from error


async def whole(cursor: AsyncIOMotorCursor[Document]) -> list[Document]:
    """All rows of a cursor, in as few trips as can be."""
    return await cursor.batch_size(TRIP).to_list(None)


async def changed_in_parts(
    collection: Collection, wanted: Document, change: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, hint: str
) -> int:
    """Change all rows that `wanted` finds by the index `hint`, `PART` in one write; how many.

    Each row is come to once and changed if it is still wanted then. What is cut short is gone on with by the same call.
    """
    changed = 0
    cursor = collection.find(wanted, {"_id": 1}).hint(hint).batch_size(PART)
    while rows := await cursor.to_list(PART):
        part = {**wanted, "_id": {"$in": [row["_id"] for row in rows]}}
        changed += (await collection.update_many(part, change, hint=BY_ID)).modified_count
    return changed


def duplicates_only(error: BulkWriteError) -> set[int]:
    """The positions that failed for a duplicate key; raises the error again when anything else failed."""
    faults = error.details.get("writeErrors", [])
    if error.details.get("writeConcernErrors") or any(fault["code"] != 11000 for fault in faults):
        raise error
    return {fault["index"] for fault in faults}


async def inserted_apart_from_duplicates(
    collection: Collection, documents: Sequence[Document | RawBSONDocument]
) -> set[int]:
    """Insert all; return the positions of those that were there already under one of their unique keys."""
    if not documents:
        return set()
    try:
        await collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        return duplicates_only(error)
    return set()
