"""Forms that mail providers post: multipart and URL-encoded, read into bytes and bounded like a mail; and written.

A multipart form has the shape of a mail (RFC 7578 on RFC 2046), so the same splitting reads it, charset by field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from base.ids import unique_key
from channels.adapter import Delivery, Unreadable
from channels.providers.mail.charsets import decode
from channels.providers.mail.mime import Part, parameter, split
from channels.vocabulary import Attachment

#: Fields of one form; both providers send some dozens.
MAX_FIELDS = 1000
_MULTIPART = "multipart/form-data"
_ENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Form:
    """The fields as bytes, each with all its values, and the files by the name of their field."""

    fields: Mapping[str, tuple[bytes, ...]] = field(repr=False)
    files: Mapping[str, Part] = field(default_factory=dict, repr=False)

    def one(self, name: str) -> str | None:
        """The one value of a field as text; None when it is missing or repeated (proofs are never repeated)."""
        values = self.fields.get(name, ())
        return decode(values[0]) if len(values) == 1 else None

    def raw(self, name: str) -> bytes:
        """The first value; empty when there is none."""
        return next(iter(self.fields.get(name, ())), b"")

    def text(self, name: str, charset: str | None = None) -> str:
        """The first value as text with `\\n` line ends, read in `charset` where one is told."""
        return decode(self.raw(name), charset).replace("\r\n", "\n").replace("\r", "\n")


def is_form(delivery: Delivery) -> bool:
    """True when the delivery calls itself a form."""
    return _kind(delivery) in (_MULTIPART, _ENCODED)


def read_form(delivery: Delivery) -> Form:
    """The form in a delivery. Raises `Unreadable` for what is none, or past the bounds."""
    kind = _kind(delivery)
    if kind == _ENCODED:
        return _encoded(delivery.body)
    if kind == _MULTIPART:
        return _multipart(delivery)
    raise Unreadable("The body is not a form.")


def write_form(fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, Attachment, str]]) -> tuple[str, bytes]:
    """Content type and body of a multipart form; each file with the name of its field and its own."""
    pieces: list[tuple[str, str | None, bytes]] = [(f'name="{name}"', None, value.encode()) for name, value in fields]
    pieces += [
        (f'name="{name}"; filename="{_escaped(shown)}"', file.media_type, file.content or b"")
        for name, file, shown in files
    ]
    boundary = f"=_{unique_key(*(piece[0] for piece in pieces), *(len(piece[2]) for piece in pieces))}"
    while any(boundary.encode() in content for _, _, content in pieces):
        boundary = f"=_{unique_key(boundary)}"
    body = b"".join(_piece(boundary, *piece) for piece in pieces) + f"--{boundary}--\r\n".encode()
    return f'{_MULTIPART}; boundary="{boundary}"', body


def _piece(boundary: str, disposition: str, media_type: str | None, content: bytes) -> bytes:
    kind = f"Content-Type: {_escaped(media_type)}\r\n" if media_type else ""
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{kind}\r\n"
    return head.encode() + content + b"\r\n"


def _escaped(name: str) -> str:
    return name.replace('"', "%22").replace("\r", " ").replace("\n", " ")


def _kind(delivery: Delivery) -> str:
    return (delivery.header("content-type") or "").partition(";")[0].strip().lower()


def _encoded(body: bytes) -> Form:
    try:  # Latin-1 both ways leaves every byte as it came: each field is read in its own charset later
        text = body.decode("latin-1")
        pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Unreadable(f"The form has more than {MAX_FIELDS} fields.") from None
    fields: dict[str, tuple[bytes, ...]] = {}
    for name, value in pairs:
        fields[name] = (*fields.get(name, ()), value.encode("latin-1", "replace"))
    return Form(fields)


def _multipart(delivery: Delivery) -> Form:
    kind = (delivery.header("content-type") or "").encode("latin-1", "replace")
    _, parts = split(b"Content-Type: " + kind + b"\r\n\r\n" + delivery.body)
    fields: dict[str, tuple[bytes, ...]] = {}
    files: dict[str, Part] = {}
    for part in parts:
        name = parameter(part.headers, "content-disposition", "name")
        if not name:
            continue
        if parameter(part.headers, "content-disposition", "filename") is not None:
            files[name] = part
        else:
            fields[name] = (*fields.get(name, ()), part.body)
    return Form(fields, files)
