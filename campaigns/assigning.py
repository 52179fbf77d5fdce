"""Who is to do something: a named colleague, the person's owner, whoever's turn it is; and nobody who is not there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from campaigns.store.turns import TurnStore
from inbox.routing.models import Colleague, Staff
from profiles.store import ProfileStore

#: Seconds for which the list of colleagues is good enough.
FRESH_S = 2.0


class Presence(Protocol):
    """Knows who would answer now."""

    async def here(self, user_id: str) -> bool:
        """Whether this colleague would."""
        ...

    async def on_leave(self) -> frozenset[str]:
        """Those who have said that they are away for a day or longer."""
        ...


class Everybody:
    """Takes everybody for being here."""

    async def here(self, user_id: str) -> bool:
        """As `Presence`."""
        return True

    async def on_leave(self) -> frozenset[str]:
        """As `Presence`."""
        return frozenset()


class Assigning:
    """Finds who is to do something."""

    def __init__(
        self, staff: Staff, turns: TurnStore, profiles: ProfileStore, presence: Presence | None = None
    ) -> None:
        """`presence` None: nobody says who is here."""
        self._presence = presence or Everybody()
        self._staff = staff
        self._turns = turns
        self._profiles = profiles
        self._people: dict[str, Colleague] = {}
        self._until = 0.0

    async def active(self) -> dict[str, Colleague]:
        """Those who are there, by id."""
        if time.monotonic() >= self._until:
            self._people = {each.id: each for each in await self._staff.users() if each.active}
            self._until = time.monotonic() + FRESH_S
        return self._people

    async def colleague(self, user_id: str) -> Colleague | None:
        """One who is there. Who came a moment ago is looked for anew."""
        if user_id not in await self.active():
            self.forget()
        return (await self.active()).get(user_id)

    async def on_leave(self) -> frozenset[str]:
        """Colleagues who are away for a day or longer."""
        return await self._presence.on_leave()

    def forget(self) -> None:
        """Look at the list anew at the next call."""
        self._until = 0.0

    async def choose(
        self, wanted: str | None, profile_id: str | None, *, key: str, pool: str, among: Sequence[str] = (),
        channel_id: str | None = None,
    ) -> str | None:  # fmt: skip
        """One colleague, or None: whoever takes it. Somebody who is not there any more is stood in for by the owner.

        `key`: the same one always has the same turn in `pool`; `among`: who takes turns, those who are here before
        the others; `channel_id`: what they must be allowed to see.
        """
        people = await self.active()
        if wanted is None or wanted.startswith("role:"):
            return None
        if wanted == "round_robin":
            able = sorted(each.id for each in people.values() if takes_turns(each, among, channel_id))
            here = [each for each in able if await self._presence.here(each)] or able
            return here[await self._turns.number(f"round:{pool}", key) % len(here)] if here else None
        return wanted if wanted in people else await self.owner_of(profile_id)

    async def owner_of(self, profile_id: str | None) -> str | None:
        """The person's owner, if there is one who is there."""
        profile = await self._profiles.get(profile_id) if profile_id else None
        owner = profile.owner_id if profile else None
        return owner if owner in await self.active() else None

    async def of_role(self, role: str) -> list[str]:
        """Everybody of this role who is there."""
        return sorted(each.id for each in (await self.active()).values() if each.role == role)


def takes_turns(colleague: Colleague, among: Sequence[str], channel_id: str | None) -> bool:
    """Whether it can be their turn. Pure."""
    if channel_id is not None and colleague.channels is not None and channel_id not in colleague.channels:
        return False
    return colleague.id in among if among else colleague.role == "agent"
