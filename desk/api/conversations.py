"""Conversations: the list of the inbox, one of them, its messages, an agent's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from base.errors import FieldError, NotFound, WrongInput
from base.ids import new_id
from desk.api.contract import Call, Operations, not_there
from desk.api.mentions import mentioning
from desk.api.messages import MessageView, actor_of, message_view
from desk.api.notes import mentions_in
from desk.api.scope import Asking, answered_talk, id_today, shown_talk
from desk.api.shapes import (
    ChannelId,
    ConversationId,
    PageQuery,
    Patch,
    ProfileId,
    TeamId,
    Time,
    UserId,
    View,
    ViewId,
    When,
    listed,
)
from inbox.acts import PARTICIPANTS_MAX
from inbox.bulk import Assignee
from inbox.heads import THREADS_MAX
from inbox.models import Conversation, Direction, Priority, ReplyInput, Status
from inbox.sla.models import Target
from inbox.store.conversations import Sort
from inbox.view_filter import ConversationFilter, Due, Follower, Label, LabelFilter, PersonFilter, ViewFilter

operations = Operations("conversations")


class ConversationQuery(PageQuery):
    """Narrows and orders the list. What is asked beside a `view` stands in place of what the view says of it."""

    view: ViewId | None = Field(None, description="A saved view.")
    status: Status | None = None
    assignee: str | None = Field(
        None, pattern=r"^(me|none|usr_[0-9a-z]{26})$", description="`me`, `none` or a user id."
    )
    team: str | None = Field(None, pattern=r"^(none|tea_[0-9a-z]{26})$", description="`none` or a team id.")
    follower: Follower | None = Field(None, description="Who follows it: `me` or a user id.")
    channel: ChannelId | None = None
    profile: ProfileId | None = None
    label: Label | None = None
    priority: Priority | None = None
    unread: bool | None = Field(None, description="With something nobody has read.")
    mentioned: bool = Field(False, description="Only those with a note that calls the caller by `@name`.")
    waiting: bool | None = Field(None, description="With a customer who waits for an answer.")
    stage: str | None = Field(None, min_length=1, max_length=80, description="Stage of the person.")
    tier: str | None = Field(None, min_length=1, max_length=80, description="Tier of the person.")
    tag: str | None = Field(None, min_length=1, max_length=80, description="A tag of the person.")
    sla: Due | None = Field(
        None, description="What was promised is overdue, or due soon. Without `status`: those not closed."
    )
    q: str | None = Field(None, min_length=1, max_length=200, description="Beginnings of names, addresses, subjects.")
    sort: Sort = "last_activity"


class ConversationPatch(Patch):
    """What to change. `status` `snoozed` without `snoozed_until`: until the customer answers; null takes assignee, team
    or snooze away. `participants`: exactly these colleagues follow it."""

    status: Status = "open"
    assignee_id: UserId | None = None
    team_id: TeamId | None = None
    labels: list[Label] = Field(default_factory=list, max_length=40)
    participants: list[UserId] = Field(default_factory=list, max_length=PARTICIPANTS_MAX)
    priority: Priority = "none"
    snoozed_until: When | None = None


class LinesQuery(PageQuery):
    """Which lines."""

    scope: Literal["conversation", "person"] = "conversation"


class ReplyBody(ReplyInput):
    """An answer, or a note to colleagues."""

    undo_s: int = Field(0, ge=0, le=60, description="Seconds in which it can be taken back before it goes out.")
    via: ConversationId | None = Field(
        None, description="Of what was merged, the part whose channel it goes out on; else where they wrote last."
    )


class LastMessageView(View):
    """What a list shows of the last line."""

    id: str
    text: str | None
    kind: str | None
    at: Time
    direction: Direction


class AddressView(View):
    """Who it is on the channel; replies go there for ever."""

    external_id: str
    handle: str | None


class SlaClockView(View):
    """One thing that was promised and is not done yet. While it stands still it has no due time, but `left_s`."""

    target: Target
    since: Time
    due_at: Time | None
    soon_at: Time | None
    left_s: float | None


class SlaView(View):
    """What was promised in this conversation: the earliest end (`due_at`; past, it is breached), and all that runs."""

    policy_id: str | None
    due_at: Time | None
    soon_at: Time | None
    paused: bool
    clocks: list[SlaClockView]


class ConversationView(View):
    """A thread with one identity on one channel account."""

    id: str
    profile_id: str
    identity_id: str
    channel_id: str
    provider: str
    address: AddressView
    display_name: str | None
    subject: str | None
    status: Status
    #: A bot has it (`bot_id`) until it or somebody hands over.
    owner: Literal["agents", "bot"]
    bot_id: str | None
    assignee_id: str | None
    team_id: str | None
    labels: list[str]
    participants: list[str]
    priority: Priority
    snoozed_until: Time | None
    resolved_at: Time | None
    last_message: LastMessageView | None
    last_activity_at: Time
    last_inbound_at: Time | None
    waiting_since: Time | None
    first_reply_at: Time | None
    sla: SlaView | None
    unread: int
    message_count: int
    group_id: str | None
    #: Conversations that were merged into this one, and the id that was asked for when that one was.
    parts: list[str]
    merged_from: str | None
    #: What it was split off from.
    split_from: str | None
    #: The conversation from which it was forwarded to somebody else.
    parent_id: str | None
    created_at: Time
    updated_at: Time


def conversation_view(asking: Asking, conversation: Conversation) -> ConversationView:
    """As people and programs see it."""
    return ConversationView.model_validate(shown_talk(asking, conversation))


@operations("GET", "/conversations", roles=["viewer"], query=ConversationQuery, returns=list[ConversationView])
async def list_conversations(call: Call) -> Any:
    """List conversations.

    `sort=waiting` shows only those where a customer waits, the longest first; `sort=sla` only those in which something
    promised is due, the earliest first.

    Asked by stage, tier or tag of the person, or by a `view` that does so, a page may hold fewer than `limit` and
    still have a `next_cursor`: it ends where enough conversations were looked at.
    """
    wanted: ConversationQuery = call.query
    saved = (await call.runtime.views.get(wanted.view, call.principal.id)).filter if wanted.view else ViewFilter()
    narrowed = ConversationFilter(
        asked_of(wanted, saved), call.principal.id, call.principal.reach,
        await id_today(call, wanted.profile), await mentioning(call) if wanted.mentioned else None,
    )  # fmt: skip
    found = await call.runtime.finding.page(
        narrowed, sort=wanted.sort, limit=wanted.limit, cursor=wanted.cursor, sla=wanted.sla
    )
    return listed(found, [conversation_view(call, each) for each in found.data])


def asked_of(wanted: ConversationQuery, saved: ViewFilter) -> ViewFilter:
    """What a query asks: the view's own, and in its place whatever stands in the query. Pure."""
    one = {name: value for name in ("status", "assignee", "team", "follower", "channel", "priority")
           if (value := getattr(wanted, name)) is not None}  # fmt: skip
    person = {name: (value,) for name in ("stage", "tier", "tag") if (value := getattr(wanted, name)) is not None}
    given: dict[str, Any] = {name: (value,) for name, value in one.items()}
    given |= {name: value for name in ("unread", "waiting", "q") if (value := getattr(wanted, name)) is not None}
    if wanted.label is not None:
        given["labels"] = LabelFilter(all=(wanted.label,))
    if person:
        given["person"] = PersonFilter(**{**saved.person.model_dump(), **person})
    return saved.model_copy(update=given)


