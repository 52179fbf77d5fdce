"""Words for the parts of rules and for durations of the public contract (sections 3 and 4). Pure."""

from __future__ import annotations

import re
from typing import Any

from desk.i18n import N_, NN_, Formats

OPERATORS = {
    "eq": N_("is"), "ne": N_("is not"), "lt": N_("is below"), "lte": N_("is at most"), "gt": N_("is above"),
    "gte": N_("is at least"), "between": N_("is between"), "in": N_("is one of"), "not_in": N_("is none of"),
    "exists": N_("is known"), "missing": N_("is not known"), "contains": N_("contains"),
    "not_contains": N_("does not contain"), "starts_with": N_("begins with"), "ends_with": N_("ends with"),
    "matches": N_("matches"), "any_of": N_("has any of"), "all_of": N_("has all of"), "none_of": N_("has none of"),
    "before": N_("is before"), "after": N_("is after"), "within_last": N_("was within the last"),
    "older_than": N_("was longer ago than"), "day_of_year": N_("falls on"),
}  # fmt: skip
FIELDS = {
    "name": N_("name"), "emails": N_("mail address"), "phones": N_("phone number"), "tags": N_("tags"),
    "stage": N_("stage"), "tier": N_("tier"), "score": N_("score"), "locale": N_("language"),
    "time_zone": N_("time zone"), "orders.count": N_("number of orders"), "orders.revenue": N_("revenue"),
    "orders.last_at": N_("last order"), "orders.first_at": N_("first order"), "last_seen_at": N_("last seen"),
    "created_at": N_("first seen"), "order.status": N_("order status"), "order.total.amount_minor": N_("order total"),
    "event.properties.text": N_("the message"),
    "owner_id": N_("owner"), "tier_since": N_("tier since"), "stage_since": N_("stage since"),
    "rfm.r": N_("recency mark"), "rfm.f": N_("frequency mark"), "rfm.m": N_("money mark"),
    "rfm.total": N_("sum of marks"), "rfm.code": N_("marks"),
    "traits.preferred_channel": N_("preferred channel"), "traits.preferred_hour": N_("preferred hour"),
    "traits.answer_minutes": N_("minutes until they answer"), "traits.answers_within": N_("answers within"),
    "traits.orders": N_("number of orders that stand"), "traits.days_between_orders": N_("days between orders"),
    "traits.next_order_at": N_("next order expected"), "traits.next_order_by": N_("whose rhythm says so"),
    "traits.churn_risk": N_("risk of leaving"), "traits.churn_reasons": N_("reasons for the risk of leaving"),
    "handles": N_("public name"), "roles": N_("roles"), "location": N_("place"),
    "address.city": N_("city"), "address.postal_code": N_("postcode"), "address.region": N_("region"),
    "address.country": N_("country"), "updated_at": N_("last change"),
    "first_touch.at": N_("first contact"), "last_touch.at": N_("last contact"), "occurred_at": N_("when it happened"),
    "conversation.waiting": N_("the customer waits for our answer"), "conversation.open": N_("a conversation is open"),
    "conversation.status": N_("state of the conversation"), "conversation.labels": N_("labels of the conversation"),
    "conversation.channel_id": N_("channel of the conversation"), "conversation.priority": N_("priority"),
    "conversation.assignee_id": N_("who has the conversation"), "conversation.team_id": N_("team of the conversation"),
    "conversation.waiting_s": N_("seconds the customer has waited"), "conversation.text": N_("the last words"),
    "conversation.idle_s": N_("seconds since anything was said"), "conversation.subject": N_("the subject"),
    "conversation.answered": N_("somebody has answered before"), "conversation.unread": N_("unread messages"),
    "order.paid": N_("the order is paid for"), "order.awaits_payment": N_("the order waits for its payment"),
}  # fmt: skip
EVENTS = {
    "message.received": N_("a message arrives"),
    "message.delivered": N_("a message is delivered"),
    "message.read": N_("a message is read"),
    "message.replied": N_("a reply arrives"),
    "message.clicked": N_("a link is clicked"),
    "message.opened": N_("a mail is opened"),
    "message.failed": N_("a message fails"),
    "message.bounced": N_("a message bounces"),
    "message.complained": N_("a message is reported as unwanted"),
    "conversation.created": N_("a conversation begins"),
    "order.created": N_("an order is placed"),
    "order.paid": N_("the order is paid"),
    "order.payment_failed": N_("a payment fails"),
    "order.fulfilled": N_("the order is shipped"),
    "order.delivered": N_("the order is delivered"),
    "order.cancelled": N_("the order is cancelled"),
    "order.refunded": N_("the order is refunded"),
    "order.pending": N_("an order waits for its payment"),
    "order.authorised": N_("a payment is authorised"),
    "order.processing": N_("the order is in preparation"),
    "order.out_for_delivery": N_("the order is out for delivery"),
    "order.completed": N_("the order is completed"),
    "order.partially_refunded": N_("the order is partly refunded"),
    "order.checkout": N_("a checkout begins"),
    "api": N_("a program or a colleague starts it"),
    "checkout.started": N_("a checkout begins"),
    "checkout.completed": N_("a checkout is completed"),
    "profile.created": N_("somebody new appears"),
    "profile.tag_added": N_("a tag is added"),
    "profile.stage_changed": N_("the stage changes"),
    "contact.returned": N_("the customer comes back to the channel"),
    "csat.submitted": N_("a rating is given"), "nps.submitted": N_("a recommendation is given"),
    "contact.left": N_("the customer leaves the channel"),
    "consent.denied": N_("consent is withdrawn"),
    "consent.granted": N_("consent is given"),
    "task.done": N_("a task is done"),
    "segment.entered": N_("somebody enters a segment"),
    "segment.left": N_("somebody leaves a segment"),
    "date": N_("a date of the person has come"),
    "schedule": N_("the schedule has come round"),
    "backfill": N_("those who qualified already were taken in"),
}
DURATION = re.compile(r"^(-)?P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")
PIECES = (
    NN_("%(num)s year", "%(num)s years"),
    NN_("%(num)s month", "%(num)s months"),
    NN_("%(num)s week", "%(num)s weeks"),
    NN_("%(num)s day", "%(num)s days"),
    NN_("%(num)s hour", "%(num)s hours"),
    NN_("%(num)s minute", "%(num)s minutes"),
    NN_("%(num)s second", "%(num)s seconds"),
)
MAX_WORDS = 90


