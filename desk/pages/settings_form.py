"""A form drawn from a provider's settings schema, and the settings read back from what was sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Fields nobody needs on the first day: they stand behind a fold.
ADVANCED = frozenset({"api_base", "api_version"})


@dataclass(frozen=True)
class FormField:
    """One setting as a form shows it. Texts are English msgids from the card."""

    name: str
    label: str
    hint: str
    kind: str
    value: str
    required: bool
    secret: bool
    is_set: bool
    choices: tuple[str, ...] = ()
    #: It names another connected channel of this kind: the page offers those.
    channel_kind: str = ""
    minimum: int | None = None
    maximum: int | None = None
    advanced: bool = False
    fault: str = ""


def fields_of(
    schema: Mapping[str, Any],
    values: Mapping[str, Any],
    secrets_set: Sequence[str],
    faults: Mapping[str, str],
    *,
    new: bool,
) -> list[FormField]:
    """The fields in the schema's order. A secret that is set shows no value and may be left empty."""
    required = set(schema.get("required", ()))
    return [
        _field(name, _resolved(schema, part), values.get(name), name in required, name in secrets_set, faults, new=new)
        for name, part in schema.get("properties", {}).items()
    ]


def _resolved(schema: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(part)
    for each in part.get("anyOf", ()):
        if each.get("type") != "null":
            merged = {**each, **merged}
    ref = merged.get("$ref")
    if ref:
        merged = {**schema.get("$defs", {}).get(str(ref).rsplit("/", 1)[-1], {}), **merged}
    return merged


def _field(
    name: str,
    part: Mapping[str, Any],
    value: Any,
    required: bool,
    is_set: bool,
    faults: Mapping[str, str],
    *,
    new: bool,
) -> FormField:
    secret = bool(part.get("writeOnly"))
    shown = "" if secret else _shown(value if value is not None else part.get("default"))
    return FormField(
        name=name,
        label=str(part.get("title") or name.replace("_", " ").capitalize()),
        hint=str(part.get("description") or ""),
        kind=_kind(part, secret),
        value=shown,
        required=required and not (secret and is_set and not new),
        secret=secret,
        is_set=is_set,
        choices=tuple(str(each) for each in part.get("enum", ())),
        channel_kind=str(part.get("channel_kind") or ""),
        minimum=part.get("minimum"),
        maximum=part.get("maximum"),
        advanced=name in ADVANCED or bool(part.get("advanced")),
        fault=faults.get(f"settings.{name}", ""),
    )


def _kind(part: Mapping[str, Any], secret: bool) -> str:
    if secret:
        return "password"
    if part.get("enum"):
        return "choice"
    if part.get("channel_kind"):
        return "channel"
    return {"integer": "number", "number": "number", "boolean": "check", "array": "list"}.get(
        str(part.get("type")), "text"
    )


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else ""
    return ", ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def settings_from(schema: Mapping[str, Any], form: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
    """The settings of a sent form. Empty secrets are left out, so that they stay; so are other empty fields."""
    settings: dict[str, Any] = {}
    for field in fields_of(schema, {}, (), {}, new=new):
        sent = str(form.get(f"settings.{field.name}", "")).strip()
        if field.kind == "check":
            settings[field.name] = bool(sent)
        elif not sent:
            continue
        elif field.kind == "number":
            settings[field.name] = int(sent) if sent.lstrip("-").isdigit() else sent
        elif field.kind == "list":
            settings[field.name] = [part.strip() for part in sent.split(",") if part.strip()]
        else:
            settings[field.name] = sent
    return settings


def emptied(schema: Mapping[str, Any], form: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Optional plain fields that had a value and were cleared: back to their default."""
    cleared: dict[str, Any] = {}
    for name, part in schema.get("properties", {}).items():
        was = before.get(name) not in (None, "")
        if (
            was
            and not part.get("writeOnly")
            and f"settings.{name}" in form
            and not str(form[f"settings.{name}"]).strip()
        ):
            cleared[name] = part.get("default")
    return cleared
