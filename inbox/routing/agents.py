"""Who is there: what colleagues say of themselves, what their windows show, what they can take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from base.clock import Clock
from base.errors import FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.queue import Doorbell
from inbox.routing.models import Ability, Agent, PresenceRules, Staff
from inbox.routing.standing import SEEN_FOR, Present, all_standing, is_on_leave, said_state, standing
from inbox.store import AgentStore, PresenceRuleStore

#: Seconds for which the rules read before are good enough.
FRESH_S = 2.0
#: An open window is written down at most so often, seconds.
NOTED_EVERY_S = SEEN_FOR.total_seconds() / 3


class Agents:
    """Reads and changes how colleagues stand. `here` is what others ask."""

    def __init__(
        self, store: AgentStore, rules: PresenceRuleStore, staff: Staff, feed: Feed, doorbell: Doorbell, clock: Clock
    ) -> None:
        self._store = store
        self._rules = rules
        self._staff = staff
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._noted: dict[str, float] = {}
        self._known: PresenceRules | None = None
        self._until = 0.0

    async def rules(self) -> PresenceRules:
        """The states there are."""
        if self._known is None or time.monotonic() >= self._until:
            row = await self._rules.chosen()
            given = {name: row[name] for name in PresenceRules.model_fields if name in row}
            self._known, self._until = PresenceRules.model_validate(given), time.monotonic() + FRESH_S
        return self._known

    async def choose_rules(self, rules: PresenceRules, by: str) -> None:
        """From now on these."""
        await self._rules.choose(rules.model_dump(mode="json"), by)
        self._until = 0.0
        await self._told()

    async def seen(self, user_id: str) -> None:
        """A window of theirs is open. Written down now and then; the first of a day wakes the queue."""
        now_s = time.monotonic()
        if now_s - self._noted.get(user_id, -NOTED_EVERY_S) < NOTED_EVERY_S:
            return
        self._noted[user_id] = now_s
        now, rules = self._clock(), await self.rules()
        row = await self._store.seen(user_id, now)
        before = standing(Agent.model_validate(row) if row else None, rules, now)
        after = standing(Agent.model_validate({"_id": user_id, **row, "seen_at": now}), rules, now)
        if before.state != after.state:
            await self._told()

    async def say(
        self, user_id: str, state: str, *, until: datetime | None = None, on_phone: bool = False,
        deputy_id: str | None = None,
    ) -> Present:  # fmt: skip
        """They are in this state from now on, or until then. `deputy_id`: who stands in for them while they are away.
        Raises `WrongInput`, `NotFound`."""
        now, rules = self._clock(), await self.rules()
        if rules.state(state) is None:
            known = ", ".join(each.key for each in rules.states)
            raise WrongInput("There is no such state.", [FieldError("state", f"is one of {known}")])
        if until is not None and until <= now:
            raise WrongInput("This time is over.", [FieldError("until", "lies ahead")])
        await self._must_be_somebody(user_id)
        if deputy_id is not None and (deputy_id == user_id or deputy_id not in await self._active()):
            raise WrongInput("Nobody like that can stand in.", [FieldError("deputy_id", "is no other colleague")])
        said = {"state": state, "state_at": now, "until": until, "on_phone": on_phone, "deputy_id": deputy_id}
        await self._store.change(user_id, said)
        await self._told()
        return await self.of(user_id)

    async def enable(self, user_id: str, fields: Mapping[str, Any]) -> Present:
        """Set what they can take: some of capacity, skills, languages, as `Ability` has them. Raises `NotFound`."""
        await self._must_be_somebody(user_id)
        wanted = Ability.model_validate(fields).model_dump(mode="json")
        await self._store.change(user_id, {name: wanted[name] for name in fields})
        await self._told()
        return await self.of(user_id)

    async def changed(self, user_id: str) -> None:
        """Role or channels of somebody are others now: what is given to them at this moment is thought over."""
        await self._store.change(user_id, {})
        await self._told()

    async def all(self) -> dict[str, Present]:
        """Everybody by id, in the order of their names; those who were switched off among them."""
        rows = await self._store.all()  # before the people: whose rights change meanwhile has another `rev` then
        return all_standing(await self._staff.users(), rows, await self.rules(), self._clock())

    async def of(self, user_id: str) -> Present:
        """One of them. Raises `NotFound`."""
        found = (await self.all()).get(user_id)
        if found is None or not found.person.active:
            raise NotFound("There is no such person.")
        return found

    async def row(self, user_id: str) -> Agent | None:
        """What is known of somebody, whoever they are; None: nothing."""
        row = await self._store.get(user_id)
        return Agent.model_validate(row) if row else None

    async def here(self, user_id: str) -> bool:
        """Whether they would answer now."""
        return standing(await self.row(user_id), await self.rules(), self._clock()).here

    async def nearness(self, user_id: str) -> Literal["here", "gone", "away"]:
        """Whether they are here, without an open window, or away as they say themselves."""
        agent, rules, now = await self.row(user_id), await self.rules(), self._clock()
        if standing(agent, rules, now).here:
            return "here"
        return "gone" if said_state(agent, rules, now)[0].counts_as_here else "away"

    async def on_leave(self) -> frozenset[str]:
        """Those who have said that they are away for a day or longer."""
        now, rules = self._clock(), await self.rules()
        people = [Agent.model_validate(row) for row in (await self._store.all()).values()]
        return frozenset(each.id for each in people if is_on_leave(each, rules, now))

    async def absent(self) -> frozenset[str]:
        """Those who are away for a day or longer, and those who do not work here any more."""
        return await self.on_leave() | {each.id for each in await self._staff.users() if not each.active}

    async def deputies(self) -> dict[str, str]:
        """Person → who stands in for them while they are away, where they have named somebody who is still there."""
        rows, active = await self._store.all(), await self._active()
        named = {key: str(row.get("deputy_id") or "") for key, row in rows.items()}
        return {key: deputy for key, deputy in named.items() if deputy in active}

    async def _active(self) -> set[str]:
        return {each.id for each in await self._staff.users() if each.active}

    async def _must_be_somebody(self, user_id: str) -> None:
        if user_id not in await self._active():
            raise NotFound("There is no such person.")

    async def _told(self) -> None:
        await self._feed.append([Notice("presence.updated", {})])
        await self._doorbell.ring("route")
