"""One raw mail → events: a message of a customer, receipts from a report, or something to look at.

Pure and bounded (see `mime`): raises only `Unreadable`. Rules in channels.md, section 11.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from base.ids import unique_key
from channels.adapter import Unreadable
from channels.providers.mail.bounces import from_a_server, key_in, read_bounce
from channels.providers.mail.charsets import clean
from channels.providers.mail.headers import (
    MAX_ADDRESSES,
    Headers,
    Mailbox,
    instant,
    mailboxes,
    message_ids,
    read_headers,
    valid_address,
)
from channels.providers.mail.htmltext import both_texts
from channels.providers.mail.mime import Part, safe_file_name, split
from channels.providers.mail.quotes import visible_reply
from channels.providers.mail.reports import originals, read_report
from channels.providers.mail.threading import first_token, is_ours
from channels.vocabulary import (
    Address,
    AnyEvent,
    Attachment,
    AttachmentKind,
    MailParts,
    MessageReceived,
    Person,
    Unrecognised,
)

#: Bytes of one mail. The journal keeps it whole in one document, and MongoDB's limit is 16 MB.
MAX_MAIL = 15_000_000
#: Characters of text and of HTML that are kept.
MAX_TEXT = 200_000
MAX_HTML_KEPT = 1_000_000

_DMARC_FAILED = re.compile(r"\bdmarc\s{0,3}=\s{0,3}(?:fail|permerror)", re.I)
_VIA = re.compile(r"^'?(.{1,150}?)'? via .{1,150}$", re.S)
_OTHER_RECIPIENT_FIELDS = ("x-original-to", "delivered-to", "x-forwarded-to")


@dataclass(frozen=True)
class Box:
    """Our side: the account and the addresses it is reached under."""

    channel_id: str
    own: tuple[str, ...]


@dataclass(frozen=True)
class Envelope:
    """What was said outside the mail: from whom, to whom, and when it reached us. An empty sender is a report's."""

    sender: str | None
    recipient: str
    received_at: datetime | None = None


@dataclass(frozen=True)
class Author:
    """Who wrote it. `claimed` when only a header that no server vouches for says so."""

    mailbox: Mailbox
    claimed: bool = False


@dataclass(frozen=True)
class Content:
    """The body as read: text, HTML as it came, and the files."""

    text: str | None
    full_text: str | None
    html: str | None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True)
class Letter:
    """A mail taken apart, whichever way it came (raw bytes here, JSON fields at a provider)."""

    headers: Headers
    content: Content
    #: Bare Message-ID, or what stands for it when the sender gave none (`identity_of`).
    message_id: str
    subject: str | None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    reply_token: str | None = None
    raw: dict[str, object] = field(default_factory=dict, repr=False)


def read_mail(raw: bytes, box: Box, envelope: Envelope) -> list[AnyEvent]:
    """The events in one mail as a server handed it over. Raises `Unreadable` for what is no mail or past the bounds."""
    if len(raw) > MAX_MAIL:
        raise Unreadable(f"The mail is larger than {MAX_MAIL} bytes.")
    headers, parts = split(raw)
    message_id = identity_of(headers, raw)
    at = instant(headers.get("date"), envelope.received_at)
    to, cc = recipients(headers, "to"), recipients(headers, "cc")
    key = key_in(chain([envelope.recipient], to, _other_recipients(headers)), box.own)
    unique = unique_id(message_id, envelope.recipient, box)
    receipts = read_report(box.channel_id, unique, at, headers, parts, key)
    if receipts:
        return list(receipts)
    if from_a_server(headers, envelope.sender):
        told = content_of(parts)
        bounce = read_bounce(box.channel_id, unique, at, told.full_text or told.text or "", list(originals(parts)), key)
        if bounce is not None:
            return [bounce]
    letter = Letter(
        headers=headers,
        content=content_of(parts),
        subject=headers.text("subject") or None,
        to=to,
        cc=cc,
        message_id=message_id,
        reply_token=first_token(chain([envelope.recipient], to, cc, _other_recipients(headers)), box.own),
        raw=raw_part(headers, envelope, len(raw)),
    )
    return [received(letter, box, envelope, at)]


