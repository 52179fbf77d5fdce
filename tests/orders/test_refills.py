"""How often a product is bought, and what of an order runs out first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orders.refills import ALL_LEAST, DAYS_LEAST, DAYS_MOST, OWN_LEAST, cycle, gaps, gaps_of_all

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = st.lists(st.floats(0, 2000), max_size=30)


@given(DAYS)
def test_gaps_lie_within_bounds_whatever_the_order(days: list[float]) -> None:
    times = [START + timedelta(days=each) for each in days]
    found = gaps(times)
    assert found == gaps(reversed(times)) and len(found) < max(len(times), 1)
    assert all(DAYS_LEAST <= each <= DAYS_MOST for each in found)


@given(DAYS, DAYS)
def test_people_are_not_mixed(one: list[float], other: list[float]) -> None:
    of_one, of_other = ([START + timedelta(days=each) for each in days] for days in (one, other))
    mixed = [*(("a", at) for at in of_one), *(("b", at) for at in of_other)]
    assert sorted(gaps_of_all(mixed)) == sorted([*gaps(of_one), *gaps(of_other)])


@given(st.lists(st.floats(2, 400), max_size=10), st.lists(st.floats(2, 400), max_size=10))
def test_ones_own_habit_comes_first_and_little_is_not_enough(own: list[float], of_all: list[float]) -> None:
    found = cycle(own, of_all)
    if len(own) >= OWN_LEAST:
        assert found is not None and found.of == "own" and min(own) <= found.days <= max(own)
    elif len(of_all) >= ALL_LEAST:
        assert found is not None and found.of == "all" and min(of_all) <= found.days <= max(of_all)
    else:
        assert found is None
