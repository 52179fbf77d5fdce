"""Ratings: asked once per closed conversation, within the window, and answered once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.vocabulary import Postback
from inbox.models import Actor, ReplyInput
from inbox.ratings import ChannelQuestion, NpsRules, RatingRules, Ratings
from inbox.store import RatingFilter, RatingStore
from profiles.consent_links import ConsentLinks
from profiles.events import Event
from tests.dying import Dying
from tests.inbox.conftest import ADAPTERS, AGENT, House

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LINKS = ConsentLinks([b"test"], "https://shop.example")


def ratings_of(house: House) -> Ratings:
    inbox = house.inbox
    return Ratings(
        house.database, inbox.ratings, inbox.conversations, inbox.messages, house.profiles, inbox.outbox, inbox.actions,
        house.events, LINKS, house.feed, house.doorbell, house.clock,
    )  # fmt: skip


async def happened(house: House, *names: str) -> list[Event]:
    rows = await house.database.collection("events").find({"name": {"$in": list(names)}}).to_list(None)
    return [Event.model_validate(row) for row in rows]


async def heard(house: House, ratings: Ratings) -> None:
    await ratings.hear(await happened(house, "conversation.status_changed", "message.received"))


async def due(house: House) -> None:
    rows = house.database.collection("ratings")
    await rows.update_many({"state": "due", "due_at": {"$lte": house.clock()}}, {"$set": {"due_at": LONG_AGO}})


async def closed(house: House, ratings: Ratings, who: str = "anna", provider: str = "scripted", **rules: Any) -> Any:
    """A conversation that a colleague has resolved, once the question is due."""
    await ratings.choose(RatingRules.model_validate({"on": True, **rules}), "usr_1")
    channel_id = next(
        (each.id for each in await house.channels.list() if each.provider == provider), None
    ) or await house.channel(provider)
    talk = await house.conversation(channel_id, who, provider)
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await heard(house, ratings)
    house.clock.ahead = timedelta(minutes=11)
    await due(house)
    return talk


async def states(house: House) -> list[tuple[str, str | None]]:
    rows = await house.database.collection("ratings").find({}).sort("_id").to_list(None)
    return [(row["state"], row.get("why")) for row in rows]


async def test_a_closed_conversation_is_asked_about_once_by_two_workers(house: House, second_house: House) -> None:
    ratings, others = ratings_of(house), ratings_of(second_house)
    talk = await closed(house, ratings)
    await heard(second_house, others)  # told twice
    await asyncio.gather(*(each.drain() for each in (ratings, others) for _ in range(4)))
    assert await states(house) == [("asked", None)]
    await house.all_due()
    await house.deliver_all()
    (call,) = house.adapter().calls
    assert "https://shop.example/r/" in (call.text or "") and "1 (bad)" in (call.text or "")
    line = (await house.inbox.messages.raw({"direction": "out"}))[0]
    assert line["conversation_id"] == talk.id
    now = await house.inbox.conversations.get(talk.id)
    assert now is not None and now.status == "resolved"


async def test_two_conversations_of_one_person_closed_at_once_ask_once(
    house: House, second_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers, each with one of them, neither of which has asked when the other looks."""
    ratings, others = ratings_of(house), ratings_of(second_house)
    talks = [await closed(house, ratings, who) for who in ("anna", "boris")]
    for room in ("conversations", "ratings"):
        await house.database.collection(room).update_many({}, {"$set": {"profile_id": talks[0].profile_id}})
    await house.database.collection("ratings").update_many({}, {"$set": {"due_at": LONG_AGO}})
    claimed = await house.inbox.ratings.duties.claim(["due"], house.clock(), limit=2)
    met = asyncio.Barrier(2)
    for each, duty in zip((ratings, others), claimed, strict=True):
        look, store = each._store.asked_since, each._store

        async def looked(*asked: Any, look: Any = look) -> bool:
            found: bool = await look(*asked)
            await met.wait()
            return found

        async def claim(*_: Any, duty: Any = duty, **more: Any) -> list[Any]:
            return [duty]

        monkeypatch.setattr(store, "asked_since", looked)
        monkeypatch.setattr(store.duties, "claim", claim)
    await asyncio.wait_for(asyncio.gather(ratings.drain(), others.drain()), 20)
    monkeypatch.undo()
    await house.database.collection("ratings").update_many({"state": "due"}, {"$set": {"due_at": LONG_AGO}})
    await ratings.drain()
    assert sorted(await states(house), key=str) == [("asked", None), ("skipped", "asked_lately")]


