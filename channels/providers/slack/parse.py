"""Slack's deliveries as events. Pure; one function per kind, named in the tables at the end.

https://docs.slack.dev/apis/events-api, …/reference/interaction-payloads (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from base.ids import unique_key
from channels.adapter import Delivery
from channels.providers.slack.happenings import (
    membership,
    posted,
    profile,
    rate_limited,
    reaction,
    revoked,
    uninstalled,
)
from channels.providers.slack.interactions import actions, command
from channels.providers.slack.messages import message
from channels.providers.slack.objects import Frame, own_users, slack_id
from channels.providers.slack.payload import read_payload, shown, type_of
from channels.reading import Json, mapping
from channels.vocabulary import AnyEvent

Parser = Callable[[Frame, Json], list[AnyEvent]]

#: The first moment of Unix time, for a payload without any (a file read from disk).
_NO_TIME = datetime.fromtimestamp(0, UTC)


def parse_delivery(channel_id: str, delivery: Delivery) -> list[AnyEvent]:
    """All events of one request. Raises `Unreadable`."""
    payload = read_payload(delivery.body)
    frame = Frame(
        channel_id=channel_id,
        received_at=delivery.received_at or _NO_TIME,
        key=unique_key(delivery.body),
        raw=shown(payload),
        event_id=slack_id(payload.get("event_id")),
        app_id=slack_id(payload.get("api_app_id")),
        own_users=own_users(payload),
    )
    return OUTER.get(type_of(payload), _unknown)(frame, payload)


def _event(frame: Frame, payload: Json) -> list[AnyEvent]:
    event = mapping(payload.get("event"))
    return EVENTS.get(type_of(event), _unknown)(frame, event)


def _unknown(frame: Frame, payload: Json) -> list[AnyEvent]:
    kind = type_of(payload)
    return [frame.unknown(kind or "unknown", "not used here" if kind in NOT_USED else "unknown kind")]


def _nothing(frame: Frame, payload: Json) -> list[AnyEvent]:
    """Slack tries the address; nothing has happened."""
    return []


OUTER: dict[str, Parser] = {
    "event_callback": _event,
    "app_rate_limited": rate_limited,
    "block_actions": actions,
    "interactive_message": actions,
    "slash_command": command,
    "url_verification": _nothing,
    "ssl_check": _nothing,
}
EVENTS: dict[str, Parser] = {
    "message": message,
    "app_mention": message,
    "reaction_added": reaction,
    "reaction_removed": reaction,
    "message_metadata_posted": posted,
    "member_joined_channel": membership,
    "member_left_channel": membership,
    "user_change": profile,
    "tokens_revoked": revoked,
    "app_uninstalled": uninstalled,
}
#: Known from the pages, of no use to a conversation; kept like unknown ones.
NOT_USED = frozenset(
    {
        "view_submission", "view_closed", "message_action", "shortcut", "block_suggestion", "app_home_opened",
        "team_join", "file_shared", "file_public", "file_created", "file_change", "file_deleted", "link_shared",
        "channel_rename", "channel_archive", "channel_created", "im_created", "assistant_thread_started", "pin_added",
    }
)  # fmt: skip
