"""Reports over the inbox, the rows behind their numbers, and which hours count in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import Field

from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import Document
from base.wallclock import at_clock, known_zone
from desk.api.contract import Call, Operations
from desk.api.scope import Asking, refuse_scoped
from desk.api.shapes import FIRST_YEAR, LAST_YEAR, ChannelId, PageQuery, Query, Time, UserId, View, listed
from inbox.figures.periods import Span, period
from inbox.figures.tables import By, Table, Unit
from inbox.folding import FigureRules
from inbox.reports import Asked, as_csv, rows_as_csv
from inbox.store.figures import Narrowed

operations = Operations("reports")
#: Days of a report without `from`.
DAYS = 30
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_AT = "is a day such as 2026-11-22, or a time such as 2026-11-22T09:30:00Z"


class _Time(Query):
    from_: str | None = Field(None, alias="from", max_length=40, description="Inclusive: a day of `zone`, or a time.")
    to: str | None = Field(None, max_length=40, description="Exclusive. Ends lie on a quarter of an hour.")
    zone: str = Field("UTC", max_length=60, description="Days and hours are those of this time zone.")
    by: Literal["day", "hour", "week_hour", "channel", "team", "agent", "label"] | None = None
    business: bool = Field(False, description="Times by business hours instead of by the clock on the wall.")
    channel: ChannelId | None = None
    agent: UserId | Literal["none"] | None = None
    team: str | None = Field(None, pattern=r"^(tea_[0-9a-z]{26}|none)$")
    label: str | None = Field(None, min_length=1, max_length=60)


class InboxReportQuery(_Time):
    """What is asked of a report. `channel`, `agent`, `team` and `label` narrow it, any of them together."""


class ReportRowsQuery(_Time, PageQuery):
    """Which number: the one in `column`, of the row with the key `of`, or of all."""

    column: str = Field(max_length=40)
    of: str | None = Field(None, max_length=80)


class ColumnView(View):
    """A figure. `seconds`; `share`: 0 to 1; `mark`: 1 to 5; `score`: -100 to 100."""

    key: str
    unit: Unit
    open: bool


class InboxReportRow(View):
    """One row. `key`: an id, a label, a day or an hour; empty: nobody's. Nulls: nothing to reckon with."""

    key: str
    name: str | None
    values: dict[str, float | None]


class InboxReportView(View):
    """A report. `total`: of everything at once, and not the sum where one thing has several labels."""

    name: str
    by: str
    from_: Time = Field(alias="from")
    to: Time
    zone: str
    business: bool
    columns: list[ColumnView]
    rows: list[InboxReportRow]
    total: dict[str, float | None]


class FactView(View):
    """Something that happened. `n`: how often (messages of a quarter of an hour are one row); `conversation_id` null:
    of somebody who was erased."""

    id: str
    kind: str
    at: Time
    n: int
    conversation_id: str | None
    profile_id: str | None
    channel_id: str
    agent_id: str | None
    team_id: str | None
    labels: list[str]
    seconds: float | None
    business_seconds: float | None
    score: int | None
    target: str | None


class FigureRulesBody(FigureRules):
    """Which business hours count: those of the channel, else of the team, else `hours_id`; null: every hour."""


def fact_view(row: Document) -> FactView:
    """As people and programs see it."""
    seconds = {name: row[source] / 1000 if row.get(source) is not None else None
               for name, source in (("seconds", "ms"), ("business_seconds", "business_ms"))}  # fmt: skip
    absent = dict.fromkeys(("conversation_id", "profile_id", "agent_id", "team_id", "score", "target"))
    labels = [each for each in row["labels"] if each]
    return FactView.model_validate({**absent, **row, **seconds, "labels": labels, "id": row["_id"]})


def moment_in(text: str, zone: ZoneInfo, path: str) -> datetime:
    """A day of a zone (its beginning) or a time. Raises `WrongInput`."""
    try:
        if _DAY.fullmatch(text):
            at = at_clock(datetime.fromisoformat(text).date(), time(), zone)
        else:
            at = datetime.fromisoformat(text.replace(" ", "+"))
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None or not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise WrongInput("This is no time.", [FieldError(path, _AT)])
    return at


def zone_named(name: str) -> ZoneInfo:
    """Raises `WrongInput`."""
    zone = known_zone(name)
    if zone is None:
        raise WrongInput("There is no such time zone.", [FieldError("zone", "is a name such as Europe/Berlin")])
    return zone


def span_of(since: str | None, until: str | None, zone: ZoneInfo, by: str | None, now: datetime) -> Span:
    """The time asked for; the last days up to now where nothing is said. Raises `WrongInput`."""
    end = moment_in(until, zone, "to") if until else now
    return period(
        moment_in(since, zone, "from") if since else end - timedelta(days=DAYS), end, hours=by == "hour"
    )  # fmt: skip


def narrowed_for(
    asking: Asking, *, channel: str | None, agent: str | None = None, team: str | None = None, label: str | None = None
) -> Narrowed:  # fmt: skip
    """What is asked for within what one may see."""
    channels = asking.principal.reach
    if channel:
        channels = [channel] if channels is None or channel in channels else []
    return Narrowed(channels, _or_nobody(agent), _or_nobody(team), label or None)


