"""Tags across people: renamed, joined, taken away and back, whoever dies in between."""

from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from base.feed import Notice
from profiles.edit import ProfileEditor, ProfileInput, ProfilePatch
from profiles.store.tags import TagStore
from profiles.tags import TagSpace
from tests.profiles.conftest import People


class Quiet:
    async def append(self, notices: list[Notice]) -> None:
        return None


class Died(Exception):
    """A process was killed."""


class Space:
    """The tag space, and people who have tags."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.editor = ProfileEditor(people.profiles, people.events, people.resolver, people.db, people.clock)
        self.store = TagStore(people.db)
        quiet: Any = Quiet()
        self.tags = TagSpace(self.store, self.editor, quiet, now)

    async def person(self, name: str, *tags: str) -> str:
        body = {"identities": [f"email:{name}@example.com"], "tags": list(tags)}
        return (await self.editor.upsert(ProfileInput.model_validate(body)))[0].id

    async def of(self, *ids: str) -> list[set[str]]:
        found = await self.people.profiles.many(ids)
        return [set(found[each].tags) for each in ids]

    async def counts(self) -> dict[str, int]:
        return {each.name: each.count for each in (await self.tags.page()).data}

    async def done(self) -> None:
        changes = self.people.db.collection("tag_changes")
        for _ in range(20):
            if not await changes.count_documents({"state": {"$in": ["running", "undoing"]}}):
                return
            await changes.update_many({}, {"$set": {"due_at": self.people.clock.at}})
            await self.tags.drain()
        raise AssertionError("a change does not come to an end")


@pytest.fixture
async def space(people: People) -> Space:
    return Space(people)


async def test_the_space_knows_every_tag_with_its_count(space: Space) -> None:
    await space.person("a", "tea", "vip")
    await space.person("b", "tea")
    assert await space.counts() == {"tea": 2, "vip": 1}
    await space.people.db.collection("profiles").update_one({}, {"$push": {"tags": "by import"}})
    await space.tags.gather()
    assert (await space.counts())["by import"] == 1
    page = await space.tags.page(limit=1)
    assert [each.name for each in page.data] == ["by import"]
    assert [each.name for each in (await space.tags.page(limit=5, cursor=page.next_cursor)).data] == ["tea", "vip"]
    assert [each.name for each in (await space.tags.page(starting="te")).data] == ["tea"]


async def test_a_tag_is_renamed_and_back(space: Space) -> None:
    ids = [await space.person(f"p{i}", "tee", "x") for i in range(5)]
    row = await space.tags.change("rename", "tee", "tea", by="usr_1")
    with pytest.raises(Conflict):
        await space.tags.change("delete", "tea", None, by="usr_1")
    await space.done()
    assert await space.of(*ids) == [{"tea", "x"}] * 5 and await space.counts() == {"tea": 5, "x": 5}
    kept = await space.store.change(row["_id"])
    assert kept is not None and (kept["state"], kept["done"], kept["total"]) == ("done", 5, 5)
    await space.tags.undo(row["_id"], by="usr_1")
    await space.done()
    assert await space.of(*ids) == [{"tee", "x"}] * 5 and await space.counts() == {"tee": 5, "x": 5}


async def test_joined_tags_come_apart_as_they_were(space: Space) -> None:
    one, both, other = (
        await space.person("a", "tee"),
        await space.person("b", "tee", "tea"),
        await space.person("c", "tea"),
    )
    row = await space.tags.change("merge", "tee", "tea", by=None)
    await space.done()
    assert await space.of(one, both, other) == [{"tea"}] * 3
    await space.tags.undo(row["_id"], by=None)
    await space.done()
    assert await space.of(one, both, other) == [{"tee"}, {"tee", "tea"}, {"tea"}]


async def test_a_tag_is_taken_away_and_told_to_each(space: Space) -> None:
    anna = await space.person("a", "old")
    row = await space.tags.change("delete", "old", None, by="usr_1")
    await space.done()
    assert await space.of(anna) == [set()] and await space.counts() == {}
    told = {each.name: each.properties for each in await space.people.events.for_profile(anna, 50)}
    assert (told["profile.tag_removed"]["tag"], told["profile.tag_removed"]["by"]) == ("old", "usr_1")
    await space.tags.undo(row["_id"], by="usr_1")
    await space.done()
    assert await space.of(anna) == [{"old"}]
    for what, to in (("rename", ""), ("rename", "old"), ("merge", None)):
        with pytest.raises(WrongInput):
            await space.tags.change(what, "old", to, by=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("dies_at", range(1, 12, 2))
async def test_whoever_dies_nobody_is_left_out(space: Space, monkeypatch: pytest.MonkeyPatch, dies_at: int) -> None:
    ids = [await space.person(f"p{i}", "tee", *(["tea"] if i % 2 else [])) for i in range(4)]
    calls = 0

    def fragile(work: Any) -> Any:
        async def call(*given: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == dies_at:
                raise Died
            result = await work(*given, **more)
            calls += 1
            if calls == dies_at:
                raise Died
            return result

        return call

    row = await space.tags.change("rename", "tee", "tea", by=None)
    for name in ("note_moves", "settle", "holders"):
        monkeypatch.setattr(space.store, name, fragile(getattr(space.store, name)))
    monkeypatch.setattr(space.editor, "patch", fragile(space.editor.patch))
    await space.done()
    assert await space.of(*ids) == [{"tea"}] * 4
    await space.tags.undo(row["_id"], by=None)
    await space.done()
    assert await space.of(*ids) == [{"tee", *(["tea"] if i % 2 else [])} for i in range(4)]


async def test_tags_given_while_it_runs_are_changed_too(space: Space) -> None:
    await space.person("a", "tee")
    await space.tags.change("rename", "tee", "tea", by=None)
    late = await space.person("late", "tee")
    await space.done()
    assert await space.of(late) == [{"tea"}]
    await space.editor.patch(late, ProfilePatch(add_tags=["tee"]))
    assert (await space.counts())["tee"] == 1
