"""One change of many conversations, and the way back: nothing twice, nothing left out, nothing of others undone."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import WrongInput
from inbox.acts import Change, ListChange
from inbox.bulk import AT_ONCE, Assignee, Order
from inbox.models import Actor, Conversation, ReplyInput
from inbox.view_filter import LabelFilter, PersonFilter, ViewFilter
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

BO = Actor("usr_bo", "Bo")
EVERYTHING = Change(
    status="pending", labels=ListChange(add=("vip",), remove=("old",)), priority="high",
    participants=ListChange(add=("usr_bo",)),
)  # fmt: skip


async def _talks(house: House, count: int) -> list[str]:
    channel_id = await house.channel()
    return [(await house.conversation(channel_id, f"p{n:03}")).id for n in range(count)]


async def _now(house: House, conversation_id: str) -> Conversation:
    found = await house.inbox.conversations.get(conversation_id)
    assert found is not None
    return found


def _kept(talk: Conversation) -> tuple[Any, ...]:
    """What an act may change and an undo must bring back."""
    return (
        talk.status, talk.snoozed_until, talk.resolved_at, talk.waiting_since, talk.unread, talk.assignee_id,
        talk.labels, talk.participants, talk.priority, talk.team_id,
    )  # fmt: skip


async def test_all_parts_change_in_one_transaction_and_each_leaves_its_line(house: House) -> None:
    (key,) = await _talks(house, 1)
    await house.inbox.actions.set_labels(key, ["old", "kept"], AGENT)
    before = await _now(house, key)
    act = await house.inbox.bulk.begin(Order(EVERYTHING, AGENT, [key]))
    talk = await _now(house, key)
    assert (act["state"], act["done"], act["changed"], act["left"]) == ("done", 1, 1, 0)
    assert (talk.status, talk.labels, talk.priority) == ("pending", ("kept", "vip"), "high")
    assert talk.participants == ("usr_bo",) and talk.rev == before.rev + 1 and talk.seq == before.seq + 4
    names = await house.event_names()
    for name in ("status_changed", "prioritised", "participants_changed"):
        assert names[f"conversation.{name}"] == 1
    again = await house.inbox.bulk.begin(Order(EVERYTHING, AGENT, [key]))
    assert (again["changed"], (await _now(house, key)).seq) == (0, talk.seq)
    undone = await house.inbox.bulk.undo(act["_id"], AGENT)
    assert (undone["state"], undone["undone"], undone["left"]) == ("undone", 1, 0)
    assert _kept(await _now(house, key)) == (*_kept(before)[:6], ("kept", "old"), *_kept(before)[7:])
    assert (await house.inbox.bulk.undo(act["_id"], BO))["undone"] == 1


@pytest.mark.parametrize("change", [
    Change(status="resolved"), Change(status="spam"), Change(status="snoozed"), Change(status="pending"),
    Change(assignee_id="usr_" + "0" * 26), Change(priority="urgent"), Change(team_id="tea_" + "0" * 26),
])  # fmt: skip
async def test_undo_of_each_change_brings_back_the_clocks(house: House, change: Change) -> None:
    (key,) = await _talks(house, 1)
    before = await _now(house, key)
    assert before.waiting_since is not None and before.unread == 1
    act = await house.inbox.bulk.begin(Order(change, AGENT, [key]))
    assert _kept(await _now(house, key)) != _kept(before)
    await house.inbox.bulk.undo(act["_id"], AGENT)
    assert _kept(await _now(house, key)) == _kept(before)


async def test_a_snooze_without_a_time_ends_with_an_answer(house: House) -> None:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    await house.inbox.bulk.begin(Order(Change(status="snoozed"), AGENT, [talk.id]))
    house.clock.ahead = timedelta(days=400)
    assert await house.inbox.actions.wake_due() == 0
    assert (await _now(house, talk.id)).status == "snoozed"
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m2")])
    assert (await _now(house, talk.id)).status == "open"


async def test_what_came_into_spam_waits_when_that_is_undone(house: House) -> None:
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Yes?"), "k")
    await house.inbox.actions.mark_read(talk.id, AGENT)
    act = await house.inbox.bulk.begin(Order(Change(status="spam"), AGENT, [talk.id]))
    arrival = house.arrival(channel_id, "anna", "m2", at=house.clock() + timedelta(seconds=2))
    await house.inbox.receiver.receive([arrival])
    assert (await _now(house, talk.id)).waiting_since is None
    await house.inbox.bulk.undo(act["_id"], AGENT)
    after = await _now(house, talk.id)
    assert after.status == "open" and after.unread == 1 and after.waiting_since is not None


async def test_undo_of_a_bulk_leaves_what_others_changed(house: House) -> None:
    keys = await _talks(house, 4)
    act = await house.inbox.bulk.begin(Order(EVERYTHING, AGENT, keys))
    actions = house.inbox.actions
    await actions.set_status(keys[0], "resolved", BO)
    await actions.change_labels(keys[1], BO, add=["mine"], remove=["vip"])
    await actions.set_priority(keys[2], "low", BO)
    undone = await house.inbox.bulk.undo(act["_id"], AGENT)
    after = [await _now(house, key) for key in keys]
    assert [each.status for each in after] == ["resolved", "open", "open", "open"]
    assert [each.labels for each in after] == [(), ("mine",), (), ()]
    assert [each.priority for each in after] == ["none", "none", "low", "none"]
    assert all(each.participants == () for each in after)
    assert (undone["undone"], undone["left"]) == (4, 3)


async def test_what_cannot_be_changed_is_left_out_and_named(house: House) -> None:
    channel_id, other = await house.channel(), await house.channel("keyed")
    first = await house.conversation(channel_id, "anna")
    await house.inbox.actions.set_status(first.id, "resolved", AGENT)
    house.clock.ahead = timedelta(days=30)
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "later")])
    second = await house.conversation(other, "bo", "keyed")
    hidden = await house.conversation(channel_id, "carl")
    named = [first.id, second.id, hidden.id, "cnv_" + "0" * 26]
    order = Order(Change(status="open"), AGENT, named, channels=[channel_id])
    act = await house.inbox.bulk.begin(order)
    whys = {each["id"]: each["why"] for each in act["left_out"]}
    assert whys == {first.id: "other_open", second.id: "not_found", "cnv_" + "0" * 26: "not_found"}
    give = Change(assignee_id="usr_" + "0" * 26)
    assignee = Assignee(str(give.assignee_id), "Bo", [other])
    given = await house.inbox.bulk.begin(Order(give, AGENT, [hidden.id, second.id], assignee=assignee))
    assert [each["why"] for each in given["left_out"]] == ["not_their_channel"]
    assert (await _now(house, second.id)).assignee_id == give.assignee_id
    for wrong in (Change(), Change(status="open", snoozed_until=house.clock())):
        with pytest.raises(WrongInput):
            await house.inbox.bulk.begin(Order(wrong, AGENT, [hidden.id]))


async def test_an_act_and_its_undo_that_die_anywhere_are_carried_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every write, before and after: each conversation is changed once, has one line, and comes back."""
    keys = await _talks(house, 3)
    dying, bulk = Dying(monkeypatch), house.inbox.bulk
    acts = house.database.collection("conversation_acts")
    before = {key: _kept(await _now(house, key)) for key in keys}

    async def carried_on() -> None:
        for _ in range(3):
            await acts.update_many({"state": {"$in": ["running", "undoing"]}}, {"$set": {"due_at": house.clock()}})
            await bulk.drain(5)

    deaths = 0
    for at in range(1, 60):
        for after in (False, True):
            lines = await house.inbox.messages.count({"direction": "system"})
            died = await dying.on(at, after, lambda: bulk.begin(Order(Change(priority="high"), AGENT, keys)))
            await carried_on()
            row = await acts.find_one({}, sort=[("_id", -1)])
            changed = [(await _now(house, key)).priority for key in keys]
            if changed == ["none"] * 3:  # died before the act was written down
                continue
            assert row is not None and changed == ["high"] * 3 and (row["state"], row["changed"]) == ("done", 3)
            assert await house.inbox.messages.count({"direction": "system"}) == lines + 3
            died_too = await dying.on(at, after, lambda row=row: bulk.undo(row["_id"], AGENT))
            await carried_on()
            undone = await bulk.undo(row["_id"], AGENT)
            assert (undone["state"], undone["undone"], undone["left"]) == ("undone", 3, 0)
            assert {key: _kept(await _now(house, key)) for key in keys} == before
            assert await house.inbox.messages.count({"direction": "system"}) == lines + 6
            deaths += died + died_too
        if not died:
            assert deaths > 20
            return
    raise AssertionError("an act writes more often than that")


