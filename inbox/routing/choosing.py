"""Who gets a conversation. Pure: who could, what it is, how the team gives → one of them and why, or why nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from inbox.routing.models import Capacity, RoutingPolicy

Why = Literal["last_agent", "turn", "fewest", "nobody_here", "nobody_able", "all_full"]


@dataclass(frozen=True)
class Load:
    """What somebody has open: (channel, provider, how many) each."""

    parts: tuple[tuple[str, str, int], ...] = ()

    @property
    def total(self) -> int:
        """In all."""
        return sum(count for _, _, count in self.parts)

    def of(self, key: str) -> int:
        """On this channel, or of this provider."""
        return sum(count for channel, provider, count in self.parts if key in (channel, provider))

    def and_one(self, channel_id: str, provider: str) -> Load:
        """With one more."""
        return Load((*self.parts, (channel_id, provider, 1)))


@dataclass(frozen=True)
class Limits:
    """How much somebody can have. `total` None: any number."""

    total: int | None = None
    by_channel: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, own: Capacity, house: int | None) -> Limits:
        """Their own, and for what they have not chosen the house's."""
        total = own.total if own.total is not None else house
        return cls(total, tuple(sorted(own.by_channel.items())))

    def hold(self, load: Load, channel_id: str, provider: str) -> bool:
        """Whether so much is not too much, as far as it concerns this channel."""
        if self.total is not None and load.total > self.total:
            return False
        return all(load.of(key) <= most for key, most in self.by_channel if key in (channel_id, provider))

    def have_room(self, load: Load) -> bool:
        """Whether one more could fit, on some channel."""
        return self.total is None or load.total < self.total


@dataclass(frozen=True)
class Candidate:
    """Somebody of the team who is here, takes work and may see the channel. `turn`: the number of their last one in
    this team."""

    id: str
    name: str
    load: Load = Load()
    limits: Limits = Limits()
    skills: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    turn: int = 0


@dataclass(frozen=True)
class Talk:
    """What is to be given. `language` is a code such as `de`; `last_agent`: who had or answered it,
    or had this person, before."""

    channel_id: str
    provider: str
    labels: frozenset[str] = frozenset()
    language: str | None = None
    last_agent: str | None = None
    waited_s: float = 0.0


@dataclass(frozen=True)
class Abilities:
    """What anybody of the team has, here or not: what nobody has is asked of nobody."""

    skills: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Choice:
    """Who and why; `needs`: skills and language that decided."""

    candidate: Candidate | None
    why: Why
    needs: tuple[str, ...] = ()


def choose(candidates: Sequence[Candidate], talk: Talk, policy: RoutingPolicy, team: Abilities) -> Choice:
    """The one who gets it. The same for any order of `candidates`."""
    if not candidates:
        return Choice(None, "nobody_here")
    needs = needed(talk, policy, team)
    able = [each for each in candidates if is_able(each, talk, needs)]
    if not able:
        return Choice(None, "nobody_able", needs)
    free = [each for each in able if has_room(each, talk)]
    if not free:
        return Choice(None, "all_full", needs)
    if policy.last_agent_first:
        for each in free:
            if each.id == talk.last_agent:
                return Choice(each, "last_agent", needs)
    if policy.mode == "balanced":
        return Choice(min(free, key=_fullness), "fewest", needs)
    return Choice(min(free, key=_turn), "turn", needs)


def needed(talk: Talk, policy: RoutingPolicy, team: Abilities) -> tuple[str, ...]:
    """The labels that are skills of the team, and the language where somebody of it speaks that; in order."""
    if not policy.skills or (policy.max_wait_s is not None and talk.waited_s >= policy.max_wait_s):
        return ()
    spoken = talk.language is not None and talk.language in team.languages
    return (*sorted(talk.labels & team.skills), *([talk.language] if spoken and talk.language else []))


def is_able(candidate: Candidate, talk: Talk, needs: Collection[str]) -> bool:
    """Whether somebody has what is needed. Who has named no languages may be asked in any."""
    speaks = talk.language not in needs or not candidate.languages or talk.language in candidate.languages
    return speaks and {each for each in needs if each != talk.language} <= candidate.skills


def has_room(candidate: Candidate, talk: Talk) -> bool:
    """Whether it would not be too much for them."""
    after = candidate.load.and_one(talk.channel_id, talk.provider)
    return candidate.limits.hold(after, talk.channel_id, talk.provider)


def next_turn(turns: Iterable[int]) -> int:
    """The number of the turn that comes."""
    return max(turns, default=0) + 1


def _fullness(candidate: Candidate) -> tuple[float, int, str]:
    """The share of their places that is taken; who has any number of them is counted as if by the house's usual."""
    places = candidate.limits.total or 10
    return candidate.load.total / places, candidate.turn, candidate.id


def _turn(candidate: Candidate) -> tuple[int, str]:
    return candidate.turn, candidate.id
