"""The clocks of a conversation, folded from what is written on it. Pure.

What runs follows from the row alone: since when the customer waits, whether anybody has answered, the state, the
priority; only the times it has slept and since when it is open are carried along. A due time does not depend on when it
is asked for, so whatever order the facts came in, the clocks are those that reckoning anew would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from base.mongo import Document
from inbox.owning import has_bot
from inbox.sla.models import PAUSES, PolicyInput, Target

#: Times of sleep that are remembered of one conversation; the oldest go first.
SLEEPS_KEPT = 100
_NOTHING = timedelta()


class OpenTime(Protocol):
    """What `inbox.hours.calendar.Calendar` can do."""

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time between two instants is open."""

    def add(self, start: datetime, length: timedelta) -> datetime | None:
        """The first instant at which so much open time has gone by since `start`; None when that does not come."""


class AlwaysOpen:
    """Every hour counts."""

    def worked(self, start: datetime, end: datetime) -> timedelta:
        """See `OpenTime`."""
        return max(end - start, _NOTHING)

    def add(self, start: datetime, length: timedelta) -> datetime | None:
        """See `OpenTime`."""
        return start + length


ALWAYS_OPEN = AlwaysOpen()


@dataclass(frozen=True)
class Policy:
    """A promise that holds. `holds_since`: of what was due before that nobody is told."""

    id: str
    written: PolicyInput
    holds_since: datetime

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether it is made for this conversation."""
        reach = self.written.reach
        on_channel = not reach.channel_ids or row["channel_id"] in reach.channel_ids
        of_team = not reach.team_ids or row.get("team_id") in reach.team_ids
        return on_channel and of_team and (not reach.labels or not set(reach.labels).isdisjoint(row.get("labels", ())))


@dataclass(frozen=True)
class Terms:
    """All promises in force, in their order, with the business hours they name. `mark` changes with any of them."""

    policies: tuple[Policy, ...] = ()
    calendars: Mapping[str, OpenTime] = field(default_factory=dict)
    mark: str = ""

    def fitting(self, row: Mapping[str, Any]) -> Policy | None:
        """The first that is made for this conversation."""
        return next((each for each in self.policies if each.fits(row)), None)

    def hours_of(self, policy: Policy) -> OpenTime:
        """What counts for it; hours that are gone count as always open."""
        return self.calendars.get(policy.written.hours_id or "", ALWAYS_OPEN)

    def hours_for(self, policy_id: str | None) -> OpenTime:
        """The same by the id of a promise."""
        found = next((each for each in self.policies if each.id == policy_id), None)
        return self.hours_of(found) if found else ALWAYS_OPEN


@dataclass(frozen=True)
class Sleep:
    """A time in which a clock stands still; without an end it still does."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class Telling:
    """That a clock is about to run out (`soon`) or has (`breached`); said once per wait, which `key` names."""

    kind: str
    target: Target
    key: str
    since: datetime
    due_at: datetime


def run_out(
    since: datetime, length: timedelta, sleeps: Iterable[Sleep], hours: OpenTime
) -> tuple[datetime | None, timedelta]:  # fmt: skip
    """When so much open time has gone by, sleep left out; None while it stands still before that, or when it never
    comes. And how much was left at the last sleep. `sleeps` in order, none over another."""
    at, left = since, length
    for sleep in sleeps:
        if sleep.until is not None and sleep.until <= at:
            continue
        done = hours.worked(at, max(sleep.since, at))
        if done >= left:
            break
        left -= done
        if sleep.until is None:
            return None, left
        at = sleep.until
    return hours.add(at, left), left


