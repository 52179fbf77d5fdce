"""Stages, board, lists, fields, relations, owners and tags as people use them: by forms, on the real stores."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from multidict import MultiDict

from desk.i18n import Formats, zone_of
from desk.pages.fields import options_text
from desk.pages.fields import written as written_field
from desk.pages.lifecycle import typed
from desk.pages.term_lists import written
from profiles.custom_fields import FieldInput
from profiles.edit import ProfilePatch
from profiles.membership import SegmentInput
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.profiles.test_life import OPTIONS, definition


@pytest.fixture(autouse=True)
async def _fresh(desk):
    yield
    for name in ("term_lists", "fields", "profiles", "identities", "relations", "stage_log", "tags", "tag_changes"):
        await desk.runtime.db.collection(name).delete_many({})
    desk.runtime.terms.forget()


async def somebody(desk, name, **fields):
    (known,) = await desk.runtime.resolver.identify(
        [Reference([IdentityRef(kind="email", value=f"{name}@example.com")], name=name.capitalize())]
    )
    if fields:
        await desk.runtime.editor.patch(known.profile_id, ProfilePatch(**fields))
    return known.profile_id


async def person(desk, profile_id):
    return await desk.runtime.profiles.get(profile_id)


def column(text, key):
    return text.split(f'data-testid="column-{key}"', 1)[1].split("</section>", 1)[0]


async def test_the_board_shows_everybody_in_their_stage(desk):
    anna, ben = await somebody(desk, "anna"), await somebody(desk, "ben", stage="lead", tags=["vip"])
    ada = await desk.person("agent")
    await desk.runtime.editor.patch(ben, ProfilePatch(owner_id=ada.user_id))
    text = await ada.page("/profiles/board")
    assert anna in column(text, "new") and ben not in column(text, "new") and ben in column(text, "lead")
    assert "Anna Agent" in column(text, "lead") and 'data-count-of="lead">1<' in column(text, "lead")
    for query, shown in (("owner=me", ben), ("tag=vip", ben), ("tag=none", None), ("tier=gold", None)):
        narrowed = await ada.page(f"/profiles/board?{query}")
        assert (ben in narrowed, anna in narrowed) == (shown == ben, False), query
    late = {"next_follow_up": {"id": "fup_1", "text": "Call", "at": desk.runtime.clock() - timedelta(days=3)}}
    await desk.runtime.db.collection("profiles").update_one({"_id": ben}, {"$set": {"stage": "former", **late}})
    assert "chip-danger" in column(await ada.page("/profiles/board"), "former")
    assert "No stage any more" in column(await ada.page("/profiles/board"), "former")


async def test_a_column_goes_on_by_cursor(desk):
    ids = [await somebody(desk, f"p{i}") for i in range(27)]
    ada = await desk.person("viewer")
    text = await ada.page("/profiles/board")
    first = {each for each in ids if each in text}
    href = re.search(r'href="(/profiles/board\?open=new&amp;column=new[^"#]*)', text)[1].replace("&amp;", "&")
    rest = {each for each in ids if each in await ada.page(href)}
    assert (len(first), len(rest)) == (25, 2) and not first & rest and "Move to" not in text
    await ada.page("/profiles/board?column=new&cursor=nonsense", 200)  # leads back to the start


async def test_a_card_is_moved_and_back(desk):
    anna, ada = await somebody(desk, "anna"), await desk.person("agent")
    to = await ada.post(f"/profiles/{anna}/stage", 303, stage="lead", back="/profiles/board?owner=me")
    assert to.startswith("/profiles/board?owner=me&moved=stl_")
    text = await ada.page(to.replace("owner=me&", ""))
    assert 'data-testid="moved"' in text and "Anna" in text
    undo = re.search(r'action="(/profiles/stages/stl_\w+/undo)"', text)[1]
    since = (await person(desk, anna)).created_at
    assert await ada.post(undo, 303, back="/profiles/board") == "/profiles/board"
    after = await person(desk, anna)
    assert (after.stage, after.stage_since) == ("new", since)
    await ada.post(undo, 409)
    assert (await ada.post(f"/profiles/{anna}/stage", 303, stage="lead", back="https://evil.example")).startswith("/")
    await ada.post(f"/profiles/{anna}/stage", 422, stage="nowhere")
    await ada.post(f"/profiles/{anna}/stage", 422, stage="$x")


async def test_a_stage_of_loss_asks_why(desk):
    anna, ada = await somebody(desk, "anna"), await desk.person("agent")
    text = await ada.post(f"/profiles/{anna}/stage", 200, stage="lost", back="/profiles/board")
    assert 'data-testid="stage-form"' in text and "Too expensive" in text
    text = await ada.post(f"/profiles/{anna}/stage", 422, stage="lost", reason="", back="/profiles/board")
    assert "asks for a reason" in text and (await person(desk, anna)).stage == "new"
    await ada.post(f"/profiles/{anna}/stage", 303, stage="lost", reason="price")
    assert "Too expensive" in await ada.page(f"/profiles/{anna}")


async def test_whoever_may_not_does_not(desk):
    anna, viewer = await somebody(desk, "anna"), await desk.person("viewer", name="Vera Viewer")
    for path in ("stage", "owner", "roles", "fields", "relations"):
        await viewer.post(f"/profiles/{anna}/{path}", 403)
    for path in ("/settings/stages", "/settings/roles", "/settings/fields/new", "/profiles/tags"):
        await viewer.post(path, 403)
    limited = await desk.person("marketer", channels=[], name="Lim Marketer")
    for path in ("/settings/stages", "/settings/roles", "/settings/fields/new", "/profiles/tags"):
        await limited.post(path, 403, list="stages")
    text = await limited.page("/profiles/board")
    assert 'class="num"' not in column(text, "new")


async def test_the_way_is_changed_in_the_settings(desk):
    mara = await desk.person("marketer", name="Mara Marketer")
    text = await mara.page("/settings/stages")
    assert text.count('data-testid="term"') == 6 + 2 + 6 + 2
    rows = {"list": "stages", "rev": "0", "name:en:0": "New", "key:0": "new", "place:0": "1", "name:en:1": "Trial",
            "name:zh_CN:1": "试用", "place:1": "2", "orders:1": "1", "asks:1": "1"}  # fmt: skip
    assert await mara.post("/settings/stages", 303, **rows) == "/settings/stages?saved=stages"
    trial = (await desk.runtime.terms.now()).stages[1]
    assert (trial.key, trial.orders, trial.asks_reason, trial.said("zh_CN")) == ("trial", 1, True, "试用")
    assert "Somebody else saved" in await mara.post("/settings/stages", 422, **rows)
    text = await mara.post("/settings/stages", 422, **{**rows, "rev": "1", "key:0": "first"})
    assert "the first stage is" in text
    kinds = {"list": "relations", "rev": "0", "key:0": "mother", "name:en:0": "Mother of", "back_name:en:0": "Child of"}
    await mara.post("/settings/roles", 303, **kinds)
    assert [each.key for each in (await desk.runtime.terms.now()).relations] == ["mother"]
    await mara.post("/settings/roles", 422, list="stages")


def test_rows_come_in_the_order_of_their_numbers_and_keep_what_is_not_shown():
    form = {"name:en:0": "B", "key:0": "b", "place:0": "2", "name:en:1": "A", "place:1": "1", "name:en:2": " "}
    rows = written(form, "reasons", {"b": {"key": "b", "names": {"de": "Be", "en": "x"}}})
    assert rows == [{"key": "a", "names": {"en": "A"}}, {"key": "b", "names": {"de": "Be", "en": "B"}}]
    fresh = {"name:en:0": "Too expensive!", "name:zh_CN:1": "太贵", "name:zh_CN:2": "太贵了", "name:en:3": "Price"}
    fresh["key:3"] = "term_1"
    assert [row["key"] for row in written(fresh, "reasons", {})] == ["too_expensive", "term_2", "term_3", "term_1"]


@pytest.mark.parametrize("value", [5, True, 1.5, "javascript:alert(1)", ["http://x"], {"a": 1}])
async def test_what_stood_there_before_the_field_was_defined_breaks_no_page(desk, value):
    mara, anna = await desk.person("marketer", name="Mara Marketer"), await somebody(desk, "anna")
    await desk.runtime.editor.patch(anna, ProfilePatch(attributes={"site": value}))
    given = {"key": "site", "label:en": "Site", "type": "url", "shown:profile": "1"}
    await mara.post("/settings/fields/new", 303, **given)
    assert 'href="javascript:' not in await mara.page(f"/profiles/{anna}")


async def test_fields_are_defined_filled_in_and_taken_away(desk):
    mara, anna = await desk.person("marketer", name="Mara Marketer"), await somebody(desk, "anna")
    assert 'data-testid="empty"' in await mara.page("/settings/fields")
    assert 'data-testid="field-form"' in await mara.page("/settings/fields/new")
    given = {"key": "tea", "label:en": "Favourite tea", "type": "choices", "options": "green = Green = 绿茶\nblack",
             "shown:profile": "1", "shown:list": "1"}  # fmt: skip
    await mara.post("/settings/fields/new", 303, **given)
    assert "There is a field with this key already." in await mara.post("/settings/fields/new", 422, **given)
    await mara.post("/settings/fields/new", 422, **{**given, "key": "x", "options": ""})
    await mara.post(
        "/settings/fields/new",
        303,
        **{"key": "born", "label:en": "Born", "type": "date", "shown:profile": "1", "required": "1"},
    )
    tea, born = await desk.runtime.fields.all()
    assert tea.option_said("green", "zh_CN") == "绿茶"
    text = await mara.post(f"/profiles/{anna}/fields", 422, **{"field:tea": "green", "field:born": ""})
    assert "This field is required." in text
    text = await mara.post(f"/profiles/{anna}/fields", 422, **{"field:tea": "green", "field:born": "soon"})
    assert "This is to be a date, such as" in text and 'value="soon' in text
    await mara.post(f"/profiles/{anna}/fields", 303, **{"field:tea": "green", "field:born": "17 May 1990"})
    text = await mara.page(f"/profiles/{anna}")
    assert "Green" in text and "17 May 1990" in text
    assert "Favourite tea: Green" in await mara.page("/profiles")
    await mara.post(f"/settings/fields/{born.id}/move", 303, way="up")
    assert [each.key for each in await desk.runtime.fields.all()] == ["born", "tea"]
    back = await mara.post(f"/settings/fields/{tea.id}/remove", 303)
    assert 'data-testid="undo"' in await mara.page(back)
    await mara.post(f"/settings/fields/{tea.id}/restore", 303)
    assert (await person(desk, anna)).attributes["tea"] == ["green"]
    page = await mara.page(f"/settings/fields/{tea.id}")
    assert "green = Green = 绿茶" in page
    await mara.post(f"/settings/fields/{tea.id}", 303, **{**given, "label:en": "Tea"})
    assert (await desk.runtime.fields.get(tea.id)).said("en") == "Tea"


async def test_a_field_gets_its_key_from_its_name_and_no_other_ones(desk):
    mara = await desk.person("marketer", name="Mara Marketer")
    english, chinese = ({"label:en": each} for each in ("Shoe size", "Shoe-size")), ("生日", "星座")
    for names in (*english, *({"label:zh_CN": each} for each in chinese), {"label:en": "Born", "label:zh_CN": "出生"}):
        await mara.post("/settings/fields/new", 303, type="text", **names)
    made = await desk.runtime.fields.all()
    assert [each.key for each in made] == ["shoe_size", "shoe_size_2", "field_1", "field_2", "born"]
    await mara.post(f"/settings/fields/{made[2].id}/remove", 303)
    await mara.post("/settings/fields/new", 303, **{"label:zh_CN": "血型"})
    assert (await desk.runtime.fields.all())[-1].key == "field_3"  # what was taken away keeps its key
    await mara.post("/settings/fields/new", 303, **{"label:en": "Shoes", "key": "own-key"})
    assert (await desk.runtime.fields.all())[-1].key == "own-key"
    assert "A field needs a name." in await mara.post("/settings/fields/new", 422, type="text")
    made = await asyncio.gather(*(desk.runtime.fields.create(FieldInput(labels={"en": "Race"})) for _ in range(4)))
    assert sorted(each.key for each in made) == ["race", "race_2", "race_3", "race_4"]


def test_what_is_typed_is_read_by_its_type():
    fields = [definition("number", key="n"), definition("boolean", key="b"), definition("choices", key="c", **OPTIONS)]
    form = MultiDict([("field:n", "38"), ("field:b", "true"), ("field:c", "a"), ("field:c", "b")])
    english = Formats("en", zone_of("UTC"), datetime(2026, 11, 28, tzinfo=UTC))
    assert typed(fields, form, english) == ({"n": 38, "b": True, "c": ["a", "b"]}, {})
    assert typed(fields[:1], MultiDict({"field:n": "x"}), english)[1] == {"n": "This is to be a number."}
    assert typed(fields, MultiDict(), english)[0] == {"n": None, "b": None, "c": None}
    form = written_field(MultiDict({"options": "a = A\nb\n\n", "label:en": "X"}))
    assert options_text(form["options"]) == "a = A\nb"


async def test_an_owner_is_assigned_and_mine_are_found(desk):
    anna, ben = await somebody(desk, "anna"), await somebody(desk, "ben")
    ada = await desk.person("agent")
    await ada.post(f"/profiles/{anna}/owner", 303, owner=ada.user_id)
    mine = await ada.page("/profiles?owner=me")
    assert anna in mine and ben not in mine
    await ada.post(f"/profiles/{anna}/owner", 422, owner="usr_" + "0" * 26)
    await ada.post(f"/profiles/{anna}/owner", 303, owner="")
    assert (await person(desk, anna)).owner_id is None


async def test_roles_are_ticked(desk):
    anna, ada = await somebody(desk, "anna"), await desk.person("agent")
    await ada.post(f"/profiles/{anna}/roles", 303, **{"role:buyer": "1", "role:agent": "1"})
    await ada.post(f"/profiles/{anna}/roles", 303, **{"role:agent": "1", "role:king": "1"})
    assert (await person(desk, anna)).roles == ["agent"]
    assert anna in await ada.page("/profiles?role=agent")


async def test_relations_are_added_removed_and_put_back(desk):
    anna, ben, ada = await somebody(desk, "anna"), await somebody(desk, "ben"), await desk.person("agent")
    text = await ada.page(f"/profiles/{anna}?relate=ben")
    assert f'<option value="{ben}">Ben</option>' in text and "Child of" in text
    await ada.post(f"/profiles/{anna}/relations", 303, kind="parent:forth", other_id=ben, note="Mother")
    assert "Child of" in (await ada.page(f"/profiles/{ben}")).split('data-testid="relations-panel"', 1)[1]
    (row,) = await desk.runtime.relations.of_profile(anna)
    back = await ada.post(f"/profiles/{anna}/relations/{row.id}/remove", 303)
    assert await desk.runtime.relations.of_profile(ben) == []
    assert f"/relations/{row.id}/restore" in await ada.page(back)
    await ada.post(f"/profiles/{anna}/relations/{row.id}/restore", 303)
    assert len(await desk.runtime.relations.of_profile(ben)) == 1
    await ada.post(f"/profiles/{anna}/relations", 422, kind="enemy:forth", other_id=ben)
    await ada.post(f"/profiles/{anna}/relations", 404, kind="parent:forth", other_id="prf_" + "0" * 26)


async def test_tags_are_renamed_across_people_with_a_way_back(desk):
    ids = [await somebody(desk, name, tags=["tee"]) for name in ("anna", "ben")]
    mara = await desk.person("marketer", name="Mara Marketer")
    rule = {"any": [{"not": {"field": "tags", "op": "any_of", "value": ["tee", "x"]}}]}
    await desk.runtime.segments.create(SegmentInput(name="Drinkers", rule=rule))
    text = await mara.page("/profiles/tags")
    assert ">2</td>" in text and "Drinkers" in text and "Named by 1 segment" in text
    await mara.post("/profiles/tags", 303, tag="tee", to="tea", what="rename")
    assert "<progress" in await mara.page("/profiles/tags")
    assert "being changed just now" in await mara.post("/profiles/tags", 422, tag="tee", what="delete")
    await desk.runtime.tags.drain()
    text = await mara.page("/profiles/tags")
    assert "was renamed to “tea”" in text and (await person(desk, ids[0])).tags == ["tea"]
    undo = re.search(r'action="(/profiles/tags/tgc_\w+/undo)"', text)[1]
    await mara.post(undo, 303)
    await desk.runtime.tags.drain()
    assert "taken back" in await mara.page("/profiles/tags") and (await person(desk, ids[1])).tags == ["tee"]
    assert 'data-testid="tags"' not in await mara.page("/profiles/tags?q=zzz")
