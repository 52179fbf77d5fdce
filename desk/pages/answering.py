"""Settings → Answering: how long an answer can be taken back, and who answers what is somebody else's."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from base.errors import NotFound, WrongInput
from base.ids import is_id
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.reads import faces_of
from desk.render import page
from inbox.answering import UNDO_MAX_S, AnsweringRules
from inbox.reopening import DAYS_MAX, Reopening

routes = web.RouteTableDef()
HERE = "/settings/answering"
#: Seconds that are offered.
TIMES = (0, 5, 10, 20, 30, UNDO_MAX_S)
#: What a new message does to a closed conversation.
MODES = {
    "within": N_("opens it again within"), "always": N_("always opens it again"), "never": N_("begins another one"),
}  # fmt: skip
LOCKS = {
    "off": (N_("Anybody may answer"), N_("Whose it is only says who looks after it.")),
    "warn": (N_("Ask first"), N_("Who answers for somebody else is asked once whether to send it.")),
    "assignee": (N_("Only who has it"), N_("Others take it first, or leave a note.")),
}


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """What holds."""
    rules: AnsweringRules = await runtime_of(request).answering.rules()
    before = {name: value for name, value in request.query.items() if name in AnsweringRules.model_fields}
    principal, faces = principal_of(request), await faces_of(runtime_of(request))
    seen = [each for each in faces.channels.values() if principal.may_see(each.id)]
    chosen = await runtime_of(request).answering.reopening(each.id for each in seen)
    undo = {name: value for name, value in request.query.items() if name in ("channel", "mode", "days")}
    values: dict[str, Any] = {
        "channels": [(each, faces.of(each.id), chosen.get(each.id, Reopening())) for each in seen], "modes": MODES,
        "days_max": DAYS_MAX, "undo_reopening": undo if "reopening" in request.query else {},
        "may_reopen": principal.may("admin"),
        "rules": rules, "times": sorted({*TIMES, rules.undo_s}), "locks": LOCKS, "saved": "saved" in request.query,
        "before": before, "may_change": principal_of(request).may_everywhere("admin"),
    }  # fmt: skip
    return await page(request, "settings/answering.html", values)


@routes.post(HERE + "/reopening")
@require("admin")
async def reopening(request: web.Request) -> web.StreamResponse:
    """What becomes of closed conversations on one channel."""
    answering, form, principal = runtime_of(request).answering, await read_form(request), principal_of(request)
    channel_id, mode, days = (str(form.get(name, "")) for name in ("channel", "mode", "days"))
    known = is_id(channel_id, "chn") and await runtime_of(request).channels.get(channel_id) is not None
    if not known or not principal.may_see(channel_id):
        raise NotFound("There is no such channel.")
    if mode not in MODES or not (days.isascii() and days.isdigit() and 0 < int(days[:5]) <= DAYS_MAX):
        raise WrongInput("Choose what a new message does, and for how many days.")
    before = (await answering.reopening([channel_id])).get(channel_id, Reopening())
    wanted = Reopening.model_validate({"mode": mode, "days": int(days)})
    await answering.choose_reopening(channel_id, wanted, principal.id)
    undo = {"channel": channel_id, "mode": before.mode, "days": str(before.days)} if before != wanted else {}
    query = {"saved": "1", "reopening": "1", **undo}
    raise web.HTTPSeeOther(str(request.rel_url.with_path(HERE).with_query(query)))


@routes.post(HERE)
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep it; what stood before can be brought back."""
    refuse_scoped(reading(request))
    answering, form = runtime_of(request).answering, await read_form(request)
    undo_s, lock = str(form.get("undo_s", "")), str(form.get("lock", ""))
    if not (undo_s.isascii() and undo_s.isdigit() and int(undo_s[:4]) <= UNDO_MAX_S and lock in LOCKS):
        raise WrongInput("Choose how long an answer can be taken back, and who may answer.")
    before: AnsweringRules = await answering.rules()
    wanted = AnsweringRules.model_validate({"undo_s": int(undo_s), "lock": lock})
    await answering.choose(wanted, principal_of(request).id)
    undo = {name: str(value) for name, value in before.model_dump().items()} if before != wanted else {}
    raise web.HTTPSeeOther(str(request.rel_url.with_path(HERE).with_query({"saved": "1", **undo})))
