"""The demo's past: two thousand people who wrote, were answered and bought. It goes in the ordinary ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.incoming import Arrival
from inbox.models import Actor
from orders.models import OrderInput
from profiles.edit import ProfileInput
from rapport.demo import cast
from rapport.demo.stage import Stage
from rapport.runtime import Runtime

log = logging.getLogger(__name__)

#: People per batch: about two hundred messages in one transaction.
BATCH = 40
SYSTEM = Actor(None, "Harbour Tea", "system")
#: Old conversations are closed; the rest stays for the newcomer to answer.
CLOSED_AFTER = timedelta(hours=20)


async def load_past(runtime: Runtime, held: Stage, told: Callable[[int], None] = lambda percent: None) -> None:
    """Load everybody, those with the freshest news first. May run again: nothing is doubled. `told`: how far it is."""
    now = runtime.clock()
    people = sorted(map(cast.person, range(cast.PEOPLE)), key=lambda one: cast.exchanges(one, now)[-1].asked_at)
    for start in range(0, len(people), BATCH):
        told(start * 100 // len(people))
        await _load(runtime, held, people[::-1][start : start + BATCH], now)
    told(100)
    log.info("the demo's past is loaded", extra={"people": len(people)})


async def _load(runtime: Runtime, held: Stage, people: Sequence[cast.Person], now: datetime) -> None:
    arrivals = [arrival for one in people for arrival in _arrivals(held, one, now)]
    arrivals.sort(key=lambda each: each.event.occurred_at)
    await runtime.receiver.receive(arrivals)
    # Each write waits for the disk, so people go side by side; what concerns one person stays in order.
    await asyncio.gather(*(_live_on(runtime, held, one, now) for one in people))


async def _live_on(runtime: Runtime, held: Stage, one: cast.Person, now: datetime) -> None:
    await _describe(runtime, held, one)
    for purchase in cast.purchases(one, now):
        for order in _orders(held, one, purchase):
            await runtime.orders.record(order, "demo-shop")
    await _close_old(runtime, held, one, now)


async def _describe(runtime: Runtime, held: Stage, one: cast.Person) -> None:
    profile = {
        "identities": [_identity(held, one)], "name": one.name, "time_zone": one.time_zone, "tags": list(one.tags),
        "locale": "zh_CN" if one.language == "zh" else "en", "attributes": {"city": one.city, "country": one.country},
    }  # fmt: skip
    await runtime.editor.upsert(ProfileInput.model_validate(profile))


def _identity(held: Stage, one: cast.Person) -> str:
    channel = one.channels[0]
    return f"{held.channels[channel]}:{external_id(channel, one)}"


def external_id(channel: cast.Channel, one: cast.Person) -> str:
    """The person's id on that channel."""
    by_channel = {"whatsapp": one.phone.removeprefix("+"), "telegram": one.telegram_id, "email": one.email,
                  "generic": f"app-{one.number}"}  # fmt: skip
    return by_channel[channel]


def _arrivals(held: Stage, one: cast.Person, now: datetime) -> Iterator[Arrival]:
    for n, exchange in enumerate(cast.exchanges(one, now)):
        said = [(exchange.asked_at, exchange.question, False)]
        if exchange.answered_at is not None:
            said.append((exchange.answered_at, exchange.answer, True))
        if exchange.thanks is not None and exchange.answered_at is not None:
            said.append((exchange.answered_at + timedelta(minutes=4), exchange.thanks, False))
        for step, (at, text, echo) in enumerate(said):
            if at < now:
                event = _message(held, one, exchange.channel, f"past-{one.number}-{n}-{step}", at, text, echo)
                yield Arrival(held.channels[exchange.channel], exchange.channel, event, "dlv_demo")


def _message(
    held: Stage, one: cast.Person, channel: cast.Channel, key: str, at: datetime, text: str, echo: bool
) -> MessageReceived:
    # The second channel shares a proven value with the first, so that the two are one person from the start.
    person = Person(name=one.name, email=one.email, phone=one.phone if channel == "whatsapp" else None)
    mail = MailParts(message_id=f"<{key}@people.example>", subject="A question about my tea")
    return MessageReceived(
        event_id=key, message_id=key, occurred_at=at, text=text, echo=echo, person=None if echo else person,
        address=Address(channel_id=held.channels[channel], external_id=external_id(channel, one)),
        mail=mail if channel == "email" else None,
    )  # fmt: skip


def _orders(held: Stage, one: cast.Person, purchase: cast.Purchase) -> Iterator[OrderInput]:
    lines = [
        {"sku": sku, "name": name, "quantity": quantity, "unit_price": {"amount_minor": price, "currency": "EUR"}}
        for sku, name, price, quantity in purchase.lines
    ]
    order = {
        "external_id": purchase.external_id, "identity": _identity(held, one), "customer_name": one.name,
        "status": "pending", "total": {"amount_minor": purchase.total_minor, "currency": "EUR"}, "lines": lines,
        "placed_at": purchase.placed_at, "occurred_at": purchase.placed_at,
        "url": f"https://harbour-tea.example/orders/{purchase.external_id}",
        "payment_url": f"https://harbour-tea.example/pay/{purchase.external_id}",
    }  # fmt: skip
    yield OrderInput.model_validate(order)
    if purchase.status != "pending":
        step = {"external_id": purchase.external_id, "occurred_at": purchase.status_at}
        if purchase.status in ("fulfilled", "delivered", "refunded"):
            step["tracking"] = {"number": f"3SHT{purchase.external_id.replace('-', '')}", "company": "PostNL"}
            yield OrderInput.model_validate({**step, "status": "paid", "occurred_at": purchase.placed_at})
        yield OrderInput.model_validate({**step, "status": purchase.status})


async def _close_old(runtime: Runtime, held: Stage, one: cast.Person, now: datetime) -> None:
    fresh = {x.channel for x in cast.exchanges(one, now) if now - x.asked_at <= CLOSED_AFTER}
    for channel in {x.channel for x in cast.exchanges(one, now)} - fresh:
        known = await runtime.resolver.refer("channel", external_id(channel, one), held.channels[channel], create=False)
        for row in await runtime.conversations.open_of([known.identity_id] if known else []):
            await runtime.desk_actions.set_status(row["_id"], "resolved", SYSTEM)
