"""Tasks by when they are due: one's own, those nobody has, those of one's teams, all; and a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import Document
from campaigns.stream.items import task_item
from campaigns.tasks import TaskInput
from desk.api.reading import faults
from desk.api.scope import must_see_person, reading, seen_tasks
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.composer import snoozes
from desk.pages.moments import read_local
from desk.pages.reads import people
from desk.pages.stream_words import StreamRow, stream_row
from desk.pages.today import known_for, undo_in
from desk.render import formats_of, page

routes = web.RouteTableDef()
HERE = "/tasks"
PER_PAGE = 50
WHOSE = (("mine", N_("Mine")), ("nobody", N_("Not taken yet")), ("team", N_("My teams")), ("all", N_("All")))
#: Stretch of time → its heading.
STRETCHES = {
    "late": N_("Overdue"), "today": N_("Today"), "week": N_("Within a week"), "later": N_("Later"),
    "never": N_("Without a date"), "done": N_("Done"),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What the page shows."""

    whose: str = "mine"
    done: bool = False

    def query(self, **more: str) -> str:
        """As a query."""
        return urlencode({"whose": self.whose, **({"state": "done"} if self.done else {}), **more})


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The list."""
    return await _page(request, {}, "")


@routes.post(HERE)
@require("agent", "marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """A new task, for oneself unless somebody else is chosen."""
    runtime, principal, form = runtime_of(request), principal_of(request), await read_form(request)
    given = {name: str(form.get(name, "")).strip() for name in ("text", "due", "assignee", "profile_id", "whose")}
    assignee = given["assignee"] or None
    if assignee is not None and assignee not in {each.id for each in await people(runtime)}:
        raise WrongInput("There is no such colleague.", [FieldError("assignee", "is nobody's id")])
    due = read_local(given["due"], formats_of(request, principal), "due") if given["due"] else None
    person = given["profile_id"] or None
    if person is not None:
        person = await must_see_person(reading(request), person)
    try:
        wanted = TaskInput(text=given["text"], due_at=due, assignee_id=assignee, profile_id=person)
    except ValidationError as error:
        if faults(error):
            return await _page(request, given, N_("Say what is to be done."))
        raise
    await runtime.tasks.create(wanted, principal.id)
    whose = "mine" if assignee == principal.id else "nobody" if assignee is None else "all"
    raise web.HTTPSeeOther(f"{HERE}?whose={whose}&added=1")


def stretch(due: datetime | None, formats: Formats) -> str:
    """In which stretch of time something is due, by the reader's calendar. Pure."""
    if due is None:
        return "never"
    if due <= formats.now:
        return "late"
    days = (due.astimezone(formats.zone).date() - formats.now.astimezone(formats.zone).date()).days
    return "today" if days == 0 else "week" if timedelta(days=days) < timedelta(days=7) else "later"


async def _assignees(request: web.Request, whose: str) -> list[str | None] | None:
    runtime, me = runtime_of(request), principal_of(request).id
    if whose == "all":
        return None
    if whose == "nobody":
        return [None]
    if whose == "mine":
        return [me]
    teams = await runtime.teams.of_member(me)
    members = {each.user_id for team in teams for each in team.written.members} | {me}
    return sorted(members)


async def _page(request: web.Request, given: dict[str, str], fault: str) -> web.StreamResponse:
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    whose = request.query.get("whose", "mine")
    asked = Asked(whose if whose in dict(WHOSE) else "mine", request.query.get("state") == "done")
    cursor = request.query.get("cursor") or None
    if asked.done:
        one = None if asked.whose == "all" else "-" if asked.whose == "nobody" else principal.id
        found = await runtime.tasks.page(state="done", assignee_id=one, limit=PER_PAGE, cursor=cursor)
    else:
        assignees = await _assignees(request, asked.whose)
        found = await runtime.task_rows.by_due(assignees, "open", limit=PER_PAGE, cursor=cursor)
    tasks = await seen_tasks(reading(request), found.data)
    colleagues = {each.id: each.name or each.email for each in await people(runtime)}
    groups = await _groups(request, tasks, colleagues, done=asked.done)
    person = request.query.get("profile", "")
    about = await must_see_person(reading(request), person) if is_id(person, "prf") else None
    values: dict[str, Any] = {
        "groups": groups, "asked": asked, "whose": WHOSE, "people": list(colleagues.items()), "given": given,
        "person": await runtime.profiles.get(about) if about else None, "snoozes": snoozes(formats),
        "may_act": principal.may("agent", "marketer"),
        "me": principal.id, "fault": fault, "added": "added" in request.query,
        "more": f"{HERE}?{asked.query(cursor=found.next_cursor)}" if found.next_cursor else "", **undo_in(request),
    }  # fmt: skip
    return await page(request, "tasks.html", values, status=422 if fault else 200)


async def _groups(
    request: web.Request, tasks: Sequence[Document], colleagues: dict[str, str], *, done: bool
) -> list[tuple[str, list[StreamRow]]]:
    """Heading → rows, in the order of their due times."""
    formats = formats_of(request, principal_of(request))
    items = [task_item(each, formats.now) for each in tasks]
    known = await known_for(request, items, colleagues)
    rows = {item.key: stream_row(item, known, formats, everybody=True) for item in items}
    found = groupby(items, lambda item: "done" if done else stretch(item.source.get("due_at"), formats))
    return [(STRETCHES[key], [rows[each.key] for each in part]) for key, part in found]
