"""The provider `woocommerce`: a shop whose orders and customers are heard of. It receives only.

https://woocommerce.com/document/webhooks/ (by the facts file, section 14, read 2026-11-28)
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar

from base.signing import hmac_b64, same
from channels.adapter import Account, Adapter, Answer, Card, Delivery, SetupStep, Unverified
from channels.capabilities import Capabilities
from channels.commerce import short, takes_no_messages, web_link
from channels.failures import Failure, SendFailed
from channels.providers.woocommerce.api import ask
from channels.providers.woocommerce.parse import SUBSCRIBED, delivery_id, parse_delivery
from channels.providers.woocommerce.settings import WooSettings
from channels.reading import Json, identifier, items, mapping, text
from channels.vocabulary import AnyEvent, OutboundMessage, Person, SendReceipt

SIGNATURE = "x-wc-webhook-signature"
_PAGE = "https://woocommerce.com/document/webhooks/"
_API = "https://woocommerce.github.io/woocommerce-rest-api-docs/"
#: The test that WooCommerce posts when a webhook is saved: a form, unsigned.
_PING = re.compile(rb"webhook_id=[0-9]{1,20}")
_PAGE_SIZE = 100


class WooAdapter(Adapter):
    """One shop is one account."""

    card: ClassVar[Card] = Card(
        provider="woocommerce",
        label="WooCommerce",
        kind="shop",
        summary="Orders, refunds and customers of a WooCommerce shop.",
        settings=WooSettings,
        steps=(
            SetupStep("Make a webhook secret: 32 random letters and digits."),
            SetupStep(
                "In WordPress open WooCommerce, Settings, Advanced, REST API; add a key that may read and write.",
                "https://woocommerce.com/document/woocommerce-rest-api/",
            ),
            SetupStep("Enter the shop's address, the secret and both parts of the key here, and save."),
            SetupStep(
                "Let us register {webhook_url}; or add webhooks yourself under Advanced, Webhooks: one for each topic "
                "of orders and customers, all with that address and that secret.",
                _PAGE,
            ),
            SetupStep("WooCommerce switches a webhook off after five failures: after an outage register again."),
        ),
        documentation=(_PAGE, _API),
        mark="Wo",
        hue=300,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=0, rate_per_s=1.0, sources=(f"{_PAGE} (by /shared/channels.md section 14, read 2026-11-28)",)
    )

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """The test ping is answered and has no effect."""
        return Answer() if _is_ping(delivery) else None

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """HMAC-SHA256 of the raw body in base64; no time is signed. Only the ping, which does nothing, may lack it."""
        if _is_ping(delivery):
            return
        given = delivery.header(SIGNATURE)
        matches = [same(given, hmac_b64(secret, delivery.body)) for secret in account.secrets("webhook_secret")]
        if not any(matches):
            raise Unverified("The signature does not match.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """Webhook and delivery id."""
        return delivery_id(delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.woocommerce.parse`."""
        return [] if _is_ping(delivery) else parse_delivery(account.channel_id, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Refused with a sentence, before any call."""
        raise takes_no_messages(self.card.label)

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name and avatar of a customer; None for a guest's mail address, and when the shop does not know the id."""
        if not (external_id.isascii() and external_id.isdecimal() and account.secret("consumer_key")):
            return None
        try:
            found = mapping(await ask(self.http, account, "GET", f"/customers/{external_id}"))
        except SendFailed as failed:
            if failed.provider_code in ("woocommerce_rest_invalid_id", "404"):
                return None
            raise
        parts = (short(found.get("first_name"), 100), short(found.get("last_name"), 99))
        name = " ".join(part for part in parts if part)
        return Person(name=name, avatar_url=web_link(found.get("avatar_url"))) if name else None

    async def check(self, account: Account) -> str:
        """Reads the shop's webhooks, and says which of ours are switched off."""
        if not account.secret("consumer_key"):
            return "Deliveries can be received. Without a consumer key nothing more can be tested."
        hooks = await self._hooks(account)
        here = [hook for hook in hooks if account.channel_id in (text(hook.get("delivery_url")) or "")]
        off = sorted(text(hook.get("topic")) or "?" for hook in here if hook.get("status") != "active")
        found = f"The key is accepted. {len(here)} webhooks of the shop post to this channel."
        return f"{found} Switched off: {', '.join(off)}; register them again."[:1000] if off else found

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """One webhook per topic. Those that stand get our secret and are switched on again; it may be called again."""
        secret = account.secret("webhook_secret")
        if secret is None:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Set a webhook secret first: without it no delivery is accepted.")
        standing = {
            text(hook.get("topic")): identifier(hook.get("id"))
            for hook in await self._hooks(account)
            if hook.get("delivery_url") == url
        }
        for topic in SUBSCRIBED:
            known = standing.get(topic)
            wanted: Json = {"status": "active", "secret": secret}
            if known is not None and known.isdecimal():
                await ask(self.http, account, "PUT", f"/webhooks/{known}", wanted)
            else:
                named = {"name": f"Rapport {topic}", "topic": topic, "delivery_url": url}
                await ask(self.http, account, "POST", "/webhooks", {**named, **wanted})
        return f"The shop now posts {len(SUBSCRIBED)} topics to {url}."

    async def _hooks(self, account: Account) -> list[Json]:
        found = await ask(self.http, account, "GET", f"/webhooks?per_page={_PAGE_SIZE}")
        return [mapping(each) for each in items(found)]


def _is_ping(delivery: Delivery) -> bool:
    """A signed delivery is never one."""
    return SIGNATURE not in delivery.headers and _PING.fullmatch(delivery.body) is not None


ADAPTER = WooAdapter
