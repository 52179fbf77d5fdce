"""The one place that journeys and broadcasts ask: may this go now, by the quiet hours and the caps of the house?

Asked twice. Before the hand-over it only looks (`objections`); right before the call it takes (`taken`): the slot a
message counts by is taken in the same write that looks whether there is room, so two workers never exceed a cap. A slot
whose send came to nothing is given back when it stands in somebody's way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from base.mongo import Document
from campaigns.gates import quiet_until
from campaigns.policies.capping import Full, Slot, fullest, sentence_of
from campaigns.policies.models import SendingPolicies, Wishes, policies_of
from campaigns.policies.store import PolicyStore, SlotStore
from campaigns.wallclock import zone_or
from channels.store import ChannelStore
from inbox.models import Send
from inbox.sources import Defer, Skip
from inbox.store import SendStore
from profiles.store import ProfileStore

#: Seconds for which the rules as read are good enough; a change lags at most this much behind.
FRESH_S = 2.0
#: Slots are taken for so many at once.
AT_ONCE = 50
#: How often a slot is tried for while others take and give back.
ROUNDS = 4
_QUIET = "It waits for the end of the quiet hours."
_NOT_LATER = "It came due in the quiet hours and is not wanted later."

Objection = Skip | Defer


@dataclass(frozen=True)
class _Rules:
    """The rules as they were read."""

    policies: SendingPolicies
    edition: int


@dataclass(frozen=True)
class _Case:
    """One send, whose it is today, and where they live."""

    send: Send
    wishes: Wishes
    person: Mapping[str, Any]
    zone: ZoneInfo
    slot: Slot

    @property
    def profile_id(self) -> str:
        """The person of today, merges followed."""
        return str(self.person["_id"])


class HouseRules:
    """Quiet hours, then caps."""

    def __init__(
        self, policies: PolicyStore, slots: SlotStore, sends: SendStore, profiles: ProfileStore,
        channels: ChannelStore, *, project_zone: str,
    ) -> None:  # fmt: skip
        self._policies = policies
        self._slots = slots
        self._sends = sends
        self._profiles = profiles
        self._channels = channels
        self._project_zone = project_zone
        self._rules: _Rules | None = None
        self._until = 0.0

    def forget(self) -> None:
        """Something was saved here: look again at the next call."""
        self._until = 0.0

    async def policies(self) -> SendingPolicies:
        """The rules that hold."""
        return (await self._known()).policies

    async def objections(self, asked: Sequence[tuple[Send, Wishes]], now: datetime) -> dict[str, Objection]:
        """Those that must not go now, by send id. Only looks."""
        rules, cases, found = await self._asked(asked, now)
        capped = [case for case in cases if case.send.send_class in rules.policies.capped]
        known = await self._slots.of_people({case.profile_id for case in capped}, rules.edition) if capped else {}
        for case in capped:
            slots = known.get(case.profile_id, [])
            full = fullest(rules.policies.caps, case.slot, slots, case.zone, now)
            if full is not None and (lost := await self._gave_back(case, slots)):
                known[case.profile_id] = [each for each in slots if each not in lost]
                full = fullest(rules.policies.caps, case.slot, known[case.profile_id], case.zone, now)
            if full is not None:
                found[case.send.id] = _held(case, full)
        return found

    async def taken(self, asked: Sequence[tuple[Send, Wishes]], now: datetime) -> dict[str, Objection]:
        """The same once more, and those that may go have their slots. Nothing but the call may follow."""
        rules, cases, found = await self._asked(asked, now)
        capped = [case for case in cases if case.send.send_class in rules.policies.capped]
        beside = frozenset(case.send.id for case in capped)
        for begin in range(0, len(capped), AT_ONCE):
            some = capped[begin : begin + AT_ONCE]
            for case, full in zip(
                some, await asyncio.gather(*(self._take(rules, each, now, beside) for each in some)), strict=True
            ):
                if full is not None:
                    found[case.send.id] = _held(case, full)
        return found

    # -- reading -----------------------------------------------------------------------------------------------

    async def _known(self) -> _Rules:
        if self._rules is None or time.monotonic() > self._until:
            row = await self._policies.get()
            self._rules = _Rules(policies_of(row), row["edition"])
            self._until = time.monotonic() + FRESH_S
        return self._rules

    async def _asked(
        self, asked: Sequence[tuple[Send, Wishes]], now: datetime
    ) -> tuple[_Rules, list[_Case], dict[str, Objection]]:
        """The rules, those whom no quiet hours hold back, and those whom they do."""
        rules = await self._known()
        policies = rules.policies
        if not policies.capped and policies.quiet_hours is None and not any(each.quiet for _, each in asked):
            return rules, [], {}
        people = await self._profiles.documents({send.profile_id for send, _ in asked})
        providers = await self._providers({send.channel_id for send, _ in asked})
        cases: list[_Case] = []
        found: dict[str, Objection] = {}
        for send, wishes in asked:
            person = people.get(send.profile_id)
            if person is None:
                continue  # erased: the source says so
            case = _Case(send, wishes, person, self._zone(person), slot_of(send, providers, now))
            quiet = self._quiet(policies, case, now)
            if quiet is None:
                cases.append(case)
            else:
                found[send.id] = quiet
        return rules, cases, found

    def _quiet(self, policies: SendingPolicies, case: _Case, now: datetime) -> Objection | None:
        of_house = policies.quiet_hours if case.send.send_class == "marketing" else None
        quiet = case.wishes.quiet or of_house
        until = quiet_until(quiet, case.person.get("time_zone"), self._project_zone, now)
        if until is None:
            return None
        skipped = case.wishes.if_quiet == "skip"
        return Skip("quiet_hours", _NOT_LATER) if skipped else Defer(until, "quiet_hours", _QUIET)

    def _zone(self, person: Mapping[str, Any]) -> ZoneInfo:
        return zone_or(person.get("time_zone"), self._project_zone)[0]

    async def _providers(self, channel_ids: set[str]) -> dict[str, str]:
        found = {}
        for channel_id in channel_ids:
            opened = await self._channels.both(channel_id)
            found[channel_id] = opened[0].provider if opened else ""
        return found

    # -- taking ------------------------------------------------------------------------------------------------

    async def _take(self, rules: _Rules, case: _Case, now: datetime, beside: frozenset[str]) -> Full | None:
        """Take the slot; the cap that leaves no room when it cannot be had. `beside`: all that want one now."""
        caps, horizon = rules.policies.caps, now - rules.policies.horizon
        full = None
        for _ in range(ROUNDS):
            if await self._slots.take(case.profile_id, case.slot, caps, case.zone, rules.edition, horizon):
                return None
            known = (await self._slots.of_people([case.profile_id], rules.edition)).get(case.profile_id)
            if known is None:
                await self._make(rules, case, horizon, beside)
                continue
            full = fullest(caps, case.slot, known, case.zone, now)
            if full is not None and not await self._gave_back(case, known):
                return full
        return full or Full(caps[0], now + rules.policies.breaker.within)  # a crowd: again a little later

    async def _make(self, rules: _Rules, case: _Case, horizon: datetime, beside: frozenset[str]) -> None:
        """What the ledger tells, without those that stand beside: they are handed over, but not called before each has
        its own slot. Counted, three at once would keep each other back, and none would go."""
        ids = list(dict.fromkeys([case.profile_id, case.send.profile_id]))
        rows = await self._sends.gone_to(ids, rules.policies.capped, horizon)
        providers = await self._providers({row["channel_id"] for row in rows})
        slots = [_slot_of_row(row, providers) for row in rows if row["_id"] not in beside]
        await self._slots.make(case.profile_id, slots, rules.edition)

    async def _gave_back(self, case: _Case, known: Sequence[Slot]) -> list[Slot]:
        """Slots that stood in the way and belonged to sends that came to nothing."""
        others = [each for each in known if each.send != case.send.id]
        standing = await self._sends.standing(each.send for each in others)
        lost = [each for each in others if _came_to_nothing(standing.get(each.send))]
        await self._slots.give_back(case.profile_id, lost)
        return lost


def slot_of(send: Send, providers: Mapping[str, str], now: datetime) -> Slot:
    """What a send would count by, were it handed over now."""
    group = str(send.content.get("purpose") or "marketing")
    return Slot(send.id, now, send.send_class, group, send.channel_id, providers.get(send.channel_id, ""))


def _slot_of_row(row: Document, providers: Mapping[str, str]) -> Slot:
    group = str(row.get("content", {}).get("purpose") or "marketing")
    provider = providers.get(row["channel_id"], "")
    return Slot(row["_id"], row["handed_at"], row["class"], group, row["channel_id"], provider)


def _came_to_nothing(standing: tuple[str, int] | None) -> bool:
    """It failed, was skipped, or was never called and waits. Of a row that is gone nobody knows: it counts."""
    if standing is None:
        return False
    state, tries = standing
    return state in ("failed", "skipped") or (state in ("planned", "deferred", "claimed") and tries == 0)


def _held(case: _Case, full: Full) -> Objection:
    sentence = sentence_of(full)
    if case.wishes.if_capped == "skip":
        return Skip("capped", f"{sentence} It is not wanted later.")
    return Defer(full.until, "capped", f"{sentence} It waits until there is room again.")
