"""What teams and presence are made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

MEMBERS_MAX, CHANNELS_MAX, STATES_MAX, WORDS_MAX = 200, 200, 20, 40
#: Seconds for which something can be waited for.
WAIT_MIN_S, WAIT_MAX_S = 60, 7 * 24 * 3600
CAPACITY_MAX = 1000
#: Open conversations that somebody gets at most, where nobody has chosen.
CAPACITY = 10

_ID = "_[0-9a-z]{26}$"
UserId = Annotated[str, StringConstraints(pattern=f"^usr{_ID}")]
TeamId = Annotated[str, StringConstraints(pattern=f"^tea{_ID}")]
ChannelId = Annotated[str, StringConstraints(pattern=f"^chn{_ID}")]
HoursId = Annotated[str, StringConstraints(pattern=f"^hrs{_ID}")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
StateKey = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,29}$")]
#: A language, such as `en` or `zh_CN`.
Code = Annotated[str, StringConstraints(pattern="^[a-z]{2,3}(_[A-Z]{2})?$")]
Seconds = Annotated[int, Field(ge=WAIT_MIN_S, le=WAIT_MAX_S)]
Mode = Literal["manual", "round_robin", "balanced"]


class Colleague(Protocol):
    """Somebody who signs in at the desk. `channels` None: all of them."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def channels(self) -> frozenset[str] | None: ...


class Staff(Protocol):
    """Knows all colleagues."""

    async def users(self) -> Sequence[Colleague]:
        """Everybody, those who are not active any more among them."""
        ...


def may_answer(colleague: Colleague, channel_id: str) -> bool:
    """Whether conversations of this channel can be theirs."""
    seen = colleague.channels is None or channel_id in colleague.channels
    return colleague.active and colleague.role in ("admin", "agent") and seen


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def folded_words(words: Sequence[str]) -> list[str]:
    """Words as they are compared, each once, in their order. Raises ValueError for too many or too long ones."""
    kept = list(dict.fromkeys(" ".join(word.casefold().split()) for word in words if word.strip()))
    if len(kept) > WORDS_MAX or any(len(word) > 60 for word in kept):
        raise ValueError(f"are at most {WORDS_MAX} of at most 60 characters")
    return kept


#: Skills and languages.
Words = Annotated[list[str], Field(max_length=200), AfterValidator(folded_words)]


class Member(_Part):
    """Somebody of a team. `watches`: sees its conversations and is given none."""

    user_id: UserId
    watches: bool = False


class RoutingPolicy(_Part):
    """How a team gives its conversations out.

    `manual`: whoever takes one. `round_robin`: in turn. `balanced`: whoever has the fewest. `skills`: labels that are
    somebody's skills, and the customer's language, decide who can get it. After `max_wait_s` of waiting it goes to the
    team `fallback_team_id`, or where there is none to anybody of this team, skills or not.
    """

    mode: Mode = "manual"
    last_agent_first: bool = False
    skills: bool = False
    max_wait_s: Seconds | None = None
    fallback_team_id: TeamId | None = None

    @model_validator(mode="after")
    def _falls_somewhere(self) -> RoutingPolicy:
        if self.fallback_team_id is not None and self.max_wait_s is None:
            raise ValueError("say after how long it goes to the other team: max_wait_s")
        return self


def _once(members: list[Member]) -> list[Member]:
    if len({each.user_id for each in members}) < len(members):
        raise ValueError("somebody stands there twice")
    return members


Members = Annotated[list[Member], Field(max_length=MEMBERS_MAX), AfterValidator(_once)]


class TeamInput(_Part):
    """A team as it is written. New conversations on `channel_ids` that nobody has are the team's."""

    name: Title
    members: Members = Field(default_factory=list)
    channel_ids: Annotated[
        list[ChannelId], Field(max_length=CHANNELS_MAX), AfterValidator(lambda ids: sorted(set(ids)))
    ] = Field(default_factory=list)
    routing: RoutingPolicy = Field(default_factory=RoutingPolicy)
    hours_id: HoursId | None = None


class State(_Part):
    """A state somebody can be in. `names`: language → name; `releases_after_s`: what waits goes on after so long."""

    key: StateKey
    names: Annotated[dict[Code, Title], Field(min_length=1, max_length=20)]
    takes_work: bool = False
    counts_as_here: bool = False
    releases_after_s: Seconds | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> State:
        if self.takes_work and not self.counts_as_here:
            raise ValueError("who takes work counts as here")
        if self.counts_as_here and self.releases_after_s is not None:
            raise ValueError("only who does not count as here gives anything on")
        return self


def _own_states() -> list[State]:
    return [
        State(key="online", names={"en": "Online", "zh_CN": "在线"}, takes_work=True, counts_as_here=True),
        State(key="busy", names={"en": "Busy", "zh_CN": "忙碌"}, counts_as_here=True),
        State(key="away", names={"en": "Away", "zh_CN": "离开"}, releases_after_s=30 * 60),
        State(key="offline", names={"en": "Offline", "zh_CN": "离线"}, releases_after_s=10 * 60),
    ]


class PresenceRules(_Part):
    """The states there are, and how many open conversations somebody gets at most (None: any number).

    The first that takes work is that of who says nothing; the last that of who has no window open.
    """

    states: Annotated[list[State], Field(min_length=2, max_length=STATES_MAX)] = Field(default_factory=_own_states)
    capacity: Annotated[int, Field(ge=1, le=CAPACITY_MAX)] | None = CAPACITY

    @model_validator(mode="after")
    def _complete(self) -> PresenceRules:
        if len({each.key for each in self.states}) < len(self.states):
            raise ValueError("two states have one key")
        if not any(each.takes_work for each in self.states):
            raise ValueError("one state has to take work")
        if self.states[-1].counts_as_here:
            raise ValueError("the last state is that of who has no window open: it cannot count as here")
        return self

    @property
    def usual(self) -> State:
        """That of who says nothing."""
        return next(each for each in self.states if each.takes_work)

    @property
    def gone(self) -> State:
        """That of who has no window open."""
        return self.states[-1]

    def state(self, key: str | None) -> State | None:
        """The state of this key."""
        return next((each for each in self.states if each.key == key), None)


class Capacity(_Part):
    """How many open conversations somebody gets at most, in all and of a channel or provider. None in `total`: as the
    house says."""

    total: Annotated[int, Field(ge=0, le=CAPACITY_MAX)] | None = None
    by_channel: Annotated[
        dict[
            Annotated[str, StringConstraints(pattern="^(chn_[0-9a-z]{26}|[a-z][a-z0-9_]{0,39})$")],
            Annotated[int, Field(ge=0, le=CAPACITY_MAX)],
        ],
        Field(max_length=100),
    ] = Field(default_factory=dict)


class Ability(_Part):
    """What a colleague can take."""

    capacity: Capacity = Field(default_factory=Capacity)
    skills: Words = Field(default_factory=list)
    languages: Words = Field(default_factory=list)


class Agent(BaseModel):
    """A colleague as the queue knows them. `state` None: nothing was said; `on_phone`: counts as here without a window;
    `deputy_id`: who stands in for them while they are away; `turns`: team → the number of their last turn."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    id: str = Field(alias="_id")
    state: str | None = None
    state_at: datetime | None = None
    until: datetime | None = None
    deputy_id: str | None = None
    on_phone: bool = False
    seen_at: datetime | None = None
    capacity: Capacity = Field(default_factory=Capacity)
    skills: list[str] = Field(default_factory=list)
    languages: list[str] = Field(default_factory=list)
    turns: dict[str, int] = Field(default_factory=dict)
    rev: int = 0
