"""A visitor reacts to what an agent wrote: kept once, shown at both ends, changed, taken back, held within limits."""

from __future__ import annotations

from typing import Any

import pytest

from channels.providers.webchat.adapter import VISITORS_REACTIONS
from inbox.beginning import Wish
from inbox.models import ReplyInput
from tests.desk.widget.conftest import ADA, Chat, Socket, a_key, signed

pytestmark = pytest.mark.timeout(120)


async def answered(chat: Chat, visitor: Socket, text: str = "It is back.") -> dict[str, Any]:
    """The line of an agent's answer, as the visitor sees it."""
    await visitor.say("Is the teapot back?")
    await chat.answer((await chat.conversation())["_id"], text)
    return await visitor.line(text)


async def react(socket: Socket, line_id: Any, emoji: Any, key: Any = None) -> dict[str, Any]:
    key = key or a_key()
    await socket.send(t="react", key=key, id=line_id, emoji=emoji)
    return await socket.until(lambda frame: frame["t"] in ("ack", "refused") and frame.get("key") == key)


async def standing(chat: Chat, line_id: str) -> list[tuple[str | None, str]]:
    await chat.work()
    (row,) = await chat.desk.runtime.messages.raw({"_id": line_id})
    return [(each["emoji"], each["by"][:2]) for each in row.get("reactions", ())]


async def shown(socket: Socket, line_id: str, emoji: str | None) -> None:
    """Wait until a window shows this emoji on a line."""
    while socket.lines[line_id].get("reaction") != emoji:
        await socket.next()


async def test_a_reaction_is_kept_shown_changed_and_taken_back(chat: Chat) -> None:
    visitor = await chat.visitor()
    line = await answered(chat, visitor)
    other = await chat.visitor(visitor.welcome["token"])
    async with chat.client.get(f"{chat.path}/looks", headers={"Origin": "https://shop.example.com"}) as looks:
        assert (await looks.json())["reactions"] == list(VISITORS_REACTIONS)

    assert (await react(visitor, line["id"], "👍"))["t"] == "ack"
    assert await standing(chat, line["id"]) == [("👍", "v_")]
    for window in (visitor, other):
        await shown(window, line["id"], "👍")
    assert (await chat.visitor(visitor.welcome["token"])).welcome["lines"][-1]["reaction"] == "👍"

    # Another one takes its place, also from another window; without one there is none.
    assert (await react(other, line["id"], "❤️"))["t"] == "ack"
    assert await standing(chat, line["id"]) == [("❤️", "v_")]
    await shown(visitor, line["id"], "❤️")
    for nothing in ("", None):
        assert (await react(visitor, line["id"], nothing))["t"] == "ack"
    assert await standing(chat, line["id"]) == [(None, "v_")]
    await shown(other, line["id"], None)

    # The API shows what stands; the visitor's words are no question, so nobody waits for an answer.
    assert (await react(visitor, line["id"], "🙏"))["t"] == "ack"
    talk = await chat.conversation()
    assert not talk.get("waiting_since") and talk["last_message"]["text"] == "It is back."
    agent = await chat.desk.person("agent")
    async with agent.client.get(f"/api/v1/messages/{line['id']}") as answer:
        assert [each["emoji"] for each in (await answer.json())["reactions"]] == ["🙏"]


async def test_the_same_key_is_the_same_reaction_by_whatever_way_it_comes(chat: Chat) -> None:
    visitor = await chat.visitor()
    line, key = await answered(chat, visitor), a_key()
    await react(visitor, line["id"], "👍", key)
    await react(visitor, line["id"], "", a_key())
    frame = {"t": "react", "key": key, "id": line["id"], "emoji": "👍"}  # a browser that did not hear the first answer
    assert (await chat.frames({"t": "hello", "token": visitor.welcome["token"]}, frame))[-1] == {"t": "ack", "key": key}
    assert await standing(chat, line["id"]) == [(None, "v_")]
    kept = await chat.desk.runtime.db.collection("deliveries").count_documents({"channel_id": chat.channel.id})
    await react(visitor, line["id"], "👍", key)
    again = await chat.desk.runtime.db.collection("deliveries").count_documents({"channel_id": chat.channel.id})
    assert kept == again


