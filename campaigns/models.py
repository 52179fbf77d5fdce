"""What a journey is made of: triggers, steps, re-entry, goal. Shapes as in the public contract, section 4.

Reading a definition is `campaigns.definition.read`; what makes sense as a whole is checked there and in
`campaigns.validate`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from base.errors import WrongInput
from campaigns.conditions import Condition, RuleFault, Where, read_condition, read_where
from campaigns.contents import InlineContent
from campaigns.wallclock import WEEKDAYS, Clock24, Duration, known_zone
from profiles.edit import ProfilePatch, patch_from_paths

Mode = Literal["once", "after_exit", "cooldown", "per_key"]
IfActive = Literal["ignore", "restart", "queue_one"]
SendClass = Literal["marketing", "transactional", "service"]
OnMiss = Literal["continue", "exit"]


def _duration(value: object) -> Duration:
    if isinstance(value, Duration):
        return value
    if not isinstance(value, str):
        raise ValueError("a duration is a text such as PT2H or P3D")
    return Duration.parse(value)


def _forward(value: Duration) -> Duration:
    if value.sign < 0:
        raise ValueError("a wait cannot go back in time")
    return value


def _clock(value: object) -> Clock24:
    return value if isinstance(value, Clock24) else Clock24.parse(str(value))


def _weekday(value: object) -> str:
    day = str(value).strip().lower()[:3]
    if day not in WEEKDAYS:
        raise ValueError(f"is no weekday: use {', '.join(WEEKDAYS)}")
    return day


def _zone(value: str) -> str:
    if value != "profile" and known_zone(value) is None:
        raise ValueError(f"there is no time zone called {value[:40]!r}")
    return value


def _no_pattern(value: str) -> str:
    if "*" in value or value.startswith("$"):
        raise ValueError("name one event in full")
    return value


def _rule(value: object, *, run: bool) -> Condition:
    try:
        return read_condition(value, run=run)
    except WrongInput as error:
        raise RuleFault(error.errors) from None


def _filters(value: object) -> Where:
    try:
        return read_where(value)
    except WrongInput as error:
        raise RuleFault(error.errors) from None


_as_text = PlainSerializer(lambda value: value.text, return_type=str)
_duration_schema = WithJsonSchema({"type": "string", "format": "duration", "examples": ["PT2H", "P3D"]})
AnyDuration = Annotated[Duration, PlainValidator(_duration), _as_text, _duration_schema]
WaitDuration = Annotated[Duration, PlainValidator(_duration), AfterValidator(_forward), _as_text, _duration_schema]
ClockTime = Annotated[
    Clock24, PlainValidator(_clock), _as_text, WithJsonSchema({"type": "string", "examples": ["09:00"]})
]
Weekday = Annotated[str, BeforeValidator(_weekday), WithJsonSchema({"type": "string", "enum": list(WEEKDAYS)})]
ZoneChoice = Annotated[str, AfterValidator(_zone)]
StepId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f$]{1,100}$"), AfterValidator(_no_pattern)]
#: A dotted path into an event, an order or a profile; never used as a database path.
DataPath = Annotated[str, StringConstraints(pattern=r"^[\w-]+(\.[\w-]+){0,7}$", max_length=200)]
Rule = Annotated[
    Condition,
    PlainValidator(lambda value: _rule(value, run=False)),
    PlainSerializer(lambda value: value.raw),
    WithJsonSchema({"type": "object"}),
]
#: A rule in which a bare `{"event": …}` means "since this run began".
RunRule = Annotated[
    Condition,
    PlainValidator(lambda value: _rule(value, run=True)),
    PlainSerializer(lambda value: value.raw),
    WithJsonSchema({"type": "object"}),
]
Filters = Annotated[
    Where,
    PlainValidator(_filters),
    PlainSerializer(lambda value: value.raw),
    WithJsonSchema({"type": "array", "items": {"type": "object"}}),
]


class Part(BaseModel):
    """A piece of a definition: compared by content, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=False, arbitrary_types_allowed=True, str_max_length=100_000
    )


