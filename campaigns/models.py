"""What a journey is made of: triggers, steps, re-entry, goal. Shapes as in the public contract, section 4.

Reading a definition is `campaigns.definition.read`; what makes sense as a whole is checked there and in
`campaigns.validate`.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

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
from base.ids import Prefix, is_id
from campaigns.conditions import Condition, RuleFault, Where, read_condition, read_where
from campaigns.contents import InlineContent
from campaigns.filling import without_names
from campaigns.recurrence import MORNING, Recurrence
from campaigns.utm import UtmChoice
from campaigns.wallclock import WEEKDAYS, Clock24, Duration, known_zone
from profiles.edit import ProfilePatch, patch_from_paths
from profiles.segments.fields import Kind, Scope, find_field

Mode = Literal["once", "after_exit", "cooldown", "per_key"]
IfActive = Literal["ignore", "restart", "queue_one"]
SendClass = Literal["marketing", "transactional", "service"]
OnMiss = Literal["continue", "exit"]
OnHold = Literal["defer", "skip"]
#: The longest window of a digest and period of a throttle.
SPAN_MAX = timedelta(days=31)
Metric = Literal["opened", "clicked", "replied", "goal", "revenue"]


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


def _span(value: Duration) -> Duration:
    if value.sign < 0 or not timedelta(seconds=1) <= value.roughly() <= SPAN_MAX:
        raise ValueError("is between one second and 31 days")
    return value


def _free_name(value: str) -> str:
    if value in ("event", "digest"):
        raise ValueError(f"{value!r} is a name that is taken")
    return value


def _web_address(value: str) -> str:
    """Names may stand in its path and query, so that nobody but its author says which host is called."""
    plain = without_names(value)
    try:
        parts, host = urlsplit(plain), urlsplit(value.replace("{", "/{", 1)).netloc
    except ValueError:
        raise ValueError(_NO_ADDRESS) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or host != parts.netloc:
        raise ValueError(_NO_ADDRESS)
    if any(each <= " " or each == "\x7f" for each in plain):
        raise ValueError(_NO_ADDRESS)
    if "{" in plain or "}" in plain or "{" in value.partition("#")[2]:
        raise ValueError("names in an address are written like {{ profile.id }}, in its path or query")
    return value


_NO_ADDRESS = (
    "is a web address such as https://example.com/hook/{{ profile.id }}, with names in its path or query at most"
)


def _named_zone(value: str) -> str:
    if value == "profile":
        raise ValueError("it comes at one moment for everybody: name a zone such as Europe/Berlin")
    return _zone(value)


def _recurrence(value: object) -> Recurrence:
    if isinstance(value, Recurrence):
        return value
    if not isinstance(value, str):
        raise ValueError("is a text such as FREQ=WEEKLY;BYDAY=MO")
    return Recurrence.parse(value)


def _holding_a_date(value: str) -> str:
    if find_field(value, Scope.PROFILE).kind not in (Kind.TIME, Kind.FREE):
        raise ValueError("holds no date: name one such as attributes.birthday, created_at or orders.last_at")
    return value


def _id_of(prefix: Prefix, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_id(value, prefix):
            raise ValueError(f"is the id of a {what}, such as {prefix}_01…")
        return value

    return AfterValidator(check)


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
#: Who is to do something: a user id, or a word that finds somebody.
Assignee = Annotated[
    str, StringConstraints(pattern=r"^(owner|round_robin|role:(admin|marketer|agent|viewer)|usr_[\w]{1,60})$")
]
UserId = Annotated[str, StringConstraints(pattern=r"^usr_[\w]{1,60}$")]
#: A name under which a step keeps something for later ones; `event` and `digest` are taken.
SavedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w-]{0,39}$"), AfterValidator(_free_name)]
WebAddress = Annotated[str, StringConstraints(max_length=2000), AfterValidator(_web_address)]
#: Elapsed time or calendar days, longer than nothing and at most a month.
Span = Annotated[Duration, PlainValidator(_duration), AfterValidator(_span), _as_text, _duration_schema]
SegmentId = Annotated[str, _id_of("seg", "segment")]
DateField = Annotated[DataPath, AfterValidator(_holding_a_date)]
AnyRecurrence = Annotated[
    Recurrence,
    PlainValidator(_recurrence),
    _as_text,
    WithJsonSchema({"type": "string", "examples": ["FREQ=WEEKLY;BYDAY=MO"]}),
]
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
    #: An event that is older when we hear of it begins nothing: a mail about last month's basket helps nobody.
    max_age: WaitDuration = Duration.parse("PT72H")


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


class SegmentTrigger(Part):
    """Somebody came into a segment, or is no longer in it. A new or changed rule tells of nobody."""

    type: Literal["segment_entered", "segment_left"]
    segment_id: SegmentId


class DateTrigger(Part):
    """A date that we know of the person, moved by `offset`; `yearly`: its anniversaries. See `campaigns.dates`."""

    type: Literal["date"]
    field: DateField
    offset: AnyDuration | None = None
    yearly: bool = False
    #: The clock time; without it the time that the field holds, or 09:00 for a bare day.
    at: ClockTime | None = None
    zone: ZoneChoice = "profile"


class ScheduleTrigger(Part):
    """Again and again, for all members of a segment at that moment. See `campaigns.recurrence`."""

    type: Literal["schedule"]
    rrule: AnyRecurrence
    segment_id: SegmentId
    #: The clock time, 09:00 unless the rule names hours.
    at: ClockTime | None = None
    #: The deployment's own where none is named.
    zone: Annotated[str, AfterValidator(_named_zone)] | None = None
    #: From which day on; rules that count need it.
    start: date | None = None

    @model_validator(mode="after")
    def _comes(self) -> ScheduleTrigger:
        if self.at is not None and self.rrule.names_hours and self.rrule.frequency != "HOURLY":
            raise ValueError("the rule names hours itself: leave `at` or BYHOUR and BYMINUTE away")
        lacks = self.rrule.lacks_start() if self.start is None else None
        if lacks is not None:
            raise ValueError(lacks)
        if not self.rrule.ever(self.start, self.clock.at):
            raise ValueError("the rule never comes: there is no such day")
        return self

    @property
    def clock(self) -> Clock24:
        """The clock time from which the rule is unrolled."""
        return self.at or MORNING


class ReceiptTrigger(Part):
    """What became of something we sent: once per message, whoever of us or which journey or broadcast sent it."""

    type: Literal["message"]
    what: Literal["opened", "clicked", "replied", "bounced", "failed"]
    journey_id: Annotated[str, _id_of("jrn", "journey")] | None = None
    broadcast_id: Annotated[str, _id_of("brd", "broadcast")] | None = None
    #: One step of that journey.
    step: StepId | None = None
    #: Also what looks like a scanner or a privacy proxy, not like a person.
    bots: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> ReceiptTrigger:
        if self.journey_id is not None and self.broadcast_id is not None:
            raise ValueError("name a journey or a broadcast, not both")
        if self.step is not None and self.journey_id is None:
            raise ValueError("a step needs the journey it belongs to")
        return self


class ApiTrigger(Part):
    """Only by a call or by a person at the desk."""

    type: Literal["api"]


Trigger = (
    EventTrigger | MessageTrigger | OrderTrigger | ChangedTrigger | SegmentTrigger | DateTrigger | ScheduleTrigger
    | ReceiptTrigger | ApiTrigger
)  # fmt: skip
TRIGGERS: dict[str, type[Part]] = {
    "event": EventTrigger,
    "message_received": MessageTrigger,
    "order": OrderTrigger,
    "changed": ChangedTrigger,
    "segment_entered": SegmentTrigger,
    "segment_left": SegmentTrigger,
    "date": DateTrigger,
    "schedule": ScheduleTrigger,
    "message": ReceiptTrigger,
    "api": ApiTrigger,
}

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
    #: The template as it is when the message goes out, or as it was when the journey was published. Empty: the latest,
    #: but in the arms of a split the published one, so that what is compared stays what it was.
    wording: Literal["latest", "pinned"] | None = None
    #: Consent purpose asked for; marketing journeys ask for `marketing` when it is empty.
    group: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None
    if_skipped: OnMiss = "continue"
    if_failed: OnMiss = "continue"
    #: When the run goes on: once the provider took the message, or once it has arrived, at most `wait_timeout` later.
    wait_for: Literal["accepted", "delivered"] = "accepted"
    wait_timeout: WaitDuration | None = None
    #: What becomes of the message in quiet hours, and when the person has had enough of them.
    if_quiet: OnHold = "defer"
    if_capped: OnHold = "defer"
    #: What becomes of one that may have gone out or not, where the provider cannot say. Empty: a mailing is left at
    #: that, a notice or an answer is sent again.
    if_unknown: Literal["repeat", "leave"] | None = None
    #: What is added to links for the shop's statistics, in place of what the workspace says.
    utm: UtmChoice | None = None
    next: StepId | None = None

    @model_validator(mode="after")
    def _one_content(self) -> SendStep:
        if (self.template_id is None) == (self.content is None):
            raise ValueError("give either template_id or content")
        return self

    @model_validator(mode="after")
    def _wording_of_what(self) -> SendStep:
        if self.wording is not None and self.template_id is None:
            raise ValueError("wording belongs to template_id: what is written in the step is published with it")
        return self

    @model_validator(mode="after")
    def _timeout_of_what(self) -> SendStep:
        if self.wait_timeout is not None and self.wait_for == "accepted":
            raise ValueError("wait_timeout belongs to wait_for: delivered")
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


class Winner(Part):
    """The best arm gets everybody who comes later: chosen once, `decide_by` after the first person came."""

    metric: Metric
    #: People each arm must have had; with fewer the fallback holds.
    min_sample: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    decide_by: WaitDuration
    #: The name of an arm; empty: people are shared out as before.
    fallback: Annotated[str, StringConstraints(max_length=60)] | None = None


class SplitStep(Step):
    """Shares people by weight, always the same way for the same person; with `winner` until the best arm is known."""

    type: Literal["split"]
    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=20)]
    winner: Winner | None = None

    @model_validator(mode="after")
    def _some_weight(self) -> SplitStep:
        if not sum(arm.weight for arm in self.arms):
            raise ValueError("at least one arm needs a weight above 0")
        return self

    @model_validator(mode="after")
    def _names_of_arms(self) -> SplitStep:
        names = [self.arm_name(place) for place in range(len(self.arms))]
        if self.winner is not None and len(set(names)) != len(names):
            raise ValueError("each arm needs a name of its own where one is to win")
        if self.winner is not None and self.winner.fallback is not None and self.winner.fallback not in names:
            raise ValueError(f"there is no arm called {self.winner.fallback!r}; there are {', '.join(names)}")
        return self

    def arm_name(self, place: int) -> str:
        """What the arm is called in logs and results."""
        return self.arms[place].name or str(place + 1)

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
    #: Why, as the profile shows it, and after how long these points go.
    score_reason: Annotated[str, StringConstraints(max_length=120)] | None = None
    score_for: WaitDuration | None = None
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
                "remove_tags": list(self.remove_tags) or None, "score_reason": self.score_reason,
                "score_for": self.score_for.text if self.score_for else None}  # fmt: skip
        return patch_from_paths(self.set, self.unset, **more)


class HumanStep(Step):
    """Work for a person. `wait_done` holds the run until it is done, at most for `timeout`.

    `{{ profile.name }}` and other dotted names in `text` are filled in.
    """

    type: str
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    assignee: Assignee | None = None
    due: WaitDuration | None = None
    wait_done: bool = False
    timeout: WaitDuration | None = None
    timeout_next: StepId | None = None
    next: StepId | None = None

    def exits(self) -> list[tuple[str, str | None]]:
        later = [("timeout_next", self.timeout_next)] if self.wait_done and self.timeout_next else []
        return [("next", self.next), *later]


class TaskStep(HumanStep):
    """Something to do. `assignee`: a user id; `owner`; `round_robin`; empty: whoever takes it."""

    type: Literal["task"]


class NotifyStep(HumanStep):
    """A colleague, the owner or everybody of a role (`role:agent`) is told. One of them closing it is enough."""

    type: Literal["notify"]

    @model_validator(mode="after")
    def _somebody(self) -> NotifyStep:
        if self.assignee is None:
            raise ValueError("say whom to tell: a user id, owner, round_robin or role:agent")
        return self


class AssignStep(HumanStep):
    """Gives the person's conversation, the person, or both to a colleague. Done when the conversation is resolved."""

    type: Literal["assign"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)] = "Answer, and resolve the conversation."
    what: Annotated[tuple[Literal["conversation", "owner"], ...], Field(min_length=1, max_length=2)] = ("conversation",)
    team_id: Annotated[str, StringConstraints(max_length=60)] | None = None
    #: Who takes turns in `round_robin`; empty: every active agent.
    among: Annotated[tuple[UserId, ...], Field(max_length=200)] = ()

    @model_validator(mode="after")
    def _somebody(self) -> AssignStep:
        if self.assignee is None and self.team_id is None:
            raise ValueError("say to whom: a user id, owner, round_robin or a team_id")
        if self.assignee is not None and self.assignee.startswith("role:"):
            raise ValueError("it is given to one person: use round_robin, with among if you like")
        if self.among and self.assignee != "round_robin":
            raise ValueError("among belongs to assignee: round_robin")
        return self


