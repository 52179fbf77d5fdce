"""The fields that rules may ask about: where they are stored, of what kind, and which operators make sense. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, StrEnum

from profiles.models import is_safe_key


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    TEXTS = "texts"
    TAGS = "tags"
    NUMBER = "number"
    TIME = "time"
    PLACE = "place"
    #: Whatever the deployment stores there: attributes, properties of events.
    FREE = "free"


class Scope(Enum):
    """What a rule looks at: a person, or one event."""

    PROFILE = "profile"
    EVENT = "event"


@dataclass(frozen=True)
class FieldRef:
    """A known field. `path` consists of checked keys only."""

    name: str
    path: str
    kind: Kind


_PROFILE: dict[str, tuple[str, Kind]] = {
    "name": ("name", Kind.TEXT),
    "emails": ("emails.value", Kind.TEXTS),
    "phones": ("phones.value", Kind.TEXTS),
    "handles": ("handles", Kind.TEXTS),
    "tags": ("tags", Kind.TAGS),
    "roles": ("roles", Kind.TAGS),
    "stage": ("stage", Kind.TEXT),
    "tier": ("tier", Kind.TEXT),
    "score": ("score", Kind.NUMBER),
    "locale": ("locale", Kind.TEXT),
    "time_zone": ("time_zone", Kind.TEXT),
    "location": ("location", Kind.PLACE),
    "address.city": ("address.city", Kind.TEXT),
    "address.postal_code": ("address.postal_code", Kind.TEXT),
    "address.region": ("address.region", Kind.TEXT),
    "address.country": ("address.country", Kind.TEXT),
    "owner_id": ("owner_id", Kind.TEXT),
    "created_at": ("created_at", Kind.TIME),
    "updated_at": ("updated_at", Kind.TIME),
    "stage_since": ("stage_since", Kind.TIME),
    "last_seen_at": ("last_seen_at", Kind.TIME),
    "first_touch.at": ("first_touch.at", Kind.TIME),
    "last_touch.at": ("last_touch.at", Kind.TIME),
    "next_follow_up.at": ("next_follow_up.at", Kind.TIME),
    "next_follow_up.assignee_id": ("next_follow_up.assignee_id", Kind.TEXT),
    "orders.count": ("orders.count", Kind.NUMBER),
    # any currency; `orders.revenue.EUR` asks for one
    "orders.revenue": ("orders.revenue_minor", Kind.NUMBER),
    "orders.first_at": ("orders.first_at", Kind.TIME),
    "orders.last_at": ("orders.last_at", Kind.TIME),
    "tier_since": ("tier_since", Kind.TIME),
    "rfm.r": ("rfm.r", Kind.NUMBER),
    "rfm.f": ("rfm.f", Kind.NUMBER),
    "rfm.m": ("rfm.m", Kind.NUMBER),
    "rfm.total": ("rfm.total", Kind.NUMBER),
    "rfm.code": ("rfm.code", Kind.TEXT),
    "traits.preferred_channel": ("traits.preferred_channel", Kind.TEXT),
    "traits.preferred_hour": ("traits.preferred_hour", Kind.NUMBER),
    "traits.answer_minutes": ("traits.answer_minutes", Kind.NUMBER),
    "traits.answers_within": ("traits.answers_within", Kind.TEXT),
    "traits.orders": ("traits.orders", Kind.NUMBER),
    "traits.days_between_orders": ("traits.days_between_orders", Kind.NUMBER),
    "traits.next_order_at": ("traits.next_order_at", Kind.TIME),
    "traits.next_order_by": ("traits.next_order_by", Kind.TEXT),
    "traits.churn_risk": ("traits.churn_risk", Kind.NUMBER),
    "traits.churn_reasons": ("traits.churn_reasons.code", Kind.TEXTS),
}
_EVENT: dict[str, tuple[str, Kind]] = {
    "name": ("name", Kind.TEXT),
    "occurred_at": ("occurred_at", Kind.TIME),
    "channel_id": ("channel_id", Kind.TEXT),
    "conversation_id": ("conversation_id", Kind.TEXT),
    "identity_id": ("identity_id", Kind.TEXT),
}
_OPEN: dict[Scope, tuple[str, ...]] = {
    Scope.PROFILE: ("attributes", "first_touch", "last_touch"),
    Scope.EVENT: ("properties",),
}
_REVENUE = re.compile(r"(orders\.revenue|traits\.revenue|traits\.average_order)\.([A-Z]{3})", re.ASCII)
DEPTH_MAX = 5

_ALWAYS = frozenset({"exists", "missing"})
_EQUAL = frozenset({"eq", "ne", "in", "not_in"})
_ORDER = frozenset({"lt", "lte", "gt", "gte", "between"})
_PATTERN = frozenset({"contains", "not_contains", "starts_with", "ends_with", "matches"})
_SETS = frozenset({"any_of", "all_of", "none_of"})
_TIMES = frozenset({"before", "after", "within_last", "older_than", "day_of_year"})
OPERATORS: dict[Kind, frozenset[str]] = {
    Kind.TEXT: _ALWAYS | _EQUAL | _PATTERN | _SETS,
    Kind.TEXTS: _ALWAYS | _EQUAL | _PATTERN | _SETS,
    Kind.TAGS: _ALWAYS | _EQUAL | _PATTERN | _SETS,
    Kind.NUMBER: _ALWAYS | _EQUAL | _ORDER | _SETS,
    Kind.TIME: _ALWAYS | _EQUAL | _ORDER | _TIMES,
    Kind.PLACE: _ALWAYS,
    Kind.FREE: _ALWAYS | _EQUAL | _ORDER | _PATTERN | _SETS | _TIMES,
}
ALL_OPERATORS = frozenset().union(*OPERATORS.values())


def find_field(name: str, scope: Scope) -> FieldRef:
    """The field of that name. Raises ValueError with a sentence when there is none."""
    table = _PROFILE if scope is Scope.PROFILE else _EVENT
    if name in table:
        return FieldRef(name, *table[name])
    if scope is Scope.PROFILE and _REVENUE.fullmatch(name):
        return FieldRef(name, name, Kind.NUMBER)
    head, *keys = name.split(".")
    if head in _OPEN[scope] and 1 <= len(keys) <= DEPTH_MAX and all(is_safe_key(key) for key in keys):
        return FieldRef(name, name, Kind.FREE)
    known = ", ".join(sorted({*table, *(f"{prefix}.*" for prefix in _OPEN[scope])}))
    raise ValueError(f"is no field; known are {known}")
