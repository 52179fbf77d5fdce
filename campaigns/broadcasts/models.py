"""What a broadcast is made of: whom, on which channels, what, when, how fast, and what is tried out. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic import WithJsonSchema as Schema

from base.errors import MEMBER, FieldError, WrongInput
from base.mongo import Document
from campaigns.conditions import Condition, RuleFault, read_condition
from campaigns.contents import InlineContent
from campaigns.definition import check_plain, faults_of
from campaigns.models import ClockTime, Part, QuietHours, SendClass, WaitDuration, ZoneChoice
from campaigns.utm import UtmChoice
from channels.vocabulary import Instant
from profiles.segments import Rule, parse

Late = Literal["send_now", "next_day", "skip"]
OnGate = Literal["defer", "skip"]
Metric = Literal["delivered", "read", "opened", "clicked"]
#: People whom no arm was given: they wait for the winner.
REST = "rest"
ARMS_MAX = 5

ChannelId = Annotated[str, StringConstraints(pattern=r"^chn_[0-9a-z]{26}$")]
SegmentId = Annotated[str, StringConstraints(pattern=r"^seg_[0-9a-z]{26}$")]
TemplateId = Annotated[str, StringConstraints(pattern=r"^tpl_[0-9a-z]{26}$")]
ArmName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,20}$")]


class _Whom:
    """A rule of the language as its author wrote it, and read."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        try:
            self.rule: Rule = parse(raw)
        except WrongInput as error:
            raise RuleFault(error.errors) from None
        self.raw = raw

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Whom) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(repr(self.raw))


def _whom(value: object) -> _Whom:
    if isinstance(value, _Whom):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("a rule is an object")
    return _Whom(value)


def _day(value: object) -> dt.date:
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    try:
        day = dt.date.fromisoformat(str(value))
    except ValueError:
        raise ValueError("is a day such as 2026-12-05") from None
    if not 1971 <= day.year <= 2198:
        raise ValueError("lies too far away")
    return day


def _no_profile(value: str) -> str:
    if value == "profile":
        raise ValueError("name a time zone")
    return value


Whom = Annotated[_Whom, PlainValidator(_whom), PlainSerializer(lambda value: value.raw), Schema({"type": "object"})]
Day = Annotated[
    dt.date, PlainValidator(_day), PlainSerializer(lambda value: value.isoformat()),
    Schema({"type": "string", "format": "date"}),
]  # fmt: skip
NamedZone = Annotated[ZoneChoice, AfterValidator(_no_profile)]


class Exclusion(Part):
    """Who does not get it: members of any of these segments, and whom the rule finds."""

    segment_ids: Annotated[tuple[SegmentId, ...], Field(max_length=50)] = ()
    rule: Whom | None = None


class Audience(Part):
    """Members of any of the segments (of none given: everybody) for whom the rule holds, without those excluded."""

    segment_ids: Annotated[tuple[SegmentId, ...], Field(max_length=50)] = ()
    rule: Whom | None = None
    exclude: Exclusion = Exclusion()

    @model_validator(mode="after")
    def _names_somebody(self) -> Audience:
        if not self.segment_ids and self.rule is None:
            raise ValueError('name segments or a rule; {"rule": {"all": []}} is everybody')
        return self

    def as_raw(self) -> dict[str, Any]:
        """The whole audience as one rule of the language."""
        parts: list[Any] = []
        if self.segment_ids:
            parts.append({"any": [{"segment": each} for each in self.segment_ids]})
        if self.rule is not None:
            parts.append(self.rule.raw)
        out: list[Any] = [{"segment": each} for each in self.exclude.segment_ids]
        if self.exclude.rule is not None:
            out.append(self.exclude.rule.raw)
        if out:
            parts.append({"not": {"any": out}})
        return {"all": parts}

    @cached_property
    def rule_read(self) -> Rule:
        """The same, read."""
        return parse(self.as_raw())

    @cached_property
    def condition(self) -> Condition:
        """The same, to ask of one person in memory."""
        return read_condition(self.as_raw(), run=False)


class Now(Part):
    """As soon as it is started."""

    type: Literal["now"] = "now"


class At(Part):
    """At one instant for everybody."""

    type: Literal["at"]
    at: Instant


class Local(Part):
    """When the clocks where each person lives say so. `fallback_zone`: of those who have none (the deployment's).

    `late`: what becomes of those for whom that time is past when the broadcast begins.
    """

    type: Literal["local"]
    date: Day
    time: ClockTime
    fallback_zone: NamedZone | None = None
    late: Late = "send_now"


def _kind(value: Any) -> str | None:
    kind = value.get("type", "now") if isinstance(value, Mapping) else getattr(value, "type", None)
    return f"{MEMBER}{kind}" if isinstance(kind, str) else None


Schedule = Annotated[
    Annotated[Now, Tag(f"{MEMBER}now")] | Annotated[At, Tag(f"{MEMBER}at")] | Annotated[Local, Tag(f"{MEMBER}local")],
    Discriminator(_kind, custom_error_type="schedule", custom_error_message="type is one of now, at, local"),
]


class Rate(Part):
    """At most so many in any minute, and in any hour, over all workers. Account and provider have their own limits."""

    per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    per_hour: Annotated[int, Field(ge=1, le=10_000_000)] | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Rate:
        if self.per_minute is None and self.per_hour is None:
            raise ValueError("give per_minute, per_hour or both")
        return self


