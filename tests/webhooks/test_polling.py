"""Accounts that have to be asked: nothing lost, nothing twice, one asker at a time, a bad one holds up nobody."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, Page
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.store import Channel
from channels.vocabulary import AnyEvent, FetchWanted
from tests.webhooks.conftest import Tools
from webhooks.ingest import Ingest, Item
from webhooks.polling import Polling
from webhooks.store import PollStore

FIRST_OF_2026 = datetime(2026, 1, 1, tzinfo=UTC)


class LoftSettings(AccountSettings):
    """Nothing but a name."""

    loft: str = "north"


class Dovecote(Adapter):
    """Keeps letters until it is asked for them, two a page."""

    card: ClassVar[Card] = Card("dovecote", "Dovecote", "chat", "For tests.", LoftSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=100)
    letters: ClassVar[dict[str, list[bytes]]] = {}
    asked: ClassVar[list[tuple[str, str | None, str | None]]] = []
    at_once: ClassVar[dict[str, int]] = {}
    trouble: ClassVar[dict[str, Exception | float]] = {}

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None: ...

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        return [FetchWanted(event_id="w", occurred_at=FIRST_OF_2026, hint=json.loads(delivery.body)["hint"])]

    def poll_every_s(self, account: Account) -> float | None:
        return None if account.settings.loft == "closed" else 30.0

    async def poll(self, account: Account, cursor: str | None, hint: str | None) -> Page:
        loft = account.settings.loft
        self.asked.append((loft, cursor, hint))
        self.at_once[loft] = self.at_once.get(loft, 0) + 1
        try:
            trouble = self.trouble.get(loft)
            if isinstance(trouble, Exception):
                raise trouble
            await asyncio.sleep(trouble or 0)
            assert self.at_once[loft] == 1, "one asker at a time"
        finally:
            self.at_once[loft] -= 1
        letters, begin = self.letters.get(loft, []), int(cursor or 0)
        bodies = letters[begin : begin + 2]
        pages = tuple(Delivery("FETCHED", body, received_at=FIRST_OF_2026) for body in bodies)
        return Page(pages, str(begin + len(bodies)), more=begin + len(bodies) < len(letters))


@pytest.fixture
def asked(tools: Tools) -> Sequence[tuple[str, str | None, str | None]]:
    for kept in (Dovecote.letters, Dovecote.asked, Dovecote.at_once, Dovecote.trouble):
        kept.clear()  # type: ignore[attr-defined]
    tools.registry = Registry(tools.registry.get("pigeon").http, {"dovecote": Dovecote})
    tools.channels._registry = tools.registry
    return Dovecote.asked


def polling(tools: Tools, store: PollStore | None = None) -> Polling:
    return Polling(store or tools.polls, tools.channels, tools.registry, tools.journal, tools.clock)


async def loft(tools: Tools, name: str, letters: int = 0) -> Channel:
    Dovecote.letters[name] = [f"{name} {n}".encode() for n in range(letters)]
    channel = await tools.channels.add("dovecote", name, {"loft": name})
    await tools.polls.ensure([channel.id])
    return channel


async def kept(tools: Tools, channel: Channel) -> list[bytes]:
    rows = tools.db.collection("deliveries").find({"channel_id": channel.id}).sort("_id", 1)
    return [bytes(row["body"]) async for row in rows]


async def duty(tools: Tools, channel: Channel) -> Any:
    return await tools.db.collection("polls").find_one({"_id": channel.id})


async def due_now(tools: Tools, channel: Channel) -> None:
    await tools.db.collection("polls").update_one({"_id": channel.id}, {"$set": {"due_at": FIRST_OF_2026}})


async def test_pages_are_kept_in_order_and_the_next_poll_begins_behind_them(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north", 5)
    await polling(tools).drain(10)
    assert await kept(tools, channel) == Dovecote.letters["north"]
    assert [cursor for _, cursor, _ in asked] == [None, "2", "4"]
    assert await polling(tools).drain(10) == 0, "it rests"
    assert 25 < ((await duty(tools, channel))["due_at"] - tools.clock()).total_seconds() <= 30
    Dovecote.letters["north"].append(b"new")
    await due_now(tools, channel)
    await polling(tools).drain(10)
    assert asked[-1][1] == "5" and (await kept(tools, channel))[-1] == b"new"


async def test_a_worker_that_died_between_journal_and_cursor_doubles_nothing(tools: Tools, asked: Any) -> None:
    class Dies(PollStore):
        async def advance(self, row: Any, cursor: str) -> bool:
            raise KeyboardInterrupt

    channel = await loft(tools, "north", 3)
    dying = polling(tools, Dies(tools.db, tools.clock))
    rows = await tools.polls.claim(1)
    with pytest.raises(KeyboardInterrupt):
        await dying._ask(rows[0])
    assert len(await kept(tools, channel)) == 2 and (await duty(tools, channel))["cursor"] is None
    await due_now(tools, channel)
    await polling(tools).drain(10)
    assert await kept(tools, channel) == Dovecote.letters["north"]


async def test_many_workers_ask_an_account_one_at_a_time(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north", 6)
    Dovecote.trouble["north"] = 0.05
    await asyncio.gather(*(polling(tools).drain(10) for _ in range(8)))
    assert await kept(tools, channel) == Dovecote.letters["north"] and len(asked) == 3


async def test_a_page_that_takes_longer_than_the_lease_is_still_one_askers(
    tools: Tools, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.store.LEASE_S", 1)
    monkeypatch.setattr("webhooks.polling.BEAT_S", 0.2, raising=False)
    channel, store = await loft(tools, "north", 1), PollStore(tools.db, tools.clock)
    Dovecote.trouble["north"] = 2.5
    first, second = polling(tools, store), polling(tools, store)
    for _ in range(6):
        await first.drain(10)
        await second.drain(10)
    await asyncio.gather(first.close(), second.close())
    assert len(asked) == 1 and (await duty(tools, channel))["cursor"] == "1"
    assert await kept(tools, channel) == Dovecote.letters["north"]


async def test_who_lost_the_account_during_a_page_stops_asking(
    tools: Tools, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhooks.polling.BEAT_S", 0.1, raising=False)
    channel = await loft(tools, "north", 1)
    Dovecote.trouble["north"] = 30.0
    asking = polling(tools)
    await asking.drain(10)
    await tools.db.collection("polls").update_one({"_id": channel.id}, {"$set": {"lease": "another's"}})
    await asking.close(5)
    assert not asking._under_way and Dovecote.at_once["north"] == 0 and await kept(tools, channel) == []


async def test_an_account_whose_secrets_are_lost_holds_up_no_other(tools: Tools, asked: Any) -> None:
    bad, good = await loft(tools, "bad"), await loft(tools, "good")
    lost = {"$set": {"secrets": {"word": "v1.00000000.AAAA"}}}
    await tools.db.collection("channels").update_one({"_id": bad.id}, lost)
    await tools.db.collection("channels").delete_one({"_id": tools.channel.id})
    await tools.db.collection("polls").delete_many({})
    await polling(tools).enlist()
    assert await duty(tools, good) is not None


async def test_who_lost_the_lease_moves_no_cursor(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north", 3)
    row = (await tools.polls.claim(1))[0]
    await tools.db.collection("polls").update_one({"_id": channel.id}, {"$set": {"lease": "another's"}})
    assert not await tools.polls.advance(row, "99")
    await tools.polls.rest(row, 0)
    after = await duty(tools, channel)
    assert (after["lease"], after["cursor"]) == ("another's", None)


async def test_a_wish_makes_it_due_at_once_with_its_hint(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north", 1)
    await polling(tools).drain(10)

    async def nobody(items: Sequence[Item]) -> None:
        raise AssertionError(items)

    ingest = Ingest(
        tools.journal, tools.registry, tools.channels, nobody, tools.feed, tools.clock, want_poll=tools.polls.want,
        want_templates=tools.want_templates,  # type: ignore[arg-type]
    )  # fmt: skip
    await tools.journal.keep(channel.id, "dovecote", "w", Delivery("POST", b'{"hint": "t0ken"}'))
    await tools.db.collection("deliveries").update_many({"key": {"$ne": "w"}}, {"$set": {"state": "done"}})
    await ingest.drain(10)
    await polling(tools).drain(10)
    assert asked[-1] == ("north", "1", "t0ken")
    await due_now(tools, channel)
    await polling(tools).drain(10)
    assert asked[-1] == ("north", "1", None), "a hint is good for one poll"


async def test_a_wish_during_a_poll_is_not_lost(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north", 1)
    row = (await tools.polls.claim(1))[0]
    await tools.polls.want(channel.id, "h")
    assert await tools.polls.claim(1) == [], "somebody is asking already"
    await tools.polls.rest(row, 30)
    assert await polling(tools).drain(10) == 1 and asked[-1][2] == "h"


async def test_a_slow_or_failing_account_holds_up_no_other(tools: Tools, asked: Any) -> None:
    slow, bad, good = await loft(tools, "slow", 1), await loft(tools, "bad"), await loft(tools, "good", 2)
    Dovecote.trouble |= {"slow": 1.5, "bad": SendFailed(Failure.TEMPORARY, "The loft is shut.")}
    asking = polling(tools)
    await asking.drain(10)
    assert len(await kept(tools, good)) == 2 and await kept(tools, slow) == []
    row, shown = await duty(tools, bad), await tools.channels.get(bad.id)
    assert row["failures"] == 1 and row["due_at"] - tools.clock() > timedelta(seconds=3)
    assert shown is not None and shown.last_error is not None and shown.last_error["text"] == "The loft is shut."
    await asking.close()
    assert len(await kept(tools, slow)) == 1


async def test_an_account_problem_pauses_and_a_bug_waits(tools: Tools, asked: Any) -> None:
    locked, buggy = await loft(tools, "locked"), await loft(tools, "buggy")
    Dovecote.trouble |= {"locked": SendFailed(Failure.ACCOUNT_PROBLEM, "Wrong password."), "buggy": KeyError("x")}
    await polling(tools).drain(10)
    shown = await tools.channels.get(locked.id)
    assert shown is not None and (shown.state, shown.state_reason) == ("paused", "Wrong password.")
    assert (await duty(tools, buggy))["failures"] == 1
    count = len(asked)
    await due_now(tools, locked)
    await polling(tools).drain(10)
    assert len(asked) == count, "a paused account is left alone"
    await tools.channels.update(locked.id, state="connected")
    Dovecote.trouble.clear()
    await due_now(tools, locked)
    await polling(tools).drain(10)
    assert asked[-1][0] == "locked"


async def test_only_what_has_to_be_asked_is_enlisted_and_what_is_gone_is_forgotten(tools: Tools, asked: Any) -> None:
    north = await tools.channels.add("dovecote", "North", {})
    await tools.channels.add("dovecote", "Closed", {"loft": "closed"})
    await tools.db.collection("channels").delete_one({"_id": tools.channel.id})  # the pigeons are of another registry
    await polling(tools).enlist()
    await polling(tools).enlist()
    assert [row["_id"] async for row in tools.db.collection("polls").find()] == [north.id]
    await tools.channels.remove(north.id)
    await polling(tools).drain(10)
    assert await duty(tools, north) is None


async def test_what_cannot_be_kept_is_named_and_left_out(tools: Tools, asked: Any, monkeypatch: Any) -> None:
    channel = await loft(tools, "north", 4)
    keep = tools.journal.keep

    async def picky(channel_id: str, provider: str, key: str, delivery: Delivery) -> Any:
        if delivery.body == b"north 1":
            raise ValueError("too large")
        return await keep(channel_id, provider, key, delivery)

    monkeypatch.setattr(tools.journal, "keep", picky)
    await polling(tools).drain(10)
    assert await kept(tools, channel) == [b"north 0", b"north 2", b"north 3"]
    shown = await tools.channels.get(channel.id)
    assert shown is not None and shown.last_error is not None and shown.last_error["code"] == "not_kept"


async def test_a_platform_may_ask_for_its_templates_to_be_read_again(tools: Tools, asked: Any) -> None:
    channel = await loft(tools, "north")
    event = FetchWanted(event_id="t", occurred_at=FIRST_OF_2026, what="templates")
    ingest = Ingest(
        tools.journal, tools.registry, tools.channels, None, tools.feed, tools.clock, want_poll=tools.polls.want,  # type: ignore[arg-type]
        want_templates=tools.want_templates,
    )  # fmt: skip
    await ingest._notices([Item(channel.id, "dovecote", event, "dlv_x")])
    assert tools.templates_wanted == [channel.id]
