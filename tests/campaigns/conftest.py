"""Campaigns on a real database, with real profiles, orders and delivery; the providers do as the test says.

Redis is not needed: the bell is silent, everything due is found in the database. Time passes by `World.travel`, which
moves what is stored into the past, because claims go by the server's clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from base.clock import now
from base.feed import Feed
from base.http import HttpReply
from base.ids import new_id
from base.mongo import Database, Document
from base.secret_box import SecretBox
from campaigns.assigning import Assigning
from campaigns.automation.store import RunStore
from campaigns.backfill import Backfills
from campaigns.call_secrets import CallSecrets
from campaigns.calling import Caller
from campaigns.causes import Causes
from campaigns.digests import Digests
from campaigns.effects import Effects
from campaigns.entering import Entrance
from campaigns.errands import Errands
from campaigns.facts import FactReader
from campaigns.handing_over import HandingOver
from campaigns.intakes import Intakes
from campaigns.journeys import Journeys
from campaigns.late import LateEntries
from campaigns.live import LiveJourneys
from campaigns.migrating import Migrations
from campaigns.planning import DatePlanner
from campaigns.policies.book import PolicyBook
from campaigns.policies.gate import HouseRules
from campaigns.policies.stopping import StepBreaker
from campaigns.policies.store import PolicyStore, SlotStore, StopStore
from campaigns.qualifying import Qualifying
from campaigns.render import Renderer
from campaigns.replies import Replies
from campaigns.sending import JourneySource
from campaigns.steps import Walker
from campaigns.store import (
    CallStore,
    DigestStore,
    EnrolmentStore,
    IntakeStore,
    JourneyStore,
    MigrationStore,
    OfferStore,
    PlannedStore,
    SnippetStore,
    TaskStore,
    TemplateStore,
    TurnStore,
    UseStore,
    WinnerStore,
)
from campaigns.store.call_secrets import CallSecretStore
from campaigns.tasks import Tasks
from campaigns.templates import Templates
from campaigns.tidying import Tidying
from campaigns.tracking.dressing import Dresser
from campaigns.tracking.store import TrackingStore
from campaigns.tracking.tokens import TrackedLinks
from campaigns.triggers import Reactor
from campaigns.turns import Turns
from campaigns.visits import VisitFacts
from campaigns.winning import Winners
from campaigns.writing import MessageWriter, PersonalLinks
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery
from channels.capabilities import Capabilities
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, AnyEvent, MessageReceived, OutboundMessage, Person, SendReceipt
from inbox.incoming import Arrival
from inbox.room import Inbox, open_inbox
from orders.models import Order, OrderInput
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.appraisal import Appraisal
from profiles.consent import Consent
from profiles.consent_links import ConsentLinks
from profiles.edit import ProfileEditor
from profiles.events import EventStore, NewEvent
from profiles.membership import SegmentAppraiser, SegmentBuilder, SegmentInput, Segments
from profiles.notes import Notes
from profiles.resolve import Resolver, Sighting
from profiles.store import (
    ConsentStore,
    NoteStore,
    ProfileStore,
)
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.tags import TagStore
from profiles.terms import Terms
from profiles.uses import Uses
from tests.databases import Shelf

#: What the links of this world are sealed with.
LINKS = ConsentLinks([b"k" * 32], "https://crm.example")
TRACKED = TrackedLinks([b"k" * 32], "https://crm.example")


class SilentBell:
    """Nobody listens."""

    async def ring(self, *bells: Any) -> None:
        return None

    def soon(self, *bells: Any) -> None:
        return None

    async def publish(self, topic: str, note: str = "") -> None:
        return None


@dataclass(frozen=True)
class Mate:
    """A colleague."""

    id: str
    role: str = "agent"
    active: bool = True
    channels: frozenset[str] | None = None


@dataclass
class Mates:
    """All colleagues."""

    people: list[Mate] = field(default_factory=list)

    async def users(self) -> list[Mate]:
        return self.people


class Phone:
    """Plays the addresses that journeys call: answers as the test says, and keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self.script: Callable[[str, dict[str, str], bytes], Any] | None = None

    async def request(self, method: str, url: str, *, headers: Any, data: bytes, **more: Any) -> HttpReply:
        self.posted.append((url, dict(headers), data))
        answer = self.script(url, dict(headers), data) if self.script else None
        answer = await answer if hasattr(answer, "__await__") else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer or HttpReply(200, {}, b"")