def received(letter: Letter, box: Box, envelope: Envelope, at: datetime) -> AnyEvent:
    """The message, or `Unrecognised` where nobody can be named as its author."""
    unique = unique_id(letter.message_id, envelope.recipient, box)
    author = author_of(letter.headers, envelope.sender)
    if author is None or author.mailbox.key in {own.lower() for own in box.own}:
        topic, reason = ("mail without a sender", "no address") if author is None else ("mail from ourselves", "a loop")
        return Unrecognised(event_id=unique, occurred_at=at, raw=letter.raw, topic=topic, reason=reason)
    sender = author.mailbox
    headers = letter.headers
    answered = message_ids(headers.get("in-reply-to"))
    return MessageReceived(
        event_id=unique,
        occurred_at=at,
        address=Address(channel_id=box.channel_id, external_id=clean(sender.key), handle=clean(sender.address)),
        person=Person(
            name=sender.name or None,
            email=clean(sender.key),
            verified=not author.claimed and not fails_dmarc(headers),
        ),
        raw=letter.raw,
        message_id=unique,
        text=letter.content.text,
        attachments=letter.content.attachments,
        reply_to=answered[0] if answered else None,
        mail=MailParts(
            message_id=next(iter(message_ids(headers.get("message-id"))), None),
            in_reply_to=answered,
            references=message_ids(headers.get("references")),
            reply_token=letter.reply_token,
            subject=letter.subject,
            to=letter.to,
            cc=letter.cc,
            html=letter.content.html,
            full_text=letter.content.full_text,
            automatic=is_automatic(headers, envelope.sender),
        ),
    )


# -- who, when, which ------------------------------------------------------------------------------


def identity_of(headers: Headers, raw: bytes) -> str:
    """The bare Message-ID; a hash of the bytes where there is none (channels.md: or it would be taken in again)."""
    found = message_ids(headers.get("message-id"))
    return found[0] if found else f"sha256.{hashlib.sha256(raw).hexdigest()}"


def unique_id(message_id: str, recipient: str, box: Box) -> str:
    """Unique within the account: the same mail to two of our addresses is two messages.

    Tags do not count: "answer all" goes to the tagged and to the plain address, and that is one message.
    """
    ours = next((own for own in box.own if is_ours(recipient, own)), recipient)
    joined = clean(f"{message_id} {ours.lower()}")
    return joined if len(joined) <= 480 else unique_key(joined)


def author_of(headers: Headers, envelope_sender: str | None) -> Author | None:
    """Who wrote it: From (behind a list the person it names), else Sender, else the envelope, else None."""
    author = next(iter(mailboxes(headers.get("from"), 1)), None)
    if author is not None and is_list(headers):
        behind = _behind_list(headers, author)
        if behind is not None:
            return behind
    author = author or next(iter(mailboxes(headers.get("sender"), 1)), None)
    if author is None and envelope_sender and valid_address(envelope_sender):
        author = Mailbox("", envelope_sender)
    return Author(author) if author is not None else None


def _behind_list(headers: Headers, author: Mailbox) -> Author | None:
    """Groups put themselves into From to pass DMARC; the person is in X-Original-Sender or Reply-To."""
    original = next(iter(mailboxes(headers.get("x-original-sender"), 1)), None)
    if original is None and _is_the_list(headers, author):
        original = next(iter(mailboxes(headers.get("reply-to"), 1)), None)
    if original is None or original.key == author.key:
        return None
    via = _VIA.match(author.name)
    return Author(Mailbox(original.name or (via[1] if via else author.name), original.address), claimed=True)


def _is_the_list(headers: Headers, author: Mailbox) -> bool:
    list_id = headers.get("list-id").rpartition("<")[2].strip("<> ").lower()
    post = headers.get("list-post").lower()
    return (
        " via " in author.name
        or f"mailto:{author.key}" in post
        or (bool(list_id) and author.key.replace("@", ".") == list_id)
    )


def is_list(headers: Headers) -> bool:
    """True for mail that came through a mailing list or group."""
    precedence = headers.get("precedence").strip().lower()
    return any(name in headers for name in ("list-id", "list-post", "mailing-list")) or precedence == "list"


def is_automatic(headers: Headers, envelope_sender: str | None) -> bool:
    """True for auto-replies, lists and bulk: shown, and never answered by a machine (RFC 3834)."""
    submitted = headers.get("auto-submitted").partition(";")[0].strip().lower()
    precedence = headers.get("precedence").strip().lower()
    return (
        submitted not in ("", "no")
        or precedence in ("bulk", "list", "junk", "auto_reply", "auto-reply")
        or any(name in headers for name in ("x-autoreply", "x-autorespond", "x-auto-response-suppress", "list-id"))
        or envelope_sender in ("", "<>")
        or headers.get("return-path").replace(" ", "") == "<>"
    )


