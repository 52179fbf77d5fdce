"""How much time is left of what was promised in a conversation, as rows and heads show it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from desk.i18n import N_, Formats
from inbox.models import Conversation, SlaClock
from inbox.sla.clock import Terms
from inbox.sla.models import Target

#: Target → what it is called.
NAMES: Mapping[Target, str] = {
    "first_response": N_("First answer"), "next_response": N_("Next answer"), "resolution": N_("All done"),
}  # fmt: skip


@dataclass(frozen=True)
class DueClock:
    """The clock that ends first. `level`: 0 stands still, 1 there is time, 2 due soon, 3 overdue. `is_answer`: it is an
    answer that is due, so since when the customer waits need not stand beside it."""

    text: str
    title: str
    level: int
    is_answer: bool


def due_clock(conversation: Conversation, terms: Terms, formats: Formats) -> DueClock | None:
    """The clock of a conversation, by the open time of its promise; None where nothing is promised, or nothing more."""
    sla = conversation.sla
    if sla is None or not sla.clocks:
        return None
    running = [each for each in sla.clocks if each.due_at is not None]
    if running:
        first = min(running, key=lambda each: each.due_at or each.since)
        return _running(first, sla.policy_id, terms, formats)
    first = sla.clocks[0]
    _, is_answer = formats.text, first.target != "resolution"
    if not sla.paused:
        title = _(N_("%(what)s: its business hours never open"), {"what": _(NAMES[first.target])})
        return DueClock(_(N_("Never due")), title, 0, is_answer)
    left = formats.span(first.left_s or 0, parts=2)
    title = _(N_("%(what)s: stands still, %(time)s left"), {"what": _(NAMES[first.target]), "time": left})
    return DueClock(_(N_("Paused")), title, 0, is_answer)


def _running(clock: SlaClock, policy_id: str | None, terms: Terms, formats: Formats) -> DueClock:
    _, now, due_at = formats.text, formats.now, clock.due_at or clock.since
    hours, is_answer = terms.hours_for(policy_id), clock.target != "resolution"
    given = {"what": _(NAMES[clock.target]), "when": formats.moment(due_at)}
    if due_at <= now:
        late = formats.span(hours.worked(due_at, now).total_seconds())
        return DueClock(_(N_("%(time)s late"), {"time": late}), _(N_("%(what)s was due %(when)s"), given), 3, is_answer)
    left = formats.span(hours.worked(now, due_at).total_seconds())
    level = 2 if clock.soon_at is not None and clock.soon_at <= now else 1
    return DueClock(_(N_("%(time)s left"), {"time": left}), _(N_("%(what)s is due %(when)s"), given), level, is_answer)


def is_due(conversation: Conversation) -> bool:
    """Whether anything promised has an end."""
    return conversation.sla is not None and conversation.sla.due_at is not None


def due_order(conversation: Conversation) -> str:
    """A text that sorts before another when what was promised is due later: the live list puts the greatest first."""
    due_at = conversation.sla.due_at if conversation.sla else None
    return f"{10**15 - int(due_at.timestamp() * 1000):016}" if due_at else ""
