"""What journeys and broadcasts have come to: how far messages got, what people did with them, what was bought, and what
of it would not have been bought anyway."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from base.clock import Clock
from base.errors import TooSlow
from base.mongo import Document
from campaigns.store import Place, UseStore
from campaigns.tracking.attribution import paid_at, worth
from campaigns.tracking.lift import Bought, Difference, Group, Lift, lift_of
from campaigns.tracking.settings import settings_of
from campaigns.tracking.store import CreditStore, TrackingStore
from campaigns.tracking.store.figures import DATED, FigureStore
from campaigns.tracking.store.outcomes import OutcomeStore
from orders.store import OrderStore
from profiles.sheets.cells import guarded

Kind = Literal["journey", "broadcast"]
By = Literal["campaign", "day", "channel"]
#: Counts of sends. Each further one is a part of the one before, except those in the second row.
COUNTS = ("accepted", "delivered", "read", "opened", "clicked", "machine_opened", "machine_clicked", "unsubscribed",
          "complained", "failed", "skipped")  # fmt: skip
COLUMNS: Mapping[By, tuple[str, ...]] = {
    "campaign": ("kind", "id", "name"), "day": ("day",), "channel": ("channel_id",),
}  # fmt: skip
#: Figures that took longer than a moment to count are shown for so many times as long before they are counted again,
#: and for no longer than this: counting costs a hundredth of the time, however often somebody looks.
MOMENT_MS, RESTS, RESTS_MAX = 50, 100, timedelta(minutes=15)
#: The library shows figures that may be as old as this, and counts anew for so long at most.
LIBRARY_KEPT, LIBRARY_S = timedelta(hours=1), 2.0


@dataclass(frozen=True)
class Taking:
    """Orders and money in one currency."""

    currency: str
    orders: int
    amount_minor: int


@dataclass
class Part:
    """A step of a journey or an arm of a broadcast; `node` None: all of it, or what belongs to no part."""

    node: str | None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    takings: list[Taking] = field(default_factory=list)


@dataclass
class Day:
    """What happened on one day of the workspace's time zone: `2026-11-28`."""

    day: str
    sent: int = 0
    opened: int = 0
    clicked: int = 0
    takings: list[Taking] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """The lift with what it was measured by. `cut`: on the first so many people of each group."""

    lift: Lift
    currency: str
    days: int
    cut: bool
    at: datetime


@dataclass(frozen=True)
class Outcome:
    """What one journey or broadcast has come to, counted at `at`. `lift` None: nobody is held out."""

    kind: Kind
    id: str
    at: datetime
    zone: str
    whole: Part
    parts: list[Part]
    days: list[Day]
    sent_after_purchase: int
    lift: Measured | None


