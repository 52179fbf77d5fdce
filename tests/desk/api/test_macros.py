"""Macros by the API: what can be done is done, once, and taken back; no further than who runs them may reach."""

import asyncio
from typing import Any

import pytest

from base.ids import new_id
from campaigns.automation.carrying import Doer
from campaigns.automation.macros import Runner
from campaigns.automation.models import MacroInput
from campaigns.canned import Answering
from inbox.models import Actor
from tests.desk.api.conftest import World
from tests.desk.api.test_views import ask
from tests.desk.world import wrote
from tests.dying import Dying

ACTIONS: list[dict[str, Any]] = [
    {"type": "status", "status": "resolved"},
    {"type": "reply", "text": "Hi {{ profile.first_name }}, it is on its way."},
    {"type": "note", "text": "Done by a macro"},
    {"type": "labels", "add": ["refund"]},
    {"type": "task", "text": "Has it arrived?", "due": "P3D"},
    {"type": "tags", "add": ["refunded"]},
    {"type": "priority", "priority": "high"},
]
ANNA = Runner(Actor("usr_anna", "Anna"), Answering("Anna"))


async def lines_of(world: World, client: Any) -> list[dict[str, Any]]:
    """What was said and noted in our conversation, the newest first."""
    answer = await ask(client, "GET", f"/conversations/{world.ours.conversation}/messages")
    return [each for each in answer["data"] if each["direction"] != "system"]


async def reopened(world: World) -> None:
    """Our conversation as it was before."""
    actions, ours = world.runtime.desk_actions, world.ours.conversation
    await actions.set_status(ours, "open", ANNA.by)
    await actions.set_labels(ours, [], ANNA.by)
    await actions.set_priority(ours, "none", ANNA.by)


async def test_everything_is_done_and_taken_back(own_world: World) -> None:
    ours, runtime = own_world.ours, own_world.runtime
    async with own_world.client() as client:
        macro = await ask(client, "POST", "/macros", {"name": "Refund", "actions": ACTIONS}, 201)
        assert macro["actions"] == ACTIONS and (macro["scope"], macro["uses"]) == ("everybody", 0)
        before = await ask(client, "GET", f"/conversations/{ours.conversation}")
        body, key = {"conversation_id": ours.conversation}, {"Idempotency-Key": "one click"}
        for _ in range(2):
            async with client.post(f"/api/v1/macros/{macro['id']}/run", json=body, headers=key) as answer:
                did = await answer.json()
        assert did["did"] == ["reply", "note", "task", "tags"] and did["left"] == [] and did["changed"] == 1
        talk = await ask(client, "GET", f"/conversations/{ours.conversation}")
        assert (talk["status"], talk["labels"], talk["priority"]) == ("resolved", ["refund"], "high")
        note, reply = (await lines_of(own_world, client))[:2]
        assert (reply["text"], reply["status"]) == ("Hi Anna, it is on its way.", "queued") and note["text"]
        assert "refunded" in (await runtime.profiles.get(ours.profile)).tags
        tasks = (await ask(client, "GET", "/tasks", params={"profile": ours.profile, "status": "open"}))["data"]
        assert [each["text"] for each in tasks].count("Has it arrived?") == 1

        back = await ask(client, "POST", f"/conversations/acts/{did['act_id']}/undo")
        assert (back["kind"], back["state"]) == ("macro", "undone")
        talk = await ask(client, "GET", f"/conversations/{ours.conversation}")
        same = ("status", "labels", "priority", "waiting_since", "assignee_id")
        assert [talk[each] for each in same] == [before[each] for each in same]
        assert reply["id"] not in [each["id"] for each in await lines_of(own_world, client)]
        assert "refunded" not in (await runtime.profiles.get(ours.profile)).tags
        tasks = (await ask(client, "GET", "/tasks", params={"profile": ours.profile, "status": "open"}))["data"]
        assert "Has it arrived?" not in [each["text"] for each in tasks]
        stays = [(each["type"], each["why"]) for each in back["left_out"]]
        assert stays == [("note", "stays")] and (back["undone"], back["changed"]) == (1, 1)
        (ran,) = await runtime.events.find(ours.profile, ["automation.ran"])
        assert ran.properties["did"] == [each["type"] for each in ACTIONS] and ran.conversation_id == ours.conversation
        assert (ran.properties["kind"], ran.properties["name"], ran.properties["left"]) == ("macro", "Refund", [])
        assert (await ask(client, "GET", f"/macros/{macro['id']}"))["uses"] == 1


