"""Messages of Slack: new, changed, taken back, and those that this app wrote itself. Pure.

https://docs.slack.dev/reference/events/message (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from channels.providers.slack.content import files_of, is_forwarded, text_of
from channels.providers.slack.objects import Frame, group_of, message_id, person_of, slack_id
from channels.reading import Json, items, mapping, text
from channels.vocabulary import AnyEvent, DeliveryStatus, DeliveryUpdate, MessageDeleted, MessageEdited, MessageReceived

#: The name and the field of what we attach to every message, to know it again.
METADATA_TYPE = "rapport_send"
METADATA_KEY = "key"

#: What a person wrote; other words than these are news of the channel, or not known.
_WRITTEN = frozenset({None, "me_message", "file_share", "thread_broadcast", "reply_broadcast"})
#: News of the conversation itself.
_NOT_USED = frozenset(
    f"{place}_{what}"
    for place in ("channel", "group")
    for what in ("join", "leave", "topic", "purpose", "name", "archive", "unarchive", "convert_to_private")
) | {
    "message_replied", "pinned_item", "unpinned_item", "ekm_access_denied", "channel_posting_permissions",
    "channel_convert_to_public", "reminder_add", "bot_add", "bot_remove", "assistant_app_thread", "joiner_notification",
    "huddle_thread",
}  # fmt: skip


def message(frame: Frame, event: Json) -> list[AnyEvent]:
    """A `message` or an `app_mention`: both come for one message and become the same event."""
    subtype = text(event.get("subtype"))
    if subtype in _CHANGES:
        return [_CHANGES[subtype](frame, event)]
    if subtype in _NOT_USED:
        return [frame.unknown(f"message.{subtype}", "not used here")]
    known_id = message_id(event.get("channel"), event.get("ts"))
    if known_id is None:
        return [frame.unknown("message", "without channel or time")]
    if is_own(frame, event):
        return [_taken(frame, event, known_id)]
    if is_program(event):
        return [frame.unknown("message.bot", "written by another program")]
    return [_received(frame, event, known_id, subtype)]


def is_program(message: Json) -> bool:
    """A bot, a workflow, Slackbot: no customer."""
    return bool(message.get("bot_id")) or message.get("subtype") == "bot_message" or message.get("user") == "USLACKBOT"


def is_own(frame: Frame, message: Json) -> bool:
    """This app wrote it."""
    app_id = slack_id(message.get("app_id")) or slack_id(mapping(message.get("bot_profile")).get("app_id"))
    same_app = is_program(message) and app_id is not None and app_id == frame.app_id
    return same_app or slack_id(message.get("user")) in frame.own_users


def correlation_of(metadata: object) -> str | None:
    """The send key of a message that we wrote."""
    found = mapping(metadata)
    if found.get("event_type") != METADATA_TYPE:
        return None
    return slack_id(mapping(found.get("event_payload")).get(METADATA_KEY))


def _received(frame: Frame, event: Json, known_id: str, subtype: str | None) -> AnyEvent:
    address = frame.address(event.get("user"))
    if address is None:
        return frame.unknown("message", "without a sender")
    said, files = text_of(event), files_of(event)
    thread = event.get("thread_ts")
    return MessageReceived(
        event_id=known_id,
        occurred_at=frame.time(event.get("ts")),
        address=address,
        person=person_of(event.get("user_profile")),
        raw=frame.raw,
        message_id=known_id,
        text=said,
        attachments=files,
        reply_to=message_id(event.get("channel"), thread) if thread != event.get("ts") else None,
        group_id=group_of(event.get("channel"), text(event.get("channel_type"))),
        forwarded=is_forwarded(event),
        unsupported=None if said or files else _unshown(subtype),
    )


def _unshown(subtype: str | None) -> str:
    return "a message without text" if subtype in _WRITTEN else (subtype or "")[:100]


def _taken(frame: Frame, event: Json, known_id: str) -> DeliveryUpdate:
    """Our own message comes back: that Slack has it. A file is known by its own id, which is all we were told."""
    file_id = next((slack_id(mapping(each).get("id")) for each in items(event.get("files"))), None)
    return DeliveryUpdate(
        event_id=f"{known_id}:sent",
        occurred_at=frame.time(event.get("ts")),
        raw=frame.raw,
        status=DeliveryStatus.SENT,
        message_id=file_id or known_id,
        correlation=correlation_of(event.get("metadata")),
    )


def _changed(frame: Frame, event: Json) -> AnyEvent:
    after, before = mapping(event.get("message")), mapping(event.get("previous_message"))
    known_id = message_id(event.get("channel"), after.get("ts") or before.get("ts"))
    if known_id is None:
        return frame.unknown("message_changed", "without channel or time")
    if after.get("subtype") == "tombstone":  # taken back, but answers hang on it
        return _gone(frame, event, known_id, before)
    if is_own(frame, after) or is_program(after):
        return frame.unknown("message_changed", "a program's own message")
    edited = mapping(after.get("edited"))
    if text_of(after) == text_of(before) and edited == mapping(before.get("edited")):
        return frame.unknown("message_changed", "only its preview has changed")
    return MessageEdited(
        event_id=frame.name("message_changed", event.get("channel"), event.get("event_ts") or event.get("ts")),
        occurred_at=frame.time(edited.get("ts"), event.get("event_ts"), event.get("ts")),
        address=frame.address(after.get("user") or before.get("user")),
        raw=frame.raw,
        message_id=known_id,
        text=text_of(after),
    )


def _deleted(frame: Frame, event: Json) -> AnyEvent:
    before = mapping(event.get("previous_message"))
    known_id = message_id(event.get("channel"), event.get("deleted_ts") or before.get("ts"))
    if known_id is None:
        return frame.unknown("message_deleted", "without channel or time")
    return _gone(frame, event, known_id, before)


def _gone(frame: Frame, event: Json, known_id: str, before: Json) -> AnyEvent:
    ours = is_own(frame, before) or is_program(before)
    return MessageDeleted(
        event_id=frame.name("message_deleted", event.get("channel"), event.get("event_ts") or event.get("ts")),
        occurred_at=frame.time(event.get("event_ts"), event.get("ts")),
        address=None if ours else frame.address(before.get("user")),
        raw=frame.raw,
        message_id=known_id,
    )


_CHANGES = {"message_changed": _changed, "message_deleted": _deleted}
