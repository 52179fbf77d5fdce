"""Strangers' JSON: readable, storable, and never an exception but `Unreadable`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.adapter import Unreadable
from channels.reading import (
    MAX_DEPTH,
    identifier,
    instant,
    integer,
    items,
    mapping,
    number,
    read_json,
    storable,
    text,
)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=15,
)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@given(ANY_JSON)
def test_what_was_read_can_be_stored_and_shown(value: Any) -> None:
    found = read_json(json.dumps({"v": value}).encode())
    assert bson.decode(bson.encode({"raw": found}))["raw"] == found
    json.dumps(found, allow_nan=False).encode()


@given(ANY_JSON, st.booleans())
def test_the_short_way_gives_the_same(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    try:
        expected = storable(json.loads(body.decode("utf-8"), parse_constant=lambda _: None))
    except ValueError:
        return
    assert read_json(body) == expected


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    try:
        read_json(body)
    except Unreadable:
        pass


@given(ANY_JSON)
def test_every_reader_takes_everything(value: Any) -> None:
    for read in (mapping, items, text, identifier, number, integer, instant, storable):
        read(value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"nul", b"9" * 10_000, b"[" * 100_000, '{"a":1}'.encode("utf-16")]
)
def test_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(body)


def test_depth_is_cut_where_the_database_would_refuse() -> None:
    found = read_json(nested(400))
    depth = 0
    while isinstance(found, dict):
        found, depth = found["a"], depth + 1
    assert depth == MAX_DEPTH
    assert json.loads(found) == json.loads(nested(400 - MAX_DEPTH))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":NaN,"b":1e999}', {"a": None, "b": None}),
        (b'{"a":9223372036854775807,"b":9223372036854775808}', {"a": 2**63 - 1, "b": "9223372036854775808"}),
        (b'{"a\\u0000":"x\\u0000"}', {"a\ufffd": "x\0"}),
        (b'"\\ud83d\\ude00 \\ud83d"', "😀 \ufffd"),
    ],
)
def test_oddities(body: bytes, found: Any) -> None:
    assert read_json(body) == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a\0b", "ab"), ("\0", None), ("", None), (7, None), (None, None), (["x"], None)],
)
def test_text(value: Any, expected: str | None) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(7, "7"), (2**70, str(2**70)), ("7", "7"), (True, None), (7.5, None), (None, None)],
)
def test_identifier(value: Any, expected: str | None) -> None:
    assert identifier(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("1.5", 1.5), (3, 3.0), ("nan", None), ("1e999", None), (True, None), (10**400, None)]
)
def test_number(value: Any, expected: float | None) -> None:
    assert number(value) == expected
    assert integer(value) == (int(expected) if expected is not None and expected == int(expected) else None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1672947578", datetime(2023, 1, 5, 19, 39, 38, tzinfo=UTC)),
        (1672947578123, datetime(2023, 1, 5, 19, 39, 38, 123000, tzinfo=UTC)),
        ("2023-01-05T20:39:38+01:00", datetime(2023, 1, 5, 19, 39, 38, tzinfo=UTC)),
        ("2023-01-05T20:39:38", None),
        (0, None),
        (-5, None),
        ("9999-12-31T23:59:59-12:00", None),
        (1e300, None),
        ("yesterday", None),
        (datetime(2023, 1, 1, tzinfo=timezone(timedelta(hours=1))), None),
    ],
)
def test_instant(value: Any, expected: datetime | None) -> None:
    assert instant(value) == expected
