"""Reads what decisions look at, fresh, for many runs in one read per kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from base.clock import Clock
from campaigns.conditions import Happened, subject_of
from campaigns.interest import history_names, looks_back_to, looks_for
from campaigns.models import Definition
from campaigns.refilling import Refills, names_refill
from campaigns.run import Candidate, Facts, Need, RunState
from channels.registry import Registry
from channels.store import Channel, ChannelStore
from inbox.heads import is_part
from inbox.store import ConversationStore
from orders.models import Order
from orders.store import OrderStore
from profiles.events import Event, EventStore
from profiles.models import Identity
from profiles.store import ProfileStore
from profiles.store.segments import SegmentStore

#: Kinds of identities that a mail can be sent to although the person never wrote to that account.
_MAILABLE = "email"
#: Kinds of channels on which nobody can be written to.
RECEIVING_ONLY = frozenset({"shop", "tracking"})
#: Runs whose events are read together: the store gives at most 20,000 events for one question.
HAPPENED_SHARE = 100


@dataclass(frozen=True)
class Ask:
    """What one run needs to know."""

    run: RunState
    definition: Definition
    needs: frozenset[Need]


class FactReader:
    """Reads profiles, events, addresses, orders and conversations in bulk."""

    def __init__(
        self, profiles: ProfileStore, events: EventStore, orders: OrderStore, conversations: ConversationStore,
        channels: ChannelStore, registry: Registry, clock: Clock, *, project_zone: str = "UTC",
        segments: SegmentStore | None = None,
    ) -> None:  # fmt: skip
        self._segments = segments
        self._profiles = profiles
        self._events = events
        self._orders = orders
        self._conversations = conversations
        self._channels = channels
        self._registry = registry
        self._clock = clock
        self._refills = Refills(orders)
        self.project_zone = project_zone

    async def read(self, asks: Sequence[Ask], before: Mapping[str, Facts] | None = None) -> dict[str, Facts]:
        """Run id → its facts; those read `before` are kept and added to."""
        found = {ask.run.id: (before or {}).get(ask.run.id, Facts(project_zone=self.project_zone)) for ask in asks}
        # Orders before events: whoever reads "paid" then also finds the `order.paid` written with it, so that a goal
        # that was reached is never taken for an exit condition.
        for need, fill in (
            ("profile", self._profile),
            ("order", self._order),
            ("history", self._history),
            ("happened", self._happened),
            ("conversation", self._conversation),
            ("candidates", self._candidates),
        ):
            concerned = [ask for ask in asks if need in ask.needs and need not in found[ask.run.id].loaded]
            if concerned:
                await fill(concerned, found)
        return {ask.run.id: replace(found[ask.run.id], loaded=found[ask.run.id].loaded | ask.needs) for ask in asks}

    async def profiles(self, profile_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Profile documents, merges followed."""
        return await self._profiles.documents(profile_ids)

    async def current(self, profile_ids: Iterable[str]) -> dict[str, str]:
        """Asked id → the id of today, merges followed."""
        return await self._profiles.current(profile_ids)

    async def subjects(self, profile_ids: Sequence[str], names: Iterable[str]) -> dict[str, Any]:
        """What rules over the profile and its history are judged on; people who are gone are left out."""
        rows = await self._documents(profile_ids)
        wanted = sorted(names)
        events = await self._events.find_many(sorted({row["_id"] for row in rows.values()}), wanted) if wanted else {}
        now = self._clock()
        return {
            asked: subject_of(row, [event.document() for event in events.get(row["_id"], ())], now)
            for asked, row in rows.items()
        }

    async def identities(self, profile_ids: Iterable[str]) -> dict[str, list[Identity]]:
        """Profile → every way to reach the person, whichever of their merged ids is asked for."""
        asked = list(dict.fromkeys(profile_ids))
        now = await self._profiles.current(asked)
        by_profile = await self._profiles.identity_rows.of_profiles(sorted(set(now.values())))
        return {profile_id: by_profile[now[profile_id]] for profile_id in asked}

    async def orders_of(self, profile_ids: Iterable[str]) -> dict[str, list[Order]]:
        """Profile → all orders of the person, by whichever identity they were placed; the newest first."""
        asked = list(dict.fromkeys(profile_ids))
        now = await self._profiles.current(asked)
        by_profile = await self._orders.of_profiles(sorted(set(now.values())))
        return {profile_id: by_profile.get(now[profile_id], []) for profile_id in asked}

    async def _documents(self, profile_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Profiles in which the segments they are in now stand by their ids, as rules name them."""
        rows = await self._profiles.documents(profile_ids)
        if self._segments is None or not any(row.get("segments") for row in rows.values()):
            return rows
        live = await self._segments.live_keys()
        held = {asked: set(row.get("segments") or ()) for asked, row in rows.items()}
        return {
            asked: {**row, "segments": [each for each, key in live.items() if key in held[asked]]}
            for asked, row in rows.items()
        }

    # -- one method per need -----------------------------------------------------------------------------------

    async def _profile(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        rows = await self._documents({ask.run.profile_id for ask in asks})
        for ask in asks:
            row = rows.get(ask.run.profile_id)
            if row is not None:
                found[ask.run.id] = replace(found[ask.run.id], profile=row, subject=subject_of(row, (), self._clock()))

    async def _history(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        names = {name for ask in asks for name in history_names(ask.definition, ask.run.node)}
        subjects = await self.subjects(sorted({ask.run.profile_id for ask in asks}), names)
        for ask in asks:
            subject = subjects.get(ask.run.profile_id)
            if subject is not None:
                found[ask.run.id] = replace(found[ask.run.id], subject=subject)

    async def _happened(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        """In shares of runs that look back about equally far, so that long runs make nobody else read much."""
        by_age = sorted(asks, key=lambda ask: looks_back_to(ask.definition, ask.run), reverse=True)
        now = await self._profiles.current({ask.run.profile_id for ask in asks})
        for start in range(0, len(by_age), HAPPENED_SHARE):
            await self._happened_to(by_age[start : start + HAPPENED_SHARE], now, found)

    async def _happened_to(self, asks: Sequence[Ask], now: Mapping[str, str], found: dict[str, Facts]) -> None:
        wanted = {ask.run.id: looks_for(ask.definition, ask.run) for ask in asks}
        names = {name for own in wanted.values() for name in own}
        since = looks_back_to(asks[-1].definition, asks[-1].run)
        events = await self._events.find_many(sorted({now[ask.run.profile_id] for ask in asks}), sorted(names), since)
        for ask in asks:
            own = [happened(event) for event in events[now[ask.run.profile_id]] if event.name in wanted[ask.run.id]]
            own.sort(key=in_order_of_time)
            found[ask.run.id] = replace(found[ask.run.id], happened=tuple(own))

    async def _order(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        orders = await self.orders_of({ask.run.profile_id for ask in asks})
        for ask in asks:
            theirs = orders.get(ask.run.profile_id, [])
            own = orders_of_run(ask.run, theirs)
            view = order_view(own)
            if own and names_refill(ask.definition):
                view |= await self._refills.of(own[0], theirs)
            values = {**found[ask.run.id].values, "order": view}
            found[ask.run.id] = replace(found[ask.run.id], values=values)

    async def _conversation(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        identities = await self.identities({ask.run.profile_id for ask in asks})
        ids = sorted({each.id for own in identities.values() for each in own})
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in await self._conversations.open_of(ids):
            if is_part(row):
                continue  # what it was merged into is open, or it is not
            rows.setdefault(row["identity_id"], []).append(row)
        for ask in asks:
            own = [row for each in identities[ask.run.profile_id] for row in rows.get(each.id, ())]
            view = {"open": bool(own), "waiting": any(row.get("waiting_since") for row in own)}
            found[ask.run.id] = replace(found[ask.run.id], values={**found[ask.run.id].values, "conversation": view})

    async def _candidates(self, asks: Sequence[Ask], found: dict[str, Facts]) -> None:
        identities = await self.identities({ask.run.profile_id for ask in asks})
        connected = [channel for channel in await self._channels.list() if channel.state != "disconnected"]
        kinds = {channel.id: self._registry.get(channel.provider).card.kind for channel in connected}
        channels = [channel for channel in connected if kinds[channel.id] not in RECEIVING_ONLY]
        mail = [channel for channel in channels if kinds[channel.id] == "email"]
        for ask in asks:
            own = candidates_of(identities[ask.run.profile_id], channels, mail)
            found[ask.run.id] = replace(found[ask.run.id], candidates=own)


def candidates_of(
    identities: Sequence[Identity], channels: Sequence[Channel], mail: Sequence[Channel]
) -> tuple[Candidate, ...]:
    """Every way to write to a person: addresses on connected accounts, and mail addresses by any mail account."""
    by_id = {channel.id: channel for channel in channels}
    found = []
    for each in identities:
        barred = "suppressed" if each.suppressed is not None else None if each.reachable else "left"
        usable = barred is None
        if each.channel_id in by_id:
            channel = by_id[each.channel_id]
            found.append(Candidate(channel.id, each.id, channel.provider, each.last_inbound_at, usable, barred))
        elif each.kind == _MAILABLE and each.channel_id is None:
            found += [Candidate(channel.id, each.id, channel.provider, None, usable, barred) for channel in mail]
    return tuple(found)


def happened(event: Event) -> Happened:
    """A kept event as a run sees it."""
    return Happened(
        id=event.id,
        name=event.name,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        properties=event.properties,
        channel_id=event.channel_id,
        conversation_id=event.conversation_id,
    )


def in_order_of_time(event: Happened) -> tuple[datetime, datetime]:
    """When it happened; of two at once the one we heard of first."""
    return event.occurred_at, event.received_at or event.occurred_at


def orders_of_run(run: RunState, orders: Sequence[Order]) -> list[Order]:
    """The order a run is about, by our id or the shop's: first the very one, then others of the same number that the
    person has with us (the same purchase told by a shop and by a program)."""
    properties = (run.data.get("event") or {}).get("properties") or {}
    own_id, number = properties.get("order_id"), properties.get("external_id")
    very = [order for order in orders if order.id == own_id]
    return very + [order for order in orders if order.id != own_id and number and order.external_id == number]


def order_view(orders: Sequence[Order]) -> dict[str, Any]:
    """An order as rules and templates see it. Paid or called off under one of its numbers is paid or called off."""
    if not orders:
        return {}
    first = orders[0]
    paid, called_off = any(each.is_paid for each in orders), any(each.is_called_off for each in orders)
    reached = {status for each in orders for status in each.reached}
    return {
        **first.model_dump(exclude={"status_history"}),
        "number": first.number or first.external_id,
        "reached": sorted(reached),
        "paid": paid,
        "called_off": called_off,
        # Authorised money is on its way: a reminder would only puzzle.
        "awaits_payment": not paid
        and not called_off
        and reached.isdisjoint({"authorised"})
        and first.status != "checkout",
    }
