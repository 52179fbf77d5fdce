"""Receipts: never backwards, never lost, whatever their order."""

import asyncio
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.vocabulary import Address, DeliveryStatus
from inbox.aftermath import _first_word, _line_change
from inbox.models import ReplyInput
from inbox.standing import ACCEPTED_RANK, STANDING
from tests.inbox.conftest import AGENT, House


async def _sent(house: House, provider: str = "scripted") -> tuple[str, Any, str]:
    """A reply that the provider accepted: channel, message, provider id."""
    channel_id = await house.channel(provider)
    conversation = await house.conversation(channel_id, "anna", provider)
    message = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Hello"), "k1")
    await house.inbox.delivery.deliver(10)
    (row,) = await house.inbox.sends.raw({"message_id": message.id})
    return channel_id, message, row["provider_message_ids"][0]


async def _standing(house: House, message: Any) -> tuple[str, str | None]:
    (row,) = await house.inbox.sends.raw({"message_id": message.id})
    fresh = await house.inbox.messages.get(message.id)
    return row["state"], fresh.status if fresh else None


async def test_forward_only(house: House) -> None:
    channel_id, message, provider_id = await _sent(house)
    apply, receipt = house.inbox.receipts.apply, house.receipt
    await apply([receipt(channel_id, "read", message_id=provider_id)])
    await apply(
        [receipt(channel_id, "delivered", message_id=provider_id), receipt(channel_id, "sent", message_id=provider_id)]
    )
    await apply([receipt(channel_id, "failed", message_id=provider_id, failure="unknown")])
    assert await _standing(house, message) == ("read", "read")
    names = await house.event_names()
    assert (names["message.read"], names["message.delivered"], names["message.failed"]) == (1, 1, 0)
    assert (await house.event_names())["message.sent"] == 1


async def test_a_failure_comes_with_its_reason_and_its_consequences(house: House) -> None:
    channel_id, message, provider_id = await _sent(house, "mail")
    bounced = house.receipt(
        channel_id, "bounced", message_id=provider_id, permanent=True, provider_code="550", detail="no such user"
    )
    for _ in range(2):
        await house.inbox.receipts.apply([house.receipt(channel_id, "delivered", message_id=provider_id), bounced])
    assert await _standing(house, message) == ("failed", "failed")
    fresh = await house.inbox.messages.get(message.id)
    assert fresh is not None and fresh.reason is not None and fresh.reason["detail"] == "550 no such user"
    identity = await house.profiles.identity(message.identity_id)
    assert identity is not None and identity.suppressed is not None and identity.suppressed.reason == "bounce"
    assert (await house.event_names())["message.bounced"] == 1


async def test_a_complaint_ends_marketing_and_closes_the_mailbox_until_somebody_opens_it(house: House) -> None:
    channel_id, message, provider_id = await _sent(house, "mail")
    for _ in range(2):
        await house.inbox.receipts.apply([house.receipt(channel_id, "complained", message_id=provider_id)])
    asked = [(message.identity_id, "marketing"), (message.identity_id, "service")]
    assert [verdict.reason for verdict in (await house.consent.allowed(asked)).values()] == ["suppressed", "suppressed"]
    assert await house.consent.release(message.identity_id, "usr_1")
    assert [verdict.reason for verdict in (await house.consent.allowed(asked)).values()] == ["denied", None]
    assert await _standing(house, message) == ("accepted", "sent")
    names = await house.event_names()
    assert (names["message.complained"], names["consent.denied"]) == (1, 1)


async def test_opens_and_clicks_are_counted_and_change_no_state(house: House) -> None:
    channel_id, message, provider_id = await _sent(house, "mail")
    at = house.clock()
    updates = [
        house.receipt(channel_id, "opened", message_id=provider_id, at=at + timedelta(seconds=n)) for n in (3, 1)
    ]
    updates += [
        house.receipt(channel_id, "clicked", message_id=provider_id, at=at, event_id=f"c{n}") for n in (1, 2, 2)
    ]
    await house.inbox.receipts.apply(updates)
    fresh = await house.inbox.messages.get(message.id)
    assert fresh is not None and fresh.opened_at == at + timedelta(seconds=1) and fresh.clicked_at == at
    names = await house.event_names()
    assert (names["message.opened"], names["message.clicked"]) == (1, 2)
    assert await _standing(house, message) == ("accepted", "sent")


