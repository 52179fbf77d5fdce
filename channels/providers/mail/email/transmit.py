"""One mail over one SMTP connection, step by step, so that each loss says whether the mail may have left.

RFC 5321, 3.3 and 4.5.4.2 (read 2026-11-22): responsibility passes with the answer to the final dot.
"""

from __future__ import annotations

import re

import aiosmtplib

from channels.failures import Failure, SendFailed
from channels.providers.mail.answers import Stage, failure_of
from channels.providers.mail.compose import Letter

#: Seconds for the answer to one command, and to the whole mail (a server may scan it first).
COMMAND_S = 30.0
FINAL_S = 60.0

_LEADING_DOT = re.compile(rb"(?m)^\.")
_LOST = (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPTimeoutError, ConnectionError, TimeoutError, OSError)


class LostBefore(Exception):
    """The connection was gone before the server had accepted to take the mail: nothing was sent."""


async def transmit(smtp: aiosmtplib.SMTP, letter: Letter) -> str:
    """Hand over one mail; returns the server's last words.

    Raises `LostBefore`, or `SendFailed` with the server's reason; `Failure.UNCERTAIN` when the connection was lost
    after the mail had been written and before the server answered. Refused before the data: the session is reset.
    """
    try:
        await _begin(smtp, letter)
    except (*_LOST, aiosmtplib.SMTPResponseException):  # the latter: an answer that is none
        smtp.close()
        raise LostBefore from None
    protocol = smtp.protocol
    if protocol is None:
        raise LostBefore
    try:
        protocol.write(_LEADING_DOT.sub(b"..", letter.data) + b".\r\n")
        answer = await protocol.read_response(timeout=FINAL_S)
    except _LOST:
        smtp.close()
        raise SendFailed(
            Failure.UNCERTAIN, "The mail server hung up before it said whether it had taken the mail."
        ) from None
    except aiosmtplib.SMTPResponseException as error:  # an answer that is none: it may have meant yes
        smtp.close()
        raise SendFailed(Failure.UNCERTAIN, f"The mail server's answer was unreadable: {error.message[:200]}") from None
    if answer.code != 250:
        raise refusal("data", answer.code, answer.message)
    return f"{answer.code} {answer.message}"[:500]


async def _begin(smtp: aiosmtplib.SMTP, letter: Letter) -> None:
    """MAIL, RCPT for each receiver, DATA. The first receiver must be taken; a refused copy does not stop the mail."""
    options = _options(smtp, letter)
    await _say(smtp, "mail", b"MAIL", b"FROM:<%s>" % letter.sender.encode(), *options)
    first, *copies = letter.recipients
    await _say(smtp, "rcpt", b"RCPT", b"TO:<%s>" % first.encode())
    for copy in copies:
        await smtp.execute_command(b"RCPT", b"TO:<%s>" % copy.encode(), timeout=COMMAND_S)
    await _say(smtp, "data", b"DATA")


def _options(smtp: aiosmtplib.SMTP, letter: Letter) -> list[bytes]:
    limit = smtp.esmtp_extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < len(letter.data):
        raise SendFailed(Failure.CONTENT_REJECTED, f"The mail has {len(letter.data)} bytes; the server takes {limit}.")
    options = [b"SIZE=%d" % len(letter.data)] if smtp.supports_extension("size") else []
    if not letter.international:
        return options
    if not smtp.supports_extension("smtputf8"):
        raise SendFailed(Failure.NOT_SUPPORTED, "The mail server takes no addresses with letters outside of ASCII.")
    return [*options, b"SMTPUTF8", b"BODY=8BITMIME"]


async def _say(smtp: aiosmtplib.SMTP, stage: Stage, *command: bytes) -> None:
    answer = await smtp.execute_command(*command, timeout=COMMAND_S)
    if answer.code not in ((354,) if command == (b"DATA",) else (250, 251)):
        raise refusal(stage, answer.code, answer.message)


def refusal(stage: Stage, code: int, words: str) -> SendFailed:
    """The error for a server's no."""
    shown = " ".join(words.split())[:500]
    return SendFailed(failure_of(stage, code, words), f"{code} {shown}", provider_code=str(code))
