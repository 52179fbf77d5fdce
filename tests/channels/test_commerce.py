"""Amounts to the cent, and nothing in an order that could not be kept."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.commerce import (
    LINES_MAX,
    buyer,
    currency,
    line,
    lines,
    mail_address,
    money,
    own_id,
    phone_number,
    stamp,
    total_of,
    tracking,
    web_link,
)
from orders.models import OrderInput

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)


@pytest.mark.parametrize(("value", "code", "minor"), [
    ("409.94", "USD", 40994), ("1.005", "USD", 101), (3, "EUR", 300), (0.1, "EUR", 10), ("1500", "JPY", 1500),
    ("1.234", "KWD", 1234), ("-9.99", "USD", -999), (" 12.50 ", "USD", 1250), ("1e30", "USD", None),
    ("NaN", "USD", None), ("Infinity", "USD", None), ("", "USD", None), (True, "USD", None), ("1.00", None, None),
    ("9" * 400, "USD", None), ("1e999999999", "USD", None),
])  # fmt: skip
def test_amounts_are_exact(value: Any, code: str | None, minor: int | None) -> None:
    assert money(value, code) == (None if minor is None else {"amount_minor": minor, "currency": code})


def test_several_amounts_need_one_currency() -> None:
    assert total_of([money("1.10", "EUR"), None, money("2.20", "EUR")]) == {"amount_minor": 330, "currency": "EUR"}
    assert total_of([money("1", "EUR"), money("1", "USD")]) is None and total_of([]) is None


def test_readers() -> None:
    assert currency(" usd ") == "USD" and currency("US Dollar") is None
    assert phone_number("030 901820", "DE") == "+4930901820" and phone_number("030 901820") is None
    assert phone_number("(555) 555-5555", "US") is None and phone_number("+31 6 12345678", "US") == "+31612345678"
    assert web_link("javascript:alert(1)") is None and web_link("https://a.example/x y") is None
    assert own_id(820982911946154508) == "820982911946154508" and len(own_id("x" * 900) or "") == 40
    assert line(name="Tea", quantity=0) is None and line(name="", quantity=1) is None
    assert len(lines(line(name="Tea", quantity=1) for _ in range(900))) == LINES_MAX
    assert stamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"


@given(st.lists(ANYTHING, min_size=9, max_size=9))
def test_whatever_is_sent_makes_an_order_that_can_be_kept(values: list[Any]) -> None:
    mail, number, name, quantity, price, link, code, parcel, customer = values
    found = currency(code) or "EUR"
    OrderInput.model_validate({
        "external_id": own_id(customer) or "1",
        "identities": buyer("chn_1", customer_id=own_id(customer), email=mail_address(mail),
                            phone=phone_number(number, code)),
        "lines": lines([line(name=name, quantity=quantity, sku=name, price=money(price, found), image_url=link)]),
        "tracking": tracking(parcel, name, link), "total": money(price, found),
    })  # fmt: skip
