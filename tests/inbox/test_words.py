"""By what words a message is found. Pure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inbox.words import SNIPPET_MAX, WORDS_MAX, asked_words, is_found, says, snippet, text_of, words_in

TEXTS = st.text("ab Ä茶壶玻璃カ.,é", max_size=60)


@pytest.mark.parametrize(
    ("text", "q", "found"),
    [
        ("你好，玻璃茶壶可以放洗碗机吗？", "茶壶", True), ("你好，玻璃茶壶可以放洗碗机吗？", "玻璃茶壶", True),
        ("你好，玻璃茶壶可以放洗碗机吗？", "壶", True), ("你好，玻璃茶壶可以放洗碗机吗？", "茶碗", False),
        ("茶好。壶好", "茶壶", False), ("茶壶和玻璃", "玻璃 茶壶", True), ("iPhone手机壳", "iphone 手机", True),
        ("Do you ship to Norway?", "norway SHIP", True), ("Do you ship to Norway?", "nor", False),
        ("Zoë's café", "zoe cafe", True), ("Ｔｅａ", "tea", True),
        ("order #1042-B", "1042", True), ("Tee", "tea", False),
        ("お茶をください", "お茶", True), ("ขอชาเขียว", "ชา", True),
    ],
)  # fmt: skip
def test_what_is_found(text: str, q: str, found: bool) -> None:
    assert says(text, q) is found
    if found:
        assert set(asked_words(q)) <= set(words_in(text))


@given(text=TEXTS, start=st.integers(0, 60), length=st.integers(1, 12))
def test_whatever_stands_in_a_text_as_whole_words_is_found(text: str, start: int, length: int) -> None:
    q = text[start : start + length]
    if asked_words(q) and says(text, q):
        assert set(asked_words(q)) <= set(words_in(text))


@given(text=TEXTS, q=TEXTS)
def test_a_snippet_is_short_and_of_the_text(text: str, q: str) -> None:
    shown = snippet(text, q)
    assert len(shown) <= SNIPPET_MAX + 2 and shown.strip("…") in " ".join(text.split())


def test_a_snippet_shows_what_was_found() -> None:
    assert "teapot" in snippet("word " * 100 + "the glass teapot " + "more " * 100, "Teapot")


def test_no_message_has_words_without_end() -> None:
    assert len(words_in(" ".join(f"w{n}" for n in range(2000)))) == WORDS_MAX
    assert asked_words("  ?! 🙂") == []


def test_what_a_message_says() -> None:
    message = {
        "text": "Hi", "mail": {"subject": "Invoice"}, "attachments": [{"name": "scan.pdf", "caption": None}, {}],
    }  # fmt: skip
    assert text_of(message) == "Hi\nInvoice\nscan.pdf" and text_of({}) == ""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, True), ({"direction": "note"}, True), ({"direction": "system"}, False), ({"deleted_at": "x"}, False),
        ({"author": {"type": "campaign"}}, False), ({"conversation_id": None}, False),
    ],
)  # fmt: skip
def test_what_is_to_be_found_at_all(change: dict[str, Any], found: bool) -> None:
    message = {"direction": "in", "author": {"type": "customer"}, "conversation_id": "cnv_1", **change}
    assert is_found(message) is found
