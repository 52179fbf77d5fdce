"""The contract of a channel. What is not `async` is pure: values in, values out."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from base.errors import RapportError, Refused
from channels.capabilities import Capabilities
from channels.vocabulary import (
    AnyEvent,
    ApprovedTemplate,
    Attachment,
    MessageReceived,
    OutboundMessage,
    Person,
    SendReceipt,
)

ChannelKind = Literal["email", "chat", "social", "sms", "shop", "tracking"]


class AccountSettings(BaseModel):
    """Base of each provider's settings. Secret fields are `SecretStr`; that is what makes them write-only."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


@dataclass(frozen=True)
class Account:
    """A connected channel account with its secrets opened; lives only in memory, its repr shows none of them."""

    channel_id: str
    provider: str
    name: str
    settings: Any = field(repr=False)
    #: Secrets still accepted by `verify` during rotation: {field: (older value, …)}.
    former_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    #: Public address of this deployment, e.g. to rebuild the URL a provider signed.
    base_url: str = ""

    def secrets(self, name: str) -> tuple[str, ...]:
        """The current value of secret `name` and those still accepted; empty when it was never set. For `verify`."""
        value = getattr(self.settings, name, None)
        current = value.get_secret_value() if value is not None else ""
        return tuple(each for each in (current, *self.former_secrets.get(name, ())) if each)

    def secret(self, name: str) -> str | None:
        """The value of secret `name` as it is now, for calls of ours; None when there is none.

        A replaced or removed one never leaves the house: it may belong to another host than the one now set.
        """
        value = getattr(self.settings, name, None)
        return (value.get_secret_value() or None) if value is not None else None


@dataclass(frozen=True)
class Delivery:
    """One request of a provider, exactly as received. Header names are lower-case; each has all its values."""

    method: str
    body: bytes = field(repr=False)
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    received_at: datetime | None = None

    def header(self, name: str) -> str | None:
        """The one value of a header; None when it is missing *or repeated* (a repeated signature is no signature)."""
        values = self.headers.get(name.lower(), ())
        return values[0] if len(values) == 1 else None

    def param(self, name: str) -> str | None:
        """The one value of a query parameter; None when missing or repeated."""
        values = self.query.get(name, ())
        return values[0] if len(values) == 1 else None


@dataclass(frozen=True)
class Answer:
    """What a provider wants to read back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


class Unreadable(RapportError):
    """The bytes were signed but are not what this provider sends (no JSON, no XML). The delivery is quarantined."""

    code = "unreadable"


class Unverified(Refused):
    """The request does not prove that it comes from the provider. Nothing of it is kept."""

    code = "unverified"


@dataclass(frozen=True)
class SetupStep:
    """One thing a person does to connect the channel; `{webhook_url}` is replaced."""

    text: str
    link: str | None = None


@dataclass(frozen=True)
class Card:
    """How a provider presents itself; the desk draws gallery and form from it. Texts are English msgids."""

    provider: str
    label: str
    kind: ChannelKind
    summary: str
    settings: type[AccountSettings]
    steps: tuple[SetupStep, ...] = ()
    documentation: tuple[str, ...] = ()
    #: What to copy into one's own pages; `{base_url}` and `{channel_id}` are replaced. Nobody posts to such a channel.
    embed: str | None = None
    #: Two letters and a hue (0–359) for the provider's own mark; we show no logos.
    mark: str = "··"
    hue: int = 210
    #: The secret setting by which deliveries to a shared address find their account, where they bring nothing else.
    found_by: str | None = None


class HttpAnswer(Protocol):
    """What the outbound client gives back."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...

    def json(self) -> Any: ...


