"""Settings → Ratings: what people said of us, and when they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import ValidationError

from base.ids import is_id
from base.mongo import Document
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.reads import faces_of
from desk.render import formats_of, page
from inbox.figures.tables import DETRACTORS, PROMOTERS
from inbox.ratings import (
    APART_MAX_DAYS,
    DELAY_MAX_MIN,
    NPS_SCORES,
    QUESTION_MAX,
    SCORES,
    ChannelQuestion,
    NpsRules,
    RatingRules,
)
from inbox.store import RatingFilter

routes = web.RouteTableDef()
HERE = "/settings/ratings"
ROWS, LATELY = 30, timedelta(days=30)
FAULT = N_("Choose whether and when people are asked: after 0 to %(minutes)s minutes, 0 to %(days)s days apart.")


NPS_FAULT = N_("Choose whether and when people are asked: after 0 to %(minutes)s minutes, 1 to %(days)s days apart.")


@dataclass(frozen=True)
class Shown:
    """One rating in the list."""

    score: int
    comment: str
    at: datetime
    href: str
    channel: str
    agent: str


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The latest ratings and what they come to, beside the rules."""
    return await _page(request, await runtime_of(request).ratings.rules(), "")


@routes.post(HERE)
@require("admin")
async def save(request: web.Request) -> web.StreamResponse:
    """Keep the rules."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    before: RatingRules = await runtime.ratings.rules()
    given = {
        "on": bool(form.get("on")), "delay_min": str(form.get("delay_min", "")).strip(),
        "apart_days": str(form.get("apart_days", "")).strip(), "question": str(form.get("question", "")).strip(),
        "channel_ids": [str(each) for each in form.getall("channel_ids", []) if is_id(str(each), "chn")],
    }  # fmt: skip
    try:
        rules = RatingRules.model_validate(given)
    except ValidationError:
        return await _page(request, before, FAULT)
    await runtime.ratings.choose(rules, principal_of(request).id)
    undo = _fields(before) if rules != before else []
    raise web.HTTPSeeOther(f"{HERE}?{urlencode([('saved', '1'), *undo])}")


@routes.post(HERE + "/nps")
@require("admin")
async def save_nps(request: web.Request) -> web.StreamResponse:
    """Keep the rules of recommendations."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    before: NpsRules = await runtime.ratings.nps_rules()
    texts = {str(name): str(value).strip() for name, value in form.items()}
    try:
        rules = NpsRules.model_validate({
            "on": bool(texts.get("on")), "delay_min": texts.get("delay_min", ""),
            "apart_days": texts.get("apart_days", ""), "question": texts.get("question", ""),
            "by_channel": _by_channel(texts),
        })  # fmt: skip
    except ValidationError:
        return await _page(request, await runtime.ratings.rules(), "", nps_fault=NPS_FAULT)
    await runtime.ratings.choose_nps(rules, principal_of(request).id)
    undo = _nps_fields(before) if rules != before else []
    raise web.HTTPSeeOther(f"{HERE}?{urlencode([('saved', 'nps'), ('kind', 'nps'), *undo])}")


