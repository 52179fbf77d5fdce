"""The passive reply: a message in the body of our answer to WeChat's call, one for each delivery.

By the facts file, section 8: optional, within five seconds, in the same mode as the delivery.
"""

from __future__ import annotations

from channels.adapter import Delivery
from channels.providers.tencent.callback import stamp_of
from channels.reading import Json, text


def text_reply(fields: Json, content: str, delivery: Delivery) -> bytes:
    """The XML of a text to whom `fields` came from, from the account it came to."""
    to, sender = text(fields.get("FromUserName")) or "", text(fields.get("ToUserName")) or ""
    parts = [("ToUserName", to), ("FromUserName", sender), ("MsgType", "text"), ("Content", content)]
    inside = "".join(f"<{name}>{_cdata(value)}</{name}>" for name, value in parts)
    return f"<xml>{inside}<CreateTime>{stamp_of(delivery)}</CreateTime></xml>".encode()


def _cdata(value: str) -> str:
    """As character data, whatever it holds."""
    return "<![CDATA[" + value.replace("]]>", "]]]]><![CDATA[>") + "]]>"
