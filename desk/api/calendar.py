"""One's own calendar of what is due: a secret link to which programs subscribe."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import NotFound
from base.mongo import Document
from desk.api.contract import Call, Operations
from desk.api.shapes import Body, Time, View

operations = Operations("own account")


class CalendarBody(Body):
    """What it holds."""

    with_words: bool = Field(False, description="Texts of tasks and names of customers, not only that it is due.")


class CalendarView(View):
    """Whether there is a link; `url` is told once, when it is made."""

    on: bool
    with_words: bool = False
    created_at: Time | None = None
    read_at: Time | None = None
    url: str | None = None


@operations("GET", "/me/calendar", roles=["viewer"], returns=CalendarView)
async def get_my_calendar(call: Call) -> Any:
    """Whether one's own calendar can be subscribed to. Not for programs."""
    return _view(await call.runtime.calendars.of(_me(call)), None)


@operations("POST", "/me/calendar", roles=["viewer"], body=CalendarBody, returns=CalendarView, status=201)
async def link_my_calendar(call: Call) -> Any:
    """Make a link to one's own calendar (iCalendar); the one before leads nowhere from then on. Not for programs.

    It answers with an `ETag`. Without `with_words` no text and no name stands in it.
    """
    me, calendars = _me(call), call.runtime.calendars
    secret = await calendars.link(me, with_words=call.body.with_words)
    base_url = str(getattr(call.runtime.settings, "base_url", "") or "").rstrip("/")
    return _view(await calendars.of(me), f"{base_url}/calendar/{secret}.ics")


@operations("DELETE", "/me/calendar", roles=["viewer"])
async def unlink_my_calendar(call: Call) -> None:
    """The link leads nowhere from now on. Twice is once. Not for programs."""
    await call.runtime.calendars.unlink(_me(call))


def _me(call: Call) -> str:
    if call.principal.user is None:
        raise NotFound("A program has no account. Sign in as a person.")
    return str(call.principal.id)


def _view(row: Document | None, url: str | None) -> CalendarView:
    if row is None:
        return CalendarView(on=False)
    return CalendarView(
        on=True, with_words=row["with_words"], created_at=row["created_at"], read_at=row.get("read_at"), url=url
    )
