"""The payment reminder: sent while an order is unpaid, and never after it was paid, cancelled or refunded."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.journeys.outside import eventually, slow_down
from tests.journeys.talks import Person, WhatsApp
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)


async def test_an_unpaid_order_is_reminded_of_and_a_paid_or_cancelled_one_is_not(
    world: World, somebody: Callable[[str], Person]
) -> None:
    channel = await world.whatsapp()
    jan, kim, lea = somebody("Jan Novák"), somebody("Kim Tan"), somebody("Lea Weber")
    journey = await world.recipe("payment_reminder", first_wait="PT3S", second_wait="PT2S", task_wait="PT1H")
    for one in (jan, kim, lea):
        await channel.says(one, "I would like to order")
    await world.journeys_known()
    unpaid, paid, cancelled = [await ordered(world, one) for one in (jan, kim, lea)]
    await world.api.post(f"/orders/{paid['id']}/status", {"status": "paid"})
    await world.api.post(f"/orders/{cancelled['id']}/status", {"status": "cancelled"})

    await eventually(lambda: len(reminders(world, channel, jan)) == 2, "two reminders")
    first, second = reminders(world, channel, jan)
    assert f"reserved your order {unpaid['external_id']}" in first and "€22.90" in first
    assert unpaid["payment_url"] in first and "still unpaid" in second
    assert reminders(world, channel, kim) == reminders(world, channel, lea) == []
    assert await reason_of(world, journey, paid) == "end.goal"
    assert await reason_of(world, journey, cancelled) == "end.exit_condition"

    # He pays after the second: the journey ends, nobody is asked to call him.
    await world.api.post(f"/orders/{unpaid['id']}/status", {"status": "paid"})

    async def over() -> bool:
        return await reason_of(world, journey, unpaid) == "end.goal"

    await eventually(over, "the journey to end")
    assert len(reminders(world, channel, jan)) == 2


async def test_an_order_paid_between_planning_and_delivery_is_not_reminded_of(
    world: World, somebody: Callable[[str], Person]
) -> None:
    channel, max_, nia = await world.whatsapp(), somebody("Max Keller"), somebody("Nia Okafor")
    await world.recipe("payment_reminder", first_wait="PT1S", second_wait="PT1H", task_wait="PT1H")
    for one in (max_, nia):
        await channel.says(one, "I would like to order")
    await world.journeys_known()

    # Planned, and held back because the channel is paused; then the money comes.
    await world.api.call("PATCH", f"/channels/{channel.id}", {"state": "paused"})
    await asyncio.sleep(2.2)  # the worker's picture of an account is at most two seconds old
    order = await ordered(world, max_)
    send = (await eventually(lambda: sends(world, order), "the reminder to be planned"))[0]
    assert send["status"] in ("planned", "claimed", "deferred")
    await world.api.post(f"/orders/{order['id']}/status", {"status": "paid"})
    await world.api.call("PATCH", f"/channels/{channel.id}", {"state": "connected"})
    await eventually(lambda: skipped(world, send["id"]), "the reminder to be skipped")
    assert reminders(world, channel, max_) == []

    # Handed over and refused for the moment; then the order is cancelled.
    world.outside.refusals[channel.account] = [slow_down(3)]
    order = await ordered(world, nia)
    await eventually(lambda: channel.account in world.outside.refused, "the provider's refusal")
    await world.api.post(f"/orders/{order['id']}/status", {"status": "cancelled"})
    send = (await sends(world, order))[0]
    await eventually(lambda: skipped(world, send["id"]), "the reminder to be skipped")
    assert reminders(world, channel, nia) == []


# -- what the stories are told with ------------------------------------------------------------------------------------


async def ordered(world: World, one: Person) -> dict[str, Any]:
    """A placed order that waits for its money, told by a shop that knows the phone number."""
    number = f"PAY-{world.number()}"
    body = {
        "external_id": number, "identity": f"phone:+{one.phone}", "status": "pending", "currency": "EUR",
        "total": 2290, "payment_url": f"https://harbour-tea.example/pay/{number}",
    }  # fmt: skip
    order: dict[str, Any] = await world.api.post("/orders", body, status=201)
    return order


def reminders(world: World, channel: WhatsApp, one: Person) -> list[str]:
    return [call.text for call in world.outside.of(channel.account, one.phone)]


async def sends(world: World, order: dict[str, Any]) -> list[dict[str, Any]]:
    return await world.api.rows(f"/sends?profile={order['profile_id']}")


async def skipped(world: World, send_id: str) -> bool:
    send = await world.api.get(f"/sends/{send_id}")
    assert send["status"] not in ("accepted", "delivered", "read", "unknown"), send
    return bool(send["status"] == "skipped" and send["reason"]["sentence"])


async def reason_of(world: World, journey_id: str, order: dict[str, Any]) -> str:
    runs = await world.api.rows(f"/journeys/{journey_id}/enrolments?profile={order['profile_id']}")
    assert len(runs) == 1, runs
    return str((await world.api.get(f"/enrolments/{runs[0]['id']}"))["why"]["code"])
