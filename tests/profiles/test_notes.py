"""Notes written once, edited, pinned, deleted with a way back, and gone for good in the end."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import ValidationError

from base.errors import NotFound, WrongInput
from base.pages import Page
from profiles.notes import WITH_TEXT, NoteInput, NotePatch, Notes
from profiles.store import NoteStore, notes
from profiles.timeline import Timeline
from tests.profiles.conftest import People


@pytest.fixture
async def book(people: People) -> AsyncIterator[Notes]:
    await people.db.ensure_indexes(notes.INDEXES)
    yield Notes(people.db, NoteStore(people.db), people.profiles, people.events, people.clock)
    await people.db.collection("notes").delete_many({})


async def somebody(people: People) -> str:
    known = await people.resolver.refer("customer_id", "1", create=True)
    assert known is not None
    return known.profile_id


def texts(page: Page) -> list[str]:
    return [row["text"] for row in page.data]


async def test_a_note_is_written_once_edited_and_pinned(people: People, book: Notes) -> None:
    who = await somebody(people)
    first = await book.add(who, NoteInput(text=" Likes oolong "), "usr_1", key="k")
    assert (await book.add(who, NoteInput(text="Likes oolong"), "usr_1", key="k"))["_id"] == first["_id"]
    second = await book.add(who, NoteInput(text="Second", pinned=True), "usr_2", mentions=["usr_1", "usr_1"])
    assert texts(await book.page(who)) == ["Second", "Likes oolong"]
    assert texts(await book.page(who, pinned=True)) == ["Second"] and second["mentions"] == ["usr_1"]

    patch = NotePatch(text="Third", pinned=False)
    changed = await book.change(who, second["_id"], patch, "usr_1", mentions=["usr_1", "usr_3"])
    assert (changed["edited_by"], changed["by"]) == ("usr_1", "usr_2")
    assert await book.change(who, second["_id"], patch, "usr_1", mentions=["usr_1", "usr_3"]) == changed
    (told,) = await people.events.find(who, ["note.changed"])
    assert told.properties["changed"] == ["pinned", "text"] and told.properties["mentions"] == ["usr_3"]
    assert told.properties["by"] == "usr_1" and await book.pinned(who) == []


async def test_what_is_deleted_comes_back_or_is_gone_for_good(people: People, book: Notes) -> None:
    who = await somebody(people)
    note = await book.add(who, NoteInput(text="Secret"), "usr_1")
    timeline = Timeline(people.events, people.profiles)
    timeline.join("note_id", WITH_TEXT, book._store.words)
    await book.delete(who, note["_id"], "usr_2")
    await book.delete(who, note["_id"], "usr_2")
    with pytest.raises(NotFound):
        await book.change(who, note["_id"], NotePatch(text="x"), "usr_1")
    assert "Secret" not in repr((await timeline.page(who)).data) and await book.count(who) == 0
    await book.restore(who, note["_id"], "usr_2")
    assert texts(await book.page(who)) == ["Secret"]
    assert [each.text for each in (await timeline.page(who)).data if each.name == "note.added"] == ["Secret"]
    assert len(await people.events.find(who, ["note.deleted", "note.restored"])) == 2

    await book.delete(who, note["_id"], "usr_2")
    people.clock.forward(hours=23)
    assert await book.tidy() == 0
    people.clock.forward(hours=2)
    assert await book.tidy() == 1 and await book.tidy() == 0
    with pytest.raises(NotFound):
        await book.restore(who, note["_id"], "usr_2")
    raw = [row async for row in people.db.collection("events").find()]
    assert "Secret" not in repr(raw) and (await timeline.page(who)).data[-2].gone


async def test_a_call_stands_where_it_happened(people: People, book: Notes) -> None:
    who, at = await somebody(people), people.clock() - timedelta(days=2)
    await book.add(who, NoteInput(text="Agreed", kind="call", at=at, minutes=12, direction="out"), "usr_1")
    (told,) = await people.events.find(who, ["call.logged"])
    assert told.occurred_at == at and (told.properties["minutes"], told.properties["direction"]) == (12, "out")
    with pytest.raises(WrongInput):
        await book.add(who, NoteInput(text="x", kind="visit", at=people.clock() + timedelta(days=1)), "usr_1")
    for wrong in ({"minutes": 3}, {"kind": "visit", "direction": "in"}, {"text": " "}, {"kind": "dream"}):
        with pytest.raises(ValidationError):
            NoteInput.model_validate({"text": "x", **wrong})


async def test_of_many_at_once_each_edit_counts_and_nothing_is_told_twice(people: People, book: Notes) -> None:
    who = await somebody(people)
    note = await book.add(who, NoteInput(text="0"), "usr_1")
    await asyncio.gather(
        *(book.change(who, note["_id"], NotePatch(text=str(n)), "usr_1") for n in range(1, 5)),
        *(book.delete(who, note["_id"], "usr_1") for _ in range(2)), return_exceptions=True,
    )  # fmt: skip
    row = await book._store.get(note["_id"])
    assert row is not None and "deleted_at" in row
    told = await people.events.find(who, ["note.changed", "note.deleted"])
    assert len(told) == row["rev"] - 1 and sum(each.name == "note.deleted" for each in told) == 1


async def test_nobodys_note_cannot_be_reached_through_another_person(people: People, book: Notes) -> None:
    who = await somebody(people)
    other = await people.resolver.refer("customer_id", "2", create=True)
    assert other is not None
    note = await book.add(who, NoteInput(text="x"), "usr_1")
    with pytest.raises(NotFound):
        await book.delete(other.profile_id, note["_id"], "usr_1")
    with pytest.raises(NotFound):
        await book.add("prf_" + "0" * 26, NoteInput(text="x"), "usr_1")
