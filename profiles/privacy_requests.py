"""Requests about somebody's data that a shop passes on: kept with their time limit until a person here has decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from base.clock import Clock
from base.errors import Conflict, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import Document
from profiles.keys import key_of
from profiles.models import IdentityRef
from profiles.store.identities import IdentityStore
from profiles.store.privacy_requests import RequestStore

#: Topic of a notice → what is asked for.
#: Shopify wants them carried out within thirty days (see `channels/providers/shopify/customers.py`).
TOPICS = {"customers/data_request": "show", "customers/redact": "erase", "shop/redact": "erase_shop"}
LIMIT = timedelta(days=30)


class PrivacyRequests:
    """Notes them, finds whom they are about, and lets somebody answer."""

    def __init__(self, store: RequestStore, identities: IdentityStore, feed: Feed, clock: Clock) -> None:
        self._store = store
        self._identities = identities
        self._feed = feed
        self._clock = clock

    async def note(self, channel_id: str, topic: str, event_id: str, details: Mapping[str, Any]) -> bool:
        """Keep it once. False: such a notice asks for nothing."""
        kind = TOPICS.get(topic)
        if kind is None:
            return False
        now = self._clock()
        await self._store.note({
            "_id": new_id("prq"), "dedupe": f"{channel_id}:{topic}:{event_id}", "kind": kind, "channel_id": channel_id,
            "subject": dict(details), "keys": keys_in(channel_id, details), "received_at": now,
            "answer_by": now + LIMIT, "state": "open",
        })  # fmt: skip
        await self._feed.append([Notice("privacy.requested", {}, channel_id)])
        return True

    async def open(self) -> list[tuple[Document, list[str]]]:
        """Those that wait, with the profiles they may be about."""
        return [(row, await self.whom(row)) for row in await self._store.open()]

    async def get(self, request_id: str) -> Document:
        """One request. Raises `NotFound`."""
        row = await self._store.get(request_id)
        if row is None:
            raise NotFound("There is no such request.")
        return row

    async def whom(self, row: Document) -> list[str]:
        """The profiles that hold one of the identities it names."""
        found = await self._identities.rows_by_key(row["keys"])
        return list(dict.fromkeys(each["profile_id"] for each in found.values()))

    async def answer(self, request_id: str, by: str, how: str) -> None:
        """It was seen to: `erased`, `shown`, `declined` or `nobody`. Raises `NotFound`, `Conflict`."""
        await self.get(request_id)
        if not await self._store.answer(request_id, by, how, self._clock()):
            raise Conflict("This request was answered already.")


def keys_in(channel_id: str, details: Mapping[str, Any]) -> list[str]:
    """The identity keys that a request names. What cannot be read names nobody. Pure."""
    keys = []
    for kind in ("customer_id", "email", "phone"):
        value = details.get(kind)
        try:
            if value:
                keys.append(key_of(IdentityRef(kind=kind, value=str(value))).key)
        except (WrongInput, ValueError):
            continue
    if details.get("customer_id"):
        keys += [f"customer_id:{channel_id}:{details['customer_id']}", f"{channel_id}:{details['customer_id']}"]
    return keys
