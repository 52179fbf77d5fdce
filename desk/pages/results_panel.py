"""The panel of results that the pages of journeys and broadcasts include: `results/panel.html` with `panel=`. Pure.

Every bar has its figure as text beside it or in the table under it, and every comparison is said in words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from types import MappingProxyType

from campaigns.results import Day, Measured, Outcome, Part, Taking
from campaigns.tracking.lift import Bought, Difference
from desk.i18n import N_, NN_, Formats
from desk.pages.tracked import BY_TRACKING, NOTHING, number_or, percent, share_or, uncounted

#: Days that are drawn at most: the last ones.
DAYS_MAX = 60
_BARS: Mapping[str, str] = {
    "accepted": N_("Sent"), "delivered": N_("Arrived"), "opened": N_("Opened"), "clicked": N_("Clicked"),
    "unsubscribed": N_("Unsubscribed"), "complained": N_("Complained"),
}  # fmt: skip
#: Of how many a count is a share: of those it was sent to.
_OF_SENT = frozenset(_BARS) - {"accepted"}
_RATE: Mapping[str, str] = {
    "more": N_("More of those who were to get it bought: between %(low)s and %(high)s more of a hundred."),
    "less": N_("Fewer of those who were to get it bought: between %(low)s and %(high)s fewer of a hundred."),
    "cannot_tell": N_("It cannot be told yet whether more people bought because of it: the difference may be chance."),
    "too_few": N_("It cannot be told yet: too few people, or too few purchases."),
}  # fmt: skip
_MEAN: Mapping[str, str] = {
    "more": N_("It brought between %(low)s and %(high)s more per person."),
    "less": N_("It brought between %(low)s and %(high)s less per person."),
    "cannot_tell": N_("It cannot be told yet whether it brought more money: the difference may be chance."),
}  # fmt: skip
_LATE = NN_("%(num)s reminder was sent after the purchase.", "%(num)s reminders were sent after the purchase.")


@dataclass(frozen=True)
class Bar:
    """One count. `width`: 0 to 100, of the longest bar; `share`: of those it was sent to."""

    label: str
    text: str
    width: float
    share: str = ""


@dataclass(frozen=True)
class Row:
    """One step or arm."""

    name: str
    sent: str
    opened: str
    clicked: str
    money: str


@dataclass(frozen=True)
class Column:
    """One day of a chart. Heights: 0 to 100."""

    day: str
    sent: str
    clicked: str
    money: str
    sent_height: float
    clicked_height: float
    money_height: float


@dataclass(frozen=True)
class Chart:
    """Day by day. `said`: what it shows, for who does not see it; `currency`: of the money that is drawn."""

    columns: tuple[Column, ...]
    said: str
    said_money: str
    cut: bool

    @property
    def ticks(self) -> tuple[str, ...]:
        """The first, the middle and the last day."""
        days = [each.day for each in self.columns]
        return tuple(dict.fromkeys((days[0], days[len(days) // 2], days[-1]))) if len(days) > 2 else tuple(days)


@dataclass(frozen=True)
class LiftView:
    """Both groups, the sentences, and the interval as it is drawn: places from 0 to 100, `zero` where nothing is
    gained."""

    groups: tuple[tuple[str, str, str, str], ...]
    sentences: tuple[str, ...]
    low: float
    high: float
    value: float
    zero: float
    drawn: bool
    note: str
    at: datetime


@dataclass(frozen=True)
class Panel:
    """What the template draws."""

    at: datetime
    bars: list[Bar] = field(default_factory=list)
    money: list[str] = field(default_factory=list)
    machines: str = ""
    late: str = ""
    rows: list[Row] = field(default_factory=list)
    chart: Chart | None = None
    lift: LiftView | None = None
    empty: bool = False


def panel_of(
    outcome: Outcome, formats: Formats, names: Mapping[str, str] = MappingProxyType({}), *,
    tracked: Collection[str] = BY_TRACKING,
) -> Panel:  # fmt: skip
    """The panel of one journey or broadcast, in the reader's language. `names`: of its steps or arms by id; `tracked`:
    of `opened` and `clicked` what is counted."""
    counts = outcome.whole.counts
    most = max(counts[name] for name in _BARS) or 1
    bars = [_bar(name, counts, most, tracked, formats) for name in _BARS if counts[name] or name not in ("complained",)]
    machines = counts["machine_opened"] + counts["machine_clicked"]
    hits = N_("%(count)s hits by machines are not counted above.")
    late = outcome.sent_after_purchase
    return Panel(
        at=outcome.at, bars=bars, money=[_money(each, formats) for each in outcome.whole.takings],
        machines=formats.text(hits, count=formats.number(machines)) if machines else "",
        late=formats.plural(*_LATE, late) if late else "",
        rows=[_row(each, tracked, formats, names) for each in outcome.parts if _says(each)],
        chart=_chart(outcome, tracked, formats), lift=_lift(outcome.lift, formats) if outcome.lift else None,
        empty=not any(counts.values()) and not outcome.whole.takings,
    )  # fmt: skip


def _says(part: Part) -> bool:
    return any(part.counts.values()) or bool(part.takings)


def _bar(name: str, counts: Mapping[str, int], most: int, tracked: Collection[str], formats: Formats) -> Bar:
    count, sent = counts[name], counts["accepted"]
    share = share_or(name, count, sent, tracked, formats) if sent and name in _OF_SENT else ""
    text = number_or(name, count, tracked, formats)
    return Bar(formats.text(_BARS[name]), text, round(100 * count / most, 1), share)


def _row(part: Part, tracked: Collection[str], formats: Formats, names: Mapping[str, str]) -> Row:
    money = " · ".join(formats.money(each.amount_minor, each.currency) for each in part.takings)
    shown = (number_or(name, part.counts[name], tracked, formats) for name in ("accepted", "opened", "clicked"))
    sent, opened, clicked = shown
    return Row(names.get(str(part.node)) or str(part.node), sent, opened, clicked, money)


def _money(taking: Taking, formats: Formats) -> str:
    amount = formats.money(taking.amount_minor, taking.currency)
    return formats.text(N_("%(amount)s from %(count)s orders"), amount=amount, count=formats.number(taking.orders))


# -- day by day ----------------------------------------------------------------------------------------------------


def _chart(outcome: Outcome, tracked: Collection[str], formats: Formats) -> Chart | None:
    days = _gapless(outcome.days)
    shown = days[-DAYS_MAX:]
    if len(shown) < 2:
        return None
    main = outcome.whole.takings[0].currency if outcome.whole.takings else ""
    earned = [sum(each.amount_minor for each in day.takings if each.currency == main) for day in shown]
    sent_most, click_most = max(day.sent for day in shown) or 1, max(day.clicked for day in shown) or 1
    money_most = max(0, *earned) or 1
    uncounted_clicks = uncounted("clicked", outcome.whole.counts["clicked"], tracked)
    columns = tuple(
        Column(
            _said_day(day.day, formats), formats.number(day.sent),
            NOTHING if uncounted_clicks else formats.number(day.clicked),
            " · ".join(formats.money(each.amount_minor, each.currency) for each in day.takings),
            _height(day.sent, sent_most), _height(day.clicked, click_most), _height(minor, money_most),
        )
        for day, minor in zip(shown, earned, strict=True)
    )  # fmt: skip
    best = max(shown, key=lambda day: day.sent)
    said = formats.text(
        N_("Messages sent from %(first)s to %(last)s, most on %(best)s: %(count)s"), first=columns[0].day,
        last=columns[-1].day, best=_said_day(best.day, formats), count=formats.number(best.sent),
    )  # fmt: skip
    money = ""
    if any(earned):
        top = max(range(len(shown)), key=lambda place: earned[place])
        money = formats.text(
            N_("Revenue in %(currency)s day by day, most on %(best)s: %(amount)s"), currency=main,
            best=columns[top].day, amount=formats.money(earned[top], main),
        )  # fmt: skip
    return Chart(columns, said, money, len(days) > len(shown))


def _gapless(days: Sequence[Day]) -> list[Day]:
    """From the first day with anything to the last one, those without anything too."""
    if not days:
        return []
    known = {each.day: each for each in days}
    first, last = (date.fromisoformat(each) for each in (min(known), max(known)))
    first = max(first, last - timedelta(days=DAYS_MAX))
    spread = [(first + timedelta(days=place)).isoformat() for place in range((last - first).days + 1)]
    return [known.get(day) or Day(day) for day in spread]


def _said_day(day: str, formats: Formats) -> str:
    """A day as it stands in the zone of the workspace, whatever the reader's is."""
    return formats.date(datetime.fromisoformat(day).replace(hour=12, tzinfo=formats.zone))


