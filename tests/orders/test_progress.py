"""Whatever order the news arrives in, the end is the same."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orders.models import RANK, OrderInput
from orders.progress import applied, summary

START = datetime(2026, 3, 1, tzinfo=UTC)
NEWS = [
    ("pending", 0, None), ("payment_failed", 1, None), ("paid", 2, 1000), ("fulfilled", 3, None),
    ("delivered", 4, 1200), ("refunded", 5, None),
]  # fmt: skip


def news(status: str, total: int | None) -> OrderInput:
    money = {"amount_minor": total, "currency": "EUR"} if total is not None else None
    return OrderInput.model_validate({"external_id": "1", "status": status, "total": money})


def told(story: list[tuple[str, int, int | None]]) -> tuple[dict[str, Any], list[str]]:
    row: dict[str, Any] = {}
    raised: list[str] = []
    for status, hours, total in story:
        progress = applied(row, news(status, total), START + timedelta(hours=hours), START + timedelta(days=9))
        row = {**row, **progress.fields}
        raised += progress.raised
    return row, raised


def comparable(row: dict[str, Any]) -> Any:
    history = [(step["status"], step["at"]) for step in row["status_history"]]
    return row["status"], row.get("total"), row["placed_at"], history


@given(st.permutations(NEWS + NEWS[1:4]), st.integers(1, 6))
def test_any_order_with_repeats_ends_like_the_ordered_run(shuffled: list[Any], length: int) -> None:
    chosen = set(NEWS[:length])
    story = [each for each in shuffled if each in chosen]
    ordered, events = told(NEWS[:length])
    mixed, mixed_events = told(story)
    assert comparable(mixed) == comparable(ordered)
    assert sorted(mixed_events) == sorted(events)
    assert len(set(events)) == len(events)


@given(st.lists(st.sampled_from(sorted(RANK)), min_size=1, max_size=12))
def test_a_status_never_runs_backwards(statuses: list[str]) -> None:
    row: dict[str, Any] = {}
    rank = -1
    for n, status in enumerate(statuses):
        row = {**row, **applied(row, news(status, None), START + timedelta(hours=n), START).fields}
        assert RANK[row["status"]] >= rank
        rank = RANK[row["status"]]


def test_a_first_step_past_the_checkout_places_the_order() -> None:
    assert told([("delivered", 0, None)])[1] == ["order.created", "order.delivered"]
    assert told([("checkout", 0, None), ("paid", 1, None)])[1] == [
        "checkout.started", "order.created", "order.paid", "checkout.completed",
    ]  # fmt: skip


def test_cash_on_delivery_is_paid_after_it_was_delivered() -> None:
    row, raised = told([("pending", 0, 900), ("delivered", 1, None), ("paid", 2, None)])
    assert row["status"] == "delivered" and raised[-1] == "order.paid"
    assert [step["late"] for step in row["status_history"] if step["status"] == "paid"] == [True]
    assert summary([row])["revenue"] == {"EUR": 900}


def test_counters_leave_out_what_was_called_off() -> None:
    kept, _ = told(NEWS[:3])
    refunded, _ = told(NEWS)
    waiting, _ = told([("checkout", 0, 500)])
    counted = summary([kept, refunded, waiting])
    assert counted["count"] == 1 and counted["revenue"] == {"EUR": 1000}


HOUR = timedelta(hours=1)
PARTS = [
    {"status": "pending", "total": {"amount_minor": 1000, "currency": "EUR"}},
    {"fulfilments": [{"id": "f1", "status": "pending", "at": START + HOUR}]},
    {"fulfilments": [
        {"id": "f1", "status": "fulfilled", "at": START + 2 * HOUR, "tracking": {"number": "3S1"}}
    ]},
    {"fulfilments": [{"id": "f2", "status": "fulfilled", "at": START + 3 * HOUR, "tracking": {"number": "3S2"}}]},
    {"refunds": [{"id": "r1", "at": START + 4 * HOUR, "amount": {"amount_minor": 400, "currency": "EUR"}}]},
    {"fulfilments": [{"id": "f1", "status": "delivered", "at": START + 5 * HOUR}]},
    {"refunds": [{"id": "r2", "at": START + 6 * HOUR, "amount": {"amount_minor": 600, "currency": "EUR"}}]},
    {"removed": True}, {"removed": False},
]  # fmt: skip


def pieces(numbers: list[int]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for number in numbers:
        said = OrderInput.model_validate({"external_id": "1", **PARTS[number]})
        row = {**row, **applied(row, said, START + number * HOUR, START).fields}
    return row


@given(st.permutations(range(1, len(PARTS))), st.lists(st.integers(1, len(PARTS) - 1), max_size=4))
def test_parcels_and_refunds_in_any_order_end_the_same(shuffled: list[int], again: list[int]) -> None:
    ordered, mixed = pieces(list(range(len(PARTS)))), pieces([0, *shuffled, *again])
    for row in (ordered, mixed):
        row["status_history"] = [(step["status"], step["at"]) for step in row["status_history"]]
    assert mixed == ordered
    assert mixed["status"] == "refunded" and mixed["tracking"]["number"] == "3S2" and mixed["removed"] is False
    assert [(each["id"], each["status"]) for each in mixed["fulfilments"]] == [("f1", "delivered"), ("f2", "fulfilled")]
    assert mixed["fulfilments"][0]["tracking"]["number"] == "3S1"


def test_milestones_of_one_payload_each_have_their_time() -> None:
    said = OrderInput.model_validate({
        "external_id": "1",
        "milestones": [{"status": "pending", "at": START}, {"status": "paid", "at": START + HOUR},
                       {"status": "shipped", "at": START + 2 * HOUR}],
    })  # fmt: skip
    progress = applied({}, said, START + 3 * HOUR, START)
    assert progress.fields["status"] == "fulfilled" and progress.fields["placed_at"] == START
    assert progress.raised == {
        "order.created": START, "order.paid": START + HOUR, "order.fulfilled": START + 2 * HOUR,
    }  # fmt: skip


def test_revenue_is_what_was_paid_less_what_was_paid_back() -> None:
    row = pieces([0, 4])
    assert row["status"] == "partially_refunded"
    assert summary([row])["revenue"] == {"EUR": 600} and summary([row])["count"] == 1
    assert summary([{**row, "removed": True}])["count"] == 0


def test_a_checkout_heard_of_after_its_order_starts_nothing() -> None:
    row, raised = told([("pending", 1, 900), ("checkout", 0, 500)])
    assert raised == ["order.created"] and row["total"]["amount_minor"] == 900 and row["status"] == "pending"


def test_a_changed_checkout_is_told_each_time() -> None:
    assert told([("checkout", 0, 500), ("checkout", 1, 700), ("checkout", 2, 700)])[1] == [
        "checkout.started", "checkout.updated",
    ]  # fmt: skip


def test_goods_taken_back_for_nothing_are_no_refund() -> None:
    said = OrderInput.model_validate({"external_id": "1", "refunds": [{"id": "r", "at": START}]})
    row = applied({}, said, START, START).fields
    assert row["status"] == "pending" and len(row["refunds"]) == 1
