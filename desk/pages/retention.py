"""Settings → Retention: how long each kind of data is kept, how many rows that would take, what went at night."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
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
    "links": (
        N_("Tracked links"),
        N_("Where links in messages lead that were last sent so long ago: from then on they lead nowhere."),
    ),
    "media": (N_("Files"), N_("Pictures, sounds and documents of messages. The messages stay.")),
    "closed_conversations": (N_("Closed conversations"), N_("With all their messages and files.")),
    "events": (N_("Timeline"), N_("Everything that happened with people.")),
    "audit": (N_("Audit"), N_("Who of your colleagues did and saw what.")),
    "erasure_log": (N_("Erasure log"), N_("Who asked for an erasure, when, and how much went.")),
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """What was written into the fields: kind → text. `days` of those that can be read; `faults` of those that cannot be
    kept. An empty field means for ever."""

    texts: Mapping[str, str]
    days: Mapping[str, int | None]
    faults: Mapping[str, str]


@routes.get(HERE)
@require("admin")
async def show(request: web.Request) -> web.StreamResponse:
    """All kinds. With figures in the address (`?kind=days`) it shows what those would take, and changes nothing."""
    refuse_scoped(reading(request))
    return await _page(request, _form(request, request.query.items()))


@routes.post(HERE)
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep so long from now on. The next night takes what is older."""
    refuse_scoped(reading(request))
    runtime = runtime_of(request)
    form = _form(request, (await read_form(request)).items())
    if form.faults:
        return await _page(request, form)
    before = await runtime.retention.days()
    await runtime.retention.choose(form.days, principal_of(request).id)
    undo = "&".join(f"{name}={'' if days is None else days}" for name, days in before.items())
    raise web.HTTPSeeOther(f"{HERE}?saved=1&{undo}" if before != await runtime.retention.days() else HERE)


def written(texts: Mapping[str, str]) -> tuple[dict[str, int | None], dict[str, str]]:
    """(kind → days, kind → what is wrong with the text). Pure."""
    days: dict[str, int | None] = {}
    faults: dict[str, str] = {}
    for name, text in texts.items():
        plain = text.strip()
        if not plain:
            days[name] = None
        elif plain.isascii() and plain.isdigit() and len(plain) < 6:
            days[name] = int(plain)
        else:
            faults[name] = N_("takes a whole number of days")
    return days, faults


def _form(request: web.Request, fields: Iterable[tuple[str, Any]]) -> Form:
    texts = {name: str(value)[:40] for name, value in fields if name in KINDS}
    days, faults = written(texts)
    kept = {fault.path.removeprefix("days."): fault.message for fault in runtime_of(request).retention.faults(days)}
    return Form(texts, days, {**faults, **kept})


async def _page(request: web.Request, form: Form) -> web.Response:
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    saved = "saved" in request.query and not form.faults
    good = {name: days for name, days in form.days.items() if name not in form.faults}
    outlook = await runtime.retention.outlook(None if saved else good or None)
    rows: list[dict[str, Any]] = [
        {
            "name": each.name, "label": formats.text(KINDS[each.name][0]), "hint": formats.text(KINDS[each.name][1]),
            "days": _days(each.days) if saved else form.texts.get(each.name, _days(each.days)), "least": each.least,
            "fault": form.faults.get(each.name, ""),
            "count": _counted(each.count, formats),
        }
        for each in outlook
    ]  # fmt: skip
    nights = [
        (night["at"], [(formats.text(KINDS[name][0]), formats.number(count)) for name, count in night["counts"].items()
                       if name in KINDS])
        for night in await runtime.retention.nights()
    ]  # fmt: skip
    values = {
        "rows": rows, "nights": nights, "saved": saved, "before": form.days if saved else {},
        "tried": bool(form.texts) and not saved and not form.faults, "faulty": bool(form.faults),
    }  # fmt: skip
    return await page(request, "settings/retention.html", values, status=422 if form.faults else 200)


def _counted(count: int | None, formats: Formats) -> str:
    if count is None:
        return formats.text(N_("too many to count now"))
    return f"{formats.number(count)}{'+' if count >= COUNT_MAX else ''}"


def _days(days: int | None) -> str:
    return "" if days is None else str(days)
