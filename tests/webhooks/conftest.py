"""A door on the real database with one made-up provider."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from pydantic import SecretStr

from base.bus import Bus
from base.clock import Clock, now
from base.feed import Feed
from base.http import AddressGuard, HttpClient
from base.mongo import Database
from base.secret_box import SecretBox
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, Unreadable, Unverified
from channels.capabilities import Capabilities
from channels.registry import Registry
from channels.store import Channel, ChannelStore
from channels.vocabulary import Address, AnyEvent, MessageReceived
from webhooks.journal import Journal
from webhooks.refusals import Refusals
from webhooks.store import PollStore


class PigeonSettings(AccountSettings):
    """One secret."""

    secret: SecretStr
    loft: str = "north"


class Pigeon(Adapter):
    """Signed JSON list of {id, from, text}."""

    card: ClassVar[Card] = Card("pigeon", "Pigeon post", "chat", "For tests.", PigeonSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=100)
    max_body_bytes: ClassVar[int] = 100_000

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        given = delivery.header("x-pigeon") or ""
        if not any(given == sign(secret, delivery.body) for secret in account.secrets("secret")):
            raise Unverified("no")

    def locate(self, delivery: Delivery) -> frozenset[tuple[str, str]]:
        return frozenset(("loft", str(item.get("loft", "north"))) for item in json.loads(delivery.body))

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        try:
            items = json.loads(delivery.body)
        except ValueError as error:
            raise Unreadable("not JSON") from error
        return [
            MessageReceived(
                event_id=item["id"],
                message_id=item["id"],
                occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
                address=Address(channel_id=account.channel_id, external_id=item["from"]),
                text=item["text"],
            )
            for item in items
            if item.get("loft", "north") == account.settings.loft
        ]


def sign(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass
class Tools:
    """What the door and the ingest need."""

    db: Database
    registry: Registry
    channels: ChannelStore
    journal: Journal
    polls: PollStore
    refusals: Refusals
    feed: Feed
    clock: Clock
    channel: Channel
    #: Accounts whose templates somebody wanted fetched.
    templates_wanted: list[str] = field(default_factory=list)

    async def want_templates(self, channel_id: str) -> None:
        self.templates_wanted.append(channel_id)


@pytest.fixture
async def tools(mongo_url: str, redis_url: str, redis_prefix: str, fresh_shaped_database: str) -> AsyncIterator[Tools]:
    database = Database(mongo_url, fresh_shaped_database)
    http, bus = HttpClient(AddressGuard()), Bus(redis_url, prefix=redis_prefix)
    registry = Registry(http, {"pigeon": Pigeon})
    accounts = ChannelStore(database, SecretBox([SecretBox.new_key()]), registry, now, "http://rapport.test")
    channel = await accounts.add("pigeon", "Loft", {"secret": "s3cret"})
    journal, polls, refusals = Journal(database, now), PollStore(database, now), Refusals(bus)
    feed = Feed(database, bus, now)
    yield Tools(database, registry, accounts, journal, polls, refusals, feed, now, channel)
    await refusals.close()
    await http.close()
    await bus.close()
    database.close()
