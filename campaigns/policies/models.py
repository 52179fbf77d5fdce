"""What the rules of the house are made of, as they are written in Settings → Sending. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from campaigns.models import QuietHours
from campaigns.policies.capping import LONGEST, span_of

OnHold = Literal["defer", "skip"]
#: Order notices are let pass unless a cap names them; what colleagues write themselves is never counted.
CappedClass = Literal["marketing", "transactional"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Cap(_Part):
    """At most so many messages to one person in a time. What is left open holds for all.

    `per` in days (`P1D`, `P7D`) means calendar days in the person's zone, today among them; in hours (`PT24H`) the time
    right before.
    """

    most: Annotated[int, Field(ge=1, le=1000)]
    per: Annotated[str, StringConstraints(max_length=20)]
    send_class: CappedClass = Field(default="marketing", alias="class")
    #: Key of a consent group.
    group: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None
    #: A channel's id, or a provider (`email`): all its channels together.
    channel: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] | None = None

    @field_validator("per")
    @classmethod
    def _bounded(cls, value: str) -> str:
        span = span_of(value)
        if span is None:
            raise ValueError("a time takes the form P1D or P7D (calendar days) or PT24H (hours)")
        if span.length > LONGEST:
            raise ValueError(f"a cap looks back at most {LONGEST.days} days")
        return value


class BreakerRule(_Part):
    """Too much goes wrong when both hold within the minutes: so many people whose message failed, and such a share."""

    least_people: Annotated[int, Field(ge=1, le=100_000)] = 20
    least_percent: Annotated[float, Field(gt=0, le=100)] = 20.0
    minutes: Annotated[int, Field(ge=1, le=240)] = 10

    @property
    def within(self) -> timedelta:
        """How far it looks back."""
        return timedelta(minutes=self.minutes)

    def trips(self, failed: int, ended: int) -> bool:
        """`failed` of `ended` people: is that too much? Nobody's repeated failure may be counted twice in either."""
        return failed >= self.least_people and failed * 100 >= self.least_percent * max(ended, 1)


class SendingPolicies(_Part):
    """Everything together. `quiet_hours` hold for marketing that names none of its own."""

    caps: Annotated[tuple[Cap, ...], Field(max_length=20)] = ()
    quiet_hours: QuietHours | None = None
    breaker: BreakerRule = BreakerRule()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [(cap.send_class, cap.group, cap.channel, cap.per) for cap in self.caps]
        if len(set(keys)) < len(keys):
            raise ValueError("two caps count the same; keep the stricter one")
        return self

    @property
    def horizon(self) -> timedelta:
        """How far the caps look back, a day more for the zones."""
        return max((span.length for cap in self.caps if (span := span_of(cap.per))), default=timedelta()) + _DAY

    @property
    def capped(self) -> frozenset[str]:
        """The classes that any cap counts."""
        return frozenset(cap.send_class for cap in self.caps)


_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Wishes:
    """What a message itself says of being held up. `quiet`: its own quiet hours; without any those of the house hold,
    and with equal times none."""

    quiet: QuietHours | None = None
    if_quiet: OnHold = "defer"
    if_capped: OnHold = "defer"


def policies_of(row: Mapping[str, Any]) -> SendingPolicies:
    """As they were saved."""
    return SendingPolicies.model_validate({name: row[name] for name in SendingPolicies.model_fields if name in row})
