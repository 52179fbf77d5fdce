"""The provider `segment`: tracking calls in Segment's shapes, to our own server. It receives only.

https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
(by the facts file, section 15, read 2026-11-28)
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field, SecretStr

from base.signing import same
from channels.adapter import Account, AccountSettings, Adapter, Answer, Card, Delivery, SetupStep, Unverified
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.segment.parse import CALL, MAX_BATCH_BYTES, parse_delivery
from channels.reading import basic_auth
from channels.vocabulary import AnyEvent, OutboundMessage, SendReceipt

_PAGE = "https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/"


class SegmentSettings(AccountSettings):
    """The key that the callers bring."""

    write_key: SecretStr = Field(
        title="Write key",
        min_length=8,
        max_length=200,
        description="Your own choice, hard to guess. Your websites, apps and servers bring it with every call.",
    )
    trusted: bool = Field(
        False,
        title="Only our own servers hold the key",
        description="Then mail addresses and numbers in traits count as proved. A key in a web page proves nothing.",
    )


class SegmentAdapter(Adapter):
    """One write key is one account."""

    card: ClassVar[Card] = Card(
        provider="segment",
        label="Segment",
        kind="tracking",
        summary="Tracking calls of your websites, apps and servers, through any Segment library.",
        settings=SegmentSettings,
        steps=(
            SetupStep("Make a write key: 32 random letters and digits. Use one for each source."),
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
        """See `channels.providers.segment.parse`."""
        settings: SegmentSettings = account.settings
        return parse_delivery(delivery, trusted=settings.trusted)

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """What Segment's libraries expect."""
        return Answer(body=b'{"success":true}', content_type="application/json")

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Refused with a sentence."""
        raise SendFailed(Failure.NOT_SUPPORTED, "Segment only receives: it is a source of events, not a way to write.")


ADAPTER = SegmentAdapter
