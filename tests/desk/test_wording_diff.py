"""What differs between two wordings, in which language and which words. Pure."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from desk.i18n import Formats
from desk.pages.wording_diff import WORDS_MAX, parts_changed, pieces, wording_changes

FORMATS = Formats("en", ZoneInfo("UTC"), datetime(2026, 11, 28, tzinfo=UTC))


def row(name: str = "n", **content: Any) -> dict[str, Any]:
    return {"name": name, "kind": "email", "content": content}


def said(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.how, each.language, each.what) for each in wording_changes(before, after, FORMATS)]


def test_each_part_in_each_language_is_told() -> None:
    before = row(subject="Hi", text="One two", locales={"de": {"text": "Eins"}, "fr": {"text": "Un"}})
    after = row("m", subject="Hi", text="One three", locales={"de": {"text": "Zwei"}, "zh_CN": {"text": "一"}})
    assert said(before, after) == [
        ("changed", "", "Name"), ("changed", "", "Text"), ("changed", "de", "Text"), ("removed", "fr", "Language"),
        ("added", "zh_CN", "Language"),
    ]  # fmt: skip
    assert parts_changed(wording_changes(before, after, FORMATS), FORMATS).startswith("Name, Text, de: Text")
    assert said(before, before) == []


def test_blocks_come_go_and_change_by_their_fields() -> None:
    head, foot = {"type": "header", "title": "A"}, {"type": "footer", "text": ""}
    before = row(blocks=[head, {"type": "text", "text": "old words"}, foot])
    after = row(blocks=[head, {"type": "text", "text": "new words"}, {"type": "divider"}, foot])
    assert said(before, after) == [("changed", "", "Text · Text"), ("added", "", "Divider")]
    changed = wording_changes(before, after, FORMATS)[0].pieces
    assert [(each.kind, each.text) for each in changed] == [("gone", "old"), ("new", "new"), ("same", " words")]
    assert said(after, before)[1] == ("removed", "", "Divider")


def test_chinese_is_compared_sign_by_sign() -> None:
    assert [(each.kind, each.text) for each in pieces("春茶到了", "秋茶到了")] == [
        ("gone", "春"), ("new", "秋"), ("same", "茶到了"),
    ]  # fmt: skip


def test_buttons_and_approved_templates_are_lines() -> None:
    before = row(buttons=[{"title": "Yes", "payload": None, "url": None}])
    after = row(buttons=[{"title": "Yes", "payload": None, "url": "https://x.example"}], whatsapp={"name": "hello"})
    assert said(before, after) == [("changed", "", "Buttons"), ("added", "", "WhatsApp")]


@given(st.text("ab 春茶\n.", max_size=60), st.text("ab 春茶\n.", max_size=60))
def test_nothing_of_either_side_is_lost(before: str, after: str) -> None:
    found = pieces(before, after)
    assert "".join(each.text for each in found if each.kind != "new") == before
    assert "".join(each.text for each in found if each.kind != "gone") == after


def test_long_texts_are_compared_by_line() -> None:
    lines = [f"line {n}\n" for n in range(WORDS_MAX)]
    found = pieces("".join(lines), "".join([*lines[:5], "other\n", *lines[6:]]))
    assert [each.kind for each in found] == ["same", "gone", "new", "same"] and found[2].text == "other\n"
