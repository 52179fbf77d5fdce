"""The ledger: every send that was ever asked for, what became of it and why."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import FieldError, WrongInput
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import id_today
from desk.api.shapes import BroadcastId, ConversationId, JourneyId, PageQuery, ProfileId, Since, Time, View, listed
from inbox.models import Send, SendClass, SendState

operations = Operations("sends")


class SendQuery(PageQuery):
    """Narrows the ledger."""

    profile: ProfileId | None = None
    journey: JourneyId | None = None
    broadcast: BroadcastId | None = None
    conversation: ConversationId | None = None
    status: SendState | None = None
    since: Since | None = Field(None, description="Planned at or after this time.")


class SourceView(View):
    """What asked for it."""

    kind: str
    id: str | None
    enrolment_id: str | None
    node_id: str | None
    visit: int | None


class ReasonView(View):
    """Why it did not go, or waits: a stable code, a sentence for a person, the provider's own words."""

    code: str
    sentence: str
    detail: str | None


class SendView(View):
    """One send. `send_key` is unique for ever: the same key is never sent twice."""

    id: str
    send_key: str
    send_class: SendClass = Field(serialization_alias="class")
    source: SourceView
    profile_id: str
    #: Null where there was no way to the person.
    identity_id: str | None
    channel_id: str
    conversation_id: str | None
    message_id: str | None
    to: dict[str, Any] | None
    status: SendState
    reason: ReasonView | None
    tries: int
    due_at: Time | None
    planned_at: Time
    handed_at: Time | None
    accepted_at: Time | None
    provider_message_ids: list[str]
    history: list[dict[str, Any]]


def send_view(send: Send) -> SendView:
    """As people and programs see it; the content stands in its message."""
    shown = {name: getattr(send, name) for name in SendView.model_fields if name != "status"}
    history = [{k: v for k, v in each.items() if k != "key"} for each in send.history]
    shown["identity_id"] = send.identity_id or None
    return SendView.model_validate({**shown, "status": send.state, "history": history})


@operations("GET", "/sends", roles=["viewer"], query=SendQuery, returns=list[SendView])
async def list_sends(call: Call) -> Any:
    """List sends, newest first."""
    wanted: SendQuery = call.query
    if wanted.journey and wanted.broadcast:
        raise WrongInput("A send has one source.", [FieldError("broadcast", "give either journey or broadcast")])
    kind = "journey" if wanted.journey else "broadcast" if wanted.broadcast else None
    found = await call.runtime.sends.page(
        profile_id=await id_today(call, wanted.profile), source_kind=kind, source_id=wanted.journey or wanted.broadcast,
        conversation_id=wanted.conversation, state=wanted.status, since=wanted.since,
        channels=call.principal.reach, limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    return listed(found, [send_view(each) for each in found.data])


@operations("GET", "/sends/{id:snd}", roles=["viewer"], returns=SendView)
async def get_send(call: Call) -> Any:
    """One send."""
    send = await call.runtime.sends.get(call.path["id"])
    if send is None:
        raise not_there()
    call.must_see(send.channel_id)
    return send_view(send)
