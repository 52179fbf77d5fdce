"""Tables of people as files: whatever a spreadsheet made of them, the same comes out; what goes out is harmless."""

import csv
import io
import resource
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.sheets import workbook
from profiles.sheets.cells import guarded, is_shortened, listed, number_in, parted, text_of, unguarded
from profiles.sheets.delimited import encoding_of
from profiles.sheets.reading import read_table
from profiles.sheets.table import Table, Unreadable
from profiles.sheets.vcard import Card, write_card
from profiles.sheets.workbook import WorkbookWriter, cell_text

CHINESE = '姓名,手机,标签\n王芳,13800138000,"茶, 新客"\n李雷,13900139000,常客\n'
WESTERN = "Name;Ort\nJürgen Größe;Köln\nZoë Núñez;A Coruña\n"


def table(tmp_path: Path, content: bytes | str, encoding: str = "utf-8") -> Table:
    path = tmp_path / "list"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return read_table(path)


def rows(found: Table) -> list[list[str]]:
    return [cells for _, cells in found.rows()]


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        (CHINESE, "utf-8", "utf-8"), (CHINESE, "utf-8-sig", "utf-8-sig"), (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "gbk", "gb18030"), (CHINESE, "utf-16", "utf-16"), (WESTERN, "utf-16-le", "utf-16-le"),
        (WESTERN, "utf-16-be", "utf-16-be"), (WESTERN, "cp1252", "cp1252"), (WESTERN, "latin-1", "cp1252"),
        (WESTERN, "utf-8", "utf-8"), ("name\n\x81\x8dé\n", "latin-1", "latin-1"),
    ],
)  # fmt: skip
def test_the_encoding_is_found_and_nothing_is_garbled(tmp_path: Path, text: str, encoding: str, told: str) -> None:
    found = table(tmp_path, text, encoding)
    assert encoding_of(tmp_path / "list") == told
    expected = [line for line in csv.reader(io.StringIO(text), delimiter=";" if ";" in text else ",") if line]
    assert [list(found.columns), *rows(found)] == expected or told == "latin-1"


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, sign: str) -> None:
    text = f"name{sign}note{sign}sum\nAnna{sign}one, two; three{sign}1\n" if sign == "|" else f"a{sign}b\n1{sign}2\n"
    assert table(tmp_path, text).delimiter == sign


def test_excels_own_word_on_the_delimiter_counts(tmp_path: Path) -> None:
    found = table(tmp_path, "sep=;\r\nname;a,b\r\nx;1,2\r\n")
    assert (found.delimiter, found.columns, list(found.rows())) == (";", ("name", "a,b"), [(3, ["x", "1,2"])])


def test_quoted_lines_ragged_and_empty_rows_keep_their_numbers(tmp_path: Path) -> None:
    found = table(tmp_path, 'name,email\n\n"two\nlines",a@b.cd\nshort\n,,\nlong,x@y.de,more\n')
    assert list(found.rows()) == [(3, ["two\nlines", "a@b.cd"]), (4, ["short"]), (6, ["long", "x@y.de", "more"])]


def test_columns_get_names_of_their_own_and_a_list_without_a_header_is_seen(tmp_path: Path) -> None:
    assert table(tmp_path, "Email,email,,Name\n1,2,3,4\n").columns == ("Email", "email (2)", "Column 3", "Name")
    headless = table(tmp_path, "anna@example.org,Anna\nbo@example.org,Bo\n")
    assert headless.headless and len(rows(headless)) == 2 and headless.columns == ("Column 1", "Column 2")


def test_huge_cells_are_cut_and_unclosed_quotes_are_told(tmp_path: Path) -> None:
    assert len(rows(table(tmp_path, "a,b\n" + "x" * 300_000 + ",1\n"))[0][0]) == 4000
    with pytest.raises(Unreadable, match="quotation mark"):
        rows(table(tmp_path, 'a,b\n"' + "x" * 1_200_000))


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"%PDF-1.7 \n", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PK\x03\x04broken",
                b"a,b\n\0\1,2\n", b"{\"a\": 1}\nnot json\n", b"BEGIN:VCARD\nFN:half", ",".join(["x"] * 300).encode()],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Unreadable):
        list(table(tmp_path, content).rows())


def book(tmp_path: Path, *lines: list[Any]) -> Path:
    path = tmp_path / "list"
    made = openpyxl.Workbook()
    for line in lines:
        made.active.append(line)
    made.save(path)
    return path


def test_a_workbook_says_what_its_cells_say(tmp_path: Path) -> None:
    path = book(
        tmp_path, ["name", "phone", "day", "sum", "yes", "long", "empty"],
        ["王芳", 491701234567, date(2026, 11, 28), 1.5, True, 4917012345678912, None],
        [], ["Bo", "+49 170 1", datetime(2026, 1, 2, 3, 4, tzinfo=UTC).replace(tzinfo=None), 3.0, False, 12, None],
    )  # fmt: skip
    found = read_table(path)
    assert found.columns == ("name", "phone", "day", "sum", "yes", "long", "empty")
    first, second = list(found.rows())
    assert first == (2, ["王芳", "491701234567", "2026-11-28", "1.5", "true", "4.91701234567891E+15"])
    assert is_shortened(first[1][5]) and second[0] == 4 and second[1][2] == "2026-01-02 03:04:00"


