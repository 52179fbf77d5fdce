"""Writing to somebody first: the ways to a person, and the conversation that a first message begins."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.ids import new_id
from desk.api.contract import Call, Operations
from desk.api.conversations import ConversationView, conversation_view
from desk.api.messages import actor_of
from desk.api.scope import Asking, seen_person
from desk.api.shapes import ChannelId, IdentityId, ProfileId, Time, View, page
from desk.auth import Principal
from inbox.beginning import Begun, Reach, Wish
from inbox.models import ReplyInput
from profiles.models import Profile

operations = Operations("conversations")


class BeginBody(ReplyInput):
    """A first message: to an address of the person (`identity_id`), or to the one they have on a channel."""

    profile_id: ProfileId
    identity_id: IdentityId | None = None
    channel_id: ChannelId | None = Field(None, description="Needed where several channels reach the address.")
    undo_s: int = Field(0, ge=0, le=60, description="Seconds in which it can be taken back before it goes out.")


class BegunView(ConversationView):
    """The conversation, and the message that was written; `begun`: it was not there before."""

    message_id: str
    begun: bool


class ReachView(View):
    """An address of the person on one of the channels; without `channel_id` none reaches it.

    `reason`: why nothing can be sent there now. `only_templates`: nothing but an approved template can. Free text can
    be sent until `until`; null: at any time.
    """

    identity_id: str
    kind: str
    channel_id: str | None
    provider: str | None
    address: str
    handle: str | None
    open: bool
    only_templates: bool
    until: Time | None
    reason: dict[str, Any] | None


def reach_view(reach: Reach) -> ReachView:
    """As people and programs see it."""
    return ReachView(
        identity_id=reach.identity.id, kind=reach.identity.kind, channel_id=reach.channel_id,
        provider=reach.channel.provider if reach.channel else reach.identity.provider,
        address=reach.external_id or reach.identity.external_id or reach.identity.value or "",
        handle=reach.identity.handle, open=reach.objection is None and not reach.only_templates,
        only_templates=reach.only_templates, until=reach.until,
        reason=reach.objection.as_document() if reach.objection else None,
    )  # fmt: skip


async def reaches_for(asking: Asking, profile_id: str) -> tuple[Profile, list[Reach]]:
    """The ways to a person whom the caller sees, on the caller's channels. Raises `NotFound`."""
    profile, identities = await seen_person(asking, profile_id)
    found: list[Reach] = await asking.runtime.beginning.reaches(identities, asking.principal.channels)
    return profile, found


def owner_of(principal: Principal) -> str | None:
    """Whose what they begin is: a person's own; nobody's where a program began it."""
    return principal.id if principal.user is not None else None


@operations("GET", "/profiles/{id:prf}/ways", roles=["viewer"], returns=list[ReachView])
async def list_ways(call: Call) -> Any:
    """List all ways to write to a person, those that are open first; for the others why not."""
    _, found = await reaches_for(call, call.path["id"])
    return page([reach_view(each) for each in found], None)


@operations("POST", "/conversations", roles=["agent"], body=BeginBody, returns=BegunView, status=201)
async def begin_conversation(call: Call) -> Any:
    """Write to somebody first.

    Where a conversation of theirs is open on this channel the message goes there (`begun` false). What a person begins
    is theirs. Reply windows hold: 409 `window_closed` without an approved `template`; a mail needs a `subject`.
    """
    body: BeginBody = call.body
    if body.channel_id is not None:
        call.must_see(body.channel_id)
    profile, found = await reaches_for(call, body.profile_id)
    wish = Wish(profile.id, body.identity_id, body.channel_id, owner_of(call.principal))
    own = {"profile_id", "identity_id", "channel_id", "undo_s"}
    answer = ReplyInput.model_validate(body.model_dump(exclude=own, exclude_unset=True))
    key = f"api:{call.principal.id}:{call.idempotency_key or new_id('msg')}"
    begun: Begun = await call.runtime.beginning.begin(
        wish, found, actor_of(call.principal), answer, key, undo_s=body.undo_s
    )
    talk = await call.runtime.conversations.get(begun.conversation_id)
    shown = conversation_view(call, talk).model_dump()
    return BegunView(**shown, message_id=begun.message.id, begun=begun.is_new)
