"""Writes people into a file on disk, a batch at a time."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from profiles.exports.columns import Format, Person, card_of, cells_of, json_line
from profiles.sheets.cells import guarded
from profiles.sheets.vcard import Version
from profiles.sheets.workbook import WorkbookWriter


class Writer(Protocol):
    """One file being written."""

    def write(self, people: Sequence[Person]) -> None: ...
    def close(self) -> None: ...


def writer_for(
    kind: Format, path: Path, columns: tuple[str, ...], version: Version = "4.0", headings: Sequence[str] | None = None
) -> Writer:
    """For that format. `headings`: what stands above the columns of a table, where that is not their own names."""
    if kind == "csv":
        return _Delimited(path, columns, headings or columns)
    if kind == "xlsx":
        return _Workbook(path, columns, headings or columns)
    return _Lines(path) if kind == "jsonl" else _Cards(path, version)


class _Delimited:
    """UTF-8 with a mark, without which spreadsheets take it for something else."""

    def __init__(self, path: Path, columns: tuple[str, ...], headings: Sequence[str]) -> None:
        self._columns = columns
        self._file = path.open("w", encoding="utf-8-sig", errors="replace", newline="")
        self._csv = csv.writer(self._file)
        self._csv.writerow([guarded(each) for each in headings])

    def write(self, people: Sequence[Person]) -> None:
        self._csv.writerows(cells_of(person, self._columns) for person in people)

    def close(self) -> None:
        self._file.close()


class _Workbook:
    def __init__(self, path: Path, columns: tuple[str, ...], headings: Sequence[str]) -> None:
        self._columns = columns
        self._sheet = WorkbookWriter(path, tuple(guarded(each) for each in headings))

    def write(self, people: Sequence[Person]) -> None:
        for person in people:
            self._sheet.write(cells_of(person, self._columns))

    def close(self) -> None:
        self._sheet.close()


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, people: Sequence[Person]) -> None:
        self._file.writelines(json_line(person) for person in people)

    def close(self) -> None:
        self._file.close()


class _Cards:
    def __init__(self, path: Path, version: Version) -> None:
        self._version: Version = version
        self._file = path.open("w", encoding="utf-8", errors="replace", newline="")

    def write(self, people: Sequence[Person]) -> None:
        self._file.writelines(card_of(person, self._version) for person in people)

    def close(self) -> None:
        self._file.close()