def test_formulas_are_read_as_their_values(tmp_path: Path) -> None:
    path = book(tmp_path, ["name", "sum"], ["Anna", "=1+1"])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].replace(b"<v />", b"<v>2</v>").replace(b"<v></v>", b"<v>2</v>")
    assert b"<v>2</v>" in sheet
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**parts, "xl/worksheets/sheet1.xml": sheet}.items():
            archive.writestr(name, content)
    assert rows(read_table(path)) == [["Anna", "2"]]


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xl/a.xml", "w") as part:
        for _ in range(70):
            part.write(b"<row>" + b"0" * 10_000_000)
    with pytest.raises(Unreadable, match="too large"):
        read_table(path)


@pytest.mark.parametrize("name", ["xl/styles.xml", "xl/workbook.xml", "docProps/core.xml", "xl/worksheets/sheet9.xml"])
def test_a_part_that_is_read_as_a_whole_may_not_unpack_far(tmp_path: Path, name: str) -> None:
    good, path = tmp_path / "good", tmp_path / "list"
    writer = WorkbookWriter(good, ("name",))
    writer.write(["Anna"])
    writer.close()
    assert rows(read_table(good)) == [["Anna"]]
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in old.infolist():
            if part.filename != name:
                archive.writestr(part.filename, old.read(part.filename))
        archive.writestr(name, b"<styleSheet>" + b"<xf/>" * 2_000_000 + b"</styleSheet>")
    with pytest.raises(Unreadable, match="too large"):
        read_table(path)


