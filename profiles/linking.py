"""Which profile an appearance belongs to, given who holds its keys. Pure.

Strong keys join profiles unasked, channel ids attach, weak ones only suggest. The id of a person on a channel account
that we know stays with its profile whatever else is said. On any other conflict the strongest key decides and the
weaker ones are dropped; two profiles are never joined here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from profiles.joining import IDENTITIES_MAX
from profiles.keys import Key
from profiles.models import Dispute
from profiles.survivorship import Facts

#: Identities of a kind that one profile may gather by itself.
LIMITS: Mapping[str, int] = {"customer_id": 1, "phone": 5, "email": 5}


@dataclass(frozen=True)
class Holder:
    """Who holds a key."""

    profile_id: str
    identity_id: str
    weak: bool = False


@dataclass(frozen=True)
class Appearance:
    """Somebody shows up with some keys. `aliases` and `former` are further ids of the same channel identity."""

    keys: tuple[Key, ...]
    facts: Facts
    aliases: tuple[Key, ...] = ()
    former: Key | None = None
    hints: tuple[Key, ...] = ()
    inbound: bool = False
    create: bool = True
    #: The caller knows whose keys these are.
    known: str | None = None

    @cached_property
    def primary(self) -> Key:
        """The key whose identity is answered: the channel id, else the strongest."""
        return next((key for key in self.keys if key.kind == "channel"), self.ordered[0])

    @cached_property
    def ordered(self) -> tuple[Key, ...]:
        """Strongest first; of equals the one given first."""
        return tuple(sorted(self.keys, key=lambda key: key.order))

    @property
    def only_says(self) -> bool:
        """Nothing but addresses and numbers that nobody proved: whoever says them has no id of his own."""
        return all(key.strength == "weak" and key.kind != "anonymous" for key in self.keys)

    @property
    def same(self) -> tuple[Key, ...]:
        """All keys of the channel identity."""
        return (self.primary, *self.aliases, *((self.former,) if self.former else ()))

    def every_key(self) -> Iterable[str]:
        """Whatever has to be looked up."""
        return (key.key for key in (*self.keys, *self.aliases, *self.hints, *((self.former,) if self.former else ())))


@dataclass
class Decision:
    """What is to be done for one appearance. `profile_id` None: nobody, and nobody is to be made."""

    appearance: Appearance
    profile_id: str | None = None
    identity_id: str | None = None
    #: This appearance made the profile; its first attached key decides a race.
    minted: bool = False
    attach: list[Key] = field(default_factory=list)
    alias: list[Key] = field(default_factory=list)
    prove: list[Key] = field(default_factory=list)
    #: The provider says that this identity is now sent to under the primary's external id.
    moved: bool = False
    by: str | None = None


@dataclass
class Decisions:
    """For a batch, in its order. `holders` includes what the batch itself will add."""

    made: list[Decision]
    holders: dict[str, Holder]
    disputes: list[Dispute]


def decide(
    appearances: Sequence[Appearance], known: Mapping[str, Holder], kinds: Mapping[str, Counter[str]],
    new_profile_id: Callable[[], str], new_identity_id: Callable[[], str],
) -> Decisions:  # fmt: skip
    """One after the other, as if each had come alone. `kinds`: how many identities of a kind a profile has."""
    decider = _Decider(
        dict(known), {key: Counter(value) for key, value in kinds.items()}, new_profile_id, new_identity_id
    )
    made = [decider.decide(appearance) for appearance in appearances]
    return Decisions(made, decider.holders, decider.disputes)


class _Decider:
    def __init__(
        self, holders: dict[str, Holder], kinds: dict[str, Counter[str]], new_profile_id: Callable[[], str],
        new_identity_id: Callable[[], str],
    ) -> None:  # fmt: skip
        self.holders = holders
        self.disputes: list[Dispute] = []
        self._kinds = kinds
        self._new_profile_id = new_profile_id
        self._new_identity_id = new_identity_id

    def decide(self, appearance: Appearance) -> Decision:
        decision = Decision(appearance)
        self._same_identity(decision)
        chosen = self._deciding(appearance) if appearance.known is None else None
        if chosen is None and appearance.known is None and not appearance.create:
            return decision
        decision.minted = chosen is None and appearance.known is None
        decision.profile_id = self._whose(appearance, chosen)
        decision.by = chosen
        for key in appearance.ordered:
            self._place(key, decision)
        decision.identity_id = self.holders[appearance.primary.key].identity_id
        self._hints(decision)
        return decision

    def _whose(self, appearance: Appearance, chosen: str | None) -> str:
        if appearance.known is not None:
            return appearance.known
        return self.holders[chosen].profile_id if chosen else self._new_profile_id()

    def _same_identity(self, decision: Decision) -> None:
        """Where one id of the channel identity is known, the others become aliases of it."""
        appearance = decision.appearance
        if not appearance.aliases and appearance.former is None:
            return
        known = [key for key in appearance.same if key.key in self.holders]
        if not known:
            return
        holder = self.holders[known[0].key]
        for key in appearance.same:
            other = self.holders.get(key.key)
            if other is None:
                decision.alias.append(key)
                self.holders[key.key] = holder
            elif other.profile_id != holder.profile_id:
                self._dispute(holder.profile_id, other.profile_id, key)
        primary_is_new = appearance.primary in decision.alias
        decision.moved = primary_is_new and appearance.former is not None and appearance.former.key == known[0].key

    def _deciding(self, appearance: Appearance) -> str | None:
        primary = appearance.primary
        if primary.kind == "channel" and primary.key in self.holders:
            return primary.key
        weak: str | None = None
        for key in appearance.ordered:
            holder = self.holders.get(key.key)
            if holder is None or not self._may_decide(appearance, holder):
                continue
            if key.kind == "anonymous" or not (holder.weak or key.strength == "weak"):
                return key.key
            # a value that was only said names its profile for a caller who asks by it and has no id of his own, or who
            # proves it now; not for a platform's sighting
            if weak is None and (appearance.only_says if key.strength == "weak" else primary.kind != "channel"):
                weak = key.key
        return weak

    def _may_decide(self, appearance: Appearance, holder: Holder) -> bool:
        """A profile that has a customer id already cannot be the one of a customer id we do not know."""
        new_customer = any(key.kind == "customer_id" and key.key not in self.holders for key in appearance.keys)
        return not (new_customer and self._kinds.get(holder.profile_id, Counter())["customer_id"])

    def _place(self, key: Key, decision: Decision) -> None:
        profile_id = decision.profile_id
        if profile_id is None:
            raise ValueError("placed before it was decided")
        holder = self.holders.get(key.key)
        if holder is None:
            self._attach(key, decision, profile_id)
        elif key.shared:
            return
        elif holder.weak and key.strength == "strong":
            decision.prove.append(key)
            self.holders[key.key] = replace(holder, profile_id=profile_id, weak=False)
            self._dispute(profile_id, holder.profile_id, key, "proved_elsewhere")
        elif holder.profile_id != profile_id and not self._different_customers(profile_id, holder.profile_id, key):
            visitor = _says_who(key, decision.appearance)
            self._dispute(profile_id, holder.profile_id, key, visitor=visitor)

    def _attach(self, key: Key, decision: Decision, profile_id: str) -> None:
        kinds = self._kinds.setdefault(profile_id, Counter())
        if key != decision.appearance.primary and _is_full(key, kinds):
            return
        kinds[key.kind] += 1
        decision.attach.append(key)
        self.holders[key.key] = Holder(profile_id, self._new_identity_id(), key.strength == "weak")

    def _different_customers(self, one: str, other: str, key: Key) -> bool:
        """A session that two customers used says nothing about their being one."""
        both = all(self._kinds.get(each, Counter())["customer_id"] for each in (one, other))
        return key.kind == "anonymous" and both

    def _hints(self, decision: Decision) -> None:
        for key in decision.appearance.hints:
            holder = self.holders.get(key.key)
            if holder is not None and decision.profile_id is not None:
                self._dispute(decision.profile_id, holder.profile_id, key, "unverified")

    def _dispute(
        self, profile_id: str, other_id: str, key: Key, reason: str = "other_profile", *, visitor: bool = False
    ) -> None:
        if profile_id != other_id:
            proved = key.strength == "strong" and reason != "unverified"
            self.disputes.append(Dispute(profile_id, other_id, key.kind, key.key, reason, proved, visitor))


def _is_full(key: Key, kinds: Counter[str]) -> bool:
    """Whether who has these has no room for one more. Browsers fill up what is left of a person, and never take room
    from what proves who somebody is."""
    if key.kind == "anonymous":
        return kinds.total() >= IDENTITIES_MAX
    return kinds[key.kind] >= LIMITS.get(key.kind, IDENTITIES_MAX)


def _says_who(key: Key, appearance: Appearance) -> bool:
    """Whether a session, or the id of a chat, comes together with something that proves whose it is."""
    if key.kind == "anonymous":
        return any(each.strength == "strong" for each in appearance.keys)
    return key.strength == "strong" and appearance.primary.kind == "channel"
