"""Forwarding a mail to somebody who is not the customer."""

from __future__ import annotations

from aiohttp import web

from base.errors import Conflict, NotFound, Refused, WrongInput
from base.ids import is_id, new_id
from desk.api.beginning import owner_of
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.composer import Fault
from desk.pages.composing import addresses_in
from desk.pages.inbox import actor_of, conversation_for
from desk.pages.inbox_lines import file_view
from desk.pages.inbox_rows import name_of
from desk.problems import problem_of
from desk.render import formats_of, page
from inbox.forwarding import ForwardInput, forwarded
from inbox.models import Conversation, Message

routes = web.RouteTableDef()
FIELDS = ("to", "cc", "text", "files", "history")
HERE = "/inbox/{conversation_id}/messages/{message_id}/forward"


@routes.get(HERE)
@require("agent")
async def form(request: web.Request) -> web.StreamResponse:
    """To whom, and what stands above the mail."""
    found = await conversation_for(request)
    return await _page(request, found, await _mail(request, found), dict.fromkeys(FIELDS, ""), None)


@routes.post(HERE)
@require("agent")
async def forward(request: web.Request) -> web.StreamResponse:
    """Forward it; leads to the conversation with whom it went to."""
    found, given = await conversation_for(request), await read_form(request)
    message, principal = await _mail(request, found), principal_of(request)
    written = {name: str(given.get(name, "")) for name in FIELDS}
    key = str(given.get("client_key", ""))[:80] or new_id("msg")
    try:
        to = written["to"].strip()[:320]
        if len(to) < 3 or any(sign in to for sign in ",;，；、"):
            raise WrongInput("Write one address to forward to; others get a copy.")
        wanted = ForwardInput(
            to=to, cc=addresses_in(written["cc"])[:20], text=written["text"].replace("\r\n", "\n")[:40_000],
            files=bool(written["files"]), history=bool(written["history"]),
        )  # fmt: skip
        line = await runtime_of(request).forwarding.forward(
            message.id, wanted, actor_of(principal), key, owner_id=owner_of(principal),
            channels=principal.channels, language=formats_of(request, principal).language,
            undo_s=(await runtime_of(request).answering.rules()).undo_s,
        )  # fmt: skip
    except (Refused, Conflict, WrongInput) as error:
        problem = problem_of(error)
        fault = Fault(problem.status, problem.code, problem.detail)
        return await _page(request, found, message, written, fault)
    raise web.HTTPSeeOther(f"/inbox/{line.conversation_id}")


async def _mail(request: web.Request, found: Conversation) -> Message:
    message_id, runtime = request.match_info["message_id"], runtime_of(request)
    message: Message | None = await runtime.messages.get(message_id) if is_id(message_id, "msg") else None
    cards = {card.provider: card.kind for card in runtime.registry.cards()}
    talk = await runtime.conversations.row(message.conversation_id) if message and message.conversation_id else None
    if message is None or talk is None or message.conversation_id not in found.threads or message.deleted_at:
        raise NotFound("There is no such message.")
    principal_may = principal_of(request).may_see(message.channel_id)
    if not principal_may or cards.get(talk["provider"]) != "email" or message.direction not in ("in", "out"):
        raise NotFound("There is no such message.")
    return message


async def _page(
    request: web.Request, found: Conversation, message: Message, written: dict[str, str], fault: Fault | None
) -> web.Response:  # fmt: skip
    formats = formats_of(request, principal_of(request))
    files = [file_view(each, formats) for each in message.attachments if not each.get("inline")]
    row = {**message.model_dump(), "author": message.author.model_dump()}
    parent = await runtime_of(request).conversations.row(message.conversation_id) or {}
    original = forwarded(row, parent, ForwardInput(to="x@y.z", files=False), formats.language)
    values = {
        "talk": found, "name": name_of(found), "message": message, "written": written, "fault": fault,
        "files": [each for each in files if each.shown not in ("coming", "missing")], "original": original.text,
        "subject": original.subject, "has_history": bool((message.mail or {}).get("full_text")),
        "client_key": new_id("msg"),
    }  # fmt: skip
    return await page(request, "inbox/forward.html", values, status=fault.status if fault else 200)
