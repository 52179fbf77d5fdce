"""Tags across people: renamed, joined, taken away and back, whoever dies in between."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, WrongInput
from base.feed import Notice
from profiles.appraisal import Appraisal
from profiles.edit import ProfileEditor, ProfileInput, ProfilePatch
from profiles.membership import SegmentAppraiser, SegmentBuilder, SegmentInput, SegmentPatch, Segments
from profiles.store import segments as segment_rows
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.tags import TagStore
from profiles.store.value_settings import ValueSettingsStore
from profiles.tags import TagSpace
from profiles.terms import Terms
from profiles.uses import InUse, ScoreUses, SegmentUses, StageUses, Uses
from profiles.valuing import appraisers
from tests.dying import WRITES, Dying
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
        self.segment_rows, self.values = SegmentStore(people.db, people.clock), ValueSettingsStore(people.db)
        uses = Uses(SegmentUses(self.segment_rows), ScoreUses(self.values), StageUses(Terms(people.db, people.clock)))
        self.tags = TagSpace(
            self.store, self.editor, people.profiles.appraisals, uses, quiet, now
        )  # fmt: skip
        members = MemberStore(people.db)
        self.segments = Segments(people.db, self.segment_rows, members, people.profiles, people.clock, uses)
        self.builder = SegmentBuilder(people.db, self.segment_rows, members, people.profiles, people.clock)
        self.appraisal = Appraisal(
            people.db, people.profiles, people.events, people.clock,
            (*appraisers(self.values, self.store, "UTC"), SegmentAppraiser(self.segment_rows, self.store)),
        )  # fmt: skip

    async def person(self, name: str, *tags: str) -> str:
        body = {"identities": [f"email:{name}@example.com"], "tags": list(tags)}
        return (await self.editor.upsert(ProfileInput.model_validate(body)))[0].id

    async def of(self, *ids: str) -> list[set[str]]:
        found = await self.people.profiles.many(ids)
        return [set(found[each].tags) for each in ids]

    async def segment(self, *tags: str, op: str = "any_of") -> str:
        rule = {"field": "tags", "op": op, "value": list(tags)}
        row = await self.segments.create(SegmentInput(name=" ".join(tags), rule=rule))
        await self.builder.drain()
        return str(row["_id"])

    async def members(self, segment_id: str) -> set[str]:
        while await self.appraisal.drain(100):
            pass
        return {each.id for each in (await self.segments.members(segment_id)).data}

    async def told(self, *names: str) -> int:
        return await self.people.db.collection("events").count_documents({"name": {"$in": list(names)}})

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
async def space(people: People) -> AsyncIterator[Space]:
    await people.db.ensure_indexes(segment_rows.INDEXES)
    yield Space(people)
    for name in ("segments", "segment_builds", "segment_tallies", "segment_edition", "value_settings"):
        await people.db.collection(name).delete_many({})


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


async def test_a_tag_is_one_however_it_is_written(space: Space) -> None:
    person = await space.person("anna", "tee")
    await space.tags.change("rename", "tee", "tea", by="usr_1")
    await space.done()
    patch = ProfilePatch(add_tags=["\x00", " \u200b", " tee ", "  green\ttea"])
    later = Space(space.people)  # what is known of terms is kept for seconds
    await later.editor.patch(person, patch)
    assert await space.of(person) == [{"tea", "green tea"}]
    assert await space.tags.names(10) == ["green tea", "tea"]
    await later.editor.patch(person, ProfilePatch(remove_tags=[" green  tea "]))
    assert await space.of(person) == [{"tea"}]


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
    monkeypatch.setattr(space.editor, "retag", fragile(space.editor.retag))
    await space.done()
    assert await space.of(*ids) == [{"tea"}] * 4
    await space.tags.undo(row["_id"], by=None)
    await space.done()
    assert await space.of(*ids) == [{"tee", *(["tea"] if i % 2 else [])} for i in range(4)]


async def test_tags_given_while_it_runs_are_changed_too(space: Space) -> None:
    await space.person("a", "tee")
    change = await space.tags.change("rename", "tee", "tea", by=None)
    late = await space.person("late", "tee")
    await space.done()
    assert await space.of(late) == [{"tea"}]
    await space.tags.undo(change["_id"], by=None)
    await space.done()
    assert await space.counts() == {"tee": 2}


async def test_who_writes_by_a_former_name_means_the_tag_of_today(space: Space) -> None:
    anna = await space.person("a", "tee", "x")
    change = await space.tags.change("rename", "tee", "tea", by=None)
    await space.done()
    later = Space(space.people)
    await later.editor.patch(anna, ProfilePatch(add_tags=["tee"]))
    assert await space.of(anna) == [{"tea", "x"}]
    await later.editor.patch(anna, ProfilePatch(remove_tags=["tee"]))
    assert await space.of(anna) == [{"x"}]
    await later.editor.patch(anna, ProfilePatch(tags=["tee", "y"]))
    assert await space.of(anna) == [{"tea", "y"}] and await space.counts() == {"tea": 1, "x": 0, "y": 1}
    again = await later.tags.change("rename", "tee", "chai", by=None)  # what is called tea by now
    assert (again["tag"], again["to"]) == ("tea", "chai")
    await space.done()
    assert await space.of(anna) == [{"chai", "y"}]
    with pytest.raises(Conflict, match="Take that change back first"):
        await space.tags.undo(change["_id"], by=None)
    await space.tags.undo(again["_id"], by=None)
    await space.done()
    assert await space.of(anna) == [{"tea", "y"}]


async def test_who_comes_to_a_former_name_later_is_found_and_straightened(space: Space) -> None:
    anna, ben = await space.person("a", "tee"), await space.person("b")
    segment = await space.segment("tee")
    change = await space.tags.change("rename", "tee", "tea", by=None)
    await space.done()
    assert await space.tags.straighten() == 0
    patch = {"$push": {"tags": "tee"}, "$set": {"appraise_at": space.people.clock.at}}
    await space.people.db.collection("profiles").update_one({"_id": ben}, patch)  # by what was agreed on before
    assert await space.members(segment) == {anna, ben}
    assert await space.tags.straighten() == 1 and await space.of(ben) == [{"tea"}]
    await space.tags.undo(change["_id"], by=None)
    await space.done()
    assert await space.of(anna, ben) == [{"tee"}, {"tee"}] and await space.tags.straighten() == 0


async def test_what_names_a_renamed_tag_goes_on_finding_it(space: Space) -> None:
    anna, ben, cara = await space.person("a", "tee"), await space.person("b", "tea"), await space.person("c", "tee")
    by_old, by_new, lacks = (
        await space.segment("tee"), await space.segment("tea"), await space.segment("tee", op="none_of"),
    )  # fmt: skip
    assert (await space.members(by_old), await space.members(by_new)) == ({anna, cara}, {ben})
    before = await space.told("segment.entered", "segment.left")
    change = await space.tags.change("merge", "tee", "tea", by="usr_1")
    await space.done()
    everybody = {anna, ben, cara}
    assert await space.members(by_old) == everybody and await space.members(by_new) == everybody
    assert await space.members(lacks) == set()
    # Ben came into the one, Anna and Cara into the other, Ben out of the third; nobody was given a tag
    assert await space.told("segment.entered", "segment.left") - before == 4
    assert await space.told("profile.tag_renamed") == 2
    assert (await space.segments.get(by_old))["rule"]["value"] == ["tea"]
    same = await space.segments.change(by_old, SegmentPatch(rule={"field": "tags", "op": "any_of", "value": ["tea"]}))
    assert same["state"] == "live" and same["version"] == 1
    assert (await space.segments.preview({"field": "tags", "op": "any_of", "value": ["tee"]})).count == 3
    await space.tags.undo(change["_id"], by="usr_1")
    await space.done()
    assert (await space.members(by_old), await space.members(by_new)) == ({anna, cara}, {ben})
    assert await space.members(lacks) == {ben}


async def test_a_rename_alone_moves_nobody_in_or_out(space: Space) -> None:
    anna = await space.person("a", "tee")
    segment = await space.segment("tee")
    await space.members(segment)
    before = await space.told("segment.entered", "segment.left", "profile.tag_added", "profile.tag_removed")
    change = await space.tags.change("rename", "tee", "tea", by=None)
    for _ in range(2):
        await space.done()
        assert await space.members(segment) == {anna}
        names = ("segment.entered", "segment.left", "profile.tag_added", "profile.tag_removed")
        assert await space.told(*names) == before
        await space.tags.undo(change["_id"], by=None)
    assert await space.of(anna) == [{"tee"}]


async def test_points_follow_the_tag(space: Space) -> None:
    anna = await space.person("a", "tee")
    rule = {"id": "tea", "name": "Drinks tea", "rule": {"field": "tags", "op": "any_of", "value": ["tee"]}, "points": 7}
    await space.values.save("score", 0, {"rules": [rule], "hot": 50}, None, now(), None)
    await space.segment("tee", "x")
    uses = (await space.tags.named_by(["tee"]))["tee"]
    assert [(each.kind, each.name) for each in uses] == [("segment", "tee x"), ("score_rule", "Drinks tea")]
    await space.tags.change("rename", "tee", "tea", by=None)
    await space.done()
    while await space.appraisal.drain(100):
        pass
    person = await space.people.profiles.get(anna)
    assert person is not None and person.score == 7
    assert [each.kind for each in (await space.tags.named_by(["tea", "x"]))["tea"]] == ["segment", "score_rule"]


@pytest.mark.parametrize("after", [False, True])
async def test_a_death_at_any_write_costs_nothing(space: Space, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    dying = Dying(monkeypatch, WRITES)
    for place in range(1, 60):
        for name in ("profiles", "identities", "tags", "tag_changes", "tag_moves", "events", "term_lists"):
            await space.people.db.collection(name).delete_many({})
        fresh = Space(space.people)
        anna, ben = await fresh.person("a", "tee"), await fresh.person("b", "tee", "tea")
        change = await fresh.tags.change("merge", "tee", "tea", by=None)
        died = await dying.on(place, after, fresh.tags.drain)
        await fresh.done()
        assert await fresh.of(anna, ben) == [{"tea"}] * 2 and await fresh.told("profile.tag_renamed") == 2
        assert (await fresh.tags.former_names()).renamed == (("tee", "tea"),)
        due = await space.people.db.collection("profiles").count_documents({"appraise_at": {"$exists": True}})
        assert due == 2
        await fresh.tags.undo(change["_id"], by=None)
        died_back = await dying.on(place, after, fresh.tags.drain)
        await fresh.done()
        assert await fresh.of(anna, ben) == [{"tee"}, {"tee", "tea"}]
        assert not (await fresh.tags.former_names()).renamed
        if not died and not died_back:
            assert place > 5
            return
    raise AssertionError("it never comes to an end")


async def test_a_segment_in_use_stays(space: Space) -> None:
    inner = await space.segment("tee")
    outer = await space.segments.create(SegmentInput(name="Outer", rule={"not": {"segment": inner}}))
    stages = [{"key": "new", "names": {"en": "New"}}, {"key": "fan", "names": {"en": "Fan"}, "segment_id": inner}]
    await Terms(space.people.db, now).save("stages", 0, stages, by=None)
    with pytest.raises(InUse) as refused:
        await space.segments.delete(inner)
    assert [(each.kind, each.id) for each in refused.value.uses] == [("segment", outer["_id"]), ("stage", "fan")]
    assert "“Outer”, “Fan”" in str(refused.value)
    await Terms(space.people.db, now).save("stages", 1, stages[:1], by=None)
    await space.segments.delete(outer["_id"])
    await space.segments.delete(inner)
