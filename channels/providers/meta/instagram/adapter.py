"""The Instagram adapter: a professional account, its threads and the comments below its posts."""

from __future__ import annotations

from typing import ClassVar

from channels.adapter import Account, Card
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.meta.instagram.card import CAPABILITIES, CARD
from channels.providers.meta.instagram.comments import CHANGES, ELSEWHERE
from channels.providers.meta.messaging.channel import MessagingAdapter
from channels.providers.meta.messaging.compose import Dialect
from channels.providers.meta.messaging.items import Platform
from channels.reading import text


class InstagramAdapter(MessagingAdapter):
    """One professional account per channel."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    platform = Platform(object="instagram", setting="account_id", changes=CHANGES, elsewhere=ELSEWHERE)
    dialect = Dialect(label="Instagram", typed=False, metadata=False, quotes=False, uploads=False)
    profile_fields: ClassVar[dict[str, str]] = {"name": "name", "username": "username", "profile_pic": "avatar"}
    fields = (
        "messages", "message_reactions", "message_edit", "messaging_postbacks", "messaging_seen", "messaging_referral",
        "messaging_handover", "standby", "comments", "live_comments", "mentions",
    )  # fmt: skip

    def node(self, account: Account) -> str:
        """Whoever the token belongs to: the account, or the page it is linked to."""
        return "me"

    async def check(self, account: Account) -> str:
        """Ask for the account: proves token, account and version in one call, and sends nothing."""
        found = await self.setup_graph(account).get(account.settings.account_id, fields="username,name")
        username = text(found.get("username"))
        if username is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Meta knows this ID, but it is not an Instagram account.")
        return f"Connected to @{username}."


ADAPTER = InstagramAdapter
