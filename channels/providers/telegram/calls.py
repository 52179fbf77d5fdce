"""An outbound message as calls of the Bot API. Pure; the files themselves are fetched and sent elsewhere.

https://core.telegram.org/bots/api#available-methods, #sending-files (read 2026-11-22)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from channels.failures import Failure, SendFailed
from channels.vocabulary import Address, Attachment, AttachmentKind, Button, Location, OutboundMessage

#: Characters after entities are parsed (#sendphoto). A longer text goes as a message of its own.
CAPTION_LIMIT = 1024
#: Files in one album (#sendmediagroup).
ALBUM_LIMIT = 10
CALLBACK_DATA_MAX_BYTES = 64
#: Telegram fetches a document from a URL only when it is one of these (#sending-files); others we upload ourselves.
FETCHED_DOCUMENTS = frozenset({"application/pdf", "application/zip", "image/gif"})


class FileForm(NamedTuple):
    """How one kind of file is sent."""

    method: str
    parameter: str
    #: Files of one family can share an album.
    family: str | None = None
    captioned: bool = True


FORMS: dict[AttachmentKind, FileForm] = {
    AttachmentKind.IMAGE: FileForm("sendPhoto", "photo", "seen"),
    AttachmentKind.VIDEO: FileForm("sendVideo", "video", "seen"),
    AttachmentKind.AUDIO: FileForm("sendAudio", "audio", "heard"),
    AttachmentKind.FILE: FileForm("sendDocument", "document", "kept"),
    AttachmentKind.VOICE: FileForm("sendVoice", "voice"),
    AttachmentKind.STICKER: FileForm("sendSticker", "sticker", captioned=False),
}
ANIMATION = FileForm("sendAnimation", "animation")


#: https://core.telegram.org/bots/api#reactiontypeemoji (read 2026-11-29), the common ones first.
REACTIONS: tuple[str, ...] = (
    "👍", "❤", "🙏", "😁", "🎉", "👏", "🔥", "👎", "😢", "🤔", "👌", "🥰", "😍", "🤗", "🤝", "🫡", "👀", "💯",
    "✍", "🤣", "😱", "🤯", "🤩", "😇", "😎", "😭", "😡", "🤬", "💔", "🏆", "⚡", "🕊", "🐳", "🍾", "🍓", "🍌",
    "🌭", "🌚", "👻", "🎃", "🎅", "🎄", "☃", "💋", "😘", "💘", "🦄", "🤓", "🤪", "😴", "🥱", "🥴", "😐", "🤨",
    "😨", "😈", "🤡", "🙈", "🙉", "🙊", "👾", "💊", "🗿", "🆒", "💅", "🤷", "🤮", "💩", "🖕", "🤷\u200d♂",
    "🤷\u200d♀", "👨\u200d💻", "❤\u200d🔥",
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """One call. `files` are the attachments that its parameters name as `attach://<key>`."""

    method: str
    parameters: dict[str, Any]
    files: dict[str, Attachment] = field(default_factory=dict)


def calls_for(message: OutboundMessage) -> list[Call]:
    """The calls that carry `message`, mostly one, in order. Raises `SendFailed` for what Telegram would refuse."""
    captioned = _text_is_caption(message)
    calls = list(_file_calls(message, message.text if captioned else None))
    if message.text and not captioned:
        calls.append(Call("sendMessage", {"text": message.text}))
    if message.location is not None:
        calls.append(_place(message.location))
    if not calls:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    if message.buttons:
        calls[-1] = _with(calls[-1], {"reply_markup": keyboard(message.buttons)})
    target = target_of(message.to)
    calls[0] = _with(calls[0], _quote(message.reply_to, target))
    return [Call(call.method, {**target, **call.parameters}, call.files) for call in calls]


def reaction_of(message: OutboundMessage) -> dict[str, Any]:
    """What setMessageReaction takes. Raises `SendFailed` for a message that has no number in this chat."""
    reaction = message.reaction
    chat, _, number = (reaction.message_id if reaction else "").rpartition(":")
    if reaction is None or not number.isdecimal():
        raise SendFailed(Failure.CONTENT_REJECTED, "Telegram knows no message to react to.")
    chosen = [] if reaction.emoji is None else [{"type": "emoji", "emoji": reaction.emoji.replace("\ufe0f", "")}]
    return {"chat_id": _chat_id(chat.rpartition(":")[2]), "message_id": int(number), "reaction": chosen}


def target_of(address: Address) -> dict[str, Any]:
    """Where to: a chat, reached through a business connection when the address has one."""
    chat, _, connection = address.external_id.partition("@")
    chat_id = _chat_id(chat)
    return {"chat_id": chat_id, "business_connection_id": connection} if connection else {"chat_id": chat_id}


def message_ids(result: Any, target: dict[str, Any]) -> list[str]:
    """Our ids of the Message objects in an answer, in the same form in which replies will name them."""
    sent = result if isinstance(result, list) else [result]
    connection = target.get("business_connection_id")
    prefix = f"{connection}:{target['chat_id']}" if connection else f"{target['chat_id']}"
    return [f"{prefix}:{each['message_id']}" for each in sent if isinstance(each, dict) and each.get("message_id")]


def keyboard(buttons: Sequence[Button]) -> dict[str, Any]:
    """An inline keyboard, one button to a row."""
    return {"inline_keyboard": [[_button(each)] for each in buttons]}


def _button(button: Button) -> dict[str, str]:
    if button.url:
        return {"text": button.title, "url": button.url}
    payload = button.payload or button.title
    if not 1 <= len(payload.encode()) <= CALLBACK_DATA_MAX_BYTES:
        raise SendFailed(
            Failure.CONTENT_REJECTED,
            f"The button {button.title!r} carries more than {CALLBACK_DATA_MAX_BYTES} bytes.",
        )
    return {"text": button.title, "callback_data": payload}


def _text_is_caption(message: OutboundMessage) -> bool:
    files = message.attachments
    if not files or not message.text or len(message.text) > CAPTION_LIMIT or not _form(files[0]).captioned:
        return False
    return len(files) == 1 or not message.buttons  # else the keyboard belongs under the text, after the files


def _file_calls(message: OutboundMessage, caption: str | None) -> Iterator[Call]:
    """Files in their order; neighbours that fit share an album, unless a keyboard needs a message to hang on."""
    for family, run in groupby(message.attachments, lambda file: _form(file).family):
        files = list(run)
        size = ALBUM_LIMIT if family is not None and not message.buttons else 1
        for start in range(0, len(files), size):
            part = files[start : start + size]
            yield _album(part, caption) if len(part) > 1 else _single(part[0], caption)
            caption = None


def _single(file: Attachment, caption: str | None) -> Call:
    form = _form(file)
    source, files = _source(file, form, 0)
    about = _caption(file, caption) if form.captioned else {}
    return Call(form.method, {form.parameter: source, **about}, files)


def _album(album: Sequence[Attachment], caption: str | None) -> Call:
    media, files = [], {}
    for place, file in enumerate(album):
        form = _form(file)
        source, named = _source(file, form, place)
        files.update(named)
        media.append({"type": form.parameter, "media": source, **_caption(file, caption)})
        caption = None
    return Call("sendMediaGroup", {"media": media}, files)


def _caption(file: Attachment, caption: str | None) -> dict[str, Any]:
    said = caption or file.caption
    return {"caption": said[:CAPTION_LIMIT]} if said else {}


def _source(file: Attachment, form: FileForm, place: int) -> tuple[str, dict[str, Attachment]]:
    """What stands in the parameter: a URL that Telegram fetches, an id it knows, or a name of bytes we bring along."""
    if file.content is None and file.url:
        if form.method != "sendDocument" or file.media_type in FETCHED_DOCUMENTS:
            return file.url, {}
    elif file.content is None and file.media_id:
        return file.media_id, {}
    elif file.content is None:
        raise SendFailed(Failure.CONTENT_REJECTED, "A file of the message has neither an address nor content.")
    return f"attach://file{place}", {f"file{place}": file}


def _form(file: Attachment) -> FileForm:
    return ANIMATION if file.kind is AttachmentKind.IMAGE and file.media_type == "image/gif" else FORMS[file.kind]


def _place(location: Location) -> Call:
    point = {"latitude": location.latitude, "longitude": location.longitude}
    if location.name and location.address:
        return Call("sendVenue", {**point, "title": location.name, "address": location.address})
    return Call("sendLocation", point)


def _quote(reply_to: str | None, target: dict[str, Any]) -> dict[str, Any]:
    """The message it answers; without any when that one is gone, or no message of Telegram's (a button pressed)."""
    chat, _, number = (reply_to or "").rpartition(":")
    if not number.isdecimal():
        return {}
    quote: dict[str, Any] = {"message_id": int(number), "allow_sending_without_reply": True}
    elsewhere = _chat_id(chat.rpartition(":")[2])
    if elsewhere != target["chat_id"]:
        quote["chat_id"] = elsewhere
    return {"reply_parameters": quote}


def _chat_id(value: str) -> int | str:
    digits = value.removeprefix("-")
    return int(value) if digits.isdecimal() and len(digits) < 20 else value


def _with(call: Call, more: dict[str, Any]) -> Call:
    return Call(call.method, {**call.parameters, **more}, call.files)
