"""Counts of views are kept: whatever happens, and whoever dies, they are what counting would find."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.errors import Conflict, NotFound, WrongInput
from channels.vocabulary import Person
from inbox.counting import BUILT_IN, Counting
from inbox.models import Actor, ReplyInput
from inbox.signs import sign_after, touches
from inbox.store import ConversationRoom, MarkStore, ViewStore, ViewTallyStore
from inbox.view_filter import LabelFilter, PersonFilter, ViewFilter, belongs
from inbox.views import ViewInput
from profiles.holdings import Traces
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

ANNA, BO = (f"usr_{'0' * 25}{n}" for n in "ab")
VIEWS = {
    "vip": ViewFilter(labels=LabelFilter(any=("vip",))),
    "own or nobody's": ViewFilter(assignee=("me", "none"), status=("open", "pending")),
    "quiet": ViewFilter(unread=False, waiting=False, status=("open",), labels=LabelFilter(none=("vip",))),
    "pressing": ViewFilter(priority=("high", "urgent"), waiting=True),
}  # fmt: skip


def counting(house: House) -> Counting:
    """Another process that counts; where it is, it is night."""
    database = house.database
    views = ViewStore(database, house.clock)
    return Counting(
        database, ViewTallyStore(database), MarkStore(database), views, lambda: house.clock().replace(hour=3)
    )  # fmt: skip


async def compared(house: House) -> int:
    """Compare although it was done already."""
    await house.database.collection("view_tallies").update_one({"_id": "kept"}, {"$unset": {"compared_at": ""}})
    return await counting(house).compare()


async def by_counting(house: House, views: Mapping[str, ViewFilter], me: str, channels: Any) -> dict[str, int]:
    rows = await house.inbox.conversations.raw({})
    seen = [row for row in rows if channels is None or row["channel_id"] in channels]
    return {name: sum(belongs(row, view, me) for row in seen) for name, view in views.items()}


async def must_be_right(house: House, views: Mapping[str, ViewFilter], channels: list[str]) -> None:
    """For everybody, whatever they may see; with what waits in marks, and when all is counted in."""
    for _ in range(2):
        for me in (ANNA, BO):
            for scope in (None, channels[:1], []):
                kept = await house.inbox.counting.counts(views, me, scope)
                assert kept == await by_counting(house, views, me, scope), (me, scope)
        await house.inbox.counting.keep()


async def saved(house: House) -> dict[str, ViewFilter]:
    """Everybody's views, and those of these tests, counted from now on."""
    await house.database.collection("views").delete_many({})
    made = [
        await house.inbox.views.create(ViewInput(name=name, filter=view, shared=True), ANNA)
        for name, view in VIEWS.items()
    ]
    for _ in range(4):
        await house.inbox.counting.keep()
    return {**BUILT_IN, **{each.id: each.filter for each in made}}


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["write", "assign", "status", "label", "priority", "read", "unread", "reply", "fold", "erase",
                         "undo", "compare"]),
        st.integers(0, 5), st.integers(0, 4),
    ),
    max_size=25,
)  # fmt: skip


async def _act(house: House, act: str, who: int, what: int, channels: list[str], done: int) -> None:
    if act == "write":
        key = f"{id(channels)}-{done}"
        arrivals = [house.arrival(channels[who % 2], f"p{who}", f"m-{key}")]
        await house.inbox.receiver.receive([*arrivals, house.arrival(channels[0], f"q{what}", f"n-{key}")])
    elif act == "fold":
        await counting(house).keep()
    elif act == "compare":
        assert await compared(house) == 0
    elif rows := await house.inbox.conversations.raw({}):
        await _do(house, act, rows[who % len(rows)], what, f"k-{id(channels)}-{done}")


async def _do(house: House, act: str, row: Any, what: int, key: str) -> None:
    actions, outbox, talk_id = house.inbox.actions, house.inbox.outbox, row["_id"]
    status: Any = ["open", "snoozed", "pending", "resolved", "spam"][what]
    priority: Any = ["none", "low", "medium", "high", "urgent"][what]
    until = house.clock() + timedelta(days=1) if what == 1 else None

    async def undo() -> None:
        message = await outbox.reply(talk_id, Actor(ANNA), ReplyInput(text="Yes"), key, undo_s=30)
        await house.inbox.afterthoughts.undo(message.id, Actor(ANNA))

    acts: dict[str, Callable[[], Any]] = {
        "assign": lambda: actions.assign(talk_id, [ANNA, BO, None][what % 3], AGENT),
        "status": lambda: actions.set_status(talk_id, status, AGENT, snoozed_until=until),
        "label": lambda: actions.set_labels(talk_id, [["vip"], [], ["vip", "late"], ["late"], []][what], AGENT),
        "priority": lambda: actions.set_priority(talk_id, priority, AGENT),
        "read": lambda: actions.mark_read(talk_id, AGENT),
        "unread": lambda: actions.mark_unread(talk_id, AGENT),
        "reply": lambda: outbox.reply(talk_id, Actor(ANNA), ReplyInput(text="Yes"), key),
        "undo": undo,
        "erase": lambda: ConversationRoom(house.database, house.inbox.conversations).erase(
            Traces((row["profile_id"],))
        ),
    }
    await acts[act]()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
