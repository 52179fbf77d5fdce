"""What LINE's refusals mean in the words of every channel.

https://developers.line.biz/en/reference/messaging-api/#error-responses, #status-codes (read 2026-11-28). LINE has no
codes beyond the HTTP status, so one table reads its words and another its status.
"""

from __future__ import annotations

from base.http import HttpFailed
from channels.adapter import HttpAnswer
from channels.failures import Failure, SendFailed
from channels.reading import items, mapping, number, text

_DETAIL_MAX = 300
#: (status, words in lower case): read in order, before the status alone.
_WORDS: tuple[tuple[int, str, Failure], ...] = (
    # The quota of the plan: nothing but the next month or another plan mends it.
    (429, "monthly limit", Failure.ACCOUNT_PROBLEM),
    (400, "monthly limit", Failure.ACCOUNT_PROBLEM),
    (400, "failed to send messages", Failure.RECIPIENT_UNREACHABLE),
    (400, "the property, 'to',", Failure.RECIPIENT_UNREACHABLE),
    (400, "the property, to,", Failure.RECIPIENT_UNREACHABLE),
    (400, "authentication failed", Failure.ACCOUNT_PROBLEM),
)
_STATUSES: dict[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,  # the plan or the account's kind does not include this call
    404: Failure.ACCOUNT_PROBLEM,  # no such address: it is not LINE that we are talking to
    408: Failure.TEMPORARY,
    425: Failure.TEMPORARY,
    429: Failure.RATE_LIMITED,
}


def refusal(answer: HttpAnswer) -> SendFailed:
    """The failure an error answer stands for: `{"message", "details": [{"message", "property"}]}`."""
    said = words_of(answer)
    named = next(
        (failure for status, word, failure in _WORDS if status == answer.status and word in said.lower()), None
    )
    return SendFailed(
        named or by_status(answer.status),
        said or f"LINE answered {answer.status}.",
        provider_code=str(answer.status),
        retry_after_s=number(answer.headers.get("retry-after")),
    )


def words_of(answer: HttpAnswer) -> str:
    """LINE's own words, with the first details."""
    body = mapping(answer.json())
    parts = [text(body.get("message"))]
    for detail in items(body.get("details"))[:3]:
        where, what = text(mapping(detail).get("property")), text(mapping(detail).get("message"))
        parts.append(": ".join(part for part in (where, what) if part))
    return " · ".join(part for part in parts if part)[:_DETAIL_MAX]


def by_status(status: int) -> Failure:
    """What the HTTP status alone says."""
    if status >= 500:
        return Failure.TEMPORARY
    if 300 <= status < 400:  # redirects are never followed
        return Failure.ACCOUNT_PROBLEM
    return _STATUSES.get(status, Failure.CONTENT_REJECTED if 400 <= status < 500 else Failure.UNKNOWN)


def no_answer(failed: HttpFailed, *, lost: Failure = Failure.TEMPORARY) -> SendFailed:
    """The failure when no whole answer came; `lost`: what it means when the request had left us."""
    if failed.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(failed))
    return SendFailed(lost if failed.sent else Failure.TEMPORARY, str(failed))
