"""The WeCom adapter: an app that members write to, and that hears of the company's customers."""

from __future__ import annotations

from typing import ClassVar

from channels.adapter import Account, Answer, Card, Delivery
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.tencent.callback import open_envelope, sealed_challenge
from channels.providers.tencent.markup import word
from channels.providers.tencent.parts import Part, hand_over
from channels.providers.tencent.platform import fresh
from channels.providers.tencent.wecom.card import CAPABILITIES, CARD, WeComSettings
from channels.providers.tencent.wecom.compose import app_messages, is_customer
from channels.providers.tencent.wecom.parse import parse_fields
from channels.providers.tencent.work import WorkAdapter, customer_of
from channels.reading import Json, mapping, text
from channels.vocabulary import AnyEvent, MessageReceived, OutboundMessage, Person, ProfileSeen, SendReceipt, Tracked

#: A welcome code lives for 20 seconds; clocks differ.
_WELCOME_WITHIN_S = 60.0
_NOBODY = (Failure.RECIPIENT_UNREACHABLE, Failure.RECIPIENT_BLOCKED)


class WeComAdapter(WorkAdapter):
    """One app of one company per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """WeCom's question whether the address is ours: the content of the encrypted echo."""
        return sealed_challenge(account, delivery, self.receive_id(account))

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.tencent.wecom.parse`."""
        opened = open_envelope(account, delivery, self.receive_id(account))
        return parse_fields(account.channel_id, opened.fields, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """To one member. WeCom's own guard against doubles looks at the content and would swallow a second "OK"."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        settings: WeComSettings = account.settings
        api, to = self.api(account), message.to.external_id

        async def send(place: int, part: Part) -> str:
            body = {
                "touser": to,
                "agentid": int(settings.agent_id),
                "msgtype": part.msgtype,
                part.msgtype: part.content,
            }
            answer = await api.post("/cgi-bin/message/send", body, lost=Failure.UNCERTAIN)
            if word(answer.get("invaliduser")):
                raise SendFailed(
                    Failure.RECIPIENT_UNREACHABLE, "WeCom does not know this member, or the app is hidden from them."
                )
            return word(answer.get("msgid")) or f"{message.key}:{place}"

        return SendReceipt(message_ids=await hand_over(api, app_messages(message), send))

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """A customer by externalcontact/get, with the union id; a member by user/get."""
        api = self.api(account)
        try:
            if is_customer(external_id):
                found = await api.get("/cgi-bin/externalcontact/get", external_userid=external_id)
                return customer_of(external_id, mapping(found.get("external_contact")))
            return _member(await api.get("/cgi-bin/user/get", userid=external_id))
        except SendFailed as failed:
            if failed.failure in _NOBODY:
                return None
            raise

    def wants_acknowledgement(self, event: AnyEvent) -> bool:
        """A customer added with a welcome code (or who agreed to being kept), and a pressed button of a card."""
        if isinstance(event, ProfileSeen) or (isinstance(event, Tracked) and event.name == "wecom.audit_approved"):
            return word(event.raw.get("WelcomeCode")) is not None
        return isinstance(event, MessageReceived) and bool(event.extra.get("response_code"))

    async def acknowledge(self, account: Account, event: AnyEvent) -> None:
        """The welcome, where one is set; or the card, which shows that its button was heard."""
        settings: WeComSettings = account.settings
        if isinstance(event, MessageReceived):
            await self._mark_card(account, event)
        elif settings.welcome_text and fresh(event, _WELCOME_WITHIN_S):
            body = {"welcome_code": word(event.raw.get("WelcomeCode")), "text": {"content": settings.welcome_text}}
            await self.api(account).post("/cgi-bin/externalcontact/send_welcome_msg", body)

    async def _mark_card(self, account: Account, event: MessageReceived) -> None:
        if event.extra.get("card_type") != "button_interaction":
            return
        settings: WeComSettings = account.settings
        body = {
            "userids": [event.address.external_id],
            "agentid": int(settings.agent_id),
            "response_code": event.extra.get("response_code"),
            "button": {"replace_name": "✓"},
        }
        await self.api(account).post("/cgi-bin/message/update_template_card", body)

    async def check(self, account: Account) -> str:
        """A token, and the app by its number."""
        settings: WeComSettings = account.settings
        found = await self.api(account).get("/cgi-bin/agent/get", agentid=settings.agent_id)
        name = text(found.get("name")) or settings.agent_id
        return f"WeCom accepts the secret. The app is called {name}."


def _member(told: Json) -> Person:
    name, avatar = text(told.get("name")), text(told.get("avatar")) or text(told.get("thumb_avatar"))
    return Person(name=name, avatar_url=avatar)


ADAPTER = WeComAdapter
