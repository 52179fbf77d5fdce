"""Promises on real servers: the clocks stand in the same write as the fact, and each breach is told once."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound, WrongInput
from channels.failures import Failure, SendFailed
from inbox.hours.models import HoursInput
from inbox.models import Actor, ReplyInput
from inbox.sla.clock import reckoned
from inbox.sla.models import PolicyInput
from inbox.store import WatchStore
from inbox.view_filter import ConversationFilter
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PROMISE = {
    "name": "Shop", "lengths": {"first_response_min": 60, "next_response_min": 120, "resolution_min": 2880},
    "by_priority": {"urgent": {"first_response_min": 20}},
}  # fmt: skip


async def promise(*houses: House, **fields: Any) -> str:
    """A promise that has held for long."""
    made = await houses[0].inbox.sla_policies.create(PolicyInput.model_validate({**PROMISE, **fields}))
    await houses[0].database.collection("sla_policies").update_many({}, {"$set": {"holds_since": LONG_AGO}})
    for house in houses:
        await house.inbox.sla_clocks.fresh_terms()
    return made.id


async def sla_of(house: House, conversation_id: str) -> dict[str, Any]:
    row = await house.inbox.conversations.row(conversation_id)
    assert row is not None
    found: dict[str, Any] = row.get("sla") or {}
    watched = (await WatchStore(house.database).watched()).get(conversation_id)
    assert watched == found.get("look_at"), "the watch knows another time"
    assert reckoned(row, row, await house.inbox.sla_clocks.terms(), house.clock()) == (found or None)
    return found


async def due(house: House, conversation_id: str) -> dict[str, Any]:
    return {each["target"]: each.get("due_at") for each in (await sla_of(house, conversation_id))["clocks"]}


async def time_comes(house: House) -> None:
    """By the server's clock: rows whose time has come, and leases of those that died."""
    rows = house.database.collection("sla_watch")
    come = {"$or": [{"due_at": {"$lte": house.clock()}}, {"lease": {"$exists": True}}]}
    await rows.update_many(come, {"$set": {"due_at": LONG_AGO}})


async def told(house: House) -> Counter[tuple[str, str]]:
    found = house.database.collection("events").find({"name": {"$regex": "^sla"}})
    return Counter([(row["name"], row["properties"]["target"]) async for row in found])


async def answer(house: House, conversation_id: str, key: str, **fields: Any) -> Any:
    undo_s = fields.pop("undo_s", 0)
    reply = ReplyInput(text=key, **fields)
    return await house.inbox.outbox.reply(conversation_id, AGENT, reply, key, undo_s=undo_s)


async def test_a_customer_waits_and_is_answered(house: House) -> None:
    policy_id, channel_id = await promise(house), await house.channel()
    talk = await house.conversation(channel_id, "anna")
    since = talk.waiting_since
    first = await due(house, talk.id)
    assert first == {
        "first_response": since + timedelta(hours=1), "resolution": talk.created_at + timedelta(days=2),
    }  # fmt: skip
    assert (await sla_of(house, talk.id))["policy_id"] == policy_id
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m2")])
    assert await due(house, talk.id) == first  # a second line is no second wait
    await answer(house, talk.id, "k1")
    assert list(await due(house, talk.id)) == ["resolution"]
    result = await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m3")])
    fresh = await house.inbox.conversations.get(result.outcomes[0].conversation_id or "")
    assert fresh is not None and fresh.waiting_since is not None and fresh.sla is not None
    assert (await due(house, talk.id))["next_response"] == fresh.waiting_since + timedelta(hours=2)
    assert fresh.sla.due_at == fresh.waiting_since + timedelta(hours=2)
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    assert await due(house, talk.id) == {}
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m4")])
    again = await house.inbox.conversations.get(talk.id)
    assert again is not None and again.status == "open"
    opened = (await due(house, talk.id))["resolution"] - timedelta(days=2)
    assert opened > talk.created_at and (await due(house, talk.id))["next_response"]


