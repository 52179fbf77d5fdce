"""The same change of many conversations, merging, and shutting somebody out, over the API."""

from typing import Any

import pytest

from tests.desk.api.conftest import World, answer_of

NOWHERE = "0" * 26


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """Nothing is left as it was."""
    return own_world


async def ask(client: Any, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await client.request(method, f"/api/v1{path}", json=body)
    found = await answer_of(answer)
    assert answer.status == status, (path, found)
    return found


async def test_many_are_changed_and_taken_back(world: World) -> None:
    ours, foreign = world.ours.conversation, world.foreign.conversation
    async with world.client("agent") as client:
        change = {"priority": "high", "labels": {"add": ["batch"]}}
        act = await ask(client, "POST", "/conversations/bulk", {"ids": [ours, foreign], "change": change})
        assert (act["state"], act["changed"], act["left_out"]) == ("done", 2, [])
        assert (await ask(client, "GET", f"/conversations/{ours}"))["labels"] == ["batch"]
        found = {"filter": {"labels": {"all": ["batch"]}}, "change": {"status": "snoozed"}}
        assert (await ask(client, "POST", "/conversations/bulk", found))["changed"] == 2
        after = await ask(client, "POST", f"/conversations/acts/{act['id']}/undo")
        assert (after["state"], after["undone"]) == ("undone", 2)
        talk = await ask(client, "GET", f"/conversations/{ours}")
        assert (talk["labels"], talk["priority"], talk["status"]) == ([], "none", "snoozed")
        for wrong in ({"change": change}, {"ids": [ours], "filter": {}, "change": change},
                      {"ids": [ours], "change": {}}, {"ids": [ours], "change": {"assignee_id": f"usr_{NOWHERE}"}},
                      {"ids": [ours], "change": {"participants": {"add": [f"usr_{NOWHERE}"]}}},
                      {"ids": [ours], "change": {"labels": {"add": ["x" * 61]}}}):  # fmt: skip
            await ask(client, "POST", "/conversations/bulk", wrong, 422)
        await ask(client, "PATCH", f"/conversations/{ours}", {"status": "open"})
        await ask(client, "PATCH", f"/conversations/{foreign}", {"status": "open"})
    async with world.client("scoped:agent") as client:
        low = {"ids": [ours, foreign], "change": {"priority": "low"}}
        theirs = await ask(client, "POST", "/conversations/bulk", low)
        assert (theirs["changed"], [each["why"] for each in theirs["left_out"]]) == (1, ["not_found"])
        await ask(client, "POST", f"/conversations/acts/{theirs['id']}/undo")
        await ask(client, "GET", f"/conversations/acts/{act['id']}", status=404)
        await ask(client, "POST", f"/conversations/acts/{act['id']}/undo", status=404)
        await ask(client, "POST", f"/conversations/{ours}/merge", {"other_ids": [foreign]}, 404)


@pytest.mark.parametrize("merged", [False, True])
async def test_conversations_of_different_people_are_not_merged(world: World, merged: bool) -> None:
    async with world.client("agent") as client:
        body = {"other_ids": [world.foreign.conversation], "dry_run": not merged}
        await ask(client, "POST", f"/conversations/{world.ours.conversation}/merge", body, 422)
        alone = {"other_ids": [world.ours.conversation], "dry_run": not merged}
        made = await ask(client, "POST", f"/conversations/{world.ours.conversation}/merge", alone)
        assert (made["merge_id"], made["parts"]) == (None, [])
        await ask(client, "POST", "/conversations/unmerge", {"merge_id": f"act_{NOWHERE}"}, 404)


async def test_somebody_is_shut_out_and_let_in(world: World) -> None:
    path = f"/profiles/{world.ours.profile}"
    async with world.client("agent") as client:
        shut = await ask(client, "POST", f"{path}/shut-out", {"on": True})
        assert shut == {"shut_out": True, "conversations": 1}
        assert (await ask(client, "GET", path))["shut_out"]["by"]
        talk = f"/conversations/{world.ours.conversation}"
        assert (await ask(client, "GET", talk))["status"] == "spam"
        refused = await ask(client, "POST", f"{talk}/messages", {"text": "x"}, 403)
        assert refused["code"] == "shut_out"
        assert await ask(client, "POST", f"{path}/shut-out", {"on": False}) == {"shut_out": False, "conversations": 1}
        assert (await ask(client, "GET", path))["shut_out"] is None
        assert (await ask(client, "GET", talk))["status"] == "open"


async def test_a_conversation_is_split_and_merged_back(world: World) -> None:
    path = f"/conversations/{world.ours.conversation}"
    async with world.client("agent") as client:
        line = (await ask(client, "POST", f"{path}/messages", {"text": "Another matter"}, 201))["id"]
        await ask(client, "POST", f"{path}/split", {"message_id": world.ours.message}, 422)
        await ask(client, "POST", f"{path}/split", {"message_id": world.foreign.message}, 404)
        new = await ask(client, "POST", f"{path}/split", {"message_id": line}, 201)
        assert (new["split_from"], new["message_count"]) == (world.ours.conversation, 1)
        assert (await ask(client, "GET", f"/messages/{line}"))["conversation_id"] == new["id"]
        made = await ask(client, "POST", f"{path}/merge", {"other_ids": [new["id"]]})
        assert made["parts"] == [new["id"]] and made["messages"] == 1
        assert (await ask(client, "GET", f"/conversations/{new['id']}"))["merged_from"] == new["id"]
        assert line in [each["id"] for each in (await ask(client, "GET", f"{path}/messages"))["data"]]
        await ask(client, "POST", "/conversations/unmerge", {"merge_id": made["merge_id"]})
        assert (await ask(client, "GET", f"/conversations/{new['id']}"))["merged_from"] is None


async def test_all_channels_are_read_as_one(world: World) -> None:
    async with world.client("agent") as client:
        path = f"/conversations/{world.ours.conversation}/messages"
        one, all_of_them = await ask(client, "GET", path), await ask(client, "GET", f"{path}?scope=person")
        assert {each["id"] for each in one["data"]} < {each["id"] for each in all_of_them["data"]}
        await ask(client, "GET", f"{path}?scope=everybody", status=422)
