"""From one message of ours to the bodies that WhatsApp takes: pure, and refusing what the platform has no form for.

https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages (read 2026-11-22),
https://developers.facebook.com/docs/whatsapp/guides/interactive-messages/ (lists; read 2026-11-28).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from channels.failures import Failure, SendFailed
from channels.providers.meta.whatsapp.people import is_user_id, phone_of
from channels.reading import Json
from channels.vocabulary import Attachment, AttachmentKind, Button, Location, OutboundMessage, TemplateCall

#: More replies than these become a list, which a button opens.
REPLY_BUTTONS = 3
LIST_ROWS = 10
TITLE_LIMIT = 20
ROW_TITLE_LIMIT = 24
#: Captions and the text above buttons are shorter than a plain text.
BODY_LIMIT = 1024
_PAYLOAD_LIMIT = 256
_ROW_ID_LIMIT = 200

_TYPES = {
    AttachmentKind.IMAGE: "image",
    AttachmentKind.VIDEO: "video",
    AttachmentKind.AUDIO: "audio",
    AttachmentKind.VOICE: "audio",
    AttachmentKind.FILE: "document",
    AttachmentKind.STICKER: "sticker",
}
_CAPTIONED = frozenset({AttachmentKind.IMAGE, AttachmentKind.VIDEO, AttachmentKind.FILE})
#: Template buttons: what the words before the first colon stand for.
_BUTTONS = {"url": "text", "quick_reply": "payload", "copy_code": "coupon_code"}
_HEADER_FILES = {
    **dict.fromkeys((".jpg", ".jpeg", ".png"), "image"),
    **dict.fromkeys((".mp4", ".3gp"), "video"),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".txt"), "document"),
}


def refuse_early(message: OutboundMessage) -> None:
    """Raise `SendFailed` for what no body can be made of, before anything is uploaded or sent."""
    _refuse_buttons(message)
    if message.attachments and any(not (f.url or f.media_id or f.content) for f in message.attachments):
        raise SendFailed(Failure.CONTENT_REJECTED, "A file has neither an address nor content.")
    if not any((message.text, message.attachments, message.location, message.template)):
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")


def _refuse_buttons(message: OutboundMessage) -> None:
    if any(button.url for button in message.buttons) and len(message.buttons) > 1:
        raise SendFailed(Failure.NOT_SUPPORTED, f"WhatsApp shows either one link button or up to {LIST_ROWS} replies.")
    limit = TITLE_LIMIT if len(message.buttons) <= REPLY_BUTTONS else ROW_TITLE_LIMIT
    for button in message.buttons:
        if len(button.title) > limit:
            raise SendFailed(Failure.CONTENT_REJECTED, f'The button "{button.title}" is over {limit} characters.')
    if message.buttons and not 0 < len(message.text or "") <= BODY_LIMIT:
        raise SendFailed(
            Failure.CONTENT_REJECTED, f"Buttons need a text of at most {BODY_LIMIT} characters above them."
        )


def bodies(message: OutboundMessage, files: Sequence[Json], list_label: str) -> list[Json]:
    """The requests this message becomes, in order.

    `files`: `{"id"}` or `{"link"}` for each attachment. `list_label`: what stands on the button that opens a list.
    """
    frame: Json = {
        "messaging_product": "whatsapp",
        **_recipient(message.to.external_id),
        "biz_opaque_callback_data": message.key,
    }
    made = [{**frame, **part} for part in _parts(message, files, list_label)]
    if message.reply_to:
        made[0]["context"] = {"message_id": message.reply_to}
    return made


def reaction_body(message: OutboundMessage) -> Json:
    """What we think of a message of theirs."""
    reaction = message.reaction
    if reaction is None:
        raise SendFailed(Failure.CONTENT_REJECTED, "There is no reaction.")
    return {
        "messaging_product": "whatsapp", **_recipient(message.to.external_id),
        "biz_opaque_callback_data": message.key, "type": "reaction",
        "reaction": {"message_id": reaction.message_id, "emoji": reaction.emoji or ""},
    }  # fmt: skip


def _recipient(external_id: str) -> Json:
    """A user id has a field of its own (in `to` it would be taken for a number); what is neither is a group's id."""
    if is_user_id(external_id):
        return {"recipient_type": "individual", "recipient": external_id}
    single = phone_of(external_id.removeprefix("+")) is not None
    return {"recipient_type": "individual" if single else "group", "to": external_id}


