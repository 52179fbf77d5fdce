"""Merging conversations of one person: choosing which, with a look at what it comes to; and taking them apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from base.ids import is_id
from desk.api.scope import reading, shown_talk
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.faces import Face, Faces
from desk.pages.inbox import actor_of, address_of, after_act, conversation_for
from desk.pages.inbox_rows import STATUS_LABELS, name_of
from desk.pages.reads import faces_of
from desk.render import formats_of, page
from inbox.heads import THREADS_MAX
from inbox.models import Conversation

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Choice:
    """A conversation that may be merged."""

    id: str
    face: Face
    handle: str
    preview: str
    at: datetime
    status: str
    messages: int


@routes.get("/inbox/{conversation_id}/merge")
@require("agent")
async def choose(request: web.Request) -> web.StreamResponse:
    """The other conversations of this person, each with what it holds."""
    return await _choosing(request, await conversation_for(request), "")


@routes.post("/inbox/{conversation_id}/merge")
@require("agent")
async def merge(request: web.Request) -> web.StreamResponse:
    """Show those chosen as one with this one."""
    found, form, runtime = await conversation_for(request), await read_form(request), runtime_of(request)
    chosen = [str(each) for each in form.getall("other", []) if is_id(str(each), "cnv")]
    here = {each.id for each in await _others(request, found)}
    try:
        if not chosen or not here.issuperset(chosen):
            raise WrongInput("Choose conversations of this person.")
        made = await runtime.merging.merge(found.id, chosen, actor_of(principal_of(request)))
    except (WrongInput, Conflict) as error:
        return await _choosing(request, found, str(error), status=422)
    raise web.HTTPSeeOther(address_of(request, found.id, **({"did": made.act_id} if made.act_id else {})))


@routes.post("/inbox/{conversation_id}/unmerge")
@require("agent")
async def unmerge(request: web.Request) -> web.StreamResponse:
    """Take the last merge into this conversation apart. Not for who does not see all of it."""
    found, runtime = await conversation_for(request), runtime_of(request)
    parts = await runtime.conversations.with_parts(found)
    if any(not principal_of(request).may_see(each.channel_id) for each in parts):
        raise WrongInput("Some of it is on channels you may not see.")
    act = await runtime.merging.latest(found)
    if act is not None:
        await runtime.merging.unmerge(act["_id"], actor_of(principal_of(request)))
        act = await runtime.bulk.find(act["_id"])
    return await after_act(request, found, act)


@routes.post("/inbox/{conversation_id}/split")
@require("agent")
async def split(request: web.Request) -> web.StreamResponse:
    """From a message on another conversation, which is shown then; merged back, it is undone."""
    found, form = await conversation_for(request), await read_form(request)
    message_id = str(form.get("message", ""))
    if not is_id(message_id, "msg"):
        raise WrongInput("Choose a message.")
    new = await runtime_of(request).splitting.split(found.id, message_id, actor_of(principal_of(request)))
    raise web.HTTPSeeOther(address_of(request, new.id))


@routes.post("/inbox/{conversation_id}/unsplit")
@require("agent")
async def unsplit(request: web.Request) -> web.StreamResponse:
    """What was split off is merged back into what it came from."""
    found, runtime = await conversation_for(request), runtime_of(request)
    origin = await runtime.conversations.get(found.split_from) if found.split_from else None
    if origin is None or not principal_of(request).may_see(origin.channel_id):
        raise WrongInput("What it was split from is gone.")
    await runtime.merging.merge(origin.id, [found.id], actor_of(principal_of(request)))
    raise web.HTTPSeeOther(address_of(request, origin.id))


async def _choosing(request: web.Request, found: Conversation, fault: str, status: int = 200) -> web.Response:
    formats, faces = formats_of(request, principal_of(request)), await faces_of(runtime_of(request))
    values: dict[str, Any] = {
        "talk": _choice(found, faces, formats), "name": name_of(found), "fault": fault, "most": THREADS_MAX,
        "choices": [_choice(each, faces, formats) for each in await _others(request, found)],
    }  # fmt: skip
    return await page(request, "inbox/merge.html", values, status=status)


async def _others(request: web.Request, found: Conversation) -> list[Conversation]:
    """Private conversations of the same person that the reader sees."""
    others = await runtime_of(request).conversations.of_profile(found.profile_id)
    asking = reading(request)
    return [
        shown_talk(asking, each)
        for each in others
        if each.id != found.id and each.group_id is None and asking.principal.may_see(each.channel_id)
    ]


def _choice(talk: Conversation, faces: Faces, formats: Any) -> Choice:
    last = talk.last_message
    preview = " ".join((last.text or "").split())[:160] if last else ""
    return Choice(
        talk.id, faces.of(talk.channel_id, talk.provider), talk.address.handle or "", preview, talk.last_activity_at,
        formats.text(STATUS_LABELS.get(talk.status, talk.status)), talk.message_count,
    )  # fmt: skip
