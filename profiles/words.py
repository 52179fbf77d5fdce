"""What was said behind an id, as the rooms that keep it tell the timeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Words:
    """`text` None and `gone`: it was taken back. `by`: the id of who of us said it."""

    text: str | None = None
    by: str | None = None
    gone: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


#: Ids of one kind of thing → their words, in one read; unknown ids are left out.
ReadWords = Callable[[Sequence[str]], Awaitable[Mapping[str, Words]]]
