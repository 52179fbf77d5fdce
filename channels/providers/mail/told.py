"""What a provider tells of one mail that went out, and a mail that it took apart on the way in: one form for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from channels.failures import Failure
from channels.providers.mail.headers import Headers, instant, valid_address
from channels.providers.mail.message import (
    Box,
    Envelope,
    Letter,
    body_of,
    identity_of,
    is_inline,
    kind_of,
    raw_part,
    received,
    recipients,
)
from channels.providers.mail.mime import Part
from channels.providers.mail.threading import first_token
from channels.reading import Json
from channels.vocabulary import (
    Address,
    AnyEvent,
    Attachment,
    AttachmentKind,
    ConsentChange,
    DeliveryStatus,
    DeliveryUpdate,
    Unrecognised,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_DETAIL = 1000


@dataclass(frozen=True)
class Told:
    """Whom, when and which mail an event of a provider is about; the methods say what happened."""

    channel_id: str
    event_id: str
    at: datetime
    recipient: str | None = None
    message_id: str | None = None
    correlation: str | None = None
    raw: Json = field(default_factory=dict, repr=False)

    @property
    def address(self) -> Address | None:
        """The person, where one mail address was given."""
        given = self.recipient or ""
        if not valid_address(given):
            return None
        return Address(channel_id=self.channel_id, external_id=given.lower(), handle=given)

    def receipt(
        self, status: DeliveryStatus, *, failure: Failure | None = None, code: str | None = None,
        detail: str | None = None, permanent: bool = False,
    ) -> DeliveryUpdate:  # fmt: skip
        """What became of the mail."""
        return DeliveryUpdate(
            event_id=self.event_id, occurred_at=self.at, address=self.address, raw=self.raw, status=status,
            message_id=self.message_id, correlation=self.correlation, failure=failure,
            provider_code=code[:100] if code else None, detail=detail[:MAX_DETAIL] if detail else None,
            permanent=permanent,
        )  # fmt: skip

    def consent(self, *, granted: bool, proof: str) -> AnyEvent:
        """The person said yes or no to mailings."""
        if self.address is None:
            return self.unrecognised("consent without an address")
        return ConsentChange(
            event_id=self.event_id, occurred_at=self.at, address=self.address, raw=self.raw, granted=granted,
            proof=proof[:500],
        )  # fmt: skip

    def unrecognised(self, topic: str, reason: str = "unknown kind") -> Unrecognised:
        """Kept and shown."""
        return Unrecognised(event_id=self.event_id, occurred_at=self.at, raw=self.raw, topic=topic[:200], reason=reason)


@dataclass(frozen=True)
class TakenApart:
    """An inbound mail of which a provider gives the header, the texts and the files."""

    headers: Headers
    plain: str
    html: str
    files: tuple[Attachment, ...] = ()
    #: The provider's own idea of the visible reply.
    stripped: str | None = None

    def read(self, box: Box, envelope: Envelope) -> AnyEvent:
        """The message in it."""
        headers = self.headers
        to, cc = recipients(headers, "to"), recipients(headers, "cc")
        identity = repr((headers.fields, self.plain, self.html)).encode("utf-8", "replace")
        letter = Letter(
            headers=headers,
            content=body_of(self.plain, self.html, self.files, self.stripped),
            subject=headers.text("subject") or None,
            to=to,
            cc=cc,
            message_id=identity_of(headers, identity),
            reply_token=first_token([envelope.recipient, *to, *cc], box.own),
            raw=raw_part(headers, envelope, len(identity)),
        )
        return received(letter, box, envelope, instant(headers.get("date"), envelope.received_at))


def attachment_of(part: Part, content_id: str | None, html: str) -> Attachment:
    """A file of a posted form as a file of the mail."""
    content = part.content()
    kind = kind_of(part.media_type)
    return Attachment(
        kind=kind,
        media_type=part.media_type,
        file_name=part.file_name,
        size_bytes=len(content),
        # A picture only: providers may give one id to several files, and none of them must vanish from the list.
        inline=kind is AttachmentKind.IMAGE and is_inline(content_id, "inline", kind, html),
        content_id=content_id,
        content=content,
    )
