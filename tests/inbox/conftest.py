"""The inbox on real servers, with providers that do as the test says."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from base.bus import Bus
from base.clock import now as real_now
from base.feed import Feed
from base.http import AddressGuard, HttpClient, HttpFailed
from base.mongo import Database
from base.queue import Doorbell
from base.secret_box import SecretBox
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery
from channels.capabilities import Capabilities, Idempotency, MediaLimit, Reacting
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import (
    Address,
    AnyEvent,
    AttachmentKind,
    DeliveryUpdate,
    MessageReceived,
    OutboundMessage,
    Person,
    SendReceipt,
)
from inbox.incoming import Arrival
from inbox.models import Actor, SendRequest, Source
from inbox.room import Inbox, open_inbox
from inbox.sources import Answer, Prepared
from profiles.consent import Consent
from profiles.events import EventStore
from profiles.resolve import Resolver, Sighting
from profiles.store import ConsentStore, ProfileStore, consent_groups, consents, identities, profiles, suggestions
from profiles.store import events as event_rows
from tests.databases import Shelf

PROFILE_STORES = (consents, consent_groups, event_rows, identities, profiles, suggestions)
AGENT = Actor("usr_anna", "Anna")
REPLY_KEY = "test-reply-key"


class NoSettings(AccountSettings):
    """Hardly anything to set."""

    from_address: str = "help@shop.example"
    api_base: str = ""


Script = Callable[[OutboundMessage], Any]


class ScriptedAdapter(Adapter):
    """Accepts what the script does not refuse, and counts what it accepted by key."""

    card: ClassVar[Card] = Card("scripted", "Scripted", "chat", "Plays a provider in process.", NoSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=1000, rate_per_s=100_000.0, buttons=3)

    def __init__(self, http: Any) -> None:
        super().__init__(http)
        self.accepted: Counter[str] = Counter()
        self.calls: list[OutboundMessage] = []
        self.times: list[float] = []
        self.script: Script | None = None
        self.delay_s = 0.0

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        return None

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return []

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        self.calls.append(message)
        self.times.append(time.time())
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.script is not None:
            answer = self.script(message)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if isinstance(answer, Exception):
                raise answer
            if isinstance(answer, SendReceipt):
                self.accepted[message.key] += 1
                return answer
        repeated = self.capabilities.idempotency is Idempotency.KEY and message.key in self.accepted
        if not repeated:
            self.accepted[message.key] += 1
        return SendReceipt(message_ids=(f"p-{message.key}",), repeated=repeated)


class ReactingAdapter(ScriptedAdapter):
    """Keeps our reactions as a platform does: one per message of theirs."""

    card = Card("reacting", "Reacting", "chat", "Plays a provider with reactions.", NoSettings)
    capabilities = ScriptedAdapter.capabilities.model_copy(
        update={"reply_window_s": 24 * 3600, "reacting": Reacting(emojis=("👍", "❤️", "🎉"), within_s=30 * 24 * 3600)}
    )

    def __init__(self, http: Any) -> None:
        super().__init__(http)
        self.standing: dict[str, str] = {}
        self.reacted: list[OutboundMessage] = []

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        self.reacted.append(message)
        answer = self.script(message) if self.script is not None else None
        if isinstance(answer, Exception):
            raise answer
        assert message.reaction is not None
        self.standing.pop(message.reaction.message_id, None)
        if message.reaction.emoji:
            self.standing[message.reaction.message_id] = message.reaction.emoji
        return SendReceipt(message_ids=())


def _like(name: str, kind: str = "chat", **capabilities: Any) -> type[ScriptedAdapter]:
    members = {
        "card": Card(name, name.title(), kind, "Plays a provider.", NoSettings),  # type: ignore[arg-type]
        "capabilities": ScriptedAdapter.capabilities.model_copy(update=capabilities),
    }
    return type(name, (ScriptedAdapter,), members)


class WiredAdapter(ScriptedAdapter):
    """Speaks HTTP with a provider played by a local server."""

    card = Card("wired", "Wired", "chat", "A provider behind real HTTP.", NoSettings)
    timeout_s = 4.0

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        url = f"{account.settings.api_base}/send"
        body = {"key": message.key, "to": message.to.external_id, "text": message.text}
        try:
            answer = await self.http.request("POST", url, json=body, timeout_s=self.timeout_s)
        except HttpFailed as failed:
            raise SendFailed(Failure.UNCERTAIN if failed.sent else Failure.TEMPORARY, str(failed)) from None
        if answer.status == 429:
            wait = float(answer.headers.get("Retry-After", "1"))
            raise SendFailed(Failure.RATE_LIMITED, "429", retry_after_s=wait)
        if answer.status >= 400:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, answer.json()["error"], provider_code=str(answer.status))
        return SendReceipt(message_ids=(str(answer.json()["id"]),))


class PhoningAdapter(ScriptedAdapter):
    """Knows people by their numbers; whoever has not written yet gets templates only."""

    card = Card("phoning", "Phoning", "chat", "Plays a provider of numbers.", NoSettings)
    capabilities = ScriptedAdapter.capabilities.model_copy(
        update={"reply_window_s": 24 * 3600, "templates": True, "template_outside_window": True}
    )

    def address_of(self, account: Account, kind: str, value: str) -> str | None:
        return value.removeprefix("+") if kind == "phone" else None


ADAPTERS: dict[str, type[Adapter]] = {
    "phoning": PhoningAdapter,
    "reacting": ReactingAdapter,
    "wired": WiredAdapter,
    "scripted": ScriptedAdapter,
    "keyed": _like("keyed", idempotency=Idempotency.KEY),
    "echoing": _like("echoing", idempotency=Idempotency.ECHO),
    "windowed": _like("windowed", reply_window_s=24 * 3600, templates=True, template_outside_window=True),
    "counted": _like("counted", reply_window_s=3600, window_quota=2),
    "mail": _like(
        "mail", kind="email", text_limit=500_000, idempotency=Idempotency.RECEIVER,
        media=(MediaLimit(kind=AttachmentKind.FILE, max_bytes=25_000_000),),
    ),
    "slowly": _like("slowly", rate_per_s=20.0),
}


@dataclass
class Planner:
    """A source of campaign sends that does as it is told."""

    answers: dict[str, Any] = field(default_factory=dict)
    settled_with: list[tuple[str, str]] = field(default_factory=list)
    asked: int = 0
    #: What comes to light when a send has been handed over.
    objections: dict[str, Any] = field(default_factory=dict)

    async def prepare(self, sends: Any, barred: Any, now: datetime) -> dict[str, Answer]:
        self.asked += len(sends)
        found: dict[str, Answer] = {}
        for send in sends:
            answer = self.answers.get(send.send_key)
            if isinstance(answer, Exception):
                raise answer
            to = Address(channel_id=send.channel_id, external_id="elsewhere")
            text = str(send.content.get("text", "Hello"))
            found[send.id] = answer or Prepared(OutboundMessage(key="not-mine", to=to, text=text))
        return found

    async def house_rules(self, sends: Any, now: datetime, known: Any) -> dict[str, Any]:
        return {}

    async def last_look(self, sends: Any, now: datetime) -> dict[str, Any]:
        return {send.id: self.objections[send.send_key] for send in sends if send.send_key in self.objections}

    async def settled(self, sends: Any) -> None:
        self.settled_with += [(send.send_key, send.state) for send in sends]


@dataclass
class Clock:
    """Ours to set. Leases run by the server's clock: see `House.expire_leases`."""

    ahead: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return real_now() + self.ahead


