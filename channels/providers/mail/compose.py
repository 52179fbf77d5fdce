"""An outgoing message → the bytes of a mail, put together directly: no tree of parts per recipient.

Building a MIME tree with the standard library takes about 4 ms a mail, which is what limits a mailing
(performance.md); joining prepared pieces takes 0.1 ms or less. Only mails with files go through the library. What
comes out is compared with the library's own parser in tests/channels/providers/mail/test_compose.py.

RFC 5322, 2045, 2047, 2369, 8058 and 3834 (read 2026-11-22).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from base.ids import unique_key
from channels.failures import Failure, SendFailed
from channels.providers.mail.bounces import return_tag
from channels.providers.mail.charsets import clean
from channels.providers.mail.headers import valid_address
from channels.providers.mail.htmltext import html_to_text
from channels.providers.mail.mime import safe_file_name
from channels.providers.mail.threading import MAX_LOCAL_PART, bare_id, own_id, tagged, valid_id
from channels.vocabulary import Attachment, OutboundMail, OutboundMessage

#: A header line is folded behind this many characters, and never longer than 998 (RFC 5322, 2.1.1).
FOLD_AT = 76
MAX_LINE = 998
#: Octets of UTF-8 in one encoded word, so that the word stays below 75 characters.
_WORD_OCTETS = 42
MAX_SUBJECT = 500
MAX_NAME = 200
MAX_CC = 50
MAX_REFERENCES = 20

#: No header may hold these: they end a line for somebody on the way (S13: CR, LF, NUL, NEL, U+2028, U+2029).
_BREAKS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_SPACES = re.compile(r"[ \t]+")
_HEADER_URL = re.compile(r"https?://[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]{1,880}")
_LIST_ID = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Sender:
    """Our side of every mail of an account."""

    address: str
    name: str = ""
    #: Where answers go, when that is another address.
    reply_address: str = ""
    #: Where bounces go, each to an address of its own (`local+b-KEY@`); empty: to our address.
    return_address: str = ""

    @property
    def domain(self) -> str:
        """What stands behind the `@` of our address."""
        return self.address.rpartition("@")[2]


@dataclass(frozen=True)
class Outline:
    """Everything of a mail but its body: checked, not yet encoded. What an API takes as fields, too."""

    message_id: str
    subject: str
    from_name: str
    from_address: str
    to: str
    cc: tuple[str, ...]
    reply_to: str
    #: Further fields in ASCII, in the order in which they are written.
    fields: tuple[tuple[str, str], ...]
    text: str
    html: str


@dataclass(frozen=True)
class Letter:
    """A mail ready for SMTP."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    data: bytes
    #: An address needs SMTPUTF8 on the way.
    international: bool = False


def compose(message: OutboundMessage, sender: Sender, at: datetime) -> Letter:
    """The mail as bytes with CRLF line ends. Raises `SendFailed` (content rejected, recipient unreachable)."""
    outline = outline_of(message, sender)
    files = message.attachments
    body = _mime_by_library(outline, files) if files else _mime_body(outline, message.key)
    recipients = (outline.to, *outline.cc)
    international = not all(address.isascii() for address in (outline.from_address, outline.reply_to, *recipients))
    return Letter(
        message_id=outline.message_id,
        sender=_return_path(message.key, sender),
        recipients=recipients,
        data=b"".join((_head(outline, at), body)),
        international=international,
    )


# -- what it says ----------------------------------------------------------------------------------


def outline_of(message: OutboundMessage, sender: Sender) -> Outline:
    """Check everything a person or a template put in, and decide the fields."""
    mail = message.mail or OutboundMail(subject="")
    text, html = _body_text(message.text or ""), _body_text(mail.html or "")
    if not text and html:
        text = html_to_text(html)
    return Outline(
        message_id=_message_id(mail, message.key, sender),
        subject=header_text(mail.subject, "subject", MAX_SUBJECT) or _first_words(text),
        from_name=header_text(message.sender_name or sender.name, "sender name", MAX_NAME),
        from_address=sender.address,
        to=recipient_of(message),
        cc=_cc(mail.cc),
        reply_to=_reply_to(mail, sender),
        fields=tuple(_fields(message, mail)),
        text=text,
        html=html,
    )


def _first_words(text: str) -> str:
    """What stands for a subject where nobody gave one: a mail without one looks like spam."""
    line = next((line for line in text.split("\n") if line.strip()), "")
    return _SPACES.sub(" ", _BREAKS.sub(" ", line)).strip()[:60]


def header_text(value: str, what: str, limit: int) -> str:
    """`value` on one line. Raises `SendFailed` when it holds a line break or control character, or is too long."""
    if _BREAKS.search(value):
        raise _rejected(f"The {what} holds a line break or another control character.")
    value = _SPACES.sub(" ", clean(value)).strip()
    if len(value) > limit:
        raise _rejected(f"The {what} is longer than {limit} characters.")
    return value


