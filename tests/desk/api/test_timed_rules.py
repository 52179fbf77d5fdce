"""Rules that wait for time: asked once per stretch, stopped by whatever answers, in open time where that counts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.clock import now
from campaigns.automation.judging import since_of
from campaigns.automation.rules import Maker, read_rule
from campaigns.automation.timed import TimedRules
from inbox.hours.book import BusinessHours
from inbox.hours.models import HoursInput
from inbox.models import ReplyInput
from inbox.store import HoursStore
from orders.models import OrderInput
from tests.desk.api.conftest import World
from tests.desk.api.test_automation_rules import ANNA, VIP, answers, outcomes, says, settled, talk_of
from tests.dying import Dying

AT = datetime(2031, 5, 5, 9, 0, tzinfo=UTC)  # a Monday


@pytest.fixture(autouse=True)
async def _nothing_before(own_world: World) -> AsyncIterator[None]:
    """No rules and no timers; the conversation begins with somebody who has been answered."""
    runtime, ours = own_world.runtime, own_world.ours
    await settled(own_world)
    for name in ("automation_rules", "rule_runs", "rule_timers", "rule_looks"):
        await runtime.db.handle[name].delete_many({})
    await runtime.desk_actions.set_status(ours.conversation, "open", ANNA)
    await runtime.desk_actions.set_labels(ours.conversation, [], ANNA)
    await runtime.outbox.reply(ours.conversation, ANNA, ReplyInput(text="Hello"), f"k{now().timestamp()}")
    await runtime.db.handle["events"].update_many({}, {"$set": {"state": "done"}})
    yield


async def timed(world: World, what: str, after: str, actions: list[dict[str, Any]] = VIP, **more: Any) -> str:
    """A rule that waits."""
    hours = {"hours_id": more.pop("hours_id")} if "hours_id" in more else {}
    wanted = {"name": what, "on": {"type": "timed", "what": what, "after": after, **hours}, "actions": actions, **more}
    made = await world.runtime.automation_rules.create(read_rule(wanted), Maker("usr_x"))
    return str(made.id)


async def goes_by(world: World, length: timedelta) -> None:
    """So much time goes by for what stands in our conversation."""
    rows, ours = world.runtime.db.handle, world.ours.conversation
    row = await talk_of(world)
    names = ("waiting_since", "last_reply_at", "last_inbound_at", "created_at", "reopened_at", "last_activity_at")
    moved = {name: row[name] - length for name in names if row.get(name)}
    await rows["conversations"].update_one({"_id": ours}, {"$set": moved, "$inc": {"rev": 1}})
    less = length // timedelta(milliseconds=1)
    for name, fields in (("messages", ["provider_at"]), ("rule_timers", ["since", "due_at"]),
                         ("automation_rules", ["active_since"])):  # fmt: skip
        earlier = {field: {"$subtract": [f"${field}", less]} for field in fields}
        wanted = {"conversation_id": ours} if name == "messages" else {}
        await rows[name].update_many(wanted, [{"$set": earlier}])


async def told(world: World) -> None:
    """Everything that happened is heard, and what follows is done."""
    await world.runtime.reactor.react(500)
    await settled(world)


async def test_a_customer_who_waits_is_seen_to_once_and_an_answer_stops_it(own_world: World) -> None:
    """After a minute: there is no floor."""
    made = await timed(own_world, "waiting", "PT1M", [{"type": "reply", "text": "Soon"}])
    await says(own_world, "Anybody?")
    await told(own_world)
    await goes_by(own_world, timedelta(seconds=50))
    await settled(own_world)
    assert await outcomes(own_world, made) == []
    await goes_by(own_world, timedelta(seconds=20))
    await settled(own_world)
    await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", [""])] and await answers(own_world, "Soon") == 1
    await says(own_world, "Hello?")
    await told(own_world)
    await goes_by(own_world, timedelta(minutes=5))
    await settled(own_world)
    assert len(await outcomes(own_world, made)) == 1, "it is the same wait"

    runtime, ours = own_world.runtime, own_world.ours.conversation
    await runtime.outbox.reply(ours, ANNA, ReplyInput(text="Here"), "here-1")
    await says(own_world, "And another thing")
    await told(own_world)
    await goes_by(own_world, timedelta(seconds=30))
    await runtime.outbox.reply(ours, ANNA, ReplyInput(text="Here again"), "here-2")
    await goes_by(own_world, timedelta(minutes=5))
    await settled(own_world)
    assert len(await outcomes(own_world, made)) == 1, "no event tells of the answer, and yet it stops"
    await says(own_world, "Third")
    await told(own_world)
    await goes_by(own_world, timedelta(minutes=2))
    await runtime.desk_actions.set_status(ours, "snoozed", ANNA)
    await settled(own_world)
    assert len(await outcomes(own_world, made)) == 1, "what is snoozed rests"
    await runtime.desk_actions.set_status(ours, "open", ANNA)
    await told(own_world)
    assert [each for each, _ in await outcomes(own_world, made)] == ["fitted", "fitted"]


async def test_an_order_paid_meanwhile_stops_the_reminder(own_world: World) -> None:
    identity = f"{own_world.ours.channel}:ext-anna"

    async def order(status: str) -> None:
        total = {"amount_minor": 900, "currency": "EUR"}
        wanted = OrderInput(external_id="remind-1", identity=identity, status=status, total=total)
        await own_world.runtime.orders.record(wanted, "api")

    when = {"field": "order.awaits_payment", "op": "eq", "value": True}
    made = await timed(own_world, "no_reply", "PT2H", [{"type": "reply", "text": "Do you need help?"}], when=when)
    await order("pending")
    await told(own_world)
    await goes_by(own_world, timedelta(hours=1))
    await order("paid")
    await told(own_world)
    await goes_by(own_world, timedelta(hours=2))
    await settled(own_world)
    assert await outcomes(own_world, made) == [("did_not_fit", [])]
    assert await answers(own_world, "Do you need help?") == 0


async def test_the_customer_who_answers_is_not_reminded(own_world: World) -> None:
    made = await timed(own_world, "no_reply", "PT2H")
    await settled(own_world)
    await goes_by(own_world, timedelta(hours=1))
    await says(own_world, "Here I am")
    await told(own_world)
    await goes_by(own_world, timedelta(hours=3))
    await settled(own_world)
    assert await outcomes(own_world, made) == []
    await own_world.runtime.outbox.reply(own_world.ours.conversation, ANNA, ReplyInput(text="Good"), "good-1")
    await own_world.runtime.desk_actions.set_priority(own_world.ours.conversation, "low", ANNA)
    await told(own_world)
    await goes_by(own_world, timedelta(hours=3))
    await settled(own_world)
    assert [each for each, _ in await outcomes(own_world, made)] == ["fitted"]


async def test_nobody_touched_it(own_world: World) -> None:
    """A conversation that none of us has looked after since it was opened; what machines do is no touch."""
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    made = await timed(own_world, "untouched", "PT10M", [{"type": "priority", "priority": "urgent"}])
    await told(own_world)
    await goes_by(own_world, timedelta(hours=1))
    await settled(own_world)
    assert await outcomes(own_world, made) == [], "Anna has answered it"
    await runtime.desk_actions.set_status(own_world.ours.conversation, "resolved", ANNA)
    await told(own_world)
    await goes_by(own_world, timedelta(hours=1))
    await says(own_world, "It is broken again")
    await told(own_world)
    assert (await talk_of(own_world))["status"] == "open"
    assert await rows["rule_timers"].count_documents({"state": "due"}) == 1
    await goes_by(own_world, timedelta(minutes=9))
    await settled(own_world)
    assert await outcomes(own_world, made) == []
    await goes_by(own_world, timedelta(minutes=2))
    await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", [""])]
    assert (await talk_of(own_world))["priority"] == "urgent"
    await goes_by(own_world, timedelta(minutes=30))
    await settled(own_world)
    assert len(await outcomes(own_world, made)) == 1


async def test_idle_is_told_once_and_its_own_words_are_no_activity(own_world: World) -> None:
    made = await timed(own_world, "idle", "PT1H", [{"type": "reply", "text": "Still there?"}])
    for _ in range(3):
        await told(own_world)
        await goes_by(own_world, timedelta(hours=2))
        await settled(own_world)
    assert await outcomes(own_world, made) == [("fitted", [""])] and await answers(own_world, "Still there?") == 1


async def test_what_was_over_before_a_rule_began_moves_it_not(own_world: World) -> None:
    await says(own_world, "Anybody?")
    await told(own_world)
    await goes_by(own_world, timedelta(hours=5))
    made = await timed(own_world, "waiting", "PT1H")
    later = await timed(own_world, "idle", "PT10H")
    await settled(own_world)
    assert await outcomes(own_world, made) == []
    await goes_by(own_world, timedelta(hours=6))
    await settled(own_world)
    assert await outcomes(own_world, made) == []
    assert await outcomes(own_world, later) == [("fitted", [""])], "it was there when the rule was made"


async def test_a_timer_killed_anywhere_asks_once(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    made = await timed(own_world, "waiting", "PT1M", [{"type": "task", "text": "See to it"}])
    dying, at, died = Dying(monkeypatch), 1, True
    while died:
        before = await rows["tasks"].count_documents({"text": "See to it"})
        await runtime.outbox.reply(own_world.ours.conversation, ANNA, ReplyInput(text="x"), f"timer-{at}")
        await says(own_world, "Anybody?")
        await runtime.reactor.react(500)
        await goes_by(own_world, timedelta(minutes=2))
        died = await dying.on(at, True, lambda: runtime.rule_runner.drain(100))
        for _ in range(3):
            for name in ("rule_looks", "rule_timers", "rule_runs"):
                past = now() - timedelta(seconds=1)
                held = {"state": "due", "lease": {"$type": "string"}}
                await rows[name].update_many(held, {"$set": {"due_at": past}})
            await runtime.rule_runner.drain(100)
        assert await rows["tasks"].count_documents({"text": "See to it"}) == before + 1, at
        at += 1
    assert at > 8 and made


async def test_only_open_time_counts(own_world: World) -> None:
    runtime = own_world.runtime
    week = {day: [["09:00", "12:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
    mornings = HoursInput.model_validate({"name": "Mornings", "zone": "UTC", "week": week})
    hours = await runtime.business_hours.create(mornings)
    made = await timed(own_world, "waiting", "PT2H", hours_id=hours.id)
    rule, timed_rules = await runtime.automation_rules.row(made), runtime.rule_runner._timed
    assert await timed_rules.due_at(rule, AT) == AT + timedelta(hours=2)
    assert await timed_rules.due_at(rule, AT + timedelta(hours=2)) == AT + timedelta(days=1, hours=1)
    friday = AT + timedelta(days=4, hours=5)
    assert await timed_rules.due_at(rule, friday) == AT + timedelta(days=7, hours=2)


async def test_hours_that_change_move_what_waits_already(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened earlier, a holiday added, taken away altogether: also where a worker dies in between."""
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    hours = await runtime.business_hours.create(HoursInput(name="Never", zone="UTC"))
    never = await timed(own_world, "waiting", "PT2H", hours_id=hours.id)
    plain = await timed(own_world, "waiting", "PT3H", name="Always")
    await says(own_world, "Anybody?")
    await told(own_world)
    since = (await talk_of(own_world))["waiting_since"]

    async def timers() -> dict[str, datetime]:
        return {row["rule_id"]: row["due_at"] async for row in rows["rule_timers"].find({"state": "due"})}

    always = {plain: since + timedelta(hours=3)}
    assert await timers() == always
    dying = Dying(monkeypatch)
    every_day = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    closed = [{"date": (since + timedelta(days=n)).date().isoformat(), "spans": [], "name": "Fair"} for n in range(3)]
    for at, (change, due_at) in enumerate([
        ({"week": every_day}, since + timedelta(hours=2)),
        ({"special": closed}, datetime.combine(since.date() + timedelta(days=3), datetime.min.time(), UTC)
         + timedelta(hours=2)),
        ({"special": []}, since + timedelta(hours=2)),
        ({"week": {}}, None),
        ({"week": every_day}, since + timedelta(hours=2)),
    ], 1):  # fmt: skip
        await runtime.business_hours.change(hours.id, change)
        await dying.on(at, at % 2 == 0, lambda: runtime.rule_runner.drain(100))
        for _ in range(2):
            past = now() - timedelta(seconds=1)
            await rows["rule_looks"].update_many({"lease": {"$type": "string"}}, {"$set": {"due_at": past}})
            await runtime.rule_runner.drain(100)
        assert await timers() == {**always, **({never: due_at} if due_at else {})}, at
    await runtime.business_hours.remove(hours.id)
    await runtime.rule_runner.drain(100)
    assert await timers() == {**always, never: since + timedelta(hours=2)}


