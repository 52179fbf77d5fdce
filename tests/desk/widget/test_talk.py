"""A visitor writes, an agent answers: kept, shown, acknowledged, resumed; never doubled, never anybody else's."""

from __future__ import annotations

import asyncio

import pytest

from channels.vocabulary import Button
from desk.widget.hub import HUB, QUEUE, Window
from inbox.beginning import Wish
from inbox.models import Actor, ReplyInput
from tests.desk.widget.conftest import ADA, Chat, MakeChat, a_key, eventually, signed

pytestmark = pytest.mark.timeout(120)


async def test_a_visitor_writes_and_an_agents_answer_appears_at_once(chat: Chat) -> None:
    visitor = await chat.visitor(page={"url": "https://shop.example.com/pots", "title": "Pots"})
    assert visitor.welcome["lines"] == [] and not visitor.welcome["identified"]
    key = await visitor.say("Is the teapot back?")
    talk = await chat.conversation()
    assert (await visitor.line("Is the teapot back?"))["key"] == key
    assert talk["display_name"].startswith("visitor-") and talk["unread"] == 1
    await chat.answer(talk["_id"], "Yes, since this morning.", buttons=[Button(title="Buy", payload="buy")])
    line = await visitor.line("Yes, since this morning.")
    assert (line["mine"], line["name"], line["st"]) == (False, "Ada Agent", "sent")
    assert line["buttons"] == [{"title": "Buy", "payload": "buy"}]

    # The browser tells what became of it; the desk shows it.
    for frame, status in (("got", "delivered"), ("read", "read")):
        await visitor.send(t=frame, ids=[line["id"], "msg_of_somebody_else"])

        async def seen(status: str = status) -> bool:
            await chat.work()
            rows = await chat.desk.runtime.messages.raw({"_id": line["id"]})
            return bool(rows[0]["status"] == status)

        await eventually(seen)
    await chat.work()
    events = await chat.desk.runtime.db.collection("events").count_documents({"name": "message.read"})
    assert events == 1

    # A button is pressed.
    await visitor.send(t="say", key=a_key(), press={"payload": "buy", "title": "Buy"}, reply_to=line["id"])
    await visitor.a("ack")
    await chat.work()
    pressed = (await chat.desk.runtime.messages.raw({"conversation_id": talk["_id"], "direction": "in"}))[-1]
    assert pressed["postback"] == {"payload": "buy", "title": "Buy"}
    first = (await chat.desk.runtime.messages.raw({"conversation_id": talk["_id"]}))[0]
    assert (await visitor.line("Buy"))["pressed"] == {"of": line["id"], "payload": "buy"}
    assert first["referral"]["url"] == "https://shop.example.com/pots" and "referral" not in pressed


async def test_the_same_key_is_the_same_message_by_whatever_way_it_comes(chat: Chat) -> None:
    visitor = await chat.visitor()
    key = await visitor.say("Only once")
    await visitor.say("Only once", key)
    other = await chat.visitor(visitor.welcome["token"])
    await other.say("Only once, again", key)
    hello = {"t": "hello", "token": visitor.welcome["token"]}
    _, ack = await chat.frames(hello, {"t": "say", "key": key, "text": "By HTTP"})
    assert ack == {"t": "ack", "key": key}
    talk = await chat.conversation()
    await visitor.say("Only once", key)
    await chat.work()
    rows = await chat.desk.runtime.messages.raw({"conversation_id": talk["_id"]})
    assert [row["text"] for row in rows] == ["Only once"]
    # Another visitor may use the same key by chance.
    await (await chat.visitor()).say("Mine", key)
    await chat.work()
    assert len(await chat.conversations()) == 2


