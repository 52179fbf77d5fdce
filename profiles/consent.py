"""May we write here, for this purpose, now. Acts are added to a ledger per (address, purpose), never changed.

Effective is the last explicit act of the person; staff, imports and programs may record a denial but never lift one.
Nobody has to have said yes unless a purpose asks for it (`needs_yes`); suppression comes before all purposes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Session
from profiles.models import Identity, NewEvent
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore

#: Acts of these sources are not the person's own.
NOT_THE_PERSON = frozenset({"staff", "import", "api", "journey", "provider_failure"})
#: A denial of this one covers every purpose of the class marketing.
MARKETING = "marketing"
#: Purposes that nobody can be asked to consent to.
SERVICE = frozenset({"service", "transactional"})

_SENTENCES = {
    "unknown_identity": "This address is not known any more.",
    "suppressed": "This address is suppressed: {detail}.",
    "unreachable": "The person left or blocked this channel.",
    "denied": "The person does not want such messages here.",
    "no_consent": "The person has not agreed to such messages here.",
}


@dataclass(frozen=True)
class Verdict:
    """Whether it may be sent. `reason` is a stable code, `sentence` for a person."""

    ok: bool
    reason: str | None = None
    sentence: str | None = None


@dataclass(frozen=True)
class ConsentAct:
    """Somebody said yes or no. `key` makes it unique: the same act again changes nothing.

    `source`: keyword, unsubscribe_link, preference_centre, form, channel, double_opt_in, staff, import, api …
    """

    identity_id: str
    purpose: str
    granted: bool
    source: str
    at: datetime | None = None
    proof: str | None = None
    wording: str | None = None
    by: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class State:
    """What is effective for one address and purpose."""

    granted: bool
    at: datetime


def effective(acts: Iterable[Mapping[str, Any]]) -> State | None:
    """The state after these acts of one address and purpose, given in the order in which they were done. Pure."""
    state: State | None = None
    for act in acts:
        lifts = state is not None and not state.granted and act["granted"]
        if lifts and not act["by_person"]:
            continue
        state = State(act["granted"], act["at"])
    return state


def judge(
    identity: Identity | None, purpose: str, states: Mapping[str, State], needs_yes: Collection[str] = ()
) -> Verdict:
    """Whether this address may be written to for this purpose. `states`: purpose → what is effective. Pure."""
    if identity is None:
        return _no("unknown_identity")
    if identity.suppressed is not None:
        return _no("suppressed", identity.suppressed.reason)
    if not identity.reachable:
        return _no("unreachable")
    if purpose in SERVICE:
        return Verdict(True)
    own, general = states.get(purpose), states.get(MARKETING)
    if own is not None and not own.granted:
        return _no("denied")
    if general is not None and not general.granted and not (own is not None and own.at > general.at):
        return _no("denied")
    if purpose in needs_yes and own is None:
        return _no("no_consent")
    return Verdict(True)


def _no(reason: str, detail: str = "") -> Verdict:
    return Verdict(False, reason, _SENTENCES[reason].format(detail=detail))


class Consent:
    """Answers and records. Whoever sends asks here, in bulk, at the moment of sending."""

    def __init__(
        self, profiles: ProfileStore, consents: ConsentStore, events: EventStore, database: Database, clock: Clock,
        *, needs_yes: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._profiles = profiles
        self._rows = consents
        self._events = events
        self._database = database
        self._clock = clock
        self._needs_yes = frozenset(needs_yes)

    async def allowed(
        self, pairs: Sequence[tuple[str, str]], identities: Mapping[str, Identity] | None = None
    ) -> dict[tuple[str, str], Verdict]:
        """(identity id, purpose) → verdict, for all pairs in two reads. `identities`: as they were read just now."""
        if identities is None:
            identities = await self._profiles.identities(identity_id for identity_id, _ in pairs)
        purposes = {purpose for _, purpose in pairs} - SERVICE
        states: dict[str, dict[str, State]] = {}
        if purposes:
            keys = {identity.address_key for identity in identities.values()}
            states = _states(await self._rows.at(keys, {*purposes, MARKETING}))
        return {pair: self._judged(identities.get(pair[0]), pair[1], states) for pair in pairs}

    async def act(self, act: ConsentAct) -> State | None:
        """Add to the ledger; what is effective then. One transaction with `consent.granted` or `consent.denied`, which
        is told when it changes what is effective. May run twice with a `key`. Raises `NotFound`."""
        identity = await self._profiles.identity(act.identity_id)
        if identity is None:
            raise NotFound("There is no such address.")
        owner = (await self._profiles.current([identity.profile_id]))[identity.profile_id]
        row = self._row(act, identity, owner)

        async def work(session: Session) -> State | None:
            await self._profiles.locked(owner, session)
            before = effective(await self._rows.at([identity.address_key], [act.purpose], session))
            await self._rows.add(row, session)
            after = effective(await self._rows.at([identity.address_key], [act.purpose], session))
            if after is not None and (before is None or before.granted != after.granted):
                await self._events.record([_told(row, identity, owner)], session)
            await self._summarise(owner, session)
            return after

        try:
            result: State | None = await self._database.in_transaction(work)
            return result
        except DuplicateKeyError:
            return effective(await self._rows.at([identity.address_key], [act.purpose]))

    async def suppress(self, identity_id: str, reason: str, at: datetime | None = None) -> None:
        """Nothing goes to this address any more (bounced, complained, blocked …). May run twice."""
        identity = await self._profiles.identity(identity_id)
        if identity is not None:
            found = await self._profiles.identity_rows.suppress(identity.address_key, reason, at or self._clock())
            await self._profiles.refresh_reach(found)

    async def lift(self, identity_id: str) -> None:
        """A person at the desk decided that the address is good again."""
        identity = await self._profiles.identity(identity_id)
        if identity is not None:
            await self._profiles.refresh_reach(await self._profiles.identity_rows.lift(identity.address_key))

    async def left(self, identity_id: str, at: datetime, *, left: bool = True) -> bool:
        """The person blocked or left the channel, or came back; whether that is news. Tells `contact.left` or
        `contact.returned`."""
        identity = await self._profiles.identity(identity_id)
        if identity is None:
            return False
        owner = (await self._profiles.current([identity.profile_id]))[identity.profile_id]
        name = "contact.left" if left else "contact.returned"
        event = NewEvent(name, f"{name}:{identity_id}:{at.isoformat()}", at, owner, identity_id, identity.channel_id)

        async def work(session: Session) -> bool:
            changed = await self._profiles.identity_rows.set_reachable(identity_id, not left, at, session)
            if changed:
                await self._events.record([event], session)
            return changed

        try:
            news: bool = await self._database.in_transaction(work)
        except DuplicateKeyError:
            news = False
        await self._profiles.refresh_reach([owner])
        return news

    async def summarise(self, profile_id: str) -> None:
        """Write on the profile anew what is effective at its addresses (they came or went with a merge)."""

        async def work(session: Session) -> None:
            row = await self._profiles.locked(profile_id, session)
            if row is not None:
                await self._summarise(row["_id"], session)

        await self._database.in_transaction(work)

    async def ledger(self, profile_id: str, limit: int = 200) -> list[Document]:
        """All acts of one person, newest first."""
        return await self._rows.ledger(profile_id, limit)

    def _judged(self, identity: Identity | None, purpose: str, states: Mapping[str, Mapping[str, State]]) -> Verdict:
        return judge(identity, purpose, states.get(identity.address_key, {}) if identity else {}, self._needs_yes)

    def _row(self, act: ConsentAct, identity: Identity, owner: str) -> Document:
        row: Document = {
            "_id": new_id("log"), "address_key": identity.address_key, "identity_id": identity.id, "profile_id": owner,
            "channel": identity.channel_label, "purpose": act.purpose, "granted": act.granted, "source": act.source,
            "by_person": act.source not in NOT_THE_PERSON, "proof": act.proof, "wording": act.wording, "by": act.by,
            "at": act.at or self._clock(), "recorded_at": self._clock(),
        }  # fmt: skip
        return row if act.key is None else {**row, "dedupe": act.key}

    async def _summarise(self, profile_id: str, session: Session) -> None:
        """Write on the profile what is effective at each of its addresses, for rules."""
        identities = await self._profiles.identity_rows.of_profiles([profile_id])
        labels = {identity.address_key: identity.channel_label for identity in identities[profile_id]}
        states = _states(await self._rows.at(labels, session=session))
        entries = [
            {"address_key": key, "channel": labels[key], "purpose": purpose,
             "state": "granted" if state.granted else "denied", "at": state.at}
            for key, purposes in sorted(states.items()) for purpose, state in sorted(purposes.items())
        ]  # fmt: skip
        await self._profiles.write(profile_id, {"consents": entries}, session)


def _states(acts: Iterable[Document]) -> dict[str, dict[str, State]]:
    """Address → purpose → what is effective; acts in their order."""
    grouped: dict[tuple[str, str], list[Document]] = {}
    for act in acts:
        grouped.setdefault((act["address_key"], act["purpose"]), []).append(act)
    result: dict[str, dict[str, State]] = {}
    for (address_key, purpose), theirs in grouped.items():
        state = effective(theirs)
        if state is not None:
            result.setdefault(address_key, {})[purpose] = state
    return result


def _told(row: Document, identity: Identity, owner: str) -> NewEvent:
    name = "consent.granted" if row["granted"] else "consent.denied"
    properties = {"purpose": row["purpose"], "channel": row["channel"], "source": row["source"], "by": row["by"]}
    return NewEvent(
        name, f"{name}:{row['_id']}", row["at"], owner, identity.id, identity.channel_id, properties=properties
    )
