"""Messages, and what comes disguised as one: reactions, edits, deletions and news of a person. One function per type.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference/messages (read 2026-11-22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.adapter import Unreadable
from channels.providers.meta.keys import event_key
from channels.providers.meta.whatsapp.items import Change
from channels.providers.meta.whatsapp.people import Ids, phone_of
from channels.providers.meta.whatsapp.renamed import system_news
from channels.reading import Json, identifier, integer, items, mapping, number, read_json, text
from channels.vocabulary import (
    Address,
    AnyEvent,
    Attachment,
    AttachmentKind,
    ContactCard,
    Location,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    Person,
    Postback,
    ProfileSeen,
    Reaction,
    Referral,
)


@dataclass(frozen=True)
class Incoming:
    """One element of `messages` or `message_echoes` with a sender and an id."""

    change: Change
    item: Json
    kind: str
    id: str
    at: datetime
    address: Address
    person: Person
    #: Written by us or a colleague in the phone app; `address` is then the person it went to.
    echo: bool = False

    @property
    def content(self) -> Json:
        """The object named after the type."""
        return mapping(self.item.get(self.kind))

    @property
    def base(self) -> dict[str, Any]:
        """The fields that all events read from it share."""
        return {
            "event_id": event_key(self.id),
            "occurred_at": self.at,
            "address": self.address,
            "person": self.person,
            "raw": self.item,
        }

    def message(self, **fields: Any) -> MessageReceived:
        """A message with these contents; reply, forward, referral and group are read here for all types."""
        context = mapping(self.item.get("context"))
        product = mapping(context.get("referred_product"))
        extra = {**({"referred_product": product} if product else {}), **fields.pop("extra", {})}
        return MessageReceived(
            **{**self.base, **fields},
            message_id=self.id,
            reply_to=identifier(context.get("id")),
            forwarded=context.get("forwarded") is True or context.get("frequently_forwarded") is True,
            referral=_referral(self.item.get("referral")),
            group_id=identifier(self.item.get("group_id")),
            correlation=identifier(self.item.get("biz_opaque_callback_data")) if self.echo else None,
            echo=self.echo,
            extra=extra,
        )

    def unsupported(self, what: str) -> MessageReceived:
        """A placeholder that people see: something was written that programs may not read."""
        return self.message(unsupported=what)


def messages(change: Change) -> Iterator[AnyEvent]:
    """What customers wrote."""
    for item in items(change.value.get("messages")):
        yield _event(change, item, echo=False)


def echoes(change: Change) -> Iterator[AnyEvent]:
    """What colleagues wrote in the WhatsApp Business app on their phone."""
    for item in items(change.value.get("message_echoes")):
        yield _event(change, item, echo=True)


def _event(change: Change, part: Any, *, echo: bool) -> AnyEvent:
    item = mapping(part)
    kind = text(item.get("type")) or next((name for name in KINDS if name in item), "unknown")
    if kind == "system":
        return system_news(change, item)
    message_id = identifier(item.get("id"))
    who = change.contacts.who(_receiver(item) if echo else _sender(item))
    if message_id is None or who is None:
        return change.unknown(f"{change.field}.{kind}", part, "no sender or no id")
    address, person = who
    incoming = Incoming(change, item, kind, message_id, change.time(item.get("timestamp")), address, person, echo)
    return KINDS.get(kind, _strange)(incoming)


def _sender(item: Json) -> Ids:
    """`from` may itself be an opaque user id when the person hides the number."""
    return Ids(*(identifier(item.get(name)) for name in ("from", "from_user_id", "from_parent_user_id")))


def _receiver(item: Json) -> Ids:
    return Ids(*(identifier(item.get(name)) for name in ("to", "to_user_id", "to_parent_user_id")))


# -- one function per type ------------------------------------------------------------------------------


def _text(incoming: Incoming) -> AnyEvent:
    body = text(incoming.content.get("body"))
    return incoming.message(text=body) if body is not None else incoming.unsupported("text")


def _file(incoming: Incoming) -> AnyEvent:
    content = incoming.content
    media_id, url = identifier(content.get("id")), text(content.get("url"))
    if media_id is None and url is None:
        return incoming.unsupported(_error_title(incoming.item) or incoming.kind)
    animated = content.get("animated")
    extra = {
        "sha256": _unescaped(content.get("sha256")),
        "animated": animated if isinstance(animated, bool) else None,
    }
    attachment = Attachment(
        kind=AttachmentKind.VOICE if content.get("voice") is True else _FILES[incoming.kind],
        media_type=_unescaped(content.get("mime_type")),
        file_name=text(content.get("filename")),
        media_id=media_id,
        url=url if media_id is None else None,
        extra={name: value for name, value in extra.items() if value is not None},
    )
    return incoming.message(text=text(content.get("caption")), attachments=(attachment,))


def _location(incoming: Incoming) -> AnyEvent:
    content = incoming.content
    latitude, longitude = number(content.get("latitude")), number(content.get("longitude"))
    if latitude is None or longitude is None:
        return incoming.unsupported("location")
    place = Location(
        latitude=latitude,
        longitude=longitude,
        name=text(content.get("name")),
        address=text(content.get("address")),
        url=text(content.get("url")),
    )
    return incoming.message(location=place)


def _contacts(incoming: Incoming) -> AnyEvent:
    """Cards in the message. One that WhatsApp itself filled on our request is the sender's own number."""
    cards = [mapping(card) for card in items(incoming.item.get("contacts"))]
    if not cards:
        return incoming.unsupported("contacts")
    own = next((phone_of(wa_id) for wa_id in _own_numbers(cards)), None)
    person = incoming.person
    if own is not None and person.phone is None and not incoming.echo:
        person = person.model_copy(update={"phone": own})
    return incoming.message(person=person, contacts=tuple(_card(card) for card in cards))