def duration_words(text: Any, formats: Formats) -> str:
    """`P3D` → 3 days. Anything else stays as it is."""
    found = DURATION.match(str(text))
    if not found or not any(found.groups()[1:]):
        return str(text)
    words = [formats.plural(*PIECES[i], int(n)) for i, n in enumerate(found.groups()[1:]) if n and int(n)]
    return " ".join(words) or formats.plural(*PIECES[5], 0)


def event_words(name: str, formats: Formats) -> str:
    """An event in words; a name of one's own stays in quotes."""
    return formats.text(EVENTS[name]) if name in EVENTS else formats.text(N_("“%(name)s” happens"), name=name)


def field_words(field: str, formats: Formats) -> str:
    """A field in words."""
    if field in FIELDS:
        return formats.text(FIELDS[field])
    if field.startswith(("orders.revenue.", "traits.revenue.", "traits.average_order.")):
        words = N_("average order in %(currency)s") if "average" in field else N_("revenue in %(currency)s")
        return formats.text(words, currency=field.rpartition(".")[2])
    if field.startswith(("first_touch.", "last_touch.")):
        touch, _, name = field.partition(".")
        words = N_("first contact: %(what)s") if touch == "first_touch" else N_("last contact: %(what)s")
        return formats.text(words, what=name.replace("_", " "))
    return (
        field.removeprefix("attributes.")
        .removeprefix("event.properties.")
        .removeprefix("properties.")
        .replace("_", " ")
    )


def cut(text: str, most: int = MAX_WORDS) -> str:
    """Not longer than a line can hold."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
