"""The tiles of the gallery of recipes, and what is filled in on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from base.ids import new_id
from campaigns.recipes import LINK_MAX, WORDS_MAX, Param, Recipe
from desk.i18n import N_, Formats
from desk.pages.journey_steps import step_view
from desk.pages.triggers import trigger_words

#: Steps shown in a tile.
STEPS_SHOWN = 6
CATEGORIES = {
    "orders": N_("Orders"), "sales": N_("Sales"), "care": N_("Care"), "nurturing": N_("Getting to know"),
}  # fmt: skip
#: What a duration is typed in: the unit on the form → the duration around the number.
UNITS: Mapping[str, tuple[str, str]] = {
    "minutes": (N_("minutes"), "PT%sM"), "hours": (N_("hours"), "PT%sH"), "days": (N_("days"), "P%sD"),
}  # fmt: skip
_PREFIX = "param."


@dataclass(frozen=True)
class RecipeStep:
    """One step in the tile of a recipe."""

    symbol: str
    text: str


@dataclass(frozen=True)
class ParamField:
    """One thing to fill in. `number` and `unit` are a duration's; `most`: characters."""

    name: str
    kind: str
    label: str
    value: str
    number: str = ""
    unit: str = ""
    most: int = WORDS_MAX


@dataclass(frozen=True)
class RecipeView:
    """One tile of the gallery. `client_key` makes a form sent twice one journey."""

    key: str
    name: str
    summary: str
    needs: str
    category: str
    trigger: str
    symbol: str
    steps: tuple[RecipeStep, ...]
    params: tuple[ParamField, ...]
    client_key: str


def recipe_view(recipe: Recipe, formats: Formats) -> RecipeView:
    """A recipe with the first steps of its journey, as it would be installed untouched."""
    plan = recipe.filled({}, formats.language)
    names = {key: str(template.get("name", "")) for key, template in plan.templates.items()}
    shown = [step_view(step, {}, names, formats) for step in plan.journey.get("steps", ())][:STEPS_SHOWN]
    steps = [RecipeStep(each.symbol, f"{each.title} · {each.detail}" if each.detail else each.title) for each in shown]
    trigger = plan.journey.get("trigger") or {}
    symbol = {"order": "shopping-bag", "message_received": "chat-bubble-left"}.get(str(trigger.get("type")), "sparkles")
    segments = {part: str(each["name"]) for part, each in plan.segments.items()}
    return RecipeView(
        key=recipe.name, name=_said(recipe.title, formats), summary=_said(recipe.summary, formats),
        needs=_said(recipe.needs, formats), category=formats.text(CATEGORIES[recipe.category]),
        trigger=trigger_words(trigger, formats, segments), symbol=symbol, steps=tuple(steps),
        params=tuple(_field(each, formats) for each in recipe.params if each.kind != "channels"),
        client_key=new_id("msg"),
    )  # fmt: skip


def given_params(form: Mapping[str, Any]) -> dict[str, str]:
    """What was filled in, as `Recipe.filled` takes it; it says what is wrong with it."""
    given = {}
    for field, value in form.items():
        if field.startswith(_PREFIX) and not field.endswith(".unit"):
            unit = UNITS.get(str(form.get(f"{field}.unit", "")))
            text = str(value).strip()
            given[field.removeprefix(_PREFIX)] = unit[1] % text if unit else text
    return given


def _said(words: Mapping[str, str], formats: Formats) -> str:
    return words.get(formats.language, words["en"])


def _field(param: Param, formats: Formats) -> ParamField:
    label, value = _said(param.title, formats), str(param.default)
    if param.kind == "duration":
        for unit, (_, around) in UNITS.items():
            found = re.fullmatch(around.replace("%s", r"(\d+)"), value)
            if found:
                return ParamField(param.name, param.kind, label, value, found[1], unit)
    return ParamField(param.name, param.kind, label, value, most=LINK_MAX if param.kind == "url" else WORDS_MAX)