async def test_what_cannot_be_is_left_and_said(own_world: World) -> None:
    await reopened(own_world)
    wanted = [
        {"type": "assign", "to": "owner"},
        {"type": "reply", "text": "Hi {{ profile.attributes.nowhere | upper }}"},
        {"type": "snooze", "span": "P1D"},
        {"type": "ask_rating"},
    ]
    async with own_world.client() as client:
        macro = await ask(client, "POST", "/macros", {"name": "Half", "actions": wanted}, 201)
        body = {"conversation_id": own_world.ours.conversation}
        did = await ask(client, "POST", f"/macros/{macro['id']}/run", body)
        left = {each["type"]: each["why"] for each in did["left"]}
        assert left == {"assign": "nobody_there", "reply": "blanks", "ask_rating": "ratings_off"}
        talk = await ask(client, "GET", f"/conversations/{own_world.ours.conversation}")
        assert talk["status"] == "snoozed" and talk["snoozed_until"] and did["changed"] == 1


@pytest.mark.parametrize(("action", "path"), [
    ({"type": "assign", "to": "usr_" + "0" * 26}, "actions[1].to"),
    ({"type": "team", "team_id": "tea_" + "0" * 26}, "actions[1].team_id"),
    ({"type": "reply", "canned_id": "cnr_" + "0" * 26}, "actions[1].canned_id"),
    ({"type": "reply", "text": "{{ event.name }}"}, "actions[1].text"),
    ({"type": "reply"}, "actions[1]"),
    ({"type": "labels"}, "actions[1]"),
    ({"type": "stage", "stage": "nowhere"}, "actions[1].stage"),
    ({"type": "journey", "journey_id": "jrn_" + "0" * 26}, "actions[1].journey_id"),
    ({"type": "webhook", "url": "ftp://x"}, "actions[1].url"),
    ({"type": "snooze", "span": "soon"}, "actions[1].span"),
    ({"type": "fly"}, "actions[1]"),
])  # fmt: skip
async def test_faults_are_named(own_world: World, action: dict[str, Any], path: str) -> None:
    async with own_world.client() as client:
        body = {"name": "Faulty", "actions": [{"type": "status", "status": "open"}, action]}
        refused = await ask(client, "POST", "/macros", body, 422)
        assert path in [each["path"] for each in refused["errors"]], refused


