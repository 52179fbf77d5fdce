"""Finding people by the beginning of what they are called."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.vocabulary import Address
from profiles.resolve import Sighting
from profiles.search import TOKENS_MAX, query_tokens, search_tokens
from profiles.store import ProfileFilter
from tests.profiles.conftest import People


def found(query: str, name: str | None, handle: str = "", email: str = "", phone: str = "") -> bool:
    tokens = search_tokens(name, [handle] if handle else [], [email] if email else [], [phone] if phone else [])
    wanted = query_tokens(query)
    return bool(wanted) and all(any(token.startswith(part) for token in tokens) for part in wanted)


@pytest.mark.parametrize("query", ["anna", "ANN", "müll", "Mull", "anna mul", "meier-m"])
def test_names(query: str) -> None:
    assert found(query, "Anna Meier-Müller")


@pytest.mark.parametrize("query", ["北京", "京", "市民", "北", "王 小"])
def test_names_without_spaces(query: str) -> None:
    assert found(query, "北京市民 王小明")


def test_other_ways() -> None:
    assert found("@anna_b", None, handle="@anna_b") and found("anna_", None, handle="anna_b")
    assert found("anna@exam", None, email="anna@example.com") and found("example", None, email="anna@example.com")
    for query in ("+49 170 12", "0170 123", "170123", "49170", "0049170"):
        assert found(query, None, phone="+491701234567"), query
    assert found("13800138000", None, phone="+8613800138000")


def test_what_is_not_found() -> None:
    assert not found("otto", "Anna") and not found("anna x", "Anna Meier") and not found("海", "北京")
    assert query_tokens("  ?! ") == []


@given(st.text(max_size=80), st.text(max_size=40))
@example(":@ :", "")
@example("@a@b", "")
@example("海@x", "")
def test_a_name_is_found_by_its_own_beginnings(name: str, handle: str) -> None:
    tokens = search_tokens(name, [handle], [], [])
    assert tokens == sorted(set(tokens)) and len(tokens) <= TOKENS_MAX
    for part in query_tokens(name)[:3] if len(tokens) < TOKENS_MAX and not any(c.isdigit() for c in name) else []:
        assert any(token.startswith(part) for token in tokens)


async def test_the_list_finds_and_pages_and_stays_stable(people: People) -> None:
    for i in range(7):
        await people.resolver.refer("customer_id", f"c{i}", create=True, name=f"Anna Nummer {i}")
    await people.resolver.refer("email", "otto@example.com", create=True, name="Otto")
    first = await people.profiles.page(ProfileFilter(q="anna num"), limit=3)
    assert [profile.name for profile in first.data] == ["Anna Nummer 6", "Anna Nummer 5", "Anna Nummer 4"]
    await people.resolver.refer("customer_id", "later", create=True, name="Anna Nummer 99")
    second = await people.profiles.page(ProfileFilter(q="anna num"), limit=3, cursor=first.next_cursor)
    third = await people.profiles.page(ProfileFilter(q="anna num"), limit=3, cursor=second.next_cursor)
    assert [profile.name for profile in second.data + third.data] == [f"Anna Nummer {i}" for i in (3, 2, 1, 0)]
    assert third.next_cursor is None
    (by_mail,) = (await people.profiles.page(ProfileFilter(identity_key="email:otto@example.com"))).data
    assert by_mail.name == "Otto"
    assert (await people.profiles.page(ProfileFilter(q="?"))).data == []
    assert await people.profiles.count(ProfileFilter()) == 9


async def test_the_list_by_last_seen_ends_with_those_never_seen(people: People) -> None:
    def at(external_id: str, minutes: int) -> Sighting:
        address = Address(channel_id="chn_a", external_id=external_id)
        return Sighting(address, "telegram", people.clock() + timedelta(minutes=minutes), inbound=True)

    await people.resolver.resolve([at("a", 1), at("b", 3), at("c", 2)])
    for i in range(3):
        await people.resolver.refer("customer_id", f"c{i}", create=True, name=f"{i}")
    names, cursor = [], None
    while True:
        page = await people.profiles.page(ProfileFilter(), limit=2, cursor=cursor, sort="last_seen")
        names += [profile.id for profile in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(names) == len(set(names)) == 6
    assert names == [
        row["_id"] async for row in people.db.collection("profiles").find().sort([("last_seen_at", -1), ("_id", -1)])
    ]
