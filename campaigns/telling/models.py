"""What notifications are made of: kinds, ways, and what each person has chosen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Protocol, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from base.wallclock import WEEKDAYS
from campaigns.wallclock import Clock24
from channels.vocabulary import Instant
from inbox.routing.models import Colleague

#: Of what somebody is told. `message`: a customer writes in a conversation of theirs; `waiting`: in one that nobody
#: has; `endpoint`: a webhook endpoint was switched off by itself.
Kind = Literal[
    "assigned", "mentioned", "message", "waiting", "sla_soon", "sla_breached", "task", "failed", "endpoint"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: How: in the desk, by mail, by web push, posted to an address of their own.
Way = Literal["app", "mail", "push", "hook"]
WAYS: tuple[Way, ...] = get_args(Way)
#: What somebody is told who has chosen nothing.
USUAL: Mapping[Kind, tuple[Way, ...]] = {
    "assigned": ("app", "push"), "mentioned": ("app", "mail", "push"), "message": ("app", "push"), "waiting": (),
    "sla_soon": ("app", "push"), "sla_breached": ("app", "mail", "push"), "task": ("app", "push"),
    "failed": ("app", "mail", "push"), "endpoint": ("app", "mail"),
}  # fmt: skip
#: Kinds that say what becomes of promises. Many may end at one moment, and of what nobody has everybody is told who
#: could take it.
OF_PROMISES: frozenset[Kind] = frozenset({"sla_soon", "sla_breached"})
#: Minutes for which something may stay unread before a mail tells of it.
MAIL_AFTER_MIN, MAIL_AFTER_MOST = 15, 24 * 60

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _clock(value: str) -> str:
    Clock24.parse(value)
    return value


ClockText = Annotated[str, StringConstraints(max_length=8), AfterValidator(_clock)]


def _each_once(value: list[Any]) -> list[Any]:
    return list(dict.fromkeys(value))


#: How one kind is told.
Ways = Annotated[list[Way], Field(max_length=4), AfterValidator(_each_once)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


#: As what somebody counts just now: here, without a window though they say that they are here, away as they say.
Nearness = Literal["here", "gone", "away"]


class Quiet(_Part):
    """When nothing but the desk itself tells: each day between two times, on whole days, and (`while`) as long as one
    says that one is away, or (`gone`) also while one has no window open."""

    start: ClockText | None = Field(None, alias="from")
    end: ClockText | None = Field(None, alias="to")
    days: Annotated[list[Weekday], Field(max_length=7), AfterValidator(_each_once)] = Field(default_factory=list)
    presence: Literal["away", "gone"] | None = Field(None, alias="while")

    @model_validator(mode="after")
    def _ends(self) -> Quiet:
        if (self.start is None) != (self.end is None):
            raise ValueError("quiet hours need both `from` and `to`")
        if self.start is not None and self.start == self.end:
            raise ValueError("`from` and `to` are the same: name the days that are quiet as a whole instead")
        if len(self.days) == len(WEEKDAYS):
            raise ValueError("a week without any other day would be quiet for ever")
        return self


class TellingChoice(_Part):
    """What somebody has chosen. `kinds`: which ways each is told; one that is not named: as usual. `paused_until`:
    quiet until then, whatever else is said."""

    kinds: dict[Kind, Ways] = Field(default_factory=dict)
    mail_after_min: int = Field(MAIL_AFTER_MIN, ge=0, le=MAIL_AFTER_MOST)
    quiet: Quiet = Field(default_factory=Quiet)
    paused_until: Instant | None = None

    def ways(self, kind: Kind) -> tuple[Way, ...]:
        """How this person is told of that."""
        chosen = self.kinds.get(kind)
        return USUAL[kind] if chosen is None else tuple(way for way in WAYS if way in chosen)


@dataclass(frozen=True)
class Chosen:
    """What counts for somebody: their choice, and which ways lead anywhere. `hook_host`: where their own address is."""

    choice: TellingChoice
    hook_host: str | None = None
    has_push: bool = False

    def ways(self, kind: Kind) -> tuple[Way, ...]:
        """How they are told of that, ways that lead nowhere left out."""
        nowhere = {"hook"} if self.hook_host is None else set()
        nowhere |= set() if self.has_push else {"push"}
        return tuple(way for way in self.choice.ways(kind) if way not in nowhere)


class Reader(Colleague, Protocol):
    """A colleague as somebody who is told."""

    @property
    def email(self) -> str: ...
    @property
    def language(self) -> str | None: ...
    @property
    def time_zone(self) -> str | None: ...
    @property
    def masks(self) -> frozenset[str]: ...


class Readers(Protocol):
    """Knows all colleagues."""

    async def users(self) -> Sequence[Reader]:
        """Everybody, those who are not active any more among them."""
        ...


@dataclass(frozen=True)
class Notification:
    """One thing somebody is told: ids alone, never a customer's words.

    `cause` makes it unique for the person; `about`: the conversation, person, task or endpoint it leads to; `by`: who
    brought it about.
    """

    user_id: str
    kind: Kind
    cause: str
    about: str
    at: datetime
    conversation_id: str | None = None
    profile_id: str | None = None
    channel_id: str | None = None
    by: str | None = None
