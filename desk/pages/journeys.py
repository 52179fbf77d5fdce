"""Journeys: the list, the drawn flow with live counts, the people at a step, a run that explains itself, recipes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from desk.api.scope import must_see_person, reading, refuse_scoped, seen_ids
from desk.auth import principal_of, require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.reads import faces_of
from desk.pages.recipe_tiles import UNITS, given_params, recipe_view
from desk.pages.runs import left_row, run_row, run_view, step_title
from desk.pages.triggers import trigger_words
from desk.render import page, reader_of

routes = web.RouteTableDef()
PER_PAGE = 50
STATES = {
    "draft": (N_("Draft"), ""), "live": (N_("Live"), "good"), "paused": (N_("Paused"), "warn"),
    "draining": (N_("Running out"), "info"), "archived": (N_("Archived"), ""),
}  # fmt: skip
REENTRY = {
    "once": N_("Once per person"), "after_exit": N_("Again after the end"), "cooldown": N_("Again after a while"),
    "per_key": N_("Once per order or key"),
}  # fmt: skip
LEFT = {"passed": N_("went on"), "skipped": N_("skipped"), "failed": N_("failed")}
#: State of the journey → what may follow: (value, words, sign, is it the main thing to do).
ACTIONS: Mapping[str, tuple[tuple[str, str, str, bool], ...]] = {
    "draft": (),
    "live": (("paused", N_("Pause"), "pause", False), ("draining", N_("Let it run out"), "stop", False)),
    "paused": (("live", N_("Resume"), "play", True), ("archived", N_("Archive"), "archive-box", False)),
    "draining": (("live", N_("Resume"), "play", True), ("archived", N_("Archive"), "archive-box", False)),
    "archived": (),
}


@dataclass(frozen=True)
class Action:
    """One thing a marketer may do with a journey."""

    value: str
    label: str
    symbol: str
    main: bool


@dataclass(frozen=True)
class Figure:
    """A number with its meaning, and the people behind it."""

    value: str
    label: str
    href: str


@dataclass(frozen=True)
class JourneyView:
    """The head of a journey."""

    id: str
    name: str
    state: str
    tone: str
    version: int
    trigger: str
    entry: str
    actions: tuple[Action, ...]
    figures: tuple[Figure, ...]
    running: str
    finished: str


def journey_view(
    head: Mapping[str, Any], definition: Mapping[str, Any], totals: Mapping[str, int], formats: Formats,
    names: Mapping[str, str] = MappingProxyType({}), planned: int = 0,
) -> JourneyView:  # fmt: skip
    """The head as it is shown. `totals`: runs by state; `names`: of what the trigger names; `planned`: people who have
    a date in it."""
    label, tone = STATES.get(head["status"], (head["status"], ""))
    running, held = totals.get("waiting", 0), totals.get("held", 0)
    over, dead = totals.get("ended", 0), totals.get("dead", 0)
    mode = (definition.get("reentry") or {}).get("mode", "once")
    href = f"/journeys/{head['_id']}/people"
    figures = [
        Figure(formats.number(running + held), formats.text(N_("in it now")), href),
        Figure(formats.number(over), formats.text(N_("finished")), f"{href}?state=ended"),
    ]
    if planned:
        figures.append(
            Figure(formats.number(planned), formats.text(N_("with a date to come")), f"/journeys/{head['_id']}/intakes")
        )
    if dead:
        figures.append(Figure(formats.number(dead), formats.text(N_("stopped by a fault")), f"{href}?state=dead"))
    return JourneyView(
        id=head["_id"], name=head["name"] or formats.text(N_("Without a name")), state=formats.text(label), tone=tone,
        version=head.get("live_version") or 0, trigger=trigger_words(definition.get("trigger") or {}, formats, names),
        entry=formats.text(REENTRY.get(mode, mode)),
        actions=tuple(Action(v, formats.text(words), s, main) for v, words, s, main in ACTIONS.get(head["status"], ())),
        figures=tuple(figures), running=formats.number(running + held), finished=formats.number(over),
    )  # fmt: skip


@routes.get("/journeys")
@require("viewer")
async def journeys(request: web.Request) -> web.StreamResponse:
    """The list, newest first; as long as there is none, the gallery."""
    runtime, formats = runtime_of(request), reader_of(request)
    heads = (await runtime.journeys.page(limit=100)).data
    if not heads and may_change(request):
        return await _gallery(request, first=True)
    totals = await asyncio.gather(*(runtime.journeys.totals(head["_id"]) for head in heads))
    names = await names_in(runtime, [head["draft"] for head in heads])
    shown = [journey_view(head, head["draft"], each, formats, names) for head, each in zip(heads, totals, strict=True)]
    return await page(request, "journeys/list.html", {"journeys": shown, "may_change": may_change(request)})


@routes.get("/journeys/recipes")
@require("viewer")
async def recipes(request: web.Request) -> web.StreamResponse:
    """The gallery: how a new journey begins."""
    return await _gallery(request)


async def _gallery(request: web.Request, *, first: bool = False) -> web.Response:
    runtime, formats = runtime_of(request), reader_of(request)
    values = {
        "recipes": [recipe_view(each, formats) for each in runtime.journeys.recipes()],
        "in_use": await runtime.journeys.from_recipes(),
        "units": UNITS,
        "may_change": may_change(request),
        "first": first,
    }
    return await page(request, "journeys/recipes.html", values)


def may_change(request: web.Request) -> bool:
    """Journeys write on every channel, so only for who is limited to none."""
    return principal_of(request).may_everywhere("marketer")


@routes.post("/journeys/recipes/{name}")
@require("marketer")
async def install(request: web.Request) -> web.StreamResponse:
    """Make a draft from a recipe with what was filled in, once however often the form is sent."""
    refuse_scoped(reading(request))
    by, form = principal_of(request).id, await request.post()
    params, once = given_params(form), str(form.get("client_key", ""))[:80]
    key = f"desk:{by}:{once}" if once else None
    journey_id = await runtime_of(request).journeys.install(
        request.match_info["name"], params, by=by, key=key, language=reader_of(request).language
    )
    raise web.HTTPSeeOther(f"/journeys/{journey_id}")


@routes.get("/journeys/runs/{run_id}")
@require("viewer")
async def run(request: web.Request) -> web.StreamResponse:
    """A run that explains itself."""
    runtime, formats, run_id = runtime_of(request), reader_of(request), request.match_info["run_id"]
    await _must_see_run(request, run_id)
    explanation = await runtime.journeys.explain(run_id)
    definition, profile, faces, users = await asyncio.gather(
        _definition(runtime, explanation.journey_id, explanation.version),
        runtime.profiles.get(explanation.profile_id),
        faces_of(runtime),
        runtime.users.users(),
    )
    person = profile.display_name if profile else explanation.profile_id
    names = {user.id: user.name for user in users}
    view = run_view(explanation, definition, person=person, faces=faces, formats=formats, names=names)
    values = {"run": view, "may_change": principal_of(request).may("marketer", "agent")}
    return await page(request, "journeys/run.html", values)


@routes.post("/journeys/runs/{run_id}/exit")
@require("marketer", "agent")
async def leave(request: web.Request) -> web.StreamResponse:
    """Take the person out."""
    run_id = request.match_info["run_id"]
    await _must_see_run(request, run_id)
    await runtime_of(request).journeys.exit(run_id, principal_of(request).id)
    raise web.HTTPSeeOther(f"/journeys/runs/{run_id}")


async def _must_see_run(request: web.Request, run_id: str) -> None:
    """Raise `NotFound` for a run of somebody out of scope."""
    if principal_of(request).channels is not None:
        row = await runtime_of(request).journeys.enrolment(run_id)
        await must_see_person(reading(request), row["profile_id"])


@routes.get("/journeys/{journey_id}/people")
@require("viewer")
async def people(request: web.Request) -> web.StreamResponse:
    """Who is in it, at one step or at all; who left a step, and how (`left`)."""
    runtime, formats, journey_id = runtime_of(request), reader_of(request), request.match_info["journey_id"]
    node, state, left = (request.query.get(name) or None for name in ("node", "state", "left"))
    head = await runtime.journeys.get(journey_id)
    definition, draft = await _definition(runtime, journey_id, None), head["draft"]
    cursor = request.query.get("cursor")
    if node and left in LEFT:
        part = await runtime.journeys.left(journey_id, node, left, limit=PER_PAGE, cursor=cursor)
    else:
        part = await runtime.journeys.enrolments(
            journey_id, node=node, state=state or ("waiting" if node else None), limit=PER_PAGE, cursor=cursor
        )
    seen = await seen_ids(reading(request), {row["profile_id"] for row in part.data})
    rows = [row for row in part.data if row["profile_id"] in seen]
    profiles = await runtime.profiles.many(seen)
    steps = {
        str(step["id"]): step for each in (draft, definition) for step in each.get("steps") or () if step.get("id")
    }
    titles = {key: step_title(step, formats) for key, step in steps.items()}
    names = {key: profile.display_name for key, profile in profiles.items()}
    query = urlencode({name: value for name, value in (("node", node), ("state", state), ("left", left)) if value})
    shape = left_row if node and left in LEFT else run_row
    values = {
        "journey": journey_view(head, definition, {}, formats, await names_in(runtime, [definition])),
        "heading": titles.get(node, node) if node else formats.text(N_("People")),
        "how": formats.text(LEFT[left]) if node and left in LEFT else "",
        "people": [shape(row, names.get(row["profile_id"], row["profile_id"]), titles, formats) for row in rows],
        "next_href": f"/journeys/{journey_id}/people?{query}&cursor={part.next_cursor}" if part.next_cursor else "",
    }
    return await page(request, "journeys/people.html", values)


async def _definition(runtime: Any, journey_id: str, version: int | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = await runtime.journeys.definition(journey_id, version)
    return found


async def names_in(runtime: Any, definitions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Names of the segments and journeys that triggers name, by id."""
    triggers = [each.get("trigger") or {} for each in definitions]
    segments = {str(each["segment_id"]) for each in triggers if each.get("segment_id")}
    journeys = {str(each["journey_id"]) for each in triggers if each.get("journey_id")}
    found = {row["_id"]: row["name"] for row in await runtime.segment_rows.many(segments)} if segments else {}
    return found | (await runtime.journeys.names(journeys) if journeys else {})


async def template_names(runtime: Any, ids: set[str]) -> dict[str, str]:
    """Names of templates by id."""
    if not ids:
        return {}
    rows = await asyncio.gather(*(runtime.templates.get(each) for each in ids), return_exceptions=True)
    return {row["_id"]: row["name"] for row in rows if isinstance(row, dict)}
