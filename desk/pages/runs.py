"""A person's run through a journey in words: where it is, why it waits, until when, what happened before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desk.i18n import N_, Formats

WAITS = {
    "time": N_("Waits"), "event": N_("Waits for something to happen"), "send": N_("Waits for a message to go out"),
    "task": N_("Waits for a colleague"), "queue": N_("Waits for an earlier run to end"),
}  # fmt: skip
ENDS = {
    "completed": N_("Came to its end"), "finished": N_("Came to its end"), "goal": N_("Reached the goal"),
    "exit": N_("Left by an exit step"), "exited": N_("Was taken out"), "replaced": N_("Began anew"),
    "restarted": N_("Began anew"), "failed": N_("Failed"),
}  # fmt: skip


@dataclass(frozen=True)
class RunBrief:
    """A journey the person is or was in, in a line."""

    id: str
    journey: str
    sentence: str
    live: bool


def run_brief(row: Mapping[str, Any], journey: str, formats: Formats) -> RunBrief:
    """One run in a line."""
    live = row["state"] in ("waiting", "held")
    return RunBrief(row["_id"], journey, _sentence(row, formats, live), live)


def _sentence(row: Mapping[str, Any], formats: Formats, live: bool) -> str:
    _ = formats.text
    if not live:
        end = row.get("end") or {}
        words = _(ENDS.get(str(end.get("reason", "")), ENDS["completed"]))
        return f"{words} · {formats.date(end['at'])}" if end.get("at") else words
    if row["state"] == "held":
        return _(N_("Held: the journey is paused"))
    wait = row.get("wait") or {}
    words = _(WAITS.get(str(wait.get("kind", "time")), WAITS["time"]))
    due = wait.get("until") or row.get("due_at")
    return f"{words} · {_(N_('until %(when)s'), when=formats.when(due))}" if due and due > formats.now else words
