"""Notifications in words. Pure: ids have become names before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from campaigns.telling.models import Kind, Way
from desk.i18n import N_, Formats

#: Kind → what somebody chooses, and its sign.
KIND_LABELS: Mapping[Kind, tuple[str, str]] = {
    "assigned": (N_("A conversation becomes mine"), "user-plus"),
    "mentioned": (N_("Somebody mentions me"), "at-symbol"),
    "message": (N_("A customer writes in a conversation of mine"), "chat-bubble-left"),
    "waiting": (N_("A customer writes and nobody has the conversation"), "inbox"),
    "sla_soon": (N_("What was promised is due soon"), "clock"),
    "sla_breached": (N_("What was promised is overdue"), "exclamation-triangle"),
    "task": (N_("A task or follow-up of mine is due"), "clipboard-document-check"),
    "failed": (N_("An answer did not go out"), "exclamation-circle"),
    "endpoint": (N_("Webhooks were switched off"), "bolt-slash"),
}
WAY_LABELS: Mapping[Way, str] = {
    "app": N_("Here"), "mail": N_("E-mail"), "push": N_("Push"), "hook": N_("Own address"),
}  # fmt: skip
SENTENCES: Mapping[Kind, str] = {
    "assigned": N_("The conversation with %(person)s is yours now"),
    "mentioned": N_("You are mentioned in a note on %(person)s"),
    "message": N_("%(person)s has written to you"),
    "waiting": N_("%(person)s has written, and nobody has the conversation"),
    "sla_soon": N_("What %(person)s was promised is due soon"),
    "sla_breached": N_("What %(person)s was promised is overdue"),
    "failed": N_("An answer to %(person)s did not go out"),
    "task": N_("It is time to get back to %(person)s"),
    "endpoint": N_("Webhooks were switched off"),
}
#: The same where a colleague has brought it about.
BY_SOMEBODY: Mapping[Kind, str] = {
    "assigned": N_("%(by)s gave you the conversation with %(person)s"),
    "mentioned": N_("%(by)s mentions you in a note on %(person)s"),
}
TASK_DUE, TASK_GIVEN = N_("Due: %(text)s"), N_("%(by)s gives you something to do: %(text)s")
#: What a customer is called whose name is not known, or may not be said.
SOMEBODY = N_("a customer")
#: Characters of a task that one line shows.
SHOWN = 200


@dataclass(frozen=True)
class Names:
    """What turns ids into words. `people`: customers; `colleagues`; `tasks`: id → what is to be done."""

    people: Mapping[str, str] = field(default_factory=dict)
    colleagues: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)
    #: Task → where it leads.
    places: Mapping[str, str] = field(default_factory=dict)


def sentence_of(row: Mapping[str, Any], names: Names, formats: Formats) -> str:
    """One line that says it."""
    kind: Kind = row["kind"]
    by = names.colleagues.get(row.get("by") or "", "")
    text = names.tasks.get(row["about"])
    if text is not None and kind == "task":
        said = formats.text(TASK_GIVEN, by=by, text=text[:SHOWN]) if by else formats.text(TASK_DUE, text=text[:SHOWN])
        return said
    if text is not None and kind == "endpoint":
        return text[:SHOWN]
    person = names.people.get(row.get("profile_id") or "") or formats.text(SOMEBODY)
    sentence = BY_SOMEBODY.get(kind, SENTENCES[kind]) if by else SENTENCES[kind]
    return formats.text(sentence, {"person": person, "by": by})


def place_of(row: Mapping[str, Any], names: Names) -> str:
    """Where it leads."""
    about: str = row["about"]
    if names.places.get(about):
        return names.places[about]
    if row.get("conversation_id"):
        return f"/inbox/{row['conversation_id']}"
    if row["kind"] == "mentioned":
        return f"/profiles/{row['profile_id']}?tab=notes"
    return f"/profiles/{row['profile_id']}" if row.get("profile_id") else "/today"