async def test_kept_counts_equal_counting(house: House, acts: Any) -> None:
    await house.database.collection("conversations").delete_many({})
    for name in ("view_marks", "view_tallies"):
        await house.database.collection(name).delete_many({})
    channels = [await house.channel(), await house.channel()]
    house.clock.ahead = timedelta(0)
    views = await saved(house)
    for done, (act, who, what) in enumerate(acts):
        with suppress(Conflict):
            await _act(house, act, who, what, channels, done)
    await must_be_right(house, views, channels)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.sampled_from(["merge", "unmerge", "first", "second", "resolve", "give", "fold"]), max_size=10))
async def test_what_is_merged_is_counted_once(house: House, acts: list[str]) -> None:
    for name in ("conversations", "view_marks", "view_tallies"):
        await house.database.collection(name).delete_many({})
    channels = [await house.channel(), await house.channel("keyed")]
    views, anna = await saved(house), Person(name="Anna", email=f"{id(acts)}@example.org", verified=True)

    async def says(n: int, turn: int) -> str:
        provider = ("scripted", "keyed")[n]
        line = house.arrival(channels[n], f"a{n}", f"m-{channels[n]}-{turn}", provider=provider, person=anna)
        return (await house.inbox.receiver.receive([line])).outcomes[0].conversation_id or ""

    keys, merges = [await says(0, -1), await says(1, -1)], []
    for turn, act in enumerate(acts):
        with suppress(Conflict, NotFound, WrongInput):
            if act == "merge":
                merges.append((await house.inbox.merging.merge(keys[0], [keys[1]], AGENT)).act_id)
            elif act == "unmerge" and merges:
                await house.inbox.merging.unmerge(str(merges.pop()), AGENT)
            elif act in ("first", "second"):
                await says(("first", "second").index(act), turn)
            elif act == "resolve":
                await house.inbox.actions.set_status(keys[0], "resolved", AGENT)
            elif act == "give":
                await house.inbox.actions.assign(keys[turn % 2], ANNA, AGENT)
            elif act == "fold":
                await counting(house).keep()
    await must_be_right(house, views, channels)
    assert await compared(house) == 0


