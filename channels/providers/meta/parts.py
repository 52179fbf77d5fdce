"""One message of ours that becomes several of Meta's: sent in order, and never doubled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.reading import Json


async def in_order(bodies: Sequence[Json], post: Callable[[Json], Awaitable[str]]) -> tuple[str, ...]:
    """Post each body, the next one when the one before was taken; the ids given to them. Raises `SendFailed`."""
    sent: list[str] = []
    for body in bodies:
        try:
            sent.append(await post(body))
        except SendFailed as error:
            raise _halfway(error, len(sent), len(bodies)) from None
    return tuple(sent)


def _halfway(error: SendFailed, sent: int, parts: int) -> SendFailed:
    """A message of which a part is out must not be repeated as a whole: what could be retried becomes uncertain."""
    if sent == 0 or not CONSEQUENCES[error.failure].retry:
        return error
    detail = f"{sent} of {parts} parts were sent, then: {error}"
    return SendFailed(Failure.UNCERTAIN, detail, provider_code=error.provider_code)
