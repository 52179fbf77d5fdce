"""The provider `shopify`: a shop whose orders and customers are heard of. It receives only.

https://shopify.dev/docs/apps/build/webhooks (by the facts file, section 14, read 2026-11-28)
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from base.signing import hmac_b64, same
from channels.adapter import Account, Adapter, Card, Delivery, SetupStep, Unverified
from channels.capabilities import Capabilities
from channels.commerce import short, takes_no_messages
from channels.failures import Failure, SendFailed
from channels.providers.shopify.admin import CREATE, CUSTOMER, LIST, SHOP, Admin
from channels.providers.shopify.frame import full_name, happening
from channels.providers.shopify.parse import EVENT_ID, SHOP_DOMAIN, SUBSCRIBED, TOPIC, WEBHOOK_ID, parse_delivery
from channels.providers.shopify.settings import ShopifySettings
from channels.reading import Json, items, mapping, text
from channels.vocabulary import AnyEvent, OutboundMessage, Person, SendReceipt

HMAC = "x-shopify-hmac-sha256"
_DOCS = "https://shopify.dev/docs"
#: Subscriptions of an app in one shop read at once; there is one per topic and address.
_LIST_MAX = 250


class ShopifyAdapter(Adapter):
    """One shop is one account."""

    card: ClassVar[Card] = Card(
        provider="shopify",
        label="Shopify",
        kind="shop",
        summary="Orders, parcels, refunds, checkouts and customers of a Shopify shop.",
        settings=ShopifySettings,
        steps=(
            SetupStep(
                "In Shopify's Dev Dashboard create an app, with the Admin API scopes read_orders, read_customers, "
                "read_fulfillments and read_checkouts, and ask for access to protected customer data.",
                "https://dev.shopify.com/dashboard/",
            ),
            SetupStep("Release a version, install the app in your shop, and copy client ID and client secret."),
            SetupStep("Enter both here with the .myshopify.com domain, and let us register {webhook_url}."),
            SetupStep(
                "An app for the App Store must name {webhook_url} for customers/data_request, customers/redact and "
                "shop/redact in its own configuration; these three cannot be registered from here.",
                f"{_DOCS}/apps/build/privacy-law-compliance",
            ),
        ),
        documentation=(f"{_DOCS}/apps/build/webhooks", f"{_DOCS}/api/admin-graphql"),
        mark="Sh",
        hue=95,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=0,
        rate_per_s=1.0,
        sources=(f"{_DOCS}/apps/build/webhooks (by /shared/channels.md section 14, read 2026-11-28)",),
    )

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """HMAC-SHA256 of the raw body in base64. Shopify signs no time and none of its other headers."""
        given = delivery.header(HMAC)
        matches = [same(given, hmac_b64(secret, delivery.body)) for secret in account.secrets("app_secret")]
        if not any(matches):
            raise Unverified("The signature does not match.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """What happened, with the topic: one happening is told under several topics."""
        event_id = delivery.header(EVENT_ID) or delivery.header(WEBHOOK_ID)
        return f"{happening(delivery.body, event_id)}:{(delivery.header(TOPIC) or '')[:100]}"

    def locate(self, delivery: Delivery) -> frozenset[tuple[str, str]]:
        """The shop, for apps that have one address for all their shops."""
        domain = _domain(delivery)
        return frozenset({("shop_domain", domain)}) if domain else frozenset()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.shopify.parse`."""
        settings: ShopifySettings = account.settings
        return parse_delivery(account.channel_id, delivery, theirs=_is_another(_domain(delivery), settings.shop_domain))

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Refused with a sentence, before any call."""
        raise takes_no_messages(self.card.label)

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """The name of a customer. None for a mail address or number, and when the shop does not know the id."""
        if not (external_id.isascii() and external_id.isdecimal() and Admin.is_open_to(account)):
            return None
        found = await Admin(self.http, account).ask(CUSTOMER, {"id": f"gid://shopify/Customer/{external_id}"})
        customer = mapping(found.get("customer"))
        name = full_name({"first_name": customer.get("firstName"), "last_name": customer.get("lastName")})
        return Person(name=name, locale=short(customer.get("locale"), 35)) if name else None

    async def check(self, account: Account) -> str:
        """Asks for the shop's name, and how many of our topics are registered."""
        if not Admin.is_open_to(account):
            return "Deliveries can be received. Without a client ID nothing more can be tested."
        admin = Admin(self.http, account)
        shop = mapping((await admin.ask(SHOP)).get("shop"))
        name, domain = short(shop.get("name"), 100) or "?", short(shop.get("myshopifyDomain"), 253)
        settings: ShopifySettings = account.settings
        if domain and _is_another(domain.lower(), settings.shop_domain):
            raise SendFailed(Failure.ACCOUNT_PROBLEM, f"The access token belongs to another shop: {domain}.")
        registered = {topic for topic, _ in await _subscriptions(admin)}
        return f"The token belongs to the shop {name!r}. Webhooks are registered for {len(registered)} topics."

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """One subscription per topic; those that stand already are left alone, so it may be called again."""
        admin = Admin(self.http, account)
        standing = await _subscriptions(admin)
        missing = [topic for topic in map(_enum, SUBSCRIBED) if (topic, url) not in standing]
        refused: list[str] = []
        for topic in missing:
            found = await admin.ask(CREATE, {"topic": topic, "wanted": {"uri": url, "format": "JSON"}})
            errors = items(mapping(found.get("webhookSubscriptionCreate")).get("userErrors"))
            refused += [f"{topic}: {short(mapping(each).get('message'), 200) or 'refused'}" for each in errors[:1]]
        if len(refused) == len(SUBSCRIBED):
            raise SendFailed(Failure.ACCOUNT_PROBLEM, f"Shopify registered none of the webhooks. {refused[0]}")
        done = f"Shopify now posts {len(SUBSCRIBED) - len(refused)} topics to {url}."
        return f"{done} Refused: {'; '.join(refused)}"[:2000] if refused else done


async def _subscriptions(admin: Admin) -> set[tuple[str, str]]:
    found = await admin.ask(LIST, {"first": _LIST_MAX})
    nodes = (mapping(each) for each in items(mapping(found.get("webhookSubscriptions")).get("nodes")))
    return {_pair(node) for node in nodes}


def _pair(node: Json) -> tuple[str, str]:
    return text(node.get("topic")) or "", text(node.get("uri")) or ""


def _enum(topic: str) -> str:
    """`orders/create` as GraphQL calls it."""
    return topic.replace("/", "_").upper()


def _domain(delivery: Delivery) -> str:
    return (delivery.header(SHOP_DOMAIN) or "").strip().lower()[:253]


def _is_another(told: str, ours: str) -> bool:
    """Two different permanent domains. A shop's public domain may well be another than the one it signs with."""
    permanent = ".myshopify.com"
    return told != ours and told.endswith(permanent) and ours.endswith(permanent)


ADAPTER = ShopifyAdapter
