"""What stands in `message.attachments`: files, a place, links, cards. One function per type.

https://developers.facebook.com/docs/messenger-platform/reference/webhook-events/messages and
https://developers.facebook.com/documentation/instagram-platform/webhooks/examples (by the platform facts file and its
index, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from channels.reading import Json, identifier, items, mapping, number, text
from channels.vocabulary import Attachment, AttachmentKind, Location

#: The thumb that one tap sends, in its three sizes.
THUMBS_UP = frozenset({"369239263222822", "369239343222814", "369239383222810"})
#: Keys of a payload that stand elsewhere in the attachment made of it.
_READ = frozenset({"url", "title", "sticker_id"})


@dataclass
class Contents:
    """What the attachments of one message come to."""

    files: list[Attachment] = field(default_factory=list)
    location: Location | None = None
    #: Said by an attachment itself (a heart, the address of a link), for a message without text.
    text: str | None = None
    #: The type of what could not be shown.
    unsupported: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def contents(message: Json) -> Contents:
    """All attachments of a message."""
    found = Contents()
    for each in items(message.get("attachments")):
        part = mapping(each)
        kind = text(part.get("type")) or "attachment"
        _TYPES.get(kind, _strange)(found, kind, part)
    if identifier(message.get("sticker_id")) in THUMBS_UP:
        found.text = "👍"
    return found


def _file(found: Contents, kind: str, part: Json) -> None:
    payload = mapping(part.get("payload"))
    url, sticker = text(payload.get("url")), identifier(payload.get("sticker_id"))
    if url is None:
        found.unsupported = found.unsupported or kind[:100]
        return
    if sticker in THUMBS_UP:
        found.text = "👍"
    about = {name: value for name, value in payload.items() if name not in _READ}
    known = {"sticker_id": sticker, "type": kind if kind not in _PLAIN else None}
    found.files.append(
        Attachment(
            kind=AttachmentKind.STICKER if sticker else _FILES.get(kind, AttachmentKind.FILE),
            file_name=_name_in(url) if kind == "file" else None,
            url=url,
            caption=text(payload.get("title")) or text(part.get("title")),
            extra={**about, **{name: value for name, value in known.items() if value}},
        )
    )


def _shared(found: Contents, kind: str, part: Json) -> None:
    """A post, reel or story: a file where Meta hands one out, a link where it names the page it stands on."""
    url = text(mapping(part.get("payload")).get("url"))
    on_a_page = url is not None and _host(url) in _PAGES
    (_link if on_a_page else _file)(found, kind, part)


def _location(found: Contents, kind: str, part: Json) -> None:
    payload = mapping(part.get("payload"))
    place = mapping(payload.get("coordinates"))
    latitude, longitude = number(place.get("lat")), number(place.get("long"))
    if latitude is None or longitude is None:
        found.unsupported = found.unsupported or kind
        return
    name, url = text(part.get("title")), text(part.get("url")) or text(payload.get("url"))
    found.location = Location(latitude=latitude, longitude=longitude, name=name, url=url)


def _link(found: Contents, kind: str, part: Json) -> None:
    """The preview of a link, or something Meta shows as no more than one. The payload may be plain text."""
    payload = mapping(part.get("payload"))
    url = text(part.get("url")) or text(payload.get("url")) or text(part.get("payload"))
    title = text(part.get("title")) or text(payload.get("title"))
    if url is None and title is None:
        found.unsupported = found.unsupported or kind
        return
    link = {name: value for name, value in (("url", url), ("title", title)) if value}
    found.extra.setdefault("links", []).append(link)
    found.text = found.text or url or title


def _cards(found: Contents, kind: str, part: Json) -> None:
    """Product cards, and in echoes our own templates."""
    payload = mapping(part.get("payload"))
    found.extra.setdefault("templates", []).append(payload or part)
    elements = items(payload.get("elements")) or items(mapping(payload.get("product")).get("elements"))
    title = next((title for each in elements if (title := text(mapping(each).get("title")))), None)
    found.text = found.text or text(payload.get("text")) or text(part.get("title")) or title
    if found.text is None:
        found.unsupported = found.unsupported or kind


def _heart(found: Contents, kind: str, part: Json) -> None:
    found.text = found.text or "❤️"


def _withheld(found: Contents, kind: str, part: Json) -> None:
    """Meta says itself that programs may not see it; what it hands out instead is kept as a file."""
    if text(mapping(part.get("payload")).get("url")):
        _file(found, kind, part)
    found.unsupported = kind


def _strange(found: Contents, kind: str, part: Json) -> None:
    """A type newer than this file: a file where it has an address, else a placeholder that people see."""
    _file(found, kind, part)


def _name_in(url: str) -> str | None:
    try:
        return unquote(PurePosixPath(urlsplit(url).path).name).replace("\0", "")[:200] or None
    except ValueError:
        return None


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


_PLAIN = frozenset({"image", "video", "audio", "file"})
_FILES = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "reel": AttachmentKind.VIDEO,
    "ig_reel": AttachmentKind.VIDEO,
}
#: Where people look at posts; files lie on other hosts.
_PAGES = frozenset(
    {
        "facebook.com", "www.facebook.com", "m.facebook.com", "fb.watch", "instagram.com", "www.instagram.com",
    }
)  # fmt: skip
_TYPES: dict[str, Callable[[Contents, str, Json], None]] = {
    **dict.fromkeys(("image", "video", "audio", "file", "story_mention"), _file),
    # A post or story may be a picture or a film: the type is told by its bytes.
    **dict.fromkeys(("reel", "ig_reel", "share", "post", "ig_post", "ig_story"), _shared),
    "location": _location,
    "fallback": _link,
    "template": _cards,
    "like_heart": _heart,
    "unsupported_type": _withheld,
    "ephemeral": _withheld,
}
