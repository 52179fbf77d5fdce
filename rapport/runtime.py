"""The composition root: opens everything once, puts it together, closes in reverse. Nothing else builds parts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from base import clock as base_clock
from base.bus import Bus
from base.clock import Clock
from base.errors import Misconfigured
from base.feed import Feed
from base.http import AddressGuard, HttpClient
from base.metrics import OLDEST_DUE
from base.mongo import Database
from base.queue import Bell, Doorbell
from base.secret_box import SecretBox
from base.settings import Settings
from campaigns.effects import Effects
from campaigns.entering import Entrance
from campaigns.facts import FactReader
from campaigns.journeys import Journeys
from campaigns.lifecycle import Lifecycle
from campaigns.live import LiveJourneys
from campaigns.reminders import Reminders
from campaigns.render import Renderer
from campaigns.sending import JourneySource, PersonalLinks
from campaigns.steps import Walker
from campaigns.store import EnrolmentStore, JourneyStore, RunBelongings, TaskStore, TemplateStore
from campaigns.tasks import Tasks
from campaigns.templates import Templates
from campaigns.triggers import Reactor
from channels.approved.fetching import Fetching
from channels.approved.store import ApprovedStore
from channels.registry import Registry
from channels.store import ChannelStore
from desk.accounts import Accounts
from desk.api.erasure import erase_everywhere
from desk.store import DeskStore
from inbox.continuity import Continuity
from inbox.conversations import ConversationActions
from inbox.delivery import Delivery
from inbox.files import Files
from inbox.opting import Confirmations, OptWords
from inbox.outbox import Outbox
from inbox.presence import Presence
from inbox.profile_files import WITH_NAME as FILES_WITH_NAME
from inbox.profile_files import ProfileFiles
from inbox.receipts import Receipts
from inbox.receive import Receiver
from inbox.room import Inbox, open_inbox
from inbox.store import ConversationStore, FileRoom, FileStore, MessageStore, SendStore
from inbox.store.messages import WITH_TEXT as MESSAGES_WITH_TEXT
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.appraisal import Appraisal
from profiles.blocking import Blocking
from profiles.consent import Consent
from profiles.consent_links import ConsentLinks
from profiles.custom_fields import CustomFields
from profiles.dossier import Dossiers
from profiles.edit import ProfileEditor
from profiles.erasure import Erasures
from profiles.events import EventStore
from profiles.exports.book import Exports
from profiles.follow_up import FollowUps
from profiles.holdings import Traces
from profiles.imports.book import Imports
from profiles.imports.carrying import Carrier
from profiles.imports.undoing import Undoer
from profiles.lookups import Lookups
from profiles.membership import SegmentAppraiser, SegmentBuilder, Segments
from profiles.merge import Merger
from profiles.normalise import folded
from profiles.notes import WITH_TEXT as NOTES_WITH_TEXT
from profiles.notes import Notes
from profiles.privacy import Privacy
from profiles.privacy_requests import PrivacyRequests
from profiles.profiling import Profiling
from profiles.relations import Relations
from profiles.resolve import Resolver
from profiles.retention import Retention
from profiles.store import BlockedStore, ConsentStore, MergeStore, NoteStore, ProfileStore
from profiles.store.dossiers import DossierStore
from profiles.store.erasures import ErasureStore
from profiles.store.exports import ExportStore
from profiles.store.imports import ImportStore
from profiles.store.privacy_requests import RequestStore
from profiles.store.relations import RelationStore
from profiles.store.retention import RetentionStore
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.sheets import SheetStore
from profiles.store.stage_log import StageLogStore
from profiles.store.tags import TagStore
from profiles.store.value_settings import ValueSettingsStore
from profiles.suggestions import Suggestions
from profiles.tags import TagSpace
from profiles.terms import Terms
from profiles.timeline import Timeline
from profiles.track import Tracker
from profiles.valuing import Valuing, appraisers
from profiles.visitors import Visitors
from rapport import keys
from rapport.holdings import all_holdings
from rapport.retention import kinds_of
from webhooks.ingest import Ingest
from webhooks.journal import Journal
from webhooks.mentions import Mentions
from webhooks.owners import owners
from webhooks.polling import Polling
from webhooks.refusals import Refusals
from webhooks.store import PollStore
from worker.clockwork import Chore
from worker.drains import Drain, Drains
from worker.store import Heartbeats
from worker.telling import told


@dataclass(frozen=True)
class Plumbing:
    """What is opened: connections and keys."""

    settings: Settings
    clock: Clock
    db: Database
    bus: Bus
    doorbell: Doorbell
    feed: Feed
    http: HttpClient
    box: SecretBox
    registry: Registry
    channels: ChannelStore
    approved: ApprovedStore

    async def close(self) -> None:
        """Let go of every connection, in reverse."""
        await self.registry.close()
        await self.http.close()
        await self.doorbell.close()
        await self.bus.close()
        self.db.close()


@dataclass(frozen=True)
class People:
    """Customers: who they are, what they allow, what happened to them."""

    profiles: ProfileStore
    events: EventStore
    resolver: Resolver
    consent: Consent
    consent_links: ConsentLinks
    editor: ProfileEditor
    timeline: Timeline
    tracker: Tracker
    lookups: Lookups
    appraisal: Appraisal
    segments: Segments
    segment_rows: SegmentStore
    segment_builder: SegmentBuilder
    valuing: Valuing
    profiling: Profiling
    merges: MergeStore
    consents: ConsentStore
    blocking: Blocking
    users: DeskStore
    terms: Terms
    fields: CustomFields
    stage_log: StageLogStore
    relations: Relations
    relation_rows: RelationStore
    tags: TagSpace
    notes: Notes
    note_rows: NoteStore
    follow_ups: FollowUps
    import_rows: ImportStore


@dataclass(frozen=True)
class Campaigns:
    """Journeys and what carries them."""

    journeys: Journeys
    templates: Templates
    tasks: Tasks
    reactor: Reactor
    walker: Walker
    enrolments: EnrolmentStore
    renderer: Renderer
    task_rows: TaskStore


class Runtime:
    """Everything a door may ask for, by the name it is known by in the house."""

    def __init__(
        self, plumbing: Plumbing, people: People, orders: OrderBook, order_store: OrderStore, inbox: Inbox,
        campaigns: Campaigns, merger: Merger, journal: Journal, ingest: Ingest, polling: Polling, privacy: Privacy,
    ) -> None:  # fmt: skip
        self._plumbing = plumbing
        self.settings: Settings = plumbing.settings
        self.clock: Clock = plumbing.clock
        self.db: Database = plumbing.db
        self.bus: Bus = plumbing.bus
        self.doorbell: Doorbell = plumbing.doorbell
        self.feed: Feed = plumbing.feed
        self.http: HttpClient = plumbing.http
        self.box: SecretBox = plumbing.box
        self.registry: Registry = plumbing.registry
        self.channels: ChannelStore = plumbing.channels
        self.profiles: ProfileStore = people.profiles
        self.events: EventStore = people.events
        self.resolver: Resolver = people.resolver
        self.consent: Consent = people.consent
        self.consent_links: ConsentLinks = people.consent_links
        self.editor: ProfileEditor = people.editor
        self.timeline: Timeline = people.timeline
        self.tracker: Tracker = people.tracker
        self.privacy: Privacy = privacy
        self.retention = Retention(
            RetentionStore(plumbing.db), kinds_of(plumbing.db, journal, privacy.holdings), plumbing.clock,
            time_zone=plumbing.settings.time_zone,
        )  # fmt: skip
        self.profiling: Profiling = people.profiling
        self.lookups: Lookups = people.lookups
        self.appraisal: Appraisal = people.appraisal
        self.segments: Segments = people.segments
        self.segment_builder: SegmentBuilder = people.segment_builder
        self.valuing: Valuing = people.valuing
        self.terms: Terms = people.terms
        self.fields: CustomFields = people.fields
        self.stage_log: StageLogStore = people.stage_log
        self.relations: Relations = people.relations
        self.tags: TagSpace = people.tags
        self.segment_rows: SegmentStore = people.segment_rows
        self.notes: Notes = people.notes
        self.follow_ups: FollowUps = people.follow_ups
        self.merger: Merger = merger
        self.suggestions = Suggestions(people.profiles, plumbing.clock)
        self.visitors = Visitors(people.profiles, merger)
        self.orders: OrderBook = orders
        self.order_store: OrderStore = order_store
        self.conversations: ConversationStore = inbox.conversations
        self.messages: MessageStore = inbox.messages
        self.sends: SendStore = inbox.sends
        self.receiver: Receiver = inbox.receiver
        self.receipts: Receipts = inbox.receipts
        self.outbox: Outbox = inbox.outbox
        self.delivery: Delivery = inbox.delivery
        self.files: Files = inbox.files
        self.profile_files: ProfileFiles = inbox.profile_files
        self.continuity: Continuity = inbox.continuity
        self.presence: Presence = inbox.presence
        self.desk_actions: ConversationActions = inbox.actions
        self.journeys: Journeys = campaigns.journeys
        self.templates: Templates = campaigns.templates
        self.tasks: Tasks = campaigns.tasks
        self.reactor: Reactor = campaigns.reactor
        self.walker: Walker = campaigns.walker
        self.enrolments: EnrolmentStore = campaigns.enrolments
        self.renderer: Renderer = campaigns.renderer
        self.journal: Journal = journal
        self.ingest: Ingest = ingest
        self.polling: Polling = polling
        self.refusals = Refusals(plumbing.bus)
        self.approved: ApprovedStore = plumbing.approved
        self.template_fetching = Fetching(self.approved, self.channels, self.registry, self.clock)
        self.blocking: Blocking = people.blocking
        self.users: DeskStore = people.users
        self.accounts = Accounts(self.users, plumbing.clock)
        self.heartbeats = Heartbeats(plumbing.db, plumbing.clock)
        self.imports, self.exports = _lists(self, plumbing, people)

    def drains(self) -> Drains:
        """The kinds of work a worker does."""
        work: dict[Bell, Drain] = {
            "ingest": told(self.ingest.drain, self.feed, "channel.updated"),
            "react": self.reactor.react,
            "advance": told(self.walker.advance, self.feed, "enrolment.updated"),
            "deliver": told(self.delivery.deliver, self.feed, "channel.updated"),
            "fetch": self.files.fetch,
            "poll": self.polling.drain,
            "appraise": self.appraisal.drain,
        }
        return Drains(work, self.doorbell, batch=self.settings.worker_batch)

    def chores(self) -> list[Chore]:
        """What every worker does every so often; each is safe to be done by several at once."""
        return [
            Chore("heartbeat", 5, self.heartbeats.beat),
            Chore("wake snoozed conversations", 5, self.desk_actions.wake_due),
            Chore("enlist accounts that have to be asked", 15, self.polling.enlist),
            Chore("enlist accounts with approved templates", 60, self.template_fetching.enlist),
            Chore("fetch approved templates", 5, self.template_fetching.drain),
            Chore("ask who new people are", 2, self.lookups.drain),
            Chore("find the members of segments", 1, self.segment_builder.drain),
            Chore("carry out merges", 1, self.merger.drain),
            Chore("join visitors who said who they are", 2, self.visitors.drain),
            Chore("change tags across people", 1, self.tags.drain),
            Chore("gather tags", 300, self.tags.gather),
            Chore("announce unannounced profiles", 30, self.resolver.repair),
            Chore("mail answers to who has left the chat", 5, self.continuity.sweep),
            Chore("erase people", 1, self.privacy.erasures.drain),
            Chore("let old rows go", 60, self.retention.drain),
            Chore("make exports of people", 2, self.privacy.dossiers.drain),
            Chore("end pauses of consent", 60, self.consent.end_pauses),
            Chore("look at everybody again", 1, self.valuing.sweep),
            Chore("learn the rhythm of orders", 60, self.valuing.learn),
            Chore("forget files that nobody holds", 600, self.files.tidy),
            Chore("forget notes that were deleted", 600, self.notes.tidy),
            Chore("forget files that were taken off people", 600, self.profile_files.tidy),
            Chore("carry imports on", 1, self.imports.drain),
            Chore("write exports", 1, self.exports.drain),
            Chore("forget files of imports", 600, self.imports.tidy),
            Chore("forget files of exports", 600, self.exports.tidy),
            Chore("age of the oldest duty", 10, self._measure_age),
        ]

    async def _measure_age(self) -> None:
        looked = {
            "ingest": await self.journal.duties.next_due(["pending"]),
            "react": await self.events.duties.next_due(["pending"]),
            "advance": await self.enrolments.oldest_due(self.clock()),
            "appraise": await self.profiles.appraisals.oldest(),
        }
        for kind, due in looked.items():
            age = (self.clock() - due) if due is not None else timedelta()
            OLDEST_DUE.labels(kind).set(max(0.0, age.total_seconds()))

    async def close(self) -> None:
        """Finish what is under way, then let go of everything."""
        await self.refusals.close()
        await self.polling.close()
        await self.journal.idle()
        await self.delivery.close()
        await self.renderer.close()
        await self._plumbing.close()


async def open_runtime(settings: Settings) -> Runtime:
    """Open and connect. Raises `Misconfigured` when a key or address is missing; the servers need not answer yet."""
    plumbing = _plumbing(settings)
    people = _people(plumbing)
    order_store = OrderStore(plumbing.db)
    orders = OrderBook(
        plumbing.db, order_store, people.resolver, people.profiles, people.events, plumbing.feed, plumbing.doorbell,
        plumbing.clock,
    )  # fmt: skip
    inbox = open_inbox(
        plumbing.db, channels=plumbing.channels, registry=plumbing.registry, profiles=people.profiles,
        resolver=people.resolver, consent=people.consent, events=people.events, feed=plumbing.feed,
        doorbell=plumbing.doorbell, clock=plumbing.clock, reply_keys=[plumbing.box.signing_key],
        bus=plumbing.bus,
    )  # fmt: skip
    people.timeline.join("message_id", MESSAGES_WITH_TEXT, inbox.messages.words)
    people.timeline.join("file_id", FILES_WITH_NAME, inbox.profile_files.words)
    campaigns = _campaigns(plumbing, people, order_store, inbox)
    journal = Journal(plumbing.db, plumbing.clock, kept=partial(plumbing.doorbell.soon, "ingest"))
    hands = owners(
        receiver=inbox.receiver, receipts=inbox.receipts, consent=people.consent, orders=orders,
        resolver=people.resolver, editor=people.editor, events=people.events, profiles=people.profiles,
        opt_words=OptWords(
            people.resolver, people.profiles, people.consent, inbox.outbox, plumbing.registry, plumbing.clock
        ),
    )  # fmt: skip
    polls = PollStore(plumbing.db, plumbing.clock, wanted=partial(plumbing.doorbell.soon, "poll"))
    polling = Polling(polls, plumbing.channels, plumbing.registry, journal, plumbing.clock)
    privacy = _privacy(plumbing, people, order_store, journal)
    ingest = Ingest(
        journal, plumbing.registry, plumbing.channels, hands, plumbing.feed, plumbing.clock, want_poll=polls.want,
        want_templates=plumbing.approved.want_now, note_request=privacy.requests.note,
    )  # fmt: skip
    merger = _merger(plumbing, people, orders, order_store, inbox, campaigns)
    return Runtime(plumbing, people, orders, order_store, inbox, campaigns, merger, journal, ingest, polling, privacy)


def _plumbing(settings: Settings) -> Plumbing:
    if settings.mongo_url is None or settings.redis_url is None:
        raise Misconfigured("RAPPORT_MONGO_URL and RAPPORT_REDIS_URL are needed here.")
    clock = base_clock.now
    db = Database(settings.mongo_url.get_secret_value(), settings.database)
    redis_url = settings.redis_url.get_secret_value()
    bus, doorbell = Bus(redis_url, prefix=settings.queue_prefix), Doorbell(redis_url, prefix=settings.queue_prefix)
    box = keys.secret_box(settings, create=False)
    http = HttpClient(AddressGuard(settings.allow_private_addresses))
    registry = Registry(http)
    channels = ChannelStore(db, box, registry, clock, settings.base_url)
    approved = ApprovedStore(db, clock)
    return Plumbing(settings, clock, db, bus, doorbell, Feed(db, bus, clock), http, box, registry, channels, approved)


def _people(plumbing: Plumbing) -> People:
    db, clock = plumbing.db, plumbing.clock
    profiles, events, consents = ProfileStore(db, clock), EventStore(db, clock), ConsentStore(db)
    users = DeskStore(db, clock)
    blocking = Blocking(
        BlockedStore(db), profiles, clock, staff=users.addresses, region=plumbing.settings.default_region
    )
    registry, merges, notes = plumbing.registry, MergeStore(db), NoteStore(db)
    timeline = Timeline(events, profiles)
    timeline.join("note_id", NOTES_WITH_TEXT, notes.words)
    values, zone = ValueSettingsStore(db), plumbing.settings.time_zone
    segments, members = SegmentStore(db, clock), MemberStore(db)
    terms, stage_log, relation_rows = Terms(db, clock), StageLogStore(db), RelationStore(db)
    tag_rows = TagStore(db)
    resolver = Resolver(
        profiles, events, clock, region=plumbing.settings.default_region, blocking=blocking,
        looked_up=registry.looking_up(),
    )  # fmt: skip
    editor = ProfileEditor(profiles, events, resolver, db, clock, terms)
    return People(
        profiles=profiles,
        events=events,
        resolver=resolver,
        consent=Consent(profiles, consents, events, db, clock),
        consent_links=ConsentLinks([plumbing.box.signing_key], plumbing.settings.base_url),
        editor=editor,
        timeline=timeline,
        tracker=Tracker(profiles, resolver, events, clock),
        terms=terms,
        fields=CustomFields(db, clock, terms.forget),
        stage_log=stage_log,
        relations=Relations(db, relation_rows, profiles, events, terms, clock),
        relation_rows=relation_rows,
        tags=TagSpace(tag_rows, editor, plumbing.feed, clock),
        # asked in this order, each on what the former ones found
        appraisal=Appraisal(
            db, profiles, events, clock, (*appraisers(values, zone), SegmentAppraiser(segments)), busy=merges.busy
        ),
        segments=Segments(db, segments, members, profiles, clock),
        segment_rows=segments,
        segment_builder=SegmentBuilder(db, segments, members, profiles, clock),
        valuing=Valuing(values, profiles, events, clock, zone=zone),
        profiling=Profiling(profiles, consents, events, db, clock),
        merges=merges,
        consents=consents,
        blocking=blocking,
        users=users,
        import_rows=ImportStore(db),
        lookups=Lookups(profiles.identity_rows, plumbing.channels, registry, resolver, clock),
        notes=Notes(db, notes, profiles, events, clock),
        note_rows=notes,
        follow_ups=FollowUps(db, profiles, events, clock),
    )


def _lists(runtime: Runtime, plumbing: Plumbing, people: People) -> tuple[Imports, Exports]:
    """People who come and go as lists."""
    db, clock, profiles = plumbing.db, plumbing.clock, people.profiles
    rows, sheets = people.import_rows, SheetStore(db)

    async def known_by() -> dict[str, str]:
        users = await runtime.users.users()
        return {folded(name): each.id for each in users for name in (each.name, each.id, each.email) if name}

    carrier = Carrier(db, rows, profiles, people.resolver, people.consent, people.events, clock)
    undoer = Undoer(
        db, rows, profiles, people.consent, people.consents, people.events, clock,
        erase=partial(erase_everywhere, runtime, by="import"), elsewhere=runtime.merger.elsewhere,
    )  # fmt: skip
    imports = Imports(
        rows, sheets, profiles, carrier, undoer, plumbing.feed, plumbing.doorbell, clock, known_by,
        region=plumbing.settings.default_region,
    )  # fmt: skip
    return imports, Exports(ExportStore(db), sheets, profiles, plumbing.feed, clock, runtime.users.addresses)


def _campaigns(plumbing: Plumbing, people: People, orders: OrderStore, inbox: Inbox) -> Campaigns:
    db, clock, doorbell = plumbing.db, plumbing.clock, plumbing.doorbell
    zone = plumbing.settings.time_zone
    heads, runs = JourneyStore(db, clock), EnrolmentStore(db, clock)
    task_rows, template_rows = TaskStore(db, clock), TemplateStore(db, clock)
    live, renderer = LiveJourneys(heads), Renderer(project_zone=zone)
    facts = FactReader(
        people.profiles, people.events, orders, inbox.conversations, plumbing.channels, plumbing.registry, clock,
        project_zone=zone, segments=people.segment_rows,
    )  # fmt: skip
    tasks = Tasks(db, task_rows, people.events, people.profiles, doorbell, clock)
    effects = Effects(inbox.outbox, tasks, people.editor, people.consent, people.profiles)
    entrance = Entrance(runs, clock)
    source = JourneySource(
        heads, runs, live, facts, template_rows, people.profiles, plumbing.channels, plumbing.registry, renderer,
        doorbell, clock, links=PersonalLinks(people.consent_links),
    )  # fmt: skip
    inbox.delivery.register("journey", source)
    confirmations = Confirmations(
        people.profiles, people.consent, inbox.outbox, plumbing.channels, plumbing.registry, people.consent_links
    )
    lifecycle = Lifecycle(people.terms, people.editor, people.profiles, tasks, plumbing.feed)
    reminders = Reminders(tasks, people.merges)
    listeners = [people.appraisal.hear, confirmations.ask, lifecycle.hear, reminders.tell]
    return Campaigns(
        journeys=Journeys(heads, runs, live, entrance, facts, template_rows, doorbell, clock, people.terms),
        templates=Templates(template_rows, renderer, facts),
        tasks=tasks,
        reactor=Reactor(people.events, runs, live, entrance, facts, doorbell, clock, listeners=listeners),
        walker=Walker(runs, live, facts, inbox.sends, task_rows, effects, doorbell, clock),
        enrolments=runs,
        renderer=renderer,
        task_rows=task_rows,
    )


def _merger(
    plumbing: Plumbing, people: People, orders: OrderBook, order_store: OrderStore, inbox: Inbox, campaigns: Campaigns
) -> Merger:
    """Every room that keeps something of a person says here how it follows when two turn out to be one."""
    movers = (
        people.profiles.identity_rows.belongings,
        inbox.conversations.belongings,
        inbox.messages.belongings,
        inbox.sends.belongings,
        order_store.belongings,
        RunBelongings(plumbing.db, campaigns.enrolments, plumbing.clock),
        campaigns.task_rows.belongings,
        people.consents.belongings,
        people.stage_log.belongings,
        people.relation_rows.belongings,
        people.note_rows.belongings,
        inbox.messages.files.belongings,
        people.events.belongings,
        people.import_rows.belongings,
    )

    async def reach(profile_id: str) -> None:
        await people.profiles.refresh_reach([profile_id])

    async def due(profile_id: str) -> None:
        await people.profiles.appraisals.due([profile_id])

    return Merger(
        plumbing.db, people.profiles, people.merges, people.events, plumbing.feed, plumbing.clock, movers=movers,
        recounts=(orders.recount, people.consent.summarise, reach, due), answered=inbox.conversations.last_answered,
    )  # fmt: skip


def _privacy(plumbing: Plumbing, people: People, orders: OrderStore, journal: Journal) -> Privacy:
    """Everything held on a person, by the one list of rooms (`rapport.holdings`)."""
    db, clock, feed = plumbing.db, plumbing.clock, plumbing.feed
    mentions = Mentions(journal, plumbing.registry, plumbing.channels)
    holdings = all_holdings(db, orders, people.users, mentions)

    async def merging(traces: Traces, asked_at: datetime) -> str | None:
        return "merges" if await people.merges.under_way(traces.profile_ids) else None

    erasures = Erasures(
        people.profiles, ErasureStore(db), holdings, feed, clock, key=plumbing.box.signing_key,
        waits=[merging, mentions.waits],
    )  # fmt: skip
    attached = FileRoom(FileStore(db)).contents
    return Privacy(
        erasures=erasures,
        dossiers=Dossiers(DossierStore(db), holdings, erasures.traces, attached, feed, clock, effort=mentions.effort),
        holdings=holdings,
        requests=PrivacyRequests(RequestStore(db), people.profiles.identity_rows, feed, clock),
    )
