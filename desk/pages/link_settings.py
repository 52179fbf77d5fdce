"""Settings → Links and results: whether links and opens are tracked, what is added to them, how long a touch counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict
from campaigns.tracking.settings import HOURS_MAX, PURPOSE, TrackingSettings
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.render import page

routes = web.RouteTableDef()
HERE = "/settings/links"
UTM = ("source", "medium", "campaign", "term", "content")
WINDOWS = {
    "click": N_("After a click"), "chat_click": N_("After a click in a chat (empty: as after any)"),
    "open": N_("After an opened message"), "chat_delivery": N_("After a message in a chat"),
}  # fmt: skip
_UTM_FAULT = N_("may name {campaign}, {channel}, {step} and {id}, in at most 200 characters")
_HOURS_FAULT = N_("takes a whole number of hours from 0 to 2160")


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """What holds."""
    return await _page(request, None, {})


@routes.post(HERE)
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep it; what stood before can be brought back."""
    refuse_scoped(reading(request))
    choosing, form = runtime_of(request).tracking_choice, await read_form(request)
    texts = {name: str(value)[:300].strip() for name, value in form.items()}
    wanted, faults = written(texts)
    if wanted is None:
        return await _page(request, texts, faults)
    before, rev = await choosing.now(), texts.get("rev", "")
    try:
        held = int(rev) if rev.isascii() and rev.isdigit() else None
        await choosing.choose(wanted, principal_of(request).id, held)
    except Conflict:
        return await _page(request, texts, {}, contended=True)
    query = texts_of(before.settings) if before.settings != wanted else {}
    raise web.HTTPSeeOther(str(request.rel_url.with_path(HERE).with_query({"saved": "1", **query})))


def written(texts: Mapping[str, str]) -> tuple[TrackingSettings | None, dict[str, str]]:
    """(what the form says, or None; field → what is wrong). Pure."""
    hours = {name: texts.get(f"window_{name}", "") for name in WINDOWS}
    if not hours["chat_click"]:
        del hours["chat_click"]
    raw = {
        "links": texts.get("links") == "on", "opens": texts.get("opens") == "on",
        "utm": {name: texts.get(f"utm_{name}", "") for name in UTM},
        "windows": {name: int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
                    for name, text in hours.items()},
    }  # fmt: skip
    try:
        return TrackingSettings.model_validate(raw), {}
    except ValidationError as error:
        faults = {}
        for each in error.errors():
            part, name = str(each["loc"][0]), str(each["loc"][-1])
            faults[f"utm_{name}" if part == "utm" else f"window_{name}"] = _UTM_FAULT if part == "utm" else _HOURS_FAULT
        return None, faults


def texts_of(settings: TrackingSettings) -> dict[str, str]:
    """The form as it would be sent with these settings."""
    utm = {f"utm_{name}": value for name, value in settings.utm.model_dump().items()}
    windows = {
        f"window_{name}": "" if value is None else str(value) for name, value in settings.windows.model_dump().items()
    }
    switches = {name: "on" for name in ("links", "opens") if getattr(settings, name)}
    return {**switches, **utm, **windows}


async def _page(
    request: web.Request, texts: Mapping[str, str] | None, faults: Mapping[str, str], *, contended: bool = False
) -> web.Response:  # fmt: skip
    choice = await runtime_of(request).tracking_choice.now()
    saved = "saved" in request.query and texts is None
    before = {name: value for name, value in request.query.items() if name != "saved"} if saved else {}
    values: dict[str, Any] = {
        "texts": texts if texts is not None else texts_of(choice.settings), "faults": faults, "rev": choice.rev,
        "utm": UTM, "windows": WINDOWS, "most": HOURS_MAX, "purpose": PURPOSE, "saved": saved, "before": before,
        "contended": contended, "may_change": principal_of(request).may_everywhere("admin"),
    }  # fmt: skip
    status = 422 if faults else 409 if contended else 200
    return await page(request, "settings/links.html", values, status=status)
