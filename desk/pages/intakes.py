"""How people are taken into a journey in the background: plans of dates, occurrences, those who qualify already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.render import page, reader_of

routes = web.RouteTableDef()
STATES = {
    "pending": (N_("Under way"), "info"), "done": (N_("Done"), "good"), "missed": (N_("Missed"), "warn"),
    "cancelled": (N_("Stopped"), ""), "failed": (N_("Failed"), "bad"),
}  # fmt: skip
KINDS = {
    "dates": N_("Dates of everybody are planned"), "schedule": N_("Everybody in the segment enters"),
    "backfill": N_("Those who qualify already enter"),
}  # fmt: skip
WHY = {
    "Nobody worked on it within an hour.": N_("Nobody worked on it within an hour."),
    "There is no such segment any more, or it was never built.": N_("The segment is not there any more."),
    "The journey takes nobody in any more.": N_("The journey takes nobody in any more."),
    "The journey begins with something else now.": N_("The journey begins with something else now."),
    "Another version was published.": N_("Another version was published."),
    "People could not be taken in. See the log of the worker.": N_(
        "People could not be taken in. See the log of the worker."
    ),
}  # fmt: skip
#: How far back, as a choice.
WINDOWS = {"P1D": N_("1 day"), "P7D": N_("7 days"), "P30D": N_("30 days"), "P90D": N_("90 days"), "P366D": N_("1 year")}


@dataclass(frozen=True)
class IntakeView:
    """One row of the list."""

    id: str
    what: str
    state: str
    tone: str
    why: str
    at: datetime
    seen: int
    total: int
    running: bool
    stoppable: bool
    told: str


def intake_view(row: Mapping[str, Any], formats: Formats) -> IntakeView:
    """As it is shown."""
    label, tone = STATES.get(row["state"], (row["state"], ""))
    running = row["state"] == "pending"
    words = N_("%(num)s planned") if row["kind"] == "dates" else N_("%(num)s entered")
    return IntakeView(
        id=row["_id"], what=formats.text(KINDS.get(row["kind"], row["kind"])), state=formats.text(label), tone=tone,
        why=formats.text(WHY.get(row["reason"] or "", row["reason"] or "")), at=row["at"], seen=row["seen"],
        total=max(row["total"], row["seen"], 1), running=running, stoppable=running and row["kind"] != "dates",
        told=formats.text(words, num=formats.number(row["entered"])),
    )  # fmt: skip


@routes.get("/journeys/{journey_id}/intakes")
@require("viewer")
async def intakes(request: web.Request) -> web.StreamResponse:
    """The list, and the form for those who qualify already."""
    return await _page(request)


@routes.post("/journeys/{journey_id}/intakes")
@require("marketer")
async def take_in(request: web.Request) -> web.StreamResponse:
    """Count those who qualify already; or take them in."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    journey_id, window = request.match_info["journey_id"], str(form.get("window") or "P30D")
    try:
        if form.get("do") == "begin":
            await runtime.backfills.begin(journey_id, window, by=principal_of(request).id)
            raise web.HTTPSeeOther(f"/journeys/{journey_id}/intakes")
        found = await runtime.backfills.outlook(journey_id, window)
    except (Conflict, WrongInput) as error:
        return await _page(request, problem=str(error))
    return await _page(request, window=window, found=found)


@routes.post("/journeys/{journey_id}/intakes/{intake_id:itk_[0-9a-z]{26}}/stop")
@require("marketer")
async def stop(request: web.Request) -> web.StreamResponse:
    """Stop one."""
    refuse_scoped(reading(request))
    journey_id = request.match_info["journey_id"]
    await runtime_of(request).backfills.call_off(journey_id, request.match_info["intake_id"])
    raise web.HTTPSeeOther(f"/journeys/{journey_id}/intakes")


async def _page(
    request: web.Request, *, problem: str = "", window: str = "P30D", found: Any = None
) -> web.StreamResponse:
    runtime, formats, journey_id = runtime_of(request), reader_of(request), request.match_info["journey_id"]
    head = await runtime.journeys.get(journey_id)
    part = await runtime.backfills.intakes(journey_id, cursor=request.query.get("cursor"))
    planned = await runtime.backfills.planned(journey_id)
    kind = str(((await runtime.journeys.definition(journey_id)).get("trigger") or {}).get("type"))
    values = {
        "journey": head, "name": head["name"] or formats.text(N_("Without a name")), "planned": planned,
        "intakes": [intake_view(row, formats) for row in part.data],
        "next_href": f"/journeys/{journey_id}/intakes?cursor={part.next_cursor}" if part.next_cursor else "",
        "takes": head["status"] in ("live", "paused") and kind not in ("api", "date", "schedule", "segment_left"),
        "by_window": kind != "segment_entered", "windows": WINDOWS, "window": window, "found": found,
        "problem": problem, "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "journeys/intakes.html", values, status=422 if problem else 200)
