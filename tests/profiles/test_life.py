"""Stages with their log, roles, fields and relations: what is agreed on, what is refused, what is told once."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from base.errors import Conflict, NotFound, WrongInput
from profiles.custom_fields import CustomField, CustomFields, FieldInput, catalogue, checked_value, coerced_value
from profiles.edit import ProfileEditor, ProfileInput, ProfilePatch
from profiles.relations import Relations
from profiles.store.relations import RelationStore
from profiles.store.stage_log import StageLogStore
from profiles.terms import DEFAULTS, Terms
from tests.profiles.conftest import People


@pytest.fixture
def terms(people: People) -> Terms:
    return Terms(people.db, people.clock)


@pytest.fixture
def editor(people: People, terms: Terms) -> ProfileEditor:
    return ProfileEditor(people.profiles, people.events, people.resolver, people.db, people.clock, terms)


@pytest.fixture
def relations(people: People, terms: Terms) -> Relations:
    return Relations(people.db, RelationStore(people.db), people.profiles, people.events, terms, people.clock)


async def made(editor: ProfileEditor, name: str = "anna", **fields: Any) -> str:
    body = {"identities": [f"email:{name}@example.com"], "name": name.capitalize(), **fields}
    return (await editor.upsert(ProfileInput.model_validate(body)))[0].id


def paths(error: WrongInput) -> list[str]:
    return [each.path for each in error.errors]


# -- stages --------------------------------------------------------------------------------------------------------


async def test_every_move_is_kept_with_the_time_spent(people: People, editor: ProfileEditor) -> None:
    anna = await made(editor)
    people.clock.forward(days=2)
    await editor.patch(anna, ProfilePatch(stage="lead"), by="usr_1")
    people.clock.forward(hours=6)
    await editor.patch(anna, ProfilePatch(stage="lost", stage_reason="Too expensive"), by="usr_2")
    await editor.patch(
        anna, ProfilePatch(stage="lost"), by="usr_2"
    )  # an equal write asks for nothing and keeps nothing
    log = StageLogStore(people.db)
    lost, lead = (await log.of_profile(anna)).data
    assert (lead["from"], lead["to"], lead["spent_s"], lead["by"]) == ("new", "lead", 2 * 86400, "usr_1")
    assert (lost["from"], lost["spent_s"], lost["reason"]) == ("lead", 6 * 3600, "price")
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert await log.spent(since) == {"new": (172800.0, 1), "lead": (21600.0, 1)}
    assert await log.reasons("lost", since) == {"price": 1}


async def test_an_unknown_stage_and_a_missing_reason_are_refused_in_a_sentence(
    people: People, editor: ProfileEditor
) -> None:
    anna = await made(editor)
    with pytest.raises(WrongInput, match="There is no stage 'vip'; there are new, lead") as unknown:
        await editor.patch(anna, ProfilePatch(stage="vip"))
    assert paths(unknown.value) == ["stage"]
    with pytest.raises(WrongInput, match="asks for a reason") as silent:
        await editor.patch(anna, ProfilePatch(stage="lost"))
    assert paths(silent.value) == ["stage_reason"]
    with pytest.raises(WrongInput):
        await made(editor, "nobody", stage="vip")
    assert await people.profiles.by_identity("email:nobody@example.com") is None
    lenient = await editor.patch(anna, ProfilePatch(stage="vip", name="Anne"), strict=False, by="journey:jrn_1")
    assert (lenient.stage, lenient.name) == ("new", "Anne")


async def test_a_keyed_move_is_kept_once(people: People, editor: ProfileEditor) -> None:
    anna = await made(editor)
    move = ProfilePatch(stage="lead")
    await asyncio.gather(*(editor.patch(anna, move, key="enr_1:n1:1") for _ in range(5)))
    await editor.patch(anna, ProfilePatch(stage="new"))
    await editor.patch(anna, move, key="enr_1:n1:1")
    assert len((await StageLogStore(people.db).of_profile(anna)).data) == 2


async def test_lists_are_saved_whole_and_not_over_each_other(
    people: People, editor: ProfileEditor, terms: Terms
) -> None:
    stages = [dict(each) for each in DEFAULTS["stages"]]
    stages.insert(2, {"key": "trial", "names": {"en": "Trial", "zh_CN": "试用"}})
    agreed = await terms.save("stages", 0, stages, by="usr_1")
    assert [each.key for each in agreed.stages][:3] == ["new", "lead", "trial"] and agreed.revs["stages"] == 1
    assert agreed.stages[2].said("zh_CN") == "试用" and agreed.stages[2].said("de") == "Trial"
    with pytest.raises(Conflict):
        await terms.save("stages", 0, stages, by="usr_2")
    for wrong in (stages[1:], [*stages, stages[1]], [], [{**stages[0], "names": {}}]):
        with pytest.raises(WrongInput):
            await terms.save("stages", 1, wrong, by="usr_2")
    anna = await made(editor)
    await editor.patch(anna, ProfilePatch(stage="trial"))
    agreed = await terms.save("stages", 1, list(DEFAULTS["stages"]), by="usr_1")
    assert agreed.place("trial") == -1
    person = await people.profiles.get(anna)
    assert person is not None and person.stage == "trial"  # nobody is moved by a change of the list
    assert await people.profiles.stages_held() == ["trial"]


# -- roles ---------------------------------------------------------------------------------------------------------


async def test_a_contact_has_several_roles_of_the_list(people: People, editor: ProfileEditor) -> None:
    anna = await made(editor, roles=["buyer"])
    after = await editor.patch(anna, ProfilePatch(add_roles=["agent", "buyer"]))
    assert after.roles == ["buyer", "agent"]
    after = await editor.patch(anna, ProfilePatch(remove_roles=["buyer"]))
    assert after.roles == ["agent"]
    with pytest.raises(WrongInput) as wrong:
        await editor.patch(anna, ProfilePatch(roles=["agent", "king"]))
    assert paths(wrong.value) == ["roles.1"]


# -- fields --------------------------------------------------------------------------------------------------------


def definition(kind: str, **more: Any) -> CustomField:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"_id": "fld_x", "key": "x", "labels": {"en": "X"}, "type": kind, "created_at": at, "updated_at": at, **more}
    return CustomField.model_validate(row)


OPTIONS = {"options": [{"value": "a", "labels": {"zh_CN": "甲"}}, {"value": "b"}]}


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "said"),
    [
        ("text", "x", [1, True, ["x"], "x" * 301], (5, "5")),
        ("long_text", "x" * 2000, ["x" * 2001, {}], ("x", "x")),
        ("number", 4.5, ["4.5", True, None.__class__], ("4.5", 4.5)),
        ("boolean", False, ["false", 0], ("no", False)),
        ("choice", "a", ["c", ["a"]], ("b", "b")),
        ("choices", ["a", "b"], ["a", ["a", "c"]], ("a, b", ["a", "b"])),
        ("rating", 5, [0, 6, 4.5, True], ("3", 3)),
        ("url", "https://example.com/a", ["javascript:alert(1)", "example.com", 1], ("http://a.b", "http://a.b")),
        ("file", "https://example.com/a.pdf", ["file:///etc/passwd", "x"], ("http://a.b", "http://a.b")),
    ],
)
def test_values_of_each_type(kind: str, right: Any, wrong: list[Any], said: tuple[Any, Any]) -> None:
    field = definition(kind, **(OPTIONS if kind.startswith("choice") else {}))
    assert checked_value(field, right) == right and checked_value(field, None) is None
    for each in wrong:
        with pytest.raises(ValueError, match="is "):
            checked_value(field, each)
    assert coerced_value(field, said[0]) == said[1]


def test_a_date_is_a_time_that_rules_can_reckon_with() -> None:
    field = definition("date")
    assert checked_value(field, "2026-11-28") == datetime(2026, 11, 28, tzinfo=UTC)
    assert checked_value(field, "2026-11-28T10:00:00+01:00").utcoffset() is not None
    for wrong in ("28.11.2026", "2026-13-01", 20261128, ""):
        with pytest.raises(ValueError, match="a date such as"):
            checked_value(field, wrong)


async def test_a_defined_field_rules_what_is_written_and_keeps_what_was(
    people: People, editor: ProfileEditor, terms: Terms
) -> None:
    fields = CustomFields(people.db, people.clock, terms.forget)
    anna = await made(editor, attributes={"size": "large", "city": "Leiden"})
    size = await fields.create(FieldInput(key="size", labels={"en": "Size", "zh_CN": "尺码"}, type="number"))
    with pytest.raises(WrongInput) as wrong:
        await editor.patch(anna, ProfilePatch(attributes={"size": "38", "city": 5}))
    assert paths(wrong.value) == ["attributes.size"]
    person = await editor.patch(anna, ProfilePatch(attributes={"city": "Delft"}))
    assert person.attributes == {"size": "large", "city": "Delft"}
    person = await editor.patch(anna, ProfilePatch(attributes={"size": "38"}), strict=False)  # a channel says so
    assert person.attributes["size"] == 38
    with pytest.raises(Conflict):
        await fields.create(FieldInput(key="size", labels={"en": "Again"}))
    with pytest.raises(WrongInput):
        await fields.change(size.id, {"type": "choice"})
    await fields.change(size.id, {"type": "choice", "options": [{"value": "S"}, {"value": "L"}]})
    (shown,) = catalogue((await terms.now()).fields, "zh_CN")
    assert (shown.name, shown.label, shown.options) == ("attributes.size", "尺码", (("S", "S"), ("L", "L")))
    await fields.archive(size.id)
    person = await editor.patch(anna, ProfilePatch(attributes={"size": {"free": "again"}}))
    assert person.attributes["size"] == {"free": "again"} and await fields.all() == []
    assert (await fields.restore(size.id)).type == "choice"


async def test_fields_are_ordered_by_hand(people: People) -> None:
    fields = CustomFields(people.db, people.clock)
    made = [await fields.create(FieldInput(key=key, labels={"en": key})) for key in ("a", "b", "c")]
    await fields.move(made[2].id, up=True)
    await fields.move(made[0].id, up=True)  # at the top already
    assert [each.key for each in await fields.all()] == ["a", "c", "b"]


# -- relations -----------------------------------------------------------------------------------------------------


async def test_a_relation_reads_from_both_sides_and_goes_with_undo(
    people: People, editor: ProfileEditor, relations: Relations
) -> None:
    anna, ben = await made(editor), await made(editor, "ben")
    first = await relations.add(anna, "parent", ben, note="His mother", by="usr_1")
    assert await relations.add(ben, "parent", anna, way="back") != first  # the same, said from the other side
    (forth,), (back,) = await relations.of_profile(anna), await relations.of_profile(ben)
    assert (forth.kind, forth.way, forth.other_id, forth.note) == ("parent", "forth", ben, "His mother")
    assert (back.kind, back.way, back.other_name) == ("parent", "back", "Anna")
    await relations.remove(ben, back.id)
    assert await relations.of_profile(anna) == [] == await relations.of_profile(ben)
    await relations.restore(ben, back.id)
    assert len(await relations.of_profile(anna)) == 1
    names = [each.name for each in await people.events.for_profile(anna, 50) if "relation" in each.name]
    assert names == ["profile.relation_added", "profile.relation_removed", "profile.relation_added"]
    with pytest.raises(NotFound):
        await relations.remove(anna, back.id)
    for wrong in ({"kind": "enemy", "other_id": ben}, {"kind": "partner", "other_id": anna},
                  {"kind": "partner", "other_id": "prf_" + "0" * 26}):  # fmt: skip
        with pytest.raises(WrongInput):
            await relations.add(anna, **wrong)


async def test_what_is_said_by_many_at_once_is_there_once(editor: ProfileEditor, relations: Relations) -> None:
    anna, ben = await made(editor), await made(editor, "ben")
    sides = [(anna, ben), (ben, anna)] * 4
    await asyncio.gather(*(relations.add(one, "partner", other) for one, other in sides))
    assert len(await relations.of_profile(anna)) == 1 == len(await relations.of_profile(ben))
