"""SMTP codes and enhanced status codes → failure reasons."""

from __future__ import annotations

import pytest

from channels.failures import Failure
from channels.providers.mail.answers import Stage, enhanced, failure_of, failure_of_status


@pytest.mark.parametrize(
    ("stage", "code", "text", "wanted"),
    [
        ("rcpt", 550, "5.1.1 no such user", Failure.RECIPIENT_UNREACHABLE),
        ("rcpt", 550, "no such user", Failure.RECIPIENT_UNREACHABLE),
        ("rcpt", 553, "5.1.2 bad domain", Failure.RECIPIENT_UNREACHABLE),
        ("rcpt", 550, "5.2.1 mailbox disabled", Failure.RECIPIENT_UNREACHABLE),
        ("rcpt", 552, "5.2.2 mailbox full", Failure.UNKNOWN),
        ("rcpt", 550, "5.7.1 blocked by policy", Failure.CONTENT_REJECTED),
        ("rcpt", 554, "5.7.1 <a@b>: Relay access denied", Failure.ACCOUNT_PROBLEM),
        ("rcpt", 530, "5.7.0 authentication required", Failure.ACCOUNT_PROBLEM),
        ("rcpt", 450, "4.2.0 greylisted, come back", Failure.RATE_LIMITED),
        ("rcpt", 450, "4.2.1 mailbox busy", Failure.TEMPORARY),
        ("rcpt", 452, "4.5.3 too many recipients", Failure.RATE_LIMITED),
        ("mail", 550, "5.7.1 sender not allowed", Failure.ACCOUNT_PROBLEM),
        ("mail", 553, "5.1.8 sender domain", Failure.ACCOUNT_PROBLEM),
        ("mail", 552, "5.3.4 message too big", Failure.CONTENT_REJECTED),
        ("mail", 421, "4.7.0 too many connections", Failure.RATE_LIMITED),
        ("mail", 451, "4.3.0 local error", Failure.TEMPORARY),
        ("data", 554, "5.7.1 looks like spam", Failure.CONTENT_REJECTED),
        ("data", 550, "5.1.1 unknown", Failure.RECIPIENT_UNREACHABLE),
        ("data", 554, "transaction failed", Failure.CONTENT_REJECTED),
        ("data", 452, "4.3.1 out of space", Failure.TEMPORARY),
        ("auth", 535, "5.7.8 bad credentials", Failure.ACCOUNT_PROBLEM),
        ("auth", 454, "4.7.0 temporary", Failure.RATE_LIMITED),
        ("greeting", 554, "no SMTP for you", Failure.ACCOUNT_PROBLEM),
        ("greeting", 421, "busy", Failure.TEMPORARY),
    ],
)
def test_table(stage: Stage, code: int, text: str, wanted: Failure) -> None:
    assert failure_of(stage, code, text) is wanted


def test_enhanced() -> None:
    assert enhanced("550-5.1.1 The account") == (5, 1, 1)
    assert enhanced("see 10.5.1.1 or 5.1.1.2 or version 15.1.20") is None
    assert enhanced("") is None


def test_passing_status() -> None:
    assert failure_of_status(4, 1, 1) is Failure.TEMPORARY
