"""How colleagues stand, in words and colours. Pure, but for the reads at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from desk.auth import Principal
from desk.i18n import Formats
from inbox.routing.choosing import Limits, Load
from inbox.routing.models import PresenceRules, State
from inbox.routing.standing import Present, said_state


@dataclass(frozen=True)
class StateChoice:
    """A state one can choose."""

    key: str
    label: str
    tone: str
    current: bool = False


@dataclass(frozen=True)
class Stands:
    """A colleague as a list shows them. `load`: open conversations, and how many they get at most."""

    user_id: str
    name: str
    label: str
    tone: str
    since: datetime | None
    until: datetime | None
    load: int
    most: int | None
    skills: tuple[str, ...]
    languages: tuple[str, ...]

    @property
    def full(self) -> bool:
        """Whether they have all they can take."""
        return self.most is not None and self.load >= self.most


def state_label(state: State, language: str) -> str:
    """Its name for a reader."""
    return state.names.get(language) or state.names.get("en") or next(iter(state.names.values()))


def tone_of(state: State) -> str:
    """`good`: takes work; `warn`: here; empty: away. The tone of a chip."""
    return "good" if state.takes_work else "warn" if state.counts_as_here else ""


def choices_of(rules: PresenceRules, current: State, language: str) -> list[StateChoice]:
    """All states, in their order."""
    return [
        StateChoice(each.key, state_label(each, language), tone_of(each), each.key == current.key)
        for each in rules.states
    ]


def stands_view(each: Present, load: Load, rules: PresenceRules, formats: Formats) -> Stands:
    """One colleague."""
    stands = each.stands
    seen = stands.since if stands.since.year > 1970 else None
    return Stands(
        each.person.id, each.person.name, state_label(stands.state, formats.language), tone_of(stands.state), seen,
        stands.until, load.total, Limits.of(each.agent.capacity, rules.capacity).total, tuple(each.agent.skills),
        tuple(each.agent.languages),
    )  # fmt: skip


async def all_stand(runtime: Any, formats: Formats) -> Mapping[str, Stands]:
    """Who can answer customers, by id, in the order of their names."""
    everybody = await runtime.agents.all()
    able = {key: each for key, each in everybody.items() if each.person.active and each.person.role in ANSWERING}
    rules, loads = await runtime.agents.rules(), await runtime.routing.loads(able)
    return {key: stands_view(each, loads.get(key, Load()), rules, formats) for key, each in able.items()}


async def own_choices(runtime: Any, principal: Principal, formats: Formats) -> list[StateChoice]:
    """What the reader has said of themselves, among what can be said; nothing for who answers nobody."""
    if principal.user is None or not principal.may("agent"):
        return []
    rules: PresenceRules = await runtime.agents.rules()
    state, _, _ = said_state(await runtime.agents.row(principal.id), rules, formats.now)
    return choices_of(rules, state, formats.language)


#: Roles that have conversations.
ANSWERING = ("admin", "agent")
