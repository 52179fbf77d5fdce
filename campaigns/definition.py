"""Reads a journey as JSON into its model, and says with paths what is wrong with it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from base.errors import MEMBER, FieldError, WrongInput
from campaigns.conditions import RuleFault
from campaigns.models import STEPS, TRIGGERS, Definition

#: Bytes of JSON, levels, members: what a stored definition may be at most.
MAX_DEPTH = 30
MAX_MEMBERS = 20_000
LARGEST_INT = 2**63 - 1
LATER = "This comes later; it is not in this version yet."


@dataclass(frozen=True)
class Reading:
    """The definition, or what is wrong with it. `missing` faults are those of something not filled in yet."""

    definition: Definition | None
    faults: tuple[FieldError, ...] = ()
    missing: tuple[FieldError, ...] = ()


def read(raw: object) -> Reading:
    """Read a definition; never raises for bad input."""
    if not isinstance(raw, Mapping):
        return Reading(None, (FieldError("", "a journey is an object"),))
    faults: list[FieldError] = []
    missing: list[FieldError] = []
    outer = dict(raw)
    if "trigger" in outer:
        outer["trigger"] = _typed(outer["trigger"], "trigger", TRIGGERS, frozenset(), faults, missing)
    if isinstance(outer.get("steps"), Sequence) and not isinstance(outer["steps"], str):
        outer["steps"] = [
            _typed(step, f"steps[{place}]", STEPS, frozenset(), faults, missing)
            for place, step in enumerate(outer["steps"][:201])
        ]
    whole = _validated(Definition, outer, "", faults, missing)
    if isinstance(whole, Definition) and not faults and not missing:
        return Reading(whole)
    return Reading(None, _once_each(faults), _once_each(missing))


def must_read(raw: object) -> Definition:
    """The definition, or `WrongInput` with every fault."""
    reading = read(raw)
    if reading.definition is None:
        faults = (*reading.faults, *reading.missing)
        raise WrongInput("This journey cannot be published yet.", faults)
    return reading.definition


def check_draft(raw: Mapping[str, Any]) -> None:
    """Raise `WrongInput` for what is wrong in a draft; what is merely not there yet is allowed."""
    check_plain(raw)
    faults = read(raw).faults
    if faults:
        raise WrongInput("The journey has faults.", faults)


def faults_of(
    model: type[BaseModel], raw: Mapping[str, Any]
) -> tuple[BaseModel | None, tuple[FieldError, ...], tuple[FieldError, ...]]:
    """What was read (None when anything is wrong), what is wrong, and what is not there yet."""
    faults: list[FieldError] = []
    missing: list[FieldError] = []
    found = _validated(model, dict(raw), "", faults, missing)
    whole = found if isinstance(found, BaseModel) and not faults and not missing else None
    return whole, _once_each(faults), _once_each(missing)


def check_plain(raw: Any) -> None:
    """Raise `WrongInput` unless the value can be stored as it is: bounded, no odd keys, 64-bit numbers."""
    count = 0
    waiting: list[tuple[str, Any, int]] = [("", raw, 0)]
    while waiting:
        path, value, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_MEMBERS:
            raise WrongInput("The input is too large.", [FieldError(path, "is nested too deeply or too large")])
        fault = _unstorable(value)
        if fault:
            raise WrongInput("The input cannot be stored.", [FieldError(path, fault)])
        if isinstance(value, Mapping):
            waiting.extend((f"{path}.{key}".lstrip("."), inside, depth + 1) for key, inside in value.items())
        elif isinstance(value, list | tuple):
            waiting.extend((f"{path}[{place}]", inside, depth + 1) for place, inside in enumerate(value))


def _unstorable(value: Any) -> str | None:
    if isinstance(value, Mapping) and not all(isinstance(key, str) and len(key) <= 200 for key in value):
        return "has a name that cannot be stored"
    if isinstance(value, int) and not -LARGEST_INT <= value <= LARGEST_INT:
        return "is too large a number"
    if isinstance(value, float) and not math.isfinite(value):
        return "is no number"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds half a character"
    return None


def _typed(
    raw: object, path: str, kinds: Mapping[str, type[BaseModel]], later: frozenset[str], faults: list[FieldError],
    missing: list[FieldError],
) -> Any:  # fmt: skip
    """A trigger or step read by its `type`, or the raw value when it has faults (which are noted)."""
    if not isinstance(raw, Mapping):
        faults.append(FieldError(path, "is an object"))
        return raw
    kind = raw.get("type")
    if kind is None:
        missing.append(FieldError(f"{path}.type", "is needed"))
        return raw
    if isinstance(kind, str) and kind in later:
        faults.append(FieldError(f"{path}.type", f"{kind}: {LATER}"))
        return raw
    model = kinds.get(kind) if isinstance(kind, str) else None
    if model is None:
        faults.append(FieldError(f"{path}.type", f"is one of {', '.join(kinds)}"))
        return raw
    return _validated(model, raw, path, faults, missing)


def _validated(model: type[BaseModel], raw: Any, path: str, faults: list[FieldError], missing: list[FieldError]) -> Any:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        places = [_place(path, each["loc"]) for each in found]
        for each, place in zip(found, places, strict=True):
            told = [*places, *(known.path for known in (*faults, *missing))]
            if each["type"] == "too_short" and any(other.startswith(f"{place}[") for other in told):
                continue  # its members are there, only wrong
            if model is Definition and _already_told(place, faults, missing):
                continue
            if each["type"] == "missing":
                missing.append(FieldError(place, "is needed"))
            else:
                faults.extend(_sentences(each, place))
        return raw


def _already_told(place: str, faults: list[FieldError], missing: list[FieldError]) -> bool:
    """The outer model complains again, in its own words, about a part that was read before."""
    if not place.startswith(("steps[", "trigger")):
        return False
    head = place.split("]")[0] + "]" if place.startswith("steps[") else "trigger"
    return any(each.path.startswith(head) for each in (*faults, *missing))


def _sentences(error: Any, place: str) -> list[FieldError]:
    cause = (error.get("ctx") or {}).get("error")
    if isinstance(cause, RuleFault):
        return [FieldError(_joined(place, each.path), each.message) for each in cause.faults]
    if error["type"] == "extra_forbidden":
        return [FieldError(place, "is not a field here")]
    message = error["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return [FieldError(place, message)]


def _place(path: str, loc: Sequence[int | str]) -> str:
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not _is_union_tag(part):
            path = f"{path}.{part}" if path else part
    return path


def _is_union_tag(part: str) -> bool:
    """Pydantic puts the name of a union's member or of a validator into the place."""
    return part.startswith(MEMBER) or part[:1].isupper() or "(" in part or "[" in part


def _joined(path: str, inside: str) -> str:
    if not inside or inside.startswith("["):
        return path + inside
    return f"{path}.{inside}" if path else inside


def _once_each(faults: Sequence[FieldError]) -> tuple[FieldError, ...]:
    return tuple(dict.fromkeys(faults))
