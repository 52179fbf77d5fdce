"""Notifications: the page, the menu behind the bell, and that something was seen."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.clock import iso, to_millisecond
from base.errors import NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.notifications import seen_notices, unread_count
from desk.api.scope import reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.notice_words import place_of
from desk.pages.notice_rows import lines_of, names_for
from desk.render import formats_of, page
from inbox.heads import threads_of

routes = web.RouteTableDef()
HERE = "/notifications"
PER_PAGE, IN_MENU = 50, 20


@routes.get(HERE)
@require("viewer")
async def notifications(request: web.Request) -> web.StreamResponse:
    """What one was told, the newest first."""
    unread = True if request.query.get("unread") else None
    try:
        shown = await _part(request, PER_PAGE, unread=unread, cursor=request.query.get("cursor"))
    except WrongInput:  # a cursor of another list
        raise web.HTTPSeeOther(HERE) from None
    following = {**({"unread": "1"} if unread else {}), "cursor": shown["next_cursor"]}
    values = {
        **shown, "only_unread": bool(unread), "older": "cursor" in request.query,
        "next_href": f"{HERE}?{urlencode(following)}" if shown["next_cursor"] else "",
        "read_at": request.query.get("read", ""),
    }  # fmt: skip
    return await page(request, "notifications.html", values)


@routes.get(HERE + "/menu")
@require("viewer")
async def menu(request: web.Request) -> web.StreamResponse:
    """The newest of them, for the menu behind the bell."""
    return await page(request, "notifications_menu.html", await _part(request, IN_MENU))


@routes.get(HERE + "/count")
@require("viewer")
async def count(request: web.Request) -> web.StreamResponse:
    """How much is new."""
    return web.json_response({"unread": await unread_count(reading(request))})


@routes.post(HERE + "/{notification_id}/open")
@require("viewer")
async def follow(request: web.Request) -> web.StreamResponse:
    """Go where it leads; what is about the same thing is seen."""
    runtime, me = runtime_of(request), principal_of(request).id
    row = await _one(request)
    names = await names_for(runtime, [row], formats_of(request, principal_of(request)))
    await runtime.notifications.read(me, row)
    raise web.HTTPSeeOther(place_of(row, names))


@routes.post(HERE + "/seen")
@require("viewer")
async def seen(request: web.Request) -> web.StreamResponse:
    """A conversation stands open before one's eyes: what comes to it is seen."""
    form = await read_form(request)
    runtime, conversation_id = runtime_of(request), str(form.get("conversation", ""))
    row = await runtime.conversations.head(conversation_id) if is_id(conversation_id, "cnv") else None
    if row is None or not principal_of(request).may_see(row["channel_id"]):
        raise NotFound("There is no such conversation.")
    await runtime.notifications.read_about(principal_of(request).id, threads_of(row))
    return web.json_response({"unread": await unread_count(reading(request))})


@routes.post(HERE + "/read")
@require("viewer")
async def read_all(request: web.Request) -> web.StreamResponse:
    """All is seen."""
    await read_form(request)
    _, at = await runtime_of(request).notifications.read_all(principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}?{urlencode({'read': iso(at)})}")


@routes.post(HERE + "/unread")
@require("viewer")
async def unread_again(request: web.Request) -> web.StreamResponse:
    """Take that back."""
    form = await read_form(request)
    try:
        at = to_millisecond(datetime.fromisoformat(str(form.get("read_at", ""))))
    except ValueError:
        raise WrongInput("This is not a time.") from None
    await runtime_of(request).notifications.unread_again(principal_of(request).id, at)
    raise web.HTTPSeeOther(HERE)


async def _part(
    request: web.Request, limit: int, *, unread: bool | None = None, cursor: str | None = None
) -> dict[str, Any]:
    runtime, principal = runtime_of(request), principal_of(request)
    formats = formats_of(request, principal)
    found = await runtime.notifications.page(principal.id, unread=unread, limit=limit, cursor=cursor)
    rows = await seen_notices(reading(request), found.data)
    lines = lines_of(rows, await names_for(runtime, rows, formats), formats)
    return {"lines": lines, "next_cursor": found.next_cursor, "any_unread": any(each.unread for each in lines)}


async def _one(request: web.Request) -> Document:
    notification_id, missing = request.match_info["notification_id"], NotFound("There is no such notification.")
    if not is_id(notification_id, "ntf"):
        raise missing
    row: Document = await runtime_of(request).notifications.get(principal_of(request).id, notification_id)
    if not await seen_notices(reading(request), [row]):
        raise missing
    return row
