"""A rule as a filter for a stretch of people, with what happened to them read beforehand; and when time changes it.

The stretch bounds every list of ids, so a rule on events works on any number of people.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from base.mongo import Document, ExecutionTimeout, Session
from profiles.segments import Rule, is_profiling, matches_event, tells_time, to_filter
from profiles.segments.fields import Kind
from profiles.segments.memory import Facts, ListedEvents, matches
from profiles.segments.outlook import TICK, UNSURE, outlook, passing
from profiles.segments.rules import EventCount, FieldIs, LastEvent, leaves
from profiles.segments.span import Span
from profiles.store.segments import MemberStore

#: A stretch's people are made due in so many groups at most.
TURNS = 24
#: Whole events read of one stretch while somebody waits.
LOOKED_MAX = 20_000
Filter = dict[str, Any]
Between = tuple[str, str]
_OPS: Mapping[str, Callable[[int, int], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


class Stretch:
    """Rules asked of the people whose ids lie between two."""

    def __init__(
        self, members: MemberStore, between: Between, now: datetime, session: Session | None = None, *,
        left_ms: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        """`left_ms`: what is left of the time in which somebody waits for the answer; then `ExecutionTimeout`."""
        self._left_ms = left_ms
        self._members = members
        self._session = session
        self._now = now
        self.between = between
        self._known: dict[tuple[str, Span | None], list[Document]] = {}

    async def filter(self, rule: Rule) -> Filter:
        """People of the stretch for whom the rule holds. The filter means nothing outside of it."""
        asked = {each for each in leaves(rule) if isinstance(each, EventCount | LastEvent)}
        found: dict[Rule, Filter] = {each: await self._whom(each) for each in asked}
        wanted = to_filter(rule, self._now, members=found)
        return {"$and": [wanted, {"profiling_off": {"$ne": True}}]} if is_profiling(rule) else wanted

    async def timely(self, rule: Rule) -> list[tuple[list[Any], Filter]]:
        """What makes people due: (times, expressions over a profile) and whom they concern."""
        result: list[tuple[list[Any], Filter]] = []
        for each in {leaf for leaf in leaves(rule) if tells_time(leaf)}:
            if isinstance(each, FieldIs) and each.field.kind is Kind.TIME and isinstance(each.value, Span):
                result.append(_passing(each, each.value, self._now))
            elif isinstance(each, FieldIs):
                result += _in_turn(await self._by_field(each))
            elif isinstance(each, EventCount | LastEvent):
                result += _in_turn(await self._by_events(each))
        return result

    async def _by_field(self, leaf: FieldIs) -> dict[str, datetime]:
        """Person → when the leaf may change for them."""
        rows = await self._members.having(self.between, leaf.field.path, self._session)
        looks = {row["_id"]: outlook(leaf, Facts(row), self._now)[1] for row in rows}
        return {key: at for key, at in looks.items() if at is not None}

    async def _by_events(self, leaf: EventCount | LastEvent) -> dict[str, datetime]:
        """Person → when the leaf may change for them by what has happened so far."""
        now = self._now
        within = leaf.within if isinstance(leaf, EventCount) else None
        rows = await self._counted(leaf.event, within)
        if isinstance(leaf, EventCount) and any(tells_time(each) for each in leaf.where):
            return {row["_id"]: now for row in rows}
        looks = {}
        for row in rows:
            if isinstance(leaf, EventCount) and not leaf.where and _settled(leaf, row):
                continue
            span, begins = (leaf.value, row["last"]) if isinstance(leaf, LastEvent) else (within, row["first"])
            ends = passing(span, begins + TICK, now) if isinstance(span, Span) and begins is not None else ()
            times = [at for at in (*ends, row["ahead"]) if at is not None and at > now]
            if times:
                looks[row["_id"]] = min(times)
        return looks

    async def _whom(self, leaf: EventCount | LastEvent) -> Filter:
        if isinstance(leaf, LastEvent):
            lasts = {row["_id"]: row["last"] for row in await self._counted(leaf.event, None)}
            holds = [key for key, at in lasts.items() if _last(leaf, at, self._now)]
            return {"_id": {"$nin": list(lasts)}} if leaf.op == "missing" else {"_id": {"$in": holds}}
        counts = await (self._listed(leaf) if leaf.where else self._unlisted(leaf))
        if _enough(leaf, 0):
            return {"_id": {"$nin": [key for key, count in counts.items() if not _enough(leaf, count)]}}
        return {"_id": {"$in": [key for key, count in counts.items() if _enough(leaf, count)]}}

    async def _unlisted(self, leaf: EventCount) -> dict[str, int]:
        return {row["_id"]: row["count"] for row in await self._counted(leaf.event, leaf.within)}

    async def _listed(self, leaf: EventCount) -> dict[str, int]:
        since = leaf.within.before(self._now) if leaf.within else None
        counts: dict[str, int] = {}
        for row in await self._happened(leaf.event):
            recent = since is None or since <= row["occurred_at"] <= self._now
            if recent and matches_event(leaf.where, row, self._now):
                counts[row["profile_id"]] = counts.get(row["profile_id"], 0) + 1
        return counts

    async def _counted(self, event: str, within: Span | None) -> list[Document]:
        key = (event, within)
        if key not in self._known:
            since = within.before(self._now) if within else None
            self._known[key] = await self._members.counted(
                self.between, event, since, self._now, self._session, time_ms=self._time_ms()
            )
        return self._known[key]

    async def _happened(self, event: str) -> list[Document]:
        most = LOOKED_MAX + 1 if self._left_ms else None
        rows = await self._members.happened(
            self.between, event, self._session, time_ms=self._time_ms(), most=most
        )  # fmt: skip
        if most is not None and len(rows) == most:
            raise ExecutionTimeout("more events than are read while somebody waits")
        return rows

    def _time_ms(self) -> int | None:
        return self._left_ms() if self._left_ms else None


def _in_turn(looks: Mapping[str, datetime]) -> list[tuple[list[Any], Filter]]:
    """Those who are due first come first, some together: a little early for most of them, and late for none."""
    ordered = sorted(looks, key=lambda key: looks[key])
    size = max(1, -(-len(ordered) // TURNS))
    parts = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [([looks[part[0]]], {"_id": {"$in": sorted(part)}}) for part in parts]


def _enough(leaf: EventCount, count: int) -> bool:
    return all(_OPS[op](count, number) for op, number in leaf.counts)


def _settled(leaf: EventCount, row: Document) -> bool:
    """Whether the answer stays although what was counted passes out of the span, one after the other."""
    count = row["count"]
    steps = {0, *(number + step for _, number in leaf.counts for step in (-1, 0, 1))}
    stays = all(_enough(leaf, each) == _enough(leaf, count) for each in steps if 0 <= each < count)
    return row["ahead"] is None and stays


def _last(leaf: LastEvent, at: datetime, now: datetime) -> bool:
    return matches(leaf, Facts({"_id": ""}, ListedEvents([{"name": leaf.event, "occurred_at": at}], now)), now)


def _passing(leaf: FieldIs, span: Span, now: datetime) -> tuple[list[Any], Filter]:
    """As `outlook.passing`, computed by the database for all people at once."""
    path = f"${leaf.field.path}"
    value = {"$cond": [{"$eq": [{"$type": path}, "date"]}, path, None]}
    rest_ms = int(span.rest / timedelta(milliseconds=1)) + 1
    after = {"$dateAdd": {"startDate": value, "unit": "millisecond", "amount": rest_ms}}
    slack = timedelta()
    at: Any = after
    if span.months:
        slack, day_ms = UNSURE, int(UNSURE / timedelta(milliseconds=1))
        about = {"$dateAdd": {"startDate": after, "unit": "month", "amount": span.months}}
        first = {"$dateAdd": {"startDate": about, "unit": "millisecond", "amount": -day_ms}}
        at = {"$cond": [{"$eq": [first, None]}, None, {"$max": [first, now]}]}
    times = [at]
    if leaf.op == "within_last":
        times.append({"$cond": [{"$gt": [value, now]}, value, None]})
    return times, {leaf.field.path: {"$gte": span.before(now) - slack - timedelta(days=1) * bool(span.months)}}
