"""Killed at every write, where a bot and people meet: giving out, taking, merging. A conversation has one owner at any
moment, none is forgotten, and a bot is told of a message under one id."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from base.clock import now
from base.errors import Conflict
from base.http import HttpReply
from base.ids import new_id
from channels.vocabulary import Address, MessageReceived, Person
from inbox.incoming import Arrival
from inbox.models import Actor, ReplyInput
from inbox.owning import has_bot
from inbox.routing.models import TeamInput
from tests.campaigns.automation.test_bots import ANNA, Stage, stage, world
from tests.dying import Dying

__all__ = ["stage", "world"]
QUIET = HttpReply(200, {}, b'{"quiet": true}')
#: No way is longer than so many writes.
WRITES_MAX = 70


@dataclass
class House:
    """The stage with a team of two who are here, and routers."""

    stage: Stage
    team: str
    mates: list[str]

    async def here(self) -> None:
        """Both have a window open, however long all of this takes."""
        agents = self.stage.runtime.agents
        agents._noted.clear()
        for each in self.mates:
            await agents.seen(each)

    async def routed(self) -> None:
        """Until nothing moves any more."""
        await self.here()
        for _ in range(50):
            if not await self.stage.runtime.routing.drain(250):
                return
        raise AssertionError("it goes round and round")

    async def recovered(self, *talks: str) -> None:
        """As workers do after a death: leases end, what is due is done."""
        runtime = self.stage.runtime
        for each in talks:
            await self.stage.told(each)
        await runtime.db.collection("bot_posts").update_many({}, {"$unset": {"lease": ""}})
        await self.stage.posts()
        await self.stage.soon("waiting")
        await self.stage.poster.look_after_silent()
        await self.routed()

    async def rows(self, *talks: str) -> list[dict[str, Any]]:
        """The conversations, each with one owner: a bot's are nobody's of us, no queue's and no clock's."""
        found = [await self.stage.runtime.conversations.row(each) for each in talks]
        for row in found:
            if row is not None and row.get("owner") == "bot":
                assert row["status"] == "pending" and row.get("bot_id"), row
                assert row.get("assignee_id") is None and row.get("waiting_since") is None, row
        return [row for row in found if row is not None]

    async def codes(self, conversation_id: str) -> Counter[str]:
        """How often each thing is said in the quiet lines."""
        rows = await self.stage.runtime.messages.raw({"conversation_id": conversation_id, "direction": "system"})
        return Counter(row["system"]["code"] for row in rows)

    def told(self, *talks: str) -> Counter[tuple[str, str]]:
        """(message or nothing, id of the post) → how often it came; the same message under two ids is told twice."""
        ids = {
            (str((orjson.loads(body)["data"]["message"] or {}).get("id")), head["webhook-id"])
            for head, body in self.stage.phone.posted if orjson.loads(body)["data"]["conversation_id"] in talks
        }  # fmt: skip
        return Counter(message for message, _ in ids)  # type: ignore[arg-type]


@pytest.fixture
async def staffed(stage: Stage) -> House:
    runtime, mates = stage.runtime, []
    for name in ("Ada", "Bo"):
        user = await runtime.users.add_user(f"{new_id('key')}@example.org", name, "agent")
        await runtime.agents.enable(user.id, {"capacity": {"total": 1000}})
        mates.append(user.id)
    wanted = {
        "name": f"Team {stage.channel}", "members": [{"user_id": each} for each in mates],
        "channel_ids": [stage.channel], "routing": {"mode": "round_robin"},
    }  # fmt: skip
    team = await runtime.teams.create(TeamInput.model_validate(wanted))
    house = House(stage, team.id, mates)
    await house.here()
    return house


def arrival(channel_id: str, who: str, key: str, text: str = "Hello") -> Arrival:
    """A message, as it is delivered."""
    event = MessageReceived(
        event_id=key, message_id=key, occurred_at=now(), text=text, person=Person(name=who),
        address=Address(channel_id=channel_id, external_id=who),
    )  # fmt: skip
    return Arrival(channel_id, "generic", event, "dlv_x")


async def each_death(
    dying: Dying, one: Callable[[int, bool], Awaitable[tuple[Callable[[], Awaitable[object]], Any]]],
    then: Callable[[Any, tuple[int, bool]], Awaitable[None]],
) -> int:  # fmt: skip
    """Prepare with `one`, die at each write of its work in turn, before and after it, then look; how many writes."""
    for at in range(1, WRITES_MAX):
        died = False
        for after in (False, True):
            work, known = await one(at, after)
            died = await dying.on(at, after, work)
            await then(known, (at, after))
        if not died:
            return at
    raise AssertionError("it writes more often than that")


async def test_what_comes_for_a_bot_is_the_bots_alone(staffed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Received, told and posted, while routers give out what they find."""
    stage, runtime = staffed.stage, staffed.stage.runtime
    stage.phone.answer = QUIET

    async def one(at: int, after: bool) -> Any:
        coming = arrival(stage.channel, f"new-{at}-{after}", f"{stage.channel}-{at}-{after}")

        async def work() -> None:
            (outcome,) = (await runtime.receiver.receive([coming])).outcomes
            await stage.told(outcome.conversation_id)
            for row in await runtime.bot_posts.by_host.claim(10, ()):
                await stage.poster._post(row)
            await runtime.routing.drain(250)

        return work, coming

    async def then(coming: Any, where: Any) -> None:
        (outcome,) = (await runtime.receiver.receive([coming])).outcomes  # the delivery is processed again
        talk = outcome.conversation_id
        await staffed.rows(talk)
        await staffed.recovered(talk)
        (row,) = await staffed.rows(talk)
        assert has_bot(row) and row["message_count"] == 1 and not row.get("team_id"), where
        assert list(staffed.told(talk).values()) == [1], where
        assert not await staffed.codes(talk), where

    assert await each_death(Dying(monkeypatch), one, then) > 5


