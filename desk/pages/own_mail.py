"""Which mail addresses are ours (those of a channel, also with the tag that leads an answer back), and who else reads a
mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from email.utils import parseaddr
from typing import Any

from channels.providers.mail.threading import is_ours


async def own_addresses(runtime: Any, channel_id: str) -> frozenset[str]:
    """The mail addresses that stand in the settings of a channel, folded; none for a channel that is gone."""
    channel = await runtime.channels.get(channel_id)
    written = [str(value).lower() for value in (channel.settings.values() if channel else ())]
    return frozenset(each for each in written if "@" in each)


def bare(address: str) -> str:
    """The address of `Name <address>`, folded. Pure."""
    return parseaddr(address)[1].lower()


def is_own(address: str, own: Collection[str]) -> bool:
    """Whether mail to it comes to us. `own`: as `own_addresses` gives them. Pure."""
    return any(is_ours(address, each) for each in own)


def other_readers(mail: Mapping[str, Any], known: Collection[str], own: Collection[str]) -> tuple[str, ...]:
    """Whom a mail names as its readers, folded, each once, without those who are known and without us. Pure."""
    named = (bare(str(each)) for each in (*mail.get("to", ()), *mail.get("cc", ())))
    return tuple(dict.fromkeys(each for each in named if each and each not in known and not is_own(each, own)))
