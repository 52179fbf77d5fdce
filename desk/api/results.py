"""What journeys and broadcasts have come to, the report over all of them, and what is tracked for it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from base.errors import FieldError, WrongInput
from campaigns.results import Day, Measured, Outcome, Part, Taking, as_csv
from campaigns.tracking.lift import Bought, Difference, Verdict
from campaigns.tracking.settings import TrackingSettings
from campaigns.wallclock import known_zone
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, Money, Query, Since, Time, View, page

operations = Operations("results")
#: Days of one report, and without `from`.
DAYS_MAX, DAYS = 400, 30


class TakingView(View):
    """Orders whose last touch it was, and what is left of them after refunds."""

    orders: int
    revenue: Money


class PartView(View):
    """A step or an arm; `node` null: all of it. `counts`: people's and machines' opens and clicks stand apart."""

    node: str | None
    counts: dict[str, int]
    takings: list[TakingView]


class GroupView(View):
    """Those who were to get it, or those held out."""

    people: int
    buyers: int
    rate: float
    mean_minor: float


class DifferenceView(View):
    """Treated less held out, and the interval that holds the truth in 95 of 100 cases (null: it has no end)."""

    value: float
    low: float | None
    high: float | None
    verdict: Verdict


class LiftView(View):
    """What would not have been bought anyway: all purchases within `days`, whoever gets the credit; as of `at`."""

    at: Time
    treated: GroupView
    held_out: GroupView
    rate: DifferenceView
    revenue_per_person: DifferenceView
    currency: str
    days: int
    cut: bool


class DayView(View):
    """What happened on one day: messages that were sent, opened and followed on it, and orders that were paid."""

    day: str
    sent: int
    opened: int
    clicked: int
    takings: list[TakingView]


class ResultsView(View):
    """Figures of one journey or broadcast, counted at `at`. `sent_after_purchase`: reminders that a provider took after
    the purchase. Days are those of `zone`, the workspace's."""

    id: str
    at: Time
    zone: str
    whole: PartView
    parts: list[PartView]
    days: list[DayView]
    sent_after_purchase: int
    lift: LiftView | None


class ReportRow(View):
    """One campaign, day or channel."""

    kind: str | None = None
    id: str | None = None
    name: str | None = None
    day: str | None = None
    channel_id: str | None = None
    counts: dict[str, int]
    takings: list[TakingView]
    sent_after_purchase: int | None = None


class ReportQuery(Query):
    """The time: `from` inclusive, `to` exclusive; the last 30 days where nothing is said."""

    from_: Since | None = Field(None, alias="from")
    to: Since | None = None
    zone: str = Field("UTC", max_length=60, description="Days are days of this time zone, e.g. Europe/Berlin.")
    by: Literal["campaign", "day", "channel"] = "campaign"


