"""How a colleague stands at a moment: their state, since when, whether they are here and take work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from base.mongo import Document
from inbox.routing.models import Agent, Colleague, PresenceRules, State

#: A window of theirs said so within this time: they have one open. Windows say it three times as often.
SEEN_FOR = timedelta(seconds=90)
#: Who is away for so long is on leave.
LEAVE = timedelta(days=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Standing:
    """`since`: when they came to stand so; `until`: when they stop by themselves."""

    state: State
    since: datetime
    until: datetime | None = None

    @property
    def here(self) -> bool:
        """Whether they would answer."""
        return self.state.counts_as_here

    @property
    def takes_work(self) -> bool:
        """Whether they get what is new."""
        return self.state.takes_work

    def gives_on(self, now: datetime, since: datetime) -> bool:
        """Whether what they have had since then, and they are away, goes to others."""
        after_s = self.state.releases_after_s
        return not self.here and after_s is not None and now - since >= timedelta(seconds=after_s)


def standing(agent: Agent | None, rules: PresenceRules, now: datetime) -> Standing:
    """How somebody stands; None: they were never seen. Pure."""
    if agent is None:
        return Standing(rules.gone, LONG_AGO)
    said, since, until = said_state(agent, rules, now)
    if not said.counts_as_here or agent.on_phone or _has_window(agent, now):
        return Standing(said, since, until)
    return Standing(rules.gone, agent.seen_at or LONG_AGO)


def said_state(agent: Agent | None, rules: PresenceRules, now: datetime) -> tuple[State, datetime, datetime | None]:
    """The state they chose, as long as it counts, since when and until when. Pure."""
    if agent is None:
        return rules.usual, LONG_AGO, None
    chosen, since = rules.state(agent.state), agent.state_at or LONG_AGO
    if chosen is None:
        return rules.usual, since, None
    if agent.until is not None and agent.until <= now:
        return rules.usual, agent.until, None
    return chosen, since, agent.until


def is_on_leave(agent: Agent, rules: PresenceRules, now: datetime) -> bool:
    """Whether they have said that they are away for a day or longer, and it is not over. Pure."""
    state, since, until = said_state(agent, rules, now)
    return not state.counts_as_here and until is not None and until - since >= LEAVE


def _has_window(agent: Agent, now: datetime) -> bool:
    return agent.seen_at is not None and now - agent.seen_at < SEEN_FOR


@dataclass(frozen=True)
class Present:
    """A colleague with how they stand."""

    person: Colleague
    agent: Agent
    stands: Standing


def all_standing(
    people: Iterable[Colleague], rows: Mapping[str, Document], rules: PresenceRules, now: datetime
) -> dict[str, Present]:
    """Everybody by id with how they stand; who was switched off is not there. Pure."""
    found = {}
    for person in people:
        row = rows.get(person.id)
        agent = Agent.model_validate(row) if row else Agent(id=person.id)
        found[person.id] = Present(person, agent, standing(agent if row and person.active else None, rules, now))
    return found
