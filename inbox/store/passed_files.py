"""What a person sent as a file and the house passed on: copies in lines of others go with the person (decision 56)."""

from __future__ import annotations

from collections.abc import Sequence

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, whole
from inbox.models import Reason
from inbox.store.files import FileRoom, FileStore
from inbox.store.passed_on import LINES, names_them, threads_of
from inbox.store.words import WordStore
from profiles.holdings import Traces

ERASED = Reason("erased", "The file was erased with the person it came from.")
#: What a line shows of a file, and would still tell something.
_TOLD = ("name", "file_name", "media_type", "size_bytes", "caption", "url", "extra", "duration_s")


class PassedFileRoom(FileRoom):
    """The files of a person's messages, and the copies of what they sent: those go first, for they are found by it."""

    def __init__(self, database: Database, files: FileStore, clock: Clock) -> None:
        super().__init__(files)
        self._store = files
        self._database = database
        self._messages = database.collection("messages")
        self._sends = database.collection("sends")
        self._words = WordStore(database)
        self._clock = clock

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        brought = await self._brought(traces)
        copies = await self._store.copies_of(brought) + await self._sent_back(brought, traces)
        others = await self._of_others([str(row["message_id"]) for row in copies if row.get("message_id")], traces)
        gone = sorted({row["_id"] for row in copies if row.get("message_id") in others})
        if gone:
            await self._not_shown(gone, list(others.values()))
            await self._store.erase_files(gone)
        return len(gone) + await super().erase(traces)

    async def _brought(self, traces: Traces) -> list[str]:
        """Files that came from the person, without the pictures that their mail program puts into every mail."""
        theirs = {"profile_id": {"$in": list(traces.profile_ids)}, "attachments.file_id": {"$exists": True}}
        rows = await whole(self._messages.find(theirs, {"direction": 1, "attachments": 1}).hint("with_files"))
        shown = [file for row in rows if row["direction"] == "in" for file in row["attachments"]]
        laid = [row["_id"] async for page in self._store.of_people(traces.profile_ids) for row in page
                if row.get("profile_id")]  # fmt: skip
        return [*laid, *(file["file_id"] for file in shown if file.get("file_id") and not file.get("inline"))]

    async def _sent_back(self, file_ids: Sequence[str], traces: Traces) -> list[Document]:
        """The same bytes in what others wrote in answer to a forward, and all files of lines that name the person."""
        found: list[Document] = []
        for thread in await threads_of(self._database, traces):
            if thread.passed_on:
                lines = {"conversation_id": thread.conversation_id, "attachments.file_id": {"$exists": True}}
                rows = await whole(self._messages.find(lines, {"text": 1}).hint("thread").limit(LINES))
                found += await self._store.with_bytes_of(file_ids, [row["_id"] for row in rows])
                naming = [row["_id"] for row in rows if names_them(row.get("text"), traces)]
                found += await self._store.of_messages(naming)
        return found

    async def _of_others(self, message_ids: Sequence[str], traces: Traces) -> dict[str, Document]:
        wanted = {"_id": {"$in": sorted(set(message_ids))}, "profile_id": {"$nin": list(traces.profile_ids)}}
        return {row["_id"]: row for row in await whole(self._messages.find(wanted, {"send_id": 1}).hint(BY_ID))}

    async def _not_shown(self, file_ids: Sequence[str], lines: Sequence[Document]) -> None:
        """Their lines say that there was a file, and not what it was called."""
        these, ids = [{"file.file_id": {"$in": list(file_ids)}}], [row["_id"] for row in lines]
        change = {
            "$set": {"attachments.$[file].state": "failed", "attachments.$[file].reason": ERASED.as_document()},
            "$unset": {f"attachments.$[file].{name}": "" for name in _TOLD},
        }
        shown = {"_id": {"$in": ids}, "attachments": {"$type": "array"}}  # not of what was taken back
        await self._messages.update_many(shown, change, array_filters=these, hint=BY_ID)
        await self._words.remove(ids)
        await self._words.want(ids, self._clock())
        sent = {"_id": {"$in": [row["send_id"] for row in lines if row.get("send_id")]},
                "content.attachments": {"$type": "array"}}  # fmt: skip
        await self._sends.update_many(
            sent, {"$unset": {f"content.attachments.$[file].{name}": "" for name in ("file_name", "caption")}},
            array_filters=[{"file.extra.file_id": {"$in": list(file_ids)}}], hint=BY_ID,
        )  # fmt: skip