@pytest.mark.parametrize("by", ["id", "key"])
async def test_a_receipt_before_the_record_is_not_lost(house: House, by: str) -> None:
    """The provider's receipt overtakes its own answer to our call."""
    channel_id = await house.channel()
    conversation = await house.conversation(channel_id, "anna")
    message = await house.inbox.outbox.reply(conversation.id, AGENT, ReplyInput(text="Hello"), "k1")

    async def receipt_first(sent: Any) -> None:
        found = {"message_id": f"p-{sent.key}"} if by == "id" else {"correlation": sent.key}
        await house.inbox.receipts.apply([house.receipt(channel_id, "delivered", **found)])
        assert await house.database.collection("receipts_early").count_documents({}) == 1

    house.adapter().script = receipt_first
    await house.inbox.delivery.deliver(10)
    assert await _standing(house, message) == ("delivered", "delivered")
    assert await house.database.collection("receipts_early").count_documents({}) == 0


async def test_receipts_and_records_race(house: House) -> None:
    """Receipts of 150 sends fly in while the sends are being recorded."""
    channel_id = await house.channel()
    await house.plan(channel_id, await house.people(channel_id, 150))
    flying: list[asyncio.Task[None]] = []

    async def soon(sent: Any) -> None:
        async def post(status: str, delay_s: float) -> None:
            await asyncio.sleep(delay_s)
            await house.inbox.receipts.apply([house.receipt(channel_id, status, message_id=f"p-{sent.key}")])

        for status in ("delivered", "read", "sent"):
            flying.append(asyncio.create_task(post(status, random.Random(sent.key + status).uniform(0, 0.15))))
        await asyncio.sleep(0.03)

    house.adapter().script = soon
    await house.deliver_all()
    await asyncio.gather(*flying)
    assert await house.states() == {"read": 150}
    lines = await house.inbox.messages.raw({"direction": "out"})
    assert {line["status"] for line in lines} == {"read"}
    assert await house.database.collection("receipts_early").count_documents({}) == 0


async def test_an_echo_of_our_key_saves_a_broken_hand_over(house: House, second_house: House) -> None:
    """The worker died in the call; the provider had taken it, and says so: accepted, and not repeated."""
    channel_id = await house.channel("echoing")
    await house.plan(channel_id, await house.people(channel_id, 2, "echoing"))
    rows = house.database.collection("sends")
    now = house.clock()
    gone = {"state": "handed", "tries": 1, "handed_at": now, "first_handed_at": now, "lease": "dead"}
    await rows.update_many({}, {"$set": gone})
    await house.expire_leases()
    await second_house.deliver_all()
    assert await house.states() == {"handed": 2}, "an echo is waited for"
    await house.inbox.receipts.apply([house.receipt(channel_id, "delivered", correlation="key-0", message_id="p-9")])
    await second_house.deliver_all()
    assert await house.states() == {"handed": 1, "delivered": 1}
    house.clock.ahead = timedelta(minutes=4)
    await house.expire_leases()
    await second_house.deliver_all()
    assert await house.states() == {"unknown": 1, "delivered": 1}
    assert house.adapter("echoing").calls == []
    late = house.receipt(channel_id, "read", correlation="key-1", message_id="p-10")
    await house.inbox.receipts.apply([late])
    assert await house.states() == {"read": 1, "delivered": 1}, "what was unknown is known now"


async def test_a_receipt_stops_the_retry_of_an_uncertain_send(house: House) -> None:
    from channels.failures import Failure, SendFailed

    channel_id = await house.channel()
    await house.plan(channel_id, await house.people(channel_id, 1), "service")
    house.adapter().script = lambda message: SendFailed(Failure.UNCERTAIN, "cut")
    await house.inbox.delivery.deliver(10)
    assert await house.states() == {"deferred": 1}
    await house.inbox.receipts.apply([house.receipt(channel_id, "delivered", correlation="key-0")])
    house.adapter().script = None
    await house.all_due()
    await house.expire_leases()
    await house.deliver_all()
    assert await house.states() == {"delivered": 1}
    assert len(house.adapter().calls) == 1
    assert ("key-0", "delivered") in house.planner.settled_with


async def test_watermarks_cover_what_went_before(house: House) -> None:
    channel_id, first, _ = await _sent(house)
    address = Address(channel_id=channel_id, external_id="anna")
    mark = house.clock()
    await asyncio.sleep(0.01)
    later = await house.inbox.outbox.reply(first.conversation_id, AGENT, ReplyInput(text="One more"), "k2")
    await house.inbox.delivery.deliver(10)
    await house.inbox.receipts.apply([house.receipt(channel_id, "read", address=address, watermark=mark)])
    assert await _standing(house, first) == ("read", "read")
    assert await _standing(house, later) == ("accepted", "sent")
    ahead = house.receipt(channel_id, "read", address=address, watermark=house.clock() + timedelta(minutes=1))
    third = await house.inbox.outbox.reply(first.conversation_id, AGENT, ReplyInput(text="Third"), "k3")
    await house.inbox.receipts.apply([ahead])
    await house.inbox.delivery.deliver(10)
    assert await _standing(house, third) == ("read", "read"), "a watermark that came before its message was recorded"


