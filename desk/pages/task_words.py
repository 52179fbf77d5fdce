"""What a task says that nobody wrote: by its code, in the reader's language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaigns.automation.running import RULE_PAUSED
from campaigns.broadcasts.minding import STOPPED as BROADCAST_STOPPED
from campaigns.lifecycle import HANDED_OVER
from campaigns.policies.stopping import STOPPED as STEP_STOPPED
from campaigns.reminders import ERASURE, MENTION
from desk.i18n import N_, Formats
from webhooks.outgoing.standing import SWITCHED_OFF

#: `source.code` → the sentence, which takes the task's `source.params`.
CODES: Mapping[str, str] = {
    BROADCAST_STOPPED: N_(
        "The broadcast “%(name)s” has stopped: %(failed)s of %(ended)s messages failed within %(minutes)s minutes. "
        "Look at the reasons, then resume it."
    ),
    STEP_STOPPED: N_(
        "The journey “%(name)s” sends nothing more at the step “%(step)s”: %(failed)s of %(ended)s people could not be "
        "written to within %(minutes)s minutes. Everybody stays where they are. Look at the reasons, then resume it in "
        "Settings → Rules of sending."
    ),
    SWITCHED_OFF["failing"]: N_(
        "Webhooks to %(url)s are switched off: none was taken for five days. Mend it, switch it on again, then "
        "send what failed once more."
    ),
    SWITCHED_OFF["gone"]: N_(
        "Webhooks to %(url)s are switched off: it says that it is gone. Remove it, or switch it on again if "
        "that is wrong."
    ),
    RULE_PAUSED: N_(
        "The rule “%(name)s” ran in circles and is switched off. Look at its runs, then switch it on "
        "again."
    ),
}


def task_words(task: Mapping[str, Any], names: Mapping[str, str], formats: Formats) -> str:
    """The task in words. `names`: of people by id."""
    source, person = task.get("source") or {}, str(task.get("profile_id") or "")
    kind = source.get("kind")
    if source.get("code") in CODES:
        given = {name: _said(value, formats) for name, value in (source.get("params") or {}).items()}
        return formats.text(CODES[source["code"]], given)
    if kind == MENTION:
        return formats.text(N_("You are mentioned in a note."))
    if kind == HANDED_OVER and person in names:
        moved = N_("%(name)s was merged with another profile and has another owner now")
        return formats.text(moved, name=names[person])
    if kind == ERASURE:
        return formats.text(N_("Somebody was erased; some of our own texts may still name them. Please look at them."))
    return str(task.get("text") or "")


def task_place(task: Mapping[str, Any]) -> str:
    """Where it leads, if not to the person."""
    source = task.get("source") or {}
    if source.get("code") == BROADCAST_STOPPED:
        return f"/broadcasts/{source['id']}"
    if source.get("code") == STEP_STOPPED:
        return "/settings/sending"
    if source.get("code") in SWITCHED_OFF.values():
        return f"/settings/webhooks/{source['id']}"
    if source.get("code") == RULE_PAUSED:
        return f"/settings/automation/{source['id']}"
    if source.get("kind") == ERASURE:
        return f"/settings/privacy/{source['id']}"
    if source.get("step") == "assign" and task.get("conversation_id"):
        return f"/inbox/{task['conversation_id']}"
    return ""


def _said(value: Any, formats: Formats) -> str:
    return formats.number(value) if isinstance(value, int) else str(value)
