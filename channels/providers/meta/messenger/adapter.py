"""The Messenger adapter: a Facebook page, its threads and what is said below its posts."""

from __future__ import annotations

from typing import ClassVar

from channels.adapter import Account, Card
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.meta.graph import Graph
from channels.providers.meta.messaging.channel import MessagingAdapter
from channels.providers.meta.messaging.compose import Dialect
from channels.providers.meta.messaging.items import Platform
from channels.providers.meta.messenger.card import CAPABILITIES, CARD, MessengerSettings
from channels.providers.meta.messenger.page import CHANGES, ELSEWHERE
from channels.reading import identifier, text


class MessengerAdapter(MessagingAdapter):
    """One Facebook page per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    platform = Platform(
        object="page", setting="page_id", changes=CHANGES, elsewhere=ELSEWHERE, another="another page of this app"
    )
    dialect = Dialect(label="Messenger", typed=True, metadata=True, quotes=True, uploads=True)
    profile_fields: ClassVar[dict[str, str]] = {"first_name": "first", "last_name": "last", "profile_pic": "avatar"}
    fields = (
        "messages", "message_echoes", "message_edits", "message_deliveries", "message_reads", "message_reactions",
        "messaging_postbacks", "messaging_referrals", "messaging_optins", "messaging_account_linking",
        "messaging_handovers", "messaging_policy_enforcement", "standby", "feed", "mention",
    )  # fmt: skip

    def node(self, account: Account) -> str:
        """The page."""
        page_id: str = account.settings.page_id
        return page_id

    async def check(self, account: Account) -> str:
        """Ask whose token it is: proves token, page and version in one call, and sends nothing."""
        found = await self.setup_graph(account).get("me", fields="id,name")
        name, page_id = text(found.get("name")) or "the page", identifier(found.get("id"))
        if page_id != account.settings.page_id:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, f"The token belongs to {name} ({page_id}), not to this page.")
        return f"Connected to {name}."

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Set the app's callback address, where its ID is known, and subscribe the page to the app."""
        settings: MessengerSettings = account.settings
        if not settings.app_id:
            return await super().register_webhook(account, url)
        wanted = {
            "object": self.platform.object,
            "callback_url": url,
            "verify_token": settings.verify_token.get_secret_value(),
            "fields": ",".join(self.fields),
        }
        token = f"{settings.app_id}|{settings.app_secret.get_secret_value()}"
        app = Graph(self.http, settings.api_base, settings.api_version, token, timeout_s=self.timeout_s)
        await app.post(settings.app_id, "subscriptions", json=wanted)
        await super().register_webhook(account, url)
        return f"Messenger now posts to {url}."


ADAPTER = MessengerAdapter
