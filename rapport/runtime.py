"""The composition root: opens everything once, puts it together, closes in reverse. Nothing else builds parts."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from base.bus import Bus
from base.clock import Clock, now
from base.feed import Feed
from base.http import HttpClient
from base.metrics import OLDEST_DUE
from base.mongo import Database
from base.queue import Bell, Doorbell
from base.secret_box import SecretBox
from base.settings import Settings
from campaigns.automation.bots.book import Bots
from campaigns.automation.bots.handing import HandOver
from campaigns.automation.bots.posting import BotPoster
from campaigns.automation.bots.store import BotPostStore, BotStore
from campaigns.automation.carrying import Carrying
from campaigns.automation.macros import Macros
from campaigns.automation.replies.answering import AutomaticReplies
from campaigns.automation.replies.book import ChannelReplyBook
from campaigns.automation.rules import AutomationRules
from campaigns.automation.running import RuleRunner
from campaigns.automation.store import RunStore
from campaigns.backfill import Backfills
from campaigns.broadcasts.book import Broadcasts
from campaigns.broadcasts.minding import Minder
from campaigns.broadcasts.planning import Planner
from campaigns.broadcasts.trying_out import TestSends
from campaigns.call_secrets import CallSecrets
from campaigns.calling import Caller
from campaigns.canned import CannedWords
from campaigns.handing_over import HandingOver
from campaigns.intakes import Intakes
from campaigns.journeys import Journeys
from campaigns.library.checking import Checker
from campaigns.library.offers import Offers
from campaigns.library.proofs import Proofs
from campaigns.library.snippets import Snippets
from campaigns.migrating import Migrations
from campaigns.planning import DatePlanner
from campaigns.policies.book import PolicyBook
from campaigns.render import Renderer
from campaigns.results import Results
from campaigns.steps import Walker
from campaigns.store import EnrolmentStore, TaskStore
from campaigns.stream.acting import StreamActs
from campaigns.stream.reading import Stream
from campaigns.stream.watching import Watching
from campaigns.tasks import Tasks
from campaigns.telling.carrying import Teller
from campaigns.telling.choosing import Choices
from campaigns.telling.noticing import Noticing
from campaigns.telling.reading import Notifications
from campaigns.templates import Templates
from campaigns.tidying import Tidying
from campaigns.tracking.choosing import Choosing
from campaigns.tracking.crediting import Crediting
from campaigns.tracking.hits import HitBook
from campaigns.tracking.store import CreditStore
from campaigns.triggers import Reactor
from campaigns.viewing import SentMails
from campaigns.winning import Winners
from channels.approved.fetching import Fetching
from channels.approved.store import ApprovedStore
from channels.providers.mail.deliverability import Dns, DnsReader
from channels.registry import Registry
from channels.store import ChannelStore
from desk.accounts import Accounts
from desk.calendar.links import Calendars
from desk.calendar.store import CalendarStore
from desk.push import Browsers, PushKeys
from desk.store import DeskStore
from desk.team.audit import AuditBook
from desk.team.leaving import Leaving
from desk.team.letters import Letters
from desk.team.oidc import Oidc
from desk.team.store import AuditStore, FactorStore, RuleStore
from desk.team.two_factor import TwoFactor
from inbox.afterthoughts import Afterthoughts
from inbox.answering import Answering
from inbox.beginning import Beginning
from inbox.bulk import Bulk
from inbox.canned import CannedReplies
from inbox.continuity import Continuity
from inbox.conversations import ConversationActions
from inbox.counting import Counting
from inbox.delivery import Delivery
from inbox.files import Files
from inbox.finding import Finding
from inbox.folding import Figures
from inbox.forwarding import Forwarding
from inbox.hours.book import BusinessHours
from inbox.merging import Merging
from inbox.opting import OptWords
from inbox.outbox import Outbox
from inbox.presence import Presence
from inbox.profile_files import WITH_NAME as FILES_WITH_NAME
from inbox.profile_files import ProfileFiles
from inbox.ratings import Ratings
from inbox.reacting import Reactions
from inbox.receipts import Receipts
from inbox.receive import Receiver
from inbox.reports import Reports
from inbox.room import Inbox, open_inbox
from inbox.routing.agents import Agents
from inbox.routing.giving import Routing
from inbox.routing.teams import Teams
from inbox.searching import Searching
from inbox.shutting_out import ShuttingOut
from inbox.sla.clocks import SlaClocks
from inbox.sla.policies import SlaPolicies
from inbox.sla.watching import SlaWatch
from inbox.splitting import Splitting
from inbox.store import ConversationStore, DraftStore, MessageStore, RatingStore, SendStore
from inbox.store.messages import WITH_TEXT as MESSAGES_WITH_TEXT
from inbox.views import Views
from orders.record import OrderBook
from orders.store import OrderStore
from profiles.appraisal import Appraisal
from profiles.blocking import Blocking
from profiles.consent import Consent
from profiles.consent_links import ConsentLinks
from profiles.custom_fields import CustomFields
from profiles.edit import ProfileEditor
from profiles.events import EventStore
from profiles.exports.book import AT_ONCE as EXPORTS_AT_ONCE
from profiles.follow_up import FollowUps
from profiles.imports.book import AT_ONCE as IMPORTS_AT_ONCE
from profiles.lookups import Lookups
from profiles.membership import SegmentBuilder, Segments
from profiles.merge import Merger
from profiles.notes import Notes
from profiles.privacy import Privacy
from profiles.profiling import Profiling
from profiles.relations import Relations
from profiles.resolve import Resolver
from profiles.retention import Retention
from profiles.store import ProfileStore
from profiles.store.retention import RetentionStore
from profiles.store.segments import SegmentStore
from profiles.store.stage_log import StageLogStore
from profiles.suggestions import Suggestions
from profiles.tags import TagSpace
from profiles.terms import Terms
from profiles.timeline import Timeline
from profiles.track import Tracker
from profiles.uses import Uses
from profiles.valuing import Valuing
from profiles.visitors import Visitors
from rapport import arriving
from rapport.automating import Automation, open_automation, open_ears
from rapport.bots import BotRoom, open_bots
from rapport.campaigning import Campaigns, open_campaigns
from rapport.hooking import Hooks, open_endpoints, open_hooks, open_poster
from rapport.people import People, open_people
from rapport.plumbing import Plumbing, open_plumbing
from rapport.registers import open_lists, open_merger, open_privacy
from rapport.replying import SaidByItself, open_replies
from rapport.retention import kinds_of
from rapport.routing import Routes, open_routing
from rapport.streaming import Day, Watch, open_day, open_watch
from rapport.telling import Telling, open_teller, open_telling
from webhooks.ingest import Ingest
from webhooks.journal import Journal
from webhooks.outgoing.endpoints import Endpoints
from webhooks.outgoing.posting import Poster
from webhooks.owners import owners
from webhooks.polling import Polling
from webhooks.refusals import Refusals
from webhooks.store import PollStore
from worker.clockwork import Chore
from worker.drains import Drain, Drains
from worker.store import Heartbeats
from worker.telling import told


class Runtime:
    """Everything a door may ask for, by the name it is known by in the house."""

    def __init__(
        self, plumbing: Plumbing, people: People, orders: OrderBook, order_store: OrderStore, inbox: Inbox,
        campaigns: Campaigns, merger: Merger, journal: Journal, ingest: Ingest, polling: Polling, privacy: Privacy,
        hooks: Hooks, routes: Routes, ratings: Ratings, automation: Automation, telling: Telling,
        figures: Figures, said: SaidByItself, watch: Watch, day: Day, bot_room: BotRoom,
    ) -> None:  # fmt: skip
        self._plumbing = plumbing
        self.settings: Settings = plumbing.settings
        self.arriving = arriving.reader(plumbing.settings.data)
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
        self.uses: Uses = people.uses
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
        self.beginning: Beginning = inbox.beginning
        self.forwarding: Forwarding = inbox.forwarding
        self.reactions: Reactions = inbox.reactions
        self.drafts: DraftStore = inbox.drafts
        self.answering: Answering = inbox.answering
        self.ratings: Ratings = ratings
        self.rating_rows: RatingStore = inbox.ratings
        self.figures: Figures = figures
        self.reports = Reports(inbox.figures)
        self.channel_replies: ChannelReplyBook = said.book
        self.automatic_replies: AutomaticReplies = said.replies
        self._said = said
        self.bots: Bots = bot_room.bots
        self.bot_rows: BotStore = bot_room.rows
        self.bot_posts: BotPostStore = bot_room.posts
        self.handing: HandOver = bot_room.handing
        self.bot_poster: BotPoster = bot_room.poster(self)
        self.business_hours: BusinessHours = inbox.business_hours
        self.finding: Finding = inbox.finding
        self.views: Views = inbox.views
        self.canned: CannedReplies = inbox.canned
        self.counting: Counting = inbox.counting
        self.sla_policies: SlaPolicies = inbox.sla_policies
        self.sla_clocks: SlaClocks = inbox.sla_clocks
        self.sla_watch: SlaWatch = inbox.sla_watch
        self.searching: Searching = inbox.searching
        self.teams: Teams = routes.teams
        self.agents: Agents = routes.agents
        self.routing: Routing = routes.routing
        self.afterthoughts: Afterthoughts = inbox.afterthoughts
        self.delivery: Delivery = inbox.delivery
        self.files: Files = inbox.files
        self.profile_files: ProfileFiles = inbox.profile_files
        self.continuity: Continuity = inbox.continuity
        self.presence: Presence = inbox.presence
        self.desk_actions: ConversationActions = inbox.actions
        self.bulk: Bulk = inbox.bulk
        self.shutting_out: ShuttingOut = inbox.shutting_out
        self.merging: Merging = inbox.merging
        self.splitting: Splitting = inbox.splitting
        self.journeys: Journeys = campaigns.journeys
        self.templates: Templates = campaigns.templates
        self.snippets: Snippets = campaigns.snippets
        self.offers: Offers = campaigns.offers
        self.checker: Checker = campaigns.checker
        self.proofs: Proofs = campaigns.proofs
        self.tasks: Tasks = campaigns.tasks
        self.task_rows: TaskStore = campaigns.task_rows
        self.reactor: Reactor = campaigns.reactor
        self.walker: Walker = campaigns.walker
        self.enrolments: EnrolmentStore = campaigns.enrolments
        self.date_planner: DatePlanner = campaigns.planner
        self.intakes: Intakes = campaigns.intakes
        self.backfills: Backfills = campaigns.backfills
        self.migrations: Migrations = campaigns.migrations
        self.renderer: Renderer = campaigns.renderer
        self.canned_words = CannedWords(campaigns.renderer, plumbing.http, campaigns.call_secrets, plumbing.clock)
        self.macros: Macros = automation.macros
        self.automation_rules: AutomationRules = automation.rules
        self.rule_runs: RunStore = automation.runs
        self.rule_runner: RuleRunner = automation.runner
        self.carrying: Carrying = automation.carrying
        self.dns: Dns = DnsReader()
        self.sent_mails: SentMails = campaigns.sent_mails
        self.policies: PolicyBook = campaigns.policies
        self.broadcasts: Broadcasts = campaigns.mailing.broadcasts
        self.broadcast_tests: TestSends = campaigns.mailing.tests
        self.broadcast_planner: Planner = campaigns.mailing.planner
        self.broadcast_minder: Minder = campaigns.mailing.minder
        self.hits: HitBook = campaigns.tracking.hits
        self.crediting: Crediting = campaigns.tracking.crediting
        self.credits: CreditStore = campaigns.tracking.credits
        self.tracking_choice: Choosing = campaigns.tracking.choosing
        self.results: Results = campaigns.tracking.results
        self.caller: Caller = campaigns.caller
        self.call_secrets: CallSecrets = campaigns.call_secrets
        self.winners: Winners = campaigns.winners
        self.handing_over: HandingOver = campaigns.handing_over
        self.tidying: Tidying = campaigns.tidying
        self.watching: Watching = watch.watching
        self.day: Stream = day.stream
        self.day_acts: StreamActs = day.acts
        self.journal: Journal = journal
        self.ingest: Ingest = ingest
        self.polling: Polling = polling
        self.refusals = Refusals(plumbing.bus)
        self.approved: ApprovedStore = plumbing.approved
        self.template_fetching = Fetching(self.approved, self.channels, self.registry, self.clock)
        self.blocking: Blocking = people.blocking
        self.users: DeskStore = people.users
        self.two_factor = TwoFactor(
            FactorStore(plumbing.db, plumbing.clock), RuleStore(plumbing.db), plumbing.box, plumbing.clock,
            plumbing.settings.business_name,
        )  # fmt: skip
        self.accounts = Accounts(self.users, plumbing.clock, factors=self.two_factor)
        self.oidc = Oidc(
            RuleStore(plumbing.db), plumbing.box, plumbing.http, plumbing.clock, plumbing.settings.base_url
        )  # fmt: skip
        self.audit = AuditBook(AuditStore(plumbing.db), plumbing.clock, inbox.conversations.rows)
        self.calendars = Calendars(CalendarStore(plumbing.db, plumbing.clock))
        self.letters = Letters(plumbing.channels, plumbing.registry)
        self.leaving = Leaving(inbox.conversations, inbox.actions)
        self.heartbeats = Heartbeats(plumbing.db, plumbing.clock)
        self.imports, self.exports = open_lists(plumbing, people, merger, privacy)
        self.endpoints: Endpoints = open_endpoints(plumbing, hooks)
        self.poster: Poster = open_poster(plumbing, hooks, self.endpoints, people, self.tasks, self)

        self.notifications: Notifications = telling.reading
        self.telling_choices: Choices = telling.choices
        self.noticing: Noticing = telling.noticing
        self.browsers: Browsers = telling.browsers
        self.push_keys: PushKeys = telling.push_keys
        self.teller: Teller = open_teller(plumbing, telling, people, inbox, routes, self)

    def drains(self) -> Drains:
        """The kinds of work a worker does."""
        work: dict[Bell, Drain] = {
            "ingest": told(self.ingest.drain, self.feed, "channel.updated"),
            "react": self.reactor.react,
            "advance": told(self.walker.advance, self.feed, "enrolment.updated"),
            "deliver": told(lambda limit: self.delivery.deliver(2 * limit), self.feed, "channel.updated"),  # see TURN_S
            "fetch": self.files.fetch,
            "poll": self.polling.drain,
            "appraise": lambda limit: self.appraisal.drain(4 * limit),  # some are looked at as others are written
            "call": self.caller.drain,
            "hook": told(self.poster.drain, self.feed, "webhook_endpoint.updated"),
            "route": self.routing.drain,
            "automate": told(self.rule_runner.drain, self.feed, "rule_run.updated"),
            "tell": self.teller.drain,
        }
        return Drains(work, self.doorbell, batch=self.settings.worker_batch)

    def chores(self) -> list[Chore]:
        """What every worker does every so often; each is safe to be done by several at once."""
        return [
            Chore("heartbeat", 5, self.heartbeats.beat),
            Chore("keep the counts of views", 0.5, self.counting.keep),
            Chore("keep the words of messages", 0.5, self.searching.keep),
            Chore("read messages from before there was a search", 1, self.searching.read_past),
            Chore("compare the counts of views", 600, self.counting.compare),
            Chore("wake snoozed conversations", 5, self.desk_actions.wake_due),
            Chore("tell of promises that are due", 1, self.sla_watch.drain),
            Chore("ask how satisfied people are", 2, self.ratings.drain),
            Chore("tell colleagues of what is due", 5, self.noticing.look),
            Chore("keep the figures of reports", 1, self.figures.keep),
            Chore("count conversations of before", 1, self.figures.read_past),
            Chore("count combinations of before", 1, self.figures.combine_past),
            Chore("compare the figures of reports", 600, self.figures.compare),
            Chore("say what channels say by themselves", 0.5, self.automatic_replies.drain),
            Chore("tell bots of messages", 0.5, self.bot_poster.drain),
            Chore("look after silent bots", 1, self.bot_poster.look_after_silent),
            Chore("take conversations from bots that are off", 5, self.bot_poster.take_from_leaving),
            Chore("reckon promises anew", 1, self.sla_watch.renew),
            Chore("look after queues", 15, self.routing.sweep),
            Chore("enlist accounts that have to be asked", 15, self.polling.enlist),
            Chore("enlist accounts with approved templates", 60, self.template_fetching.enlist),
            Chore("fetch approved templates", 5, self.template_fetching.drain),
            Chore("ask who new people are", 2, self.lookups.drain),
            Chore("let people in whose date has come", 1, self._let_in),
            Chore("begin schedules and plans of dates", 2, self.intakes.enlist),
            Chore("take people in, in the background", 1, self.intakes.drain),
            Chore("forget dates of journeys that are over", 60, self.intakes.tidy),
            Chore("begin to take people along to new versions", 2, self.migrations.enlist),
            Chore("take people along to new versions", 1, self.migrations.drain),
            Chore("find the members of segments", 1, self.segment_builder.drain),
            Chore("plan broadcasts", 0.5, self.broadcast_planner.drain),
            Chore("look after broadcasts", 0.5, self.broadcast_minder.look),
            Chore("judge who followed links", 1, self.hits.drain),
            Chore("credit orders", 2, self.crediting.look),
            Chore("count money of campaigns anew", 600, self.credits.recount),
            Chore("carry out merges", 1, self.merger.drain),
            Chore("join visitors who said who they are", 2, self.visitors.drain),
            Chore("change tags across people", 1, self.tags.drain),
            Chore("gather tags", 300, self.tags.gather),
            Chore("call tags by their names of today", 60, self.tags.straighten),
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
            *(Chore(f"carry imports on ({place})", 1, self.imports.carry_on) for place in range(IMPORTS_AT_ONCE)),
            *(Chore(f"write exports ({place})", 1, self.exports.drain) for place in range(EXPORTS_AT_ONCE)),
            Chore("forget files of imports", 600, self.imports.tidy),
            Chore("forget files of exports", 600, self.exports.tidy),
            Chore("find the best arms of splits", 30, self.winners.decide),
            Chore("give on the work of who is not there", 60, self.handing_over.pass_on),
            Chore("forget what steps have left behind", 3600, self.tidying.tidy),
            Chore("tell of endpoints that were switched off", 60, self.poster.tell),
            Chore("forget canned replies that were taken away", 600, self.canned.tidy),
            Chore("change many conversations", 1, self.bulk.drain),
            Chore("look at everybody for Today", 1, self.watching.look_back),
            Chore("age of the oldest duty", 10, self._measure_age),
        ]

    async def _let_in(self) -> None:
        while await self.date_planner.drain(self.settings.worker_batch):
            pass

    async def _measure_age(self) -> None:
        looked = {
            "ingest": await self.journal.duties.next_due(["pending"]),
            "react": await self.events.duties.next_due(["pending"]),
            "advance": await self.enrolments.oldest_due(self.clock()),
            "appraise": await self.profiles.appraisals.oldest(),
            "enter": await self.date_planner.next_due(),
            "hook": await self.endpoints.oldest_due(),
            "automate": await self.rule_runs.oldest_due(),
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
        await self.caller.close()
        await self.poster.close()
        await self.teller.close()
        await self.bot_poster.close()
        await self.hits.close()
        await self.renderer.close()
        await self._said.renderer.close()
        await self._plumbing.close()


async def open_runtime(settings: Settings, clock: Clock = now) -> Runtime:
    """Open and connect. Raises `Misconfigured` when a key or address is missing; the servers need not answer yet."""
    plumbing = open_plumbing(settings, clock)
    people = open_people(plumbing)
    order_store = OrderStore(plumbing.db)
    orders = OrderBook(
        plumbing.db, order_store, people.resolver, people.profiles, people.events, plumbing.feed, plumbing.doorbell,
        plumbing.clock,
    )  # fmt: skip
    bot_rows = BotStore(plumbing.db, plumbing.clock)
    inbox = open_inbox(
        plumbing.db, channels=plumbing.channels, registry=plumbing.registry, profiles=people.profiles,
        resolver=people.resolver, consent=people.consent, events=people.events, feed=plumbing.feed,
        doorbell=plumbing.doorbell, clock=plumbing.clock, reply_keys=[plumbing.box.signing_key],
        bus=plumbing.bus, time_zone=plumbing.settings.time_zone, bots=bot_rows.on_channels,
        bot_names=bot_rows.names,
    )  # fmt: skip
    people.timeline.join("message_id", MESSAGES_WITH_TEXT, inbox.messages.words)
    people.timeline.join("file_id", FILES_WITH_NAME, inbox.profile_files.words)
    hooks = open_hooks(plumbing)
    routes = open_routing(plumbing, people, inbox)
    ratings = Ratings(
        plumbing.db, inbox.ratings, inbox.conversations, inbox.messages, people.profiles, inbox.outbox, inbox.actions,
        people.events, people.consent_links, plumbing.feed, plumbing.doorbell, plumbing.clock,
    )  # fmt: skip
    ears, telling = open_ears(plumbing), open_telling(plumbing, people, inbox, routes)
    said, watch = open_replies(plumbing, people, inbox), open_watch(plumbing, people, inbox)
    bot_room = open_bots(plumbing, people, inbox, bot_rows)
    figures = Figures(
        plumbing.db, inbox.figures, inbox.sla_clocks, inbox.business_hours, inbox.teams, plumbing.clock,
        time_zone=plumbing.settings.time_zone,
    )  # fmt: skip
    heard_by = [
        hooks.fan_out.hear, routes.routing.hear, ratings.hear, ears.listening.hear, telling.noticing.hear, figures.hear,
        said.replies.hear, watch.watching.hear, bot_room.hear,
    ]  # fmt: skip
    campaigns = open_campaigns(plumbing, people, order_store, inbox, routes, listeners=heard_by)
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
    privacy = open_privacy(plumbing, people, order_store, journal, campaigns.reminders)
    ingest = Ingest(
        journal, plumbing.registry, plumbing.channels, hands, plumbing.feed, plumbing.clock, want_poll=polls.want,
        want_templates=plumbing.approved.want_now, note_request=privacy.requests.note,
    )  # fmt: skip
    automation = open_automation(plumbing, people, inbox, campaigns, ratings, bot_rows, ears)
    merger = open_merger(
        plumbing, people, orders, order_store, inbox, campaigns, hooks, automation.runs, telling, said, watch,
        bot_room,
    )
    return Runtime(
        plumbing, people, orders, order_store, inbox, campaigns, merger, journal, ingest, polling, privacy, hooks,
        routes, ratings, automation, telling, figures, said, watch,
        open_day(plumbing, people, order_store, inbox, campaigns, routes, watch), bot_room,
    )  # fmt: skip
