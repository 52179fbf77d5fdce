"""Behind the mail listener: which channel a recipient belongs to, and the journal that keeps the mail."""

from __future__ import annotations

import time
from typing import Protocol

from base.clock import Clock
from base.errors import Unavailable
from base.mongo import UNAVAILABLE
from channels.adapter import Unverified
from channels.providers.mail.email.adapter import own_addresses
from channels.registry import Registry
from channels.store import ChannelStore
from webhooks.journal import Journal
from webhooks.mail_listener import as_delivery

PROVIDER = "email"
#: How long the list of our addresses may be used without looking again, seconds.
FRESH_S = 3.0


class Tools(Protocol):
    """What this door needs of the runtime."""

    @property
    def registry(self) -> Registry: ...
    @property
    def channels(self) -> ChannelStore: ...
    @property
    def journal(self) -> Journal: ...
    @property
    def clock(self) -> Clock: ...


class MailDoor:
    """`knows` and `accept` for `MailListener`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._ours: dict[str, str] = {}
        self._until = 0.0

    async def knows(self, recipient: str) -> bool:
        """True when one of our channels receives this address, with or without a `+token`."""
        return await self._channel_of(recipient) is not None

    async def accept(self, recipient: str, sender: str, raw: bytes) -> bool:
        """Keep a mail; True once a majority has it on disk. A repeat is kept once and accepted again."""
        channel_id = await self._channel_of(recipient)
        if channel_id is None:
            return False
        try:
            account = await self._tools.channels.account(channel_id)
            if account is None:
                return False
            adapter = self._tools.registry.get(PROVIDER)
            delivery = as_delivery(recipient, sender, raw, self._tools.clock())
            adapter.verify(account, delivery, self._tools.clock())
            key = adapter.delivery_key(account, delivery)
            await self._tools.journal.keep(channel_id, PROVIDER, key, delivery)
        except (Unavailable, Unverified, ValueError, *UNAVAILABLE):
            return False
        return True

    async def _channel_of(self, recipient: str) -> str | None:
        if time.monotonic() > self._until:
            await self._look()
        local, _, domain = recipient.lower().rpartition("@")
        return self._ours.get(f"{local}@{domain}") or self._ours.get(f"{local.split('+', 1)[0]}@{domain}")

    async def _look(self) -> None:
        ours = {}
        try:
            for channel in await self._tools.channels.list(provider=PROVIDER):
                account = await self._tools.channels.account(channel.id)
                if account is not None:
                    ours.update({each.lower(): channel.id for each in own_addresses(account.settings)})
        except UNAVAILABLE as error:
            raise Unavailable("Our addresses cannot be looked up now.") from error
        self._ours, self._until = ours, time.monotonic() + FRESH_S
