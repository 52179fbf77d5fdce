"""XLSX: the first sheet as rows of text, and rows of text as a sheet. Neither holds more than a row at a time."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.cell import WriteOnlyCell

from profiles.sheets.table import COLUMNS_MAX, ROWS_MAX, Row, Table, Unreadable, table_of

#: What may come out of the packed file, bytes: all of it, and the list of texts, which is held in memory.
UNPACKED_MAX, TEXTS_MAX = 600_000_000, 80_000_000
PARTS_MAX = 2000
#: Bytes of a part that the library reads as a whole: everything but the sheets and the list of texts.
WHOLE_MAX = 8_000_000
SHEET_ROWS_MAX = 1_048_576
_TYPES = "[Content_Types].xml"
_PICTURES = (".png", ".jpeg", ".jpg", ".gif", ".emf", ".wmf", ".bin")
_OVERRIDE = re.compile(rb"<(?:\w+:)?Override\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"""(\w+)\s*=\s*["']([^"']*)["']""")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: The number of digits that a spreadsheet keeps.
_EXACT = 1e15


def read_workbook(path: Path) -> Table:
    """The first sheet with anything in it. Raises `Unreadable`, also for a packed file that would unpack too far."""
    _check_size(path)
    try:
        sheet = _sheet_with_rows(path)
    except Unreadable:
        raise
    except Exception as error:  # a broken or hostile file fails in the library in many ways
        raise Unreadable("This workbook cannot be opened. Save it anew as XLSX, or as CSV.") from error

    def records() -> Iterator[Row]:
        try:
            with _opened(path) as book:
                rows = book[sheet].iter_rows(values_only=True, max_col=COLUMNS_MAX + 1, max_row=ROWS_MAX + 1)
                for number, cells in enumerate(rows, 1):
                    yield number, _texts(cells)
        except (ValueError, KeyError, TypeError, SyntaxError, zipfile.BadZipFile, EOFError) as error:
            raise Unreadable("A part of this workbook cannot be read. Save it anew as XLSX, or as CSV.") from error

    return table_of("xlsx", records)


def _check_size(path: Path) -> None:
    """By the sizes that the archive declares: more than these the unpacking never gives."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist()}
            types = archive.read(_TYPES) if 0 < sizes.get(_TYPES, 0) <= WHOLE_MAX else b""
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
        raise Unreadable("This is no XLSX workbook.") from error
    large = {name for name, size in sizes.items() if size > WHOLE_MAX and not name.lower().endswith(_PICTURES)}
    sheets, texts = (set(_named(types, kind)) for kind in (b"worksheet+xml", b"sharedStrings+xml"))
    fits = large <= (sheets | texts) - set(_named(types, b"main+xml")) - {"xl/styles.xml"}
    strings = max((sizes.get(name, 0) for name in texts), default=0)
    if len(sizes) > PARTS_MAX or sum(sizes.values()) > UNPACKED_MAX or strings > TEXTS_MAX or not fits:
        raise Unreadable("This workbook is too large when it is unpacked. Save it as CSV, or in parts.")


def _named(types: bytes, kind: bytes) -> Iterator[str]:
    """The parts that the archive says are of this kind, by the end of its name."""
    for override in _OVERRIDE.findall(types):
        told = dict(_ATTRIBUTE.findall(override))
        if told.get(b"ContentType", b"").endswith(kind):
            yield told.get(b"PartName", b"").decode("utf-8", "replace").lstrip("/")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """As a file: the library goes by the ending of a name."""
    with path.open("rb") as file:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            for sheet in book.worksheets:
                sheet.reset_dimensions()  # some programs write a wrong size
            yield book
        finally:
            book.close()


def _sheet_with_rows(path: Path) -> str:
    with _opened(path) as book:
        for sheet in book.worksheets:
            for cells in sheet.iter_rows(values_only=True, max_col=COLUMNS_MAX + 1, max_row=50):
                if any(cell is not None for cell in cells):
                    return str(sheet.title)
    raise Unreadable("There is nothing in this file.")


def _texts(cells: tuple[Any, ...]) -> list[str]:
    if not any(cells) and all(cell is None for cell in cells):  # of these there may be a million
        return []
    texts = [cell_text(cell) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def cell_text(value: Any) -> str:
    """What a cell says. A number of more than 15 digits shows that it lost some (`4.91701234567891E+16`)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time(0) else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


def _number(value: float) -> str:
    if abs(value) >= _EXACT:
        return f"{value:.14E}"
    return str(int(value)) if float(value).is_integer() else repr(value)


class WorkbookWriter:
    """Writes rows into a sheet on disk. Texts are texts: nothing written here is taken for a formula."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self._path = path
        self._book = openpyxl.Workbook(write_only=True)
        self._sheet = self._book.create_sheet("Profiles")
        self._sheet.freeze_panes = "A2"
        self._count = 0
        self.write(list(columns))

    def write(self, cells: list[str | int | float]) -> None:
        """One row. Raises `Unreadable` beyond what a sheet can hold."""
        self._count += 1
        if self._count > SHEET_ROWS_MAX:
            raise Unreadable("A sheet holds 1,048,576 rows. Choose CSV for more.")
        self._sheet.append([_written(self._sheet, cell) for cell in cells])

    def close(self) -> None:
        """Finish the file."""
        self._book.save(self._path)
        self._book.close()


def _written(sheet: Any, value: str | int | float) -> Any:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    cell = WriteOnlyCell(sheet, value="")
    cell._value = _CONTROL.sub("", value)[:32_767]
    cell.data_type = "s"
    return cell