def _own_numbers(cards: list[Json]) -> Iterator[str]:
    for card in cards:
        if card.get("origin") == "contact_request":
            for phone in items(card.get("phones")):
                wa_id = identifier(mapping(phone).get("wa_id"))
                if phone_of(wa_id) is not None and wa_id is not None:
                    yield wa_id


def _card(card: Json) -> ContactCard:
    name = mapping(card.get("name"))
    whole = " ".join(part for key in ("first_name", "last_name") if (part := text(name.get(key))))
    phones = [mapping(phone) for phone in items(card.get("phones"))]
    numbers = [text(phone.get("phone")) or phone_of(identifier(phone.get("wa_id"))) for phone in phones]
    mails = [text(mapping(mail).get("email")) for mail in items(card.get("emails"))]
    return ContactCard(
        name=text(name.get("formatted_name")) or whole or None,
        phones=tuple(filter(None, numbers)),
        emails=tuple(filter(None, mails)),
    )


def _button(incoming: Incoming) -> AnyEvent:
    """A quick reply of one of our templates was pressed."""
    title = text(incoming.content.get("text"))
    payload = text(incoming.content.get("payload")) or title
    if payload is None:
        return incoming.unsupported("button")
    return incoming.message(text=title, postback=Postback(payload=payload, title=title))


def _interactive(incoming: Incoming) -> AnyEvent:
    content = incoming.content
    kind = text(content.get("type")) or next((name for name in _REPLIES if name in content), "unknown")
    reply = mapping(content.get(kind))
    return _REPLIES.get(kind, _strange_reply)(incoming, reply)


def _chosen(incoming: Incoming, reply: Json) -> AnyEvent:
    title, chosen = text(reply.get("title")), identifier(reply.get("id"))
    if (chosen or title) is None:
        return incoming.unsupported("interactive")
    postback = Postback(payload=chosen or title or "", title=title, description=text(reply.get("description")))
    return incoming.message(text=title, postback=postback)


def _form(incoming: Incoming, reply: Json) -> AnyEvent:
    """A filled form. `response_json` is text that usually, and not always, holds a JSON object."""
    answers = reply.get("response_json")
    if isinstance(answers, str):
        try:
            answers = read_json(answers.encode())
        except Unreadable:
            pass  # kept as the text it is
    extra = {"form": answers, "form_name": text(reply.get("name"))}
    return incoming.message(text=text(reply.get("body")), extra={key: value for key, value in extra.items() if value})


def _strange_reply(incoming: Incoming, reply: Json) -> AnyEvent:
    kind = text(incoming.content.get("type")) or "unknown"
    return incoming.message(unsupported=f"interactive {kind}", extra={"interactive": incoming.content})