# -- triggers ------------------------------------------------------------------------------------------------------


class EventTrigger(Part):
    """A named event, narrowed by `where`; `key` names the part of it that tells one run from another."""

    type: Literal["event"]
    event: EventName
    where: Filters = Where()
    key: DataPath | None = None


class MessageTrigger(Part):
    """The person wrote. `keyword` is found as a whole word, whatever its case, width or accents."""

    type: Literal["message_received"]
    #: A channel id or a provider's name.
    channel: str | None = None
    keyword: str | tuple[str, ...] | None = None
    first_contact: bool = False


class OrderTrigger(Part):
    """An order reached a status."""

    type: Literal["order"]
    status: Annotated[str, StringConstraints(pattern=r"^[a-z_]{2,30}$")]
    where: Filters = Where()


class ChangedTrigger(Part):
    """A field, tag, stage, tier or score of the profile changed; an equal write is no change."""

    type: Literal["changed"]
    field: DataPath
    from_: Any = Field(default=None, alias="from")
    to: Any = None


class ApiTrigger(Part):
    """Only by a call or by a person at the desk."""

    type: Literal["api"]


Trigger = EventTrigger | MessageTrigger | OrderTrigger | ChangedTrigger | ApiTrigger
TRIGGERS: dict[str, type[Part]] = {
    "event": EventTrigger,
    "message_received": MessageTrigger,
    "order": OrderTrigger,
    "changed": ChangedTrigger,
    "api": ApiTrigger,
}
LATER_TRIGGERS = frozenset({"segment_entered", "segment_left", "date", "schedule", "message"})

# -- steps ---------------------------------------------------------------------------------------------------------


class Step(Part):
    """What all steps share. `name` is a label for people."""

    id: StepId
    name: Annotated[str, StringConstraints(max_length=120)] | None = None

    def exits(self) -> list[tuple[str, str | None]]:
        """(path inside the step, step id or None for the end of the journey) of every way out."""
        return [("next", self.next)] if hasattr(self, "next") else []


class SendStep(Step):
    """One message, on the first of `channels` that does not skip it."""

    type: Literal["send"]
    #: Provider names or channel ids in order; `any`: every channel of the person, the one last written on first.
    channels: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)] = ("any",)
    template_id: str | None = None
    content: InlineContent | None = None
    #: Consent purpose asked for; marketing journeys ask for `marketing` when it is empty.
    group: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None
    if_skipped: OnMiss = "continue"
    if_failed: OnMiss = "continue"
    next: StepId | None = None

    @model_validator(mode="after")
    def _one_content(self) -> SendStep:
        if (self.template_id is None) == (self.content is None):
            raise ValueError("give either template_id or content")
        return self


class Window(Part):
    """Open from one clock time to another; past midnight when `to` is the earlier one."""

    from_: ClockTime = Field(alias="from")
    to: ClockTime


class Until(Part):
    """The next clock time, weekday or open window, in the person's zone unless another is named."""

    time: ClockTime | None = None
    weekdays: tuple[Weekday, ...] = ()
    window: Window | None = None
    zone: ZoneChoice = "profile"

    @model_validator(mode="after")
    def _something(self) -> Until:
        if self.time is None and self.window is None and not self.weekdays:
            raise ValueError("name a time, weekdays or a window")
        if self.time is not None and self.window is not None:
            raise ValueError("name a time or a window, not both")
        return self


class UntilDate(Part):
    """A date held in a field, moved by `offset`; `time` sets the clock time of that day."""

    #: A profile field, or `order.…`, `event.properties.…`, `journey.…`.
    field: DataPath
    offset: AnyDuration | None = None
    time: ClockTime | None = None
    zone: ZoneChoice = "profile"


