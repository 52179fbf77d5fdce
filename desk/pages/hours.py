"""Settings → Business hours: a week in plain text, public holidays, special days, and what comes of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from babel import Locale
from pydantic import ValidationError

from base.errors import Conflict, WrongInput
from base.wallclock import WEEKDAYS
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, ZONES, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in, removed_id, saved_or_said
from desk.render import formats_of, page
from inbox.hours.book import Hours
from inbox.hours.calendar import Calendar
from inbox.hours.models import SPECIAL_MAX, DayPlan, HoursInput, clock_of
from inbox.hours.public_holidays import COUNTRIES, subdivisions_of

routes = web.RouteTableDef()
HERE = "/settings/hours"
MISSING = "There are no such business hours."
_UTC = ZoneInfo("UTC")
DAYS = dict(zip(WEEKDAYS, (
    N_("Monday"), N_("Tuesday"), N_("Wednesday"), N_("Thursday"), N_("Friday"), N_("Saturday"), N_("Sunday"),
), strict=True))  # fmt: skip
#: Days ahead that are shown, and for how many holidays are listed.
SHOWN_DAYS, HOLIDAY_DAYS = 14, 366
#: Empty rows for further special days.
BLANK_ROWS = 2
NEW = {
    **dict.fromkeys(WEEKDAYS[:5], "09:00–17:00"), "sat": "", "sun": "", "name": "", "country": "", "subdivision": "",
}  # fmt: skip
_SPANS = N_(
    "Write spans such as 09:00–12:30, 13:30–18:00: each ends after it begins, none overlaps another. What goes past "
    "midnight is two: until 24:00, and on the next day from 00:00."
)
_SAYS = {
    "name": N_("Write a name."), "zone": N_("This is no time zone. One is Europe/Amsterdam, another Asia/Shanghai."),
    "special": N_("A day stands here twice."),
}  # fmt: skip
_SPECIAL = N_("Choose a day, and write its spans such as 09:00–13:00, or none when it is closed.")
_SPAN = re.compile(r"(\d{1,2})(?:[:.h](\d{2}))?\s*(?:-|–|—|−|~|to|至|到)\s*(\d{1,2})(?:[:.h](\d{2}))?", re.ASCII)


@dataclass(frozen=True)
class DayRow:
    """One of the coming days."""

    label: str
    hours: str
    note: str


def read_spans(text: str) -> list[tuple[str, str]]:
    """Spans as somebody writes them: `9-12:30, 13:30–18:00`, also with the signs of Chinese. What cannot be read stays
    as it was written, and is refused where the spans are checked. Pure."""
    plain = unicodedata.normalize("NFKC", text).replace("、", ",").replace(";", ",")
    return [_read_span(piece.strip()) for piece in plain.split(",") if piece.strip()]


def _read_span(piece: str) -> tuple[str, str]:
    found = _SPAN.fullmatch(piece)
    if found is None:
        return piece[:5], "?"
    opens_h, opens_m, closes_h, closes_m = found.groups(default="00")
    return f"{int(opens_h):02}:{opens_m}", f"{int(closes_h):02}:{closes_m}"


def said_spans(spans: Sequence[Sequence[str]]) -> str:
    """The reverse of `read_spans`."""
    return ", ".join(f"{opens}–{closes}" for opens, closes in spans)


def planned(plan: DayPlan) -> str:
    """The spans of a day, as `said_spans`."""
    return said_spans([(clock_of(opens), clock_of(closes)) for opens, closes in plan.spans])


@routes.get(HERE)
@require("viewer")
async def all_hours(request: web.Request) -> web.StreamResponse:
    """The list, each with whether it is open now."""
    formats = formats_of(request, principal_of(request))
    found = await runtime_of(request).business_hours.all()
    may_change = principal_of(request).may_everywhere("admin")
    values = {
        "all_hours": [(each, standing(each.calendar(), formats)) for each in found], "may_change": may_change,
        "removed": removed_id(request, "hrs", "admin"),
    }  # fmt: skip
    return await page(request, "settings/hours.html", values)


@routes.get(HERE + "/new")
@require("admin")
async def new(request: web.Request) -> web.StreamResponse:
    """A form with an ordinary week."""
    refuse_scoped(reading(request))
    zone = formats_of(request, principal_of(request)).zone.key
    return await _form(request, None, {**NEW, "zone": zone, "special": [], "open_on": []}, {})


@routes.post(HERE + "/new")
@require("admin")
async def create(request: web.Request) -> web.StreamResponse:
    """Write them down; faults stand beside their fields."""
    refuse_scoped(reading(request))
    given = written(await read_form(request))
    faults = await saved_or_said(*checked(given), runtime_of(request).business_hours.create, _said, HERE)
    return await _form(request, None, given, faults)


@routes.get(HERE + "/{hours_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """Some hours in their form, and the days that come."""
    hours = await _hours(request)
    return await _form(request, hours, given_of(hours.written), {})


@routes.post(HERE + "/{hours_id}")
@require("admin")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form."""
    refuse_scoped(reading(request))
    hours, given = await _hours(request), written(await read_form(request))
    book = runtime_of(request).business_hours

    def save(wanted: HoursInput) -> Any:
        return book.change(hours.id, wanted.model_dump(mode="json"))

    faults = await saved_or_said(*checked(given), save, _said, HERE)
    return await _form(request, hours, given, faults)


