"""The one table: failure reason → try again? pause the account? suppress the address? what an agent reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum

from base.errors import RapportError


class Failure(StrEnum):
    """Why a send did not succeed, in the words of every channel."""

    RATE_LIMITED = "rate_limited"
    TEMPORARY = "temporary"
    #: The request left us and no answer came: it may have been carried out.
    UNCERTAIN = "uncertain"
    WINDOW_CLOSED = "window_closed"
    RECIPIENT_UNREACHABLE = "recipient_unreachable"
    RECIPIENT_BLOCKED = "recipient_blocked"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    ENGAGEMENT_LIMITED = "engagement_limited"
    CONTENT_REJECTED = "content_rejected"
    NOT_SUPPORTED = "not_supported"
    ACCOUNT_PROBLEM = "account_problem"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Consequence:
    """What follows from a failure."""

    retry: bool
    pause_account: bool
    suppress_address: bool
    revoke_consent: bool
    log_level: int
    sentence: str


def _row(
    sentence: str, *, retry: bool = False, pause: bool = False, suppress: bool = False, revoke: bool = False,
    level: int = logging.INFO,
) -> Consequence:  # fmt: skip
    return Consequence(retry, pause, suppress, revoke, level, sentence)


CONSEQUENCES: dict[Failure, Consequence] = {
    Failure.RATE_LIMITED: _row("The provider asked us to slow down; we try again by ourselves.", retry=True),
    Failure.TEMPORARY: _row("The provider had a passing fault; we try again by ourselves.", retry=True),
    Failure.UNCERTAIN: _row(
        "The connection broke after we had handed the message over; the provider may have sent it.",
        level=logging.WARNING,
    ),
    Failure.WINDOW_CLOSED: _row(
        "The reply window is closed: the person has to write first, or an approved template has to be used."
    ),
    Failure.RECIPIENT_UNREACHABLE: _row("This address cannot be reached any more.", suppress=True),
    Failure.RECIPIENT_BLOCKED: _row("The person blocked or left this channel.", suppress=True),
    Failure.CONSENT_WITHDRAWN: _row("The person stopped marketing messages on this channel.", revoke=True),
    Failure.ENGAGEMENT_LIMITED: _row("The platform holds back marketing to this person for now; try on another day."),
    Failure.CONTENT_REJECTED: _row("The provider refused the content of this message.", level=logging.WARNING),
    Failure.NOT_SUPPORTED: _row("This channel cannot carry that kind of message."),
    Failure.ACCOUNT_PROBLEM: _row(
        "The provider refuses this account (token, permission, billing). The channel is paused until an "
        "administrator has mended it.",
        pause=True,
        level=logging.ERROR,
    ),
    Failure.UNKNOWN: _row("The provider refused it without a reason we know.", level=logging.WARNING),
}


class SendFailed(RapportError):
    """The one error an adapter's `send` raises. `detail` holds the provider's words, never a secret."""

    code = "send_failed"

    def __init__(
        self,
        failure: Failure,
        detail: str = "",
        *,
        provider_code: str | None = None,
        retry_after_s: float | None = None,
        moved_to: str | None = None,
    ) -> None:
        super().__init__(detail or CONSEQUENCES[failure].sentence)
        self.failure = failure
        self.detail = detail
        self.provider_code = provider_code
        self.retry_after_s = retry_after_s
        #: New external id of the recipient, when the provider says that the chat has moved.
        self.moved_to = moved_to

    @property
    def consequence(self) -> Consequence:
        """What follows."""
        return CONSEQUENCES[self.failure]
