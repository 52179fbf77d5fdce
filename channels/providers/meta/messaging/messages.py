"""Messages, pressed buttons and edits: what people see in the thread.

https://developers.facebook.com/docs/messenger-platform/reference/webhook-events (by the platform facts file, read
2026-11-28).
"""

from __future__ import annotations

from typing import Any

from channels.providers.meta.keys import event_key
from channels.providers.meta.messaging.contents import Contents, contents
from channels.providers.meta.messaging.items import USER_REF, Item
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import (
    AnyEvent,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    Person,
    Postback,
    Referral,
)

NOBODY = "no sender or no id"


def message(item: Item) -> AnyEvent:
    """A message, an echo of ours, or that one was taken back."""
    content = item.content("message")
    mid, address = identifier(content.get("mid")), item.address
    if mid is None or address is None:
        return item.unknown("message", NOBODY)
    if content.get("is_deleted") is True:
        return MessageDeleted(**item.base(event_key(mid)), message_id=mid)
    found = contents(content)
    body = text(content.get("text"))
    return MessageReceived(
        **item.base(event_key(mid), person=_person(item)),
        message_id=mid,
        text=body or found.text,
        attachments=tuple(found.files),
        location=found.location,
        reply_to=identifier(mapping(content.get("reply_to")).get("mid")),
        postback=_quick_reply(content),
        referral=referral(content.get("referral") or item.part.get("referral")),
        echo=item.by_us,
        correlation=text(content.get("metadata")) if item.by_us else None,
        standby=item.standby,
        unsupported=None if body else _unsupported(content, found),
        extra={**found.extra, **_extra(content)},
    )


def postback(item: Item) -> AnyEvent:
    """A button of a template, the menu, an ice breaker or "Get started"; older ones carry no message id."""
    content = item.content("postback")
    payload, title = text(content.get("payload")), text(content.get("title"))
    address, mid = item.address, identifier(content.get("mid"))
    if address is None or (payload or title) is None:
        return item.unknown("postback", NOBODY)
    key = event_key(mid) if mid else event_key(address.external_id, item.at.isoformat(), payload, title)
    return MessageReceived(
        **item.base(key),
        message_id=mid or key,
        text=title,
        postback=Postback(payload=payload or title or "", title=title),
        referral=referral(content.get("referral")),
        standby=item.standby,
    )


def message_edit(item: Item) -> AnyEvent:
    """The person changed a message; `num_edit` counts, as number or text."""
    content = item.content("message_edit")
    mid, count = identifier(content.get("mid")), identifier(content.get("num_edit"))
    if mid is None:
        return item.unknown("message_edit", "an edit of nothing")
    key = event_key(mid, count or item.at.isoformat())
    return MessageEdited(**item.base(key), message_id=mid, text=text(content.get("text")))


def referral(value: Any) -> Referral | None:
    """The advertisement, link or code that led the person here; the product, when one was asked about."""
    found = mapping(value)
    if not found:
        return None
    ad = mapping(found.get("ads_context_data"))
    named = ("source", "ref", "ad_id", "referer_uri")
    return Referral(
        source=text(found.get("source")),
        source_id=identifier(found.get("ad_id")),
        url=text(found.get("referer_uri")),
        headline=text(ad.get("ad_title")),
        ref=text(found.get("ref")),
        extra={key: each for key, each in found.items() if key not in named},
    )


def _quick_reply(content: Json) -> Postback | None:
    payload = text(mapping(content.get("quick_reply")).get("payload"))
    return Postback(payload=payload, title=text(content.get("text"))) if payload else None


def _unsupported(content: Json, found: Contents) -> str | None:
    """What people read in place of a message without text, when nothing else of it can be shown either."""
    shown = found.files or found.location or found.text or found.extra
    return found.unsupported or (None if shown and content.get("is_unsupported") is not True else "message")


def _person(item: Item) -> Person | None:
    """Who wrote under the name a plugin gave them is the same person."""
    ref = identifier(mapping(item.part.get("prior_message")).get("identifier"))
    return Person(aliases=(f"{USER_REF}{ref}",)) if ref else None


def _extra(content: Json) -> dict[str, Any]:
    """The story a person answered, which app sent an echo, and commands chosen."""
    story = mapping(mapping(content.get("reply_to")).get("story"))
    found = {
        "story": story,
        "app_id": identifier(content.get("app_id")),
        "commands": items(content.get("commands")),
    }
    return {key: value for key, value in found.items() if value}