def _height(value: int, most: int) -> float:
    return round(100 * max(0, value) / most, 1)


# -- what would not have been bought anyway ------------------------------------------------------------------------


def _lift(measured: Measured, formats: Formats) -> LiftView:
    lift, currency = measured.lift, measured.currency
    rate = _said(_RATE, lift.rate, lambda value: formats.number(round(100 * value, 1)), formats)
    sentences = [rate]
    if lift.mean.verdict != "too_few" and currency:
        sentences.append(_said(_MEAN, lift.mean, lambda value: formats.money(round(value), currency), formats))
    low, high = lift.rate.low, lift.rate.high
    reach = max(abs(low), abs(high)) or 1.0
    places = [round(50 + 50 * each / reach, 1) for each in (low, high, lift.rate.value)]
    note = formats.text(
        N_("All purchases within %(days)s days count, whoever brought them."), days=formats.number(measured.days)
    )
    note += " " + formats.text(N_("Who was left out at the last moment counts, as in the control group."))
    if measured.cut:
        note += " " + formats.text(N_("Measured on the first 20,000 people of each group."))
    groups = (
        _group(N_("Were to get it"), lift.treated, currency, formats),
        _group(N_("Control group"), lift.held_out, currency, formats),
    )
    return LiftView(
        groups, tuple(sentences), places[0], places[1], places[2], 50.0, lift.rate.verdict != "too_few", note,
        measured.at,
    )  # fmt: skip


def _group(label: str, group: Bought, currency: str, formats: Formats) -> tuple[str, str, str, str]:
    money = formats.money(round(group.mean), currency) if currency else ""
    return formats.text(label), formats.number(group.people), percent(group.rate, 1, formats), money


def _said(words: Mapping[str, str], difference: Difference, shown: Callable[[float], str], formats: Formats) -> str:
    """The sentence of a verdict. Of a loss the smaller end comes first as well."""
    ends = sorted(abs(end) for end in (difference.low, difference.high) if math.isfinite(end))
    if difference.verdict not in ("more", "less") or len(ends) < 2:
        return formats.text(words[difference.verdict])
    return formats.text(words[difference.verdict], low=shown(ends[0]), high=shown(ends[1]))
