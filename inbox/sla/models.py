"""What a promise is made of: whom it holds for, how long each thing may take, and when its clocks stand still. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

#: What has a clock, in the order in which it is told.
Target = Literal["first_response", "next_response", "resolution"]
TARGETS: tuple[Target, ...] = ("first_response", "next_response", "resolution")
#: States in which a clock may stand still.
Pause = Literal["pending", "snoozed"]
PAUSES: tuple[Pause, ...] = ("pending", "snoozed")
Urgency = Literal["low", "medium", "high", "urgent"]
URGENCIES: tuple[Urgency, ...] = ("urgent", "high", "medium", "low")
#: The longest promise: 90 days of open time.
LENGTH_MAX_MIN = 90 * 24 * 60
SOON_MIN, SOON_MAX_MIN = 15, 7 * 24 * 60
CHANNELS_MAX, TEAMS_MAX, LABELS_MAX = 200, 100, 40

_ID = "_[0-9a-z]{26}$"
Length = Annotated[int, Field(ge=1, le=LENGTH_MAX_MIN)]


def _once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _usual_pauses() -> list[Pause]:
    return ["pending"]


ChannelIds = Annotated[list[Annotated[str, StringConstraints(pattern=f"^chn{_ID}")]], AfterValidator(_once)]
TeamIds = Annotated[list[Annotated[str, StringConstraints(pattern=f"^tea{_ID}")]], AfterValidator(_once)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=60, strip_whitespace=True)]
Labels = Annotated[list[Label], AfterValidator(_once)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=120, strip_whitespace=True)]
HoursId = Annotated[str, StringConstraints(pattern=f"^hrs{_ID}")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reach(_Part):
    """For which conversations: on one of these channels, of one of these teams, with one of these labels. An empty
    list asks nothing."""

    channel_ids: ChannelIds = Field(default_factory=list, max_length=CHANNELS_MAX)
    team_ids: TeamIds = Field(default_factory=list, max_length=TEAMS_MAX)
    labels: Labels = Field(default_factory=list, max_length=LABELS_MAX)


class Lengths(_Part):
    """How long each may take, in minutes of open time; null: no promise."""

    first_response_min: Length | None = None
    next_response_min: Length | None = None
    resolution_min: Length | None = None

    def of(self, target: Target) -> int | None:
        """Minutes for one of them."""
        found: int | None = getattr(self, f"{target}_min")
        return found


class PolicyInput(_Part):
    """A promise as it is written."""

    name: Title
    reach: Reach = Reach()
    lengths: Lengths = Lengths()
    by_priority: dict[Urgency, Lengths] = Field(
        default_factory=dict, description="What differs for conversations of a priority; the rest is as in `lengths`."
    )
    hours_id: HoursId | None = Field(None, description="Business hours that count; null: every hour counts.")
    pauses: Annotated[list[Pause], AfterValidator(_once)] = Field(
        default_factory=_usual_pauses, max_length=len(PAUSES), description="States in which clocks stand still."
    )
    soon_min: int = Field(
        SOON_MIN, ge=1, le=SOON_MAX_MIN,
        description="Minutes of open time before the end in which it counts as due soon; at most half of the length.",
    )  # fmt: skip
    active: bool = True

    @model_validator(mode="after")
    def _promises_something(self) -> PolicyInput:
        if not any(each.of(target) for each in (self.lengths, *self.by_priority.values()) for target in TARGETS):
            raise ValueError("promise something: a first answer, the next answers, or an end")
        return self

    def length(self, target: Target, priority: str) -> int | None:
        """Minutes in which it is to be done for a conversation of this priority."""
        own = next((each for name, each in self.by_priority.items() if name == priority), None)
        return (own.of(target) if own else None) or self.lengths.of(target)