class NoteStep(Step):
    """Writes a note on the profile. `{{ profile.name }}` and other dotted names are filled in."""

    type: Literal["note"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    #: A colleague (user id or `owner`) whom the note mentions.
    assignee: Assignee | None = None
    next: StepId | None = None


class WebhookStep(Step):
    """Posts to an address of yours, signed; the run goes on with the answer.

    Names such as `{{ profile.id }}` in the path and the query of `url` are filled in and escaped; a call for whom one
    in the path stands for nothing fails. Texts in `body` are templates; without a `body` it holds profile, event,
    order and journey.
    """

    type: Literal["webhook"]
    url: WebAddress
    body: dict[str, Any] | None = None
    #: The answer (JSON of at most 32 kB) is `journey.<save_as>` from then on.
    save_as: SavedName | None = None
    timeout_s: Annotated[int, Field(ge=1, le=30)] = 10
    if_failed: OnMiss = "continue"
    next: StepId | None = None


class StartJourneyStep(Step):
    """Puts the person into another journey, by its rules of re-entry. Values of `data` such as `{{ event.id }}` are
    filled in; the other journey finds them under `journey.<name>`."""

    type: Literal["start_journey"]
    journey_id: Annotated[str, StringConstraints(pattern=r"^jrn_[0-9a-z]{26}$")]
    data: Annotated[dict[SavedName, Any], Field(max_length=50)] = Field(default_factory=dict)
    next: StepId | None = None


class ThrottleStep(Step):
    """Lets at most `rate` people pass in any span of `per`, in the order in which they came.

    `scope`: steps that name the same scope share one line, across journeys; empty: this step alone.
    """

    type: Literal["throttle"]
    rate: Annotated[int, Field(ge=1, le=10_000)]
    per: Span
    scope: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None
    next: StepId | None = None


class DigestStep(Step):
    """Gathers runs of one person that come within `window` of the first: one goes on, with the events of all as
    `journey.digest`; the others end. `key`: a path whose value tells digests apart."""

    type: Literal["digest"]
    window: Span
    key: DataPath | None = None
    #: With so many it goes on at once.
    max: Annotated[int, Field(ge=2, le=100)] = 50
    next: StepId | None = None


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
    SendStep | WaitStep | WaitEventStep | BranchStep | SplitStep | HoldoutStep | UpdateStep | TaskStep | NotifyStep
    | AssignStep | NoteStep | WebhookStep | StartJourneyStep | ThrottleStep | DigestStep | ExitStep | JumpStep
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
    "notify": NotifyStep,
    "assign": AssignStep,
    "note": NoteStep,
    "webhook": WebhookStep,
    "start_journey": StartJourneyStep,
    "throttle": ThrottleStep,
    "digest": DigestStep,
    "exit": ExitStep,
    "jump": JumpStep,
}
#: Steps at which a run can stand still: a circle needs one of them.
RESTING = frozenset({"wait", "wait_event", "digest"})

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
