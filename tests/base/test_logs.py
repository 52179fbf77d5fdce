"""Nothing secret or personal reaches a log line."""

import pytest

from base.logs import redact, scrub


@pytest.mark.parametrize(
    "secret",
    ["https://api.telegram.org/bot12345:AAF-x_y/getMe", "Authorization: Bearer abcdefghijk", "access_token=EAAB123",
     "mongodb://user:hunter2@db:27017/", "whsec_MfKQ9r8GKYqrTw", "anna@example.org wrote", "call +4915112345678 now"],
)  # fmt: skip
def test_free_text_is_scrubbed(secret: str) -> None:
    clean = scrub(secret)
    for leak in ("AAF-x_y", "abcdefghijk", "EAAB123", "hunter2", "MfKQ9r8", "anna@example", "15112345678"):
        assert leak not in clean


def test_secret_keys_are_hidden_and_tracebacks_scrubbed() -> None:
    event = redact(None, "", {"event": "x", "app_secret": "s3", "exception": "token=abc", "channel": "chn_1"})
    assert event == {"event": "x", "app_secret": "[hidden]", "exception": "token=[secret]", "channel": "chn_1"}