def fails_dmarc(headers: Headers) -> bool:
    """True when a server on the way noted that the From domain disowns this mail."""
    return any(_DMARC_FAILED.search(value[:4000]) for value in headers.all("authentication-results")[:20])


def recipients(headers: Headers, name: str) -> tuple[str, ...]:
    """The addresses of a To or Cc field, as written."""
    found: list[str] = []
    for value in headers.all(name)[:20]:
        found += [clean(each.address) for each in mailboxes(value, MAX_ADDRESSES - len(found))]
        if len(found) >= MAX_ADDRESSES:
            break
    return tuple(found)


def _other_recipients(headers: Headers) -> Iterator[str]:
    return (address for name in _OTHER_RECIPIENT_FIELDS for address in recipients(headers, name))


def raw_part(headers: Headers, envelope: Envelope, size: int) -> dict[str, object]:
    """What is kept beside the event; the bytes themselves stay in the journal."""
    fields = [[name[:100], clean(value[:1000])] for name, value in headers.fields[:80]]
    return {"headers": fields, "sender": envelope.sender, "recipient": envelope.recipient, "bytes": size}


# -- the body --------------------------------------------------------------------------------------


def content_of(parts: Sequence[Part]) -> Content:
    """Text, HTML and files of a mail's leaves."""
    bodies = [part for part in parts if _is_body(part)]
    plain = "\n\n".join(_one_per_alternative(bodies, "text/plain"))
    html = "\n".join(_one_per_alternative(bodies, "text/html"))
    files = [part for part in parts if not any(part is body for body in bodies)]
    return body_of(plain, html, tuple(_attachment(part, html) for part in files))


def body_of(plain: str, html: str, attachments: tuple[Attachment, ...], stripped: str | None = None) -> Content:
    """The visible reply and the whole text. `stripped` is a provider's own idea of the visible reply."""
    if plain.strip() or not html.strip():
        full = plain.strip()
        seen = stripped or visible_reply(full)
    else:
        full, visible = both_texts(html)
        seen = stripped or visible_reply(visible or full)
    return Content(
        text=seen.strip()[:MAX_TEXT] or None,
        full_text=full[:MAX_TEXT] or None,
        html=html[:MAX_HTML_KEPT] or None,
        attachments=attachments,
    )


def _is_body(part: Part) -> bool:
    if part.media_type not in ("text/plain", "text/html"):
        return False
    return part.disposition != "attachment" and part.file_name is None


def _one_per_alternative(bodies: Sequence[Part], media_type: str) -> list[str]:
    """The texts of one type in order; of several in one `multipart/alternative` the last, which is the richest."""
    chosen: dict[object, str] = {}
    for part in bodies:
        if part.media_type == media_type:
            inside = next((each for each in reversed(part.around) if each[0] == "alternative"), None)
            text = part.text()
            if text.strip() or inside not in chosen:
                chosen[inside or id(part)] = text
    return [text for text in chosen.values() if text.strip()]


def _attachment(part: Part, html: str) -> Attachment:
    content = part.content()
    name, kind = part.file_name, kind_of(part.media_type)
    if part.media_type == "message/rfc822" and name is None:
        subject = read_headers(content[:20_000].replace(b"\r\n", b"\n").partition(b"\n\n")[0]).text("subject", 100)
        name = safe_file_name(f"{subject or 'message'}.eml".replace("/", "-"))
    return Attachment(
        kind=kind,
        media_type=part.media_type,
        file_name=name,
        size_bytes=len(content),
        inline=is_inline(part.content_id, part.disposition, kind, html),
        content_id=part.content_id,
        content=content,
    )


def is_inline(content_id: str | None, disposition: str, kind: AttachmentKind, html: str) -> bool:
    """True for a picture that is shown in the text: the HTML names it, or it is declared so and has an id."""
    if content_id is None:
        return False
    return f"cid:{content_id}" in html or (disposition == "inline" and kind is AttachmentKind.IMAGE)


def kind_of(media_type: str) -> AttachmentKind:
    """How a file of this type is shown."""
    family = media_type.partition("/")[0]
    return {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}.get(
        family, AttachmentKind.FILE
    )
