"""Postmark's webhooks → events: inbound mail, and what became of outgoing mail.

https://postmarkapp.com/developer/webhooks/inbound-webhook, …/bounce-webhook, …/subscription-change-webhook and
…/api/bounce-api#bounce-types (read 2026-11-22).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from base.ids import unique_key
from channels.adapter import Unreadable
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of_status
from channels.providers.mail.charsets import clean, unbase64
from channels.providers.mail.headers import MAX_ADDRESSES, MAX_BLOCK, Headers, mailboxes, read_headers, valid_address
from channels.providers.mail.headers import instant as mail_instant
from channels.providers.mail.message import (
    Box,
    Envelope,
    Letter,
    body_of,
    identity_of,
    is_inline,
    kind_of,
    raw_part,
    read_mail,
    received,
)
from channels.providers.mail.mime import MAX_PARTS, media_type_of, safe_file_name
from channels.providers.mail.threading import first_token
from channels.reading import Json, identifier, instant, items, mapping, text
from channels.vocabulary import (
    AccountNotice,
    Address,
    AnyEvent,
    Attachment,
    ConsentChange,
    DeliveryStatus,
    DeliveryUpdate,
    Unrecognised,
)

#: Bounce types that end the hope for an address, with what they say of it.
_PERMANENT = {
    "HardBounce": Failure.RECIPIENT_UNREACHABLE,
    "BadEmailAddress": Failure.RECIPIENT_UNREACHABLE,
    "ManuallyDeactivated": Failure.RECIPIENT_BLOCKED,
    "SpamComplaint": Failure.RECIPIENT_BLOCKED,
    "SpamNotification": Failure.CONTENT_REJECTED,
    "Blocked": Failure.CONTENT_REJECTED,
    "VirusNotification": Failure.CONTENT_REJECTED,
    "ChallengeVerification": Failure.CONTENT_REJECTED,
    "DMARCPolicy": Failure.ACCOUNT_PROBLEM,
    "TemplateRenderingFailed": Failure.CONTENT_REJECTED,
}
#: Given up for now; the address may be good.
_PASSING = frozenset({"Transient", "SoftBounce", "DnsError", "SMTPApiError", "InboundError", "Unconfirmed", "Unknown"})
_WHOM = ("Recipient", "Email", "OriginalRecipient")
_WHEN = ("BouncedAt", "DeliveredAt", "ReceivedAt", "ChangedAt", "Date")
_CONSENT = {"Unsubscribe": False, "Subscribe": True}


def read_event(payload: Json, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    """The events of one webhook body. Raises only `Unreadable`, for a raw mail past the bounds."""
    record = text(payload.get("RecordType"))
    if record is None:
        if not _is_inbound(payload):
            return [_unrecognised(payload, "no record type", received_at)]
        return _inbound(payload, box, received_at)
    reader = _READERS.get(record)
    return [reader(payload, box, received_at)] if reader else [_unrecognised(payload, record, received_at)]


def delivery_key(payload: Json, body: bytes) -> str:
    """What makes a delivery unique; the hash of the body where Postmark names nothing."""
    return _known_id(payload) or hashlib.sha256(body).hexdigest()


def _event_id(payload: Json) -> str:
    return _known_id(payload) or unique_key(repr(payload))


def _known_id(payload: Json) -> str:
    """Postmark's own ids, readable; empty where it gives none. A bounce has one of its own.

    Postmark's test buttons send the same MessageID each time, so the time of the happening is part of it.
    """
    record = text(payload.get("RecordType")) or "Inbound"
    bounce, message = identifier(payload.get("ID")), identifier(payload.get("MessageID"))
    if bounce and record == "Bounce":
        return bounce if len(bounce) <= 200 else unique_key(bounce)
    person = next((found for name in _WHOM if (found := text(payload.get(name)))), "")
    if not (bounce or message or person):
        return ""
    stamp = next((found for name in _WHEN if (found := text(payload.get(name)))), "")
    link = unique_key(payload["OriginalLink"])[:12] if text(payload.get("OriginalLink")) else ""
    joined = " ".join(part for part in (record, message, bounce, person, stamp, link) if part)
    return joined if len(joined) <= 400 else unique_key(joined)


# -- inbound ---------------------------------------------------------------------------------------


def _is_inbound(payload: Json) -> bool:
    return any(
        name in payload for name in ("From", "FromFull", "TextBody", "HtmlBody", "RawEmail", "OriginalRecipient")
    )


def _inbound(payload: Json, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    recipient = _recipient(payload, box)
    headers = _headers(payload)
    envelope = Envelope(_sender(headers), recipient, received_at)
    report = _report(payload, headers, box, envelope)
    if report:
        return report
    at = mail_instant(text(payload.get("Date")) or headers.get("date"), received_at)
    to, cc = _addresses(payload, "ToFull", "To"), _addresses(payload, "CcFull", "Cc")
    html = _long(payload, "HtmlBody")
    raw = (text(payload.get("RawEmail")) or text(payload.get("MessageID")) or repr(sorted(payload))).encode()
    letter = Letter(
        headers=headers,
        content=body_of(
            _long(payload, "TextBody"), html, _files(payload, html), text(payload.get("StrippedTextReply"))
        ),
        subject=(text(payload.get("Subject")) or "")[:1000] or None,
        to=to,
        cc=cc,
        message_id=identity_of(headers, raw),
        reply_token=(text(payload.get("MailboxHash")) or "")[:200] or first_token([recipient, *to, *cc], box.own),
        raw=raw_part(headers, envelope, len(raw)) | {"postmark_id": identifier(payload.get("MessageID"))},
    )
    return [received(letter, box, envelope, at)]


def _headers(payload: Json) -> Headers:
    """Postmark takes some fields out of the list; they are put back so that one set of rules reads all mail."""
    listed = [(text(each.get("Name")), text(each.get("Value"))) for each in map(mapping, items(payload.get("Headers")))]
    fields = [(name.strip(), " ".join((value or "").split())) for name, value in listed[:500] if name]
    present = {name.lower() for name, _ in fields}
    sender = mapping(payload.get("FromFull"))
    address = text(sender.get("Email")) or ""
    named = (
        f'"{_quotable(text(sender.get("Name")))}" <{address}>' if valid_address(address) else text(payload.get("From"))
    )
    taken_out = [("From", named), ("Reply-To", text(payload.get("ReplyTo"))), ("Date", text(payload.get("Date")))]
    original = read_headers((text(payload.get("RawEmail")) or "")[:MAX_BLOCK].partition("\r\n\r\n")[0].encode())
    for name, value in (*taken_out, *original.fields[:500]):
        if value and name.lower() not in present:
            fields.append((name, value))
    return Headers(fields)


def _quotable(name: str | None) -> str:
    return (name or "").replace("\\", "").replace('"', "'")


def _sender(headers: Headers) -> str | None:
    """The envelope sender as Postmark tells it (Return-Path), `""` for a report; None when it does not."""
    if "return-path" not in headers:
        return None
    return headers.get("return-path").strip("<> ")


def _recipient(payload: Json, box: Box) -> str:
    for name in ("OriginalRecipient", "To"):
        found = mailboxes(text(payload.get(name)) or "", 1)
        if found:
            return clean(found[0].address)
    return box.own[0] if box.own else "inbound"


def _report(payload: Json, headers: Headers, box: Box, envelope: Envelope) -> list[AnyEvent]:
    """A bounce that came to the inbound address; only the raw mail holds its parts."""
    raw = payload.get("RawEmail")
    if not isinstance(raw, str) or not headers.get("content-type").lower().startswith("multipart/report"):
        return []
    events = read_mail(raw.encode("utf-8", "replace"), box, envelope)
    return events if all(isinstance(event, DeliveryUpdate) for event in events) else []


def _long(payload: Json, name: str) -> str:
    return (text(payload.get(name)) or "").replace("\r\n", "\n").replace("\r", "\n")


def _addresses(payload: Json, full: str, plain: str) -> tuple[str, ...]:
    given = [text(mapping(each).get("Email")) for each in items(payload.get(full))[:MAX_ADDRESSES]]
    found = [address for address in given if address and valid_address(address)]
    return tuple(found or [each.address for each in mailboxes(text(payload.get(plain)) or "")])


def _files(payload: Json, html: str) -> tuple[Attachment, ...]:
    listed = items(payload.get("Attachments"))
    if len(listed) > MAX_PARTS:
        raise Unreadable(f"The mail has more than {MAX_PARTS} files.")
    return tuple(_file(mapping(each), html) for each in listed)


def _file(entry: Json, html: str) -> Attachment:
    encoded = text(entry.get("Content")) or text(entry.get("Data")) or ""  # `Data`: the older test button
    content = unbase64(encoded.encode("ascii", "ignore"))
    media_type = media_type_of(Headers([("Content-Type", text(entry.get("ContentType")) or "")]))
    media_type = media_type or "application/octet-stream"
    content_id = (text(entry.get("ContentID")) or "").strip("<> ").removeprefix("cid:")[:200] or None
    kind = kind_of(media_type)
    return Attachment(
        kind=kind,
        media_type=media_type,
        file_name=safe_file_name(text(entry.get("Name"))),
        size_bytes=len(content),
        inline=is_inline(content_id, "inline" if content_id else "", kind, html),
        content_id=content_id,
        content=content,
    )


# -- what became of outgoing mail --------------------------------------------------------------------


def _delivery(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    return _update(
        payload, box, received_at, "DeliveredAt", DeliveryStatus.DELIVERED, detail=_words(payload, "Details")
    )


def _open(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    return _update(payload, box, received_at, "ReceivedAt", DeliveryStatus.OPENED, detail=_words(payload, "UserAgent"))


def _click(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    return _update(
        payload, box, received_at, "ReceivedAt", DeliveryStatus.CLICKED, detail=_words(payload, "OriginalLink")
    )


def _complaint(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    return _update(
        payload, box, received_at, "BouncedAt", DeliveryStatus.COMPLAINED, failure=Failure.RECIPIENT_BLOCKED,
        code="SpamComplaint", detail=_words(payload, "Details", "Description"), permanent=True,
    )  # fmt: skip


def _bounce(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    kind = text(payload.get("Type")) or "Unknown"
    if kind == "SpamComplaint":
        return _complaint(payload, box, received_at)
    if kind in _CONSENT:
        return _consent(payload, box, received_at, "BouncedAt", granted=_CONSENT[kind], proof=f"Postmark: {kind}")
    details = _words(payload, "Details", "Description")
    if kind in _PERMANENT:
        status = enhanced(details or "")
        failure = failure_of_status(*status) if kind == "HardBounce" and status else _PERMANENT[kind]
        return _update(
            payload, box, received_at, "BouncedAt", DeliveryStatus.BOUNCED, failure=failure, code=kind, detail=details,
            permanent=True,
        )  # fmt: skip
    if kind in _PASSING:
        # "Transient" is a delay that Postmark goes on with; a soft bounce is given up.
        state = DeliveryStatus.SENT if kind == "Transient" else DeliveryStatus.BOUNCED
        return _update(
            payload, box, received_at, "BouncedAt", state, failure=Failure.TEMPORARY, code=kind, detail=details
        )
    return _unrecognised(payload, f"Bounce {kind}", received_at)


def _subscription(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    reason, origin = text(payload.get("SuppressionReason")), text(payload.get("Origin"))
    address = _address(payload, box)
    if payload.get("SuppressSending") is True:
        if reason == "HardBounce":
            return _update(
                payload, box, received_at, "ChangedAt", DeliveryStatus.BOUNCED, failure=Failure.RECIPIENT_UNREACHABLE,
                code=reason, detail="Postmark stopped sending to this address.", permanent=True,
            )  # fmt: skip
        proof = f"Postmark: {reason or 'suppressed'} by {origin or 'unknown'}"
        return _consent(payload, box, received_at, "ChangedAt", granted=False, proof=proof)
    if origin == "Recipient":
        return _consent(payload, box, received_at, "ChangedAt", granted=True, proof="Postmark: subscribed again")
    # An administrator lifted a block: that is not the person's consent.
    return AccountNotice(
        event_id=_event_id(payload), occurred_at=_at(payload, "ChangedAt", received_at), address=address, raw=payload,
        topic="reactivated", text="Postmark sends to this address again.",
    )  # fmt: skip


def _update(
    payload: Json, box: Box, received_at: datetime | None, stamp: str, status: DeliveryStatus, *,
    failure: Failure | None = None, code: str | None = None, detail: str | None = None, permanent: bool = False,
) -> DeliveryUpdate:  # fmt: skip
    return DeliveryUpdate(
        event_id=_event_id(payload),
        occurred_at=_at(payload, stamp, received_at),
        address=_address(payload, box),
        raw=payload,
        status=status,
        message_id=identifier(payload.get("MessageID")),
        correlation=text(mapping(payload.get("Metadata")).get("key")),
        failure=failure,
        provider_code=code,
        detail=detail,
        permanent=permanent,
    )


def _consent(
    payload: Json, box: Box, received_at: datetime | None, stamp: str, *, granted: bool, proof: str
) -> AnyEvent:
    address = _address(payload, box)
    if address is None:
        return _unrecognised(payload, "consent without an address", received_at)
    return ConsentChange(
        event_id=_event_id(payload), occurred_at=_at(payload, stamp, received_at), address=address, raw=payload,
        granted=granted, proof=proof[:500],
    )  # fmt: skip


def _unrecognised(payload: Json, topic: str, received_at: datetime | None) -> Unrecognised:
    at = received_at or datetime(1970, 1, 1, tzinfo=UTC)
    return Unrecognised(event_id=_event_id(payload), occurred_at=at, raw=payload, topic=topic[:200])


def _address(payload: Json, box: Box) -> Address | None:
    given = text(payload.get("Recipient")) or text(payload.get("Email")) or ""
    if not valid_address(given):
        return None
    return Address(channel_id=box.channel_id, external_id=given.lower(), handle=given)


def _at(payload: Json, name: str, received_at: datetime | None) -> datetime:
    return instant(payload.get(name)) or received_at or datetime(1970, 1, 1, tzinfo=UTC)


def _words(payload: Json, *names: str) -> str | None:
    return next((found[:1000] for name in names if (found := text(payload.get(name)))), None)


_READERS: dict[str, Callable[[Json, Box, datetime | None], Any]] = {
    "Delivery": _delivery,
    "Bounce": _bounce,
    "SpamComplaint": _complaint,
    "Open": _open,
    "Click": _click,
    "SubscriptionChange": _subscription,
}
