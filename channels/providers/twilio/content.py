"""What a message of Twilio's carries beside its text. Pure.

https://www.twilio.com/docs/messaging/guides/webhook-request (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from typing import Any

import orjson

from channels.providers.twilio.records import Record, bare_of, phone_of
from channels.reading import integer, number, storable
from channels.vocabulary import Attachment, AttachmentKind, Location, Person, Postback, Referral

#: More than Twilio ever sends with one message.
_MAX_FILES = 50
_KINDS = {"image": AttachmentKind.IMAGE, "video": AttachmentKind.VIDEO, "audio": AttachmentKind.AUDIO}
#: Ours → Twilio's, for what has no place of its own.
_REFERRAL_EXTRA = {
    "click_id": "ReferralCtwaClid",
    "media_url": "ReferralMediaUrl",
    "media_type": "ReferralMediaContentType",
}
_EXTRA = {
    "list_id": "ListId",
    "flow": "FlowData",
    "opt_out_type": "OptOutType",
    "reply_to_sender": "OriginalRepliedMessageSender",
}


def person(record: Record, external_id: str) -> Person:
    """The name is WhatsApp's; the number is the network's, which answers go back to. Other ids are aliases."""
    user_id = record.get("ExternalUserId")
    prefix = external_id.rpartition(":")[0]
    alias = f"{prefix}:{bare_of(user_id)}" if user_id and prefix else user_id
    wa_id = record.get("WaId")
    return Person(
        name=record.get("ProfileName"),
        phone=phone_of(external_id) or (phone_of(f"+{wa_id}") if wa_id else None),
        aliases=(alias[:200],) if alias and alias != external_id else (),
    )


def attachments(record: Record) -> tuple[Attachment, ...]:
    """The files, each by its address at Twilio, which may want our credentials."""
    count = min(integer(record.fields.get("NumMedia")) or 0, _MAX_FILES)
    pairs = ((record.get(f"MediaUrl{place}"), record.get(f"MediaContentType{place}")) for place in range(count))
    return tuple(
        Attachment(kind=_KINDS.get((kind or "").partition("/")[0], AttachmentKind.FILE), media_type=kind, media_id=url)
        for url, kind in pairs
        if url
    )


def location(record: Record) -> Location | None:
    """A place shared on WhatsApp."""
    latitude, longitude = number(record.fields.get("Latitude")), number(record.fields.get("Longitude"))
    if latitude is None or longitude is None:
        return None
    return Location(
        latitude=latitude, longitude=longitude, name=record.get("Label"), address=record.get("Address")
    )  # fmt: skip


def postback(record: Record) -> Postback | None:
    """A button pressed, or a row of a list chosen."""
    payload = record.get("ButtonPayload") or record.get("ListId") or record.get("ButtonText")
    if payload is None:
        return None
    title = record.get("ButtonText") or record.get("ListTitle") or record.get("Body")
    return Postback(payload=payload, title=title, description=record.get("ListDescription"))


def referral(record: Record) -> Referral | None:
    """The advertisement that led here."""
    source = record.get("ReferralSourceType")
    source_id, url = record.get("ReferralSourceId"), record.get("ReferralSourceUrl")
    if not (source or source_id or url):
        return None
    more = {ours: found for ours, theirs in _REFERRAL_EXTRA.items() if (found := record.get(theirs))}
    return Referral(
        source=source, source_id=source_id, url=url, headline=record.get("ReferralHeadline"),
        body=record.get("ReferralBody"), extra=more,
    )  # fmt: skip


def extra(record: Record) -> dict[str, Any]:
    """Further content under our own names; a filled form as the object it is."""
    found: dict[str, Any] = {ours: value for ours, theirs in _EXTRA.items() if (value := record.get(theirs))}
    form = _object(record.get("InteractiveData"))
    return {**found, "form": form} if form else found


def _object(value: str | None) -> dict[str, Any]:
    try:
        found = orjson.loads(value or "null")
    except orjson.JSONDecodeError:
        return {}
    return storable(found) if isinstance(found, dict) else {}
