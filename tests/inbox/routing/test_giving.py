"""The queue: one owner each, nobody over what they can take, nothing forgotten, whoever dies."""

import asyncio
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as examples
from hypothesis import strategies as st

from base.mongo import Database
from inbox.hours.models import HoursInput
from inbox.models import Actor, ReplyInput
from inbox.room import open_inbox
from inbox.routing.standing import SEEN_FOR
from inbox.view_filter import ConversationFilter, ViewFilter
from profiles.events import EventStore
from tests.dying import WRITES, Dying
from tests.inbox.conftest import AGENT, House
from tests.inbox.routing.conftest import Floor, Mate, Staffed, opened, usr

ROOT = Path(__file__).resolve().parents[3]


async def test_a_new_conversation_goes_to_the_team_of_its_channel_and_to_somebody(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna = await floor.mate("anna")
    team = await floor.team("Support", [anna], [channel])
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and (fresh.assignee_id, fresh.team_id) == (anna, team.id)
    (moved, _), (routed, why) = await floor.lines(talk)
    assert (moved, routed) == ("team_assigned", "routed")
    assert (why["why"], why["to_name"], why["team"], why["load"]) == ("turn", "Anna", "Support", 0)
    rows = await house.database.collection("events").find({"name": "conversation.assigned"}).to_list(None)
    assert [row["properties"]["by_type"] for row in rows] == ["system", "system"]


async def test_fifty_conversations_ten_routers_one_owner_each(floor: Floor, mongo_url: str) -> None:
    """Each router has connections, caches and turns of its own. Nobody gets two owners, nobody too much, and turns are
    even."""
    house = floor.house
    channel = await house.channel()
    mates = [await floor.mate(name, total=12) for name in ("anna", "bo", "cem", "dia")]
    team = await floor.team("Support", mates, [channel])
    talks = [await house.conversation(channel, f"kim-{number}") for number in range(50)]
    await floor.routing._place(await floor.routing._scene(), 100, None)  # type: ignore[arg-type]
    databases = [Database(mongo_url, house.database.handle.name) for _ in range(10)]
    routers = [opened(_as(house, each), floor.staff) for each in databases]
    for _ in range(3):
        await asyncio.gather(*(each.routing.drain(250) for each in routers))
    held = await floor.owners()
    assert held == {**dict.fromkeys(mates, 12), None: 2}
    assigned = Counter[str]()
    async for row in house.database.collection("messages").find({"system.code": "routed"}):
        assigned[row["conversation_id"]] += 1
    assert set(assigned.values()) == {1} and len(assigned) == 48
    rows = await floor.rows.all()
    assert {rows[each]["turns"][team.id] > 0 for each in mates} == {True}
    await house.inbox.actions.set_status(talks[0].id, "resolved", AGENT)
    await asyncio.gather(*(each.routing.drain(250) for each in routers))
    assert (await floor.owners())[None] in (1, 2)  # whose was resolved may have been nobody's
    for each in databases:
        each.close()


async def test_fifty_conversations_and_routers_that_are_processes(
    floor: Floor, mongo_url: str, redis_url: str, redis_prefix: str
) -> None:
    """The same with nothing in common but the database, and a router killed in the middle."""
    house = floor.house
    channel = await house.channel()
    mates = [await floor.mate(name, total=12) for name in ("anna", "bo", "cem", "dia")]
    team = await floor.team("Support", mates, [channel])
    for number in range(50):
        await house.conversation(channel, f"kim-{number}")
    await floor.routing._place(await floor.routing._scene(), 100, None)  # type: ignore[arg-type]
    command = [
        sys.executable, "-m", "tests.inbox.routing.router", mongo_url, redis_url, redis_prefix,
        house.database.handle.name, *mates,
    ]  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    routers = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT) for _ in range(5)
    ]  # fmt: skip
    for each in routers:
        assert each.stdout is not None and await each.stdout.readline() == b"ready\n"
    for each in routers:
        assert each.stdin is not None
        each.stdin.write(b"go\n")
    while None not in (await floor.owners()) or (await floor.owners())[None] == 50:
        await asyncio.sleep(0.005)
    routers[0].kill()
    assert [await each.wait() for each in routers[1:]] == [0] * 4
    await floor.settle()
    assert await floor.owners() == {**dict.fromkeys(mates, 12), None: 2}
    assigned = Counter[str]()
    async for row in house.database.collection("messages").find({"system.code": "routed"}):
        assigned[row["conversation_id"]] += 1
    assert set(assigned.values()) == {1} and len(assigned) == 48
    rows = await floor.rows.all()
    assert {rows[each]["turns"][team.id] > 0 for each in mates} == {True}


