"""Settings → Score: the rules as sentences, and what they would do before they are saved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.effects import reason_name, score_effect
from desk.pages.rules import EVENTS as EVENT_WORDS
from desk.pages.rules import OPERATORS, event_words, field_words
from desk.pages.score_form import (
    EVENTS,
    FIELDS,
    OPS,
    SPANS,
    Draft,
    Row,
    Written,
    blanks,
    draft_of,
    rows_of,
    with_faults,
    written,
)  # fmt: skip
from desk.pages.sentences import rule_words
from desk.render import page, reader_of

routes = web.RouteTableDef()
HERE = "/settings/score"
CONTENDED = N_("Somebody has changed this meanwhile. Below stands what you wrote; save again to put it in its place.")


def may_value(request: web.Request) -> bool:
    """Whether the reader may change how customers are valued: it concerns all channels."""
    return principal_of(request).may_everywhere("marketer")


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The rules that stand."""
    held = await runtime_of(request).valuing.score()
    return await _page(request, draft_of(held.settings), None, saved="saved" in request.query)


@routes.post(HERE + "/effect")
@require("marketer")
async def effect(request: web.Request) -> web.StreamResponse:
    """The form as it is, with what it would do. A script takes only that part."""
    refuse_scoped(reading(request))
    rows, hot, read = await _sent(request)
    return await _page(request, Draft(rows, hot), read, quiet="HX-Request" in request.headers)


@routes.post(HERE)
@require("marketer")
async def save(request: web.Request) -> web.StreamResponse:
    """Save; faults stand in their rows."""
    refuse_scoped(reading(request))
    rows, hot, read = await _sent(request)
    rev = str((await read_form(request)).get("rev", ""))
    if read.unread:
        return await _page(request, Draft(rows, hot), read)
    try:
        await runtime_of(request).valuing.save_score(
            read.settings, int(rev) if rev.isascii() and rev.isdigit() else None, principal_of(request).id
        )
    except WrongInput:
        return await _page(request, Draft(rows, hot), read)
    except Conflict:
        return await _page(request, Draft(rows, hot, (CONTENDED,)), read)
    raise web.HTTPSeeOther(f"{HERE}?saved=1")


@routes.post(HERE + "/undo")
@require("marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take the last change back."""
    refuse_scoped(reading(request))
    await undone(request, "score")
    raise web.HTTPSeeOther(HERE)


async def undone(request: web.Request, name: Any) -> None:
    """The step back of either page; who comes too late finds the page as it is."""
    rev = str((await read_form(request)).get("rev", ""))
    try:
        await runtime_of(request).valuing.undo(name, int(rev) if rev.isdigit() else -1, principal_of(request).id)
    except (Conflict, NotFound):
        return


async def _sent(request: web.Request) -> tuple[tuple[Row, ...], str, Written]:
    form, formats = await read_form(request), reader_of(request)
    names = {each.id: each.name for each in (await runtime_of(request).valuing.score()).settings.rules}
    # a built-in name is shown in the reader's language and stays what it is
    rows = tuple(
        replace(row, name=names[row.id]) if row.name and row.name == formats.text(names.get(row.id, "")) else row
        for row in rows_of(form)
    )
    hot = str(form.get("hot", "")).strip()
    return rows, hot, written(rows, hot)


async def _page(
    request: web.Request, draft: Draft, read: Written | None, *, saved: bool = False, quiet: bool = False
) -> web.Response:
    """`read`: what the draft says; None: what stands. `quiet`: an answer to a script, which takes no fault for one."""
    runtime, formats, may = runtime_of(request), reader_of(request), may_value(request)
    held, shown, rows, faults = await runtime.valuing.score(), None, draft.rows, list(draft.faults)
    if may:
        errors: Any = ()
        try:
            given = read.settings if read else None
            shown = score_effect(await runtime.valuing.score_effect(given), formats)
        except WrongInput as error:
            errors = error.errors
        if read:
            rows, beside = with_faults(rows, read, errors)
            faults += beside
    rows = tuple(row for row in rows if not row.empty)
    wrong = bool(faults) or any(row.faults for row in rows)
    values = {
        "rows": rows, "blanks": blanks(), "hot": draft.hot, "faults": faults, "effect": shown,
        "wrong": wrong, "held": held, "saved": saved and held.undoable, "may_change": may, "spans": SPANS,
        "events": [(name, event_words(name, formats)) for name in EVENTS],
        "more_events": [(name, event_words(name, formats)) for name in EVENT_WORDS if name not in EVENTS],
        "known": frozenset(EVENTS) | frozenset(EVENT_WORDS),
        "fields": [(name, field_words(name, formats)) for name in FIELDS],
        "ops": [(name, formats.text(OPERATORS[name])) for name in OPS],
        "sentences": [
            (f"{each.points:+d}", reason_name({"rule_id": each.id, "name": each.name}, formats),
             rule_words(each.rule, formats), each.half_life)
            for each in held.settings.rules
        ],
        "progress": await runtime.valuing.progress(),
    }  # fmt: skip
    return await page(request, "settings/score.html", values, status=422 if wrong and not quiet else 200)
