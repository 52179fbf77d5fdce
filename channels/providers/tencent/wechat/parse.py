"""Deliveries of an Official Account as events. Pure; one function per kind, named in the table at the end."""

from __future__ import annotations

from collections.abc import Callable

from channels.adapter import Delivery
from channels.providers.tencent import menus, messages
from channels.providers.tencent.objects import Frame, frame_of
from channels.providers.tencent.wechat import happenings
from channels.reading import Json
from channels.vocabulary import AnyEvent

Parser = Callable[[Frame], list[AnyEvent]]


def parse_fields(channel_id: str, fields: Json, delivery: Delivery) -> list[AnyEvent]:
    """What one opened delivery says."""
    frame = frame_of(channel_id, fields, delivery)
    if frame.kind != "event":
        return messages.received(frame)
    parser = EVENTS.get(frame.event.lower())
    return parser(frame) if parser is not None else [frame.unknown()]


EVENTS: dict[str, Parser] = {
    **dict.fromkeys(menus.MENUS, menus.pressed),
    "subscribe": happenings.followed,
    "unsubscribe": happenings.unfollowed,
    "scan": happenings.scanned,
    "location": happenings.location_reported,
    **dict.fromkeys(happenings.RECEIPTS, happenings.receipt),
    "subscribe_msg_sent_event": happenings.subscription_sent,
    **dict.fromkeys(happenings.SUBSCRIPTIONS, happenings.subscription_answered),
    **dict.fromkeys(happenings.SESSIONS, happenings.session),
    **dict.fromkeys(happenings.NOTICES, happenings.notice),
}
