"""Settings → Canned replies, and choosing one of them for an answer without a script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from base.errors import Conflict, WrongInput
from base.ids import is_id
from desk.api.canned_replies import (
    FilledView,
    all_teams,
    canned_to_change,
    canned_view,
    check_canned,
    filled,
    one_canned,
    seen_canned,
)
from desk.api.scope import Reader, reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.composing import written_in
from desk.pages.definition_forms import checked, id_in
from desk.pages.inbox import conversation_for
from desk.pages.inbox_lines import file_size
from desk.pages.with_files import carrying_files
from desk.render import formats_of, page
from inbox.canned import MISSING, SHORTCUT_MAX, CannedInput, CannedReply
from inbox.drafts import FILES_MAX, TEXT_MAX, DraftInput, DraftKey, joined
from inbox.models import Conversation

routes = web.RouteTableDef()
HERE = "/settings/canned"
#: What a form has beside its files, bytes.
ROOM_BYTES = 200_000
SHOWN = 200
TAKEN = N_("There is a canned reply with this shortcut already.")
SAYS: Mapping[str, str] = {
    "shortcut": N_("Write one word of at most 40 signs, without spaces and slashes."),
    "title": N_("Write at most 120 characters."), "text": N_("Write at most 20,000 characters."),
    "file_ids": N_("At most 20 files come along."), "url": N_("Write an address that begins with https://."),
    "team_id": N_("Choose a team."),
    "": N_("Write a text, add a file or name an address, and not a text and an address."),
}  # fmt: skip
#: What is offered to be put into a text: the blank, and what it stands for.
BLANKS: tuple[tuple[str, str], ...] = (
    ("profile.first_name", N_("First name of the customer")), ("profile.name", N_("Name of the customer")),
    ("order.number", N_("Number of the last order")), ("order.total | money", N_("Total of the last order")),
    ("order.placed_at | date", N_("Date of the last order")), ("agent.first_name", N_("First name of who answers")),
    ("agent.name", N_("Name of who answers")), ("conversation.subject", N_("Subject of the conversation")),
    ("conversation.channel", N_("Name of the channel")),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A canned reply in a list."""

    id: str
    shortcut: str
    title: str
    text: str
    host: str
    files: int
    shared: bool
    team: str
    channels: tuple[str, ...]
    uses: int
    used_at: datetime | None


def line_of(reply: CannedReply, channels: Mapping[str, str], teams: Mapping[str, str]) -> Line:
    """`channels`: names of those the reader sees, by id; `teams`: of all. Pure."""
    named = tuple(channels[each] for each in reply.channel_ids if each in channels)
    return Line(
        reply.id, reply.shortcut, reply.title, reply.text, urlsplit(reply.url or "").netloc, len(reply.file_ids),
        reply.owner_id is None, teams.get(reply.team_id or "", ""), named, reply.uses, reply.used_at,
    )  # fmt: skip


# -- settings ------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("viewer")
async def all_replies(request: web.Request) -> web.StreamResponse:
    """All that the reader sees."""
    principal, removed = principal_of(request), request.query.get("removed", "")
    q = request.query.get("q", "").strip()[:100]
    found, channels = await seen_canned(reading(request), q), await _channels(request)
    teams = await runtime_of(request).teams.names({each.team_id for each in found if each.team_id})
    values = {
        "lines": [line_of(each, channels, teams) for each in found[:SHOWN]], "more": max(0, len(found) - SHOWN), "q": q,
        "may_write": principal.may("agent"), "removed": removed if is_id(removed, "cnr") else "",
    }  # fmt: skip
    return await page(request, "settings/canned.html", values)


@routes.get(HERE + "/new")
@require("agent")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form; `shortcut`: what was looked for and not found."""
    scope = "everybody" if principal_of(request).may_everywhere("agent") else "me"
    shortcut = request.query.get("shortcut", "").strip().lstrip("/")[:SHORTCUT_MAX]
    empty = {"shortcut": shortcut, "title": "", "text": "", "scope": scope, "channel_ids": (), "file_ids": (),
             "url": None, "team_id": None}  # fmt: skip
    return await _form(request, None, empty, {})


@require("agent")
async def create(request: web.Request) -> web.StreamResponse:
    """Write it down; faults stand beside their fields."""
    given = await _given(request)
    try:
        wanted = checked(CannedInput, given, SAYS)
        await check_canned(reading(request), given)
        made = await runtime_of(request).canned.create(wanted, principal_of(request).id)
    except (Conflict, WrongInput) as error:
        return await _form(request, None, given, _faults_of(error))
    raise web.HTTPSeeOther(f"{HERE}/{made.id}?saved=1")


@routes.get(HERE + "/{reply_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One in its form."""
    reply = await one_canned(reading(request), _id(request))
    return await _form(request, reply, canned_view(reading(request), reply).model_dump(), {})


