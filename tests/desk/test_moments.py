"""Days and times as people type them, in either language and in the zone of who reads."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.errors import WrongInput
from desk.i18n import Formats
from desk.pages.moments import read_date, read_day, read_local, value_words
from desk.pages.rule_form import Node
from desk.pages.segments import dated

NOW = datetime(2026, 11, 28, 23, 30, tzinfo=UTC)
EN, ZH = (Formats(code, ZoneInfo("Europe/Amsterdam"), NOW) for code in ("en", "zh_CN"))
FIRST = date(2026, 12, 1)


@pytest.mark.parametrize("text", [
    "2026-12-01", "2026-12-1", "2026/12/1", "2026.12.01", "1.12.2026", "01/12/2026", "1-12-2026", "1 Dec 2026",
    "1 december 2026", "Dec 1, 2026", "December 1 2026", "1. Dec 2026", "1 Dec", "2026年12月1日", "12月1日", "12月1号",
])  # fmt: skip
def test_a_day_is_understood(text: str) -> None:
    assert read_date(text, EN) == read_date(f" {text} ", ZH) == FIRST


def test_without_a_year_each_language_has_its_order() -> None:
    assert (read_date("1/12", EN), read_date("12/1", ZH), read_date("12-1", ZH)) == (FIRST, FIRST, FIRST)


def test_words_are_days_of_the_readers_zone() -> None:
    assert read_date("tomorrow", EN) == read_date("明天", ZH) == date(2026, 11, 30)  # in Amsterdam it is the 29th


@pytest.mark.parametrize("text", [
    "", "soon", "31.2.2026", "12/31/2026", "2026-13-01", "1 Foo 2026", "0.0.2026", "1.12.0026", "2026-12-01 09:30",
    "9999-01-01", "٠١.١٢.٢٠٢٦x",
])  # fmt: skip
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_date(text, EN)
    assert read_day(text, EN) is None


@pytest.mark.parametrize(("text", "at"), [
    ("2026-12-01T09:30", "08:30"), ("2026-12-01", "08:00"), ("1 Dec 2026, 14:05", "13:05"), ("1.12.2026 9:30", "08:30"),
    ("2026年12月1日 10：15", "09:15"), ("2026-12-01T09:30+02:00", "07:30"),
])  # fmt: skip
def test_a_time_is_in_the_readers_zone(text: str, at: str) -> None:
    assert read_local(text, EN, "at") == datetime.fromisoformat(f"2026-12-01T{at}+00:00")


@pytest.mark.parametrize("text", ["", "then", "2026-12-01T99:00", "2026-12-01 25:00", "1900-01-01T09:00"])
def test_a_wrong_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(WrongInput, match="such as 2026-12-01"):
        read_local(text, ZH, "at")


def test_the_day_of_a_condition_is_typed_the_same_way() -> None:
    row = Node().given(what="created_at", op="before", value="1 Dec 2026")
    (day,) = dated(Node(rows=(row,)), EN).rows
    assert day.one("value") == "2026-12-01"
    for kept in ("soon", "2026-12-01T09:00", ""):
        assert dated(row.given(value=kept), ZH).one("value") == kept
    assert dated(row.given(op="eq"), EN).one("value") == "1 Dec 2026"


def test_what_a_field_holds_is_said_in_words() -> None:
    assert value_words("2026-12-01", EN) == "Tuesday, 1 December 2026"
    assert value_words("2026-12-01T09:30", ZH) == "2026年12月1日 星期二, 09:30"
    assert value_words("", EN) == value_words("x", EN) == ""


@given(st.text(max_size=40))
def test_nothing_that_is_typed_breaks_it(text: str) -> None:
    for formats in (EN, ZH):
        try:
            read_local(text, formats, "at")
        except WrongInput:
            continue
