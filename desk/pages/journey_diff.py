"""What differs between two versions of a journey, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from campaigns.drafting import steps_of, tidy, ways_of
from desk.i18n import N_, Formats
from desk.pages.form_kinds import Field
from desk.pages.journey_forms import SETTINGS, step_fields
from desk.pages.journey_steps import step_view, step_words
from desk.pages.triggers import trigger_words

TONES = {"added": "plus", "removed": "minus", "changed": "pencil-square"}


@dataclass(frozen=True)
class Change:
    """One difference. `how`: added, removed or changed."""

    how: str
    symbol: str
    what: str
    words: str


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any], templates: Mapping[str, str], formats: Formats
) -> list[Change]:
    """From one definition to another: what starts it, its settings, its steps in the order of the later one."""
    old, new = steps_of(tidy(before)), steps_of(tidy(after))
    found = _outer(before, after, formats)
    for key, step in new.items():
        if key not in old:
            found.append(_change("added", step, step_words(step, templates, formats), templates, formats))
        elif step != old[key]:
            found.append(_change("changed", step, _how(old[key], step, templates, formats), templates, formats))
    for key, step in old.items():
        if key not in new:
            found.append(_change("removed", step, step_words(step, templates, formats), templates, formats))
    if old and new and not found and list(old) != list(new):
        found.append(Change("changed", TONES["changed"], formats.text(N_("Order of the steps")), ""))
    return found


def _outer(before: Mapping[str, Any], after: Mapping[str, Any], formats: Formats) -> list[Change]:
    found = []
    if before.get("trigger") != after.get("trigger"):
        words = [trigger_words(each.get("trigger") or {}, formats) for each in (before, after)]
        text = " → ".join(each for each in words if each) if words[0] != words[1] else ""
        found.append(Change("changed", TONES["changed"], formats.text(N_("What starts it")), text))
    for field in SETTINGS:
        one, other = before.get(field.name), after.get(field.name)
        if one != other:
            text = (
                f"{one} → {other}" if isinstance(one, str) and isinstance(other, str) and len(one + other) < 90 else ""
            )
            found.append(Change("changed", TONES["changed"], formats.text(field.label), text))
    return found


def _change(how: str, step: Mapping[str, Any], words: str, templates: Mapping[str, str], formats: Formats) -> Change:
    return Change(how, TONES[how], step_view(step, {}, templates, formats).title, words)


def _how(old: Mapping[str, Any], new: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    words = [step_words(each, templates, formats) for each in (old, new)]
    if words[0] != words[1]:
        return " → ".join(each or "–" for each in words)
    if _without_ways(old) == _without_ways(new):
        return formats.text(N_("leads elsewhere"))
    labels = _labels(step_fields(str(new.get("type"))))
    named = [labels.get(key, key) for key in {**old, **new} if old.get(key) != new.get(key)]
    return formats.text(N_(", ")).join(dict.fromkeys(formats.text(each) for each in named if each))


def _without_ways(step: Mapping[str, Any]) -> dict[str, Any]:
    ways = {way for way, _ in ways_of(step)}
    lists = {way.partition("[")[0] for way in ways if "[" in way}
    found = {key: value for key, value in step.items() if key not in ways | {"timeout_next"}}
    for name in lists:
        found[name] = [{key: value for key, value in each.items() if key != "next"} for each in step[name]]
    return found


def _labels(fields: Sequence[Field]) -> dict[str, str]:
    inner = [each for field in fields for _, _, own in field.variants for each in own]
    return {field.name: field.label for field in (*fields, *inner) if not field.variants}