async def test_what_is_no_answer_stops_no_clock(house: House) -> None:
    await promise(house)
    talk = await house.conversation(await house.channel(), "anna")
    before = await sla_of(house, talk.id)
    await house.inbox.actions.note(talk.id, AGENT, "Ask Bo", "n1")
    assert await sla_of(house, talk.id) == before
    machine = Actor(None, "Away", "system")
    await house.inbox.outbox.reply(talk.id, machine, ReplyInput(text="We are away"), "a1")
    assert await sla_of(house, talk.id) == before
    await answer(house, talk.id, "k1", send_at=house.clock() + timedelta(minutes=30))
    assert await sla_of(house, talk.id) == before
    house.clock.ahead = timedelta(minutes=31)
    await house.all_due()
    await house.deliver_all()  # what was planned goes out
    assert list(await due(house, talk.id)) == ["resolution"]


async def test_an_answer_that_is_taken_back_or_fails_gives_the_clock_back(house: House) -> None:
    await promise(house)
    talk = await house.conversation(await house.channel(), "anna")
    before = await due(house, talk.id)
    line = await answer(house, talk.id, "k1", undo_s=60)
    assert await due(house, talk.id) != before
    await house.inbox.afterthoughts.undo(line.id, AGENT)
    assert await due(house, talk.id) == before
    house.adapter().script = lambda _: SendFailed(Failure.CONTENT_REJECTED, "no")
    await answer(house, talk.id, "k2")
    await house.deliver_all()
    assert await due(house, talk.id) == before  # nobody has answered yet: it is the first that is owed
    house.adapter().script = None
    await answer(house, talk.id, "k3")
    assert list(await due(house, talk.id)) == ["resolution"]


async def test_pending_stops_the_clock_and_a_message_starts_it(house: House) -> None:
    await promise(house)
    channel_id = await house.channel()
    talk = await house.conversation(channel_id, "anna")
    before = await due(house, talk.id)
    await house.inbox.actions.set_status(talk.id, "pending", AGENT)
    asleep = await sla_of(house, talk.id)
    assert asleep["paused"] and "due_at" not in asleep and "look_at" not in asleep
    house.clock.ahead = timedelta(hours=5)
    assert await house.inbox.sla_watch.tell() == 0
    await house.inbox.receiver.receive([house.arrival(channel_id, "anna", "m2")])
    after = await due(house, talk.id)
    assert timedelta(hours=5) <= after["first_response"] - before["first_response"] < timedelta(hours=5, minutes=1)


async def test_a_priority_that_is_raised_late_counts_from_the_beginning(house: House) -> None:
    await promise(house)
    talk = await house.conversation(await house.channel(), "anna")
    house.clock.ahead = timedelta(minutes=30)
    await house.inbox.actions.set_priority(talk.id, "urgent", AGENT)
    assert (await due(house, talk.id))["first_response"] == talk.waiting_since + timedelta(minutes=20)
    await time_comes(house)
    await house.inbox.sla_watch.drain()
    assert await told(house) == {("sla.breached", "first_response"): 1}


async def test_labels_and_the_order_choose_the_promise(house: House) -> None:
    slow = await promise(house)
    fast = await promise(house, name="VIP", reach={"labels": ["vip"]}, lengths={"first_response_min": 5})
    talk = await house.conversation(await house.channel(), "anna")
    await house.inbox.actions.set_labels(talk.id, ["vip"], AGENT)
    assert (await sla_of(house, talk.id))["policy_id"] == slow  # the first from the top
    await house.inbox.sla_policies.order([fast, slow])
    await house.inbox.sla_watch.renew()
    assert (await sla_of(house, talk.id))["policy_id"] == fast
    await house.inbox.actions.set_labels(talk.id, [], AGENT)
    assert (await sla_of(house, talk.id))["policy_id"] == slow


