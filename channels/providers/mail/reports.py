"""Reports of mail servers: bounces and delays (RFC 3464), read receipts (RFC 8098), complaints (RFC 5965).

A report is a claim by whoever sent it. It is matched by the Message-ID of the original or by the send key in the return
address it came to, which only its receivers know; without either it must change nothing (the receipts find no message
and drop it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from base.ids import unique_key
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of_status
from channels.providers.mail.charsets import clean
from channels.providers.mail.headers import Headers, instant, mailboxes, message_ids, read_headers, valid_address
from channels.providers.mail.mime import Part
from channels.vocabulary import Address, DeliveryStatus, DeliveryUpdate

MAX_RECIPIENTS = 200

_STATUS_PARTS = ("message/delivery-status", "message/global-delivery-status")
_READ_PARTS = ("message/disposition-notification", "message/global-disposition-notification")
_COMPLAINT_PART = "message/feedback-report"
_ORIGINAL_PARTS = (
    "message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What the events of one report share."""

    channel_id: str
    #: Unique id of the report itself.
    key: str
    at: datetime
    headers: Headers
    original: Headers
    #: Our send key, where the address it came to tells it.
    send_key: str | None = None

    @property
    def original_id(self) -> str | None:
        """Bare Message-ID of the mail it is about."""
        found = message_ids(self.original.get("message-id"))
        return found[0] if found else None


def read_report(
    channel_id: str, key: str, at: datetime, headers: Headers, parts: Sequence[Part], send_key: str | None = None
) -> list[DeliveryUpdate]:
    """The receipts in a mail; empty when it is no report, or one that says nothing we can read. `send_key`: told by the
    return address it came to, so that it is known which mail it is about even when nothing of it is quoted."""
    if not headers.get("content-type").strip().lower().startswith("multipart/report"):
        return []
    report = Report(channel_id, key, at, headers, _original(parts), send_key)
    for part in parts:
        if part.media_type in _STATUS_PARTS:
            return list(_deliveries(report, part))
        if part.media_type in _READ_PARTS:
            return list(_read(report, part))
        if part.media_type == _COMPLAINT_PART:
            return list(_complaint(report, part))
    return []


def _original(parts: Sequence[Part]) -> Headers:
    return next(originals(parts), Headers())


def originals(parts: Sequence[Part]) -> Iterator[Headers]:
    """Headers of the mails that are enclosed."""
    for part in parts:
        if part.media_type in _ORIGINAL_PARTS:
            block, _, _ = part.content().replace(b"\r\n", b"\n").lstrip(b"\n").partition(b"\n\n")
            yield read_headers(block)


def _groups(part: Part) -> Iterator[Headers]:
    blocks = part.content().replace(b"\r\n", b"\n").split(b"\n\n")
    return (headers for block in blocks[: MAX_RECIPIENTS + 1] if (headers := read_headers(block)))


def _deliveries(report: Report, part: Part) -> Iterator[DeliveryUpdate]:
    for group in _groups(part):
        recipient = _recipient(group.get("final-recipient")) or _recipient(group.get("original-recipient"))
        if recipient is None:
            continue
        action = group.get("action").strip().lower()
        code = enhanced(group.get("status"))
        status, failure = _outcome(action, code)
        if status is None:
            continue
        yield DeliveryUpdate(
            event_id=unique_key(report.key, recipient, action),
            occurred_at=instant(group.get("last-attempt-date"), report.at),
            address=_address(report, recipient),
            raw=_raw(group),
            status=status,
            message_id=report.original_id,
            correlation=report.send_key,
            failure=failure,
            provider_code=".".join(map(str, code)) if code else None,
            detail=_detail(group),
            permanent=status is DeliveryStatus.BOUNCED and (code is None or code[0] == 5),
        )


def _outcome(action: str, code: tuple[int, int, int] | None) -> tuple[DeliveryStatus | None, Failure | None]:
    """The status to record. A delay keeps the mail under way: nothing of it is final."""
    if action == "failed":
        return DeliveryStatus.BOUNCED, failure_of_status(*code) if code else Failure.UNKNOWN
    if action == "delayed":
        return DeliveryStatus.SENT, Failure.TEMPORARY
    return {
        "delivered": DeliveryStatus.DELIVERED,
        "expanded": DeliveryStatus.DELIVERED,
        "relayed": DeliveryStatus.SENT,
    }.get(action), None


def _read(report: Report, part: Part) -> Iterator[DeliveryUpdate]:
    for group in _groups(part):
        kind = group.get("disposition").rpartition(";")[2].strip().lower()
        recipient = _recipient(group.get("final-recipient"))
        ids = message_ids(group.get("original-message-id"))
        if recipient and kind.startswith("displayed"):
            yield DeliveryUpdate(
                event_id=unique_key(report.key, recipient, "read"),
                occurred_at=report.at,
                address=_address(report, recipient),
                raw=_raw(group),
                status=DeliveryStatus.READ,
                message_id=ids[0] if ids else report.original_id,
            )


def _complaint(report: Report, part: Part) -> Iterator[DeliveryUpdate]:
    for group in _groups(part):
        if group.get("feedback-type").strip().lower() in ("", "not-spam"):
            continue
        recipient = _recipient(group.get("original-rcpt-to"))
        if recipient is None:
            receivers = mailboxes(report.original.get("to"), 1)
            recipient = receivers[0].key if receivers else None
        yield DeliveryUpdate(
            event_id=unique_key(report.key, recipient, "complained"),
            occurred_at=instant(group.get("arrival-date") or group.get("received-date"), report.at),
            address=_address(report, recipient) if recipient else None,
            raw=_raw(group),
            status=DeliveryStatus.COMPLAINED,
            message_id=report.original_id,
            correlation=report.send_key,
            failure=Failure.RECIPIENT_BLOCKED,
            detail=f"feedback report: {group.text('feedback-type', 60)}",
            permanent=True,
        )


def _recipient(field: str) -> str | None:
    """`rfc822; Anna@example.com` → `anna@example.com`."""
    address = field.rpartition(";")[2].strip().strip("<>").strip().lower()
    return clean(address) if valid_address(address) else None


def _address(report: Report, recipient: str) -> Address:
    return Address(channel_id=report.channel_id, external_id=recipient, handle=recipient)


def _detail(group: Headers) -> str | None:
    words = group.get("diagnostic-code") or group.get("status")
    return clean(words.partition(";")[2].strip() or words.strip())[:1000] or None


def _raw(group: Headers) -> dict[str, list[list[str]]]:
    return {"report": [[name, value[:1000]] for name, value in group.fields[:40]]}
