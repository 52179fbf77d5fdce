"""Settings → Stages, and Roles and relations: the lists of a deployment, each saved whole, in both languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from base.errors import Conflict, WrongInput
from desk.api.lifecycle import LOOKED_BACK
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_
from desk.keys import runtime_of
from desk.render import formats_of, page
from profiles.naming import free_key
from profiles.store.profiles import ProfileFilter
from profiles.terms import Agreed, ListName

routes = web.RouteTableDef()
PLACES: Mapping[str, tuple[ListName, ...]] = {"stages": ("stages", "reasons"), "roles": ("roles", "relations")}
TITLES = {
    "stages": N_("Stages"), "reasons": N_("Reasons of loss"), "roles": N_("Roles of a contact"),
    "relations": N_("Relations between people"),
}  # fmt: skip
HINTS = {
    "stages": N_("The way of a customer, in order. Everybody begins in the first one."),
    "reasons": N_("What is offered where a stage asks for a reason; other words can be said too."),
    "roles": N_("What somebody is to you. A person may have several."),
    "relations": N_("What people are to each other, as it reads from either side."),
}
#: Empty rows to fill in.
NEW_ROWS = 2
ROWS_MAX = 60


@routes.get("/settings/{place:stages|roles}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """Both lists of the page."""
    return await _page(request, None, {}, "")


@routes.post("/settings/{place:stages|roles}")
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Save one list; a fault is said above what was written."""
    refuse_scoped(reading(request))
    runtime, form, place = runtime_of(request), await read_form(request), request.match_info["place"]
    name = str(form.get("list", ""))
    if name not in PLACES[place]:
        raise WrongInput("There is no such list.")
    agreed: Agreed = await runtime.terms.now(fresh=True)
    rows = written(form, name, {each.key: each.model_dump() for each in getattr(agreed, name)})
    try:
        rev = str(form.get("rev", ""))
        saved = int(rev) if rev.isascii() and rev.isdigit() and len(rev) < 9 else 0
        await runtime.terms.save(name, saved, rows, by=principal_of(request).id)
    except (WrongInput, Conflict) as error:
        return await _page(request, name, {name: rows}, _sentence(error))
    raise web.HTTPSeeOther(f"/settings/{place}?saved={name}")


def written(form: Mapping[str, Any], name: str, known: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the form in the order of their numbers; a row without a name is taken away. Languages and rules that
    the form does not show stay as they are."""
    rows: list[tuple[float, int, dict[str, Any]]] = []
    taken = {*known, *(str(form.get(f"key:{i}", "")).strip() for i in range(ROWS_MAX))}
    for i in range(ROWS_MAX):
        names = _names(form, "name", i)
        if not names:
            continue
        key = str(form.get(f"key:{i}", "")).strip()
        if not key:
            key = free_key(next(iter(names.values())), taken, taken, otherwise="term")
            taken.add(key)
        row: dict[str, Any] = {**known.get(key, {}), "key": key}
        row["names"] = {**_others(row.get("names")), **names}
        if name == "relations":
            row["back_names"] = {**_others(row.get("back_names")), **(_names(form, "back_name", i) or names)}
        if name == "stages":
            orders, segment = str(form.get(f"orders:{i}", "")).strip(), str(form.get(f"segment:{i}", "")).strip()
            row |= {
                "asks_reason": f"asks:{i}" in form, "back": f"back:{i}" in form, "segment_id": segment or None,
                "orders": int(orders) if orders.isascii() and orders.isdigit() and len(orders) < 5 else None,
            }  # fmt: skip
        place = str(form.get(f"place:{i}", "")).strip()
        rows.append((int(place) if place.isascii() and place.isdigit() and len(place) < 9 else 10_000, i, row))
    return [row for _, _, row in sorted(rows, key=lambda each: each[:2])]


def _names(form: Mapping[str, Any], part: str, i: int) -> dict[str, str]:
    found = {code: str(form.get(f"{part}:{code}:{i}", "")).strip()[:80] for code in LANGUAGES}
    return {code: text for code, text in found.items() if text}


def _others(names: Mapping[str, str] | None) -> dict[str, str]:
    return {code: text for code, text in (names or {}).items() if code not in LANGUAGES}


def _sentence(error: WrongInput | Conflict) -> str:
    faults = error.errors if isinstance(error, WrongInput) else ()
    return faults[0].message.removeprefix("Value error, ") if faults else str(error)


async def _page(
    request: web.Request, wrong: str | None, given: Mapping[str, Sequence[Mapping[str, Any]]], fault: str
) -> web.Response:  # fmt: skip
    runtime, place = runtime_of(request), request.match_info["place"]
    agreed: Agreed = await runtime.terms.now(fresh=True)
    reader = principal_of(request)
    lists = [
        {
            "name": name, "title": TITLES[name], "hint": HINTS[name], "rev": agreed.revs[name],
            "rows": given.get(name) or [each.model_dump() for each in getattr(agreed, name)],
            "fault": fault if name == wrong else "", "saved": request.query.get("saved") == name,
        }
        for name in PLACES[place]
    ]  # fmt: skip
    values = {
        "here": f"/settings/{place}", "lists": lists, "languages_shown": LANGUAGES, "new_rows": NEW_ROWS,
        "may_change": reader.may_everywhere("marketer"), "figures": await _figures(request, place),
    }  # fmt: skip
    return await page(request, "settings/terms.html", values, status=422 if fault else 200)


async def _figures(request: web.Request, place: str) -> dict[str, Any]:
    """Of the stages: how many are there, how long they take; of those that ask, for which reasons people came."""
    if place != "stages":
        return {}
    runtime, reader = runtime_of(request), principal_of(request)
    formats = formats_of(request, reader)
    agreed, since = await runtime.terms.now(), runtime.clock() - LOOKED_BACK
    spent = await runtime.stage_log.spent(since)
    rows = []
    for stage in agreed.stages:
        whole = reader.channels is None
        count = await runtime.profiles.column_count(ProfileFilter(stage=stage.key)) if whole else None
        mean = spent.get(stage.key)
        reasons = await runtime.stage_log.reasons(stage.key, since) if stage.asks_reason and whole else {}
        named = {key: next((r.said(formats.language) for r in agreed.reasons if r.key == key), key) for key in reasons}
        rows.append({
            "label": stage.said(formats.language), "count": "" if count is None else formats.number(count),
            "mean": formats.span(mean[0], parts=2) if mean else "", "left": formats.number(mean[1]) if mean else "",
            "reasons": [(named[key], formats.number(n)) for key, n in reasons.items()],
        })  # fmt: skip
    return {"rows": rows}
