"""Settings → Today: after how long without contact people are shown, by tier, and which orders need a hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from campaigns.stream.ladders import DAYS_MAX, OWNED, RUNGS_MAX, StreamRules
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.effects import tier_names
from desk.render import formats_of, page

routes = web.RouteTableDef()
HERE = "/settings/today"
#: Field → what it asks for.
AFTER = {
    "unpaid_after_h": N_("Not paid after hours"), "unnoticed_after_h": N_("Shipped without a message after hours"),
    "unreviewed_after_days": N_("Delivered without asking how it was, after days"),
}  # fmt: skip
_RUNGS = N_("Up to %(most)s rising numbers of days between commas, each from 1 to %(days)s; nothing: never.")
_AFTER = N_("A whole number, at most 720 hours or 60 days; nothing: never.")


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The rules."""
    rules: StreamRules = await runtime_of(request).watching.rules()
    return await _page(request, given_of(rules), {})


@routes.post(HERE)
@require("admin", "marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep them; a fault is said beside its field."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    before: StreamRules = await runtime.watching.rules()
    given = {str(name): str(value).strip() for name, value in form.items() if name != "csrf"}
    wanted, faults = written(given)
    if wanted is None:
        return await _page(request, given, faults)
    await runtime.watching.choose(wanted, principal_of(request).id)
    undo = given_of(before) if wanted != before else {}
    raise web.HTTPSeeOther(f"{HERE}?{urlencode({'saved': '1', **undo})}")


def given_of(rules: StreamRules) -> dict[str, str]:
    """The form of rules as they stand. Pure."""
    rungs = {f"idle:{key}": ", ".join(map(str, days)) for key, days in rules.idle.items()}
    after = {name: getattr(rules, name) for name in AFTER}
    return {**rungs, **{name: "" if value is None else str(value) for name, value in after.items()}}


def written(given: Mapping[str, str]) -> tuple[StreamRules | None, dict[str, str]]:
    """What was written, or field → what is wrong with it. Pure."""
    idle = {
        name.removeprefix("idle:"): [part.strip() for part in text.replace("，", ",").replace("、", ",").split(",")]
        for name, text in given.items() if name.startswith("idle:") and text
    }  # fmt: skip
    after = {name: given.get(name) or None for name in AFTER}
    try:
        return StreamRules.model_validate({"idle": idle, **after}), {}
    except ValidationError as error:
        found: dict[str, str] = {}
        for each in error.errors():
            first, *rest = [str(part) for part in each["loc"]]
            if first in AFTER:
                found[first] = _AFTER
            elif rest:
                found[f"idle:{rest[0]}"] = _RUNGS
            else:  # of some ladder: each that does not rise
                found |= {f"idle:{key}": _RUNGS for key, days in idle.items() if not _rises(days)}
        return None, found


def _rises(days: list[str]) -> bool:
    numbers = [int(each) if each.isdigit() else 0 for each in days]
    return numbers == sorted(set(numbers))


async def _page(request: web.Request, given: Mapping[str, str], faults: Mapping[str, str]) -> web.StreamResponse:
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    names = await tier_names(runtime, formats)
    names = {**names, OWNED: formats.text(N_("No tier, but an owner"))}
    names |= {key: key for name in given if (key := name.removeprefix("idle:")) != name and key not in names}
    said = {name: formats.text(text, {"most": RUNGS_MAX, "days": DAYS_MAX}) for name, text in faults.items()}
    saved = "saved" in request.query and not faults
    values: dict[str, Any] = {
        "ladders": [(f"idle:{key}", name) for key, name in names.items()], "after": list(AFTER.items()),
        "given": given, "faults": said, "saved": saved, "may_change": principal.may_everywhere("admin", "marketer"),
        "before": [(name, value) for name, value in request.query.items() if name != "saved"] if saved else [],
        "hint": formats.text(_RUNGS, {"most": RUNGS_MAX, "days": DAYS_MAX}),
    }  # fmt: skip
    return await page(request, "settings/today.html", values, status=422 if faults else 200)
