"""The Twilio adapter: ties parsing and composing to Twilio's signature and API."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import filetype

from channels.adapter import Account, Adapter, Answer, Card, Delivery, Unreadable
from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.twilio.api import TwilioApi, refusal
from channels.providers.twilio.card import CAPABILITIES, CARD, ON_WHATSAPP, TwilioSettings
from channels.providers.twilio.compose import channel_of, forms
from channels.providers.twilio.parse import parse_delivery
from channels.providers.twilio.records import NO_TIME, records
from channels.providers.twilio.signature import verify_signature
from channels.reading import Json, items, mapping, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, SendReceipt

#: Anything with words in it would go to the person as a message.
_NO_ANSWER = Answer(body=b"<Response/>", content_type="text/xml")


class TwilioAdapter(Adapter):
    """One number or one messaging service is one account; it may be reached by SMS and by WhatsApp."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    #: For one call of the API.
    timeout_s: float = 15.0

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """See `channels.providers.twilio.signature`; Twilio signs no time."""
        verify_signature(account, delivery)

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The message's id and status: a repeat after a failure comes with further fields, so its bytes differ."""
        try:
            found = list(records(account.channel_id, delivery, NO_TIME))
        except Unreadable:
            found = []
        sid = found[0].sid if len(found) == 1 else None
        return f"{sid}:{found[0].status[:100]}" if sid else super().delivery_key(account, delivery)

    def capabilities_for(self, external_id: str | None) -> Capabilities:
        """WhatsApp addresses have a window and approved templates; SMS has neither."""
        return ON_WHATSAPP if (external_id or "").startswith("whatsapp:") else self.capabilities

    def address_of(self, account: Account, kind: str, value: str) -> str | None:
        """A number on the network of our own number; by a messaging service as SMS."""
        settings = _settings(account)
        network = "sms" if settings.messaging_service_sid else channel_of(settings.from_number)
        return {"sms": value, "whatsapp": f"whatsapp:{value}"}.get(network) if kind == "phone" else None

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.twilio.parse`."""
        return parse_delivery(account.channel_id, delivery)

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """An empty TwiML document: no message in return."""
        return _NO_ANSWER

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One request for each part. Twilio knows no idempotency; our key comes back with every status callback."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        api, parts, sent = self._api(account), forms(account, message), list[str]()
        for form in parts:
            try:
                sent.append(_taken(await api.post(api.url("Messages"), form)))
            except SendFailed as error:
                raise _halfway(error, len(sent), len(parts)) from None
        return SendReceipt(message_ids=tuple(sent))

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """Fetch the file with our credentials; a redirect to storage is followed without them."""
        api, url = self._api(account), attachment.media_id or ""
        if not api.keeps(url):
            raise SendFailed(Failure.CONTENT_REJECTED, "This file does not lie with Twilio.")
        content = await api.download(url, max_bytes)
        return content, filetype.guess_mime(content) or attachment.media_type or "application/octet-stream"

    async def check(self, account: Account) -> str:
        """Ask for the account, then for its number or service; sends nothing."""
        api, settings = self._api(account), _settings(account)
        found = await api.get(api.url())
        name, status = text(found.get("friendly_name")) or "the account", text(found.get("status")) or "unknown"
        if status != "active":
            raise SendFailed(Failure.ACCOUNT_PROBLEM, f"Twilio knows {name}, but it is {status}.")
        if settings.messaging_service_sid:
            service = await api.get(api.service_url(settings.messaging_service_sid))
            return f"Connected to {name}, messaging service {text(service.get('friendly_name')) or 'without a name'}."
        number = await _number(api, settings)
        if not number:
            return f"Connected to {name}. {settings.from_number} is not one of its phone numbers."
        where = "A webhook is set." if text(number.get("sms_url")) else "No webhook is set yet."
        return f"Connected to {name}, number {settings.from_number}. {where}"

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Set the address at the number or the messaging service; None for senders that Twilio keeps elsewhere."""
        api, settings = self._api(account), _settings(account)
        url = settings.webhook_url or url
        if service := settings.messaging_service_sid:
            wanted = [("InboundRequestUrl", url), ("InboundMethod", "POST"), ("UseInboundWebhookOnNumber", "false")]
            await api.post(api.service_url(service), wanted, repeatable=True)
            return f"The messaging service now posts to {url}."
        number = await _number(api, settings)
        sid = text(number.get("sid"))
        # A number that belongs to a TwiML app asks the app; changing that is for a person to decide.
        if sid is None or text(number.get("sms_application_sid")):
            return None
        wanted = [("SmsUrl", url), ("SmsMethod", "POST")]
        await api.post(api.url("IncomingPhoneNumbers", sid), wanted, repeatable=True)
        return f"{settings.from_number} now posts to {url}."

    def _api(self, account: Account) -> TwilioApi:
        return TwilioApi(self.http, account, self.timeout_s)


def _settings(account: Account) -> TwilioSettings:
    settings: TwilioSettings = account.settings
    return settings


async def _number(api: TwilioApi, settings: TwilioSettings) -> Json:
    """What Twilio keeps about our phone number; empty for a WhatsApp sender, a short code and a sender name."""
    if not settings.from_number.startswith("+"):
        return {}
    found = await api.get(api.url("IncomingPhoneNumbers", PhoneNumber=settings.from_number))
    return next((mapping(each) for each in items(found.get("incoming_phone_numbers"))), {})


def _taken(answer: Json) -> str:
    """The id of a message that Twilio took."""
    if text(answer.get("status")) in ("failed", "undelivered"):
        raise refusal(400, {"code": answer.get("error_code"), "message": answer.get("error_message")})
    sid = text(answer.get("sid"))
    if sid is None:
        raise SendFailed(Failure.UNCERTAIN, "Twilio's answer names no message.")
    return sid


def _halfway(error: SendFailed, sent: int, parts: int) -> SendFailed:
    """A message of which a part is out must not be repeated as a whole: what could be retried becomes uncertain."""
    if sent == 0 or not CONSEQUENCES[error.failure].retry:
        return error
    detail = f"{sent} of {parts} parts were sent, then: {error}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=error.provider_code)


ADAPTER = TwilioAdapter
