"""Settings → Sending: how often and at what hours customers are written to, and steps that were stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from campaigns.policies.capping import span_of
from campaigns.policies.models import SendingPolicies
from desk.api.policies import read_policies
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.render import page

routes = web.RouteTableDef()
HERE = "/settings/sending"
CAPS_MAX = 20
UNITS = {"D": N_("days"), "H": N_("hours")}
CLASSES = {"marketing": N_("Marketing"), "transactional": N_("Order notices")}
CONTENDED = N_("Somebody else has changed the rules in the meantime. Look at them again.")
_SAYS = {
    "most": N_("A whole number from 1 on."),
    "per": N_("At least one day or hour, at most 92 days."),
    "quiet_hours": N_("Two times of day such as 21:00 and 08:00."),
    "breaker": N_("Whole numbers: people, per cent up to 100, minutes up to 240."),
    "": N_("Two caps count the same; keep the stricter one."),
}


@dataclass(frozen=True)
class Row:
    """One cap as its row shows it."""

    most: str = ""
    number: str = ""
    unit: str = "D"
    send_class: str = "marketing"
    group: str = ""
    channel: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """The form as it stands in its fields."""

    rows: tuple[Row, ...]
    quiet_from: str
    quiet_to: str
    least_people: str
    least_percent: str
    minutes: str


def draft_of(policies: SendingPolicies) -> Draft:
    """The form of rules as they stand."""
    quiet, breaker = policies.quiet_hours, policies.breaker
    return Draft(
        tuple(_row(cap) for cap in policies.caps), quiet.from_.text if quiet else "", quiet.to.text if quiet else "",
        str(breaker.least_people), f"{breaker.least_percent:g}", str(breaker.minutes),
    )  # fmt: skip


def sent(form: Mapping[str, Any]) -> Draft:
    """The form that was sent. A row without any number was left empty or taken off."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()[:60]

    rows = [
        Row(text(f"most-{at}"), text(f"number-{at}"), text(f"unit-{at}"), text(f"class-{at}"), text(f"group-{at}"),
            text(f"channel-{at}"))
        for at in range(CAPS_MAX)
        if not form.get(f"off-{at}") and (text(f"most-{at}") or text(f"number-{at}"))
    ]  # fmt: skip
    return Draft(
        tuple(rows), text("quiet_from"), text("quiet_to"), text("least_people"), text("least_percent"), text("minutes")
    )


def written(draft: Draft) -> dict[str, Any]:
    """The rules as JSON. What is no number stays a text and is refused with its place."""
    caps = [
        {"most": _whole(row.most), "per": f"P{'T' if row.unit == 'H' else ''}{row.number}{row.unit}",
         "class": row.send_class or "marketing", "group": row.group or None, "channel": row.channel or None}
        for row in draft.rows
    ]  # fmt: skip
    quiet = {"from": draft.quiet_from, "to": draft.quiet_to} if draft.quiet_from or draft.quiet_to else None
    breaker = {
        "least_people": _whole(draft.least_people), "least_percent": draft.least_percent.replace(",", "."),
        "minutes": _whole(draft.minutes),
    }  # fmt: skip
    return {"caps": caps, "quiet_hours": quiet, "breaker": breaker}


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The rules as they stand."""
    held = await runtime_of(request).policies.get()
    return await _page(request, draft_of(held.policies), held.rev, {}, saved="saved" in request.query)


@routes.post(HERE)
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Replace the rules; faults stand beside their fields."""
    refuse_scoped(reading(request))
    form = await read_form(request)
    rev, draft = _number(form.get("rev")), sent(form)
    try:
        await runtime_of(request).policies.save(read_policies(written(draft)), rev, principal_of(request).id)
    except WrongInput as error:
        return await _page(request, *_with_faults(draft, [each.path for each in error.errors], rev))
    except Conflict:
        return await _page(request, draft, (await runtime_of(request).policies.get()).rev, {"all": CONTENDED})
    raise web.HTTPSeeOther(f"{HERE}?saved=1")


@routes.post(HERE + "/undo")
@require("marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last change back; who comes too late finds the page as it is."""
    refuse_scoped(reading(request))
    try:
        rev = _number((await read_form(request)).get("rev"))
        await runtime_of(request).policies.undo(rev, principal_of(request).id)
    except Conflict:
        pass
    raise web.HTTPSeeOther(HERE)


@routes.post(HERE + "/resume")
@require("marketer")
async def resume(request: web.Request) -> web.StreamResponse:
    """Let the sends of a stopped step go on."""
    refuse_scoped(reading(request))
    stop_id = str((await read_form(request)).get("stop", ""))[:100]
    try:
        await runtime_of(request).policies.breaker.resume(stop_id, principal_of(request).id)
    except NotFound:
        pass  # somebody else was faster
    raise web.HTTPSeeOther(HERE)


async def _page(
    request: web.Request, draft: Draft, rev: int, faults: Mapping[str, str], *, saved: bool = False
) -> web.Response:  # fmt: skip
    runtime = runtime_of(request)
    stops = await runtime.policies.breaker.all_stopped()
    names = await runtime.journeys.names([row["journey_id"] for row in stops])
    held = await runtime.policies.get()
    values = {
        "draft": draft, "rev": rev, "faults": faults, "saved": saved, "undoable": held.undoable, "units": UNITS,
        "classes": CLASSES, "blank": Row(), "groups": await runtime.consent.groups.all(),
        "channels": await _channels(request), "may_change": principal_of(request).may_everywhere("marketer"),
        "stops": [{**row, "name": names.get(row["journey_id"], row["journey_id"])} for row in stops],
        "room": len(draft.rows) < CAPS_MAX,
    }  # fmt: skip
    bad = bool(faults) or any(row.faults for row in draft.rows)
    return await page(request, "settings/sending.html", values, status=422 if bad else 200)


async def _channels(request: web.Request) -> list[tuple[str, str]]:
    """(key, name) of what a cap may be about: providers of which there is a channel, then each channel."""
    runtime, principal = runtime_of(request), principal_of(request)
    rows = [each for each in await runtime.channels.list() if principal.may_see(each.id)]
    labels = {each.provider: runtime.registry.get(each.provider).card.label for each in rows}
    return [*sorted(labels.items(), key=lambda each: each[1]), *((each.id, each.name) for each in rows)]


def _with_faults(draft: Draft, paths: Sequence[str], rev: int) -> tuple[Draft, int, dict[str, str]]:
    found: dict[int, list[str]] = {}
    rest: dict[str, str] = {}
    for path in paths:
        head, _, name = path.partition("].")
        if head.startswith("caps[") and head[5:].isdigit():
            found.setdefault(int(head[5:]), []).append(_SAYS.get(name, N_("Please check this.")))
        else:
            key = path.partition(".")[0] or "all"
            rest[key] = _SAYS.get(path.partition(".")[0], _SAYS[""])
    rows = tuple(Row(**{**row.__dict__, "faults": tuple(found.get(at, ()))}) for at, row in enumerate(draft.rows))
    return Draft(**{**draft.__dict__, "rows": rows}), rev, rest


def _row(cap: Any) -> Row:
    span = span_of(cap.per)
    hours = not (span and span.days)
    number = (span.elapsed.total_seconds() / 3600 if hours else span.days) if span else 0
    return Row(str(cap.most), f"{number:g}", "H" if hours else "D", cap.send_class, cap.group or "", cap.channel or "")


def _whole(text: str) -> Any:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else text


def _number(value: object) -> int:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else -1