def _as(house: House, database: Database) -> House:
    """The same house with connections of its own."""
    events = EventStore(database, house.clock)
    inbox = open_inbox(
        database, channels=house.channels, registry=house.registry, profiles=house.profiles, resolver=house.resolver,
        consent=house.consent, events=events, feed=house.feed, doorbell=house.doorbell, clock=house.clock,
    )  # fmt: skip
    return House(
        database, house.clock, inbox, house.channels, house.registry, house.profiles, house.resolver, events,
        house.consent, house.feed, house.doorbell, house.planner,
    )  # fmt: skip


async def test_round_robin_is_even_whoever_comes_and_goes(floor: Floor) -> None:
    """CW 11034. Who was away is not showered with what they have missed."""
    house = floor.house
    channel = await house.channel()
    anna, bo, cem = [await floor.mate(name, total=100) for name in ("anna", "bo", "cem")]
    await floor.team("Support", [anna, bo, cem], [channel])
    await floor.go(cem)
    for number in range(6):
        await house.conversation(channel, f"kim-{number}")
        await floor.settle()
    assert await floor.owners() == {anna: 3, bo: 3}
    await floor.agents.say(cem, "online")
    for number in range(6, 12):
        await house.conversation(channel, f"kim-{number}")
        await floor.settle()
    assert await floor.owners() == {anna: 5, bo: 5, cem: 2}


async def test_the_queue_drains_when_one_resolves(floor: Floor) -> None:
    """CW 10685."""
    house = floor.house
    channel = await house.channel()
    anna = await floor.mate("anna", total=1)
    await floor.team("Support", [anna], [channel], mode="balanced")
    first = await house.conversation(channel, "kim")
    await floor.settle()
    second = await house.conversation(channel, "lee")
    await floor.settle()
    assert (await floor.owner(first), await floor.owner(second)) == (anna, None)
    await house.inbox.actions.set_status(first.id, "resolved", AGENT)
    await floor.settle()
    assert await floor.owner(second) == anna
    await floor.agents.enable(anna, {"capacity": {"total": 2}})
    third = await house.conversation(channel, "max")
    await floor.settle()
    assert await floor.owner(third) == anna


async def test_offline_agents_keep_no_reopened_chat(floor: Floor) -> None:
    """CW 7204, 4158, 9587. And who is here keeps theirs."""
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna"), await floor.mate("bo")
    await floor.team("Support", [anna, bo], [channel], last_agent_first=True)
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    assert await floor.owner(talk) == anna
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await floor.go(anna)
    house.clock.ahead += timedelta(seconds=5)
    await floor.write(channel, "kim", "again")
    await floor.settle()
    assert await floor.owner(talk) == bo
    codes = [code for code, _ in await floor.lines(talk)]
    assert codes[-3:] == ["reopened", "released", "routed"]
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await floor.agents.say(anna, "online")
    await floor.write(channel, "kim", "once more")
    await floor.settle()
    assert await floor.owner(talk) == bo


