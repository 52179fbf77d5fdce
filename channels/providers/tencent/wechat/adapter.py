"""The WeChat Official Account adapter: the encrypted envelope inward, service and template messages outward."""

from __future__ import annotations

from typing import ClassVar

from channels.adapter import Account, Answer, Card, Delivery, Unreadable
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.tencent.api import Api, TokenCall
from channels.providers.tencent.callback import open_envelope, plain_challenge, sealed_answer
from channels.providers.tencent.crypto import Undecipherable
from channels.providers.tencent.markup import word
from channels.providers.tencent.parts import Part, hand_over
from channels.providers.tencent.platform import TencentAdapter, fresh
from channels.providers.tencent.wechat.card import CAPABILITIES, CARD, WeChatSettings
from channels.providers.tencent.wechat.compose import service_messages, template_body
from channels.providers.tencent.wechat.failures import CODES
from channels.providers.tencent.wechat.parse import parse_fields
from channels.providers.tencent.wechat.reply import text_reply
from channels.providers.tencent.wechat.templates import all_templates, fields_of
from channels.reading import integer, text
from channels.vocabulary import (
    AnyEvent,
    ApprovedTemplate,
    OutboundMessage,
    Person,
    SendReceipt,
    TemplateCall,
    Tracked,
)

_SEND = "/cgi-bin/message/custom/send"
#: How long after a follow a service message may be sent.
_WELCOME_WITHIN_S = 55.0


class WeChatAdapter(TencentAdapter):
    """One Official Account per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def receive_id(self, account: Account) -> str:
        """The AppID."""
        settings: WeChatSettings = account.settings
        return settings.app_id

    def api(self, account: Account) -> Api:
        """With the stable token, which several programs may hold at a time."""
        settings: WeChatSettings = account.settings
        secret = settings.app_secret.get_secret_value()
        ask = {"grant_type": "client_credential", "appid": settings.app_id, "secret": secret, "force_refresh": False}
        call = TokenCall("/cgi-bin/stable_token", {}, ask)
        return Api(self.http, self._tokens, settings.api_base, call, secret, CODES, self.timeout_s)

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """WeChat's question whether the address is ours; not encrypted in any mode."""
        return plain_challenge(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.tencent.wechat.parse`."""
        opened = open_envelope(account, delivery, self.receive_id(account))
        return parse_fields(account.channel_id, opened.fields, delivery)

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """`success`; or the welcome of a new follower as a passive reply, sealed like the delivery itself."""
        settings: WeChatSettings = account.settings
        if settings.welcome_as != "reply" or not settings.welcome_text:
            return super().accepted(account, delivery)
        try:
            fields = open_envelope(account, delivery, self.receive_id(account)).fields
            if text(fields.get("Event")) == "subscribe":
                reply = text_reply(fields, settings.welcome_text, delivery)
                return sealed_answer(account, delivery, reply, self.receive_id(account))
        except (Unreadable, Undecipherable):
            pass  # kept and shown in the log of deliveries; WeChat is not asked to come again
        return super().accepted(account, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Service messages, or a template. WeChat knows no idempotency for the former: a repeat is a second message."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        api, to = self.api(account), message.to.external_id
        if message.template is not None:
            return await self._send_template(api, to, message.template, message.key)

        async def send(place: int, part: Part) -> str:
            body = {"touser": to, "msgtype": part.msgtype, part.msgtype: part.content}
            answer = await api.post(_SEND, body, lost=Failure.UNCERTAIN)
            return word(answer.get("msgid")) or f"{message.key}:{place}"

        return SendReceipt(message_ids=await hand_over(api, service_messages(message), send))

    async def _send_template(self, api: Api, to: str, call: TemplateCall, key: str) -> SendReceipt:
        wanted = next((each for each in await all_templates(api) if each.name == call.name), None)
        if wanted is None:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The account has no template {call.name}.")
        body = template_body(to, call, fields_of(wanted.body), key)
        answer = await api.post("/cgi-bin/message/template/send", body, lost=Failure.UNCERTAIN)
        return SendReceipt(message_ids=(word(answer.get("msgid")) or key,))

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """The union id, which joins the person's accounts; name and picture where WeChat still tells them."""
        try:
            found = await self.api(account).get("/cgi-bin/user/info", openid=external_id, lang="zh_CN")
        except SendFailed as failed:
            if failed.failure in (Failure.RECIPIENT_UNREACHABLE, Failure.RECIPIENT_BLOCKED):
                return None
            raise
        union_id = text(found.get("unionid"))
        return Person(
            name=text(found.get("nickname")),
            avatar_url=text(found.get("headimgurl")),
            locale=text(found.get("language")),
            platform_ids=(f"wechat:{union_id}",) if union_id else (),
        )

    async def templates(self, account: Account) -> tuple[ApprovedTemplate, ...]:
        """Those in the account's own list."""
        return await all_templates(self.api(account))

    def wants_acknowledgement(self, event: AnyEvent) -> bool:
        """A new follower."""
        return isinstance(event, Tracked) and event.name == "wechat.followed"

    async def acknowledge(self, account: Account, event: AnyEvent) -> None:
        """The welcome, where one is set: a service message, which WeChat allows within a minute of the follow."""
        settings: WeChatSettings = account.settings
        if settings.welcome_as == "reply" or not settings.welcome_text:
            return
        if event.address is None or not fresh(event, _WELCOME_WITHIN_S):
            return
        welcome = {"msgtype": "text", "text": {"content": settings.welcome_text}}
        await self.api(account).post(_SEND, {"touser": event.address.external_id, **welcome})

    async def check(self, account: Account) -> str:
        """A token, and how many people follow the account."""
        found = await self.api(account).get("/cgi-bin/user/get")
        total = integer(found.get("total"))
        return f"WeChat accepts the AppID and its secret. {total or 0} people follow the account."


ADAPTER = WeChatAdapter
