"""One mail over one SMTP connection, step by step, so that each loss says whether the mail may have left.

RFC 5321, 3.3 and 4.5.4.2 (read 2026-11-22): responsibility passes with the answer to the final dot. Where the server
announces it all that stands before the mail itself goes in one group, RFC 2920 (read 2026-11-29).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from channels.failures import Failure, SendFailed
from channels.providers.mail.answers import Stage, failure_of
from channels.providers.mail.compose import Letter
from channels.providers.mail.email.talk import Reply, Talk

#: Seconds for the answers to what is said before the mail, and to the whole mail (a server may scan it first).
COMMAND_S = 30.0
FINAL_S = 60.0

_LEADING_DOT = re.compile(rb"(?m)^\.")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_GO_ON = 354


class LostBefore(Exception):
    """The connection was gone before the server had accepted to take the mail: nothing was sent."""


class _Command(NamedTuple):
    said: bytes
    stage: Stage
    #: Whether the mail goes even where the server refuses this one: a copy.
    may_fail: bool = False


async def transmit(talk: Talk, letter: Letter) -> str:
    """Hand over one mail; returns the server's last words.

    Raises `LostBefore`, or `SendFailed` with the server's reason; `Failure.UNCERTAIN` when the connection was lost
    after the mail had been written and before the server answered. After a refusal the session has to be reset; where
    the server waits for a mail all the same, the connection is closed instead.
    """
    await _begin(talk, letter)
    _must_be_in_step(talk)  # a server may let the mail in and hang up in the same breath
    answers = await talk.ask(_dotted(letter.data), 1, FINAL_S)
    if not answers:
        talk.hang_up()
        words = "The mail server hung up before it said whether it had taken the mail."
        if talk.nonsense is not None:  # it may have meant yes
            words = f"The mail server's answer was unreadable: {talk.nonsense[:200]}"
        raise SendFailed(Failure.UNCERTAIN, words)
    (answer,) = answers
    if answer.code != 250:
        raise refusal("data", answer.code, answer.words)
    return f"{answer.code} {answer.words}"[:500]


async def _begin(talk: Talk, letter: Letter) -> None:
    """MAIL, RCPT for each receiver, DATA. The first receiver must be taken; a refused copy does not stop the mail."""
    commands = _commands(talk, letter)
    _must_be_in_step(talk)
    for group in [commands] if talk.in_groups else [[command] for command in commands]:
        answers = await talk.ask(b"".join(each.said for each in group), len(group), COMMAND_S)
        refused = _refused(group, answers)
        if len(answers) < len(group) or (refused is not None and answers[-1].code == _GO_ON):
            talk.hang_up()
        if refused is not None:
            raise refused
        if len(answers) < len(group):
            raise LostBefore


def _must_be_in_step(talk: Talk) -> None:
    """Raise `LostBefore` where the next answer would not be the one to what is said next."""
    if not talk.is_in_step:
        talk.hang_up()
        raise LostBefore


def _refused(group: Sequence[_Command], answers: Sequence[Reply]) -> SendFailed | None:
    for command, answer in zip(group, answers, strict=False):
        taken = (_GO_ON,) if command.stage == "data" else (250, 251)
        if answer.code not in taken and not command.may_fail:
            return refusal(command.stage, answer.code, answer.words)
    return None


def _commands(talk: Talk, letter: Letter) -> list[_Command]:
    options = _options(talk, letter)
    sender, *receivers = (each.encode() for each in (letter.sender, *letter.recipients))
    if any(_CONTROLS.search(each) for each in (sender, *receivers)):
        raise SendFailed(Failure.CONTENT_REJECTED, "An address holds a control character.")
    return [
        _Command(b" ".join([b"MAIL FROM:<%s>" % sender, *options]) + b"\r\n", "mail"),
        *(_Command(b"RCPT TO:<%s>\r\n" % each, "rcpt", place > 0) for place, each in enumerate(receivers)),
        _Command(b"DATA\r\n", "data"),
    ]


def _options(talk: Talk, letter: Letter) -> list[bytes]:
    smtp = talk.smtp
    limit = smtp.esmtp_extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < len(letter.data):
        raise SendFailed(Failure.CONTENT_REJECTED, f"The mail has {len(letter.data)} bytes; the server takes {limit}.")
    options = [b"SIZE=%d" % len(letter.data)] if smtp.supports_extension("size") else []
    if not letter.international:
        return options
    if not smtp.supports_extension("smtputf8"):
        raise SendFailed(Failure.NOT_SUPPORTED, "The mail server takes no addresses with letters outside of ASCII.")
    return [*options, b"SMTPUTF8", b"BODY=8BITMIME"]


def _dotted(data: bytes) -> bytes:
    """The mail as it is written: a dot at the beginning of a line is doubled, a lone one is the end."""
    if b"\n." in data or data.startswith(b"."):
        data = _LEADING_DOT.sub(b"..", data)
    return data + b".\r\n"


def refusal(stage: Stage, code: int, words: str) -> SendFailed:
    """The error for a server's no."""
    shown = " ".join(words.split())[:500]
    return SendFailed(failure_of(stage, code, words), f"{code} {shown}", provider_code=str(code))
