"""Which orders need a hand."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.stream.ladders import StreamRules
from campaigns.stream.needs import Heard, need_of
from orders.models import as_order

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
RULES = StreamRules()


def ago(**span):
    return NOW - timedelta(**span)


def order(*steps, placed=None, **more):
    """Steps are (status, when)."""
    history = [{"status": status, "at": at, "recorded_at": at} for status, at in steps]
    return as_order({
        "_id": "ord_" + "0" * 26, "external_id": "1", "source": "api", "profile_id": "prf", "identity_id": "idn",
        "status": steps[-1][0] if steps else "pending", "placed_at": placed or ago(days=3), "status_history": history,
        "created_at": NOW, "updated_at": NOW, **more,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("it", "heard", "need"),
    [
        (order(), Heard(), "unpaid"),
        (order(placed=ago(hours=47)), Heard(), None),
        (order(("paid", ago(days=2))), Heard(), None),
        (order(("payment_failed", ago(days=2))), Heard(), "unpaid"),
        (order(("cancelled", ago(days=2))), Heard(), None),
        (order(test=True), Heard(), None),
        (order(removed=True), Heard(), None),
        (order(placed=ago(days=61)), Heard(), None),
        (order(("paid", ago(days=3)), ("fulfilled", ago(hours=25))), Heard(), "unnoticed"),
        (order(("fulfilled", ago(hours=23))), Heard(), None),
        (order(("fulfilled", ago(hours=25))), Heard(noticed_at=ago(hours=24)), None),
        (order(("fulfilled", ago(hours=25))), Heard(noticed_at=ago(hours=26)), "unnoticed"),
        (order(("fulfilled", ago(days=9)), ("delivered", ago(days=8))), Heard(), "unreviewed"),
        (order(("delivered", ago(days=6))), Heard(), None),
        (order(("delivered", ago(days=8))), Heard(written_at=ago(days=5)), None),
        (order(("delivered", ago(days=8))), Heard(reviewed_at=ago(days=1)), None),
        (order(("delivered", ago(days=8))), Heard(reviewed_at=ago(days=20)), "unreviewed"),
    ],
)
def test_what_an_order_needs(it, heard, need):
    found = need_of(it, heard, RULES, NOW)
    assert (found[0] if found else None) == need


def test_what_the_house_does_not_want_to_see():
    never = StreamRules(unpaid_after_h=None, unnoticed_after_h=None, unreviewed_after_days=None)
    for it in (order(), order(("fulfilled", ago(days=2))), order(("delivered", ago(days=9)))):
        assert need_of(it, Heard(), never, NOW) is None
