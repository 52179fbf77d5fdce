"""What happened with a person, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from profiles.models import Event

#: Event → sentence and sign. Names with no entry show themselves, never nothing.
SENTENCES: Mapping[str, tuple[str, str]] = {
    "profile.created": (N_("First seen"), "sparkles"),
    "profile.updated": (N_("Details changed"), "pencil-square"),
    "profile.merged": (N_("Merged with another profile"), "arrows-pointing-in"),
    "profile.unmerged": (N_("A merge was undone"), "arrows-pointing-out"),
    "profile.stage_changed": (N_("Stage changed to %(to)s"), "arrow-trending-up"),
    "profile.tier_changed": (N_("Tier changed to %(to)s"), "trophy"),
    "profile.tag_added": (N_("Tag %(tag)s added"), "tag"),
    "profile.tag_removed": (N_("Tag %(tag)s removed"), "tag"),
    "profile.relation_added": (N_("A relation was added"), "users"),
    "profile.relation_removed": (N_("A relation was removed"), "users"),
    "profile.score_changed": (N_("Score changed to %(to)s"), "chart-bar"),
    "message.received": (N_("Wrote"), "chat-bubble-left"),
    "message.sent": (N_("We wrote"), "paper-airplane"),
    "message.delivered": (N_("A message was delivered"), "check"),
    "message.read": (N_("A message was read"), "eye"),
    "message.failed": (N_("A message failed"), "exclamation-circle"),
    "message.clicked": (N_("Clicked a link"), "cursor-arrow-rays"),
    "message.opened": (N_("Opened a mail"), "envelope-open"),
    "message.bounced": (N_("A mail bounced"), "exclamation-circle"),
    "message.complained": (N_("Marked a mail as spam"), "no-symbol"),
    "conversation.created": (N_("A conversation began"), "chat-bubble-left-right"),
    "conversation.assigned": (N_("The conversation went to %(to_name)s"), "user-plus"),
    "conversation.status_changed": (N_("The conversation is %(to)s now"), "check-circle"),
    "order.created": (N_("Placed an order"), "shopping-bag"),
    "order.paid": (N_("Paid an order"), "banknotes"),
    "order.payment_failed": (N_("A payment failed"), "x-circle"),
    "order.fulfilled": (N_("An order was shipped"), "truck"),
    "order.delivered": (N_("An order was delivered"), "home"),
    "order.cancelled": (N_("An order was cancelled"), "x-circle"),
    "order.refunded": (N_("An order was refunded"), "receipt-refund"),
    "checkout.started": (N_("Began a checkout"), "shopping-cart"),
    "checkout.updated": (N_("Changed the basket"), "shopping-cart"),
    "checkout.completed": (N_("Completed a checkout"), "shopping-cart"),
    "consent.granted": (N_("Agreed to %(purpose)s"), "hand-thumb-up"),
    "consent.denied": (N_("Refused %(purpose)s"), "hand-raised"),
    "consent.requested": (N_("Was asked to confirm %(purpose)s"), "envelope"),
    "contact.left": (N_("Left the channel"), "arrow-right-start-on-rectangle"),
    "contact.returned": (N_("Came back"), "arrow-uturn-left"),
    "task.created": (N_("A task was made"), "clipboard"),
    "task.done": (N_("A task was done"), "clipboard-document-check"),
}
TONES = {
    "message.failed": "bad",
    "message.bounced": "bad",
    "order.payment_failed": "bad",
    "order.cancelled": "bad",
    "order.paid": "good",
    "order.delivered": "good",
    "profile.created": "good",
}
STATUS_WORDS = {
    "open": N_("open"),
    "pending": N_("pending"),
    "snoozed": N_("snoozed"),
    "resolved": N_("resolved"),
    "spam": N_("spam"),
}


class _Lenient(dict[str, str]):
    """A property that an event does not carry is a dash, not a fault."""

    def __missing__(self, key: str) -> str:
        return "–"


@dataclass(frozen=True)
class Happening:
    """One entry of the timeline."""

    id: str
    title: str
    detail: str
    symbol: str
    tone: str
    at: datetime
    href: str
    face: Face | None


@dataclass(frozen=True)
class DayOf:
    """Entries of one day, latest first."""

    at: datetime
    entries: tuple[Happening, ...]


def timeline(events: Sequence[Event], faces: Faces, formats: Formats) -> list[DayOf]:
    """Newest first, by day of the reader's zone."""
    days: list[DayOf] = []
    group: list[Event] = []
    for event in events:
        if group and _day(event, formats) != _day(group[0], formats):
            days.append(_day_of(group, faces, formats))
            group = []
        group.append(event)
    return [*days, _day_of(group, faces, formats)] if group else days


def _day(event: Event, formats: Formats) -> Any:
    return event.occurred_at.astimezone(formats.zone).date()


def _day_of(events: Sequence[Event], faces: Faces, formats: Formats) -> DayOf:
    return DayOf(events[0].occurred_at, tuple(happening(event, faces, formats) for event in events))


def happening(event: Event, faces: Faces, formats: Formats) -> Happening:
    """One event."""
    msgid, symbol = SENTENCES.get(event.name, ("", "bolt"))
    properties = dict(event.properties)
    title = event.name
    if msgid:
        shown = {key: str(value) for key, value in properties.items() if isinstance(value, str | int | float)}
        if event.name == "conversation.status_changed" and shown.get("to") in STATUS_WORDS:
            shown["to"] = formats.text(STATUS_WORDS[shown["to"]])
        title = formats.text(msgid, _Lenient(shown)) if "%(" in msgid else formats.text(msgid)
    face = faces.of(event.channel_id) if event.channel_id else None
    return Happening(
        event.id, title, _detail(event, properties, formats), symbol, TONES.get(event.name, ""), event.occurred_at,
        _href(event, properties), face,
    )  # fmt: skip


def _detail(event: Event, properties: Mapping[str, Any], formats: Formats) -> str:
    if event.name.startswith(("order.", "checkout.")):
        nested = properties.get("order")
        order: Mapping[str, Any] = nested if isinstance(nested, Mapping) else properties
        number = order.get("external_id") or order.get("number") or ""
        total = order.get("total")
        money = formats.money(total["amount_minor"], total["currency"]) if isinstance(total, Mapping) else ""
        return " · ".join(str(each) for each in (number, money) if each)
    text = properties.get("text") or properties.get("reason") or properties.get("title")
    return " ".join(str(text).split())[:160] if isinstance(text, str) else ""


def _href(event: Event, properties: Mapping[str, Any]) -> str:
    if event.conversation_id:
        return f"/inbox/{event.conversation_id}"
    order_id = properties.get("order_id")
    return f"/orders/{order_id}" if isinstance(order_id, str) and order_id.startswith("ord_") else ""
