"""What is written when a claimed send comes to a result, or has to wait. It holds only under the claim's lease.

A result carries `unsettled` until its consequences are drawn (`inbox.aftermath`), so that none is lost with a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from base.duty import settled
from base.mongo import Document, UpdateOne
from channels.vocabulary import Address, OutboundMessage, SendReceipt
from inbox.incoming import short_id
from inbox.models import SKIPPED_RANK
from inbox.standing import ACCEPTED_RANK, FAILED_RANK, UNKNOWN_RANK, Receipt

_GONE = {"lease": "", "due_at": "", "awaiting_echo": ""}
_RANKS = {"failed": FAILED_RANK, "unknown": UNKNOWN_RANK, "skipped": SKIPPED_RANK}


def accepted(
    row: Document, heard: Sequence[Receipt], now: datetime, receipt: SendReceipt | None = None,
    message: OutboundMessage | None = None,
) -> UpdateOne:  # fmt: skip
    """The provider took it: it said so, or (`heard`) a receipt that came back proves it."""
    ids = _ids(receipt, message) if receipt else sorted({r.message_id for r in heard if r.message_id})
    change = _acceptance(now, ids) | ({"to": message.to.model_dump()} if message else {})
    update: Document = {"$set": change, "$unset": _GONE, "$push": _entry("accepted", now)}
    return settled(row, update)


def late_acceptance(row: Document, receipt: SendReceipt, now: datetime) -> UpdateOne:
    """For a worker that lost its lease in the call: `unknown` becomes `accepted`; any other word stands."""
    change = _acceptance(now, [short_id(each) for each in receipt.message_ids])
    return UpdateOne({"_id": row["_id"], "state": "unknown"}, {"$set": change, "$push": _entry("accepted", now)})


def ended(row: Document, state: str, reason: Document, now: datetime, *, to: Address | None = None) -> UpdateOne:
    """`failed`, `unknown` or `skipped`, with the reason."""
    change: Document = {
        "state": state, "rank": _RANKS[state], "standing_at": now, "reason": reason, "unsettled": True,
        "updated_at": now,
    }  # fmt: skip
    if to is not None:
        change["to"] = to.model_dump()
    return settled(row, {"$set": change, "$unset": _GONE, "$push": _entry(state, now, reason)})


def given_up_waiting(row: Document, now: datetime) -> UpdateOne:
    """Every worker that took this row died: it is set aside for a person."""
    sentence = "Preparing this message stopped the program several times; it was set aside."
    return ended(row, "failed", {"code": "poison", "sentence": sentence, "detail": None}, now)


def deferred(
    row: Document, reason: Document, until: datetime, now: datetime, *, uncertain: bool = False,
    to: Address | None = None, tries: int | None = None,
) -> UpdateOne:  # fmt: skip
    """Not now: again at `until`, through all gates. `tries`: as many as there were, because no call was made."""
    change: Document = {"state": "deferred", "reason": reason, "due_at": until, "attempts": 0, "updated_at": now}
    if uncertain:
        change["uncertain"] = True
    if to is not None:
        change["to"] = to.model_dump()
    update: Document = {"$set": change, "$unset": {"lease": "", "awaiting_echo": ""}}
    if tries is not None:
        _uncalled(update, tries)
    if reason["code"] == "not_prepared":
        update["$inc"] = {"faults": 1}
    if row.get("reason") != reason:
        update["$push"] = _entry("deferred", now, reason)
    return settled(row, update)


def waiting_for_echo(row: Document, until: datetime, now: datetime) -> UpdateOne:
    """Stays `handed`: a receipt that carries our key may still tell."""
    change = {"due_at": until, "awaiting_echo": True, "uncertain": True, "attempts": 0, "updated_at": now}
    return settled(row, {"$set": change, "$unset": {"lease": ""}})


def repeated(row: Document, now: datetime) -> UpdateOne:
    """A hand-over whose worker died goes out again, under the same key."""
    change = {"state": "deferred", "due_at": now, "uncertain": True, "attempts": 0, "updated_at": now}
    return settled(row, {"$set": change, "$unset": {"lease": "", "awaiting_echo": ""}})


def released(row: Document, now: datetime, *, tries: int | None = None) -> UpdateOne:
    """Back as it was: the account has to wait, or our lease is about to end. `tries`: as with `deferred`."""
    change: Document = {"state": "deferred", "due_at": now, "attempts": 0, "updated_at": now}
    update: Document = {"$set": change, "$unset": {"lease": ""}}
    if tries is not None:
        _uncalled(update, tries)
    return settled(row, update)


def _uncalled(update: Document, tries: int) -> None:
    """`handed` was written, but the call it announced was not made."""
    update["$set"]["tries"] = tries
    update["$unset"] |= {} if tries else {"handed_at": "", "first_handed_at": ""}


def _acceptance(now: datetime, ids: Sequence[str]) -> Document:
    return {
        "state": "accepted", "rank": ACCEPTED_RANK, "standing_at": now, "accepted_at": now, "reason": None,
        "provider_message_ids": list(ids), "unsettled": True, "updated_at": now,
    }  # fmt: skip


def _ids(receipt: SendReceipt, message: OutboundMessage | None) -> list[str]:
    ids = [short_id(each) for each in receipt.message_ids]
    mail_id = message.mail.message_id if message and message.mail else None
    return list(dict.fromkeys([*ids, *([mail_id] if mail_id else [])]))


def _entry(state: str, at: datetime, reason: Document | None = None) -> Document:
    entry: Document = {"status": state, "at": at, "key": f"{state}:{at.timestamp():.3f}"}
    if reason:
        entry["reason"] = reason
    return {"history": {"$each": [entry], "$sort": {"at": 1, "key": 1}, "$slice": -60}}
