"""Search over messages on the real database: what is written is found, what is changed or gone is not."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import TooSlow
from channels.vocabulary import Address, MessageDeleted, MessageEdited
from inbox.models import Actor, ReplyInput
from inbox.searching import Searching
from inbox.store import MessageStore, WordStore
from inbox.store.words import ASK_MS
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House


async def texts(house: House, q: str, channels: list[str] | None = None) -> list[str]:
    """What is found once all is read."""
    await house.inbox.searching.keep()
    return [str(hit.message.text) for hit in await house.inbox.searching.messages(q, channels, 20)]


async def said(house: House, channel: str, *lines: str, who: str = "anna") -> None:
    arrivals = [
        house.arrival(channel, who, f"{who}-{abs(hash(line))}", line, at=house.clock() - timedelta(minutes=90 - n))
        for n, line in enumerate(lines)
    ]
    await house.inbox.receiver.receive(arrivals)


async def test_chinese_is_found_inside_a_sentence(house: House) -> None:
    channel = await house.channel()
    await said(house, channel, "你好，玻璃茶壶可以放洗碗机吗？", "茶好。壶好", "Do you ship teapots to Norway?")
    assert await texts(house, "茶壶") == ["你好，玻璃茶壶可以放洗碗机吗？"]
    assert await texts(house, "壶") == ["茶好。壶好", "你好，玻璃茶壶可以放洗碗机吗？"]
    assert await texts(house, "norway TEAPOTS") == ["Do you ship teapots to Norway?"]
    assert await texts(house, "norway 茶壶") == [] == await texts(house, "?!")


async def test_answers_and_notes_are_found_and_what_is_taken_back_is_not(house: House) -> None:
    channel = await house.channel()
    talk = await house.conversation(channel, "anna")
    outbox = house.inbox.outbox
    await outbox.reply(talk.id, AGENT, ReplyInput(text="Certainly, the samovar"), "k1")
    await outbox.reply(talk.id, AGENT, ReplyInput(text="Loves her samovar", note=True), "k2")
    undone = await outbox.reply(talk.id, Actor("usr_" + "a" * 26), ReplyInput(text="Wrong samovar"), "k3", undo_s=30)
    assert len(await texts(house, "samovar")) == 3
    await house.inbox.afterthoughts.undo(undone.id, Actor("usr_" + "a" * 26))
    assert await texts(house, "samovar") == ["Loves her samovar", "Certainly, the samovar"]


async def test_edits_and_deletions_reach_the_search(house: House) -> None:
    channel = await house.channel()
    await said(house, channel, "An urgent question", who="eve")
    (row,) = await house.inbox.messages.raw({"direction": "in"})
    about: dict[str, Any] = {"occurred_at": house.clock(), "message_id": row["provider_message_id"],
                             "address": Address(channel_id=channel, external_id="eve")}  # fmt: skip
    edited = MessageEdited(event_id="e1", text="A calm question", **about)
    await house.inbox.receiver.receive([house.event(channel, edited)])
    assert await texts(house, "urgent") == [] and await texts(house, "calm") == ["A calm question"]
    await house.inbox.receiver.receive([house.event(channel, MessageDeleted(event_id="e2", **about))])
    assert await texts(house, "calm") == [] and not await house.database.collection("message_words").find_one({})


async def test_search_shows_nothing_of_other_channels(house: House) -> None:
    one, two = await house.channel(), await house.channel()
    await said(house, one, "The blue kettle", who="anna")
    await said(house, two, "A blue kettle too", who="boris")
    assert len(await texts(house, "blue kettle")) == 2
    assert await texts(house, "blue kettle", [one]) == ["The blue kettle"]
    assert await texts(house, "blue kettle", []) == []


@pytest.mark.parametrize("at_once", [25, 1000])
async def test_many_of_one_second_are_all_found(house: House, at_once: int) -> None:
    channel, began = await house.channel(), house.clock() - timedelta(minutes=9)
    arrivals = [
        house.arrival(channel, "anna", f"m{n}", f"ticket number{n}", at=began + timedelta(seconds=n // at_once))
        for n in range(100)
    ]
    await house.inbox.receiver.receive(arrivals)
    await house.inbox.searching.keep()
    hits = await house.inbox.searching.messages("ticket", None, 100)
    assert len(hits) == len({hit.message.id for hit in hits}) == 100


async def test_a_reader_that_dies_forgets_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = await house.channel()
    dying = Dying(monkeypatch, ("bulk_write", "delete_many"))
    for at in range(1, 12):
        await said(house, channel, f"Line number{at} of a story", who=f"p{at}")
        died = await dying.on(at, at % 2 == 0, house.inbox.searching.read)
        assert len(await texts(house, f"number{at}")) == 1
        if not died:
            break
    assert at > 2 and not await house.inbox.searching.read()


async def test_several_read_side_by_side(house: House) -> None:
    channel = await house.channel()
    for n in range(4):
        await said(house, channel, *(f"Common words{n} here{m}" for m in range(40)), who=f"p{n}")
    other = Searching(house.database, MessageStore(house.database), house.clock)
    await asyncio.gather(house.inbox.searching.keep(), other.keep(), house.inbox.searching.keep())
    assert await house.database.collection("message_words").count_documents({}) == 160
    assert len(await texts(house, "words2 here7")) == 1


async def test_who_is_erased_while_their_words_are_read_leaves_none(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    channel = await house.channel()
    await said(house, channel, "Nobody may keep this")
    real = WordStore.write

    async def slow(store: WordStore, rows: Any, session: Any) -> None:
        await real(store, rows, session)
        await house.database.collection("messages").delete_many({})

    monkeypatch.setattr(WordStore, "write", slow)
    await house.inbox.searching.read()
    assert not await house.database.collection("message_words").find_one({})


async def test_the_past_is_read_bit_by_bit(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = await house.channel()
    monkeypatch.setattr("inbox.searching.PAST", 7)
    await said(house, channel, *(f"Old words number{n}" for n in range(20)))
    await house.database.collection("words_due").delete_many({})  # written by a version without a search
    assert await texts(house, "number3") == []
    dying = Dying(monkeypatch, ("update_one", "insert_one"))
    for at in range(1, 10):
        await dying.on(at % 3 + 1, at % 2 == 0, house.inbox.searching.read_past)
        await house.inbox.searching.keep()
    while await house.inbox.searching.read_past():
        await house.inbox.searching.keep()
    assert len(await texts(house, "old words")) == 20
    assert (await WordStore(house.database).past())["done"] and await house.inbox.searching.read_past() == 0


async def test_four_million_messages_are_not_scanned(house: House) -> None:
    """As many are asked for as are shown, however many there are: the keys read say so."""
    rows = house.database.collection("message_words")
    now = house.clock()
    many = [
        {"_id": f"msg_{n:026}", "conversation_id": "cnv_x", "channel_id": f"chn_{n % 4}", "profile_id": "prf_x",
         "at": now - timedelta(seconds=n), "words": ["hello", f"w{n % 50}", f"rare{n}"]}
        for n in range(20_000)
    ]  # fmt: skip
    await rows.insert_many(many)

    async def keys(words: list[str], **more: Any) -> int:
        wanted = {"$and": [{"words": each} for each in words], **more}
        find = {"find": "message_words", "filter": wanted, "sort": {"at": -1}, "limit": 60, "hint": "by_word"}
        plan = await house.database.handle.command({"explain": find, "verbosity": "executionStats"})
        assert "COLLSCAN" not in str(plan) and "'SORT'" not in str(plan["queryPlanner"]["winningPlan"])
        return int(plan["executionStats"]["totalKeysExamined"])

    assert await keys(["hello"]) <= 61 and await keys(["rare777"]) <= 2
    assert await keys(["w7"]) <= 61 and await keys(["hello", "rare777"]) <= 2
    assert len(await WordStore(house.database).found(["hello", "rare777"], ["chn_1"], 60)) == 1
    assert ASK_MS <= 5000 and TooSlow
