"""Settings → Teams: who answers together, which channels are theirs, how conversations are given out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in, removed_id, saved_or_said
from desk.pages.reads import people
from desk.pages.standing_words import all_stand
from desk.render import formats_of, page
from desk.store import User
from inbox.routing.models import TeamInput
from inbox.routing.teams import Team

routes = web.RouteTableDef()
HERE = "/settings/teams"
MODES = {
    "manual": (N_("By hand"), N_("Whoever takes one, or is given one.")),
    "round_robin": (N_("In turn"), N_("One after the other, whoever has room.")),
    "balanced": (N_("To who has most room"), N_("Whoever has the smallest share of what they can take.")),
}
PARTS = {"": N_("not in it"), "works": N_("gets conversations"), "watches": N_("watches, and gets none")}
NEW: dict[str, Any] = {
    "name": "", "members": {}, "channel_ids": [], "mode": "round_robin", "last_agent_first": True, "skills": False,
    "max_wait_min": "", "fallback_team_id": "", "hours_id": "",
}  # fmt: skip
_SAYS = {
    "name": N_("Write a name."), "max_wait_s": N_("A number of minutes from 1 to 10080, or nothing."),
    "routing": N_("Write after how many minutes it goes to the other team."),
    "members": N_("Somebody among these cannot answer here any more."),
    "channel_ids": N_("One of these channels is not there any more."),
    "hours_id": N_("These business hours are not there any more."),
    "fallback_team_id": N_("Choose another team."),
}  # fmt: skip
TAKEN = {
    "name_taken": ("name", N_("There is a team with this name already.")),
    "channel_taken": ("channel_ids", N_("Another team has one of these channels already.")),
}  # fmt: skip


@routes.get(HERE)
@require("viewer")
async def all_teams(request: web.Request) -> web.StreamResponse:
    """The list, each with who is here."""
    formats = formats_of(request, principal_of(request))
    runtime, may_change = runtime_of(request), principal_of(request).may_everywhere("admin")
    stands = await all_stand(runtime, formats)
    rows = [(each, [stands[one] for one in each.workers if one in stands]) for each in await runtime.teams.all()]
    values = {
        "teams": rows, "modes": MODES, "may_change": may_change,
        "removed": removed_id(request, "tea", "admin"),
    }  # fmt: skip
    return await page(request, "settings/teams.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    return await _form(request, None, NEW, {})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Make it; faults stand beside their fields."""
    refuse_scoped(reading(request))
    given = written(await read_form(request))
    faults = await saved_or_said(*checked(given), runtime_of(request).teams.create, _said, HERE)
    return await _form(request, None, given, faults)


