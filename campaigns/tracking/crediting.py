"""Keeps credits right: after news of an order, a touch that was told late, two people who turned out to be one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from base.clock import Clock
from base.mongo import Document
from campaigns.broadcasts.store import BroadcastStore
from campaigns.live import LiveJourneys
from campaigns.store import EnrolmentStore
from campaigns.tracking.attribution import Touch, credit, last_touch, paid_at, placed_at
from campaigns.tracking.reminding import Reminder, bought_before, broadcast_reminds_of, reminds_of
from campaigns.tracking.settings import TouchKind, Windows, settings_of
from campaigns.tracking.store import CreditStore, TrackingStore
from channels.registry import Registry
from channels.store import ChannelStore
from orders.models import Order
from orders.store import OrderStore
from profiles.events import Event, EventStore

#: Orders of one look.
BATCH = 1000
#: Changes are looked at again for so long: a transaction may be seen later than it says.
OVERLAP = timedelta(seconds=30)
#: A send that was on its way while its order came is accepted by then.
AGAIN_AFTER = timedelta(minutes=15)
#: How often a credit is made again that somebody else has changed meanwhile.
ROUNDS = 5
_TOUCHES: Mapping[str, TouchKind] = {"message.clicked": "clicked", "message.opened": "opened"}


class Crediting:
    """Makes credits anew from what is kept; whatever calls it, in any order and number, the end is the same."""

    def __init__(
        self, store: CreditStore, tracking: TrackingStore, orders: OrderStore, events: EventStore,
        channels: ChannelStore, registry: Registry, runs: EnrolmentStore, live: LiveJourneys,
        broadcasts: BroadcastStore, clock: Clock,
    ) -> None:  # fmt: skip
        self._store = store
        self._tracking = tracking
        self._orders = orders
        self._events = events
        self._channels = channels
        self._registry = registry
        self._runs = runs
        self._live = live
        self._broadcasts = broadcasts
        self._clock = clock

    async def hear(self, events: Sequence[Event]) -> None:
        """A touch may be told of after the order. Listens to domain events; may hear one twice."""
        people = {each.profile_id for each in events if each.name in _TOUCHES and each.profile_id}
        if people:
            await self.credit_people(sorted(people))

    async def recount(self, profile_id: str) -> None:
        """After a merge, or after one was undone."""
        await self.credit_people([profile_id])

    async def look(self) -> int:
        """Credit the orders that changed; how many were looked at. A chore, safe to be done by several at once."""
        now, mark = self._clock(), await self._store.mark()
        since = mark - OVERLAP if mark else datetime.fromtimestamp(0, now.tzinfo)
        orders = await self._orders.changed(since, BATCH)
        if orders:
            await self.credit_people(sorted({each.profile_id for each in orders}))
            latest = max(each.updated_at for each in orders)
            if mark is None or latest > mark:
                await self._store.set_mark(mark, latest)
            elif len(orders) >= BATCH:  # more changed within the overlap than one look takes
                await self._store.set_mark(mark, latest + OVERLAP)
        again = await self._store.due_again(now, BATCH)
        if again:
            await self.credit_people(sorted({row["profile_id"] for row in again}))
            await self._store.looked_again([row["_id"] for row in again], now)
        return len(orders) + len(again)

    async def credit_people(self, profile_ids: Sequence[str]) -> None:
        """Make the credits of these people's orders anew."""
        left = list(profile_ids)
        for _ in range(ROUNDS):
            left = await self._credited(left) if left else []
        await self._note_late(profile_ids)

    async def _credited(self, profile_ids: Sequence[str]) -> list[str]:
        """Those of whom a credit was changed by somebody else meanwhile."""
        held = await self._store.of_people(profile_ids)  # first: what is read after it is newer
        orders = await self._orders.of_profiles(profile_ids)
        rest = [each.id for own in orders.values() for each in own if each.id not in held and paid_at(each)]
        held |= await self._store.many(rest)
        times = [at for own in orders.values() for each in own if (at := paid_at(each)) is not None]
        if not times:
            return []
        windows = settings_of(await self._tracking.settings()).windows
        touches = await self._touches(profile_ids, min(times) - windows.longest, windows)
        now = self._clock()
        missed = set()
        for profile_id, own in orders.items():
            for order in own:
                at, before = paid_at(order), held.get(order.id)
                if at is None:
                    continue
                after = credit(order, last_touch(touches[profile_id], at, windows), before, now, now + AGAIN_AFTER)
                if after is not None and not await self._store.write(before, after):
                    missed.add(profile_id)
        return sorted(missed)

    async def _touches(
        self, profile_ids: Sequence[str], since: datetime, windows: Windows
    ) -> dict[str, list[Touch]]:  # fmt: skip
        kinds = {each.id: self._registry.get(each.provider).card.kind for each in await self._channels.list()}
        found: dict[str, list[Touch]] = {profile_id: [] for profile_id in profile_ids}
        for profile_id, events in (await self._events.find_many(profile_ids, _TOUCHES, since)).items():
            found[profile_id] += [made for each in events if (made := _of_event(each, kinds)) is not None]
        if windows.chat_delivery:
            for profile_id, rows in (await self._store.reached(profile_ids, since)).items():
                found[profile_id] += [made for row in rows if (made := _of_send(row, kinds)) is not None]
        return found

    # -- sent after the purchase -------------------------------------------------------------------------------

    async def _note_late(self, profile_ids: Sequence[str]) -> None:
        for profile_id, orders in (await self._orders.of_profiles(profile_ids)).items():
            times = [at for each in orders if (at := placed_at(each)) is not None and not each.test]
            sends = await self._store.reminders_after(profile_id, min(times)) if times else []
            if sends:
                await self._store.note_late(await self._late(profile_id, orders, sends))

    async def _late(self, profile_id: str, orders: Sequence[Order], sends: Sequence[Document]) -> list[Document]:
        runs = await self._runs.many(row["source"].get("enrolment_id") or "" for row in sends)
        versions = await self._live.definitions({(each["journey_id"], each["version"]) for each in runs.values()})
        mailings = [row["source"]["id"] for row in sends if row["source"]["kind"] == "broadcast"]
        heads = await self._broadcasts.many(mailings)
        late = []
        for send in sends:
            run, head = runs.get(send["source"].get("enrolment_id") or ""), heads.get(send["source"]["id"])
            reminder: Reminder | None = None
            event, since = None, send["planned_at"]
            if run is not None:
                definition = versions.get((run["journey_id"], run["version"]))
                reminder = reminds_of(definition.trigger) if definition is not None else None
                event, since = (run["data"].get("event") or {}).get("properties") or {}, run["entered_at"]
            elif head is not None:
                reminder = broadcast_reminds_of(head["body"].get("audience"))
            if reminder is None:
                continue
            for order in orders:
                at = bought_before(order, reminder, send["accepted_at"], since, event) if not order.test else None
                if at is not None:
                    late.append(_late_row(profile_id, order, send, at))
                    break
        return late


