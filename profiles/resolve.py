"""From an address to the one customer: find or create, many at a time, without races, surviving a crash at any await.

A new person is written in this order: the strongest identity with the profile id made beforehand (its unique key
decides between workers), the other identities, the profile, its `profile.created`. Whoever finds an identity without
its profile, or a profile whose event is not known to be kept, writes what is missing. So every step may run twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.ids import new_id
from base.mongo import Document
from channels.vocabulary import Address, Person, Referral
from profiles.blocking import Blocking
from profiles.keys import (
    Key,
    channel_key,
    customer_keys,
    email_key,
    joining_keys,
    key_of,
    number_in,
    phone_key_of,
    platform_keys,
    without_shared,
)
from profiles.linking import Appearance, Decision, Decisions, Holder, decide
from profiles.models import (
    SHUT_OUT,
    Contact,
    Dispute,
    IdentityKind,
    IdentityRef,
    NewEvent,
    Source,
    channel_label,
    display_name,
)
from profiles.normalise import email_address, phone_number
from profiles.store.events import EventStore
from profiles.store.identities import Touch, alias_row, identity_row
from profiles.store.profiles import ProfileStore
from profiles.survivorship import ContactFact, Facts, changes, new_profile

log = logging.getLogger(__name__)

#: How often a profile is read again because somebody else wrote it in between.
ROUNDS = 20


@dataclass(frozen=True)
class Sighting:
    """A person seen on a channel. `former`: the external id this person had before, as the platform says."""

    address: Address
    provider: str
    at: datetime
    person: Person | None = None
    inbound: bool = False
    referral: Referral | None = None
    former: str | None = None


@dataclass(frozen=True)
class Known:
    """Who it is. `created`: this call made the profile."""

    profile_id: str
    identity_id: str
    created: bool
    display_name: str | None
    #: Somebody of ours wants to hear no more of them.
    shut_out: bool = False


@dataclass(frozen=True)
class Reference:
    """A person named by a caller: all `refs` are the same one, the strongest decides."""

    refs: Sequence[IdentityRef]
    create: bool = True
    name: str | None = None
    source: Source = "api"
    at: datetime | None = None
    seen: bool = False
    #: The person or program of ours that names them.
    by: str | None = None
    #: The caller knows the profile; what is new of the refs is joined to it.
    profile_id: str | None = None
    #: What brought this person, e.g. a row of an import: kept on the profile and identities that come of it.
    made_by: str | None = None
    #: Nothing begins because of it.
    quiet: bool = False
    #: Where their post goes, as `profiles.postal.block_of` makes it.
    address: Mapping[str, str | None] | None = None


#: Ids of channels → the provider of each that there is.
Providers = Callable[[Collection[str]], Awaitable[Mapping[str, str]]]


class Resolver:
    """The only way by which profiles and identities come into being."""

    def __init__(
        self, store: ProfileStore, events: EventStore, clock: Clock, *, region: str | None = None,
        blocking: Blocking | None = None, looked_up: Iterable[str] = (), providers: Providers | None = None,
    ) -> None:  # fmt: skip
        """`region`: country of numbers written without one. `blocking`: values that join nobody. `looked_up`:
        providers that can be asked who somebody is. `providers`: what channels are of, for callers who name one.
        """
        self._store = store
        self._rows = store.identity_rows
        self._events = events
        self._clock = clock
        self._region = region
        self._blocking = blocking
        self._looked_up = frozenset(looked_up)
        self._providers = providers
        self._known_providers: dict[str, str] = {}

    async def resolve(self, sightings: Sequence[Sighting]) -> list[Known]:
        """Each sighting's person, in the same order. May run twice for the same sightings."""
        blocked = await self._blocked()
        found = await self._settle([self._appearance(sighting, blocked) for sighting in sightings])
        return [known for known in found if known is not None]

    async def refer(
        self, kind: IdentityKind, value: str, channel_id: str | None = None, *, create: bool, name: str | None = None,
        source: Source = "api",
    ) -> Known | None:  # fmt: skip
        """The person a caller names; None when nobody is known and `create` is False. Raises `WrongInput`."""
        ref = IdentityRef(kind=kind, value=value, channel_id=channel_id)
        return (await self.identify([Reference([ref], create, name, source)]))[0]

    async def identify(self, references: Sequence[Reference]) -> list[Known | None]:
        """The same for many, each with one or more identities. Raises `WrongInput` before anything is written."""
        blocked, known = await self._blocked(), await self._providers_of(references)
        return await self._settle([self._referred(reference, blocked, known) for reference in references])

    async def introduce(
        self, profile_id: str | None, address: Address, provider: str, by: str | None = None, *,
        within: Collection[str] | None = None,
    ) -> str:  # fmt: skip
        """The identity of a mail address or number on one of our channels, for somebody who is to be written to there
        first: the one by which they will answer. It stays with whoever has it already. Without a profile it is whose
        address it is known to be, else somebody new, for whom nothing begins.

        `within`: the channels of who asks, None: all. Of whom they do not see they learn nothing: the address is then
        somebody new's, who is nobody's pair before they write themselves."""
        mail, number = email_address(address.external_id), number_in(address.external_id)
        key = replace(channel_key(address, provider, mail, number), verified=False)
        if profile_id is None:
            holder = (await self._rows.rows_by_key([key.address_key])).get(key.address_key)
            profile_id = holder["profile_id"] if holder else None
        apart = profile_id is not None and not await self._seen_within(profile_id, within)
        profile_id = None if apart else profile_id
        said = (ContactFact(mail, False),) if mail and profile_id is None and not apart else ()
        facts = Facts(at=self._clock(), source="person", reaches=_labels([key]), by=by, emails=said, quiet=True)
        found = await self._settle([Appearance(keys=(key,), facts=facts, create=True, known=profile_id)])
        return found[0].identity_id if found[0] is not None else ""

    async def _seen_within(self, profile_id: str, channel_ids: Collection[str] | None) -> bool:
        """Whether somebody is seen by who sees these channels; who came by no channel is everybody's."""
        if channel_ids is None:
            return True
        on = {each.channel_id for each in await self._store.identities_of(profile_id) if each.channel_id}
        return not on or not on.isdisjoint(channel_ids)

    async def current(self, profile_ids: Iterable[str]) -> dict[str, str]:
        """Id → the id of today, merges followed."""
        return await self._store.current(profile_ids)

    async def repair(self, limit: int = 500) -> int:
        """Announce profiles whose process died before it did. For the clockwork; the number found."""
        rows = await self._store.unannounced(limit)
        await self._announce({row["_id"]: row for row in rows})
        return len(rows)

    # -- what is said ---------------------------------------------------------------------------------------------

    async def _blocked(self) -> frozenset[str]:
        return await self._blocking.keys() if self._blocking is not None else frozenset()

    def _appearance(self, sighting: Sighting, blocked: frozenset[str]) -> Appearance:
        person = sighting.person or Person()
        vouched = person if person.verified else Person()
        mail = email_key(vouched.email, verified=True) if vouched.email else None
        number = phone_key_of(vouched.phone, self._region, verified=True) if vouched.phone else None
        primary = channel_key(
            sighting.address, sighting.provider, mail.value if mail else None, number.value if number else None
        )
        hints = () if person.verified else joining_keys(person.phone, person.email, self._region, blocked)
        joining = joining_keys(vouched.phone, vouched.email, self._region, blocked)
        keys = (*customer_keys(person.customer_id), *joining, *platform_keys(vouched.platform_ids), primary)
        return Appearance(
            keys=keys,
            facts=_facts_of(sighting, person, keys, self._region),
            aliases=tuple(self._same(sighting, alias) for alias in person.aliases if alias != primary.external_id),
            former=self._same(sighting, sighting.former) if sighting.former else None,
            hints=hints,
            inbound=sighting.inbound,
        )

    def _same(self, sighting: Sighting, external_id: str) -> Key:
        return channel_key(Address(channel_id=sighting.address.channel_id, external_id=external_id), sighting.provider)

    async def _providers_of(self, references: Sequence[Reference]) -> Mapping[str, str]:
        """Channel → its provider, of the channels that are named. It never changes, so it is asked for once."""
        named = {ref.channel_id for each in references for ref in each.refs if ref.kind == "channel" and ref.channel_id}
        strange = named - self._known_providers.keys()
        if strange and self._providers is not None:
            self._known_providers |= await self._providers(strange)
        return self._known_providers

    def _referred(self, reference: Reference, blocked: frozenset[str], providers: Mapping[str, str]) -> Appearance:
        given = [
            key_of(ref, self._region, f"identities[{i}]", providers.get(ref.channel_id or ""))
            for i, ref in enumerate(reference.refs)
        ]
        keys = without_shared(given, blocked)
        contacts = {
            kind: tuple(ContactFact(k.value, k.verified) for k in keys if k.kind == kind) for kind in ("email", "phone")
        }
        facts = Facts(
            at=reference.at or self._clock(), source=reference.source, name=reference.name,
            emails=contacts["email"], phones=contacts["phone"], seen=reference.seen,
            reaches=_labels(keys), by=reference.by, made_by=reference.made_by, quiet=reference.quiet,
            address=reference.address,
        )  # fmt: skip
        return Appearance(
            keys=tuple(dict.fromkeys(keys)), facts=facts, create=reference.create, known=reference.profile_id
        )

    # -- what is done ---------------------------------------------------------------------------------------------

    async def _settle(self, appearances: Sequence[Appearance]) -> list[Known | None]:
        if not appearances:
            return []
        batch = await self._decided(appearances)
        await self._write_identities(batch)
        rows, _ = await asyncio.gather(self._write_profiles(batch), self._touch(batch))
        await self._suggest(batch.disputes())
        return [batch.known(decision, rows) for decision in batch.decisions]

    async def _decided(self, appearances: Sequence[Appearance]) -> _Batch:
        rows = await self._rows.rows_by_key(key for appearance in appearances for key in appearance.every_key())
        profiles = await self._store.documents({row["profile_id"] for row in rows.values()})
        today: dict[str, str] = {asked: row["_id"] for asked, row in profiles.items()}
        holders = {
            key: Holder(today.get(row["profile_id"]) or row["profile_id"], row["_id"], row["strength"] == "weak")
            for key, row in rows.items()
        }
        kinds = await self._rows.kinds_of(_to_count(appearances, holders))
        decisions = decide(appearances, holders, kinds, lambda: new_id("prf"), lambda: new_id("idn"))
        return _Batch(decisions, rows, {row["_id"]: row for row in profiles.values()}, self._looked_up)

    async def _write_identities(self, batch: _Batch) -> None:
        """Anchors first: where two workers make the same person, the unique key of the anchor says who did."""
        anchors = batch.new_rows(anchors=True)
        for row in await self._insert(anchors, batch):
            winner = batch.rows[row["key"]]
            batch.give_way(row["profile_id"], await self._today(winner["profile_id"]))
        others = batch.new_rows(anchors=False)
        for row in await self._insert(others, batch):
            await self._lost(row, batch)
        await self._insert(batch.new_aliases(), batch)
        await self._rows.prove([(key, batch.today(profile)) for key, profile in batch.proven()])
        for decision in batch.decisions:
            if decision.moved:
                await self._rows.move(batch.identity(decision), decision.appearance.primary.external_id or "")

    async def _insert(self, rows: Sequence[Document], batch: _Batch) -> list[Document]:
        """Insert; return those that somebody else had inserted, whose rows are then in the batch."""
        if not rows:
            return []
        taken = await self._rows.insert(rows)
        lost = {row["key"] for row in taken}
        batch.inserted |= {row["_id"] for row in rows} - {row["_id"] for row in taken}
        batch.rows |= {row["key"]: row for row in rows if row["key"] not in lost and not row.get("alias_of")}
        if taken:
            batch.rows |= await self._rows.rows_by_key(lost)
        return taken

    async def _lost(self, row: Document, batch: _Batch) -> None:
        """Another worker took a further key. A person we were just making gives way; else it is a dispute, and a
        channel identity stays with the profile that has it."""
        ours, theirs = batch.today(row["profile_id"]), await self._today(batch.rows[row["key"]]["profile_id"])
        if ours == theirs:
            return
        if row["kind"] == "channel" and row["profile_id"] in batch.minted and ours == row["profile_id"]:
            await self._rows.point(batch.keys_inserted_for(ours), ours, theirs)
            batch.give_way(ours, theirs)
            return
        batch.raced.append(Dispute(ours, theirs, row["kind"], row["key"], proved=row["strength"] == "strong"))
        if row["kind"] == "channel":
            batch.rebind(row["key"], theirs)

    async def _today(self, profile_id: str) -> str:
        return (await self._store.current([profile_id]))[profile_id]

    async def _write_profiles(self, batch: _Batch) -> dict[str, Document]:
        """Create what is missing, change what the facts change; the documents as they are then."""
        facts = batch.facts()
        at = self._clock()
        rows = {key: row for key, row in batch.profiles.items() if key in facts}
        for attempt in range(ROUNDS):
            if attempt or facts.keys() - rows.keys() - batch.minted:
                rows = await self._store.documents(facts.keys())
            fresh = [new_profile(key, facts[key]) for key in facts if key not in rows]
            doubled = await self._store.insert(fresh)
            edits = [(row, changes(row, facts[key]), _seen(facts[key])) for key, row in rows.items()]
            settled = await self._store.change(edits, at)
            rows = {key: {**row, **change} for (row, change, _), key in zip(edits, rows, strict=True)}
            rows |= {row["_id"]: row for row in fresh if row["_id"] not in doubled}
            if settled and not doubled:
                break
        else:
            log.warning("profiles stayed contended", extra={"profiles": len(facts)})
        await self._announce({key: row for key, row in rows.items() if row.get("unannounced")}, batch)
        return rows

    async def _suggest(self, disputes: Sequence[Dispute]) -> None:
        """Only people that exist: one that gave way in a race never came into being."""
        if not disputes:
            return
        there = await self._store.documents({each for one in disputes for each in (one.profile_id, one.other_id)})
        named = [
            replace(one, profile_id=there[one.profile_id]["_id"], other_id=there[one.other_id]["_id"])
            for one in disputes
            if one.profile_id in there and one.other_id in there
        ]
        if self._blocking is not None:
            named = await self._blocking.worth_noting(named)
        await self._store.suggestions.note(named, self._clock())
        if self._blocking is not None:
            await self._blocking.heard({one.key for one in named if one.proved})

    async def _announce(self, rows: Mapping[str, Document], batch: _Batch | None = None) -> None:
        if not rows:
            return
        by = batch.first_of() if batch else {}
        await self._events.record([_created(row, by.get(key), batch) for key, row in rows.items()])
        await self._store.announced([row["_id"] for row in rows.values()])

    async def _touch(self, batch: _Batch) -> None:
        touches = {key: touch for key, touch in batch.touches().items() if key not in batch.inserted}
        rows = {row["_id"]: row for row in batch.rows.values()}
        await self._rows.touch({key: touch for key, touch in touches.items() if key in rows}, rows)


