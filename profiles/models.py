"""One customer and the identities by which we know them, as stored and as shown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    computed_field,
)  # fmt: skip

from base.clock import to_millisecond
from base.errors import FieldError, WrongInput

#: Who said it, strongest first. A field keeps the value of the strongest source, then of the newest.
Source = Literal["person", "shop", "api", "form", "channel", "import"]
SOURCE_RANK: Mapping[str, int] = {"person": 0, "shop": 1, "api": 1, "form": 2, "channel": 3, "import": 4}

IdentityKind = Literal["customer_id", "phone", "email", "platform", "channel", "anonymous"]
#: Kinds that tell who somebody is and are no way to reach anybody.
NO_ADDRESS: frozenset[str] = frozenset({"customer_id", "platform", "anonymous"})
Strength = Literal["strong", "channel", "weak"]
STAGE_FIRST = "new"

TEXT_MAX, ATTRIBUTES_MAX, LIST_MAX, DEPTH_MAX = 2000, 200, 200, 4
_SAFE_KEY = re.compile(r"[^\s.$\x00-\x1f\x7f][^.$\x00-\x1f\x7f]{0,63}")


def iso_ms(value: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, as the public contract writes every time."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("needs a zone, e.g. a Z at the end")
    return to_millisecond(value)


#: An aware time, cut to the millisecond; in JSON always with milliseconds and `Z`.
Moment = Annotated[datetime, AfterValidator(_aware), PlainSerializer(iso_ms, return_type=str, when_used="json")]


def is_safe_key(key: str) -> bool:
    """Whether a client's key may be stored and become part of a field path: no dot, no `$`, no control character, no
    bare number (MongoDB would take it for a position in a list)."""
    return _SAFE_KEY.fullmatch(key) is not None and not (key.isascii() and key.isdigit()) and _encodable(key)


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def checked_attributes(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same attributes; raises ValueError for keys or values that could not be stored or asked for."""
    if len(value) > ATTRIBUTES_MAX:
        raise ValueError(f"at most {ATTRIBUTES_MAX} attributes")
    return {key: _checked(each, _checked_key(key), 1) for key, each in value.items()}


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not is_safe_key(key):
        raise ValueError(f"{str(key)[:40]!r} cannot be a name: 1 to 64 characters, no dot, no $, not only digits")
    return key