def _reaction(incoming: Incoming) -> AnyEvent:
    target = identifier(incoming.content.get("message_id"))
    if target is None or incoming.echo:
        reason = "our own reaction" if incoming.echo else "a reaction to nothing"
        return incoming.change.unknown(f"{incoming.change.field}.reaction", incoming.item, reason)
    return Reaction(**incoming.base, message_id=target, emoji=text(incoming.content.get("emoji")))


def _order(incoming: Incoming) -> AnyEvent:
    """A basket sent from our catalogue; not yet an order of any shop."""
    return incoming.message(text=text(incoming.content.get("text")), extra={"order": incoming.content})


def _edit(incoming: Incoming) -> AnyEvent:
    original = identifier(incoming.content.get("original_message_id"))
    if original is None:
        return incoming.change.unknown(f"{incoming.change.field}.edit", incoming.item, "an edit of nothing")
    edited = mapping(incoming.content.get("message"))
    content = mapping(edited.get(text(edited.get("type")) or "text"))
    body = text(content.get("body")) or text(content.get("caption"))
    return MessageEdited(**incoming.base, message_id=original, text=body)


def _revoke(incoming: Incoming) -> AnyEvent:
    original = identifier(incoming.content.get("original_message_id"))
    if original is None:
        return incoming.change.unknown(f"{incoming.change.field}.revoke", incoming.item, "a deletion of nothing")
    return MessageDeleted(**incoming.base, message_id=original)


def _welcome(incoming: Incoming) -> AnyEvent:
    """The chat was opened for the first time; nothing was written yet."""
    return ProfileSeen(**incoming.base, referral=_referral(incoming.item.get("referral")))


def _unsupported(incoming: Incoming) -> AnyEvent:
    what = text(incoming.content.get("type")) or _error_title(incoming.item)
    return incoming.unsupported(what or incoming.kind)


def _strange(incoming: Incoming) -> AnyEvent:
    """A type that is newer than this file. Somebody wrote to us, so people must see that."""
    return incoming.unsupported(incoming.kind[:100])


_FILES = {
    "image": AttachmentKind.IMAGE,
    "video": AttachmentKind.VIDEO,
    "audio": AttachmentKind.AUDIO,
    "voice": AttachmentKind.VOICE,
    "document": AttachmentKind.FILE,
    "sticker": AttachmentKind.STICKER,
}
_REPLIES: dict[str, Callable[[Incoming, Json], AnyEvent]] = {
    "button_reply": _chosen,
    "list_reply": _chosen,
    "nfm_reply": _form,
}
#: Type → its parser. The type is also the key of the content; where `type` is missing, the key that is there decides.
KINDS: dict[str, Callable[[Incoming], AnyEvent]] = {
    "text": _text,
    **dict.fromkeys(_FILES, _file),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "reaction": _reaction,
    "order": _order,
    "edit": _edit,
    "revoke": _revoke,
    "request_welcome": _welcome,
    "unsupported": _unsupported,
    "unknown": _unsupported,
}


# -- parts ------------------------------------------------------------------------------------------------


def _referral(value: Any) -> Referral | None:
    """The advertisement or post that led the person here."""
    referral = mapping(value)
    if not referral:
        return None
    named = ("source_url", "source_id", "source_type", "headline", "body", "ref")
    return Referral(
        source=text(referral.get("source_type")),
        source_id=identifier(referral.get("source_id")),
        url=text(referral.get("source_url")),
        headline=text(referral.get("headline")),
        body=text(referral.get("body")),
        ref=text(referral.get("ref")),
        extra={key: value for key, value in referral.items() if key not in named},
    )


def _error_title(item: Json) -> str | None:
    """`errors[]` of a message that WhatsApp could not hand over."""
    error = next((mapping(error) for error in items(item.get("errors"))), {})
    detail = text(mapping(error.get("error_data")).get("details")) or text(error.get("title"))
    code = integer(error.get("code"))
    return detail[:200] if detail else None if code is None else str(code)


def _unescaped(value: Any) -> str | None:
    """Some senders escape slashes twice (`video\\/mp4`)."""
    found = text(value)
    return found.replace("\\/", "/") if found else None
