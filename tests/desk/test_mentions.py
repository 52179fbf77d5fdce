"""Who is meant by @Name, and what may be clicked."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.mentions import handles_of, mentioned, pieces_of
from desk.store import User

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def user(user_id: str, name: str, email: str, active: bool = True) -> User:
    return User(user_id, email, name, "agent", None, active, None, None, None, True, NOW)


HANDLES = handles_of(
    [user("ann", "Ann Lee", "ann@example.org"), user("anna", "Anna Bos", "a.bos@example.org"),
     user("ben1", "Ben One", "ben.one@example.org"), user("ben2", "Ben Two", "b2@example.org"),
     user("li", "李明", "li.ming@example.org"), user("gone", "Gone Girl", "gone@example.org", active=False)]
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("@Ann Lee, please look", ["ann"]), ("@anna please", ["anna"]), ("@Anna Bos and @ann.", ["anna", "ann"]),
        ("@Ben who?", []), ("@Ben Two", ["ben2"]), ("@ben.one", ["ben1"]), ("请@李明看一下", ["li"]),
        ("write to x@ann", []), ("mail ann@example.org", []), ("@Annabel", []), ("@Gone Girl", []),
        ("@ann @Ann @ANN LEE", ["ann"]), ("", []), ("@", []), ("@@ann", ["ann"]),
    ],
)  # fmt: skip
def test_who_is_called(text: str, who: list[str]) -> None:
    assert mentioned(text, HANDLES) == who


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://example.org/a?b=c#d.", ["https://example.org/a?b=c#d"]),
        ("(https://example.org/a_(b))", ["https://example.org/a_(b)"]),
        ("javascript:alert(1) data:text/html,x ftp://x", []),
        ('https://x.org/"><script>', ["https://x.org/"]), ("看https://例子.cn/茶，谢谢", ["https://例子.cn/茶"]),
        ("https:// and http://", []), ("HTTP://EXAMPLE.org", ["HTTP://EXAMPLE.org"]),
    ],
)  # fmt: skip
def test_what_may_be_clicked(text: str, links: list[str]) -> None:
    assert [piece.href for piece in pieces_of(text, HANDLES) if piece.kind == "link"] == links


@given(st.lists(st.sampled_from([*'@anbe :/.()<"İß李', "https://x.y/", "@ann", "@Anna Bos"])).map("".join))
def test_no_sign_is_lost_and_only_http_is_linked(text: str) -> None:
    pieces = pieces_of(text, HANDLES)
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.href.lower().startswith(("http://", "https://")) for piece in pieces if piece.kind == "link")
