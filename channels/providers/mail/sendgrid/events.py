"""SendGrid's posts → events: an array of events, and the form of Inbound Parse (taken apart, or whole in `email`).

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event and …/parsing-email/setting-up-the-inbound-
parse-webhook (read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from base.ids import unique_key
from channels.adapter import Unreadable
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of_status
from channels.providers.mail.charsets import clean
from channels.providers.mail.forms import Form
from channels.providers.mail.headers import Headers, mailboxes, message_ids, read_headers
from channels.providers.mail.message import Box, Envelope, read_mail
from channels.providers.mail.mime import MAX_PARTS
from channels.providers.mail.threading import is_ours
from channels.providers.mail.told import EPOCH, TakenApart, Told, attachment_of
from channels.reading import Json, identifier, instant, items, mapping, read_json, text
from channels.vocabulary import AnyEvent, Attachment, DeliveryStatus

#: Our send key among the custom arguments, which SendGrid mixes into its own fields.
KEY = "rapport_key"
#: Addresses of ours in one envelope that are looked at.
MAX_RECIPIENTS = 20

#: `reason` of a drop, in SendGrid's words → ours, and whether the address is spent.
_DROPPED = {
    "bounced address": (Failure.RECIPIENT_UNREACHABLE, True),
    "invalid": (Failure.RECIPIENT_UNREACHABLE, True),
    "unsubscribed address": (Failure.CONSENT_WITHDRAWN, True),
    "spam reporting address": (Failure.RECIPIENT_BLOCKED, True),
    "recipient list over package quota": (Failure.ACCOUNT_PROBLEM, False),
}


# -- inbound -----------------------------------------------------------------------------------------


def read_inbound(form: Form, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    """The mail in a form, once for each address of ours it came for. Raises only `Unreadable`."""
    sender, recipients = envelope_of(form, box)
    whole = form.raw("email")
    if whole:
        return _each(
            [event for each in recipients for event in read_mail(whole, box, Envelope(sender, each, received_at))]
        )
    headers = _headers(form)
    if not headers:
        raise Unreadable("The form holds no mail.")
    charsets = _charsets(form)
    html = form.text("html", charsets.get("html"))
    mail = TakenApart(headers, form.text("text", charsets.get("text")), html, _files(form, html))
    return _each([mail.read(box, Envelope(sender, each, received_at)) for each in recipients])


def envelope_of(form: Form, box: Box) -> tuple[str | None, list[str]]:
    """The envelope's sender and the addresses of ours in it; the first of all where none is ours."""
    try:
        envelope = mapping(read_json(form.raw("envelope") or b"{}"))
    except Unreadable:
        envelope = {}
    listed = [text(each) or "" for each in items(envelope.get("to"))] or [form.text("to")]
    given = [found.address for each in listed for found in mailboxes(each, MAX_RECIPIENTS)]
    ours = [address for address in given if any(is_ours(address, own) for own in box.own)][:MAX_RECIPIENTS]
    sender = envelope.get("from")
    return sender if isinstance(sender, str) else None, ours or given[:1] or [box.own[0] if box.own else "inbound"]


def key_of(form: Form, box: Box) -> str | None:
    """Message-ID and whom it was for; None where the mail has none (each post has another boundary)."""
    block = form.raw("headers") or form.raw("email")[:256_000].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = message_ids(read_headers(block).get("message-id"))
    _, recipients = envelope_of(form, box)
    return unique_key(found[0], *sorted(recipients)) if found else None