async def test_a_receipt_of_another_account_changes_nothing(house: House) -> None:
    _, message, provider_id = await _sent(house)
    other = await house.channel()
    (row,) = await house.inbox.sends.raw({})
    await house.inbox.receipts.apply(
        [
            house.receipt(other, "read", message_id=provider_id),
            house.receipt(other, "read", correlation=row["send_key"]),
        ]
    )
    assert await _standing(house, message) == ("accepted", "sent")


async def test_a_colleagues_message_gets_its_ticks(house: House) -> None:
    channel_id = await house.channel()
    echo = house.arrival(channel_id, "anna", "c1", "From the app", echo=True)
    await house.inbox.receipts.apply([house.receipt(channel_id, "read", message_id="c1")])
    result = await house.inbox.receiver.receive([echo])
    message = await house.inbox.messages.get(result.outcomes[0].message_id or "")
    await house.inbox.receipts.apply([house.receipt(channel_id, "delivered", message_id="c1")])
    message = await house.inbox.messages.get(result.outcomes[0].message_id or "")
    assert message is not None and message.status in ("delivered", "read")


STATUSES = [status.value for status in DeliveryStatus if status in STANDING]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    statuses=st.lists(st.tuples(st.sampled_from(STATUSES), st.integers(0, 5), st.booleans()), min_size=1, max_size=8),
    seed=st.integers(0, 2**16),
)
async def test_any_order_of_receipts_gives_the_same_end(house: House, statuses: Any, seed: int) -> None:
    """F14."""
    channel_id, start = await house.channel(), house.clock()
    people = await house.people(channel_id, 3)
    ends = []
    for order in (0, 1, 2):
        (send,) = await house.plan(channel_id, [people[order]], key=f"{seed}-{order}-{start.timestamp()}-{{}}")
        provider_id = f"p-{send.send_key}"
        updates = [
            house.receipt(
                channel_id, status, message_id=provider_id, at=start + timedelta(seconds=60 + second), event_id=f"e{n}",
                permanent=permanent, detail=f"word {n}",
            )
            for n, (status, second, permanent) in enumerate(statuses)
        ]  # fmt: skip
        if order:
            random.Random(seed + order).shuffle(updates)
        before = updates[: seed % len(updates)] if order else []
        await house.inbox.receipts.apply(before)
        await house.deliver_all()
        for update in [each for each in updates if each not in before] + updates[:2]:
            await house.inbox.receipts.apply([update])
        (row,) = await house.inbox.sends.raw({"_id": send.id})
        (line,) = await house.inbox.messages.raw({"send_id": send.id})
        received = [(entry["status"], entry["at"]) for entry in row["history"] if "event_id" in entry]
        detail = (row.get("reason") or {}).get("detail")
        ends.append((row["state"], row["rank"], detail, sorted(received), line["status"], line["status_rank"]))
    assert all(end == ends[0] for end in ends), ends


@pytest.mark.parametrize("ids", [[], ["id-1", "id-2"]])
async def test_the_short_way_writes_what_the_full_one_does(house: House, ids: list[str]) -> None:
    """And where the message was touched before, it leaves it alone, so that the full one decides."""
    channel_id, at = await house.channel(), house.clock()
    lines = [
        {"_id": f"msg_{n}", "dedupe": f"d{n}", "channel_id": channel_id, "status": "queued", "status_rank": 0,
         "status_history": [], "waiting": {"code": "resting"}, "due_at": at}
        for n in range(2)
    ]  # fmt: skip
    await house.inbox.messages.put_lines(lines, again=False)
    send: dict[str, Any] = {
        "state": "accepted", "rank": ACCEPTED_RANK, "accepted_at": at, "standing_at": at, "reason": None,
        "provider_message_ids": ids,
    }  # fmt: skip
    assert await house.inbox.messages.write([_first_word({**send, "message_id": "msg_0"})]) == 1
    assert await house.inbox.messages.write([_line_change({**send, "message_id": "msg_1"})]) == 1
    short, full = await house.inbox.messages.raw({})
    alike = ("_id", "dedupe")
    assert {k: v for k, v in short.items() if k not in alike} == {k: v for k, v in full.items() if k not in alike}
    assert await house.inbox.messages.write([_first_word({**send, "message_id": "msg_1"})]) == 0
    await house.inbox.messages.write([_line_change({**send, "message_id": "msg_0"})])
    assert await house.inbox.messages.raw({}) == [short, full]
