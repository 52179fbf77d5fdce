"""The adapter of WeCom customer service (微信客服): told by callback, fetched page by page, answered by key."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from channels.adapter import Account, Answer, Card, Delivery, Page
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.tencent.callback import open_envelope, sealed_challenge
from channels.providers.tencent.markup import word
from channels.providers.tencent.parts import Part, hand_over
from channels.providers.tencent.platform import fresh
from channels.providers.tencent.wecom_kf.card import CAPABILITIES, CARD, WeComKfSettings
from channels.providers.tencent.wecom_kf.compose import kf_messages, own_id
from channels.providers.tencent.wecom_kf.parse import PAGE, parse_notice, parse_page
from channels.providers.tencent.work import WorkAdapter, customer_of
from channels.reading import Json, integer, items, mapping, text
from channels.vocabulary import AnyEvent, OutboundMessage, Person, ProfileSeen, SendReceipt

#: WeCom holds back those who ask often without its token; this only catches what a lost callback would lose.
_SAFETY_S = 300.0
_PAGE_ITEMS, _PAGE_BYTES = 500, 8_000_000
#: The token of a callback has ended (ten minutes) or is no token.
_BAD_HINT = "95007"
#: A welcome code lives for 20 seconds; clocks differ.
_WELCOME_WITHIN_S = 60.0


class WeComKfAdapter(WorkAdapter):
    """One customer service account per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """WeCom's question whether the address is ours: the content of the encrypted echo."""
        return sealed_challenge(account, delivery, self.receive_id(account))

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """Of a page its bytes; of a callback what is inside."""
        if delivery.method == PAGE:
            return hashlib.sha256(delivery.body).hexdigest()
        return super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.tencent.wecom_kf.parse`."""
        settings: WeComKfSettings = account.settings
        if delivery.method == PAGE:
            return parse_page(account.channel_id, settings.open_kfid, delivery)
        opened = open_envelope(account, delivery, self.receive_id(account))
        return parse_notice(account.channel_id, settings.open_kfid, opened.fields, delivery)

    def poll_every_s(self, account: Account) -> float | None:
        """Every five minutes, beside the callbacks."""
        return _SAFETY_S

    async def poll(self, account: Account, cursor: str | None, hint: str | None) -> Page:
        """One page of kf/sync_msg. Without a cursor it begins with what is left of the last three days."""
        try:
            return await self._page(account, cursor, hint)
        except SendFailed as failed:
            if hint is None or failed.provider_code != _BAD_HINT:
                raise
            return await self._page(account, cursor, None)

    async def _page(self, account: Account, cursor: str | None, hint: str | None) -> Page:
        settings: WeComKfSettings = account.settings
        ask: Json = {"open_kfid": settings.open_kfid, "limit": _PAGE_ITEMS, "voice_format": 0}
        ask |= {"cursor": cursor} if cursor else {}
        ask |= {"token": hint} if hint else {}
        answer = await self.api(account).page("/cgi-bin/kf/sync_msg", ask, _PAGE_BYTES)
        found = mapping(answer.json())
        reached = text(found.get("next_cursor")) or cursor or ""
        more = integer(found.get("has_more")) == 1 and reached != (cursor or "")
        deliveries = (Delivery(method=PAGE, body=answer.body),) if items(found.get("msg_list")) else ()
        return Page(deliveries, reached, more)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Each part under an id of our own, which WeCom takes once."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        settings: WeComKfSettings = account.settings
        api = self.api(account)

        async def send(place: int, part: Part) -> str:
            msgid = own_id(message.key, place)
            body = {
                "touser": message.to.external_id,
                "open_kfid": settings.open_kfid,
                "msgid": msgid,
                "msgtype": part.msgtype,
                part.msgtype: part.content,
            }
            return word((await api.post("/cgi-bin/kf/send_msg", body, lost=Failure.UNCERTAIN)).get("msgid")) or msgid

        return SendReceipt(message_ids=await hand_over(api, kf_messages(message), send))

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name, picture and union id of a customer who wrote within 48 hours."""
        ask = {"external_userid_list": [external_id], "need_enter_session_context": 0}
        try:
            found = await self.api(account).post("/cgi-bin/kf/customer/batchget", ask)
        except SendFailed as failed:
            if failed.failure is Failure.RECIPIENT_UNREACHABLE:
                return None
            raise
        told = [mapping(each) for each in items(found.get("customer_list"))]
        own = next((each for each in told if each.get("external_userid") == external_id), None)
        return customer_of(external_id, own, "nickname") if own is not None else None

    def wants_acknowledgement(self, event: AnyEvent) -> bool:
        """Somebody opened the chat, with a welcome code."""
        return isinstance(event, ProfileSeen) and _welcome_code(event) is not None

    async def acknowledge(self, account: Account, event: AnyEvent) -> None:
        """The welcome, where one is set. WeCom takes one for each code."""
        settings: WeComKfSettings = account.settings
        if not settings.welcome_text or not fresh(event, _WELCOME_WITHIN_S):
            return
        body = {"code": _welcome_code(event), "msgtype": "text", "text": {"content": settings.welcome_text}}
        await self.api(account).post("/cgi-bin/kf/send_msg_on_event", body)

    async def check(self, account: Account) -> str:
        """A token, and the account among those that the app may manage."""
        settings: WeComKfSettings = account.settings
        found = await self.api(account).post("/cgi-bin/kf/account/list", {"offset": 0, "limit": 100})
        accounts = [mapping(each) for each in items(found.get("account_list"))]
        own = next((each for each in accounts if each.get("open_kfid") == settings.open_kfid), None)
        if own is None:
            raise SendFailed(
                Failure.ACCOUNT_PROBLEM,
                f"The secret is right, but the app may not manage {settings.open_kfid}, only {len(accounts)} others.",
            )
        return f"Connected to {text(own.get('name')) or settings.open_kfid}."


def _welcome_code(event: AnyEvent) -> str | None:
    return text(mapping(event.raw.get("event")).get("welcome_code"))


ADAPTER = WeComKfAdapter