class UtmBody(Body):
    """Patterns that may name `{campaign}`, `{channel}`, `{step}` and `{id}`; empty: nothing is added."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    term: str = ""
    content: str = ""


class WindowsBody(Body):
    """Hours for which an order counts as the work of a touch; 0: never."""

    click: int = 120
    open: int = 0
    chat_delivery: int = 24
    chat_click: int | None = Field(None, description="Of a click in a chat; null: as of any click.")


class TrackingBody(Body):
    """What is tracked. A person can refuse it all the same: by a no for the purpose `tracking`."""

    links: bool = False
    opens: bool = False
    utm: UtmBody = Field(default_factory=UtmBody)
    windows: WindowsBody = Field(default_factory=WindowsBody)
    rev: int | None = Field(None, ge=0, description="`rev` of what was read: 409 when somebody has saved since.")


class TrackingView(View):
    """What is tracked now."""

    links: bool
    opens: bool
    utm: dict[str, str]
    windows: dict[str, int | None]
    rev: int


def _taking(each: Taking) -> TakingView:
    return TakingView(orders=each.orders, revenue=Money(amount_minor=each.amount_minor, currency=each.currency))


def _part(each: Part) -> PartView:
    return PartView(node=each.node, counts=each.counts, takings=[_taking(taking) for taking in each.takings])


def _group(each: Bought) -> GroupView:
    return GroupView(people=each.people, buyers=each.buyers, rate=each.rate, mean_minor=each.mean)


def _difference(each: Difference) -> DifferenceView:
    low, high = (end if math.isfinite(end) else None for end in (each.low, each.high))
    return DifferenceView(value=each.value, low=low, high=high, verdict=each.verdict)


def _day(each: Day) -> DayView:
    takings = [_taking(taking) for taking in each.takings]
    return DayView(day=each.day, sent=each.sent, opened=each.opened, clicked=each.clicked, takings=takings)


def _lift(measured: Measured) -> LiftView:
    lift = measured.lift
    return LiftView(
        at=measured.at, treated=_group(lift.treated), held_out=_group(lift.held_out), rate=_difference(lift.rate),
        revenue_per_person=_difference(lift.mean), currency=measured.currency, days=measured.days, cut=measured.cut,
    )  # fmt: skip


def results_view(outcome: Outcome) -> ResultsView:
    """As people and programs see it."""
    return ResultsView(
        id=outcome.id, at=outcome.at, zone=outcome.zone, whole=_part(outcome.whole),
        parts=[_part(each) for each in outcome.parts], days=[_day(each) for each in outcome.days],
        sent_after_purchase=outcome.sent_after_purchase, lift=_lift(outcome.lift) if outcome.lift else None,
    )  # fmt: skip


@operations("GET", "/journeys/{id:jrn}/results", roles=["viewer"], returns=ResultsView)
async def get_journey_results(call: Call) -> Any:
    """What a journey has come to, step by step."""
    refuse_scoped(call)
    head = await call.runtime.journeys.get(call.path["id"])
    return results_view(await call.runtime.results.of("journey", head["_id"]))


@operations("GET", "/broadcasts/{id:brd}/results", roles=["viewer"], returns=ResultsView)
async def get_broadcast_results(call: Call) -> Any:
    """What a broadcast has come to, arm by arm."""
    head = await call.runtime.broadcasts.get(call.path["id"])
    if call.principal.channels is not None:
        if not any(call.principal.may_see(each) for each in head["channel_ids"]):
            raise not_there()
        if not all(call.principal.may_see(each) for each in head["channel_ids"]):
            refuse_scoped(call)
    return results_view(await call.runtime.results.of("broadcast", head["_id"]))


@operations("GET", "/reports/campaigns", roles=["viewer"], query=ReportQuery, returns=list[ReportRow])
async def report_campaigns(call: Call) -> Any:
    """Messages and money by campaign, day or channel. `Accept: text/csv` answers with a table.

    Sends count on the day they were planned, orders on the day they were paid.
    """
    refuse_scoped(call)
    wanted: ReportQuery = call.query
    until = wanted.to or call.runtime.clock()
    since = wanted.from_ or until - timedelta(days=DAYS)
    if since >= until:
        raise WrongInput("The time is empty.", [FieldError("to", "is to lie after `from`")])
    if until - since > timedelta(days=DAYS_MAX):
        raise WrongInput("The time is too long.", [FieldError("from", f"at most {DAYS_MAX} days before `to`")])
    if known_zone(wanted.zone) is None:
        raise WrongInput("There is no such time zone.", [FieldError("zone", "is a name such as Europe/Berlin")])
    rows = await call.runtime.results.report(since, until, wanted.by, wanted.zone)
    if "text/csv" in call.request.headers.get("Accept", ""):
        headers = {
            "Content-Disposition": f'attachment; filename="campaigns-by-{wanted.by}.csv"',
            "Cache-Control": "private, no-store",
        }  # fmt: skip
        return web.Response(text=as_csv(rows, wanted.by), content_type="text/csv", charset="utf-8", headers=headers)
    shown = [ReportRow.model_validate({**row, "takings": [_taking(each) for each in row["takings"]]}) for row in rows]
    return page(shown, None)


@operations("GET", "/tracking", roles=["viewer"], returns=TrackingView)
async def get_tracking(call: Call) -> Any:
    """What is tracked, and for how long a touch counts."""
    return await _tracking(call)


@operations("PUT", "/tracking", roles=["admin"], body=TrackingBody, returns=TrackingView)
async def replace_tracking(call: Call) -> Any:
    """Say what is tracked. Other windows are applied to all orders, in the background."""
    refuse_scoped(call)
    body: TrackingBody = call.body
    try:
        wanted = TrackingSettings.model_validate(body.model_dump(exclude={"rev"}))
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), _said(each)) for each in error.errors()]
        raise WrongInput("This cannot be kept.", faults) from None
    await call.runtime.tracking_choice.choose(wanted, call.principal.id, body.rev)
    return await _tracking(call)


def _said(fault: Any) -> str:
    if fault["loc"][:1] == ("utm",):
        return "may name {campaign}, {channel}, {step} and {id}, in at most 200 characters"
    return "takes a whole number of hours from 0 to 2160"


async def _tracking(call: Call) -> TrackingView:
    choice = await call.runtime.tracking_choice.now()
    return TrackingView.model_validate({**choice.settings.model_dump(), "rev": choice.rev})
