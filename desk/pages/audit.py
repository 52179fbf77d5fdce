"""Settings → Audit: who of the colleagues and programs changed, saw and came in, as a list to be narrowed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import WrongInput
from base.mongo import Document
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.moments import read_date
from desk.render import formats_of, page
from desk.team.audit import KINDS, ids_in
from desk.team.audit_words import KIND_WORDS, PLACES, area_words, as_csv, sentence_of

routes = web.RouteTableDef()
HERE = "/settings/audit"
FILTERS = ("by", "kind", "about", "since", "until")
#: Rows of one file.
CSV_PAGES = 50


@routes.get(HERE)
@require("admin")
async def audit(request: web.Request) -> web.StreamResponse:
    """Rows, newest first."""
    refuse_scoped(reading(request))
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    texts = {name: request.query.get(name, "").strip()[:300] for name in FILTERS}
    wanted, faults = _wanted(texts, formats)
    try:
        found = await runtime.audit.page(**wanted, cursor=request.query.get("cursor"))
    except WrongInput:  # a cursor of another list
        raise web.HTTPSeeOther(HERE) from None
    colleagues = {each for row in found.data for each in row["about"] if each[:3] == "usr"}
    names = await runtime.users.names(sorted(colleagues | {row["by"] for row in found.data if row["by"]}))
    people = await runtime.profiles.many({each for row in found.data for each in row["about"] if each[:3] == "prf"})
    shown = {name: value for name, value in texts.items() if value}
    values = {
        "rows": [_row(row, names, people, formats) for row in found.data], "texts": texts, "faults": faults,
        "colleagues": await runtime.users.users(), "tokens": await runtime.users.tokens(), "kinds": KIND_WORDS,
        "filtered": bool(shown), "csv_href": f"{HERE}.csv?{urlencode(shown)}",
        "next_href": f"{HERE}?{urlencode({**shown, 'cursor': found.next_cursor})}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "settings/audit.html", values, status=422 if faults else 200)


@routes.get(HERE + ".csv")
@require("admin")
async def table(request: web.Request) -> web.StreamResponse:
    """The same as a file: the newest ten thousand rows."""
    refuse_scoped(reading(request))
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    wanted, _ = _wanted({name: request.query.get(name, "")[:300] for name in FILTERS}, formats)
    rows: list[Document] = []
    cursor: str | None = None
    for _ in range(CSV_PAGES):
        found = await runtime.audit.page(**wanted, limit=200, cursor=cursor)
        rows += found.data
        cursor = found.next_cursor
        if cursor is None:
            break
    names = await runtime.users.names(sorted({row["by"] for row in rows if row["by"]}))
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    return web.Response(text=as_csv(rows, names), content_type="text/csv", charset="utf-8", headers=headers)


def _wanted(texts: Mapping[str, str], formats: Formats) -> tuple[dict[str, Any], dict[str, str]]:
    """(what to look for, field → what is wrong). A day counts from midnight to midnight of the reader. Pure."""
    wanted: dict[str, Any] = {"by": texts.get("by") or None}
    faults: dict[str, str] = {}
    if texts.get("kind") in KINDS:
        wanted["kind"] = texts["kind"]
    if texts.get("about"):
        ids = ids_in([texts["about"]])
        wanted["about"] = ids[0] if ids else "nothing"
        if not ids:
            faults["about"] = N_("Paste an id such as prf_01k…, or the address of its page.")
    for name in ("since", "until"):
        if texts.get(name):
            try:
                day = read_date(texts[name], formats)
            except ValueError:
                faults[name] = N_("This is no day. Write it such as 2026-12-01.")
                continue
            midnight = datetime.combine(day, time(), tzinfo=formats.zone)
            wanted[name] = midnight if name == "since" else midnight + timedelta(days=1)
    return wanted, faults


def _row(row: Document, names: Mapping[str, str], people: Mapping[str, Any], formats: Formats) -> dict[str, Any]:
    about = []
    for each in row["about"]:
        path, word = PLACES.get(each[:3], ("", ""))
        known = people[each].display_name if each in people else names.get(each, "") if each[:3] == "usr" else ""
        label = known or formats.text(word)
        about.append({"href": path + each if path else "", "label": label or each[:3], "id": each})
    return {
        "at": row["at"], "sentence": sentence_of(row), "refused": row["outcome"] >= 400, "outcome": row["outcome"],
        "area": area_words(row["area"]), "what": row["what"], "about": about, "changed": row["changed"],
        "name": names.get(row["by"] or "", ""), "by": row["by"] or "", "program": row["by_kind"] == "token",
        "address": row["address"],
    }  # fmt: skip
