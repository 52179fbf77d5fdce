"""Canned replies: what is written again and again, under a shortcut; filled in for a conversation."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import Refused
from campaigns.canned import Answering, namespaces_of
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import Asking, answered_talk, refuse_sharing
from desk.api.shapes import Body, ConversationId, PageQuery, Patch, Time, View, page, sliced
from inbox.canned import CannedInput, CannedReply, Scope, Shortcut, for_channels, looked_for, unfilled
from inbox.models import Conversation
from inbox.routing.models import TeamId

operations = Operations("canned-replies")


class CannedQuery(PageQuery):
    """Narrows the list."""

    q: str | None = Field(None, min_length=1, max_length=100, description="Words of shortcut, title or text.")
    conversation: ConversationId | None = Field(None, description="Those that are offered on its channel.")


class CannedPatch(Patch):
    """Parts to replace, each as a whole. What is no longer for everybody is the caller's own."""

    shortcut: Shortcut = ""
    title: str = Field("", max_length=120)
    text: str = Field("", max_length=20_000)
    url: str | None = Field(None, max_length=2000)
    file_ids: tuple[str, ...] = Field((), max_length=20)
    scope: Scope = "everybody"
    team_id: TeamId | None = None
    channel_ids: tuple[str, ...] = Field((), max_length=200)


class CannedFileView(View):
    """A file that comes along."""

    id: str
    name: str
    media_type: str
    size_bytes: int


class CannedView(View):
    """A canned reply as it stands. `uses`: answers that were sent with it."""

    id: str
    shortcut: str
    title: str
    text: str
    url: str | None
    file_ids: list[str]
    scope: Scope
    team_id: str | None
    channel_ids: list[str]
    uses: int
    used_at: Time | None
    created_at: Time
    updated_at: Time


class RenderBody(Body):
    """For whom it is filled in."""

    conversation_id: ConversationId


class FaultView(View):
    """Why an address gave no text."""

    code: str
    sentence: str
    detail: str | None


class FilledView(View):
    """The text to send. `blanks` could not be filled in: they stand in it still, and it is not sent with them.

    `fault`: the address it comes from gave none, and why; there is nothing to send then.
    """

    id: str
    text: str
    blanks: list[str]
    files: list[CannedFileView]
    fault: FaultView | None = None


def canned_view(asking: Asking, reply: CannedReply) -> CannedView:
    """As people and programs see it, without channels that are not theirs."""
    shown = [each for each in reply.channel_ids if asking.principal.may_see(each)]
    return CannedView.model_validate(reply).model_copy(update={"channel_ids": shown})


def sees_canned(asking: Asking, reply: CannedReply) -> bool:
    """Whether somebody may see it: one for certain channels is for who sees one of them."""
    return not reply.channel_ids or any(asking.principal.may_see(each) for each in reply.channel_ids)


def all_teams(asking: Asking) -> bool:
    """Whether somebody looks after all teams."""
    return asking.principal.may_everywhere("admin")


async def seen_canned(asking: Asking, q: str = "", talk: Conversation | None = None) -> list[CannedReply]:
    """Those the caller sees with these words; with a conversation those that are offered on its channels."""
    found = await asking.runtime.canned.seen_by(asking.principal.id, all_teams=talk is None and all_teams(asking))
    seen = [each for each in found if sees_canned(asking, each)]
    if talk is not None:
        talks: list[Conversation] = await asking.runtime.conversations.with_parts(talk)
        seen = for_channels(seen, [each.channel_id for each in talks])
    return looked_for(seen, q)


async def one_canned(asking: Asking, reply_id: str, *, removed: bool = False) -> CannedReply:
    """One that the caller sees; with `removed` also when it was taken away. Raises `NotFound`."""
    canned, user_id = asking.runtime.canned, asking.principal.id
    look = canned.known if removed else canned.get
    found: CannedReply = await look(reply_id, user_id, all_teams=all_teams(asking))
    if not sees_canned(asking, found):
        raise not_there()
    return found


async def canned_to_change(asking: Asking, reply_id: str, *, removed: bool = False) -> CannedReply:
    """The same, for who may change it. Raises `NotFound`, `Refused`."""
    found = await one_canned(asking, reply_id, removed=removed)
    if found.owner_id is None:
        refuse_sharing(asking)
    return found


async def check_canned(asking: Asking, given: dict[str, Any], known: CannedReply | None = None) -> None:
    """Raise `NotFound` for channels that may not be seen, `Refused` for who may not share, not with this team, or name
    no address, `WrongInput` for a text that cannot be read."""
    if not all(asking.principal.may_see(each) for each in given.get("channel_ids", ())):
        raise not_there()
    if given.get("scope") == "everybody":
        refuse_sharing(asking)
    team_id = given.get("team_id") if given.get("scope", known and known.scope) == "team" else None
    own = await asking.runtime.teams.of_member(asking.principal.id) if team_id and not all_teams(asking) else None
    if own is not None and team_id not in {each.id for each in own}:
        raise Refused("Only who is in a team writes its canned replies.", code="forbidden")
    if given.get("url") and given["url"] != (known and known.url):
        if not all_teams(asking):
            raise Refused("Only administrators say which address is told of customers.", code="forbidden")
        asking.runtime.canned_words.check_url(given["url"])
    await asking.runtime.canned_words.check(given.get("text", ""))


