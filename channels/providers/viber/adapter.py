"""The Viber adapter: ties parsing and composing to Viber's signature and API."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar

import filetype

from base.http import HttpFailed
from base.signing import hmac_hex, same
from channels.adapter import Account, Adapter, Card, Delivery, Unverified
from channels.capabilities import Capabilities
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.providers.viber.api import ViberApi
from channels.providers.viber.card import CAPABILITIES, CARD, ViberSettings
from channels.providers.viber.compose import bodies
from channels.providers.viber.parse import delivery_key, parse_delivery
from channels.reading import identifier, integer, mapping, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, Person, SendReceipt

HEADER = "x-viber-content-signature"
#: What set_webhook asks for. Messages always come.
EVENT_TYPES = ("delivered", "seen", "failed", "subscribed", "unsubscribed", "conversation_started")
#: Viber tries our address before it answers set_webhook.
_REGISTER_TIMEOUT_S = 30.0
_NOBODY = (Failure.RECIPIENT_UNREACHABLE, Failure.RECIPIENT_BLOCKED, Failure.CONTENT_REJECTED)


class ViberAdapter(Adapter):
    """One bot per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    #: For one call of the API.
    timeout_s: float = 15.0

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Hex HMAC-SHA256 over the raw body under the token, in a header, else as `sig` in the query.

        Viber signs no time.
        """
        given = delivery.header(HEADER) if HEADER in delivery.headers else delivery.param("sig")
        matches = [same(given, hmac_hex(secret, delivery.body)) for secret in account.secrets("auth_token")]
        if not any(matches):
            raise Unverified("The signature does not match.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """Kind, token and person; without a token a hash of the body."""
        return delivery_key(delivery.body) or hashlib.sha256(delivery.body).hexdigest()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.viber.parse`."""
        return parse_delivery(account.channel_id, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One call for each part. Viber knows no idempotency: a repeat is a second message."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        settings: ViberSettings = account.settings
        parts = bodies(message, settings.sender_name or account.name, settings.sender_avatar)
        api, sent = self._api(account), list[str]()
        for body in parts:
            try:
                answer = await api.ask("send_message", body, lost=Failure.UNCERTAIN)
                sent.append(_token(identifier(answer.get("message_token"))))
            except SendFailed as failed:
                raise _partly(failed, len(sent), len(parts)) from None
        return SendReceipt(message_ids=tuple(sent))

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """The file behind the address that came with the message. Our token is not needed and does not go there."""
        if attachment.url is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "Viber gives no file for this; a sticker is only numbered.")
        try:
            answer = await self.http.request("GET", attachment.url, timeout_s=60.0, max_bytes=max_bytes)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url", "too_large")
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status != 200:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            said = f"The file's server answered {answer.status}; Viber's addresses are good for about an hour."
            raise SendFailed(failure, said, provider_code=f"http {answer.status}")
        told = attachment.media_type or "application/octet-stream"
        return answer.body, filetype.guess_mime(answer.body) or told

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name, picture and language. Viber answers twice in 12 hours for each person."""
        try:
            found = mapping((await self._api(account).ask("get_user_details", {"id": external_id})).get("user"))
        except SendFailed as failed:
            if failed.failure in _NOBODY:
                return None
            raise
        name, avatar, language = (text(found.get(key)) for key in ("name", "avatar", "language"))
        return Person(name=name, avatar_url=avatar, locale=language) if name or avatar or language else None

    async def check(self, account: Account) -> str:
        """The bot behind the token, its subscribers and its webhook."""
        bot = await self._api(account).ask("get_account_info", {})
        name, people = text(bot.get("name")) or "the bot", integer(bot.get("subscribers_count"))
        count = f" with {people} subscribers" if people is not None else ""
        hook = "A webhook is registered." if text(bot.get("webhook")) else "No webhook is registered yet."
        return f"The token belongs to {name}{count}. {hook}"

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """set_webhook with all kinds of event that we read. Viber posts a probe to `url` before it answers."""
        wanted = {"url": url, "event_types": list(EVENT_TYPES), "send_name": True, "send_photo": True}
        await ViberApi(self.http, account, _REGISTER_TIMEOUT_S).ask("set_webhook", wanted)
        return f"Viber now posts to {url}."

    def _api(self, account: Account) -> ViberApi:
        return ViberApi(self.http, account, self.timeout_s)


ADAPTER = ViberAdapter


def _token(found: str | None) -> str:
    if found is None:
        raise SendFailed(Failure.UNCERTAIN, "Viber answered without naming the message.")
    return found


def _partly(failed: SendFailed, sent: int, parts: int) -> SendFailed:
    """A message of which a part is out must not be repeated as a whole: what could be retried becomes uncertain."""
    if not sent or not CONSEQUENCES[failed.failure].retry:
        return failed
    detail = f"{sent} of {parts} parts were sent, then: {failed}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=failed.provider_code)