class Results:
    """Reads; the sums of money are kept, the rest is counted in the ledger and kept for a while."""

    def __init__(
        self, figures: FigureStore, credits: CreditStore, tracking: TrackingStore, orders: OrderStore,
        kept: OutcomeStore, uses: UseStore, clock: Clock, *, zone: str = "UTC",
    ) -> None:  # fmt: skip
        """`zone`: the workspace's time zone, whose days are told."""
        self._figures = figures
        self._credits = credits
        self._tracking = tracking
        self._orders = orders
        self._kept = kept
        self._uses = uses
        self._clock = clock
        self._zone = zone

    async def of(self, kind: Kind, source_id: str) -> Outcome:
        """One journey or broadcast. Raises `TooSlow` where it was never counted before."""
        kept = (await self._kept.many([source_id])).get(source_id) or {}
        counted = await self._fresh(kept, "", lambda: self._counted(source_id))
        parts = {
            row["node"]: Part(row["node"], {**dict.fromkeys(COUNTS, 0), **row["counts"]}) for row in counted["parts"]
        }
        for row in await self._credits.takings([source_id]):
            part = parts.setdefault(row["node_id"], Part(row["node_id"]))
            part.takings.append(Taking(row["currency"], row["orders"], row["minor"]))
        whole = Part(None)
        for part in parts.values():
            _add(whole.counts, part.counts)
        whole.takings = _summed([each for part in parts.values() for each in part.takings])
        late = (await self._credits.late([source_id])).get(source_id, 0)
        measured = await self._fresh(kept, "lift_", lambda: self._measured(kind, source_id, whole.takings))
        listed = sorted((each for each in parts.values() if each.node), key=lambda part: str(part.node))
        return Outcome(
            kind, source_id, counted["at"], self._zone, whole, listed, await self._days(source_id, counted["days"]),
            late, _lift(measured),
        )  # fmt: skip

    async def _fresh(self, kept: Document, name: str, count: Callable[[], Awaitable[Document]]) -> Document:
        """What was counted before while it is fresh enough, or when it cannot be counted just now; else anew. `name`
        stands before the fields that say when and how long."""
        at, took = kept.get(f"{name}at"), kept.get(f"{name}took_ms", 0)
        rest = min(RESTS_MAX, timedelta(milliseconds=took * RESTS)) if took > MOMENT_MS else timedelta()
        if at is not None and self._clock() < at + rest:
            return kept
        begun = time.monotonic()
        try:
            found = await count()
        except TooSlow:
            if at is None:
                raise
            return kept
        fields = {**found, f"{name}at": self._clock(), f"{name}took_ms": int(1000 * (time.monotonic() - begun))}
        source_id = fields.pop("_id")
        await self._kept.keep(source_id, fields)
        return fields

    async def _counted(self, source_id: str) -> Document:
        parts: dict[str | None, dict[str, int]] = {}
        days: dict[str, Day] = {}
        for row in await self._figures.counts(source_id, self._zone):
            _add(parts.setdefault(row["node_id"], dict.fromkeys(COUNTS, 0)), row)
            for name, of in _COUNTED.items():
                if row[f"{name}_on"] is not None:
                    day = days.setdefault(row[f"{name}_on"], Day(row[f"{name}_on"]))
                    setattr(day, name, getattr(day, name) + row[of])
        told = [{"day": each.day, **{name: getattr(each, name) for name in DATED}} for each in days.values()]
        return {
            "_id": source_id, "parts": [{"node": node, "counts": counts} for node, counts in parts.items()],
            "days": told,
        }  # fmt: skip

    async def _days(self, source_id: str, counted: Sequence[Mapping[str, Any]]) -> list[Day]:
        days = {row["day"]: Day(**row) for row in counted}
        for row in await self._credits.by_day(source_id, self._zone):
            own = days.setdefault(row["day"], Day(row["day"]))
            own.takings = _summed([*own.takings, Taking(row["currency"], row["orders"], row["minor"])])
        return [days[day] for day in sorted(days)]

    # -- the library -------------------------------------------------------------------------------------------

    async def of_contents(self, contents: Collection[str]) -> dict[str, dict[str, int]]:
        """What messages have come to in which a template (its id), a snippet or an offer (`snippet_use`, `offer_use`)
        stood, in broadcasts and journeys: sums of `COUNTS`, and `orders`. Figures may be an hour old."""
        uses = await self._uses.of(contents)
        places = {place for each in uses.values() for place in each}
        counted = await self._lately({place.source_id for place in places})
        orders: dict[tuple[str, str | None], int] = {}
        for row in await self._credits.takings(sorted(counted)):
            key = (row["source_id"], row["node_id"])
            orders[key] = orders.get(key, 0) + row["orders"]
        sums = {place: _of_place(place, counted.get(place.source_id), orders) for place in places}
        found: dict[str, dict[str, int]] = {}
        for content, own in uses.items():
            total = dict.fromkeys((*COUNTS, "orders"), 0)
            for place in own:
                for name, number in sums[place].items():
                    total[name] += number
            found[content] = total
        return found

    async def _lately(self, source_ids: Collection[str]) -> dict[str, Document]:
        """Kept figures of these; those that are missing or old are counted, as many as can be in a moment."""
        kept, begun = await self._kept.many(source_ids), time.monotonic()
        old = self._clock() - LIBRARY_KEPT
        stale = [each for each in source_ids if each not in kept or kept[each].get("at", old) <= old]
        for source_id in sorted(stale, key=lambda each: each in kept):
            if time.monotonic() - begun > LIBRARY_S:
                break
            try:
                one = kept.get(source_id, {})
                kept[source_id] = {**one, **await self._fresh(one, "", lambda of=source_id: self._counted(of))}  # type: ignore[misc]
            except TooSlow:
                continue
        return kept

    # -- the report --------------------------------------------------------------------------------------------

    async def report(self, since: datetime, until: datetime, by: By, zone: str = "UTC") -> list[Document]:
        """A row per campaign, day (of `zone`) or channel of that time, and per currency where something was bought."""
        found: dict[tuple[str, ...], Document] = {}
        for row in await self._figures.counts_by_time(since, until, zone):
            own = found.setdefault(_key(row, by), _blank(row, by))
            _add(own["counts"], row)
        for row in await self._credits.by_time(since, until, zone):
            own = found.setdefault(_key(row, by), _blank(row, by))
            own["takings"] = _summed([*own["takings"], Taking(row["currency"], row["orders"], row["minor"])])
        if by == "campaign":
            await self._name(list(found.values()))
        return [found[key] for key in sorted(found)]

    async def _name(self, rows: Sequence[Document]) -> None:
        late = await self._credits.late([row["id"] for row in rows])
        names: dict[str, str] = {}
        for kind in ("journey", "broadcast"):
            names |= await self._tracking.names(kind, [row["id"] for row in rows if row["kind"] == kind])
        for row in rows:
            row |= {"name": names.get(row["id"], ""), "sent_after_purchase": late.get(row["id"], 0)}

    # -- the lift ----------------------------------------------------------------------------------------------

    async def _measured(self, kind: Kind, source_id: str, takings: Sequence[Taking]) -> Document:
        """Both groups by what their people bought in the days after it began for them, whoever gets the credit: the
        held out have no touch."""
        hours = settings_of(await self._tracking.settings()).windows.click or 120
        span = timedelta(hours=hours)
        groups = await self._figures.groups(kind, source_id)
        if not groups.held_out:
            return {"_id": source_id, "lift": None}
        bought = [await self._bought(each, span) for each in (groups.treated, groups.held_out)]
        counts: dict[str, int] = {}
        for people in bought:
            for amounts in people:
                for currency in amounts:
                    counts[currency] = counts.get(currency, 0) + 1
        main = takings[0].currency if takings else max(counts, key=lambda each: counts[each], default="")
        treated, held_out = (
            Group([amounts.get(main, 0) for amounts in people], sum(1 for amounts in people if amounts))
            for people in bought
        )
        lift = lift_of(treated, held_out)
        kept = {**asdict(lift), "currency": main, "days": span.days, "cut": groups.cut}
        return {"_id": source_id, "lift": kept}

    async def _bought(self, people: Mapping[str, datetime], span: timedelta) -> list[dict[str, int]]:
        found: list[dict[str, int]] = []
        ids = list(people)
        for start in range(0, len(ids), 1000):
            orders = await self._orders.of_profiles(ids[start : start + 1000])
            for profile_id, own in orders.items():
                amounts: dict[str, int] = {}
                for order in own:
                    counts, minor, currency = worth(order)
                    at, begun = paid_at(order), people[profile_id]
                    if counts and at is not None and begun <= at <= begun + span:
                        amounts[currency] = amounts.get(currency, 0) + minor
                found.append(amounts)
        return found


