"""What becomes of each person of an audience, stretch by stretch: where and when they are written to, or why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.errors import NotFound
from base.ids import new_id, unique_key
from base.mongo import Document
from campaigns.broadcasts.arms import arm_of, is_held_out
from campaigns.broadcasts.models import REST, Broadcast, Now
from campaigns.broadcasts.timing import Queue, Turn, turn
from campaigns.broadcasts.ways import Road, Way, addresses, way_of
from campaigns.facts import RECEIVING_ONLY
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.models import SKIPPED_RANK, Reason, SendRequest, Source
from inbox.outbox import send_row
from inbox.store.mailings import KIND
from profiles.consent import MARKETING, Consent
from profiles.membership.finding import Between, Stretch
from profiles.models import Identity
from profiles.segments import TagNames, segments_of, with_segments, with_tags
from profiles.store import ProfileStore
from profiles.store.segments import MemberStore, SegmentStore
from profiles.terms import Terms

HELD_OUT = Reason("holdout", "The person is in the control group and gets no message.")
LATE = Reason("late_zone", "Where this person lives that time was past when the broadcast began.")
#: People of one read while those who are late are counted.
LATE_STRETCH = 10_000
#: The purpose of what needs nobody's consent.
_SERVICE = "service"


@dataclass(frozen=True)
class Place:
    """One person: a way and a time, or a reason."""

    profile_id: str
    arm: str | None
    way: Way | Reason
    turn: Turn


@dataclass(frozen=True)
class Plan:
    """What is the same for everybody of a broadcast."""

    broadcast_id: str
    broadcast: Broadcast
    start: datetime
    decide_at: datetime | None
    has_approved: bool

    @property
    def purpose(self) -> str:
        """What consent is asked for."""
        return self.broadcast.group or MARKETING if self.broadcast.send_class == "marketing" else _SERVICE

    def due_at_once(self, now: datetime) -> Plan:
        """The same for people whose own time has passed already."""
        at_once = self.broadcast.model_copy(update={"schedule": Now()})
        return replace(self, broadcast=at_once, start=now, decide_at=None)


def send_key(broadcast_id: str, profile_id: str, attempt: int = 1) -> str:
    """Unique for ever: one send per broadcast and person. Only another attempt of what failed has a key of its own."""
    return unique_key(KIND, broadcast_id, profile_id, *([attempt] if attempt > 1 else []))


class Places:
    """Finds people and their places."""

    def __init__(
        self, members: MemberStore, segments: SegmentStore, profiles: ProfileStore, consent: Consent,
        channels: ChannelStore, registry: Registry, terms: Terms, clock: Clock, *, project_zone: str,
    ) -> None:  # fmt: skip
        self._members = members
        self._segments = segments
        self._profiles = profiles
        self._consent = consent
        self._channels = channels
        self._registry = registry
        self._terms = terms
        self._clock = clock
        self.project_zone = project_zone

    async def total(self) -> int:
        """About how many people there are to look at."""
        return await self._members.total()

    async def stretch(self, after: str, size: int) -> tuple[str, int] | None:
        """The last of the next `size` ids, and how many they are; None at the end."""
        return await self._members.stretch(after, size)

    async def audience(self, broadcast: Broadcast, between: Between) -> list[Document]:
        """`{_id, time_zone}` of those of this stretch who are in the audience now."""
        rule = broadcast.audience.rule_read
        bound = with_segments(rule, await self._segments.live_keys(segments_of(rule)))
        bound = with_tags(bound, await self.tag_names())
        wanted = await Stretch(self._members, between, self._clock()).filter(bound)
        return await self._members.people(between, wanted, ("time_zone",))

    async def tag_names(self) -> TagNames:
        """By which names tags are found; at most two seconds old."""
        return (await self._terms.now()).tags

    def segments_of(self, broadcast: Broadcast) -> frozenset[str]:
        """All segments that its audience asks for."""
        return segments_of(broadcast.audience.rule_read)

    async def late(self, broadcast: Broadcast, start: datetime, limit: int) -> tuple[int, bool]:
        """How many of the audience live where their time is past at `start`, and whether all were looked at."""
        after, seen, late = "", 0, 0
        zones: dict[str | None, bool] = {}
        while (found := await self._members.stretch(after, LATE_STRETCH)) is not None:
            for person in await self.audience(broadcast, (after, found[0])):
                zone = person.get("time_zone")
                if zone not in zones:
                    zones[zone] = turn(broadcast, zone, self.project_zone, start).late
                late += zones[zone]
            after, seen = found[0], seen + found[1]
            if seen >= limit:
                return late, False
        return late, True

    async def of(self, plan: Plan, people: Sequence[Document]) -> list[Place]:
        """Their places, in their order."""
        roads = await self.roads(plan.broadcast)
        ids = [person["_id"] for person in people]
        identities = await self._profiles.identity_rows.of_profiles(ids)
        verdicts = await self._verdicts(plan, roads, identities)
        turns: dict[str | None, Turn] = {}
        found = []
        for person in people:
            zone = person.get("time_zone")
            if zone not in turns:
                turns[zone] = turn(plan.broadcast, zone, self.project_zone, plan.start)
            found.append(_place(plan, person["_id"], roads, identities[person["_id"]], verdicts, turns[zone]))
        return found

    async def roads(self, broadcast: Broadcast) -> list[Road]:
        """The broadcast's channels that are connected, in its order."""
        found = []
        for channel_id in broadcast.channel_ids:
            opened = await self._channels.both(channel_id)
            if opened is None or opened[0].state == "disconnected":
                continue
            try:
                adapter = self._registry.get(opened[0].provider)
            except NotFound:
                continue
            if adapter.card.kind not in RECEIVING_ONLY:
                found.append(Road(channel_id, adapter.card.kind == "email", adapter.capabilities))
        return found

    async def _verdicts(
        self, plan: Plan, roads: Sequence[Road], identities: Mapping[str, Sequence[Identity]]
    ) -> Mapping[tuple[str, str], Any]:
        usable = {each.id: each for own in identities.values() for road in roads for each in addresses(road, own)}
        return await self._consent.allowed([(key, plan.purpose) for key in usable], usable) if usable else {}


