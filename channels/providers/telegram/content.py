"""What stands in a Telegram message: text, files, places, cards; each kind a row of a table or a function of its own.

https://core.telegram.org/bots/api#message (read 2026-11-22). Entities keep Telegram's UTF-16 offsets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from channels.providers.telegram.objects import Chat, amount, international, name_of, place_of, telegram_id
from channels.reading import Json, items, mapping, text
from channels.vocabulary import Attachment, AttachmentKind, ContactCard, Location, Postback, Referral


class MediaForm(NamedTuple):
    """How one kind of file is read."""

    kind: AttachmentKind
    #: The type where Telegram names none.
    media_type: str | None = None


#: In this order: an animation also carries a `document` for old programs, a live photo a `photo`.
MEDIA: dict[str, MediaForm] = {
    "animation": MediaForm(AttachmentKind.VIDEO, "video/mp4"),
    "video": MediaForm(AttachmentKind.VIDEO),
    "video_note": MediaForm(AttachmentKind.VIDEO, "video/mp4"),
    "audio": MediaForm(AttachmentKind.AUDIO),
    "voice": MediaForm(AttachmentKind.VOICE, "audio/ogg"),
    "document": MediaForm(AttachmentKind.FILE),
}
#: People see something here that programs are not given, or that has no form of its own in an inbox.
PLACEHOLDERS = (
    "story", "game", "invoice", "paid_media", "giveaway", "giveaway_winners", "gift", "unique_gift", "rich_message",
)  # fmt: skip
#: Events of the chat in the form of messages.
SERVICE = (
    "new_chat_members", "left_chat_member", "new_chat_title", "new_chat_photo", "delete_chat_photo",
    "group_chat_created", "supergroup_chat_created", "channel_chat_created", "message_auto_delete_timer_changed",
    "pinned_message", "successful_payment", "refunded_payment", "users_shared", "chat_shared", "connected_website",
    "write_access_allowed", "passport_data", "proximity_alert_triggered", "boost_added", "chat_background_set",
    "checklist_tasks_done", "checklist_tasks_added", "direct_message_price_changed", "forum_topic_created",
    "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden",
    "general_forum_topic_unhidden", "giveaway_created", "giveaway_completed", "paid_message_price_changed",
    "suggested_post_approved", "suggested_post_approval_failed", "suggested_post_declined", "suggested_post_paid",
    "suggested_post_refunded", "video_chat_scheduled", "video_chat_started", "video_chat_ended",
    "video_chat_participants_invited", "chat_owner_left", "chat_owner_changed", "community_chat_added",
    "community_chat_removed", "community_chat_joined",
)  # fmt: skip


class Content(NamedTuple):
    """Everything a message says; `known` False when nothing in it is of a kind we know."""

    text: str | None
    attachments: tuple[Attachment, ...]
    location: Location | None
    contacts: tuple[ContactCard, ...]
    postback: Postback | None
    unsupported: str | None
    extra: dict[str, Any]

    @property
    def known(self) -> bool:
        return any((self.text, self.attachments, self.location, self.contacts, self.postback, self.unsupported))


def read_content(message: Json) -> Content:
    """All that a Message object says."""
    card = _card(message)
    return Content(
        text=_text(message),
        attachments=_attachments(message),
        location=place_of(message),
        contacts=(card,) if card else (),
        postback=_web_app(message),
        unsupported=next((key for key in PLACEHOLDERS if message.get(key)), None),
        extra=_extra(message),
    )


def own_phone(message: Json) -> str | None:
    """The sender's number, where Telegram vouches that the shared card is the sender's own (not one passed on)."""
    card, sender = mapping(message.get("contact")), mapping(message.get("from"))
    owner = telegram_id(card.get("user_id"))
    if owner is None or owner != telegram_id(sender.get("id")) or is_forwarded(message):
        return None
    return international(card.get("phone_number"))


def is_forwarded(message: Json) -> bool:
    """True when somebody else wrote it first (the older keys are still sent by some proxies)."""
    return any(message.get(key) for key in ("forward_origin", "forward_from", "forward_from_chat", "forward_date"))


def quoted(message: Json, chat: Chat) -> str | None:
    """`message_id` of the message it answers, which may stand in another chat."""
    outside = mapping(message.get("external_reply"))
    if outside:
        elsewhere = telegram_id(mapping(outside.get("chat")).get("id"))
        number_there = telegram_id(outside.get("message_id"))
        return f"{elsewhere}:{number_there}" if elsewhere and number_there else None
    answered = mapping(message.get("reply_to_message"))
    thread = telegram_id(message.get("message_thread_id"))
    # In a forum every message formally answers the header of its topic.
    if message.get("is_topic_message") and thread == telegram_id(answered.get("message_id")):
        return None
    return chat.message_id(answered.get("message_id"))


def started_from(said: str | None) -> Referral | None:
    """The payload of a deep link (t.me/bot?start=payload), which arrives as a command."""
    command, _, payload = (said or "").partition(" ")
    return Referral(source="deep_link", ref=payload.strip()) if command == "/start" and payload.strip() else None


def _text(message: Json) -> str | None:
    poll, dice = mapping(message.get("poll")), mapping(message.get("dice"))
    candidates = (message.get("text"), message.get("caption"), poll.get("question"), dice.get("emoji"))
    return next((found for value in candidates if (found := text(value))), None) or _checklist(message)


def _checklist(message: Json) -> str | None:
    """Title and tasks, a line each; a change of it comes as a service message."""
    data = mapping(message.get("checklist"))
    lines = [text(data.get("title"))]
    for each in items(data.get("tasks")):
        task = mapping(each)
        done = bool(task.get("completion_date") or task.get("completed_by_user") or task.get("completed_by_chat"))
        if said := text(task.get("text")):
            lines.append(f"{'☑' if done else '☐'} {said}")
    return "\n".join(line for line in lines if line) or None


def _attachments(message: Json) -> tuple[Attachment, ...]:
    for key, form in MEDIA.items():
        found = _file(mapping(message.get(key)), key, form)
        if found is not None:
            return (found,)
    found = _photo(message) or _sticker(mapping(message.get("sticker")))
    return (found,) if found is not None else ()


def _file(data: Json, key: str, form: MediaForm) -> Attachment | None:
    media_id = text(data.get("file_id"))
    if media_id is None:
        return None
    side = amount(data.get("length"))  # a video note is a square
    return Attachment(
        kind=form.kind,
        media_type=text(data.get("mime_type")) or form.media_type,
        file_name=text(data.get("file_name")),
        size_bytes=amount(data.get("file_size")),
        media_id=media_id,
        duration_s=amount(data.get("duration")),
        width=amount(data.get("width")) or side,
        height=amount(data.get("height")) or side,
        extra=_some({"form": key, **_named(data, "file_unique_id", "title", "performer")}),
    )


def _photo(message: Json) -> Attachment | None:
    """The largest of the sizes given."""
    sizes = [size for item in items(message.get("photo")) if (size := mapping(item)).get("file_id")]
    if not sizes:
        return None
    return _file(max(sizes, key=_extent), "photo", MediaForm(AttachmentKind.IMAGE, "image/jpeg"))


def _extent(size: Json) -> tuple[int, int]:
    area = (amount(size.get("width")) or 0) * (amount(size.get("height")) or 0)
    return area, amount(size.get("file_size")) or 0


def _sticker(data: Json) -> Attachment | None:
    animated, video = data.get("is_animated"), data.get("is_video")
    media_type = "application/x-tgsticker" if animated else "video/webm" if video else "image/webp"
    found = _file(data, "sticker", MediaForm(AttachmentKind.STICKER, media_type))
    if found is None:
        return None
    return found.model_copy(update={"extra": {**found.extra, **_named(data, "emoji", "set_name")}})


def _card(message: Json) -> ContactCard | None:
    data = mapping(message.get("contact"))
    number = international(data.get("phone_number")) or text(data.get("phone_number"))
    name = name_of(data)
    if not number and not name:
        return None
    return ContactCard(name=name, phones=(number,) if number else ())


def _web_app(message: Json) -> Postback | None:
    data = mapping(message.get("web_app_data"))
    payload = text(data.get("data"))
    return Postback(payload=payload, title=text(data.get("button_text"))) if payload else None


def _extra(message: Json) -> dict[str, Any]:
    poll, dice = mapping(message.get("poll")), mapping(message.get("dice"))
    location = mapping(message.get("location"))
    entities = message.get("entities") or message.get("caption_entities")
    return _some(
        {
            "entities": [each for each in items(entities) if isinstance(each, dict)],
            "album": text(message.get("media_group_id")),
            "thread_id": telegram_id(message.get("message_thread_id")),
            "forwarded_from": _origin(mapping(message.get("forward_origin"))),
            "live_period_s": amount(location.get("live_period")),
            "dice": amount(dice.get("value")),
            "poll": [option for each in items(poll.get("options")) if (option := text(mapping(each).get("text")))],
        }
    )


def _origin(data: Json) -> str | None:
    """Who wrote a forwarded message first, as far as that person lets us know."""
    shown = text(data.get("sender_user_name"))
    known = (mapping(data.get(key)) for key in ("sender_user", "sender_chat", "chat"))
    return shown or next((name for each in known if (name := name_of(each))), None)


def _named(data: Json, *names: str) -> dict[str, Any]:
    return {name: found for name in names if (found := text(data.get(name)))}


def _some(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, [], {})}
