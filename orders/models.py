"""Orders as we keep them, and what may be said of one. Simple on purpose: no stock, no accounting.

An order collects the milestones it has reached. Its status is the furthest of them, so events may arrive late, twice
or in any order and the end is always the same:

| status | rank | raises |
|---|---|---|
| checkout | 0 | checkout.started |
| pending (placed, not paid) | 10 | order.created |
| payment_failed | 15 | order.payment_failed |
| authorised | 18 | – |
| paid | 20 | order.paid |
| processing | 25 | – |
| fulfilled (handed to the carrier) | 30 | order.fulfilled |
| out_for_delivery | 35 | – |
| delivered | 40 | order.delivered |
| completed | 50 | – |
| cancelled | 90 | order.cancelled |
| partially_refunded | 92 | – |
| refunded | 95 | order.refunded |

Paid is a milestone of its own: cash on delivery is delivered first and paid later.

A checkout is an order that was not placed yet. The order that comes of it names it by `checkout_id` and takes its
place, with the same id of ours, so that whoever waits for the checkout hears that it was completed. Parcels and refunds
are kept one by one, by the shop's own ids, and make milestones of their own: the first parcel handed over is
`fulfilled`, the first that arrived `delivered`, money paid back `partially_refunded` and, once it is all, `refunded`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from profiles.edit import PostalAddressInput
from profiles.models import AnyIdentity, IdentityRef, Input, Money, Stored

Status = Literal[
    "checkout", "pending", "payment_failed", "authorised", "paid", "processing", "fulfilled", "out_for_delivery",
    "delivered", "completed", "cancelled", "partially_refunded", "refunded",
]  # fmt: skip
#: What became of one parcel.
FulfilmentStatus = Literal["pending", "fulfilled", "out_for_delivery", "delivered", "cancelled", "failed"]
RANK: dict[str, int] = {
    "checkout": 0, "pending": 10, "payment_failed": 15, "authorised": 18, "paid": 20, "processing": 25,
    "fulfilled": 30, "out_for_delivery": 35, "delivered": 40, "completed": 50, "cancelled": 90,
    "partially_refunded": 92, "refunded": 95,
}  # fmt: skip
RAISES: dict[str, str] = {
    "checkout": "checkout.started", "payment_failed": "order.payment_failed", "paid": "order.paid",
    "fulfilled": "order.fulfilled", "delivered": "order.delivered", "cancelled": "order.cancelled",
    "refunded": "order.refunded",
}  # fmt: skip
#: Other words for the same, as shops and programs use them.
SYNONYMS: dict[str, str] = {
    "unpaid": "pending", "placed": "pending", "authorized": "authorised", "shipped": "fulfilled",
    "canceled": "cancelled",
}  # fmt: skip
#: The customer has paid, whatever came after.
PAID = frozenset({"paid", "completed", "partially_refunded", "refunded"})
#: Nothing more is to be collected or praised.
CALLED_OFF = frozenset({"cancelled", "refunded"})


def _as_status(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    plain = value.strip().lower().replace("-", "_")
    return SYNONYMS.get(plain, plain)


#: A status or another word for it, whatever its case and hyphens.
StatusWord = Annotated[Status, BeforeValidator(_as_status)]
#: Whole cents.
Minor = Annotated[int, Field(ge=-(10**14), le=10**14, strict=True)]
Text = Annotated[str, Field(min_length=1, max_length=300)]
Link = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2000)]


def _as_time(value: Any) -> Any:
    """What is read before a whole order is judged is no JSON any more, and strict reading takes no texts for times."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return value


#: A time with its zone, as a value or in ISO 8601.
When = Annotated[AwareDatetime, BeforeValidator(_as_time)]


class InputMoney(Input):
    """An amount in the smallest unit of its currency."""

    amount_minor: int = Field(ge=-(10**14), le=10**14)
    currency: str = Field(pattern="^[A-Z]{3}$")


class LineInput(Input):
    """One product line."""

    name: Text
    quantity: int = Field(1, ge=1, le=1_000_000)
    sku: str | None = Field(None, max_length=120)
    product_id: str | None = Field(None, max_length=120)
    unit_price: InputMoney | None = None
    #: The same in cents of the order's currency, for callers that don't repeat it on each line.
    price_minor: Minor | None = None
    image_url: Link | None = None


class TrackingInput(Input):
    """Where the parcel is."""

    number: Text
    company: str | None = Field(None, max_length=120)
    url: Link | None = None


class Milestone(Input):
    """A status that was reached, and when."""

    status: StatusWord
    at: When


class FulfilmentInput(Input):
    """One parcel of an order. Of several pieces of news about it the latest `at` counts."""

    id: Text
    status: FulfilmentStatus
    at: When
    tracking: TrackingInput | None = None


class RefundInput(Input):
    """Money paid back once."""

    id: Text
    at: When
    amount: InputMoney | None = None
    reason: str | None = Field(None, max_length=500)


