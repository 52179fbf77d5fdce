"""Inbound: from parsed events to messages of known people in their conversations, many at a time.

A batch is one transaction: new messages, their conversations and the domain events they cause stand or fall together,
and each message stands under a unique key, so a batch may come again at any time. A batch that fails is halved until
the poison stands alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from base.clock import Clock
from base.errors import Conflict, RapportError, Unavailable
from base.feed import Feed, Notice
from base.mongo import UNAVAILABLE, Database, Document, Session
from base.queue import Doorbell
from channels.vocabulary import (
    ContactLeft,
    DeliveryStatus,
    DeliveryUpdate,
    GroupMoved,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    ProfileSeen,
    Reaction,
    Unrecognised,
)  # fmt: skip
from inbox.answering import Answering
from inbox.changes import Changes
from inbox.clashes import CLASHES, is_clash, rest_after
from inbox.heads import head_in, is_part, threads_of
from inbox.incoming import Arrival, Line, believable, cleaned, dedupe_of, mail_ids, message_row, short_id, thread_key
from inbox.owning import BotsOn
from inbox.placing import Found, HeadEffect, Placement, carried_to_heads, carry_out, new_row, placed, slot_of
from inbox.receipts import Receipts
from inbox.reopening import WITHIN_DAYS, Reopening, earliest, is_over
from inbox.reply_token import verify_reply_token
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.store import ConversationStore, MessageStore, SendStore
from profiles.consent import Consent
from profiles.events import EventStore
from profiles.resolve import Known, Resolver, Sighting

log = logging.getLogger(__name__)

#: A conversation resolved less than this long ago is opened again instead of a new one being made.
REOPEN_WITHIN = timedelta(days=WITHIN_DAYS)
#: How often a batch is planned anew because somebody else changed the same conversations.
ROUNDS = 12
#: Lines already stored are announced again when they are this young: the announcement may have died with a worker.
ANNOUNCED_AGAIN = timedelta(minutes=15)
OutcomeState = Literal["created", "duplicate", "applied", "kept", "ignored", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one arrival. `kept`: it speaks of a message that is not here yet. `forgets`: a part of it is not
    to be kept anywhere."""

    state: OutcomeState
    message_id: str | None = None
    conversation_id: str | None = None
    error: Exception | None = field(default=None, repr=False)
    forgets: bool = False


@dataclass(frozen=True)
class ReceiveResult:
    """One outcome per arrival, in order."""

    outcomes: tuple[Outcome, ...]

    @property
    def created_messages(self) -> int:
        """Messages that were new."""
        return sum(outcome.state == "created" for outcome in self.outcomes)

    @property
    def duplicates(self) -> int:
        """Messages that were here already."""
        return sum(outcome.state == "duplicate" for outcome in self.outcomes)

    @property
    def failed(self) -> list[tuple[int, Exception]]:
        """Positions of poisonous arrivals, with the reason."""
        return [(i, outcome.error) for i, outcome in enumerate(self.outcomes) if outcome.error is not None]


class PartlyReceived(RapportError):
    """Some arrivals of a batch could not be taken; all others are. `result` says which."""

    code = "partly_received"

    def __init__(self, result: ReceiveResult) -> None:
        super().__init__(f"{len(result.failed)} of {len(result.outcomes)} events could not be taken.")
        self.result = result


@dataclass(frozen=True)
class Plan:
    """What a batch writes: its conversations, those that they were merged into, and slots that become free."""

    placements: Sequence[Placement] = ()
    heads: Sequence[HeadEffect] = ()
    given_up: Sequence[Document] = ()


_Numbered = Sequence[tuple[int, Arrival]]
_Take = Callable[[_Numbered], Awaitable[dict[int, Outcome]]]


