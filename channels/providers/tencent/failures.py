"""What Tencent's codes mean in the words of every channel: those that its platforms share, and how answers are judged.

https://developers.weixin.qq.com/doc/oplatform/developers/errCode/errCode.html and
https://developer.work.weixin.qq.com/document/path/90313 (by the platform facts of 2026-11-28).
Each provider adds its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from base.http import HttpFailed
from channels.adapter import HttpAnswer
from channels.failures import Failure, SendFailed
from channels.reading import integer, mapping, number, text

Codes = Mapping[int, Failure]

#: The token is wrong or has ended: worth one new token.
TOKEN_CODES = frozenset({40001, 40014, 42001})
#: How much of Tencent's words is kept.
_DETAIL_MAX = 300

SHARED: Codes = {
    -1: Failure.TEMPORARY,
    **dict.fromkeys(TOKEN_CODES, Failure.TEMPORARY),  # after one new token: another program may be fetching its own
    **dict.fromkeys((45009, 45011, 45035), Failure.RATE_LIMITED),
    40003: Failure.RECIPIENT_UNREACHABLE,
    **dict.fromkeys(
        (40004, 40005, 40006, 40007, 40008, 40009, 40010, 40011, 40058, 41006, 44004, 45001, 45002, 45007, 45008),
        Failure.CONTENT_REJECTED,
    ),
    **dict.fromkeys((40013, 41002, 41004, 48002), Failure.ACCOUNT_PROBLEM),
}
#: The same codes, when it was the token itself that was asked for.
_CREDENTIALS = frozenset({40001, 40002, 40013, 40091, 40125, 40164, 40243, 41002, 41004, 42001, 60020})
_STATUSES: dict[int, Failure] = {
    401: Failure.ACCOUNT_PROBLEM,
    403: Failure.ACCOUNT_PROBLEM,
    404: Failure.ACCOUNT_PROBLEM,
    408: Failure.TEMPORARY,
    413: Failure.CONTENT_REJECTED,
    429: Failure.RATE_LIMITED,
}


def code_of(answer: HttpAnswer) -> int:
    """Tencent's `errcode`; 0 where the answer names none, and for a file: whoever sent it chose what is in it."""
    return 0 if is_file(answer) else integer(mapping(answer.json()).get("errcode")) or 0


def is_file(answer: HttpAnswer) -> bool:
    """True for a file that is given out: it comes with its name, an error or an address does not."""
    return "content-disposition" in answer.headers


def refusal(answer: HttpAnswer, codes: Codes, secrets: tuple[str, ...] = ()) -> SendFailed:
    """The failure an error answer stands for, with Tencent's code and words, without our secrets."""
    body = mapping(answer.json())
    code = integer(body.get("errcode"))
    said = clean(text(body.get("errmsg")) or f"Tencent answered {code or answer.status}.", secrets)
    failure = codes.get(code, Failure.UNKNOWN) if code else _by_status(answer.status, answered=bool(body))
    return SendFailed(
        failure,
        said,
        provider_code=str(code or answer.status),
        retry_after_s=number(answer.headers.get("retry-after")),
    )


def no_token(answer: HttpAnswer, codes: Codes, secrets: tuple[str, ...]) -> SendFailed:
    """Why there is no token: mostly credentials or the list of allowed addresses, which a person has to mend."""
    failed = refusal(answer, codes, secrets)
    if code_of(answer) not in _CREDENTIALS:
        return failed
    return SendFailed(Failure.ACCOUNT_PROBLEM, failed.detail, provider_code=failed.provider_code)


def clean(said: str, secrets: tuple[str, ...]) -> str:
    """Tencent's words without what they may repeat of our request."""
    for secret in secrets:
        said = said.replace(secret, "[secret]") if secret else said
    return re.sub(r"(access_token|secret)=[^&\s]+", r"\1=[secret]", said)[:_DETAIL_MAX]


def no_answer(failed: HttpFailed, *, lost: Failure) -> SendFailed:
    """The failure when no whole answer came; `lost`: what it means when the request had left us."""
    if failed.reason in ("refused_address", "bad_url"):
        return SendFailed(Failure.ACCOUNT_PROBLEM, str(failed))
    return SendFailed(lost if failed.sent else Failure.TEMPORARY, str(failed))


def _by_status(status: int, *, answered: bool) -> Failure:
    if status == 504 and not answered:
        return Failure.UNCERTAIN  # a gateway gave up waiting; what stands behind it may have gone on
    if status >= 500:
        return Failure.TEMPORARY
    if 300 <= status < 400:  # redirects are never followed
        return Failure.ACCOUNT_PROBLEM
    return _STATUSES.get(status, Failure.CONTENT_REJECTED if 400 <= status < 500 else Failure.UNKNOWN)
