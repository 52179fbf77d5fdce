"""Telegram updates as events. Pure; one function per kind, named in the table at the end.

https://core.telegram.org/bots/api#update (read 2026-11-22). An update has an id and, by its page, exactly one other
key; none and several are taken as they come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import orjson
from pydantic import ValidationError

from channels.adapter import Delivery, Unreadable
from channels.providers.telegram.happenings import callback, connection, membership, reaction
from channels.providers.telegram.messages import deleted, edited, message
from channels.providers.telegram.objects import Frame, telegram_id
from channels.reading import Json, items, mapping, read_json
from channels.vocabulary import AnyEvent

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
    """The id of a single update; None for a batch and for what is none. Asked at the door, so it is quick."""
    try:
        return telegram_id(mapping(orjson.loads(body)).get("update_id"))
    except orjson.JSONDecodeError:
        return None


def _update(frame: Frame) -> list[AnyEvent]:
    keys = [key for key in frame.raw if key != "update_id"]
    if len(keys) == 1:
        return _part(frame, keys[0])
    parts = [replace(frame, update_id=f"{frame.update_id}:{place}") for place in range(len(keys))]
    events = [event for part, key in zip(parts, keys, strict=True) for event in _part(part, key)]
    return events or [frame.unknown("empty", "an update without content")]


def _part(frame: Frame, key: str) -> list[AnyEvent]:
    parser, value = PARSERS.get(key), frame.raw[key]
    if parser is None or not isinstance(value, dict):
        return [frame.unknown(key, "not used here" if key in NOT_USED else "unknown kind")]
    try:
        return parser(frame, value)
    except ValidationError:  # a value of a form no page speaks of; kept, so that somebody can look
        return [frame.unknown(key, "unreadable content")]


PARSERS: dict[str, Parser] = {
    "message": message,
    "edited_message": edited,
    "channel_post": message,
    "edited_channel_post": edited,
    "business_connection": connection,
    "business_message": message,
    "edited_business_message": edited,
    "deleted_business_messages": deleted,
    "message_reaction": reaction,
    "callback_query": callback,
    "my_chat_member": membership,
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