def recipient_of(message: OutboundMessage) -> str:
    """The address to write to, in the form its owner uses. Raises `SendFailed` when it is none."""
    to = message.to
    address = to.handle if to.handle and to.handle.lower() == to.external_id.lower() else to.external_id
    if not valid_address(address) or _BREAKS.search(address):
        raise SendFailed(Failure.RECIPIENT_UNREACHABLE, "That is not a mail address.")
    return wire_address(address)


def wire_address(address: str) -> str:
    """The address with its domain in the ASCII form (IDNA). The part before the `@` is nobody's but the receiver's."""
    local, _, domain = address.rpartition("@")
    if domain.isascii():
        return address
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        raise SendFailed(Failure.RECIPIENT_UNREACHABLE, "The domain of the address is not valid.") from None


def _cc(addresses: Sequence[str]) -> tuple[str, ...]:
    if len(addresses) > MAX_CC:
        raise _rejected(f"More than {MAX_CC} addresses in Cc.")
    for address in addresses:
        if not valid_address(address) or _BREAKS.search(address):
            raise _rejected("An address in Cc is not a mail address.")
    return tuple(dict.fromkeys(wire_address(address) for address in addresses))


def _reply_to(mail: OutboundMail, sender: Sender) -> str:
    """Our address with the conversation's tag; empty where From says it already."""
    base = sender.reply_address or sender.address
    if mail.reply_token is None:
        return base if base.lower() != sender.address.lower() else ""
    with_tag = tagged(base, mail.reply_token)
    if with_tag is None:
        raise _rejected("The reply token cannot stand in an address.")
    # A local part above 64 octets may be refused on the way; then the answer is threaded by its References.
    return with_tag if len(with_tag.rpartition("@")[0].encode()) <= MAX_LOCAL_PART else base


def _return_path(key: str, sender: Sender) -> str:
    """The envelope's sender: bounces come back to it. Made per send where a return address is set, so that a bounce is
    known even when it quotes nothing."""
    if not sender.return_address:
        return sender.address
    tag = return_tag(key)
    made = tagged(sender.return_address, tag) if tag else None
    fits = made is not None and len(made.rpartition("@")[0].encode()) <= MAX_LOCAL_PART
    return made if made is not None and fits else sender.return_address


def _fields(message: OutboundMessage, mail: OutboundMail) -> Iterable[tuple[str, str]]:
    # Ids of other people's mails may hold anything; one that no header may hold is left out, the mail goes.
    answered = bare_id(mail.in_reply_to or "")
    if valid_id(answered):
        yield "In-Reply-To", f"<{answered}>"
    references = [bare_id(each) for each in mail.references] or [answered]
    kept = [each for each in dict.fromkeys(references) if valid_id(each)]
    if kept:  # the first names the conversation, the last ones what was answered (RFC 5322, 3.6.4)
        yield "References", " ".join(f"<{each}>" for each in (kept[:1] + kept[1:][-MAX_REFERENCES:]))
    if mail.list_id:
        if not _LIST_ID.fullmatch(mail.list_id) or len(mail.list_id) > MAX_NAME:
            raise _rejected("The list id may hold letters, digits, dots and hyphens only.")
        yield "List-Id", f"<{mail.list_id}>"
    if mail.list_unsubscribe_url:
        if not _HEADER_URL.fullmatch(mail.list_unsubscribe_url):
            raise _rejected("The unsubscribe address is not a web address that a header can hold.")
        yield "List-Unsubscribe", f"<{mail.list_unsubscribe_url}>"
        if mail.list_unsubscribe_url.startswith("https://"):  # RFC 8058 allows one click over HTTPS only
            yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"
    if message.automatic:
        yield "Auto-Submitted", "auto-replied" if valid_id(answered) else "auto-generated"
        yield "X-Auto-Response-Suppress", "OOF, AutoReply"


def _message_id(mail: OutboundMail, key: str, sender: Sender) -> str:
    """The id decided before, else the one of the key. One that no header may hold is replaced, always by the same."""
    given = bare_id(mail.message_id or "")
    if not given:
        return own_id(key, sender.domain)
    return given if valid_id(given) and "@" in given else own_id(unique_key(given), sender.domain)


def _body_text(text: str) -> str:
    return clean(text).replace("\r\n", "\n").replace("\r", "\n")


def _rejected(why: str) -> SendFailed:
    return SendFailed(Failure.CONTENT_REJECTED, why)


# -- how it is written: the header -----------------------------------------------------------------


def _head(outline: Outline, at: datetime) -> bytes:
    reply_to, cc = outline.reply_to, outline.cc
    lines = [
        _from_line(outline.from_name, outline.from_address),
        _folded("To", outline.to),
        _folded("Cc", ", ".join(cc)) if cc else "",
        _folded("Reply-To", reply_to) if reply_to else "",
        _subject_line(outline.subject),
        f"Date: {_date(at.replace(microsecond=0))}\r\n",
        _folded("Message-ID", f"<{outline.message_id}>"),
        *[_folded(name, value) for name, value in outline.fields],
        "MIME-Version: 1.0\r\n",
    ]
    return "".join(lines).encode()


@lru_cache(maxsize=256)
def _from_line(name: str, address: str) -> str:
    return _folded("From", f"{phrase(name)} <{address}>" if name else address)


