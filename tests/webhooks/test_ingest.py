"""From kept deliveries to owners: families, poison, shared URLs, replay."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from base.errors import WrongInput
from channels.adapter import Delivery
from channels.failures import Failure, SendFailed
from channels.providers.twilio.parse import parse_delivery
from channels.vocabulary import Address, ConsentChange, MessageReceived, Postback, Tracked
from tests.webhooks.conftest import Tools
from webhooks.ingest import Ingest, Item, Owners, unheard_words
from webhooks.owners import owners


async def nobody(items: Sequence[Item]) -> None:
    raise AssertionError(items)


def ingest(tools: Tools, messages: Any) -> Ingest:
    owners = Owners(
        messages=messages, words=nobody, receipts=nobody, people=nobody, consents=nobody, orders=nobody, tracked=nobody
    )
    return Ingest(
        tools.journal,
        tools.registry,
        tools.channels,
        owners,
        tools.feed,
        tools.clock,
        want_poll=tools.polls.want,
        want_templates=tools.want_templates,
    )


async def keep(tools: Tools, *items: dict[str, str], body: bytes | None = None) -> str:
    raw = body if body is not None else json.dumps(items).encode()
    row_id, _ = await tools.journal.keep(tools.channel.id, "pigeon", raw.hex(), Delivery("POST", raw))
    return row_id


async def row(tools: Tools, row_id: str) -> Any:
    return await tools.db.collection("deliveries").find_one({"_id": row_id})


async def test_every_item_of_every_delivery_reaches_its_owner_in_order(tools: Tools) -> None:
    seen: list[str] = []

    async def owner(items: Sequence[Item]) -> None:
        seen.extend(item.event.event_id for item in items)

    for n in range(5):
        await keep(tools, *({"id": f"{n}{m}", "from": "a", "text": "t"} for m in "abc"))
    assert await ingest(tools, owner).drain(100) == 5
    assert seen == [f"{n}{m}" for n in range(5) for m in "abc"]
    assert await ingest(tools, nobody).drain(100) == 0
    channel = await tools.channels.get(tools.channel.id)
    assert channel is not None and channel.received == 15


async def test_poison_stands_alone(tools: Tools) -> None:
    done: list[str] = []

    async def owner(items: Sequence[Item]) -> None:
        if any(item.event.event_id == "bad" for item in items):
            raise RuntimeError("cannot")
        done.extend(item.event.event_id for item in items)

    ids = [await keep(tools, {"id": f"g{n}", "from": "a", "text": ""}) for n in range(40)]
    bad = await keep(tools, {"id": "bad", "from": "a", "text": ""})
    broken = await keep(tools, body=b"[not json")
    await ingest(tools, owner).drain(100)
    assert sorted(done) == sorted(f"g{n}" for n in range(40))
    assert {(await row(tools, each))["state"] for each in ids} == {"done"}
    assert (await row(tools, bad))["state"] == "pending"
    assert "RuntimeError" in (await row(tools, bad))["reason"]
    assert (await row(tools, broken))["state"] in ("quarantined", "dead")


async def test_what_kills_its_worker_too_often_is_set_aside(tools: Tools) -> None:
    row_id = await keep(tools, {"id": "x", "from": "a", "text": ""})
    await tools.db.collection("deliveries").update_one({"_id": row_id}, {"$set": {"attempts": 8}})
    await ingest(tools, nobody).drain(10)
    assert (await row(tools, row_id))["state"] == "dead"
    assert await tools.journal.again({"state": "dead"}) == 1
    assert (await row(tools, row_id))["state"] == "pending"


async def test_a_shared_url_reaches_the_other_account_only_with_the_same_secret(tools: Tools) -> None:
    seen: list[str] = []

    async def owner(items: Sequence[Item]) -> None:
        seen.extend(item.channel_id for item in items)

    south = await tools.channels.add("pigeon", "South", {"secret": "s3cret", "loft": "south"})
    await tools.channels.add("pigeon", "Strangers", {"secret": "theirs", "loft": "east"})
    await keep(tools, *({"id": loft, "from": "a", "text": "", "loft": loft} for loft in ("north", "south", "east")))
    await ingest(tools, owner).drain(10)
    assert sorted(seen) == sorted([tools.channel.id, south.id])


async def test_a_system_outside_cannot_tell_what_only_we_can_have_seen() -> None:
    """`profile.merged` moves runs to another person, `message.received` begins journeys: no webhook may say so."""
    kept: list[Any] = []

    class Events:
        async def record(self, rows: Sequence[Any]) -> None:
            kept.extend(rows)

    class Nobody:
        async def resolve(self, sightings: Sequence[Any]) -> list[Any]:
            return []

        async def identify(self, references: Sequence[Any]) -> list[Any]:
            return []

    class People:
        async def unprofiled(self, profile_ids: Iterable[str]) -> frozenset[str]:
            return frozenset()

    absent: Any = None
    events: Any = Events()
    people: Any = People()
    resolver: Any = Nobody()
    hands = owners(
        receiver=absent, receipts=absent, consent=absent, orders=absent, resolver=resolver, editor=absent,
        events=events, opt_words=absent, profiles=people,
    )  # fmt: skip
    for name in (
        "profile.merged", "message.received", "task.done", "note.added", "call.logged", "file.attached",
        "sofa.delivered",
    ):  # fmt: skip
        event = Tracked(event_id="1", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), name=name, properties={})
        item = Item("chn_x", "generic", event, "dlv_1")
        if name == "sofa.delivered":
            await hands.tracked([item])
        else:
            with pytest.raises(WrongInput, match="only the application"):
                await hands.tracked([item])
    assert [row.name for row in kept] == ["sofa.delivered"]


@pytest.mark.parametrize(
    ("sender", "text", "ours"),
    [("+491701234567", "STOP", False), ("+491701234567", "退订", True), ("whatsapp:+491701234567", "STOP", True),
     ("+491701234567", "Where is my parcel?", False)],
)  # fmt: skip
def test_a_word_that_the_provider_heard_and_answered_is_not_answered_again(sender: str, text: str, ours: bool) -> None:
    """Twilio itself stops SMS after its English words; it hears nothing else."""
    fields = {"MessageSid": "SM1", "From": sender, "To": sender[:-1] + "8", "Body": text, "AccountSid": "AC1"}
    body = urlencode(fields).encode()
    headers = (("content-type", "application/x-www-form-urlencoded"),)
    events = parse_delivery("chn_x", Delivery("POST", body, headers=dict(headers)))
    items = [Item("chn_x", "twilio", event, "dlv_1") for event in events]
    assert bool(unheard_words(items)) is ours
    assert sum(isinstance(event, ConsentChange) for event in events) == (sender[0] == "+" and text == "STOP")


async def acknowledged(tools: Tools, ingest: Ingest) -> list[str]:
    """What the pigeon was told, after a drain and everything it began."""
    told: list[str] = []

    async def acknowledge(account: Any, event: Any) -> None:
        told.append(event.event_id)
        if event.event_id == "deaf":
            raise SendFailed(Failure.TEMPORARY, "no")

    pigeon: Any = tools.registry.get("pigeon")
    pigeon.wants_acknowledgement = lambda event: event.text == "coo"
    pigeon.acknowledge = acknowledge
    await ingest.drain(100)
    await asyncio.gather(*ingest._acknowledging)
    return sorted(told)


async def test_only_what_the_adapter_wants_is_acknowledged_and_a_failure_stays_alone(tools: Tools) -> None:
    async def owner(items: Sequence[Item]) -> None: ...

    await keep(tools, *({"id": each, "from": "a", "text": "coo"} for each in ("deaf", "one")))
    await keep(tools, {"id": "two", "from": "a", "text": "coo"})
    await keep(tools, {"id": "three", "from": "a", "text": "hoo"})
    assert await acknowledged(tools, ingest(tools, owner)) == ["deaf", "one", "two"]


async def test_a_delivery_is_acknowledged_once_however_often_it_is_processed(tools: Tools) -> None:
    async def owner(items: Sequence[Item]) -> None: ...

    row_id = await keep(tools, {"id": "x", "from": "a", "text": "coo"})
    assert await acknowledged(tools, ingest(tools, owner)) == ["x"]
    assert await tools.journal.again({"_id": row_id}) == 1
    assert await acknowledged(tools, ingest(tools, owner)) == []
    other = await keep(tools, {"id": "y", "from": "a", "text": "coo"})
    firsts = await asyncio.gather(*(tools.journal.first_to_acknowledge(other) for _ in range(5)))
    assert sum(firsts) == 1, "one delivery, five who ask"


async def test_a_pressed_button_wants_it_without_the_adapter_saying_so(tools: Tools) -> None:
    pigeon = tools.registry.get("pigeon")
    address = Address(channel_id=tools.channel.id, external_id="a")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    said = MessageReceived(event_id="1", occurred_at=at, address=address, message_id="1", text="coo")
    pressed = said.model_copy(update={"postback": Postback(payload="p")})
    assert (pigeon.wants_acknowledgement(said), pigeon.wants_acknowledgement(pressed)) == (False, True)