@dataclass
class House:
    """Everything a test touches."""

    database: Database
    clock: Clock
    inbox: Inbox
    channels: ChannelStore
    registry: Registry
    profiles: ProfileStore
    resolver: Resolver
    events: EventStore
    consent: Consent
    feed: Feed
    doorbell: Doorbell
    planner: Planner

    def adapter(self, provider: str = "scripted") -> ScriptedAdapter:
        found = self.registry.get(provider)
        assert isinstance(found, ScriptedAdapter)
        return found

    async def channel(self, provider: str = "scripted", **settings: str) -> str:
        return (await self.channels.add(provider, f"My {provider}", settings)).id

    def arrival(self, channel_id: str, sender: str, message_id: str, text: str = "Hi", **fields: Any) -> Arrival:
        provider = fields.pop("provider", "scripted")
        at = fields.pop("at", None) or self.clock()
        event = MessageReceived(
            event_id=message_id,
            occurred_at=at,
            address=Address(channel_id=channel_id, external_id=sender),
            person=fields.pop("person", Person(name=f"Name of {sender}")),
            message_id=message_id,
            text=text,
            **fields,
        )
        return Arrival(channel_id, provider, event, "dlv_test")

    def event(self, channel_id: str, event: AnyEvent, provider: str = "scripted") -> Arrival:
        return Arrival(channel_id, provider, event, "dlv_test")

    async def conversation(self, channel_id: str, sender: str, provider: str = "scripted", **fields: Any) -> Any:
        """One customer wrote once; their conversation."""
        arrival = self.arrival(channel_id, sender, f"first-{sender}", provider=provider, **fields)
        result = await self.inbox.receiver.receive([arrival])
        found = await self.inbox.conversations.get(result.outcomes[0].conversation_id or "")
        assert found is not None
        return found

    async def people(self, channel_id: str, count: int, provider: str = "scripted") -> list[Any]:
        """So many people known on a channel, without a conversation."""
        sightings = [
            Sighting(Address(channel_id=channel_id, external_id=f"person-{i}"), provider, self.clock())
            for i in range(count)
        ]
        return await self.resolver.resolve(sightings)

    async def plan(self, channel_id: str, people: list[Any], send_class: str = "marketing", **fields: Any) -> list[Any]:
        """One planned campaign send to each."""
        requests = [
            SendRequest(
                send_key=fields.get("key", "key-{}").format(i),
                send_class=send_class,  # type: ignore[arg-type]
                source=Source("journey", "jrn_1", f"enr_{i}", "s1", 1),
                profile_id=known.profile_id,
                identity_id=known.identity_id,
                channel_id=channel_id,
                content={"text": f"Hello {i}"},
                due_at=fields.get("due_at"),
            )
            for i, known in enumerate(people)
        ]
        return await self.inbox.outbox.request(requests)

    def receipt(self, channel_id: str, status: str, **fields: Any) -> tuple[str, DeliveryUpdate]:
        at = fields.pop("at", None) or self.clock()
        event_id = fields.pop("event_id", f"{status}-{fields.get('message_id') or fields.get('correlation')}-{at}")
        return channel_id, DeliveryUpdate(event_id=event_id, occurred_at=at, status=status, **fields)

    async def expire_leases(self) -> None:
        """Every worker died half a minute ago."""
        rows = self.database.collection("sends")
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        await rows.update_many({"state": {"$in": ["claimed", "handed"]}}, {"$set": {"due_at": long_ago}})
        await rows.update_many({"unsettled": True}, {"$set": {"updated_at": long_ago}})

    async def all_due(self) -> None:
        """Back-off and quiet hours are over."""
        long_ago = datetime(2020, 1, 1, tzinfo=UTC)
        waiting = {"state": {"$in": ["deferred", "planned"]}}
        await self.database.collection("sends").update_many(waiting, {"$set": {"due_at": long_ago}})
        await self.database.collection("channels").update_many({}, {"$unset": {"rate": ""}})

    async def deliver_all(self) -> None:
        """As the worker does: until nothing is due."""
        while await self.inbox.delivery.deliver(500):
            pass

    async def verdicts(self) -> dict[str, tuple[str, str | None]]:
        """Send key → state and reason."""
        rows = await self.inbox.sends.raw({})
        return {row["send_key"]: (row["state"], (row.get("reason") or {}).get("code")) for row in rows}

    async def states(self) -> Counter[str]:
        return Counter(row["state"] for row in await self.inbox.sends.raw({}))

    async def event_names(self) -> Counter[str]:
        rows = await self.database.collection("events").find({}, {"name": 1}).to_list(None)
        return Counter(row["name"] for row in rows)


