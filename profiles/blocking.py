"""Values that tell nobody apart: our own people's addresses, what an administrator names, what too many people gave.

A blocked address is still written to and shown; it never decides who somebody is, joins nobody and suggests nothing.
A new rule holds for what comes from then on; `holders` says beforehand who it concerns today.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Literal

from pydantic import Field

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id
from base.pages import Page
from profiles.keys import email_key, key_of
from profiles.models import Dispute, IdentityRef, Input, Moment, Profile, Stored
from profiles.store.blocked import BlockedStore, blocked_row
from profiles.store.profiles import ProfileFilter, ProfileStore

#: So many pairs of people may be suggested because of one value; then it blocks itself.
PAIRS_MAX = 10
#: Kinds that block themselves.
GUARDED = ("email", "phone")
#: What another process blocked is heard of within this time.
HEARD_S = 5.0
#: People shown who hold a value today.
SHOWN = 20

Kind = Literal["email", "phone", "customer_id"]
Why = Literal["named", "many_people"]
#: User id → mail address of our own people.
Staff = Callable[[], Awaitable[Mapping[str, str]]]


class BlockInput(Input):
    """A value as an administrator writes it; numbers with their country code."""

    kind: Kind
    value: str = Field(min_length=1, max_length=200)


class Blocked(Stored):
    """A value that is blocked. `why`: `named` by somebody, or given by `many_people`."""

    id: str = Field(alias="_id")
    key: str
    kind: Kind
    value: str
    why: Why
    by: str | None = None
    at: Moment


async def nobody() -> Mapping[str, str]:
    """For a house without people of its own."""
    return {}


class Blocking:
    """The use cases, and the set that the resolver asks."""

    def __init__(
        self, store: BlockedStore, profiles: ProfileStore, clock: Clock, *, staff: Staff = nobody,
        region: str | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._profiles = profiles
        self._clock = clock
        self._staff = staff
        self._region = region
        self._known: frozenset[str] = frozenset()
        self._known_until = 0.0

    async def keys(self) -> frozenset[str]:
        """Keys of identities that decide nothing; as of at most `HEARD_S` ago."""
        if time.monotonic() >= self._known_until:
            ours = (email_key(address, verified=True) for address in (await self._staff()).values())
            self._known = await self._store.keys() | {key.key for key in ours if key is not None}
            self._known_until = time.monotonic() + HEARD_S
        return self._known

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Blocked]:
        """Newest first."""
        found = await self._store.page(limit, cursor)
        return Page([Blocked.model_validate(row) for row in found.data], found.next_cursor)

    async def add(self, wanted: BlockInput, by: str | None) -> Blocked:
        """Block it; what is blocked already stays as it is. Raises `WrongInput` for what cannot name anybody."""
        key = key_of(IdentityRef(kind=wanted.kind, value=wanted.value), self._region, "value")
        row = blocked_row(new_id("blk"), key.key, key.kind, key.value, "named", by, self._clock())
        if not await self._store.add(row):
            row = await self._store.by_key(key.key) or row
        self._known_until = 0.0
        return Blocked.model_validate(row)

    async def remove(self, row_id: str) -> Blocked:
        """It tells people apart again. Raises `NotFound`."""
        row = await self._store.remove(row_id)
        if row is None:
            raise NotFound("That value is not blocked.")
        self._known_until = 0.0
        return Blocked.model_validate(row)

    async def holders(self, wanted: BlockInput) -> list[Profile]:
        """Who goes by this value today, or shows it: at most `SHOWN`. Nothing changes for them. Raises `WrongInput`."""
        key = key_of(IdentityRef(kind=wanted.kind, value=wanted.value), self._region, "value")
        holder = await self._profiles.by_identity(key.key)
        shown = (await self._profiles.page(ProfileFilter(q=key.value), limit=SHOWN)).data
        found = {each.id: each for each in (holder, *shown) if each is not None}
        return list(found.values())[:SHOWN]

    async def worth_noting(self, disputes: Sequence[Dispute]) -> list[Dispute]:
        """Without those of which somebody only *said* the value, once as many pairs were suggested by it as by any: who
        names an address again and again fills no list with it. What was proved is always noted."""
        said = {one.key for one in disputes if not one.proved and one.kind in GUARDED}
        worn = {key for key in said if await self._profiles.suggestions.pairs_by(key, proved=False) > PAIRS_MAX}
        return [one for one in disputes if one.proved or one.key not in worn]

    async def heard(self, keys: Collection[str]) -> None:
        """These values have just spoken for two people at once, each from where it was proved. What does that too often
        is blocked from now on. What people only say never blocks: else anybody could shut out an address of others."""
        for key in keys:
            kind, _, value = key.partition(":")
            if kind not in GUARDED or await self._profiles.suggestions.pairs_by(key, proved=True) <= PAIRS_MAX:
                continue
            await self._store.add(blocked_row(new_id("blk"), key, kind, value, "many_people", None, self._clock()))
            await self._profiles.suggestions.withdraw(key)
            self._known_until = 0.0
