"""Delivery updates: what became of what we sent. Ranked, never backwards, in any order, any number of times.

A receipt may come before its send is recorded. It is then kept and looked for again: this side writes and then looks,
the recording side records and then looks, so one of them sees the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from base.clock import Clock
from base.feed import Feed
from base.ids import unique_key
from base.mongo import Document, UpdateOne
from base.queue import Doorbell
from channels.vocabulary import DeliveryStatus, DeliveryUpdate
from inbox.consequences import Consequences
from inbox.effects import Item, effects_of
from inbox.incoming import believable
from inbox.standing import STANDING, Receipt, receipt_from, receipt_of
from inbox.store import EarlyStore, MessageStore, SendStore
from inbox.store.early import key_ref, ref_of, watermark_ref
from profiles.events import EventStore
from profiles.resolve import Resolver


class Receipts:
    """Applies delivery updates to sends and their messages."""

    def __init__(
        self, sends: SendStore, messages: MessageStore, early: EarlyStore, resolver: Resolver,
        consequences: Consequences, events: EventStore, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._sends = sends
        self._messages = messages
        self._early = early
        self._resolver = resolver
        self._consequences = consequences
        self._events = events
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def apply(self, updates: Sequence[tuple[str, DeliveryUpdate]]) -> None:
        """Apply (channel id, update) pairs. May run twice, in any order."""
        now = self._clock()
        marks = [(channel_id, each) for channel_id, each in updates if each.watermark is not None]
        items = [
            Item(channel_id, receipt_of(each, believable(each.occurred_at, now)), each.correlation)
            for channel_id, each in updates
            if each.watermark is None
        ]
        await self._apply_items(items, now)
        for channel_id, each in marks:
            await self._apply_watermark(channel_id, each, now)

    async def catch_up(self, rows: Sequence[Document]) -> None:
        """Apply what came before these sends were recorded. Call after the record is written."""
        refs: dict[str, Document] = {}
        for row in rows:
            refs[key_ref(row["channel_id"], row["send_key"])] = row
            refs |= {ref_of(row["channel_id"], each): row for each in row.get("provider_message_ids", ())}
        await self._apply_marks_to(rows)
        waiting = await self._early.waiting_for(refs)
        if waiting:
            items = [
                Item(refs[e["ref"]]["channel_id"], receipt_from(e["body"]), None, send=refs[e["ref"]]) for e in waiting
            ]
            await self._carry_out(items)
            await self._early.done(waiting)

    async def heard_of(self, rows: Sequence[Document]) -> dict[str, list[Receipt]]:
        """Receipts that waited for these send keys: proof that the provider took them. Send id → receipts."""
        refs = {key_ref(row["channel_id"], row["send_key"]): row["_id"] for row in rows}
        found: dict[str, list[Receipt]] = {}
        for early in await self._early.waiting_for(refs):
            found.setdefault(refs[early["ref"]], []).append(receipt_from(early["body"]))
        return found

    # -- by id or key ------------------------------------------------------------------------------------------

    async def _apply_items(self, items: Sequence[Item], now: datetime) -> None:
        if not items:
            return
        await self._look(items)
        await self._adopt([item for item in items if item.send is not None and not item.settled], now)
        unrecorded = [item for item in items if not item.settled and item.ref]
        kept = [_early_row(item, now) for item in unrecorded]
        if unrecorded:
            await self._early.keep(kept)
            await self._look(unrecorded)  # it may have been recorded between our look and our write
        await self._carry_out([item for item in items if item.settled])
        late = [row["key"] for item, row in zip(unrecorded, kept, strict=True) if item.settled]
        await self._early.done_keys(late)

    async def _look(self, items: Sequence[Item]) -> None:
        by_key = await self._sends.by_keys([item.correlation for item in items if item.correlation])
        pairs = [(item.channel_id, item.receipt.message_id) for item in items if item.receipt.message_id]
        rows = await self._sends.by_provider_ids(pairs) if pairs else []
        by_id = {(row["channel_id"], each): row for row in rows for each in row["provider_message_ids"]}
        for item in items:
            found = by_key.get(item.correlation) if item.correlation else None
            if found is not None and found["channel_id"] != item.channel_id:
                found = None
            item.send = found or by_id.get((item.channel_id, item.receipt.message_id or ""))
        lone = [(i.channel_id, i.receipt.message_id) for i in items if i.send is None and i.receipt.message_id]
        lines = await self._messages.by_provider_ids(lone) if lone else {}
        for item in items:
            if item.send is None:
                line = lines.get((item.channel_id, item.receipt.message_id or ""))
                item.message = line if line is not None and line["direction"] == "out" else None

    async def _adopt(self, items: Sequence[Item], now: datetime) -> None:
        """A receipt for a send that waits to be tried again proves that it went: it is not tried again."""
        waiting = [i.send for i in items if i.send and i.send["state"] in ("planned", "deferred") and i.send["tries"]]
        if waiting:
            await self._sends.write([_adoption(row, now) for row in waiting])
        asked = [i.send for i in items if i.send and i.send["state"] == "handed" and i.send.get("awaiting_echo")]
        if asked:  # judged at once by the next look at broken hand-overs
            await self._sends.write(
                [UpdateOne({"_id": r["_id"], "awaiting_echo": True}, {"$set": {"due_at": now}}) for r in asked]
            )
        if waiting:
            await self._look(items)
        if waiting or asked:
            await self._doorbell.ring("deliver")

    # -- by watermark ------------------------------------------------------------------------------------------

    async def _apply_watermark(self, channel_id: str, update: DeliveryUpdate, now: datetime) -> None:
        if update.address is None or update.watermark is None:
            return
        known = await self._resolver.refer("channel", update.address.external_id, channel_id, create=False)
        if known is None:
            return
        until = believable(update.watermark, now)
        body = {"status": update.status.value, "until": until, "at": believable(update.occurred_at, now)}
        ref = watermark_ref(channel_id, known.identity_id)
        await self._early.keep_latest(unique_key(ref, update.status.value), ref, now, body)
        await self._reach_back(channel_id, known.identity_id, body)

    async def _apply_marks_to(self, rows: Sequence[Document]) -> None:
        """Somebody may have read past a send before it was recorded."""
        refs = {watermark_ref(row["channel_id"], row["identity_id"]) for row in rows}
        for mark in await self._early.waiting_for(refs):
            covered = [
                row for row in rows
                if watermark_ref(row["channel_id"], row["identity_id"]) == mark["ref"]
                and row.get("handed_at") and row["handed_at"] <= mark["body"]["until"]
            ]  # fmt: skip
            await self._carry_out([_mark_item(row, mark["body"]) for row in covered])

    async def _reach_back(self, channel_id: str, identity_id: str, body: Document) -> None:
        status = DeliveryStatus(body["status"])
        if status in STANDING:
            below = STANDING[status][1]
            rows = await self._sends.reached(identity_id, channel_id, body["until"], below=below)
            await self._carry_out([_mark_item(row, body) for row in rows])

    # -- effects -----------------------------------------------------------------------------------------------

    async def _carry_out(self, items: Sequence[Item]) -> None:
        if not items:
            return
        effects = effects_of(items)
        await self._consequences.draw(effects.failures)
        await self._sends.write(effects.sends)
        await self._messages.write(effects.messages)
        await self._events.record(effects.events)
        await self._feed.append(effects.notices)
        if effects.events:
            await self._doorbell.ring("react")


def _adoption(row: Document, now: datetime) -> UpdateOne:
    where = {"_id": row["_id"], "state": {"$in": ["planned", "deferred"]}, "tries": {"$gt": 0}}
    change = {
        "state": "accepted", "rank": STANDING[DeliveryStatus.SENT][1], "standing_at": now, "accepted_at": now,
        "unsettled": True, "updated_at": now, "reason": None,
    }  # fmt: skip
    return UpdateOne(where, {"$set": change, "$unset": {"due_at": "", "lease": ""}})


def _mark_item(row: Document, body: Document) -> Item:
    status = DeliveryStatus(body["status"])
    receipt = Receipt(status=status, at=body["at"], event_id=f"until:{body['until'].isoformat()}")
    return Item(row["channel_id"], receipt, None, send=row)


def _early_row(item: Item, now: datetime) -> Document:
    ref = str(item.ref)
    return {"key": unique_key(ref, item.receipt.key), "ref": ref, "at": now, "body": item.receipt.as_document()}
