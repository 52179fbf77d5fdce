"""`/calendar/{secret}.ics`: what is due, for a program that has the link; and the link itself, on one's account.

The calendar holds the colleague's own tasks and follow-ups with a time; no word of ours and no name of a customer
unless they have chosen so, and then no more than they may see: scope and masks are asked at each reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from base.errors import NotFound
from desk.api.scope import Reader, seen_ids, seen_tasks
from desk.auth import principal_for, principal_of, public, require
from desk.calendar.ics import Entry, calendar
from desk.calendar.links import Calendars
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, SOURCE, Formats, zone_of
from desk.keys import base_url_of, runtime_of
from desk.pages.task_words import task_place, task_words
from desk.render import page
from desk.store import User
from desk.team.masking import covering
from profiles.models import Profile

routes = web.RouteTableDef()
HERE = "/account/calendar"
#: How far ahead follow-ups are shown, and how many rows of each kind.
AHEAD, MOST = timedelta(days=400), 300
TASK, FOLLOW_UP, TITLE = N_("A task is due"), N_("A follow-up is due"), N_("Tasks and follow-ups")
SECRET = r"{secret:[A-Za-z0-9_-]{20,100}}"


@routes.get("/calendar/" + SECRET + ".ics")
@public
async def read(request: web.Request) -> web.StreamResponse:
    """The calendar, or 304 where nothing is new. Unknown and old links are 404 alike."""
    runtime = runtime_of(request)
    row = await runtime.calendars.opened(request.match_info["secret"])
    user = await runtime.users.user(row["_id"]) if row else None
    if row is None or user is None or not user.active:
        raise NotFound("There is no such calendar.")
    language = user.language if user.language in LANGUAGES else SOURCE
    formats = Formats(language, zone_of(user.time_zone, runtime.settings.time_zone), runtime.clock())
    body = await feed(runtime, user, with_words=row["with_words"], base_url=_base_url(request), formats=formats)
    headers = {"ETag": tag_of(body), "Cache-Control": "private, no-cache", "X-Robots-Tag": "noindex"}
    if headers["ETag"] in _known(request):
        return web.Response(status=304, headers=headers)
    headers["Content-Disposition"] = 'inline; filename="rapport.ics"'
    return web.Response(text=body, content_type="text/calendar", charset="utf-8", headers=headers)


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """Whether there is a link."""
    return await _page(request, "")


@routes.post(HERE)
@require("viewer")
async def change(request: web.Request) -> web.StreamResponse:
    """A new link, shown this once, or none any more."""
    form, principal = await read_form(request), principal_of(request)
    calendars: Calendars = runtime_of(request).calendars
    if principal.user is None:
        raise NotFound("A program has no calendar.")
    if form.get("act") == "remove":
        await calendars.unlink(principal.id)
        raise web.HTTPSeeOther(f"{HERE}?removed=1")
    secret = await calendars.link(principal.id, with_words="words" in form)
    return await _page(request, secret)


async def feed(runtime: Any, user: User, *, with_words: bool, base_url: str, formats: Formats) -> str:
    """The text of the calendar of somebody as they may see it now."""
    asking = Reader(principal_for(user), runtime)
    now: datetime = runtime.clock()
    found = await runtime.task_rows.by_due([user.id], "open", limit=200)
    tasks = await seen_tasks(asking, [each for each in found.data if each.get("due_at")])
    rows = await runtime.profiles.to_follow_up([user.id], now + AHEAD, MOST)
    seen = await seen_ids(asking, {row["_id"] for row in rows})
    people: Mapping[str, Profile] = await runtime.profiles.many(
        {each["profile_id"] for each in tasks if each.get("profile_id")} | seen
    )
    cover: Callable[[str], str] = covering(user.masks, user.email) if user.masks else str
    names = {key: each.display_name for key, each in people.items()}
    entries = []
    for task in tasks:
        words = " · ".join(filter(None, (task_words(task, names, formats), names.get(task.get("profile_id") or ""))))
        place = task_place(task) or (f"/profiles/{task['profile_id']}" if task.get("profile_id") else "/tasks")
        entries.append(Entry(
            f"{task['_id']}@rapport", task["due_at"], task["updated_at"],
            cover(words) if with_words else formats.text(TASK), base_url + (place if with_words else "/tasks"),
        ))  # fmt: skip
    for key in seen & people.keys():
        it = people[key].next_follow_up
        if it is not None:
            words = cover(f"{it.text} · {names[key]}") if with_words else formats.text(FOLLOW_UP)
            place = f"/profiles/{key}" if with_words else "/today"
            entries.append(Entry(f"{it.id}@rapport", it.at, it.set_at or it.at, words, base_url + place))
    return calendar(formats.text(TITLE), entries)


def tag_of(body: str) -> str:
    """Its ETag."""
    return f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'


def address_of_calendar(base_url: str, secret: str) -> str:
    """Where programs subscribe."""
    return f"{base_url.rstrip('/')}/calendar/{secret}.ics"


def _base_url(request: web.Request) -> str:
    return base_url_of(request) or f"{request.scheme}://{request.host}"


def _known(request: web.Request) -> set[str]:
    sent = request.headers.get("If-None-Match", "")
    return {each.strip().removeprefix("W/") for each in sent.split(",")}


async def _page(request: web.Request, secret: str) -> web.StreamResponse:
    runtime, principal = runtime_of(request), principal_of(request)
    values: dict[str, Any] = {
        "link": await runtime.calendars.of(principal.id),
        "address": address_of_calendar(_base_url(request), secret) if secret else "",
        "removed": "removed" in request.query,
    }  # fmt: skip
    return await page(request, "calendar.html", values)