async def test_what_waits_for_somebody_who_left_comes_back_after_a_while(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna"), await floor.mate("bo")
    await floor.team("Support", [anna, bo], [channel])
    waiting, answered = await house.conversation(channel, "kim"), await house.conversation(channel, "lee")
    for talk in (waiting, answered):
        await house.inbox.actions.assign(talk.id, anna, AGENT)
    await house.inbox.outbox.reply(answered.id, Actor(anna, "Anna"), ReplyInput(text="Here"), "k1")
    house.clock.ahead += SEEN_FOR + timedelta(minutes=8)  # her window was closed without a word
    await floor.come(bo)
    await floor.settle()
    assert (await floor.owner(waiting), await floor.owner(answered)) == (anna, anna)
    house.clock.ahead += timedelta(minutes=1)
    await floor.come(bo)
    await floor.settle()
    assert (await floor.owner(waiting), await floor.owner(answered)) == (bo, anna)
    row = await house.inbox.conversations.row(waiting.id)
    assert row is not None and "released_from" not in row


async def test_who_answered_what_nobody_had_gets_it(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna", total=0), await floor.mate("bo", total=0)
    await floor.team("Support", [anna, bo], [channel], last_agent_first=True)
    talk = await house.conversation(channel, "kim")
    await house.inbox.outbox.reply(talk.id, Actor(bo, "Bo"), ReplyInput(text="A moment"), "k1")
    for each in (anna, bo):
        await floor.agents.enable(each, {"capacity": {"total": 5}})
    await floor.settle()
    assert await floor.owner(talk) == bo


async def test_given_by_hand_to_somebody_away_stays(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna"), await floor.mate("bo", total=0)
    await floor.team("Support", [anna, bo], [channel])
    talk = await house.conversation(channel, "kim")
    await floor.go(anna)
    house.clock.ahead += timedelta(hours=5)
    await house.inbox.actions.assign(talk.id, anna, AGENT)
    await floor.settle()
    assert await floor.owner(talk) == anna
    await house.inbox.actions.assign(talk.id, bo, AGENT)  # more than they can take
    await floor.settle()
    assert await floor.owner(talk) == bo


async def test_who_watches_or_may_not_see_gets_nothing(floor: Floor) -> None:
    """CW 10847."""
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna"), await floor.mate("bo", channels=frozenset({"chn_other"}))
    cem, dia = await floor.mate("cem", role="viewer"), await floor.mate("dia", active=True)
    await floor.go(dia)
    team = await floor.team("Support", [anna, bo, dia], [channel])
    await floor.rows.change(cem, {"seen_at": house.clock()})
    members = [{"user_id": anna, "watches": True}, {"user_id": bo}, {"user_id": dia}]
    await floor.teams.change(team.id, {"members": members})
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and (fresh.assignee_id, fresh.team_id) == (None, team.id)


async def test_who_may_not_see_it_any_more_loses_it(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna"), await floor.mate("bo")
    await floor.team("Support", [anna, bo], [channel])
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    assert await floor.owner(talk) == anna
    floor.staff.mates[anna] = Mate(anna, "Anna", channels=frozenset())
    await floor.agents.changed(anna)
    assert await floor.routing.sweep() == 1
    await floor.settle()
    assert await floor.owner(talk) == bo


async def test_nothing_is_given_out_of_hours(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna = await floor.mate("anna")
    never = (await house.inbox.business_hours.create(HoursInput(name="Never", zone="UTC"))).id
    team = await floor.team("Support", [anna], [channel], hours_id=never)
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    assert await floor.owner(talk) is None
    await floor.teams.change(team.id, {"hours_id": None})
    await floor.settle()
    assert await floor.owner(talk) == anna


async def test_waiting_too_long_leads_to_the_other_team_once(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna, bo = await floor.mate("anna", total=0), await floor.mate("bo", total=0)
    second = await floor.team("Second", [bo])
    first = await floor.team("First", [anna], [channel], max_wait_s=600, fallback_team_id=second.id)
    policy = {"mode": "round_robin", "max_wait_s": 600, "fallback_team_id": first.id}
    await floor.teams.change(second.id, {"routing": policy})
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and fresh.team_id == first.id
    house.clock.ahead += timedelta(minutes=11)
    await floor.come(anna)
    await floor.come(bo)
    await floor.settle()
    codes = [code for code, _ in await floor.lines(talk)]
    assert codes.count("team_fallback") == 1  # and not back again
    for each in (anna, bo):
        await floor.agents.enable(each, {"capacity": {"total": 1}})
    await floor.settle()
    assert await floor.owner(talk) == bo


async def test_the_most_urgent_and_longest_waiting_is_given_first(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna = await floor.mate("anna", total=0)
    await floor.team("Support", [anna], [channel])
    start = house.clock()
    old = await house.conversation(channel, "kim", at=start - timedelta(minutes=9))
    older = await house.conversation(channel, "lee", at=start - timedelta(minutes=20))
    urgent = await house.conversation(channel, "max")
    await house.inbox.actions.set_priority(urgent.id, "urgent", AGENT)
    await floor.routing.sweep()
    got: list[str] = []
    for total in (1, 2, 3):
        await floor.agents.enable(anna, {"capacity": {"total": total}})
        await floor.settle()
        got += [each.id for each in (urgent, older, old) if await floor.owner(each) and each.id not in got]
    assert got == [urgent.id, older.id, old.id]


async def test_give_me_one(floor: Floor) -> None:
    house = floor.house
    channel, other = await house.channel(), await house.channel()
    anna = await floor.mate("anna", total=0)
    bo = await floor.mate("bo", channels=frozenset({channel}))
    await floor.team("Support", [anna, bo], [channel], mode="manual")
    mine = await house.conversation(channel, "kim")
    free = await house.conversation(other, "lee")
    await floor.settle()
    person = floor.staff.mates[bo]
    got = await floor.routing.next_for(person, Actor(bo, "Bo"))
    assert got is not None and (got.id, got.assignee_id) == (mine.id, bo)
    assert await floor.routing.next_for(person, Actor(bo, "Bo")) is None
    takers = [floor.routing.next_for(floor.staff.mates[anna], Actor(anna, "Anna")) for _ in range(4)]
    found = [each.id for each in await asyncio.gather(*takers) if each is not None]
    assert found == [free.id]


async def test_queued_chats_are_seen_by_everybody_who_may(floor: Floor) -> None:
    """RC 29402: what waits for somebody is an ordinary open conversation of the list."""
    house = floor.house
    channel = await house.channel()
    team = await floor.team("Support", [], [channel])
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    for view in (ViewFilter(status=("open",)), ViewFilter(assignee=("none",)), ViewFilter(team=(team.id,))):
        wanted = ConversationFilter(view, channels=[channel])
        assert [each.id for each in (await house.inbox.conversations.page(wanted)).data] == [talk.id]


async def test_taken_out_of_its_team_it_stays_out(floor: Floor) -> None:
    house = floor.house
    channel = await house.channel()
    anna = await floor.mate("anna", total=0)
    team = await floor.team("Support", [anna], [channel])
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    await house.inbox.actions.assign_team(talk.id, None, AGENT)
    await floor.settle()
    assert await floor.routing.sweep() == 0
    fresh = await house.inbox.conversations.get(talk.id)
    assert fresh is not None and fresh.team_id is None
    await floor.teams.remove(team.id)
    assert (await floor.lines(talk))[-1][0] == "team_left"


async def test_a_router_killed_at_every_await(floor: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one goes on: everything is given once, with one line and one event."""
    house = floor.house
    channel = await house.channel()
    mates = [await floor.mate(name, total=1000) for name in ("anna", "bo")]
    await floor.team("Support", mates, [channel])
    dying = Dying(monkeypatch, (*WRITES, "find_one"))
    for at in range(1, 80):
        for after in (False, True) if at < 30 else (False,):
            talks = [await house.conversation(channel, f"kim-{at}-{after}-{number}") for number in range(2)]
            died = await dying.on(at, after, lambda: opened(house, floor.staff).routing.drain(250))
            await floor.settle()
            for talk in talks:
                assert await floor.owner(talk) in mates
                assert [code for code, _ in await floor.lines(talk)] == ["team_assigned", "routed"]
        if not died:
            break
    else:
        raise AssertionError("a router asks more often than that")
    rows = house.database.collection("events").find({"name": "conversation.assigned"})
    counts = Counter([row["conversation_id"] for row in await rows.to_list(None)])
    assert set(counts.values()) == {2}  # to the team, to somebody
    held = await floor.owners()
    assert abs(held[mates[0]] - held[mates[1]]) <= 1


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 5)),
        st.tuples(st.just("resolve"), st.integers(0, 5)),
        st.tuples(st.just("come"), st.integers(0, 2)),
        st.tuples(st.just("go"), st.integers(0, 2)),
        st.tuples(st.just("take"), st.integers(0, 5)),
        st.tuples(st.just("drop"), st.integers(0, 5)),
        st.tuples(st.just("snooze"), st.integers(0, 5)),
        st.tuples(st.just("ring"), st.integers(0, 0)),
        st.tuples(st.just("hour"), st.integers(0, 0)),
    ),
    min_size=3, max_size=14,
)  # fmt: skip


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@examples(acts=ACTS, seed=st.integers(0, 2**20))
async def test_none_is_forgotten(house: House, acts: Any, seed: int) -> None:
    """Whatever happens, and whichever rings are lost: after one sweep everything that waits is with somebody who is
    here, or everybody who is here has all they can take."""
    floor, channel = opened(house, Staffed()), await house.channel()
    mates = [await floor.mate(f"m{channel[-20:]}x{number}", total=2) for number in range(3)]
    team = await floor.team(f"Team {seed} {channel}", mates, [channel])
    for number, (what, which) in enumerate(acts):
        await _happens(floor, channel, mates, what, which, f"{seed}-{number}")
    await floor.routing.sweep()
    await floor.settle()
    people, rows = await floor.agents.all(), await house.inbox.conversations.raw({"channel_id": channel})
    held = Counter(row["assignee_id"] for row in rows if row["status"] == "open")
    room = [each for each in mates if people[each].stands.takes_work and held[each] < 2]
    left = [row for row in rows if row["status"] == "open" and row["assignee_id"] is None]
    assert not left or not room
    assert all(row["team_id"] == team.id for row in left)
    await floor.teams.remove(team.id)


async def _happens(floor: Floor, channel: str, mates: list[str], what: str, which: int, key: str) -> None:
    house = floor.house
    house.clock.ahead += timedelta(seconds=7)
    if what == "write":
        await floor.write(channel, f"customer-{which}", f"{channel}-{key}")
        return
    if what in ("come", "go"):
        await floor.agents.say(mates[which], "online" if what == "come" else "offline", on_phone=True)
        return
    if what == "ring":
        await floor.routing.drain(250)
        return
    if what == "hour":
        house.clock.ahead += timedelta(hours=1)
        await house.inbox.actions.wake_due()
        return
    rows = await house.inbox.conversations.raw({"channel_id": channel, "address.external_id": f"customer-{which}"})
    for row in rows[-1:]:
        if what == "resolve":
            await house.inbox.actions.set_status(row["_id"], "resolved", AGENT)
        elif what == "snooze" and row["status"] == "open":
            until = house.clock() + timedelta(minutes=30)
            await house.inbox.actions.set_status(row["_id"], "snoozed", AGENT, snoozed_until=until)
        elif what == "take":
            await house.inbox.actions.assign(row["_id"], mates[which % 3], AGENT)
        elif what == "drop":
            await house.inbox.actions.assign(row["_id"], None, AGENT)


async def test_a_team_of_the_past_is_asked_for_nothing(floor: Floor) -> None:
    assert await floor.routing.drain(250) == 0 and await floor.routing.sweep() == 0
    anna = await floor.mate("anna")
    assert usr("anna") == anna