def _checked(value: Any, path: str, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise ValueError(f"{path}: nested too deeply")
    if isinstance(value, Mapping):
        if len(value) > ATTRIBUTES_MAX:
            raise ValueError(f"{path}: too many keys")
        return {_checked_key(key): _checked(each, f"{path}.{key}", depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        if len(value) > LIST_MAX:
            raise ValueError(f"{path}: at most {LIST_MAX} values in a list")
        return [_checked(each, path, depth + 1) for each in value]
    return _checked_scalar(value, path)


def _checked_scalar(value: Any, path: str) -> Any:
    if isinstance(value, str) and (len(value) > TEXT_MAX or not _encodable(value)):
        raise ValueError(f"{path}: a text of at most {TEXT_MAX} valid characters")
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise ValueError(f"{path}: the number is too large")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path}: not a finite number")
    if isinstance(value, datetime):
        return _aware(value)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise ValueError(f"{path}: {type(value).__name__} cannot be stored")
    return value


Attributes = Annotated[
    dict[str, Any], BeforeValidator(lambda value: _as_mapping(value)), AfterValidator(checked_attributes)
]


def _as_mapping(value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError("needs an object")
    return dict(value)


#: Characters of a key that are looked at: enough to find those that are kept behind any spaces.
_KEY_READ = 256


def storable(value: Any, depth: int = 0) -> Any:
    """Anything a stranger's JSON may hold, in a form MongoDB takes: what cannot be kept is cut, never refused.

    Dots and `$` in keys become `_`, so that every key can be asked for by a rule.
    """
    if depth > 8:
        return None
    if value is None or (type(value) is str and len(value) <= 20_000 and value.isascii()):
        return value  # nearly everything is; to ask what is a mapping takes longer
    if isinstance(value, Mapping):
        items = list(value.items())[:500]
        return {_storable_key(str(key)[:_KEY_READ]): storable(each, depth + 1) for key, each in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(each, depth + 1) for each in list(value)[:500]]
    if isinstance(value, str):
        return value[:20_000].encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return to_millisecond(value) if value.tzinfo else to_millisecond(value.replace(tzinfo=UTC))
    return str(value)[:20_000]


@lru_cache(maxsize=2048)
def _storable_key(key: str) -> str:
    plain = re.sub(r"[.$\x00-\x1f\x7f]", "_", key.encode("utf-8", "replace").decode()).strip()[:64]
    return plain if is_safe_key(plain) else f"_{plain}"[:64]


def plain(value: Any) -> Any:
    """JSON values of whatever is stored; times as `iso_ms` writes them."""
    if isinstance(value, datetime):
        return iso_ms(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


class Stored(BaseModel):
    """A document read back. Fields that a later version wrote are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Input(BaseModel):
    """What a caller gives. Unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Contact(Stored):
    """An e-mail address or phone number on the profile. `value` is normalised, `raw` as it was written."""

    value: str
    verified: bool = False
    primary: bool = False
    source: str = "channel"
    raw: str | None = None


class Money(Stored):
    """An amount in the smallest unit of its currency."""

    amount_minor: int
    currency: str


def _as_money_list(revenue: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"amount_minor": amount, "currency": currency} for currency, amount in sorted(revenue.items())]


#: `{"EUR": minor}` in the database, a list of money in JSON.
Revenue = Annotated[dict[str, int], PlainSerializer(_as_money_list, return_type=list[dict[str, Any]], when_used="json")]


class OrderSummary(Stored):
    """Counted anew from the orders at each change, never added to.

    `count`: orders that stand (placed, not cancelled, failed or refunded); `revenue`: what was paid, less refunds.
    """

    count: int = 0
    revenue: Revenue = Field(default_factory=dict)
    #: The amounts of `revenue` without their currencies, for rules that ask for any.
    revenue_minor: list[int] = Field(default_factory=list)
    first_at: Moment | None = None
    last_at: Moment | None = None


class ScorePart(Stored):
    """What one rule gives to the score. `name`: empty for what was added by hand, the reason of what was given for one;
    `until`: when that goes."""

    rule_id: str
    name: str = ""
    points: int
    until: Moment | None = None


class ConsentState(Stored):
    """What is effective for one address and purpose. `channel`: provider, or `email`/`phone` for a bare address.

    `pending`: a yes that waits for its confirmation and is none yet; `until`: a denial that is a pause.
    """

    address_key: str
    channel: str
    purpose: str
    state: Literal["granted", "denied", "pending"]
    at: Moment
    until: Moment | None = None


class Point(Stored):
    """GeoJSON: longitude first."""

    type: Literal["Point"] = "Point"
    coordinates: tuple[float, float]


class FollowUp(Stored):
    """What is to be done next with a person. `assignee_id` None: whoever takes it; `by` set it."""

    id: str
    at: Moment
    text: str
    assignee_id: str | None = None
    by: str | None = None
    set_at: Moment | None = None


class PostalAddress(Stored):
    """Where post goes, taken as a whole: parts of two addresses are no address. `street` may have lines; `country` is
    two letters (ISO 3166-1)."""

    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    region: str | None = None
    country: str | None = None


class Profile(Stored):
    """One customer. `merged_from`: the id that was asked for, when it has been merged into this one."""

    id: str = Field(alias="_id")
    name: str | None = None
    emails: list[Contact] = Field(default_factory=list)
    phones: list[Contact] = Field(default_factory=list)
    handles: list[str] = Field(default_factory=list)
    avatar_url: str | None = None
    tags: list[str] = Field(default_factory=list)
    roles: list[str] = Field(default_factory=list)
    stage: str = STAGE_FIRST
    stage_since: Moment | None = None
    tier: str | None = None
    #: Who decides the tier: the rules, or a person until it is released.
    tier_source: Literal["rule", "person"] | None = None
    tier_since: Moment | None = None
    tier_by_rule: str | None = None
    score: int = 0
    #: Why: what each rule gave, and what was added by hand (`manual`). Their sum, held between 0 and 100, is the score.
    score_parts: list[ScorePart] = Field(default_factory=list)
    locale: str | None = None
    time_zone: str | None = None
    location: Point | None = None
    address: PostalAddress | None = None
    owner_id: str | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    orders: OrderSummary = Field(default_factory=OrderSummary)
    #: Recency, frequency and money from 1 to 5 (`r`, `f`, `m`), their `total` and `code`; none before the first order.
    rfm: dict[str, Any] | None = None
    #: What was read off what the person did (`profiles.traits`).
    traits: dict[str, Any] = Field(default_factory=dict)
    profiling_off: bool = False
    shut_out: ShutOut | None = None
    consents: list[ConsentState] = Field(default_factory=list)
    reachable_on: list[str] = Field(default_factory=list)
    segments: list[str] = Field(default_factory=list)
    first_touch: dict[str, Any] | None = None
    last_touch: dict[str, Any] | None = None
    next_follow_up: FollowUp | None = None
    created_at: Moment
    updated_at: Moment
    last_seen_at: Moment | None = None
    rev: int = 0
    merged_from: str | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def display_name(self) -> str:
        """What to call them: name, else handle, else address; never empty."""
        return display_name(self.name, self.handles, self.emails, self.phones)

    @property
    def email(self) -> str | None:
        """The address to write to: primary, else the first."""
        return _first_value(self.emails)

    @property
    def phone(self) -> str | None:
        """The number to call: primary, else the first."""
        return _first_value(self.phones)

    def document(self) -> dict[str, Any]:
        """The shape that is stored, for rules in memory."""
        return self.model_dump(by_alias=True, exclude={"display_name", "merged_from"})

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        hidden: dict[str, Any] = {"segments": True, "rev": True, "orders": {"revenue_minor"}}
        shown = self.model_dump(mode="json", by_alias=False, exclude=hidden)
        free = ("attributes", "first_touch", "last_touch", "rfm", "traits")
        return shown | {name: plain(getattr(self, name)) for name in free}


def display_name(name: str | None, handles: list[str], emails: list[Contact], phones: list[Contact]) -> str:
    """The best there is to call somebody by."""
    first = name or (handles[0] if handles else None) or _first_value(emails) or _first_value(phones)
    return first or "Unknown person"


def _first_value(contacts: list[Contact]) -> str | None:
    primary = next((contact.value for contact in contacts if contact.primary), None)
    return primary or (contacts[0].value if contacts else None)


class Suppression(Stored):
    """Why nothing may be sent to this address any more."""

    reason: str
    at: Moment


#: Reason of a suppression, and of what follows from it: somebody of ours shut the person out.
SHUT_OUT = "shut_out"


class ShutOut(Stored):
    """That somebody of ours wants to hear no more of a person. `act_id`: what made spam of what was open."""

    at: Moment
    by: str | None
    act_id: str


class Release(Stored):
    """That a person at the desk let such an address be used again, and what had stood against it."""

    reason: str
    since: Moment
    by: str | None
    at: Moment


class Identity(Stored):
    """One way to know and reach a person; replies go to the identity of their conversation for ever.

    `key` is unique; `address_key` is where consent hangs: the same for all identities that are the same mail address
    or the same proven number, else `key` itself. `external_id` is the current id to send to: it differs from the key
    when the provider moved the person. `evidence`: the key by which it was joined to its profile.
    """

    id: str = Field(alias="_id")
    key: str
    address_key: str
    kind: IdentityKind
    strength: Strength
    verified: bool = False
    profile_id: str
    channel_id: str | None = None
    provider: str | None = None
    external_id: str | None = None
    value: str | None = None
    handle: str | None = None
    display_name: str | None = None
    avatar_url: str | None = None
    reachable: bool = True
    left_at: Moment | None = None
    suppressed: Suppression | None = None
    released: Release | None = None
    last_inbound_at: Moment | None = None
    window_sends: int = 0
    first_seen_at: Moment
    last_seen_at: Moment | None = None
    evidence: dict[str, Any] | None = None
    former_external_ids: list[str] = Field(default_factory=list)

    @property
    def channel_label(self) -> str:
        """The word rules use for it: `email`, `phone`, the provider's name, else its kind."""
        return channel_label(self.address_key, self.provider, self.kind)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        return self.model_dump(mode="json", by_alias=False)


def channel_label(address_key: str, provider: str | None, kind: str) -> str:
    """The word for a channel in rules about consent and reach."""
    if address_key.startswith("email:"):
        return "email"
    return provider or kind


class IdentityRef(Input):
    """How a caller names a person. `verified` False: somebody typed it, nobody proved it."""

    kind: IdentityKind
    value: str = Field(min_length=1, max_length=512)
    channel_id: str | None = None
    verified: bool = True


_KINDS = ("customer_id", "phone", "email", "platform", "anonymous")


def parse_identity(text: str) -> IdentityRef:
    """`email:anna@example.com`, `phone:+49…`, `customer_id:…`, `anonymous:…`, or `chn_…:external id`.

    Raises `WrongInput`.
    """
    kind, _, value = text.strip().partition(":")
    if kind == "channel":
        kind, _, value = value.partition(":")
    try:
        if value and kind in _KINDS:
            return IdentityRef(kind=kind, value=value)  # type: ignore[arg-type]
        if value and kind.startswith("chn_"):
            return IdentityRef(kind="channel", value=value, channel_id=kind)
    except ValueError as error:
        raise _no_identity() from error
    raise _no_identity()


def _no_identity() -> WrongInput:
    sentence = "An identity looks like email:anna@example.com, phone:+491701234567, customer_id:42 or chn_…:id."
    return WrongInput(sentence, [FieldError("identity", sentence)])


def _as_ref(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_identity(value)
    except WrongInput as error:
        raise ValueError(str(error)) from error


#: In JSON either an object or the short text form.
AnyIdentity = Annotated[IdentityRef, BeforeValidator(_as_ref)]


@dataclass(frozen=True)
class NewEvent:
    """Something that happened, to be kept on the person's timeline and acted upon. `dedupe` makes it unique."""

    name: str
    dedupe: str
    occurred_at: datetime
    profile_id: str | None = None
    identity_id: str | None = None
    channel_id: str | None = None
    conversation_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    #: Kept on the timeline, and nothing begins because of it.
    quiet: bool = False


class Event(Stored):
    """A kept event."""

    id: str = Field(alias="_id")
    name: str
    dedupe: str
    occurred_at: Moment
    received_at: Moment
    profile_id: str | None = None
    identity_id: str | None = None
    channel_id: str | None = None
    conversation_id: str | None = None
    properties: dict[str, Any] = Field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The shape that rules on events look at."""
        return self.model_dump(by_alias=True)

    def to_json(self) -> dict[str, Any]:
        """As the API shows it."""
        shown = self.model_dump(mode="json", by_alias=False, exclude={"dedupe"})
        return shown | {"properties": plain(self.properties)}


@dataclass(frozen=True)
class Dispute:
    """A key that spoke for another profile than the one it came with. `reason`: `other_profile`, `unverified`,
    `proved_elsewhere`, `limit`."""

    profile_id: str
    other_id: str
    kind: str
    key: str
    reason: str = "other_profile"
    #: The key came from where it was proved, and not from whoever wrote it down.
    proved: bool = False
    #: Somebody who was only a visitor so far may have said who it is: see `profiles.visitors`.
    visitor: bool = False
