"""JSON lines: one object per line. What is nested becomes a column by its path, a list a cell with several values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from profiles.sheets.cells import listed, text_of
from profiles.sheets.table import COLUMNS_MAX, ROWS_MAX, Row, Table, Unreadable

LINE_MAX = 1_000_000


def read_json_lines(path: Path) -> Table:
    """The file is gone through once for its columns. Raises `Unreadable` with the line that cannot be read."""
    columns: dict[str, None] = {}
    for number, flat in _objects(path):
        columns.update(dict.fromkeys(flat))
        if len(columns) > COLUMNS_MAX:
            raise Unreadable(f"Line {number}: a file may have {COLUMNS_MAX} columns.")
    if not columns:
        raise Unreadable("There is nothing in this file.")
    names = tuple(columns)

    def rows() -> Iterator[Row]:
        for number, flat in _objects(path):
            yield number, [flat.get(name, "") for name in names]

    return Table("jsonl", names, rows, "utf-8")


def _objects(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_MAX + 1):
            number += 1
            if len(line) > LINE_MAX or number > ROWS_MAX:
                raise Unreadable(f"Line {number}: too long, or too many lines.")
            if not line.strip():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise Unreadable(f"Line {number} is no JSON.") from error
            if not isinstance(value, dict):
                raise Unreadable(f"Line {number} is no object.")
            yield number, dict(_flat(value, ""))


def _flat(value: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name, each in value.items():
        path = f"{before}{name}"[:100]
        if isinstance(each, dict) and not before:
            yield from _flat(each, f"{path}.")
        elif isinstance(each, list):
            yield path, listed(text_of(part) for part in each)
        else:
            yield path, text_of(each)