async def test_a_breach_is_told_once_by_two_workers(house: House, second_house: House) -> None:
    await promise(house, second_house)
    channel_id = await house.channel()
    talks = [await house.conversation(channel_id, f"p{n}") for n in range(25)]
    for ahead in (46, 61, 600):
        house.clock.ahead = second_house.clock.ahead = timedelta(minutes=ahead)
        await time_comes(house)
        found = [1]
        while any(found):
            looks = [each.inbox.sla_watch.tell(10) for each in (house, second_house) for _ in range(3)]
            found = await asyncio.gather(*looks)
        soon = {("sla.due_soon", "first_response"): 25}
        assert await told(house) == soon | ({("sla.breached", "first_response"): 25} if ahead > 46 else {})
    (event,) = await house.events.find(talks[0].profile_id, ["sla.breached"])
    assert event.conversation_id == talks[0].id and event.properties["late_s"] >= 60
    await answer(house, talks[0].id, "k1")
    assert await house.inbox.sla_watch.tell() == 0


async def test_a_watch_that_dies_anywhere_tells_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await promise(house)
    channel_id, dying = await house.channel(), Dying(monkeypatch)
    for at in range(1, 40):
        died = False
        for after in (False, True):
            talk = await house.conversation(channel_id, f"p{at}{after}", at=house.clock() - timedelta(hours=2))
            await time_comes(house)
            died = await dying.on(at, after, house.inbox.sla_watch.tell)
            await time_comes(house)
            await house.inbox.sla_watch.drain()
            events = await house.events.find(talk.profile_id, ["sla.breached", "sla.due_soon"])
            assert [each.name for each in events] == ["sla.breached"], (at, after)
            await sla_of(house, talk.id)
            await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
        if not died:
            assert at > 3
            return
    raise AssertionError("a watch writes more often than that")


