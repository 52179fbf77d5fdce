"""Deliveries of a WeCom app as events. Pure; one function per kind, named in the tables at the end."""

from __future__ import annotations

from collections.abc import Callable

from channels.adapter import Delivery
from channels.providers.tencent import menus, messages
from channels.providers.tencent.objects import Frame, frame_of
from channels.providers.tencent.wecom import contacts, happenings
from channels.reading import Json
from channels.vocabulary import AnyEvent

Parser = Callable[[Frame], list[AnyEvent]]


def parse_fields(channel_id: str, fields: Json, delivery: Delivery) -> list[AnyEvent]:
    """What one opened delivery says."""
    frame = frame_of(channel_id, fields, delivery)
    if frame.kind != "event":
        return messages.received(frame)
    event, change = frame.event.lower(), (frame.word("ChangeType") or "").lower()
    parser = CHANGES.get((event, change)) or EVENTS.get(event)
    return parser(frame) if parser is not None else [frame.unknown()]


CHANGES: dict[tuple[str, str], Parser] = {
    **{("change_external_contact", change): parser for change, parser in contacts.CUSTOMERS.items()},
    **{("change_contact", change): parser for change, parser in contacts.STAFF.items()},
}
EVENTS: dict[str, Parser] = {
    **dict.fromkeys(menus.MENUS, menus.pressed),
    "subscribe": happenings.app_enabled,
    "unsubscribe": happenings.app_disabled,
    "enter_agent": happenings.app_entered,
    "location": happenings.location_reported,
    "template_card_event": happenings.card_answered,
    "template_card_menu_event": happenings.card_answered,
    "taskcard_click": happenings.card_answered,
    **dict.fromkeys(happenings.LOGGED, happenings.logged),
}
