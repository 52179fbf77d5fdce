"""Hands each family of events to its owner. The door calls downwards; no owner knows another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from base.errors import FieldError, WrongInput
from channels.vocabulary import (
    RESERVED,
    CommerceEvent,
    ConsentChange,
    DeliveryUpdate,
    Identified,
    MessageReceived,
    Tracked,
)
from inbox.incoming import Arrival
from inbox.opting import Heard, OptWords
from inbox.receipts import Receipts
from inbox.receive import Receiver
from orders.models import OrderInput
from orders.record import OrderBook
from profiles.consent import Consent, ConsentAct
from profiles.edit import ProfileEditor
from profiles.events import EventStore, NewEvent
from profiles.keys import key_of
from profiles.models import Dispute, IdentityRef
from profiles.profiling import kept_of
from profiles.resolve import Known, Reference, Resolver, Sighting
from profiles.store import ProfileStore
from profiles.visitors import SAME_BROWSER
from webhooks.calls import patch_of, reference_of
from webhooks.ingest import Item, Owners


def owners(
    *, receiver: Receiver, receipts: Receipts, consent: Consent, orders: OrderBook, resolver: Resolver,
    editor: ProfileEditor, events: EventStore, opt_words: OptWords,
    profiles: ProfileStore,
) -> Owners:  # fmt: skip
    """The owners of all families."""

    async def messages(items: Sequence[Item]) -> Collection[str]:
        result = await receiver.receive([Arrival(i.channel_id, i.provider, i.event, i.delivery_id) for i in items])
        return {item.delivery_id for item, each in zip(items, result.outcomes, strict=True) if each.forgets}

    async def words(items: Sequence[Item]) -> None:
        heard = [(i, i.event) for i in items if isinstance(i.event, MessageReceived)]
        await opt_words.hear([Heard(i.channel_id, i.provider, event) for i, event in heard])

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
        _refuse_reserved(items)
        known = await _whose(resolver, items)
        off = await profiles.unprofiled(who.profile_id for who in known if who is not None)
        await events.record(kept_of([_event(item, who) for item, who in zip(items, known, strict=True)], off))

    async def identified(items: Sequence[Item]) -> None:
        known = await _whose(resolver, items)
        for item, who in zip(items, known, strict=True):
            await _note_traits(editor, item, who)
            await _note_browser(resolver, profiles, item, who)

    return Owners(
        messages=messages, words=words, receipts=receive_receipts, people=identified, consents=consents,
        orders=record_orders, tracked=tracked,
    )  # fmt: skip


#: How ids of people, programs and journeys of ours begin.
_OURS = ("usr_", "tok_", "journey:", "rule:")


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


def _refuse_reserved(items: Sequence[Item]) -> None:
    """Such names say what only we can have seen: a merge, a message."""
    for item in items:
        if isinstance(item.event, Tracked) and item.event.name.startswith(RESERVED):
            raise WrongInput(f"{item.event.name} is a name that only the application itself may use.")


async def _note_traits(editor: ProfileEditor, item: Item, who: Known | None) -> None:
    patch = patch_of(item.event)
    if who is not None and patch is not None:
        key = f"{item.channel_id}:identified:{item.event.event_id}"
        await editor.patch(who.profile_id, patch, source="api", by=item.channel_id, key=key, strict=False)


async def _note_browser(resolver: Resolver, profiles: ProfileStore, item: Item, who: Known | None) -> None:
    """Somebody known by an address on the channel is the same browser as a tracked visitor: `profiles.visitors` joins
    them, unless both are known to be somebody."""
    event = item.event
    if not isinstance(event, Identified) or event.address is None or who is None or event.anonymous_id is None:
        return
    ref = IdentityRef(kind="anonymous", value=event.anonymous_id, verified=False)
    (other,) = await resolver.identify([Reference([ref], at=event.occurred_at)])
    if other is not None and other.profile_id != who.profile_id:
        pair = Dispute(who.profile_id, other.profile_id, "anonymous", key_of(ref).key, SAME_BROWSER, visitor=True)
        await profiles.suggestions.note([pair], event.occurred_at)


async def _whose(resolver: Resolver, items: Sequence[Item]) -> list[Known | None]:
    """The person of each, by an address on the channel or by ids of the operator's own systems; None for nobody."""
    seen = [item for item in items if item.event.address is not None]
    called = {
        n: ref for n, item in enumerate(items) if item.event.address is None and (ref := reference_of(item.event))
    }
    sighted = iter(await resolver.resolve([_sighting(item) for item in seen]) if seen else [])
    found = dict(zip(called, await resolver.identify(list(called.values())) if called else [], strict=True))
    return [next(sighted) if item.event.address is not None else found.get(n) for n, item in enumerate(items)]


def _event(item: Item, who: Known | None) -> NewEvent:
    event = item.event
    assert isinstance(event, Tracked)  # noqa: S101
    return NewEvent(
        name=event.name, dedupe=f"{item.channel_id}:{event.name}:{event.event_id}", occurred_at=event.occurred_at,
        profile_id=who.profile_id if who else None, identity_id=who.identity_id if who else None,
        channel_id=item.channel_id, properties=_as_theirs(event.properties),
    )  # fmt: skip


def _as_theirs(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Without a doer who is one of us: what comes from outside nobody of ours has done."""
    by = properties.get("by")
    ours = isinstance(by, str) and by.startswith(_OURS)
    return {name: value for name, value in properties.items() if name != "by" or not ours}
