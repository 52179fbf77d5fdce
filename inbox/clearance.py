"""Which rows of a claim may go out now, and as what: sources and gates are asked, in bulk, on fresh data."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from base.clock import Clock
from base.duty import MAX_CRASHES
from base.mongo import Document, UpdateOne
from channels.adapter import Account
from channels.vocabulary import Address, OutboundMessage
from inbox import policy
from inbox.claim import Claim, Ready
from inbox.gates import Facts, stopped, withdrawn
from inbox.lines import campaign_line
from inbox.models import send_of
from inbox.quota import with_quota
from inbox.receipts import Receipts
from inbox.results import accepted, deferred, ended, given_up_waiting
from inbox.sources import Answer, Defer, Prepared, SendSource, Skip
from inbox.store import ConversationStore, MessageStore, SendStore
from profiles.consent import Consent, Verdict
from profiles.models import Identity
from profiles.store import ProfileStore

log = logging.getLogger(__name__)


class Clearance:
    """Asks all gates but the rate, which is the number of rows that are claimed at all."""

    def __init__(
        self, sends: SendStore, messages: MessageStore, conversations: ConversationStore, profiles: ProfileStore,
        consent: Consent, receipts: Receipts, sources: Mapping[str, SendSource], clock: Clock,
    ) -> None:  # fmt: skip
        self._sends = sends
        self._messages = messages
        self._conversations = conversations
        self._profiles = profiles
        self._consent = consent
        self._receipts = receipts
        self._sources = sources
        self._clock = clock

    async def cleared(self, claim: Claim) -> list[Ready]:
        """The rows that may go, each with its message and its line for the agents. The others are settled."""
        ready = await self._judged(claim)
        await self._put_lines(claim, ready)
        return ready

    async def still_wanted(self, claim: Claim, chunk: Sequence[Ready]) -> list[Ready]:
        """The last look before the calls: without those who said no since the gates were asked."""
        marketing = [each.row for each in chunk if each.row["class"] == "marketing"]
        if not marketing:
            return list(chunk)
        consents = await self._consents(marketing)
        said_no = {row["_id"]: no for row in marketing if (no := withdrawn(consents.get(row["_id"])))}
        if said_no:
            now = self._clock()
            turned = [each.row for each in chunk if each.row["_id"] in said_no]
            await self._sends.settle([_turned_away(claim, row, said_no[row["_id"]], now) for row in turned])
        return [each for each in chunk if each.row["_id"] not in said_no]

    async def _judged(self, claim: Claim) -> list[Ready]:
        claim.judged_at = time.monotonic()
        now = self._clock()
        changes: list[UpdateOne] = []
        rows = await self._not_yet_decided(claim, now, changes)
        answers = await self._answers(rows, now)
        identities = await self._identities(claim, rows)
        consents = await self._consents(rows)
        ready = []
        for row in rows:
            answer = answers[row["_id"]]
            if isinstance(answer, Prepared):
                identity = identities.get(row["identity_id"])
                message = _addressed(answer.message, row, identity, claim.account)
                facts = Facts(identity, consents.get(row["_id"]), claim.adapter.capabilities, claim.channel)
                gate = stopped(row["class"], message, facts, now)
                if gate is None:
                    ready.append(Ready(row, message))
                    continue
                answer = gate
            changes.append(_turned_away(claim, row, answer, now))
        await self._sends.settle(changes)
        return ready

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

    async def _answers(self, rows: Sequence[Document], now: datetime) -> dict[str, Answer]:
        answers: dict[str, Answer] = {}
        by_kind: dict[str, list[Document]] = {}
        for row in rows:
            by_kind.setdefault(row["source"]["kind"], []).append(row)
        for kind, group in by_kind.items():
            answers |= await self._prepared(kind, group, now)
        return answers

    async def _prepared(self, kind: str, rows: Sequence[Document], now: datetime) -> dict[str, Answer]:
        """The source's answers; where it fails, halved until the bad one stands alone."""
        source = self._sources.get(kind)
        if source is None:
            wait = Defer(policy.later(now, 60), "no_source", "Nobody here knows how to write this message yet.")
            return {row["_id"]: wait for row in rows}
        try:
            answers = await source.prepare([send_of(row) for row in rows], now)
            return {row["_id"]: answers[row["_id"]] for row in rows}
        except Exception as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                first = await self._prepared(kind, rows[:middle], now)
                return first | await self._prepared(kind, rows[middle:], now)
            log.exception("a send could not be prepared", extra={"send": rows[0]["_id"]})
            return {rows[0]["_id"]: _unprepared(rows[0], error, now)}

    async def _consents(self, rows: Sequence[Document]) -> dict[str, Verdict]:
        pairs = {row["_id"]: (row["identity_id"], _purpose(row)) for row in rows if row["class"] == "marketing"}
        if not pairs:
            return {}
        verdicts = await self._consent.allowed(list(dict.fromkeys(pairs.values())))
        return {send_id: verdicts[pair] for send_id, pair in pairs.items() if pair in verdicts}

    async def _identities(self, claim: Claim, rows: Sequence[Document]) -> dict[str, Identity]:
        found = await self._profiles.identities({row["identity_id"] for row in rows})
        return await with_quota(self._sends, claim.adapter.capabilities, found)

    async def _put_lines(self, claim: Claim, ready: Sequence[Ready]) -> None:
        """What a campaign sends is shown to agents in the person's latest conversation, or waits for one."""
        ours = [each for each in ready if not each.row.get("message_id")]
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


def _turned_away(claim: Claim, row: Document, answer: Skip | Defer, now: datetime) -> UpdateOne:
    reason: Document = {"code": answer.code, "sentence": answer.sentence, "detail": None}
    if isinstance(answer, Defer):
        claim.waiting.append(row["_id"])
        return deferred(row, reason, answer.until, now)
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