def _place(
    plan: Plan, profile_id: str, roads: Sequence[Road], identities: Sequence[Identity],
    verdicts: Mapping[tuple[str, str], Any], own_turn: Turn,
) -> Place:  # fmt: skip
    """Who could not be written to anyway is never in the control group: both groups are of those who could."""
    arm = arm_of(plan.broadcast_id, plan.broadcast.ab, profile_id)
    if own_turn.at is None:
        return Place(profile_id, arm, LATE, own_turn)
    way = way_of(roads, identities, plan.purpose, verdicts, own_turn.at, has_approved=plan.has_approved)
    if isinstance(way, Way) and is_held_out(plan.broadcast_id, plan.broadcast, profile_id):
        return Place(profile_id, None, HELD_OUT, own_turn)
    return Place(profile_id, arm, way, own_turn)


def row_of(plan: Plan, place: Place, queue: Queue, now: datetime, attempt: int = 1) -> Document:
    """The row of the ledger for a person's place."""
    broadcast, key = plan.broadcast, send_key(plan.broadcast_id, place.profile_id, attempt)
    source = Source(KIND, plan.broadcast_id, node_id=place.arm, visit=attempt)
    if isinstance(place.way, Reason) or place.turn.at is None:
        reason = place.way if isinstance(place.way, Reason) else LATE
        return _skipped(plan, place, key, source, reason, now)
    at = place.turn.at
    if place.arm == REST and plan.decide_at is not None:
        at = max(at, plan.decide_at)
    at = queue.stands(at, place.turn.zone)
    request = SendRequest(
        send_key=key, send_class=broadcast.send_class, source=source, profile_id=place.profile_id,
        identity_id=place.way.identity_id, channel_id=place.way.channel_id,
        content={"purpose": broadcast.group} if broadcast.group else {}, due_at=at,
    )  # fmt: skip
    row = send_row(request, now) | {"wanted_at": at}
    return row | {"zone": place.turn.zone} if place.turn.zone else row


def _skipped(plan: Plan, place: Place, key: str, source: Source, reason: Reason, now: datetime) -> Document:
    """Somebody who gets nothing stands in the ledger too, with the reason; nobody looks at such a row again."""
    way = place.way if isinstance(place.way, Way) else None
    return {
        "_id": new_id("snd"), "send_key": key, "class": plan.broadcast.send_class, "source": source.as_document(),
        "profile_id": place.profile_id, "identity_id": way.identity_id if way else "",
        "channel_id": way.channel_id if way else plan.broadcast.channel_ids[0], "content": {}, "state": "skipped",
        "rank": SKIPPED_RANK, "tries": 0, "attempts": 0, "fence": 0, "planned_at": now, "updated_at": now,
        "standing_at": now, "reason": reason.as_document(), "history": [],
    }  # fmt: skip
