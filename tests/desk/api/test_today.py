"""The list of today for programs: read in parts, acted upon, taken back, by whom it concerns."""

from datetime import timedelta
from typing import Any

from base.clock import iso, now
from tests.desk.api.conftest import World, answer_of
from tests.desk.api.test_answering import says


async def ask(client: Any, method: str, path: str, expected: int = 200, **more: Any) -> Any:
    answer = await client.request(method, f"/api/v1{path}", **more)
    found = await answer_of(answer)
    assert answer.status == expected, (path, answer.status, found)
    return found


async def test_the_list_is_read_in_parts_and_acted_upon(own_world: World) -> None:
    world = own_world
    await says(world, "Are you there?")
    async with world.client("agent") as agent, world.client("marketer") as marketer:
        whole = (await ask(agent, "GET", "/today"))["data"]
        keys = [each["key"] for each in whole]
        assert len(set(keys)) == len(keys) and {"conversation", "task"} <= {each["kind"] for each in whole}
        parts, cursor = [], None
        while True:
            params = {"limit": "1", **({"cursor": cursor} if cursor else {})}
            part = await ask(agent, "GET", "/today", params=params)
            parts += [each["key"] for each in part["data"]]
            cursor = part["next_cursor"]
            if cursor is None:
                break
        assert parts == keys
        await ask(agent, "GET", "/today", 422, params={"cursor": "nonsense"})
        assert {each["kind"] for each in (await ask(agent, "GET", "/today?kind=task"))["data"]} == {"task"}

        talk = f"conversation:{world.ours.conversation}"
        await ask(marketer, "POST", "/today/acts", 403, json={"key": talk, "act": "done"})
        done = await ask(agent, "POST", "/today/acts", json={"key": talk, "act": "done"})
        assert (await ask(agent, "GET", f"/conversations/{world.ours.conversation}"))["status"] == "resolved"
        await ask(agent, "POST", "/today/acts", 404, json={"key": talk, "act": "done"})
        await ask(marketer, "POST", "/today/undo", 403, json=done["undo"])
        await ask(agent, "POST", "/today/undo", 204, json=done["undo"])
        await ask(agent, "POST", "/today/undo", 204, json=done["undo"])
        assert (await ask(agent, "GET", f"/conversations/{world.ours.conversation}"))["status"] == "open"

        task = f"task:{world.ours.task}"
        for body in (
            {"key": task, "act": "snooze"}, {"key": task, "act": "hand_over"}, {"key": task, "act": "explode"},
            {"key": task, "act": "done", "until": iso(now())}, {"key": task, "act": "done", "more": 1},
            {"key": task, "act": "snooze", "until": "2020-01-01T00:00:00Z"},
            {"key": task, "act": "hand_over", "assignee_id": "usr_" + "0" * 26},
        ):  # fmt: skip
            await ask(agent, "POST", "/today/acts", 422, json=body)
        cleo = next(each for each in await world.runtime.users.users() if each.name == "Cleo").id
        given = await ask(agent, "POST", "/today/acts", json={"key": task, "act": "hand_over", "assignee_id": cleo})
        ben = await world.runtime.users.add_user("ben@example.org", "Ben", "agent")
        await ask(agent, "PATCH", f"/tasks/{world.ours.task}", json={"assignee_id": ben.id})
        problem = await ask(agent, "POST", "/today/undo", 409, json=given["undo"])
        assert problem["code"] == "changed_since", "what somebody else has changed since is left"
        for key in ("nonsense", "hot:prf_1:2", f"hot:{world.ours.profile}:5", "task:tsk_" + "0" * 26):
            await ask(agent, "POST", "/today/acts", 404, json={"key": key, "act": "done"})


async def test_nothing_of_other_channels_is_seen_or_done(own_world: World) -> None:
    world, foreign = own_world, own_world.foreign
    before = await world.digest()
    async with world.client("scoped:agent") as agent:
        text = str(await ask(agent, "GET", "/today"))
        assert foreign.profile not in text and foreign.conversation not in text and foreign.task not in text
        for key in (
            f"conversation:{foreign.conversation}", f"task:{foreign.task}", f"order:{foreign.order}:unpaid",
            f"failed:{foreign.send}", f"hot:{foreign.profile}:1", f"idle:{foreign.profile}:1:30",
            f"follow_up:{foreign.profile}:fup_x",
        ):  # fmt: skip
            await ask(agent, "POST", "/today/acts", 404, json={"key": key, "act": "done"})
            for what in ("done", "snooze", "hand_over"):
                undo = {"key": key, "what": what, "until": iso(now() + timedelta(days=1)), "act_id": "act_" + "0" * 26}
                await ask(agent, "POST", "/today/undo", 404, json=undo)
        await ask(agent, "PUT", "/stream-rules", 403, json={"idle": {}})
    assert await world.digest() == before


