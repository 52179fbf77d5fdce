"""What can be chosen in the forms of a journey: read from the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from campaigns.drafting import steps_of
from desk.i18n import N_, Formats
from desk.pages.form_kinds import RUN_HEAD
from desk.pages.journey_steps import step_view
from desk.pages.reads import faces_of, together
from desk.pages.rules import EVENTS, event_words, field_words
from desk.pages.segment_choices import choices_of
from desk.pages.segment_rows import GROUPS, Choices, Option

MOST = 200
ASSIGNEES: tuple[Option, ...] = (
    ("owner", N_("The customer's owner")), ("round_robin", N_("Whose turn it is")),
    ("role:agent", N_("All agents")), ("role:marketer", N_("All marketers")),
)  # fmt: skip
ZONES = (
    "Europe/Berlin", "Europe/Amsterdam", "Europe/London", "Europe/Paris", "America/New_York", "America/Los_Angeles",
    "Asia/Shanghai", "Asia/Hong_Kong", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney", "UTC",
)  # fmt: skip
RECURRENCES: tuple[Option, ...] = (
    ("FREQ=DAILY", N_("every day")), ("FREQ=WEEKLY;BYDAY=MO", N_("every Monday")),
    ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", N_("on workdays")),
    ("FREQ=MONTHLY;BYMONTHDAY=1", N_("on the first of the month")),
    ("FREQ=MONTHLY;BYDAY=-1FR", N_("on the last Friday of the month")),
)  # fmt: skip
DATES = ("created_at", "orders.first_at", "orders.last_at", "last_seen_at", "stage_since", "tier_since",
         "traits.next_order_at")  # fmt: skip
LOCALES = ("en", "zh", "zh_CN", "de", "fr", "es", "nl", "it", "pt", "ja", "ko")
#: What a rule in a journey may ask about beside the person: path, kind of value.
RUN_FIELDS = (
    ("order.status", "choice"), ("order.total.amount_minor", "number"), ("event.properties.text", "text"),
    ("conversation.waiting", "boolean"), ("conversation.open", "boolean"),
)  # fmt: skip
STATUSES = (
    "checkout", "pending", "authorised", "paid", "processing", "fulfilled", "out_for_delivery", "delivered",
    "completed", "cancelled", "partially_refunded", "refunded",
)  # fmt: skip


async def sources_of(
    runtime: Any, formats: Formats, draft: Mapping[str, Any], own: str
) -> tuple[dict[str, Sequence[Option]], Choices]:
    """Name → (value, words) of what fields offer, and what rules offer. `own`: the journey that is being written."""
    found = await together(
        faces=faces_of(runtime), users=runtime.users.users(), templates=runtime.templates.page(limit=MOST),
        journeys=runtime.journeys.page(limit=MOST), segments=runtime.segments.page(limit=MOST),
        channels=runtime.channels.list(), teams=runtime.teams.all(),
    )  # fmt: skip
    choices = run_choices(await choices_of(runtime, formats, found["segments"].data), formats)
    users = [(user.id, user.name) for user in found["users"] if user.active]
    values = choices.values
    channels = [("any", formats.text(N_("any channel"))), *values["channel"].items()]
    channels += [(each.id, each.name) for each in found["channels"]]
    steps = step_options(draft, {}, formats)
    sources: dict[str, Sequence[Option]] = {
        "users": users, "assignees": [*((value, formats.text(words)) for value, words in ASSIGNEES), *users],
        "teams": [(each.id, each.name) for each in found["teams"]],
        "channels": channels, "groups": list(values["consent"].items()), "stages": list(values["stage"].items()),
        "segments": list(values["segment"].items()), "tags": [(each, "") for each in choices.tags],
        "templates": [(row["_id"], row["name"]) for row in found["templates"].data],
        "journeys": [(row["_id"], row["name"]) for row in found["journeys"].data if row["_id"] != own],
        "events": [(each, event_words(each, formats)) for each in EVENTS if each != "api"],
        "fields": [
            *((each, field_words(each, formats)) for _, names in GROUPS for each in names),
            *((name, label) for name, label, _ in choices.fields if not name.startswith(RUN_HEAD)),
        ],
        "dates": [
            *((each, field_words(each, formats)) for each in DATES),
            *((name, label) for name, label, kind in choices.fields if kind == "date"),
        ],
        "zones": [(each, "") for each in ZONES], "locales": [(each, "") for each in LOCALES],
        "recurrences": [(value, formats.text(words)) for value, words in RECURRENCES],
        "on_meet": [("exit", formats.text(N_("leaves"))), *((f"jump:{key}", words) for key, words in steps)],
        "targets": [("", formats.text(N_("the end"))), *steps],
    }  # fmt: skip
    return sources, choices


def step_options(draft: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> list[Option]:
    """(id, what it is called) of the steps."""
    views = [step_view(step, {}, templates, formats) for step in steps_of(draft).values()]
    titles = [f"{each.title} · {each.detail}" if 0 < len(each.detail) < 40 else each.title for each in views]
    return [(view.id, title if titles.count(title) == 1 else f"{title} ({view.id})")
            for view, title in zip(views, titles, strict=True)]  # fmt: skip


def run_choices(choices: Choices, formats: Formats) -> Choices:
    """With what only rules of a journey may ask about."""
    own = [(RUN_HEAD + path, field_words(path, formats), kind) for path, kind in RUN_FIELDS]
    statuses = {each: event_words(f"order.{each}", formats) for each in STATUSES}
    values = {**choices.values, RUN_HEAD + "order.status": statuses}
    return replace(choices, fields=[*own, *choices.fields], values=values)
