"""A table as whoever reads it sees it: named columns, then rows of text. Limits that every format keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from base.errors import WrongInput
from profiles.normalise import clean_text, email_address

Kind = Literal["csv", "xlsx", "jsonl", "vcard"]

#: Bytes of a file that is brought.
FILE_MAX_BYTES = 100_000_000
ROWS_MAX, COLUMNS_MAX = 1_000_000, 200
#: Characters of a cell that are kept; a longer one is a fault of its row wherever it would be used.
CELL_MAX = 4000

#: Row number as a spreadsheet counts (the header is 1), and the cells.
Row = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """`rows()` begins anew each time and holds one row at a time. `headless`: the first row is a person already."""

    kind: Kind
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    encoding: str = ""
    delimiter: str = ""
    headless: bool = False


class Unreadable(WrongInput):
    """The file is no table that can be read; the sentence says why."""

    code = "unreadable_file"


def table_of(kind: Kind, records: Callable[[], Iterator[Row]], encoding: str = "", delimiter: str = "") -> Table:
    """A table whose first row that holds anything names its columns, unless a mail address stands there.

    Raises `Unreadable` when there is nothing in it, or too many columns.
    """
    first = next((row for row in records() if row[0] > ROWS_MAX or any(cell.strip() for cell in row[1])), None)
    if first is None or first[0] > ROWS_MAX:
        raise Unreadable("There is nothing in this file.")
    number, head = first
    if len(head) > COLUMNS_MAX:
        raise Unreadable("A file may have 200 columns.")
    headless = any(email_address(cell) for cell in head if "@" in cell)
    names = [""] * len(head) if headless else head

    def rows() -> Iterator[Row]:
        for at, cells in records():
            if at > number or (headless and at == number):
                if at - number > ROWS_MAX:
                    raise Unreadable("A file may have 1,000,000 rows.")
                if any(cell.strip() for cell in cells):
                    yield at, [cell[:CELL_MAX] for cell in cells[: COLUMNS_MAX + 1]]

    return Table(kind, named(names), rows, encoding, delimiter, headless)


def named(header: Sequence[str]) -> tuple[str, ...]:
    """Every column with a name of its own: the second `Email` is `Email (2)`, one without a name `Column 3`."""
    taken: set[str] = set()
    result = []
    for place, raw in enumerate(header, 1):
        name = clean_text(raw, 100) or f"Column {place}"
        count, unique = 1, name
        while unique.casefold() in taken:
            count += 1
            unique = f"{name} ({count})"
        taken.add(unique.casefold())
        result.append(unique)
    return tuple(result)
