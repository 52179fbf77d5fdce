"""The one list of actions on a conversation and its person, and what is made of them: macros and rules. Pure.

Shapes as in the public contract. What an action needs to be there (a colleague, a team, a canned reply) is checked by
`campaigns.automation.checking`, and once more when it is carried out.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from base.errors import MEMBER, FieldError, WrongInput
from campaigns.conditions import Condition, Leaf, RuleFault, read_condition
from campaigns.models import EventName, WaitDuration, WebAddress
from channels.vocabulary import TemplateCall
from inbox.acts import LABEL_MAX, LABELS_MAX
from inbox.models import Priority

ACTIONS_MAX = 20
TEXT_MAX = 4000
#: The shortest and the longest time after which a timed rule looks.
SOONEST, LATEST = timedelta(seconds=1), timedelta(days=90)
#: What rules may ask of a conversation, as `conversation.<name>`; times are seconds that have gone by.
CONVERSATION_FIELDS: tuple[str, ...] = (
    "id", "status", "channel_id", "provider", "team_id", "assignee_id", "labels", "priority", "subject", "open",
    "waiting", "waiting_s", "idle_s", "unread", "message_count", "answered", "text", "group", "owner",
)  # fmt: skip

Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=LABEL_MAX, strip_whitespace=True)]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_MAX, pattern=r"\S")]
UserId = Annotated[str, StringConstraints(pattern=r"^usr_[0-9a-z]{26}$")]
ChannelId = Annotated[str, StringConstraints(pattern=r"^chn_[0-9a-z]{26}$")]
#: Who is to do something: a colleague, the person's owner, whose turn it is.
Somebody = Annotated[str, StringConstraints(pattern=r"^(owner|round_robin|usr_[0-9a-z]{26})$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class AssignAction(_Part):
    """Give the conversation to a colleague, the person's owner, whose turn it is, or (`nobody`) back to everybody."""

    type: Literal["assign"]
    to: Annotated[str, StringConstraints(pattern=r"^(owner|round_robin|nobody|usr_[0-9a-z]{26})$")]


class TeamAction(_Part):
    """Move it to a team, or (null) out of its team."""

    type: Literal["team"]
    team_id: Annotated[str, StringConstraints(pattern=r"^tea_[0-9a-z]{26}$")] | None


class StatusAction(_Part):
    """Open it again, set it to pending, resolve it, mark it as spam."""

    type: Literal["status"]
    status: Literal["open", "pending", "resolved", "spam"]


class HandToBotAction(_Part):
    """Give it to the bot of its channel. A rule leaves it where the bot has lost it already."""

    type: Literal["hand_to_bot"]


class SnoozeAction(_Part):
    """Let it rest for a time, or (without `span`) until the customer answers."""

    type: Literal["snooze"]
    span: WaitDuration | None = None


class PriorityAction(_Part):
    """Say how urgent it is."""

    type: Literal["priority"]
    priority: Priority


class _Moving(_Part):
    @model_validator(mode="after")
    def _something(self) -> _Moving:
        if not (getattr(self, "add", ()) or getattr(self, "remove", ())):
            raise ValueError("say what is added or removed")
        return self


class LabelAction(_Moving):
    """Labels more and less; the others stay."""

    type: Literal["labels"]
    add: Annotated[tuple[Label, ...], Field(max_length=LABELS_MAX)] = ()
    remove: Annotated[tuple[Label, ...], Field(max_length=LABELS_MAX)] = ()


class FollowAction(_Moving):
    """Colleagues who follow it, more and less."""

    type: Literal["participants"]
    add: Annotated[tuple[UserId, ...], Field(max_length=20)] = ()
    remove: Annotated[tuple[UserId, ...], Field(max_length=20)] = ()


