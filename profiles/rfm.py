"""How much a customer is worth, by what they bought: recency, frequency and money from 1 to 5, and the tier. Pure.

Each of the three is read off four thresholds. The first tier, from the best down, whose least values a customer
reaches is theirs; who has bought nothing has none. A tier that a person gave wins until it is released. Money is
counted in one currency, that of the settings: amounts in different currencies are never added.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from base.errors import WrongInput
from profiles.models import Input, NewEvent
from profiles.scoring import field_errors

TIERS_MAX = 12
#: What is suggested needs so many customers who bought.
SUGGEST_LEAST = 10
TierKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
LocaleCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}$")]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Mark = Annotated[int, Field(ge=1, le=5)]
Four = Annotated[list[Annotated[int, Field(ge=0, le=10**12)]], Field(min_length=4, max_length=4)]
Source = Literal["rule", "person"]


class Least(Input):
    """What a customer of this tier reaches at least."""

    r: Mark = 1
    f: Mark = 1
    m: Mark = 1
    total: int = Field(3, ge=3, le=15)


class Tier(Input):
    """One tier. `name` is a message id of the desk for the built-in ones; `locales`: its name in further languages."""

    key: TierKey
    name: Title
    locales: dict[LocaleCode, Title] = Field(default_factory=dict, max_length=60)
    least: Least = Field(default_factory=Least)

    def said(self, language: str | None) -> str:
        """What it is called."""
        wanted = (language or "").replace("-", "_").casefold()
        folded = {code.replace("-", "_").casefold(): name for code, name in self.locales.items()}
        return folded.get(wanted) or folded.get(wanted.partition("_")[0]) or self.name


class TierSettings(Input):
    """`recency_days`: at most so many days since the last order for a 5, 4, 3, 2. `frequency`: from so many orders on,
    `monetary`: from so much revenue on (smallest unit of `currency`) a 2, 3, 4, 5. `tiers` from the best down."""

    recency_days: Four = Field(default_factory=lambda: [30, 90, 180, 365])
    frequency: Four = Field(default_factory=lambda: [2, 3, 5, 10])
    monetary: Four = Field(default_factory=lambda: [5_000, 15_000, 40_000, 100_000])
    currency: Currency = "EUR"
    tiers: list[Tier] = Field(default_factory=list, max_length=TIERS_MAX)

    @field_validator("recency_days", "frequency", "monetary", mode="after")
    @classmethod
    def _growing(cls, four: list[int]) -> list[int]:
        if any(one >= other for one, other in pairwise(four)):
            raise ValueError("each number must be greater than the one before")
        return four

    @model_validator(mode="after")
    def _each_once(self) -> TierSettings:
        doubled = [key for key, count in Counter(each.key for each in self.tiers).items() if count > 1]
        if doubled:
            raise ValueError(f"the key {doubled[0]} is there twice")
        return self

    def tier(self, key: str | None) -> Tier | None:
        """The tier of that key."""
        return next((each for each in self.tiers if each.key == key), None)


def read_settings(given: Mapping[str, Any]) -> TierSettings:
    """Settings from JSON. Raises `WrongInput` with paths."""
    try:
        return TierSettings.model_validate(given)
    except ValidationError as error:
        raise WrongInput("These settings have faults.", field_errors(error)) from None


@dataclass(frozen=True)
class Rfm:
    """A customer's three marks, 1 to 5."""

    r: int
    f: int
    m: int

    @property
    def code(self) -> str:
        """`545`."""
        return f"{self.r}{self.f}{self.m}"

    @property
    def total(self) -> int:
        """3 to 15."""
        return self.r + self.f + self.m

    def stored(self) -> dict[str, Any]:
        """As it stands on the profile."""
        return {"r": self.r, "f": self.f, "m": self.m, "total": self.total, "code": self.code}


def rfm_of(document: Mapping[str, Any], settings: TierSettings, now: datetime) -> Rfm | None:
    """The marks of one person; None for who has bought nothing, and who is not to be profiled."""
    orders = document.get("orders") or {}
    count, last = orders.get("count") or 0, orders.get("last_at")
    if document.get("profiling_off") or count < 1 or last is None:
        return None
    age = max(now - last, timedelta())
    r = 5 - sum(age > timedelta(days=days) for days in settings.recency_days)
    spent = (orders.get("revenue") or {}).get(settings.currency, 0)
    return Rfm(r, 1 + bisect_right(settings.frequency, count), 1 + bisect_right(settings.monetary, spent))


def ages_at(document: Mapping[str, Any], settings: TierSettings, now: datetime) -> datetime | None:
    """When the recency falls by itself."""
    last = (document.get("orders") or {}).get("last_at")
    if last is None or rfm_of(document, settings, now) is None:
        return None
    edges = (last + timedelta(days=days, milliseconds=1) for days in settings.recency_days)
    return min((each for each in edges if each > now), default=None)


def tier_of(rfm: Rfm | None, settings: TierSettings) -> str | None:
    """The tier that the marks come to."""
    if rfm is None:
        return None
    return next((each.key for each in settings.tiers if _reaches(rfm, each.least)), None)


def _reaches(rfm: Rfm, least: Least) -> bool:
    return rfm.r >= least.r and rfm.f >= least.f and rfm.m >= least.m and rfm.total >= least.total