class Arm(Part):
    """One of the wordings that are tried. What it leaves out is the broadcast's own."""

    name: ArmName
    share: Annotated[int, Field(ge=1, le=100)] = 50
    template_id: TemplateId | None = None
    content: InlineContent | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Arm:
        if self.template_id is not None and self.content is not None:
            raise ValueError("give either template_id or content")
        return self


class Trial(Part):
    """Wordings side by side. With a sample the others wait until the better one is found.

    `decide_after` the start, by `metric`, when each arm has `min_sample` results; else `fallback` goes to the rest.
    Not `automatic`: the rest waits until somebody says which.
    """

    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=ARMS_MAX)]
    metric: Metric = "clicked"
    sample_percent: Annotated[int, Field(ge=1, le=100)] = 100
    decide_after: WaitDuration | None = None
    min_sample: Annotated[int, Field(ge=1, le=1_000_000)] = 50
    fallback: ArmName | None = None
    automatic: bool = True

    @model_validator(mode="after")
    def _makes_sense(self) -> Trial:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names) or REST in names:
            raise ValueError(f"each arm needs a name of its own, other than {REST}")
        if sum(arm.share for arm in self.arms) != 100:
            raise ValueError("the shares of the arms make 100 together")
        if self.fallback is not None and self.fallback not in names:
            raise ValueError("fallback names an arm")
        if self.has_sample and self.automatic and self.decide_after is None:
            raise ValueError("say with decide_after when the winner is found")
        return self

    @property
    def has_sample(self) -> bool:
        """Whether some wait for the winner."""
        return self.sample_percent < 100

    @property
    def fallback_name(self) -> str:
        """Who wins when nothing can be said."""
        return self.fallback or self.arms[0].name


class Broadcast(Part):
    """A broadcast as its author wrote it."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    #: Tried in this order: each person is written to on the first on which they can be.
    channel_ids: Annotated[tuple[ChannelId, ...], Field(min_length=1, max_length=20)]
    template_id: TemplateId | None = None
    content: InlineContent | None = None
    audience: Audience
    send_class: SendClass = Field(default="marketing", alias="class")
    #: Consent purpose asked for; `marketing` when it is empty.
    group: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None
    schedule: Schedule = Now()
    rate: Rate | None = None
    #: How many on the first day, on the second …; the last number goes for all days after.
    ramp: Annotated[tuple[Annotated[int, Field(ge=1, le=10_000_000)], ...], Field(max_length=100)] = ()
    ab: Trial | None = None
    holdout_percent: Annotated[int, Field(ge=0, le=90)] = 0
    quiet_hours: QuietHours | None = None
    on_quiet: OnGate = "defer"
    on_cap: OnGate = "defer"
    #: Whether each must still be in the audience when their turn comes.
    recheck: bool = False
    #: `latest`: templates as they are when each message is written; `pinned`: as they were when it was started.
    #: Wordings that are compared are always pinned.
    wording: Literal["latest", "pinned"] = "latest"
    #: What is added to links for the shop's statistics, in place of what the workspace says.
    utm: UtmChoice | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Broadcast:
        if self.template_id is not None and self.content is not None:
            raise ValueError("give either template_id or content")
        own = self.template_id is not None or self.content is not None
        arms = self.ab.arms if self.ab else ()
        if not own and (not arms or any(arm.template_id is None and arm.content is None for arm in arms)):
            raise ValueError("give template_id or content")
        if len(set(self.channel_ids)) < len(self.channel_ids):
            raise ValueError("a channel stands twice in channel_ids")
        return self

    @property
    def is_pinned(self) -> bool:
        """Whether what it says is kept from the start."""
        return self.wording == "pinned" or self.ab is not None

    @property
    def template_ids(self) -> frozenset[str]:
        """All it names."""
        arms = self.ab.arms if self.ab else ()
        return frozenset(each for each in (self.template_id, *(arm.template_id for arm in arms)) if each)

    def arm(self, name: str | None) -> Arm | None:
        """The arm of that name."""
        return next((each for each in self.ab.arms if each.name == name), None) if self.ab else None


def must_read(raw: Mapping[str, Any]) -> Broadcast:
    """The broadcast, or `WrongInput` with every fault."""
    found, faults, missing = faults_of(Broadcast, raw)
    if not isinstance(found, Broadcast):
        raise WrongInput("This broadcast cannot be started yet.", (*faults, *missing))
    return found


def check_draft(raw: Mapping[str, Any]) -> None:
    """Raise `WrongInput` for what is wrong in a draft; what is merely not there yet is allowed."""
    check_plain(raw)
    blank = dict(_BLANK)
    if "template_id" in raw or "content" in raw:
        blank.pop("content")
    _, faults, _ = faults_of(Broadcast, {**blank, **raw})
    if faults:
        raise WrongInput("The broadcast has faults.", faults)


#: Stands for what a draft has not got yet.
_BLANK: Document = {
    "name": "?", "channel_ids": ["chn_" + "0" * 26], "content": {"text": "?"}, "audience": {"rule": {"all": []}},
}  # fmt: skip


def missing_in(raw: Mapping[str, Any]) -> tuple[FieldError, ...]:
    """What stands between a draft and its start, for a person who is still writing."""
    _, faults, missing = faults_of(Broadcast, raw)
    return (*faults, *missing)
