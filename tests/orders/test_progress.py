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