async def test_hours_are_compared_when_some_have_changed_and_not_before(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changed by another process, added, put back, named anew by a rule: each is noticed, and nothing is read twice."""
    runtime, rows = own_world.runtime, own_world.runtime.db.handle
    elsewhere = BusinessHours(HoursStore(runtime.db, runtime.clock))
    first = await elsewhere.create(HoursInput(name="First", zone="UTC"))
    second = await elsewhere.create(HoursInput(name="Second", zone="UTC"))
    every_day = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    made = await timed(own_world, "waiting", "PT2H", hours_id=first.id)
    await says(own_world, "Anybody?")
    await told(own_world)
    since, compared, plain = (await talk_of(own_world))["waiting_since"], 0, TimedRules._compare_hours

    async def counted(self: TimedRules) -> None:
        nonlocal compared
        compared += 1
        await plain(self)

    monkeypatch.setattr(TimedRules, "_compare_hours", counted)

    async def moved() -> list[datetime]:
        for _ in range(3):
            await runtime.rule_runner.drain(100)
        return [row["due_at"] async for row in rows["rule_timers"].find({"state": "due"})]

    assert (await moved(), compared) == ([], 0), "never open, and nothing has changed"
    await elsewhere.change(first.id, {"week": every_day})
    assert (await moved(), compared) == ([since + timedelta(hours=2)], 1)
    assert (await rows["automation_rules"].find_one({"_id": made}))["hours_rev"] == 2
    await elsewhere.change(second.id, {"name": "The second"})
    assert (await moved(), compared) == ([since + timedelta(hours=2)], 2)

    on = {"type": "timed", "what": "waiting", "after": "PT2H", "hours_id": second.id}
    await runtime.automation_rules.change(made, {"on": on}, Maker("usr_x"))
    assert (await moved(), compared) == ([], 2), "a rule that names others begins anew by itself"
    await elsewhere.change(second.id, {"week": every_day})  # the third revision
    assert (await moved(), compared) == ([since + timedelta(hours=2)], 3)
    await elsewhere.change(second.id, {"week": {}})
    assert (await moved(), compared) == ([], 4)
    await elsewhere.remove(second.id)
    assert (await moved(), compared) == ([since + timedelta(hours=2)], 5)
    await elsewhere.restore(second.id)
    assert (await moved(), compared) == ([], 6)
    await elsewhere.change(first.id, {"name": "The first"})
    assert (await moved(), compared) == ([], 7)


@pytest.mark.parametrize(("what", "change", "stands"), [
    ("waiting", {}, "waiting_since"), ("waiting", {"status": "pending"}, None),
    ("waiting", {"waiting_since": None}, None), ("waiting", {"status": "resolved"}, None),
    ("no_reply", {}, None), ("no_reply", {"waiting_since": None, "last_reply_at": AT}, "last_reply_at"),
    ("no_reply", {"waiting_since": None, "last_reply_at": AT, "status": "snoozed"}, "last_reply_at"),
    ("no_reply", {"waiting_since": None, "last_reply_at": AT, "status": "snoozed", "snoozed_until": AT}, None),
    ("no_reply", {"waiting_since": None, "last_reply_at": AT, "status": "resolved"}, None),
    ("no_reply", {"waiting_since": None}, None),
    ("idle", {}, "last_inbound_at"), ("idle", {"status": "snoozed"}, None),
    ("untouched", {}, "created_at"), ("untouched", {"reopened_at": AT}, "reopened_at"),
    ("untouched", {"status": "pending"}, None),
])  # fmt: skip
def test_since_when_something_stands(what: str, change: dict[str, Any], stands: str | None) -> None:
    early = AT - timedelta(hours=1)
    talk = {"status": "open", "created_at": early, "waiting_since": early, "last_inbound_at": early, **change}
    assert since_of(what, talk, None) == (talk[stands] if stands else None)
    assert what != "untouched" or since_of(what, talk, AT) is None
