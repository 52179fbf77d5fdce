"""Rules of automation as forms and as sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from desk.i18n import N_, Formats
from desk.pages import form_kinds
from desk.pages.action_forms import action_words
from desk.pages.form_kinds import ROOT, RUN_HEAD, Field, Names
from desk.pages.inbox_rows import PRIORITIES, STATUS_LABELS
from desk.pages.journey_sources import STATUSES
from desk.pages.rules import duration_words, event_words, field_words
from desk.pages.segment_rows import Choices, Option
from desk.pages.sentences import rule_words

ON = f"{ROOT}/on"
#: What rules may wait for, in the order in which it is offered.
EVENTS: Mapping[str, str] = {
    "message.received": N_("a customer writes"), "conversation.created": N_("a conversation begins"),
    "conversation.status_changed": N_("a conversation gets another state"),
    "conversation.assigned": N_("a conversation gets somebody else"),
    "conversation.labelled": N_("a conversation gets other labels"),
    "conversation.prioritised": N_("a conversation gets another priority"),
    "message.sent": N_("a message has gone out"), "message.failed": N_("a message fails"),
    "sla.due_soon": N_("an answer is due soon"), "sla.breached": N_("an answer is overdue"),
    "csat.submitted": N_("a rating is given"),
    "order.created": N_("an order is placed"), "order.paid": N_("the order is paid"),
    "order.payment_failed": N_("a payment fails"), "order.fulfilled": N_("the order is shipped"),
    "order.delivered": N_("the order is delivered"), "order.cancelled": N_("the order is cancelled"),
    "order.refunded": N_("the order is refunded"), "profile.tag_added": N_("a tag is added"),
    "profile.stage_changed": N_("the stage changes"),
}  # fmt: skip
TIMED: tuple[tuple[str, str], ...] = (
    ("waiting", N_("the customer waits for our answer")), ("no_reply", N_("the customer does not answer us")),
    ("idle", N_("nobody says anything")), ("untouched", N_("none of us touches the conversation")),
)  # fmt: skip
TYPES: tuple[tuple[str, str], ...] = (("event", N_("Something happens")), ("timed", N_("Time goes by")))
START_FORMS: Mapping[str, tuple[Field, ...]] = {
    "event": (Field("event", "named", N_("What happens"), source="rule_events"),),
    "timed": (
        Field("what", "choice", N_("What stands"), options=TIMED, initial="waiting"),
        Field("after", "span", N_("For"), initial="PT15M"),
        Field("hours_id", "pick", N_("Counted in"), N_("empty: around the clock"), source="hours"),
    ),
}  # fmt: skip
WHEN = Field("when", "rule", "", N_("Without a condition it fits always."))
#: What a condition may ask about beside the person: path, kind of value.
FIELDS: tuple[tuple[str, str], ...] = (
    ("conversation.status", "choice"), ("conversation.labels", "choices"), ("conversation.channel_id", "choice"),
    ("conversation.priority", "choice"), ("conversation.team_id", "choice"), ("conversation.assignee_id", "choice"),
    ("conversation.waiting", "boolean"), ("conversation.waiting_s", "number"), ("conversation.idle_s", "number"),
    ("conversation.answered", "boolean"), ("conversation.unread", "number"), ("conversation.text", "text"),
    ("conversation.subject", "text"), ("order.status", "choice"), ("order.awaits_payment", "boolean"),
    ("order.paid", "boolean"), ("order.total.amount_minor", "number"), ("event.properties.text", "text"),
)  # fmt: skip
OUTCOMES: Mapping[str, str] = {
    "acting": N_("Under way"), "fitted": N_("Done"), "did_not_fit": N_("Did not fit"),
    "no_conversation": N_("No conversation"), "own_effect": N_("Its own doing"), "loop": N_("Stopped: in circles"),
    "changed": N_("Stopped: changed meanwhile"), "crashed": N_("Set aside"), "failed": N_("Failed"),
    "answered": N_("No longer so"), "other_channel": N_("Another channel"),
}  # fmt: skip
OUTCOME_TONES: Mapping[str, str] = {
    "fitted": "good", "loop": "danger", "crashed": "danger", "failed": "danger", "changed": "warn",
}  # fmt: skip


def condition_choices(
    choices: Choices, sources: Mapping[str, Sequence[Option]], formats: Formats
) -> Choices:  # fmt: skip
    """With what rules may ask about a conversation, an order and an event."""
    own = [(RUN_HEAD + path, field_words(path, formats), kind) for path, kind in FIELDS]
    values: dict[str, Mapping[str, str]] = {
        "order.status": {each: event_words(f"order.{each}", formats) for each in STATUSES},
        "conversation.status": {key: formats.text(words) for key, words in STATUS_LABELS.items()},
        "conversation.priority": {key: formats.text(words) for key, words in PRIORITIES.items()},
        "conversation.channel_id": dict(sources["accounts"]), "conversation.team_id": dict(sources["teams"]),
        "conversation.assignee_id": dict(sources["users"]),
    }  # fmt: skip
    plain = [each for each in choices.fields if not each[0].startswith(RUN_HEAD)]
    both = {**choices.values, **values, **{RUN_HEAD + name: each for name, each in values.items()}}
    return replace(choices, fields=[*own, *plain], values=both)


def names_of_start(on: Mapping[str, Any]) -> Names:
    """What sets a rule off, as the names of a form."""
    kind = str(on.get("type", "event"))
    return {f"{ON}:type": [kind]} | form_kinds.filled(START_FORMS[kind], on, ON)


def start_of(names: Names) -> dict[str, Any]:
    """The other way round, as the API takes it."""
    kind = start_type(names)
    return {"type": kind, **form_kinds.built(START_FORMS[kind], names, {}, ON)}


def start_type(names: Names) -> str:
    """Which of the two it is."""
    kind = form_kinds.one(names, f"{ON}:type")
    return kind if kind in START_FORMS else "event"


def start_words(on: Mapping[str, Any], hours: Mapping[str, str], formats: Formats) -> str:
    """When a rule is asked."""
    _ = formats.text
    if on["type"] == "event":
        name = str(on["event"])
        what = _(EVENTS[name]) if name in EVENTS else event_words(name, formats)
        return _(N_("When %(what)s"), what=what)
    given = {"what": _(dict(TIMED)[on["what"]]), "span": duration_words(on["after"], formats)}
    if on.get("hours_id"):
        name = hours.get(on["hours_id"], _(N_("hours that are gone")))
        return _(N_("When %(what)s for %(span)s of “%(hours)s”"), hours=name, **given)
    return _(N_("When %(what)s for %(span)s"), **given)


def when_words(when: Mapping[str, Any] | None, choices: Choices, formats: Formats) -> str:
    """What has to hold; empty for nothing."""
    if when is None:
        return ""
    return formats.text(N_("Only if: %(rule)s"), rule=rule_words(when, formats, choices.known))


def does_words(actions: Sequence[Mapping[str, Any]], called: Mapping[str, str], formats: Formats) -> list[str]:
    """What it does, action by action."""
    return [action_words(each, called, formats) for each in actions]
