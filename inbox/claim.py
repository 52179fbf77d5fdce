"""Rows of the outbox under one lease, and what has become of them so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from base.mongo import Document
from channels.adapter import Account, Adapter
from channels.store import Channel
from channels.vocabulary import OutboundMessage

#: What the gates said is believed for so long. A slow provider must not get what was paid or refused meanwhile.
JUDGED_FOR_S = 10.0
#: Nothing is handed over in the last moments of a lease.
LEASE_MARGIN_S = 3.0


@dataclass
class Claim:
    """Rows of one lane under one lease."""

    rows: list[Document]
    channel: Channel
    account: Account
    adapter: Adapter
    lease_s: int
    #: When the claim was made, by the monotonic clock.
    begun: float
    #: Until when the lease is certainly ours; renewed by a heartbeat.
    alive_until: float = 0.0
    #: When the gates were asked.
    judged_at: float = 0.0
    #: Why the rest of the claim goes back: the account was told to wait, or is paused.
    halted: str | None = None
    accepted: int = 0
    calls: int = 0
    last_error: str | None = None
    #: Sends that came to a result whose consequences are still to be drawn.
    results: list[str] = field(default_factory=list)
    #: Sends that wait to be tried again.
    waiting: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alive_until = self.begun + self.lease_s

    @property
    def lease(self) -> str:
        """The token of the claim."""
        return str(self.rows[0]["lease"])

    @property
    def rate_per_s(self) -> float:
        """Messages per second this account may send."""
        return self.channel.rate_per_s or self.adapter.capabilities.rate_per_s

    def fresh(self) -> bool:
        """Whether what the gates said still counts. For the first calls it always does, or none would ever begin."""
        return self.calls == 0 or time.monotonic() < self.judged_at + JUDGED_FOR_S

    def ours(self) -> bool:
        """Whether a call may still be begun. By the monotonic clock, which goes on while the process is stopped."""
        return time.monotonic() < self.alive_until - LEASE_MARGIN_S


@dataclass(frozen=True)
class Ready:
    """A send that passed all gates."""

    row: Document
    message: OutboundMessage
