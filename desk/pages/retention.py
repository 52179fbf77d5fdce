"""Settings → Retention: how long each kind of data is kept, how many rows that would take, what went at night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from base.errors import FieldError, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.render import formats_of, page
from profiles.store.retention import COUNT_MAX

routes = web.RouteTableDef()
HERE = "/settings/retention"
#: Kind → what it is called, and what is lost with it.
KINDS = {
    "delivery_bodies": (
        N_("Contents of webhooks"),
        N_("What providers sent us, once it was worked off. Without it none can be looked at or worked off again."),
    ),
    "deliveries": (
        N_("Webhook log"),
        N_("That a webhook came. The same one coming again later is still carried out only once."),
    ),
    "page_views": (N_("Page views"), N_("Pages that visitors of your websites have seen.")),
    "visitors": (
        N_("Visitors without activity"),
        N_("People known by a browser alone, who never wrote, bought or left an address."),
    ),
    "run_steps": (N_("Steps of journeys"), N_("The log that explains each run.")),
    "runs": (N_("Ended runs"), N_("That somebody went through a journey: “only once” is then forgotten, too.")),
    "sends": (
        N_("Messages sent"),
        N_("The ledger with what became of each. The messages themselves stay in their conversations."),
    ),
    "media": (N_("Files"), N_("Pictures, sounds and documents of messages. The messages stay.")),
    "closed_conversations": (N_("Closed conversations"), N_("With all their messages and files.")),
    "events": (N_("Timeline"), N_("Everything that happened with people.")),
    "erasure_log": (N_("Erasure log"), N_("Who asked for an erasure, when, and how much went.")),
}  # fmt: skip


@routes.get(HERE)
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """All kinds. With figures in the address (`?kind=days`) it shows what those would take, and changes nothing."""
    refuse_scoped(reading(request))
    tried = {name: value for name, value in request.query.items() if name in KINDS}
    try:
        days = written(tried)
        return await _page(request, days, {})
    except WrongInput as error:
        return await _page(request, {}, _faults(error))


@routes.post(HERE)
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep so long from now on. The next night takes what is older."""
    refuse_scoped(reading(request))
    runtime = runtime_of(request)
    form = {name: str(value) for name, value in (await read_form(request)).items() if name in KINDS}
    before = await runtime.retention.days()
    try:
        await runtime.retention.choose(written(form), principal_of(request).id)
    except WrongInput as error:
        return await _page(
            request, {}, {fault.path.removeprefix("days."): fault.message for fault in error.errors}, 422
        )
    undo = "&".join(f"{name}={'' if days is None else days}" for name, days in before.items())
    raise web.HTTPSeeOther(f"{HERE}?saved=1&{undo}" if before != await runtime.retention.days() else HERE)


def written(form: Mapping[str, str]) -> dict[str, int | None]:
    """Kind → days of a form; an empty field means for ever. Raises `WrongInput`."""
    days: dict[str, int | None] = {}
    for name, text in form.items():
        plain = text.strip()
        if plain and not (plain.isascii() and plain.isdigit() and len(plain) < 6):
            raise _no_number(name)
        days[name] = int(plain) if plain else None
    return days


def _no_number(name: str) -> WrongInput:
    return WrongInput("These times cannot be kept.", [FieldError(f"days.{name}", N_("takes a whole number of days"))])


def _faults(error: WrongInput) -> dict[str, str]:
    return {fault.path.removeprefix("days."): fault.message for fault in error.errors}


async def _page(
    request: web.Request, tried: Mapping[str, int | None], faults: Mapping[str, str], status: int = 200
) -> web.Response:
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    saved = "saved" in request.query
    outlook = await runtime.retention.outlook(None if saved else tried or None)
    rows: list[dict[str, Any]] = [
        {
            "name": each.name, "label": formats.text(KINDS[each.name][0]), "hint": formats.text(KINDS[each.name][1]),
            "days": "" if each.days is None else str(each.days), "least": each.least,
            "fault": faults.get(each.name, ""),
            "count": f"{formats.number(each.count)}{'+' if each.count >= COUNT_MAX else ''}",
        }
        for each in outlook
    ]  # fmt: skip
    nights = [
        (night["at"], [(formats.text(KINDS[name][0]), formats.number(count)) for name, count in night["counts"].items()
                       if name in KINDS])
        for night in await runtime.retention.nights()
    ]  # fmt: skip
    values = {
        "rows": rows, "nights": nights, "saved": saved, "before": tried if saved else {},
        "tried": bool(tried) and not saved,
    }  # fmt: skip
    return await page(request, "settings/retention.html", values, status=status)
