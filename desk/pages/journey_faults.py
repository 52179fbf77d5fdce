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