@require("agent")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form. Channels that its writer does not see stay as they are."""
    reply = await canned_to_change(reading(request), _id(request))
    given = await _given(request)
    hidden = [each for each in reply.channel_ids if not principal_of(request).may_see(each)]
    try:
        checked(CannedInput, given, SAYS)
        await check_canned(reading(request), given, reply)
        wanted = {**given, "channel_ids": [*given["channel_ids"], *hidden]}
        asking = reading(request)
        await runtime_of(request).canned.change(reply.id, asking.principal.id, wanted, all_teams=all_teams(asking))
    except (Conflict, WrongInput) as error:
        return await _form(request, reply, given, _faults_of(error))
    raise web.HTTPSeeOther(f"{HERE}/{reply.id}?saved=1")


@routes.post(HERE + "/new")
async def post_new(request: web.Request) -> web.StreamResponse:
    """Files are larger than forms and take longer; only who is signed in may bring them."""
    return await carrying_files(request, create, ROOM_BYTES)


@routes.post(HERE + "/{reply_id}")
async def post_change(request: web.Request) -> web.StreamResponse:
    """The same for one that stands."""
    return await carrying_files(request, change, ROOM_BYTES)


post_new.roles = create.roles  # type: ignore[attr-defined, union-attr]
post_change.roles = change.roles  # type: ignore[attr-defined, union-attr]


@routes.post(HERE + "/{reply_id}/remove")
@require("agent")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    reply = await canned_to_change(reading(request), _id(request))
    asking = reading(request)
    await runtime_of(request).canned.remove(reply.id, asking.principal.id, all_teams=all_teams(asking))
    raise web.HTTPSeeOther(f"{HERE}?removed={reply.id}")


@routes.post(HERE + "/{reply_id}/restore")
@require("agent")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    reply = await canned_to_change(reading(request), _id(request), removed=True)
    asking = reading(request)
    await runtime_of(request).canned.restore(reply.id, asking.principal.id, all_teams=all_teams(asking))
    raise web.HTTPSeeOther(f"{HERE}/{reply.id}")


async def _given(request: web.Request) -> dict[str, Any]:
    """The fields as they were sent, with the files that came along uploaded."""
    form, by = await read_form(request), principal_of(request).id
    brought = [each for each in form.getall("files", []) if isinstance(each, web.FileField) and each.filename]
    files = runtime_of(request).files
    kept = [str(each) for each in form.getall("file_ids", []) if is_id(str(each), "fil")]
    for each in brought[:FILES_MAX]:
        content = await asyncio.to_thread(each.file.read)
        kept.append((await files.upload(content, each.filename, each.content_type, by)).id)
    return {
        "shortcut": str(form.get("shortcut", "")).strip().lstrip("/"), "title": str(form.get("title", "")).strip(),
        "text": str(form.get("text", "")).replace("\r\n", "\n"), "file_ids": tuple(dict.fromkeys(kept)),
        "url": str(form.get("url", "")).strip() or None, **_whose(str(form.get("scope", ""))),
        "channel_ids": tuple(str(each) for each in form.getall("channel_ids", []) if is_id(str(each), "chn")),
    }  # fmt: skip


def _whose(value: str) -> dict[str, str | None]:
    """`everybody`, `me` or the id of a team, as a form says it."""
    if is_id(value, "tea"):
        return {"scope": "team", "team_id": value}
    return {"scope": "everybody" if value == "everybody" else "me", "team_id": None}


def _faults_of(error: Conflict | WrongInput) -> dict[str, str]:
    if isinstance(error, Conflict):
        return {"shortcut": TAKEN} if error.code == "name_taken" else {"": str(error)}
    known: dict[str, str] = {}
    for each in error.errors:
        head = each.path.partition(".")[0]
        known[head if head in SAYS else ""] = each.message
    return known or {"": str(error)}


async def _form(
    request: web.Request, reply: CannedReply | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    principal, runtime = principal_of(request), runtime_of(request)
    may_share = principal.may_everywhere("agent")
    may_change = principal.may("agent") and (reply is None or reply.owner_id is not None or may_share)
    kept = [await runtime.files.get(each) for each in given["file_ids"]]
    files = [{"id": each.id, "name": each.name, "size": file_size(each.size_bytes)} for each in kept if each]
    values = {
        "reply": reply, "given": given, "faults": faults, "channels": await _channels(request), "files": files,
        "blanks": BLANKS, "may_change": may_change, "may_share": may_share, "saved": "saved" in request.query,
        "may_ask": all_teams(reading(request)), "teams": await _teams(request, given),
    }  # fmt: skip
    return await page(request, "settings/canned_form.html", values, status=422 if faults else 200)


async def _teams(request: web.Request, given: Mapping[str, Any]) -> dict[str, str]:
    """The teams that may be chosen, and the one that has it."""
    principal, teams = principal_of(request), runtime_of(request).teams
    found = await (teams.all() if all_teams(reading(request)) else teams.of_member(principal.id))
    kept = await teams.names([given["team_id"]]) if given.get("team_id") else {}
    return {**kept, **{each.id: each.name for each in found}}


async def _channels(request: web.Request) -> dict[str, str]:
    principal = principal_of(request)
    return {each.id: each.name for each in await runtime_of(request).channels.list() if principal.may_see(each.id)}


def _id(request: web.Request) -> str:
    return id_in(request, "reply_id", "cnr", MISSING)


# -- choosing one for an answer ------------------------------------------------------------------------------------


@routes.get("/inbox/{conversation_id}/canned")
@require("agent")
async def choose(request: web.Request) -> web.StreamResponse:
    """Those that are offered here, filled in for this customer."""
    return await _choices(request, None)


async def _choices(request: web.Request, failed: FilledView | None) -> web.StreamResponse:
    """`failed`: one that was chosen and gave no text."""
    found, q = await conversation_for(request), request.query.get("q", "").strip()[:100]
    asking = reading(request)
    replies, note = await seen_canned(asking, q, found), request.query.get("mode") == "note"
    shown = await asyncio.gather(*(_offer(asking, each, found) for each in replies[:40]))
    values = {
        "talk": found, "q": q, "any": bool(replies) or bool(await seen_canned(asking, "", found)),
        "lines": list(zip(replies, shown, strict=False)), "more": max(0, len(replies) - 40),
        "mode": "note" if note else "reply", "failed": failed,
    }  # fmt: skip
    return await page(request, "inbox/canned.html", values, status=422 if failed else 200)


async def _offer(asking: Reader, reply: CannedReply, talk: Conversation) -> FilledView:
    """As it would be put in; an address is asked only when it is."""
    return FilledView(id=reply.id, text="", blanks=[], files=[]) if reply.url else await filled(asking, reply, talk)


@routes.post("/inbox/{conversation_id}/canned")
@require("agent")
async def begin(request: web.Request) -> web.StreamResponse:
    """Keep what stands in the composer, and choose."""
    found, form, runtime = await conversation_for(request), await read_form(request), runtime_of(request)
    written = written_in(form, [], formats_of(request, principal_of(request)).zone)
    key = DraftKey(found.id, principal_of(request).id, written.mode)
    row, standing = await runtime.conversations.row(found.id), await runtime.drafts.get(key)
    if row is not None and not written.draft.empty:
        await runtime.drafts.save(key, row, written.draft, standing.rev if standing else 0)
    raise web.HTTPSeeOther(f"/inbox/{found.id}/canned" + ("?mode=note" if written.mode == "note" else ""))


@routes.post("/inbox/{conversation_id}/canned/{reply_id}")
@require("agent")
async def put_in(request: web.Request) -> web.StreamResponse:
    """Put one into the draft, after what stands there; with it the files."""
    found, form, runtime = await conversation_for(request), await read_form(request), runtime_of(request)
    asking = reading(request)
    reply = await one_canned(asking, _id(request))
    key = DraftKey(found.id, principal_of(request).id, "note" if form.get("mode") == "note" else "reply")
    row, standing = await runtime.conversations.row(found.id), await runtime.drafts.get(key)
    made = await filled(asking, reply, found)
    if made.fault is not None:
        return await _choices(request, made)
    if row is not None:
        both = joined(standing.written if standing else DraftInput(), _draft(made))
        await runtime.drafts.save(key, row, both, standing.rev if standing else 0)
    raise web.HTTPSeeOther(f"/inbox/{found.id}")


def _draft(made: FilledView) -> DraftInput:
    return DraftInput(
        text=made.text[:TEXT_MAX], file_ids=tuple(each.id for each in made.files), canned_ids=(made.id,)
    )  # fmt: skip