async def test_what_a_bot_loses_is_given_to_one_of_us_once(staffed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The post that fails, the hand-over, the team, somebody: each could be the last write of a worker."""
    stage, runtime = staffed.stage, staffed.stage.runtime
    stage.phone.answer = HttpReply(404, {}, b"")

    async def one(at: int, after: bool) -> Any:
        talk = await stage.writes("Hello", f"lost-{at}-{after}")
        await stage.soon("planned")

        async def work() -> None:
            for row in await runtime.bot_posts.by_host.claim(10, ()):
                await stage.poster._post(row)
            await runtime.routing.drain(250)

        return work, talk.id

    async def then(talk: str, where: Any) -> None:
        await staffed.rows(talk)
        await staffed.recovered(talk)
        (row,) = await staffed.rows(talk)
        assert not has_bot(row) and row["status"] == "open" and row["waiting_since"], where
        assert (row["assignee_id"] in staffed.mates, row["team_id"]) == (True, staffed.team), where
        assert await staffed.codes(talk) == {"handed_over": 1, "team_assigned": 1, "routed": 1}, where
        events = runtime.db.collection("events")
        assert await events.count_documents({"conversation_id": talk, "name": "conversation.assigned"}) == 2, where
        assert list(staffed.told(talk).values()) == [1], where
        assert (await stage.said("Too late", talk, 409))["code"] == "not_yours", where

    assert await each_death(Dying(monkeypatch), one, then) > 8


async def test_a_colleague_who_takes_it_dies_anywhere(staffed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer and an assignment, while the bot answers too: it is the bot's or hers, never both's."""
    stage, runtime, bot = staffed.stage, staffed.stage.runtime, Actor(staffed.stage.made.row["_id"], "Tilly", "bot")
    stage.phone.answer = QUIET
    ada = Actor(staffed.mates[0], "Ada")

    async def one(at: int, after: bool) -> Any:
        talk = await stage.writes("Hello", f"taken-{at}-{after}")

        async def work() -> None:
            await runtime.outbox.reply(talk.id, bot, ReplyInput(text="I am a bot"), f"b-{talk.id}")
            await runtime.outbox.reply(talk.id, ada, ReplyInput(text="I am Ada"), f"a-{talk.id}")
            await runtime.desk_actions.assign(talk.id, ada.id, ada)
            await runtime.routing.drain(250)

        return work, talk.id

    async def then(talk: str, where: Any) -> None:
        (row,) = await staffed.rows(talk)
        lines = await runtime.messages.raw({"conversation_id": talk, "direction": "out"})
        said = Counter(line["author"]["type"] for line in lines)
        assert max(said.values(), default=0) <= 1, where
        assert has_bot(row) == (said["agent"] == 0), where
        # who saw no answer asks again, under the same key
        await runtime.outbox.reply(talk, ada, ReplyInput(text="I am Ada"), f"a-{talk}")
        await runtime.desk_actions.assign(talk, ada.id, ada)
        with pytest.raises(Conflict):
            await runtime.outbox.reply(talk, bot, ReplyInput(text="Me too"), f"c-{talk}")
        await staffed.recovered(talk)
        (row,) = await staffed.rows(talk)
        assert (has_bot(row), row["assignee_id"], row["status"]) == (False, ada.id, "open"), where
        lines = await runtime.messages.raw({"conversation_id": talk, "direction": "out"})
        assert Counter(line["author"]["type"] for line in lines)["agent"] == 1, where

    assert await each_death(Dying(monkeypatch), one, then) > 8


@pytest.mark.parametrize("head_is", ["bots", "peoples", "both"])
async def test_merging_with_a_bot_dies_anywhere(
    staffed: House, monkeypatch: pytest.MonkeyPatch, head_is: str
) -> None:
    """Merged or not: what a bot had and is merged is people's, somebody has it, and taking it apart gives no bot
    anything and leaves nobody waiting unseen."""
    stage, runtime = staffed.stage, staffed.stage.runtime
    bot = Actor(stage.made.row["_id"], "Tilly", "bot")
    stage.phone.answer = QUIET
    settings = {"secret": "whsec_" + "Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ", "send_url": "https://receiver.example.org/in"}
    second = (await runtime.channels.add("generic", f"Second {head_is}", settings)).id
    if head_is == "both":
        await runtime.bots.change(stage.made.row["_id"], {"channel_ids": [stage.channel, second]})
        runtime.bot_rows._known_until = 0.0

    async def one(at: int, after: bool) -> Any:
        mine = await stage.writes("Hello", f"m-{head_is}-{at}-{after}")
        there = arrival(second, f"n-{head_is}-{at}-{after}", f"{second}-{at}-{after}", "And here")
        (outcome,) = (await runtime.receiver.receive([there])).outcomes
        theirs = await stage.talk(outcome.conversation_id)
        await runtime.merger.merge(mine.profile_id, theirs.profile_id, by="usr_anna")
        pair = [mine.id, outcome.conversation_id]
        head, other = pair if head_is != "peoples" else pair[::-1]

        async def work() -> None:
            await stage.told(pair[0])
            for row in await runtime.bot_posts.by_host.claim(10, ()):
                await stage.poster._post(row)
            await runtime.merging.merge(head, [other], ANNA)
            await runtime.routing.drain(250)

        return work, (head, other)

    async def then(pair: tuple[str, str], where: Any) -> None:
        head, other = pair
        before = await staffed.rows(head, other)
        merged = any(row.get("merged_into") for row in before)
        assert any(has_bot(row) for row in before) != merged, where
        merge = await runtime.merging.merge(head, [other], ANNA)  # who saw no answer asks again
        act_id = merge.act_id or (await runtime.merging.latest(await stage.talk(head)))["_id"]
        await staffed.recovered(head, other)
        whole, part = await staffed.rows(head, other)
        assert (part["status"], part["merged_into"]) == ("merged", head), where
        assert not has_bot(whole) and not has_bot(part) and whole["status"] == "open", where
        assert whole["waiting_since"] is not None, where
        assert (await staffed.codes(head))["merged"] == 1, where
        assert max(staffed.told(head, other).values(), default=0) <= 1, where
        for each in pair:
            with pytest.raises(Conflict, match="People have"):
                await runtime.outbox.reply(each, bot, ReplyInput(text="Still me"), f"still-{each}")
        if whole["channel_id"] == stage.channel:
            assert whole["assignee_id"] in staffed.mates and (await staffed.codes(head))["routed"] == 1, where
        await runtime.merging.unmerge(act_id, ANNA)
        await staffed.recovered(head, other)
        apart = await staffed.rows(head, other)
        assert not any(has_bot(row) or row.get("merged_into") for row in apart), where
        assert {row["status"] for row in apart} == {"open"}, where
        assert all(row.get("waiting_since") is not None for row in apart), where
        assert max(staffed.told(head, other).values(), default=0) <= 1, where

    assert await each_death(Dying(monkeypatch), one, then) > 8
