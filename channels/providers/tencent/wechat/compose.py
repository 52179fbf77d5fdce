"""An outbound message as service messages (客服消息) or as one template message. Pure.

https://developers.weixin.qq.com/doc/service/api/customer/message/api_sendcustommessage (read 2026-11-28) and
https://developers.weixin.qq.com/doc/offiaccount/Message_Management/Template_Message_Interface.html (by the platform
facts of that day).
"""

from __future__ import annotations

from collections.abc import Sequence

from base.ids import unique_key
from channels.failures import Failure, SendFailed
from channels.providers.tencent.parts import Part, check_length, file_parts, with_links
from channels.providers.tencent.wechat.card import CAPABILITIES
from channels.reading import Json
from channels.vocabulary import OutboundMessage, TemplateCall

_LIMITS = {limit.kind: limit.max_bytes for limit in CAPABILITIES.media}


def service_messages(message: OutboundMessage) -> list[Part]:
    """Files first, each with its caption as a text; then the text, as a menu where there are buttons to press."""
    parts = file_parts(message.attachments, _LIMITS)
    text = check_length(with_links(message.text or "", message.buttons), CAPABILITIES.text_limit)
    rows = [{"id": each.payload or each.title, "content": each.title} for each in message.buttons if not each.url]
    if rows:
        parts.append(Part("msgmenu", {"head_content": text, "list": rows, "tail_content": ""}))
    elif text:
        parts.append(Part("text", {"content": text}))
    return parts


def template_body(to: str, call: TemplateCall, names: Sequence[str], key: str) -> Json:
    """The body of template/send. WeChat's parameters have `names`, ours the order in which they stand in the text."""
    given = (*call.header, *call.body)
    if len(names) != len(given):
        raise SendFailed(
            Failure.CONTENT_REJECTED,
            f"The template has {len(names)} fields ({', '.join(names)}); {len(given)} are given.",
        )
    data = {name: {"value": value} for name, value in zip(names, given, strict=True)}
    link = {"url": call.buttons[0]} if call.buttons else {}
    return {"touser": to, "template_id": call.name, "data": data, "client_msg_id": unique_key(key)[:32], **link}
