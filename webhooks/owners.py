"""Hands each family of events to its owner. The door calls downwards; no owner knows another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from base.errors import FieldError, WrongInput
from channels.vocabulary import CommerceEvent, ConsentChange, DeliveryUpdate, Tracked
from inbox.incoming import Arrival
from inbox.receipts import Receipts
from inbox.receive import Receiver
from orders.models import OrderInput
from orders.record import OrderBook
from profiles.consent import Consent, ConsentAct
from profiles.events import EventStore, NewEvent
from profiles.resolve import Resolver, Sighting
from profiles.track import RESERVED
from webhooks.ingest import Item, Owners


def owners(
    *, receiver: Receiver, receipts: Receipts, consent: Consent, orders: OrderBook, resolver: Resolver,
    events: EventStore,
) -> Owners:  # fmt: skip
    """The owners of all families."""

    async def messages(items: Sequence[Item]) -> None:
        await receiver.receive([Arrival(i.channel_id, i.provider, i.event, i.delivery_id) for i in items])

    async def receive_receipts(items: Sequence[Item]) -> None:
        await receipts.apply([(i.channel_id, i.event) for i in items if isinstance(i.event, DeliveryUpdate)])

    async def consents(items: Sequence[Item]) -> None:
        known = await resolver.resolve([_sighting(item) for item in items])
        for item, who in zip(items, known, strict=True):
            await consent.act(_act(item, who.identity_id))

    async def record_orders(items: Sequence[Item]) -> None:
        for item in items:
            await orders.hear(_order(item), f"{item.provider}:{item.channel_id}")

    async def tracked(items: Sequence[Item]) -> None:
        for item in items:  # such names say what only we can have seen: a merge, a message
            if isinstance(item.event, Tracked) and item.event.name.startswith(RESERVED):
                raise WrongInput(f"{item.event.name} is a name that only the application itself may use.")
        named = [item for item in items if item.event.address is not None]
        known = await resolver.resolve([_sighting(item) for item in named])
        rows = [_event(item, who.profile_id, who.identity_id) for item, who in zip(named, known, strict=True)]
        nameless = [_event(item, None, None) for item in items if item.event.address is None]
        await events.record([*rows, *nameless])

    return Owners(
        messages=messages, receipts=receive_receipts, consents=consents, orders=record_orders, tracked=tracked
    )


def _sighting(item: Item) -> Sighting:
    event = item.event
    if event.address is None:
        raise WrongInput("This event does not say whom it concerns.", [FieldError("from", "is required")])
    return Sighting(event.address, item.provider, event.occurred_at, event.person)


def _act(item: Item, identity_id: str) -> ConsentAct:
    change: Any = item.event
    assert isinstance(change, ConsentChange)  # noqa: S101 - families are sorted by type
    return ConsentAct(
        identity_id=identity_id, purpose=change.purpose, granted=change.granted, source="channel",
        at=change.occurred_at, proof=change.proof, key=f"{item.channel_id}:{change.event_id}",
    )  # fmt: skip


def _order(item: Item) -> OrderInput:
    assert isinstance(item.event, CommerceEvent)  # noqa: S101
    # A channel speaks for its own orders alone: another source in the body would overwrite another shop's.
    given = {"occurred_at": item.event.occurred_at, **item.event.order, "source": None}
    try:
        return OrderInput.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise WrongInput(f"The order cannot be read: {path} {first['msg']}.") from None


def _event(item: Item, profile_id: str | None, identity_id: str | None) -> NewEvent:
    event = item.event
    assert isinstance(event, Tracked)  # noqa: S101
    return NewEvent(
        name=event.name, dedupe=f"{item.channel_id}:{event.name}:{event.event_id}", occurred_at=event.occurred_at,
        profile_id=profile_id, identity_id=identity_id, channel_id=item.channel_id, properties=event.properties,
    )  # fmt: skip