@dataclass
class _Batch:
    """One call's decisions and what became of them."""

    plan: Decisions
    #: Key → identity as stored; grows while identities are inserted.
    rows: dict[str, Document]
    profiles: dict[str, Document]
    looked_up: frozenset[str] = frozenset()
    #: Profile we made → the one it had to give way to.
    gave_way: dict[str, str] = field(default_factory=dict)
    inserted: set[str] = field(default_factory=set)
    raced: list[Dispute] = field(default_factory=list)

    @property
    def decisions(self) -> list[Decision]:
        return self.plan.made

    @property
    def minted(self) -> set[str]:
        return {each.profile_id for each in self.decisions if each.minted and each.profile_id}

    def today(self, profile_id: str) -> str:
        """The profile that stands, after races."""
        while profile_id in self.gave_way:
            profile_id = self.gave_way[profile_id]
        return profile_id

    def give_way(self, ours: str, theirs: str) -> None:
        if self.today(theirs) != ours:
            self.gave_way[ours] = theirs

    def rebind(self, key: str, profile_id: str) -> None:
        """Who appeared under this channel id belongs to that profile."""
        for decision in self.decisions:
            if decision.appearance.primary.key == key:
                decision.profile_id, decision.minted = profile_id, False

    def identity(self, decision: Decision) -> str:
        """The identity that answers for this appearance."""
        row = self.rows.get(decision.appearance.primary.key)
        return row["_id"] if row else decision.identity_id or ""

    def new_rows(self, *, anchors: bool) -> list[Document]:
        """Identities to insert: of each new person the strongest (its anchor), or all others."""
        touches = self.touches_by_key()
        result = []
        for decision in self.decisions:
            chosen = decision.attach[:1] if decision.minted else []
            rest = decision.attach[len(chosen) :]
            for key in chosen if anchors else rest:
                touch = touches.get(key.key) or Touch(decision.appearance.facts.at)
                facts = decision.appearance.facts
                by = {"key": decision.by, "source": facts.source, "at": touch.at}
                by |= {"made_by": facts.made_by} if facts.made_by else {}
                holder = self.plan.holders[key.key]
                profile_id = self.today(decision.profile_id or "")
                row = identity_row(holder.identity_id, key, profile_id, touch, by)
                if key.kind == "channel" and row["provider"] in self.looked_up and not facts.made_by:
                    row["lookup"] = {"at": touch.at, "tries": 0}
                if self.profiles.get(profile_id, {}).get("shut_out"):
                    row["suppressed"] = {"reason": SHUT_OUT, "at": touch.at}
                result.append(row)
        return result

    def new_aliases(self) -> list[Document]:
        """Further ids of channel identities, now that those are inserted."""
        result = {}
        for decision in self.decisions:
            appearance = decision.appearance
            canonical = self.rows.get(appearance.primary.key) or next(
                (self.rows[key.key] for key in appearance.same if key.key in self.rows), None
            )
            if canonical is None:
                continue
            canonical = {**canonical, "profile_id": self.today(canonical["profile_id"])}
            for key in (key for key in appearance.same if key.key not in self.rows and key is not appearance.former):
                result[key.key] = alias_row(new_id("idn"), key, canonical, appearance.facts.at)
        return list(result.values())

    def keys_inserted_for(self, profile_id: str) -> list[str]:
        return [
            key for key, row in self.rows.items() if row["_id"] in self.inserted and row["profile_id"] == profile_id
        ]

    def proven(self) -> list[tuple[str, str]]:
        return [(key.key, each.profile_id) for each in self.decisions for key in each.prove if each.profile_id]

    def facts(self) -> dict[str, list[Facts]]:
        """Profile that stands → what was said of it."""
        result: dict[str, list[Facts]] = {}
        for each in self.decisions:
            if each.profile_id is not None:
                result.setdefault(self.today(each.profile_id), []).append(self._reaching(each))
        return result

    def _reaching(self, decision: Decision) -> Facts:
        """A person is reachable where they write, and where we meet them for the first time."""
        facts = decision.appearance.facts
        return facts if decision.attach or decision.appearance.inbound else replace(facts, reaches=())

    def first_of(self) -> dict[str, Decision]:
        result: dict[str, Decision] = {}
        for each in self.decisions:
            if each.profile_id is not None:
                result.setdefault(self.today(each.profile_id), each)
        return result

    def touches_by_key(self) -> dict[str, Touch]:
        result: dict[str, Touch] = {}
        for each in self.decisions:
            key, touch = each.appearance.primary.key, _touch_of(each.appearance)
            result[key] = result[key].newer(touch) if key in result else touch
        return result

    def touches(self) -> dict[str, Touch]:
        """Identity → what was seen of it."""
        result: dict[str, Touch] = {}
        for key, touch in self.touches_by_key().items():
            row = self.rows.get(key)
            if row is not None:
                result[row["_id"]] = result[row["_id"]].newer(touch) if row["_id"] in result else touch
        return result

    def disputes(self) -> list[Dispute]:
        named = [
            replace(d, profile_id=self.today(d.profile_id), other_id=self.today(d.other_id)) for d in self.plan.disputes
        ]
        return [dispute for dispute in (*named, *self.raced) if dispute.profile_id != dispute.other_id]

    def known(self, decision: Decision, rows: Mapping[str, Document]) -> Known | None:
        if decision.profile_id is None:
            return None
        profile_id = self.today(decision.profile_id)
        row = rows.get(profile_id)
        stands = profile_id == decision.profile_id
        return Known(
            row["_id"] if row else profile_id, self.identity(decision), decision.minted and stands, _called(row),
            self._shut_out(decision, row),
        )  # fmt: skip

    def _shut_out(self, decision: Decision, row: Mapping[str, Any] | None) -> bool:
        """The person, or (they were joined with somebody since) the address."""
        address = self.rows.get(decision.appearance.primary.key) or {}
        by_address = (address.get("suppressed") or {}).get("reason") == SHUT_OUT
        return by_address or bool(row and row.get("shut_out"))


