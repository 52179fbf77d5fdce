"""What the house wants to be reminded of: after how long without contact, and which orders need a hand. Pure.

A ladder is a list of days: after the first of them without contact somebody is shown, after the next once more,
whatever was done about it. Each tier has its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from profiles.rfm import TIERS_MAX

RUNGS_MAX, DAYS_MAX = 6, 3650
#: The ladder of who has an owner and no tier.
OWNED = "owned"
Rungs = Annotated[list[Annotated[int, Field(ge=1, le=DAYS_MAX)]], Field(max_length=RUNGS_MAX)]
LadderKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
Ladders = Mapping[str, Sequence[int]]


def _ladders() -> dict[str, list[int]]:
    return {"vip": [14, 30, 60], "level1": [30, 60], "level2": [60], OWNED: [30, 60]}


class StreamRules(BaseModel):
    """`idle`: tier (or `owned`: who has an owner and no tier) → days without contact after which somebody is shown;
    a tier that is not named has none. The others: after how long an order is shown; null: never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    idle: Annotated[dict[LadderKey, Rungs], Field(max_length=TIERS_MAX + 1)] = Field(default_factory=_ladders)
    unpaid_after_h: Annotated[int, Field(ge=1, le=720)] | None = 48
    unnoticed_after_h: Annotated[int, Field(ge=1, le=720)] | None = 24
    unreviewed_after_days: Annotated[int, Field(ge=1, le=60)] | None = 7

    @field_validator("idle", mode="after")
    @classmethod
    def _rising(cls, idle: dict[str, list[int]]) -> dict[str, list[int]]:
        for key, rungs in idle.items():
            if any(one >= other for one, other in pairwise(rungs)):
                raise ValueError(f"the days of {key} must rise")
        return {key: rungs for key, rungs in idle.items() if rungs}


def ladder_of(tier: str | None, owner_id: str | None, *, planned: bool) -> str | None:
    """On which ladder somebody stands; None: on none. Who has a next follow-up is not forgotten. Pure."""
    if planned:
        return None
    return tier or (OWNED if owner_id else None)


def rung(rungs: Sequence[int], contact_at: datetime, now: datetime) -> int | None:
    """The highest rung that was reached, days; None: none yet. Pure."""
    return max((days for days in rungs if contact_at + timedelta(days=days) <= now), default=None)


def comes_at(rungs: Sequence[int], contact_at: datetime, done: int = 0) -> datetime | None:
    """When the first rung above the one that was done is reached; None: there is none. Pure."""
    above = [days for days in rungs if days > done]
    return contact_at + timedelta(days=min(above)) if above else None
