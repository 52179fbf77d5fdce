"""The forms of a journey: of what starts it, of each kind of step, of the whole. A new kind is an entry here. Pure.

Fields that a model does not have (yet) are left out; those it has and no table names are shown as they are written, so
that nothing is out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from campaigns.models import STEPS, TRIGGERS, Goal, QuietHours, Reentry
from desk.i18n import N_
from desk.pages.form_kinds import Field
from desk.pages.rules import EVENTS

NAME = Field("name", "text", N_("Name"))
THEN = Field("next", "target", N_("Then"))
LATE = Field("timeout_next", "target", N_("Then, when the time is up"))
ON_MISS = (("continue", N_("goes on")), ("exit", N_("leaves the journey")))
ON_HOLD = (("defer", N_("sent later")), ("skip", N_("left out")))
ON_UNKNOWN = (
    ("", N_("sent again, but mailings are not")), ("leave", N_("not sent again")), ("repeat", N_("sent again")),
)  # fmt: skip
ZONE = Field("zone", "suggest", N_("Time zone"), N_("empty: the person's own"), source="zones", default="profile")
WHERE = Field("where", "where", N_("Only when"))
EVENT = Field("event", "named", N_("What happens"), source="events")
WINDOW = Field("window", "object", N_("Between"), fields=(
    Field("from", "clock", N_("from")), Field("to", "clock", N_("to")),
))  # fmt: skip
WORDING = (
    Field("subject", "text", N_("Subject"), N_("for e-mail")), Field("text", "area", N_("Text"), source="variables"),
    Field("body", "area", N_("HTML"), N_("for e-mail, when the text alone will not do"), more=True),
)  # fmt: skip
CONTENT = Field("content", "object", N_("Message"), fields=(
    *WORDING,
    Field("locales", "map", N_("Other languages"), source="locales", fields=WORDING),
    Field("buttons", "rows", N_("Buttons"), more=True, fields=(
        Field("title", "text", N_("Label")), Field("url", "text", N_("Link")), Field("payload", "text", N_("Answer")),
    )),
    Field("whatsapp", "json", N_("Approved template"), more=True),
))  # fmt: skip
UTM = Field("utm", "object", N_("Added to links"), N_("Empty: as in the settings. A dash adds nothing."), more=True,
            fields=tuple(
    Field(name, "text", f"utm_{name}") for name in ("source", "medium", "campaign", "term", "content")
))  # fmt: skip
HUMAN = (
    Field("text", "area", N_("What is to be done")), Field("assignee", "pick", N_("Who"), source="assignees"),
    Field("due", "span", N_("Due in")),
    Field("wait_done", "check", N_("Wait until it is done"), default=False),
    Field("timeout", "span", N_("At most for")), THEN, LATE,
)  # fmt: skip

WORDINGS = (
    ("", N_("as they are when it goes out; in the ways of a split as published")),
    ("latest", N_("as they are when it goes out")), ("pinned", N_("as they are when the journey is published")),
)  # fmt: skip

#: Type → what its settings are made of.
STEP_FORMS: Mapping[str, tuple[Field, ...]] = {
    "send": (
        Field("what", "variants", N_("What"), variants=(
            ("template_id", N_("A template"), (
                Field("template_id", "pick", N_("Template"), source="templates"),
                Field("wording", "choice", N_("Its words"), more=True, options=WORDINGS),
            )),
            ("content", N_("Written here"), (CONTENT,)),
        )),
        Field("channels", "picks", N_("Channels"), N_("The first one on which the person can be reached."),
              source="channels", default=["any"]),
        Field("group", "pick", N_("Consent group"), source="groups"),
        Field("wait_for", "choice", N_("Go on"), default="accepted", more=True, options=(
            ("accepted", N_("once it is sent")), ("delivered", N_("once it has arrived")),
        )),
        Field("wait_timeout", "span", N_("Wait for its arrival at most"), more=True),
        Field("if_skipped", "choice", N_("If it may not be sent, the person"), options=ON_MISS, default="continue",
              more=True),
        Field("if_failed", "choice", N_("If it fails, the person"), options=ON_MISS, default="continue", more=True),
        Field("if_quiet", "choice", N_("In quiet hours it is"), options=ON_HOLD, default="defer", more=True),
        Field("if_capped", "choice", N_("When they had enough messages, it is"), options=ON_HOLD, default="defer",
              more=True),
        Field("if_unknown", "choice", N_("When nobody can say whether it went out, it is"), options=ON_UNKNOWN,
              more=True),
        UTM, THEN,
    ),
    "wait": (
        Field("how", "variants", N_("Wait"), variants=(
            ("for", N_("for some time"), (Field("for", "span", N_("How long"), initial="P1D"),)),
            ("until", N_("until a time of day"), (Field("until", "object", initial={"time": "09:00"}, fields=(
                Field("weekdays", "weekdays", N_("On these days")), Field("time", "clock", N_("At")), WINDOW, ZONE,
            )),)),
            ("until_date", N_("until a date"), (Field("until_date", "object", initial={"time": "09:00"}, fields=(
                Field("field", "named", N_("Which date"), source="dates"),
                Field("offset", "span", N_("Moved by"), signed=True), Field("time", "clock", N_("At")), ZONE,
            )),)),
        )),
        Field("past", "choice", N_("If that has passed already, the person"), default="pass", more=True, options=(
            ("pass", N_("goes on")), ("exit", N_("leaves the journey")),
        )),
        THEN,
    ),
    "wait_event": (
        Field("any", "rows", N_("Until one of these"), fields=(
            EVENT, WHERE, Field("match_key", "text", N_("The same one: equal in"), N_("such as properties.order_id"),
                                more=True), THEN,
        )),
        Field("timeout", "span", N_("At most for")), LATE,
        Field("since", "suggest", N_("Counts from"), N_("entry, step, or a length of time such as PT2H"),
              default="step", more=True),
    ),
    "branch": (
        Field("cases", "rows", N_("If"), fields=(Field("when", "rule"), THEN)),
        Field("else", "target", N_("Otherwise")),
    ),
    "split": (
        Field("arms", "rows", N_("Ways"), fields=(
            Field("name", "text", N_("Name")), Field("weight", "number", N_("Share"), initial=50), THEN,
        )),
        Field("winner", "object", N_("The best way wins"), more=True, fields=(
            Field("metric", "choice", N_("Measured by"), options=(
                ("", "–"), ("opened", N_("opened")), ("clicked", N_("clicked")), ("replied", N_("replied")),
                ("goal", N_("goal met")), ("revenue", N_("revenue")),
            )),
            Field("decide_by", "span", N_("Decided after")),
            Field("min_sample", "number", N_("People each way needs"), default=100),
            Field("fallback", "text", N_("Else the way called")),
        )),
    ),
    "holdout": (Field("percent", "number", N_("Percent that get nothing"), initial=10), THEN),
    "update": (
        Field("add_tags", "list", N_("Add tags"), source="tags"),
        Field("remove_tags", "list", N_("Remove tags"), source="tags"),
        Field("stage", "pick", N_("Stage"), source="stages"),
        Field("score", "number", N_("Points to the score"), N_("negative takes away")),
        Field("score_reason", "text", N_("Why, as the profile shows it"), more=True),
        Field("score_for", "span", N_("These points go after"), more=True),
        Field("set", "map", N_("Set fields"), source="fields"),
        Field("unset", "list", N_("Empty fields"), source="fields", more=True),
        Field("consent", "map", N_("Consent"), source="groups", more=True, options=(
            ("granted", N_("agreed")), ("denied", N_("said no")),
        )),
        THEN,
    ),
    "task": HUMAN,
    "notify": HUMAN,
    "assign": (
        Field("assignee", "pick", N_("To whom"), source="assignees"),
        Field("what", "checks", N_("What is given"), default=["conversation"], options=(
            ("conversation", N_("the conversation")), ("owner", N_("the customer")),
        )),
        Field("among", "picks", N_("In turns among"), N_("only in turns; empty: every active agent"), source="users",
              more=True),
        Field("team_id", "pick", N_("Team"), source="teams", more=True),
        Field("text", "area", N_("What is to be done"), more=True),
        Field("due", "span", N_("Due in"), more=True),
        Field("wait_done", "check", N_("Wait until it is done"), default=False),
        Field("timeout", "span", N_("At most for")), THEN, LATE,
    ),
    "note": (Field("text", "area", N_("Note")), Field("assignee", "pick", N_("Mention"), source="assignees"), THEN),
    "webhook": (
        Field("url", "text", N_("Address"), N_("Names such as {{ profile.id }} may stand in its path and query.")),
        Field("body", "json", N_("Content (JSON)"), N_("empty: all that is known")),
        Field("save_as", "text", N_("Keep the answer as"), N_("later steps know it as journey.NAME")),
        Field("timeout_s", "number", N_("Seconds to wait for the answer"), default=10, more=True),
        Field("if_failed", "choice", N_("If it fails, the person"), options=ON_MISS, default="continue", more=True),
        THEN,
    ),
    "start_journey": (
        Field("journey_id", "pick", N_("Journey"), source="journeys"),
        Field("data", "map", N_("Values it is given"), more=True), THEN,
    ),
    "throttle": (
        Field("rate", "number", N_("People at most"), initial=100), Field("per", "span", N_("In any"), initial="PT1H"),
        Field("scope", "text", N_("Shared line"), N_("steps that name the same share it"), more=True), THEN,
    ),
    "digest": (
        Field("window", "span", N_("Gather for"), initial="PT1H"),
        Field("key", "text", N_("One per"), N_("such as event.properties.order_id"), more=True),
        Field("max", "number", N_("Go on at once with"), default=50, more=True), THEN,
    ),
    "exit": (Field("reason", "text", N_("Reason"), N_("groups the ends in reports")),),
    "jump": (Field("to", "target", N_("Goes on at")),),
}  # fmt: skip

#: What a step of that type begins with.
NEW: Mapping[str, Mapping[str, Any]] = {
    "send": {"channels": ["any"]}, "wait": {"for": "P1D"},
    "wait_event": {"any": [{"event": "message.received"}], "timeout": "P3D"}, "branch": {"cases": [{}]},
    "split": {"arms": [{"name": "A", "weight": 50}, {"name": "B", "weight": 50}]}, "holdout": {"percent": 10},
    "notify": {"assignee": "owner"}, "assign": {"assignee": "owner"}, "throttle": {"rate": 100, "per": "PT1H"},
    "digest": {"window": "PT1H"},
}  # fmt: skip

#: Heading → types, as they are offered behind a “+”. A type that is named nowhere is offered under the last.
OFFERED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (N_("Messages"), ("send",)), (N_("Time"), ("wait", "wait_event", "throttle", "digest")),
    (N_("Ways"), ("branch", "split", "holdout", "jump", "exit")),
    (N_("The customer"), ("update", "note", "start_journey")),
    (N_("Colleagues and programs"), ("task", "notify", "assign", "webhook")),
)  # fmt: skip
#: Type → what it does, in a few words.
PURPOSES: Mapping[str, str] = {
    "send": N_("A message on the best channel"), "wait": N_("For a time, until an hour or a date"),
    "wait_event": N_("Until something happens"), "throttle": N_("Only so many people at a time"),
    "digest": N_("Many events become one message"), "branch": N_("Different ways by a rule"),
    "split": N_("Try ways against each other"), "holdout": N_("A share gets nothing, to measure"),
    "jump": N_("Go on at another step"), "exit": N_("End here, with a reason"),
    "update": N_("Tags, stage, fields, consent"), "note": N_("On the customer's page"),
    "start_journey": N_("Go into another one"), "task": N_("Something for a colleague to do"),
    "notify": N_("Tell a colleague"), "assign": N_("Give the conversation to somebody"),
    "webhook": N_("Call a program"),
}  # fmt: skip

STATUSES = tuple(
    (name.removeprefix("order."), words) for name, words in EVENTS.items() if name.startswith("order.")
    and name not in ("order.created", "order.payment_failed", "order.fulfilled")
)  # fmt: skip
TRIGGER_FORMS: Mapping[str, tuple[Field, ...]] = {
    "event": (
        EVENT, WHERE, Field("key", "text", N_("One run per"), N_("such as properties.order_id"), more=True),
        Field("max_age", "span", N_("Not when it is older than"), default="PT72H", more=True),
    ),
    "message_received": (
        Field("keyword", "words", N_("With one of these words"), N_("several, between commas; empty: any message")),
        Field("channel", "pick", N_("Channel"), source="channels"),
        Field("first_contact", "check", N_("Only the very first message of somebody"), default=False),
    ),
    "order": (
        Field("status", "choice", N_("When"), options=(("", "…"), ("fulfilled", EVENTS["order.fulfilled"]), *STATUSES)),
        WHERE,
    ),
    "changed": (
        Field("field", "named", N_("Field"), source="fields"), Field("from", "value", N_("From"), more=True),
        Field("to", "value", N_("To")),
    ),
    "segment_entered": (Field("segment_id", "pick", N_("Segment"), source="segments"),),
    "segment_left": (Field("segment_id", "pick", N_("Segment"), source="segments"),),
    "date": (
        Field("field", "named", N_("Which date"), source="dates"),
        Field("offset", "span", N_("Moved by"), signed=True),
        Field("yearly", "check", N_("Every year"), default=False), Field("at", "clock", N_("At")), ZONE,
    ),
    "schedule": (
        Field("segment_id", "pick", N_("For everybody in"), source="segments"),
        Field("rrule", "named", N_("How often"), source="recurrences", initial="FREQ=WEEKLY;BYDAY=MO"),
        Field("at", "clock", N_("At"), initial="09:00"),
        Field("zone", "suggest", N_("Time zone"), N_("empty: that of the deployment"), source="zones"),
        Field("start", "day", N_("From")),
    ),
    "message": (
        Field("what", "choice", N_("A message of ours is"), options=(
            ("", "…"), ("opened", N_("opened")), ("clicked", N_("clicked")), ("replied", N_("answered")),
            ("bounced", N_("returned")), ("failed", N_("not delivered")),
        )),
        Field("journey_id", "pick", N_("Sent by the journey"), source="journeys"),
        Field("broadcast_id", "text", N_("Sent by the broadcast"), more=True),
        Field("step", "text", N_("By its step"), more=True),
        Field("bots", "check", N_("Also when it looks like a program"), default=False, more=True),
    ),
    "api": (),
}  # fmt: skip
TRIGGER_TITLES: Mapping[str, str] = {
    "event": N_("Something happens"), "message_received": N_("Somebody writes"),
    "order": N_("An order reaches a status"),
    "changed": N_("A field changes"), "segment_entered": N_("Somebody enters a segment"),
    "segment_left": N_("Somebody leaves a segment"), "date": N_("A date comes"), "schedule": N_("Again and again"),
    "message": N_("A message of ours is read or answered"), "api": N_("A program or a colleague starts it"),
}  # fmt: skip

SETTINGS: tuple[Field, ...] = (
    Field("name", "text", N_("Name")),
    Field("description", "area", N_("Note"), default="", more=True),
    Field("class", "choice", N_("Messages are"), default="marketing", options=(
        ("marketing", N_("marketing: only with consent")), ("transactional", N_("about an order or account")),
        ("service", N_("answers to a question")),
    )),
    Field("entry_filter", "rule", N_("Who may come in")),
    Field("reentry", "object", N_("Coming again"), fields=(
        Field("mode", "choice", N_("A person comes in"), default="once", options=(
            ("once", N_("once")), ("after_exit", N_("again after the end")), ("cooldown", N_("again after a while")),
            ("per_key", N_("once per order or key")),
        )),
        Field("cooldown", "span", N_("After at least")),
        Field("if_active", "choice", N_("While still in it"), default="ignore", options=(
            ("ignore", N_("nothing happens")), ("restart", N_("begins anew")),
            ("queue_one", N_("once more afterwards")),
        )),
    )),
    Field("goal", "object", N_("Goal"), fields=(
        Field("when", "rule", N_("It has worked when"),
              N_("“At any time” means: since the person came in.")),
        Field("on_meet", "choice", N_("Then the person"), source="on_meet", default="exit"),
    )),
    Field("exit_when", "rule", N_("Leaves when"), N_("“At any time” means: since the person came in.")),
    Field("quiet_hours", "object", N_("Quiet hours"), N_("No message between these times."), fields=(
        Field("from", "clock", N_("from")), Field("to", "clock", N_("to")), ZONE,
    )),
    Field("max_visits", "number", N_("One person passes a step at most"), default=10, more=True),
)  # fmt: skip
INSIDE: Mapping[str, type[BaseModel]] = {"reentry": Reentry, "goal": Goal, "quiet_hours": QuietHours}


def step_fields(kind: str) -> tuple[Field, ...]:
    """The form of a type of step."""
    return (NAME, *fields_for(STEPS.get(kind), STEP_FORMS.get(kind, ()), ("id", "type", "name")))


def trigger_fields(kind: str) -> tuple[Field, ...]:
    """The form of a type of trigger."""
    return fields_for(TRIGGERS.get(kind), TRIGGER_FORMS.get(kind, ()), ("type",))


def fields_for(model: type[BaseModel] | None, table: Sequence[Field], apart: Sequence[str] = ()) -> tuple[Field, ...]:
    """The fields of a table that the model has, and those of the model that the table lacks."""
    if model is None:
        return tuple(table)
    known = {field.alias or name: field for name, field in model.model_fields.items() if name not in apart}
    kept = [field for field in table if field.name in known or field.variants]
    named = {field.name for field in kept} | {
        each.name for field in kept for _, _, inner in field.variants for each in inner
    }
    schema = model.model_json_schema()["properties"] if set(known) - named else {}
    rest = [_generic(name, schema.get(name, {})) for name in known if name not in named]
    targets = [field for field in kept if field.kind == "target"]
    return (*(field for field in kept if field.kind != "target"), *rest, *targets)


def _generic(name: str, schema: Mapping[str, Any]) -> Field:
    """A field no table names, by its schema; its name is its label."""
    parts = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    own = {**(parts[0] if len(parts) == 1 else {}), **schema}
    label = name.replace("_", " ").capitalize()
    if own.get("enum"):
        return Field(name, "choice", label, default=schema.get("default"),
                     options=tuple((str(each), str(each)) for each in own["enum"]))  # fmt: skip
    if own.get("format") == "duration":
        return Field(name, "span", label)
    if name.endswith("next"):
        return Field(name, "target", label)
    kind = {"string": "text", "integer": "number", "number": "number", "boolean": "check"}.get(str(own.get("type")))
    return Field(name, kind or "json", label, default=schema.get("default") if kind == "check" else None)


def offered() -> list[tuple[str, list[str]]]:
    """Heading → types of steps that can be put in."""
    named = {kind for _, kinds in OFFERED for kind in kinds}
    found = [(heading, [kind for kind in kinds if kind in STEPS]) for heading, kinds in OFFERED]
    found[-1][1].extend(kind for kind in STEPS if kind not in named)
    return [(heading, kinds) for heading, kinds in found if kinds]
