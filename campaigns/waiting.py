"""When a wait is over: elapsed time, clock times, dates in fields, and events. Pure.

A due time is derived anew each time it is asked for, from the words of the step and the zone of the moment; what is
stored is only a hint when to look again.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.conditions import Happened, Scope, carried, look_up
from campaigns.dates import as_meant
from campaigns.models import WaitEventStep, WaitStep
from campaigns.run import Action, Facts, Finish, Move, RunState, Stay, Wait
from campaigns.wallclock import Duration, at_clock, instant, next_clock, next_open, zone_or

#: A `wait_event` or a task without a time-out of its own ends after this.
PATIENCE = timedelta(days=90)
#: Providers tell times in whole seconds and by clocks of their own: an answer may seem this much older than what it
#: answers. When we heard of it settles it.
STAMP = timedelta(seconds=2)


def decide_wait(step: WaitStep, run: RunState, facts: Facts, now: datetime) -> Action:
    due, params = _due(step, run, facts)
    if due is None or (step.until_date is not None and due <= run.entered_at):
        code = "wait.no_date" if due is None else "wait.date_passed"
        return Move(step.next, code, params) if step.past == "pass" else Finish("date_passed", params)
    if due <= now:
        return Move(step.next, "wait.over", params)
    return Stay(Wait("time", due), "wait.time", {**params, "until": due})


def _due(step: WaitStep, run: RunState, facts: Facts) -> tuple[datetime | None, dict[str, Any]]:
    """When the wait is over, derived anew each time from its wall-clock words; None when the date is missing."""
    if step.for_ is not None:
        _, unknown = zone_or(_own_zone(facts), facts.project_zone)
        return after_entry(step.for_, run, facts) + run.shift, {"for": step.for_.text, **_doubt(unknown, facts)}
    if step.until is not None:
        until = step.until
        zone, unknown = _zone(until.zone, facts)
        params = {"zone": zone.key, **_doubt(unknown, facts)}
        if until.time is not None:
            return next_clock(run.entered_at, until.time.at, zone, until.weekdays), params
        if until.window is not None:
            opens, closes = until.window.from_.at, until.window.to.at
            return next_open(run.entered_at, opens, closes, zone, until.weekdays), params
        midnight = datetime.min.time()
        return next_open(run.entered_at, midnight, midnight, zone, until.weekdays), params
    return _date_of(step, run, facts)


def _date_of(step: WaitStep, run: RunState, facts: Facts) -> tuple[datetime | None, dict[str, Any]]:
    spec = step.until_date
    if spec is None:
        return None, {}
    namespaces = {**facts.profile, **facts.values, "event": run.data.get("event", {}), "journey": run.data}
    zone, unknown = _zone(spec.zone, facts)
    params = {"field": spec.field, "zone": zone.key, **_doubt(unknown, facts)}
    value = look_up(namespaces, spec.field)
    at = as_instant(as_meant(value) if spec.field.startswith("attributes.") else value, zone)
    if at is None:
        return None, params
    if spec.offset is not None:
        at = spec.offset.after(at, zone)
    if spec.time is not None:
        at = _on_that_day(at, spec.time.at, zone)
    return at, params


def as_instant(value: Any, zone: ZoneInfo) -> datetime | None:
    """A stored date as an instant: a time with a zone as it stands, a bare date or time in `zone`; None for no date."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip()[:40])
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo is not None else instant(value, zone)
    if isinstance(value, date):
        return at_clock(value, time(), zone)
    return None


def _on_that_day(at: datetime, clock: time, zone: ZoneInfo) -> datetime:
    return at_clock(at.astimezone(zone).date(), clock, zone)


def _own_zone(facts: Facts) -> str | None:
    name = facts.profile.get("time_zone")
    return name if isinstance(name, str) else None


def _zone(choice: str, facts: Facts) -> tuple[ZoneInfo, bool]:
    return zone_or(_own_zone(facts) if choice == "profile" else choice, facts.project_zone)


def _doubt(unknown: bool, facts: Facts) -> dict[str, Any]:
    """A warning for the log when the person's zone is not one."""
    return {"unknown_zone": _own_zone(facts)} if unknown else {}


def decide_wait_event(step: WaitEventStep, run: RunState, facts: Facts, now: datetime) -> Action:
    starts = looks_back(step, run)
    deadline = deadline_of(step.timeout, run, facts)
    scope = scope_of(run, facts)
    for event in facts.happened:
        if not _since(event, starts) or event.id == look_up(run.data, "event.id"):
            continue
        if event.occurred_at > deadline:
            break
        for place, way in enumerate(step.any):
            if event.name == way.event and way.where.matches(event.view(), now) and scope.same(event, way.match_key):
                params = {"event": event.name, "event_id": event.id, "way": place}
                return Move(way.next, "wait_event.came", params, save={step.id: carried(event)})
    if deadline <= now:
        return Move(step.timeout_next, "wait_event.timeout", {"until": deadline})
    names = sorted({way.event for way in step.any})
    return Stay(Wait("event", deadline), "wait.event", {"events": names, "until": deadline})


def _since(event: Happened, starts: datetime) -> bool:
    """Whether it happened after `starts`, as far as stamps of whole seconds can say."""
    heard_since = event.received_at is not None and event.received_at >= starts
    return event.occurred_at >= (starts - STAMP if heard_since else starts)


def looks_back(step: WaitEventStep, run: RunState) -> datetime:
    if step.since == "entry":
        return run.since
    if step.since == "step":
        return run.entered_at
    return run.entered_at - step.since.roughly()


def deadline_of(timeout: Duration | None, run: RunState, facts: Facts, patience: timedelta = PATIENCE) -> datetime:
    """When patience ends at this step: after `timeout`, or where none is named after `patience`."""
    if timeout is None:
        return run.entered_at + patience + run.shift
    return after_entry(timeout, run, facts) + run.shift


def after_entry(duration: Duration, run: RunState, facts: Facts) -> datetime:
    """`duration` after the run came to this step, by the person's calendar."""
    return duration.after(run.entered_at, own_zone_of(facts))


def own_zone_of(facts: Facts) -> ZoneInfo:
    """The person's zone, else that of the project."""
    return zone_or(_own_zone(facts), facts.project_zone)[0]


def scope_of(run: RunState, facts: Facts) -> Scope:
    """What conditions of this run are judged on."""
    return Scope(
        subject=facts.subject,
        values={**facts.values, "event": run.data.get("event", {}), "journey": run.data},
        happened=[each for each in facts.happened if each.occurred_at >= run.since],
        began_with=run.data.get("event", {}),
    )