def _parts(message: OutboundMessage, files: Sequence[Json], list_label: str) -> Iterator[Json]:
    if message.template is not None:
        yield {"type": "template", "template": _template(message.template)}
        return
    caption = _shared_caption(message)
    for attachment, reference in zip(message.attachments, files, strict=True):
        yield _file(attachment, reference, caption)
    if message.location is not None:
        yield {"type": "location", "location": _location(message.location)}
    if message.text and caption is None:
        yield _buttons(message.text, message.buttons, list_label) if message.buttons else _text(message.text)


def _shared_caption(message: OutboundMessage) -> str | None:
    """The text, where it can stand below the one file; None where it has to be a message of its own."""
    alone = len(message.attachments) == 1 and not message.buttons and message.location is None
    if not alone or message.attachments[0].kind not in _CAPTIONED or message.attachments[0].caption:
        return None
    return message.text if message.text and len(message.text) <= BODY_LIMIT else None


def _file(attachment: Attachment, reference: Json, shared: str | None) -> Json:
    kind = _TYPES[attachment.kind]
    content = dict(reference)
    caption = shared or attachment.caption
    if caption and attachment.kind in _CAPTIONED:
        content["caption"] = caption
    if kind == "document" and attachment.file_name:
        content["filename"] = attachment.file_name
    if attachment.kind is AttachmentKind.VOICE:
        content["voice"] = True
    return {"type": kind, kind: content}


def _text(text: str) -> Json:
    return {"type": "text", "text": {"body": text, "preview_url": "https://" in text or "http://" in text}}


def _location(place: Location) -> Json:
    found = {"latitude": place.latitude, "longitude": place.longitude, "name": place.name, "address": place.address}
    return {key: value for key, value in found.items() if value is not None}


def _buttons(text: str, buttons: Sequence[Button], list_label: str) -> Json:
    first = buttons[0]
    if first.url:
        action: Json = {"name": "cta_url", "parameters": {"display_text": first.title, "url": first.url}}
        kind = "cta_url"
    elif len(buttons) > REPLY_BUTTONS:
        action = {"button": list_label, "sections": [{"rows": [_row(button) for button in buttons]}]}
        kind = "list"
    else:
        action = {"buttons": [{"type": "reply", "reply": _reply(button)} for button in buttons]}
        kind = "button"
    return {"type": "interactive", "interactive": {"type": kind, "body": {"text": text}, "action": action}}


def _reply(button: Button) -> Json:
    return {"id": (button.payload or button.title)[:_PAYLOAD_LIMIT], "title": button.title}


def _row(button: Button) -> Json:
    return {"id": (button.payload or button.title)[:_ROW_ID_LIMIT], "title": button.title}


# -- templates ----------------------------------------------------------------------------------------------


def _template(call: TemplateCall) -> Json:
    """The call with its parameters in order.

    A header parameter that is the address of an image, video or document becomes that file. A button parameter says
    its kind before a colon, `quick_reply:PAYLOAD` or `copy_code:SAVE20`; without one it is the end of a link. An empty
    one stands for a button that takes none.
    """
    components = [
        *([{"type": "header", "parameters": [_header(value) for value in call.header]}] if call.header else []),
        *([{"type": "body", "parameters": [_parameter(value) for value in call.body]}] if call.body else []),
        *(_template_button(index, value) for index, value in enumerate(call.buttons) if value),
    ]
    made: Json = {"name": call.name, "language": {"code": call.language}}
    return {**made, "components": components} if components else made


def _parameter(value: str) -> Json:
    """Text of a parameter; WhatsApp refuses line ends, tabs and runs of spaces in one."""
    return {"type": "text", "text": re.sub(r"\s+", " ", value).strip()}


def _header(value: str) -> Json:
    address = urlsplit(value) if value.startswith(("https://", "http://")) else None
    kind = _HEADER_FILES.get(PurePosixPath(address.path).suffix.lower()) if address else None
    return {"type": kind, kind: {"link": value}} if kind else _parameter(value)


def _template_button(index: int, value: str) -> Json:
    before, colon, after = value.partition(":")
    kind, content = (before, after) if colon and before in _BUTTONS else ("url", value)
    parameter = {"type": _BUTTONS[kind], _BUTTONS[kind]: content}
    return {"type": "button", "sub_type": kind, "index": str(index), "parameters": [parameter]}
