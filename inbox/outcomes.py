"""What became of the arrivals of a batch, one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from base.errors import RapportError

OutcomeState = Literal["created", "duplicate", "applied", "kept", "ignored", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one arrival. `kept`: it speaks of a message that is not here yet."""

    state: OutcomeState
    message_id: str | None = None
    conversation_id: str | None = None
    error: Exception | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ReceiveResult:
    """One outcome per arrival, in order."""

    outcomes: tuple[Outcome, ...]

    @property
    def created_messages(self) -> int:
        """Messages that were new."""
        return sum(outcome.state == "created" for outcome in self.outcomes)

    @property
    def duplicates(self) -> int:
        """Messages that were here already."""
        return sum(outcome.state == "duplicate" for outcome in self.outcomes)

    @property
    def failed(self) -> list[tuple[int, Exception]]:
        """Positions of poisonous arrivals, with the reason."""
        return [(i, outcome.error) for i, outcome in enumerate(self.outcomes) if outcome.error is not None]


class PartlyReceived(RapportError):
    """Some arrivals of a batch could not be taken; all others are. `result` says which."""

    code = "partly_received"

    def __init__(self, result: ReceiveResult) -> None:
        super().__init__(f"{len(result.failed)} of {len(result.outcomes)} events could not be taken.")
        self.result = result
