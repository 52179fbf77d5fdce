"""Broadcasts: the list, the page of one that is sent with its figures, and everybody it was about."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args
from urllib.parse import urlencode

from aiohttp import web

from base.errors import Conflict, WrongInput
from base.mongo import Document
from campaigns.broadcasts.book import Status
from campaigns.broadcasts.models import REST
from desk.api.exports import may_export
from desk.api.scope import reading, refuse_scoped, seen_ids
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.broadcast_wizard import GRACE_S, HERE, ONE, head_of, when_words
from desk.pages.broadcast_words import (
    LATE,
    METRICS,
    SEND_STATES,
    STATES,
    arm_rows,
    broadcast_row,
    figures,
    progress,
    reason_rows,
    reason_words,
    recipient_row,
    stopped_words,
    winner_words,
)
from desk.pages.exports import exporting
from desk.pages.reads import faces_of
from desk.pages.results_panel import panel_of
from desk.pages.segments import all_segments
from desk.render import page, reader_of
from inbox.models import SendState
from profiles.sheets.cells import guarded

routes = web.RouteTableDef()
PER_PAGE, FILE_PAGE = 50, 200
WAVES = {
    "first": N_("Everybody in the audience"), "newcomers": N_("Newcomers"), "retry": N_("Another attempt"),
}  # fmt: skip
COLUMNS = ("profile_id", "name", "channel", "address", "state", "reason", "arm", "attempt", "planned_at", "sent_at")

_UNREAD = N_("The audience could not be read. The worker's log says why.")


@dataclass(frozen=True)
class WaveRow:
    """People who were gone through."""

    label: str
    is_open: bool
    seen: int
    total: int
    told: str
    fault: str
    at: datetime


def wave_row(wave: Document, formats: Formats) -> WaveRow:
    """As it is shown."""
    told = ""
    if wave.get("again") is not None:
        told = formats.text(N_("%(num)s tried again"), num=formats.number(wave["again"]))
        if wave.get("left"):
            told += " · " + formats.text(N_("%(num)s have no address any more"), num=formats.number(wave["left"]))
    elif wave["total"]:
        told = formats.text(
            N_("%(seen)s of %(total)s people looked at"), seen=formats.number(wave["seen"]),
            total=formats.number(wave["total"]),
        )  # fmt: skip
    fault = formats.text(_UNREAD) if wave.get("fault") else ""
    return WaveRow(
        formats.text(WAVES.get(wave["kind"], str(wave["kind"]))), wave["state"] == "pending", wave["seen"],
        max(wave["total"], wave["seen"], 1), told, fault, wave["at"],
    )  # fmt: skip


# -- the list ------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("viewer")
async def broadcasts(request: web.Request) -> web.StreamResponse:
    """Newest first."""
    runtime, formats, principal = runtime_of(request), reader_of(request), principal_of(request)
    status = request.query.get("status") if request.query.get("status") in get_args(Status) else None
    channels = principal.reach
    try:
        found = await runtime.broadcasts.page(
            status=status, channels=channels, limit=PER_PAGE, cursor=request.query.get("cursor")
        )
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    faces, names = await faces_of(runtime), await _segment_names(runtime)
    telling = runtime.registry.telling_of_reading()
    query = urlencode({**({"status": status} if status else {}), "cursor": found.next_cursor or ""})
    values = {
        "broadcasts": [
            broadcast_row(each, names, faces, formats, counted=_sees_all(request, each), telling=telling)
            for each in found.data
        ],
        "states": STATES, "status": status, "may_change": principal.may_everywhere("marketer"),
        "next_href": f"{HERE}?{query}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "broadcasts/list.html", values)


async def _segment_names(runtime: Any) -> dict[str, str]:
    return {row["_id"]: row["name"] for row in await all_segments(runtime)}


def _sees_all(request: web.Request, head: Mapping[str, Any]) -> bool:
    return all(principal_of(request).may_see(each) for each in head["channel_ids"])


# -- one that is sent ----------------------------------------------------------------------------------------------


@routes.get(ONE)
@require("viewer")
async def broadcast(request: web.Request) -> web.StreamResponse:
    """Its figures, live; a draft opens in the wizard for who may write it."""
    head = await head_of(request)
    if head["status"] == "draft" and principal_of(request).may_everywhere("marketer"):
        raise web.HTTPSeeOther(f"{HERE}/{head['_id']}/audience")
    return await _page(request, head)


async def _mine(request: web.Request) -> Document:
    head = await head_of(request)
    refuse_scoped(reading(request))
    return head


async def _page(request: web.Request, head: Document, problem: str = "") -> web.StreamResponse:
    runtime, formats = runtime_of(request), reader_of(request)
    found, faces = await runtime.broadcasts.figures(head["_id"]), await faces_of(runtime)
    whole = _sees_all(request, head)
    counts: Mapping[str, Any] = found.counts if whole else {}
    trial, waves = head["body"].get("ab") or {}, [wave_row(each, formats) for each in found.waves]
    begun = whole and head["started_at"] is not None
    outcome = await runtime.results.of("broadcast", head["_id"]) if begun else None
    rest = {REST: formats.text(N_("After the winner was found"))}
    tracked = (await runtime.tracking_choice.now()).settings.counted
    values = {
        "panel": panel_of(outcome, formats, rest, tracked=tracked) if outcome else None,
        "head": head, "row": broadcast_row(head, await _segment_names(runtime), faces, formats, counted=whole),
        "name": head["name"] or formats.text(N_("Without a name")), "problem": problem, "whole": whole,
        "counts": counts, "figures": figures(head["_id"], counts, formats) if whole else [],
        "progress": progress(counts), "waves": waves, "planning": next((each for each in waves if each.is_open), None),
        "reasons": reason_rows(counts.get("reasons") or {}, formats),
        "trial": trial, "metric": formats.text(METRICS.get(trial.get("metric") or "clicked", "")),
        "arms": arm_rows(trial, found.trial, head["winner"], formats, tracked) if whole and trial else [],
        "winner": winner_words(head["winner"], trial, formats) if head["winner"] else "",
        "may_choose": _may_choose(head, trial), "late": LATE, "when": when_words(head, formats),
        "is_local": (head["body"].get("schedule") or {}).get("type") == "local",
        "may_change": principal_of(request).may_everywhere("marketer"), "exporting": exporting(request),
        "undo": _may_take_back(head, formats), "ends": _ends(head, counts, formats),
        "paused": _paused_words(head, formats),
        "channel_faces": [faces.of(each) for each in head["channel_ids"]],
    }  # fmt: skip
    return await page(request, "broadcasts/broadcast.html", values, status=409 if problem else 200)


def _may_choose(head: Document, trial: Mapping[str, Any]) -> bool:
    sampled = int(trial.get("sample_percent") or 100) < 100
    return bool(trial) and sampled and head["winner"] is None and head["status"] in ("running", "paused")


def _may_take_back(head: Document, formats: Formats) -> bool:
    """It was just sent and nobody has it yet."""
    until = head.get("not_before")
    return head["status"] == "scheduled" and until is not None and until > formats.now


def _ends(head: Document, counts: Mapping[str, Any], formats: Formats) -> str:
    """About when it is through, by the pace so far."""
    left = counts.get("waiting", 0) + counts.get("handed", 0)
    done = counts.get("people", 0) - left
    began = max(filter(None, (head["started_at"], head["start_at"])), default=None)
    if head["status"] != "running" or began is None or not left or done < 1 or formats.now <= began:
        return ""
    seconds = (formats.now - began).total_seconds() * left / done
    return formats.text(N_("about %(span)s left"), span=formats.span(max(60.0, seconds), parts=2))


def _paused_words(head: Document, formats: Formats) -> str:
    if head["status"] != "paused":
        return ""
    if head["paused_by"] == "breaker":
        lost = stopped_words(head.get("paused_figures"), formats)
        return lost + " " + formats.text(N_("Nobody is lost: look at the reasons, then resume it."))
    return formats.text(N_("Paused. Nobody is written to until it is resumed."))


# -- what is done with it ------------------------------------------------------------------------------------------


@routes.post(ONE + "/send")
@require("marketer")
async def send(request: web.Request) -> web.StreamResponse:
    """Send it; for ten seconds it can be taken back."""
    head, form, runtime = await _mine(request), await read_form(request), runtime_of(request)
    rev = str(form.get("rev") or "")
    by, here = principal_of(request).id, f"{HERE}/{head['_id']}"
    if head["status"] != "draft":
        raise web.HTTPSeeOther(here)
    if rev != str(head["rev"]):
        raise web.HTTPSeeOther(f"{here}/review?changed=1")
    later = (head["body"].get("schedule") or {}).get("type", "now") != "now"
    try:
        await runtime.broadcasts.set_status(
            head["_id"], "scheduled" if later else "running", by, grace=timedelta(seconds=GRACE_S),
            rev=head["rev"],
        )  # fmt: skip
    except WrongInput:
        raise web.HTTPSeeOther(f"{here}/review") from None
    except Conflict as error:
        raise web.HTTPSeeOther(f"{here}/review?changed=1" if error.code == "changed_meanwhile" else here) from None
    raise web.HTTPSeeOther(here)


@routes.post(ONE + "/status")
@require("marketer")
async def change_status(request: web.Request) -> web.StreamResponse:
    """Pause, resume, cancel, back to the draft."""
    head, form = await _mine(request), await read_form(request)
    wish: Any = str(form.get("status") or "")
    overdue: Any = str(form.get("overdue") or "send_now")
    by, here = principal_of(request).id, f"{HERE}/{head['_id']}"
    try:
        await runtime_of(request).broadcasts.set_status(head["_id"], wish, by, overdue=overdue)
    except (Conflict, WrongInput) as error:
        return await _page(request, await head_of(request), reader_of(request).text(str(error)))
    raise web.HTTPSeeOther(f"{here}/review" if wish == "draft" else here)


@routes.post(ONE + "/retry")
@require("marketer")
async def retry(request: web.Request) -> web.StreamResponse:
    """Another attempt for whom the last one failed to reach."""
    head, form = await _mine(request), await read_form(request)
    again = runtime_of(request).broadcasts.retry
    return await _done(request, head, again(head["_id"], principal_of(request).id, unknown=bool(form.get("unknown"))))


@routes.post(ONE + "/newcomers")
@require("marketer")
async def newcomers(request: web.Request) -> web.StreamResponse:
    """Send it to those who came into the audience since."""
    head = await _mine(request)
    return await _done(request, head, runtime_of(request).broadcasts.newcomers(head["_id"], principal_of(request).id))


@routes.post(ONE + "/winner")
@require("marketer")
async def choose(request: web.Request) -> web.StreamResponse:
    """Say which wording the rest gets."""
    head, form = await _mine(request), await read_form(request)
    chosen = runtime_of(request).broadcasts.choose
    return await _done(request, head, chosen(head["_id"], str(form.get("arm") or ""), principal_of(request).id))


async def _done(request: web.Request, head: Document, deed: Any) -> web.StreamResponse:
    try:
        await deed
    except (Conflict, WrongInput) as error:
        return await _page(request, await head_of(request), reader_of(request).text(str(error)))
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}")


@routes.post(ONE + "/copy")
@require("marketer")
async def copy(request: web.Request) -> web.StreamResponse:
    """A new draft that says the same."""
    head, formats = await _mine(request), reader_of(request)
    name = formats.text(N_("%(name)s (copy)"), name=head["name"] or formats.text(N_("Without a name")))[:120]
    made = await runtime_of(request).broadcasts.create({**head["body"], "name": name}, principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}/{made['_id']}/audience")


# -- everybody it was about ----------------------------------------------------------------------------------------


def _filter(request: web.Request) -> dict[str, str]:
    given = request.query
    state = given.get("state", "")
    found = {"state": state} if state in get_args(SendState) else {}
    for name in ("reason", "arm"):
        value = given.get(name, "")
        if value and value.isascii() and value.replace("_", "").replace("-", "").isalnum() and len(value) <= 40:
            found[name] = value
    return found


@routes.get(ONE + "/recipients")
@require("viewer")
async def recipients(request: web.Request) -> web.StreamResponse:
    """The ledger's rows: who got it, who not and why."""
    head, runtime, formats = await head_of(request), runtime_of(request), reader_of(request)
    wanted, scope = _filter(request), principal_of(request).reach
    here = f"{HERE}/{head['_id']}/recipients"
    try:
        found = await runtime.broadcasts.recipients(
            head["_id"], **wanted, channels=scope, limit=PER_PAGE,
            cursor=request.query.get("cursor"),
        )  # fmt: skip
    except WrongInput:
        raise web.HTTPSeeOther(here) from None
    seen = await seen_ids(reading(request), {each.profile_id for each in found.data})
    profiles, faces = await runtime.profiles.many(seen), await faces_of(runtime)
    names = {key: each.display_name for key, each in profiles.items()}
    counts = (await runtime.broadcasts.figures(head["_id"])).counts if _sees_all(request, head) else {}
    values = {
        "head": head, "name": head["name"] or formats.text(N_("Without a name")), "narrowed": bool(wanted),
        "wanted": {"state": "", "reason": "", "arm": "", **wanted},
        "rows": [recipient_row(each, names, faces, formats) for each in found.data if each.profile_id in seen],
        "states": {key: label for key, (label, _) in SEND_STATES.items() if key != "claimed"},
        "reasons": reason_rows(counts.get("reasons") or {}, formats),
        "reason": reason_words(wanted["reason"], formats) if "reason" in wanted else "",
        "arms": [each.get("name") for each in (head["body"].get("ab") or {}).get("arms") or ()],
        "exporting": exporting(request) and _sees_all(request, head), "query": urlencode(wanted),
        "next_href": f"{here}?{urlencode({**wanted, 'cursor': found.next_cursor})}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "broadcasts/recipients.html", values)


@routes.get(ONE + "/recipients.csv")
@require("agent", "marketer")
async def recipients_file(request: web.Request) -> web.StreamResponse:
    """All of them, as the list was narrowed; written while it is read. Texts are guarded against formulas."""
    may_export(reading(request))
    head, runtime, wanted = await head_of(request), runtime_of(request), _filter(request)
    faces = await faces_of(runtime)
    answer = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{head["_id"]}.csv"'})
    answer.content_type, answer.charset = "text/csv", "utf-8"
    await answer.prepare(request)
    await answer.write(("\ufeff" + _lines([COLUMNS])).encode())
    cursor = None
    while True:
        found = await runtime.broadcasts.recipients(head["_id"], **wanted, limit=FILE_PAGE, cursor=cursor)
        people = await runtime.profiles.many({each.profile_id for each in found.data})
        rows = [_cells(each, people.get(each.profile_id), faces) for each in found.data]
        await answer.write(_lines(rows).encode())
        if (cursor := found.next_cursor) is None:
            break
    await answer.write_eof()
    return answer


def _cells(send: Any, person: Any, faces: Any) -> tuple[str, ...]:
    to = send.to or {}
    texts = (
        send.profile_id, person.display_name if person else "", faces.of(send.channel_id).name,
        str(to.get("external_id") or ""), send.state, send.reason.code if send.reason else "",
        send.source.node_id or "", str(send.source.visit or 1), send.planned_at.isoformat(),
        send.accepted_at.isoformat() if send.accepted_at else "",
    )  # fmt: skip
    return tuple(guarded(each) for each in texts)


def _lines(rows: Any) -> str:
    held = io.StringIO()
    csv.writer(held).writerows(rows)
    return held.getvalue()
