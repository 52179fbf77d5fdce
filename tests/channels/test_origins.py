"""Which pages may show the chat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from channels.origins import is_allowed, normal_origin
from channels.providers.webchat.settings import WebchatSettings


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://www.example.com", "https://www.example.com"),
        ("HTTPS://WWW.Example.com/", "https://www.example.com"),
        (" https://www.example.com:443 ", "https://www.example.com"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("https://*.example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(written: str, sent: str) -> None:
    assert normal_origin(written) == sent
    assert is_allowed(sent.replace("*", "a"), [sent])


@pytest.mark.parametrize(
    "written",
    ["", "*", "https://*", "https://*.com", "https://a.*.com", "https://*a.example.com", "example.com", "null",
     "https://example.com/shop", "https://u:p@example.com", "ftp://example.com", "https://exa mple.com",
     "https://example.com:99999", "https://example.com?x=1", "javascript:alert(1)", "https://-a.example.com"],
)  # fmt: skip
def test_what_is_no_origin_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValidationError, match=r"https://www\.example\.com"):
        WebchatSettings.model_validate({"allowed_origins": [written]})


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://a.example.com", True), ("https://a.b.example.com", True), ("https://example.com", False),
        ("http://a.example.com", False), ("https://a.example.com:8443", False), ("https://aexample.com", False),
        ("https://a.example.com.evil.example", False), ("https://evil.example/.example.com", False),
        ("https://evil.example#.example.com", False), ("https://.example.com", False), ("null", False), ("", False),
        (None, False), ("https://A.example.com", False), ("https://a@b.example.com", False),
        ("https://é.example.com", False), ("https://" + "a." * 200 + "example.com", False),
        ("https://[::1].example.com", False), ("https://a.example.com\n", False), ("https://a..example.com", False),
    ],
)  # fmt: skip
def test_a_star_stands_for_the_hosts_below_and_nothing_else(origin: str | None, allowed: bool) -> None:
    assert is_allowed(origin, ["https://*.example.com"]) is allowed


def test_nothing_allowed_lets_nobody_in() -> None:
    assert not is_allowed("https://www.example.com", [])


@given(st.text())
def test_any_text_is_an_origin_or_a_sentence(text: str) -> None:
    try:
        kept = normal_origin(text)
    except ValueError as error:
        assert str(error).endswith(".")
    else:
        assert normal_origin(kept) == kept and kept.isascii()


@given(st.text())
def test_any_header_is_answered(text: str) -> None:
    assert is_allowed(text, ["https://*.example.com", "https://www.example.org"]) is (text == "https://www.example.org")
