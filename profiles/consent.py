"""May we write here, for this purpose, now. Acts are added to a ledger per (address, purpose), never changed.

What follows from them is decided in `profiles.verdicts`; suppression comes before all purposes. Nobody has to have said
yes unless the purpose is a consent group with the default `opt_in`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from base.clock import Clock
from base.errors import NotFound, Refused
from base.ids import new_id
from base.mongo import Database, Document, DuplicateKeyError, Session
from profiles.consent_groups import ConsentGroup, ConsentGroups, spoken
from profiles.models import NO_ADDRESS, SHUT_OUT, Identity, NewEvent
from profiles.store.consent_groups import ConsentGroupStore
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore
from profiles.verdicts import (
    MARKETING,
    NOT_THE_PERSON,
    SERVICE,
    UNCONFIRMED,
    State,
    Verdict,
    awaited,
    effective,
    judge,
    standing,
    wanted,
)

__all__ = [
    "MARKETING", "NOT_THE_PERSON", "SERVICE", "AddressConsent", "Consent", "ConsentAct", "State", "Verdict",
    "effective", "judge",
]  # fmt: skip

#: How long somebody at the desk can take back what they recorded themselves.
RETRACT_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class ConsentAct:
    """Somebody said yes or no. `key` makes it unique: the same act again changes nothing.

    `source`: keyword, unsubscribe_link, preference_centre, form, channel, double_opt_in, staff, import, api …
    `until`: a no that is a pause; `reason`: why, in the person's words or ours. `wording`: what they agreed to; left
    out, it is the group's, in `language`. `if_news`: leave the ledger as it is when it ends with the same word already.
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
    until: datetime | None = None
    language: str | None = None
    reason: str | None = None
    if_news: bool = False
    #: The act that is taken back by this one.
    retracts: str | None = None


@dataclass
class Acted:
    """What many acts come to: the rows added, what is to be told, and profile → what stands on it now."""

    rows: list[Document] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    standing: dict[str, list[Document]] = field(default_factory=dict)


@dataclass(frozen=True)
class AddressConsent:
    """One way to write to a person, with what they said there: purpose → state, and → since when a yes waits."""

    identity: Identity
    states: Mapping[str, State]
    awaited: Mapping[str, datetime] = field(default_factory=dict)
    needs_yes: Collection[str] = ()

    def wants(self, purpose: str) -> bool:
        """Whether messages of this purpose would be sent here, were the address reachable."""
        return wanted(purpose, self.states, self.needs_yes).ok