async def test_who_may_what(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    spam = [{"type": "status", "status": "spam"}]
    async with own_world.client() as admin, own_world.client("scoped:agent") as scoped, own_world.client("agent") as bo:
        shared = await ask(admin, "POST", "/macros", {"name": "To spam", "actions": spam}, 201)
        taken = await ask(admin, "POST", "/macros", {"name": " to  SPAM ", "actions": spam}, 409)
        assert taken["code"] == "name_taken"
        await ask(scoped, "POST", f"/macros/{shared['id']}/run", {"conversation_id": foreign.conversation}, 404)
        await ask(scoped, "PATCH", f"/macros/{shared['id']}", {"name": "x"}, 403)
        await ask(scoped, "POST", "/macros", {"name": "x", "actions": spam}, 403)
        for action in ({"type": "webhook", "url": "https://x.example/in"},
                       {"type": "journey", "journey_id": own_world.ours.journey}):  # fmt: skip
            await ask(bo, "POST", "/macros", {"name": "far", "scope": "me", "actions": [action]}, 403)
        own = await ask(scoped, "POST", "/macros", {"name": "x", "scope": "me", "actions": spam}, 201)
        await ask(admin, "GET", f"/macros/{own['id']}", status=404)
        await ask(admin, "POST", f"/macros/{own['id']}/run", {"conversation_id": ours.conversation}, 404)
        theirs = {"name": "theirs", "actions": spam, "channel_ids": [foreign.channel]}
        theirs = await ask(admin, "POST", "/macros", theirs, 201)
        assert theirs["id"] not in str(await ask(scoped, "GET", "/macros"))
        offered = await ask(admin, "GET", "/macros", params={"conversation": ours.conversation})
        assert theirs["id"] not in str(offered) and shared["id"] in str(offered)
        await ask(admin, "DELETE", f"/macros/{theirs['id']}", status=204)
        await ask(admin, "GET", f"/macros/{theirs['id']}", status=404)
        assert (await ask(admin, "POST", f"/macros/{theirs['id']}/restore"))["name"] == "theirs"


async def test_an_action_reaches_no_further_than_who_runs_it(own_world: World) -> None:
    """Also where a door let it through: each action asks for itself."""
    ours, foreign, runtime = own_world.ours, own_world.foreign, own_world.runtime
    before = await own_world.digest()
    macro = MacroInput.model_validate({"name": "Beyond", "scope": "me", "actions": ACTIONS})
    made = await runtime.macros.create(macro, "usr_anna")
    talk = await runtime.conversations.row(foreign.conversation)
    doer = Doer(ANNA.by, "macro", ANNA.called, [ours.channel], "usr_anna")
    for place, action in enumerate(made.actions):
        outcome = await runtime.carrying.carry_out(action, talk, doer, f"beyond{place}", runtime.clock())
        assert outcome.why == "out_of_reach", action
    await runtime.db.handle["macros"].delete_one({"_id": made.id})
    assert await own_world.digest() == before


async def test_clicked_twice_and_killed_anywhere_it_runs_once(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, runtime = own_world.ours, own_world.runtime
    made = await runtime.macros.create(MacroInput.model_validate({"name": "Once", "actions": ACTIONS}), "usr_anna")
    await reopened(own_world)

    async def count() -> tuple[int, ...]:
        rows = runtime.db.handle
        said = {"conversation_id": ours.conversation, "direction": {"$in": ["out", "note"]}}
        return (
            await rows["messages"].count_documents(said), await rows["tasks"].count_documents({}),
            await rows["conversation_acts"].count_documents({}),
        )  # fmt: skip

    run_id, before = new_id("act"), await count()
    acts = await asyncio.gather(*(runtime.macros.run(made.id, ours.conversation, ANNA, run_id) for _ in range(4)))
    assert {each["_id"] for each in acts} == {run_id}
    assert await count() == (before[0] + 2, before[1] + 1, before[2] + 1)

    dying, at, died = Dying(monkeypatch), 1, True
    while died:
        await reopened(own_world)
        run_id, before = new_id("act"), await count()

        async def run(run_id: str = run_id) -> object:
            return await runtime.macros.run(made.id, ours.conversation, ANNA, run_id)

        died = await dying.on(at, True, run)
        act = await run()
        assert act["_id"] == run_id
        if act["state"] == "running":  # who began it is dead: whoever drains acts carries it on
            now = runtime.clock()
            await runtime.db.handle["conversation_acts"].update_one({"_id": run_id}, {"$set": {"due_at": now}})
            await runtime.bulk.drain()
        talk = await runtime.conversations.row(ours.conversation)
        assert (talk["status"], talk["labels"]) == ("resolved", ["refund"]), at
        assert await count() == (before[0] + 2, before[1] + 1, before[2] + 1), at
        at += 1
    assert at > 10


async def test_a_canned_reply_without_a_text_from_its_address_is_not_sent(own_world: World) -> None:
    wanted = {"conversation_id": own_world.ours.conversation}
    async with own_world.client() as client:
        slot = {"shortcut": "slot-of-a-macro", "url": "https://nowhere.invalid/slot"}
        made = await ask(client, "POST", "/canned-replies", slot, 201)
        actions = [{"type": "reply", "canned_id": made["id"]}, {"type": "labels", "add": ["slot"]}]
        macro = await ask(client, "POST", "/macros", {"name": "Slot", "actions": actions}, 201)
        before = len(await lines_of(own_world, client))
        did = await ask(client, "POST", f"/macros/{macro['id']}/run", wanted)
        assert [(each["type"], each["why"]) for each in did["left"]] == [("reply", "not_reached")], did
        assert len(await lines_of(own_world, client)) == before


async def many(world: World, count: int, who: str) -> list[str]:
    """So many open conversations of new people on our channel."""
    account = await world.runtime.channels.get(world.ours.channel)
    return [(await wrote(world.runtime, account, f"{who}{n}", name=f"{who} {n}")).id for n in range(count)]


async def test_a_macro_runs_on_many_and_is_taken_back_as_one(own_world: World) -> None:
    """Words, tasks, tags and the conversations themselves; what is left is said for each, others' work stays."""
    runtime, ours = own_world.runtime, own_world.ours
    ids = await many(own_world, 3, "Mona")
    async with own_world.client() as client:
        hi = {"type": "reply", "text": "Hi {{ profile.first_name }}"}
        wanted = [*ACTIONS[2:6], hi, {"type": "status", "status": "resolved"}, {"type": "ask_rating"}]
        macro = await ask(client, "POST", "/macros", {"name": "On many", "actions": wanted}, 201)
        only = {"name": "Elsewhere", "actions": ACTIONS[:1], "channel_ids": [own_world.foreign.channel]}
        elsewhere = await ask(client, "POST", "/macros", only, 201)
        for wrong in ({"ids": ids}, {"ids": ids, "macro_id": macro["id"], "change": {"priority": "low"}},
                      {"macro_id": macro["id"]}):  # fmt: skip
            await ask(client, "POST", "/conversations/bulk", wrong, 422)
        act = await ask(client, "POST", "/conversations/bulk", {"ids": ids, "macro_id": macro["id"]})
        assert (act["state"], act["done"], act["changed"], act["left"], act["partly"]) == ("done", 3, 3, 0, 3)
        left = [(each["id"], each["type"], each["why"]) for each in act["left_out"]]
        assert left == [(each, "ask_rating", "ratings_off") for each in sorted(ids)]
        said = await messages_of(own_world, ids)
        assert sorted(each["text"] for each in said) == sorted(["Done by a macro", "Hi Mona"] * 3)
        talks = [await ask(client, "GET", f"/conversations/{each}") for each in ids]
        assert {(each["status"], *each["labels"]) for each in talks} == {("resolved", "refund")}
        tagged = [(await runtime.profiles.get(each["profile_id"])).tags for each in talks]
        assert [list(each) for each in tagged] == [["refunded"]] * 3

        await ask(client, "PATCH", f"/conversations/{ids[0]}", {"labels": []})
        back = await ask(client, "POST", f"/conversations/acts/{act['id']}/undo")
        assert (back["state"], back["undone"]) == ("undone", 3)
        stays = {(each["id"], each["type"]) for each in back["left_out"] }
        assert stays == {(each, "note") for each in ids}
        talks = [await ask(client, "GET", f"/conversations/{each}") for each in ids]
        assert {(each["status"], *each["labels"]) for each in talks} == {("open",)}
        assert not any([(await runtime.profiles.get(each["profile_id"])).tags for each in talks])
        nowhere = await ask(client, "POST", "/conversations/bulk", {"ids": ids, "macro_id": elsewhere["id"]})
        assert [each["why"] for each in nowhere["left_out"]] == ["not_offered"] * 3 and nowhere["changed"] == 0
    async with own_world.client("scoped:agent") as scoped:
        body = {"filter": {"status": ["open"]}, "macro_id": macro["id"]}
        seen = await ask(scoped, "POST", "/conversations/bulk", body)
        assert seen["changed"] and ours.conversation
        foreign = await runtime.conversations.row(own_world.foreign.conversation)
        assert foreign["status"] != "resolved" and not foreign.get("labels")


async def messages_of(world: World, ids: list[str]) -> list[dict[str, Any]]:
    """What our side has said and noted there, without what was taken back."""
    said = {"conversation_id": {"$in": ids}, "direction": {"$in": ["out", "note"]}, "deleted_at": {"$exists": False}}
    return [dict(each) async for each in world.runtime.db.handle["messages"].find(said)]


async def test_on_many_killed_anywhere_it_does_each_thing_once_and_all_is_taken_back(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is taken back while whoever was at it is dead, in the middle of one conversation."""
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    wanted = [ACTIONS[1], ACTIONS[3], ACTIONS[4], {"type": "status", "status": "pending"}]
    made = await runtime.macros.create(MacroInput.model_validate({"name": "Die", "actions": wanted}), "usr_anna")
    ids = await many(own_world, 2, "Mortimer")
    dying, at, died = Dying(monkeypatch), 1, True

    async def open_tasks() -> int:
        return int(await rows["tasks"].count_documents({"conversation_id": {"$in": ids}, "state": "open"}))

    async def carried_on(run_id: str) -> dict[str, Any]:
        for _ in range(3):
            await rows["conversation_acts"].update_one({"_id": run_id}, {"$set": {"due_at": runtime.clock()}})
            await runtime.bulk.drain()
        act: dict[str, Any] = await runtime.bulk.get(run_id)
        return act

    while died:
        run_id = new_id("act")

        async def run(run_id: str = run_id) -> object:
            return await runtime.macros.run_on_many(made.id, ANNA, ids=ids, run_id=run_id)

        died = await dying.on(at, True, run)
        if at % 2 and died:
            await run()
            act = await carried_on(run_id)
            assert (act["state"], act["changed"]) == ("done", 2), at
            assert len(await messages_of(own_world, ids)) == 2 and await open_tasks() == 2, at
            assert {(await runtime.conversations.row(each))["status"] for each in ids} == {"pending"}, at
        if await runtime.bulk.find(run_id):
            await runtime.bulk.undo(run_id, ANNA.by)
            act = await carried_on(run_id)
            assert act["state"] == "undone" and act["undone"] == act["changed"], (at, act)
        assert await messages_of(own_world, ids) == [] and await open_tasks() == 0, at
        assert {(await runtime.conversations.row(each))["status"] for each in ids} == {"open"}, at
        at += 1
    assert at > 20


async def test_a_call_that_broke_off_and_comes_again_is_the_same_run(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer went out before it broke off; who asks again with the same key sends no second one."""
    await reopened(own_world)
    book, key = own_world.runtime.macros._bulk, {"Idempotency-Key": "broke off"}
    actions = [{"type": "reply", "text": "Only once"}, {"type": "labels", "add": ["once"]}]

    async def broken(*_: Any) -> Any:
        raise RuntimeError("the process is taken down")

    async with own_world.client() as client:
        macro = await ask(client, "POST", "/macros", {"name": "Broken off", "actions": actions}, 201)
        path, body = f"/api/v1/macros/{macro['id']}/run", {"conversation_id": own_world.ours.conversation}
        with monkeypatch.context() as patched:
            patched.setattr(book, "begin", broken)
            async with client.post(path, json=body, headers=key) as answer:
                assert answer.status == 500
        async with client.post(path, json=body, headers=key) as answer:
            did = await answer.json()
        assert (answer.status, did["did"], did["changed"]) == (200, ["reply"], 1)
        assert [each["text"] for each in await lines_of(own_world, client)].count("Only once") == 1
        async with client.post(path, json=body, headers={"Idempotency-Key": "another"}) as answer:
            assert (await answer.json())["act_id"] != did["act_id"]


async def test_more_labels_than_there_may_be_are_left_and_break_nothing(own_world: World) -> None:
    await reopened(own_world)
    many = [[f"{letter}{n}" for n in range(30)] for letter in "ab"]
    actions = [{"type": "reply", "text": "Labelled"}, *({"type": "labels", "add": each} for each in many)]
    async with own_world.client() as client:
        macro = await ask(client, "POST", "/macros", {"name": "Many labels", "actions": actions}, 201)
        did = await ask(client, "POST", f"/macros/{macro['id']}/run", {"conversation_id": own_world.ours.conversation})
        assert [(each["type"], each["why"]) for each in did["left"]] == [("labels", "too_many")]
        talk = await ask(client, "GET", f"/conversations/{own_world.ours.conversation}")
        assert sorted(talk["labels"]) == sorted(many[0])


async def test_many_that_broke_off_and_come_again_are_the_same_run(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reopened(own_world)
    runtime, key = own_world.runtime, {"Idempotency-Key": "many broke off"}
    answer_all = [{"type": "reply", "text": "Many, once"}]
    ours = own_world.ours.conversation

    async def broken(*_: Any) -> Any:
        raise RuntimeError("the process is taken down")

    async with own_world.client() as client:
        macro = await ask(client, "POST", "/macros", {"name": "Many broken off", "actions": answer_all}, 201)
        path, body = "/api/v1/conversations/bulk", {"ids": [ours], "macro_id": macro["id"]}
        with monkeypatch.context() as patched:
            patched.setattr(runtime.bulk, "_carried_on", broken)
            async with client.post(path, json=body, headers=key) as answer:
                assert answer.status == 500
        async with client.post(path, json=body, headers=key) as answer:
            act = await answer.json()
            assert answer.status == 202, act
        due = {"$set": {"due_at": runtime.clock()}}
        await runtime.db.handle["conversation_acts"].update_one({"_id": act["id"]}, due)
        await runtime.bulk.drain()
        assert [each["text"] for each in await lines_of(own_world, client)].count("Many, once") == 1


# -- rights that were lost -----------------------------------------------------------------------------------------

FAR: list[dict[str, Any]] = [
    {"type": "webhook", "url": "https://x.example/in"}, {"type": "labels", "add": ["far"]},
    {"type": "note", "text": "From afar"},
]  # fmt: skip


async def colleague(world: World, role: str, **more: Any) -> tuple[str, Runner]:
    """Somebody of this role, and as who runs macros."""
    user = await world.runtime.users.add_user(f"{new_id('key')}@example.org", "Cleo", role, **more)
    world.runtime.macros._assigning.forget()
    return user.id, Runner(Actor(user.id, "Cleo"), Answering("Cleo"), None, role)


async def becomes(world: World, user_id: str, **fields: Any) -> None:
    """Their rights are others now."""
    await world.runtime.db.handle["users"].update_one({"_id": user_id}, {"$set": fields})
    world.runtime.macros._assigning.forget()


async def calls(world: World) -> int:
    """How many calls of webhooks there are."""
    return await world.runtime.db.handle["webhook_calls"].count_documents({"url": FAR[0]["url"]})


async def test_ones_own_macro_does_no_more_than_one_may_by_now(own_world: World) -> None:
    await reopened(own_world)
    ours, runtime = own_world.ours, own_world.runtime
    cleo, admin = await colleague(own_world, "admin")
    body = MacroInput.model_validate({"name": "Far", "scope": "me", "actions": FAR})
    own = await runtime.macros.create(body, cleo)
    act = await runtime.macros.run(own.id, ours.conversation, admin)
    assert (act["told"]["left"], await calls(own_world)) == ([], 1)
    await becomes(own_world, cleo, role="agent")
    act = await runtime.macros.run(own.id, ours.conversation, Runner(admin.by, admin.called, None, "agent"))
    assert [(each["type"], each["why"]) for each in act["told"]["left"]] == [("webhook", "not_allowed")]
    assert [each["type"] for each in act["told"]["did"]] == ["note"] and await calls(own_world) == 1

    await becomes(own_world, cleo, role="admin", channels=[ours.channel])  # no more on all channels
    act = await runtime.macros.run(own.id, ours.conversation, Runner(admin.by, admin.called, [ours.channel], "admin"))
    assert [each["why"] for each in act["told"]["left"]] == ["not_allowed"] and await calls(own_world) == 1


async def test_rights_lost_while_it_runs_on_many_are_lost_at_once(own_world: World) -> None:
    await reopened(own_world)
    ours, foreign, runtime = own_world.ours, own_world.foreign, own_world.runtime
    cleo, admin = await colleague(own_world, "admin")
    own = await runtime.macros.create(MacroInput.model_validate({"name": "Far", "scope": "me", "actions": FAR}), cleo)
    many = [ours.conversation, foreign.conversation, *(new_id("cnv") for _ in range(20))]
    before = await calls(own_world)

    async def run_on(role: str = "admin", **fields: Any) -> dict[str, Any]:
        await becomes(own_world, cleo, role="admin", active=True, channels=None)
        act = await runtime.macros.run_on_many(own.id, admin, ids=many)
        assert act["state"] == "running", "more than twenty wait for the background"
        await becomes(own_world, cleo, role=role, **fields)
        while await runtime.bulk.drain():
            pass
        done = await runtime.bulk.get(act["_id"])
        assert done["state"] == "done"
        return {each["id"]: each["why"] for each in done["left_out"] if each["id"] in many[:2]}

    assert await run_on() == {} and await calls(own_world) == before + 2
    lowered = await run_on("agent")
    assert set(lowered.values()) == {"not_allowed"} and await calls(own_world) == before + 2
    narrowed = await run_on("agent", channels=[ours.channel])
    assert narrowed == {ours.conversation: "not_allowed", foreign.conversation: "not_found"}
    notes = {"conversation_id": foreign.conversation, "text": "From afar"}
    noted = await runtime.db.handle["messages"].count_documents(notes)
    for gone in ({"role": "viewer"}, {"active": False}):
        assert set((await run_on(**gone)).values()) == {"not_allowed"}
    assert await runtime.db.handle["messages"].count_documents(notes) == noted, "who is no agent says nothing any more"


async def test_what_is_shared_lends_its_rights_and_ones_own_is_saved_by_ones_own(own_world: World) -> None:
    await reopened(own_world)
    ours, runtime = own_world.ours, own_world.runtime
    async with own_world.client() as admin, own_world.client("agent") as bo:
        shared = await ask(admin, "POST", "/macros", {"name": "Lent", "actions": FAR}, 201)
        before = await calls(own_world)
        did = await ask(bo, "POST", f"/macros/{shared['id']}/run", {"conversation_id": ours.conversation})
        assert did["left"] == [] and await calls(own_world) == before + 1
        assert (await ask(bo, "PATCH", f"/macros/{shared['id']}", {"name": "Lent still"}))["name"] == "Lent still"
        refused = await ask(bo, "PATCH", f"/macros/{shared['id']}", {"scope": "me"}, 403)
        assert refused["code"] == "forbidden"

        token = (await runtime.db.handle["tokens"].find_one({"role": "agent", "channels": None}))["_id"]
        own = MacroInput.model_validate({"name": "Mine from before", "scope": "me", "actions": FAR})
        mine = await runtime.macros.create(own, token)
        did = await ask(bo, "POST", f"/macros/{mine.id}/run", {"conversation_id": ours.conversation})
        assert [each["why"] for each in did["left"]] == ["not_allowed"] and await calls(own_world) == before + 1
        many = {"ids": [ours.conversation], "macro_id": mine.id}
        act = await ask(bo, "POST", "/conversations/bulk", many)
        assert [each["why"] for each in act["left_out"]] == ["not_allowed"] and await calls(own_world) == before + 1
        for change in ({"scope": "everybody"}, {"name": "Other"}):
            assert (await ask(bo, "PATCH", f"/macros/{mine.id}", change, 403))["code"] == "forbidden"
