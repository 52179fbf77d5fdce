"""What SES says through SNS → events: receipts, one for each recipient named, and inbound mail.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html, …/notification-contents.html
and …/receiving-email-notifications-contents.html (read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from base.ids import unique_key
from channels.adapter import Unreadable
from channels.failures import Failure
from channels.providers.mail.answers import enhanced, failure_of_status
from channels.providers.mail.charsets import unbase64
from channels.providers.mail.headers import Headers, valid_address
from channels.providers.mail.message import Box, Envelope, read_mail
from channels.providers.mail.ses.sns import NOTIFICATION, UNSUBSCRIBED, kind_of
from channels.providers.mail.threading import is_ours
from channels.providers.mail.told import EPOCH, TakenApart, Told
from channels.reading import Json, identifier, instant, items, mapping, read_json, text
from channels.vocabulary import (
    AccountNotice,
    AnyEvent,
    Attachment,
    AttachmentKind,
    DeliveryStatus,
    DeliveryUpdate,
    MessageReceived,
    Unrecognised,
)

#: Our send key among the tags of a mail.
KEY = "rapport_key"
#: Recipients of one object that are read; SES sends to 50 at most.
MAX_RECIPIENTS = 200
#: Where a mail lies that was too large for the notification: `s3:bucket/key`.
S3 = "s3:"

#: `bounceSubType` of a bounce that is not about the address.
_NOT_THE_ADDRESS = {
    "MessageTooLarge": Failure.CONTENT_REJECTED,
    "ContentRejected": Failure.CONTENT_REJECTED,
    "AttachmentRejected": Failure.CONTENT_REJECTED,
}
_SUPPRESSED = ("Suppressed", "OnAccountSuppressionList")


@dataclass(frozen=True)
class Report:
    """One object of SES: what happened, and the part that tells of it."""

    told: Told
    name: str
    part: Json
    #: Who it went to, for events that name nobody themselves.
    sent_to: tuple[str, ...]

    def to_each(self, people: Sequence[tuple[str, Json]]) -> list[tuple[Told, Json]]:
        """The same report once for each person, with the part that is theirs."""
        return [
            (replace(self.told, recipient=address, event_id=unique_key(self.told.event_id, address.lower())), own)
            for address, own in people
        ]


def read_event(envelope: Json, box: Box, received_at: datetime | None) -> list[AnyEvent]:
    """The events in one envelope. Raises `Unreadable` for what SNS does not send."""
    kind = kind_of(envelope)
    if not kind:
        raise Unreadable("The body is no envelope of SNS.")
    at = instant(envelope.get("Timestamp")) or received_at or EPOCH
    event_id = (identifier(envelope.get("MessageId")) or unique_key(repr(envelope)))[:400]
    if kind == UNSUBSCRIBED:
        return [_unsubscribed(envelope, event_id, at)]
    if kind != NOTIFICATION:
        return []
    message = _message(envelope)
    name = text(message.get("eventType")) or text(message.get("notificationType"))
    if name is None or name == "AmazonSnsSubscriptionSucceeded":
        return [_greeting(envelope, event_id, at)]
    if name == "Received":
        return _inbound(message, event_id, box, at)
    return _report(message, name, event_id, box, at)


def _message(envelope: Json) -> Json:
    """The object in `Message`; an empty one for plain text, with which SES tries a new topic."""
    try:
        return mapping(read_json((text(envelope.get("Message")) or "").encode("utf-8", "replace")))
    except Unreadable:
        return {}


def _greeting(envelope: Json, event_id: str, at: datetime) -> AnyEvent:
    words = text(envelope.get("Message")) or ""
    if "Successfully validated SNS topic" not in words and "AmazonSnsSubscriptionSucceeded" not in words:
        return Unrecognised(event_id=event_id, occurred_at=at, raw=envelope, topic="notification without a type")
    return AccountNotice(
        event_id=event_id, occurred_at=at, raw=envelope, topic="topic_connected", text="SES speaks through this topic."
    )


def _unsubscribed(envelope: Json, event_id: str, at: datetime) -> AnyEvent:
    """Never subscribed again by ourselves: whoever did it may have meant it."""
    return AccountNotice(
        event_id=event_id, occurred_at=at, raw={name: envelope.get(name) for name in ("Type", "TopicArn", "MessageId")},
        topic="unsubscribed", severity="critical",
        text="The SNS topic does not post here any more: no mail and no receipts come in. Subscribe it again.",
    )  # fmt: skip


# -- inbound -----------------------------------------------------------------------------------------


def _inbound(message: Json, event_id: str, box: Box, at: datetime) -> list[AnyEvent]:
    mail, receipt = mapping(message.get("mail")), mapping(message.get("receipt"))
    action = mapping(receipt.get("action"))
    if text(mapping(receipt.get("virusVerdict")).get("status")) == "FAIL":
        return [
            Unrecognised(event_id=event_id, occurred_at=at, raw=mail, topic="mail with a virus", reason="found by SES")
        ]
    sender = mail.get("source")
    to = _ours(receipt, mail, box)
    envelopes = [Envelope(sender if isinstance(sender, str) else None, each, at) for each in to]
    content = text(message.get("content"))
    if content is None:
        found: list[AnyEvent] = [_elsewhere(mail, action, box, envelope, event_id, at) for envelope in envelopes]
    else:
        encoded = text(action.get("encoding")) == "BASE64"
        raw = unbase64(content.encode("ascii", "ignore")) if encoded else content.encode("utf-8", "replace")
        found = [event for envelope in envelopes for event in read_mail(raw, box, envelope)]
    return list({(event.kind, event.event_id): event for event in found}.values())


def _ours(receipt: Json, mail: Json, box: Box) -> list[str]:
    """The addresses of ours that the rule matched; the first of all where none is ours."""
    named = items(receipt.get("recipients")) or items(mail.get("destination"))
    given = [address for each in named if valid_address(address := text(each) or "")]
    ours = [address for address in given if any(is_ours(address, own) for own in box.own)]
    return ours[:20] or given[:1] or [box.own[0] if box.own else "inbound"]


def _elsewhere(mail: Json, action: Json, box: Box, envelope: Envelope, event_id: str, at: datetime) -> AnyEvent:
    """A mail that lies in S3: who and what are known, and the whole of it is a file to fetch."""
    pairs = [
        (text(each.get("name")), text(each.get("value"))) for each in map(mapping, items(mail.get("headers"))[:500])
    ]
    headers = Headers([(name.strip(), " ".join((value or "").split())) for name, value in pairs if name])
    bucket, key = text(action.get("bucketName")), text(action.get("objectKey"))
    if not headers or not bucket or not key:
        return Unrecognised(event_id=event_id, occurred_at=at, raw=mail, topic="mail without content")
    file = Attachment(
        kind=AttachmentKind.FILE, media_type="message/rfc822", file_name="message.eml",
        media_id=f"{S3}{bucket}/{key}"[:1500],
    )  # fmt: skip
    event = TakenApart(headers, "", "", (file,)).read(box, envelope)
    if not isinstance(event, MessageReceived):
        return event
    return event.model_copy(update={"unsupported": "The mail lies in S3; its text is in the attached file."})


# -- what became of outgoing mail ----------------------------------------------------------------------


def _report(message: Json, name: str, event_id: str, box: Box, at: datetime) -> list[AnyEvent]:
    mail = mapping(message.get("mail"))
    part = mapping(message.get(_PARTS.get(name, "")))
    link = text(part.get("link")) or ""
    stamp = text(part.get("timestamp")) or ""
    ses_id = text(mail.get("messageId"))
    unique = text(part.get("feedbackId")) or (unique_key(ses_id, stamp, link) if ses_id and stamp else event_id)
    told = Told(
        channel_id=box.channel_id,
        event_id=unique_key(name, unique),
        at=instant(part.get("timestamp")) or instant(mail.get("timestamp")) or at,
        message_id=ses_id[:400] if ses_id else None,
        correlation=_tag(mail),
        raw={"type": name, "part": part, "message_id": ses_id, "tags": mapping(mail.get("tags"))},
    )
    sent_to = tuple(text(each) or "" for each in items(mail.get("destination"))[:MAX_RECIPIENTS])
    reader = _READERS.get(name)
    if reader is None:
        return [told.unrecognised(name)]
    found = reader(Report(told, name, part, sent_to))
    return found or [told.unrecognised(f"{name} of nobody")]


def _tag(mail: Json) -> str | None:
    return next((text(each) for each in items(mapping(mail.get("tags")).get(KEY))), None)


def _people(listed: Any) -> list[tuple[str, Json]]:
    """(address, its object) of a list of objects or of plain addresses, each address once."""
    found: dict[str, tuple[str, Json]] = {}
    for each in items(listed)[:MAX_RECIPIENTS]:
        address = (text(each) if isinstance(each, str) else text(mapping(each).get("emailAddress"))) or ""
        address = address.rpartition("<")[2].rstrip("> ").strip()
        if valid_address(address):
            found.setdefault(address.lower(), (address, mapping(each)))
    return list(found.values())


def _bounced(report: Report) -> list[AnyEvent]:
    permanent = text(report.part.get("bounceType")) == "Permanent"
    subtype = text(report.part.get("bounceSubType")) or ""
    return [
        _bounce(told, own, subtype, permanent=permanent)
        for told, own in report.to_each(_people(report.part.get("bouncedRecipients")))
    ]


def _bounce(told: Told, own: Json, subtype: str, *, permanent: bool) -> DeliveryUpdate:
    status = enhanced(text(own.get("status")) or "") or enhanced(text(own.get("diagnosticCode")) or "")
    words = text(own.get("diagnosticCode")) or subtype
    code = ".".join(map(str, status)) if status else subtype
    if subtype in _NOT_THE_ADDRESS:
        return told.receipt(DeliveryStatus.BOUNCED, failure=_NOT_THE_ADDRESS[subtype], code=code, detail=words)
    if not permanent:
        return told.receipt(DeliveryStatus.BOUNCED, failure=Failure.TEMPORARY, code=code, detail=words)
    tells = status is not None and status[0] == 5 and status[1] > 0 and subtype not in _SUPPRESSED
    failure = failure_of_status(*status) if status and tells else Failure.RECIPIENT_UNREACHABLE
    return told.receipt(DeliveryStatus.BOUNCED, failure=failure, code=code, detail=words, permanent=True)


def _complained(report: Report) -> list[AnyEvent]:
    kind = text(report.part.get("complaintFeedbackType")) or text(report.part.get("complaintSubType"))
    if kind == "not-spam":
        return [report.told.unrecognised("Complaint not-spam", "the person said that it was no spam")]
    return [
        told.receipt(
            DeliveryStatus.COMPLAINED, failure=Failure.RECIPIENT_BLOCKED, code=kind or "complaint",
            detail=text(report.part.get("userAgent")), permanent=True,
        )
        for told, _ in report.to_each(_people(report.part.get("complainedRecipients")))
    ]  # fmt: skip


def _delayed(report: Report) -> list[AnyEvent]:
    """SES goes on trying: nothing of it is final."""
    return [
        told.receipt(
            DeliveryStatus.SENT, failure=Failure.TEMPORARY,
            code=text(own.get("status")) or text(report.part.get("delayType")),
            detail=text(own.get("diagnosticCode")),
        )
        for told, own in report.to_each(_people(report.part.get("delayedRecipients")))
    ]  # fmt: skip


def _delivered(report: Report) -> list[AnyEvent]:
    people = report.to_each(_people(report.part.get("recipients")))
    words = text(report.part.get("smtpResponse"))
    return [told.receipt(DeliveryStatus.DELIVERED, detail=words) for told, _ in people]


def _sent(report: Report) -> list[AnyEvent]:
    return [told.receipt(DeliveryStatus.SENT) for told, _ in report.to_each(_people(list(report.sent_to)))]


def _refused(report: Report) -> list[AnyEvent]:
    words = text(report.part.get("reason")) or text(report.part.get("errorMessage"))
    return [
        told.receipt(DeliveryStatus.FAILED, failure=Failure.CONTENT_REJECTED, code=report.name, detail=words)
        for told, _ in report.to_each(_people(list(report.sent_to)))
    ]


def _seen(status: DeliveryStatus, field: str) -> Callable[[Report], list[AnyEvent]]:
    """Opened or clicked. With several recipients nobody knows by whom: then it is told of the mail alone."""

    def read(report: Report) -> list[AnyEvent]:
        people = _people(list(report.sent_to))
        told = replace(report.told, recipient=people[0][0]) if len(people) == 1 else report.told
        return [told.receipt(status, detail=text(report.part.get(field)))]

    return read


def _subscription(report: Report) -> list[AnyEvent]:
    """Preferences of SES's own unsubscribe page. Leaving one list of several counts as leaving."""
    wanted = mapping(report.part.get("newTopicPreferences"))
    topics = [mapping(each) for each in items(wanted.get("topicSubscriptionStatus"))]
    left = [text(each.get("topicName")) or "?" for each in topics if text(each.get("subscriptionStatus")) == "OptOut"]
    everything = wanted.get("unsubscribeAll") is True
    proof = (
        "SES: unsubscribed from everything"
        if everything
        else f"SES: left {', '.join(left)}"
        if left
        else "SES: subscribed"
    )
    people = report.to_each(_people(list(report.sent_to)))
    return [told.consent(granted=not (everything or left), proof=proof) for told, _ in people]


_PARTS = {
    "Bounce": "bounce", "Complaint": "complaint", "Delivery": "delivery", "Send": "send", "Reject": "reject",
    "Open": "open", "Click": "click", "DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure",
    "RenderingFailure": "failure", "Subscription": "subscription",
}  # fmt: skip
_READERS: dict[str, Callable[[Report], list[AnyEvent]]] = {
    "Bounce": _bounced,
    "Complaint": _complained,
    "Delivery": _delivered,
    "DeliveryDelay": _delayed,
    "Send": _sent,
    "Reject": _refused,
    "Rendering Failure": _refused,
    "RenderingFailure": _refused,
    "Open": _seen(DeliveryStatus.OPENED, "userAgent"),
    "Click": _seen(DeliveryStatus.CLICKED, "link"),
    "Subscription": _subscription,
}
