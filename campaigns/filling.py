"""Names in double braces filled in with what a run knows, without the template language: for short texts. Pure.

`{{ profile.name }}` inside a text becomes that text; alone it becomes the value itself, a number or a list as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from campaigns.conditions import MISSING, look_up

_NAME = re.compile(r"\{\{\s*([\w-]+(?:\.[\w-]+){0,7})\s*\}\}")
#: Levels of a value that are looked through.
DEPTH_MAX = 8
#: Characters of one value in an address.
VALUE_MAX = 1000


def filled(value: Any, names: Mapping[str, Any], depth: int = 0) -> Any:
    """The value with every name in its texts filled in; a name that stands for nothing becomes nothing."""
    if isinstance(value, str):
        return _filled_text(value, names)
    if depth >= DEPTH_MAX:
        return value
    if isinstance(value, Mapping):
        return {name: filled(inside, names, depth + 1) for name, inside in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inside, names, depth + 1) for inside in value]
    return value


def has_names(value: Any) -> bool:
    """Whether anything in the value has to be filled in."""
    return "{{" in repr(value)


class NothingToFill(ValueError):
    """A name in a path stands for nothing, or for what would lead elsewhere."""


def without_names(address: str) -> str:
    """An address as it is judged: every name is some plain word."""
    return _NAME.sub("x", address)


def filled_address(address: str, names: Mapping[str, Any]) -> str:
    """The address with what stands for its names, escaped so that it stays inside its segment or its parameter.

    Raises `NothingToFill`: a call to `/orders/` in place of `/orders/17` is another call.
    """
    path_end = address.find("?") if "?" in address else len(address)

    def value(match: re.Match[str]) -> str:
        text = _shown(look_up(names, match[1]))
        if match.start() < path_end and not text.strip("."):
            raise NothingToFill(f"Nothing stands for {match[1]} in the address.")
        return quote(text[:VALUE_MAX], safe="")

    return _NAME.sub(value, address)


def lone_name(text: str) -> str | None:
    """The name when the text is nothing but one name."""
    found = _NAME.fullmatch(text.strip())
    return found[1] if found else None


def _filled_text(text: str, names: Mapping[str, Any]) -> Any:
    lone = lone_name(text)
    if lone is not None:
        found = look_up(names, lone)
        return None if found is MISSING else found
    return _NAME.sub(lambda match: _shown(look_up(names, match[1])), text)


def _shown(value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="minutes")
    if isinstance(value, list | tuple):
        return ", ".join(_shown(each) for each in value)
    return str(value)
