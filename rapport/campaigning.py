"""Journeys and what carries them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.assigning import Assigning
from campaigns.automation.store import RunStore
from campaigns.backfill import Backfills
from campaigns.broadcasts.book import Broadcasts
from campaigns.broadcasts.hearing import Hearing
from campaigns.broadcasts.minding import Minder
from campaigns.broadcasts.naming import BroadcastUses
from campaigns.broadcasts.pacing import Pacer
from campaigns.broadcasts.places import Places
from campaigns.broadcasts.planning import Planner
from campaigns.broadcasts.source import BroadcastSource
from campaigns.broadcasts.store import BroadcastStore, PaceStore, TesterStore, WaveStore
from campaigns.broadcasts.trying_out import TestSends
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
from campaigns.library.checking import Checker
from campaigns.library.offers import Offers
from campaigns.library.proofs import Proofs
from campaigns.library.snippets import Snippets
from campaigns.lifecycle import Lifecycle
from campaigns.live import LiveJourneys
from campaigns.migrating import Migrations
from campaigns.naming import JourneyUses
from campaigns.planning import DatePlanner
from campaigns.policies.book import PolicyBook
from campaigns.policies.gate import HouseRules
from campaigns.policies.stopping import StepBreaker
from campaigns.policies.store import PolicyStore, SlotStore, StopStore
from campaigns.qualifying import Qualifying
from campaigns.reminders import Reminders
from campaigns.render import Renderer
from campaigns.replies import Replies
from campaigns.results import Results
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
from campaigns.tracking.choosing import Choosing
from campaigns.tracking.crediting import Crediting
from campaigns.tracking.dressing import Dresser
from campaigns.tracking.hits import HitBook
from campaigns.tracking.store import CreditStore, TrackingStore
from campaigns.tracking.store.figures import FigureStore
from campaigns.tracking.store.outcomes import OutcomeStore
from campaigns.tracking.tokens import TrackedLinks
from campaigns.triggers import Listener, Reactor
from campaigns.turns import Turns
from campaigns.viewing import SentMails
from campaigns.visits import VisitFacts
from campaigns.winning import Winners
from campaigns.wording.own import OwnWords
from campaigns.writing import MessageWriter, PersonalLinks
from inbox.opting import Confirmations
from inbox.room import Inbox
from inbox.store import MailingStore
from orders.store import OrderStore
from profiles.store.segments import MemberStore
from rapport.people import People
from rapport.plumbing import Plumbing
from rapport.routing import Routes


@dataclass(frozen=True)
class Mailing:
    """Broadcasts and what carries them."""

    broadcasts: Broadcasts
    planner: Planner
    minder: Minder
    hearing: Hearing
    tests: TestSends
    source: BroadcastSource


@dataclass(frozen=True)
class Tracking:
    """Who followed links, and what was bought then."""

    rows: TrackingStore
    links: TrackedLinks
    credits: CreditStore
    hits: HitBook
    crediting: Crediting
    choosing: Choosing
    results: Results
    uses: UseStore


@dataclass(frozen=True)
class Campaigns:
    """Journeys, broadcasts and what carries them."""

    journeys: Journeys
    templates: Templates
    snippets: Snippets
    offers: Offers
    offer_rows: OfferStore
    checker: Checker
    proofs: Proofs
    tasks: Tasks
    reactor: Reactor
    walker: Walker
    enrolments: EnrolmentStore
    renderer: Renderer
    task_rows: TaskStore
    reminders: Reminders
    mailing: Mailing
    tracking: Tracking
    call_rows: CallStore
    caller: Caller
    call_secrets: CallSecrets
    winners: Winners
    handing_over: HandingOver
    tidying: Tidying
    planned: PlannedStore
    planner: DatePlanner
    intakes: Intakes
    backfills: Backfills
    policies: PolicyBook
    slots: SlotStore
    sent_mails: SentMails
    migrations: Migrations
    assigning: Assigning
    causes: Causes
    entrance: Entrance
    live: LiveJourneys
    facts: FactReader


def open_campaigns(
    plumbing: Plumbing, people: People, orders: OrderStore, inbox: Inbox, routes: Routes, *,
    listeners: Sequence[Listener] = (),
) -> Campaigns:  # fmt: skip
    db, clock, doorbell = plumbing.db, plumbing.clock, plumbing.doorbell
    zone = plumbing.settings.time_zone
    heads, runs = JourneyStore(db, clock), EnrolmentStore(db, clock)
    task_rows, template_rows = TaskStore(db, clock), TemplateStore(db, clock)
    snippet_rows, offer_rows = SnippetStore(db, clock), OfferStore(db, clock)
    live, renderer = LiveJourneys(heads, people.terms), Renderer(project_zone=zone, shelf=snippet_rows)
    journey_uses, broadcast_uses = JourneyUses(heads, runs), BroadcastUses(BroadcastStore(db, clock))
    people.uses.join(journey_uses)
    people.uses.join(broadcast_uses)
    words = OwnWords(journey_uses, broadcast_uses)
    facts = FactReader(
        people.profiles, people.events, orders, inbox.conversations, plumbing.channels, plumbing.registry, clock,
        project_zone=zone, segments=people.segment_rows,
    )  # fmt: skip
    tasks = Tasks(db, task_rows, people.events, inbox.conversations, doorbell, clock, plumbing.feed)
    entrance = Entrance(runs, clock)
    call_rows, turn_rows, digest_rows = CallStore(db, clock), TurnStore(db, clock), DigestStore(db)
    secrets = CallSecrets(CallSecretStore(db), plumbing.box, clock)
    assigning = Assigning(people.users, turn_rows, people.profiles, routes.agents)
    errands = Errands(
        tasks, assigning, people.notes, people.editor, inbox.conversations, inbox.actions, call_rows, entrance, live,
        facts, doorbell, clock,
    )  # fmt: skip
    effects = Effects(inbox.outbox, errands, people.editor, people.consent, people.profiles)
    winners = Winners(WinnerStore(db), live, people.events, orders, clock, project_zone=zone)
    visits = VisitFacts(Turns(turn_rows, runs, clock), Digests(digest_rows, runs, clock), winners)
    handing_over = HandingOver(tasks, task_rows, assigning)
    offers = Offers(offer_rows, template_rows, snippet_rows, clock, words)
    tracking = _open_tracking(plumbing, people, orders, runs, live)
    writer = MessageWriter(
        renderer, plumbing.channels, plumbing.registry, PersonalLinks(people.consent_links), offers,
        Dresser(tracking.rows, tracking.links, people.consent), tracking.uses,
    )  # fmt: skip
    policy_rows, slots = PolicyStore(db, clock), SlotStore(db)
    rules = HouseRules(policy_rows, slots, inbox.sends, people.profiles, plumbing.channels, project_zone=zone)
    breaker = StepBreaker(StopStore(db), inbox.sends, rules.policies, tasks, plumbing.feed, doorbell, clock)
    source = JourneySource(
        heads, runs, live, facts, template_rows, people.profiles, writer, doorbell, clock, rules, breaker
    )
    planned, intake_rows = PlannedStore(db, clock), IntakeStore(db, clock)
    qualifying = Qualifying(facts, Replies(inbox.sends), clock)
    causes = Causes(people.events, runs, RunStore(db, clock))
    late = LateEntries(planned, people.events, live, qualifying, entrance, facts, causes, clock)
    planner = DatePlanner(planned, live, people.profiles, facts, qualifying, entrance, late, doorbell, clock)
    people.appraisal.join(planner)
    migrations = Migrations(MigrationStore(db, clock), heads, runs, live, facts, doorbell, clock)
    segments, members = people.segment_rows, people.segment_members
    inbox.delivery.register("journey", source)
    confirmations = Confirmations(
        people.profiles, people.consent, inbox.outbox, plumbing.channels, plumbing.registry, people.consent_links
    )
    lifecycle = Lifecycle(people.terms, people.editor, people.profiles, tasks, plumbing.feed)
    reminders = Reminders(tasks, people.merges)
    templates = Templates(template_rows, renderer, facts, snippet_rows, offer_rows, people.terms)
    mailing = _open_broadcasts(plumbing, people, inbox, facts, template_rows, templates, tasks, writer, rules)
    heard_by = [
        people.appraisal.hear, confirmations.ask, lifecycle.hear, reminders.tell, handing_over.hear,
        mailing.hearing.hear, tracking.crediting.hear, *listeners,
    ]  # fmt: skip
    return Campaigns(
        journeys=Journeys(
            heads, runs, live, entrance, facts, template_rows, doorbell, clock, people.terms, segments, inbox.sends,
            people.segments, migrations=migrations, refuses_host=plumbing.http.guard.refuses, teams=inbox.teams,
            counted=tracking.choosing.counted,
        ),
        migrations=migrations,
        assigning=assigning,
        causes=causes,
        entrance=entrance,
        live=live,
        facts=facts,
        templates=templates,
        snippets=Snippets(snippet_rows, template_rows, offer_rows, renderer, words),
        offers=offers,
        offer_rows=offer_rows,
        checker=Checker(templates, plumbing.channels, plumbing.registry, plumbing.http),
        proofs=Proofs(templates, plumbing.channels, plumbing.registry, inbox.outbox),
        tasks=tasks,
        reactor=Reactor(
            people.events, runs, live, entrance, facts, qualifying, late, causes, doorbell, clock, listeners=heard_by
        ),
        walker=Walker(runs, live, facts, inbox.sends, task_rows, call_rows, visits, effects, doorbell, clock),
        enrolments=runs,
        renderer=renderer,
        task_rows=task_rows,
        reminders=reminders,
        call_rows=call_rows,
        caller=Caller(call_rows, runs, live, facts, renderer, plumbing.http, secrets, doorbell, clock),
        call_secrets=secrets,
        winners=winners,
        handing_over=handing_over,
        tidying=Tidying(call_rows, digest_rows, turn_rows, runs, clock),
        mailing=mailing,
        policies=PolicyBook(policy_rows, rules, breaker),
        slots=slots,
        tracking=tracking,
        sent_mails=SentMails(inbox.sends, {source.kind: source, mailing.source.kind: mailing.source}, clock),
        planned=planned,
        planner=planner,
        intakes=Intakes(
            intake_rows, planned, live, planner, entrance, qualifying, facts, runs, people.events, segments, members,
            doorbell, clock,
        ),
        backfills=Backfills(
            intake_rows, planned, live, qualifying, facts, runs, people.events, segments, members, clock
        ),
    )  # fmt: skip


def _open_tracking(
    plumbing: Plumbing, people: People, orders: OrderStore, runs: EnrolmentStore, live: LiveJourneys
) -> Tracking:
    db, clock = plumbing.db, plumbing.clock
    rows, credits, channels = TrackingStore(db, clock), CreditStore(db, clock), plumbing.channels
    uses = UseStore(db, clock)
    links = TrackedLinks([plumbing.box.signing_key], plumbing.settings.base_url)
    return Tracking(
        rows,
        links,
        credits,
        HitBook(rows, links, people.events, channels, plumbing.registry, plumbing.doorbell, clock),
        Crediting(
            credits, rows, orders, people.events, channels, plumbing.registry, runs, live, BroadcastStore(db, clock),
            clock,
        ),
        Choosing(rows),
        Results(
            FigureStore(db), credits, rows, orders, OutcomeStore(db), uses, clock, zone=plumbing.settings.time_zone
        ),
        uses,
    )  # fmt: skip


def _open_broadcasts(
    plumbing: Plumbing, people: People, inbox: Inbox, facts: FactReader, template_rows: TemplateStore,
    templates: Templates, tasks: Tasks, writer: MessageWriter, rules: HouseRules,
) -> Mailing:  # fmt: skip
    db, clock, feed, doorbell = plumbing.db, plumbing.clock, plumbing.feed, plumbing.doorbell
    heads, waves, mailings = BroadcastStore(db, clock), WaveStore(db, clock), MailingStore(db)
    places = Places(
        MemberStore(db), people.segment_rows, people.profiles, people.consent, plumbing.channels, plumbing.registry,
        people.terms, clock, project_zone=plumbing.settings.time_zone,
    )  # fmt: skip
    minder = Minder(heads, waves, mailings, tasks, feed, doorbell, clock, rules.policies)
    pacer = Pacer(PaceStore(db), clock)
    source = BroadcastSource(
        heads, mailings, facts, template_rows, people.profiles, places, pacer, writer, clock, rules
    )
    inbox.delivery.register(source.kind, source)
    return Mailing(
        Broadcasts(
            heads, waves, mailings, inbox.sends, places, minder, template_rows, people.segment_rows, feed, clock
        ),
        Planner(heads, waves, places, mailings, feed, doorbell, clock),
        minder,
        Hearing(heads, mailings, people.consents),
        TestSends(
            heads,
            TesterStore(db, clock),
            places,
            facts,
            templates,
            template_rows,
            writer,
            inbox.outbox,
            people.users.addresses,
            clock,
        ),
        source,
    )