def reckoned(before: Mapping[str, Any], after: Mapping[str, Any], terms: Terms, now: datetime) -> Document | None:
    """The clocks of a conversation that was `before` and is `after` (for nothing new: twice the same row); None where
    nothing is promised to anybody.

    `{policy_id, opened_at, sleeps, clocks: [{target, since, key, due_at?, soon_at?, left_s?, quiet?}], paused, told,
    missed, due_at?, soon_at?, look_at?}`: `due_at` the earliest end, `look_at` when something is to be told.
    """
    if not terms.policies:
        return None
    known: Mapping[str, Any] = after.get("sla") or {}
    opened_at, sleeps = _history(before, after, known, now)
    nobodys = after["status"] in ("resolved", "spam", "merged") or has_bot(after)
    policy = None if nobodys else terms.fitting(after)
    clocks = _clocks(after, opened_at, sleeps, policy, terms, known) if policy else []
    return _complete(
        {
            "policy_id": policy.id if policy else None, "opened_at": opened_at, "sleeps": sleeps, "clocks": clocks,
            "paused": bool(policy and after["status"] in policy.written.pauses),
            "told": known.get("told", {}), "missed": _missed(known, after, clocks, now),
        }
    )  # fmt: skip


def owed(sla: Mapping[str, Any], now: datetime) -> Telling | None:
    """What is to be told next; None: nothing yet."""
    for each in sla["missed"]:
        return _telling("breached", each)
    for each in sla["clocks"]:
        at, marks = each.get("due_at"), _marks(sla, each)
        if at is None or each.get("quiet") or "breached" in marks:
            continue
        if at <= now:
            return _telling("breached", each)
        if each["soon_at"] <= now and "soon" not in marks:
            return _telling("soon", each)
    return None


def after_telling(sla: Mapping[str, Any], telling: Telling) -> Document:
    """The clocks once that was told."""
    missed = [each for each in sla["missed"] if (each["target"], each["key"]) != (telling.target, telling.key)]
    known = sla["told"].get(telling.target, {})
    marks = known["marks"] if known.get("key") == telling.key else []
    told = {**sla["told"], telling.target: {"key": telling.key, "marks": sorted({*marks, telling.kind})}}
    return _complete({**sla, "missed": missed, "told": told})


# -- what is carried along -----------------------------------------------------------------------------------------


def _history(
    before: Mapping[str, Any], after: Mapping[str, Any], known: Mapping[str, Any], now: datetime
) -> tuple[datetime, list[Document]]:  # fmt: skip
    """Since when it is open, and its sleeps since then. Opened again it begins anew."""
    if before["status"] == "resolved" != after["status"] or (has_bot(before) and not has_bot(after)):
        return now, _sleeping([], after["status"], now)
    return known.get("opened_at") or after["created_at"], _sleeping(known.get("sleeps", ()), after["status"], now)


def _sleeping(sleeps: Sequence[Document], status: str, now: datetime) -> list[Document]:
    kept = list(sleeps)
    if kept and "until" not in kept[-1] and kept[-1]["status"] != status:
        kept[-1] = {**kept[-1], "until": now}
    if status in PAUSES and (not kept or "until" in kept[-1]):
        kept.append({"status": status, "since": now})
    return kept[-SLEEPS_KEPT:]


# -- what runs -----------------------------------------------------------------------------------------------------


def _clocks(
    row: Mapping[str, Any], opened_at: datetime, sleeps: Sequence[Document], policy: Policy, terms: Terms,
    known: Mapping[str, Any],
) -> list[Document]:  # fmt: skip
    standing = [Sleep(each["since"], each.get("until")) for each in sleeps if each["status"] in policy.written.pauses]
    found = []
    for target, since in _running(row, opened_at).items():
        minutes = policy.written.length(target, row.get("priority", "none"))
        if minutes is None:
            continue
        length = timedelta(minutes=minutes)
        ahead = min(timedelta(minutes=policy.written.soon_min), length / 2)
        hours = terms.hours_of(policy)
        due_at, left = run_out(since, length, standing, hours)
        soon_at, _ = run_out(since, length - ahead, standing, hours)
        clock: Document = {"target": target, "since": since, "key": _key(target, since, known)}
        if due_at is not None:
            clock |= {"due_at": due_at, "soon_at": soon_at}
            clock |= {"quiet": True} if due_at < policy.holds_since else {}
        else:
            clock["left_s"] = left.total_seconds()
        found.append(clock)
    return found


