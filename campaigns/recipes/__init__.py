"""Ready-made journeys: one JSON file each, with content in several languages and the few things one may set.

In a journey `{"$param": name}` stands for the value of a param; a step names a template, and a trigger a segment, by
its name within the recipe. Names and what colleagues read stand in each language: `{"en": …, "zh_CN": …}`. In a
template `[[name]]` stands for the value; a paragraph that names a param without a value is left away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from base.errors import FieldError, NotFound, WrongInput
from campaigns.wallclock import Duration

FOLDER = Path(__file__).parent
#: Languages in which a journey can be made from a recipe; the words for customers are there by their own locale.
Language = Literal["en", "zh_CN"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Category = Literal["orders", "sales", "care", "nurturing"]
#: Characters of a value that is put into a text.
WORDS_MAX, LINK_MAX = 120, 1000
_PLACE = re.compile(r"\[\[(\w+)\]\]", re.ASCII)
#: What would be read as part of a template or of a mail's HTML.
_MARKS = re.compile(r"[{}<>\"\x00-\x1f\x7f]|\[\[|\]\]")
_LINK = re.compile(r"https?://[^\s/]+\S*")


@dataclass(frozen=True)
class Param:
    """Something one may set. `title`: by locale."""

    name: str
    kind: Literal["duration", "channels", "text", "url"]
    default: Any
    title: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """A recipe filled in: templates and segments by their name within the recipe, and a journey that names them."""

    name: str
    templates: Mapping[str, Mapping[str, Any]]
    segments: Mapping[str, Mapping[str, Any]]
    journey: Mapping[str, Any]

    def draft(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """The journey with the ids of its templates and segments. `ids`: name within the recipe → id."""
        steps = [
            {**step, "template_id": ids[step["template_id"]]} if "template_id" in step else step
            for step in self.journey["steps"]
        ]
        trigger = self.journey["trigger"]
        if "segment_id" in trigger:
            trigger = {**trigger, "segment_id": ids[trigger["segment_id"]]}
        return {**self.journey, "trigger": trigger, "steps": steps}


@dataclass(frozen=True)
class Recipe:
    """A ready-made journey. `title`, `summary` and `needs` are by locale; `en` is always there. `needs`: what has to be
    there for it to begin; `segments`: what it makes itself, once for all journeys made from it."""

    name: str
    category: Category
    title: Mapping[str, str]
    summary: Mapping[str, str]
    needs: Mapping[str, str]
    params: tuple[Param, ...]
    templates: Mapping[str, Mapping[str, Any]]
    segments: Mapping[str, Mapping[str, Any]]
    journey: Mapping[str, Any]

    def filled(self, given: Mapping[str, Any], language: str = "en") -> Plan:
        """With these values for its params, the defaults for the others; the names in this language, else in English.
        Raises `WrongInput`."""
        known = {param.name: param for param in self.params}
        faults = [FieldError(f"params.{name}", "is not known here") for name in given if name not in known]
        values = {}
        for param in self.params:
            values[param.name] = given.get(param.name, param.default)
            fault = _fault(param, values[param.name])
            if fault:
                faults.append(FieldError(f"params.{param.name}", fault))
        if faults:
            raise WrongInput("The recipe cannot be filled in.", faults)
        told = self.told(language)
        return Plan(self.name, _worded(told.templates, values), told.segments, _filled(told.journey, values))

    def told(self, language: str) -> Recipe:
        """The same with its names in one language."""
        parts = (in_language(each, language) for each in (self.templates, self.segments, self.journey))
        templates, segments, journey = parts
        return replace(self, templates=templates, segments=segments, journey=journey)


def in_language(value: Any, language: str) -> Any:
    """Every `{"en": …, "zh_CN": …}` replaced by what it says in this language, else in English."""
    if isinstance(value, Mapping):
        if set(value) == set(LANGUAGES):
            return value.get(language, value["en"])
        return {name: in_language(inside, language) for name, inside in value.items()}
    return [in_language(inside, language) for inside in value] if isinstance(value, list) else value


def recipes() -> list[Recipe]:
    """All of them, by name."""
    return list(_all().values())


def recipe(name: str) -> Recipe:
    """One of them. Raises `NotFound`."""
    found = _all().get(name)
    if found is None:
        raise NotFound("There is no such recipe.")
    return found


@lru_cache(maxsize=1)
def _all() -> dict[str, Recipe]:
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.json"))}


def _read(path: Path) -> Recipe:
    raw = orjson.loads(path.read_bytes())
    params = tuple(Param(name, each["kind"], each["default"], each["title"]) for name, each in raw["params"].items())
    told = (raw["category"], raw["title"], raw["summary"], raw["needs"])
    return Recipe(path.stem, *told, params, raw["templates"], raw.get("segments", {}), raw["journey"])


def _fault(param: Param, value: Any) -> str | None:
    if param.kind == "channels":
        fine = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
        return None if fine else "is a list of channels"
    if param.kind in ("text", "url"):
        return _fault_of_text(value, link=param.kind == "url")
    try:
        Duration.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        return str(error)
    return None


def _fault_of_text(value: Any, *, link: bool) -> str | None:
    if not isinstance(value, str):
        return "is a text"
    most = LINK_MAX if link else WORDS_MAX
    if len(value) > most:
        return f"is longer than {most} characters"
    if _MARKS.search(value):
        return 'is one line without { } < > " and doubled brackets'
    if link and value and not _LINK.fullmatch(value):
        return "is a web address such as https://example.com/reviews"
    return None


def _worded(value: Any, values: Mapping[str, Any]) -> Any:
    """Every `[[name]]` in a text replaced by its value; paragraphs that name one without a value are left away."""
    if isinstance(value, Mapping):
        return {name: _worded(inside, values) for name, inside in value.items()}
    if not isinstance(value, str) or "[[" not in value:
        return value
    paragraphs = [part for part in value.split("\n\n") if all(values[name] for name in _PLACE.findall(part))]
    return _PLACE.sub(lambda found: str(values[found[1]]), "\n\n".join(paragraphs))


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Every `{"$param": name}` replaced by its value."""
    if isinstance(value, dict):
        if set(value) == {"$param"}:
            return values[value["$param"]]
        return {name: _filled(inside, values) for name, inside in value.items()}
    return [_filled(inside, values) for inside in value] if isinstance(value, list) else value
