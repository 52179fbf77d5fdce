"""LINE deliveries as events. Pure; one function per kind, named in the table at the end.

https://github.com/line/line-openapi/blob/main/webhook.yml (read 2026-11-28)
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from channels.adapter import Delivery, Unreadable
from channels.providers.line import happenings, messages
from channels.providers.line.objects import Frame
from channels.reading import mapping, read_json
from channels.vocabulary import AnyEvent

Parser = Callable[[Frame], list[AnyEvent]]

#: The first moment of Unix time, for a payload without any (a file read from disk).
_NO_TIME = datetime.fromtimestamp(0, UTC)


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """All events of a delivery; none for the console's *Verify*, which sends an empty list. Raises `Unreadable`."""
    body = read_json(delivery.body)
    events = body.get("events") if isinstance(body, dict) else None
    if not isinstance(events, list):
        raise Unreadable("The body has no list of events.")
    received_at = delivery.received_at or _NO_TIME
    return [event for item in events for event in _parse(channel_id, item, received_at)]


def _parse(channel_id: str, item: Any, received_at: datetime) -> list[AnyEvent]:
    frame = Frame(channel_id, mapping(item) or {"event": item}, received_at)
    if frame.item.get("mode") == "standby" and frame.topic not in EVEN_STANDING_BY:
        return [frame.unknown("standby: another app answers this chat")]
    parser = PARSERS.get(frame.topic)
    return parser(frame) if parser is not None else [frame.unknown()]


PARSERS: dict[str, Parser] = {
    "message": messages.received,
    "messageEdited": messages.edited,
    "unsend": messages.unsent,
    "postback": happenings.postback,
    "follow": happenings.followed,
    "unfollow": happenings.unfollowed,
    **dict.fromkeys(happenings.IN_GROUP, happenings.in_group),
    **dict.fromkeys(happenings.TRACKED, happenings.tracked),
    **dict.fromkeys(happenings.CHANNEL, happenings.channel),
}
#: True whoever answers, and nothing that anybody or any journey would answer.
EVEN_STANDING_BY = frozenset({"unfollow", "unsend", "messageEdited", "leave", *happenings.CHANNEL})
