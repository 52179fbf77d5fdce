"""Bots: each conversation has one owner, and nobody waits for a bot that is gone."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from base.clock import now
from base.errors import Conflict
from base.http import HttpFailed, HttpReply
from base.signing import verify_standard
from campaigns.automation.bots import posting
from campaigns.automation.bots.book import MadeBot
from campaigns.automation.bots.models import BotInput, asks_for_person
from campaigns.automation.bots.posting import BotPoster
from campaigns.automation.carrying import Doer
from campaigns.automation.models import read_actions
from campaigns.canned import Answering
from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.acts import Change
from inbox.bulk import Order
from inbox.incoming import Arrival
from inbox.models import Actor, ReplyInput
from inbox.sla.models import PolicyInput
from profiles.events import Event, NewEvent
from tests.conftest import LocalServer
from tests.desk.api.conftest import CANARY, World, answer_of, opened
from tests.dying import Dying
from webhooks.ingest import Item, unheard_words

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ANNA = Actor("usr_anna", "Anna")
GUIDE = Path(__file__).resolve().parents[3] / "docs" / "bots.md"


@pytest.fixture(scope="module")
async def world(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[World]:
    async with opened(mongo_url, redis_url, shaped_database) as own:
        yield own


@dataclass
class Phone:
    """Plays the address of the bot."""

    answer: Any = None
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def request(self, method: str, url: str, *, headers: Any, data: bytes, **more: Any) -> HttpReply:
        self.posted.append((dict(headers), data))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or HttpReply(204, {}, b"")


@dataclass
class Stage:
    """A channel with a bot, and who writes there."""

    world: World
    channel: str
    made: MadeBot
    phone: Phone
    poster: BotPoster
    numbers: Any = field(default_factory=count)

    @property
    def runtime(self) -> Any:
        return self.world.runtime

    async def writes(self, text: str, who: str = "mei", **more: Any) -> Any:
        """A customer writes and it is told; the conversation afterwards."""
        key = f"{self.channel}-{next(self.numbers)}"
        event = MessageReceived(
            event_id=key, message_id=key, occurred_at=now(), text=text, person=Person(name=who),
            address=Address(channel_id=self.channel, external_id=who), **more,
        )  # fmt: skip
        (outcome,) = (await self.runtime.receiver.receive([Arrival(self.channel, "generic", event, "dlv_x")])).outcomes
        await self.told(outcome.conversation_id)
        return await self.talk(outcome.conversation_id)

    async def talk(self, conversation_id: str) -> Any:
        return await self.runtime.conversations.get(conversation_id)

    async def told(self, conversation_id: str) -> None:
        """All that has happened in a conversation is told, twice."""
        rows = await self.runtime.db.collection("events").find({"conversation_id": conversation_id}).to_list(None)
        events = [Event.model_validate(row) for row in rows]
        for each in reversed([*events, *events]):
            await self.poster.hear([each])

    async def posts(self) -> None:
        """Everything due is posted, and who should have spoken is looked after."""
        await self.soon("planned")
        while await self.poster.drain():
            await self.poster.idle()
            await self.soon("planned")

    async def soon(self, *states: str) -> None:
        rows = self.runtime.db.collection("bot_posts")
        await rows.update_many({"state": {"$in": list(states)}}, {"$set": {"due_at": LONG_AGO}})

    async def line(self, conversation_id: str) -> dict[str, Any]:
        """The quiet line that tells of the hand-over; there is one."""
        rows = await self.runtime.messages.raw({"conversation_id": conversation_id, "direction": "system"})
        (found,) = [row["system"] for row in rows if row["system"]["code"] == "handed_over"]
        return dict(found["params"])

    async def said(self, text: str, conversation_id: str, status: int = 201) -> Any:
        """The bot writes, by its token."""
        async with self.world.client(self.made.key) as client:
            answer = await client.post(f"/api/v1/conversations/{conversation_id}/messages", json={"text": text})
            assert answer.status == status, await answer.text()
            return await answer_of(answer)

    async def state(self) -> list[tuple[str, str | None]]:
        found = self.runtime.db.collection("bot_posts").find({"bot_id": self.made.row["_id"]})
        rows = await found.sort("_id").to_list(None)
        return [(row["state"], row.get("said")) for row in rows]


@pytest.fixture
async def stage(world: World) -> Stage:
    settings = {"secret": CANARY, "send_url": "https://receiver.example.org/in"}
    channel = await world.runtime.channels.add("generic", "With a bot", settings)
    wanted = BotInput(name="Tilly", url="https://bot.example/in", channel_ids=[channel.id])
    made = await world.runtime.bots.create(wanted, "usr_x")
    world.runtime.bot_rows._known_until = 0.0
    phone = Phone()
    poster = world.runtime.bot_poster
    poster._http = phone
    return Stage(world, channel.id, made, phone, poster)


async def test_the_bot_of_the_guide_answers_and_hands_over(
    stage: Stage, local_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for name, value in (("RAPPORT", stage.world.url), ("BOT_TOKEN", stage.made.key), ("BOT_SECRET", stage.made.secret)):
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, "bots.md", "exec"), names)
    bot = await local_server(names["app"])

    class Line:
        async def request(self, method: str, url: str, *, headers: Any, data: bytes, **more: Any) -> HttpReply:
            async with ClientSession() as client, client.post(f"{bot}/bot", data=data, headers=headers) as reply:
                return HttpReply(reply.status, {}, await reply.read())

    stage.poster._http = Line()  # type: ignore[assignment]
    talk = await stage.writes("Hello, what are your OPENING HOURS?")
    assert (talk.owner, talk.status, talk.waiting_since) == ("bot", "pending", None)
    await stage.posts()
    said = await stage.runtime.messages.raw({"conversation_id": talk.id, "direction": "out"})
    assert [(row["text"], row["author"]["type"], row["author"]["name"]) for row in said] == [
        ("We are open from nine to five.", "bot", "Tilly")
    ]
    talk = await stage.writes("And my teapot is broken")
    assert talk.owner == "bot" and talk.first_reply_at is None
    await stage.posts()
    talk = await stage.talk(talk.id)
    assert (talk.owner, talk.status) == ("agents", "open") and talk.waiting_since is not None
    line = await stage.line(talk.id)
    assert (line["reason"], line["bot_name"], line["said"]) == ("bot", "Tilly", "I do not know this.")
    async with ClientSession() as client:
        forged = await client.post(f"{bot}/bot", data=b"{}", headers={"webhook-id": "x"})
        assert forged.status == 401


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (None, "silent", 1), (HttpReply(404, {}, b""), "error", 1), (HttpReply(503, {}, b""), "error", 3),
        (HttpFailed("refused_address", "inside", sent=False), "error", 1),
        (HttpFailed("timeout", "slow", sent=True), "error", 3),
    ],
)  # fmt: skip
async def test_who_is_silent_or_fails_loses_the_conversation(
    stage: Stage, answer: Any, reason: str, tries: int
) -> None:  # fmt: skip
    stage.phone.answer = answer
    talk = await stage.writes("Hello")
    await stage.posts()
    if reason == "silent":
        assert (await stage.talk(talk.id)).owner == "bot"
        await stage.poster.look_after_silent()
        assert (await stage.talk(talk.id)).owner == "bot"  # it still has time
        await stage.soon("waiting")
        await stage.poster.look_after_silent()
    after = await stage.talk(talk.id)
    assert (after.owner, after.status) == ("agents", "open") and after.waiting_since is not None
    assert (await stage.line(talk.id))["reason"] == reason
    assert len(stage.phone.posted) == tries
    bot = await stage.runtime.bots.get(stage.made.row["_id"])
    assert ("last_error" in bot) == (reason == "error")


async def test_who_speaks_in_time_or_has_nothing_to_say_keeps_it(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    await stage.posts()
    headers, body = stage.phone.posted[0]
    assert verify_standard(
        [stage.made.secret], headers["webhook-id"], headers["webhook-timestamp"], headers["webhook-signature"], body,
        now(),
    )  # fmt: skip
    told = orjson.loads(body)["data"]
    assert (told["message"]["text"], told["conversation"]["owner"]) == ("Hello", "bot")
    assert told["conversation_id"] == talk.id
    await stage.said("Hello to you", talk.id)
    stage.phone.answer = HttpReply(200, {}, b'{"quiet": true}')
    await stage.writes("Thanks")
    await stage.posts()
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    assert (await stage.talk(talk.id)).owner == "bot"
    assert await stage.state() == [("done", "answered"), ("done", "quiet")]


async def test_who_asks_for_a_person_gets_one_and_the_bot_is_not_told(stage: Stage) -> None:
    talk = await stage.writes("我要转人工")
    await stage.posts()
    assert stage.phone.posted == []
    assert (await stage.line(talk.id))["reason"] == "asked"
    assert not asks_for_person("agents of change", ["agent"]) and asks_for_person("An AGENT, please", ["agent"])


async def test_a_person_who_writes_takes_it_at_once_and_the_bot_is_refused(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    await stage.posts()
    await stage.runtime.outbox.reply(talk.id, ANNA, ReplyInput(text="I am Anna"), f"k-{talk.id}")
    after = await stage.talk(talk.id)
    assert (after.owner, after.status, after.waiting_since) == ("agents", "open", None) and after.first_reply_at
    assert (await stage.said("Me too", talk.id, 409))["code"] == "not_yours"
    async with stage.world.client(stage.made.key) as client:
        answer = await client.post(f"/api/v1/conversations/{talk.id}/hand-over", json={})
        assert answer.status == 409
    await stage.writes("And now?")
    await stage.posts()
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    assert len(stage.phone.posted) == 1
    assert (await stage.state()) == [("done", "not_its_own")]


@pytest.mark.parametrize("how", ["assigned", "opened", "app", "taken"])
async def test_other_ways_to_take_it(stage: Stage, how: str) -> None:
    talk, actions = await stage.writes("Hello"), stage.runtime.desk_actions
    if how == "assigned":
        await actions.assign(talk.id, ANNA.id, ANNA)
    if how == "opened":
        await actions.set_status(talk.id, "open", ANNA)
    if how == "app":
        await stage.writes("From my phone", echo=True)
    if how == "taken":
        await stage.runtime.bulk.begin(Order(Change(take_over=True), ANNA, [talk.id]))
    after = await stage.talk(talk.id)
    assert (after.owner, after.bot_id, after.status) == ("agents", None, "open")
    assert after.assignee_id == (ANNA.id if how in ("assigned", "taken") else None)
    await actions.set_status(talk.id, "pending", ANNA)
    assert (await stage.talk(talk.id)).owner == "agents"


async def test_it_comes_back_to_the_bot_once_resolved_but_not_from_a_snooze(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    async with stage.world.client(stage.made.key) as client:
        answer = await client.patch(f"/api/v1/conversations/{talk.id}", json={"status": "resolved"})
        assert (await answer_of(answer))["owner"] == "agents"
    again = await stage.writes("One more thing")
    assert (again.id, again.owner, again.status, again.waiting_since) == (talk.id, "bot", "pending", None)
    await stage.runtime.desk_actions.set_status(talk.id, "open", ANNA)
    await stage.runtime.desk_actions.set_status(talk.id, "snoozed", ANNA)
    assert (await stage.writes("Hello?")).owner == "agents"


async def test_groups_and_machines_are_for_people(stage: Stage) -> None:
    assert (await stage.writes("Hi all", "gina", group_id="g1")).owner == "agents"
    bounce = MailParts(message_id="<x@y>", automatic=True)
    assert (await stage.writes("I am away", "robot", mail=bounce)).owner == "agents"


async def test_queues_and_clocks_pass_it_over_until_it_is_handed_over(stage: Stage) -> None:
    kept = PolicyInput.model_validate({
        "name": f"For {stage.channel}", "lengths": {"first_response_min": 5}, "reach": {"channel_ids": [stage.channel]},
    })  # fmt: skip
    await stage.runtime.sla_policies.create(kept)
    await stage.runtime.sla_clocks.fresh_terms()
    talk = await stage.writes("Hello")
    assert talk.sla is None or talk.sla.clocks == ()
    assert talk.id not in {row["_id"] for row in await stage.runtime.conversations.without_team([stage.channel], 50)}
    await stage.runtime.handing.hand_over(talk.id, "silent")
    after = await stage.talk(talk.id)
    assert after.sla is not None and after.sla.due_at is not None
    assert after.sla.due_at >= talk.created_at + timedelta(minutes=5)
    assert talk.id in {row["_id"] for row in await stage.runtime.conversations.without_team([stage.channel], 50)}


async def test_what_a_bot_has_that_is_switched_off_goes_to_people(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    await stage.runtime.bots.change(stage.made.row["_id"], {"active": False})
    await stage.poster.take_from_leaving()
    assert (await stage.line(talk.id))["reason"] == "off"
    assert await stage.runtime.bot_rows.leaving() == []
    await stage.runtime.bots.remove(stage.made.row["_id"])
    async with stage.world.client(stage.made.key) as client:
        assert (await client.get("/api/v1/conversations")).status == 401
    await stage.runtime.bots.restore(stage.made.row["_id"])
    async with stage.world.client(stage.made.key) as client:
        found = await answer_of(await client.get("/api/v1/conversations"))
        assert {each["channel_id"] for each in found["data"]} == {stage.channel}


async def test_it_dies_anywhere_and_people_get_it_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.phone.answer = HttpReply(404, {}, b"")
    dying = Dying(monkeypatch)

    async def work() -> None:
        (row,) = await stage.runtime.bot_posts.by_host.claim(1, ())
        await stage.poster._post(row)

    for at in range(1, 30):
        died = False
        for after in (False, True):
            talk = await stage.writes("Hello", f"p{at}{after}")
            await stage.soon("planned")
            died = await dying.on(at, after, work)
            await stage.posts()
            assert (await stage.talk(talk.id)).owner == "agents", (at, after)
            assert (await stage.line(talk.id))["reason"] == "error"
        if not died:
            return
    raise AssertionError("handing over writes more often than that")


async def test_a_bot_and_a_person_at_once_leave_one_owner(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    outbox, bot = stage.runtime.outbox, Actor(stage.made.row["_id"], "Tilly", "bot")
    done = await asyncio.gather(
        outbox.reply(talk.id, bot, ReplyInput(text="Bot"), f"b-{talk.id}"),
        outbox.reply(talk.id, ANNA, ReplyInput(text="Anna"), f"a-{talk.id}"),
        stage.runtime.handing.hand_over(talk.id, "silent"),
        return_exceptions=True,
    )  # fmt: skip
    after = await stage.talk(talk.id)
    assert (after.owner, after.status) == ("agents", "open")
    lines = await stage.runtime.messages.raw({"conversation_id": talk.id, "direction": "out"})
    order = [row["author"]["type"] for row in sorted(lines, key=lambda row: row["seq"])]
    assert order in (["bot", "agent"], ["agent"]), done


def act_of(stage: Stage, talk: Any, by: Actor = ANNA) -> Any:
    return stage.runtime.bulk.begin(Order(Change(hand_to_bot=True), by, [talk.id]))


async def test_people_give_it_back_to_the_bot_and_think_better_of_it(stage: Stage) -> None:
    talk, actions = await stage.writes("Hello"), stage.runtime.desk_actions
    await actions.assign(talk.id, ANNA.id, ANNA)
    before = await stage.writes("Are you there?")
    assert before.owner == "agents" and before.waiting_since is not None
    act = await act_of(stage, talk)
    given = await stage.talk(talk.id)
    assert (given.owner, given.status, given.assignee_id, given.waiting_since) == ("bot", "pending", None, None)
    await stage.runtime.bulk.undo(act["_id"], ANNA)
    after = await stage.talk(talk.id)
    assert (after.owner, after.bot_id, after.status) == ("agents", None, "open")
    assert (after.assignee_id, after.waiting_since) == (ANNA.id, before.waiting_since)
    await stage.told(talk.id)
    await stage.posts()
    assert stage.phone.posted == [], "nothing is told of what is taken back"
    async with stage.world.client("agent") as client:
        answer = await client.post(f"/api/v1/conversations/{talk.id}/hand-over", json={"to": "bot"})
        assert (await answer_of(answer))["owner"] == "bot"
    await stage.told(talk.id)
    await stage.posts()
    (told,) = [orjson.loads(body) for _, body in stage.phone.posted]
    assert (told["type"], told["data"]["waits"]) == ("conversation.given", True)
    assert told["data"]["message"]["text"] == "Are you there?"
    await stage.said("I am here", talk.id)
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    assert (await stage.talk(talk.id)).owner == "bot"


async def test_what_was_taken_over_goes_back_with_one_click_and_only_as_it_was_left(stage: Stage) -> None:
    talk, bulk = await stage.writes("Hello"), stage.runtime.bulk
    act = await bulk.begin(Order(Change(take_over=True), ANNA, [talk.id]))
    taken = await stage.talk(talk.id)
    assert (taken.owner, taken.status, taken.assignee_id) == ("agents", "open", ANNA.id)
    rows = await stage.runtime.messages.raw({"conversation_id": talk.id, "direction": "system"})
    (said,) = [row["system"]["params"] for row in rows if row["system"]["code"] == "handed_over"]
    assert (said["bot_name"], said["reason"], said["by"]) == (stage.made.row["name"], "taken", ANNA.id)
    # What people have is not taken over once more, so there is nothing to take back.
    again = await bulk.begin(Order(Change(take_over=True), Actor("usr_bo", "Bo"), [talk.id]))
    assert (again["changed"], (await stage.talk(talk.id)).assignee_id) == (0, ANNA.id)
    await bulk.undo(act["_id"], ANNA)
    back = await stage.talk(talk.id)
    assert (back.owner, back.bot_id, back.status) == ("bot", talk.bot_id, "pending")
    assert (back.assignee_id, back.waiting_since) == (None, None)
    await stage.told(talk.id)
    await stage.posts()
    assert {orjson.loads(body)["type"] for _, body in stage.phone.posted} == {"message.received", "conversation.given"}

    # Somebody has closed it since: it stays so.
    act = await bulk.begin(Order(Change(take_over=True), ANNA, [talk.id]))
    await stage.runtime.desk_actions.set_status(talk.id, "resolved", ANNA)
    undone = await bulk.undo(act["_id"], ANNA)
    assert [each["why"] for each in undone["left_out"]] == ["changed_since"]
    assert (await stage.talk(talk.id)).status == "resolved"


@pytest.mark.parametrize("other", [{"status": "open"}, {"assignee_id": None}, {"hand_to_bot": True}])
async def test_taking_over_goes_with_nothing_that_says_otherwise(stage: Stage, other: Any) -> None:
    talk = await stage.writes("Hello")
    async with stage.world.client("agent") as client:
        body = {"ids": [talk.id], "change": {"take_over": True, **other}}
        assert (await client.post("/api/v1/conversations/bulk", json=body)).status == 422
        body = {"ids": [talk.id], "change": {"take_over": True}}
        act = await answer_of(await client.post("/api/v1/conversations/bulk", json=body))
    after = await stage.talk(talk.id)
    assert (act["changed"], after.owner) == (1, "agents")
    assert after.assignee_id is None, "a program takes over for whoever comes"


async def test_undoing_what_took_it_gives_it_back_and_the_bot_is_told_again(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    act = await stage.runtime.bulk.begin(Order(Change(status="resolved"), ANNA, [talk.id]))
    await stage.runtime.bulk.undo(act["_id"], ANNA)
    back = await stage.talk(talk.id)
    assert (back.owner, back.status, back.waiting_since) == ("bot", "pending", None)
    await stage.told(talk.id)
    await stage.posts()
    assert {orjson.loads(body)["type"] for _, body in stage.phone.posted} == {"message.received", "conversation.given"}


async def test_rules_give_it_to_the_bot_once_and_not_where_there_is_none(stage: Stage) -> None:
    other = await stage.world.runtime.channels.add("generic", "No bot", {"secret": CANARY})
    talk, carrying = await stage.writes("Hello"), stage.runtime.carrying
    rule = Doer(Actor("arl_x", "A rule", "campaign"), "rule", Answering(""))
    action = read_actions([{"type": "hand_to_bot"}])[0]

    async def tried(conversation_id: str) -> str:
        row = await stage.runtime.conversations.row(conversation_id)
        return str((await carrying.carry_out(action, row, rule, "k", now())).why)

    assert await tried(talk.id) == ""
    assert (await stage.talk(talk.id)).owner == "bot"
    await stage.runtime.handing.hand_over(talk.id, "silent")
    assert await tried(talk.id) == "bot_lost_it", "that would go round"
    await stage.runtime.desk_actions.set_status(talk.id, "resolved", ANNA)
    assert await tried(talk.id) == "" and (await stage.talk(talk.id)).owner == "bot"
    elsewhere = replace(stage, channel=other.id)
    assert await tried((await elsewhere.writes("Hello", "otto")).id) == "no_bot"
    assert await tried((await stage.writes("Hi all", "gina", group_id="g1")).id) == "unfit"


async def test_two_programs_that_answer_each_other_are_stopped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "CIRCLES", ((timedelta(minutes=10), 3),))
    stage.phone.answer = HttpReply(200, {}, b'{"quiet": true}')
    for number in range(3):
        talk = await stage.writes(f"Beep {number}")
        await stage.posts()
        assert talk.owner == "bot"
    for number in range(10):
        await stage.said(f"Boop {number}", talk.id)
    assert (await stage.said("Boop", talk.id, 409))["code"] == "said_enough"
    await stage.writes("Beep")
    await stage.posts()
    assert (await stage.line(talk.id))["reason"] == "circles"
    told = [orjson.loads(body)["data"]["conversation_id"] for _, body in stage.phone.posted]
    assert told.count(talk.id) == 3


async def hears(stage: Stage, text: str, who: str = "mei", **more: Any) -> Any:
    """A customer writes, by the way of all deliveries: the message, then its word of consent; the conversation."""
    key = f"{stage.channel}-{next(stage.numbers)}"
    event = MessageReceived(
        event_id=key, message_id=key, occurred_at=now(), text=text, person=Person(name=who),
        address=Address(channel_id=stage.channel, external_id=who), **more,
    )  # fmt: skip
    owners, item = stage.runtime.ingest._owners, Item(stage.channel, "generic", event, "dlv_x")
    for _ in range(2):  # every delivery may be processed again
        await owners.messages([item])
        if words := unheard_words([item]):
            await owners.words(words)
    line = await stage.runtime.db.collection("messages").find_one({"provider_message_id": key})
    await stage.told(line["conversation_id"])
    return await stage.talk(line["conversation_id"])


async def consents(stage: Stage, talk: Any) -> tuple[bool | None, int]:
    """(what stands of hearing from us, how many answers of ours there are to such words)."""
    ledger = await stage.runtime.consent.ledger(talk.profile_id)  # the newest first
    sends = stage.runtime.db.collection("sends")
    wanted = {"identity_id": talk.identity_id, "source.kind": "consent"}
    return (ledger[0]["granted"] if ledger else None), await sends.count_documents(wanted)


def asked_of(stage: Stage) -> list[str]:
    """What the bot was told, in order."""
    told = [orjson.loads(body)["data"]["message"] for _, body in stage.phone.posted]
    return [each["text"] for each in told if each]


@pytest.mark.parametrize("word", ["STOP", "please stop messaging me", "退订"])
async def test_stop_acts_as_everywhere_and_the_bot_is_neither_told_nor_heard(stage: Stage, word: str) -> None:
    stage.phone.answer = HttpReply(200, {}, b'{"quiet": true}')
    talk = await hears(stage, "Do you sell pots?")
    await stage.posts()
    await stage.said("We do", talk.id)
    after = await hears(stage, word)
    await stage.posts()
    assert (after.id, after.owner) == (talk.id, "bot"), "nobody has to see to it"
    assert await consents(stage, talk) == (False, 1)
    assert asked_of(stage) == ["Do you sell pots?"]
    assert (await stage.said("Are you sure?", talk.id, 409))["code"] == "asked_to_stop"
    async with stage.world.client(stage.made.key) as client:
        note = {"text": "They want no mail", "note": True}
        answer = await client.post(f"/api/v1/conversations/{talk.id}/messages", json=note)
        assert answer.status == 201, await answer.text()
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    assert (await stage.talk(talk.id)).owner == "bot"

    await hears(stage, "But where is my parcel?")
    await stage.posts()
    assert asked_of(stage) == ["Do you sell pots?", "But where is my parcel?"]
    await stage.said("On its way", talk.id)  # an answer to who asks is no advertisement
    assert await consents(stage, talk) == (False, 1)


async def test_who_says_stop_before_the_bot_has_answered_waits_for_people(stage: Stage) -> None:
    talk = await hears(stage, "Do you sell pots?")
    await stage.posts()
    await hears(stage, "STOP")
    assert (await stage.said("We do", talk.id, 409))["code"] == "asked_to_stop"
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    after = await stage.talk(talk.id)
    assert (after.owner, after.status) == ("agents", "open") and after.waiting_since is not None
    assert (await stage.line(talk.id))["reason"] == "stopped"
    assert await stage.state() == [("done", "asked_to_stop")]

    talk = await hears(stage, "And you?", "late")  # before the bot was told at all
    await hears(stage, "STOP", "late")
    await stage.posts()
    assert asked_of(stage) == ["Do you sell pots?"]
    assert (await stage.line(talk.id))["reason"] == "stopped" and (await stage.talk(talk.id)).owner == "agents"


async def test_what_a_bot_has_written_and_stop_overtakes_does_not_go_out(stage: Stage) -> None:
    talk = await hears(stage, "Do you sell pots?")
    await stage.posts()
    said = await stage.said("We do", talk.id)
    await hears(stage, "STOP")
    sends = stage.runtime.db.collection("sends")
    while await stage.runtime.delivery.deliver(50):
        await asyncio.sleep(0.01)
    row = await sends.find_one({"message_id": said["id"]})
    assert (row["state"], row["reason"]["code"]) == ("skipped", "asked_to_stop")
    await stage.soon("waiting")
    await stage.poster.look_after_silent()
    assert (await stage.line(talk.id))["reason"] == "stopped"


async def test_start_takes_back_a_no_and_is_else_a_greeting(stage: Stage) -> None:
    stage.phone.answer = HttpReply(200, {}, b'{"quiet": true}')
    for word in ("Start", "开始"):
        talk = await hears(stage, word, f"new {word}")
        await stage.posts()
        assert asked_of(stage)[-1] == word and await consents(stage, talk) == (None, 0)
    talk = await hears(stage, "Hello")
    await hears(stage, "STOP")
    assert await consents(stage, talk) == (False, 1)
    await hears(stage, "START")
    await stage.posts()
    assert await consents(stage, talk) == (True, 2)
    assert asked_of(stage) == ["Start", "开始", "Hello"]
    await stage.said("Welcome back", talk.id)
    await hears(stage, "subscribe")
    await stage.posts()
    assert asked_of(stage) == ["Start", "开始", "Hello"] and (await stage.talk(talk.id)).owner == "bot"


async def test_a_stop_and_an_answer_at_one_moment_are_put_in_order(stage: Stage) -> None:
    """Whichever comes first stands, and nothing of the bot stands after the STOP."""
    for number in range(8):
        who = f"hurry {number}"
        talk = await hears(stage, "Hello", who)
        await stage.posts()

        async def says(text: str, talk: Any = talk) -> None:
            async with stage.world.client(stage.made.key) as client:
                answer = await client.post(f"/api/v1/conversations/{talk.id}/messages", json={"text": text})
                assert answer.status in (201, 409), await answer.text()

        await asyncio.gather(says("One"), hears(stage, "STOP", who), says("Two"), says("Three"))
        lines = await stage.runtime.messages.raw({"conversation_id": talk.id})
        (stop,) = [line["seq"] for line in lines if line["text"] == "STOP"]
        assert all(line["seq"] < stop for line in lines if line["author"]["type"] == "bot"), number


async def test_an_answer_that_does_not_go_out_brings_people(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    await stage.posts()
    said = await stage.said("Hello to you", talk.id)
    failed = NewEvent(
        "message.failed", f"message.failed:{said['id']}", now(), profile_id=talk.profile_id,
        identity_id=talk.identity_id, channel_id=stage.channel, conversation_id=talk.id,
        properties={"message_id": said["id"], "source": "reply"},
    )  # fmt: skip
    await stage.runtime.events.record([failed])
    await stage.told(talk.id)
    await stage.posts()
    assert (await stage.line(talk.id))["reason"] == "undelivered"


async def test_a_bot_touches_nothing_that_people_have(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    await stage.runtime.desk_actions.assign(talk.id, ANNA.id, ANNA)
    async with stage.world.client(stage.made.key) as client:
        for change in ({"status": "resolved"}, {"labels": ["x"]}, {"priority": "high"}):
            answer = await client.patch(f"/api/v1/conversations/{talk.id}", json=change)
            assert (await answer_of(answer))["code"] == "not_yours"
        answer = await client.post(f"/api/v1/conversations/{talk.id}/hand-over", json={"to": "bot"})
        assert (await answer_of(answer))["code"] == "not_yours"


async def test_what_a_colleague_takes_back_leaves_the_customer_waiting(stage: Stage) -> None:
    talk = await stage.writes("Hello")
    reply = ReplyInput(text="I am Anna")
    line = await stage.runtime.outbox.reply(talk.id, ANNA, reply, f"k-{talk.id}", undo_s=60)
    await stage.runtime.afterthoughts.undo(line.id, ANNA)
    after = await stage.talk(talk.id)
    assert (after.owner, after.status) == ("agents", "open") and after.waiting_since is not None
    talk = await stage.writes("Hello", "later")
    await stage.runtime.outbox.reply(
        talk.id, ANNA, ReplyInput(text="Tomorrow", send_at=now() + timedelta(days=1)), f"k-{talk.id}"
    )  # fmt: skip
    after = await stage.talk(talk.id)
    assert after.owner == "agents" and after.waiting_since is not None


async def test_splitting_leaves_the_bot_its_part_and_merging_gives_all_to_people(stage: Stage) -> None:
    await stage.writes("One")
    talk = await stage.writes("Two")
    lines = await stage.runtime.messages.raw({"conversation_id": talk.id, "direction": "in"})
    second = max(lines, key=lambda row: row["seq"])
    new = await stage.runtime.splitting.split(talk.id, second["_id"], ANNA)
    old = await stage.talk(talk.id)
    assert (old.owner, old.status, old.waiting_since) == ("bot", "pending", None)
    assert (new.owner, new.status) == ("agents", "open") and new.waiting_since is not None
    for head, other in ((old, new), (new, old)):
        merge = await stage.runtime.merging.merge(head.id, [other.id], ANNA)
        whole = await stage.talk(head.id)
        assert (whole.owner, whole.status) == ("agents", "open") and whole.waiting_since is not None
        assert (await stage.writes("Three")).owner == "agents"
        with pytest.raises(Conflict, match="takes no groups"):
            await stage.runtime.handing.give(head.id, ANNA)
        await stage.runtime.merging.unmerge(merge.act_id, ANNA)
        for each in (old, new):
            assert (await stage.talk(each.id)).owner == "agents"
        assert (await stage.talk(old.id)).status == "open"
        await stage.runtime.handing.give(old.id, ANNA)


async def test_hearing_telling_and_giving_die_anywhere_and_nothing_is_lost_or_doubled(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every write: the bot is told under one id and has it, or people have it with one line that says so."""
    dying = Dying(monkeypatch)
    stage.phone.answer = HttpReply(200, {}, b'{"quiet": true}')

    async def work() -> None:
        await act_of(stage, talk)
        await stage.told(talk.id)
        for row in await stage.runtime.bot_posts.by_host.claim(10, ()):
            await stage.poster._post(row)

    for at in range(1, 40):
        died = False
        for after in (False, True):
            talk = await stage.writes("Hello", f"g{at}{after}")
            await stage.runtime.desk_actions.assign(talk.id, ANNA.id, ANNA)
            await stage.writes("More", f"g{at}{after}")
            await stage.posts()
            stage.phone.posted.clear()
            died = await dying.on(at, after, work)
            if (await stage.talk(talk.id)).owner != "bot":
                await act_of(stage, talk)  # whoever asked saw no answer, and asks again
            await stage.told(talk.id)
            await stage.runtime.db.collection("bot_posts").update_many({}, {"$unset": {"lease": ""}})
            await stage.posts()
            assert (await stage.talk(talk.id)).owner == "bot", (at, after)
            rows = await stage.runtime.messages.raw({"conversation_id": talk.id, "direction": "system"})
            assert [row["system"]["code"] for row in rows].count("given_to_bot") == 1, (at, after)
            told = {(head["webhook-id"], orjson.loads(body)["type"]) for head, body in stage.phone.posted}
            assert [kind for _, kind in told] == ["conversation.given"], (at, after, told)
        if not died:
            return
    raise AssertionError("giving writes more often than that")


def test_addresses_and_words_are_checked() -> None:
    with pytest.raises(ValueError, match="web address"):
        BotInput(name="x", url="ftp://example.com")
