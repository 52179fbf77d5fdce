"""The provider `segment`: tracking calls in Segment's shapes, to our own server. It receives only.

https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
(by the facts file, section 15, read 2026-11-28)
"""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr

from base.signing import same
from channels.adapter import (
    Account,
    AccountSettings,
    Adapter,
    Answer,
    Card,
    Delivery,
    SetupStep,
    Unreadable,
    Unverified,
)
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.origins import normal_origin
from channels.providers.segment.browsers import refused_calls
from channels.providers.segment.parse import CALL, MAX_BATCH_BYTES, parse_delivery
from channels.reading import Json, basic_auth, read_json
from channels.vocabulary import AnyEvent, OutboundMessage, SendReceipt

Origin = Annotated[str, AfterValidator(normal_origin)]
_PAGE = "https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/"


def _fresh_key() -> SecretStr:
    """Hard to guess, and good in the path of an address."""
    return SecretStr(secrets.token_hex(16))


class SegmentSettings(AccountSettings):
    """The key that the callers bring."""

    write_key: SecretStr = Field(
        default_factory=_fresh_key,
        title="Write key",
        min_length=8,
        max_length=200,
        description=(
            "Made for you when you leave it empty. Your websites, apps and servers bring it with every call; Website "
            "tracking shows it to copy."
        ),
    )
    allowed_origins: tuple[Origin, ...] = Field(
        default=(),
        max_length=100,
        title="Websites with the tracking script",
        description=(
            "Pages that may send with this key, separated by commas: https://www.example.com, or https://*.example.com "
            "for all hosts below it. Empty: none."
        ),
    )
    identity_secret: SecretStr = Field(
        default=SecretStr(""),
        title="Identity secret",
        description="Your server signs the id of a signed-in customer with it (HMAC-SHA256), as for the web chat.",
    )
    wait_for_consent: bool = Field(
        True,
        title="Wait for consent",
        description="The script stores and sends nothing before the page has called rapport.consent(true).",
    )
    honour_signals: bool = Field(
        True,
        title="Honour Do Not Track and Global Privacy Control",
        description="Such browsers are tracked only after rapport.consent(true).",
        json_schema_extra={"advanced": True},
    )
    storage: Literal["local", "cookie"] = Field(
        "local",
        title="Where the visitor's id is kept",
        description="local: in the browser's own storage; cookie: in a cookie of your website, shared by its pages.",
        json_schema_extra={"advanced": True},
    )
    trusted: bool = Field(
        False,
        title="Only our own servers hold the key",
        description="Then mail addresses and numbers in traits count as proved. A key in a web page proves nothing.",
    )

    @property
    def public(self) -> bool:
        """Whether the key stands in web pages, where everybody reads it."""
        return bool(self.allowed_origins) and not self.trusted


class SegmentAdapter(Adapter):
    """One write key is one account."""

    card: ClassVar[Card] = Card(
        provider="segment",
        label="Segment",
        kind="tracking",
        summary="Tracking calls of your websites, apps and servers, through any Segment library.",
        settings=SegmentSettings,
        steps=(
            SetupStep(
                "Use a write key of its own for each source. One is made for you when you leave the field empty."
            ),
            SetupStep(
                "In the Segment library of your source set that key, and as host (data plane) the address of this "
                "server: the calls go to /v1/track, /v1/identify, /v1/page, /v1/batch and so on.",
                _PAGE,
            ),
            SetupStep("Anything else that can post the same JSON may send it to {webhook_url}."),
        ),
        documentation=(_PAGE, "https://segment.com/docs/connections/spec/"),
        mark="Sg",
        hue=150,
        found_by="write_key",
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=0, rate_per_s=1.0, sources=(f"{_PAGE} (by /shared/channels.md section 15, read 2026-11-28)",)
    )
    max_body_bytes: ClassVar[int] = MAX_BATCH_BYTES

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """The write key as user of basic authentication; the password is not looked at, nothing is signed."""
        given = basic_auth(delivery.header("authorization"))
        user = given[0] if given is not None else None
        matches = [same(user, key) for key in account.secrets("write_key")]
        if not any(matches):
            raise Unverified("The write key is wrong.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """A hash of the body and of the path it came by: a bare `{"userId": …}` may be an identify and a page."""
        call, key = delivery.param(CALL), super().delivery_key(account, delivery)
        return f"{call[:20]}:{key}" if call else key

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.segment.parse`. A key that stands in the pages of our script is everybody's: whoever
        brings it, by whatever path, proves who somebody is by the hash alone."""
        settings: SegmentSettings = account.settings
        proofs = account.secrets("identity_secret")
        return parse_delivery(delivery, trusted=settings.trusted, secrets=proofs, public=settings.public)

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """What Segment's libraries expect; with a public key also which calls are kept as refused, and why."""
        told: Json = {"success": True}
        if account.settings.public and (refused := _refused(delivery.body)):
            told["refused"] = refused
        return Answer(body=json.dumps(told, separators=(",", ":")).encode(), content_type="application/json")

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Refused with a sentence."""
        raise SendFailed(Failure.NOT_SUPPORTED, "Segment only receives: it is a source of events, not a way to write.")


def _refused(body: bytes) -> list[Json]:
    try:
        return refused_calls(read_json(body))
    except Unreadable:
        return []


ADAPTER = SegmentAdapter
