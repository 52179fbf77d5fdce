"""Events once, the stream in both directions, tracked events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.errors import NotFound, WrongInput
from base.mongo import DuplicateKeyError
from profiles.events import NewEvent
from profiles.models import parse_identity, plain, storable
from profiles.timeline import Timeline, Wanted
from profiles.track import TrackedInput, Tracker
from profiles.words import Words
from tests.profiles.conftest import People

AT = datetime(2026, 3, 1, tzinfo=UTC)


def happened(n: int, name: str = "page.viewed", **more: Any) -> NewEvent:
    return NewEvent(name, f"d{n}", AT + timedelta(minutes=n), "prf_1", **more)


async def test_an_event_is_kept_once(people: People) -> None:
    assert await people.events.record([happened(1), happened(2)]) == 2
    assert await people.events.record([happened(2), happened(3)]) == 1

    async def twice(session: Any) -> None:
        await people.events.record([happened(9), happened(3)], session)

    with pytest.raises(DuplicateKeyError):
        await people.db.in_transaction(twice)
    assert await people.db.collection("events").count_documents({}) == 3
    claimed = await people.events.duties.claim(["pending"], datetime.now(UTC), limit=10)
    assert len(claimed) == 3


async def test_facts_for_the_engine(people: People) -> None:
    await people.events.record([happened(1, "a"), happened(2, "b"), happened(3, "a"), happened(4, "c")])
    found = await people.events.find("prf_1", ["a", "b"], AT + timedelta(minutes=2))
    assert [event.name for event in found] == ["a", "b"]
    assert await people.events.exists("prf_1", ["c"], AT, AT + timedelta(minutes=4))
    assert not await people.events.exists("prf_1", ["c"], AT, AT + timedelta(minutes=3))
    assert await people.events.count("prf_1", "a") == 2
    many = await people.events.find_many(["prf_1", "prf_2"], ["a"])
    assert [event.dedupe for event in many["prf_1"]] == ["d3", "d1"] and many["prf_2"] == []


async def test_the_stream_in_both_directions(people: People) -> None:
    known = await people.resolver.refer("customer_id", "1", create=True)
    assert known is not None
    await people.events.delete_of([known.profile_id])
    names = ["message.received", "order.paid", "page.viewed", "consent.denied", "orderly.x"]
    await people.events.record([
        NewEvent(
            names[n % 5], f"d{n}", AT + timedelta(minutes=n // 3), known.profile_id, properties={"order_id": "ord_1"}
        )
        for n in range(23)
    ])  # fmt: skip
    timeline = Timeline(people.events, people.profiles)
    shown, cursor, newest = [], None, None
    while True:
        stretch = await timeline.page(known.profile_id, limit=5, older=cursor)
        shown += stretch.data
        newest = newest or stretch.newer
        cursor = stretch.older
        if cursor is None:
            break
    assert len({entry.id for entry in shown}) == 23
    assert shown == sorted(shown, key=lambda entry: (entry.at, entry.id), reverse=True)
    assert {entry.kind for entry in shown} == {"message", "order", "event", "consent"}
    assert shown[0].refs["order_id"] == "ord_1" and shown[0].at.tzinfo is not None

    await people.events.record(
        [NewEvent("x", f"new{n}", AT + timedelta(hours=2 + n), known.profile_id) for n in range(7)]
    )
    first = await timeline.page(known.profile_id, limit=5, newer=newest)
    second = await timeline.page(known.profile_id, limit=5, newer=first.newer)
    third = await timeline.page(known.profile_id, limit=5, newer=second.newer)
    assert [len(each.data) for each in (first, second, third)] == [5, 2, 0] and third.newer == second.newer

    orders = await timeline.page(known.profile_id, Wanted(["order"]))
    assert {entry.name for entry in orders.data} == {"order.paid"}
    with pytest.raises(WrongInput):
        await timeline.page(known.profile_id, older="bm9uc2Vuc2U")


async def test_events_of_an_older_version_are_filed(people: People) -> None:
    by = {"by": "usr_1"}
    await people.events.record([
        happened(1, "checkout.started"), happened(2, "x"), happened(3, "note.added", properties=by),
        happened(4, "conversation.status_changed", properties={"by": "customer"}), happened(5, "orderly.x"),
    ])  # fmt: skip
    rows = people.db.collection("events")
    new = {row["dedupe"]: (row["kind"], row.get("by")) async for row in rows.find()}
    assert new == {"d1": ("order", None), "d2": ("event", None), "d3": ("note", "usr_1"),
                   "d4": ("conversation", None), "d5": ("event", None)}  # fmt: skip
    await rows.update_many({}, {"$unset": {"kind": "", "by": ""}})
    assert await people.events.file_old() == 5 and await people.events.file_old() == 0
    assert {row["dedupe"]: (row["kind"], row.get("by")) async for row in rows.find()} == new
    ours = await people.events.for_profile("prf_1", 10, by_somebody=True)
    assert [each.name for each in ours] == ["note.added"]


async def test_words_are_read_once_a_page_and_what_is_gone_says_so(people: People) -> None:
    asked: list[list[str]] = []

    async def read(ids: Any) -> dict[str, Words]:
        asked.append(list(ids))
        return {each: Words(f"Words of {each}", "usr_1") for each in ids if each != "m0"}

    await people.events.record([
        happened(n, "message.sent", properties={"message_id": f"m{n}", "text": "as it was"}) for n in range(6)
    ])  # fmt: skip
    await people.events.record([happened(9, "message.read", properties={"message_id": "m1"})])
    timeline = Timeline(people.events, people.profiles)
    timeline.join("message_id", ["message.sent"], read)
    shown = (await timeline.page("prf_1")).data
    assert asked == [[f"m{n}" for n in range(6)]]
    assert [each.text for each in shown] == [None, *(f"Words of m{n}" for n in range(5, 0, -1)), None]
    assert shown[-1].gone and shown[-1].properties["text"] is None and shown[1].by == "usr_1"


async def test_tracked_events_come_once_and_make_people(people: People) -> None:
    tracker = Tracker(people.profiles, people.resolver, people.events, people.clock)
    inputs = [
        TrackedInput.model_validate({"event": "cart.filled", "identity": "email:a@b.example", "message_id": "m1",
                                     "properties": {"a.b": float("nan"), "$x": 2**70, "ok": [1]}}),
        TrackedInput.model_validate({"event": "cart.filled", "identity": "email:a@b.example", "message_id": "m1"}),
        TrackedInput.model_validate({"event": "late", "identity": "anonymous:c-1",
                                     "occurred_at": "2099-01-01T00:00:00Z"}),
    ]  # fmt: skip
    one, same, other = await tracker.record(inputs)
    await tracker.record(inputs[:1])
    assert one.profile_id == same.profile_id != other.profile_id
    (event,) = await people.events.find(one.profile_id, ["cart.filled"])
    assert event.properties == {"a_b": None, "_x": str(2**70), "ok": [1]}
    (late,) = await people.events.find(other.profile_id, ["late"])
    assert late.occurred_at <= people.clock() + timedelta(minutes=5)
    with pytest.raises(WrongInput) as caught:
        await tracker.record([TrackedInput(event="message.received", profile_id=one.profile_id)])
    assert caught.value.errors[0].path == "batch[0].event"
    with pytest.raises(NotFound):
        await tracker.record([TrackedInput(event="x", profile_id="prf_nobody")])
    for body in (
        {"event": "x"},
        {"event": "x", "identity": "email:a@b.de", "profile_id": "p"},
        {"event": "$x", "profile_id": "p"},
    ):
        with pytest.raises(ValidationError):
            TrackedInput.model_validate(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=6), json_values, max_size=4))
def test_whatever_json_holds_can_be_stored(value: dict[str, Any]) -> None:
    kept = storable(value)
    assert storable(kept) == kept
    plain(kept)


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("email:a@b.de", "email", "a@b.de"), ("customer_id:a:b", "customer_id", "a:b"),
    ("chn_1:-100", "channel", "-100"), ("channel:chn_1:x:y", "channel", "x:y"),
])  # fmt: skip
def test_identities_in_short(text: str, kind: str, value: str) -> None:
    ref = parse_identity(text)
    assert (ref.kind, ref.value) == (kind, value)
    assert ref.channel_id == ("chn_1" if kind == "channel" else None)


@pytest.mark.parametrize("text", ["", "email", "email:", "cookie:x", ":", "channel:x", "email:" + "x" * 600])
def test_what_is_no_identity(text: str) -> None:
    with pytest.raises(WrongInput):
        parse_identity(text)