@pytest.mark.slow
async def test_facts_that_die_anywhere_leave_clock_and_watch_as_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message, an answer, a change of status and an undo, each dead at every write: `sla_of` compares the clocks with
    what the row alone says, and the watch with the clocks."""
    await promise(house)
    channel_id, dying = await house.channel(), Dying(monkeypatch)
    talk = await house.conversation(channel_id, "anna")
    for at in range(1, 40):
        alive = []
        for after in (False, True):
            key = f"{at}{after}"

            async def undone(key: str = key) -> None:
                line = await answer(house, talk.id, f"u{key}", undo_s=600)
                await house.inbox.afterthoughts.undo(line.id, AGENT)

            for work in (
                lambda key=key: house.inbox.receiver.receive([house.arrival(channel_id, "anna", f"m{key}")]),
                lambda key=key: answer(house, talk.id, f"k{key}"),
                lambda: house.inbox.actions.set_status(talk.id, "pending", AGENT),
                lambda key=key: house.inbox.receiver.receive([house.arrival(channel_id, "anna", f"w{key}")]),
                undone,
                lambda: house.inbox.actions.set_status(talk.id, "resolved", AGENT),
            ):
                alive.append(not await dying.on(at, after, work))
                await sla_of(house, talk.id)
        if all(alive):
            return
    raise AssertionError("they write more often than that")


@pytest.mark.slow
async def test_a_delivery_that_dies_anywhere_gives_the_clock_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await promise(house)
    channel_id, dying = await house.channel(), Dying(monkeypatch)
    house.adapter().script = lambda _: SendFailed(Failure.CONTENT_REJECTED, "no")
    for at in range(1, 60):
        died = False
        for after in (False, True):
            talk = await house.conversation(channel_id, f"p{at}{after}")
            before, line = await due(house, talk.id), await answer(house, talk.id, "k")
            died = await dying.on(at, after, lambda: house.inbox.delivery.deliver(10))
            for _ in range(3):
                await house.expire_leases()
                await house.all_due()
                house.inbox.delivery._serving.clear()
                await house.deliver_all()
            (send,) = await house.inbox.sends.raw({"message_id": line.id})
            kept = before if send["state"] == "failed" else {"resolution": before["resolution"]}
            assert send["state"] in ("failed", "unknown")  # of what may have gone out a person decides
            assert await due(house, talk.id) == kept, (at, after)
        if not died:
            return
    raise AssertionError("a delivery writes more often than that")


async def test_lines_in_any_order_leave_the_same_clocks(house: House) -> None:
    await promise(house)
    channel_id, start = await house.channel(), house.clock() - timedelta(hours=8)
    ends = set()
    for seed in range(6):
        dice, who = random.Random(seed), f"p{seed}"
        arrivals = [
            house.arrival(channel_id, who, f"{who}-{n}", at=start + timedelta(minutes=10 * n), echo=n in (3, 6))
            for n in range(9)
        ]
        dice.shuffle(arrivals)
        while arrivals:
            batch = [arrivals.pop() for _ in range(min(len(arrivals), dice.randint(1, 4)))]
            result = await house.inbox.receiver.receive(batch)
        clocks = await due(house, result.outcomes[0].conversation_id or "")
        ends.add(clocks["next_response"])
    assert ends == {start + timedelta(minutes=70) + timedelta(hours=2)}


async def test_changed_promises_and_hours_are_reckoned_for_open_conversations(
    house: House, second_house: House
) -> None:
    hours = await house.inbox.business_hours.create(HoursInput(name="Never", zone="UTC"))
    policy_id = await promise(house)
    channel_id = await house.channel()
    talks = [await house.conversation(channel_id, f"p{n}") for n in range(5)]
    closed = await house.conversation(channel_id, "gone")
    await house.inbox.actions.set_status(closed.id, "resolved", AGENT)
    await house.inbox.sla_watch.renew()
    watch, other = house.inbox.sla_watch, second_house.inbox.sla_watch
    await house.inbox.sla_policies.change(policy_id, {"lengths": {"first_response_min": 30}})
    await asyncio.gather(watch.renew(), other.renew())
    for talk in talks:
        assert await due(house, talk.id) == {"first_response": talk.waiting_since + timedelta(minutes=30)}
    await house.inbox.sla_policies.change(policy_id, {"hours_id": hours.id})
    await watch.renew()
    assert await due(house, talks[0].id) == {"first_response": None}
    await house.inbox.business_hours.remove(hours.id)
    await watch.renew()
    assert (await due(house, talks[0].id))["first_response"] is not None
    await house.inbox.sla_policies.remove(policy_id)
    await watch.renew()
    assert await sla_of(house, talks[0].id) == {} and await WatchStore(house.database).watched() == {}
    assert await watch.reckon() == 0


async def test_other_hours_raise_no_alarm_for_what_is_late_by_them_alone(house: House) -> None:
    book = house.inbox.business_hours
    hours = await book.create(HoursInput(name="Never", zone="UTC"))
    await promise(house, hours_id=hours.id)
    talk = await house.conversation(await house.channel(), "anna", at=house.clock() - timedelta(hours=3))
    before = await book.held_since([hours.id])
    await book.change(hours.id, {"name": "Ours"})
    assert await book.held_since([hours.id]) == before
    always = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    await book.change(hours.id, {"week": always})
    await house.inbox.sla_watch.renew()
    assert (await due(house, talk.id))["first_response"] < house.clock()
    house.clock.ahead = timedelta(minutes=1)
    await time_comes(house)
    await house.inbox.sla_watch.drain()
    assert await told(house) == {}
    late = await house.conversation(await house.channel(), "ben")  # what becomes late from now on is told
    house.clock.ahead = timedelta(minutes=62)
    await time_comes(house)
    await house.inbox.sla_watch.drain()
    assert (await told(house))[("sla.breached", "first_response")] == 1 and late.id
    house.clock.ahead = timedelta()
    await book.remove(hours.id)
    taken = await book.held_since([hours.id])
    assert taken[hours.id] > before[hours.id]
    await book.restore(hours.id)
    assert (await book.held_since([hours.id]))[hours.id] > taken[hours.id]


async def test_reckoning_anew_goes_on_where_a_worker_died(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    channel_id, dying = await house.channel(), Dying(monkeypatch)
    monkeypatch.setattr("inbox.sla.watching.STRETCH", 2)
    talks = [await house.conversation(channel_id, f"p{n}") for n in range(5)]
    policy_id = await promise(house)
    for at in range(1, 60):
        minutes = 100 + at
        await house.inbox.sla_policies.change(policy_id, {"lengths": {"first_response_min": minutes}})
        died = await dying.on(at, at % 2 == 0, house.inbox.sla_watch.renew)
        await house.database.collection("sla_rounds").update_many({}, {"$set": {"due_at": LONG_AGO}})
        await house.inbox.sla_watch.renew()
        for talk in talks:
            assert await due(house, talk.id) == {"first_response": talk.waiting_since + timedelta(minutes=minutes)}
        if not died:
            return
    raise AssertionError("reckoning anew writes more often than that")


async def test_the_list_shows_what_is_due_first(house: House) -> None:
    await promise(house)
    channel_id, store = await house.channel(), house.inbox.conversations
    ages = {"late": 90, "later": 70, "soon": 50, "fresh": 5}
    talks = {
        name: (await house.conversation(channel_id, name, at=house.clock() - timedelta(minutes=age))).id
        for name, age in ages.items()
    }
    gone = await house.conversation(channel_id, "done", at=house.clock() - timedelta(minutes=99))
    await house.inbox.actions.set_status(gone.id, "resolved", AGENT)

    async def listed(**asked: Any) -> list[str]:
        return [each.id for each in (await store.page(ConversationFilter(), **asked)).data]

    assert await listed(sort="sla") == [talks[name] for name in ages]
    assert await listed(sort="sla", sla="breached") == [talks["late"], talks["later"]]
    assert await listed(sla="soon") == [talks["soon"]]
    cursor, seen = None, []
    while True:
        part = await store.page(ConversationFilter(), sort="sla", limit=1, cursor=cursor)
        seen += [each.id for each in part.data]
        cursor = part.next_cursor
        if cursor is None:
            break
    assert seen == [talks[name] for name in ages]


async def test_of_two_promises_with_one_name_one_is_made(house: House) -> None:
    book = house.inbox.sla_policies
    wanted = PolicyInput.model_validate(PROMISE)
    twin = wanted.model_copy(update={"name": " sHOP "})
    made = await asyncio.gather(book.create(wanted), book.create(twin), return_exceptions=True)
    assert sorted(isinstance(each, Conflict) for each in made) == [False, True]
    (kept,) = await book.all()
    await book.remove(kept.id)
    with pytest.raises(NotFound):
        await book.remove(kept.id)
    other = await book.create(wanted)
    with pytest.raises(Conflict):
        await book.restore(kept.id)
    await book.remove(other.id)
    assert (await book.restore(kept.id)).id == kept.id
    with pytest.raises(WrongInput):
        await book.change(kept.id, {"hours_id": "hrs_" + "0" * 26})
    with pytest.raises(WrongInput):
        await book.change(kept.id, {"lengths": {}, "by_priority": {}})
    with pytest.raises(WrongInput):
        await book.order([kept.id, kept.id])
    renamed = await book.change(kept.id, {"name": "Store"})
    tighter = await book.change(kept.id, {"soon_min": 30})
    assert renamed.holds_since < tighter.holds_since


async def test_promises_that_come_again_tell_nothing_twice(house: House) -> None:
    policy_id = await promise(house)
    talk = await house.conversation(await house.channel(), "anna")
    await house.inbox.sla_watch.renew()
    house.clock.ahead = timedelta(minutes=61)
    await time_comes(house)
    await house.inbox.sla_watch.drain()
    house.clock.ahead = timedelta()
    await house.inbox.sla_policies.remove(policy_id)
    await house.inbox.sla_watch.renew()
    assert await sla_of(house, talk.id) == {}
    await house.database.collection("sla_policies").update_many(
        {}, {"$set": {"stands": True, "holds_since": LONG_AGO}, "$inc": {"rev": 1}}
    )
    await house.inbox.sla_watch.renew()
    house.clock.ahead = timedelta(minutes=61)
    await time_comes(house)
    await house.inbox.sla_watch.drain()
    assert await told(house) == {("sla.breached", "first_response"): 1}
    await sla_of(house, talk.id)
