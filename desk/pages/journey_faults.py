"""What is wrong with a draft, as people read it. Pure."""

from __future__ import annotations

import re

from base.errors import FieldError
from desk.i18n import N_, Formats

#: What the sentence of the domain looks like → what people read.
SAID: tuple[tuple[str, str], ...] = (
    (r"^is needed$|^name an event$|^name a field$|^needs at least one rule$|at least 1 (character|item)",
     N_("Still to be filled in.")),
    (r"give either template_id or content", N_("Choose a template or write a message.")),
    (r"give a text", N_("Write a text.")),
    (r"give exactly one of for", N_("Say how long, or until when.")),
    (r"name a time, weekdays or a window", N_("Name a time, days or a span of the day.")),
    (r"name a time or a window", N_("Name a time or a span of the day, not both.")),
    (r"name at least one change", N_("Say what is to be changed.")),
    (r"nobody can reach step", N_("Nobody gets here.")),
    (r"goes in a circle", N_("Goes in a circle without a wait.")),
    (r"no way leads from step", N_("No way leads from here to an end.")),
    (r"there is no step", N_("Leads to a step that is not there any more.")),
    (r"there is no template", N_("This template is not there any more.")),
    (r"there is no stage", N_("This stage is not there any more.")),
    (r"at least one arm needs a weight", N_("One way needs a share above 0.")),
    (r"each arm needs a name of its own", N_("Each way needs a name of its own.")),
    (r"there is no arm called", N_("There is no way of that name.")),
    (r"mode cooldown needs", N_("Say after how long.")),
    (r"say whom to tell", N_("Say whom to tell.")),
    (r"say to whom", N_("Say to whom.")),
    (r"inside the house",
     N_("It lies inside the house. If it is meant, list it in RAPPORT_ALLOW_PRIVATE_ADDRESSES.")),
    (r"is a web address", N_("This needs a web address, such as https://example.com/hook.")),
    (r"links are not tracked",
     N_("Links are not tracked at the moment (Settings → Links and results): this comes only if the provider tells of "
        "it.")),
    (r"openings are not tracked",
     N_("Openings are not tracked at the moment (Settings → Links and results): this comes only if the provider tells "
        "of it.")),
    (r"enters only the first time",
     N_("Everybody enters only the first time. Under “Coming again” you can let them come anew.")),
    (r"a digest needs per_key", N_("For a digest choose “once per order or key” under “Coming again”.")),
    (r"there is no journey", N_("This journey is not there any more.")),
    (r"there is no segment", N_("This segment is not there any more.")),
    (r"there is no team", N_("This team is not there any more.")),
    (r"id of a (journey|broadcast)", N_("Choose one of the list.")),
    (r"name a journey or a broadcast", N_("Choose a journey or a broadcast, not both.")),
    (r"a step needs the journey", N_("A step needs the journey it belongs to.")),
    (r"given to one person", N_("This is given to one person: choose somebody, or take turns.")),
    (r"among belongs to", N_("Who takes turns can only be chosen where they take turns.")),
    (r"wording belongs to", N_("Only a template can keep the words it had.")),
    (r"wait_timeout belongs to", N_("A time to wait needs that the message is waited for until it has arrived.")),
    (r"is a name that is taken", N_("This name is taken; choose another one.")),
    (r"names in an address", N_("Names in an address are written like {{ profile.id }}, in its path or query.")),
    (r"name one event in full", N_("Name one event in full.")),
    (r"go back in time", N_("A wait cannot go back in time.")),
    (r"is no weekday", N_("There is no such weekday.")),
    (r"no time of day", N_("Write a time of day such as 09:00.")),
    (r"comes at one moment for everybody", N_("It comes at one moment for everybody: name a time zone.")),
    (r"names hours itself", N_("The rule names the time itself: leave the time empty.")),
    (r"rule never comes", N_("There is no such day: it would never come.")),
    (r"count from a day|or name a start", N_("Say from which day on.")),
    (r"FREQ=|is no part of a rule|FREQ is one of|COUNT or UNTIL|UNTIL is a day|is not known here|from 1 to|one rule",
     N_("This is no rule such as FREQ=WEEKLY;BYDAY=MO.")),
    (r"longer than ten years", N_("This is longer than ten years.")),
    (r"without a timeout the wait ends", N_("Without an end the wait stops after 90 days.")),
    (r"may name \{campaign\}", N_("It may name {campaign}, {channel}, {step} and {id}, in at most 200 characters.")),
    (r"is used twice", N_("Two steps have the same id.")),
    (r"time zone", N_("There is no such time zone.")),
    (r"holds no date|is no field", N_("There is no such field.")),
    (r"id of a segment", N_("Choose a segment.")),
    (r"needs a number|valid (integer|number)", N_("This needs a number.")),
    (r"duration|between one second", N_("This needs a length of time.")),
)  # fmt: skip


def fault_words(fault: FieldError, formats: Formats) -> str:
    """One sentence."""
    known = next((words for pattern, words in SAID if re.search(pattern, fault.message)), None)
    if known is None and fault.path in ("trigger.status", "trigger.what", "trigger.segment_id"):
        known = SAID[0][1]
    return formats.text(known) if known else formats.text(N_("This does not fit: %(why)s"), why=fault.message)
