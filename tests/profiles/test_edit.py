"""Changing a profile: what is told, what is refused, what may be repeated."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from base.errors import NotFound, WrongInput
from profiles.edit import ProfileEditor, ProfileInput, ProfilePatch, patch_from_paths
from profiles.segments import Facts, matches, parse, to_filter
from profiles.store import ProfileFilter
from tests.profiles.conftest import People

DELFT = {"field": "address.city", "op": "eq", "value": "Delft"}


@pytest.fixture
def editor(people: People) -> ProfileEditor:
    return ProfileEditor(people.profiles, people.events, people.resolver, people.db, people.clock)


async def names(people: People, profile_id: str) -> list[str]:
    return sorted(event.name for event in await people.events.for_profile(profile_id, 100))


async def made(editor: ProfileEditor, **fields: Any) -> str:
    body = {"identities": ["email:anna@example.com", {"kind": "customer_id", "value": "42"}], **fields}
    profile, _ = await editor.upsert(ProfileInput.model_validate(body))
    return profile.id


async def test_upsert_finds_or_creates(people: People, editor: ProfileEditor) -> None:
    body = ProfileInput.model_validate({
        "identities": ["email:Anna@Example.com", {"kind": "phone", "value": "+49 170 1234567"}],
        "name": "Anna Meier", "attributes": {"city": "Leiden", "size": 38}, "tags": ["vip"],
        "location": {"latitude": 52.1, "longitude": 4.5},
    })  # fmt: skip
    first, created = await editor.upsert(body)
    again, created_again = await editor.upsert(body)
    assert (created, created_again) == (True, False) and first.id == again.id
    assert (first.name, first.tags, first.attributes["city"]) == ("Anna Meier", ["vip"], "Leiden")
    assert (first.email, first.phone) == ("anna@example.com", "+491701234567")
    assert await names(people, first.id) == ["profile.created", "profile.tag_added", "profile.updated"]
    (found,) = (await people.profiles.page(ProfileFilter(q="meier", tag="vip"))).data
    shown = found.to_json()
    assert shown["created_at"].endswith("Z") and "." in shown["created_at"] and shown["display_name"] == "Anna Meier"
    assert shown["orders"]["revenue"] == [] and shown["location"]["coordinates"] == [4.5, 52.1]


async def test_a_patch_tells_each_change_once(people: People, editor: ProfileEditor) -> None:
    profile_id = await made(editor, tags=["a"])
    patch = ProfilePatch.model_validate({
        "stage": "customer", "stage_reason": "first order", "tier": "gold", "score_add": 30, "add_tags": ["b"],
        "remove_tags": ["a"], "attributes": {"city": "Delft"},
    })  # fmt: skip
    after = await editor.patch(profile_id, patch, by="usr_1")
    assert (after.stage, after.tier, after.score, after.tags) == ("customer", "gold", 30, ["b"])
    told = {event.name: event.properties for event in reversed(await people.events.for_profile(profile_id, 100))}
    assert told["profile.stage_changed"] == {
        "from": "new", "to": "customer", "reason": "first order", "source": "person", "by": "usr_1",
    }  # fmt: skip
    assert told["profile.updated"]["changes"]["attributes"] == {"city": {"from": None, "to": "Delft"}}
    assert {"profile.tier_changed", "profile.score_changed", "profile.tag_added", "profile.tag_removed"} <= told.keys()
    count = len(await people.events.for_profile(profile_id, 100))
    await editor.patch(profile_id, ProfilePatch(stage="customer", tier="gold", add_tags=["b"]))
    assert len(await people.events.for_profile(profile_id, 100)) == count


async def test_an_address_is_replaced_as_a_whole(people: People, editor: ProfileEditor) -> None:
    profile_id = await made(editor)
    first = {"street": " Breestraat 1 \n c/o Bos ", "postal_code": "2311 CJ", "city": "Leiden", "country": "NL"}
    after = await editor.patch(profile_id, ProfilePatch.model_validate({"address": first}), by="usr_1")
    assert after.address is not None and after.address.street == "Breestraat 1\nc/o Bos"
    after = await editor.patch(profile_id, ProfilePatch.model_validate({"address": {"city": "Delft"}}), by="usr_1")
    assert after.address is not None and (after.address.city, after.address.country) == ("Delft", None)
    found = (await people.profiles.page(ProfileFilter(where=to_filter(parse(DELFT), people.clock())))).data
    assert [each.id for each in found] == [profile_id]
    assert matches(parse(DELFT), Facts(after.document()), people.clock())
    after = await editor.patch(profile_id, ProfilePatch.model_validate({"address": {"city": "  "}}), by="usr_1")
    assert after.address is None
    for wrong in ({"country": "Netherlands"}, {"town": "Delft"}, "Delft"):
        with pytest.raises(ValidationError):
            ProfilePatch.model_validate({"address": wrong})


async def test_a_keyed_change_takes_effect_once(people: People, editor: ProfileEditor) -> None:
    profile_id = await made(editor)
    add = ProfilePatch(score_add=10)
    await asyncio.gather(*(editor.patch(profile_id, add, key="enr_1:n1:1") for _ in range(6)))
    await editor.patch(profile_id, add, key="enr_1:n1:2")
    profile = await people.profiles.get(profile_id)
    assert profile is not None and profile.score == 20


async def test_changes_at_once_lose_nothing(people: People, editor: ProfileEditor) -> None:
    profile_id = await made(editor)
    changes = [ProfilePatch.model_validate({"attributes": {f"a{i}": i}, "add_tags": [f"t{i}"]}) for i in range(12)]
    await asyncio.gather(*(editor.patch(profile_id, change) for change in changes))
    profile = await people.profiles.get(profile_id)
    assert profile is not None
    assert sorted(profile.attributes) == sorted(f"a{i}" for i in range(12)) and len(profile.tags) == 12


async def test_a_name_a_person_wrote_stays(people: People, editor: ProfileEditor) -> None:
    profile_id = await made(editor, name="From the API")
    await editor.patch(profile_id, ProfilePatch(name="Anna"), source="person")
    await made(editor, name="From the API again")
    profile = await people.profiles.get(profile_id)
    assert profile is not None and profile.name == "Anna"
    emptied = await editor.patch(profile_id, ProfilePatch(name=None), source="person")
    assert emptied.name is None and emptied.display_name == "anna@example.com"


@pytest.mark.parametrize("body", [
    {"nome": "x"}, {"attributes": {"a.b": 1}}, {"attributes": {"$set": 1}}, {"attributes": {"7": 1}},
    {"attributes": {"a": float("inf")}}, {"attributes": {"a": 2**70}}, {"attributes": {"a": "\ud800"}},
    {"attributes": {"a": [[[[[1]]]]]}}, {"score": 101}, {"score": 1, "score_add": 1}, {"avatar_url": "javascript:x"},
    {"tags": [""]}, {"location": {"latitude": 91, "longitude": 0}}, {"attributes": [1]}, {"stage": "$x"},
])  # fmt: skip
def test_what_cannot_be_stored_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProfilePatch.model_validate(body)


def test_paths_of_an_update_step() -> None:
    patch = patch_from_paths({"attributes.city": "Leiden", "name": "A"}, ["attributes.old"], add_tags=["x"], stage=None)
    assert patch.attributes == {"city": "Leiden", "old": None} and patch.add_tags == ["x"]
    assert patch.model_fields_set == {"attributes", "name", "add_tags"}
    for path in ("merged_into", "attributes.a.b", "attributes", "orders.count", "attributes.$x"):
        with pytest.raises(WrongInput):
            patch_from_paths({path: 1})
    with pytest.raises(WrongInput) as caught:
        patch_from_paths({"score": "many"})
    assert caught.value.errors[0].path == "score"


async def test_nobody(editor: ProfileEditor) -> None:
    with pytest.raises(NotFound):
        await editor.patch("prf_nobody", ProfilePatch(tier="x"))
