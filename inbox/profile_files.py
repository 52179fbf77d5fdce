"""Files on a person: attached by colleagues, removed with a way back; and those that came with their messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from base.clock import Clock
from base.errors import NotFound, TooLarge, Unavailable, WrongInput
from base.ids import new_id
from base.mongo import Document, Session
from base.pages import Page
from inbox.attached import FILE_MAX_BYTES, TOO_LARGE
from inbox.file_types import safe_name, type_of
from inbox.files import KeptFile, kept_file_of, sha256_of
from inbox.store.files import BlobGone, FileStore
from inbox.store.messages import MessageStore
from profiles.events import EventStore, NewEvent
from profiles.store import ProfileStore
from profiles.words import Words

#: How long a removed file can be brought back; then its bytes go.
UNDO_WITHIN = timedelta(days=1)
_ROUNDS = 5
#: Events that show the file's name on the timeline.
WITH_NAME = ("file.attached", "file.restored")


class ProfileFiles:
    """The use cases. A file and the event that tells of it are one transaction."""

    def __init__(
        self, store: FileStore, messages: MessageStore, profiles: ProfileStore, events: EventStore, clock: Clock
    ) -> None:
        self._store = store
        self._messages = messages
        self._profiles = profiles
        self._events = events
        self._clock = clock

    async def attach(self, profile_id: str, content: bytes, name: str | None, told: str | None, by: str) -> KeptFile:
        """Keep a file on this person. Raises `WrongInput`, `TooLarge`, `NotFound`."""
        if not content:
            raise WrongInput("The file is empty.")
        if len(content) > FILE_MAX_BYTES:
            raise TooLarge(TOO_LARGE.sentence)
        person = await self._profiles.get(profile_id)
        if person is None:
            raise NotFound("There is no such profile.")
        media_type, now = type_of(content, told, name), self._clock()
        sha256 = await asyncio.to_thread(sha256_of, content)
        row: Document = {
            "_id": new_id("fil"), "source": "profile", "state": "stored", "profile_id": person.id,
            "name": safe_name(name, media_type), "media_type": media_type, "size_bytes": len(content),
            "sha256": sha256, "created_by": by, "created_at": now, "rev": 1,
        }  # fmt: skip
        event = self._event("file.attached", row, by)
        for _ in range(_ROUNDS):
            row["grid_id"] = await self._store.blob(sha256, content)
            try:
                await self._store.add_upload(row, lambda session: self._told([event], session))
            except BlobGone:
                continue
            return kept_file_of(row)
        raise Unavailable("The file could not be kept just now.")

    async def remove(self, profile_id: str, file_id: str, by: str) -> KeptFile:
        """Take it off the person; for a day it can be restored. Twice is once. Raises `NotFound`."""
        return await self._marked(profile_id, file_id, by, removed=True)

    async def restore(self, profile_id: str, file_id: str, by: str) -> KeptFile:
        """Bring a removed one back. Raises `NotFound` when it is gone for good."""
        return await self._marked(profile_id, file_id, by, removed=False)

    async def page(self, profile_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[KeptFile]:
        """Those attached to the person, newest first."""
        found = await self._store.of_profile(profile_id, limit=limit, cursor=cursor)
        return Page([kept_file_of(row) for row in found.data], found.next_cursor)

    async def of_messages(
        self, profile_id: str, *, channels: Sequence[str] | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[KeptFile]:  # fmt: skip
        """Those of the person's messages, in both directions, newest message first. A page may hold more than `limit`
        where a message brought several. `channels` limits what the asking person may see."""
        found = await self._messages.with_files(profile_id, channels=channels, limit=limit, cursor=cursor)
        ids = [each["file_id"] for row in found.data for each in row["attachments"] if each.get("file_id")]
        rows = await self._store.rows(ids)
        return Page(
            [kept_file_of(rows[each]) for each in ids if each in rows and rows[each]["state"] != "erased"],
            found.next_cursor,
        )

    async def words(self, ids: Sequence[str]) -> dict[str, Words]:
        """What they are called, for a timeline: by id, in one read."""
        return {key: _words(row) for key, row in (await self._store.rows(ids)).items()}

    async def tidy(self) -> int:
        """Forget what was removed a day ago. A chore, safe to be done by several at once."""
        return await self._store.forget_removed(self._clock() - UNDO_WITHIN)

    async def _marked(self, profile_id: str, file_id: str, by: str, *, removed: bool) -> KeptFile:
        now = self._clock()

        async def told(row: Document, session: Session) -> None:
            name = "file.removed" if removed else "file.restored"
            await self._told([self._event(name, row, by)], session)

        row = await self._store.mark_removed(profile_id, file_id, now if removed else None, told)
        if row is None:
            raise NotFound("There is no such file.")
        return kept_file_of(row)

    async def _told(self, events: Sequence[NewEvent], session: Session) -> None:
        await self._events.record(events, session)

    def _event(self, name: str, row: Document, by: str) -> NewEvent:
        told = {"file_id": row["_id"], "by": by}
        return NewEvent(name, f"{name}:{row['_id']}:{row['rev']}", self._clock(), row["profile_id"], properties=told)


def _words(row: Document) -> Words:
    if row["state"] == "erased" or row.get("removed_at") is not None:
        return Words(by=row.get("created_by"), gone=True)
    more = {"files": [{"id": row["_id"], "name": row["name"]}]}
    return Words(row["name"], row.get("created_by"), more=more)