class Consent:
    """Answers and records. Whoever sends asks here, in bulk, at the moment of sending."""

    def __init__(
        self, profiles: ProfileStore, consents: ConsentStore, events: EventStore, database: Database, clock: Clock,
    ) -> None:  # fmt: skip
        self._profiles = profiles
        self._rows = consents
        self._events = events
        self._database = database
        self._clock = clock
        self._group_rows = ConsentGroupStore(database)
        self.groups = ConsentGroups(self._group_rows, clock)

    async def allowed(
        self, pairs: Sequence[tuple[str, str]], identities: Mapping[str, Identity] | None = None
    ) -> dict[tuple[str, str], Verdict]:
        """(identity id, purpose) → verdict, for all pairs in three reads. `identities`: as they were read just now."""
        if identities is None:
            identities = await self._profiles.identities(identity_id for identity_id, _ in pairs)
        purposes = {purpose for _, purpose in pairs} - SERVICE
        states: dict[str, dict[str, State]] = {}
        needs_yes: set[str] = set()
        if purposes:
            keys = {identity.address_key for identity in identities.values()}
            needs_yes = await self._group_rows.needing_yes({*purposes, MARKETING})
            states = _states(await self._rows.at(keys, {*purposes, MARKETING}), self._clock())
        return {pair: _judged(identities.get(pair[0]), pair[1], states, needs_yes) for pair in pairs}

    async def of_person(self, profile_id: str) -> list[AddressConsent]:
        """Every way to write to them with what they said there. Identities of one address share it."""
        identities = [each for each in await self._profiles.identities_of(profile_id) if each.kind not in NO_ADDRESS]
        acts = await self._rows.at({each.address_key for each in identities})
        now, purposes = self._clock(), {act["purpose"] for act in acts}
        groups = {each.key for each in await self.groups.all()}
        needs_yes = await self._group_rows.needing_yes({*purposes, *groups, MARKETING})
        states, waiting = _states(acts, now), _awaited(acts, now)
        return [
            AddressConsent(each, states.get(each.address_key, {}), waiting.get(each.address_key, {}), needs_yes)
            for each in identities
        ]

    async def was_refused(self, identity_id: str, purpose: str, key: str) -> bool:
        """Whether a no stands there now, or stood there until the act with this `key` lifted it."""
        identity, _ = await self._whose(identity_id)
        acts = await self._rows.at([identity.address_key], [purpose])
        state = standing(effective(acts), self._clock())
        return (state is not None and not state.granted) or any(act.get("dedupe") == key for act in acts)

    async def act(self, act: ConsentAct) -> State | None:
        """Add to the ledger; what is effective then. One transaction with `consent.granted` or `consent.denied`, which
        is told when it changes what is effective, or with `consent.requested` for a yes that has to be confirmed.
        May run twice with a `key`. Raises `NotFound`."""
        identity, owner = await self._whose(act.identity_id)
        group = await self.groups.of(act.purpose)
        return await self._added(self._row(act, identity, owner, group), identity, owner, if_news=act.if_news)

    async def act_many(self, acts: Sequence[ConsentAct], session: Session) -> Acted:
        """Add many acts to the ledger within the caller's transaction, which also writes what is answered: the events,
        and `consents` on the profiles. Acts at addresses that are gone are passed over; a `key` that is kept already
        raises `DuplicateKeyError`."""
        identities = await self._profiles.identities({act.identity_id for act in acts})
        owners = await self._profiles.current({each.profile_id for each in identities.values()})
        groups = {purpose: await self.groups.of(purpose) for purpose in {act.purpose for act in acts}}
        keys = {each.address_key for each in identities.values()}
        ledger = _grouped(await self._rows.at(keys, groups, session))
        acted, now = Acted(), self._clock()
        for act in (act for act in acts if act.identity_id in identities):
            identity = identities[act.identity_id]
            owner = owners[identity.profile_id]
            row = self._row(act, identity, owner, groups[act.purpose])
            theirs = ledger.setdefault((identity.address_key, act.purpose), [])
            if act.if_news and theirs and _says_the_same(theirs[-1], row):
                continue
            before, after = (standing(effective(each), now) for each in (theirs, [*theirs, row]))
            theirs.append(row)
            acted.rows.append(row)
            if after is not None and (before is None or before.granted != after.granted):
                name = "consent.granted" if after.granted else "consent.denied"
                acted.events.append(_told(name, row, identity, owner))
        await self._rows.add_many(acted.rows, session)
        acted.standing.update(await self._standing({row["profile_id"] for row in acted.rows}, session))
        return acted

    async def retract(self, act_id: str, by: str) -> Document:
        """Take back a no that somebody at the desk recorded by mistake; the act that says so. May run twice.

        Raises `NotFound`, and `Refused` for what the person said, what somebody else recorded, or what is older than
        `RETRACT_WITHIN`.
        """
        mistake = await self._rows.get(act_id)
        if mistake is None or mistake.get("retracts"):
            raise NotFound("There is no such act of consent.")
        if mistake["by_person"] or mistake["by"] != by or self._clock() - mistake["recorded_at"] > RETRACT_WITHIN:
            raise Refused("Only what you recorded yourself within the last hour can be taken back.")
        identity, owner = await self._whose(mistake["identity_id"])
        act = ConsentAct(identity.id, mistake["purpose"], not mistake["granted"], "staff", by=by, key=f"undo:{act_id}")
        row = {**self._row(act, identity, owner, None), "retracts": act_id}
        await self._added(row, identity, owner)
        return row

    async def confirm(self, act_id: str, language: str | None = None) -> ConsentAct | None:
        """The yes with this id was confirmed from its address; the act, or None when it waits no more.

        May run twice.
        """
        asked = await self._rows.get(act_id)
        if asked is None or await self.confirmation(act_id) == "over":
            return None
        act = ConsentAct(
            asked["identity_id"], asked["purpose"], True, "double_opt_in", proof=f"confirms {act_id}",
            wording=asked["wording"], language=language, key=f"confirm:{act_id}",
        )  # fmt: skip
        await self.act(act)
        return act

    async def confirmation(self, act_id: str) -> Literal["waiting", "done", "over"]:
        """How it stands with a yes that was to be confirmed. `over`: too late, or the person decided otherwise."""
        asked = await self._rows.get(act_id)
        if asked is None or not asked.get("pending"):
            return "over"
        acts = await self._rows.at([asked["address_key"]], [asked["purpose"]])
        if any(act.get("dedupe") == f"confirm:{act_id}" for act in acts):
            return "done"
        waiting = awaited(acts, self._clock())
        return "waiting" if waiting is not None and waiting["_id"] == act_id else "over"

    async def end_pauses(self, limit: int = 200) -> int:
        """Bring the profiles up to date whose pause is over, for rules. For the clockwork; how many."""
        rows = await self._rows.pauses_over(self._clock(), limit)
        for row in rows:
            identity = await self._profiles.identity(row["identity_id"])
            await self._woken(row, identity)
        return len(rows)

    async def suppress(self, identity_id: str, reason: str, at: datetime | None = None) -> None:
        """Nothing goes to this address any more (bounced, complained, blocked …). May run twice."""
        identity = await self._profiles.identity(identity_id)
        if identity is not None:
            found = await self._profiles.identity_rows.suppress(identity, reason, at or self._clock())
            await self._profiles.refresh_reach(found)

    async def release(self, identity_id: str, by: str | None) -> bool:
        """A person at the desk decided that the address is good again; False when nothing stood against it. One
        transaction with `address.released`. Raises `NotFound`."""
        identity, owner = await self._whose(identity_id)
        if identity.suppressed is None:
            return False
        reason, since = identity.suppressed.reason, identity.suppressed.at
        if reason == SHUT_OUT:
            raise Refused("This person is shut out; let them in again first.", code=SHUT_OUT)
        now = self._clock()
        rows = self._profiles.identity_rows
        event = NewEvent(
            "address.released", f"released:{identity_id}:{since.isoformat()}:{now.isoformat()}", now, owner,
            identity_id, identity.channel_id, properties={"reason": reason, "by": by},
        )  # fmt: skip

        async def work(session: Session) -> list[str]:
            await self._events.record([event], session)
            return await rows.release(identity, by, now, session)

        await self._profiles.refresh_reach(await self._database.in_transaction(work))
        return True

    async def take_release_back(self, identity_id: str, by: str | None) -> bool:
        """The address is suppressed as it was before somebody released it; False when there is nothing to take back.
        One transaction with `address.suppressed`. Raises `NotFound`, and `Refused` after `RETRACT_WITHIN`."""
        identity, owner = await self._whose(identity_id)
        released, now = identity.released, self._clock()
        if identity.suppressed is not None or released is None:
            return False
        if now - released.at > RETRACT_WITHIN:
            raise Refused("What was released can be taken back within the hour.")
        event = NewEvent(
            "address.suppressed", f"suppressed:{identity_id}:{released.at.isoformat()}", now, owner,
            identity_id, identity.channel_id, properties={"reason": released.reason, "by": by},
        )  # fmt: skip

        async def work(session: Session) -> list[str]:
            await self._events.record([event], session)
            return await self._profiles.identity_rows.put_back(identity, session)

        try:
            await self._profiles.refresh_reach(await self._database.in_transaction(work))
        except DuplicateKeyError:
            return False
        return True

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
        """All acts of one person, also those from before a merge, newest first."""
        former = await self._profiles.tombstones_of(profile_id)
        return await self._rows.ledger([profile_id, *former], limit)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _whose(self, identity_id: str) -> tuple[Identity, str]:
        identity = await self._profiles.identity(identity_id)
        if identity is None:
            raise NotFound("There is no such address.")
        return identity, (await self._profiles.current([identity.profile_id]))[identity.profile_id]

    async def _added(self, row: Document, identity: Identity, owner: str, *, if_news: bool = False) -> State | None:
        place = [identity.address_key], [row["purpose"]]

        async def work(session: Session) -> State | None:
            await self._profiles.locked(owner, session)
            acts = await self._rows.at(*place, session)
            before = standing(effective(acts), self._clock())
            if if_news and acts and _says_the_same(acts[-1], row):
                return before
            await self._rows.add(row, session)
            after = standing(effective(await self._rows.at(*place, session)), self._clock())
            if row.get("pending"):
                await self._events.record([_told("consent.requested", row, identity, owner)], session)
            elif after is not None and (before is None or before.granted != after.granted):
                name = "consent.granted" if after.granted else "consent.denied"
                await self._events.record([_told(name, row, identity, owner)], session)
            await self._summarise(owner, session)
            return after

        try:
            result: State | None = await self._database.in_transaction(work)
            return result
        except DuplicateKeyError:
            return standing(effective(await self._rows.at(*place)), self._clock())

    def _row(self, act: ConsentAct, identity: Identity, owner: str, group: ConsentGroup | None) -> Document:
        wording, version = spoken(group, act.language)
        row: Document = {
            "_id": new_id("log"), "address_key": identity.address_key, "identity_id": identity.id, "profile_id": owner,
            "channel": identity.channel_label, "purpose": act.purpose, "granted": act.granted, "source": act.source,
            "by_person": act.source not in NOT_THE_PERSON, "proof": act.proof,
            "wording": act.wording or (wording if act.granted else None),
            "wording_version": version if act.granted and act.wording in (None, wording) else None, "by": act.by,
            "at": act.at or self._clock(), "recorded_at": self._clock(),
        }  # fmt: skip
        if act.granted and group is not None and group.double_opt_in and act.source in UNCONFIRMED:
            row["pending"] = True
        if act.reason:
            row["reason"] = act.reason
        if not act.granted and act.until is not None:
            row |= {"until": act.until, "wake_at": act.until}
        if act.retracts is not None:
            row["retracts"] = act.retracts
        return row if act.key is None else {**row, "dedupe": act.key}

    async def _woken(self, row: Document, identity: Identity | None) -> None:
        async def work(session: Session) -> None:
            await self._rows.woken(row["_id"], session)
            if identity is not None:
                owner = (await self._profiles.current([identity.profile_id]))[identity.profile_id]
                await self._profiles.locked(owner, session)
                await self._summarise(owner, session)

        await self._database.in_transaction(work)

    async def _summarise(self, profile_id: str, session: Session) -> None:
        """Write on the profile what is effective at each of its addresses, for rules."""
        entries = (await self._standing([profile_id], session))[profile_id]
        await self._profiles.write(profile_id, {"consents": entries}, session)

    async def _standing(self, profile_ids: Collection[str], session: Session) -> dict[str, list[Document]]:
        """Profile → what is effective at each of its addresses."""
        identities = await self._profiles.identity_rows.of_profiles(list(profile_ids))
        labels: dict[str, dict[str, set[str]]] = {}
        for profile_id, theirs in identities.items():
            own = labels.setdefault(profile_id, {})
            for identity in theirs:
                own.setdefault(identity.address_key, set()).add(identity.channel_label)
        keys = {key for own in labels.values() for key in own}
        found = _entries(await self._rows.at(keys, session=session), self._clock())
        return {
            profile_id: [
                {"address_key": key, "channel": label, **entry}
                for key in sorted(own.keys() & found.keys())
                for entry in found[key]
                for label in sorted(own[key])
            ]
            for profile_id, own in labels.items()
        }


