"""How far a sent message has come: one order of ranks, so that receipts in any order give the same end. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from base.ids import unique_key
from base.mongo import Document
from channels.failures import CONSEQUENCES, Failure
from channels.vocabulary import DeliveryStatus, DeliveryUpdate
from inbox.incoming import short_id

#: What each receipt makes of the send's state, and its rank: the highest wins, whenever it comes. `failed` counts from
#: queued and sent only; a hard bounce is later news than the relay's "delivered", but not than a reader.
STANDING: dict[DeliveryStatus, tuple[str, int]] = {
    DeliveryStatus.SENT: ("accepted", 20),
    DeliveryStatus.FAILED: ("failed", 30),
    DeliveryStatus.DELIVERED: ("delivered", 40),
    DeliveryStatus.BOUNCED: ("failed", 45),
    DeliveryStatus.READ: ("read", 50),
    DeliveryStatus.PLAYED: ("read", 51),
}
ACCEPTED_RANK = STANDING[DeliveryStatus.SENT][1]
FAILED_RANK = STANDING[DeliveryStatus.FAILED][1]
UNKNOWN_RANK = 10
#: What a message shows for each state of its send.
SHOWN: dict[str, str] = {
    "planned": "queued", "claimed": "queued", "deferred": "queued", "handed": "queued", "accepted": "sent",
    "delivered": "delivered", "read": "read", "failed": "failed", "skipped": "failed", "unknown": "unknown",
}  # fmt: skip
#: The domain event of each receipt.
EVENT_NAMES: dict[DeliveryStatus, str] = {
    DeliveryStatus.DELIVERED: "message.delivered",
    DeliveryStatus.READ: "message.read",
    DeliveryStatus.PLAYED: "message.read",
    DeliveryStatus.FAILED: "message.failed",
    DeliveryStatus.BOUNCED: "message.bounced",
    DeliveryStatus.COMPLAINED: "message.complained",
    DeliveryStatus.OPENED: "message.opened",
    DeliveryStatus.CLICKED: "message.clicked",
}


@dataclass(frozen=True)
class Receipt:
    """One delivery update as it is applied and kept: plain values that survive a round trip through a row."""

    status: DeliveryStatus
    at: datetime
    event_id: str
    message_id: str | None = None
    failure: str | None = None
    provider_code: str | None = None
    detail: str | None = None
    permanent: bool = False

    @property
    def key(self) -> str:
        """The same for the same news, however often it comes."""
        return unique_key(self.status.value, self.at.isoformat(), self.event_id.encode("utf-8", "replace"))[:16]

    @property
    def standing(self) -> tuple[str, int] | None:
        """State and rank; None for news that changes no state (opened, clicked, complained)."""
        if self.status is DeliveryStatus.BOUNCED and not self.permanent:
            return STANDING[DeliveryStatus.FAILED]  # the relay may still get it through
        return STANDING.get(self.status)

    @property
    def reason(self) -> Document | None:
        """Why it failed, for a person."""
        if self.status not in (DeliveryStatus.FAILED, DeliveryStatus.BOUNCED):
            return None
        failure = self.named_failure
        detail = " ".join(part for part in (self.provider_code, self.detail) if part) or None
        return {"code": failure.value, "sentence": CONSEQUENCES[failure].sentence, "detail": detail and detail[:1000]}

    @property
    def named_failure(self) -> Failure:
        """The failure from the one table; a hard bounce without a name means an address out of reach."""
        if self.failure in set(Failure):
            return Failure(self.failure)
        hard = self.status is DeliveryStatus.BOUNCED and self.permanent
        return Failure.RECIPIENT_UNREACHABLE if hard else Failure.UNKNOWN

    def as_document(self) -> Document:
        """As it is kept while it is early, and in the history of a send."""
        return {
            "status": self.status.value, "at": self.at, "event_id": self.event_id, "message_id": self.message_id,
            "failure": self.failure, "provider_code": self.provider_code, "detail": self.detail,
            "permanent": self.permanent,
        }  # fmt: skip


def receipt_of(update: DeliveryUpdate, at: datetime) -> Receipt:
    """The receipt in an update; `at` is its believable time."""
    return Receipt(
        status=update.status,
        at=at,
        event_id=short_id(update.event_id),
        message_id=short_id(update.message_id) if update.message_id else None,
        failure=update.failure,
        provider_code=update.provider_code[:100] if update.provider_code else None,
        detail=update.detail[:1000] if update.detail else None,
        permanent=update.permanent,
    )


def receipt_from(body: Document) -> Receipt:
    """The reverse of `as_document`."""
    return Receipt(**{**body, "status": DeliveryStatus(body["status"])})


def furthest(receipts: Iterable[Receipt]) -> Receipt | None:
    """Of several receipts for one send the one that decides its state; of equals the earliest."""
    standing = [receipt for receipt in receipts if receipt.standing is not None]
    return max(standing, key=lambda r: (r.standing[1] if r.standing else 0, -r.at.timestamp()), default=None)
