"""Kept deliveries that speak of a person: found by reading them, because nothing in the hot path notes whom they name.

A delivery may hold several people. What is handed out are the items of this person alone; what is erased is the whole
body, once it has been worked off: nothing is lost with it but the chance to read or replay it. The row stays, so that
the same delivery coming again is known.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from base.mongo import Document
from channels.adapter import Account
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import AnyEvent
from profiles.holdings import Traces, shown
from webhooks.journal import Journal, as_delivery

log = logging.getLogger(__name__)

#: Rows read at once, with their bodies.
BATCH = 100
#: What came so long before the person was first seen by name is looked at, too.
EARLIER = timedelta(days=1)
_INSIDE = rb"[0-9A-Za-z]"


class Mentions:
    """As `profiles.holdings.Room`."""

    name = "deliveries"
    read_whole = True

    def __init__(self, journal: Journal, registry: Registry, channels: ChannelStore) -> None:
        self._journal = journal
        self._registry = registry
        self._channels = channels
        self._packed = frozenset(card.provider for card in registry.cards() if card.kind == "email")

    async def rows(self, traces: Traces) -> AsyncIterator[Document]:
        """When what was delivered, with the items that are this person's."""
        async for row in self._mentioning(traces):
            events = await self._events(row)
            own = [told(each) for each in events if _is_about(each, traces)]
            yield shown({
                "_id": row["_id"], "channel_id": row["channel_id"], "provider": row["provider"],
                "received_at": row["received_at"], "state": row["state"], "items": own,
            })  # fmt: skip

    async def count(self, traces: Traces) -> int:
        """How many deliveries."""
        return sum([1 async for _ in self._mentioning(traces)])

    async def effort(self, traces: Traces) -> int:
        """How many deliveries have to be read for it, counted no further than 100,000."""
        return await self._journal.count_since(traces.since - EARLIER if traces.since else None)

    async def erase(self, traces: Traces) -> int:
        """Bodies of what has ended. What still waits is left: `waits` has seen to it, or it came afterwards."""
        pattern, erased, ids = pattern_of([*traces.words, *traces.names]), 0, []
        async for row in self._mentioning(traces):
            if row["state"] == "pending":
                continue
            if pattern is not None and pattern.search(row["key"].encode()):
                await self._journal.forget_key(row["_id"], _hidden(row["key"]))
            ids.append(row["_id"])
            if len(ids) >= BATCH:
                erased, ids = erased + await self._journal.forget(ids), []
        return erased + await self._journal.forget(ids)

    async def forget(self, ids: Sequence[str]) -> int:
        """Take away what these deliveries said, whether or not they name anybody; how many."""
        return await self._journal.forget(ids)

    async def waits(self, traces: Traces, asked_at: datetime) -> str | None:
        """Whether something that came before the person was to be erased and speaks of them is still to be worked off:
        it would make them anew."""
        pattern = pattern_of(traces.words)
        async for row in self._journal.pending_until(asked_at):
            if await self._mentions(row, traces, pattern):
                return "deliveries"
        return None

    async def _mentioning(self, traces: Traces) -> AsyncIterator[Document]:
        pattern = pattern_of([*traces.words, *traces.names])
        since = traces.since - EARLIER if traces.since else None
        async for row in self._journal.bodies(since, batch=BATCH):
            if traces.until is not None and row["received_at"] > traces.until:
                return
            if await self._mentions(row, traces, pattern):
                yield row
            else:
                await asyncio.sleep(0)  # others have a turn

    async def _mentions(self, row: Document, traces: Traces, pattern: re.Pattern[bytes] | None) -> bool:
        if pattern is not None and any(pattern.search(text) for text in _raw(row)):
            return True
        if self._is_plain(row):
            return False
        events = await self._events(row)
        if any(_is_about(each, traces) for each in events):
            return True
        read = "\n".join(str(told(each)) for each in events)
        return pattern is not None and pattern.search(read.encode("utf-8", "replace")) is not None

    def _is_plain(self, row: Document) -> bool:
        """JSON as it is read: what is not in its bytes is not in it. Mail is packed once more, others are sealed."""
        body = bytes(row["body"])
        escaped = b"\\u" in body
        return body[:1] in (b"{", b"[") and not escaped and row["provider"] not in self._packed

    async def _events(self, row: Document) -> list[AnyEvent]:
        """What the delivery says: some bodies are sealed or packed and can be read in no other way."""
        account: Account | None = await self._channels.account(row["channel_id"])
        if account is None:
            return []
        try:
            return self._registry.get(row["provider"]).parse(account, as_delivery(row))
        except Exception as error:  # unreadable then as now: the bytes were looked at
            log.debug("a kept delivery cannot be read", extra={"delivery": row["_id"], "error": type(error).__name__})
            return []


def pattern_of(words: Iterable[str]) -> re.Pattern[bytes] | None:
    """Finds any of these words in raw bytes as they are, percent-encoded or with JSON's escapes. Pure.

    A number inside a longer number is another number.
    """
    forms: dict[bytes, None] = {}
    for word in words:
        plain = word.encode("utf-8", "replace")
        escaped = word.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
        forms |= dict.fromkeys((plain, escaped, quote(word, safe="").encode(), quote(word).encode()))
    if not forms:
        return None
    either = b"|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rb"(?<!" + _INSIDE + rb")(?:" + either + rb")(?!" + _INSIDE + rb")", re.IGNORECASE)


def told(event: AnyEvent) -> dict[str, Any]:
    """An item without its raw part and the bytes of files."""
    said = event.model_dump(exclude={"raw"}, exclude_none=True)
    for each in said.get("attachments", ()):
        each.pop("content", None)
    return said


def _raw(row: Document) -> Iterable[bytes]:
    yield bytes(row["body"])
    yield row["key"].encode("utf-8", "replace")
    yield str(row["query"]).encode("utf-8", "replace")


def _is_about(event: AnyEvent, traces: Traces) -> bool:
    address = getattr(event, "address", None)
    if address is not None and (address.channel_id, address.external_id) in traces.addresses:
        return True
    person, words = getattr(event, "person", None), set(traces.words)
    named = [getattr(person, name, None) for name in ("email", "phone", "customer_id")] if person is not None else []
    named += [getattr(event, name, None) for name in ("customer_id", "anonymous_id", "former_id")]
    order = getattr(event, "order", None)
    if isinstance(order, dict):
        refs = [order.get("identity"), *(order.get("identities") or ())]
        named += [ref.get("value") if isinstance(ref, dict) else str(ref).partition(":")[2] for ref in refs if ref]
    return bool(words.intersection(each for each in named if each))


def _hidden(key: str) -> str:
    return f"erased:{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}"
