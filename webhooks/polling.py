"""Accounts that do not post are asked: pages go to the journal like any webhook, then the cursor moves.

A crash between the two fetches the page again, and the journal's unique keys drop what is there already.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from base.clock import Clock
from base.errors import RapportError, Unavailable
from base.mongo import UNAVAILABLE, Document
from channels.adapter import Account, Adapter, Delivery, Page
from channels.failures import SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from webhooks.journal import Journal
from webhooks.store import PollStore

log = logging.getLogger(__name__)

#: Accounts asked side by side by one worker; pages of one account before others get a turn.
WIDTH, PAGES = 16, 20
#: How long a drain waits for those under way before it looks for others that are due.
LOOK_S = 0.5
#: A page that takes long is held so often; well below the lease of a poll.
BEAT_S = 15.0
#: A paused account is looked at this often.
PAUSED_S = 60.0
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 900.0


class Polling:
    """Drains the polls that are due."""

    def __init__(
        self, polls: PollStore, channels: ChannelStore, registry: Registry, journal: Journal, clock: Clock
    ) -> None:
        self._polls = polls
        self._channels = channels
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._under_way: set[asyncio.Task[None]] = set()

    async def drain(self, limit: int) -> int:
        """Ask accounts that are due; how many were begun. A slow one goes on while the others are served."""
        rows = await self._polls.claim(min(limit, WIDTH - len(self._under_way)))
        for row in rows:
            task = asyncio.create_task(self._serve(row), name=f"poll {row['_id']}")
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=LOOK_S)
        return len(rows)

    async def enlist(self) -> None:
        """Give every account that has to be asked its duty. For the clockwork."""
        wanted = []
        for channel in await self._channels.list():
            try:
                account = await self._channels.account(channel.id)
            except RapportError as error:  # a secret that cannot be opened concerns this account alone
                log.warning("an account cannot be opened", extra={"channel_id": channel.id, "error": error.code})
                continue
            if account is not None and self._registry.get(channel.provider).poll_every_s(account) is not None:
                wanted.append(channel.id)
        await self._polls.ensure(wanted)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Wait for what is under way; after that it is left to the next worker."""
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=timeout_s)

    async def _serve(self, row: Document) -> None:
        try:
            await self._ask(row)
        except SendFailed as error:
            await self._failed(row, error)
        except (Unavailable, *UNAVAILABLE) as error:
            log.warning("a store is away, the poll comes again", extra={"error": type(error).__name__})
        except Exception as error:  # an adapter's bug stops this account alone, and not for ever
            log.exception("poll failed", extra={"channel_id": row["_id"]})
            await self._polls.rest(row, _backoff_s(row), failures=row["failures"] + 1)
            await self._note(row["_id"], "poll_failed", type(error).__name__)

    async def _ask(self, row: Document) -> None:
        opened = await self._channels.both(row["_id"])
        adapter = self._registry.get(opened[0].provider) if opened else None
        every_s = adapter.poll_every_s(opened[1]) if adapter and opened else None
        if opened is None or adapter is None or every_s is None:
            await self._polls.forget(row["_id"])
        elif opened[0].state != "connected":
            await self._polls.rest(row, PAUSED_S, failures=row["failures"])
        elif await self._fetched(row, adapter, opened[1]):
            await self._polls.rest(row, every_s)

    async def _fetched(self, row: Document, adapter: Adapter, account: Account) -> bool:
        """Page after page into the journal; False when the account is somebody else's meanwhile."""
        cursor, hint = row.get("cursor"), row.get("hint")
        for _ in range(PAGES):
            page = await self._page(row, adapter, account, cursor, hint)
            if page is None:
                return False
            for delivery in page.deliveries:
                await self._keep(adapter, account, delivery)
            if not await self._polls.advance(row, page.cursor):
                return False
            cursor = page.cursor
            if not page.more:
                return True
        await self._polls.want(row["_id"], hint)
        return True

    async def _page(
        self, row: Document, adapter: Adapter, account: Account, cursor: str | None, hint: str | None
    ) -> Page | None:
        """One page, however long it takes: the account is held meanwhile. None when it is somebody else's now."""
        asking = asyncio.ensure_future(adapter.poll(account, cursor, hint))
        try:
            while not (await asyncio.wait([asking], timeout=BEAT_S))[0]:
                if not await self._polls.hold(row):
                    return None
            return asking.result()
        finally:
            asking.cancel()

    async def _keep(self, adapter: Adapter, account: Account, delivery: Delivery) -> None:
        """What can't be stored is named and left out: one bad item must not stop a mailbox."""
        key = adapter.delivery_key(account, delivery)
        try:
            await self._journal.keep(account.channel_id, account.provider, key, delivery)
        except ValueError as error:
            log.error("what was fetched cannot be kept", extra={"channel_id": account.channel_id})
            await self._note(account.channel_id, "not_kept", f"A message could not be kept: {error}")

    async def _failed(self, row: Document, error: SendFailed) -> None:
        if error.consequence.pause_account:
            await self._channels.pause(row["_id"], error.failure.value, str(error))
        wait_s = max(error.retry_after_s or 0.0, _backoff_s(row))
        await self._polls.rest(row, wait_s, failures=row["failures"] + 1)
        await self._note(row["_id"], error.failure.value, str(error))

    async def _note(self, channel_id: str, code: str, text: str) -> None:
        await self._channels.note(channel_id, error={"at": self._clock(), "code": code, "text": text[:500]})


def _backoff_s(row: Document) -> float:
    failures: Any = min(row["failures"], 20)
    return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2**failures))