class WaitStep(Step):
    """Elapsed time, a clock time or a date. `past`: what to do when the date has passed on arrival (or is missing)."""

    type: Literal["wait"]
    for_: WaitDuration | None = Field(default=None, alias="for")
    until: Until | None = None
    until_date: UntilDate | None = None
    past: Literal["pass", "exit"] = "pass"
    next: StepId | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> WaitStep:
        if sum(given is not None for given in (self.for_, self.until, self.until_date)) != 1:
            raise ValueError("give exactly one of for, until and until_date")
        return self


class Alternative(Part):
    """One event that ends the wait. `match_key`: a path whose value must equal that of the event the run began with."""

    event: EventName
    where: Filters = Where()
    match_key: DataPath | None = None
    next: StepId | None = None


class WaitEventStep(Step):
    """Until one of several events. `since` looks back: from the run's entry, this step's, or a time before it."""

    type: Literal["wait_event"]
    any: Annotated[tuple[Alternative, ...], Field(min_length=1, max_length=10)]
    since: Literal["entry", "step"] | AnyDuration = "step"
    timeout: WaitDuration | None = None
    timeout_next: StepId | None = None

    def exits(self) -> list[tuple[str, str | None]]:
        ways = [(f"any[{i}].next", each.next) for i, each in enumerate(self.any)]
        return [*ways, ("timeout_next", self.timeout_next)]


class Case(Part):
    """One way of a branch."""

    when: Rule
    next: StepId | None = None


class BranchStep(Step):
    """The first case that is true on fresh data, else `else`."""

    type: Literal["branch"]
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=20)]
    else_: StepId | None = Field(default=None, alias="else")

    def exits(self) -> list[tuple[str, str | None]]:
        ways = [(f"cases[{i}].next", each.next) for i, each in enumerate(self.cases)]
        return [*ways, ("else", self.else_)]


class Arm(Part):
    """One share of a split."""

    weight: Annotated[int, Field(ge=0, le=1_000_000)]
    next: StepId | None = None
    name: Annotated[str, StringConstraints(max_length=60)] | None = None


class SplitStep(Step):
    """Shares people by weight, always the same way for the same person."""

    type: Literal["split"]
    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=20)]

    @model_validator(mode="after")
    def _some_weight(self) -> SplitStep:
        if not sum(arm.weight for arm in self.arms):
            raise ValueError("at least one arm needs a weight above 0")
        return self

    def exits(self) -> list[tuple[str, str | None]]:
        return [(f"arms[{i}].next", each.next) for i, each in enumerate(self.arms)]


class HoldoutStep(Step):
    """Sets `percent` of the people apart: they walk on, and every send to them is skipped."""

    type: Literal["holdout"]
    percent: Annotated[float, Field(ge=0, le=100)]
    next: StepId | None = None


class UpdateStep(Step):
    """Changes the profile, once per visit however often it is tried."""

    type: Literal["update"]
    set: dict[DataPath, Any] = Field(default_factory=dict)
    unset: tuple[DataPath, ...] = ()
    add_tags: tuple[Annotated[str, StringConstraints(min_length=1, max_length=80)], ...] = ()
    remove_tags: tuple[Annotated[str, StringConstraints(min_length=1, max_length=80)], ...] = ()
    stage: Annotated[str, StringConstraints(max_length=60)] | None = None
    #: Added to the score; negative takes away.
    score: Annotated[int, Field(ge=-100, le=100)] | None = None
    #: Consent purpose → granted or denied, on every address of the person.
    consent: dict[str, Literal["granted", "denied"]] = Field(default_factory=dict)
    next: StepId | None = None

    @model_validator(mode="after")
    def _some_change(self) -> UpdateStep:
        named = (self.set, self.unset, self.add_tags, self.remove_tags, self.stage, self.score, self.consent)
        if not any(named):
            raise ValueError("name at least one change")
        try:
            self.as_patch()
        except WrongInput as error:
            raise RuleFault(error.errors) from None
        return self

    def as_patch(self) -> ProfilePatch:
        """What it asks of the profile; consents are not part of it. Raises `WrongInput`."""
        more = {"stage": self.stage, "score_add": self.score, "add_tags": list(self.add_tags) or None,
                "remove_tags": list(self.remove_tags) or None}  # fmt: skip
        return patch_from_paths(self.set, self.unset, **more)