def _judged(
    identity: Identity | None, purpose: str, states: Mapping[str, Mapping[str, State]], needs_yes: Collection[str]
) -> Verdict:
    return judge(identity, purpose, states.get(identity.address_key, {}) if identity else {}, needs_yes)


def _grouped(acts: Iterable[Document]) -> dict[tuple[str, str], list[Document]]:
    grouped: dict[tuple[str, str], list[Document]] = {}
    for act in acts:
        grouped.setdefault((act["address_key"], act["purpose"]), []).append(act)
    return grouped


def _states(acts: Iterable[Document], now: datetime) -> dict[str, dict[str, State]]:
    """Address → purpose → what is effective now; acts in their order."""
    result: dict[str, dict[str, State]] = {}
    for (address_key, purpose), theirs in _grouped(acts).items():
        state = standing(effective(theirs), now)
        if state is not None:
            result.setdefault(address_key, {})[purpose] = state
    return result


def _awaited(acts: Iterable[Document], now: datetime) -> dict[str, dict[str, datetime]]:
    """Address → purpose → since when a yes waits for its confirmation."""
    result: dict[str, dict[str, datetime]] = {}
    for (address_key, purpose), theirs in _grouped(acts).items():
        waiting = awaited(theirs, now)
        if waiting is not None:
            result.setdefault(address_key, {})[purpose] = waiting["at"]
    return result