class NoSettings(AccountSettings):
    """Nothing to set."""

    from_address: str = "shop@shop.example"


Script = Callable[[OutboundMessage], Any]


class PlayedAdapter(Adapter):
    """Accepts what the script does not refuse, and counts what it accepted by key."""

    card: ClassVar[Card] = Card("chat", "Chat", "chat", "Plays a provider in process.", NoSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=1000, rate_per_s=100_000.0, buttons=3)

    def __init__(self, http: Any) -> None:
        super().__init__(http)
        self.sent: list[OutboundMessage] = []
        self.accepted: Counter[str] = Counter()
        self.script: Script | None = None

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        return None

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return []

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        answer = self.script(message) if self.script is not None else None
        if isinstance(answer, Exception):
            raise answer
        self.sent.append(message)
        self.accepted[message.key] += 1
        return SendReceipt(message_ids=(f"p-{message.key}",))


def _like(name: str, kind: str, **capabilities: Any) -> type[PlayedAdapter]:
    members = {
        "card": Card(name, name.title(), kind, "Plays a provider.", NoSettings),  # type: ignore[arg-type]
        "capabilities": PlayedAdapter.capabilities.model_copy(update=capabilities),
    }
    return type(name, (PlayedAdapter,), members)


ADAPTERS: dict[str, type[Adapter]] = {
    "chat": PlayedAdapter,
    "windowed": _like("windowed", "chat", reply_window_s=24 * 3600, templates=True, template_outside_window=True),
    "mail": _like("mail", "email", text_limit=500_000),
}


@dataclass
class Worker:
    """One process's share: its own picture of the journeys, its own renderer."""

    live: LiveJourneys
    reactor: Reactor
    walker: Walker
    source: JourneySource
    journeys: Journeys
    caller: Caller
    winners: Winners
    planner: DatePlanner
    intakes: Intakes
    backfills: Backfills
    appraisal: Appraisal
    policies: PolicyBook
    rules: HouseRules
    migrations: Migrations


