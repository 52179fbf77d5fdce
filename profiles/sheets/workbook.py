"""XLSX: the first sheet as rows of text, read by a child process, and rows of text as a sheet."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import openpyxl
import orjson
from openpyxl.cell import WriteOnlyCell

from profiles.sheets.table import CELL_MAX, COLUMNS_MAX, ROWS_MAX, Row, Table, Unreadable, table_of

#: What may come out of the packed file, bytes: all of it, and the list of texts, which is held in memory.
UNPACKED_MAX, TEXTS_MAX = 600_000_000, 80_000_000
PARTS_MAX = 2000
#: Bytes of a part that the library reads as a whole: everything but the sheets and the list of texts.
WHOLE_MAX = 8_000_000
SHEET_ROWS_MAX = 1_048_576
#: How long the child may take for one row, the first of which comes after everything else was read. Seconds.
ROW_WALL_S = 120.0
#: Bytes of a row as the child writes it: at most as many columns as are read, each cut.
LINE_MAX = 32_000_000
TOO_LARGE = "This workbook is too large when it is unpacked. Save it as CSV, or in parts."
TOO_SLOW = "This workbook takes too long to read. Save it as CSV, or in parts."
ROOT = Path(__file__).resolve().parents[2]
_TYPES = "[Content_Types].xml"
_PICTURES = (".png", ".jpeg", ".jpg", ".gif", ".emf", ".wmf", ".bin")
_OVERRIDE = re.compile(rb"<(?:\w+:)?Override\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"""(\w+)\s*=\s*["']([^"']*)["']""")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
#: The number of digits that a spreadsheet keeps.
_EXACT = 1e15


def read_workbook(path: Path) -> Table:
    """The first sheet with anything in it. Raises `Unreadable`, also for a packed file that would unpack too far.

    Whatever is unpacked, a child process unpacks (`profiles.sheets.workbook_child`): it may be killed.
    """
    return table_of("xlsx", lambda: _from_child(path))


def _from_child(path: Path) -> Iterator[Row]:
    """The rows as a child process reads them, a line of JSON for each."""
    child = subprocess.Popen(
        [sys.executable, "-m", "profiles.sheets.workbook_child", str(path.resolve())], cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    watch = _Watch(child)
    try:
        assert child.stdout is not None  # noqa: S101 - there is a pipe
        while True:
            watch.begin()
            line = child.stdout.readline(LINE_MAX)
            watch.end()
            told = _told(line)
            if told is None:
                raise Unreadable(TOO_LARGE if not watch.fired else TOO_SLOW)
            if isinstance(told, dict):
                if told.get("error"):
                    raise Unreadable(told["error"])
                return
            yield told[0], told[1]
    finally:
        watch.stop()
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _told(line: bytes) -> Any:
    """A row, or how it ended; None where the child has died over it."""
    if not line.endswith(b"\n"):
        return None
    return orjson.loads(line)


class _Watch:
    """Kills a child that says nothing for `ROW_WALL_S` while it is listened to."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._until: float | None = None
        self._ended = threading.Event()
        self.fired = False
        threading.Thread(target=self._look, daemon=True, name="workbook-watch").start()

    def begin(self) -> None:
        self._until = monotonic() + ROW_WALL_S

    def end(self) -> None:
        self._until = None

    def stop(self) -> None:
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(1.0):
            until = self._until
            if until is not None and monotonic() > until:
                self.fired = True
                self._child.kill()
                return


def rows_of(path: Path) -> Iterator[Row]:
    """What the child reads: the rows of the first sheet with anything in it. Raises `Unreadable`."""
    _check_size(path)
    try:
        with _opened(path) as book:
            sheet = _sheet_with_rows(book)
            rows = book[sheet].iter_rows(values_only=True, max_col=COLUMNS_MAX + 1, max_row=ROWS_MAX + 1)
            for number, cells in enumerate(rows, 1):
                yield number, _texts(cells)
    except (Unreadable, MemoryError, GeneratorExit):
        raise
    except Exception as error:  # a broken or hostile file fails in the library in many ways
        raise Unreadable("This workbook cannot be opened. Save it anew as XLSX, or as CSV.") from error


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
        raise Unreadable(TOO_LARGE)


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


def _sheet_with_rows(book: Any) -> str:
    for sheet in book.worksheets:
        for cells in sheet.iter_rows(values_only=True, max_col=COLUMNS_MAX + 1, max_row=50):
            if any(cell is not None for cell in cells):
                return str(sheet.title)
    raise Unreadable("There is nothing in this file.")


def _texts(cells: tuple[Any, ...]) -> list[str]:
    if not any(cells) and all(cell is None for cell in cells):  # of these there may be a million
        return []
    texts = [cell_text(cell)[:CELL_MAX] for cell in cells]
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
