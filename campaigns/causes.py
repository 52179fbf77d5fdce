"""What led to an event: the rules and journeys that have set each other off, so that none of them goes round for ever.

An event names who has brought it about. The last run of that rule or journey about that person names what had led
there, so a chain grows with each of them, and what people do begins a new one. What is reckoned of a person (segments,
score, tier) has no doer: it follows from what happened to the person right before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from base.mongo import Document
from campaigns.store.enrolments import EnrolmentStore
from profiles.events import Event, EventStore

#: Of each run of rules those that had acted by then, of each run of a journey its id; the first one first.
Chain = Sequence[Sequence[str]]
#: What is reckoned of a person follows from what happened to them within this time.
FOLLOWS_WITHIN = timedelta(minutes=5)
#: How many events before it are looked at.
LOOKED_MAX = 10
_RECKONED = frozenset({"segment.entered", "segment.left", "profile.score_changed", "profile.tier_changed"})
_RULE, _JOURNEY = "arl_", "jrn_"


class RunsOfRules(Protocol):
    """Reads runs of rules."""

    async def latest_of(self, rule_id: str, profile_id: str) -> Document | None:
        """The last run in which this rule did something about this person: `{chain, results}`."""
        ...


def caused_by(event: Event | None) -> str | None:
    """The rule (`arl_…`) or journey (`jrn_…`) that has brought an event about, if one has."""
    told = event.properties if event is not None else {}
    named = told.get("by") or told.get("source_id")
    by = named.removeprefix("journey:") if isinstance(named, str) else ""
    return by if by.startswith((_RULE, _JOURNEY)) else None


def is_reckoned(event: Event) -> bool:
    """Whether nobody did it: it follows from what else happened to the person."""
    by = event.properties.get("by")
    nobody = by is None or str(by).startswith("rule:")  # a rule of stages, see `campaigns.lifecycle`
    return nobody and (event.name in _RECKONED or (event.name == "profile.stage_changed" and by is not None))


def chain_of(by: str, before: Mapping[str, Any] | None) -> list[list[str]]:
    """What led to an event, by the run in which `by` has caused it: of a run of rules those that had acted by then."""
    if before is None:
        return [[by]]
    led = [list(each) for each in before.get("chain") or ()]
    if by.startswith(_JOURNEY):
        return [*led, [by]]
    acted = [each["rule_id"] for each in before["results"] if each["outcome"] in ("acting", "fitted")]
    return [*led, acted[: acted.index(by) + 1] if by in acted else [by]]


def journeys_in(chain: Chain) -> int:
    """How many runs of journeys are in it."""
    return sum(each[0].startswith(_JOURNEY) for each in chain)


def rules_in(chain: Chain) -> int:
    """How many runs of rules are in it."""
    return sum(each[0].startswith(_RULE) for each in chain)


class Causes:
    """Reads what led to events."""

    def __init__(self, events: EventStore, enrolments: EnrolmentStore, runs: RunsOfRules) -> None:
        self._events = events
        self._enrolments = enrolments
        self._runs = runs

    async def of(self, events: Iterable[Event]) -> dict[str, list[list[str]]]:
        """Event id → what led to it; what people have caused is missing. Reads nothing for such."""
        caused = {event.id: (by, event.profile_id) for event in events if event.profile_id
                  and (by := await self._cause(event)) is not None}  # fmt: skip
        runs = await self._journey_runs({pair for pair in caused.values() if pair[0].startswith(_JOURNEY)})
        for by, profile_id in {pair for pair in caused.values() if pair[0].startswith(_RULE)}:
            runs[by, profile_id] = await self._runs.latest_of(by, profile_id)
        return {event_id: chain_of(by, runs.get((by, whose))) for event_id, (by, whose) in caused.items()}

    async def _cause(self, event: Event) -> str | None:
        if not is_reckoned(event) or event.profile_id is None:
            return caused_by(event)
        at = event.occurred_at
        before = await self._events.for_profile(event.profile_id, LOOKED_MAX, since=at - FOLLOWS_WITHIN, until=at)
        return caused_by(next((each for each in before if not is_reckoned(each)), None))

    async def _journey_runs(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Document | None]:
        people: dict[str, list[str]] = {}
        for journey_id, profile_id in pairs:
            people.setdefault(journey_id, []).append(profile_id)
        found: dict[tuple[str, str], Document | None] = {}
        for journey_id, profile_ids in people.items():
            latest = await self._enrolments.latest_chains(journey_id, profile_ids)
            found |= {(journey_id, profile_id): row for profile_id, row in latest.items()}
        return found
