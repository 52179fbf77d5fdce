"""People who are taken along to a version of a journey, at its publication or later: what becomes of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from campaigns.drafting import steps_of
from campaigns.migrating import StepMove
from desk.i18n import N_, NN_, Formats
from desk.pages.runs import step_title

STATES = {
    "pending": (N_("Under way"), "info"), "done": (N_("Done"), "good"), "undoing": (N_("Being undone"), "info"),
    "undone": (N_("Undone"), ""), "failed": (N_("Failed"), "danger"),
}  # fmt: skip
NOW = NN_("%(num)s person moves on at once", "%(num)s people move on at once")
LATER = NN_("%(num)s person later", "%(num)s people later")
STAY = NN_("%(num)s person stays where they are", "%(num)s people stay where they are")
GO = NN_("%(num)s person goes to another step", "%(num)s people go to another step")
MOVED = NN_("%(num)s person taken along", "%(num)s people taken along")
BACK = NN_("%(num)s person put back", "%(num)s people put back")
#: The choice of a way out of the journey, as a form sends it.
OUT = "-"


@dataclass(frozen=True)
class StepLine:
    """Those who stand at one step. `asks`: the step is gone, so that it has to be said where they go."""

    node: str
    step: str
    words: str
    asks: bool
    to: str


@dataclass(frozen=True)
class Moves:
    """All of them. `choices`: (step id, its name) of where people can go."""

    lines: tuple[StepLine, ...]
    summary: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class BatchLine:
    """People who were taken along to a version."""

    id: str
    version: int
    state: str
    tone: str
    words: str
    at: datetime
    by: str
    undoable: bool


def moves_view(
    moves: Iterable[StepMove], live: Mapping[str, Any], draft: Mapping[str, Any], formats: Formats
) -> Moves:  # fmt: skip
    """Who would move, step by step, versions taken together. `live`: the definition people are in, as far as known."""
    titles = {key: step_title(step, formats) for key, step in {**steps_of(live), **steps_of(draft)}.items()}
    by_node: dict[str, list[StepMove]] = {}
    for each in moves:
        by_node.setdefault(each.node, []).append(each)
    lines = [
        StepLine(
            node, titles.get(node) or _titled(found[0], formats), _words(found, formats),
            any(each.what == "gone" for each in found), found[0].to or OUT,
        )
        for node, found in by_node.items()
    ]  # fmt: skip
    whole = [each for found in by_node.values() for each in found]
    choices = [(key, step_title(step, formats)) for key, step in steps_of(draft).items()]
    return Moves(tuple(lines), _words(whole, formats), (*choices, (OUT, formats.text(N_("out of the journey")))))


def chosen_places(form: Mapping[str, Any]) -> dict[str, str | None]:
    """Where those go whose step is gone, as the form says."""
    named = {name.removeprefix("to."): str(value) for name, value in form.items() if name.startswith("to.")}
    return {node: None if to == OUT else to for node, to in named.items()}


def read_choices(form: Mapping[str, Any]) -> dict[str, str | None] | None:
    """The same of a publication; None: people keep their version."""
    return chosen_places(form) if form.get("people") == "along" else None


def batch_line(row: Mapping[str, Any], names: Mapping[str, str], formats: Formats) -> BatchLine:
    """One batch. `names`: of colleagues by id."""
    label, tone = STATES.get(row["state"], (str(row["state"]), ""))
    parts = [formats.plural(*MOVED, row["moved"])] if row["state"] != "pending" else []
    if row["state"] == "undone":
        parts.append(formats.plural(*BACK, row["put_back"]))
    return BatchLine(
        row["_id"], row["to"], formats.text(label), tone, " · ".join(parts), row["created_at"],
        names.get(row["by"] or "", ""), row["state"] in ("done", "failed"),
    )  # fmt: skip


def _words(moves: Iterable[StepMove], formats: Formats) -> str:
    found = list(moves)
    gone = sum(each.people for each in found if each.what == "gone")
    now = sum(each.now for each in found if each.what != "gone")
    later = sum(each.later for each in found)
    stay = sum(each.people for each in found) - gone - now - later
    named = ((GO, gone), (NOW, now), (LATER, later), (STAY, stay))
    words = ", ".join(formats.plural(*words, number) for words, number in named if number)
    about = formats.text(N_("about")) + " " if any(each.estimated for each in found) else ""
    return about + words


def _titled(move: StepMove, formats: Formats) -> str:
    return step_title({"type": move.type, "name": move.name}, formats) or move.node
