"""An outbound message as messages of an app. Pure.

https://developer.work.weixin.qq.com/document/path/90236 (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

import re

from base.ids import unique_key
from channels.failures import Failure, SendFailed
from channels.providers.tencent.parts import Part, check_length, file_parts
from channels.providers.tencent.wecom.card import CAPABILITIES
from channels.reading import Json
from channels.vocabulary import Button, OutboundMessage

_LIMITS = {limit.kind: limit.max_bytes for limit in CAPABILITIES.media}
#: Customers of WeCom: `wm` or `wo` and 30 more. Members choose their own ids.
_CUSTOMER = re.compile(r"w[mo][0-9A-Za-z_-]{30}", re.ASCII)
#: Bytes above the buttons of a card, in the largest text that a card has.
_CARD_TEXT = 480


def is_customer(external_id: str) -> bool:
    """True for the id of a customer, False for a member's."""
    return _CUSTOMER.fullmatch(external_id) is not None


def app_messages(message: OutboundMessage) -> list[Part]:
    """Files first, each with its caption as a text; then the text, as a card where there are buttons."""
    if is_customer(message.to.external_id):
        raise SendFailed(
            Failure.NOT_SUPPORTED,
            "WeCom lets programs write to members of the company only; customers are answered through 微信客服.",
        )
    parts = file_parts(message.attachments, _LIMITS)
    text = message.text or ""
    if message.buttons:
        parts.append(Part("template_card", _card(check_length(text, _CARD_TEXT), message)))
    elif text:
        parts.append(Part("text", {"content": text}))
    return parts


def _card(text: str, message: OutboundMessage) -> Json:
    if not text:
        raise SendFailed(Failure.CONTENT_REJECTED, "Buttons need a text above them.")
    return {
        "card_type": "button_interaction",
        "main_title": {"title": text},
        "task_id": f"rapport-{unique_key(message.key)}",
        "button_list": [_button(button) for button in message.buttons],
    }


def _button(button: Button) -> Json:
    if button.url:
        return {"type": 1, "text": button.title, "style": 1, "url": button.url}
    return {"type": 0, "text": button.title, "style": 1, "key": button.payload or button.title}