async def test_it_dies_anywhere_and_asks_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    ratings, dying = ratings_of(house), Dying(monkeypatch)
    for at in range(1, 30):
        died = False
        for after in (False, True):
            house.clock.ahead = timedelta()
            talk = await closed(house, ratings, f"p{at}{after}")
            died = await dying.on(at, after, ratings.drain)
            await house.database.collection("ratings").update_many({"state": "due"}, {"$set": {"due_at": LONG_AGO}})
            await ratings.drain()
            sends = await house.inbox.sends.raw({"conversation_id": talk.id, "source.kind": "rating"})
            assert len(sends) == 1, (at, after)
        if not died:
            return
    raise AssertionError("asking writes more often than that")


@pytest.mark.parametrize(
    ("what", "why"),
    [("opened", "opened_again"), ("window", "window"), ("lately", "asked_lately"), ("off", "off")],
)
async def test_who_is_not_asked(house: House, what: str, why: str) -> None:
    ratings = ratings_of(house)
    provider = "windowed" if what == "window" else "scripted"
    talk = await closed(house, ratings, provider=provider, delay_min=5)
    if what == "opened":
        await house.inbox.actions.set_status(talk.id, "open", AGENT)
    if what == "window":
        house.clock.ahead = timedelta(hours=25)
    if what == "off":
        await ratings.choose(RatingRules(), "usr_1")
    if what == "lately":
        await ratings.drain()
        await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "again")])
        await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
        await heard(house, ratings)
        house.clock.ahead = timedelta(days=3)
        await due(house)
    await ratings.drain()
    assert (await states(house))[-1] == ("skipped", why)


async def test_machines_and_other_channels_close_without_a_question(house: House) -> None:
    ratings = ratings_of(house)
    talk = await house.conversation(await house.channel(), "anna")
    await ratings.choose(RatingRules(on=True, channel_ids=["chn_" + "0" * 26]), "usr_1")
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await heard(house, ratings)
    await ratings.choose(RatingRules(on=True), "usr_1")
    await house.inbox.actions.set_status(talk.id, "open", AGENT)
    await house.inbox.actions.set_status(talk.id, "resolved", Actor(None, None, "system"))
    events = await happened(house, "conversation.status_changed")
    await ratings.hear([each for each in events if each.properties["by_type"] == "system"])
    assert await states(house) == []


async def test_a_number_is_the_answer_and_opens_nothing(house: House) -> None:
    ratings = ratings_of(house)
    talk = await closed(house, ratings)
    await ratings.drain()
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "mark", " 4 ")])
    await heard(house, ratings)
    await heard(house, ratings)
    (row,) = (await house.inbox.ratings.page(RatingFilter(channels=[talk.channel_id]))).data
    assert row["score"] == 4 and row["agent_id"] == AGENT.id
    (event,) = await house.events.find(talk.profile_id, ["csat.submitted"])
    assert event.properties["rating"] == 4
    after = await house.inbox.conversations.get(talk.id)
    assert after is not None and after.status == "resolved"
    lines = [row["system"]["code"] for row in await house.inbox.messages.raw({"direction": "system"})]
    assert lines.count("rated") == 1
    assert (await house.inbox.ratings.page(RatingFilter(channels=[]))).data == []
    assert await house.inbox.ratings.counts(RatingFilter(), LONG_AGO) == {5: 0, 4: 1, 3: 0, 2: 0, 1: 0}