async def test_two_houses_count_in_side_by_side(house: House) -> None:
    channels = [await house.channel(), await house.channel()]
    views = await saved(house)

    async def write(turn: int) -> None:
        arrivals = [house.arrival(channels[n % 2], f"p{turn}-{n}", f"m{turn}-{n}") for n in range(15)]
        await house.inbox.receiver.receive(arrivals)
        rows = await house.inbox.conversations.raw({})
        for row in rows[turn :: 4]:
            with suppress(Conflict):
                await house.inbox.actions.assign(row["_id"], [ANNA, BO][turn % 2], AGENT)

    for turn in range(3):
        await asyncio.gather(write(turn), *(counting(house).keep() for _ in range(3)), write(turn + 10))
    await asyncio.gather(counting(house).keep(), counting(house).keep())
    await must_be_right(house, views, channels)
    assert not await MarkStore(house.database).first(1) and await compared(house) == 0


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_count_survives_death_at_every_await(
    house: House, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:  # fmt: skip
    channel = await house.channel()
    dying = Dying(monkeypatch, ("update_one", "bulk_write", "insert_many", "find_one_and_update", "delete_many"))
    views = await saved(house)
    for at in range(1, 40):
        made = await house.inbox.views.create(ViewInput(name=f"View {at}", filter=ViewFilter(unread=True)), ANNA)
        views[made.id] = made.filter
        await house.inbox.receiver.receive([house.arrival(channel, f"p{at}", f"m{at}")])
        died = await dying.on(at, after, counting(house).keep)
        await must_be_right(house, {name: view for name, view in views.items() if name != made.id}, [channel])
        await must_be_right(house, views, [channel])
        if not died:
            break
        await house.inbox.views.remove(made.id, ANNA)
        del views[made.id]
    assert at > 5


async def test_a_writer_that_dies_leaves_no_mark_without_its_write(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    channel = await house.channel()
    dying = Dying(monkeypatch, ("update_one", "bulk_write", "insert_one", "insert_many", "find_one_and_update"))
    views = await saved(house)
    for at in range(1, 30):
        talk = await house.conversation(channel, f"d{at}")

        async def work(talk: Any = talk) -> None:
            await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
            await house.inbox.conversations.write([({"_id": talk.id}, {"$set": {"unread": 3}})])
            await house.inbox.conversations.remove([talk.id])

        died = await dying.on(at, at % 2 == 0, work)
        await must_be_right(house, views, [channel])
        if not died:
            break
    assert at > 4


async def test_a_changed_view_is_counted_anew_and_one_taken_away_no_more(house: House) -> None:
    channel = await house.channel()
    await house.inbox.receiver.receive([house.arrival(channel, f"p{n}", f"m{n}") for n in range(7)])
    view = await house.inbox.views.create(ViewInput(name="Open", filter=ViewFilter(status=("open",))), ANNA)
    assert await house.inbox.counting.counts({view.id: view.filter}, ANNA, None) == {}
    await house.inbox.counting.keep()
    assert await house.inbox.counting.counts({view.id: view.filter}, ANNA, None) == {view.id: 7}
    changed = await house.inbox.views.change(view.id, ANNA, filter=ViewFilter(status=("resolved",)))
    assert await house.inbox.counting.counts({view.id: changed.filter}, ANNA, None) == {}
    await house.inbox.counting.keep()
    assert await house.inbox.counting.counts({view.id: changed.filter}, ANNA, None) == {view.id: 0}
    await house.inbox.views.remove(view.id, ANNA)
    await house.inbox.receiver.receive([house.arrival(channel, "more", "more")])
    await house.inbox.counting.keep()
    places = {row.get("place", "") for row in await house.database.collection("view_tallies").find({}).to_list(None)}
    assert not [each for each in places if each.startswith(view.id)]
    back = await house.inbox.views.restore(view.id, ANNA)
    await house.inbox.counting.keep()
    assert await house.inbox.counting.counts({view.id: back.filter}, ANNA, None) == {view.id: 0}


async def test_what_is_kept_is_read_without_looking_at_conversations(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    channel = await house.channel()
    await house.inbox.receiver.receive([house.arrival(channel, f"p{n}", f"m{n}") for n in range(50)])
    views = await saved(house)
    asked = Dying(monkeypatch, ("count_documents", "aggregate", "distinct"))
    asked.armed, asked.at = True, 1
    counts = await house.inbox.counting.counts(views, ANNA, None)
    asked.armed = False
    assert asked.count == 0 and counts["all"] == counts["unassigned"] == 50
    plan = await house.database.handle.command(
        {"explain": {"find": "view_tallies", "filter": {"place": {"$in": ["x"]}}, "hint": "by_place"}}
    )
    assert "IXSCAN" in str(plan)
    unkept = {"search": ViewFilter(q="x"), "people": ViewFilter(person=PersonFilter(tag=("x",)))}
    assert await house.inbox.counting.counts(unkept, ANNA, None) == {}


async def test_what_is_off_is_set_right_at_night_and_told(house: House, caplog: pytest.LogCaptureFixture) -> None:
    channel = await house.channel()
    await house.inbox.receiver.receive([house.arrival(channel, f"p{n}", f"m{n}") for n in range(3)])
    views = await saved(house)
    tallies = house.database.collection("view_tallies")
    await tallies.update_one({"place": {"$regex": "^all:"}}, {"$inc": {"count": 2}})
    assert (await house.inbox.counting.counts(views, ANNA, None))["all"] == 5
    with caplog.at_level(logging.ERROR):
        assert await compared(house) == 1
    assert "set right" in caplog.text and await counting(house).compare() == 0
    assert (await house.inbox.counting.counts(views, ANNA, None))["all"] == 3
    day = Counting(
        house.database, ViewTallyStore(house.database), MarkStore(house.database),
        ViewStore(house.database, house.clock), lambda: house.clock().replace(hour=12),
    )  # fmt: skip
    await tallies.update_one({"_id": "kept"}, {"$unset": {"compared_at": ""}})
    assert await day.compare() == 0 and "compared_at" not in (await tallies.find_one({"_id": "kept"}) or {})


def test_an_operator_that_nobody_knows_leaves_no_wrong_sign() -> None:
    row = {"status": "open", "channel_id": "chn_1", "unread": 1, "labels": ["a"]}
    assert not touches({"$set": {"last_message.text": "x"}, "$inc": {"seq": 1}})
    assert sign_after(row, {"$inc": {"unread": -1}, "$unset": {"labels": ""}}) == {
        "status": "open", "assignee_id": None, "team_id": None, "channel_id": "chn_1", "labels": [],
        "priority": "none", "unread": 0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="labels"):
        sign_after(row, {"$push": {"labels": "b"}})