def _by_channel(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What each channel has otherwise, of a form: `on_chn_…` `yes`, `no` or nothing, `delay_chn_…`, `apart_chn_…`."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in texts.items():
        what, _, channel_id = name.partition("_")
        field = {"on": "on", "delay": "delay_min", "apart": "apart_days"}.get(what)
        if field and is_id(channel_id, "chn") and value:
            found.setdefault(channel_id, {})[field] = value != "no" if field == "on" else value
    return found


def _nps_fields(rules: NpsRules) -> list[tuple[str, str]]:
    """The form of these rules."""
    fields = [("delay_min", str(rules.delay_min)), ("apart_days", str(rules.apart_days)), ("question", rules.question)]
    for channel_id, own in rules.by_channel.items():
        fields += _channel_fields(channel_id, own)
    return [*([("on", "1")] if rules.on else []), *fields]


def _channel_fields(channel_id: str, own: ChannelQuestion) -> list[tuple[str, str]]:
    given = (("delay", own.delay_min), ("apart", own.apart_days))
    told = [(f"{name}_{channel_id}", str(value)) for name, value in given if value is not None]
    return [(f"on_{channel_id}", "yes" if own.on else "no"), *told]


def _fields(rules: RatingRules) -> list[tuple[str, str]]:
    """The form of rules as they stand."""
    fields = [("delay_min", str(rules.delay_min)), ("apart_days", str(rules.apart_days)), ("question", rules.question)]
    return [*([("on", "1")] if rules.on else []), *fields, *(("channel_ids", each) for each in rules.channel_ids)]


async def _page(
    request: web.Request, rules: RatingRules, fault: str, *, nps_fault: str = ""
) -> web.StreamResponse:  # fmt: skip
    principal, runtime = principal_of(request), runtime_of(request)
    formats, scope = formats_of(request, principal), principal.reach
    score = request.query.get("score", "")
    kind = "nps" if request.query.get("kind") == "nps" else "csat"
    scores = NPS_SCORES if kind == "nps" else SCORES
    score_asked = int(score) if score in {str(each) for each in scores} else None
    all_seen = RatingFilter(kind, channels=scope)
    wanted = RatingFilter(kind, score_asked, channels=all_seen.channels)
    found = await runtime.rating_rows.page(wanted, limit=ROWS, cursor=request.query.get("cursor") or None)
    counts = await runtime.rating_rows.counts(all_seen, formats.now - LATELY, scores=scores)
    faces = await faces_of(runtime)
    agents = await runtime.users.names(sorted({row["agent_id"] for row in found.data if row.get("agent_id")}))
    channels = {each.id: each.name for each in faces.channels.values() if principal.may_see(each.id)}
    total = sum(counts.values())
    values: dict[str, Any] = {
        "rules": rules, "rows": [_shown(row, agents, channels) for row in found.data], "counts": counts, "total": total,
        "average": formats.number(_figure(counts, kind)) if total else "", "kind": kind,
        "nps": await runtime.ratings.nps_rules(),
        "score": score_asked, "channels": channels, "saved": "saved" in request.query,
        "saved_nps": request.query.get("saved") == "nps",
        "before": [pair for pair in request.query.items() if pair[0] in RatingRules.model_fields or "_chn_" in pair[0]],
        "more": f"{HERE}?kind={kind}&cursor={found.next_cursor}&score={score}" if found.next_cursor else "",
        "nps_fault": formats.text(nps_fault, {"minutes": DELAY_MAX_MIN, "days": APART_MAX_DAYS}) if nps_fault else "",
        "may_change": principal.may_everywhere("admin"), "question_max": QUESTION_MAX,
        "fault": formats.text(fault, {"minutes": DELAY_MAX_MIN, "days": APART_MAX_DAYS}) if fault else "",
        "delay_max": DELAY_MAX_MIN, "apart_max": APART_MAX_DAYS,
    }  # fmt: skip
    return await page(request, "settings/ratings.html", values, status=422 if fault or nps_fault else 200)


def _figure(counts: Mapping[int, int], kind: str) -> float:
    """The average mark, or promoters less detractors of a hundred."""
    total = sum(counts.values())
    if kind == "nps":
        plus, minus = (sum(counts[each] for each in some) for some in (PROMOTERS, DETRACTORS))
        return round(100 * (plus - minus) / total, 1)
    return round(sum(mark * n for mark, n in counts.items()) / total, 1)


def _shown(row: Document, agents: Mapping[str, str], channels: Mapping[str, str]) -> Shown:
    return Shown(
        row["score"], row.get("comment") or "", row["answered_at"], f"/inbox/{row['conversation_id']}",
        channels.get(row["channel_id"], ""), agents.get(row.get("agent_id") or "", ""),
    )  # fmt: skip