def _facts_of(sighting: Sighting, person: Person, keys: Sequence[Key], region: str | None) -> Facts:
    email = email_key(person.email, verified=person.verified) if person.email else None
    phone = phone_key_of(person.phone, region, verified=person.verified) if person.phone else None
    return Facts(
        at=sighting.at, source="channel", name=person.name, avatar_url=person.avatar_url, locale=person.locale,
        emails=(ContactFact(email.value, person.verified, person.email),) if email else (),
        phones=(ContactFact(phone.value, person.verified, person.phone),) if phone else (),
        handles=_handles(sighting.address.handle, region), reaches=_labels(keys), seen=sighting.inbound,
        touch=_touch(sighting),
    )  # fmt: skip


def _handles(handle: str | None, region: str | None) -> tuple[str, ...]:
    """A public name; numbers and addresses have lists of their own."""
    if not handle or "@" in handle.lstrip("@") or phone_number(handle, region):
        return ()
    return (handle,)


def _labels(keys: Iterable[Key]) -> tuple[str, ...]:
    """The channels on which these keys reach somebody."""
    reaching = (key for key in keys if key.kind in ("channel", "email", "phone"))
    return tuple(dict.fromkeys(channel_label(key.address_key, key.provider, key.kind) for key in reaching))


def _touch(sighting: Sighting) -> Document:
    told = {} if sighting.referral is None else sighting.referral.model_dump(exclude_none=True, exclude={"extra"})
    return {
        **told, "at": sighting.at, "channel": sighting.provider, "channel_id": sighting.address.channel_id,
        "told": bool(told),
    }  # fmt: skip


