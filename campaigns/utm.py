"""What is added to links for the shop's own statistics: by the workspace, and by one broadcast or step. Pure."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, WithJsonSchema

PATTERN_MAX = 200
#: Said of what does not fit.
FITS = "may name {campaign}, {channel}, {step} and {id}, in at most 200 characters"
_PATTERN = r"^[^{}]*(\{(campaign|channel|step|id)\}[^{}]*)*$"


def _fitting(value: str) -> str:
    if len(value) > PATTERN_MAX or not re.fullmatch(_PATTERN, value):
        raise ValueError(FITS)
    return value


#: What stands for a value is made plain.
Pattern = Annotated[
    str, AfterValidator(_fitting),
    WithJsonSchema({"type": "string", "maxLength": PATTERN_MAX, "pattern": _PATTERN, "description": f"It {FITS}."}),
]  # fmt: skip
#: In a broadcast or a step: this name is not added, whatever the workspace says.
NOTHING = "-"


class Utm(BaseModel):
    """What is added. An empty pattern adds nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Pattern = ""
    medium: Pattern = ""
    campaign: Pattern = ""
    term: Pattern = ""
    content: Pattern = ""


class UtmChoice(BaseModel):
    """What one broadcast or one step of a journey adds to its links in place of what the workspace says. Left out: as
    the workspace says; `-`: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Pattern | None = None
    medium: Pattern | None = None
    campaign: Pattern | None = None
    term: Pattern | None = None
    content: Pattern | None = None

    def over(self, house: Utm) -> Utm:
        """What is added in the end."""
        own = {name: "" if value == NOTHING else value for name, value in self.model_dump(exclude_none=True).items()}
        return house.model_copy(update=own)