#: What is shown day by day → the count it is.
_COUNTED = {"sent": "accepted", "opened": "opened", "clicked": "clicked"}


def _lift(row: Mapping[str, Any]) -> Measured | None:
    kept = row.get("lift")
    if kept is None:
        return None
    lift = Lift(
        Bought(**kept["treated"]), Bought(**kept["held_out"]), Difference(**kept["rate"]), Difference(**kept["mean"])
    )
    return Measured(lift, kept["currency"], kept["days"], kept["cut"], row["lift_at"])


def _of_place(place: Place, row: Document | None, orders: Mapping[tuple[str, str | None], int]) -> dict[str, int]:
    """The counts of one step or arm; of a broadcast without arms all of it."""
    sums = {"orders": orders.get((place.source_id, place.node), 0)}
    for part in (row or {}).get("parts", ()):
        if part["node"] == place.node:
            sums |= {name: part["counts"].get(name, 0) for name in COUNTS}
    return sums


def as_csv(rows: Sequence[Document], by: By) -> str:
    """The report as a table: one line per row and currency; counts stand in the first line of a row alone."""
    text = io.StringIO()
    writer = csv.writer(text)
    more = ("sent_after_purchase",) if by == "campaign" else ()
    writer.writerow([*COLUMNS[by], *COUNTS, *more, "orders", "revenue_minor", "currency"])
    for row in rows:
        head = [guarded(str(row.get(name) or "")) for name in COLUMNS[by]]
        for place, taking in enumerate(row["takings"] or [None]):
            counts = [row["counts"][name] if place == 0 else "" for name in COUNTS]
            late = [row[name] if place == 0 else "" for name in more]
            money = [taking.orders, taking.amount_minor, taking.currency] if taking else [0, 0, ""]
            writer.writerow([*head, *counts, *late, *money])
    return text.getvalue()


def _add(counts: dict[str, int], more: Mapping[str, Any]) -> None:
    for name in COUNTS:
        counts[name] = counts.get(name, 0) + (more.get(name) or 0)


def _summed(takings: Sequence[Taking]) -> list[Taking]:
    sums: dict[str, tuple[int, int]] = {}
    for each in takings:
        orders, minor = sums.get(each.currency, (0, 0))
        sums[each.currency] = (orders + each.orders, minor + each.amount_minor)
    made = [Taking(currency, *own) for currency, own in sums.items()]
    return sorted(made, key=lambda each: (-each.orders, each.currency))


def _key(row: Mapping[str, Any], by: By) -> tuple[str, ...]:
    names = {"campaign": ("kind", "id"), "day": ("day",), "channel": ("channel",)}[by]
    return tuple(str(row.get(name) or "") for name in names)


def _blank(row: Mapping[str, Any], by: By) -> Document:
    own = {"campaign": {"kind": row["kind"], "id": row["id"]}, "day": {"day": row["day"]},
           "channel": {"channel_id": row.get("channel") or ""}}[by]  # fmt: skip
    return {**own, "counts": dict.fromkeys(COUNTS, 0), "takings": []}
