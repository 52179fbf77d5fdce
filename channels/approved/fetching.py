"""Fetches the approved templates of every account that has them: every few hours, and when the platform says so."""

from __future__ import annotations

import logging
from datetime import timedelta

from base.clock import Clock
from base.errors import RapportError
from base.mongo import UNAVAILABLE, Document
from channels.adapter import Adapter
from channels.approved.store import ApprovedStore
from channels.failures import SendFailed
from channels.registry import Registry
from channels.store import ChannelStore

log = logging.getLogger(__name__)

EVERY, AFTER_FAULT = timedelta(hours=6), timedelta(minutes=10)


class Fetching:
    """For the clockwork."""

    def __init__(self, approved: ApprovedStore, channels: ChannelStore, registry: Registry, clock: Clock) -> None:
        self._approved = approved
        self._channels = channels
        self._registry = registry
        self._clock = clock

    def able(self, provider: str) -> bool:
        """Whether this provider keeps a list of templates."""
        return type(self._registry.get(provider)).templates is not Adapter.templates

    async def enlist(self) -> None:
        """Give every such account its duty."""
        await self._approved.want([each.id for each in await self._channels.list() if self.able(each.provider)])

    async def drain(self, limit: int = 20) -> int:
        """Fetch what is due; how many accounts."""
        rows = await self._approved.claim(limit)
        for row in rows:
            await self._served(row)
        return len(rows)

    async def _served(self, row: Document) -> None:
        """Whatever goes wrong with an account concerns that account alone."""
        try:
            await self._fetch(row)
        except UNAVAILABLE:
            raise
        except RapportError as error:  # its secrets cannot be opened, its provider is gone
            log.warning("an account cannot be opened", extra={"channel_id": row["_id"], "error": error.code})
            await self._approved.rest(row, AFTER_FAULT)
        except Exception:  # an adapter's bug costs this list, nothing else
            log.exception("templates could not be fetched", extra={"channel_id": row["_id"]})
            await self._approved.rest(row, EVERY)

    async def _fetch(self, row: Document) -> None:
        opened = await self._channels.both(row["_id"])
        if opened is None or not self.able(opened[0].provider):
            await self._approved.forget(row["_id"])
            return
        if opened[0].state != "connected":
            await self._approved.rest(row, AFTER_FAULT)
            return
        try:
            found = await self._registry.get(opened[0].provider).templates(opened[1])
        except SendFailed as error:
            fault = {"at": self._clock(), "code": error.failure.value, "text": f"Templates: {error}"[:500]}
            await self._channels.note(row["_id"], error=fault)
            await self._approved.rest(row, AFTER_FAULT)
        else:
            await self._approved.replace(row["_id"], found)
            await self._approved.rest(row, EVERY)