@dataclass
class World:
    """Everything, put together as the runtime does it."""

    db: Database
    inbox: Inbox
    profiles: ProfileStore
    resolver: Resolver
    events: EventStore
    consent: Consent
    orders: OrderBook
    channels: ChannelStore
    registry: Registry
    heads: JourneyStore
    runs: EnrolmentStore
    tasks: Tasks
    task_rows: TaskStore
    template_rows: TemplateStore
    templates: Templates
    renderer: Renderer
    facts: FactReader
    worker: Worker
    new_worker: Callable[[], Worker]
    mates: Mates
    phone: Phone
    turns: TurnStore
    notes: Notes
    secrets: CallSecrets
    handing_over: HandingOver
    editor: ProfileEditor
    tidying: Tidying
    segments: Segments
    segment_builder: SegmentBuilder
    planned: PlannedStore
    slots: SlotStore
    uses: UseStore
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def journeys(self) -> Journeys:
        return self.worker.journeys

    # -- people ------------------------------------------------------------------------------------------------

    async def person(self, name: str = "Anna", *, channel: str = "chat", **more: Any) -> str:
        """Somebody who wrote to us a minute ago on that channel; the profile's id."""
        address = Address(channel_id=self.ids[channel], external_id=new_id("prf"))
        sighting = Sighting(address, channel, now() - timedelta(minutes=1), Person(name=name, **more), inbound=True)
        return (await self.resolver.resolve([sighting]))[0].profile_id

    async def people(self, count: int) -> list[str]:
        """Many at once."""
        at = now() - timedelta(minutes=1)
        sightings = [
            Sighting(Address(channel_id=self.ids["chat"], external_id=f"p{i}"), "chat", at, Person(name=f"P {i}"), True)
            for i in range(count)
        ]
        return [known.profile_id for known in await self.resolver.resolve(sightings)]

    async def says(self, profile_id: str, text: str, *, channel: str = "chat") -> None:
        """An inbound message, all the way in."""
        identity = next(
            each for each in await self.profiles.identities_of(profile_id) if each.channel_id == self.ids[channel]
        )
        key = new_id("msg")
        address = Address(channel_id=self.ids[channel], external_id=str(identity.external_id))
        event = MessageReceived(event_id=key, occurred_at=now(), address=address, message_id=key, text=text)
        await self.inbox.receiver.receive([Arrival(self.ids[channel], channel, event, "dlv_x")])

    async def happens(
        self, name: str, profile_id: str | None, *, ago_s: float = 0, key: str = "", **properties: Any
    ) -> None:
        """A domain event."""
        at = now() - timedelta(seconds=ago_s)
        event = NewEvent(name, key or new_id("evt"), at, profile_id, properties=properties)
        await self.events.record([event])

    async def order(self, profile_id: str, number: str = "A-1", status: str = "pending", **more: Any) -> Order:
        """An order of that person by the channel address."""
        known = await self.profiles.identities_of(profile_id)
        identity = next(each for each in known if each.channel_id is not None)
        ref = {"kind": "channel", "channel_id": identity.channel_id, "value": identity.external_id}
        given = {
            "external_id": number,
            "identity": ref,
            "status": status,
            "total": {"amount_minor": 4200, "currency": "EUR"},
        }
        return (await self.orders.record(OrderInput.model_validate({**given, **more})))[0]

    async def segment(self, rule: Mapping[str, Any]) -> str:
        """A segment whose members have been found."""
        made = await self.segments.create(SegmentInput(name="S", rule=dict(rule)), "usr_1")
        await self.segment_builder.drain()
        return str(made["_id"])

    async def look(self, worker: Worker | None = None) -> None:
        """Everybody about whom something changed is looked at."""
        while await (worker or self.worker).appraisal.drain(500):
            pass

    async def take_in(self, worker: Worker | None = None) -> None:
        """What takes people in on a day, again and again or from the past, worked off as far as it is due."""
        each = worker or self.worker
        await self.look(each)
        await each.intakes.enlist()
        await each.intakes.drain()
        while await each.planner.drain(500):
            pass

    # -- journeys ----------------------------------------------------------------------------------------------

    async def journey(self, *steps: Mapping[str, Any], **more: Any) -> str:
        """A published journey; the trigger is `api` unless said."""
        draft = {"name": "J", "trigger": {"type": "api"}, "steps": list(steps), **more}
        head = await self.journeys.create(draft)
        await self.journeys.publish(head["_id"])
        return str(head["_id"])

    async def call(self, worker: Worker | None = None) -> int:
        """Make all due calls and wait for their answers."""
        caller = (worker or self.worker).caller
        done = await caller.drain(100)
        await caller.idle()
        return done

    async def react(self, worker: Worker | None = None) -> int:
        return await (worker or self.worker).reactor.react(500)

    async def settle(self, *, deliver: bool = True) -> None:
        """Work until nothing is due."""
        for _ in range(60):
            done = await self.worker.reactor.react(500) + await self.worker.walker.advance(500)
            done += await self.inbox.delivery.deliver(500) if deliver else 0
            done += await self.call()
            if not done:
                return
        raise AssertionError("work never ends")

    async def run(self, run_id: str | None = None, **wanted: Any) -> Document:
        """The one run there is (or the one named, or the only one like that)."""
        rows = await self.rows(**({"_id": run_id} if run_id else {}), **wanted)
        assert len(rows) == 1, [(row["_id"], row["state"], row["entry_key"]) for row in rows]
        return rows[0]

    async def rows(self, **wanted: Any) -> list[Document]:
        return await self.db.collection("enrolments").find(wanted).sort("_id", 1).to_list(None)

    async def codes(self, run_id: str) -> list[str]:
        """The log of a run, in codes; each line once, in order. After a crash the last ones may be in the row."""
        lines = await self.runs.log_of(run_id, 10_000)
        known = {line["_id"] for line in lines}
        lines += [line for line in (await self.run(run_id)).get("tail", ()) if line["_id"] not in known]
        assert [line["rev"] for line in lines] == list(range(1, len(lines) + 1)), "the log has a gap or a double"
        return [line["code"] for line in lines]

    def sent(self, channel: str = "chat") -> list[str]:
        """Texts that came to the provider, in order."""
        adapter = self.registry.get(channel)
        assert isinstance(adapter, PlayedAdapter)
        assert all(count == 1 for count in adapter.accepted.values()), "a message went out twice"
        return [message.text or "" for message in adapter.sent]

    def provider(self, channel: str = "chat") -> PlayedAdapter:
        adapter = self.registry.get(channel)
        assert isinstance(adapter, PlayedAdapter)
        return adapter

    async def travel(self, **span: float) -> None:
        """Let so much time pass: everything stored moves into the past."""
        ms = int(timedelta(**span).total_seconds() * 1000)

        def earlier(*names: str) -> list[dict[str, Any]]:
            sets = {
                name: {"$cond": [{"$eq": [{"$type": f"${name}"}, "date"]}, _back(f"${name}", ms), f"${name}"]}
                for name in names
            }
            return [{"$set": sets}]

        for collection, names in (
            ("enrolments", ("due_at", "entered_at", "since", "started_at", "next.due_at", "data.event.occurred_at")),
            ("orders", ("placed_at",)),
            ("profiles", ("orders.first_at", "orders.last_at")),
            ("sends", ("due_at", "planned_at", "handed_at", "standing_at")),
            ("events", ("occurred_at", "received_at", "due_at")),
            ("identities", ("last_inbound_at",)),
            ("tasks", ("due_at", "created_at")),
            ("turns", ("until", "passed_at")),
            ("digests", ("closes_at", "closed_at")),
            ("webhook_calls", ("due_at", "created_at", "settled_at")),
            ("enrolment_log", ("at",)),
            ("journeys", ("paused_at",)),
        ):
            for name in names:
                where = {name: {"$type": "date"}}
                await self.db.collection(collection).update_many(where, earlier(name))
        waits = {"wait.until": {"$type": "date"}}
        await self.db.collection("enrolments").update_many(waits, [{"$set": {"wait.until": _back("$wait.until", ms)}}])