async def test_a_window_that_comes_back_gets_what_is_missing_and_nothing_twice(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello")
    talk = await chat.conversation()
    await chat.answer(talk["_id"], "First")
    last = await visitor.line("First")
    token = visitor.welcome["token"]
    visitor.ws._response.connection.transport.abort()  # type: ignore[union-attr]
    for n in range(60):  # more than one page, while nobody is there
        await chat.desk.runtime.outbox.reply(talk["_id"], ADA, ReplyInput(text=f"Missed {n}"), a_key())
    await chat.work()
    again = await chat.visitor(token, after=last["at"])
    texts = [line["text"] for line in again.welcome["lines"]]
    assert again.welcome["gapless"] and texts[-60:] == [f"Missed {n}" for n in range(60)]
    assert len(set(texts)) == len(texts) and "First" in texts
    ids = [line["id"] for line in again.welcome["lines"]]
    assert len(set(ids)) == len(ids)
    # A new window begins at the end and reads backwards.
    fresh = await chat.visitor(token)
    assert fresh.welcome["lines"][-1]["text"] == "Missed 59" and fresh.welcome["more"]
    found = [line["text"] for line in fresh.welcome["lines"]]
    more = fresh.welcome["more"]
    while more:
        await fresh.send(t="earlier", before=more)
        part = await fresh.a("earlier")
        found, more = [line["text"] for line in part["lines"]] + found, part["more"]
    assert found == ["Hello", "First", *(f"Missed {n}" for n in range(60))]


async def test_nothing_that_is_not_for_the_visitor_reaches_them(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello")
    talk = await chat.conversation()
    await chat.answer(talk["_id"], "A regular, be nice", note=True)
    await chat.desk.runtime.desk_actions.set_status(talk["_id"], "resolved", ADA)
    later = await chat.desk.runtime.outbox.reply(
        talk["_id"], ADA, ReplyInput(text="Waits for undo"), a_key(), undo_s=600
    )
    gone = await chat.desk.runtime.outbox.reply(talk["_id"], ADA, ReplyInput(text="Taken back"), a_key(), undo_s=600)
    await chat.desk.runtime.afterthoughts.undo(gone.id, ADA)
    await chat.answer(talk["_id"], "Visible", agent=Actor("usr_b", "bo@harbour-tea.example"))
    line = await visitor.line("Visible")
    assert line["name"] == ""
    again = await chat.visitor(visitor.welcome["token"])
    assert [each["text"] for each in again.welcome["lines"]] == ["Hello", "Visible"]
    everything = str(visitor.frames + again.frames)
    for secret in ("regular", "undo", "Taken back", "@harbour-tea", "usr_", "resolved", talk["profile_id"]):
        assert secret not in everything, secret
    assert later.status == "queued"


async def test_nobody_reads_or_acknowledges_what_is_somebody_elses(chat: Chat, make_chat: MakeChat) -> None:
    mine, theirs = await chat.visitor(), await chat.visitor()
    await mine.say("A secret")
    talk = await chat.conversation()
    await chat.answer(talk["_id"], "Another secret")
    line = await mine.line("Another secret")
    await theirs.say("Hello from somebody else")
    await chat.work()
    await theirs.line("Hello from somebody else")
    await theirs.send(t="read", ids=[line["id"]])
    await theirs.send(t="earlier")
    part = await theirs.a("earlier")
    assert [each["text"] for each in part["lines"]] == ["Hello from somebody else"]
    await chat.work()
    (row,) = await chat.desk.runtime.messages.raw({"_id": line["id"]})
    assert row["status"] == "sent"
    assert "secret" not in str(theirs.frames)
    # A token of one chat opens nothing in another one.
    other = await make_chat()
    stranger = await other.visitor(mine.welcome["token"])
    assert stranger.welcome["visitor"] != mine.welcome["visitor"] and stranger.welcome["lines"] == []


async def test_typing_is_seen_on_both_sides_and_kept_nowhere(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello")
    talk = await chat.conversation()
    await visitor.line("Hello")
    agent = await chat.desk.person("agent", name="Bo Agent")
    async with agent.client.get("/api/v1/stream") as stream:
        await stream.content.readuntil(b"hello")
        await asyncio.sleep(0.2)
        await visitor.send(t="typing", on=True)
        seen = b""
        while b"event: whisper" not in seen or not seen.endswith(b"\n\n"):
            seen += await asyncio.wait_for(stream.content.readany(), 15)
        assert b'"who":"customer"' in seen and talk["_id"].encode() in seen
    headers = {"X-CSRF-Token": agent.csrf}
    async with agent.client.post(f"/inbox/{talk['_id']}/typing", headers=headers) as answer:
        assert answer.status == 204
    typing = await visitor.a("typing")
    assert typing["name"] == "Bo Agent"


async def test_visitors_hear_that_they_were_read(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello?")
    talk = await chat.conversation()
    await visitor.line("Hello?")
    await chat.desk.runtime.desk_actions.mark_read(talk["_id"], ADA)
    await visitor.a("seen")
    assert (await chat.visitor(visitor.welcome["token"])).welcome["seen"]


async def test_two_windows_of_one_visitor_show_the_same(chat: Chat) -> None:
    first = await chat.visitor()
    second = await chat.visitor(first.welcome["token"])
    await first.say("From the first window")
    await chat.work()
    await second.line("From the first window")
    await first.line("From the first window")


async def test_windows_that_are_closed_by_us_come_back_and_miss_nothing(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Hello")
    talk = await chat.conversation()
    line = await visitor.line("Hello")
    chat.desk.app[HUB].close()  # as a server does that stops
    assert await visitor.closed() == 1012
    await chat.answer(talk["_id"], "While you were away")
    again = await chat.visitor(visitor.welcome["token"], after=line["at"])
    assert [each["text"] for each in again.welcome["lines"]] == ["Hello", "While you were away"]


def test_a_window_that_does_not_keep_up_is_closed() -> None:
    window = Window("chn_a", "::1")
    for n in range(QUEUE + 1):
        window.push({"t": "lines", "n": n})
    assert window.closing


# -- who somebody is -------------------------------------------------------------------------------------------------


async def test_a_signed_customer_is_known_on_every_device(chat: Chat) -> None:
    known = await chat.desk.runtime.resolver.refer("customer_id", "c-1", create=True, name="Mei Tan")
    phone = await chat.visitor(identity=signed("c-1", name="Mei Tan", email="mei@example.org"))
    assert phone.welcome["identified"]
    await phone.say("From my phone")
    talk = await chat.conversation()
    assert known is not None and talk["profile_id"] == known.profile_id
    desktop = await chat.visitor(identity=signed("c-1"))
    assert [line["text"] for line in desktop.welcome["lines"]] == ["From my phone"]
    profile = await chat.desk.runtime.profiles.get(known.profile_id)
    assert [(each.value, each.verified) for each in profile.emails] == [("mei@example.org", False)]
    # Their token alone, without the page saying who it is, opens nothing.
    stranger = await chat.visitor(phone.welcome["token"])
    assert not stranger.welcome["identified"] and stranger.welcome["lines"] == []


@pytest.mark.parametrize("what", ["wrong", "missing", "of_another", "upper"])
async def test_without_the_right_hash_nothing_is_linked(chat: Chat, what: str) -> None:
    victim = await chat.desk.runtime.resolver.refer("customer_id", f"victim-{what}", create=True)
    address = f"victim-{what}@example.org"
    await chat.desk.runtime.resolver.refer("email", address, create=True)
    claim = signed(f"victim-{what}", email=address)
    claim["hash"] = {
        "wrong": "0" * 64, "missing": "", "of_another": signed("somebody")["hash"], "upper": claim["hash"].upper(),
    }[what]  # fmt: skip
    visitor = await chat.visitor(identity=claim)
    assert visitor.welcome["refused"] and not visitor.welcome["identified"]
    await visitor.say("I am the victim, honest")
    talk = await chat.conversation()
    assert victim is not None and talk["profile_id"] != victim.profile_id
    identities = await chat.desk.runtime.profiles.identities_of(talk["profile_id"])
    assert [each.kind for each in identities] == ["channel"]


async def test_an_unknown_visitor_who_signs_in_takes_the_thread_along(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say("Before I signed in")
    await chat.work()
    token = visitor.welcome["token"]
    known = await chat.visitor(token, identity=signed("c-new", name="Nora New"))
    assert [line["text"] for line in known.welcome["lines"]] == ["Before I signed in"]
    await chat.work()
    await known.say("After it")
    talk = await chat.conversation()
    await known.line("After it")
    joined = await chat.desk.runtime.resolver.refer("customer_id", "c-new", create=False)
    assert joined is not None and joined.profile_id == talk["profile_id"]
    await chat.answer(talk["_id"], "Welcome back")
    await known.line("Welcome back")
    elsewhere = await chat.visitor(identity=signed("c-new"))
    assert [line["text"] for line in elsewhere.welcome["lines"]] == ["Before I signed in", "After it", "Welcome back"]
    # The browser's next user is somebody else, although it kept its token.
    stranger = await chat.visitor(token)
    assert stranger.welcome["lines"] == [] and not stranger.welcome["identified"]


async def test_a_customer_with_a_history_is_never_joined_unasked(chat: Chat) -> None:
    known = await chat.desk.runtime.resolver.refer("customer_id", "c-old", create=True)
    visitor = await chat.visitor()
    await visitor.say("Who am I?")
    talk = await chat.conversation()
    signed_in = await chat.visitor(visitor.welcome["token"], identity=signed("c-old"))
    assert [line["text"] for line in signed_in.welcome["lines"]] == ["Who am I?"]
    await signed_in.say("It is me")
    await chat.work()
    talks = {row["profile_id"] for row in await chat.conversations()}
    assert known is not None and talks == {talk["profile_id"], known.profile_id}
    again = await chat.visitor(visitor.welcome["token"], identity=signed("c-old"))
    assert {line["text"] for line in again.welcome["lines"]} == {"Who am I?", "It is me"}
    await chat.work()
    assert talk["profile_id"] in str(await chat.desk.runtime.profiles.suggestions.open())


async def test_a_replaced_secret_counts_for_a_while_and_a_removed_one_not(make_chat: MakeChat) -> None:
    chat = await make_chat(identity_secret="the new one")
    await chat.desk.runtime.channels.update(chat.channel.id, settings={"identity_secret": "canary-identity-secret"})
    await chat.desk.runtime.channels.update(chat.channel.id, settings={"identity_secret": "the newest"})
    assert (await chat.visitor(identity=signed("c-9"))).welcome["identified"]
    none = await make_chat(identity_secret="")
    assert not (await none.visitor(identity=signed("c-9"))).welcome["identified"]


async def test_a_page_that_signs_null_puts_nobody_into_one_thread(chat: Chat) -> None:
    first, second = await chat.visitor(identity=signed("null")), await chat.visitor(identity=signed("null"))
    assert not first.welcome["identified"] and first.welcome["visitor"] != second.welcome["visitor"]


async def test_a_typed_name_and_address_are_shown_and_prove_nothing(chat: Chat) -> None:
    owner = await chat.desk.runtime.resolver.refer("email", "typed@example.org", create=True)
    visitor = await chat.visitor(me={"name": "  Zoë \n Typed ", "email": "Typed@Example.org"}, lang="zh-CN")
    await visitor.say("你好")
    talk = await chat.conversation()
    profile = await chat.desk.runtime.profiles.get(talk["profile_id"])
    assert owner is not None and profile.id != owner.profile_id
    assert (profile.name, profile.locale, profile.emails[0].value) == ("Zoë Typed", "zh-CN", "typed@example.org")


async def test_what_an_agent_begins_is_seen_by_the_visitor(chat: Chat) -> None:
    """Somebody who has never been here is written to, and so is one who has, after the end of the last conversation."""
    runtime = chat.desk.runtime
    known = await runtime.resolver.refer("customer_id", "c-shy", create=True)
    assert known is not None

    async def begin(text: str) -> str:
        identities = await runtime.profiles.identities_of(known.profile_id)
        wish = Wish(known.profile_id, channel_id=chat.channel.id)
        ways = await runtime.beginning.reaches(identities, None)
        begun = await runtime.beginning.begin(wish, ways, ADA, ReplyInput(text=text), a_key())
        await chat.work()
        return begun.conversation_id

    first = await begin("Your pot has come")
    visitor = await chat.visitor(identity=signed("c-shy"))
    assert [line["text"] for line in visitor.welcome["lines"]] == ["Your pot has come"]
    await runtime.desk_actions.set_status(first, "resolved", ADA)
    assert await begin("And its lid") != first
    await visitor.line("And its lid")
    await visitor.say("Thank you")
    await chat.work()
    assert len(await chat.conversations()) == 2
