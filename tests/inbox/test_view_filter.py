"""What a filter means: the database and memory agree on every row."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inbox.models import PRIORITY_RANK
from inbox.view_filter import (
    STATUSES,
    ConversationFilter,
    LabelFilter,
    PersonFilter,
    ViewFilter,
    belongs,
    condition,
    fits_person,
)
from tests.inbox.conftest import House

ANNA, BO = (f"usr_{'0' * 25}{n}" for n in "ab")
ONE, TWO = (f"chn_{'0' * 25}{n}" for n in "12")
LABELS = ("vip", "refund", "late")


def some(values: Any) -> Any:
    return st.lists(st.sampled_from(values), unique=True, max_size=3).map(tuple)


FILTERS = st.builds(
    ViewFilter, status=some(STATUSES), assignee=some(["me", "none", ANNA, BO]), team=some(["none", "tea_1", "tea_2"]),
    channel=some([ONE, TWO]), priority=some(list(PRIORITY_RANK)), unread=st.none() | st.booleans(),
    waiting=st.none() | st.booleans(), sla=some(["soon", "breached"]), follower=some(["me", ANNA, BO]),
    labels=st.builds(LabelFilter, any=some(LABELS), all=some(LABELS), none=some(LABELS)),
)  # fmt: skip
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TIMES = st.sampled_from([NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)])
ROWS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(STATUSES), "channel_id": st.sampled_from([ONE, TWO]),
        "assignee_id": st.sampled_from([None, ANNA, BO]), "team_id": st.sampled_from([None, "tea_1"]),
        "priority": st.sampled_from(list(PRIORITY_RANK)), "labels": some(LABELS).map(list),
        "unread": st.integers(0, 2),
    },
    optional={
        "waiting_since": st.just("2026-11-28"), "participants": some([ANNA, BO]).map(list),
        "sla": st.fixed_dictionaries({}, optional={"due_at": TIMES, "soon_at": TIMES}),
    },
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(view=FILTERS, rows=st.lists(ROWS, max_size=12), me=st.sampled_from([ANNA, BO, None]))
async def test_memory_and_database_agree(house: House, view: ViewFilter, rows: Any, me: str | None) -> None:
    collection = house.database.collection("filtered")
    await collection.delete_many({})
    kept = [{**row, "_id": place} for place, row in enumerate(rows)]
    if kept:
        await collection.insert_many(kept)
    found = {row["_id"] async for row in collection.find(condition(ConversationFilter(view, me), NOW))}
    assert found == {row["_id"] for row in kept if belongs(row, view, me, NOW)}


def test_who_sees_some_channels_finds_nothing_on_others() -> None:
    asked = ConversationFilter(ViewFilter(channel=(ONE,)), ANNA, [TWO])
    assert {"channel_id": {"$in": []}} in condition(asked)["$and"]


def test_what_is_kept_is_what_narrows() -> None:
    view = ViewFilter(status=("open",), labels=LabelFilter(none=("late",)), unread=False)
    assert view.written() == {"status": ["open"], "labels": {"none": ["late"]}, "unread": False}
    assert ViewFilter.model_validate(view.written()) == view


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": ["merged"]}, {"assignee": ["$ne"]}, {"colour": "red"}, {"labels": {"some": ["x"]}},
        {"channel": ["shop"]}, {"priority": "urgent"}, {"q": ""}, {"person": {"stage": [""]}},
        {"labels": {"any": ["x"] * 41}},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        ViewFilter.model_validate(wrong)


def test_who_fits() -> None:
    person = PersonFilter(stage=("lead",), tag=("tea", "vip"))
    assert fits_person(person, "lead", None, ["vip"])
    assert not fits_person(person, "lead", None, ["other"]) and not fits_person(person, "new", None, ["vip"])