def _late_row(profile_id: str, order: Order, send: Document, at: datetime) -> Document:
    return {
        "_id": send["_id"], "profile_id": profile_id, "identity_id": send["identity_id"], "order_id": order.id,
        "source_kind": send["source"]["kind"], "source_id": send["source"]["id"], "node_id": send["source"]["node_id"],
        "sent_at": send["accepted_at"], "ordered_at": at,
    }  # fmt: skip


def _of_event(event: Event, kinds: Mapping[str, str]) -> Touch | None:
    """A touch by a campaign's marketing; an order notice sells nothing."""
    told = event.properties
    if (
        told.get("class") != "marketing"
        or told.get("source") not in ("journey", "broadcast")
        or not told.get("source_id")
    ):
        return None
    channel_id = event.channel_id or ""
    return Touch(
        str(told["send_id"]), _TOUCHES[event.name], event.occurred_at, channel_id, kinds.get(channel_id, "chat"),
        str(told["source"]), str(told["source_id"]), told.get("node_id"),
    )  # fmt: skip


def _of_send(row: Document, kinds: Mapping[str, str]) -> Touch | None:
    source = row["source"]
    if source["kind"] not in ("journey", "broadcast") or not source.get("id"):
        return None
    return Touch(
        row["_id"], "delivered", row["accepted_at"], row["channel_id"], kinds.get(row["channel_id"], "chat"),
        source["kind"], source["id"], source.get("node_id"),
    )  # fmt: skip