async def test_rules_of_the_list(own_world: World) -> None:
    async with own_world.client("marketer") as marketer, own_world.client("agent") as agent:
        assert (await ask(agent, "GET", "/stream-rules"))["idle"]["owned"] == [30, 60]
        await ask(agent, "PUT", "/stream-rules", 403, json={"idle": {}})
        await ask(marketer, "PUT", "/stream-rules", 422, json={"idle": {"vip": [5, 5]}})
        kept = await ask(marketer, "PUT", "/stream-rules", json={"idle": {"vip": [5, 9]}, "unpaid_after_h": None})
        assert (kept["idle"], kept["unpaid_after_h"], kept["unnoticed_after_h"]) == ({"vip": [5, 9]}, None, 24)
        await ask(agent, "GET", "/me/calendar", 404)


async def test_a_task_about_an_unseen_conversation_of_somebody_seen_is_not_told(own_world: World) -> None:
    """Boris is on both channels; what is to be done about the one of them is not for who sees the other alone."""
    world, foreign, words = own_world, own_world.foreign, "Tell Boris of the other channel"
    both = [f"{foreign.channel}:ext-boris", f"{world.ours.channel}:ext-boris"]
    async with world.client() as admin, world.client("scoped:agent") as scoped:
        await ask(admin, "POST", "/profiles", json={"identities": both})
        body = {"text": words, "profile_id": foreign.profile, "conversation_id": foreign.conversation}
        task = await ask(admin, "POST", "/tasks", 201, json=body)
        await ask(admin, "PATCH", f"/tasks/{task['id']}", json={"state": "done"})
        await ask(admin, "PATCH", f"/tasks/{task['id']}", json={"state": "open"})
        asked = ("/today", "/tasks", f"/profiles/{foreign.profile}/timeline")
        for path in asked:
            assert words in str(await ask(admin, "GET", path)), path
            assert words not in str(await ask(scoped, "GET", path)), path
        await ask(scoped, "POST", "/today/acts", 404, json={"key": f"task:{task['id']}", "act": "done"})


async def test_only_a_change_made_here_is_taken_back_here(own_world: World) -> None:
    """Neither a merge nor a person who was shut out comes undone by the way of Today."""
    world, talk = own_world, own_world.ours.conversation
    async with world.client("agent") as agent, world.client("scoped:agent") as scoped:
        await ask(agent, "POST", f"/profiles/{world.ours.profile}/shut-out", json={"on": True})
        act_id = (await world.runtime.profiles.get(world.ours.profile)).shut_out.act_id
        undo = {"key": f"conversation:{talk}", "what": "done", "act_id": act_id}
        await ask(agent, "POST", "/today/undo", 404, json=undo)
        assert (await ask(agent, "GET", f"/conversations/{talk}"))["status"] == "spam"
        await ask(agent, "POST", f"/profiles/{world.ours.profile}/shut-out", json={"on": False})
        done = await ask(agent, "POST", "/conversations/bulk", json={"ids": [talk], "change": {"status": "resolved"}})
        await ask(scoped, "POST", "/today/undo", 404, json={**undo, "act_id": done["id"]})
        await ask(agent, "POST", "/today/undo", 204, json={**undo, "act_id": done["id"]})


async def test_what_is_taken_back_goes_to_nobody_who_is_not_there(own_world: World) -> None:
    world, nobody = own_world, "usr_" + "0" * 26
    cleo = next(each for each in await world.runtime.users.users() if each.name == "Cleo").id
    async with world.client("agent") as agent:
        key = f"task:{world.ours.task}"
        given = await ask(agent, "POST", "/today/acts", json={"key": key, "act": "hand_over", "assignee_id": cleo})
        await ask(agent, "POST", "/today/undo", 404, json={**given["undo"], "was": nobody})
        assert (await ask(agent, "GET", f"/tasks/{world.ours.task}"))["assignee_id"] == cleo
