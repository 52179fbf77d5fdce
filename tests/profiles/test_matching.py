"""Where in a text what was searched for stands."""

import pytest

from inbox.words import asked_pieces, snippet
from profiles.matching import cut, places
from profiles.search import query_tokens


def marked(text: str, words: list[str], *, starts: bool = False) -> str:
    return "".join(f"[{part}]" if found else part for part, found in cut(text, places(text, words, starts=starts)))


@pytest.mark.parametrize(
    ("text", "q", "shown"),
    [
        ("Is the teapot safe?", "teapot", "Is the [teapot] safe?"),
        ("Teapots and a TEAPOT", "teapot", "Teapots and a [TEAPOT]"),
        ("玻璃茶壶可以洗吗", "茶壶", "玻璃[茶壶]可以洗吗"),
        ("Das Café in der Straße", "cafe strasse", "Das [Café] in der [Straße]"),
        ("Cafe\u0301 au lait", "café", "[Cafe\u0301] au lait"),
        ("ＡＢＣ tea", "abc", "[ＡＢＣ] tea"),
        ("<b>tea</b>", "b", "<[b]>tea</[b]>"),
        ("nothing of it", "teapot", "nothing of it"),
        ("", "tea", ""),
        ("茶", "茶", "[茶]"),
        ("tea茶tea", "tea", "[tea]茶[tea]"),
    ],
)
def test_words_of_a_message_are_marked_whole_and_chinese_anywhere(text: str, q: str, shown: str) -> None:
    assert marked(text, asked_pieces(q)) == shown


@pytest.mark.parametrize(
    ("text", "q", "shown"),
    [
        ("Annabel Hanna-Anna", "anna", "[Anna]bel Hanna-[Anna]"),
        ("王小明茶行", "小明茶", "王[小明茶]行"),
        ("Anna anna@tea.example", "anna@tea.example", "Anna [anna@tea.example]"),
        ("Anna", "", "Anna"),
    ],
)
def test_names_are_marked_from_their_beginning(text: str, q: str, shown: str) -> None:
    assert marked(text, query_tokens(q), starts=True) == shown


def test_the_stretches_are_the_text_again() -> None:
    text = "ﬀ ffi ﬃ İstanbul ß 茶壶茶壶 e\u0301"
    for q in ("f", "ff", "ffi", "i", "istanbul", "ss", "茶壶", "壶茶", "e"):
        stretches = cut(text, places(text, asked_pieces(q), starts=True))
        assert "".join(part for part, _ in stretches) == text and all(part for part, _ in stretches)


def test_a_snippet_begins_near_what_was_found_however_it_is_written() -> None:
    text = "x " * 200 + "Ein Café bitte " + "y " * 200
    assert "Café" in snippet(text, "cafe") and snippet(text, "cafe").startswith("…")
