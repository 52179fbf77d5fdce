"""The inbox put together: its parts know each other only through what they are given here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from base.bus import Bus
from base.clock import Clock
from base.feed import Feed
from base.mongo import Database
from base.queue import Doorbell
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.aftermath import Aftermath
from inbox.afterthoughts import Afterthoughts
from inbox.answering import Answering
from inbox.beginning import Beginning
from inbox.bulk import Bulk
from inbox.canned import CannedReplies
from inbox.changes import Changes
from inbox.consequences import Consequences
from inbox.continuity import KIND, Answers, Continuity
from inbox.conversations import ConversationActions
from inbox.counting import Counting
from inbox.delivery import Delivery
from inbox.enclosures import Enclosures
from inbox.files import Files
from inbox.finding import Finding
from inbox.forwarding import Forwarding
from inbox.handover import CALL_TIMEOUT_S, IN_FLIGHT, Handover
from inbox.hours.book import BusinessHours
from inbox.merging import Merging
from inbox.outbox import Outbox
from inbox.owning import BotNames, BotsOn
from inbox.presence import Presence
from inbox.profile_files import ProfileFiles
from inbox.reacting import KIND as REACTION
from inbox.reacting import Reactions
from inbox.receipts import Receipts
from inbox.receive import REOPEN_WITHIN, Receiver
from inbox.recovery import Recovery
from inbox.searching import Searching
from inbox.shutting_out import ShuttingOut
from inbox.sla.clocks import SlaClocks
from inbox.sla.policies import SlaPolicies
from inbox.sla.watching import SlaWatch
from inbox.sources import SendSource, WrittenByHand
from inbox.splitting import Splitting
from inbox.store import (
    ActStore,
    AnsweringStore,
    CannedStore,
    ConversationStore,
    DraftStore,
    EarlyStore,
    FigureStore,
    HoursStore,
    MarkStore,
    MessageStore,
    PolicyStore,
    RatingStore,
    SendStore,
    TeamStore,
    ViewStore,
    ViewTallyStore,
    WatchStore,
)
from inbox.store.sends import LEASE_S
from inbox.views import Views
from profiles.consent import Consent
from profiles.events import EventStore
from profiles.resolve import Resolver
from profiles.store import ProfileStore


@dataclass(frozen=True)
class Inbox:
    """What the doors and the campaigns use."""

    conversations: ConversationStore
    messages: MessageStore
    sends: SendStore
    receiver: Receiver
    receipts: Receipts
    outbox: Outbox
    delivery: Delivery
    actions: ConversationActions
    files: Files
    continuity: Continuity
    presence: Presence
    profile_files: ProfileFiles
    drafts: DraftStore
    ratings: RatingStore
    figures: FigureStore
    afterthoughts: Afterthoughts
    answering: Answering
    business_hours: BusinessHours
    finding: Finding
    views: Views
    counting: Counting
    sla_policies: SlaPolicies
    sla_clocks: SlaClocks
    sla_watch: SlaWatch
    searching: Searching
    bulk: Bulk
    shutting_out: ShuttingOut
    merging: Merging
    teams: TeamStore
    splitting: Splitting
    canned: CannedReplies
    beginning: Beginning
    forwarding: Forwarding
    reactions: Reactions


def open_inbox(
    database: Database, *, channels: ChannelStore, registry: Registry, profiles: ProfileStore, resolver: Resolver,
    consent: Consent, events: EventStore, feed: Feed, doorbell: Doorbell, clock: Clock,
    reply_keys: Sequence[str | bytes] = (), reopen_within: timedelta = REOPEN_WITHIN, lease_s: int = LEASE_S,
    in_flight: int = IN_FLIGHT, call_timeout_s: float = CALL_TIMEOUT_S, bus: Bus | None = None,
    time_zone: str = "UTC", bots: BotsOn | None = None, bot_names: BotNames | None = None,
) -> Inbox:  # fmt: skip
    """`reply_keys` sign reply addresses of mails and links to files, newest first. Nothing is read or written here."""
    conversations, messages = ConversationStore(database, clock), MessageStore(database)
    files = Files(messages.files, channels, registry, feed, clock, link_keys=reply_keys)
    teams = TeamStore(database, clock)
    enclosures = Enclosures(messages.files, teams, clock, link_keys=reply_keys)
    sends = SendStore(database, clock, lease_s=lease_s)
    consequences = Consequences(consent)
    receipts = Receipts(
        sends, messages, EarlyStore(database, "receipts_early"), resolver, consequences, events, feed, doorbell, clock
    )
    changes = Changes(messages, conversations, EarlyStore(database, "changes_early"), feed, clock)
    business_hours, watch = BusinessHours(HoursStore(database, clock)), WatchStore(database)
    sla_policies = SlaPolicies(PolicyStore(database, clock), business_hours, channels)
    sla = SlaClocks(database, conversations, sla_policies, business_hours, watch, clock)
    drafts, answering = DraftStore(database, clock), Answering(AnsweringStore(database))
    canned = CannedStore(database, clock)
    receiver = Receiver(
        database, conversations, messages, sends, changes, receipts, resolver, consent, events, answering, sla, feed,
        doorbell, clock, bots=bots, reply_keys=reply_keys, reopen_within=reopen_within,
    )  # fmt: skip
    outbox = Outbox(
        database, conversations, messages, sends, drafts, canned, profiles, channels, registry, enclosures,
        answering, events, sla, feed, doorbell, clock, reply_key=reply_keys[0] if reply_keys else None,
    )  # fmt: skip
    presence, views = Presence(bus), ViewStore(database, clock)
    continuity = Continuity(
        database, conversations, messages, channels, profiles, resolver, outbox, presence, feed, doorbell, clock,
        reply_key=reply_keys[0] if reply_keys else None,
    )  # fmt: skip
    reactions = Reactions(database, messages, conversations, sends, outbox, events, feed, doorbell, clock)
    sources: dict[str, SendSource] = {
        "reply": Answers(continuity, messages), "test": WrittenByHand(), "consent": WrittenByHand(),
        "rating": WrittenByHand(), KIND: continuity, REACTION: reactions,
    }  # fmt: skip
    handover = Handover(
        sends, messages, conversations, channels, profiles, consent, receipts, enclosures, sources, clock,
        in_flight=in_flight, call_timeout_s=call_timeout_s,
    )  # fmt: skip
    aftermath = Aftermath(
        sends, messages, conversations, channels, registry, receipts, consequences, events, sla, feed, doorbell,
        sources, clock,
    )  # fmt: skip
    recovery = Recovery(sends, channels, registry, receipts, aftermath, clock)
    delivery = Delivery(sends, channels, registry, handover, aftermath, recovery, sources, clock)
    afterthoughts = Afterthoughts(
        database, conversations, messages, sends, drafts, canned, outbox, sla, feed, doorbell, clock
    )  # fmt: skip
    actions = ConversationActions(
        database, conversations, messages, events, teams, outbox, sla, feed, doorbell, clock
    )  # fmt: skip
    acts = ActStore(database)
    finding = Finding(conversations, profiles, clock)
    bulk = Bulk(acts, actions, conversations, messages, finding, clock, bots=bots, bot_names=bot_names)
    return Inbox(
        conversations, messages, sends, receiver, receipts, outbox, delivery, actions, files, continuity, presence,
        ProfileFiles(messages.files, messages, profiles, events, clock), drafts,
        RatingStore(database), FigureStore(database), afterthoughts, answering,
        business_hours, finding, Views(views),
        Counting(database, ViewTallyStore(database), MarkStore(database), views, clock, time_zone=time_zone),
        sla_policies, sla, SlaWatch(database, conversations, watch, sla, events, feed, doorbell, clock),
        Searching(database, messages, clock),
        bulk, ShuttingOut(database, profiles, conversations, bulk, events, clock),
        Merging(database, conversations, messages, acts, events, sla, feed, doorbell, clock), teams,
        Splitting(database, conversations, messages, sends, messages.words_of, events, sla, feed, doorbell, clock),
        CannedReplies(database, canned, messages.files, channels, teams, clock),
        Beginning(
            conversations, messages, sends, profiles, resolver, channels, registry, events, outbox, clock
        ),
        Forwarding(conversations, messages, profiles, resolver, channels, registry, events, outbox, clock), reactions,
    )  # fmt: skip