@operations("GET", "/conversations/{id:cnv}", roles=["viewer"], returns=ConversationView)
async def get_conversation(call: Call) -> Any:
    """One conversation; for one that was merged into another, that one, with `merged_from`."""
    return conversation_view(call, await seen_talk(call))


@operations("PATCH", "/conversations/{id:cnv}", roles=["agent"], body=ConversationPatch, returns=ConversationView)
async def change_conversation(call: Call) -> Any:
    """Assign, label, prioritise, resolve, snooze. Each change leaves a line in the conversation, an equal one none."""
    found = await seen_talk(call)
    given, by = call.body.given(), actor_of(call.principal)
    snooze = _snooze(found, given)
    await team_or_refuse(call, given.get("team_id"))
    assignee_name = await _assignee_name(call, found, given.get("assignee_id"))
    await refuse_strangers(call, given.get("participants", ()))
    actions, conversation = call.runtime.desk_actions, found
    if "assignee_id" in given:
        conversation = await actions.assign(found.id, given["assignee_id"], by, assignee_name=assignee_name)
    if "team_id" in given:
        conversation = await actions.assign_team(found.id, given["team_id"], by)
    if "labels" in given:
        conversation = await actions.set_labels(found.id, given["labels"], by)
    if "participants" in given:
        conversation = await actions.set_participants(found.id, given["participants"], by)
    if "priority" in given:
        conversation = await actions.set_priority(found.id, given["priority"], by)
    if snooze is not None:
        conversation = await actions.set_status(found.id, snooze[0], by, snoozed_until=snooze[1])
    return conversation_view(call, conversation)


@operations("POST", "/conversations/next", roles=["agent"], returns=ConversationView)
async def take_next_conversation(call: Call) -> Any:
    """Give the caller the conversation that waits most and nobody has.

    Of the caller's teams, else of those that have no team: the most urgent, of these the one that waits longest, also
    beyond what they can have. 404 `nothing_waits` when there is none. For people; a program has no conversations.
    """
    if call.principal.user is None:
        raise WrongInput("A program has no conversations: sign in as a person.")
    found = await call.runtime.routing.next_for(call.principal.user, actor_of(call.principal))
    if found is None:
        raise NotFound("Nothing waits for somebody.", code="nothing_waits")
    return conversation_view(call, found)


