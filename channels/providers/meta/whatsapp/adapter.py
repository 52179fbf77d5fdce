"""The WhatsApp adapter: ties parsing and composing to Meta's signature and Graph API."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import ClassVar
from urllib.parse import urlsplit

from channels.adapter import Account, Adapter, Answer, Card, Delivery
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.meta.files import form, media_type_of, sniffed
from channels.providers.meta.graph import Graph
from channels.providers.meta.parts import in_order
from channels.providers.meta.signature import answer_challenge, verify_hub
from channels.providers.meta.whatsapp.card import CAPABILITIES, CARD, WhatsAppSettings
from channels.providers.meta.whatsapp.compose import bodies, reaction_body, refuse_early
from channels.providers.meta.whatsapp.failures import failure_of
from channels.providers.meta.whatsapp.parse import named_accounts, parse_delivery
from channels.providers.meta.whatsapp.templates import all_templates
from channels.reading import Json, identifier, integer, items, mapping, text
from channels.vocabulary import AnyEvent, ApprovedTemplate, Attachment, OutboundMessage, SendReceipt

#: Whose machines hold inbound files. Our token goes nowhere else.
_MEDIA_HOSTS = (".fbsbx.com", ".fbcdn.net", ".facebook.com", ".whatsapp.net")


class WhatsAppAdapter(Adapter):
    """One business phone number per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    #: For one call of the Graph API.
    timeout_s: float = 15.0

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """Meta's GET challenge."""
        return answer_challenge(account, delivery)

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """The hub signature over the raw body; Meta signs no time."""
        verify_hub(account, delivery)

    def address_of(self, account: Account, kind: str, value: str) -> str | None:
        """The digits of a number, as they come back with the answer."""
        return value.removeprefix("+") if kind == "phone" else None

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """Messages, receipts, consent, renamings and notices of this account's number."""
        return parse_delivery(account.channel_id, account.settings, delivery)

    def locate(self, delivery: Delivery) -> frozenset[tuple[str, str]]:
        """The phone numbers named; a business account where a part names no number."""
        return named_accounts(delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One request for each part; `biz_opaque_callback_data` carries our key into every receipt."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        refuse_early(message)
        graph = self._graph(account)
        files = [await self._reference(graph, account, file) for file in message.attachments]
        requests = bodies(message, files, account.settings.list_label)
        sent = await in_order(requests, partial(self._post, graph, account))
        return SendReceipt(message_ids=sent)

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """A message of its own kind; an empty emoji takes ours away. Only `sent` and `failed` come back for it."""
        body = reaction_body(message)
        return SendReceipt(message_ids=(await self._post(self._graph(account), account, body),))

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """Ask where the file lies (an address for five minutes), then fetch it with the same token."""
        graph = self._graph(account)
        found: Json = {"url": attachment.url, "mime_type": attachment.media_type}
        if attachment.media_id is not None:
            found = await graph.get(attachment.media_id, phone_number_id=account.settings.phone_number_id)
        url, size = text(found.get("url")), integer(found.get("file_size"))
        if url is None or not _is_metas(url, account.settings.api_base):
            raise SendFailed(Failure.CONTENT_REJECTED, "Meta gave no address of its own for this file.")
        if size is not None and size > max_bytes:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The file has {size} bytes; {max_bytes} are taken.")
        answer = await graph.download(url, max_bytes)
        return answer.body, sniffed(answer.body, text(found.get("mime_type")), attachment.media_type)

    async def templates(self, account: Account) -> tuple[ApprovedTemplate, ...]:
        """Those of the business account, whatever their state."""
        return await all_templates(self._graph(account), account.settings.business_account_id)

    async def check(self, account: Account) -> str:
        """Ask Meta about the number: proves token, number and version in one call, and sends nothing."""
        fields = "display_phone_number,verified_name,quality_rating"
        found = await self._graph(account).get(account.settings.phone_number_id, fields=fields)
        name, number = text(found.get("verified_name")), text(found.get("display_phone_number"))
        if number is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Meta knows this ID, but it is not a phone number.")
        quality = text(found.get("quality_rating")) or "UNKNOWN"
        return f"Connected to {name or 'the number'} ({number}). Quality: {quality.lower()}."

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Subscribe the app to the business account, and have what concerns this number posted to `url`.

        https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/override (read 2026-11-28).
        Meta asks `url` with a challenge before it answers.
        """
        settings: WhatsAppSettings = account.settings
        graph = self._graph(account)
        await graph.post(settings.business_account_id, "subscribed_apps", json={})
        where = {"override_callback_uri": url, "verify_token": settings.verify_token.get_secret_value()}
        await graph.post(settings.phone_number_id, json={"webhook_configuration": where})
        return (
            f"Messages of this number now come to {url}. Notices about templates and the account go to the app's own "
            "callback address: enter it there too."
        )

    def _graph(self, account: Account) -> Graph:
        settings: WhatsAppSettings = account.settings
        token = settings.access_token.get_secret_value()
        return Graph(self.http, settings.api_base, settings.api_version, token, failure_of, self.timeout_s)

    async def _reference(self, graph: Graph, account: Account, file: Attachment) -> Json:
        """How a body names the file: by an earlier upload, by its address, or by uploading it now."""
        if file.media_id:
            return {"id": file.media_id}
        if file.url:
            return {"link": file.url}
        fields = {"messaging_product": "whatsapp", "type": media_type_of(file)}
        body, content_type = form(file, fields, name="file")
        answer = await graph.upload(account.settings.phone_number_id, "media", body=body, content_type=content_type)
        media_id = identifier(answer.get("id"))
        if media_id is None:
            raise SendFailed(Failure.TEMPORARY, "Meta took the file and did not name it.")
        return {"id": media_id}

    async def _post(self, graph: Graph, account: Account, body: Json) -> str:
        answer = await graph.post(account.settings.phone_number_id, "messages", json=body)
        message_id = next((identifier(mapping(each).get("id")) for each in items(answer.get("messages"))), None)
        if message_id is None:
            raise SendFailed(Failure.UNCERTAIN, "Meta answered without naming the message.")
        return message_id


ADAPTER = WhatsAppAdapter


def _is_metas(url: str, api_base: str) -> bool:
    try:
        asked, base = urlsplit(url), urlsplit(api_base)
        host = (asked.hostname or "").lower()
    except ValueError:
        return False
    if (asked.scheme, asked.netloc) == (base.scheme, base.netloc):
        return True
    return asked.scheme == "https" and host.endswith(_MEDIA_HOSTS)
