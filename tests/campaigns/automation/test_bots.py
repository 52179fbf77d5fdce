"""Bots: each conversation has one owner, and nobody waits for a bot that is gone."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from base.clock import now
from base.http import HttpFailed, HttpReply
from base.signing import verify_standard
from campaigns.automation.bots.book import MadeBot
from campaigns.automation.bots.models import BotInput, asks_for_person
from campaigns.automation.bots.posting import BotPoster
from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.incoming import Arrival
from inbox.models import Actor, ReplyInput
from inbox.sla.models import PolicyInput
from profiles.events import Event
from tests.conftest import LocalServer
from tests.desk.api.conftest import CANARY, World, answer_of, opened
from tests.dying import Dying

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
        await self.told()
        return await self.talk(outcome.conversation_id)

    async def talk(self, conversation_id: str) -> Any:
        return await self.runtime.conversations.get(conversation_id)

    async def told(self) -> None:
        """All that has happened is told, twice."""
        rows = await self.runtime.db.collection("events").find({"channel_id": self.channel}).to_list(None)
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
        await stage.runtime.handing.hand_over(talk.id, "taken", ANNA, to=ANNA)
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
        (row,) = await stage.runtime.bot_posts.claim(1, ())
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


def test_addresses_and_words_are_checked() -> None:
    with pytest.raises(ValueError, match="web address"):
        BotInput(name="x", url="ftp://example.com")