class Receiver:
    """The only way in for what customers write and do in conversations."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, sends: SendStore,
        changes: Changes, receipts: Receipts, resolver: Resolver, consent: Consent, events: EventStore,
        answering: Answering, sla: SlaClocks, feed: Feed, doorbell: Doorbell, clock: Clock, *,
        bots: BotsOn | None = None, reply_keys: Sequence[str | bytes] = (),
        reopen_within: timedelta = REOPEN_WITHIN,
    ) -> None:  # fmt: skip
        """`bots`: who has conversations first; `reply_keys`: what signs reply addresses, newest first."""
        self._bots = bots
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._sends = sends
        self._changes = changes
        self._receipts = receipts
        self._resolver = resolver
        self._consent = consent
        self._events = events
        self._answering = answering
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._reply_keys = tuple(reply_keys)
        self._reopen_within = reopen_within
        # Batches of one process would only clash with each other; those of several processes plan again.
        self._one_at_a_time = asyncio.Lock()

    async def receive(self, arrivals: Sequence[Arrival]) -> ReceiveResult:
        """Take them all. May run twice for the same arrivals.

        Raises `PartlyReceived` when some of many are poisonous (all others are taken); the fault itself when there
        was only one; a store's own error when it is away (nothing is lost, come again).
        """
        outcomes: list[Outcome] = [Outcome("ignored")] * len(arrivals)
        numbered = list(enumerate(arrivals))
        for kinds, take in (
            ((GroupMoved,), self._take_moves),
            ((ProfileSeen, ContactLeft), self._take_people),
            ((MessageReceived, Unrecognised), self._take_lines),
            ((MessageEdited, MessageDeleted, Reaction), self._take_changes),
        ):
            family = [(i, each) for i, each in numbered if isinstance(each.event, kinds)]
            for position, outcome in (await self._halved(take, family)).items():
                outcomes[position] = outcome
        result = ReceiveResult(tuple(outcomes))
        if result.failed:
            raise result.failed[0][1] if len(arrivals) == 1 else PartlyReceived(result)
        return result

    async def _halved(self, take: _Take, family: _Numbered) -> dict[int, Outcome]:
        if not family:
            return {}
        try:
            return await take(family)
        except (*UNAVAILABLE, Unavailable):
            raise
        except Exception as error:
            if len(family) == 1:
                log.warning("poisonous event", exc_info=error, extra={"kind": family[0][1].event.kind})
                return {family[0][0]: Outcome("failed", error=error)}
            middle = len(family) // 2
            first = await self._halved(take, family[:middle])
            return first | await self._halved(take, family[middle:])

    # -- people ------------------------------------------------------------------------------------------------

    async def _take_people(self, family: _Numbered) -> dict[int, Outcome]:
        known = await self._resolver.resolve([_sighting(arrival, self._clock()) for _, arrival in family])
        for (_, arrival), person in zip(family, known, strict=True):
            if isinstance(arrival.event, ContactLeft):
                await self._note_reach(arrival, arrival.event, person)
        return {i: Outcome("applied") for i, _ in family}

    async def _note_reach(self, arrival: Arrival, event: ContactLeft, person: Known) -> None:
        at = believable(event.occurred_at, self._clock())
        if await self._consent.left(person.identity_id, at, left=event.left):
            await self._doorbell.ring("react")

    async def _take_moves(self, family: _Numbered) -> dict[int, Outcome]:
        for _, arrival in family:
            if isinstance(arrival.event, GroupMoved):
                event = arrival.event
                await self._conversations.move_group(arrival.channel_id, event.former_group_id, event.group_id)
        return {i: Outcome("applied") for i, _ in family}

    # -- changes -----------------------------------------------------------------------------------------------

    async def _take_changes(self, family: _Numbered) -> dict[int, Outcome]:
        applied = await self._changes.apply([arrival for _, arrival in family])
        return {i: Outcome("applied" if here else "kept") for (i, _), here in zip(family, applied, strict=True)}

    # -- lines -------------------------------------------------------------------------------------------------

    async def _take_lines(self, family: _Numbered) -> dict[int, Outcome]:
        with_address = [(i, each) for i, each in family if each.event.address is not None]
        ours = await self._our_echoes(with_address)
        await self._receipts.apply([(each.channel_id, ours[i]) for i, each in with_address if i in ours])
        outcomes = {i: Outcome("duplicate") for i in ours}
        rest = [(i, each) for i, each in with_address if i not in ours]
        return outcomes | await self._store_lines(await self._lines(rest))

    async def _our_echoes(self, family: _Numbered) -> dict[int, DeliveryUpdate]:
        """Echoes of what we sent ourselves, as the receipts they are."""
        echoes = [
            (i, each, each.event) for i, each in family if isinstance(each.event, MessageReceived) and each.event.echo
        ]
        if not echoes:
            return {}
        keys = await self._sends.by_keys([event.correlation for _, _, event in echoes if event.correlation])
        ids = [(each.channel_id, short_id(event.message_id)) for _, each, event in echoes]
        rows = await self._sends.by_provider_ids(ids)
        ours = {(row["channel_id"], each) for row in rows for each in row["provider_message_ids"]}
        found = {}
        for (i, _, event), pair in zip(echoes, ids, strict=True):
            is_ours = pair in ours or (event.correlation in keys and keys[event.correlation]["channel_id"] == pair[0])
            if is_ours:
                found[i] = DeliveryUpdate(
                    event_id=event.event_id, occurred_at=event.occurred_at, address=event.address,
                    status=DeliveryStatus.SENT, message_id=event.message_id, correlation=event.correlation,
                )  # fmt: skip
        return found

    async def _lines(self, family: _Numbered) -> list[Line]:
        now = self._clock()
        known = await self._resolver.resolve([_sighting(arrival, now) for _, arrival in family])
        lines = []
        for (position, arrival), person in zip(family, known, strict=True):
            event = arrival.event
            assert isinstance(event, MessageReceived | Unrecognised)  # noqa: S101 - sorted by kind above
            lines.append(
                Line(
                    position, arrival, event, person.identity_id, person.profile_id, cleaned(person.display_name, 200),
                    dedupe_of(arrival), believable(event.occurred_at, now), shut_out=person.shut_out,
                )
            )  # fmt: skip
        return lines

    async def _store_lines(self, lines: Sequence[Line]) -> dict[int, Outcome]:
        if not lines:
            return {}
        async with self._one_at_a_time:
            plan, seen = await self._committed(lines)
        placements = plan.placements
        await self._caught_up(placements, seen)
        await self._announce(plan, seen)
        outcomes = {
            line.position: Outcome("created", line.row["_id"], line.row["conversation_id"], forgets=line.forgets)
            for placement in placements
            for line in placement.lines
        }
        again = [line for line in lines if line.position not in outcomes]
        forgetful = await self._forgetful(again, seen)
        for line in again:
            row = seen.get(line.dedupe, {})
            talk_id = row.get("conversation_id")
            outcomes[line.position] = Outcome("duplicate", row.get("_id"), talk_id, forgets=talk_id in forgetful)
        return outcomes

    async def _forgetful(self, lines: Sequence[Line], seen: Mapping[str, Document]) -> frozenset[str]:
        """Of the conversations of mails that are here already those that forget what mails repeat."""
        mails = [line for line in lines if isinstance(line.event, MessageReceived) and line.event.mail is not None]
        ids = {seen[line.dedupe]["conversation_id"] for line in mails if line.dedupe in seen}
        return frozenset(key for key, row in (await self._conversations.rows(ids)).items() if row.get("forgets"))

    async def _committed(self, lines: Sequence[Line]) -> tuple[Plan, dict[str, Document]]:
        """Plan and write until nobody interferes; what was written and the lines that were here already."""
        for attempt in range(ROUNDS):
            seen = await self._messages.seen(line.dedupe for line in lines)
            fresh = {line.dedupe: line for line in reversed(lines) if line.dedupe not in seen}
            if not fresh:
                return Plan(), seen
            plan = await self._planned(sorted(fresh.values(), key=lambda line: line.position))
            try:
                await self._database.in_transaction(partial(self._write, plan))
            except CLASHES as error:
                if not is_clash(error):
                    raise
                await rest_after(attempt)
                continue
            return plan, seen
        raise Conflict("These conversations are being changed too often just now.", code="contended")

    async def _planned(self, lines: Sequence[Line]) -> Plan:
        now = self._clock()
        for line in lines:
            line.row, line.files = message_row(line, now)
        found = await self._found(lines, now)
        placements = placed(lines, found)
        for placement in placements:
            if placement.must_look_for_waiting:
                row = await self._messages.latest(placement.row["_id"], ["in"], after=placement.answered_at)
                placement.next_waiting = row["provider_at"] if row else None
            carry_out(placement, now, found.known, found.heads, found.bots)
        return await self._with_heads(placements, found, now)

    async def _with_heads(self, placements: Sequence[Placement], found: Found, now: datetime) -> Plan:
        """What was merged counts on what it was merged into; who gives up a slot does so with these lines. All have
        their clocks."""
        answered: dict[str, datetime] = {}
        for each in placements:
            head = head_in(each.row, found.heads)
            times = [at for at in (each.answered_at, head and head.get("answered_at")) if at]
            if head is not None and times:
                answered[head["_id"]] = max([*times, *([answered[head["_id"]]] if head["_id"] in answered else [])])
        waiting = {}
        for key, at in answered.items():
            row = await self._messages.latest(threads_of(found.heads[key]), ["in"], after=at)
            waiting[key] = row["provider_at"] if row else None
        here = {placement.row["_id"] for placement in placements}
        slots = [each.slot for each in placements if not each.row.get("branch")]
        given_up = {row["_id"]: row for slot in slots if (row := found.given_up.get(slot))}
        heads, terms = carried_to_heads(placements, found.heads, waiting, now), await self._sla.terms()
        for placement in placements:
            if placement.created:
                placement.row |= with_clocks({}, placement.row, terms, now).get("$set", {})
            elif placement.update:
                placement.update = with_clocks(placement.update, placement.row, terms, now)
        for effect in heads:
            effect.update = with_clocks(effect.update, effect.row, terms, now)
        return Plan(placements, heads, [row for row in given_up.values() if row["_id"] not in here])

    async def _found(self, lines: Sequence[Line], now: datetime) -> Found:
        named = await self._named(lines)
        identities = {line.identity_id for line in lines} | {row["identity_id"] for row in named.values()}
        open_rows = await self._conversations.open_of(identities)
        # A closed conversation is looked for only where none is open on that account.
        slots = {slot_of(row) for row in open_rows}
        without = identities - {row["identity_id"] for row in open_rows}
        without |= {
            line.identity_id
            for line in lines
            if (line.identity_id, line.arrival.channel_id, line.group_id) not in slots
        }
        recent, known, rules = [], set(), await self._rules(lines, open_rows, bool(without))
        if without:
            known = await self._conversations.known(without)
            since = earliest(rules, now, self._reopen_within)
            found = await self._conversations.resolved_since(known, since) if known else []
            recent = [
                row for row in found
                if not row.get("branch") and not is_over(row, rules.get(row["channel_id"]), now, self._reopen_within)
            ]  # fmt: skip
        parts = [row for row in (*open_rows, *named.values()) if is_part(row)]
        heads = await self._conversations.rows(row["merged_into"] for row in parts)
        given_up = {row["_id"]: row for row in open_rows if self._is_given_up(row, heads, rules, now)}
        return Found(
            open={slot_of(row): row for row in open_rows if row["_id"] not in given_up},
            recent={slot_of(row): row for row in reversed(recent)},
            named=named,
            known=frozenset(known | {row["identity_id"] for row in open_rows}),
            heads=heads,
            given_up={slot_of(row): row for row in given_up.values()},
            bots=await self._bots({line.arrival.channel_id for line in lines}) if self._bots and without else {},
        )

    async def _rules(
        self, lines: Sequence[Line], open_rows: Sequence[Document], looks_for_closed: bool
    ) -> dict[str, Reopening]:  # fmt: skip
        """What was chosen for the channels of a batch; not asked for where everything goes on in what is open."""
        if not looks_for_closed and not any(is_part(row) for row in open_rows):
            return {}
        return await self._answering.reopening(
            {line.arrival.channel_id for line in lines} | {row["channel_id"] for row in open_rows}
        )

    def _is_given_up(
        self, row: Document, heads: dict[str, Document], rules: dict[str, Reopening], now: datetime
    ) -> bool:  # fmt: skip
        """Whether a part holds its slot for a conversation that is closed for good."""
        head = head_in(row, heads)
        if head is None or head["status"] != "resolved":
            return False
        return is_over(head, rules.get(row["channel_id"]), now, self._reopen_within)

    async def _named(self, lines: Sequence[Line]) -> dict[str, Document]:
        """Conversations that mails name: by our signed address whoever writes, by Message-ID only the same sender."""
        mails = [line for line in lines if isinstance(line.event, MessageReceived) and line.event.mail]
        if not mails:
            return {}
        keys = {line.position: _thread_keys(line) for line in mails}
        wanted = {key for found in keys.values() for key in found}
        rows = await self._conversations.by_thread_keys(wanted) if wanted else []
        tokens = {line.position: self._token_of(line) for line in mails}
        named = await self._conversations.rows([each for each in tokens.values() if each])
        for line in mails:
            by_header = [
                row["_id"]
                for key in keys[line.position]
                for row in rows
                if row["identity_id"] == line.identity_id and key in row.get("thread_keys", ())
            ]
            token = tokens[line.position]
            line.threads = tuple(dict.fromkeys(([token] if token else []) + by_header))
            line.of_gone = token is not None and token not in named
        return named | {row["_id"]: row for row in rows}

    def _token_of(self, line: Line) -> str | None:
        mail = line.event.mail if isinstance(line.event, MessageReceived) else None
        return verify_reply_token(self._reply_keys, mail.reply_token) if mail else None

    async def _write(self, plan: Plan, session: Session) -> None:
        placements = plan.placements
        changed = [(each.row, each.update) for each in placements if not each.created and each.update]
        changed += [(head.row, head.update) for head in plan.heads]
        changed += [(row, {"$unset": {"open": ""}}) for row in plan.given_up]
        await self._conversations.change(changed, session)
        created = [placement for placement in placements if placement.created]
        await self._conversations.insert([new_row(placement) for placement in created], session)
        await self._sla.watch([_clocks_of(each) for each in placements if each.created or each.update], session)
        await self._sla.watch([(head.row, clocks_of(head.update, head.row)) for head in plan.heads], session)
        rows = [line.row for placement in placements for line in placement.lines]
        rows += [row for placement in placements for row in placement.system]
        rows += [row for head in plan.heads for row in head.system]
        files = [file for placement in placements for line in placement.lines for file in line.files]
        await self._messages.insert(rows, session, files)
        events = [event for placement in placements for event in placement.events]
        await self._events.record([*events, *(event for head in plan.heads for event in head.events)], session)
        homes = {each.slot[0]: (each.slot[1], each.row["_id"]) for each in created if each.slot[2] is None}
        await self._messages.adopt(homes, session)

    async def _caught_up(self, placements: Sequence[Placement], seen: dict[str, Document]) -> None:
        """Edits and the like that came before their message; after a crash, those of lines stored before, too."""
        new = {line.dedupe: line for placement in placements for line in placement.lines}
        keys = [(line.arrival.channel_id, str(line.row["provider_message_id"]))
                for line in new.values() if line.row.get("provider_message_id")]  # fmt: skip
        keys += [(row["channel_id"], key.removeprefix(f"{row['channel_id']}:")) for key, row in seen.items()]
        await self._changes.catch_up(keys)

    async def _announce(self, plan: Plan, seen: dict[str, Document]) -> None:
        placements = plan.placements
        notices = [notice for placement in placements for notice in _notices(placement)]
        notices += [notice for head in plan.heads for notice in _head_notices(head)]
        since = self._clock() - ANNOUNCED_AGAIN
        for row in seen.values():
            if row["received_at"] > since and row.get("conversation_id"):
                notices.append(_message_notice(row, None))
        if notices:
            await self._feed.append(notices)
            has_files = any(line.files for placement in placements for line in placement.lines)
            await self._doorbell.ring("react", *(("fetch",) if has_files else ()))


def _sighting(arrival: Arrival, now: datetime) -> Sighting:
    event = arrival.event
    if event.address is None:
        raise RapportError("An event without an address concerns nobody.", code="no_address")
    return Sighting(
        address=event.address,
        provider=arrival.provider,
        at=believable(event.occurred_at, now),
        person=event.person,
        inbound=isinstance(event, MessageReceived) and not event.echo,
        referral=event.referral if isinstance(event, MessageReceived | ProfileSeen) else None,
        former=event.former_external_id if isinstance(event, ProfileSeen) else None,
    )


def _thread_keys(line: Line) -> list[str]:
    event = line.event
    ids = mail_ids(event) if isinstance(event, MessageReceived) else []
    return [thread_key(line.arrival.channel_id, each) for each in ids]


def _clocks_of(placement: Placement) -> tuple[Document, Document | None]:
    """A conversation as it was read, or is to be, and its clocks after this batch."""
    if placement.created:
        return {"_id": placement.row["_id"]}, placement.row.get("sla")
    return placement.row, clocks_of(placement.update, placement.row)


def _notices(placement: Placement) -> list[Notice]:
    row = placement.row
    kind = "conversation.created" if placement.created else "conversation.updated"
    owner = row.get("assignee_id")
    about = {"conversation_id": row["_id"], "profile_id": row["profile_id"], "assignee_id": owner}
    rows = [line.row for line in placement.lines] + placement.system
    return [Notice(kind, about, row["channel_id"]), *(_message_notice(each, owner) for each in rows)]


def _head_notices(head: HeadEffect) -> list[Notice]:
    owner = head.row.get("assignee_id")
    data = {"conversation_id": head.row["_id"], "profile_id": head.row["profile_id"], "assignee_id": owner}
    about = Notice("conversation.updated", data, head.row["channel_id"])
    return [about, *(_message_notice(row, owner) for row in head.system)]


def _message_notice(row: Document, owner: str | None) -> Notice:
    """`owner`: whose conversation it is, so that a list of somebody else's need not be read anew."""
    data = {
        "message_id": row["_id"], "conversation_id": row["conversation_id"], "direction": row["direction"],
        "assignee_id": owner,
    }  # fmt: skip
    return Notice("message.created", data, row["channel_id"])
