"""Notifications as lines: with the names they speak of, what is about the same thing in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from base.mongo import Document
from desk.i18n import Formats
from desk.notice_words import KIND_LABELS, Names, sentence_of
from desk.pages.task_words import task_place, task_words


@dataclass(frozen=True)
class NoticeRow:
    """One line: what is about the same thing stands in one. `more`: how many older ones it holds."""

    id: str
    sentence: str
    symbol: str
    at: datetime
    unread: bool
    more: int = 0


async def names_for(runtime: Any, rows: Iterable[Document], formats: Formats) -> Names:
    """The names these rows speak of."""
    rows = list(rows)
    profiles = await runtime.profiles.many({row["profile_id"] for row in rows if row.get("profile_id")})
    people = {key: profile.display_name for key, profile in profiles.items()}
    by = sorted({row["by"] for row in rows if row.get("by")})
    tasks = await runtime.task_rows.many({row["about"] for row in rows if row["about"].startswith("tsk_")})
    return Names(
        people, await runtime.users.names(by) if by else {},
        {task["_id"]: task_words(task, people, formats) for task in tasks},
        {task["_id"]: task_place(task) for task in tasks},
    )  # fmt: skip


def lines_of(rows: Sequence[Document], names: Names, formats: Formats) -> list[NoticeRow]:
    """The newest first, what is about the same thing in one line. Pure."""
    together: dict[str, list[Document]] = {}
    for row in rows:
        together.setdefault(row["about"], []).append(row)
    return [_line(group, names, formats) for group in together.values()]


def _line(group: Sequence[Document], names: Names, formats: Formats) -> NoticeRow:
    row = group[0]
    unread = any(each.get("unread") for each in group)
    return NoticeRow(
        row["_id"], sentence_of(row, names, formats), KIND_LABELS[row["kind"]][1], row["at"], unread, len(group) - 1
    )


