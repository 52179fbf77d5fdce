"""What can be read off what a person did: where and when they write, how fast they answer, their rhythm of buying, and
the risk that they are gone. Pure: a profile's document and events in, values out; the order of events plays no part.

Nothing is guessed from little: a habit needs `HABIT_LEAST` signs, the rhythm of one's own two orders. The churn risk is
an open sum of named points, not a model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

RECEIVED, SENT = "message.received", "message.sent"
#: Of messages the latest so many each way are looked at: habits of long ago are none.
MESSAGES_MOST = 1000
#: Events that traits are read from, and how many of the latest; None: all.
NEEDS: Mapping[str, int | None] = {
    RECEIVED: MESSAGES_MOST, SENT: MESSAGES_MOST, "message.complained": None, "contact.left": None,
    "contact.returned": None, "consent.denied": None, "order.refunded": None, "csat.submitted": None,
}  # fmt: skip
#: A habit needs so many signs, and the latest so many are looked at.
HABIT_LEAST, HABIT_MOST = 3, 200
#: Longer than this after our message, theirs is no answer to it.
ANSWER_MAX = timedelta(days=14)
#: Minutes up to which somebody answers within …
ANSWERS = (("minutes", 15), ("hour", 60), ("day", 24 * 60))
#: The deployment's rhythm is learned from at least so many people.
LEARNED_LEAST = 10
GAP_LEAST_DAYS = 1.0
RISK_MAX = 100
#: How late somebody is, in their gaps between orders → points.
LATE = ((3.0, 60), (2.0, 45), (1.5, 30), (1.0, 15))
#: Days since they were last seen → points.
SILENT = ((180, 30), (90, 15))
#: Event → days for which it counts, points, what it is called.
BAD_SIGNS = (
    ("message.complained", 365, 25, "complained"),
    ("csat.submitted", 180, 20, "unhappy"),
    ("consent.denied", 180, 10, "refused"),
    ("order.refunded", 180, 10, "refunded"),
)
LEFT_POINTS, FRESH_POINTS = 30, -20
#: A rating up to this is an unhappy one.
UNHAPPY = 2


@dataclass(frozen=True)
class Rhythm:
    """What the deployment has learned: the median days between the orders of its customers, None for too few."""

    median_days: float | None = None
    people: int = 0


@dataclass(frozen=True)
class Sign:
    """One part of the churn risk."""

    code: str
    points: int

    def stored(self) -> dict[str, Any]:
        """As it stands on the profile."""
        return {"code": self.code, "points": self.points}


@dataclass(frozen=True)
class Risk:
    """0 to 100 with its reasons. `changes_at`: when time alone makes it another."""

    value: int
    reasons: tuple[Sign, ...]
    changes_at: datetime | None = None


@dataclass(frozen=True)
class Traits:
    """All traits of one person; what is not known is not among the fields."""

    fields: Mapping[str, Any]
    changes_at: datetime | None = None


def traits_of(
    document: Mapping[str, Any], events: Sequence[Mapping[str, Any]], rhythm: Rhythm, zone: str, now: datetime
) -> Traits:
    """The traits; none for who is not to be profiled. `zone`: the deployment's, for who has none."""
    if document.get("profiling_off"):
        return Traits({})
    past = latest(in_order(each for each in events if each["occurred_at"] <= now))
    risk = churn_risk(document, past, rhythm, now)
    answers = answer_minutes(past)
    fields = {
        **preferences(past, document.get("time_zone"), zone), **answering(answers), **buying(document, rhythm),
        **({"churn_risk": risk.value, "churn_reasons": [each.stored() for each in risk.reasons]} if risk else {}),
    }  # fmt: skip
    return Traits(fields, risk.changes_at if risk else None)


