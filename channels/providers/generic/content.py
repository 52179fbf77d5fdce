"""What a generic message carries besides text: files, places, cards, buttons, where the person came from."""

from __future__ import annotations

from channels.reading import Json, identifier, integer, items, mapping, number, text
from channels.vocabulary import Attachment, AttachmentKind, ContactCard, Location, Postback, Referral

_LARGEST = 2**53
_BY_TYPE = {
    "image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO,
}  # fmt: skip


def attachments(data: Json) -> tuple[Attachment, ...]:
    """Files by URL; `kind` may be left out where the media type tells it. Others are passed over."""
    found = (_attachment(mapping(item)) for item in items(data.get("attachments")))
    return tuple(each for each in found if each is not None)


def place(data: Json) -> Location | None:
    """`location: {latitude, longitude, name?, address?, url?}`."""
    point = mapping(data.get("location"))
    latitude, longitude = number(point.get("latitude")), number(point.get("longitude"))
    if latitude is None or longitude is None:
        return None
    name, address, url = (text(point.get(key)) for key in ("name", "address", "url"))
    return Location(latitude=latitude, longitude=longitude, name=name, address=address, url=url)


def cards(data: Json) -> tuple[ContactCard, ...]:
    """`contacts: [{name?, phones?, emails?}]`."""
    found = []
    for item in items(data.get("contacts")):
        card = mapping(item)
        name, phones, emails = text(card.get("name")), _texts(card.get("phones")), _texts(card.get("emails"))
        if name or phones or emails:
            found.append(ContactCard(name=name, phones=phones, emails=emails))
    return tuple(found)


def pressed(data: Json) -> Postback | None:
    """`postback: {payload, title?}`."""
    button = mapping(data.get("postback"))
    payload = identifier(button.get("payload"))
    return Postback(payload=payload, title=text(button.get("title"))) if payload else None


def referral(data: Json) -> Referral | None:
    """`referral: {source?, source_id?, url?, headline?, body?, ref?}`."""
    names = ("source", "source_id", "url", "headline", "body", "ref")
    given = mapping(data.get("referral"))
    found = {name: value for name in names if (value := identifier(given.get(name)))}
    return Referral.model_validate(found) if found else None


def _attachment(file: Json) -> Attachment | None:
    url = text(file.get("url"))
    if url is None or not url.startswith(("https://", "http://")):
        return None
    media_type = text(file.get("media_type"))
    size, duration = integer(file.get("size_bytes")), integer(file.get("duration_s"))
    return Attachment(
        kind=_kind(text(file.get("kind")), media_type),
        media_type=media_type,
        file_name=text(file.get("file_name")),
        size_bytes=size if size is not None and 0 <= size < _LARGEST else None,
        url=url,
        caption=text(file.get("caption")),
        duration_s=duration if duration is not None and 0 <= duration < _LARGEST else None,
    )


def _kind(given: str | None, media_type: str | None) -> AttachmentKind:
    if given in set(AttachmentKind):
        return AttachmentKind(given)
    return _BY_TYPE.get((media_type or "").partition("/")[0], AttachmentKind.FILE)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(found for item in items(value) if (found := text(item)))
