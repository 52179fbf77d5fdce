"""Writes `docs/channels.md`: what each channel can carry, and the quality lists of all providers, in one place.

`python -m channels.quality` after a change of a provider's capabilities or README; a test says when it was forgotten.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from channels.adapter import Adapter
from channels.capabilities import Capabilities, Idempotency
from channels.registry import adapter_classes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "channels.md"
STATES = ("done", "todo", "exempt")
#: Columns of what a channel can carry.
ABLE = (
    "channel", "text", "files out", "buttons", "location", "templates", "reply window", "receipts", "a repeated send",
)  # fmt: skip
_REPEATS = {
    Idempotency.KEY: "dropped by the platform",
    Idempotency.ECHO: "our key comes back",
    Idempotency.RECEIVER: "dropped by the receiver",
    Idempotency.NONE: "not told apart",
}


@dataclass(frozen=True)
class Rule:
    """One line of a quality list."""

    name: str
    state: str
    note: str


def folder_of(adapter: type[Adapter]) -> Path:
    """Where a provider lives."""
    file = importlib.import_module(adapter.__module__).__file__
    if file is None:
        raise RuntimeError(f"{adapter.__module__} has no file")
    return Path(file).parent


def rules_of(readme: str) -> list[Rule]:
    """The quality list of a README. Raises ValueError for a state that is none, or where there is no list."""
    found: list[Rule] = []
    inside = False
    for line in readme.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")] if line.startswith("|") else []
        if cells[:2] == ["rule", "state"]:
            inside = True
        elif inside and not cells:
            break
        elif inside and not set(line) <= set("|- :"):
            name, state = cells[0], cells[1].rstrip(" |")
            if state not in STATES:
                raise ValueError(f"{name}: {state!r} is none of {', '.join(STATES)}")
            found.append(Rule(name, state, " | ".join(cells[2:]).rstrip(" |")))
    if not found:
        raise ValueError("there is no table | rule | state | note |")
    return found


def page(classes: Iterable[type[Adapter]]) -> str:
    """The whole document."""
    adapters = sorted(classes, key=lambda each: each.card.label.casefold())
    quality = [(each, rules_of((folder_of(each) / "README.md").read_text())) for each in adapters]
    return "\n".join(
        [
            "# Channels",
            "",
            "Written by `python -m channels.quality` from the providers themselves; do not edit.",
            "",
            "## What each can carry",
            "",
            *_table(
                ABLE,
                [_able(each) for each in adapters if each.capabilities.text_limit],
            ),
            "",
            "Channels that only tell us things: "
            + ", ".join(each.card.label for each in adapters if not each.capabilities.text_limit)
            + ".",
            "",
            "## Quality",
            "",
            "What is done, what is still to do, and what a platform cannot do. The reasons stand in each README.",
            "",
            *_table(("channel", "done", "to do", "exempt"), [_judged(each, rules) for each, rules in quality]),
            "",
        ]
    )  # fmt: skip


def _able(adapter: type[Adapter]) -> tuple[str, ...]:
    able: Capabilities = adapter.capabilities
    files = ", ".join(f"{limit.kind.value} {_size(limit.max_bytes)}" for limit in able.media) or "–"
    receipts = [name for name, has in (("delivered", able.delivery_receipts), ("read", able.read_receipts)) if has]
    return (
        _link(adapter), f"{able.text_limit:,} {able.text_unit}", files + (" (by link)" if able.files_by_link else ""),
        str(able.buttons or "–"), "yes" if able.location else "–", "yes" if able.templates else "–", _window(able),
        ", ".join(receipts) or "–", _REPEATS[able.idempotency],
    )  # fmt: skip


def _window(able: Capabilities) -> str:
    if able.reply_window_s is None:
        return "none"
    hours = f"{able.reply_window_s // 3600} h"
    quota = f", {able.window_quota} messages" if able.window_quota else ""
    people = f", {able.human_window_s // 86400} days for people" if able.human_window_s else ""
    return hours + quota + people


def _size(count: int) -> str:
    mega = 1024 * 1024 if count % 1024 == 0 else 1_000_000
    return f"{count / mega:.3g} MB" if count >= mega else f"{count * 1000 / mega:.3g} kB"


def _judged(adapter: type[Adapter], rules: Sequence[Rule]) -> tuple[str, ...]:
    def named(state: str) -> str:
        return "; ".join(rule.name for rule in rules if rule.state == state) or "–"

    return _link(adapter), str(sum(rule.state == "done" for rule in rules)), named("todo"), named("exempt")


def _link(adapter: type[Adapter]) -> str:
    place = folder_of(adapter).relative_to(PAGE.parent.parent).as_posix()
    return f"[{adapter.card.label}](../{place}/README.md)"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(adapter_classes().values()))


if __name__ == "__main__":
    main()
