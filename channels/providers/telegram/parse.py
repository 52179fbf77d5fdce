"""Telegram updates as events. Pure; one function per kind of update.

https://core.telegram.org/bots/api#update (read 2026-11-22). An update has an id and, by its page, exactly one other
key; none and several are taken as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import ValidationError

from channels.adapter import Delivery, Unreadable
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
from channels.reading import Json, items, mapping, read_json, text
from channels.vocabulary import (
    AccountNotice,
    Address,
    AnyEvent,
    ContactLeft,
    MessageDeleted,
    MessageEdited,
    MessageReceived,
    Person,
    Postback,
    ProfileSeen,
    Reaction,
    Unrecognised,
)

Parser = Callable[[Frame, Json], list[AnyEvent]]

#: The first moment of Unix time, for a payload without any (a file read from disk).
_NO_TIME = datetime.fromtimestamp(0, UTC)


def parse_delivery(channel_id: str, delivery: Delivery, key: str) -> list[AnyEvent]:
    """All events of a webhook body, or of an answer to getUpdates. `key` names the delivery. Raises `Unreadable`."""
    body = read_json(delivery.body)
    if not isinstance(body, dict):
        raise Unreadable("The body is no update.")
    updates = items(body.get("result")) if "update_id" not in body and "result" in body else [body]
    received_at = delivery.received_at or _NO_TIME
    events: list[AnyEvent] = []
    for place, item in enumerate(updates):
        update = mapping(item)
        update_id = telegram_id(update.get("update_id")) or f"{key}.{place}"
        events += _update(Frame(channel_id, update_id, received_at, update or {"update": item}))
    return events


def update_id_of(body: bytes) -> str | None:
    """The id of a single update; None for a batch and for what is none."""
    try:
        return telegram_id(mapping(read_json(body)).get("update_id"))
    except Unreadable:
        return None


def _update(frame: Frame) -> list[AnyEvent]:
    keys = [key for key in frame.raw if key != "update_id"]
    if len(keys) == 1:
        return _part(frame, keys[0])
    parts = [replace(frame, update_id=f"{frame.update_id}:{place}") for place in range(len(keys))]
    events = [event for part, key in zip(parts, keys, strict=True) for event in _part(part, key)]
    return events or [_unknown(frame, "empty", "an update without content")]


def _part(frame: Frame, key: str) -> list[AnyEvent]:
    parser, value = PARSERS.get(key), frame.raw[key]
    if parser is None or not isinstance(value, dict):
        return [_unknown(frame, key, "not used here" if key in NOT_USED else "unknown kind")]
    try:
        return parser(frame, value)
    except ValidationError:  # a value of a form no page speaks of; kept, so that somebody can look
        return [_unknown(frame, key, "unreadable content")]


def _unknown(frame: Frame, topic: str, reason: str) -> Unrecognised:
    topic = topic[:100]
    return Unrecognised(
        event_id=f"{frame.update_id}:{topic}", occurred_at=frame.received_at, raw=frame.raw, topic=topic, reason=reason
    )


# -- messages ---------------------------------------------------------------------------------------------


def _message(frame: Frame, message: Json) -> list[AnyEvent]:
    chat = chat_of(message.get("chat"), message.get("business_connection_id"))
    message_id = chat.message_id(message.get("message_id")) if chat else None
    if chat is None or message_id is None:
        return [_unknown(frame, "message", "without chat or message id")]
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


def _edited(frame: Frame, message: Json) -> list[AnyEvent]:
    """A correction, or a live location that has moved."""
    chat = chat_of(message.get("chat"), message.get("business_connection_id"))
    message_id = chat.message_id(message.get("message_id")) if chat else None
    if chat is None or message_id is None:
        return [_unknown(frame, "edited_message", "without chat or message id")]
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


def _migrated(frame: Frame, message: Json, chat: Chat) -> ProfileSeen | None:
    """A group became a supergroup; both chats report it, each naming the other."""
    moved_to, moved_from = (telegram_id(message.get(f"migrate_{way}_chat_id")) for way in ("to", "from"))
    former = chat.id if moved_to else moved_from
    if former is None:
        return None
    return ProfileSeen(
        event_id=frame.update_id,
        occurred_at=frame.time(message.get("date")),
        address=Address(channel_id=frame.channel_id, external_id=moved_to or chat.id),
        person=Person(name=name_of(chat.data), aliases=(former,)),
        raw=frame.raw,
        former_external_id=former,
    )


def _unlisted(frame: Frame, message: Json, address: Address | None, person: Person) -> Unrecognised:
    """An event of the chat; or something a person sent that we cannot read, which is told in the conversation."""
    service = next((key for key in SERVICE if key in message), None)
    if service is not None:
        return _unknown(frame, service, "a service message")
    found = _unknown(frame, "message", "unknown content")
    told = {"address": address, "person": person, "occurred_at": frame.time(message.get("date"))}
    return found.model_copy(update=told) if address else found


def _deleted(frame: Frame, value: Json) -> list[AnyEvent]:
    """Only business accounts report deletions; several messages at once, and no time."""
    chat = chat_of(value.get("chat"), value.get("business_connection_id"))
    ids = [chat.message_id(each) for each in items(value.get("message_ids"))] if chat else []
    found = list(dict.fromkeys(each for each in ids if each is not None))
    if chat is None or not found:
        return [_unknown(frame, "deleted_business_messages", "without chat or message ids")]
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


# -- everything else --------------------------------------------------------------------------------------


def _callback(frame: Frame, query: Json) -> list[AnyEvent]:
    """A button of an inline keyboard was pressed, by whoever stands in `from` (not the author of the message)."""
    sender, message = mapping(query.get("from")), mapping(query.get("message"))
    address, callback_id = address_of(frame.channel_id, sender), text(query.get("id"))
    payload = text(query.get("data")) or text(query.get("game_short_name"))
    if address is None or callback_id is None or payload is None:
        return [_unknown(frame, "callback_query", "without sender, id or data")]
    chat = chat_of(message.get("chat"))
    title = _pressed(message, payload)
    return [
        MessageReceived(
            event_id=frame.update_id,
            occurred_at=frame.received_at,
            address=address,
            person=person_of(sender),
            raw=frame.raw,
            message_id=f"{chat.id if chat else address.external_id}:callback-{callback_id[:100]}",
            text=title,
            reply_to=chat.message_id(message.get("message_id")) if chat else None,
            postback=Postback(payload=payload, title=title),
            group_id=chat.group_id if chat else None,
            extra={"callback_query_id": callback_id[:100]},
        )
    ]


def _pressed(message: Json, payload: str) -> str | None:
    """The title of the button with this payload."""
    rows = items(mapping(message.get("reply_markup")).get("inline_keyboard"))
    buttons = (mapping(button) for row in rows for button in items(row))
    return next((text(each.get("text")) for each in buttons if each.get("callback_data") == payload), None)


def _reaction(frame: Frame, value: Json) -> list[AnyEvent]:
    """What the person thinks of the message now: the newest reaction, else one that stayed, else none.

    One event, because the latest reaction of a person stands for all of them (premium users may leave three).
    """
    chat = chat_of(value.get("chat"))
    message_id = chat.message_id(value.get("message_id")) if chat else None
    if message_id is None:
        return [_unknown(frame, "message_reaction", "without chat or message id")]
    before, after = _emojis(value.get("old_reaction")), _emojis(value.get("new_reaction"))
    added = [each for each in after if each not in before]
    actor = mapping(value.get("user")) or mapping(value.get("actor_chat"))
    address = address_of(frame.channel_id, actor)
    return [
        Reaction(
            event_id=frame.update_id,
            occurred_at=frame.time(value.get("date")),
            address=address,
            person=person_of(actor) if address else None,
            raw=frame.raw,
            message_id=message_id,
            emoji=next(reversed(added or after), None),
        )
    ]


def _emojis(value: object) -> list[str]:
    found = []
    for item in items(value):
        data = mapping(item)
        custom = text(data.get("custom_emoji_id"))
        emoji = text(data.get("emoji")) or (f"custom:{custom}" if custom else None)
        if emoji is None and data.get("type") == "paid":
            emoji = "⭐"
        if emoji is not None and emoji not in found:
            found.append(emoji)
    return found


def _membership(frame: Frame, value: Json) -> list[AnyEvent]:
    """The bot was blocked or let in again by a person, or put into or out of a group."""
    chat = chat_of(value.get("chat"))
    status = text(mapping(value.get("new_chat_member")).get("status"))
    address = address_of(frame.channel_id, chat.data) if chat else None
    if chat is None or address is None or status is None:
        return [_unknown(frame, "my_chat_member", "without chat or status")]
    left = status in ("kicked", "left")
    at = frame.time(value.get("date"))
    if chat.private:
        sender = mapping(value.get("from"))
        person = person_of({**chat.data, **sender})
        return [
            ContactLeft(
                event_id=frame.update_id, occurred_at=at, address=address, person=person, raw=frame.raw, left=left
            )
        ]
    done = "is no longer in" if left else "may not write in" if status == "restricted" else "is now in"
    return [
        AccountNotice(
            event_id=frame.update_id,
            occurred_at=at,
            raw=frame.raw,
            topic="group_membership",
            text=f"The bot {done} the group {name_of(chat.data) or chat.id}.",
            details={"group_id": chat.id, "status": status},
        )
    ]


def _connection(frame: Frame, value: Json) -> list[AnyEvent]:
    """A business account connected this bot to its private chats, changed its rights, or disconnected it."""
    rights = mapping(value.get("rights"))
    may_reply = bool(rights.get("can_reply") or value.get("can_reply"))
    enabled = bool(value.get("is_enabled"))
    who = name_of(mapping(value.get("user"))) or "A business account"
    state = f"connected this bot; it may {'' if may_reply else 'not '}answer" if enabled else "disconnected this bot"
    return [
        AccountNotice(
            event_id=frame.update_id,
            occurred_at=frame.time(value.get("date")),
            raw=frame.raw,
            topic="business_connection",
            severity="info" if enabled and may_reply else "warning",
            text=f"{who} {state}.",
            details={"connection": text(value.get("id")), "enabled": enabled, "may_reply": may_reply},
        )
    ]


PARSERS: dict[str, Parser] = {
    "message": _message,
    "edited_message": _edited,
    "channel_post": _message,
    "edited_channel_post": _edited,
    "business_connection": _connection,
    "business_message": _message,
    "edited_business_message": _edited,
    "deleted_business_messages": _deleted,
    "message_reaction": _reaction,
    "callback_query": _callback,
    "my_chat_member": _membership,
}
#: Known from the page, of no use to a conversation; kept like unknown ones.
NOT_USED = frozenset(
    {
        "message_reaction_count",
        "inline_query",
        "chosen_inline_result",
        "shipping_query",
        "pre_checkout_query",
        "purchased_paid_media",
        "poll",
        "poll_answer",
        "chat_member",
        "chat_join_request",
        "chat_boost",
        "removed_chat_boost",
    }
)
#: What `setWebhook` asks for: reactions come only when named.
ALLOWED_UPDATES = tuple(PARSERS)