def tier_source(document: Mapping[str, Any]) -> Source:
    """Who decides the tier. One from before there were rules was given by somebody."""
    held = document.get("tier_source")
    return held if held else "person" if document.get("tier") else "rule"


@dataclass(frozen=True)
class Ranked:
    """What an appraisal writes about marks and tier."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[NewEvent, ...] = ()
    again_at: datetime | None = None


def ranked(document: Mapping[str, Any], settings: TierSettings, now: datetime) -> Ranked:
    """Marks and tier of one person as fields and the event that tells of a move. `tier_by_rule` says what the rules
    come to, also while a person's word stands."""
    rfm = rfm_of(document, settings, now)
    due = tier_of(rfm, settings)
    source, before = tier_source(document), document.get("tier")
    fields: dict[str, Any] = {
        "rfm": rfm.stored() if rfm else None, "tier_by_rule": due, "tier_source": source,
        "tier": before if source == "person" else due,
    }  # fmt: skip
    again = ages_at(document, settings, now)
    if fields["tier"] == before:
        return Ranked(fields, (), again)
    fields["tier_since"] = now
    reason = {"code": rfm.code, "r": rfm.r, "f": rfm.f, "m": rfm.m} if rfm else None
    properties = {"from": before, "to": due, "source": "rule", "by": None, "reason": reason}
    dedupe = f"profile.tier_changed:appraised:{document['_id']}:{document['rev']}"
    event = NewEvent("profile.tier_changed", dedupe, now, document["_id"], properties=properties)
    return Ranked(fields, (event,), again)


def given(document: Mapping[str, Any], tier: str | None, at: datetime) -> dict[str, Any]:
    """The fields of a profile to which somebody gives a tier; None releases it: what the rules come to stands again."""
    stands = tier if tier is not None else document.get("tier_by_rule")
    fields: dict[str, Any] = {"tier": stands, "tier_source": "person" if tier is not None else "rule"}
    return fields if stands == document.get("tier") else {**fields, "tier_since": at}


# -- suggested from the deployment's own customers ---------------------------------------------------------------------


@dataclass(frozen=True)
class Bought:
    """What one customer bought, for suggestions."""

    days_ago: float
    count: int
    revenue: Mapping[str, int]


def suggested(customers: Sequence[Bought], settings: TierSettings) -> TierSettings | None:
    """The settings with thresholds that part these customers in fifths as well as they can be parted, in the currency
    most of them pay in. None for too few of them."""
    if len(customers) < SUGGEST_LEAST:
        return None
    currencies = Counter(code for each in customers for code, amount in each.revenue.items() if amount > 0)
    currency = max(sorted(currencies), key=lambda code: currencies[code], default=settings.currency)
    spent = [each.revenue.get(currency, 0) for each in customers if each.revenue.get(currency, 0) > 0]
    changes = {
        "recency_days": growing(fifths([each.days_ago for each in customers]), 1),
        "frequency": growing(fifths([each.count for each in customers]), 2),
        "monetary": growing([_round(each) for each in fifths(spent)], 1) if spent else settings.monetary,
        "currency": currency,
    }  # fmt: skip
    return settings.model_copy(update=changes)


def fifths(values: Sequence[float]) -> list[int]:
    """What separates the fifths of these values: four numbers, rounded up."""
    ordered = sorted(values)
    return [-int(-ordered[min(len(ordered) - 1, len(ordered) * part // 5)] // 1) for part in (1, 2, 3, 4)]


def growing(four: Sequence[int], least: int) -> list[int]:
    """The same, each greater than the one before and none below `least`."""
    result: list[int] = []
    for each in four:
        result.append(max(each, result[-1] + 1 if result else least))
    return result


def _round(minor: int) -> int:
    """An amount a person would choose: two digits that count."""
    digits = max(0, len(str(minor)) - 2)
    return int(round(minor, -digits))


DEFAULT = TierSettings(
    tiers=[
        Tier(key="vip", name="Key customer", least=Least(r=3, f=3, total=12)),
        Tier(key="level1", name="Level 1", least=Least(r=2, total=9)),
        Tier(key="level2", name="Level 2", least=Least(total=6)),
        Tier(key="level3", name="Level 3"),
    ]
)


# -- how it came to be -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spell:
    """A time in which a customer had one tier (None: none). `until` None: it is the one of today."""

    tier: str | None
    was: str | None
    at: datetime
    until: datetime | None
    source: Source
    by: str | None = None
    #: The marks that led to it, `545`; None where a person gave it.
    code: str | None = None


def spells(changes: Sequence[tuple[datetime, Mapping[str, Any]]]) -> list[Spell]:
    """The tiers of one customer, the one of today first. `changes`: (when, properties of `profile.tier_changed`)."""
    found: list[Spell] = []
    until: datetime | None = None
    for at, said in sorted(changes, key=lambda each: each[0], reverse=True):
        reason = said.get("reason")
        code = reason.get("code") if isinstance(reason, Mapping) else None
        source: Source = "rule" if said.get("source") == "rule" else "person"
        found.append(Spell(said.get("to"), said.get("from"), at, until, source, said.get("by"), code))
        until = at
    return found
