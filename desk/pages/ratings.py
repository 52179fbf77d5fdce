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
from inbox.ratings import APART_MAX_DAYS, DELAY_MAX_MIN, QUESTION_MAX, SCORES, RatingRules
from inbox.store import RatingFilter

routes = web.RouteTableDef()
HERE = "/settings/ratings"
ROWS, LATELY = 30, timedelta(days=30)
FAULT = N_("Choose whether and when people are asked: after 0 to %(minutes)s minutes, 0 to %(days)s days apart.")


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


def _fields(rules: RatingRules) -> list[tuple[str, str]]:
    """The form of rules as they stand."""
    fields = [("delay_min", str(rules.delay_min)), ("apart_days", str(rules.apart_days)), ("question", rules.question)]
    return [*([("on", "1")] if rules.on else []), *fields, *(("channel_ids", each) for each in rules.channel_ids)]


async def _page(request: web.Request, rules: RatingRules, fault: str) -> web.StreamResponse:
    principal, runtime = principal_of(request), runtime_of(request)
    formats, scope = formats_of(request, principal), principal.channels
    score = request.query.get("score", "")
    score_asked = int(score) if score in {str(each) for each in SCORES} else None
    all_seen = RatingFilter(channels=None if scope is None else sorted(scope))
    wanted = RatingFilter(score=score_asked, channels=all_seen.channels)
    found = await runtime.rating_rows.page(wanted, limit=ROWS, cursor=request.query.get("cursor") or None)
    counts = await runtime.rating_rows.counts(all_seen, formats.now - LATELY)
    faces = await faces_of(runtime)
    agents = await runtime.users.names(sorted({row["agent_id"] for row in found.data if row.get("agent_id")}))
    channels = {each.id: each.name for each in faces.channels.values() if principal.may_see(each.id)}
    total = sum(counts.values())
    values: dict[str, Any] = {
        "rules": rules, "rows": [_shown(row, agents, channels) for row in found.data], "counts": counts, "total": total,
        "average": formats.number(round(sum(mark * n for mark, n in counts.items()) / total, 1)) if total else "",
        "score": score_asked, "channels": channels, "saved": "saved" in request.query,
        "before": [pair for pair in request.query.items() if pair[0] in RatingRules.model_fields],
        "more": f"{HERE}?cursor={found.next_cursor}&score={score_asked or ''}" if found.next_cursor else "",
        "may_change": principal.may_everywhere("admin"), "question_max": QUESTION_MAX,
        "fault": formats.text(fault, {"minutes": DELAY_MAX_MIN, "days": APART_MAX_DAYS}) if fault else "",
        "delay_max": DELAY_MAX_MIN, "apart_max": APART_MAX_DAYS,
    }  # fmt: skip
    return await page(request, "settings/ratings.html", values, status=422 if fault else 200)


def _shown(row: Document, agents: Mapping[str, str], channels: Mapping[str, str]) -> Shown:
    return Shown(
        row["score"], row.get("comment") or "", row["answered_at"], f"/inbox/{row['conversation_id']}",
        channels.get(row["channel_id"], ""), agents.get(row.get("agent_id") or "", ""),
    )  # fmt: skip
