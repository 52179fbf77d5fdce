"""Business hours: when a team is there, by the clock of its zone."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from pydantic import Field

from base.errors import FieldError, WrongInput
from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import PageQuery, Patch, Query, Since, Time, View, page, sliced
from inbox.hours.book import Hours
from inbox.hours.models import SPECIAL_MAX, HolidayChoice, HoursInput, SpecialDay, Title, Week, Zone

operations = Operations("business hours")
#: The longest time that is looked at in one call.
PREVIEW = timedelta(days=400)


class BusinessHoursPatch(Patch):
    """Parts to replace, each as a whole."""

    name: Title = ""
    zone: Zone = ""
    week: Week = Field(default_factory=Week)
    holidays: HolidayChoice | None = None
    special: list[SpecialDay] = Field(default_factory=list, max_length=SPECIAL_MAX)


class BusinessHoursView(View):
    """Business hours as they stand. A special day goes before holidays, and those before the week."""

    id: str
    name: str
    zone: str
    week: Week
    holidays: HolidayChoice | None
    special: list[SpecialDay]
    created_at: Time
    updated_at: Time


class OpenQuery(Query):
    """Which time to look at, at most 400 days."""

    from_: Since = Field(alias="from")
    to: Since


class OpenView(View):
    """A time without a break in which it is open, up to but not including its end."""

    opens_at: Time
    closes_at: Time


class KeptDayView(View):
    """A public holiday that is kept, a weekend's day that is worked in exchange for one, or a special day."""

    date: date
    why: str = Field(description="`holiday`, `workday` or `special`.")
    name: str


class PreviewView(View):
    """What is open in a time, how many seconds that is, and which days differ from their weekday."""

    open: list[OpenView]
    open_s: float
    days: list[KeptDayView]


def hours_view(hours: Hours) -> BusinessHoursView:
    """As people and programs see them."""
    given = {name: getattr(hours.written, name) for name in HoursInput.model_fields}
    return BusinessHoursView(id=hours.id, **given, created_at=hours.created_at, updated_at=hours.updated_at)


@operations("GET", "/business-hours", roles=["viewer"], query=PageQuery, returns=list[BusinessHoursView])
async def list_business_hours(call: Call) -> Any:
    """List business hours by name."""
    found, following = sliced(await call.runtime.business_hours.all(), lambda hours: hours.id, call.query)
    return page([hours_view(each) for each in found], following)


@operations(
    "POST", "/business-hours", roles=["admin"], body=HoursInput, returns=BusinessHoursView, status=201
)  # fmt: skip
async def create_business_hours(call: Call) -> Any:
    """Write down business hours. 409 `name_taken` when there are some with this name."""
    refuse_scoped(call)
    return hours_view(await call.runtime.business_hours.create(call.body))


@operations("GET", "/business-hours/{id:hrs}", roles=["viewer"], returns=BusinessHoursView)
async def get_business_hours(call: Call) -> Any:
    """Some business hours."""
    return hours_view(await call.runtime.business_hours.get(call.path["id"]))


@operations(
    "PATCH", "/business-hours/{id:hrs}", roles=["admin"], body=BusinessHoursPatch, returns=BusinessHoursView
)  # fmt: skip
async def change_business_hours(call: Call) -> Any:
    """Replace parts of business hours."""
    refuse_scoped(call)
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    return hours_view(await call.runtime.business_hours.change(call.path["id"], given))


@operations("DELETE", "/business-hours/{id:hrs}", roles=["admin"])
async def delete_business_hours(call: Call) -> None:
    """Take business hours away; for 30 days they can be put back. Whoever named them counts as always open."""
    refuse_scoped(call)
    await call.runtime.business_hours.remove(call.path["id"])


@operations("POST", "/business-hours/{id:hrs}/restore", roles=["admin"], returns=BusinessHoursView)
async def restore_business_hours(call: Call) -> Any:
    """Undo a deletion."""
    refuse_scoped(call)
    return hours_view(await call.runtime.business_hours.restore(call.path["id"]))


@operations("GET", "/business-hours/{id:hrs}/preview", roles=["viewer"], query=OpenQuery, returns=PreviewView)
async def preview_business_hours(call: Call) -> Any:
    """When it is open between two times, and which days are not as their weekday."""
    start, end = call.query.from_, call.query.to
    if not start <= end <= start + PREVIEW:
        fault = FieldError("to", f"lies after `from`, by at most {PREVIEW.days} days")
        raise WrongInput("This time cannot be looked at.", [fault])
    calendar = (await call.runtime.business_hours.get(call.path["id"])).calendar()
    first, last = (at.astimezone(calendar.zone).date() for at in (start, end))
    plans = ((day, calendar.plan(day)) for day in (first + timedelta(days=n) for n in range((last - first).days + 1)))
    days = [KeptDayView(date=day, why=plan.why, name=plan.name) for day, plan in plans if plan.why != "week"]
    found = [OpenView(opens_at=each.opens_at, closes_at=each.closes_at) for each in calendar.between(start, end)]
    return PreviewView(open=found, open_s=calendar.worked(start, end).total_seconds(), days=days)
