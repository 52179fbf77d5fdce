"""From one message of ours to the forms that Twilio takes: pure, and refusing what the platform has no form for.

https://www.twilio.com/docs/messaging/api/message-resource, …/whatsapp/api (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlsplit

import orjson

from channels.adapter import Account
from channels.failures import Failure, SendFailed
from channels.providers.twilio.card import API_BASE, MMS_MAX_BYTES, TwilioSettings
from channels.providers.twilio.signature import webhook_url
from channels.vocabulary import Attachment, AttachmentKind, Location, OutboundMessage, TemplateCall

#: Files in one MMS. WhatsApp and Messenger take one to a message.
MMS_FILES = 10
#: The query parameter of our status callbacks that carries the send key back.
CORRELATION = "send"
_CONTENT_SID = re.compile(r"HX[0-9a-fA-F]{32}", re.ASCII)
#: WhatsApp shows a text below these; below others it has to be a message of its own.
_CAPTIONED = frozenset({AttachmentKind.IMAGE, AttachmentKind.VIDEO})

Form = list[tuple[str, str]]


def forms(account: Account, message: OutboundMessage) -> list[Form]:
    """The requests this message becomes, in order, mostly one. Raises `SendFailed` for what Twilio would refuse."""
    _refuse_early(message)
    frame = [*_route(account.settings, message.to.external_id), *_callback(account, message.key)]
    found = [[*frame, *part] for part in _parts(message)]
    if not found:
        raise SendFailed(Failure.CONTENT_REJECTED, "The message is empty.")
    return found


def channel_of(external_id: str) -> str:
    """`whatsapp`, `messenger` …, or `sms` for an address without a prefix."""
    prefix, colon, _ = external_id.partition(":")
    return prefix if colon else "sms"


def _refuse_early(message: OutboundMessage) -> None:
    sms = channel_of(message.to.external_id) == "sms"
    if message.location is not None and channel_of(message.to.external_id) != "whatsapp":
        raise SendFailed(Failure.NOT_SUPPORTED, "Only WhatsApp carries a location; an SMS does not.")
    for file in message.attachments:
        if not file.url:
            raise SendFailed(Failure.NOT_SUPPORTED, "Twilio fetches files by their address; this one has none.")
        if sms and (file.size_bytes or 0) > MMS_MAX_BYTES:
            raise SendFailed(Failure.NOT_SUPPORTED, f"An MMS takes {MMS_MAX_BYTES} bytes; the file has more.")
    if message.template is not None and not _CONTENT_SID.fullmatch(message.template.name):
        raise SendFailed(Failure.CONTENT_REJECTED, "A template of Twilio is called by its content SID (HX…).")


def _route(settings: TwilioSettings, to: str) -> Form:
    """To, and from whom: the service, or our number on the channel the recipient is on."""
    if settings.messaging_service_sid:
        return [("To", to), ("MessagingServiceSid", settings.messaging_service_sid)]
    bare, channel = settings.from_number.rpartition(":")[2], channel_of(to)
    return [("To", to), ("From", bare if channel == "sms" else f"{channel}:{bare}")]


def _callback(account: Account, key: str) -> Form:
    """Where Twilio reports what became of it, our key in the query. Nothing where Twilio could not reach us."""
    url = webhook_url(account)
    # Twilio would refuse the whole message for such an address. What stands in for Twilio may well be near.
    if account.settings.api_base == API_BASE and not _is_public(urlsplit(url).hostname or ""):
        return []
    return [("StatusCallback", f"{url}?{CORRELATION}={quote(key, safe='')}")]


def _is_public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host.strip(".")


def _parts(message: OutboundMessage) -> Iterator[Form]:
    if message.template is not None:
        yield _template(message.template)
        return
    text = message.text if (message.text or "").strip() else None
    groups = list(_groups(message))
    captioned = bool(groups) and text is not None and _takes_text(message, groups[0])
    for place, group in enumerate(groups):
        said = text if captioned and place == 0 else next((each.caption for each in group if each.caption), None)
        yield [*([("Body", said)] if said else []), *(("MediaUrl", each.url or "") for each in group)]
    if message.location is not None:
        yield _place(message.location)
    if text is not None and not captioned:
        yield [("Body", text)]


def _groups(message: OutboundMessage) -> Iterator[Sequence[Attachment]]:
    size = MMS_FILES if channel_of(message.to.external_id) == "sms" else 1
    for start in range(0, len(message.attachments), size):
        yield message.attachments[start : start + size]


def _takes_text(message: OutboundMessage, group: Sequence[Attachment]) -> bool:
    return channel_of(message.to.external_id) == "sms" or group[0].kind in _CAPTIONED


def _place(location: Location) -> Form:
    point = f"{location.latitude},{location.longitude}"
    label = location.address or location.name
    said = location.name or location.address or point
    return [("Body", said), ("PersistentAction", f"geo:{point}|{label}" if label else f"geo:{point}")]


def _template(call: TemplateCall) -> Form:
    """The content template. Its variables are numbered through: header, body, buttons, as ours come."""
    values = (*call.header, *call.body, *call.buttons)
    variables = {str(place): value for place, value in enumerate(values, start=1)}
    sent = [("ContentSid", call.name)]
    return [*sent, ("ContentVariables", orjson.dumps(variables).decode())] if variables else sent
