"""One claim of sends through the gates to the provider, and what the provider said written down.

`handed` is written before the call and the result after it, both only while the lease is ours. So whatever dies when,
a row says how far it had come: `claimed` has not been called, `handed` may have been.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from base.clock import Clock
from base.duty import MAX_CRASHES, beating
from base.mongo import UNAVAILABLE, Document, UpdateOne
from channels.adapter import Account, Adapter
from channels.capabilities import Idempotency
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.store import Channel, ChannelStore
from channels.vocabulary import Address, OutboundMessage, SendReceipt
from inbox import policy
from inbox.enclosures import Enclosures
from inbox.flight import Flight, Ready, Result
from inbox.gates import Facts, barred, stopped, withdrawn
from inbox.lines import campaign_line
from inbox.models import Send, send_of
from inbox.quota import with_quota
from inbox.receipts import Receipts
from inbox.results import accepted, deferred, ended, given_up_waiting, late_acceptance, released, waiting_for_echo
from inbox.sources import Answer, Defer, Prepared, SendSource, Skip
from inbox.store import ConversationStore, MessageStore, SendStore
from profiles.consent import Consent, Verdict
from profiles.models import Identity
from profiles.store import ProfileStore

log = logging.getLogger(__name__)

#: (kind of source, its sends, now) → what it objects, by send id.
Ask = Callable[[str, Sequence[Send], datetime], Awaitable[Mapping[str, Skip | Defer]]]

#: Calls of a provider under way at once for one account.
IN_FLIGHT = 50
#: A call that takes longer is given up; what became of it is then uncertain.
CALL_TIMEOUT_S = 60.0
#: How long the answer of a provider is held for a store that is away.
RECORD_PATIENCE_S = 60.0
#: What the gates said is believed for so long. A slow provider must not get what was paid or refused meanwhile.
JUDGED_FOR_S = 10.0
#: Nothing is handed over in the last moments of a lease.
LEASE_MARGIN_S = 3.0


@dataclass
class Claim:
    """Rows of one lane under one lease."""

    rows: list[Document]
    channel: Channel
    account: Account
    adapter: Adapter
    lease_s: int
    #: When the claim was made, by the monotonic clock.
    begun: float
    #: Until when the lease is certainly ours; renewed by a heartbeat.
    alive_until: float = 0.0
    #: When the gates were asked.
    judged_at: float = 0.0
    #: Why the rest of the claim goes back: the account was told to wait, or is paused.
    halted: str | None = None
    accepted: int = 0
    calls: int = 0
    last_error: str | None = None
    #: Sends that came to a result whose consequences are still to be drawn.
    results: list[str] = field(default_factory=list)
    #: Sends that wait to be tried again.
    waiting: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive_until = self.begun + self.lease_s

    @property
    def lease(self) -> str:
        """The token of the claim."""
        return str(self.rows[0]["lease"])

    @property
    def rate_per_s(self) -> float:
        """Messages per second this account may send."""
        return self.channel.rate_per_s or self.adapter.capabilities.rate_per_s

    def lives_for(self, left_s: float) -> None:
        """The lease is ours for so long. What is on its way when it ends is still recorded."""
        self.alive_until = time.monotonic() + left_s

    def fresh(self) -> bool:
        """Whether what the gates said still counts. For the first calls it always does, or none would ever begin."""
        return self.calls == 0 or time.monotonic() < self.judged_at + JUDGED_FOR_S

    def ours(self) -> bool:
        """Whether a call may still be begun. By the monotonic clock, which goes on while the process is stopped."""
        return time.monotonic() < self.alive_until - LEASE_MARGIN_S


class Handover:
    """Carries claims out. Has no state of its own besides counters of faults per account."""

    def __init__(
        self, sends: SendStore, messages: MessageStore, conversations: ConversationStore, channels: ChannelStore,
        profiles: ProfileStore, consent: Consent, receipts: Receipts, enclosures: Enclosures,
        sources: Mapping[str, SendSource], clock: Clock, *, in_flight: int = IN_FLIGHT,
        call_timeout_s: float = CALL_TIMEOUT_S, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._sends = sends
        self._messages = messages
        self._conversations = conversations
        self._channels = channels
        self._profiles = profiles
        self._consent = consent
        self._receipts = receipts
        self._enclosures = enclosures
        self._sources = sources
        self._clock = clock
        self._in_flight = in_flight
        self._call_timeout_s = call_timeout_s
        self._rng = rng or random.Random()
        self._faults: dict[str, int] = {}

    async def carry(self, claim: Claim) -> None:
        """Take every row of the claim to a result, or back. Results are listed in the claim."""
        ids, lease = [row["_id"] for row in claim.rows], claim.lease
        async with beating(lambda: self._sends.renew(ids, lease), claim.lease_s, claim.lives_for):
            ready = await self._gated(claim)
            await self._put_lines(claim, ready)
            await self._drive(claim, deque(ready))

    # -- the gates ---------------------------------------------------------------------------------------------

    async def _gated(self, claim: Claim) -> list[Ready]:
        claim.judged_at = time.monotonic()
        now = self._clock()
        changes: list[UpdateOne] = []
        rows = await self._not_yet_decided(claim, now, changes)
        identities = await self._identities(claim, rows)
        no = await self._barred(rows, identities)
        answers = await self._answers(rows, no, now)
        ready = []
        known: dict[str, object] = {}
        for row in rows:
            answer = answers[row["_id"]]
            if isinstance(answer, Prepared):
                answer = no.get(row["_id"], answer)
            if isinstance(answer, Prepared):
                identity = identities.get(row["identity_id"])
                message = _addressed(answer.message, row, identity, claim.account)
                able = claim.adapter.capabilities_for(message.to.external_id)
                gate = stopped(message, Facts(identity, able, claim.channel), now)
                if gate is None:
                    ready.append(Ready(row, message))
                    known[row["_id"]] = answer.known
                    continue
                answer = gate
            changes.append(_turned_away(claim, row, answer, now))
        rules = await self._by_kind([each.row for each in ready], partial(self._ruled, known), now)
        changes += [_turned_away(claim, each.row, rules[each.row["_id"]], now) for each in ready
                    if each.row["_id"] in rules]  # fmt: skip
        await self._sends.settle(changes)
        return [each for each in ready if each.row["_id"] not in rules]

    async def _not_yet_decided(self, claim: Claim, now: datetime, changes: list[UpdateOne]) -> list[Document]:
        """Without rows that killed their workers, and those of which a receipt proves that they went out."""
        heard = await self._receipts.heard_of([row for row in claim.rows if row.get("uncertain")])
        rest = []
        for row in claim.rows:
            if row["_id"] in heard:
                changes.append(accepted(row, heard[row["_id"]], now))
                claim.results.append(row["_id"])
            elif row["attempts"] > MAX_CRASHES:
                changes.append(given_up_waiting(row, now))
                claim.results.append(row["_id"])
            else:
                rest.append(row)
        return rest

    async def _barred(self, rows: Sequence[Document], identities: Mapping[str, Identity]) -> dict[str, Skip]:
        """Those whose address must not be written to, with the reason."""
        consents = await self._consents(rows, identities)
        return {
            row["_id"]: no
            for row in rows
            if (no := barred(row["class"], row["channel_id"], identities.get(row["identity_id"]),
                             consents.get(row["_id"])))
        }  # fmt: skip

    async def _answers(
        self, rows: Sequence[Document], no: Mapping[str, Skip], now: datetime
    ) -> dict[str, Answer]:  # fmt: skip
        answers: dict[str, Answer] = {}
        by_kind: dict[str, list[Document]] = {}
        for row in rows:
            by_kind.setdefault(row["source"]["kind"], []).append(row)
        for kind, group in by_kind.items():
            answers |= await self._prepared(kind, group, no, now)
        return answers

    async def _prepared(
        self, kind: str, rows: Sequence[Document], no: Mapping[str, Skip], now: datetime
    ) -> dict[str, Answer]:  # fmt: skip
        """The source's answers; where it fails, halved until the bad one stands alone."""
        source = self._sources.get(kind)
        if source is None:
            wait = Defer(policy.later(now, 60), "no_source", "Nobody here knows how to write this message yet.")
            return {row["_id"]: wait for row in rows}
        try:
            theirs = {row["_id"]: no[row["_id"]] for row in rows if row["_id"] in no}
            answers = await source.prepare([send_of(row) for row in rows], theirs, now)
            return {row["_id"]: answers[row["_id"]] for row in rows}
        except Exception as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                first = await self._prepared(kind, rows[:middle], no, now)
                return first | await self._prepared(kind, rows[middle:], no, now)
            log.exception("a send could not be prepared", extra={"send": rows[0]["_id"]})
            return {rows[0]["_id"]: _unprepared(rows[0], error, now)}

    async def _consents(
        self, rows: Sequence[Document], identities: Mapping[str, Identity] | None = None
    ) -> dict[str, Verdict]:
        pairs = {row["_id"]: (row["identity_id"], _purpose(row)) for row in rows if row["class"] == "marketing"}
        if not pairs:
            return {}
        verdicts = await self._consent.allowed(list(dict.fromkeys(pairs.values())), identities)
        return {send_id: verdicts[pair] for send_id, pair in pairs.items() if pair in verdicts}

    async def _identities(self, claim: Claim, rows: Sequence[Document]) -> dict[str, Identity]:
        found = await self._profiles.identities({row["identity_id"] for row in rows})
        found |= {row["identity_id"]: stranger_of(row) for row in rows if row.get("stranger")}
        return await with_quota(self._sends, claim.adapter.capabilities, found)

    async def _put_lines(self, claim: Claim, ready: Sequence[Ready]) -> None:
        """What a campaign sends is shown to agents in the person's latest conversation, or waits for one."""
        ours = [each for each in ready if shows_line(each.row)]
        if not ours:
            return
        pairs = {(each.row["identity_id"], each.row["channel_id"]) for each in ours}
        homes = await self._conversations.latest_of(pairs)
        now = self._clock()
        lines: dict[bool, list[Document]] = {False: [], True: []}
        for each in ours:
            home = homes.get((each.row["identity_id"], each.row["channel_id"]))
            lines[each.row["tries"] > 0].append(campaign_line(each.row, each.message, home, now))
        for again, rows in lines.items():
            if rows:
                await self._messages.put_lines(rows, again=again)

    # -- the calls ---------------------------------------------------------------------------------------------

    async def _drive(self, claim: Claim, queue: deque[Ready]) -> None:
        """Sends are made ready, are on their way and are written down side by side, until the queue is empty. When our
        store fails, what is on its way is still recorded."""
        flight = Flight(self._in_flight)
        feeding = asyncio.create_task(self._feed(claim, queue, flight))
        feeding.add_done_callback(lambda _: flight.complete())
        try:
            while landed := await flight.landed():
                await self._record(claim, landed)
            await feeding
        finally:
            feeding.cancel()
            flight.cancel()

    async def _feed(self, claim: Claim, queue: deque[Ready], flight: Flight) -> None:
        """Begin calls as there is room for them. What is left when our store fails is due again when the lease ends."""
        while queue:
            free = await flight.room(len(queue))
            if claim.halted or not claim.ours() or not claim.fresh():
                await self._sends.settle([released(each.row, self._clock()) for each in queue])
                return
            chunk = [queue.popleft() for _ in range(free)]
            for each in await self._handed(claim, chunk):
                claim.calls += 1
                flight.begin(each, self._call(claim, each))

    async def _handed(self, claim: Claim, chunk: Sequence[Ready]) -> list[Ready]:
        """Write `handed`, then look once more whether anything speaks against it: nothing lies between this look and
        the call."""
        now = self._clock()
        ours = await self._sends.hand_over([each.row for each in chunk], now)
        chunk = [each for each in chunk if each.row["_id"] in ours]
        for each in chunk:
            row = each.row
            row |= {"tries": row["tries"] + 1, "handed_at": now, "first_handed_at": row.get("first_handed_at") or now}
        objections = await self._last_look([each.row for each in chunk], now)
        if objections:
            turned = [each.row for each in chunk if each.row["_id"] in objections]
            chunk = [each for each in chunk if each.row["_id"] not in objections]
            uncalled = [_turned_away(claim, row, objections[row["_id"]], now, tries=row["tries"] - 1) for row in turned]
            await self._sends.settle(uncalled)
        if claim.halted:  # an answer that came in the meantime concerns the whole account
            await self._sends.settle([released(each.row, now, tries=each.row["tries"] - 1) for each in chunk])
            return []
        return chunk

    async def _last_look(self, rows: Sequence[Document], now: datetime) -> dict[str, Skip | Defer]:
        """What speaks against a call at this very moment: a reason of the send's source, or the person's no."""
        looks = self._by_kind(rows, self._looked, now)
        consents, objections = await asyncio.gather(self._consents(rows), looks)
        return objections | {send_id: no for send_id, verdict in consents.items() if (no := withdrawn(verdict))}

    async def _by_kind(self, rows: Sequence[Document], ask: Ask, now: datetime) -> dict[str, Skip | Defer]:
        """What the sources of these rows object, each asked for its own."""
        by_kind: dict[str, list[Document]] = {}
        for row in rows:
            by_kind.setdefault(row["source"]["kind"], []).append(row)
        found = await asyncio.gather(*(self._objections(kind, group, ask, now) for kind, group in by_kind.items()))
        return {send_id: answer for each in found for send_id, answer in each.items()}

    async def _looked(self, kind: str, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        return await self._sources[kind].last_look(sends, now)

    async def _ruled(
        self, known: Mapping[str, object], kind: str, sends: Sequence[Send], now: datetime
    ) -> Mapping[str, Skip | Defer]:
        return await self._sources[kind].house_rules(sends, now, known)

    async def _objections(
        self, kind: str, rows: Sequence[Document], ask: Ask, now: datetime
    ) -> dict[str, Skip | Defer]:
        try:
            return dict(await ask(kind, [send_of(row) for row in rows], now))
        except UNAVAILABLE:
            raise
        except Exception as error:
            log.exception("a source cannot say whether its sends may go", extra={"kind": kind})
            return {row["_id"]: _unprepared(row, error, now) for row in rows}

    async def _call(self, claim: Claim, ready: Ready) -> Result:
        if not claim.ours():
            return None
        try:
            async with asyncio.timeout(self._call_timeout_s):
                able = claim.adapter.capabilities
                message = await self._enclosures.filled(ready.message, claim.account, able)
                call = claim.adapter.react if message.reaction is not None else claim.adapter.send
                return await call(claim.account, message)
        except SendFailed as failed:
            return failed
        except TimeoutError:
            return SendFailed(Failure.UNCERTAIN, f"No answer within {self._call_timeout_s:.0f} s.")
        except Exception as error:
            # An adapter's bug: before or after the provider acted, nobody knows.
            log.exception("an adapter broke its contract", extra={"provider": claim.channel.provider})
            return SendFailed(Failure.UNCERTAIN, f"The channel's program failed ({type(error).__name__}).")

    # -- the record --------------------------------------------------------------------------------------------

    async def _record(self, claim: Claim, outcomes: Iterable[tuple[Ready, Result]]) -> None:
        now = self._clock()
        changes: list[UpdateOne] = []
        taken: list[tuple[Document, SendReceipt]] = []
        for ready, result in outcomes:
            if isinstance(result, SendReceipt):
                changes.append(accepted(ready.row, [], now, result, ready.message))
                taken.append((ready.row, result))
                claim.results.append(ready.row["_id"])
                claim.accepted += 1
                self._faults[claim.channel.id] = 0
            elif isinstance(result, SendFailed):
                changes.append(self._failed(claim, ready, result, now))
                await self._account_consequences(claim, result)
        if await self._written_down(changes) < len(changes):
            # We were paused beyond our lease and another worker judged these rows. Its word stands, except that
            # "nobody knows" gives way to knowledge.
            await self._sends.write([late_acceptance(row, receipt, now) for row, receipt in taken])

    async def _written_down(self, changes: Sequence[UpdateOne]) -> int:
        """The provider has answered: its word is worth waiting for a store that is away for a moment."""
        end = time.monotonic() + RECORD_PATIENCE_S
        while True:
            try:
                return await self._sends.settle(changes)
            except UNAVAILABLE as error:
                if time.monotonic() > end:
                    raise
                log.warning("a result waits for the store", extra={"error": type(error).__name__})
                await asyncio.sleep(0.5)

    def _failed(self, claim: Claim, ready: Ready, failed: SendFailed, now: datetime) -> UpdateOne:
        row = ready.row
        next_step = policy.after(attempt_of(row, failed, claim.adapter), now, self._rng)
        uncertain = failed.failure is Failure.UNCERTAIN
        if isinstance(next_step, policy.Retry):
            claim.waiting.append(row["_id"])
            return deferred(row, reason_of(failed), next_step.at, now, uncertain=uncertain, to=ready.message.to)
        if isinstance(next_step, policy.AwaitEcho):
            return waiting_for_echo(row, next_step.until, now)
        claim.results.append(row["_id"])
        return ended(row, next_step.state, reason_of(failed), now, to=ready.message.to)

    async def _account_consequences(self, claim: Claim, failed: SendFailed) -> None:
        """What concerns the account follows at once: nothing more is handed over that would fail as well."""
        claim.last_error = str(failed)
        if failed.consequence.pause_account:
            claim.halted = "account_paused"
            await self._channels.pause(claim.channel.id, failed.failure.value, failed.detail or str(failed))
        elif failed.failure is Failure.RATE_LIMITED:
            claim.halted = "rate_limited"
            await self._channels.hold_back(claim.channel.id, failed.retry_after_s or 1.0, claim.rate_per_s)
        elif failed.failure is Failure.TEMPORARY:
            self._faults[claim.channel.id] = self._faults.get(claim.channel.id, 0) + 1
            rest = max(policy.rest_s(self._faults[claim.channel.id]), failed.retry_after_s or 0.0)
            if rest:
                claim.halted = "resting"
                await self._channels.hold_back(claim.channel.id, rest, claim.rate_per_s)


def attempt_of(row: Document, failed: SendFailed, adapter: Adapter | None) -> policy.Attempt:
    """What the policy has to know of a hand-over that did not end in an acceptance."""
    return policy.Attempt(
        failure=failed.failure,
        send_class=row["class"],
        idempotency=adapter.capabilities.idempotency if adapter else Idempotency.NONE,
        tries=row["tries"],
        first_handed_at=row["first_handed_at"],
        handed_at=row["handed_at"],
        retry_after_s=failed.retry_after_s,
        was_uncertain=bool(row.get("uncertain")),
        if_unknown=row["content"].get("if_unknown"),
    )


def shows_line(row: Document) -> bool:
    """Whether a send is a message of its own that was not written down before."""
    return not (row.get("message_id") or row.get("stranger") or row["source"]["kind"] == "reaction")


def stranger_of(row: Document) -> Identity:
    """A mail address that belongs to no customer, as the gates see it: of a colleague who tries a message out."""
    return Identity.model_validate(
        {
            "_id": row["identity_id"], "key": row["identity_id"], "address_key": f"email:{row['stranger']}",
            "kind": "email", "strength": "weak", "profile_id": "", "value": row["stranger"],
            "first_seen_at": row["planned_at"],
        }
    )  # fmt: skip


def reason_of(failed: SendFailed) -> Document:
    """Why it failed: our sentence, and the provider's own words."""
    words = " ".join(part for part in (failed.provider_code, failed.detail) if part)[:1000]
    return {"code": failed.failure.value, "sentence": CONSEQUENCES[failed.failure].sentence, "detail": words or None}


def _turned_away(
    claim: Claim, row: Document, answer: Skip | Defer, now: datetime, *, tries: int | None = None
) -> UpdateOne:  # fmt: skip
    """`tries`: how many calls were made, when the row says already that this one was."""
    reason: Document = {"code": answer.code, "sentence": answer.sentence, "detail": None}
    if isinstance(answer, Defer):
        claim.waiting.append(row["_id"])
        return deferred(row, reason, answer.until, now, tries=tries)
    claim.results.append(row["_id"])
    return ended(row, "skipped", reason, now)


def _unprepared(row: Document, error: Exception, now: datetime) -> Skip | Defer:
    """A source that fails for one send is asked again a few times; then the send ends, so that its run goes on."""
    if row.get("faults", 0) >= policy.MAX_TRIES:
        return Skip("not_prepared", f"This message could not be written ({type(error).__name__}).")
    wait = policy.backoff_s(row.get("faults", 0) + 1, None, random.Random())
    return Defer(policy.later(now, wait), "not_prepared", "This message could not be written yet; we try again.")


def _addressed(message: OutboundMessage, row: Document, identity: Identity | None, account: Account) -> OutboundMessage:
    """The message under its own key, to the address that its identity has today, with its fixed Message-ID."""
    external_id = row.get("group_id") or (identity and (identity.external_id or identity.value)) or "?"
    to = Address(channel_id=row["channel_id"], external_id=external_id, handle=identity.handle if identity else None)
    change: dict[str, object] = {"key": row["send_key"], "to": to}
    if message.mail is not None and message.mail.message_id is None:
        change["mail"] = message.mail.model_copy(update={"message_id": f"<{row['send_key']}@{_mail_domain(account)}>"})
    return message.model_copy(update=change)


def _mail_domain(account: Account) -> str:
    domain = str(getattr(account.settings, "from_address", "") or "").rpartition("@")[2].strip("> ").lower()
    return domain or "rapport.invalid"


def _purpose(row: Document) -> str:
    return str(row["content"].get("purpose") or "marketing")
