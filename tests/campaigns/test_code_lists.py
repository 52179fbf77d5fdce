"""Codes out of what somebody pasted or uploaded. No database."""

import pytest

from base.errors import WrongInput
from campaigns.library.code_lists import codes_in, read_text


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("A\nB\r\n\n C \rD", ["A", "B", "C", "D"]),
        ("Code\nA\nA", ["A", "A"]),
        ("优惠码,备注\nTEA-1,春\nTEA-2,秋\n", ["TEA-1", "TEA-2"]),
        ('"A, B";x\n"C"\n', ["A, B", "C"]),
        ("code\tused\nA-1\t0\n", ["A-1"]),
        (",only a second column\nX,\n", ["X"]),
        ("two words", ["two words"]),
        ("", []),
    ],
)
def test_a_code_is_a_line_or_the_first_cell(text: str, codes: list[str]) -> None:
    assert codes_in(text) == codes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_the_encoding_is_found(encoding: str) -> None:
    assert read_text("优惠码\n春茶-1".encode(encoding)) == "优惠码\n春茶-1"


def test_what_is_no_text_is_refused() -> None:
    for raw in (b"PK\x03\x04\x00\x00\xff\xfe", b"\x89PNG\r\n\x1a\n\x00", b"\xff\xfea"):
        with pytest.raises(WrongInput):
            read_text(raw)
