"""What may be said of an order, in which words, and what follow-ups ask of it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from orders.models import Order, OrderInput
from orders.progress import applied, summary

AT = datetime(2026, 3, 1, tzinfo=UTC)


def said(**fields: Any) -> OrderInput:
    return OrderInput.model_validate({"external_id": "1", "identity": "email:anna@example.com", **fields})


def after(*statuses: str, **fields: Any) -> Order:
    row: dict[str, Any] = {
        "_id": "ord_1",
        "external_id": "1",
        "source": "api",
        "profile_id": "prf_1",
        "identity_id": "",
    }
    for status in statuses:
        row |= applied(row, said(status=status, **fields), AT, AT).fields
    return Order.model_validate({**row, "id": "ord_1", "created_at": AT, "updated_at": AT})


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("unpaid", "pending"),
        ("Shipped", "fulfilled"),
        ("canceled", "cancelled"),
        ("out-for-delivery", "out_for_delivery"),
    ],
)
def test_other_words_for_a_status(word: str, status: str) -> None:
    assert said(status=word).status == status


def test_amounts_in_cents_take_the_currency_of_the_order() -> None:
    order = said(currency="EUR", total=1999, lines=[{"name": "Tea", "quantity": 2, "price_minor": 999}])
    assert order.total is not None and (order.total.amount_minor, order.total.currency) == (1999, "EUR")
    assert order.lines is not None and order.lines[0].unit_price is not None
    assert order.lines[0].unit_price.amount_minor == 999


@pytest.mark.parametrize("fields", [
    {"total": 1999}, {"total": 19.99, "currency": "EUR"}, {"total": True, "currency": "EUR"}, {"status": "lost"},
    {"total": {"amount_minor": 1, "currency": "EUR"}, "currency": "USD"}, {"identity": "anna"}, {"totl": 1},
    {"placed_at": "2026-03-01T09:00:00"}, {"payment_url": "javascript:x"}, {"lines": [{"quantity": 1}]}, {"lines": 7},
])  # fmt: skip
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        said(**fields)


@pytest.mark.parametrize(("statuses", "awaits"), [
    (("pending",), True), (("pending", "payment_failed"), True), (("checkout",), False),
    (("pending", "authorised"), False), (("pending", "paid"), False), (("paid", "pending"), False),
    (("pending", "cancelled"), False), (("cancelled", "pending"), False), (("pending", "refunded"), False),
])  # fmt: skip
def test_when_a_payment_reminder_makes_sense(statuses: tuple[str, ...], awaits: bool) -> None:
    assert after(*statuses).awaits_payment is awaits


def test_a_trial_order_is_never_counted() -> None:
    real, trial = (
        {**applied({}, said(status="paid", total=500, currency="EUR", test=test), AT, AT).fields}
        for test in (None, True)
    )
    assert summary([real, trial]) == summary([real])
    assert summary([trial])["count"] == 0
