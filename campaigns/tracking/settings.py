"""What the workspace has chosen about links, opens and attribution. Pure; off until somebody switches it on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from campaigns.utm import Utm

#: What people can say no (or yes) to: a consent group of this key, or an act with this purpose.
PURPOSE = "tracking"
TouchKind = Literal["clicked", "opened", "delivered"]
#: Hours of 90 days.
HOURS_MAX = 2160


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Windows(_Part):
    """For how many hours after a touch an order counts as its work; 0: such touches count for nothing."""

    click: int = Field(120, ge=0, le=HOURS_MAX)
    open: int = Field(0, ge=0, le=HOURS_MAX)
    chat_delivery: int = Field(24, ge=0, le=HOURS_MAX)
    #: Of a click in a chat; None: as of any click.
    chat_click: int | None = Field(None, ge=0, le=HOURS_MAX)

    def after(self, kind: TouchKind, channel_kind: str) -> timedelta:
        """How long a touch of this kind on such a channel counts."""
        if kind == "clicked":
            own = None if channel_kind == "email" else self.chat_click
            return timedelta(hours=self.click if own is None else own)
        if kind == "opened":
            return timedelta(hours=self.open)
        return timedelta(hours=0 if channel_kind == "email" else self.chat_delivery)

    @property
    def longest(self) -> timedelta:
        """No touch counts for longer."""
        return timedelta(hours=max(self.click, self.open, self.chat_delivery, self.chat_click or 0))


class TrackingSettings(_Part):
    """One for the workspace."""

    links: bool = False
    opens: bool = False
    utm: Utm = Utm()
    windows: Windows = Windows()

    @property
    def counted(self) -> frozenset[str]:
        """Of `opened` and `clicked` what is counted."""
        return frozenset(name for name, on in (("opened", self.opens), ("clicked", self.links)) if on)


def settings_of(row: dict[str, Any] | None) -> TrackingSettings:
    """As it is kept; a workspace that has chosen nothing tracks nothing."""
    return TrackingSettings.model_validate(row["chosen"]) if row else TrackingSettings()