async def test_many_are_changed_in_the_background_by_two_houses_and_an_undo_meanwhile_stops_it(
    house: House, second_house: House
) -> None:
    keys = await _talks(house, AT_ONCE + 30)
    act = await house.inbox.bulk.begin(Order(Change(priority="high"), AGENT, keys))
    assert (act["state"], act["done"]) == ("running", 0)

    async def undone() -> None:
        while (await house.inbox.bulk.get(act["_id"]))["done"] < 20:
            await asyncio.sleep(0.01)
        await house.inbox.bulk.undo(act["_id"], BO)

    await asyncio.gather(house.inbox.bulk.drain(), second_house.inbox.bulk.drain(), undone())
    await house.database.collection("conversation_acts").update_many({}, {"$set": {"due_at": house.clock()}})
    await house.inbox.bulk.drain()
    row = await house.inbox.bulk.get(act["_id"])
    assert row["state"] == "undone" and row["undone"] == row["changed"] >= 20 and row["left"] == 0
    assert {(await _now(house, key)).priority for key in keys} == {"none"}


async def test_a_filter_finds_those_not_loaded_and_none_that_came_later(house: House) -> None:
    """Chatwoot 13535: what a page had not loaded was not changed."""
    keys = await _talks(house, 130)
    await house.inbox.actions.set_labels(keys[0], ["vip"], AGENT)
    await house.inbox.actions.set_status(keys[1], "resolved", AGENT)
    begin, bulk = house.inbox.bulk.begin, house.inbox.bulk
    everything = ViewFilter(status=("open",), labels=LabelFilter(none=("vip",)))
    act = await begin(Order(Change(status="pending"), AGENT, found_by=everything))
    assert (act["state"], act["total"], act["changed"], act["found_by"]) == ("done", 128, 128, None)
    statuses = [(await _now(house, key)).status for key in keys]
    assert statuses[:2] == ["open", "resolved"] and set(statuses[2:]) == {"pending"}
    late = await house.conversation(await house.channel("keyed"), "late", "keyed")
    again = await begin(Order(Change(status="open"), AGENT, found_by=ViewFilter(status=("pending",))))
    assert again["changed"] == 128 and (await _now(house, late.id)).rev == late.rev
    await bulk.undo(again["_id"], AGENT)
    assert {(await _now(house, key)).status for key in keys[2:]} == {"pending"}
    limited = Order(Change(priority="low"), AGENT, found_by=ViewFilter(), channels=[late.channel_id])
    assert (await begin(limited))["changed"] == 1
    for wrong in (Order(Change(priority="low"), AGENT), Order(Change(priority="low"), AGENT, keys, ViewFilter())):
        with pytest.raises(WrongInput):
            await begin(wrong)


async def test_a_filter_on_people_reaches_theirs_alone(house: House) -> None:
    keys = await _talks(house, 3)
    talk = await _now(house, keys[1])
    await house.database.collection("profiles").update_one({"_id": talk.profile_id}, {"$set": {"tags": ["vip"]}})
    order = Order(Change(priority="high"), AGENT, found_by=ViewFilter(person=PersonFilter(tag=("vip",))))
    act = await house.inbox.bulk.begin(order)
    assert act["changed"] == 1 and (await _now(house, keys[1])).priority == "high"


async def test_who_sees_a_channel_no_more_takes_nothing_back_there(house: House) -> None:
    kept, lost = [await house.conversation(await house.channel(), who) for who in ("anna", "boris")]
    act = await house.inbox.bulk.begin(Order(Change(priority="high"), AGENT, [kept.id, lost.id]))
    undone = await house.inbox.bulk.undo(act["_id"], AGENT, [kept.channel_id])
    assert (undone["state"], undone["undone"]) == ("undone", 1)
    assert undone["left_out"] == [{"id": lost.id, "why": "not_found"}]
    assert [(await _now(house, each.id)).priority for each in (kept, lost)] == ["none", "high"]