@lru_cache(maxsize=256)
def _subject_line(subject: str) -> str:
    return _folded("Subject", subject if _plain(subject) else encoded_words(subject))


@lru_cache(maxsize=16)
def _date(at: datetime) -> str:
    return format_datetime(at)


def phrase(name: str) -> str:
    """A display name as RFC 5322 writes it: atoms, a quoted string, or encoded words."""
    if not _plain(name):
        return encoded_words(name)
    if _ATOMS.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def encoded_words(value: str) -> str:
    """`value` as encoded words of RFC 2047, cut between characters, one space between words."""
    words, held = [], bytearray()
    for char in value:
        octets = char.encode()
        if len(held) + len(octets) > _WORD_OCTETS:
            words.append(bytes(held))
            held.clear()
        held += octets
    words.append(bytes(held))
    return " ".join(f"=?utf-8?b?{binascii.b2a_base64(word, newline=False).decode()}?=" for word in words)


def _plain(value: str) -> bool:
    """True when the value can stand as it is: ASCII, nothing that looks encoded, no word too long to fold."""
    return value.isascii() and "=?" not in value and (len(value) < 900 or max(map(len, value.split(" "))) < 900)


def _folded(name: str, value: str) -> str:
    """`Name: value` with CRLF, folded at spaces."""
    line = f"{name}: {value}"
    if len(line) <= FOLD_AT:
        return f"{line}\r\n"
    lines, current = [], f"{name}:"
    for word in value.split(" "):
        if len(current) + 1 + len(word) > FOLD_AT and current.strip() and current != f"{name}:":
            lines.append(current)
            current = ""
        current = f"{current} {word}"
    lines.append(current)
    return "\r\n".join(lines) + "\r\n"


# -- how it is written: the body -------------------------------------------------------------------


def _mime_body(outline: Outline, key: str) -> bytes:
    """One text part, or text and HTML as alternatives; with the blank line that ends the header."""
    if not outline.html:
        return _part("plain", outline.text)
    boundary = f"=_{unique_key(key)[:30]}".encode()
    return b"".join((
        b'Content-Type: multipart/alternative; boundary="', boundary, b'"\r\n\r\n--', boundary, b"\r\n",
        _part("plain", outline.text), b"\r\n--", boundary, b"\r\n",
        _part("html", outline.html), b"\r\n--", boundary, b"--\r\n",
    ))  # fmt: skip


def _part(subtype: str, text: str) -> bytes:
    data = text.replace("\n", "\r\n").encode()
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    if data.isascii() and _fits(data):
        return (
            f'Content-Type: text/{subtype}; charset="us-ascii"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n'.encode()
            + data
        )
    foreign = len(data) - len(text) - text.count("\n")
    if 6 * foreign > len(data):
        encoding, data = "base64", _base64(data)
    else:
        encoding, data = "quoted-printable", binascii.b2a_qp(data, quotetabs=False, istext=True)
    head = f'Content-Type: text/{subtype}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return head.encode() + data


def _fits(data: bytes) -> bool:
    """True when nothing needs encoding: short lines, no control characters, nothing that looks like a boundary."""
    if len(data) > MAX_LINE and max(map(len, data.split(b"\r\n"))) > MAX_LINE:
        return False
    if b"--=_" in data or b"\nFrom " in data or data.startswith(b"From "):
        return False
    return len(data.translate(None, _CONTROLS)) == len(data)


_CONTROLS = bytes((*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F))


def _base64(data: bytes) -> bytes:
    line = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([line[at : at + 76] for at in range(0, len(line), 76)]) + b"\r\n"


def _mime_by_library(outline: Outline, files: Sequence[Attachment]) -> bytes:
    """With files: the standard library builds the tree; our header stands before it."""
    body = EmailMessage(policy=SMTP)
    body.set_content(outline.text, cte="base64")
    inline = [file for file in files if file.inline and file.content_id and outline.html]
    if outline.html:
        body.add_alternative(outline.html, subtype="html", cte="base64")
        page = body.get_payload()[1]  # type: ignore[index]
        for file in inline:
            content_id = header_text(file.content_id or "", "content id", MAX_NAME)
            page.add_related(*_file(file), cid=f"<{content_id}>", filename=_file_name(file))  # type: ignore[union-attr]
    for file in files:
        if not any(file is each for each in inline):
            data, kind, subtype = _file(file)
            body.add_attachment(data, kind, subtype, filename=_file_name(file))
    del body["MIME-Version"]
    return body.as_bytes()


def _file(file: Attachment) -> tuple[bytes, str, str]:
    if file.content is None:
        raise _rejected("A file of the message could not be read.")
    kind, _, subtype = (file.media_type or "application/octet-stream").partition("/")
    if not re.fullmatch(r"[a-z]+/[A-Za-z0-9.+-]+", f"{kind}/{subtype}") or kind in ("multipart", "message"):
        kind, subtype = "application", "octet-stream"
    return file.content, kind, subtype


def _file_name(file: Attachment) -> str:
    return safe_file_name(file.file_name) or "file"