async def test_words_after_the_question_are_a_message_like_any(house: House) -> None:
    ratings = ratings_of(house)
    talk = await closed(house, ratings)
    await ratings.drain()
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "m2", "5 teapots, please")])
    await heard(house, ratings)
    after = await house.inbox.conversations.get(talk.id)
    assert after is not None and after.status == "open"
    assert await states(house) == [("asked", None)]


async def test_where_there_is_room_there_are_buttons_and_only_the_asked_may_press(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy = ADAPTERS["scripted"].capabilities.model_copy(update={"buttons": 5})
    monkeypatch.setattr(type(house.adapter()), "capabilities", roomy)
    ratings = ratings_of(house)
    talk = await closed(house, ratings)
    await ratings.drain()
    await house.all_due()
    await house.deliver_all()
    (call,) = house.adapter().calls
    assert len(call.buttons) == 5 and "https" not in (call.text or "")
    pressed = call.buttons[0].payload or ""
    for who, key in (("eve", "e1"), ("anna", "a1")):
        press = house.arrival(talk.channel_id, who, key, "5", postback=Postback(payload=pressed))
        await house.inbox.receiver.receive([press])
        await heard(house, ratings)
        assert await states(house) == [("answered" if who == "anna" else "asked", None)]


# -- thanks, and the words after them ----------------------------------------------------------------------------------


@pytest.fixture
def roomy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel with room for a button for each mark."""
    able = ADAPTERS["scripted"].capabilities.model_copy(update={"buttons": 11})
    monkeypatch.setattr(type(house.adapter()), "capabilities", able)


async def pressed(house: House, ratings: Ratings, talk: Any, mark: int = 4, key: str = "press") -> str:
    """The question goes out and is answered by a button; the id of the rating."""
    await ratings.drain()
    await house.all_due()
    await house.deliver_all()
    house.clock.ahead += timedelta(minutes=1)
    (row,) = await house.database.collection("ratings").find({"conversation_id": talk.id}).to_list(None)
    press = Postback(payload=f"rating:{row['_id']}:{mark}")
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", key, str(mark), postback=press)])
    await heard(house, ratings)
    return str(row["_id"])


async def said(house: House, ratings: Ratings, talk: Any, text: str, after_min: int = 1) -> None:
    house.clock.ahead += timedelta(minutes=after_min)
    key = f"said-{text}"
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", key, text)])
    await heard(house, ratings)


async def comment_of(house: House, rating_id: str) -> Any:
    row = await house.inbox.ratings.get(rating_id)
    assert row is not None and row["state"] == "answered"
    return row["comment"]


@pytest.mark.parametrize(("locale", "word"), [("en-GB", "Thank you"), ("zh-CN", "感谢")])
async def test_a_press_is_thanked_for_once_by_two_workers_and_the_next_words_are_its_comment(
    house: House, second_house: House, roomy: None, locale: str, word: str
) -> None:
    ratings, others = ratings_of(house), ratings_of(second_house)
    talk = await closed(house, ratings)
    await house.database.collection("profiles").update_one({"_id": talk.profile_id}, {"$set": {"locale": locale}})
    rating_id = await pressed(house, ratings, talk)
    await asyncio.gather(*(heard(each, which) for each, which in ((house, ratings), (second_house, others)) * 3))
    await house.all_due()
    await house.deliver_all()
    calls = [call.text or "" for call in house.adapter().calls]
    assert sum(word in text for text in calls) == 1 and len(calls) == 2
    after = await house.inbox.conversations.get(talk.id)
    assert after is not None and after.status == "resolved"
    assert await comment_of(house, rating_id) is None
    await said(house, ratings, talk, "Quick and kind \x00")
    await said(house, ratings, talk, "One more thing")
    await heard(second_house, others)
    assert await comment_of(house, rating_id) == "Quick and kind"
    lines = await house.inbox.messages.raw({"conversation_id": talk.id, "direction": "in"})
    assert {"Quick and kind", "One more thing"} <= {(row["text"] or "").strip() for row in lines}
    after = await house.inbox.conversations.get(talk.id)
    assert after is not None and after.status == "open"  # a message like any: somebody may have to read it


@pytest.mark.parametrize("what", ["late", "stop", "number", "answered", "said_by_a_machine", "somebody_else"])
async def test_what_is_no_comment(house: House, roomy: None, what: str) -> None:
    ratings = ratings_of(house)
    talk = await closed(house, ratings)
    rating_id = await pressed(house, ratings, talk)
    await house.all_due()
    await house.deliver_all()
    if what in ("answered", "said_by_a_machine"):
        house.clock.ahead += timedelta(minutes=1)
        reply = ReplyInput(text="Shall we send the other pot?")
        by = AGENT if what == "answered" else Actor(None, "journey", "system")
        await house.inbox.outbox.reply(talk.id, by, reply, "k1")
    if what == "somebody_else":
        await house.inbox.receiver.receive([house.arrival(talk.channel_id, "eve", "eve-1", "Kind")])
        await heard(house, ratings)
    else:
        text = {"stop": "STOP", "number": "5"}.get(what, "Yes, please")
        await said(house, ratings, talk, text, 61 if what == "late" else 1)
    assert await comment_of(house, rating_id) is None


async def test_words_are_kept_whoever_of_ours_speaks_after_them(house: House, roomy: None) -> None:
    ratings = ratings_of(house)
    talk = await closed(house, ratings)
    rating_id = await pressed(house, ratings, talk)
    house.clock.ahead += timedelta(minutes=1)
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "w1", "Kind")])
    house.clock.ahead += timedelta(minutes=1)
    await house.inbox.outbox.reply(talk.id, AGENT, ReplyInput(text="Thanks!"), "k1")
    await heard(house, ratings)  # told of it only now
    assert await comment_of(house, rating_id) == "Kind"


async def test_a_press_outside_the_window_counts_and_is_not_thanked_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = ADAPTERS["windowed"].capabilities.model_copy(update={"buttons": 5})
    monkeypatch.setattr(type(house.adapter("windowed")), "capabilities", able)
    ratings = ratings_of(house)
    talk = await closed(house, ratings, provider="windowed")
    await ratings.drain()
    (row,) = await house.database.collection("ratings").find({}).to_list(None)
    press = Postback(payload=f"rating:{row['_id']}:2")
    arrival = house.arrival(talk.channel_id, "anna", "late", "2", provider="windowed", postback=press)
    await house.inbox.receiver.receive([arrival])
    house.clock.ahead += timedelta(hours=30)  # the worker was away
    await heard(house, ratings)
    assert await states(house) == [("answered", None)]
    assert len(await house.inbox.sends.raw({"source.kind": "rating"})) == 1


async def test_thanking_dies_anywhere_and_is_done_once(
    house: House, roomy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratings, dying = ratings_of(house), Dying(monkeypatch)
    for at in range(1, 30):
        died = False
        for after in (False, True):
            house.clock.ahead = timedelta()
            who = f"p{at}{after}"
            talk = await closed(house, ratings, who)
            await ratings.drain()
            (row,) = await house.database.collection("ratings").find({"conversation_id": talk.id}).to_list(None)
            press = Postback(payload=f"rating:{row['_id']}:3")
            await house.inbox.receiver.receive([house.arrival(talk.channel_id, who, f"x-{who}", "3", postback=press)])
            events = [each for each in await happened(house, "message.received") if each.conversation_id == talk.id]

            async def hear(events: list[Event] = events) -> None:
                await ratings.hear(events)

            died = await dying.on(at, after, hear)
            await hear()
            sends = await house.inbox.sends.raw({"conversation_id": talk.id, "source.kind": "rating"})
            assert len(sends) == 2, (at, after)
            now = await house.inbox.conversations.get(talk.id)
            assert now is not None and now.status == "resolved", (at, after)
        if not died:
            return
    raise AssertionError("thanking writes more often than that")


async def test_the_first_mark_counts_and_words_may_follow_once(house: House, second_house: House) -> None:
    ratings, others = ratings_of(house), ratings_of(second_house)
    talk = await closed(house, ratings)
    await ratings.drain()
    (row,) = await house.database.collection("ratings").find({}).to_list(None)
    firsts = await asyncio.gather(*(each.answer(row["_id"], mark) for each in (ratings, others) for mark in (1, 5)))
    assert sorted(firsts) == [False, False, False, True]
    await ratings.answer(row["_id"], 3, " Late, but kind \x00")
    await ratings.answer(row["_id"], 3, "And more")
    fresh = await RatingStore(house.database).get(row["_id"])
    assert fresh is not None and fresh["score"] in (1, 5) and fresh["comment"] == "Late, but kind"
    assert (await house.event_names())["csat.submitted"] == 1
    assert await ratings.by_link(row["_id"], talk.identity_id) is not None
    assert await ratings.by_link(row["_id"], "idn_other") is None
    house.clock.ahead = timedelta(days=40)
    assert await ratings.by_link(row["_id"], talk.identity_id) is None


# -- recommendations ---------------------------------------------------------------------------------------------------


async def test_a_recommendation_is_asked_instead_of_a_mark_and_is_an_event_of_its_own(
    house: House, second_house: House
) -> None:
    ratings, others = ratings_of(house), ratings_of(second_house)
    await ratings.choose_nps(NpsRules(on=True, delay_min=5), "usr_1")
    talk = await closed(house, ratings)
    await heard(second_house, others)
    await asyncio.gather(*(each.drain() for each in (ratings, others) for _ in range(4)))
    assert await states(house) == [("asked", None)]
    (row,) = await house.database.collection("ratings").find({}).to_list(None)
    assert row["kind"] == "nps"
    await house.all_due()
    await house.deliver_all()
    assert "recommend us" in (house.adapter().calls[-1].text or "")
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "m-11", "11")])
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "m-0", "0")])
    await heard(house, ratings)
    await heard(house, ratings)
    (event,) = await happened(house, "nps.submitted")
    assert event.properties["score"] == 0 and "rating" not in event.properties
    assert not await happened(house, "csat.submitted")
    assert not (await house.inbox.ratings.page(RatingFilter())).data
    assert [each["score"] for each in (await house.inbox.ratings.page(RatingFilter("nps"))).data] == [0]
    assert await ratings.answer(row["_id"], 10) is False
    # The next time they are asked for a mark: they were asked for a recommendation lately.
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await house.inbox.receiver.receive([house.arrival(talk.channel_id, "anna", "later", "Hello again")])
    await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await heard(house, ratings)
    kinds = [each.get("kind", "csat") async for each in house.database.collection("ratings").find({}).sort("_id", 1)]
    assert kinds[0] == "nps" and "nps" not in kinds[1:] and "csat" in kinds[1:]


async def test_channels_have_their_own_rules_and_the_window_holds(house: House) -> None:
    ratings = ratings_of(house)
    channel_id = await house.channel("windowed")
    silent = await house.channel("keyed")
    rules = NpsRules(on=True, by_channel={
        silent: ChannelQuestion(on=False), channel_id: ChannelQuestion(delay_min=2, apart_days=10),
    })  # fmt: skip
    await ratings.choose_nps(rules, "usr_1")
    assert await ratings.nps_rules() == rules
    assert not rules.on_channel(silent).on and rules.on_channel(channel_id).delay_min == 2
    assert rules.on_channel("chn_other").delay_min == 60
    for provider, channel in (("windowed", channel_id), ("keyed", silent)):
        talk = await house.conversation(channel, f"p-{provider}", provider)
        await house.inbox.actions.set_status(talk.id, "resolved", AGENT)
    await heard(house, ratings)
    house.clock.ahead = timedelta(hours=25)
    await due(house)
    await ratings.drain()
    assert await states(house) == [("skipped", "window")]
