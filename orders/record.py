"""News of an order → the order, its person's counters and the domain events, all in one transaction."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from base.clock import Clock, to_millisecond
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import new_id, unique_key
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Doorbell
from orders.models import Order, OrderInput, StatusInput, as_order
from orders.progress import applied, summary
from orders.store import OrderStore
from profiles.events import EventStore, NewEvent
from profiles.keys import key_of
from profiles.models import IdentityRef
from profiles.postal import block_of
from profiles.resolve import Known, Reference, Resolver
from profiles.store import ProfileStore

#: How often a lost race for a new order is looked at again.
ROUNDS = 5


class UnknownOrder(WrongInput):
    """The order is new and nobody is named, so it cannot be kept."""


class OrderBook:
    """The only way in for orders, whether from the API, a shop or a channel."""

    def __init__(
        self, database: Database, store: OrderStore, resolver: Resolver, profiles: ProfileStore, events: EventStore,
        feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._store = store
        self._resolver = resolver
        self._profiles = profiles
        self._events = events
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def record(
        self, news: OrderInput, source: str = "api", by: str | None = None
    ) -> tuple[Order, bool]:  # fmt: skip
        """Upsert by (source, external id); the order and whether anything changed. May run twice for the same news.

        Raises `UnknownOrder` when the order is new and nobody is named.
        """
        source = news.source or source
        for _ in range(ROUNDS):
            known = await self._person(news, source)
            try:
                row, raised = await self._database.in_transaction(partial(self._write, news, source, known, by=by))
            except DuplicateKeyError:
                continue  # somebody else made the order in between: their row is updated now
            if raised is not None:
                await self._tell(row)
            return as_order(row), raised is not None
        raise Conflict("This order is being changed by too many at once. Try again.")

    async def hear(self, news: OrderInput, source: str) -> Order | None:
        """The same from a shop, whose news come in any order and name people in any way. May run twice.

        Identities that name nobody are left out. A parcel or a refund that comes before its order is kept until the
        order comes; a checkout of which nobody knows whose it is tells nothing yet. None then.
        """
        news = news.model_copy(update=_usable(news.refs))
        try:
            order, _ = await self.record(news, source)
        except UnknownOrder:
            if news.is_checkout:
                return None
            written = news.model_dump(mode="json", exclude_defaults=True)
            key = unique_key("early", source, news.model_dump_json(exclude_defaults=True))
            await self._store.keep_early(source, news.external_id, key, written, self._clock())
            found = await self._store.find(source, news.external_id)
            if found is None:
                return None
            order = found  # it came in between, and may have looked before we wrote
        return await self._catch_up(order, news.external_id, source)

    async def _catch_up(self, order: Order, external_id: str, source: str) -> Order:
        """Apply what had come early. Looked for after each write: of two that cross, the later one sees both."""
        early = await self._store.early(source, external_id)
        for row in early:
            order, _ = await self.record(OrderInput.model_validate(row["news"]), source)
        if early:
            await self._store.forget_early([row["_id"] for row in early])
        return order

    async def advance(self, order_id: str, step: StatusInput, by: str | None = None) -> tuple[Order, bool]:
        """One more milestone of a known order. `by`: who of us said so."""
        row = await self._store.row_by_id(order_id)
        if row is None:
            raise NotFound("There is no such order.")
        given: dict[str, Any] = {"tracking": step.tracking} if step.tracking else {}
        news = OrderInput(
            external_id=row["external_id"], status=step.status, occurred_at=step.occurred_at, **given
        )  # fmt: skip
        return await self.record(news, row["source"], by)

    async def of_profile(self, profile_id: str) -> list[Order]:
        """All orders of a person, merges followed, the newest first."""
        today = await self._profiles.current([profile_id])
        return await self._store.of_profile(today[profile_id])

    async def recount(self, profile_id: str) -> None:
        """Make a person's counters anew (after a merge)."""
        await self._database.in_transaction(lambda session: self._count(session, profile_id))

    async def _person(self, news: OrderInput, source: str) -> Known | None:
        """Looked up outside the transaction: finding or making a person has its own unique keys."""
        refs = news.refs
        if not refs:
            return None
        kind = "api" if source == "api" else "shop"
        post = block_of(news.shipping_address.model_dump()) if news.shipping_address is not None else None
        asked = Reference(refs, True, news.customer_name, kind, news.occurred_at, address=post)  # type: ignore[arg-type]
        return (await self._resolver.identify([asked]))[0]

    async def _write(
        self, news: OrderInput, source: str, known: Known | None, session: Session, by: str | None = None
    ) -> tuple[Document, dict[str, datetime] | None]:
        now = self._clock()
        at = to_millisecond(news.occurred_at) if news.occurred_at else now
        row, news = await self._row(news, source, session)
        progress = applied(row or {}, news, at, now)
        after = {**(row or self._blank(news, source, known, now)), **progress.fields, "updated_at": now}
        after["placed_said"] = news.placed_at is not None or after.get("placed_said", False)
        after["checkout_id"] = after.get("checkout_id") or news.checkout_id
        if row is not None and _same(row, after):
            return row, None
        if row is None:
            await self._store.insert(after, session)
        else:
            await self._store.write(row["_id"], {k: v for k, v in after.items() if k != "_id"}, session)
        raised = {} if after.get("test") or after.get("removed") else progress.raised
        await self._events.record(_events(after, raised, by), session)
        await self._count(session, after["profile_id"])
        return after, progress.raised

    async def _row(self, news: OrderInput, source: str, session: Session) -> tuple[Document | None, OrderInput]:
        """The row that the news is about: by the order's id, else the checkout it came from, whose place it takes."""
        row = await self._store.row(source, news.external_id, session)
        if news.checkout_id is None or (row is not None and row.get("checkout_id") is not None):
            return row, news
        other = await self._store.row_of_checkout(source, news.checkout_id, session)
        if other is None or (row is None and news.is_checkout):
            return other if row is None else row, news
        if not _is_checkout(other):  # two orders of one checkout: the first keeps it
            return row, news.model_copy(update={"checkout_id": None})
        if row is None:
            return {**other, "external_id": news.external_id, "said_at": {}, "payment_url": None}, news
        await self._store.remove(other["_id"], session)
        await self._events.record(_events(other, {"checkout.completed": row["placed_at"]}), session)
        return row, news

    def _blank(self, news: OrderInput, source: str, known: Known | None, now: datetime) -> Document:
        if known is None:
            raise UnknownOrder("A new order needs to say whose it is.", [FieldError("identity", "is required")])
        return {
            "_id": new_id("ord"), "external_id": news.external_id, "source": source, "profile_id": known.profile_id,
            "identity_id": known.identity_id, "total": None, "currency": None, "lines": [], "tracking": None,
            "url": None, "payment_url": None, "created_at": now,
        }  # fmt: skip

    async def _count(self, session: Session, profile_id: str) -> None:
        # Locked first: two orders of one person at once would otherwise each count without the other.
        locked = await self._profiles.locked(profile_id, session)
        if locked is not None:
            # the survivor's own orders, should the asked profile have been merged away
            fields = {"orders": summary(await self._store.rows_of(locked["_id"], session))}
            await self._profiles.write(locked["_id"], fields, session)

    async def _tell(self, row: Document) -> None:
        data = {"order_id": row["_id"], "profile_id": row["profile_id"], "status": row["status"]}
        await self._feed.append([Notice("order.updated", data)])
        self._doorbell.soon("react")


