"""A file that somebody brings, as a table: what it is shows in its bytes, not in its name."""

from __future__ import annotations

from pathlib import Path

from profiles.sheets.delimited import read_delimited
from profiles.sheets.json_lines import read_json_lines
from profiles.sheets.table import Kind, Table, Unreadable
from profiles.sheets.vcard import read_cards
from profiles.sheets.workbook import read_workbook

_READERS = {"csv": read_delimited, "xlsx": read_workbook, "jsonl": read_json_lines, "vcard": read_cards}


def read_table(path: Path) -> Table:
    """Raises `Unreadable` with a sentence that says what to do."""
    return _READERS[kind_of(path)](path)


def kind_of(path: Path) -> Kind:
    """By the first bytes. Raises `Unreadable` for what is no table at all."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"PK"):
        return "xlsx"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("This is an old Excel file (XLS), or one with a password. Save it as XLSX or CSV.")
    if head.startswith(b"%PDF"):
        raise Unreadable("This is a PDF, not a table.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().upper()
    if text.startswith(b"BEGIN:VCARD"):
        return "vcard"
    return "jsonl" if text.startswith(b"{") else "csv"