def _back(path: str, ms: int) -> dict[str, Any]:
    return {"$dateSubtract": {"startDate": path, "unit": "millisecond", "amount": ms}}


@pytest.fixture(scope="session")
async def shared_renderer() -> AsyncIterator[Renderer]:
    """It keeps nothing of what it has rendered, and its child takes longer to start than most tests do."""
    made = Renderer(project_zone="Europe/Berlin")
    yield made
    await made.close()


@pytest.fixture
async def world(mongo_url: str, shelf: Shelf, shaped_database: str, shared_renderer: Renderer) -> AsyncIterator[World]:
    await shelf.empty(shaped_database)
    db = Database(mongo_url, shaped_database)
    made = opened_world(db, shared_renderer)
    for name in ADAPTERS:
        made.ids[name] = (await made.channels.add(name, name.title(), {})).id
    yield made
    await made.inbox.delivery.close()
    db.close()


def opened_world(db: Database, renderer: Renderer) -> World:
    """Everything on this database, which has its indexes."""
    bell: Any = SilentBell()
    registry = Registry(None, ADAPTERS)  # type: ignore[arg-type]
    channels = ChannelStore(db, SecretBox([SecretBox.new_key()]), registry, now, "http://test")
    people, happened = ProfileStore(db), EventStore(db, now)
    resolver = Resolver(people, happened, now)
    consent = Consent(people, ConsentStore(db), happened, db, now)
    feed = Feed(db, bell, now)
    inbox = open_inbox(
        db, channels=channels, registry=registry, profiles=people, resolver=resolver, consent=consent,
        events=happened, feed=feed, doorbell=bell, clock=now,
    )  # fmt: skip
    order_rows = OrderStore(db)
    orders = OrderBook(db, order_rows, resolver, people, happened, feed, bell, now)
    heads, runs = JourneyStore(db, now), EnrolmentStore(db, now)
    task_rows, template_rows = TaskStore(db, now), TemplateStore(db, now)
    facts = FactReader(
        people, happened, order_rows, inbox.conversations, channels, registry, now, project_zone="Europe/Berlin"
    )
    dresser = Dresser(TrackingStore(db, now), TRACKED, consent)
    uses = UseStore(db, now)
    writer = MessageWriter(renderer, channels, registry, PersonalLinks(LINKS), dresser=dresser, uses=uses)
    tasks, entrance = Tasks(db, task_rows, happened, inbox.conversations, bell, now, feed), Entrance(runs, now)
    editor = ProfileEditor(people, happened, resolver, db, now)
    turns, calls, mates, phone = TurnStore(db, now), CallStore(db, now), Mates(), Phone()
    assigning, notebook = Assigning(mates, turns, people), Notes(db, NoteStore(db), people, happened, now)
    handing_over = HandingOver(tasks, task_rows, assigning)
    secrets = CallSecrets(CallSecretStore(db), SecretBox([SecretBox.new_key()]), now)
    policy_rows, slots = PolicyStore(db, now), SlotStore(db)
    planned, intakes = PlannedStore(db, now), IntakeStore(db, now)
    segment_rows, members = SegmentStore(db, now), MemberStore(db)
    segment_book = Segments(db, segment_rows, members, people, now, Uses())
    qualifying = Qualifying(facts, Replies(inbox.sends), now)

    def worker() -> Worker:
        live = LiveJourneys(heads, Terms(db, now))
        errands = Errands(
            tasks, assigning, notebook, editor, inbox.conversations, inbox.actions, calls, entrance, live, facts, bell,
            now,
        )  # fmt: skip
        winners = Winners(WinnerStore(db), live, happened, order_rows, now, project_zone="Europe/Berlin")
        visits = VisitFacts(Turns(turns, runs, now), Digests(DigestStore(db), runs, now), winners)
        effects = Effects(inbox.outbox, errands, editor, consent, people)
        rules = HouseRules(policy_rows, slots, inbox.sends, people, channels, project_zone="Europe/Berlin")
        breaker = StepBreaker(StopStore(db), inbox.sends, rules.policies, tasks, feed, bell, now)
        source = JourneySource(heads, runs, live, facts, template_rows, people, writer, bell, now, rules, breaker)
        causes = Causes(happened, runs, RunStore(db, now))
        late = LateEntries(planned, happened, live, qualifying, entrance, facts, causes, now)
        planner = DatePlanner(planned, live, people, facts, qualifying, entrance, late, bell, now)
        appraisal = Appraisal(db, people, happened, now, [SegmentAppraiser(segment_rows, TagStore(db))])
        appraisal.join(planner)
        migrations = Migrations(MigrationStore(db, now), heads, runs, live, facts, bell, now, stretch=3)
        return Worker(
            live,
            Reactor(
                happened, runs, live, entrance, facts, qualifying, late, causes, bell, now,
                listeners=[appraisal.hear, handing_over.hear],
            ),
            Walker(runs, live, facts, inbox.sends, task_rows, calls, visits, effects, bell, now),
            source,
            Journeys(
                heads, runs, live, entrance, facts, template_rows, bell, now, segments=segment_rows, sends=inbox.sends,
                segment_book=segment_book, migrations=migrations,
            ),
            Caller(calls, runs, live, facts, renderer, phone, secrets, bell, now),  # type: ignore[arg-type]
            winners,
            planner,
            Intakes(
                intakes, planned, live, planner, entrance, qualifying, facts, runs, happened, segment_rows, members,
                bell, now, stretch=3,
            ),
            Backfills(intakes, planned, live, qualifying, facts, runs, happened, segment_rows, members, now),
            appraisal,
            PolicyBook(policy_rows, rules, breaker),
            rules,
            migrations,
        )  # fmt: skip

    first = worker()
    inbox.delivery.register("journey", first.source)
    templates = Templates(template_rows, renderer, facts, SnippetStore(db, now), OfferStore(db, now))
    return World(
        db, inbox, people, resolver, happened, consent, orders, channels, registry, heads, runs, tasks, task_rows,
        template_rows, templates, renderer, facts, first, worker,
        mates, phone, turns, notebook, secrets, handing_over, editor, Tidying(calls, DigestStore(db), turns, runs, now),
        segment_book,
        SegmentBuilder(db, segment_rows, members, people, now), planned, slots, uses,
    )  # fmt: skip
