"""What is allowed and what follows, as values: reply windows, quotas, back-off, and when a send may be repeated. Pure.

One policy for agents' replies and for campaigns. Numbers of the platforms stand in `channels.capabilities`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from channels.capabilities import Capabilities, Idempotency
from channels.failures import CONSEQUENCES, Failure
from channels.vocabulary import OutboundMessage

SendClass = Literal["marketing", "transactional", "service"]

#: Calls of the provider for one send, and the time in which they must lie. Being asked to slow down is not counted
#: as one of them: the provider did not look at the message.
MAX_TRIES = 6
TRIES_WITHIN = timedelta(hours=24)
#: Full jitter under a ceiling that grows fourfold: about 15 s, 1 min, 4 min, 16 min, 64 min.
FIRST_BACKOFF_S = 15.0
BACKOFF_FACTOR = 4.0
LONGEST_BACKOFF_S = 4 * 3600.0
SHORTEST_BACKOFF_S = 1.0
#: How long a receipt with our key is waited for before a broken hand-over is judged by its class.
ECHO_WAIT = timedelta(minutes=3)
#: Passing faults in a row (other channels are not held up by them) after which an account gets a rest.
STORM_AFTER = 8
LONGEST_REST_S = 60.0


class Windowed(Protocol):
    """What a window is judged by; an identity has it."""

    @property
    def last_inbound_at(self) -> datetime | None: ...

    @property
    def window_sends(self) -> int: ...


@dataclass(frozen=True)
class Open:
    """Anything may be sent until then; None: there is no window on this channel."""

    until: datetime | None = None


@dataclass(frozen=True)
class Closed:
    """Nothing but (where the channel has them) approved templates."""

    code: str
    sentence: str


def window(capabilities: Capabilities, identity: Windowed, now: datetime, *, automatic: bool) -> Open | Closed:
    """The reply window of a person at a time, for what a machine or a person writes.

    Only *their* messages open it; receipts and our own do not.
    """
    window_s = capabilities.window_s(automatic=automatic)
    if window_s is None:
        return Open()
    if identity.last_inbound_at is None:
        return Closed("window_closed", "This person has not written yet; on this channel they have to write first.")
    until = identity.last_inbound_at + timedelta(seconds=window_s)
    if now >= until:
        return Closed("window_closed", CONSEQUENCES[Failure.WINDOW_CLOSED].sentence)
    quota = capabilities.window_quota
    if quota is not None and identity.window_sends >= quota:
        return Closed("window_quota", f"The platform allows {quota} messages until this person writes again.")
    return Open(until)


def window_objection(
    capabilities: Capabilities, identity: Windowed, now: datetime, message: OutboundMessage
) -> Closed | None:
    """Why the window stops this message at this time; None when it may go."""
    state = window(capabilities, identity, now, automatic=message.automatic)
    if isinstance(state, Open) or (message.template is not None and capabilities.template_outside_window):
        return None
    return state


@dataclass(frozen=True)
class Retry:
    """Hand it over again, under the same key, not before `at`."""

    at: datetime


@dataclass(frozen=True)
class AwaitEcho:
    """Stay `handed`: a receipt that carries our key may still come. Judge again at `until`."""

    until: datetime


@dataclass(frozen=True)
class End:
    """It is over: `failed`, or `unknown` when nobody can say whether the person got it."""

    state: Literal["failed", "unknown"]


Next = Retry | AwaitEcho | End


@dataclass(frozen=True)
class Attempt:
    """All that decides what follows when a hand-over did not end in an acceptance."""

    failure: Failure
    send_class: SendClass
    idempotency: Idempotency
    #: Calls so far, this one included.
    tries: int
    first_handed_at: datetime
    handed_at: datetime
    retry_after_s: float | None = None
    #: An earlier hand-over of the same send had no known outcome.
    was_uncertain: bool = False
    #: What its author wants of one that may have gone out; empty: mailings are left at that, all else is repeated.
    if_unknown: Literal["repeat", "leave"] | None = None

    @property
    def at_most_once(self) -> bool:
        """Whether twice would be worse than never."""
        return self.if_unknown == "leave" if self.if_unknown else self.send_class == "marketing"


def after(attempt: Attempt, now: datetime, rng: random.Random) -> Next:
    """What follows a failed, or broken, hand-over. A marketing send is never repeated when it may have gone out, unless
    its author wants that."""
    if attempt.failure is Failure.UNCERTAIN:
        return _after_uncertain(attempt, now, rng)
    over: End = End("unknown" if attempt.was_uncertain else "failed")
    if not CONSEQUENCES[attempt.failure].retry:
        return over
    at = next_attempt(attempt, now, rng)
    return over if at is None else Retry(at)


def _after_uncertain(attempt: Attempt, now: datetime, rng: random.Random) -> Next:
    if attempt.idempotency is Idempotency.ECHO and now < attempt.handed_at + ECHO_WAIT:
        return AwaitEcho(attempt.handed_at + ECHO_WAIT)
    if attempt.idempotency is not Idempotency.KEY and attempt.at_most_once:
        return End("unknown")
    at = next_attempt(attempt, now, rng)
    return End("unknown") if at is None else Retry(at)


def next_attempt(attempt: Attempt, now: datetime, rng: random.Random) -> datetime | None:
    """When to try again; None when it was tried often or long enough."""
    counted = attempt.failure is not Failure.RATE_LIMITED
    if counted and attempt.tries >= MAX_TRIES:
        return None
    at = now + timedelta(seconds=backoff_s(attempt.tries, attempt.retry_after_s, rng))
    return at if at <= attempt.first_handed_at + TRIES_WITHIN else None


def backoff_s(tries: int, retry_after_s: float | None, rng: random.Random) -> float:
    """Seconds to wait after `tries` calls: full jitter under a growing ceiling, never less than what was asked for."""
    ceiling = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * BACKOFF_FACTOR ** (max(tries, 1) - 1))
    wait = max(SHORTEST_BACKOFF_S, rng.uniform(0, ceiling))
    if retry_after_s is None:
        return wait
    return max(retry_after_s, 0.0) + min(wait, 1 + retry_after_s * 0.1)


def later(now: datetime, seconds: float) -> datetime:
    """`now` and so many seconds."""
    return now + timedelta(seconds=seconds)


def rest_s(faults_in_a_row: int) -> float:
    """How long an account rests after so many passing faults without a success in between; 0: it goes on."""
    if faults_in_a_row < STORM_AFTER:
        return 0.0
    return min(LONGEST_REST_S, 2.0 ** (1 + (faults_in_a_row - STORM_AFTER) // STORM_AFTER))