class Http(Protocol):
    """The outbound client as adapters see it (`base.http.HttpClient`). Raises `base.http.HttpFailed`."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: bytes | None = None,
        form: Mapping[str, str] | None = None,
        timeout_s: float = 15.0,
        max_bytes: int = 1_000_000,
    ) -> HttpAnswer: ...


@dataclass(frozen=True)
class Page:
    """What one poll brought. `cursor`: where the next begins; kept only once all `deliveries` are in the journal."""

    deliveries: tuple[Delivery, ...]
    cursor: str
    #: There is more to fetch right now.
    more: bool = False


class Adapter(ABC):
    """One provider. An instance is stateless apart from kept-alive connections and is shared by all accounts."""

    card: ClassVar[Card]
    capabilities: ClassVar[Capabilities]
    #: Largest webhook body taken, bytes.
    max_body_bytes: ClassVar[int] = 3_000_000

    def __init__(self, http: Http) -> None:
        self.http = http

    def capabilities_for(self, external_id: str | None) -> Capabilities:
        """What one address can be sent, where an account reaches several networks. Else the provider's."""
        return self.capabilities

    def address_of(self, account: Account, kind: str, value: str) -> str | None:
        """The external id by which somebody known otherwise (`phone`: E.164, `customer_id`) is written to first, the
        one they will answer by; None: not on this account. Mail addresses are their own."""
        return None

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """Answer a challenge request; None when it is none. Raises `Unverified` for a wrong challenge token."""
        return None

    async def prepare(self, account: Account, delivery: Delivery) -> None:
        """Fetch what `verify` needs and does not have yet: the certificate a provider signs with.

        Called before `verify`, for bytes that nobody vouches for: ask the provider's own hosts alone, keep what they
        answer, bound what a stranger can cause. Raises `Unverified`, or `Unavailable`: the provider comes again.
        """
        return None

    async def confirm(self, account: Account, delivery: Delivery) -> None:
        """Call the provider back, where a verified handshake asks for it. Raises `Unavailable`: it comes again."""
        return None

    @abstractmethod
    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Return when the raw bytes prove their origin, else raise `Unverified`. Constant time; no secret, no pass."""

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The provider's unique id of this delivery; where it has none, a hash of the raw body."""
        return hashlib.sha256(delivery.body).hexdigest()

    @abstractmethod
    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """*Every* item of the batch as an event of its own. Raises only `Unreadable`."""

    def locate(self, delivery: Delivery) -> frozenset[tuple[str, str]]:
        """(setting name, value) of every account named in a delivery to a shared URL; empty: not shared."""
        return frozenset()

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """What to answer once the delivery is kept."""
        return Answer()

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Hand over one message. Raises `SendFailed`, nothing else. May be called concurrently."""
        raise NotImplementedError(f"{self.card.provider} receives only")

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Set `message.reaction` on a message of theirs, in place of an earlier one of ours, or take it away. The same
        again is the same. Raises `SendFailed`, nothing else."""
        raise NotImplementedError(f"{self.card.provider} carries no reactions")

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """Fetch an inbound file: its bytes and media type. Raises `SendFailed` with the same reasons as `send`."""
        raise NotImplementedError(f"{self.card.provider} has no files")

    def poll_every_s(self, account: Account) -> float | None:
        """Seconds between two polls of this account; None: everything comes by webhook."""
        return None

    async def poll(self, account: Account, cursor: str | None, hint: str | None) -> Page:
        """Fetch what has come since `cursor` (None: never asked before). `hint`: from a `FetchWanted` event.

        One poll of an account at a time; the same page may be fetched again after a crash. Raises `SendFailed`.
        """
        raise NotImplementedError(f"{self.card.provider} is not polled")

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name and avatar, where the platform tells. None when it does not know."""
        return None

    async def templates(self, account: Account) -> tuple[ApprovedTemplate, ...]:
        """All templates the platform keeps for this account, where it keeps any. Raises `SendFailed`."""
        raise NotImplementedError(f"{self.card.provider} keeps no list of templates")

    async def check(self, account: Account) -> str:
        """Try the credentials without sending anything; return what was found, raise `SendFailed` otherwise."""
        return "Settings are complete. This provider has no call to test them with."

    def wants_acknowledgement(self, event: AnyEvent) -> bool:
        """True for events that `acknowledge` should be called for; by default a pressed button. Pure and cheap."""
        return isinstance(event, MessageReceived) and event.postback is not None

    async def acknowledge(self, account: Account, event: AnyEvent) -> None:
        """Answer `event` towards the provider at once: end the waiting sign on a button, use up a welcome code.

        Called at most once for a delivery, as soon as it has been carried out, also when that delivery is processed
        again later. Best effort and worth no retry: raises `SendFailed`, which the caller may drop.
        """
        return None

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Have the provider post to `url` from now on; a sentence of what was set, or None: a person must do it.

        May be called again. Raises `SendFailed` when the provider refuses.
        """
        return None

    async def close(self) -> None:  # noqa: B027 - most adapters keep nothing open
        """Let go of kept-alive connections."""


def settings_schema(card: Card) -> dict[str, Any]:
    """JSON schema of a provider's settings; secret fields carry `writeOnly: true`."""
    return card.settings.model_json_schema()