async def test_only_lines_of_ours_that_the_visitor_sees_take_one_of_six(chat: Chat) -> None:
    mine, theirs = await chat.visitor(), await chat.visitor()
    key = await mine.say("Is the teapot back?")
    talk = await chat.conversation()
    await chat.answer(talk["_id"], "A secret note", note=True)
    await chat.answer(talk["_id"], "It is back.")
    line = await mine.line("It is back.")
    note = next(row for row in await chat.desk.runtime.messages.raw({}) if row.get("text") == "A secret note")
    waiting = await chat.desk.runtime.outbox.reply(talk["_id"], ADA, ReplyInput(text="Later"), a_key(), undo_s=600)
    own = next(each["id"] for each in mine.lines.values() if each.get("key") == key)
    await theirs.say("Hello from somebody else")
    await chat.work()
    nowhere = [note["_id"], waiting.id, own, "msg_of_nobody", None, 7]
    for socket, line_id, emoji in (
        (theirs, line["id"], "👍"), *((mine, each, "👍") for each in nowhere), (mine, line["id"], "🤬"),
        (mine, line["id"], "nice"), (mine, line["id"], 7), (mine, line["id"], ["👍"]),
    ):  # fmt: skip
        answer = await react(socket, line_id, emoji)
        assert answer["t"] == "refused" and answer["code"] in ("wrong", "slow"), (line_id, emoji, answer)
        assert "retry_after_s" not in answer, (line_id, emoji)
        chat.forget_limits()
    await mine.send(t="react", key="short", id=line["id"], emoji="👍")
    assert (await mine.a("refused"))["code"] == "wrong"
    assert await standing(chat, line["id"]) == []
    assert "A secret note" not in str(mine.frames)


async def test_reactions_are_paced_and_one_who_was_held_back_comes_again(chat: Chat) -> None:
    visitor = await chat.visitor()
    line = await answered(chat, visitor)
    answers = [await react(visitor, line["id"], VISITORS_REACTIONS[n % 6]) for n in range(12)]
    refused = [each for each in answers if each["t"] == "refused"]
    assert len(answers) - len(refused) in (10, 11) and refused
    assert all(each["code"] == "slow" and each["retry_after_s"] > 0 for each in refused)
    chat.forget_limits()
    assert (await react(visitor, line["id"], "😢", refused[-1]["key"]))["t"] == "ack"
    assert await standing(chat, line["id"]) == [("😢", "v_")]


async def test_who_signs_in_changes_the_reaction_of_before_and_makes_no_second_one(chat: Chat) -> None:
    visitor = await chat.visitor()
    line = await answered(chat, visitor)
    await react(visitor, line["id"], "👍")
    assert await standing(chat, line["id"]) == [("👍", "v_")]
    known = await chat.visitor(visitor.welcome["token"], identity=signed("c-reacts"))
    await chat.work()
    assert (await react(known, line["id"], "🎉"))["t"] == "ack"
    assert await standing(chat, line["id"]) == [("🎉", "v_")]
    # The next one at this browser is somebody else: what is the customer's is nothing to them.
    stranger = await chat.visitor(visitor.welcome["token"])
    assert (await react(stranger, line["id"], "😢"))["t"] == "refused"


async def test_a_conversation_that_came_later_takes_reactions_in_an_open_window(chat: Chat) -> None:
    visitor = await chat.visitor()
    await answered(chat, visitor)
    runtime = chat.desk.runtime
    (first,) = await chat.conversations()
    await runtime.desk_actions.set_status(first["_id"], "resolved", ADA)
    ways = await runtime.beginning.reaches(await runtime.profiles.identities_of(first["profile_id"]), None)
    wish = Wish(first["profile_id"], channel_id=chat.channel.id)
    begun = await runtime.beginning.begin(wish, ways, ADA, ReplyInput(text="And what?"), a_key())
    await chat.work()
    assert begun.conversation_id != first["_id"]
    line = await visitor.line("And what?")
    assert (await react(visitor, line["id"], "👍"))["t"] == "ack"
    assert await standing(chat, line["id"]) == [("👍", "v_")]
