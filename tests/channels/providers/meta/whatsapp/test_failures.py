"""Every code of the error table, and the two that only their words explain."""

import pytest

from channels.failures import Failure
from channels.providers.meta.graph import read_error
from channels.providers.meta.whatsapp.failures import failure_of

TABLE = {
    Failure.RATE_LIMITED: (4, 80007, 130429, 131056, 131048, 133016),
    Failure.TEMPORARY: (1, 2, 131000, 131016, 131057, 131052),
    Failure.WINDOW_CLOSED: (131047, 470),
    Failure.CONSENT_WITHDRAWN: (131050,),
    Failure.ENGAGEMENT_LIMITED: (131049, 130472),
    Failure.RECIPIENT_UNREACHABLE: (131026, 131030, 131021),
    Failure.NOT_SUPPORTED: (131062,),
    Failure.CONTENT_REJECTED: (100, 131008, 131009, 131051, 131053, *range(132000, 132017), 132068, 132069),
    Failure.ACCOUNT_PROBLEM: (
        0, 3, 10, 190, 200, 250, 299, 368, 131005, 131031, 131037, 131042, 131045, 133010, 130497,
    ),
}  # fmt: skip
ROWS = [(code, failure) for failure, codes in TABLE.items() for code in codes]


@pytest.mark.parametrize(("code", "failure"), ROWS)
def test_table(code: int, failure: Failure) -> None:
    assert failure_of(read_error({"code": code})) is failure


@pytest.mark.parametrize(
    ("code", "detail", "failure"),
    [
        (100, "Parameter 'to' is not a valid phone number.", Failure.RECIPIENT_UNREACHABLE),
        (100, "The parameter to is required.", Failure.RECIPIENT_UNREACHABLE),
        (100, "Invalid parameter: template name", Failure.CONTENT_REJECTED),
        (131053, "Media download failed: connection timed out", Failure.TEMPORARY),
        (131053, "Media upload error: unsupported file type image/bmp", Failure.CONTENT_REJECTED),
    ],
)
def test_words(code: int, detail: str, failure: Failure) -> None:
    assert failure_of(read_error({"code": code, "error_data": {"details": detail}})) is failure


def test_a_code_of_tomorrow_is_nobodys_guess() -> None:
    assert failure_of(read_error({"code": 139999})) is None
