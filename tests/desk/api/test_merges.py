"""Merging over the API: the dry run, the merge, old ids in every filter, the way back, and the queue of pairs."""

from typing import Any

import pytest

from base.clock import now
from profiles.models import Dispute
from tests.desk.api.conftest import World, answer_of

pytestmark = pytest.mark.timeout(240)


async def call(world: World, method: str, path: str, body: Any = None, token: str = "agent", status: int = 200) -> Any:
    async with world.client(token) as client:
        answer = await client.request(method, f"/api/v1{path}", json=body)
        found = await answer_of(answer)
        assert answer.status == status, (method, path, found)
        return found


async def test_a_dry_run_says_what_the_merge_then_does_and_it_can_be_taken_back(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    path = f"/profiles/{ours.profile}/merge"
    before = await own_world.digest()
    said = await call(own_world, "POST", path, {"other_id": foreign.profile, "dry_run": True})
    assert said["dry_run"] and said["merge_id"] is None and await own_world.digest() == before
    assert {row["field"]: row["stays"] for row in said["differences"]}["name"] in ("this", "other")
    done = await call(own_world, "POST", path, {"other_id": foreign.profile, "fields": {"name": "other"}})
    assert (done["state"], done["moves"]) == ("done", said["moves"])
    assert done["set_aside"]["name"] == "Anna"

    person = await call(own_world, "GET", f"/profiles/{foreign.profile}")
    assert (person["id"], person["merged_from"], person["name"]) == (ours.profile, foreign.profile, "Boris")
    assert person["orders"]["count"] == 2
    for what, at_least in (("conversations", 2), ("messages", 4), ("sends", 2), ("orders", 2), ("tasks", 2)):
        rows = (await call(own_world, "GET", f"/{what}?profile={foreign.profile}"))["data"]
        assert len(rows) >= at_least and {row["profile_id"] for row in rows} == {ours.profile}, what
    runs = (await call(own_world, "GET", f"/journeys/{ours.journey}/enrolments?profile={foreign.profile}"))["data"]
    assert {row["id"] for row in runs} == {ours.enrolment, foreign.enrolment}
    listed = (await call(own_world, "GET", f"/profiles/{ours.profile}/merges", token="viewer"))["data"]
    assert [(row["id"], row["undoable"]) for row in listed] == [(done["merge_id"], True)]

    again = await call(own_world, "POST", path, {"other_id": foreign.profile})
    assert again["merge_id"] is None and again["profile_id"] == again["other_id"] == ours.profile

    body = {"merge_id": done["merge_id"]}
    await call(own_world, "POST", "/profiles/unmerge", body, token="scoped:agent", status=403)
    undone = await call(own_world, "POST", "/profiles/unmerge", body)
    assert (undone["state"], undone["kept"], undone["other_id"]) == ("undone", {}, foreign.profile)
    person = await call(own_world, "GET", f"/profiles/{foreign.profile}")
    assert (person["id"], person["merged_from"], person["name"]) == (foreign.profile, None, "Boris")


async def test_a_choice_that_is_none_and_a_person_that_is_none_are_refused(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    path = f"/profiles/{ours.profile}/merge"
    body = {"other_id": foreign.profile, "fields": {"orders": "other"}}
    assert (await call(own_world, "POST", path, body, status=422))["errors"][0]["path"] == "fields.orders"
    nobody = {"other_id": "prf_" + "0" * 26}
    await call(own_world, "POST", path, nobody, status=404)
    await call(own_world, "POST", path, {"other_id": foreign.profile}, token="viewer", status=403)
    await call(own_world, "POST", path, {"other_id": foreign.profile}, token="scoped:agent", status=404)


async def test_pairs_are_shown_with_their_evidence_and_answered(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    dispute = Dispute(ours.profile, foreign.profile, "email", "email:anna@example.org", "unverified")
    await own_world.runtime.profiles.suggestions.note([dispute], now())
    (pair,) = (await call(own_world, "GET", "/profiles/suggestions", token="viewer"))["data"]
    assert pair["evidence"] == [{"kind": "email", "value": "anna@example.org", "reason": "unverified"}]
    assert {each["display_name"] for each in pair["people"]} == {"Anna", "Boris"}
    assert (await call(own_world, "GET", "/profiles/suggestions", token="scoped:viewer"))["data"] == []
    path = f"/profiles/suggestions/{pair['id']}"
    await call(own_world, "POST", f"{path}/dismiss", token="scoped:agent", status=404)
    assert (await call(own_world, "POST", f"{path}/dismiss"))["state"] == "dismissed"
    await own_world.runtime.profiles.suggestions.note([dispute], now())
    assert (await call(own_world, "GET", "/profiles/suggestions"))["data"] == []
    assert (await call(own_world, "POST", f"{path}/reopen"))["state"] == "open"
