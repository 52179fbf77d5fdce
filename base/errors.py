"""The error families. Doors translate them to a status, a retry or a page; nothing else decides that.

Each carries a stable `code` for programs and a sentence for a person, never a secret. `Misconfigured` stands
outside the root on purpose, so that nobody who handles the ordinary ones swallows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Marks the name of a member of a union, which pydantic puts into the path of a fault: no part of what was written.
MEMBER = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"


@dataclass(frozen=True)
class FieldError:
    """One fault in the input: where (`steps[2].for`), and what to do about it."""

    path: str
    message: str


class RapportError(Exception):
    """The root. `code` is stable, `str(error)` is a sentence for a person."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class WrongInput(RapportError):
    """The caller's input makes no sense; the same call will never succeed (HTTP 422)."""

    code = "wrong_input"

    def __init__(self, message: str, errors: Sequence[FieldError] = (), *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.errors = tuple(errors)


class TooLarge(WrongInput):
    """More bytes than are taken here (HTTP 413)."""

    code = "too_large"


class Refused(RapportError):
    """Understood and not done: no right, no consent, a wrong signature (HTTP 401 or 403)."""

    code = "refused"


class Unauthenticated(Refused):
    """Nobody knows who is asking (HTTP 401)."""

    code = "unauthenticated"


class NotFound(RapportError):
    """No such thing, or none that the caller may see (HTTP 404)."""

    code = "not_found"


class Conflict(RapportError):
    """The state changed under the caller, or the key is taken (HTTP 409)."""

    code = "conflict"


class TooSlow(Conflict):
    """It would take the database longer than one question may take; nothing was done (HTTP 409)."""

    code = "too_slow"


class TooMany(RapportError):
    """Asked too often (HTTP 429)."""

    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(RapportError):
    """A store of ours does not answer; worth trying again (HTTP 503)."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Misconfigured(Exception):
    """A setting or the environment is wrong. The message names the setting and the line that mends it."""