@operations("GET", "/conversations/{id:cnv}/messages", roles=["viewer"], query=LinesQuery, returns=list[MessageView])
async def list_conversation_messages(call: Call) -> Any:
    """List the lines of a conversation, the latest first.

    With `scope` `person` those of all the person's conversations that the caller may see, the 20 latest of them, as one
    thread.
    """
    conversation = await seen_talk(call)
    store, may_see = call.runtime.conversations, call.principal.may_see
    talks = await store.with_parts(conversation)
    if call.query.scope == "person":
        talks += [each for each in await store.of_profile(conversation.profile_id) if each.id != conversation.id]
    threads = [each.id for each in talks if may_see(each.channel_id)][:THREADS_MAX]
    found = await call.runtime.messages.page(threads, limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [message_view(each) for each in found.data])


@operations(
    "POST", "/conversations/{id:cnv}/messages", roles=["agent"], body=ReplyBody, returns=MessageView, status=201
)
async def reply(call: Call) -> Any:
    """Answer the customer on their channel, or leave a note that stays inside the house (`note`).

    The answer comes as soon as the message is written down; what becomes of it is in its `status_history`. Outside
    the provider's reply window only an approved `template` may be sent. With `seen_seq` (the `seq` of the last message
    that was read) it is refused with 409 `newer_messages` when others have written since, unless `send_anyway`.
    """
    conversation = await seen_talk(call)
    key = f"api:{call.principal.id}:{call.idempotency_key or new_id('msg')}"
    by, undo_s = actor_of(call.principal), call.body.undo_s
    via = conversation.merged_from or call.body.via
    talk = await answered_talk(call, conversation, call.body.reply_to, via)
    answer = ReplyInput.model_validate(call.body.model_dump(exclude={"via", "undo_s"}, exclude_unset=True))
    called = await mentions_in(call, answer.text or "") if answer.note else []
    message = await call.runtime.outbox.reply(
        talk.id, by, answer, key, undo_s=undo_s, exactly=True, mentions=called
    )  # fmt: skip
    return message_view(message)


async def seen_talk(call: Call) -> Conversation:
    """The conversation of the path. Raises `NotFound`."""
    found: Conversation | None = await call.runtime.conversations.get(call.path["id"])
    if found is None:
        raise not_there()
    call.must_see(found.channel_id)
    return found


def _snooze(found: Conversation, given: dict[str, Any]) -> tuple[Status, Any] | None:
    """The status to set and until when; None: neither was given."""
    status, until = given.get("status"), given.get("snoozed_until")
    if status is None and "snoozed_until" in given:
        if until is not None:
            return "snoozed", until
        return ("open", None) if found.status == "snoozed" else None
    if status is not None and status != "snoozed" and until is not None:
        raise WrongInput(
            "Only a snoozed conversation has a time.", [FieldError("snoozed_until", "needs status snoozed")]
        )
    return None if status is None else (status, until)


async def _assignee_name(call: Call, found: Conversation, user_id: str | None) -> str | None:
    """The colleague's name. Raises `WrongInput` for somebody who could not answer this conversation."""
    if user_id is None:
        return None
    user = await call.runtime.users.user(user_id)
    able = user is not None and user.active and user.role in ("admin", "agent")
    if user is None or not able or not (user.channels is None or found.channel_id in user.channels):
        raise WrongInput(
            "There is no such colleague here.", [FieldError("assignee_id", "cannot answer on this channel")]
        )
    name: str = user.name
    return name


async def assignee_or_refuse(call: Call, user_id: str | None) -> Assignee | None:
    """Who is to have conversations of several channels. Raises `WrongInput` for somebody who answers none."""
    if user_id is None:
        return None
    user = await call.runtime.users.user(user_id)
    if user is None or not user.active or user.role not in ("admin", "agent"):
        raise WrongInput("There is no such colleague.", [FieldError("change.assignee_id", "answers nobody")])
    return Assignee(user.id, user.name, None if user.channels is None else sorted(user.channels))


async def refuse_strangers(call: Call, user_ids: Sequence[str]) -> None:
    """Raise `WrongInput` for followers who do not work here."""
    for each in user_ids:
        user = await call.runtime.users.user(each)
        if user is None or not user.active:
            raise WrongInput("There is no such colleague.", [FieldError("participants", f"{each} is nobody here")])


async def team_or_refuse(call: Call, team_id: str | None) -> str | None:
    """The name of a team; None for none. Raises `WrongInput`."""
    if team_id is None:
        return None
    name = next((each.name for each in await call.runtime.teams.all() if each.id == team_id), None)
    if name is None:
        raise WrongInput("There is no such team.", [FieldError("team_id", "is no team")])
    return str(name)
