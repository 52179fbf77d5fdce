"""Messages of Telegram: new, changed, taken back, and the one that says a group has moved. Pure.

https://core.telegram.org/bots/api#message (read 2026-11-22)
"""

from __future__ import annotations

from channels.providers.telegram.content import (
    SERVICE,
    Content,
    is_forwarded,
    own_phone,
    quoted,
    read_content,
    started_from,
)
from channels.providers.telegram.objects import Chat, Frame, address_of, chat_of, name_of, person_of, telegram_id
from channels.reading import Json, items, mapping
from channels.vocabulary import (
    Address,
    AnyEvent,
    GroupMoved,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    Person,
    Unrecognised,
)


def message(frame: Frame, message: Json) -> list[AnyEvent]:
    chat = chat_of(message.get("chat"), message.get("business_connection_id"))
    message_id = chat.message_id(message.get("message_id")) if chat else None
    if chat is None or message_id is None:
        return [frame.unknown("message", "without chat or message id")]
    if moved := _migrated(frame, message, chat):
        return [moved]
    address, echo = _sender(frame, message, chat)
    content = read_content(message)
    if address is None or not content.known:
        return [_unlisted(frame, message, address, _person(message, chat, echo))]
    return [_received(frame, message, chat, message_id, address, content, echo)]


def _received(
    frame: Frame, message: Json, chat: Chat, message_id: str, address: Address, content: Content, echo: bool
) -> MessageReceived:
    extra = dict(content.extra)
    if title := name_of(chat.data) if chat.group_id else None:
        extra["group_title"] = title
    return MessageReceived(
        event_id=frame.update_id,
        occurred_at=frame.time(message.get("date")),
        address=address,
        person=_person(message, chat, echo),
        raw=frame.raw,
        message_id=message_id,
        text=content.text,
        attachments=content.attachments,
        reply_to=quoted(message, chat),
        location=content.location,
        contacts=content.contacts,
        postback=content.postback,
        referral=started_from(content.text) if chat.private else None,
        group_id=chat.group_id,
        forwarded=is_forwarded(message),
        echo=echo,
        unsupported=content.unsupported,
        extra=extra,
    )


def edited(frame: Frame, message: Json) -> list[AnyEvent]:
    """A correction, or a live location that has moved."""
    chat = chat_of(message.get("chat"), message.get("business_connection_id"))
    message_id = chat.message_id(message.get("message_id")) if chat else None
    if chat is None or message_id is None:
        return [frame.unknown("edited_message", "without chat or message id")]
    address, echo = _sender(frame, message, chat)
    content = read_content(message)
    return [
        MessageEdited(
            event_id=frame.update_id,
            occurred_at=frame.time(message.get("edit_date") or message.get("date")),
            address=address,
            person=_person(message, chat, echo) if address else None,
            raw=frame.raw,
            message_id=message_id,
            text=content.text,
            location=content.location,
        )
    ]


def _sender(frame: Frame, message: Json, chat: Chat) -> tuple[Address | None, bool]:
    """Whose conversation it belongs to, and whether we or a colleague wrote it (in the business account's own app)."""
    if chat.private:
        by_us = chat.connection is not None and telegram_id(mapping(message.get("from")).get("id")) != chat.id
        return address_of(frame.channel_id, chat.data, chat.connection), by_us
    return address_of(frame.channel_id, _speaker(message, chat), None), False


def _speaker(message: Json, chat: Chat) -> Json:
    """In a group the person; a chat where one speaks in its own name (channel, anonymous administrator)."""
    return mapping(message.get("sender_chat")) or mapping(message.get("from")) or (
        chat.data if chat.kind == "channel" else {}
    )  # fmt: skip


def _person(message: Json, chat: Chat, echo: bool) -> Person:
    if echo:
        return person_of(chat.data)
    if chat.private:
        return person_of({**chat.data, **mapping(message.get("from"))}, own_phone(message))
    return person_of(_speaker(message, chat), own_phone(message))


def _migrated(frame: Frame, message: Json, chat: Chat) -> GroupMoved | None:
    """A group became a supergroup; both chats report it, each naming the other."""
    moved_to, moved_from = (telegram_id(message.get(f"migrate_{way}_chat_id")) for way in ("to", "from"))
    former = chat.id if moved_to else moved_from
    if former is None:
        return None
    return GroupMoved(
        event_id=frame.update_id,
        occurred_at=frame.time(message.get("date")),
        raw=frame.raw,
        former_group_id=former,
        group_id=moved_to or chat.id,
    )


def _unlisted(frame: Frame, message: Json, address: Address | None, person: Person) -> Unrecognised:
    """An event of the chat; or something a person sent that we cannot read, which is told in the conversation."""
    service = next((key for key in SERVICE if key in message), None)
    if service is not None:
        return frame.unknown(service, "a service message")
    found = frame.unknown("message", "unknown content")
    told = {"address": address, "person": person, "occurred_at": frame.time(message.get("date"))}
    return found.model_copy(update=told) if address else found


def deleted(frame: Frame, value: Json) -> list[AnyEvent]:
    """Only business accounts report deletions; several messages at once, and no time."""
    chat = chat_of(value.get("chat"), value.get("business_connection_id"))
    ids = [chat.message_id(each) for each in items(value.get("message_ids"))] if chat else []
    found = list(dict.fromkeys(each for each in ids if each is not None))
    if chat is None or not found:
        return [frame.unknown("deleted_business_messages", "without chat or message ids")]
    return [
        MessageDeleted(
            event_id=f"{frame.update_id}:{message_id}",
            occurred_at=frame.received_at,
            address=address_of(frame.channel_id, chat.data, chat.connection),
            raw=frame.raw,
            message_id=message_id,
        )
        for message_id in found
    ]