@routes.get(HERE + "/{team_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """A team in its form."""
    team = await _team(request)
    return await _form(request, team, given_of(team.written), {})


@routes.post(HERE + "/{team_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form."""
    refuse_scoped(reading(request))
    team, given = await _team(request), written(await read_form(request))
    book = runtime_of(request).teams

    def save(wanted: TeamInput) -> Any:
        return book.change(team.id, wanted.model_dump(mode="json"))

    faults = await saved_or_said(*checked(given), save, _said, HERE)
    return await _form(request, team, given, faults)


@routes.post(HERE + "/{team_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it away; the list offers to put it back."""
    refuse_scoped(reading(request))
    team = await _team(request)
    await runtime_of(request).teams.remove(team.id)
    raise web.HTTPSeeOther(f"{HERE}?removed={team.id}")


@routes.post(HERE + "/{team_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    team = await runtime_of(request).teams.restore(_id(request))
    raise web.HTTPSeeOther(f"{HERE}/{team.id}")


# -- the form ------------------------------------------------------------------------------------------------------


def written(form: Any) -> dict[str, Any]:
    """The fields as they were sent."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    parts = {name.removeprefix("member-"): str(form[name]) for name in form if name.startswith("member-")}
    return {
        **{name: text(name) for name in ("name", "mode", "max_wait_min", "fallback_team_id", "hours_id")},
        "members": {user_id: part for user_id, part in parts.items() if part in ("works", "watches")},
        "channel_ids": [str(each) for each in form.getall("channel_ids", [])],
        "last_agent_first": "last_agent_first" in form, "skills": "skills" in form,
    }  # fmt: skip


def given_of(team: TeamInput) -> dict[str, Any]:
    """The form of a team as it stands."""
    routing = team.routing
    return {
        "name": team.name, "members": {each.user_id: "watches" if each.watches else "works" for each in team.members},
        "channel_ids": team.channel_ids, "mode": routing.mode, "last_agent_first": routing.last_agent_first,
        "skills": routing.skills, "max_wait_min": "" if routing.max_wait_s is None else str(routing.max_wait_s // 60),
        "fallback_team_id": routing.fallback_team_id or "", "hours_id": team.hours_id or "",
    }  # fmt: skip


def checked(given: Mapping[str, Any]) -> tuple[TeamInput | None, dict[str, str]]:
    """The input, or field → what is wrong with it."""
    minutes: str = given["max_wait_min"]
    wait_s = int(minutes) * 60 if minutes.isascii() and minutes.isdigit() and len(minutes) < 7 else minutes or None
    members = [{"user_id": each, "watches": part == "watches"} for each, part in given["members"].items()]
    routing = {
        "mode": given["mode"] or "manual", "last_agent_first": given["last_agent_first"], "skills": given["skills"],
        "max_wait_s": wait_s, "fallback_team_id": given["fallback_team_id"] or None,
    }  # fmt: skip
    try:
        return TeamInput.model_validate({
            "name": given["name"], "members": members, "channel_ids": given["channel_ids"], "routing": routing,
            "hours_id": given["hours_id"] or None,
        }), {}  # fmt: skip
    except ValidationError as error:
        return None, _faults([str(part) for part in each["loc"]] for each in error.errors())


def _faults(places: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for place in places:
        name = next((each for each in reversed(place) if each in _SAYS), "name")
        found["max_wait_min" if name in ("max_wait_s", "routing") else name] = _SAYS[name]
    return found


def _said(error: Conflict | WrongInput) -> dict[str, str]:
    """Field → sentence for what the house says against it."""
    if isinstance(error, WrongInput):
        return _faults([each.path.partition("[")[0].rpartition(".")[2]] for each in error.errors)
    name, sentence = TAKEN.get(error.code, ("", str(error)))
    return {name: sentence}


async def _form(
    request: web.Request, team: Team | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    runtime, principal = runtime_of(request), principal_of(request)
    formats = formats_of(request, principal)
    others = [each for each in await runtime.teams.all() if team is None or each.id != team.id]
    channels = [each for each in await runtime.channels.list() if principal.may_see(each.id)]
    taken = {channel: each.name for each in others for channel in each.written.channel_ids}
    values = {
        "team": team, "given": given, "faults": faults, "modes": MODES, "parts": PARTS, "channels": channels,
        "taken": taken, "others": others, "all_hours": await runtime.business_hours.all(),
        "crew": await _crew(runtime, given["members"]), "stands": await all_stand(runtime, formats),
        "may_change": principal.may_everywhere("admin"), "saved": "saved" in request.query,
    }  # fmt: skip
    return await page(request, "settings/team_form.html", values, status=422 if faults else 200)


async def _crew(runtime: Any, members: Mapping[str, str]) -> Sequence[User]:
    """Who can be of it, and who is although they cannot any more."""
    able: list[User] = await people(runtime)
    known = {each.id for each in able}
    return [*able, *(each for each in await runtime.users.users() if each.id in members and each.id not in known)]


def _id(request: web.Request) -> str:
    return id_in(request, "team_id", "tea", "There is no such team.")


async def _team(request: web.Request) -> Team:
    found: Team = await runtime_of(request).teams.get(_id(request))
    return found