class ReplyAction(_Part):
    """Answer the customer: a text with blanks as in canned replies, a canned reply, or an approved template."""

    type: Literal["reply"]
    text: Text | None = None
    canned_id: Annotated[str, StringConstraints(pattern=r"^cnr_[0-9a-z]{26}$")] | None = None
    template: TemplateCall | None = None

    @model_validator(mode="after")
    def _one(self) -> ReplyAction:
        if sum(each is not None for each in (self.text, self.canned_id, self.template)) != 1:
            raise ValueError("give one of text, canned_id and template")
        return self


class NoteAction(_Part):
    """A line that stays inside the house."""

    type: Literal["note"]
    text: Text


class TaskAction(_Part):
    """Something for a colleague to do, due after a while; without an assignee whoever takes it."""

    type: Literal["task"]
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]
    assignee: Somebody | None = None
    due: WaitDuration | None = None


class TagAction(_Moving):
    """Tags of the person, more and less."""

    type: Literal["tags"]
    add: Annotated[tuple[TagName, ...], Field(max_length=20)] = ()
    remove: Annotated[tuple[TagName, ...], Field(max_length=20)] = ()


class StageAction(_Part):
    """Move the person to a stage."""

    type: Literal["stage"]
    stage: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class NotifyAction(_Part):
    """Tell a colleague, the owner, whoever has the conversation, or everybody of a role."""

    type: Literal["notify"]
    to: Annotated[str, StringConstraints(pattern=r"^(owner|assignee|role:(admin|agent)|usr_[0-9a-z]{26})$")]
    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]


class WebhookAction(_Part):
    """Call an address outside, signed; what is posted names the conversation, the person and what happened."""

    type: Literal["webhook"]
    url: WebAddress


class JourneyAction(_Part):
    """Put the person into a journey, by its rules of re-entry."""

    type: Literal["journey"]
    journey_id: Annotated[str, StringConstraints(pattern=r"^jrn_[0-9a-z]{26}$")]


class RatingAction(_Part):
    """Ask how satisfied the person is, where that may be asked."""

    type: Literal["ask_rating"]


AnyAction = (
    AssignAction | TeamAction | HandToBotAction | StatusAction | SnoozeAction | PriorityAction | LabelAction
    | FollowAction | ReplyAction | NoteAction | TaskAction | TagAction | StageAction | NotifyAction | WebhookAction
    | JourneyAction | RatingAction
)  # fmt: skip


def _known(models: tuple[type[BaseModel], ...]) -> Any:
    """A union told apart by `type`, whose members' names are no part of the path of a fault."""
    by_type = {get_args(each.model_fields["type"].annotation)[0]: each for each in models}

    def which(value: Any) -> str | None:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return MEMBER + kind if isinstance(kind, str) and kind in by_type else None

    members = [Annotated[each, Tag(MEMBER + kind)] for kind, each in by_type.items()]
    said = f"has a type that is one of {', '.join(by_type)}"
    return Annotated[
        Union[tuple(members)],  # noqa: UP007 - made of a list
        Discriminator(which, custom_error_type="no_such_type", custom_error_message=said),
    ]


if TYPE_CHECKING:
    Action = AnyAction
else:
    Action = _known(get_args(AnyAction))
Actions = Annotated[tuple[Action, ...], Field(min_length=1, max_length=ACTIONS_MAX)]
#: Type → its model, in the order in which they are offered.
ACTIONS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(AnyAction)
}
#: What only changes the conversation, and can be taken back as one act.
ON_CONVERSATION = frozenset({"assign", "team", "hand_to_bot", "status", "snooze", "priority", "labels", "participants"})
#: Who may write such an action down, or have it done by a macro of their own: it reaches further than answering does.
WRITTEN_BY: dict[str, tuple[str, ...]] = {"webhook": ("admin",), "journey": ("admin", "marketer")}
_ACTIONS: TypeAdapter[tuple[AnyAction, ...]] = TypeAdapter(Actions)


def may_write(action_type: str, role: str, channels: Collection[str] | None) -> bool:
    """Whether somebody of this role may; `channels` None: on all of them, as such actions ask for. Pure."""
    wanted = WRITTEN_BY.get(action_type)
    return wanted is None or (channels is None and role in wanted)


