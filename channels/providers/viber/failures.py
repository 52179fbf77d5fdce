"""What Viber's status codes mean in the words of every channel.

https://developers.viber.com/docs/api/rest-bot-api/#error-codes (read 2026-11-28). Answers carry the codes, the
receipt `failed` only words.
"""

from __future__ import annotations

from base.http import HttpFailed
from channels.adapter import HttpAnswer
from channels.failures import Failure, SendFailed
from channels.reading import number

#: Every code that is not here is Viber's general error: try again.
CODES: dict[int, Failure] = {
    **dict.fromkeys((1, 2, 7, 8, 9, 10, 15, 23, 24), Failure.ACCOUNT_PROBLEM),
    **dict.fromkeys((3, 4, 13, 14), Failure.CONTENT_REJECTED),
    **dict.fromkeys((5, 11, 21), Failure.RECIPIENT_UNREACHABLE),
    6: Failure.RECIPIENT_BLOCKED,  # not subscribed, or not any more
    12: Failure.RATE_LIMITED,
}
_WORDS: tuple[tuple[str, Failure], ...] = (
    ("not subscribed", Failure.RECIPIENT_BLOCKED),
    ("notsubscribed", Failure.RECIPIENT_BLOCKED),
    ("blocked", Failure.RECIPIENT_BLOCKED),
    ("not registered", Failure.RECIPIENT_UNREACHABLE),
    ("notregistered", Failure.RECIPIENT_UNREACHABLE),
    ("suitable device", Failure.RECIPIENT_UNREACHABLE),
    ("too many requests", Failure.RATE_LIMITED),
    ("not supported", Failure.CONTENT_REJECTED),
    ("invalid", Failure.CONTENT_REJECTED),
)
_STATUSES: dict[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    425: Failure.TEMPORARY,
    429: Failure.RATE_LIMITED,
}
_DETAIL_MAX = 300


def failure_in_words(said: str) -> Failure:
    """What a receipt's description means, as far as its words are known."""
    lower = said.lower()
    return next((failure for words, failure in _WORDS if words in lower), Failure.UNKNOWN)


def refusal(code: int, said: str) -> SendFailed:
    """The failure of a `status` other than 0."""
    failure = CODES.get(code, Failure.TEMPORARY)
    return SendFailed(failure, said[:_DETAIL_MAX] or f"Viber answered with status {code}.", provider_code=str(code))


def refused_by_http(answer: HttpAnswer) -> SendFailed:
    """The failure of an HTTP status other than 2xx, which Viber itself hardly uses: a proxy, a limit, an outage."""
    status = answer.status
    failure = _STATUSES.get(status, Failure.CONTENT_REJECTED)
    if status >= 500:
        failure = Failure.TEMPORARY
    elif status < 400:  # redirects are never followed
        failure = Failure.ACCOUNT_PROBLEM
    wait = number(answer.headers.get("retry-after"))
    return SendFailed(failure, f"Viber answered {status}.", provider_code=f"http {status}", retry_after_s=wait)


def no_answer(failed: HttpFailed, *, lost: Failure) -> SendFailed:
    """The failure when no whole answer came; `lost`: what it means when the request had left us."""
    if failed.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(failed))
    return SendFailed(lost if failed.sent else Failure.TEMPORARY, str(failed))
