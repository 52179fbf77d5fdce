"""What is covered in a text, a page and JSON; what leads around it. Pure."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk.team.masking import COVER, MASKS, covered_html, covered_json, covering, refusal

ALL = frozenset(MASKS)
COVERS = covering(ALL, "me@house.example")


@pytest.mark.parametrize(
    "text",
    ["mei.tan@example.org", "Mei <mei+tea@sub.example.co.uk>", "write to mei@bücher.example!", "+31 6 1234 5678",
     "0049 151 1234-5678", "call 0151 12345678 please", "4915112345678", "(+86) 138 0013 8000", "tel:+4915112345678",
     "我的手机：13800138001，谢谢"],
)  # fmt: skip
def test_addresses_and_numbers_are_covered_in_words(text: str) -> None:
    covered = COVERS(text)
    assert COVER in covered and "mei" not in covered.replace("Mei", "")
    assert not re.search(r"\d{5}", re.sub(r"[ ()-]", "", covered))


@pytest.mark.parametrize(
    "text",
    ["", "Order HT-20261128001", "prf_01m8hx8dte2n79fftssketpqy8", "2026-11-28T20:15:00Z", "12:30", "3,490.00 EUR",
     "me@house.example", "1764360000000", "v1.2.3", "#4915112345678", "@Anna", "50 people", "2026-11-28"],
)  # fmt: skip
def test_other_words_stay(text: str) -> None:
    assert COVERS(text) == text


@given(st.from_regex(r"[a-z0-9._+]{1,20}@[a-z0-9-]{1,10}(\.[a-z]{2,6}){1,2}", fullmatch=True), st.text(max_size=30))
def test_no_mail_address_is_left(address: str, around: str) -> None:
    assert address not in COVERS(f"{around} {address} {around}")


@given(st.integers(10**6, 10**14))
def test_no_number_with_its_country_is_left(number: int) -> None:
    assert str(number) not in COVERS(f"at +{number} or")


@given(st.text(max_size=80))
def test_covering_twice_is_covering_once(text: str) -> None:
    once = COVERS(text)
    assert COVERS(once) == once


def test_each_mask_covers_its_own() -> None:
    text = "mei@tan.example +4915112345678"
    assert covering(frozenset({"emails"}))(text) == f"m{COVER}@{COVER} +4915112345678"
    assert covering(frozenset({"phones"}))(text) == f"mei@tan.example {COVER}78"
    assert covering(frozenset())(text) == text


def test_a_page_keeps_its_tags() -> None:
    page = (
        '<a href="mailto:mei@tan.example" title="mei@tan.example">mei@tan.example</a><input name="csrf" '
        'value="a1b2"><a href="/profiles/prf_1?x=4915112345678">+4915112345678</a><script type="application/json">'
        '{"of": "mei@tan.example"}</script><div data-position="4915112345678">'
    )
    covered = covered_html(page, COVERS)
    assert "mei@" not in covered and covered.count(f"m{COVER}@{COVER}") == 4
    assert 'href="/profiles/prf_1?x=4915112345678"' in covered and 'data-position="4915112345678"' in covered
    assert ">+49" not in covered and 'value="a1b2"' in covered


def test_json_keeps_its_ids_and_loses_amounts() -> None:
    row: dict[str, Any] = {
        "id": "prf_49151123456781234567890123", "handle": "4915112345678", "count": 3,
        "total": {"amount_minor": 7301, "currency": "EUR"}, "revenue": {"EUR": 7301},
        "address": {"street": "Canary 7", "city": "Leiden"},
        "created_at": "2026-11-28", "properties": {"total": 73.01, "note": "mei@tan.example"},
        "external_id": "4915112345678", "values": {"order.total.amount_minor": 7301, "order.status": "paid"},
    }  # fmt: skip
    covered = covered_json(row, ALL, COVERS)
    assert covered["values"] == {"order.total.amount_minor": None, "order.status": "paid"}
    assert covered["id"] == row["id"] and covered["handle"] == f"{COVER}78" and covered["count"] == 3
    assert covered["total"] == {"amount_minor": None, "currency": "EUR"} and covered["revenue"] == {"EUR": None}
    assert covered["address"] is None and covered["properties"] == {"total": None, "note": f"m{COVER}@{COVER}"}
    assert covered["external_id"] == f"{COVER}78"


@pytest.mark.parametrize(
    ("method", "path", "query", "accept"),
    [("GET", "/profiles/exports", {}, ""), ("POST", "/api/v1/exports", {}, ""), ("GET", "/api/v1/imports", {}, ""),
     ("GET", "/broadcasts/brd_1/recipients.csv", {}, ""), ("GET", "/api/v1/reports/campaigns", {}, "text/csv"),
     ("GET", "/profiles", {"q": "mei@"}, ""), ("GET", "/api/v1/profiles", {"identity": "phone:+4915112345678"}, ""),
     ("GET", "/inbox", {"q": "0151 12345678"}, ""), ("POST", "/profiles/prf_1/edit", {}, "")],
)  # fmt: skip
def test_what_leads_around_is_refused(method: str, path: str, query: dict[str, str], accept: str) -> None:
    assert refusal(method, path, query, ALL, accept) is not None
    assert refusal("GET", "/profiles", {"q": "Mei"}, ALL, "text/html") is None
