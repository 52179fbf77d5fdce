"""Where a journey looks at links followed or mails opened although nothing of the kind is tracked. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from base.errors import FieldError

#: The last word of an event, a metric or a receipt → what is said where it is not counted.
_SAID: Mapping[str, str] = {
    "clicked": "links are not tracked at the moment: this comes only if the provider tells of it",
    "opened": "openings are not tracked at the moment: this comes only if the provider tells of it",
}


def untracked(draft: Mapping[str, Any], counted: Collection[str]) -> list[FieldError]:
    """A warning for each place of a definition that waits for, begins with, asks for or compares by what is not
    counted. `counted`: of `clicked` and `opened` what is."""
    return [FieldError(path, _SAID[what]) for path, what in _looked_at(draft, "") if what not in counted]


def _looked_at(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name in ("event", "last_event", "metric", "what"):
            what = value.get(name)
            if isinstance(what, str) and (found := what.removeprefix("message.")) in _SAID:
                yield f"{path}.{name}".lstrip("."), found
        for name, inside in value.items():
            yield from _looked_at(inside, f"{path}.{name}".lstrip("."))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, inside in enumerate(value):
            yield from _looked_at(inside, f"{path}[{place}]")