def _entries(acts: Sequence[Document], now: datetime) -> dict[str, list[Document]]:
    """Address → what the profile says of it, by purpose."""
    states, waiting = _states(acts, now), _awaited(acts, now)
    result: dict[str, list[Document]] = {}
    for key in states.keys() | waiting.keys():
        own, asked = states.get(key, {}), waiting.get(key, {})
        for purpose in sorted(own.keys() | asked.keys()):
            state = own.get(purpose)
            if state is None:
                entry: Document = {"purpose": purpose, "state": "pending", "at": asked[purpose]}
            else:
                entry = {"purpose": purpose, "state": "granted" if state.granted else "denied", "at": state.at}
                entry |= {"until": state.until} if state.until else {}
            result.setdefault(key, []).append(entry)
    return result


def _says_the_same(last: Document, row: Document) -> bool:
    names = ("granted", "by_person", "pending", "until", "retracts")
    return all(last.get(name) == row.get(name) for name in names)


def _told(name: str, row: Document, identity: Identity, owner: str) -> NewEvent:
    properties = {
        "purpose": row["purpose"], "channel": row["channel"], "source": row["source"], "by": row["by"],
        "act_id": row["_id"],
    }  # fmt: skip
    return NewEvent(
        name, f"{name}:{row['_id']}", row["at"], owner, identity.id, identity.channel_id, properties=properties
    )
