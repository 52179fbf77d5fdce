"""What happens on Slack beside messages: reactions, the app's own fate, people's profiles. Pure.

https://docs.slack.dev/reference/events (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from typing import Literal

from channels.providers.slack.messages import correlation_of
from channels.providers.slack.objects import Frame, message_id, person_of, slack_id
from channels.providers.slack.words import emoji_of
from channels.reading import Json, items, mapping, text
from channels.vocabulary import AccountNotice, AnyEvent, DeliveryStatus, DeliveryUpdate, ProfileSeen, Reaction

Severity = Literal["info", "warning", "critical"]


def reaction(frame: Frame, event: Json) -> list[AnyEvent]:
    """`reaction_added` and `reaction_removed`."""
    item, kind = mapping(event.get("item")), str(event.get("type"))
    known_id, address = message_id(item.get("channel"), item.get("ts")), frame.address(event.get("user"))
    name = text(event.get("reaction"))
    if known_id is None or address is None or name is None:
        return [frame.unknown(kind, "not about a message")]
    if address.external_id in frame.own_users:
        return [frame.unknown(kind, "by this app itself")]
    return [
        Reaction(
            event_id=frame.name(kind, item.get("channel"), event.get("event_ts")),
            occurred_at=frame.time(event.get("event_ts")),
            address=address,
            raw=frame.raw,
            message_id=known_id,
            emoji=emoji_of(name[:100]) if kind == "reaction_added" else None,
        )
    ]


def posted(frame: Frame, event: Json) -> list[AnyEvent]:
    """`message_metadata_posted`: a message of ours, with the key we gave it."""
    known_id, key = message_id(event.get("channel_id"), event.get("message_ts")), correlation_of(event.get("metadata"))
    if known_id is None or key is None or slack_id(event.get("app_id")) != frame.app_id:
        return [frame.unknown("message_metadata_posted", "not ours")]
    return [
        DeliveryUpdate(
            event_id=f"{known_id}:posted",
            occurred_at=frame.time(event.get("message_ts")),
            raw=frame.raw,
            status=DeliveryStatus.SENT,
            message_id=known_id,
            correlation=key,
        )
    ]


def revoked(frame: Frame, event: Json) -> list[AnyEvent]:
    """`tokens_revoked`. Tokens of single users, which we do not use, are no reason to stop."""
    tokens = mapping(event.get("tokens"))
    if items(tokens.get("oauth")) and not items(tokens.get("bot")):
        return [_notice(frame, event, "info", "Slack revoked tokens of single users; the app goes on.")]
    return [_notice(frame, event, "critical", "Slack revoked the bot token: nothing can be sent until it is renewed.")]


def uninstalled(frame: Frame, event: Json) -> list[AnyEvent]:
    """`app_uninstalled`."""
    return [_notice(frame, event, "critical", "The app was removed from the workspace.")]


def rate_limited(frame: Frame, event: Json) -> list[AnyEvent]:
    """`app_rate_limited`, an outer type: Slack leaves events out."""
    return [_notice(frame, event, "warning", "Slack left out events, because there were too many in an hour.")]


def membership(frame: Frame, event: Json) -> list[AnyEvent]:
    """`member_joined_channel`, `member_left_channel`: told when it was the app itself."""
    kind = str(event.get("type"))
    if slack_id(event.get("user")) not in frame.own_users:
        return [frame.unknown(kind, "not used here")]
    place = slack_id(event.get("channel")) or "a channel"
    if kind == "member_joined_channel":
        return [_notice(frame, event, "info", f"The app was invited to {place} and hears what is written there.")]
    return [_notice(frame, event, "warning", f"The app was removed from {place}.")]


def profile(frame: Frame, event: Json) -> list[AnyEvent]:
    """`user_change`: somebody has a new name or picture."""
    user = mapping(event.get("user"))
    address = frame.address(user.get("id"), user.get("name"))
    if address is None or user.get("is_bot") is True or user.get("deleted") is True:
        return [frame.unknown("user_change", "not used here")]
    return [
        ProfileSeen(
            event_id=frame.name("user_change", user.get("id"), event.get("event_ts") or user.get("updated")),
            occurred_at=frame.time(event.get("event_ts")),
            address=address,
            person=person_of(user.get("profile"), user.get("real_name")),
            raw=frame.raw,
        )
    ]


def _notice(frame: Frame, event: Json, severity: Severity, said: str) -> AccountNotice:
    topic = str(event.get("type"))[:100]
    return AccountNotice(
        event_id=frame.name(topic, event.get("event_ts") or event.get("minute_rate_limited")),
        occurred_at=frame.time(event.get("event_ts"), event.get("minute_rate_limited")),
        raw=frame.raw,
        topic=topic,
        severity=severity,
        text=said,
    )
