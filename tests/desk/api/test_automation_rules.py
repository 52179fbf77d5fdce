"""Rules by the API and at work: in order, each action once, logged, stopped in circles, within the reach of their
maker."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from base.clock import now
from campaigns.automation.rules import Maker, read_rule
from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.incoming import Arrival
from inbox.models import Actor
from orders.models import OrderInput
from tests.desk.api.conftest import Side, World
from tests.desk.api.test_views import ask
from tests.dying import Dying

ANNA = Actor("usr_anna", "Anna")
WRITES: dict[str, Any] = {"type": "event", "event": "message.received"}
LABELLED: dict[str, Any] = {"type": "event", "event": "conversation.labelled"}
VIP = [{"type": "labels", "add": ["vip"]}]


@pytest.fixture(autouse=True)
async def _nothing_before(own_world: World) -> AsyncIterator[None]:
    """No rules, no duties and the conversation as it began."""
    runtime, ours = own_world.runtime, own_world.ours
    await settled(own_world)
    for name in ("automation_rules", "rule_runs"):
        await runtime.db.handle[name].delete_many({})
    await runtime.desk_actions.set_status(ours.conversation, "open", ANNA)
    await runtime.desk_actions.set_labels(ours.conversation, [], ANNA)
    await runtime.db.handle["events"].update_many({}, {"$set": {"state": "done"}})
    yield


async def says(world: World, text: str = "Hello", side: Side | None = None, **more: Any) -> str:
    """The customer writes; the conversation."""
    side, key = side or world.ours, uuid4().hex
    who = "anna" if side is world.ours else "boris"
    event = MessageReceived(
        event_id=key, message_id=key, occurred_at=now(), text=text,
        address=Address(channel_id=side.channel, external_id=f"ext-{who}"), person=Person(name=who.capitalize()),
        **more,
    )  # fmt: skip
    (out,) = (await world.runtime.receiver.receive([Arrival(side.channel, "generic", event, f"dlv_{key}")])).outcomes
    return str(out.conversation_id)


async def settled(world: World) -> None:
    """Until nothing follows any more."""
    runtime = world.runtime
    while await runtime.reactor.react(500) + await runtime.rule_runner.drain(100):
        pass


async def rule(world: World, name: str, actions: list[dict[str, Any]], *, by: str = "usr_x", **more: Any) -> str:
    """A rule that is on."""
    wanted = read_rule({"name": name, "on": WRITES, "actions": actions, **more})
    made = await world.runtime.automation_rules.create(wanted, Maker(by))
    return str(made.id)


async def talk_of(world: World) -> dict[str, Any]:
    row = await world.runtime.conversations.row(world.ours.conversation)
    assert row is not None
    return dict(row)


async def outcomes(world: World, rule_id: str) -> list[tuple[str, list[str]]]:
    """(outcome, why each action was left) of each time it was asked, the first one first."""
    found = (await world.runtime.rule_runs.page(rule_id)).data
    results = [next(each for each in row["results"] if each["rule_id"] == rule_id) for row in reversed(found)]
    return [(each["outcome"], [step["why"] for step in each["steps"]]) for each in results]


async def answers(world: World, text: str) -> int:
    """How often we have said that."""
    wanted = {"conversation_id": world.ours.conversation, "direction": "out", "text": text}
    return await world.runtime.db.handle["messages"].count_documents(wanted)


async def test_rules_are_asked_in_order_and_every_outcome_is_logged(own_world: World) -> None:
    refund = {"field": "event.properties.text", "op": "contains", "value": "refund"}
    vip = {"all": [{"field": "conversation.labels", "op": "any_of", "value": ["refund"]}]}
    async with own_world.client() as client:
        first = await ask(client, "POST", "/automation-rules", {
            "name": "Refunds", "on": WRITES, "when": refund,
            "actions": [{"type": "labels", "add": ["refund"]}, {"type": "reply", "text": "On {{ profile.nothing }}"},
                        {"type": "reply", "text": "Your refund, {{ profile.first_name }}"}],
        }, 201)  # fmt: skip
        second = await ask(client, "POST", "/automation-rules", {
            "name": "Then urgent", "on": WRITES, "when": vip, "stop": True,
            "actions": [{"type": "priority", "priority": "urgent"}],
        }, 201)  # fmt: skip
        third = await ask(client, "POST", "/automation-rules", {
            "name": "Never reached", "on": WRITES, "actions": [{"type": "status", "status": "spam"}],
        }, 201)  # fmt: skip
        assert (first["made_by"], first["ran"], first["when"]) == (first["made_by"], 0, refund)
        await says(own_world, "I want my refund")
        await own_world.runtime.reactor.react(500)
        await settled(own_world)
        talk = await talk_of(own_world)
        assert (talk["labels"], talk["priority"], talk["status"]) == (["refund"], "urgent", "open")
        assert await answers(own_world, "Your refund, Anna") == 1
        assert talk["waiting_since"] is not None, "no machine answers for a colleague"
        assert await outcomes(own_world, first["id"]) == [("fitted", ["", "blanks", ""])]
        assert await outcomes(own_world, second["id"]) == [("fitted", [""])]
        assert await outcomes(own_world, third["id"]) == []
        runs = (await ask(client, "GET", f"/automation-rules/{first['id']}/runs"))["data"]
        assert (runs[0]["event"], runs[0]["outcome"]) == ("message.received", "fitted")
        assert [each["type"] for each in runs[0]["steps"]] == ["labels", "reply", "reply"]
        listed = (await ask(client, "GET", "/automation-rules"))["data"]
        ran = [("Refunds", 1), ("Then urgent", 1), ("Never reached", 0)]
        assert [(each["name"], each["ran"]) for each in listed] == ran

        await ask(client, "PUT", "/automation-rules/order", {"ids": [third["id"], second["id"], first["id"]]})
        await ask(client, "PATCH", f"/automation-rules/{third['id']}", {"active": False})
        await says(own_world, "Thanks")
        await settled(own_world)
        assert (await outcomes(own_world, first["id"]))[1:] == []
        await ask(client, "PATCH", f"/automation-rules/{second['id']}", {"stop": False})
        await says(own_world, "Thanks again")
        await settled(own_world)
        assert (await outcomes(own_world, first["id"]))[1:] == [("did_not_fit", [])]
        await ask(client, "PUT", "/automation-rules/order", {"ids": [first["id"]]}, 422)


@pytest.mark.parametrize(("body", "path"), [
    ({"when": {"field": "conversation.nowhere", "op": "eq", "value": 1}}, "when.field"),
    ({"when": {"field": "journey.x", "op": "eq", "value": 1}}, "when.field"),
    ({"when": {"all": [{"field": "tags", "op": "flies", "value": 1}]}}, "when.all[0].op"),
    ({"on": {"type": "timed", "what": "idle", "after": "PT0S"}}, "on.after"),
    ({"on": {"type": "timed", "what": "sleeping", "after": "PT1M"}}, "on.what"),
    ({"on": {"type": "timed", "what": "idle", "after": "PT1M", "hours_id": "hrs_" + "0" * 26}}, "on.hours_id"),
    ({"actions": []}, "actions"),
    ({"actions": [{"type": "reply", "text": "{{ event.id }}"}]}, "actions[0].text"),
    ({"channel_ids": ["chn_" + "0" * 26]}, "channel_ids"),
])  # fmt: skip
async def test_faults_are_named(own_world: World, body: dict[str, Any], path: str) -> None:
    async with own_world.client() as client:
        wanted = {"name": "F", "on": WRITES, "actions": VIP, **body}
        refused = await ask(client, "POST", "/automation-rules", wanted, 422)
        assert path in [each["path"] for each in refused["errors"]], refused


async def test_two_rules_that_undo_each_other_stop(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    has = {"field": "conversation.labels", "op": "any_of", "value": ["vip"]}
    on = await rule(own_world, "On", VIP, on=LABELLED, when={"not": has})
    off = await rule(own_world, "Off", [{"type": "labels", "remove": ["vip"]}], on=LABELLED, when=has)
    await own_world.runtime.desk_actions.set_labels(own_world.ours.conversation, ["other"], ANNA)
    await settled(own_world)
    assert [each for each, _ in await outcomes(own_world, on)] == ["fitted", "own_effect", "loop"]
    assert [each for each, _ in await outcomes(own_world, off)] == ["fitted", "did_not_fit", "did_not_fit"]

    monkeypatch.setattr("campaigns.automation.running.LOOPS_MAX", 2)
    await own_world.runtime.users.add_user("ada@example.org", "Ada", "admin")
    await own_world.runtime.desk_actions.set_labels(own_world.ours.conversation, ["third"], ANNA)
    await settled(own_world)
    async with own_world.client() as client:
        stopped = await ask(client, "GET", f"/automation-rules/{on}")
        assert (stopped["active"], stopped["paused_why"]) == (False, "loops")
        tasks = (await ask(client, "GET", "/tasks", params={"status": "open"}))["data"]
        assert any("ran in circles" in each["text"] for each in tasks)
        on_again = await ask(client, "PATCH", f"/automation-rules/{on}", {"active": True})
        assert (on_again["active"], on_again["paused_why"]) == (True, "")


async def test_a_rule_that_waits_for_runs_hears_of_others_and_not_of_itself(own_world: World) -> None:
    hearing = await rule(own_world, "Hearing", VIP, on={"type": "event", "event": "automation.ran"})
    other = await rule(own_world, "Heard", VIP, on={"type": "event", "event": "message.received"})
    await says(own_world, "Hello")
    await settled(own_world)
    assert [each for each, _ in await outcomes(own_world, other)] == ["fitted"]
    assert sorted(each for each, _ in await outcomes(own_world, hearing)) == ["fitted", "own_effect"]


async def test_circles_by_way_of_the_person_are_seen_too(own_world: World) -> None:
    tagged = {"type": "event", "event": "profile.tag_added"}
    gone = {"type": "event", "event": "profile.tag_removed"}
    first = await rule(own_world, "Off", [{"type": "tags", "remove": ["loop"]}], on=tagged)
    other = await rule(own_world, "On", [{"type": "tags", "add": ["loop"]}], on=gone)
    async with own_world.client() as client:
        await ask(client, "PATCH", f"/profiles/{own_world.ours.profile}", {"add_tags": ["loop"]})
    await settled(own_world)
    assert [each for each, _ in await outcomes(own_world, first)] == ["fitted", "loop"]
    assert [each for each, _ in await outcomes(own_world, other)] == ["fitted"]


async def test_a_rule_killed_between_actions_does_each_once(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    monkeypatch.setattr("campaigns.automation.judging.ANSWERS_MAX", 1000)
    made = await rule(own_world, "Once", [
        {"type": "labels", "add": ["once"]}, {"type": "reply", "text": "Just once"},
        {"type": "task", "text": "Do it once"}, {"type": "webhook", "url": "https://hooks.example.org/once"},
    ])  # fmt: skip

    async def count() -> list[int]:
        return [
            await rows["messages"].count_documents({"text": "Just once"}),
            await rows["messages"].count_documents({"system.code": "labelled", "author.id": made}),
            await rows["tasks"].count_documents({"text": "Do it once"}),
            await rows["webhook_calls"].count_documents({"url": "https://hooks.example.org/once"}),
            (await rows["automation_rules"].find_one({"_id": made}))["ran"],
            await rows["events"].count_documents({"name": "automation.ran", "properties.automation_id": made}),
        ]  # fmt: skip

    dying, at, died = Dying(monkeypatch), 1, True
    while died:
        await runtime.desk_actions.set_labels(own_world.ours.conversation, [], ANNA)
        before = await count()
        await says(own_world, "Again")
        await runtime.reactor.react(500)
        died = await dying.on(at, True, lambda: runtime.rule_runner.drain(100))
        for _ in range(2):
            past = now() - timedelta(seconds=1)
            await rows["rule_runs"].update_many({"state": "due"}, {"$set": {"due_at": past}})
            await runtime.rule_runner.drain(100)
        more = [last - first for first, last in zip(before, await count(), strict=True)]
        assert more == [1, 1, 1, 1, 1, 1], at
        at += 1
    assert at > 10


async def test_a_poison_rule_harms_only_itself(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = await rule(own_world, "Poison", [{"type": "note", "text": "boom"}])
    strange = await rule(own_world, "From the future", VIP)
    rows = own_world.runtime.db.handle["automation_rules"]
    await rows.update_one({"_id": strange}, {"$set": {"actions": [{"type": "fly"}]}})
    good = await rule(own_world, "Good", VIP)
    real = own_world.runtime.carrying.carry_out

    async def carry_out(action: Any, *args: Any, **more: Any) -> Any:
        if action.type == "note":
            raise ZeroDivisionError
        return await real(action, *args, **more)

    monkeypatch.setattr(own_world.runtime.carrying, "carry_out", carry_out)
    await says(own_world)
    await settled(own_world)
    assert [each for each, _ in await outcomes(own_world, poison)] == ["failed"]
    assert [each for each, _ in await outcomes(own_world, strange)] == ["failed"]
    assert await outcomes(own_world, good) == [("fitted", [""])]
    async with own_world.client() as client:
        assert {each["name"] for each in (await ask(client, "GET", "/automation-rules"))["data"]} == {"Poison", "Good"}


async def test_a_rule_that_takes_workers_along_is_set_aside(own_world: World) -> None:
    made = await rule(own_world, "Heavy", VIP)
    await says(own_world)
    await own_world.runtime.reactor.react(500)
    rows = own_world.runtime.db.handle["rule_runs"]
    standing = await own_world.runtime.automation_rules.row(made)
    begun = {"rule_id": made, "rev": standing["rev"], "name": "Heavy", "outcome": "acting", "steps": [], "tries": 3,
             "verdicts": [], "at": now()}  # fmt: skip
    await rows.update_many({}, {"$set": {"results": [begun]}})
    await own_world.runtime.rule_runner.drain(10)
    assert await outcomes(own_world, made) == [("crashed", [])]


async def test_a_rule_reaches_what_its_maker_sees_by_now(own_world: World) -> None:
    runtime = own_world.runtime
    user = await runtime.users.add_user("mia@example.org", "Mia", "admin")
    actions = [*VIP, {"type": "reply", "text": "Beyond"}, {"type": "note", "text": "n"}, {"type": "task", "text": "t"},
               {"type": "tags", "add": ["x"]}, {"type": "webhook", "url": "https://x.example/in"},
               {"type": "status", "status": "spam"}, {"type": "notify", "to": "role:admin", "text": "n"}]  # fmt: skip
    made = await rule(own_world, "Hers", actions, by=user.id)
    await runtime.users.change_user(user.id, {"channels": [own_world.foreign.channel]})
    runtime.carrying._assigning.forget()
    await says(own_world)
    await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", ["out_of_reach"] * len(actions))]
    talk = await talk_of(own_world)
    assert (talk["labels"], talk["status"]) == ([], "open") and not await answers(own_world, "Beyond")


async def test_an_order_paid_between_two_actions_stops_the_answer(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, side = own_world.runtime, own_world.ours
    identity = f"{side.channel}:ext-anna"

    async def order(status: str) -> None:
        wanted = OrderInput(external_id="unpaid-1", identity=identity, status=status,
                            total={"amount_minor": 900, "currency": "EUR"})  # fmt: skip
        await runtime.orders.record(wanted, "api")

    await order("pending")
    when = {"all": [{"field": "order.awaits_payment", "op": "eq", "value": True},
                    {"field": "conversation.status", "op": "eq", "value": "open"}]}  # fmt: skip
    actions = [{"type": "status", "status": "pending"}, {"type": "reply", "text": "Please pay"}]
    made = await rule(own_world, "Remind", actions, when=when)
    await says(own_world)
    await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", ["", ""])], "what a rule changes itself does not stop it"
    assert await answers(own_world, "Please pay") == 1

    real = runtime.carrying.carry_out

    async def carry_out(action: Any, *args: Any, **more: Any) -> Any:
        done = await real(action, *args, **more)
        if action.type == "status":
            await order("paid")
        return done

    monkeypatch.setattr(runtime.carrying, "carry_out", carry_out)
    await runtime.desk_actions.set_status(side.conversation, "open", ANNA)
    await says(own_world)
    await settled(own_world)
    assert (await outcomes(own_world, made))[1:] == [("fitted", ["", "order_changed"])]
    await says(own_world)
    await settled(own_world)
    assert (await outcomes(own_world, made))[2:] == [("did_not_fit", [])]
    assert await answers(own_world, "Please pay") == 1


async def test_two_autoresponders_do_not_talk(own_world: World) -> None:
    """The other side answers each of our answers at once, and does not say that it is a program."""
    made = await rule(own_world, "Thanks", [{"type": "reply", "text": "Thank you for writing"}])
    await says(own_world, "Out of office until Monday")
    said = 0
    for _ in range(12):
        await settled(own_world)
        if await answers(own_world, "Thank you for writing") == said:
            break
        said = await answers(own_world, "Thank you for writing")
        await says(own_world, "Out of office until Monday")
    assert said == 3
    assert (await outcomes(own_world, made))[-1] == ("fitted", ["too_often"])
    await says(own_world, "I am a program", mail=MailParts(automatic=True))
    await settled(own_world)
    assert (await outcomes(own_world, made))[-1] == ("fitted", ["automatic"])


async def test_trying_a_rule_does_nothing(own_world: World) -> None:
    when = {"field": "conversation.status", "op": "eq", "value": "open"}
    actions = [*VIP, {"type": "assign", "to": "owner"}, {"type": "reply", "text": "{{ profile.nothing }}"}]
    made = await rule(own_world, "Try", actions, when=when)
    await says(own_world)
    before = await own_world.digest()
    async with own_world.client("viewer") as viewer, own_world.client("scoped:agent") as scoped:
        body = {"conversation_id": own_world.ours.conversation}
        await ask(viewer, "POST", f"/automation-rules/{made}/try", body, 403)
        tried = await ask(scoped, "POST", f"/automation-rules/{made}/try", body)
        assert (tried["fits"], tried["does"]) == (True, ["labels"])
        assert tried["values"] == {"conversation.status": "open"}
        left = [(each["type"], each["why"]) for each in tried["left"]]
        assert left == [("assign", "nobody_there"), ("reply", "blanks")]
        foreign = {"conversation_id": own_world.foreign.conversation}
        await ask(scoped, "POST", f"/automation-rules/{made}/try", foreign, 404)
    assert await own_world.digest() == before


async def test_what_is_told_twice_or_too_late_moves_nothing_twice(own_world: World) -> None:
    runtime, rows = own_world.runtime, own_world.runtime.db.handle["events"]
    made = await rule(own_world, "Label", VIP)
    await says(own_world)
    (told,) = await rows.find({"name": "message.received", "state": "pending"}).to_list(None)
    await settled(own_world)
    await rows.update_one({"_id": told["_id"]}, {"$set": {"state": "pending"}})
    await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", [""])]
    await runtime.db.handle["rule_runs"].delete_many({})
    old = {"state": "pending", "occurred_at": now() - timedelta(days=2)}
    await rows.update_one({"_id": told["_id"]}, {"$set": old})
    await settled(own_world)
    assert await outcomes(own_world, made) == []