def _or_nobody(value: str | None) -> str | None:
    return "" if value == "none" else value or None


async def names_in(runtime: Any, by: By, keys: Collection[str]) -> dict[str, str]:
    """What rows are called, by their keys; what is gone has no name."""
    if by == "channel":
        return {each.id: each.name for each in await runtime.channels.list() if each.id in keys}
    if by == "agent":
        found: Mapping[str, str] = await runtime.users.names(sorted(each for each in keys if is_id(each, "usr")))
        return dict(found)
    if by == "team":
        return dict(await runtime.teams.names([each for each in keys if each]))
    return {}


def wants_csv(request: web.Request) -> bool:
    """Whether a table is asked for."""
    return "text/csv" in request.headers.get("Accept", "")


def csv_answer(text: str, name: str) -> web.Response:
    """A table as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "private, no-store"}
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=headers)


def _asked(call: Call) -> Asked:
    wanted: _Time = call.query
    zone = zone_named(wanted.zone)
    span = span_of(wanted.from_, wanted.to, zone, wanted.by, call.runtime.clock())
    narrowed = narrowed_for(
        call, channel=wanted.channel, agent=wanted.agent, team=wanted.team, label=wanted.label
    )  # fmt: skip
    return Asked(call.path["report"], span, zone, wanted.by, wanted.business, narrowed)


def _values(found: Table, values: Sequence[float | None]) -> dict[str, float | None]:
    return {each.key: value for each, value in zip(found.definition.columns, values, strict=True)}


@operations("GET", "/reports/{report:name}", roles=["viewer"], query=InboxReportQuery, returns=InboxReportView)
async def get_report(call: Call) -> Any:
    """Read a report over the inbox.

    `volume`, `first-response`, `next-response`, `resolution`, `backlog`, `busiest-hours`, `channel-mix`, `agent-load`,
    `csat`, `nps` or `sla`; the last 30 days where nothing is said. `Accept: text/csv` answers with a table. Medians are
    exact to a twentieth.
    """
    asked = _asked(call)
    found = await call.runtime.reports.table(asked)
    names = await names_in(call.runtime, found.by, {row.key for row in found.rows})
    if wants_csv(call.request):
        return csv_answer(as_csv(found, names), f"{asked.name}-by-{found.by}")
    return InboxReportView(
        name=asked.name, by=found.by, from_=found.span.since, to=found.span.until, zone=str(asked.zone),
        business=asked.business, columns=[ColumnView.model_validate(each) for each in found.definition.columns],
        rows=[
            InboxReportRow(key=row.key, name=names.get(row.key), values=_values(found, row.values))
            for row in found.rows
        ],
        total=_values(found, found.total.values),
    )  # fmt: skip


@operations("GET", "/reports/{report:name}/rows", roles=["viewer"], query=ReportRowsQuery, returns=list[FactView])
async def list_report_rows(call: Call) -> Any:
    """List what is behind a number of a report, the latest first.

    Of a count the `n` of all rows add up to it; of a time or a share they are what it is made of. Of what was open
    (`open` of a column) those come first that were closed first. `Accept: text/csv` answers with a page as a table.
    """
    wanted: ReportRowsQuery = call.query
    found = await call.runtime.reports.rows(
        _asked(call), wanted.column, wanted.of, limit=wanted.limit, cursor=wanted.cursor
    )  # fmt: skip
    if wants_csv(call.request):
        return csv_answer(rows_as_csv(found.data), f"{call.path['report']}-{wanted.column}")
    return listed(found, [fact_view(each) for each in found.data])


@operations("GET", "/report-rules", roles=["viewer"], returns=FigureRulesBody)
async def get_report_rules(call: Call) -> Any:
    """Which business hours count in reports."""
    return FigureRulesBody(**(await call.runtime.figures.rules()).model_dump())


@operations("PUT", "/report-rules", roles=["admin"], body=FigureRulesBody, returns=FigureRulesBody)
async def replace_report_rules(call: Call) -> Any:
    """Say which business hours count in reports. Everything is counted anew in the background."""
    refuse_scoped(call)
    await require_rules(call.runtime, call.body)
    await call.runtime.figures.choose(FigureRules(**call.body.model_dump()), call.principal.id)
    return await get_report_rules(call)


async def require_rules(runtime: Any, rules: FigureRules) -> None:
    """Raise `WrongInput` for hours or channels that are not there."""
    hours = {each.id for each in await runtime.business_hours.all()}
    channels = {each.id for each in await runtime.channels.list()}
    faults = [] if rules.hours_id in (None, *hours) else [FieldError("hours_id", "are no business hours")]
    for channel_id, hours_id in rules.channel_hours.items():
        if channel_id not in channels or hours_id not in hours:
            faults.append(FieldError(f"channel_hours.{channel_id}", "names a channel and its business hours"))
    if faults:
        raise WrongInput("These hours cannot be kept.", faults)
