"""The next follow-up at the side of a person's page, and what is done with it there and in Today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from base.errors import FieldError, WrongInput
from desk.api.reading import faults
from desk.api.scope import must_see_person, reading
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.news import tell_of
from desk.pages.composer import snoozes
from desk.pages.moments import local_value, read_local
from desk.pages.panels import Opened
from desk.pages.reads import people
from desk.render import formats_of
from profiles.follow_up import FollowUpInput
from profiles.models import FollowUp, Profile

routes = web.RouteTableDef()


@dataclass(frozen=True)
class FollowUpView:
    """What stands, in words. `person`: whose it is."""

    id: str
    profile_id: str
    person: str
    text: str
    at: datetime
    at_local: str
    late: bool
    assignee_id: str
    assignee: str
    mine: bool


def follow_up_view(
    profile: Profile, it: FollowUp, names: dict[str, str], me: str, formats: Formats
) -> FollowUpView:  # fmt: skip
    """For the panel and for Today."""
    return FollowUpView(
        it.id, profile.id, profile.display_name, it.text, it.at, local_value(it.at, formats.zone),
        it.at < formats.now, it.assignee_id or "", names.get(it.assignee_id or "", ""), it.assignee_id == me,
    )  # fmt: skip


async def follow_up_panel(opened: Opened) -> dict[str, Any] | None:
    """The one that stands, and the form for another; who may only look sees it, or nothing."""
    it, runtime = opened.person.next_follow_up, opened.runtime
    colleagues = [(each.id, each.name or each.email) for each in await people(runtime)]
    names = dict(colleagues) | await runtime.users.names([it.assignee_id] if it and it.assignee_id else [])
    formats, me = opened.formats, opened.principal.id
    stands = follow_up_view(opened.person, it, names, me, formats) if it else None
    if stands is None and not opened.principal.may("agent", "marketer"):
        return None
    morning = formats.now.astimezone(formats.zone).replace(hour=9, minute=0) + timedelta(days=7)
    query = opened.request.query
    undo = {name: query.get(f"was_{name}", "") for name in ("at", "text", "assignee")}
    return {
        "stands": stands, "people": colleagues, "snoozes": snoozes(formats), "me": me,
        "suggested": local_value(morning, formats.zone), "undo": undo if undo["at"] and stands is None else None,
    }  # fmt: skip


@routes.post("/profiles/{profile_id}/follow-up")
@require("agent", "marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Set it, or say what became of it: `act` is set, done, snooze, hand_over or clear."""
    who, form = await must_see_person(reading(request), request.match_info["profile_id"]), await read_form(request)
    runtime, by = runtime_of(request), principal_of(request).id
    formats, act = formats_of(request, principal_of(request)), str(form.get("act") or "set")
    it, stands = runtime.follow_ups, str(form.get("id") or "") or None
    assignee = str(form.get("assignee") or "") or None
    back = str(form.get("back") or f"/profiles/{who}")
    if act in ("set", "hand_over"):
        await _require_colleague(request, assignee)
    if act == "set":
        at = read_local(str(form.get("at") or ""), formats, "at")
        text = str(form.get("text") or "").replace("\r\n", "\n").strip()
        try:
            wanted = FollowUpInput(at=at, text=text, assignee_id=assignee)
        except ValidationError as error:
            raise WrongInput("Say when, and what is to be done.", faults(error)) from None
        await it.set(who, wanted, by)
    elif act == "snooze":
        await it.snooze(who, stands, read_local(str(form.get("until") or ""), formats, "until"), by)
    elif act == "hand_over":
        await it.hand_over(who, stands, assignee, by)
    else:
        before = (await runtime.profiles.get(who)).next_follow_up
        await (it.done(who, stands, by) if act == "done" else it.clear(who, by))
        back = _with_undo(back, who, before, formats)
    await tell_of(runtime, who, "follow_up.updated")
    raise web.HTTPSeeOther(local_path(back))


def _with_undo(back: str, who: str, before: FollowUp | None, formats: Formats) -> str:
    """What stood goes along, so that one press sets it again."""
    if before is None:
        return back
    back = back.partition("#")[0]
    was = {"at": local_value(before.at, formats.zone), "text": before.text[:500], "assignee": before.assignee_id or ""}
    query = urlencode({**{f"was_{name}": value for name, value in was.items()}, "was_who": who})
    return f"{back}{'&' if '?' in back else '?'}{query}"


async def _require_colleague(request: web.Request, user_id: str | None) -> None:
    if user_id is not None and user_id not in {each.id for each in await people(runtime_of(request))}:
        raise WrongInput("There is no such colleague.", [FieldError("assignee", "is nobody's id")])
