"""Files of messages: fetched soon after their message came, kept, handed out; and files that people bring.

A file never holds up its message: the message is there first, shows that the file is on its way, and in the end the
file or the reason why there is none.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES
from base.errors import NotFound, TooLarge, Unavailable, WrongInput
from base.feed import Feed, Notice
from base.ids import is_id, new_id
from base.mongo import Document
from channels.adapter import Account, Adapter
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Attachment
from inbox import file_policy
from inbox.attached import FILE_MAX_BYTES, TOO_LARGE
from inbox.file_links import read_link
from inbox.file_types import NEUTRAL, safe_name, type_of
from inbox.models import Reason
from inbox.store.files import BlobGone, FileStore

log = logging.getLogger(__name__)

#: Files fetched at once by one process; each may be held in memory whole.
IN_FLIGHT = 6
#: Of one account at most so many are begun at once: a silent provider holds up nobody else's files.
PER_CHANNEL = 3
#: Files of one turn of the drain.
TURN = 60
#: A provider that has not answered by then is asked again later. Less than the lease.
FETCH_TIMEOUT_S = 120.0
_ROUNDS = 5


@dataclass(frozen=True)
class KeptFile:
    """A file as doors know it. With `profile_id` it is on a person; with neither that nor a `channel_id` it is an
    upload, seen by who brought it (`created_by`) alone."""

    id: str
    state: str
    name: str
    media_type: str
    size_bytes: int
    sha256: str | None
    created_at: datetime
    channel_id: str | None = None
    message_id: str | None = None
    created_by: str | None = None
    profile_id: str | None = None
    removed_at: datetime | None = None
    reason: Mapping[str, Any] | None = None


def kept_file_of(row: Document) -> KeptFile:
    """The row as a value."""
    return KeptFile(
        id=row["_id"],
        state=row["state"],
        name=row.get("name") or "file",
        media_type=row.get("media_type") or NEUTRAL,
        size_bytes=row.get("size_bytes") or 0,
        sha256=row.get("sha256"),
        created_at=row["created_at"],
        channel_id=row.get("channel_id"),
        message_id=row.get("message_id"),
        created_by=row.get("created_by"),
        profile_id=row.get("profile_id"),
        removed_at=row.get("removed_at"),
        reason=row.get("reason"),
    )


class Files:
    """Fetches, keeps and hands out."""

    def __init__(
        self, store: FileStore, channels: ChannelStore, registry: Registry, feed: Feed, clock: Clock, *,
        link_keys: Sequence[str | bytes] = (), fetch_timeout_s: float = FETCH_TIMEOUT_S,
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        """`link_keys`: what signs links to files (`inbox.file_links`), newest first."""
        self._store = store
        self._channels = channels
        self._registry = registry
        self._feed = feed
        self._clock = clock
        self._link_keys = tuple(link_keys)
        self._fetch_timeout_s = fetch_timeout_s
        self._rng = rng or random.Random()

    # -- fetching ----------------------------------------------------------------------------------------------

    async def fetch(self, limit: int) -> int:
        """Fetch up to `limit` files that are due; how many were handled. The drain of the bell "fetch"."""
        left, handled = min(limit, TURN), 0
        running: dict[asyncio.Task[None], str] = {}
        fault: BaseException | None = None
        try:
            while True:
                while fault is None and (rows := await self._claimed(left, running)):
                    left -= len(rows)
                    running |= {asyncio.create_task(self._one(row)): row["channel_id"] for row in rows}
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del running[task]
                    handled += 1
                    fault = fault or task.exception()
        finally:
            for task in running:
                task.cancel()
        if fault is not None:
            raise fault  # our own store: what was under way is due again when its lease ends
        return handled

    async def _claimed(self, left: int, running: Mapping[asyncio.Task[None], str]) -> list[Document]:
        free = min(left, IN_FLIGHT - len(running), PER_CHANNEL)
        if free <= 0:
            return []
        full = [channel_id for channel_id, count in Counter(running.values()).items() if count >= PER_CHANNEL]
        where = {"channel_id": {"$nin": full}} if full else None
        return await self._store.duties.claim(["wanted"], self._clock(), limit=free, where=where)

    async def _one(self, row: Document) -> None:
        """Take one claimed file to its bytes, to another try, or to its end."""
        if row["attempts"] - row["tries"] > MAX_CRASHES:
            await self._end(row, file_policy.CRASHED)
            return
        if "content" in row:
            await self._keep(row, row["content"], None)
            return
        account = await self._channels.account(row["channel_id"])
        if account is None:
            await self._end(row, file_policy.CHANNEL_GONE)
            return
        try:
            content, told = await self._downloaded(account, row)
        except SendFailed as failed:
            await self._not_fetched(row, failed)
            return
        if len(content) > FILE_MAX_BYTES:
            await self._end(row, TOO_LARGE)
            return
        await self._keep(row, content, told)

    async def _downloaded(self, account: Account, row: Document) -> tuple[bytes, str]:
        try:
            adapter: Adapter = self._registry.get(account.provider)
            reference = Attachment.model_validate(row["attachment"])
            async with asyncio.timeout(self._fetch_timeout_s):
                return await adapter.media(account, reference, max_bytes=FILE_MAX_BYTES)
        except SendFailed:
            raise
        except TimeoutError:
            raise SendFailed(Failure.TEMPORARY, f"No answer within {self._fetch_timeout_s:.0f} s.") from None
        except (NotImplementedError, NotFound):
            raise SendFailed(Failure.NOT_SUPPORTED) from None
        except Exception as error:  # an adapter's bug is that file's trouble alone
            log.exception("an adapter broke its contract", extra={"provider": account.provider, "file": row["_id"]})
            raise SendFailed(Failure.UNKNOWN, f"The channel's program failed ({type(error).__name__}).") from None

    async def _keep(self, row: Document, content: bytes, told: str | None) -> None:
        """Bytes first, then the row: what dies in between leaves bytes that nobody sees, and is done again."""
        media_type = type_of(content, told or row.get("media_type"), row["name"])
        sha256 = await asyncio.to_thread(sha256_of, content)
        about: Document = {
            "state": "stored", "name": safe_name(row["name"], media_type, row.get("kind", "file")),
            "media_type": media_type, "size_bytes": len(content), "reason": None,
        }  # fmt: skip
        shown = {**about, "file_name": about["name"]}
        ended: Document = {"content": None, "attachment": None, "due_at": None, "lease": None}
        for _ in range(_ROUNDS):
            change = {**about, **ended, "sha256": sha256, "stored_at": self._clock()}
            change["grid_id"] = await self._store.blob(sha256, content)
            try:
                await self._tell(row, await self._store.record(row, change, shown))
            except BlobGone:
                continue
            return

    async def _not_fetched(self, row: Document, failed: SendFailed) -> None:
        now, tries = self._clock(), row["tries"] + 1
        first_tried_at = row.get("first_tried_at") or now
        again_at = file_policy.again_at(failed, tries, first_tried_at, now, self._rng)
        if again_at is None:
            await self._end(row, file_policy.reason_of(failed, waiting=False), tries=tries)
            return
        reason = file_policy.reason_of(failed, waiting=True).as_document()
        change = {"tries": tries, "first_tried_at": first_tried_at, "reason": reason, "due_at": again_at, "lease": None}
        await self._tell(row, await self._store.record(row, change, {"reason": reason}))

    async def _end(self, row: Document, why: Reason, **more: Any) -> None:
        log.warning("a file was not fetched", extra={"file": row["_id"], "reason": why.code})
        reason = why.as_document()
        change = {"state": "failed", "reason": reason, "due_at": None, "lease": None, "content": None, **more}
        await self._tell(row, await self._store.record(row, change, {"state": "failed", "reason": reason}))

    async def _tell(self, row: Document, message: Document | None) -> None:
        if message is None:
            return
        data = {
            "message_id": message["_id"], "conversation_id": message.get("conversation_id"),
            "direction": message["direction"], "file_id": row["_id"],
        }  # fmt: skip
        await self._feed.append([Notice("message.updated", data, message["channel_id"])])

    # -- handing out -------------------------------------------------------------------------------------------

    async def get(self, file_id: str) -> KeptFile | None:
        """A file by its id, in whatever state."""
        row = await self._store.row(file_id) if is_id(file_id, "fil") else None
        return kept_file_of(row) if row and row["state"] != "erased" else None

    async def linked(self, token: str) -> KeptFile | None:
        """The one file that a link opens; None when the link is not ours, has expired, or the file is gone."""
        file_id = read_link(self._link_keys, token, self._clock())
        return await self.get(file_id) if file_id is not None else None

    async def read(self, file_id: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes in pieces. Raises `NotFound` when they are not here (any more), also half-way."""
        row = await self._store.row(file_id) if is_id(file_id, "fil") else None
        if row is None:
            raise NotFound("There is no such file.")
        try:
            async for piece in self._store.read(row, start, length):
                yield piece
        except KeyError:
            raise NotFound("This file is not here any more.") from None

    # -- what people bring -------------------------------------------------------------------------------------

    async def upload(self, content: bytes, name: str | None, told: str | None, by: str) -> KeptFile:
        """Keep a file that `by` will send; unsent it is forgotten after a week. Raises `WrongInput`, `TooLarge`."""
        if not content:
            raise WrongInput("The file is empty.")
        if len(content) > FILE_MAX_BYTES:
            raise TooLarge(TOO_LARGE.sentence)
        media_type = type_of(content, told, name)
        sha256 = await asyncio.to_thread(sha256_of, content)
        row: Document = {
            "_id": new_id("fil"), "source": "upload", "state": "stored", "name": safe_name(name, media_type),
            "media_type": media_type, "size_bytes": len(content), "sha256": sha256, "created_by": by,
            "created_at": self._clock(),
        }  # fmt: skip
        for _ in range(_ROUNDS):
            row["grid_id"] = await self._store.blob(sha256, content)
            try:
                await self._store.add_upload(row)
            except BlobGone:
                continue
            return kept_file_of(row)
        raise Unavailable("The file could not be kept just now.")

    # -- tidying -----------------------------------------------------------------------------------------------

    async def tidy(self) -> int:
        """Forget uploads never sent and bytes that nobody holds. A chore, safe to be done by several at once."""
        return await self._store.tidy(self._clock())


def sha256_of(content: bytes) -> str:
    """The name of these bytes."""
    return hashlib.sha256(content).hexdigest()
