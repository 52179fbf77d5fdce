"""What journeys and broadcasts have come to: how far messages got, what people did with them, what was bought, and what
of it would not have been bought anyway."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from base.clock import Clock
from base.mongo import Document
from campaigns.tracking.attribution import paid_at, worth
from campaigns.tracking.lift import Group, Lift, lift_of
from campaigns.tracking.settings import settings_of
from campaigns.tracking.store import CreditStore, TrackingStore
from campaigns.tracking.store.figures import FigureStore
from orders.store import OrderStore

Kind = Literal["journey", "broadcast"]
By = Literal["campaign", "day", "channel"]
#: Counts of sends. Each further one is a part of the one before, except those in the second row.
COUNTS = ("accepted", "delivered", "read", "opened", "clicked", "machine_opened", "machine_clicked", "unsubscribed",
          "failed", "skipped")  # fmt: skip
COLUMNS: Mapping[By, tuple[str, ...]] = {
    "campaign": ("kind", "id", "name"), "day": ("day",), "channel": ("channel_id",),
}  # fmt: skip


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


@dataclass(frozen=True)
class Outcome:
    """What one journey or broadcast has come to. `lift` None: nobody is held out."""

    kind: Kind
    id: str
    whole: Part
    parts: list[Part]
    sent_after_purchase: int
    lift: Lift | None
    lift_currency: str
    lift_days: int
    #: The lift was measured on the first so many people of each group.
    lift_cut: bool


class Results:
    """Reads; the sums of money are kept, the rest is counted in the ledger."""

    def __init__(
        self, figures: FigureStore, credits: CreditStore, tracking: TrackingStore, orders: OrderStore, clock: Clock
    ) -> None:
        self._figures = figures
        self._credits = credits
        self._tracking = tracking
        self._orders = orders
        self._clock = clock

    async def of(self, kind: Kind, source_id: str) -> Outcome:
        """One journey or broadcast. Raises `TooSlow`."""
        parts: dict[str | None, Part] = {}
        for row in await self._figures.counts(source_id):
            _add(parts.setdefault(row["node_id"], Part(row["node_id"])).counts, row)
        for row in await self._credits.takings([source_id]):
            part = parts.setdefault(row["node_id"], Part(row["node_id"]))
            part.takings.append(Taking(row["currency"], row["orders"], row["minor"]))
        whole = Part(None)
        for part in parts.values():
            _add(whole.counts, part.counts)
        whole.takings = _summed([each for part in parts.values() for each in part.takings])
        late = (await self._credits.late([source_id])).get(source_id, 0)
        lift, currency, days, cut = await self._lift(kind, source_id, whole.takings)
        listed = sorted((each for each in parts.values() if each.node), key=lambda part: str(part.node))
        return Outcome(kind, source_id, whole, listed, late, lift, currency, days, cut)

    async def report(self, since: datetime, until: datetime, by: By) -> list[Document]:
        """A row per campaign, day (UTC) or channel of that time, and per currency where something was bought."""
        found: dict[tuple[str, ...], Document] = {}
        for row in await self._figures.counts_by_time(since, until):
            own = found.setdefault(_key(row, by), _blank(row, by))
            _add(own["counts"], row)
        for row in await self._credits.by_time(since, until):
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

    async def _lift(
        self, kind: Kind, source_id: str, takings: Sequence[Taking]
    ) -> tuple[Lift | None, str, int, bool]:  # fmt: skip
        """Both groups by what their people bought in the days after it began for them, whoever gets the credit: the
        held out have no touch."""
        hours = settings_of(await self._tracking.settings()).windows.click or 120
        span = timedelta(hours=hours)
        groups = await self._figures.groups(kind, source_id)
        if not groups.held_out:
            return None, "", span.days, False
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
        return lift_of(treated, held_out), main, span.days, groups.cut

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


def as_csv(rows: Sequence[Document], by: By) -> str:
    """The report as a table: one line per row and currency; counts stand in the first line of a row alone."""
    text = io.StringIO()
    writer = csv.writer(text)
    more = ("sent_after_purchase",) if by == "campaign" else ()
    writer.writerow([*COLUMNS[by], *COUNTS, *more, "orders", "revenue_minor", "currency"])
    for row in rows:
        head = [_plain(row.get(name, "")) for name in COLUMNS[by]]
        for place, taking in enumerate(row["takings"] or [None]):
            counts = [row["counts"][name] if place == 0 else "" for name in COUNTS]
            late = [row[name] if place == 0 else "" for name in more]
            money = [taking.orders, taking.amount_minor, taking.currency] if taking else [0, 0, ""]
            writer.writerow([*head, *counts, *late, *money])
    return text.getvalue()


def _plain(text: Any) -> str:
    """No name becomes a formula in a spreadsheet."""
    value = str(text or "")
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


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
