"""From kept deliveries to effects: parse, hand each event to its owner, and never let one bad item stop the rest.

Deliveries are claimed many at a time. Events of one family go to their owner together; when a batch fails, it is
halved until the poison stands alone. Everything an owner does is unique by its own key, so a delivery may be
processed again at any time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.duty import MAX_CRASHES, settled
from base.errors import RapportError
from base.feed import Feed, Notice
from base.metrics import EVENTS
from base.mongo import UNAVAILABLE, Document, UpdateOne
from channels.adapter import Account, Adapter, Delivery, Unreadable
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import (
    AccountNotice,
    AnyEvent,
    CommerceEvent,
    ConsentChange,
    DeliveryUpdate,
    FetchWanted,
    Identified,
    MessageReceived,
    Tracked,
    Unrecognised,
)  # fmt: skip
from inbox.consent_words import word_in
from inbox.opting import answered_by_provider
from webhooks.journal import Journal, as_delivery, forgotten

log = logging.getLogger(__name__)

#: Batches of one drain.
TURN = 4


@dataclass(frozen=True)
class Item:
    """One event of one delivery, with the account it belongs to."""

    channel_id: str
    provider: str
    event: AnyEvent
    delivery_id: str


@dataclass
class Outcome:
    """What became of one delivery."""

    row: Document
    items: list[Item] = field(default_factory=list)
    state: str = "done"
    reason: str | None = None
    #: What it said is not to be kept.
    forget: bool = False


#: Takes items of its family; raises when the batch as a whole could not be carried out. Deliveries whose words are not
#: to be kept may be named.
Owner = Callable[[Sequence[Item]], Awaitable[Collection[str] | None]]

#: Asks for a poll of an account soon: (channel id, what the provider gave for it).
WantPoll = Callable[[str, str | None], Awaitable[None]]
#: Asks for an account's approved templates to be fetched soon.
WantTemplates = Callable[[str], Awaitable[None]]

#: Keeps a request about somebody's data: (channel id, topic, event id, details). False for any other notice.
NoteRequest = Callable[[str, str, str, Mapping[str, Any]], Awaitable[bool]]


@dataclass(frozen=True)
class Owners:
    """Who carries out which family of events, in the order in which a batch is worked off."""

    messages: Owner
    #: Messages by which somebody stops our messages or lets them through again, where the provider has not heard it.
    words: Owner
    receipts: Owner
    people: Owner
    consents: Owner
    orders: Owner
    tracked: Owner


class Ingest:
    """Drains the journal."""

    def __init__(
        self, journal: Journal, registry: Registry, channels: ChannelStore, owners: Owners, feed: Feed, clock: Clock,
        want_poll: WantPoll, want_templates: WantTemplates, note_request: NoteRequest | None = None,
    ) -> None:  # fmt: skip
        self._journal = journal
        self._want_poll = want_poll
        self._want_templates = want_templates
        self._note_request = note_request
        self._registry = registry
        self._channels = channels
        self._owners = owners
        self._feed = feed
        self._clock = clock
        self._acknowledging: set[asyncio.Task[None]] = set()

    async def drain(self, limit: int) -> int:
        """Process due deliveries, `limit` at a time, until none is due or it is somebody else's turn; how many.

        While one batch is written the next is claimed and parsed: half of the work is ours, half the database's.
        """
        handled = 0
        writing: asyncio.Task[None] | None = None
        try:
            for _ in range(TURN):
                rows = await self._journal.duties.claim(["pending"], self._clock(), limit=limit)
                if not rows:
                    break
                handled += len(rows)
                outcomes = [await self._parsed(row) for row in rows]
                if writing is not None:
                    await writing
                writing = asyncio.create_task(self._work_off(outcomes))
        finally:
            if writing is not None:
                await writing
        return handled

    async def _work_off(self, outcomes: Sequence[Outcome]) -> None:
        await self._carry_out(outcomes)
        await asyncio.gather(self._close(outcomes), self._note(outcomes))
        self._acknowledge([item for outcome in outcomes for item in outcome.items])

    def _acknowledge(self, items: Sequence[Item]) -> None:
        """Answer towards the provider what wants that at once (a pressed button, a welcome code). Best effort."""
        wanted: dict[str, list[Item]] = {}
        for item in items:
            if self._registry.get(item.provider).wants_acknowledgement(item.event):
                wanted.setdefault(item.delivery_id, []).append(item)
        for delivery_id, of_delivery in wanted.items():
            task = asyncio.create_task(self._acknowledge_all(delivery_id, of_delivery))
            self._acknowledging.add(task)
            task.add_done_callback(self._acknowledging.discard)

    async def _acknowledge_all(self, delivery_id: str, items: Sequence[Item]) -> None:
        """At most once for a delivery: the mark is set first, so a crash costs an answer and never doubles one."""
        try:
            if await self._journal.first_to_acknowledge(delivery_id):
                await asyncio.gather(*(self._acknowledge_one(item) for item in items))
        except UNAVAILABLE as error:
            log.info("a delivery was not acknowledged", extra={"error": type(error).__name__})

    async def _acknowledge_one(self, item: Item) -> None:
        try:
            account = await self._channels.account(item.channel_id)
            if account is not None:
                await self._registry.get(item.provider).acknowledge(account, item.event)
        except (RapportError, *UNAVAILABLE) as error:
            log.info("an event was not acknowledged", extra={"error": type(error).__name__, "kind": item.event.kind})

    async def _parsed(self, row: Document) -> Outcome:
        outcome = Outcome(row)
        if row["attempts"] > MAX_CRASHES:
            return _ended(outcome, "dead", "A worker died or gave up on this delivery too often.")
        opened = await self._channels.account(row["channel_id"])
        if opened is None:
            return _ended(outcome, "dead", "The channel has been removed.")
        adapter = self._registry.get(row["provider"])
        delivery = as_delivery(row)
        try:
            for account in [opened, *await self._also_concerned(adapter, opened, row, delivery)]:
                events = adapter.parse(account, delivery)
                outcome.items += [Item(account.channel_id, row["provider"], event, row["_id"]) for event in events]
        except Unreadable as error:
            return _ended(outcome, "quarantined", str(error))
        except Exception as error:  # a parser's bug is that delivery's fault alone
            log.exception("parser failed", extra={"provider": row["provider"], "delivery": row["_id"]})
            return _ended(outcome, "dead", f"The parser failed: {type(error).__name__}.")
        return outcome

    async def _also_concerned(
        self, adapter: Adapter, opened: Account, row: Document, delivery: Delivery
    ) -> list[Account]:
        """Other accounts of ours that a shared URL's delivery names. They must accept the signature themselves.

        The signature header is not kept, so a second account is trusted only when it holds the same secrets.
        """
        others = []
        for setting, value in adapter.locate(delivery):
            if str(getattr(opened.settings, setting, "")) == value:
                continue
            for channel in await self._channels.having(row["provider"], setting, value):
                account = await self._channels.account(channel.id)
                if account is not None and _same_secrets(opened, account):
                    others.append(account)
        return others

    async def _carry_out(self, outcomes: Sequence[Outcome]) -> None:
        by_row = {outcome.row["_id"]: outcome for outcome in outcomes}
        families: dict[str, list[Item]] = {}
        for outcome in outcomes:
            for item in outcome.items:
                families.setdefault(_family(item.event), []).append(item)
            families.setdefault("words", []).extend(unheard_words(outcome.items))
        for name in ("messages", "words", "receipts", "people", "consents", "orders", "tracked"):
            items = families.get(name, [])
            if items:
                await self._halved(getattr(self._owners, name), items, by_row)
        await self._notices(families.get("account", []))

    async def _halved(self, owner: Owner, items: Sequence[Item], by_row: dict[str, Outcome]) -> None:
        """Give `items` to their owner; when that fails, halve until the bad one stands alone, and end only that one."""
        try:
            for delivery_id in await owner(items) or ():
                by_row[delivery_id].forget = True
        except UNAVAILABLE:
            raise  # nobody's fault: leases run out and the batch comes again
        except Exception as error:
            if len(items) == 1:
                self._poisoned(by_row[items[0].delivery_id], items[0], error)
                return
            middle = len(items) // 2
            await self._halved(owner, items[:middle], by_row)
            await self._halved(owner, items[middle:], by_row)

    def _poisoned(self, outcome: Outcome, item: Item, error: Exception) -> None:
        if not isinstance(error, RapportError):
            log.error("event failed", exc_info=error, extra={"kind": item.event.kind, "delivery": item.delivery_id})
        EVENTS.labels(item.event.kind, "failed").inc()
        reason = str(error) if isinstance(error, RapportError) else type(error).__name__
        _ended(outcome, "retry", f"{item.event.kind}: {reason}"[:500])

    async def _notices(self, items: Sequence[Item]) -> None:
        """What a provider says of the account itself. Other events without a person stay in the delivery log only."""
        for item in items:
            notice = item.event
            if isinstance(notice, FetchWanted) and notice.what == "news":
                await self._want_poll(item.channel_id, notice.hint)
            elif isinstance(notice, FetchWanted):
                await self._want_templates(item.channel_id)
            if not isinstance(notice, AccountNotice):
                continue
            if self._note_request is not None:
                await self._note_request(item.channel_id, notice.topic, notice.event_id, notice.details)
            if notice.severity == "critical":
                await self._channels.pause(item.channel_id, notice.topic, notice.text)
            data = {"channel_id": item.channel_id, "topic": notice.topic, "severity": notice.severity}
            await self._feed.append([Notice("channel.notice", data, item.channel_id)])

    async def _close(self, outcomes: Sequence[Outcome]) -> None:
        """Most deliveries end alike, and those are written as one; the others one by one."""
        alike: dict[tuple[str, str | None, int, bool], list[Document]] = {}
        single: list[UpdateOne] = []
        for outcome in outcomes:
            if outcome.state == "retry" and outcome.row["attempts"] < MAX_CRASHES:
                single.append(self._again(outcome))
            else:
                state = "dead" if outcome.state == "retry" else outcome.state
                told = (state, outcome.reason, len(outcome.items), outcome.forget and state == "done")
                alike.setdefault(told, []).append(outcome.row)
        for (state, reason, events, forget), rows in alike.items():
            gone = forgotten(self._clock()) if forget else {}
            change = {"$set": {**gone, "state": state, "reason": reason, "events": events}, "$unset": {"lease": ""}}
            if len(rows) > 1:
                await self._journal.duties.close(rows, change)
            else:
                single.append(settled(rows[0], change))
        await self._journal.duties.settle(single)

    def _again(self, outcome: Outcome) -> UpdateOne:
        due = self._clock() + timedelta(seconds=min(3600, 2 ** outcome.row["attempts"]))
        return settled(outcome.row, {"$set": {"due_at": due, "reason": outcome.reason}, "$unset": {"lease": ""}})

    async def _note(self, outcomes: Sequence[Outcome]) -> None:
        seen: dict[str, _Seen] = {}
        for outcome in outcomes:
            for item in outcome.items:
                EVENTS.labels(item.event.kind, "seen").inc()
            seen.setdefault(outcome.row["channel_id"], _Seen()).add(outcome)
        for channel_id, each in seen.items():
            await self._channels.note(
                channel_id, received=each.events, event_at=each.event_at, receipt_at=each.receipt_at, error=each.trouble
            )


@dataclass
class _Seen:
    """What one batch brought for one account."""

    events: int = 0
    event_at: datetime | None = None
    receipt_at: datetime | None = None
    trouble: Document | None = None

    def add(self, outcome: Outcome) -> None:
        at = outcome.row["received_at"]
        self.events += len(outcome.items)
        self.event_at = max(at, self.event_at or at)
        if any(isinstance(item.event, DeliveryUpdate) for item in outcome.items):
            self.receipt_at = max(at, self.receipt_at or at)
        if outcome.reason is not None:
            self.trouble = {"at": at, "code": f"delivery_{outcome.state}", "text": outcome.reason}


def _family(event: AnyEvent) -> str:
    if isinstance(event, DeliveryUpdate):
        return "receipts"
    if isinstance(event, Identified):
        return "people"
    if isinstance(event, ConsentChange):
        return "consents"
    if isinstance(event, CommerceEvent):
        return "orders"
    if isinstance(event, Tracked):
        return "tracked"
    if isinstance(event, AccountNotice | FetchWanted) or (isinstance(event, Unrecognised) and event.address is None):
        return "account"
    return "messages"


def unheard_words(items: Sequence[Item]) -> list[Item]:
    """The messages of one delivery that say STOP or START. Where the provider itself heard and answered it (it then
    says so beside the message), nothing is left to say."""
    heard = answered_by_provider([item.event for item in items])
    return [
        item
        for item in items
        if isinstance(item.event, MessageReceived)
        and word_in(item.event) is not None
        and (item.channel_id, item.event.address.external_id) not in heard
    ]


def _same_secrets(one: Account, other: Account) -> bool:
    signing = [name for name in type(one.settings).model_fields if name.endswith(("secret", "signing_key"))]
    return bool(signing) and all(one.secrets(name)[:1] == other.secrets(name)[:1] != () for name in signing)


def _ended(outcome: Outcome, state: str, reason: str) -> Outcome:
    outcome.state, outcome.reason = state, reason
    return outcome