@routes.post(HERE + "/{hours_id}/remove")
@require("admin")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take them away; the list offers to put them back."""
    refuse_scoped(reading(request))
    hours = await _hours(request)
    await runtime_of(request).business_hours.remove(hours.id)
    raise web.HTTPSeeOther(f"{HERE}?removed={hours.id}")


@routes.post(HERE + "/{hours_id}/restore")
@require("admin")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    hours = await runtime_of(request).business_hours.restore(_id(request))
    raise web.HTTPSeeOther(f"{HERE}/{hours.id}")


# -- the form ------------------------------------------------------------------------------------------------------

TAKEN = N_("There are business hours with this name already.")


def _said(error: Conflict | WrongInput) -> dict[str, str]:
    """Field → sentence for what the house says against it."""
    if isinstance(error, WrongInput):  # the form has been checked
        raise error
    return {"name": TAKEN} if error.code == "name_taken" else {"": str(error)}


def written(form: Any) -> dict[str, Any]:
    """The fields as they were sent, all as texts."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    special = []
    for place in range(SPECIAL_MAX + BLANK_ROWS):
        if f"date-{place}" not in form:
            break
        row = {"date": text(f"date-{place}"), "spans": text(f"spans-{place}"), "name": text(f"day-name-{place}")}
        if any(row.values()):
            special.append(row)
    fields = {name: text(name) for name in ("name", "zone", *WEEKDAYS, "country", "subdivision")}
    return {**fields, "special": special, "open_on": [str(each) for each in form.getall("open_on", [])]}


def given_of(hours: HoursInput) -> dict[str, Any]:
    """The form of hours as they stand."""
    kept = hours.holidays
    return {
        "name": hours.name, "zone": hours.zone,
        **{day: said_spans(getattr(hours.week, day)) for day in WEEKDAYS},
        "country": kept.country if kept else "", "subdivision": (kept.subdivision or "") if kept else "",
        "open_on": [each.isoformat() for each in kept.open_on] if kept else [],
        "special": [
            {"date": each.date.isoformat(), "spans": said_spans(each.spans), "name": each.name}
            for each in hours.special
        ],
    }  # fmt: skip


def checked(given: Mapping[str, Any]) -> tuple[HoursInput | None, dict[str, str]]:
    """The input, or field → what is wrong with it."""
    holidays = {
        "country": given["country"], "subdivision": given["subdivision"] or None, "open_on": given["open_on"],
    }  # fmt: skip
    special = [{**each, "spans": read_spans(each["spans"])} for each in given["special"]]
    week = {day: read_spans(given[day]) for day in WEEKDAYS}
    fields = {
        "name": given["name"], "zone": given["zone"], "week": week, "special": special,
        "holidays": holidays if given["country"] else None,
    }  # fmt: skip
    try:
        return HoursInput.model_validate(fields), {}
    except ValidationError as error:
        return None, dict(_fault(each["loc"]) for each in error.errors())


def _fault(place: tuple[int | str, ...]) -> tuple[str, str]:
    head = str(place[0])
    if head == "week":
        return str(place[1]), _SPANS
    if head == "special" and len(place) > 1:
        return f"special-{place[1]}", _SPECIAL
    if head == "holidays":
        return "subdivision", N_("There are no holidays of this part. The parts that are known stand below.")
    return head, _SAYS.get(head, N_("Please check this."))