class TaskStep(Step):
    """Work for a person. `wait_done` holds the run until the task is closed, at most for `timeout`."""

    type: Literal["task"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    #: A user id; `owner`: the profile's owner; empty: whoever takes it.
    assignee: Annotated[str, StringConstraints(max_length=60)] | None = None
    due: WaitDuration | None = None
    wait_done: bool = False
    timeout: WaitDuration | None = None
    timeout_next: StepId | None = None
    next: StepId | None = None

    def exits(self) -> list[tuple[str, str | None]]:
        later = [("timeout_next", self.timeout_next)] if self.wait_done and self.timeout_next else []
        return [("next", self.next), *later]


class ExitStep(Step):
    """Ends the run with a named reason, so that reports can group the ends."""

    type: Literal["exit"]
    reason: Annotated[str, StringConstraints(max_length=200)] | None = None


class JumpStep(Step):
    """Goes on elsewhere. Visits of a step are bounded."""

    type: Literal["jump"]
    to: StepId

    def exits(self) -> list[tuple[str, str | None]]:
        return [("to", self.to)]


AnyStep = (
    SendStep | WaitStep | WaitEventStep | BranchStep | SplitStep | HoldoutStep | UpdateStep | TaskStep | ExitStep
    | JumpStep
)  # fmt: skip
STEPS: dict[str, type[Step]] = {
    "send": SendStep,
    "wait": WaitStep,
    "wait_event": WaitEventStep,
    "branch": BranchStep,
    "split": SplitStep,
    "holdout": HoldoutStep,
    "update": UpdateStep,
    "task": TaskStep,
    "exit": ExitStep,
    "jump": JumpStep,
}
LATER_STEPS = frozenset(
    {"assign", "note", "notify", "webhook", "start_journey", "throttle", "digest", "winner", "consent"}
)
#: Steps at which a run can stand still: a circle needs one of them.
RESTING = frozenset({"wait", "wait_event"})

# -- the whole -----------------------------------------------------------------------------------------------------


class Reentry(Part):
    """Whether a person may come again, and what a second cause does while a run is under way."""

    mode: Mode = "once"
    cooldown: WaitDuration | None = None
    if_active: IfActive = "ignore"

    @model_validator(mode="after")
    def _cooldown_named(self) -> Reentry:
        if self.mode == "cooldown" and self.cooldown is None:
            raise ValueError("mode cooldown needs a cooldown such as P30D")
        return self


class Goal(Part):
    """What the journey is for. Met: the run ends, or goes on elsewhere (`jump:ID`)."""

    when: RunRule
    on_meet: Annotated[str, StringConstraints(pattern=r"^(exit|jump:[A-Za-z0-9_-]{1,40})$")] = "exit"

    @property
    def jump(self) -> str | None:
        """The step to go on with; None: exit."""
        return self.on_meet.removeprefix("jump:") if self.on_meet != "exit" else None


class QuietHours(Part):
    """No send between the two clock times."""

    from_: ClockTime = Field(alias="from")
    to: ClockTime
    zone: ZoneChoice = "profile"


class Definition(Part):
    """A journey as its author wrote it; the first step is the entry."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    trigger: Trigger
    entry_filter: Rule | None = None
    reentry: Reentry = Reentry()
    goal: Goal | None = None
    exit_when: RunRule | None = None
    send_class: SendClass = Field(default="marketing", alias="class")
    quiet_hours: QuietHours | None = None
    #: How often one run may come to the same step.
    max_visits: Annotated[int, Field(ge=1, le=100)] = 10
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=1, max_length=200)]

    @property
    def entry(self) -> str:
        """The id of the first step."""
        return self.steps[0].id

    @cached_property
    def by_id(self) -> dict[str, AnyStep]:
        """Step id → step."""
        return {step.id: step for step in self.steps}
