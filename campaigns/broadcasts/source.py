"""What delivery asks before a broadcast's send goes out: all is judged once more, on fresh data.

The order: is the broadcast running, is the person there and (where asked for) still in the audience, is the winner
known, is the address barred (suppressed, no consent, out of reach), is there room at this rate; then delivery asks for
windows, and then what the rules of the house say: quiet hours and caps (`campaigns.policies`). Who is in the control
group was decided by the same order when the ledger was planned. A person who cannot be reached on the first channel any
more is written to on the next one, by the same row of the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from base.clock import Clock
from base.mongo import Document
from campaigns.broadcasts.heads import broadcast_of, plan_of, template_of, wording_of
from campaigns.broadcasts.models import REST, Broadcast
from campaigns.broadcasts.pacing import Pacer, turned_away
from campaigns.broadcasts.places import Places
from campaigns.broadcasts.store import BroadcastStore
from campaigns.broadcasts.ways import Way
from campaigns.conditions import Scope, holds
from campaigns.facts import FactReader
from campaigns.namespaces import named
from campaigns.naming import condition_with_tag_names
from campaigns.policies.gate import HouseRules
from campaigns.policies.models import Wishes
from campaigns.store import TemplateStore
from campaigns.writing import Letter, MessageWriter
from channels.vocabulary import OutboundMessage
from inbox.models import Send
from inbox.sources import Answer, Defer, Prepared, Skip
from inbox.store import MailingStore
from inbox.store.mailings import FAR
from profiles.segments import TagNames
from profiles.store import ProfileStore

#: Why a send waits although its time has come; by these codes all of them are let go together.
PAUSED, UNDECIDED = "broadcast_paused", "awaits_winner"
PAUSED_SENTENCE = "The broadcast is paused; it goes on when it is resumed."
#: A decision that is a little late is waited for so long at a time.
UNDECIDED_FOR = timedelta(seconds=10)

Objection = Skip | Defer


@dataclass(frozen=True)
class _Case:
    """One send with its broadcast."""

    send: Send
    head: Document
    broadcast: Broadcast


class BroadcastSource:
    """The `SendSource` of broadcasts."""

    kind = "broadcast"

    def __init__(
        self, store: BroadcastStore, mailings: MailingStore, facts: FactReader, templates: TemplateStore,
        profiles: ProfileStore, places: Places, pacer: Pacer, writer: MessageWriter, clock: Clock, rules: HouseRules,
    ) -> None:  # fmt: skip
        self._store = store
        self._mailings = mailings
        self._facts = facts
        self._templates = templates
        self._profiles = profiles
        self._places = places
        self._pacer = pacer
        self._writer = writer
        self._clock = clock
        self._rules = rules

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """One answer per send: may it go, and with which words."""
        answers, cases = await self._standing(sends, now)
        found: dict[str, Answer] = {**answers}
        people = await self._facts.profiles({case.send.profile_id for case in cases})
        steps = (
            partial(self._there, people), self._in_audience, partial(self._once, people), self._decided,
            self._rerouted, partial(_barred, barred), self._with_room,
        )  # fmt: skip
        for step in steps:
            if cases:
                objections = await step(cases, now)
                found |= objections
                cases = [case for case in cases if case.send.id not in objections]
        return found | await self._written(cases, people, now)

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Objection]:
        """Quiet hours and caps."""
        found, cases = await self._standing(sends, now)
        return found | await self._rules.objections(_wished(cases), now)

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Objection]:
        """A pause or an end since `prepare`, the rules of the house once more, and the token without which nothing
        goes."""
        found, cases = await self._standing(sends, now)
        for step in (self._allowed, self._taken):
            if cases:
                objections = await step(cases, now)
                found |= objections
                cases = [case for case in cases if case.send.id not in objections]
        return found

    async def written_again(self, send: Send, now: datetime) -> OutboundMessage | None:
        """The message with today's values, whatever became of the broadcast."""
        head = (await self._store.many([send.source.id or ""])).get(send.source.id or "")
        people = await self._facts.profiles([send.profile_id])
        if head is None or send.profile_id not in people:
            return None
        answer = (await self._written([_Case(send, head, broadcast_of(head))], people, now)).get(send.id)
        return answer.message if isinstance(answer, Prepared) else None

    async def settled(self, sends: Sequence[Send]) -> None:
        """The figures of their broadcasts are counted anew."""
        await self._store.touch({send.source.id or "" for send in sends})

    # -- the gates ---------------------------------------------------------------------------------------------

    async def _standing(self, sends: Sequence[Send], now: datetime) -> tuple[dict[str, Objection], list[_Case]]:
        heads = await self._store.many({send.source.id or "" for send in sends})
        known: dict[str, Broadcast] = {}
        found: dict[str, Objection] = {}
        cases = []
        for send in sends:
            head = heads.get(send.source.id or "")
            if head is None or head["status"] == "cancelled":
                found[send.id] = Skip("cancelled", "The broadcast was cancelled before it came to this person.")
            elif head["status"] == "paused":
                found[send.id] = Defer(now + FAR, PAUSED, PAUSED_SENTENCE)
            else:
                broadcast = known.get(head["_id"]) or broadcast_of(head)
                known[head["_id"]] = broadcast
                cases.append(_Case(send, head, broadcast))
        return found, cases

    async def _there(
        self, people: Mapping[str, Mapping[str, Any]], cases: Sequence[_Case], now: datetime
    ) -> dict[str, Objection]:
        gone = Skip("profile_gone", "The person has been erased.")
        return {case.send.id: gone for case in cases if case.send.profile_id not in people}

    async def _in_audience(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        found: dict[str, Objection] = {}
        asked = {case.head["_id"] for case in cases if case.broadcast.recheck}
        names = await self._places.tag_names() if asked else TagNames()
        for head_id in asked:
            own = [case for case in cases if case.head["_id"] == head_id]
            condition = condition_with_tag_names(own[0].broadcast.audience.condition, names)
            ids = [case.send.profile_id for case in own]
            subjects = await self._facts.subjects(ids, condition.history_names)
            left = Skip("left_audience", "The person is not in the audience any more.")
            for case in own:
                if not holds(condition, Scope(subjects.get(case.send.profile_id)), now):
                    found[case.send.id] = left
        return found

    async def _once(
        self, people: Mapping[str, Mapping[str, Any]], cases: Sequence[_Case], now: datetime
    ) -> dict[str, Objection]:
        """Two who turned out to be one person since the planning get one message: the row planned first."""
        found: dict[str, Objection] = {}
        joined = await self._profiles.survivors_among({people[case.send.profile_id]["_id"] for case in cases})
        for case in cases:
            owner = people[case.send.profile_id]["_id"]
            if owner not in joined:
                continue
            rows = await self._mailings.of_people(case.head["_id"], [owner])
            twins = [row for row in rows if (row["source"].get("visit") or 1) == (case.send.source.visit or 1)]
            if _stands_behind(case.send.id, twins):
                found[case.send.id] = Skip("same_person", "The person gets this message under another profile.")
        return found

    async def _decided(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        sentence = "It waits until it is known which wording does better."
        found: dict[str, Objection] = {}
        for case in cases:
            if case.send.source.node_id != REST or case.head["winner"] is not None:
                continue
            trial, at = case.broadcast.ab, case.head["decide_at"]
            by_hand = trial is None or not trial.automatic or at is None
            found[case.send.id] = Defer(now + FAR if by_hand else max(at, now + UNDECIDED_FOR), UNDECIDED, sentence)
        return found

    async def _allowed(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        return await self._rules.taken(_wished(cases), now)

    async def _rerouted(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        """Whom the planned address cannot reach any more, and another can, is written to there."""
        found: dict[str, Objection] = {}
        for head_id in {case.head["_id"] for case in cases if len(case.broadcast.channel_ids) > 1}:
            own = [case for case in cases if case.head["_id"] == head_id and not case.send.tries]
            plan = plan_of(own[0].head, now) if own else None
            if plan is None:
                continue
            plan = plan.due_at_once(now)
            places = await self._places.of(plan, [{"_id": case.send.profile_id} for case in own])
            for case, place in zip(own, places, strict=True):
                planned = Way(case.send.channel_id, case.send.identity_id)
                if not isinstance(place.way, Way) or place.way == planned:
                    continue
                to = (place.way.channel_id, place.way.identity_id)
                if await self._mailings.reroute(case.send.id, case.send.channel_id, to, case.send.send_class):
                    found[case.send.id] = Defer(now, "other_way", "It goes to another address of the person.")
        return found

    async def _with_room(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        return await self._through_the_gate(cases, now, take=False)

    async def _taken(self, cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
        return await self._through_the_gate(cases, now, take=True)

    async def _through_the_gate(self, cases: Sequence[_Case], now: datetime, *, take: bool) -> dict[str, Objection]:
        found: dict[str, Objection] = {}
        for head_id in {case.head["_id"] for case in cases if case.broadcast.rate or case.broadcast.ramp}:
            own = [case for case in cases if case.head["_id"] == head_id]
            broadcast, start = own[0].broadcast, own[0].head["start_at"] or now
            look = self._pacer.take if take else self._pacer.room
            room = await look(head_id, broadcast, len(own), start)
            left = await self._pacer.left_today(head_id, broadcast, start) if room < len(own) else None
            today = len(own) if left is None else left + (room if take else 0)
            for place, case in enumerate(own[room:]):
                full = room + place >= today
                found[case.send.id] = turned_away(broadcast, place, now, start, full=full)
        return found

    # -- the words ---------------------------------------------------------------------------------------------

    async def _written(
        self, cases: Sequence[_Case], people: Mapping[str, Mapping[str, Any]], now: datetime
    ) -> dict[str, Answer]:
        wanted = {each for case in cases if case.head["pinned"] is None for each in case.broadcast.template_ids}
        templates = await self._templates.many(wanted) if wanted else {}
        identities = await self._profiles.identities({case.send.identity_id for case in cases})
        letters = []
        contents: dict[tuple[str, str | None], Mapping[str, Any] | None] = {}
        for case in cases:
            person, arm = people[case.send.profile_id], case.send.source.node_id
            if (case.head["_id"], arm) not in contents:
                contents[(case.head["_id"], arm)] = wording_of(case.head, case.broadcast, arm, templates)
            content = contents[(case.head["_id"], arm)]
            context = partial(_context, person, {"name": case.broadcast.name, "id": case.head["_id"]})
            letters.append(
                Letter(
                    case.send, content, context, person.get("locale"), person.get("time_zone"),
                    identities.get(case.send.identity_id),
                    template_of(case.head, case.broadcast, arm),
                )
            )  # fmt: skip
        return await self._writer.write(letters, now)


def _context(person: Mapping[str, Any], campaign: Mapping[str, Any], links: Mapping[str, str]) -> Mapping[str, Any]:
    return named(profile=person, event={}, order={}, journey={}, campaign=campaign, links=links)


async def _barred(barred: Mapping[str, Skip], cases: Sequence[_Case], now: datetime) -> dict[str, Objection]:
    return {case.send.id: barred[case.send.id] for case in cases if case.send.id in barred}


def _wished(cases: Sequence[_Case]) -> list[tuple[Send, Wishes]]:
    """What their authors want when the rules of the house speak against them."""
    return [
        (case.send, Wishes(case.broadcast.quiet_hours, case.broadcast.on_quiet, case.broadcast.on_cap))
        for case in cases
    ]


def _stands_behind(send_id: str, twins: Sequence[Document]) -> bool:
    """Whether another row of the same person goes first: one that got further, else the one planned first."""
    others = [row for row in twins if row["_id"] != send_id and row["state"] != "skipped"]
    further = any(row["tries"] or row["state"] == "handed" for row in others)
    return further or any(str(row["_id"]) < send_id for row in others)