async def _form(
    request: web.Request, hours: Hours | None, given: Mapping[str, Any], faults: Mapping[str, str]
) -> web.Response:  # fmt: skip
    formats = formats_of(request, principal_of(request))
    calendar = hours.calendar() if hours else None
    country = given["country"] if given["country"] in COUNTRIES else ""
    may_change = principal_of(request).may_everywhere("admin")
    values = {
        "hours": hours, "given": given, "faults": faults, "days": DAYS, "zones": sorted(ZONES),
        "countries": country_names(formats.language), "may_change": may_change, "saved": "saved" in request.query,
        "parts": subdivisions_of(country) if country else (), "standing": standing(calendar, formats),
        "coming": coming(calendar, formats) if calendar else [], "blank_rows": BLANK_ROWS if may_change else 0,
        **kept_holidays(calendar, given, formats),
    }  # fmt: skip
    return await page(request, "settings/hours_form.html", values, status=422 if faults else 200)


def standing(calendar: Calendar | None, formats: Formats) -> tuple[str, str]:
    """Whether it is open now, in words, and the tone of it."""
    if calendar is None:
        return "", ""
    local = Formats(formats.language, calendar.zone, formats.now)
    closes_at = calendar.closes_at(formats.now)
    if closes_at is not None:
        return formats.text(N_("Open until %(at)s"), {"at": local.moment(closes_at)}), "good"
    opens_at = calendar.opens_at(formats.now)
    if opens_at is None:
        return formats.text(N_("Closed")), "warn"
    return formats.text(N_("Closed until %(at)s"), {"at": local.moment(opens_at)}), ""


def coming(calendar: Calendar, formats: Formats) -> list[DayRow]:
    """The days that come, in the zone of the hours."""
    first = formats.now.astimezone(calendar.zone).date()
    days = [first + timedelta(days=ahead) for ahead in range(SHOWN_DAYS)]
    names = _names(calendar, days, formats)
    return [_row(day, calendar.plan(day), names.get(day, ""), formats) for day in days]


def _row(day: date, plan: DayPlan, holiday: str, formats: Formats) -> DayRow:
    notes = {"holiday": holiday or plan.name, "special": plan.name, "workday": formats.text(N_("Worked in exchange"))}
    return DayRow(
        _utc(formats).day_long(_noon(day)), planned(plan) or formats.text(N_("Closed")), notes.get(plan.why, "")
    )  # fmt: skip


def kept_holidays(calendar: Calendar | None, given: Mapping[str, Any], formats: Formats) -> dict[str, Any]:
    """The holidays of a year from now with whether one is open on them, and what else is `open_on`."""
    open_on = set(given["open_on"])
    if calendar is None:
        return {"holidays": [], "further_open": sorted(open_on)}
    first = formats.now.astimezone(calendar.zone).date()
    days = [first + timedelta(days=ahead) for ahead in range(HOLIDAY_DAYS)]
    names = _names(calendar, days, formats)
    dates = _utc(formats)
    rows = [(day.isoformat(), dates.day_full(_noon(day)), name) for day, name in names.items()]
    listed = {iso for iso, _, _ in rows}
    return {"holidays": rows, "further_open": sorted(open_on - listed)}


def _names(calendar: Calendar, days: Sequence[date], formats: Formats) -> dict[date, str]:
    """The holidays among these days, in the reader's language where that is known."""
    years = {day.year: calendar.holidays(day.year, formats.language).days for day in days}
    return {day: years[day.year][day] for day in days if day in years[day.year]}


def _utc(formats: Formats) -> Formats:
    return Formats(formats.language, _UTC, formats.now)


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@lru_cache(maxsize=8)
def country_names(language: str) -> tuple[tuple[str, str], ...]:
    """(code, name) of every country whose holidays are known, by name."""
    known = Locale.parse(language).territories
    return tuple(sorted(((code, str(known.get(code, code))) for code in COUNTRIES), key=lambda each: each[1]))


def _id(request: web.Request) -> str:
    return id_in(request, "hours_id", "hrs", MISSING)


async def _hours(request: web.Request) -> Hours:
    found: Hours = await runtime_of(request).business_hours.get(_id(request))
    return found
