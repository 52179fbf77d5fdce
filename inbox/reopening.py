"""Whether a closed conversation is opened again by a new message, or another one begins: per channel, pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from base.mongo import Document

#: Days in which a closed conversation is opened again where nobody has chosen.
WITHIN_DAYS, DAYS_MAX = 14, 3650


class Reopening(BaseModel):
    """`within`: opened again in so many `days` after the last word, then a new one begins; `always`; `never`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["within", "always", "never"] = "within"
    days: int = Field(WITHIN_DAYS, ge=1, le=DAYS_MAX)


def is_over(row: Document, rule: Reopening | None, now: datetime, within: timedelta) -> bool:
    """Whether a closed conversation stays closed. `within`: where nobody has chosen."""
    if rule is None:
        return bool(row["last_activity_at"] < now - within)
    if rule.mode == "within":
        return bool(row["last_activity_at"] < now - timedelta(days=rule.days))
    return rule.mode == "never"


def earliest(rules: Mapping[str, Reopening], now: datetime, within: timedelta) -> datetime:
    """From when on closed conversations are to be looked for, over all these channels."""
    spans = [within, *(timedelta(days=rule.days) for rule in rules.values() if rule.mode == "within")]
    always = any(rule.mode == "always" for rule in rules.values())
    return now - timedelta(days=DAYS_MAX) if always else now - max(spans)