@pytest.fixture
async def house(
    mongo_url: str, redis_url: str, redis_prefix: str, shelf: Shelf, shaped_database: str
) -> AsyncIterator[House]:
    """An empty inbox of this test alone."""
    await shelf.empty(shaped_database)
    database = Database(mongo_url, shaped_database)
    clock, bus = Clock(), Bus(redis_url, prefix=redis_prefix)
    doorbell = Doorbell(redis_url, prefix=redis_prefix)
    http = HttpClient(AddressGuard(["127.0.0.0/8"]))
    registry = Registry(http, ADAPTERS)
    channels = ChannelStore(database, SecretBox([SecretBox.new_key()]), registry, clock, "http://test")
    profiles, events, feed = ProfileStore(database), EventStore(database, clock), Feed(database, bus, clock)
    resolver = Resolver(profiles, events, clock)
    consent = Consent(profiles, ConsentStore(database), events, database, clock)
    planner = Planner()
    inbox = open_inbox(
        database, channels=channels, registry=registry, profiles=profiles, resolver=resolver, consent=consent,
        events=events, feed=feed, doorbell=doorbell, clock=clock, reply_keys=[REPLY_KEY],
    )  # fmt: skip
    inbox.delivery.register("journey", planner)
    yield House(
        database, clock, inbox, channels, registry, profiles, resolver, events, consent, feed, doorbell, planner
    )
    await inbox.delivery.close(5)
    await doorbell.close()
    await bus.close()
    await http.close()
    database.close()


@pytest.fixture
async def second_house(house: House) -> House:
    """Another process on the same database: its own locks, counters and caches."""
    channels = ChannelStore(
        house.database, SecretBox([SecretBox.new_key()]), house.registry, house.clock, "http://test"
    )
    inbox = open_inbox(
        house.database, channels=channels, registry=house.registry, profiles=house.profiles, resolver=house.resolver,
        consent=house.consent, events=house.events, feed=house.feed, doorbell=house.doorbell, clock=house.clock,
        reply_keys=[REPLY_KEY],
    )  # fmt: skip
    inbox.delivery.register("journey", house.planner)
    return House(
        house.database, house.clock, inbox, channels, house.registry, house.profiles, house.resolver, house.events,
        house.consent, house.feed, house.doorbell, house.planner,
    )  # fmt: skip