def _each(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """A mail to the tagged and to the plain address is one message."""
    return list({(event.kind, event.event_id): event for event in events}.values())


def _headers(form: Form) -> Headers:
    """The mail's own header block; the form's fields, each in its own charset, stand in for what it lacks."""
    headers = read_headers(form.raw("headers"))
    charsets = _charsets(form)
    spare = [(name, " ".join(form.text(name, charsets.get(name)).split())) for name in ("from", "to", "cc", "subject")]
    missing = [(name.title(), clean(value)) for name, value in spare if value and name not in headers]
    return Headers((*headers.fields, *missing))


def _charsets(form: Form) -> dict[str, str]:
    try:
        given = mapping(read_json(form.raw("charsets") or b"{}"))
    except Unreadable:
        return {}
    return {name: charset for name, value in given.items() if (charset := text(value))}


def _files(form: Form, html: str) -> tuple[Attachment, ...]:
    if len(form.files) > MAX_PARTS:
        raise Unreadable(f"The mail has more than {MAX_PARTS} files.")
    try:
        told = mapping(read_json(form.raw("attachment-info") or b"{}"))
    except Unreadable:
        told = {}
    named = sorted(form.files, key=lambda name: (len(name), name))
    return tuple(attachment_of(form.files[name], _content_id(mapping(told.get(name))), html) for name in named)


def _content_id(told: Json) -> str | None:
    return clean((text(told.get("content-id")) or "").strip("<> "))[:200] or None


# -- what became of outgoing mail ----------------------------------------------------------------------


def read_events(body: bytes, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    """Every event of the array. Raises `Unreadable` for what is no array."""
    listed = read_json(body)
    if not isinstance(listed, list):
        raise Unreadable("The body is not a JSON array.")
    return _each([_event(mapping(each), each, box, received_at) for each in listed])


def _event(data: Json, item: Any, box: Box, received_at: datetime | None) -> AnyEvent:
    told = Told(
        channel_id=box.channel_id,
        event_id=_event_id(data, item),
        at=instant(data.get("timestamp")) or received_at or EPOCH,
        recipient=text(data.get("email")),
        message_id=(text(data.get("sg_message_id")) or "").partition(".")[0][:400] or None,
        correlation=text(data.get(KEY)),
        raw=data or {"item": item},
    )
    name = text(data.get("event")) or "no event"
    reader = _READERS.get(name)
    return reader(told, data) if reader else told.unrecognised(name)


def _event_id(data: Json, item: Any) -> str:
    given = identifier(data.get("sg_event_id"))
    if given:
        return given if len(given) <= 400 else unique_key(given)
    return unique_key(repr(item))


def _seen(status: DeliveryStatus, field: str) -> Callable[[Told, Json], AnyEvent]:
    return lambda told, data: told.receipt(status, detail=text(data.get(field)))


def _opened(told: Told, data: Json) -> AnyEvent:
    """Apple's mail fetches pictures for everybody: such an open says that it arrived, not that somebody looked."""
    if data.get("sg_machine_open") is True:
        return told.receipt(DeliveryStatus.DELIVERED, detail="opened by a machine")
    return told.receipt(DeliveryStatus.OPENED, detail=text(data.get("useragent")))


def _deferred(told: Told, data: Json) -> AnyEvent:
    words = text(data.get("response")) or text(data.get("reason"))
    return told.receipt(DeliveryStatus.SENT, failure=Failure.TEMPORARY, code="deferred", detail=words)


def _bounced(told: Told, data: Json) -> AnyEvent:
    """`blocked` is a no to this mail, `bounce` a no to the address: that one is suppressed from then on."""
    words = text(data.get("reason")) or ""
    status = enhanced(text(data.get("status")) or "") or enhanced(words)
    code = ".".join(map(str, status)) if status else text(data.get("type"))
    if text(data.get("type")) == "blocked":
        failure = failure_of_status(*status) if status else Failure.CONTENT_REJECTED
        return told.receipt(DeliveryStatus.BOUNCED, failure=failure, code=code, detail=words)
    tells = status is not None and status[1] > 0  # 5.0.0 tells nothing, and SendGrid gives the address up
    failure = failure_of_status(*status) if status and tells else Failure.RECIPIENT_UNREACHABLE
    return told.receipt(DeliveryStatus.BOUNCED, failure=failure, code=code, detail=words, permanent=True)


def _dropped(told: Told, data: Json) -> AnyEvent:
    """SendGrid did not even try."""
    words = text(data.get("reason")) or ""
    failure, permanent = _DROPPED.get(words.strip().lower(), (Failure.CONTENT_REJECTED, False))
    return told.receipt(DeliveryStatus.FAILED, failure=failure, code="dropped", detail=words, permanent=permanent)


def _complained(told: Told, data: Json) -> AnyEvent:
    return told.receipt(DeliveryStatus.COMPLAINED, failure=Failure.RECIPIENT_BLOCKED, code="spamreport", permanent=True)


def _said(granted: bool) -> Callable[[Told, Json], AnyEvent]:
    def read(told: Told, data: Json) -> AnyEvent:
        group = identifier(data.get("asm_group_id"))
        proof = f"SendGrid: {data.get('event')}" + (f" (group {group[:50]})" if group else "")
        return told.consent(granted=granted, proof=proof)

    return read


_READERS: dict[str, Callable[[Told, Json], AnyEvent]] = {
    "processed": _seen(DeliveryStatus.SENT, "response"),
    "deferred": _deferred,
    "delivered": _seen(DeliveryStatus.DELIVERED, "response"),
    "bounce": _bounced,
    "blocked": _bounced,
    "dropped": _dropped,
    "open": _opened,
    "click": _seen(DeliveryStatus.CLICKED, "url"),
    "spamreport": _complained,
    "unsubscribe": _said(False),
    "group_unsubscribe": _said(False),
    "group_resubscribe": _said(True),
}