def bomb(path: Path, sheet: Iterator[bytes]) -> None:
    """A workbook of a few megabytes whose sheet is as long as it likes."""
    good = path.with_name("good")
    writer = WorkbookWriter(good, ("name",))
    writer.write(["Anna"])
    writer.close()
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for part in old.infolist():
            if part.filename != "xl/worksheets/sheet1.xml":
                archive.writestr(part.filename, old.read(part.filename))
        with archive.open("xl/worksheets/sheet1.xml", "w", force_zip64=True) as out:
            out.write(b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>')
            for piece in sheet:
                out.write(piece)
            out.write(b"</sheetData></worksheet>")


ROW = b'<row><c t="inlineStr"><is><t>name</t></is></c></row>'


@pytest.mark.parametrize(
    "sheet",
    [
        pytest.param(lambda: [ROW, b"<row>", *[b"<c/>" * 100_000] * 300, b"</row>"], id="one row"),
        pytest.param(lambda: [ROW, b'<row><c t="inlineStr"><is><t>', *[b"x" * 1_000_000] * 400, b"</t></is></c></row>"],
                     id="one cell"),
    ],
)  # fmt: skip
def test_a_giant_sheet_is_unpacked_by_a_child_that_may_not_eat_the_memory(tmp_path: Path, sheet: Any) -> None:
    path = tmp_path / "list"
    bomb(path, iter(sheet()))
    assert path.stat().st_size < 4_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Unreadable, match="too large"):
        rows(read_table(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_child_that_says_nothing_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "ROW_WALL_S", 0.0)
    bomb(tmp_path / "list", iter([ROW, b"<row/>" * 100, *[b" " * 1_000_000] * 300]))
    with pytest.raises(Unreadable, match="too long"):
        rows(read_table(tmp_path / "list"))


def test_a_long_sheet_is_read_to_its_end(tmp_path: Path) -> None:
    row = b'<row><c t="inlineStr"><is><t>Anna</t></is></c><c><v>1</v></c></row>'
    bomb(tmp_path / "list", iter([ROW, *[row * 1000] * 20]))
    found = read_table(tmp_path / "list")
    assert len(rows(found)) == 20_000
    assert next(found.rows())[1] == ["Anna", "1"]  # and its child is gone when nobody listens any more


def test_a_row_without_an_end_and_a_file_of_nothing_are_not_held_in_memory(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="no end"):
        rows(table(tmp_path, "name,email\nAnna,a@x.de\n" + "," * 5_000_000))
    with pytest.raises(Unreadable, match="no end"):
        rows(table(tmp_path, "name,email\n" + '"\n",' * 2_000_000))
    with pytest.raises(Unreadable, match="nothing"):
        table(tmp_path, "\n" * 3_000_000)


def test_a_card_that_goes_on_for_ever_is_cut(tmp_path: Path) -> None:
    for goes_on in ("A=\n", " A\n"):
        long = f"BEGIN:VCARD\nNOTE;ENCODING=QUOTED-PRINTABLE:A=\n{goes_on * 400_000}\nEND:VCARD\n"
        content = f"{long}BEGIN:VCARD\nNOTE;ENCODING=QUOTED-PRINTABLE:a=3D=\nb\nFN:Anna\n  B\nEND:VCARD\n"
        found = table(tmp_path, content)
        first, second = rows(found)
        note, name = found.columns.index("note"), found.columns.index("name")
        assert len(first[note]) <= 100_000 and (second[note], second[name]) == ("a=b", "Anna B")


# -- the guard -----------------------------------------------------------------------------------------------------

RISKY = (
    "=1+1", "+49170", "-2", "@SUM(A1)", "\tx", "\rx", "\nx", "=cmd|' /C calc'!A0", "'=x", "''+", "＝1", "＋1", "－1",
    "＠x",
)  # fmt: skip
VALUES = st.text(min_size=1, max_size=12).map(lambda text: text.replace("\r", "").strip()).filter(bool)


@pytest.mark.parametrize("text", RISKY)
def test_a_cell_is_never_a_formula_and_comes_back_as_it_was(text: str) -> None:
    assert guarded(text) == "'" + text and unguarded(guarded(text)) == text


@given(st.text(alphabet=st.sampled_from("'=+-@\t\r\nab1＝"), max_size=6))
def test_the_guard_is_reversible(text: str) -> None:
    safe = guarded(text)
    assert unguarded(safe) == text
    assert not safe or safe[0] not in "=+-@\t\r\n＝＋－＠"


@given(st.lists(VALUES, unique=True))
@settings(max_examples=200)
def test_several_values_in_a_cell_come_apart_again(values: list[str]) -> None:
    values = [value for value in values if "\n" not in value and "\0" not in value]
    assert parted(listed(values)) == values


def test_lists_come_apart_at_every_usual_sign() -> None:
    assert parted('red; blue|green、茶，"salt, pepper"') == ["red", "blue", "green", "茶", "salt, pepper"]


def test_shortened_numbers_are_seen_and_numbers_are_numbers() -> None:
    assert all(is_shortened(text) for text in ("4.91701E+11", "4,91701E+11", "5E+11"))
    assert not any(is_shortened(text) for text in ("12E3", "491701234567", "E+11", "a4.9E+11"))
    assert [number_in(text) for text in ("12", "-1.5", "1.234,5", "0x1", "")] == [12, -1.5, None, None, None]
    assert (text_of(3.0), text_of(True), text_of(datetime(2026, 1, 1, tzinfo=UTC))) == (
        "3", "true", "2026-01-01T00:00:00.000Z")  # fmt: skip


def test_a_sheet_that_was_written_holds_texts_alone(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    writer = WorkbookWriter(path, ("name", "sum"))
    writer.write(["'=1+1", 5])
    writer.write(["bad\x00\x1f", 1.5])
    writer.close()
    sheet = openpyxl.load_workbook(path).active
    assert [(cell.value, cell.data_type) for cell in sheet[2]] == [("'=1+1", "s"), (5, "n")]
    assert sheet["A3"].value == "bad" and cell_text(None) == ""


# -- vCard ---------------------------------------------------------------------------------------------------------

OLD = (
    "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=E7=8E=8B;=E8=8A=B3\r\n"
    "TEL;CELL:+86 138 0013 8000\r\nEMAIL;INTERNET:wang@example.cn\r\n"
    "NOTE;ENCODING=QUOTED-PRINTABLE:first=0D=0Asec=\r\nond\r\nADR;HOME:;;1 Main St;Leiden;;2311;NL\r\nEND:VCARD\r\n"
)


def cells(found: Table) -> list[dict[str, str]]:
    return [{name: cell for name, cell in zip(found.columns, line, strict=True) if cell} for line in rows(found)]


def test_an_old_card_is_read(tmp_path: Path) -> None:
    (card,) = cells(table(tmp_path, OLD))
    assert card == {
        "name": "芳 王", "phone": "+86 138 0013 8000", "email": "wang@example.cn", "note": "first\r\nsecond",
        "address": "1 Main St", "city": "Leiden", "postcode": "2311", "country": "NL",
    }  # fmt: skip


@pytest.mark.parametrize("version", ["3.0", "4.0"])
def test_a_card_comes_back_as_it_went(tmp_path: Path, version: Any) -> None:
    card = Card(
        "prf_1", "Müller, Änne; 王芳 \\ & " + "long name " * 12, ["a@b.cd", "c@d.ef"], ["+491701234567"],
        ["tea, green", "x;y"], "Tea\\Co; Ltd", "de", "Europe/Berlin", (52.1, 4.5), {"NOTE": "one\ntwo"},
    )  # fmt: skip
    text = write_card(card, version)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    (found,) = cells(table(tmp_path, text))
    assert (found["name"], found["organisation"]) == (card.name.strip(), "Tea\\Co; Ltd")
    assert parted(found["tags"]) == list(card.tags) and parted(found["email"]) == list(card.emails)
    assert found["phone"] == "+491701234567" and found["note"] == "one\ntwo" and found["uid"] == "prf_1"
    assert found["location"].replace(" ", "") == "52.1,4.5"


@given(st.text(max_size=120).map(lambda text: text.replace("\r", "").strip()))
@settings(max_examples=100)
def test_any_name_survives_a_card(text: str) -> None:

    clean = "".join(c for c in text if c.isprintable())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        path.write_text(write_card(Card("u", clean.strip() or "x")), encoding="utf-8", newline="")
        assert cells(read_table(path))[0]["name"] == (clean.strip() or "x")