def _touch_of(appearance: Appearance) -> Touch:
    facts, primary = appearance.facts, appearance.primary
    return Touch(
        at=facts.at, inbound_at=facts.at if appearance.inbound else None, provider=primary.provider,
        handle=primary.handle, display_name=facts.name, avatar_url=facts.avatar_url,
    )  # fmt: skip


def _to_count(appearances: Iterable[Appearance], holders: Mapping[str, Holder]) -> set[str]:
    """Profiles whose identities must be counted: something strong would be added to them, or a session is shared."""
    wanted: set[str] = set()
    for each in appearances:
        held = {holders[key.key].profile_id for key in each.keys if key.key in holders}
        held |= {each.known} if each.known else set()
        adds = any(key.key not in holders and key.strength == "strong" for key in each.keys)
        if held and (adds or any(key.kind == "anonymous" for key in each.keys)):
            wanted |= held
    return wanted


def _seen(facts: Iterable[Facts]) -> datetime | None:
    return max((each.at for each in facts if each.seen), default=None)


def _called(row: Mapping[str, object] | None) -> str | None:
    if row is None:
        return None
    contacts = {name: [Contact.model_validate(each) for each in row.get(name) or ()] for name in ("emails", "phones")}  # type: ignore[attr-defined]
    return display_name(row.get("name"), row.get("handles") or [], contacts["emails"], contacts["phones"])  # type: ignore[arg-type]


def _created(row: Document, decision: Decision | None, batch: _Batch | None) -> NewEvent:
    primary = decision.appearance.primary if decision else None
    properties = {
        "name": row.get("name"), "provider": primary.provider if primary else None,
        "source": decision.appearance.facts.source if decision else None,
        "by": decision.appearance.facts.by if decision else None,
    }  # fmt: skip
    return NewEvent(
        "profile.created", f"profile.created:{row['_id']}", row["created_at"], row["_id"],
        batch.identity(decision) if batch and decision else None, primary.channel_id if primary else None,
        properties=properties, quiet=bool(row.get("quiet")),
    )  # fmt: skip
