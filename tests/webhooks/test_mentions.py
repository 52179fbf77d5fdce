"""Who is named in raw bytes, in whatever form they are written."""

import json
from urllib.parse import quote

import pytest

from webhooks.mentions import pattern_of


@pytest.mark.parametrize("word", ["anna@example.org", "+491701234567", "491701234567", "陈美 Tan", "customer/42"])
def test_a_word_is_found_in_every_form_bodies_have(word: str) -> None:
    pattern = pattern_of([word])
    assert pattern is not None
    told = {"a": word}
    bodies = (word, json.dumps(told), json.dumps(told, ensure_ascii=False), f"From={quote(word, safe='')}&x=1",
              f"<a>{word}</a>", word.upper())  # fmt: skip
    for body in bodies:
        assert pattern.search(body.encode()), body


def test_a_part_of_another_word_is_another_word() -> None:
    pattern = pattern_of(["12345678", "anna@example.org"])
    assert pattern is not None
    assert not pattern.search(b'{"id": 9123456780}') and not pattern.search(b"joanna@example.organic")
    assert pattern_of([]) is None
