"""Messages of all conversations, each with its status history."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.ids import new_id
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import id_today
from desk.api.shapes import Body, ChannelId, PageQuery, ProfileId, Since, Time, View, When, listed
from desk.auth import Principal
from inbox.forwarding import ForwardInput
from inbox.models import Actor, Author, Direction, Message

operations = Operations("messages")

#: Kept with a receipt so that it counts once; no part of the history that people read.
_INTERNAL = ("key", "event_id")


class StatusView(View):
    """What became of it, and when."""

    status: str
    at: Time
    reason: dict[str, Any] | None = None


class MessageView(View):
    """One line: in, out, a note, or a system line `{code, params}`."""

    id: str
    conversation_id: str | None
    profile_id: str | None
    identity_id: str | None
    channel_id: str
    direction: Direction
    author: Author
    text: str | None
    attachments: list[dict[str, Any]]
    reply_to: str | None
    location: dict[str, Any] | None
    contacts: list[dict[str, Any]]
    buttons: list[dict[str, Any]]
    template: dict[str, Any] | None
    postback: dict[str, Any] | None
    referral: dict[str, Any] | None
    mail: dict[str, Any] | None
    extra: dict[str, Any]
    system: dict[str, Any] | None
    unsupported: str | None
    forwarded: bool
    provider_message_id: str | None
    occurred_at: Time
    received_at: Time
    seq: int
    status: str | None
    status_history: list[StatusView]
    reason: dict[str, Any] | None
    reactions: list[dict[str, Any]]
    #: Ours: `{emoji, by, at, state, reason?}`.
    reacted: dict[str, Any] | None
    edited_at: Time | None
    deleted_at: Time | None
    opened_at: Time | None
    clicked_at: Time | None
    due_at: Time | None
    send_id: str | None
    retry_of: str | None
    retried_by: str | None


class MessagePatch(Body):
    """When a message that is to be sent later goes out; null: now."""

    send_at: When | None


class ForwardBody(ForwardInput):
    """To whom, and what stands above."""

    undo_s: int = Field(0, ge=0, le=60, description="Seconds in which it can be taken back before it goes out.")


class ReactionBody(Body):
    """What we think of it; null: nothing any more."""

    emoji: str | None = Field(min_length=1, max_length=40)


class MessageQuery(PageQuery):
    """Narrows the list."""

    channel: ChannelId | None = None
    profile: ProfileId | None = None
    provider_message_id: str | None = Field(None, min_length=1, max_length=500)
    direction: Literal["in", "out", "note", "system"] | None = None
    since: Since | None = Field(None, description="Received at or after this time.")


def message_view(message: Message) -> MessageView:
    """As people and programs see it."""
    shown = {name: getattr(message, name) for name in MessageView.model_fields if name != "occurred_at"}
    history = [{k: v for k, v in each.items() if k not in _INTERNAL} for each in message.status_history]
    files = [{k: v for k, v in each.items() if k != "content"} for each in message.attachments]
    reacted = {k: v for k, v in (message.reacted or {}).items() if k != "rev"}
    shown["reacted"] = reacted if reacted.get("emoji") or reacted.get("state") == "failed" else None
    changed = {"occurred_at": message.provider_at, "status_history": history, "attachments": files}
    return MessageView.model_validate({**shown, **changed})


@operations("GET", "/messages", roles=["viewer"], query=MessageQuery, returns=list[MessageView])
async def list_messages(call: Call) -> Any:
    """List messages of all conversations, newest first."""
    wanted: MessageQuery = call.query
    found = await call.runtime.messages.all(
        channel_id=wanted.channel, profile_id=await id_today(call, wanted.profile),
        provider_message_id=wanted.provider_message_id, direction=wanted.direction, since=wanted.since,
        channels=call.principal.reach, limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    return listed(found, [message_view(each) for each in found.data])


@operations("GET", "/messages/{id:msg}", roles=["viewer"], returns=MessageView)
async def get_message(call: Call) -> Any:
    """One message."""
    return message_view(await _seen(call))


@operations("PATCH", "/messages/{id:msg}", roles=["agent"], body=MessagePatch, returns=MessageView)
async def change_message(call: Call) -> Any:
    """Send what is to be sent later at another time, or now.

    409 `too_late` once it is on its way. To change its words take it back (`undo`) and send them anew.
    """
    message = await _seen(call)
    return message_view(await call.runtime.afterthoughts.move(message.id, call.body.send_at))


@operations("POST", "/messages/{id:msg}/undo", roles=["agent"], returns=MessageView)
async def undo_message(call: Call) -> Any:
    """Take back an answer that has not gone out: one sent with `undo_s` in its time, or one to be sent later.

    Its words become the caller's draft. 409 `too_late` once it is on its way; the same again changes nothing.
    """
    message = await _seen(call)
    return message_view(await call.runtime.afterthoughts.undo(message.id, actor_of(call.principal)))


@operations("POST", "/messages/{id:msg}/retry", roles=["agent"], returns=MessageView, status=201)
async def retry_message(call: Call) -> Any:
    """Send an answer that failed once more, as a new message that names the failed one (`retry_of`).

    Asked for again it is the same new message. 409 `not_failed` for what did not fail.
    """
    message = await _seen(call)
    return message_view(await call.runtime.afterthoughts.retry(message.id, actor_of(call.principal)))


@operations("POST", "/messages/{id:msg}/reaction", roles=["agent"], body=ReactionBody, returns=MessageView)
async def react_to_message(call: Call) -> Any:
    """React to a message of the customer with an emoji, or with null take it back.

    It is the house's: another colleague's takes its place. What became of it stands in `reacted`; the same again sends
    once more what failed. Channels say in their capabilities (`reacting`) whether they take any, and which.
    """
    message = await _seen(call)
    return message_view(await call.runtime.reactions.react(message.id, call.body.emoji, actor_of(call.principal)))


@operations("POST", "/messages/{id:msg}/forward", roles=["agent"], body=ForwardBody, returns=MessageView, status=201)
async def forward_message(call: Call) -> Any:
    """Forward a mail with its files to somebody who is not the customer.

    It begins a conversation of its own, with the customer's as its `parent_id`: answers come there, and never into the
    customer's. 422 for an address of the customer's, in `cc` too, also in what is answered there later. Who is limited
    to some channels and forwards to somebody who is known on others alone writes to a stranger, and learns nothing.
    """
    message, body = await _seen(call), call.body
    key = f"api:{call.principal.id}:{call.idempotency_key or new_id('msg')}"
    wanted = ForwardInput.model_validate(body.model_dump(exclude={"undo_s"}))
    owner = call.principal.id if call.principal.user is not None else None
    line = await call.runtime.forwarding.forward(
        message.id, wanted, actor_of(call.principal), key, owner_id=owner,
        channels=call.principal.channels, undo_s=body.undo_s,
    )  # fmt: skip
    return message_view(line)


def actor_of(principal: Principal) -> Actor:
    """Who acts, as the use cases know them."""
    if principal.bot_id is not None:
        return Actor(principal.bot_id, principal.name, "bot")
    return Actor(principal.id, principal.name)


async def _seen(call: Call) -> Message:
    message: Message | None = await call.runtime.messages.get(call.path["id"])
    if message is None:
        raise not_there()
    call.must_see(message.channel_id)
    return message