async def filled(asking: Asking, reply: CannedReply, talk: Conversation) -> FilledView:
    """A canned reply filled in for a conversation the caller sees."""
    runtime, principal = asking.runtime, asking.principal
    talk = await answered_talk(asking, talk)
    row = (await runtime.profiles.documents([talk.profile_id])).get(talk.profile_id, {})
    person_id = row.get("_id", talk.profile_id)
    orders = (await runtime.order_store.of_profiles([person_id]))[person_id]
    channel = await runtime.channels.get(talk.channel_id)
    by = Answering(principal.name, principal.user.email if principal.user else None, principal.masks)
    about = namespaces_of(row, orders, talk, channel.name if channel else "", by)
    kept = [await runtime.files.get(each) for each in reply.file_ids]
    files = [CannedFileView.model_validate(each) for each in kept if each is not None]
    if reply.url:
        asked = await runtime.canned_words.ask(reply.url, reply.id, about)
        if asked.fault is None:
            return FilledView(id=reply.id, text=asked.text, blanks=unfilled(asked.text), files=files)
        fault = FaultView(code=asked.fault, sentence=asked.sentence, detail=asked.detail)
        return FilledView(id=reply.id, text="", blanks=[], files=files, fault=fault)
    made = await runtime.canned_words.fill(
        reply.text, about, locale=row.get("locale"), zone=row.get("time_zone")
    )  # fmt: skip
    return FilledView(id=reply.id, text=made.text, blanks=list(made.blanks), files=files)


@operations("GET", "/canned-replies", roles=["viewer"], query=CannedQuery, returns=list[CannedView])
async def list_canned_replies(call: Call) -> Any:
    """List canned replies, one's own, one's teams' and everybody's: by shortcut, or with `q` the closest first.

    Administrators see those of all teams; with `conversation` only what they may use themselves.
    """
    talk = await _talk(call, call.query.conversation) if call.query.conversation else None
    seen = await seen_canned(call, call.query.q or "", talk)
    found, following = sliced(seen, lambda each: each.id, call.query)
    return page([canned_view(call, each) for each in found], following)


@operations("POST", "/canned-replies", roles=["agent"], body=CannedInput, returns=CannedView, status=201)
async def create_canned_reply(call: Call) -> Any:
    """Write a canned reply. 409 `name_taken` when there is one with this shortcut.

    Blanks are written in the template language: `profile`, `order` (the last one), `agent` (who answers) and
    `conversation`. `file_ids` are uploads of the caller's. With a `url`, which only administrators name, the text
    is asked for there each time: a signed POST with the same namespaces, to be answered with `{"text": …}`.
    """
    await check_canned(call, call.body.model_dump())
    return canned_view(call, await call.runtime.canned.create(call.body, call.principal.id))


@operations("GET", "/canned-replies/{id:cnr}", roles=["viewer"], returns=CannedView)
async def get_canned_reply(call: Call) -> Any:
    """One canned reply."""
    return canned_view(call, await one_canned(call, call.path["id"]))


@operations("PATCH", "/canned-replies/{id:cnr}", roles=["agent"], body=CannedPatch, returns=CannedView)
async def change_canned_reply(call: Call) -> Any:
    """Replace parts of a canned reply."""
    known, given = await canned_to_change(call, call.path["id"]), call.body.given()
    await check_canned(call, given, known)
    changed = await call.runtime.canned.change(known.id, call.principal.id, given, all_teams=all_teams(call))
    return canned_view(call, changed)


@operations("DELETE", "/canned-replies/{id:cnr}", roles=["agent"])
async def delete_canned_reply(call: Call) -> None:
    """Take a canned reply away; for 30 days it can be put back."""
    known = await canned_to_change(call, call.path["id"])
    await call.runtime.canned.remove(known.id, call.principal.id, all_teams=all_teams(call))


@operations("POST", "/canned-replies/{id:cnr}/restore", roles=["agent"], returns=CannedView)
async def restore_canned_reply(call: Call) -> Any:
    """Undo a deletion."""
    known = await canned_to_change(call, call.path["id"], removed=True)
    restored = await call.runtime.canned.restore(known.id, call.principal.id, all_teams=all_teams(call))
    return canned_view(call, restored)


@operations("POST", "/canned-replies/{id:cnr}/render", roles=["agent"], body=RenderBody, returns=FilledView)
async def render_canned_reply(call: Call) -> Any:
    """Fill a canned reply in for a conversation: the text to send, with its files. Nothing is sent.

    What could not be filled in stands in `blanks`, and in the text as it is written; a message with it is refused.
    Where its address gave no text, `fault` says why.
    """
    talk = await _talk(call, call.body.conversation_id)
    return await filled(call, await one_canned(call, call.path["id"]), talk)


async def _talk(call: Call, conversation_id: str) -> Conversation:
    found: Conversation | None = await call.runtime.conversations.get(conversation_id)
    if found is None:
        raise not_there()
    call.must_see(found.channel_id)
    return found