def in_order(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By time; those of one moment by id, so that everybody reads them alike."""
    return sorted(events, key=lambda each: (each["occurred_at"], str(each.get("_id", ""))))


def latest(past: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each name as many of the latest as count (`NEEDS`), in order."""
    left = dict(NEEDS)
    kept = []
    for each in reversed(past):
        most = left.get(each["name"], 0)
        if most is None or most > 0:
            kept.append(each)
            left[each["name"]] = None if most is None else most - 1
    return kept[::-1]


# -- where and when ------------------------------------------------------------------------------------------------


def preferences(past: Sequence[Mapping[str, Any]], own_zone: str | None, zone: str) -> dict[str, Any]:
    """`preferred_channel` (the word rules use) and `preferred_hour` (0–23 in the person's zone)."""
    written = _written(past)[-HABIT_MOST:]
    if not written:
        return {}
    channels = Counter(channel for each in written if (channel := _channel(each)))
    found: dict[str, Any] = {}
    if channels:
        most = max(channels.values())
        latest = [channel for each in reversed(written) if (channel := _channel(each)) and channels[channel] == most]
        found["preferred_channel"] = latest[0]
    if len(written) >= HABIT_LEAST:
        found["preferred_hour"] = busiest_hour([each["occurred_at"] for each in written], zone_of(own_zone, zone))
    return found


def busiest_hour(times: Iterable[datetime], zone: tzinfo) -> int:
    """The hour around which most of them lie: with its neighbours, then alone, then the earlier one."""
    hours = Counter(each.astimezone(zone).hour for each in times)

    def weight(hour: int) -> tuple[int, int, int]:
        around = sum(hours[(hour + by) % 24] for by in (-1, 0, 1))
        return around, hours[hour], -hour

    return max(range(24), key=weight)


def zone_of(*names: str | None) -> tzinfo:
    """The first of these that is a zone, else UTC."""
    for name in names:
        try:
            return ZoneInfo(name or "")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


def _written(past: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What the person wrote: no automatic reply, no word of a group."""
    return [each for each in past if each["name"] == RECEIVED and not _properties(each).get("automatic")]


def _channel(event: Mapping[str, Any]) -> str | None:
    value = _properties(event).get("channel") or _properties(event).get("provider")
    return value if isinstance(value, str) else None


def _properties(event: Mapping[str, Any]) -> Mapping[str, Any]:
    value = event.get("properties")
    return value if isinstance(value, Mapping) else {}


# -- answering -----------------------------------------------------------------------------------------------------


def answer_minutes(past: Sequence[Mapping[str, Any]]) -> list[float]:
    """How long each of their answers took: from our last message before it, in the same conversation."""
    waiting: dict[Any, datetime] = {}
    took: list[float] = []
    for each in past:
        talk = each.get("conversation_id")
        if each["name"] == SENT:
            waiting[talk] = each["occurred_at"]
        elif each["name"] == RECEIVED and not _properties(each).get("automatic") and talk in waiting:
            length = each["occurred_at"] - waiting.pop(talk)
            if length <= ANSWER_MAX:
                took.append(length.total_seconds() / 60)
    return took[-HABIT_MOST:]


def answering(minutes: Sequence[float]) -> dict[str, Any]:
    """`answer_minutes` (median) and `answers_within`: minutes, hour, day or days."""
    if len(minutes) < HABIT_LEAST:
        return {}
    typical = median(minutes)
    word = next((word for word, most in ANSWERS if typical <= most), "days")
    return {"answer_minutes": round(typical, 1), "answers_within": word}


# -- buying --------------------------------------------------------------------------------------------------------


def own_gap_days(document: Mapping[str, Any]) -> float | None:
    """Average days between the person's orders; None before the second."""
    orders = document.get("orders") or {}
    count, first, last = orders.get("count") or 0, orders.get("first_at"), orders.get("last_at")
    if count < 2 or first is None or last is None or last < first:
        return None
    return float((last - first) / timedelta(days=1)) / (count - 1)


def expected_gap(document: Mapping[str, Any], rhythm: Rhythm) -> tuple[float, str] | None:
    """Days until the next order is due, and whose rhythm says so: `own`, else that of `everybody`."""
    own = own_gap_days(document)
    if own is not None:
        return max(own, GAP_LEAST_DAYS), "own"
    if rhythm.median_days is not None and (document.get("orders") or {}).get("last_at") is not None:
        return max(rhythm.median_days, GAP_LEAST_DAYS), "everybody"
    return None


def buying(document: Mapping[str, Any], rhythm: Rhythm) -> dict[str, Any]:
    """Orders, revenue, average order, days between orders, and when the next one is due by whose rhythm."""
    orders = document.get("orders") or {}
    count, last = orders.get("count") or 0, orders.get("last_at")
    if count < 1:
        return {}
    revenue = {code: amount for code, amount in (orders.get("revenue") or {}).items() if amount}
    found: dict[str, Any] = {"orders": count, "revenue": revenue}
    found["average_order"] = {code: round(amount / count) for code, amount in revenue.items()}
    gap, due = own_gap_days(document), expected_gap(document, rhythm)
    if gap is not None:
        found["days_between_orders"] = round(gap, 1)
    if due is not None and last is not None:
        at = last + timedelta(days=due[0])
        found |= {"next_order_at": at.replace(microsecond=at.microsecond // 1000 * 1000), "next_order_by": due[1]}
    return found


def learned(gaps: Sequence[float]) -> Rhythm:
    """The deployment's rhythm from the average gaps of people with two orders and more."""
    if len(gaps) < LEARNED_LEAST:
        return Rhythm(None, len(gaps))
    return Rhythm(round(max(median(gaps), GAP_LEAST_DAYS), 1), len(gaps))


# -- the risk that they are gone -----------------------------------------------------------------------------------


def churn_risk(
    document: Mapping[str, Any], past: Sequence[Mapping[str, Any]], rhythm: Rhythm, now: datetime
) -> Risk | None:
    """The risk of one customer; None for who has bought nothing yet. `past`: as `in_order` gives it."""
    orders = document.get("orders") or {}
    if (orders.get("count") or 0) < 1 or orders.get("last_at") is None:
        return None
    looks = (_lateness(document, rhythm, now), _silence(document, now), _left(past), *_signs(past, now))
    reasons = tuple(reason for reason, _ in looks if reason)
    edges = [at for _, at in looks if at is not None and at > now]
    total = max(0, min(RISK_MAX, sum(each.points for each in reasons)))
    return Risk(total, tuple(sorted(reasons, key=lambda each: (-each.points, each.code))), min(edges, default=None))


_Look = tuple[Sign | None, datetime | None]


def _lateness(document: Mapping[str, Any], rhythm: Rhythm, now: datetime) -> _Look:
    """Late against the rhythm, or fresh: within a third of it."""
    due, last = expected_gap(document, rhythm), (document.get("orders") or {}).get("last_at")
    if due is None or last is None:
        return None, None
    gap = timedelta(days=due[0])
    edges = [last + gap / 3, *(last + gap * times for times, _ in LATE)]
    ahead = min((each + timedelta(milliseconds=1) for each in edges if each >= now), default=None)
    if now <= last + gap / 3:
        return Sign("fresh", FRESH_POINTS), ahead
    points = next((points for times, points in LATE if now > last + gap * times), 0)
    return (Sign("overdue", points) if points else None), ahead


def _silence(document: Mapping[str, Any], now: datetime) -> _Look:
    seen = document.get("last_seen_at")
    if seen is None:
        return None, None
    ahead = min((at for days, _ in SILENT if (at := seen + timedelta(days=days, milliseconds=1)) > now), default=None)
    points = next((points for days, points in SILENT if now > seen + timedelta(days=days)), 0)
    return (Sign("silent", points) if points else None), ahead


def _left(past: Sequence[Mapping[str, Any]]) -> _Look:
    """Left a channel, or blocked us there, and has not come back to it."""
    gone: dict[Any, bool] = {}
    for each in past:
        if each["name"] in ("contact.left", "contact.returned"):
            gone[each.get("identity_id") or each.get("channel_id")] = each["name"] == "contact.left"
    return (Sign("left", LEFT_POINTS) if any(gone.values()) else None), None


def _signs(past: Sequence[Mapping[str, Any]], now: datetime) -> list[_Look]:
    """What they did that people do who leave; each for its time."""
    found: list[_Look] = []
    for name, days, points, code in BAD_SIGNS:
        last = max((each["occurred_at"] for each in past if each["name"] == name and _counts(each)), default=None)
        until = last + timedelta(days=days) if last else None
        if until is not None and until >= now:
            found.append((Sign(code, points), until + timedelta(milliseconds=1)))
    return found


def _counts(event: Mapping[str, Any]) -> bool:
    if event["name"] != "csat.submitted":
        return True
    rating = _properties(event).get("rating", _properties(event).get("score"))
    return isinstance(rating, int | float) and not isinstance(rating, bool) and rating <= UNHAPPY