def _running(row: Mapping[str, Any], opened_at: datetime) -> dict[Target, datetime]:
    """What is owed, and since when."""
    found: dict[Target, datetime] = {}
    waiting_since = row.get("waiting_since")
    if waiting_since is not None:
        found["next_response" if row.get("first_reply_at") else "first_response"] = waiting_since
    return {**found, "resolution": opened_at}


def _key(target: Target, since: datetime, known: Mapping[str, Any]) -> str:
    """The name of a wait: when it began. A line that came late makes it longer, but not another one."""
    old = next((each for each in known.get("clocks", ()) if each["target"] == target), None)
    return old["key"] if old is not None and since <= old["since"] else str(int(since.timestamp() * 1000))


def _missed(
    known: Mapping[str, Any], row: Mapping[str, Any], clocks: Sequence[Mapping[str, Any]], now: datetime
) -> list[Document]:
    """Clocks that ended after their time before anybody had told of it. What runs again is none of them."""
    running = {(each["target"], each["key"]) for each in clocks}
    missed = [each for each in known.get("missed", ()) if (each["target"], each["key"]) not in running]
    noted = {(each["target"], each["key"]) for each in missed}
    for each in known.get("clocks", ()):
        at, name = each.get("due_at"), (each["target"], each["key"])
        if at is None or each.get("quiet") or name in running | noted or "breached" in _marks(known, each):
            continue
        if row["status"] != "spam" and _ended(each, row) and at < _ended_at(each, row, now):
            missed.append({name: each[name] for name in ("target", "since", "key", "due_at")})
    return missed


def _ended(clock: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether what it waited for has come, and not only another promise."""
    if clock["target"] == "resolution":
        return bool(row["status"] == "resolved")
    return bool(row["status"] == "resolved" or row.get("waiting_since") != clock["since"])


def _ended_at(clock: Mapping[str, Any], row: Mapping[str, Any], now: datetime) -> datetime:
    answers = (row.get(name) for name in ("first_reply_at", "last_reply_at", "answered_at"))
    after = [at for at in answers if at is not None and at >= clock["since"] and clock["target"] != "resolution"]
    resolved_at = row.get("resolved_at") if row["status"] == "resolved" else None
    return min(after, default=resolved_at or now)


# -- what follows from it ------------------------------------------------------------------------------------------


def _complete(sla: Mapping[str, Any]) -> Document:
    """With what lists and the watch are read by."""
    fields = {name: value for name, value in sla.items() if name not in ("due_at", "soon_at", "look_at")}
    running = [each for each in fields["clocks"] if each.get("due_at") is not None]
    looks = [at for each in running if (at := _look_at(fields, each)) is not None]
    looks += [each["due_at"] for each in fields["missed"]]
    for name, times in (
        ("due_at", [each["due_at"] for each in running]), ("soon_at", [each["soon_at"] for each in running]),
        ("look_at", looks),
    ):  # fmt: skip
        if times:
            fields[name] = min(times)
    return fields


def _look_at(sla: Mapping[str, Any], clock: Mapping[str, Any]) -> datetime | None:
    marks = _marks(sla, clock)
    if clock.get("quiet") or "breached" in marks:
        return None
    at: datetime = clock["due_at"] if "soon" in marks else clock["soon_at"]
    return at


def _marks(sla: Mapping[str, Any], clock: Mapping[str, Any]) -> Sequence[str]:
    told = sla.get("told", {}).get(clock["target"], {})
    return told.get("marks", ()) if told.get("key") == clock["key"] else ()


def _telling(kind: str, clock: Mapping[str, Any]) -> Telling:
    return Telling(kind, clock["target"], clock["key"], clock["since"], clock["due_at"])
