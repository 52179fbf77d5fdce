"""Acts on several conversations: the same change of many with a way back, and merging those of one person."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from base.errors import NotFound
from base.ids import id_of
from base.mongo import Document
from desk.api.contract import Call, Operations, Reply, not_there
from desk.api.conversations import (
    ConversationView,
    assignee_or_refuse,
    conversation_view,
    refuse_strangers,
    seen_talk,
    team_or_refuse,
)
from desk.api.macros import one_macro, runner_of
from desk.api.messages import actor_of
from desk.api.scope import may_see_act
from desk.api.shapes import Body, ConversationId, Time, View
from inbox.acts import Change
from inbox.bulk import IDS_MAX, MACRO, Order
from inbox.heads import THREADS_MAX
from inbox.models import Conversation
from inbox.view_filter import ViewFilter

operations = Operations("conversations")

MessageId = Annotated[str, Field(pattern=r"^msg_[0-9a-z]{26}$")]
MacroId = Annotated[str, Field(pattern=r"^mac_[0-9a-z]{26}$")]
MergeId = Annotated[str, Field(pattern=r"^act_[0-9a-z]{26}$")]


class BulkBody(Body):
    """Which conversations: `ids`, or all that a `filter` finds when it is asked. And what becomes of them: a `change`,
    or everything that a macro does."""

    ids: list[ConversationId] | None = Field(None, min_length=1, max_length=IDS_MAX)
    filter: ViewFilter | None = None
    change: Change | None = None
    macro_id: MacroId | None = None

    @model_validator(mode="after")
    def _one(self) -> BulkBody:
        if (self.change is None) == (self.macro_id is None):
            raise ValueError("give one of change and macro_id")
        return self


class LeftOutView(View):
    """A conversation that was left as it is, and why. With a `type` only this action of a macro was left there, or (of
    one that was taken back) stays."""

    id: str
    why: str
    type: str | None = None
    sentence: str | None = None


class ActView(View):
    """How far it is: `done` of `total` looked at, `changed` of them. While it is taken back, and after, `left` and
    `left_out` (the first hundred) are those that others have changed since."""

    id: str
    kind: str
    state: Literal["running", "done", "undoing", "undone", "merged", "unmerged"]
    at: Time
    total: int = 0
    done: int = 0
    changed: int = 0
    partly: int = Field(0, description="Of a macro: in so many conversations something was left.")
    undone: int = 0
    left: int = 0
    left_out: list[LeftOutView] = Field(default_factory=list)


class MergeBody(Body):
    """Conversations of the same person. `dry_run`: only what it would come to."""

    other_ids: list[ConversationId] = Field(min_length=1, max_length=THREADS_MAX - 1)
    dry_run: bool = False


class MergeView(View):
    """The conversation on which all goes on, what is shown with it, and how many messages that adds. `merge_id` takes
    it back; null where nothing was written."""

    merge_id: str | None
    conversation: ConversationView
    parts: list[str]
    messages: int


class UnmergeBody(Body):
    """Which merge."""

    merge_id: MergeId


def act_view(act: Document) -> ActView:
    """As people and programs see it."""
    return ActView.model_validate({**act, "id": act["_id"]})


@operations("POST", "/conversations/bulk", roles=["agent"], body=BulkBody, returns=ActView, also=(202,))
async def change_conversations(call: Call) -> Any:
    """Change many conversations at once, up to 200 while the caller waits, more in the background (202).

    Each leaves its line and events. Those that cannot be changed are left out and named; what is on channels out of
    the caller's scope is `not_found`. With a macro more than 20 are in the background; the same `Idempotency-Key` is
    the same run, also where the first try broke off in the middle.
    """
    wanted: BulkBody = call.body
    if wanted.macro_id is not None:
        macro = await one_macro(call, wanted.macro_id)
        runner, key = runner_of(call.principal), call.idempotency_key
        run_id = id_of("act", "macros", call.principal.id, key, wanted.model_dump_json()) if key else None
        act = await call.runtime.macros.run_on_many(
            macro.id, runner, ids=wanted.ids or (), found_by=wanted.filter, run_id=run_id
        )
    else:
        act = await call.runtime.bulk.begin(await _order(call, wanted, wanted.change or Change()))
    return Reply(act_view(act), status=202 if act["state"] == "running" else 200)


async def _order(call: Call, wanted: BulkBody, change: Change) -> Order:
    await refuse_strangers(call, change.participants.add if change.participants else ())
    return Order(
        change, actor_of(call.principal), wanted.ids or (), wanted.filter,
        call.principal.reach, await assignee_or_refuse(call, change.assignee_id),
        await team_or_refuse(call, change.team_id),
    )  # fmt: skip


@operations("GET", "/conversations/acts/{id:act}", roles=["agent"], returns=ActView)
async def get_conversation_act(call: Call) -> Any:
    """How far a change of many conversations is. It is kept for 30 days, in which it can be taken back."""
    return act_view(await _seen_act(call))


@operations("POST", "/conversations/acts/{id:act}/undo", roles=["agent"], returns=ActView, also=(202,))
async def undo_conversation_act(call: Call) -> Any:
    """Take a change of many back, also while it is under way. What others have changed since is left, and named."""
    act = await _seen_act(call)
    if act["kind"] not in ("change", MACRO):
        raise not_there()
    after = await call.runtime.bulk.undo(
        act["_id"], actor_of(call.principal), call.principal.reach
    )
    return Reply(act_view(after), status=202 if after["state"] == "undoing" else 200)


@operations("POST", "/conversations/{id:cnv}/merge", roles=["agent"], body=MergeBody, returns=MergeView)
async def merge_conversations(call: Call) -> Any:
    """Show conversations of one person as one with this one.

    Messages stay where they are; answers go out where the customer wrote last, or `via` the part that is named. A
    part is answered with this one from then on.
    """
    talk = await seen_talk(call)
    for other in call.body.other_ids:
        await _seen_other(call, other)
    merging = call.runtime.merging
    made = await (
        merging.look(talk.id, call.body.other_ids) if call.body.dry_run
        else merging.merge(talk.id, call.body.other_ids, actor_of(call.principal))
    )  # fmt: skip
    return MergeView(
        merge_id=made.act_id, conversation=conversation_view(call, made.conversation),
        parts=[each.id for each in made.parts], messages=made.messages,
    )  # fmt: skip


@operations("POST", "/conversations/unmerge", roles=["agent"], body=UnmergeBody, returns=ConversationView)
async def unmerge_conversations(call: Call) -> Any:
    """Take a merge apart: each is as it was, with what came to it since.

    409 `merged_since` when what it made was merged again: that goes first. The same again changes nothing.
    """
    act = await call.runtime.bulk.find(call.body.merge_id)
    if act is None or act["kind"] != "merge":
        raise not_there()
    for each in (act["head_id"], *(member["id"] for member in act["members"])):
        await _seen_other(call, each)
    after = await call.runtime.merging.unmerge(act["_id"], actor_of(call.principal))
    return conversation_view(call, after)


class SplitBody(Body):
    """The message with which the other conversation begins."""

    message_id: MessageId


@operations(
    "POST", "/conversations/{id:cnv}/split", roles=["agent"], body=SplitBody, returns=ConversationView, status=201
)
async def split_conversation(call: Call) -> Any:
    """From this message on another conversation; it.

    What comes next on the channel goes to the conversation it was split from; mails that answer a mail of it find it.
    Merging it back undoes it.
    """
    talk = await seen_talk(call)
    new = await call.runtime.splitting.split(talk.id, call.body.message_id, actor_of(call.principal))
    return conversation_view(call, new)


async def _seen_other(call: Call, conversation_id: str) -> Conversation:
    """A conversation by its own id and channel, merged or not. Raises `NotFound`."""
    row = await call.runtime.conversations.row(conversation_id)
    if row is None:
        raise not_there()
    call.must_see(row["channel_id"])
    found: Conversation | None = await call.runtime.conversations.get(conversation_id)
    if found is None:
        raise not_there()
    return found


async def _seen_act(call: Call) -> Document:
    """Raises `NotFound`."""
    act: Document | None = await call.runtime.bulk.find(call.path["id"])
    if act is None or not may_see_act(call.principal, act):
        raise NotFound("There is no such change, or it was made too long ago.")
    return act
