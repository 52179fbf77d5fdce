"""Reports: one at a time, as a chart and a table; each number leads to its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from aiohttp import web
from pydantic import ValidationError

from base.errors import NotFound, TooSlow, WrongInput
from base.ids import is_id
from base.mongo import Document
from base.wallclock import at_clock, known_zone
from desk.api.reports import csv_answer, names_in, narrowed_for, require_rules
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages.inbox_rows import name_of
from desk.pages.reads import people
from desk.pages.report_chart import (
    BYS,
    COLUMNS,
    KINDS,
    NAMES,
    NOBODY,
    NOTHING,
    cells_of,
    chart_of,
    lines_of,
    row_name,
    week_of,
)
from desk.render import formats_of, page
from inbox.figures.periods import period
from inbox.figures.tables import REPORTS, By, Definition, Table
from inbox.folding import FigureRules
from inbox.models import conversation_of
from inbox.reports import Asked, as_csv

routes = web.RouteTableDef()
HERE = "/reports"
#: Periods that are one click away, days.
QUICK = (7, 30, 90, 365)
ROWS = 50
DAYS_WORDS = NN_("%(num)s day", "%(num)s days")
PEOPLE = NN_("of %(num)s person", "of %(num)s people")
NO_TIME = N_("Choose a time whose end lies after its beginning: at most %(days)s days, by hours %(hours)s.")
NO_ZONE = N_("There is no such time zone. One is Europe/Amsterdam, another Asia/Shanghai.")
SLOW = N_("There is too much in this time; choose a shorter one, or one channel.")
GONE = N_("These hours are gone; choose others.")


@dataclass(frozen=True)
class Wanted:
    """What the address asks for, read as well as may be. `first`, `last`: days, both inclusive."""

    name: str
    first: date
    last: date
    zone: ZoneInfo
    by: By
    business: bool
    filters: Mapping[str, str]
    fault: str = ""

    def query(self, **other: str) -> str:
        """The same as an address, with something else in it."""
        told = {
            "from": self.first.isoformat(), "to": self.last.isoformat(), "zone": str(self.zone), "by": self.by,
            "business": "1" if self.business else "", **self.filters, **other,
        }  # fmt: skip
        return urlencode({name: value for name, value in told.items() if value or name == "of"})


@dataclass(frozen=True)
class FactRow:
    """One thing behind a number."""

    at: datetime
    what: str
    n: str
    name: str
    href: str
    channel: str
    agent: str
    took: str
    score: str


@routes.get(HERE)
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """The report of volume."""
    return await _shown(request, "volume")


@routes.get(HERE + "/{report:[a-z-]+}")
@require("viewer")
async def show_one(request: web.Request) -> web.StreamResponse:
    """Any report."""
    return await _shown(request, _named(request))


@routes.get(HERE + "/{report:[a-z-]+}/csv")
@require("viewer")
async def download(request: web.Request) -> web.StreamResponse:
    """The same as a file."""
    wanted = _wanted(request, _named(request))
    found, names = await _read(request, wanted)
    return csv_answer(as_csv(found, names), f"{wanted.name}-{wanted.first}-{wanted.last}")


@routes.get(HERE + "/{report:[a-z-]+}/rows")
@require("viewer")
async def rows(request: web.Request) -> web.StreamResponse:
    """What is behind one number."""
    wanted, runtime = _wanted(request, _named(request)), runtime_of(request)
    formats = formats_of(request, principal_of(request))
    column = REPORTS[wanted.name].column(request.query.get("column", ""))
    of = request.query.get("of")
    if column is None:
        raise NotFound("There is no such number.")
    fault, found, more = wanted.fault, [], ""
    try:
        got = await runtime.reports.rows(
            _asked(request, wanted), column.key, of, limit=ROWS, cursor=request.query.get("cursor") or None
        )  # fmt: skip
        found, place = got.data, {"column": column.key, **({"of": of} if of is not None else {})}
        more = f"?{wanted.query(**place, cursor=got.next_cursor)}" if got.next_cursor else ""
    except WrongInput:
        fault = fault or NO_TIME
    except TooSlow:
        fault = SLOW
    names = await names_in(runtime, wanted.by, {of} if of else ())
    values = {
        "report": NAMES[wanted.name][0], "column": COLUMNS[column.key], "fault": _told(fault, formats),
        "narrowed": [] if fault else [
            *([row_name(wanted.by, of, names, formats, wanted.zone)] if of is not None else []),
            *_narrowing(wanted, await _choices(request), formats, wanted.by if of is not None else ""),
        ],
        "rows": await _fact_rows(runtime, found, formats), "total": sum(row["n"] for row in found), "more": more,
        "counts": column.unit == "count", "back": f"{HERE}/{wanted.name}?{wanted.query()}",
        "paged": "cursor" in request.query,
    }  # fmt: skip
    return await page(request, "reports/rows.html", values, status=422 if fault else 200)


@routes.post(HERE + "/hours")
@require("admin")
async def choose_hours(request: web.Request) -> web.StreamResponse:
    """Say which business hours count."""
    refuse_scoped(reading(request))
    runtime, form = runtime_of(request), await read_form(request)
    channel_hours = {
        name.removeprefix("hours_"): str(value)
        for name, value in form.items()
        if name.startswith("hours_chn_") and value
    }
    before: FigureRules = await runtime.figures.rules()
    try:
        rules = FigureRules(hours_id=str(form.get("hours_id", "")) or None, channel_hours=channel_hours)
        await require_rules(runtime, rules)
    except (ValidationError, WrongInput):
        return await _shown(request, "first-response", fault=GONE)
    await runtime.figures.choose(rules, principal_of(request).id)
    undo = [("hours_id", before.hours_id or "")]
    undo += [(f"hours_{key}", each) for key, each in before.channel_hours.items()]
    told = [("saved", "1"), *(undo if rules != before else [])]
    raise web.HTTPSeeOther(f"{HERE}/first-response?{urlencode(told)}")


async def _shown(request: web.Request, name: str, fault: str = "") -> web.StreamResponse:
    principal, runtime = principal_of(request), runtime_of(request)
    formats, wanted = formats_of(request, principal), _wanted(request, name)
    fault = fault or wanted.fault
    found: Table | None = None
    names: Mapping[str, str] = {}
    try:
        found, names = await _read(request, wanted)
    except WrongInput:
        fault = fault or NO_TIME
    except TooSlow:
        fault = SLOW
    values: dict[str, Any] = {
        "name": name, "wanted": wanted, "fault": _told(fault, formats), "definition": REPORTS[name],
        "reports": [(key, label) for key, (label, _) in NAMES.items()], "about": NAMES[name][1],
        "columns": [COLUMNS[each.key] for each in REPORTS[name].columns], "bys": BYS, "quick": _quick(wanted, formats),
        "zones": sorted(available_timezones()), **await _choices(request),
        "may_change": principal.may_everywhere("admin"), "saved": "saved" in request.query,
        "undo": [pair for pair in request.query.items() if pair[0].startswith("hours_")],
        "here": f"{HERE}/{name}", "rules": await runtime.figures.rules(),
        "hours": await runtime.business_hours.all(), "behind": not (await runtime.figures.is_up_to_date()),
    }  # fmt: skip
    if found is not None:
        lines = lines_of(found, names, formats, wanted.zone)
        values |= {
            "lines": lines, "total": cells_of(found, found.total, formats), "chart": chart_of(found, lines, formats),
            "week": week_of(found, lines, formats), "empty": not _says(found),
            "people": await _people(request, wanted, formats) if name == "resolution" else "",
        }  # fmt: skip
    return await page(request, "reports/report.html", values, status=422 if fault else 200)


async def _people(request: web.Request, wanted: Wanted, formats: Formats) -> str:
    count = await runtime_of(request).reports.people(_asked(request, wanted))
    return formats.plural(*PEOPLE, count) if count else ""


def _says(found: Table) -> bool:
    return any(found.total.values)


async def _read(request: web.Request, wanted: Wanted) -> tuple[Table, Mapping[str, str]]:
    found: Table = await runtime_of(request).reports.table(_asked(request, wanted))
    return found, await names_in(runtime_of(request), found.by, {row.key for row in found.rows})


async def _choices(request: web.Request) -> dict[str, Any]:
    """By what a report can be narrowed, as far as its reader sees it."""
    runtime, principal = runtime_of(request), principal_of(request)
    channels = {each.id: each.name for each in await runtime.channels.list() if principal.may_see(each.id)}
    agents = {each.id: each.name for each in await people(runtime)}
    teams = {each.id: each.written.name for each in await runtime.teams.all()}
    return {"channels": channels, "agents": agents, "teams": teams}


def _narrowing(wanted: Wanted, choices: Mapping[str, Any], formats: Formats, told: str) -> list[str]:
    """By what it is narrowed, in words; without what is `told` already."""
    found = []
    for name, value in wanted.filters.items():
        if name == told:
            continue
        if value == "none" and name in ("agent", "team"):
            found.append(formats.text(NOBODY["agent" if name == "agent" else "team"]))
        else:
            found.append(choices.get(f"{name}s", {}).get(value, NOTHING if name != "label" else value))
    return found


def _asked(request: web.Request, wanted: Wanted) -> Asked:
    since = at_clock(wanted.first, time(), wanted.zone)
    until = at_clock(wanted.last + timedelta(days=1), time(), wanted.zone)
    span = period(since, until, hours=wanted.by == "hour")
    filters = wanted.filters
    narrowed = narrowed_for(
        reading(request), channel=filters.get("channel"), agent=filters.get("agent"), team=filters.get("team"),
        label=filters.get("label"),
    )  # fmt: skip
    return Asked(wanted.name, span, wanted.zone, wanted.by, wanted.business, narrowed)


def _named(request: web.Request) -> str:
    name: str = request.match_info["report"]
    if name not in REPORTS:
        raise NotFound("There is no such report.")
    return name


def _wanted(request: web.Request, name: str) -> Wanted:
    """What the address says. What cannot be read is as if it was not said, and a fault names it."""
    query, formats = request.query, formats_of(request, principal_of(request))
    definition, fault = REPORTS[name], ""
    zone = known_zone(query.get("zone", "")) or formats.zone
    if query.get("zone") and known_zone(query["zone"]) is None:
        fault = NO_ZONE
    today = formats.now.astimezone(zone).date()
    last, first = _day(query.get("to", "")) or today, _day(query.get("from", ""))
    filters = {
        "channel": query.get("channel", "") if is_id(query.get("channel", ""), "chn") else "",
        "agent": _one_of(query.get("agent", ""), "usr"), "team": _one_of(query.get("team", ""), "tea"),
        "label": query.get("label", "").strip()[:60],
    }  # fmt: skip
    return Wanted(
        name, first or last - timedelta(days=29), last, zone, _by(query.get("by", ""), definition),
        bool(query.get("business")) and definition.timed,
        {key: value for key, value in filters.items() if value}, fault,
    )  # fmt: skip


def _by(text: str, definition: Definition) -> By:
    return next((each for each in definition.by if each == text), definition.by[0])


def _one_of(text: str, prefix: Literal["usr", "tea"]) -> str:
    return text if text == "none" or is_id(text, prefix) else ""


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 < day.year < 2200 else None


def _quick(wanted: Wanted, formats: Formats) -> list[tuple[str, str, bool]]:
    """Periods that end today: (name, address, whether it is this one)."""
    today = formats.now.astimezone(wanted.zone).date()
    found = []
    for days in QUICK:
        first = today - timedelta(days=days - 1)
        current = (wanted.first, wanted.last) == (first, today)
        query = wanted.query(**{"from": first.isoformat(), "to": today.isoformat()})
        found.append((formats.plural(*DAYS_WORDS, days), f"?{query}", current))
    return found


def _told(fault: str, formats: Formats) -> str:
    return formats.text(fault, {"days": 400, "hours": 35}) if fault else ""


async def _fact_rows(runtime: Any, found: list[Document], formats: Formats) -> list[FactRow]:
    talks = await runtime.conversations.rows({row["conversation_id"] for row in found if row["conversation_id"]})
    channels = await names_in(runtime, "channel", {row["channel_id"] for row in found})
    agents = await names_in(runtime, "agent", {row["agent_id"] for row in found if row.get("agent_id")})
    return [_fact_row(row, talks, channels, agents, formats) for row in found]


def _fact_row(
    row: Document, talks: Mapping[str, Document], channels: Mapping[str, str], agents: Mapping[str, str],
    formats: Formats,
) -> FactRow:  # fmt: skip
    talk = talks.get(row["conversation_id"] or "")
    name = name_of(conversation_of(talk)) if talk else formats.text(N_("Erased"))
    href = f"/inbox/{talk['_id']}?view=all&status={talk['status']}" if talk else ""
    took = formats.span(row["ms"] / 1000, parts=2) if row.get("ms") is not None else ""
    score = formats.number(row["score"]) if row.get("score") is not None else ""
    return FactRow(
        row["at"], formats.text(KINDS[row["kind"]]), formats.number(row["n"]), name, href,
        channels.get(row["channel_id"], NOTHING), agents.get(row.get("agent_id") or "", ""), took, score,
    )  # fmt: skip