def read_actions(raw: object) -> tuple[AnyAction, ...]:
    """Read a list of actions as it is kept. Raises `WrongInput` with paths."""
    try:
        return _ACTIONS.validate_python(raw)
    except ValidationError as error:
        raise WrongInput("The actions have faults.", faults_of(error)) from None


def written(actions: tuple[AnyAction, ...]) -> list[dict[str, Any]]:
    """The reverse: only what is given."""
    return [each.model_dump(mode="json", exclude_defaults=True) for each in actions]


def faults_of(error: ValidationError) -> list[FieldError]:
    """What pydantic found, with paths such as `actions[1].text`."""
    found: list[FieldError] = []
    all_of_them = error.errors()
    for each in all_of_them:
        if each["type"] == "too_short" and len(all_of_them) > 1:
            continue  # those that are faulty are not counted
        path, context = "", each.get("ctx", {}).get("error")
        for step in each["loc"]:
            path += f"[{step}]" if isinstance(step, int) else "" if step.startswith(MEMBER) else f".{step}"
        if isinstance(context, RuleFault):
            found += [FieldError(f"{path}.{fault.path}".strip("."), fault.message) for fault in context.faults]
        else:
            found.append(FieldError(path.strip("."), each["msg"].removeprefix("Value error, ")))
    return found


# -- macros ----------------------------------------------------------------------------------------------------------


class MacroInput(_Part):
    """Several actions at one click. Without channels it is offered on all of them; `me`: nobody else sees it."""

    name: Title
    scope: Literal["everybody", "me"] = "everybody"
    channel_ids: tuple[ChannelId, ...] = Field((), max_length=200)
    actions: Actions


# -- rules -----------------------------------------------------------------------------------------------------------


class EventStart(_Part):
    """Something happens."""

    type: Literal["event"]
    event: EventName


def _in_reach(value: Any) -> Any:
    if not SOONEST <= value.roughly() <= LATEST:
        raise ValueError("is between one second and 90 days")
    return value


class TimedStart(_Part):
    """Something has stood for a time: the customer waits for an answer (`waiting`), has not answered ours
    (`no_reply`), nobody says anything (`idle`), none of us has touched it (`untouched`).

    With `hours_id` only open time counts.
    """

    type: Literal["timed"]
    what: Literal["waiting", "no_reply", "idle", "untouched"]
    after: Annotated[WaitDuration, AfterValidator(_in_reach)]
    hours_id: Annotated[str, StringConstraints(pattern=r"^hrs_[0-9a-z]{26}$")] | None = None


AnyStart = EventStart | TimedStart
if TYPE_CHECKING:
    Start = AnyStart
else:
    Start = _known(get_args(AnyStart))


def _when(value: object) -> Condition:
    try:
        condition = read_condition(value, run=False)
    except WrongInput as error:
        raise RuleFault(error.errors) from None
    for leaf in condition.leaves:
        _require_known(leaf)
    return condition


def _require_known(leaf: Leaf) -> None:
    root, _, name = leaf.path.partition(".")
    if root == "journey":
        raise RuleFault([FieldError("field", f"{leaf.path}: no journey stands behind a rule")])
    if root == "conversation" and name not in CONVERSATION_FIELDS:
        known = ", ".join(CONVERSATION_FIELDS)
        raise RuleFault([FieldError("field", f"{leaf.path} is not known; of a conversation there are {known}")])


When = Annotated[
    Condition, PlainValidator(_when), PlainSerializer(lambda value: value.raw), WithJsonSchema({"type": "object"})
]


class RuleInput(_Part):
    """A rule of automation. `stop`: where it holds, those after it are not asked. Without channels it is for all."""

    name: Title
    on: Start
    when: When | None = None
    channel_ids: tuple[ChannelId, ...] = Field((), max_length=200)
    actions: Actions
    stop: bool = False
    active: bool = True

    def kept(self) -> dict[str, Any]:
        """As it is written down."""
        return {**self.model_dump(mode="json", exclude={"actions"}), "actions": written(self.actions)}
