"""From one message of ours to the bodies the Send API takes: pure, and refusing what there is no form for.

https://developers.facebook.com/docs/messenger-platform/reference/send-api,
https://developers.facebook.com/documentation/business-messaging/instagram-messaging/features/quick-replies.md and
…/instagram-messaging/button-template (read 2026-11-28).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from channels.failures import Failure, SendFailed
from channels.providers.meta.messaging.items import USER_REF
from channels.reading import Json
from channels.vocabulary import Attachment, AttachmentKind, Button, OutboundMessage

QUICK_REPLIES = 13
TITLE_LIMIT = 20
#: A link needs the button template, which takes fewer buttons and a shorter text.
TEMPLATE_BUTTONS = 3
TEMPLATE_TEXT_LIMIT = 640
_PAYLOAD_LIMIT = 1000
#: `reply_to` of a private reply to a comment: this and the comment's id.
COMMENT = "comment:"

TYPES = {
    AttachmentKind.IMAGE: "image",
    AttachmentKind.VIDEO: "video",
    AttachmentKind.AUDIO: "audio",
    AttachmentKind.VOICE: "audio",
    AttachmentKind.FILE: "file",
}


@dataclass(frozen=True)
class Dialect:
    """In what the Send API differs between Messenger and Instagram."""

    label: str
    #: `messaging_type` is asked for.
    typed: bool
    #: Our key goes along, and comes back with the echo.
    metadata: bool
    #: A message can quote another.
    quotes: bool
    #: Files can be uploaded; else they go by address alone.
    uploads: bool


def refuse_early(dialect: Dialect, message: OutboundMessage) -> None:
    """Raise `SendFailed` for what no body can be made of, before anything is uploaded or sent."""
    if not (message.text or message.attachments):
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    _refuse_buttons(message)
    for file in message.attachments:
        if not (file.url or file.media_id or file.content):
            raise SendFailed(Failure.CONTENT_REJECTED, "A file has neither an address nor content.")
        if not (dialect.uploads or file.url or file.media_id):
            raise SendFailed(Failure.NOT_SUPPORTED, f"{dialect.label} fetches files by address; this one has none.")
    if _comment(message) and len(list(_parts(message, [{} for _ in message.attachments]))) > 1:
        raise SendFailed(Failure.NOT_SUPPORTED, "A comment can be answered in private with one message only.")


def _refuse_buttons(message: OutboundMessage) -> None:
    if not message.buttons:
        return
    if not message.text:
        raise SendFailed(Failure.CONTENT_REJECTED, "Buttons need a text above them.")
    for button in message.buttons:
        if len(button.title) > TITLE_LIMIT:
            raise SendFailed(Failure.CONTENT_REJECTED, f'The button "{button.title}" is over {TITLE_LIMIT} characters.')
    if not _has_link(message.buttons):
        return
    if len(message.buttons) > TEMPLATE_BUTTONS:
        detail = f"With a link among them, at most {TEMPLATE_BUTTONS} buttons are shown."
        raise SendFailed(Failure.NOT_SUPPORTED, detail)
    if len(message.text) > TEMPLATE_TEXT_LIMIT:
        detail = f"Above a link button the text may have {TEMPLATE_TEXT_LIMIT} characters."
        raise SendFailed(Failure.CONTENT_REJECTED, detail)


def bodies(dialect: Dialect, message: OutboundMessage, files: Sequence[Json]) -> list[Json]:
    """The requests this message becomes, in order. `files`: the payload of each attachment."""
    comment = _comment(message)
    frame: Json = {"recipient": _recipient(message.to.external_id, comment)}
    if dialect.typed:
        frame["messaging_type"] = "UPDATE" if message.automatic else "RESPONSE"
    metadata = {"metadata": message.key} if dialect.metadata else {}
    made = [{**frame, "message": {**part, **metadata}} for part in _parts(message, files)]
    if message.reply_to and not comment and dialect.quotes:
        made[0]["reply_to"] = {"mid": message.reply_to}
    return made


def as_human_agent(body: Json) -> Json:
    """The same body for the days after the window, in which a person may still answer."""
    return {**body, "messaging_type": "MESSAGE_TAG", "tag": "HUMAN_AGENT"}


def may_be_tagged(message: OutboundMessage) -> bool:
    """Whether a person wrote it to a person: no machine's message, no private reply."""
    return not message.automatic and not _comment(message)


def _comment(message: OutboundMessage) -> str | None:
    given = message.reply_to or ""
    return given.removeprefix(COMMENT) or None if given.startswith(COMMENT) else None


def reaction_body(dialect: Dialect, message: OutboundMessage) -> Json:
    """What we think of a message of theirs, by sender actions:
    https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages/sender-actions
    (read 2026-11-29). Instagram's own word for its heart is `love`."""
    reaction = message.reaction
    if reaction is None:
        raise SendFailed(Failure.CONTENT_REJECTED, "There is no reaction.")
    frame: Json = {"recipient": _recipient(message.to.external_id, None)}
    if reaction.emoji is None:
        return {**frame, "sender_action": "unreact", "payload": {"message_id": reaction.message_id}}
    is_heart = reaction.emoji.startswith("\u2764") and not dialect.typed
    chosen = "love" if is_heart else reaction.emoji
    return {**frame, "sender_action": "react", "payload": {"message_id": reaction.message_id, "reaction": chosen}}


def _recipient(external_id: str, comment: str | None) -> Json:
    if comment:
        return {"comment_id": comment}
    if external_id.startswith(USER_REF):
        return {"user_ref": external_id.removeprefix(USER_REF)}
    return {"id": external_id}


def _parts(message: OutboundMessage, files: Sequence[Json]) -> Iterator[Json]:
    """Files carry no caption: texts follow as messages of their own."""
    for file, payload in zip(message.attachments, files, strict=True):
        yield _attachment(file, payload)
        if file.caption and file.caption != message.text:
            yield {"text": file.caption}
    if not message.text:
        return
    if _has_link(message.buttons):
        yield _template(message.text, message.buttons)
    elif message.buttons:
        yield {"text": message.text, "quick_replies": [_quick_reply(button) for button in message.buttons]}
    else:
        yield {"text": message.text}


def _attachment(file: Attachment, payload: Json) -> Json:
    return {"attachment": {"type": TYPES[file.kind], "payload": payload}}


def _has_link(buttons: Sequence[Button]) -> bool:
    return any(button.url for button in buttons)


def _quick_reply(button: Button) -> Json:
    payload = (button.payload or button.title)[:_PAYLOAD_LIMIT]
    return {"content_type": "text", "title": button.title, "payload": payload}


def _template(text: str, buttons: Sequence[Button]) -> Json:
    payload = {"template_type": "button", "text": text, "buttons": [_button(each) for each in buttons]}
    return {"attachment": {"type": "template", "payload": payload}}


def _button(button: Button) -> Json:
    if button.url:
        return {"type": "web_url", "title": button.title, "url": button.url}
    return {"type": "postback", "title": button.title, "payload": (button.payload or button.title)[:_PAYLOAD_LIMIT]}
