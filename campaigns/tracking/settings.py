"""What the workspace has chosen about links, opens and attribution. Pure; off until somebody switches it on."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: What people can say no (or yes) to: a consent group of this key, or an act with this purpose.
PURPOSE = "tracking"
TouchKind = Literal["clicked", "opened", "delivered"]
#: May name `{campaign}`, `{channel}`, `{step}` and `{id}`; what stands for a value is made plain.
Pattern = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^{}]*(\{(campaign|channel|step|id)\}[^{}]*)*$")]
#: Hours of 90 days.
HOURS_MAX = 2160


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Utm(_Part):
    """What is added to links for the shop's own statistics. An empty pattern adds nothing."""

    source: Pattern = ""
    medium: Pattern = ""
    campaign: Pattern = ""
    term: Pattern = ""
    content: Pattern = ""


#: In a broadcast or a step: this name is not added, whatever the workspace says.
NOTHING = "-"


class UtmChoice(_Part):
    """What one broadcast or one step of a journey adds to its links in place of what the workspace says. Left out: as
    the workspace says; `-`: nothing."""

    source: Pattern | None = None
    medium: Pattern | None = None
    campaign: Pattern | None = None
    term: Pattern | None = None
    content: Pattern | None = None

    def over(self, house: Utm) -> Utm:
        """What is added in the end."""
        own = {name: "" if value == NOTHING else value for name, value in self.model_dump(exclude_none=True).items()}
        return house.model_copy(update=own)


class Windows(_Part):
    """For how many hours after a touch an order counts as its work; 0: such touches count for nothing."""

    click: int = Field(120, ge=0, le=HOURS_MAX)
    open: int = Field(0, ge=0, le=HOURS_MAX)
    chat_delivery: int = Field(24, ge=0, le=HOURS_MAX)

    def after(self, kind: TouchKind, channel_kind: str) -> timedelta:
        """How long a touch of this kind on such a channel counts."""
        if kind == "clicked":
            return timedelta(hours=self.click)
        if kind == "opened":
            return timedelta(hours=self.open)
        return timedelta(hours=0 if channel_kind == "email" else self.chat_delivery)

    @property
    def longest(self) -> timedelta:
        """No touch counts for longer."""
        return timedelta(hours=max(self.click, self.open, self.chat_delivery))


class TrackingSettings(_Part):
    """One for the workspace."""

    links: bool = False
    opens: bool = False
    utm: Utm = Utm()
    windows: Windows = Windows()


def settings_of(row: dict[str, Any] | None) -> TrackingSettings:
    """As it is kept; a workspace that has chosen nothing tracks nothing."""
    return TrackingSettings.model_validate(row["chosen"]) if row else TrackingSettings()
