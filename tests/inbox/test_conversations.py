"""What people do with conversations, and the list they see."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound, WrongInput
from channels.vocabulary import Person
from inbox.acts import Change
from inbox.bulk import Order
from inbox.models import Actor
from inbox.view_filter import ConversationFilter, LabelFilter, ViewFilter
from tests.inbox.conftest import AGENT, House

BO = Actor("usr_bo", "Bo")


async def _codes(house: House, conversation_id: str) -> list[str]:
    rows = await house.inbox.messages.raw({"conversation_id": conversation_id, "direction": "system"})
    return [row["system"]["code"] for row in sorted(rows, key=lambda row: row["seq"])]


async def test_assigning_leaves_a_line_an_event_and_a_notice(house: House) -> None:
    conversation = await house.conversation(await house.channel(), "anna")
    act = house.inbox.actions.assign
    after = await act(conversation.id, "usr_bo", AGENT, assignee_name="Bo", expected=None)
    assert after.assignee_id == "usr_bo" and after.seq == 2 and after.message_count == 1
    with pytest.raises(Conflict):
        await act(conversation.id, "usr_anna", AGENT, expected=None)
    await act(conversation.id, "usr_bo", AGENT)
    await act(conversation.id, None, BO)
    assert await _codes(house, conversation.id) == ["assigned", "unassigned"]
    assert (await house.event_names())["conversation.assigned"] == 2
    last = (await house.feed.after(0))[-2:]
    assert [row["type"] for row in last] == ["conversation.updated", "message.created"]
    with pytest.raises(NotFound):
        await act("cnv_none", None, BO)


async def test_only_one_of_many_takers_gets_it(house: House) -> None:
    conversation = await house.conversation(await house.channel(), "anna")
    takers = [
        house.inbox.actions.assign(conversation.id, f"usr_{n}", Actor(f"usr_{n}"), expected=None) for n in range(8)
    ]
    results = await asyncio.gather(*takers, return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert (await house.event_names())["conversation.assigned"] == 1


async def test_status_labels_priority_and_reading(house: House) -> None:
    conversation = await house.conversation(await house.channel(), "anna")
    acts, key = house.inbox.actions, conversation.id
    read = await acts.mark_read(key, AGENT)
    assert read.unread == 0 and read.seq == conversation.seq
    assert (await acts.mark_unread(key, AGENT)).unread == 1
    assert (await acts.set_labels(key, [" vip ", "vip", "billing"], AGENT)).labels == ("vip", "billing")
    assert (await acts.change_labels(key, AGENT, add=["new"], remove=["vip"])).labels == ("billing", "new")
    assert (await acts.set_priority(key, "urgent", AGENT)).priority == "urgent"
    assert (await acts.assign_team(key, "tea_1", AGENT)).team_id == "tea_1"
    resolved = await acts.set_status(key, "resolved", AGENT)
    assert resolved.status == "resolved" and resolved.waiting_since is None and resolved.resolved_at is not None
    assert (await acts.set_status(key, "open", AGENT)).resolved_at is None
    assert await _codes(house, key) == [
        "labelled", "labelled", "prioritised", "team_assigned", "status_changed", "status_changed",
    ]  # fmt: skip
    for wrong in (
        acts.set_labels(key, ["x" * 100], AGENT), acts.set_priority(key, "huge", AGENT),  # type: ignore[arg-type]
        acts.set_status(key, "snoozed", AGENT, snoozed_until=house.clock()),
    ):  # fmt: skip
        with pytest.raises(WrongInput):
            await wrong


async def test_snoozed_conversations_wake_up_once(house: House, second_house: House) -> None:
    channel_id = await house.channel()
    ids = [(await house.conversation(channel_id, f"p{n}")).id for n in range(4)]
    until = house.clock() + timedelta(hours=1)
    for each in ids[:3]:
        await house.inbox.actions.set_status(each, "snoozed", AGENT, snoozed_until=until)
    assert await house.inbox.actions.wake_due() == 0
    house.clock.ahead = timedelta(hours=2)
    await asyncio.gather(house.inbox.actions.wake_due(), second_house.inbox.actions.wake_due())
    for each in ids[:3]:
        fresh = await house.inbox.conversations.get(each)
        assert fresh is not None and fresh.status == "open" and fresh.snoozed_until is None
        assert await _codes(house, each) == ["status_changed", "woken"]
    assert await house.inbox.actions.wake_due() == 0


async def test_two_open_conversations_of_one_person_cannot_be(house: House) -> None:
    channel_id = await house.channel()
    old = await house.conversation(channel_id, "anna")
    await house.inbox.actions.set_status(old.id, "resolved", AGENT)
    house.clock.ahead = timedelta(days=30)
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "new")])
    with pytest.raises(Conflict) as caught:
        await house.inbox.actions.set_status(old.id, "open", AGENT)
    assert caught.value.code == "other_open"


async def test_the_list_and_its_cursors(house: House) -> None:
    one, two = await house.channel(), await house.channel()
    arrivals = [
        house.arrival(
            one if n % 3 else two, f"p{n}", f"m{n}", at=house.clock() - timedelta(minutes=100 - n), person=person
        )
        for n in range(23)
        for person in [Person(name="张小明" if n == 7 else f"Zoë Müller {n}")]
    ]
    await house.inbox.receiver.receive(arrivals)
    store = house.inbox.conversations
    everything = await _walk(house, ConversationFilter(), "last_activity")
    assert len(everything) == len(set(everything)) == 23
    for sort in ("waiting", "created", "priority"):
        assert sorted(await _walk(house, ConversationFilter(), sort)) == sorted(everything)
    assert await _walk(house, ConversationFilter(), "waiting") == everything[::-1]
    actions = house.inbox.actions
    await actions.set_priority(everything[5], "high", AGENT)
    assert (await _walk(house, ConversationFilter(), "priority"))[0] == everything[5]
    anna = "usr_" + "a" * 26
    await actions.assign(everything[0], anna, AGENT)
    await actions.set_labels(everything[1], ["vip"], AGENT)
    await actions.set_status(everything[2], "resolved", AGENT)

    async def found(channels: list[str] | None = None, me: str | None = None, **wanted: Any) -> int:
        return len((await store.page(ConversationFilter(ViewFilter(**wanted), me, channels), limit=100)).data)

    assert await found(status=("open",)) == 22 and await found(status=("open", "resolved")) == 23
    assert await found(assignee=(anna,)) == 1 and await found(assignee=("none",)) == 22
    assert await found(assignee=("me",), me=anna) == 1 and await found(assignee=("me",)) == 0
    assert await found(labels=LabelFilter(any=("vip",))) == 1 and await found(priority=("high", "urgent")) == 1
    assert await found(channel=(two,)) == 8 and await found(channel=(two,), channels=[one]) == 0
    assert await found(channels=[two]) == 8 and await found(channels=[]) == 0
    assert await store.labels_in_use(None) == ["vip"]
    labelled = await store.row(everything[1])
    assert labelled is not None and await store.labels_in_use([labelled["channel_id"]]) == ["vip"]
    assert not await store.labels_in_use([two if labelled["channel_id"] == one else one])
    assert await found(q="zoe mull") == 22 and await found(q="小明") == 1 and await found(q="p13") == 1
    assert await found(q="🙂") == 0
    assert await store.any(ConversationFilter(ViewFilter(status=("open",))))
    assert not await store.any(ConversationFilter(ViewFilter(status=("spam",))))
    with pytest.raises(WrongInput):
        await store.page(ConversationFilter(), cursor="bm9wZQ")


async def _walk(house: House, wanted: ConversationFilter, sort: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = await house.inbox.conversations.page(wanted, sort=sort, limit=5, cursor=cursor)
        found += [each.id for each in page.data]
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


async def test_a_thread_is_read_backwards_by_provider_time(house: House) -> None:
    channel_id = await house.channel()
    start = house.clock() - timedelta(hours=1)
    arrivals = [
        house.arrival(channel_id, "anna", f"m{n}", f"{n}", at=start + timedelta(seconds=n // 3)) for n in range(17)
    ]
    result = await house.inbox.receiver.receive(arrivals)
    key, texts, cursor = result.outcomes[0].conversation_id or "", [], None
    while True:
        page = await house.inbox.messages.page(key, limit=4, cursor=cursor)
        texts += [line.text for line in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert texts == [str(n) for n in reversed(range(17))]
    everything = await house.inbox.messages.all(channel_id=channel_id, direction="in", limit=200)
    assert len(everything.data) == 17
    one = await house.inbox.messages.all(channel_id=channel_id, provider_message_id="m3")
    assert [line.text for line in one.data] == ["3"]


async def test_an_undone_move_names_the_team(house: House) -> None:
    talk = await house.conversation(await house.channel(), "tess")
    fields = {"name": "Pots", "members": [], "channel_ids": []}
    pots = (await house.inbox.teams.add("tea_" + "1" * 26, fields))["_id"]
    tea = (await house.inbox.teams.add("tea_" + "2" * 26, {**fields, "name": "Tea"}))["_id"]
    await house.inbox.actions.assign_team(talk.id, pots, AGENT)
    done = await house.inbox.bulk.begin(Order(Change(team_id=tea), AGENT, [talk.id]))
    await house.inbox.bulk.undo(done["_id"], AGENT)
    line = (await house.inbox.messages.page(talk.id)).data[0]
    assert line.system is not None and line.system["code"] == "team_assigned"
    assert (line.system["params"]["to_name"], line.system["params"]["taken_back"]) == ("Pots", True)
