"""What receipts do to sends and their messages: every write carries its own condition, so any order will do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from base.feed import Notice
from base.mongo import Document, UpdateOne
from channels.failures import Failure
from channels.vocabulary import DeliveryStatus
from inbox.models import line_id
from inbox.standing import EVENT_NAMES, SHOWN, STANDING, Receipt, furthest
from inbox.store.early import key_ref, ref_of
from profiles.events import NewEvent

#: States in which nobody has written down yet what the provider said.
IN_FLIGHT = ("planned", "deferred", "claimed", "handed")
_HISTORY_KEPT = 60
#: What a person did with a message: since when, on the message and on its send.
SEEN = {DeliveryStatus.OPENED: "opened_at", DeliveryStatus.CLICKED: "clicked_at"}


@dataclass
class Item:
    """One receipt and what it may be found by."""

    channel_id: str
    receipt: Receipt
    correlation: str | None
    send: Document | None = None
    message: Document | None = None

    @property
    def ref(self) -> str | None:
        """What it waits under while its send is not recorded."""
        if self.send is not None:
            return key_ref(self.channel_id, self.send["send_key"])
        if self.receipt.message_id:
            return ref_of(self.channel_id, self.receipt.message_id)
        return key_ref(self.channel_id, self.correlation) if self.correlation else None

    @property
    def settled(self) -> bool:
        """Whether what it speaks of is recorded, so that it can be applied."""
        if self.send is not None:
            return self.send["state"] not in IN_FLIGHT
        return self.message is not None


@dataclass
class Effects:
    """All writes that a batch of receipts comes to."""

    sends: list[UpdateOne] = field(default_factory=list)
    messages: list[UpdateOne] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    failures: list[tuple[Document, Failure, str | None]] = field(default_factory=list)


def effects_of(items: Iterable[Item]) -> Effects:
    """All writes of a batch of receipts whose sends are recorded."""
    effects = Effects()
    by_send: dict[str, list[Item]] = {}
    for item in items:
        if item.send is not None:
            by_send.setdefault(item.send["_id"], []).append(item)
        elif item.message is not None:
            _on_message(effects, item.message["_id"], item.message, [item.receipt])
    for group in by_send.values():
        _on_send(effects, group)
    return effects


def _on_send(effects: Effects, items: Sequence[Item]) -> None:
    send = items[0].send
    assert send is not None  # noqa: S101 - grouped by it
    receipts = [item.receipt for item in items]
    deciding = furthest(receipts)
    for receipt in receipts:
        entry = {**receipt.as_document(), "key": receipt.key}
        pushed = {"$push": {"history": {"$each": [entry], "$sort": {"at": 1, "key": 1}, "$slice": -_HISTORY_KEPT}}}
        effects.sends.append(UpdateOne({"_id": send["_id"], "history.key": {"$ne": receipt.key}}, pushed))
        if seen := SEEN.get(receipt.status):
            effects.sends.append(UpdateOne({"_id": send["_id"]}, {"$min": {seen: receipt.at}}))
    if deciding is not None and deciding.standing is not None:
        state, rank = deciding.standing
        change: Document = {"state": state, "rank": rank, "standing_at": deciding.at, "reason": deciding.reason}
        effects.sends.append(UpdateOne(ahead(send["_id"], "rank", rank, deciding.at), {"$set": change}))
    ids = sorted({r.message_id for r in receipts if r.message_id} - set(send.get("provider_message_ids", ())))
    if ids:
        effects.sends.append(UpdateOne({"_id": send["_id"]}, {"$addToSet": {"provider_message_ids": {"$each": ids}}}))
    _on_message(effects, line_id(send), send, receipts, ids)
    _events(effects, send, receipts, deciding)


def _on_message(
    effects: Effects, message_id: str, about: Document, receipts: Sequence[Receipt], ids: Sequence[str] = ()
) -> None:
    deciding = furthest(receipts)
    for receipt in receipts:
        if receipt.standing is not None:
            entry = {"status": _shown(receipt), "at": receipt.at, "key": receipt.key, "reason": receipt.reason}
            pushed = {"$push": {"status_history": {"$each": [entry], "$sort": {"at": 1, "key": 1}, "$slice": -40}}}
            effects.messages.append(UpdateOne({"_id": message_id, "status_history.key": {"$ne": receipt.key}}, pushed))
        if seen := SEEN.get(receipt.status):
            effects.messages.append(UpdateOne({"_id": message_id}, {"$min": {seen: receipt.at}}))
    if ids:
        effects.messages.append(
            UpdateOne({"_id": message_id}, {"$addToSet": {"provider_message_ids": {"$each": list(ids)}}})
        )
    if deciding is not None and deciding.standing is not None:
        rank = deciding.standing[1]
        change = {"status": _shown(deciding), "status_rank": rank, "status_at": deciding.at, "reason": deciding.reason}
        where = ahead(message_id, "status_rank", rank, deciding.at, "status_at")
        effects.messages.append(UpdateOne(where, {"$set": change}))
    data = {"message_id": message_id, "conversation_id": about.get("conversation_id")}
    effects.notices.append(Notice("message.updated", data, about["channel_id"]))


def ahead(row_id: str, field_name: str, rank: int, at: datetime, at_name: str = "standing_at") -> Document:
    """Only forward; of two receipts of the same rank the earlier one speaks, whichever came first."""
    return {"_id": row_id, "$or": [{field_name: {"$lt": rank}}, {field_name: rank, at_name: {"$gt": at}}]}


def _shown(receipt: Receipt) -> str:
    return SHOWN[receipt.standing[0]] if receipt.standing else "sent"


def _events(effects: Effects, send: Document, receipts: Sequence[Receipt], deciding: Receipt | None) -> None:
    for receipt in receipts:
        _failure(effects, send, receipt)
        name = EVENT_NAMES.get(receipt.status)
        if name is None or (
            receipt.status is DeliveryStatus.FAILED and send.get("rank", 0) > STANDING[receipt.status][1]
        ):
            continue
        each_time = f":{receipt.event_id}" if receipt.status is DeliveryStatus.CLICKED else ""
        effects.events.append(
            send_event(send, name, receipt.at, dedupe=f"{name}:{send['_id']}{each_time}", reason=receipt.reason)
        )


def _failure(effects: Effects, send: Document, receipt: Receipt) -> None:
    if receipt.status is DeliveryStatus.COMPLAINED:
        # Their no to all marketing, for good; and nothing at all until somebody here lets the mailbox be used again.
        effects.failures.append((send, Failure.CONSENT_WITHDRAWN, "complaint"))
        effects.failures.append((send, Failure.RECIPIENT_UNREACHABLE, "complaint"))
    elif receipt.status is DeliveryStatus.BOUNCED and receipt.permanent:
        effects.failures.append((send, Failure.RECIPIENT_UNREACHABLE, "bounce"))
    elif receipt.status is DeliveryStatus.FAILED:
        effects.failures.append((send, receipt.named_failure, receipt.detail))


def send_event(send: Document, name: str, at: datetime, *, dedupe: str, reason: Document | None = None) -> NewEvent:
    """The domain event of something that happened to a send."""
    source = send["source"]
    properties: Document = {
        "send_id": send["_id"], "send_key": send["send_key"], "message_id": send.get("message_id"),
        "conversation_id": send.get("conversation_id"), "class": send["class"], "source": source["kind"],
        "source_id": source.get("id"), "enrolment_id": source.get("enrolment_id"), "node_id": source.get("node_id"),
    }  # fmt: skip
    if reason:
        properties["reason"] = reason
    return NewEvent(
        name=name, dedupe=dedupe, occurred_at=at, profile_id=send["profile_id"], identity_id=send["identity_id"],
        channel_id=send["channel_id"], conversation_id=send.get("conversation_id"),
        properties={name: value for name, value in properties.items() if value is not None},
    )  # fmt: skip