def _same(before: Document, after: Document) -> bool:
    return all(before.get(name) == value for name, value in after.items() if name != "updated_at")


def _is_checkout(row: Document) -> bool:
    return bool(row["status"] == "checkout")


def _usable(refs: list[IdentityRef]) -> dict[str, Any]:
    """Those identities by which somebody can be found: a shop passes on whatever a customer typed."""
    usable = []
    for ref in refs:
        try:
            key_of(ref)
        except WrongInput:
            continue
        usable.append(ref)
    return {"identity": usable[0] if usable else None, "identities": usable[1:]}


def _dedupe(order_id: str, name: str, at: datetime) -> str:
    """Each milestone is told once, a change of a checkout as often as it happens."""
    return f"{order_id}:{name}:{at.isoformat()}" if name == "checkout.updated" else f"{order_id}:{name}"


def _events(row: Document, raised: dict[str, datetime], by: str | None = None) -> list[NewEvent]:
    properties = {
        "order_id": row["_id"], "external_id": row["external_id"],
        "number": row.get("number") or row["external_id"], "source": row["source"], "status": row["status"],
        "total": row["total"]["amount_minor"] if row["total"] else None, "currency": row["currency"],
        "products": [line["name"] for line in row["lines"][:20]],
        "skus": [line.get("sku") for line in row["lines"][:20]], **({"by": by} if by else {}),
    }  # fmt: skip
    return [
        NewEvent(
            name=name, dedupe=_dedupe(row["_id"], name, at), occurred_at=at, profile_id=row["profile_id"],
            identity_id=row["identity_id"], properties=properties,
        )
        for name, at in raised.items()
    ]  # fmt: skip
