"""CSV: which encoding, which delimiter, and the rows one by one, however large the file is."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from profiles.sheets.table import Row, Table, Unreadable, table_of

DELIMITERS = ",;\t|"
#: Bytes looked at to tell the delimiter.
LOOK = 65_536
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_PIECE = 1_000_000
#: Characters of one row, however many lines of the file it takes.
RECORD_MAX = 4_000_000
_SEP_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)

# The csv module's own limit of a field is that of the whole process.
csv.field_size_limit(1_000_000)


def read_delimited(path: Path) -> Table:
    """A CSV as a table. Raises `Unreadable`."""
    encoding = encoding_of(path)
    with path.open(encoding=encoding, errors="replace", newline="") as file:
        head = file.read(LOOK)
    if "\0" in head:
        raise Unreadable("This is no text file: save the table as CSV or XLSX.")
    told = _SEP_LINE.match(head)
    delimiter = told[1] if told else delimiter_of(head)

    def records() -> Iterator[Row]:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            if told:
                file.readline()
            lines = _Lines(file)
            reader = csv.reader(lines, delimiter=delimiter)
            try:
                for row in enumerate(reader, 2 if told else 1):
                    lines.taken = 0
                    yield row
            except csv.Error as error:
                sentence = f"The file cannot be read from line {reader.line_num} on: is a quotation mark not closed?"
                raise Unreadable(sentence) from error

    return table_of("csv", records, encoding, delimiter)


class _Lines:
    """The lines of a file. `taken`: characters since the row began; what has no end is not held in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(RECORD_MAX + 1 - self.taken)
        self.taken += len(line)
        if self.taken > RECORD_MAX:
            raise Unreadable("A row of this file has no end: is a quotation mark not closed?")
        if not line:
            raise StopIteration
        return line


def encoding_of(path: Path) -> str:
    """By the mark at the beginning, else UTF-8 where all of it is, else Chinese or Western by its pairs of bytes."""
    with path.open("rb") as file:
        head = file.read(LOOK)
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if wide := _wide(head):
        return wide
    for name in ("utf-8", "gb18030"):
        if _decodes(path, name) and (name == "utf-8" or _looks_chinese(path)):
            return name
    return "cp1252" if _decodes(path, "cp1252") else "latin-1"


def _wide(head: bytes) -> str | None:
    """UTF-16 without its mark: every second byte of what is ASCII is zero."""
    even, odd = head[0:4000:2].count(0), head[1:4000:2].count(0)
    half = len(head[:4000]) // 2
    if half < 2 or max(even, odd) < half * 0.3:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _decodes(path: Path, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(path: Path) -> bool:
    """In Chinese text high bytes come in pairs; in Western text an accented letter stands between plain ones."""
    pairs, singles = 0, 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            both = len(re.findall(rb"[\xa1-\xf7][\xa1-\xfe]", piece))
            pairs += both
            singles += len(re.findall(rb"[\x80-\xff]", piece)) - 2 * both
    return pairs > 2 * max(0, singles)


def delimiter_of(head: str) -> str:
    """The sign under which most lines have the same number of cells, and more than one."""
    lines = head if head.endswith("\n") or len(head) < LOOK else head.rpartition("\n")[0]
    best, found = (0.0, 0), ","
    for delimiter in DELIMITERS:
        widths = _widths(lines, delimiter)
        if not widths:
            continue
        width, often = widths.most_common(1)[0]
        score = (round(often / widths.total(), 1), width)
        if width > 1 and score > best:
            best, found = score, delimiter
    return found


def _widths(lines: str, delimiter: str) -> Counter[int]:
    widths: Counter[int] = Counter()
    try:
        for cells in csv.reader(lines.splitlines(keepends=True)[:200], delimiter=delimiter):
            if any(cells):
                widths[len(cells)] += 1
    except csv.Error:
        pass  # a quotation mark that is closed beyond what was looked at
    return widths