class OrderInput(Input):
    """What a shop or program says of an order. Only `external_id` is needed once the order is known."""

    external_id: Text
    #: What the customer knows it by (`#1001`), where that is another than `external_id`.
    number: str | None = Field(None, min_length=1, max_length=60)
    #: Who bought: `email:…`, `phone:…`, `customer_id:…`, `chn_…:id`, or an object. Needed for a new order.
    identity: AnyIdentity | None = None
    #: Further identities of the same person.
    identities: list[AnyIdentity] = Field(default_factory=list, max_length=10)
    customer_name: str | None = Field(None, max_length=200)
    #: Where it goes. It becomes the person's address, unless they or a colleague have given one; the order keeps none.
    shipping_address: PostalAddressInput | None = None
    status: StatusWord | None = None
    #: Further statuses the order is known to have reached, each with its own time.
    milestones: list[Milestone] = Field(default_factory=list, max_length=20)
    #: The shop's id of the checkout this order came from, or of the checkout that it still is.
    checkout_id: str | None = Field(None, min_length=1, max_length=200)
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    #: Money, or with `currency` a whole number of cents.
    total: InputMoney | None = None
    lines: list[LineInput] | None = Field(None, max_length=500)
    tracking: TrackingInput | None = None
    #: Parcels and refunds by the shop's ids; those not named stay.
    fulfilments: list[FulfilmentInput] = Field(default_factory=list, max_length=100)
    refunds: list[RefundInput] = Field(default_factory=list, max_length=200)
    placed_at: When | None = None
    #: When this became so at the source; older news never overwrite newer.
    occurred_at: When | None = None
    url: Link | None = None
    payment_url: Link | None = None
    source: str | None = Field(None, pattern=r"^[A-Za-z0-9_.:-]{1,60}$")
    #: A trial order: kept and shown, never counted, nothing follows from it.
    test: bool | None = None
    #: Taken out of the shop's books: kept, but neither counted nor reminded of. False when it was put back.
    removed: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_currency(cls, given: Any) -> Any:
        """Amounts given in cents alone take the order's currency."""
        currency = given.get("currency") if isinstance(given, dict) else None
        if not isinstance(currency, str):
            return given
        given = dict(given)
        if isinstance(given.get("total"), int) and not isinstance(given["total"], bool):
            given["total"] = {"amount_minor": given["total"], "currency": currency}
        if isinstance(given.get("lines"), list):
            given["lines"] = [_priced(line, currency) for line in given["lines"]]
        return given

    @model_validator(mode="after")
    def _one_currency(self) -> OrderInput:
        if self.total is not None and self.currency not in (None, self.total.currency):
            raise ValueError("currency and total.currency differ")
        return self

    @property
    def refs(self) -> list[IdentityRef]:
        """All identities given."""
        return [*([self.identity] if self.identity else []), *self.identities]

    @property
    def is_checkout(self) -> bool:
        """It speaks of a checkout alone, not of an order that was placed."""
        statuses = {self.status, *(each.status for each in self.milestones)} - {None}
        return statuses == {"checkout"}


def _priced(line: Any, currency: str) -> Any:
    if not isinstance(line, dict) or type(line.get("price_minor")) is not int or line.get("unit_price") is not None:
        return line
    rest = {name: value for name, value in line.items() if name != "price_minor"}
    return {**rest, "unit_price": {"amount_minor": line["price_minor"], "currency": currency}}


class StatusInput(Input):
    """A step of an order."""

    status: StatusWord
    occurred_at: When | None = None
    tracking: TrackingInput | None = None


class Line(Stored):
    """One product line."""

    name: str
    quantity: int = 1
    sku: str | None = None
    product_id: str | None = None
    unit_price: Money | None = None
    image_url: str | None = None


class Tracking(Stored):
    """Where the parcel is."""

    number: str
    company: str | None = None
    url: str | None = None


class Fulfilment(Stored):
    """One parcel."""

    id: str
    status: FulfilmentStatus
    at: datetime
    tracking: Tracking | None = None


class Refund(Stored):
    """Money paid back once."""

    id: str
    at: datetime
    amount: Money | None = None
    reason: str | None = None


class Step(Stored):
    """One entry of an order's history. `late`: something further had been reached when we heard of it."""

    status: Status
    at: datetime
    recorded_at: datetime
    late: bool = False


class Order(Stored):
    """An order of one person."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    external_id: str
    number: str | None = None
    source: str
    profile_id: str
    identity_id: str
    status: Status
    currency: str | None = None
    total: Money | None = None
    lines: list[Line] = Field(default_factory=list)
    tracking: Tracking | None = None
    fulfilments: list[Fulfilment] = Field(default_factory=list)
    refunds: list[Refund] = Field(default_factory=list)
    checkout_id: str | None = None
    placed_at: datetime
    status_history: list[Step] = Field(default_factory=list)
    url: str | None = None
    payment_url: str | None = None
    test: bool = False
    removed: bool = False
    created_at: datetime
    updated_at: datetime

    @property
    def reached(self) -> frozenset[str]:
        """All milestones."""
        return frozenset(step.status for step in self.status_history)

    @property
    def is_paid(self) -> bool:
        """The money has come, whatever happened afterwards."""
        return not self.reached.isdisjoint(PAID)

    @property
    def is_called_off(self) -> bool:
        """Cancelled or refunded."""
        return not self.reached.isdisjoint(CALLED_OFF)

    @property
    def awaits_payment(self) -> bool:
        """A reminder makes sense: placed, not called off, and the money neither here nor reserved."""
        settled = self.is_paid or self.is_called_off or "authorised" in self.reached
        return not settled and not self.removed and self.status != "checkout"


def as_order(row: dict[str, Any]) -> Order:
    """From the database."""
    return Order.model_validate({**row, "id": row["_id"]})
