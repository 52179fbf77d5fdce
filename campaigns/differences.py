"""What one version of a journey says otherwise than another: for people to read. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldChange:
    """One field. `path` is dotted, with places in brackets; None: it was or is not there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class StepChange:
    """One step and its fields that differ."""

    id: str
    type: str
    name: str | None
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True)
class Differences:
    """All of it. `journey`: what is said of the whole, such as its trigger and goal."""

    added: tuple[StepChange, ...]
    removed: tuple[StepChange, ...]
    changed: tuple[StepChange, ...]
    journey: tuple[FieldChange, ...]

    @property
    def nothing(self) -> bool:
        """Whether they say the same."""
        return not (self.added or self.removed or self.changed or self.journey)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """Between two definitions as their author wrote them."""
    before, after = _by_id(old), _by_id(new)
    return Differences(
        added=tuple(_named(step) for key, step in after.items() if key not in before),
        removed=tuple(_named(step) for key, step in before.items() if key not in after),
        changed=tuple(
            _named(step, tuple(_fields(before[key], step, "")))
            for key, step in after.items() if key in before and before[key] != step
        ),
        journey=tuple(_fields(_without_steps(old), _without_steps(new), "")),
    )  # fmt: skip


def _fields(old: Any, new: Any, path: str) -> Iterator[FieldChange]:
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from _fields(old.get(name), new.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _fields(one, other, f"{path}[{place}]")
    else:
        yield FieldChange(path, old, new)


def _named(step: Mapping[str, Any], fields: tuple[FieldChange, ...] = ()) -> StepChange:
    return StepChange(str(step.get("id")), str(step.get("type")), step.get("name"), fields)


def _by_id(raw: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(step.get("id")): step for step in raw.get("steps") or ()}


def _without_steps(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name != "steps"}
