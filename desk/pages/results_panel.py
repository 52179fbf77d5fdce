"""The panel of results that the pages of journeys and broadcasts include: `results/panel.html` with `panel=`. Pure.

Every bar has its figure as text beside it, and every comparison is said in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from campaigns.results import Outcome, Part, Taking
from campaigns.tracking.lift import Difference
from desk.i18n import N_, Formats

_BARS: Mapping[str, str] = {
    "accepted": N_("Sent"), "delivered": N_("Arrived"), "opened": N_("Opened"), "clicked": N_("Clicked"),
    "unsubscribed": N_("Unsubscribed"),
}  # fmt: skip
_RATE: Mapping[str, str] = {
    "more": N_("More of those who got it bought: between %(low)s and %(high)s more of a hundred."),
    "less": N_("Fewer of those who got it bought: between %(low)s and %(high)s fewer of a hundred."),
    "cannot_tell": N_("It cannot be told yet whether more people bought because of it: the difference may be chance."),
    "too_few": N_("It cannot be told yet: too few people, or too few purchases."),
}  # fmt: skip
_MEAN: Mapping[str, str] = {
    "more": N_("It brought between %(low)s and %(high)s more per person."),
    "less": N_("It brought between %(low)s and %(high)s less per person."),
    "cannot_tell": N_("It cannot be told yet whether it brought more money: the difference may be chance."),
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One count. `width`: 0 to 100, of the longest bar."""

    label: str
    text: str
    width: float


@dataclass(frozen=True)
class Row:
    """One step or arm."""

    name: str
    sent: str
    clicked: str
    money: str


@dataclass(frozen=True)
class Panel:
    """What the template draws."""

    bars: list[Bar] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    machines: str = ""
    late: str = ""
    rows: list[Row] = field(default_factory=list)
    lift: list[str] = field(default_factory=list)
    empty: bool = False


def panel_of(outcome: Outcome, formats: Formats) -> Panel:
    """The panel of one journey or broadcast, in the reader's language."""
    counts = outcome.whole.counts
    most = max(counts[name] for name in _BARS) or 1
    bars = [
        Bar(formats.text(label), formats.number(counts[name]), round(100 * counts[name] / most, 1))
        for name, label in _BARS.items()
    ]
    machines = counts["machine_opened"] + counts["machine_clicked"]
    return Panel(
        bars=bars,
        money=[_money(each, formats) for each in outcome.whole.takings],
        machines=formats.text(N_("%(count)s hits by machines are not counted above."), count=formats.number(machines))
        if machines
        else "",
        late=formats.text(N_("%(count)s reminders were sent after the purchase."),
                          count=formats.number(outcome.sent_after_purchase)),
        rows=[_row(each, formats) for each in outcome.parts],
        lift=_lift(outcome, formats),
        empty=not any(counts.values()) and not outcome.whole.takings,
    )  # fmt: skip


def _row(part: Part, formats: Formats) -> Row:
    money = " · ".join(formats.money(each.amount_minor, each.currency) for each in part.takings)
    return Row(str(part.node), formats.number(part.counts["accepted"]), formats.number(part.counts["clicked"]), money)


def _money(taking: Taking, formats: Formats) -> str:
    amount = formats.money(taking.amount_minor, taking.currency)
    return formats.text(N_("%(amount)s from %(count)s orders"), amount=amount, count=formats.number(taking.orders))


def _lift(outcome: Outcome, formats: Formats) -> list[str]:
    lift = outcome.lift
    if lift is None:
        return []
    rate = _said(_RATE, lift.rate, lambda value: formats.number(round(100 * value, 1)), formats)
    if lift.mean.verdict == "too_few" or not outcome.lift_currency:
        return [rate]
    mean = _said(_MEAN, lift.mean, lambda value: formats.money(round(value), outcome.lift_currency), formats)
    return [rate, mean]


def _said(words: Mapping[str, str], difference: Difference, shown: Callable[[float], str], formats: Formats) -> str:
    """The sentence of a verdict. Of a loss the smaller end comes first as well."""
    ends = sorted(abs(end) for end in (difference.low, difference.high) if math.isfinite(end))
    if difference.verdict not in ("more", "less") or len(ends) < 2:
        return formats.text(words[difference.verdict])
    return formats.text(words[difference.verdict], low=shown(ends[0]), high=shown(ends[1]))
