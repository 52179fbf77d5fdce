"""Mailgun's posts → events: inbound mail as a form, what became of outgoing mail as JSON.

https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads and …/events/event-types
(read 2026-11-28).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from base.ids import unique_key
from channels.adapter import Unreadable
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of
from channels.providers.mail.charsets import clean
from channels.providers.mail.forms import Form
from channels.providers.mail.headers import Headers, valid_address
from channels.providers.mail.message import Box, Envelope, read_mail
from channels.providers.mail.mime import MAX_PARTS
from channels.providers.mail.threading import bare_id
from channels.providers.mail.told import EPOCH, TakenApart, Told, attachment_of
from channels.reading import Json, identifier, instant, integer, items, mapping, read_json, text
from channels.vocabulary import AnyEvent, Attachment, DeliveryStatus

#: `reason` of a permanent failure that Mailgun itself decided, without asking the receiver's server.
_SUPPRESSED = {
    "suppress-bounce": Failure.RECIPIENT_UNREACHABLE,
    "suppress-complaint": Failure.RECIPIENT_BLOCKED,
    "suppress-unsubscribe": Failure.CONSENT_WITHDRAWN,
}
#: Given up without a word against the address: too old, blocked by the receiver's provider.
_GIVEN_UP = {"old": Failure.TEMPORARY, "espblock": Failure.CONTENT_REJECTED}


# -- inbound -----------------------------------------------------------------------------------------


def read_inbound(form: Form, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    """The mail in a form of a route: whole in `body-mime`, else taken apart. Raises only `Unreadable`."""
    recipient = _recipient(form, box)
    sender = form.one("sender")
    envelope = Envelope(clean(sender) if sender is not None else None, recipient, received_at)
    whole = form.raw("body-mime")
    if whole:
        return read_mail(whole, box, envelope)
    headers = _headers(form)
    if not headers:
        raise Unreadable("The form holds no mail.")
    html = form.text("body-html")
    mail = TakenApart(headers, form.text("body-plain"), html, _files(form, html), form.text("stripped-text") or None)
    return [mail.read(box, envelope)]


def _recipient(form: Form, box: Box) -> str:
    given = clean(form.one("recipient") or "").strip()
    if valid_address(given):
        return given
    return box.own[0] if box.own else "inbound"


def _headers(form: Form) -> Headers:
    """`message-headers` is a JSON list of pairs; a field taken from the form stands in where it has none."""
    try:
        listed = items(read_json(form.raw("message-headers") or b"[]"))
    except Unreadable:
        listed = []
    pairs = [(text(each[0]), text(each[1])) for each in map(items, listed[:500]) if len(each) == 2]
    fields = [(name.strip(), " ".join((value or "").split())) for name, value in pairs if name]
    present = {name.lower() for name, _ in fields}
    spare = {"From": form.text("from"), "Subject": form.text("subject"), "Message-ID": form.text("Message-Id")}
    fields += [
        (name, " ".join(clean(value).split())) for name, value in spare.items() if value and name.lower() not in present
    ]
    return Headers(fields)


def _files(form: Form, html: str) -> tuple[Attachment, ...]:
    if len(form.files) > MAX_PARTS:
        raise Unreadable(f"The mail has more than {MAX_PARTS} files.")
    ids = _content_ids(form.raw("content-id-map"))
    named = sorted(form.files, key=lambda name: (len(name), name))  # attachment-2 before attachment-10
    return tuple(attachment_of(form.files[name], ids.get(name), html) for name in named)


def _content_ids(given: bytes) -> dict[str, str]:
    """Field name → Content-ID. Mailgun writes `{"<id>": "attachment-1"}`, and one id may stand there twice."""
    try:
        pairs = json.loads(given or b"{}", object_pairs_hook=list)
    except (ValueError, RecursionError):
        return {}
    found = [(text(each[1]), text(each[0])) for each in items(pairs) if isinstance(each, tuple)]
    return {name: clean(content_id.strip("<> "))[:200] for name, content_id in found if name and content_id}


# -- what became of outgoing mail ----------------------------------------------------------------------


def read_event(payload: Json, box: Box, received_at: datetime | None) -> AnyEvent:
    """The one event of a webhook body."""
    data = mapping(payload.get("event-data"))
    name = text(data.get("event")) or "no event"
    headers = mapping(mapping(data.get("message")).get("headers"))
    message_id = text(headers.get("message-id"))
    told = Told(
        channel_id=box.channel_id,
        event_id=_event_id(data, payload),
        at=instant(data.get("timestamp")) or received_at or EPOCH,
        recipient=text(data.get("recipient")),
        message_id=bare_id(message_id)[:400] if message_id else None,
        correlation=text(mapping(data.get("user-variables")).get("key")),
        raw=data or payload,
    )
    reader = _READERS.get(name)
    return reader(told, data) if reader else told.unrecognised(name)


def _event_id(data: Json, payload: Json) -> str:
    given = identifier(data.get("id"))
    if given:
        return given if len(given) <= 400 else unique_key(given)
    return unique_key(repr(data or payload))


def _failed(told: Told, data: Json) -> AnyEvent:
    status = mapping(data.get("delivery-status"))
    words = text(status.get("message")) or text(status.get("description")) or ""
    reason = text(data.get("reason")) or ""
    code = identifier(status.get("code"))
    if text(data.get("severity")) == "temporary":  # Mailgun goes on trying
        return told.receipt(DeliveryStatus.SENT, failure=Failure.TEMPORARY, code=code, detail=words)
    if reason in _GIVEN_UP:
        return told.receipt(DeliveryStatus.BOUNCED, failure=_GIVEN_UP[reason], code=reason, detail=words)
    failure = _SUPPRESSED.get(reason) or _reason(integer(status.get("code")) or 550, words)
    return told.receipt(
        DeliveryStatus.BOUNCED, failure=failure, code=code if reason not in _SUPPRESSED else reason, detail=words,
        permanent=failure is not Failure.TEMPORARY,
    )  # fmt: skip


def _reason(code: int, words: str) -> Failure:
    """What the receiver's server meant. Mailgun's own codes (605 …) stand above the SMTP range."""
    status = enhanced(words)
    if not 400 <= code < 600:
        code = 550 if status is None else status[0] * 100
    return failure_of("rcpt", code, words)


def _complained(told: Told, data: Json) -> AnyEvent:
    return told.receipt(DeliveryStatus.COMPLAINED, failure=Failure.RECIPIENT_BLOCKED, code="complained", permanent=True)


def _rejected(told: Told, data: Json) -> AnyEvent:
    words = text(mapping(data.get("reject")).get("reason"))
    return told.receipt(DeliveryStatus.FAILED, failure=Failure.CONTENT_REJECTED, code="rejected", detail=words)


def _unsubscribed(told: Told, data: Json) -> AnyEvent:
    return told.consent(granted=False, proof="Mailgun: unsubscribed")


def _seen(status: DeliveryStatus, *places: str) -> Callable[[Told, Json], AnyEvent]:
    def read(told: Told, data: Json) -> AnyEvent:
        found: Any = data
        for place in places:
            found = mapping(found).get(place)
        return told.receipt(status, detail=text(found))

    return read


_READERS: dict[str, Callable[[Told, Json], AnyEvent]] = {
    "accepted": _seen(DeliveryStatus.SENT),
    "delivered": _seen(DeliveryStatus.DELIVERED, "delivery-status", "message"),
    "opened": _seen(DeliveryStatus.OPENED, "client-info", "user-agent"),
    "clicked": _seen(DeliveryStatus.CLICKED, "url"),
    "failed": _failed,
    "complained": _complained,
    "rejected": _rejected,
    "unsubscribed": _unsubscribed,
}
