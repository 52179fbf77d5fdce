"""What happens on Telegram beside messages: buttons, reactions, blocking, business connections. Pure.

https://core.telegram.org/bots/api#update (read 2026-11-22)
"""

from __future__ import annotations

from channels.providers.telegram.objects import Frame, address_of, chat_of, name_of, person_of
from channels.reading import Json, items, mapping, text
from channels.vocabulary import AccountNotice, AnyEvent, ContactLeft, MessageReceived, Postback, Reaction


def callback(frame: Frame, query: Json) -> list[AnyEvent]:
    """A button of an inline keyboard was pressed, by whoever stands in `from` (not the author of the message)."""
    sender, message = mapping(query.get("from")), mapping(query.get("message"))
    address, callback_id = address_of(frame.channel_id, sender), text(query.get("id"))
    payload = text(query.get("data")) or text(query.get("game_short_name"))
    if address is None or callback_id is None or payload is None:
        return [frame.unknown("callback_query", "without sender, id or data")]
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


def reaction(frame: Frame, value: Json) -> list[AnyEvent]:
    """What the person thinks of the message now: the newest reaction, else one that stayed, else none.

    One event, because the latest reaction of a person stands for all of them (premium users may leave three).
    """
    chat = chat_of(value.get("chat"))
    message_id = chat.message_id(value.get("message_id")) if chat else None
    if message_id is None:
        return [frame.unknown("message_reaction", "without chat or message id")]
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


def membership(frame: Frame, value: Json) -> list[AnyEvent]:
    """The bot was blocked or let in again by a person, or put into or out of a group."""
    chat = chat_of(value.get("chat"))
    status = text(mapping(value.get("new_chat_member")).get("status"))
    address = address_of(frame.channel_id, chat.data) if chat else None
    if chat is None or address is None or status is None:
        return [frame.unknown("my_chat_member", "without chat or status")]
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


def connection(frame: Frame, value: Json) -> list[AnyEvent]:
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
