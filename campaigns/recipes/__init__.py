"""Ready-made journeys: one JSON file each, with content in several languages and the few things one may set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import orjson

from base.errors import FieldError, NotFound, WrongInput
from campaigns.wallclock import Duration

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Param:
    """Something one may set. `title`: by locale."""

    name: str
    kind: Literal["duration", "channels"]
    default: Any
    title: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """A recipe filled in: templates by their name within the recipe, and a journey that names them."""

    name: str
    templates: Mapping[str, Mapping[str, Any]]
    journey: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A ready-made journey. `title` and `summary` are by locale; `en` is always there."""

    name: str
    category: str
    title: Mapping[str, str]
    summary: Mapping[str, str]
    params: tuple[Param, ...]
    templates: Mapping[str, Mapping[str, Any]]
    journey: Mapping[str, Any]

    def filled(self, given: Mapping[str, Any]) -> Plan:
        """With these values for its params, the defaults for the others. Raises `WrongInput`."""
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
        return Plan(self.name, self.templates, _filled(self.journey, values))


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
    return Recipe(path.stem, raw["category"], raw["title"], raw["summary"], params, raw["templates"], raw["journey"])


def _fault(param: Param, value: Any) -> str | None:
    if param.kind == "channels":
        fine = isinstance(value, list) and value and all(isinstance(each, str) for each in value)
        return None if fine else "is a list of channels"
    try:
        Duration.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        return str(error)
    return None


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Every `{"$param": name}` replaced by its value."""
    if isinstance(value, dict):
        if set(value) == {"$param"}:
            return values[value["$param"]]
        return {name: _filled(inside, values) for name, inside in value.items()}
    return [_filled(inside, values) for inside in value] if isinstance(value, list) else value
