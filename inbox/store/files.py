"""Files of messages as rows that are duties until their bytes are here, and the bytes themselves.

Bytes are kept once per content (`blobs`, named by their SHA-256) and shared by all rows that hold them, so a logo in
every mail is kept once. Who begins to share a blob and who lets go of it both write its head in their transaction:
they clash instead of passing each other, and no row is left without its bytes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.duty import DutyBook
from base.mongo import BY_ID, Collection, Database, Document, Indexes, Session
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from profiles.holdings import Traces, shown
from profiles.store.belongings import Belongings

#: Longer than the longest download (`inbox.files`) and the writing of its bytes.
LEASE_S = 180
INDEXES: Indexes = {
    "files": [
        IndexModel(
            [("message_id", ASCENDING), ("position", ASCENDING)],
            name="once",
            unique=True,
            partialFilterExpression={"message_id": {"$exists": True}},
        ),
        IndexModel(
            [("state", ASCENDING), ("due_at", ASCENDING)],
            name="due",
            partialFilterExpression={"due_at": {"$exists": True}},
        ),
        IndexModel([("grid_id", ASCENDING)], name="holders", partialFilterExpression={"grid_id": {"$exists": True}}),
        IndexModel([("created_at", ASCENDING)], name="uploads", partialFilterExpression={"source": "upload"}),
        IndexModel(
            [("profile_id", ASCENDING), ("_id", DESCENDING)],
            name="by_profile",
            partialFilterExpression={"profile_id": {"$exists": True}},
        ),
        IndexModel([("removed_at", ASCENDING)], name="removed", sparse=True),
        IndexModel([("copied_from", ASCENDING)], name="copies", sparse=True),
    ],
    "blobs.files": [
        IndexModel([("uploadDate", ASCENDING)], name="loose", partialFilterExpression={"metadata.loose": True}),
    ],
}
#: Bytes that nobody holds are deleted after this time; nobody can still be about to hold them then.
LOOSE_FOR = timedelta(hours=1)
#: An upload that was never sent is forgotten; what was sent belongs to its message and stays.
UPLOADS_KEPT = timedelta(days=7)
#: What erasing a file takes from its row.
_ERASED = ("content", "grid_id", "attachment", "name", "media_type", "sha256", "due_at", "lease", "reason")
_GONE: Document = {"$set": {"state": "erased"}, "$unset": dict.fromkeys(_ERASED, "")}


class BlobGone(Exception):
    """The bytes were deleted between our look and our write: put them there again."""


class FileStore:
    """Reads and writes rows and bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows = database.collection("files")
        self._messages = database.collection("messages")
        self._blobs = database.collection("blobs.files")
        self._bucket = database.bucket("blobs")
        self.duties = DutyBook(self._rows, lease_s=LEASE_S)
        #: Files on people; those of messages follow their message.
        self.belongings = Belongings("files", self._rows, "fil", counted=True, by_identity="never")

    # -- reading -----------------------------------------------------------------------------------------------

    async def row(self, file_id: str) -> Document | None:
        """One file without its bytes."""
        return await self._rows.find_one({"_id": file_id}, {"content": 0})

    async def rows(self, file_ids: Sequence[str]) -> dict[str, Document]:
        """Files by id, without their bytes."""
        found = self._rows.find({"_id": {"$in": list(file_ids)}}, {"content": 0})
        return {row["_id"]: row async for row in found}

    async def of_message(self, message_id: str, position: int) -> Document | None:
        """A message's file."""
        return await self._rows.find_one({"message_id": message_id, "position": position}, {"content": 0})

    async def of_profile(
        self, profile_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Document]:  # fmt: skip
        """Files on a person, newest first; removed ones are left out."""
        wanted: Document = {"profile_id": profile_id, "state": "stored", "removed_at": None}
        if cursor is not None:
            wanted["_id"] = {"$lt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = self._rows.find(wanted, {"content": 0}).sort("_id", DESCENDING).limit(size + 1)
        rows, more = cut(await found.to_list(None), size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)

    async def read(self, row: Document, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes in pieces; those that came inside a webhook also before they are put away. `KeyError`: gone."""
        grid_id = row.get("grid_id")
        if grid_id is None:
            fresh = await self._rows.find_one({"_id": row["_id"]}, {"content": 1, "grid_id": 1}) or {}
            if "content" in fresh:
                yield fresh["content"][start : None if length is None else start + length]
                return
            grid_id = fresh.get("grid_id")
        if grid_id is None:
            raise KeyError(row["_id"])
        async for piece in self._bucket.read(grid_id, start, length):
            yield piece

    # -- writing -----------------------------------------------------------------------------------------------

    async def insert(self, rows: Sequence[Document], session: Session) -> None:
        """New rows, within the transaction of their message. Raises `BlobGone` when one shares bytes that are gone."""
        if not rows:
            return
        shared = {row["grid_id"] for row in rows if "grid_id" in row}
        await self._hold(shared, session)
        await self._rows.insert_many(rows, session=session)

    async def add_upload(self, row: Document, also: Callable[[Session], Awaitable[None]] | None = None) -> None:
        """A file that somebody brought, with the bytes `blob` has put there; `also`: what else is written with it.
        Raises `BlobGone`."""

        async def work(session: Session) -> None:
            await self._hold({row["grid_id"]}, session)
            await self._rows.insert_one(row, session=session)
            if also is not None:
                await also(session)

        await self._database.in_transaction(work)

    async def mark_removed(
        self, profile_id: str, file_id: str, at: datetime | None,
        also: Callable[[Document, Session], Awaitable[None]],
    ) -> Document | None:  # fmt: skip
        """Take a file off its person, or (None) put it back; the row afterwards, None when there is none. `also` is
        called where that was news."""

        async def work(session: Session) -> Document | None:
            wanted: Document = {"_id": file_id, "profile_id": profile_id, "state": "stored"}
            news = {**wanted, "removed_at": None if at is not None else {"$ne": None}}
            change = {"$set": {"removed_at": at}} if at is not None else {"$unset": {"removed_at": ""}}
            row: Document | None = await self._rows.find_one_and_update(
                news, {**change, "$inc": {"rev": 1}}, return_document=ReturnDocument.AFTER, session=session
            )
            if row is None:
                return await self._rows.find_one(wanted, session=session)
            await also(row, session)
            return row

        found: Document | None = await self._database.in_transaction(work)
        return found

    async def blob(self, sha256: str, content: bytes) -> Any:
        """The id of these bytes, put there unless they are already. They stay for an hour until a row holds them."""
        found = await self._blobs.find_one({"filename": sha256, "metadata.doomed": {"$ne": True}}, {"_id": 1})
        if found is not None:
            return found["_id"]
        return await self._bucket.put(sha256, content, {"loose": True})

    async def record(self, row: Document, change: Mapping[str, Any], shown: Mapping[str, Any]) -> Document | None:
        """Write down what became of a claimed file, and show it on its message; the message afterwards.

        None: the lease was lost, or the message does not show the file any more (then the file is erased). All in
        one transaction. Raises `BlobGone`. `change` and `shown`: a value of None takes a field away.
        """
        message: Document | None = await self._database.in_transaction(partial(self._record, row, change, shown))
        return message

    async def _record(
        self, row: Document, change: Mapping[str, Any], shown: Mapping[str, Any], session: Session
    ) -> Document | None:
        mine = {"_id": row["_id"], "lease": row["lease"]}
        if (await self._rows.update_one(mine, _update(change), session=session)).matched_count == 0:
            return None
        place = f"attachments.{int(row['position'])}"
        message: Document | None = await self._messages.find_one_and_update(
            {"_id": row["message_id"], f"{place}.file_id": row["_id"]},
            _update({f"{place}.{name}": value for name, value in shown.items()}),
            session=session,
            projection={"conversation_id": 1, "channel_id": 1, "direction": 1},
        )
        if message is None:
            await self._rows.update_one({"_id": row["_id"]}, _GONE, session=session)
        elif "grid_id" in change:
            await self._hold({change["grid_id"]}, session)
        return message

    async def give_up(self, file_ids: Sequence[str], by: str, at: datetime, session: Session) -> None:
        """Files that a canned reply held are uploads of this person's: unsent they are forgotten."""
        if file_ids:
            change: Document = {"$set": {"source": "upload", "created_by": by, "created_at": at}}
            held = {"_id": {"$in": list(file_ids)}, "source": "canned"}
            await self._rows.update_many(held, change, session=session, hint=BY_ID)

    async def own(self, file_ids: Sequence[str], owner_id: str | None, session: Session) -> None:
        """Files of a canned reply are for this person, or (None) for everybody to send."""
        if file_ids:
            held = {"_id": {"$in": list(file_ids)}, "source": "canned"}
            await self._rows.update_many(held, {"$set": {"owner_id": owner_id}}, session=session, hint=BY_ID)

    async def erase(self, message_ids: Sequence[str]) -> int:
        """Forget the files of these messages, whatever becomes of them just now; how many. May run twice."""
        if not message_ids:
            return 0
        found = self._rows.find({"message_id": {"$in": list(message_ids)}, "state": {"$ne": "erased"}}, {"_id": 1})
        return await self.erase_files([row["_id"] async for row in found])

    async def erase_files(self, file_ids: Sequence[str]) -> int:
        """Forget these files; bytes that nobody else holds are deleted. What stays of a row says that it was there."""
        for start in range(0, len(file_ids), 200):
            part = list(file_ids[start : start + 200])
            doomed: list[Any] = await self._database.in_transaction(partial(self._let_go, part))
            for blob_id in doomed:
                await self._bucket.delete(blob_id)
        return len(file_ids)

    async def of_people(self, profile_ids: Sequence[str]) -> AsyncGenerator[list[Document], None]:
        """The files of all messages of these people, and those laid upon the people themselves; some at a time, without
        their bytes."""
        wanted = {"profile_id": {"$in": list(profile_ids)}}
        async for ids in _in_parts(self._messages, wanted):
            found = await self._rows.find({"message_id": {"$in": ids}}, {"content": 0}).to_list(None)
            if found:
                yield found
        async for ids in _in_parts(self._rows, wanted):
            yield await self._rows.find({"_id": {"$in": ids}}, {"content": 0}).to_list(None)

    async def copies_of(self, file_ids: Sequence[str]) -> list[Document]:
        """Rows made by sending these files on, over as many hands as it went: {_id, message_id}."""
        found: dict[str, Document] = {}
        edge = list(file_ids)
        while edge:
            rows = self._rows.find({"copied_from": {"$in": edge}}, {"message_id": 1})
            fresh = {row["_id"]: row for row in await rows.to_list(None) if row["_id"] not in found}
            found |= fresh
            edge = list(fresh)
        return list(found.values())

    async def of_messages(self, message_ids: Sequence[str]) -> list[Document]:
        """The files of these messages: {_id, message_id}."""
        return await self._rows.find({"message_id": {"$in": list(message_ids)}}, {"message_id": 1}).to_list(None)

    async def with_bytes_of(self, file_ids: Sequence[str], message_ids: Sequence[str]) -> list[Document]:
        """Files of these messages that hold the same bytes as one of these files: {_id, message_id}."""
        held = await self._rows.distinct("grid_id", {"_id": {"$in": list(file_ids)}, "grid_id": {"$exists": True}})
        wanted = {"message_id": {"$in": list(message_ids)}, "grid_id": {"$in": held}}
        return await self._rows.find(wanted, {"message_id": 1}).to_list(None) if held and message_ids else []

    async def drop(self, file_ids: Sequence[str]) -> int:
        """Erase these files with all that is left of their rows; how many rows went."""
        await self.erase_files(file_ids)
        return (await self._rows.delete_many({"_id": {"$in": list(file_ids)}})).deleted_count

    async def _let_go(self, file_ids: list[str], session: Session) -> list[Any]:
        these = {"_id": {"$in": file_ids}}
        held = await self._rows.distinct("grid_id", {**these, "grid_id": {"$exists": True}}, session=session)
        await self._rows.update_many(these, _GONE, session=session)
        return [each for each in held if await self._is_doomed(each, session)]

    async def _is_doomed(self, blob_id: Any, session: Session) -> bool:
        """Whether nobody holds the bytes any more. Its head is written in any case, so that a new holder clashes."""
        await self._blobs.update_one({"_id": blob_id}, {"$inc": {"metadata.looked": 1}}, session=session)
        if await self._rows.find_one({"grid_id": blob_id}, {"_id": 1}, session=session) is not None:
            return False
        await self._blobs.update_one(
            {"_id": blob_id}, {"$set": {"metadata.doomed": True, "metadata.loose": True}}, session=session
        )
        return True

    async def _hold(self, blob_ids: set[Any], session: Session) -> None:
        """From now on a row holds these bytes."""
        if not blob_ids:
            return
        there = {"_id": {"$in": list(blob_ids)}, "metadata.doomed": {"$ne": True}}
        change = {"$unset": {"metadata.loose": ""}, "$inc": {"metadata.holds": 1}}
        if (await self._blobs.update_many(there, change, session=session)).matched_count < len(blob_ids):
            raise BlobGone

    # -- tidying -----------------------------------------------------------------------------------------------

    async def forget_removed(self, before: datetime, limit: int = 500) -> int:
        """Forget files that were taken off a person before then; how many."""
        old = {"removed_at": {"$lt": before}, "state": "stored"}
        ids = [row["_id"] async for row in self._rows.find(old, {"_id": 1}).limit(limit)]
        await self.erase_files(ids)
        return len(ids)

    async def tidy(self, now: datetime, limit: int = 500) -> int:
        """Forget uploads that were never sent and bytes that nobody holds (a worker died in between); how many."""
        old = {"source": "upload", "state": "stored", "created_at": {"$lt": now - UPLOADS_KEPT}}
        uploads = [row["_id"] async for row in self._rows.find(old, {"_id": 1}).limit(limit)]
        await self.erase_files(uploads)
        if uploads:
            await self._rows.delete_many({"_id": {"$in": uploads}})
        loose = {"metadata.loose": True, "uploadDate": {"$lt": now - LOOSE_FOR}}
        blobs = [row["_id"] async for row in self._blobs.find(loose, {"_id": 1}).limit(limit)]
        for blob_id in blobs:
            if await self._database.in_transaction(partial(self._is_doomed, blob_id)):
                await self._bucket.delete(blob_id)
        return len(uploads) + len(blobs)


def _update(change: Mapping[str, Any]) -> Document:
    update: Document = {}
    if kept := {name: value for name, value in change.items() if value is not None}:
        update["$set"] = kept
    if gone := {name: "" for name, value in change.items() if value is None}:
        update["$unset"] = gone
    return update


async def _in_parts(rows: Collection, wanted: Document) -> AsyncGenerator[list[str], None]:
    """Ids, a thousand at a time; what is taken away meanwhile is no hindrance."""
    last = ""
    while True:
        page = rows.find({**wanted, "_id": {"$gt": last}}, {"_id": 1}).sort("_id", ASCENDING).limit(1000)
        ids = [row["_id"] async for row in page]
        if not ids:
            return
        last = ids[-1]
        yield ids


class FileRoom:
    """The files of a person's messages, as `profiles.holdings.Room`. Emptied before the messages."""

    name = "files"
    read_whole = False

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def rows(self, traces: Traces) -> AsyncGenerator[Document, None]:
        """Names, types and sizes; the bytes lie beside, in the dossier's folder of files."""
        async for page in self._files.of_people(traces.profile_ids):
            for row in page:
                if row["state"] != "erased":
                    yield shown({name: value for name, value in row.items() if name not in ("grid_id", "attachment")})

    async def contents(self, traces: Traces) -> AsyncGenerator[tuple[str, str, AsyncGenerator[bytes, None]], None]:
        """(id, name, bytes in pieces) of each file that is here."""
        async for page in self._files.of_people(traces.profile_ids):
            for row in page:
                if row["state"] == "stored":
                    yield row["_id"], str(row.get("name") or "file"), self._files.read(row)

    async def count(self, traces: Traces) -> int:
        """How many files."""
        return sum([len(page) async for page in self._files.of_people(traces.profile_ids)])

    async def erase(self, traces: Traces) -> int:
        """Rows and bytes."""
        pages = self._files.of_people(traces.profile_ids)
        return sum([await self._files.drop([row["_id"] for row in page]) async for page in pages])
