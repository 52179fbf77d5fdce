"""What the codes of an Official Account mean beyond those that all of Tencent shares.

https://developers.weixin.qq.com/doc/oplatform/developers/errCode/errCode.html (by the platform facts of 2026-11-28).
"""

from __future__ import annotations

from channels.failures import Failure
from channels.providers.tencent.failures import SHARED, Codes

CODES: Codes = {
    **SHARED,
    **dict.fromkeys((45015, 45047), Failure.WINDOW_CLOSED),
    43004: Failure.RECIPIENT_BLOCKED,  # does not follow the account
    43019: Failure.RECIPIENT_BLOCKED,  # on the account's own black list
    43101: Failure.RECIPIENT_BLOCKED,  # did not subscribe to this kind of template
    48002: Failure.RECIPIENT_BLOCKED,  # has switched off messages of the account
    **dict.fromkeys((40036, 40037, 47003, 87014, 45157, 45158, 45159), Failure.CONTENT_REJECTED),
    **dict.fromkeys((40125, 40164, 48001, 48004, 48006, 50001, 50002, 50005, 61451), Failure.ACCOUNT_PROBLEM),
}

#: `Status` of a template's receipt, in lower case without white space.
RECEIPTS: dict[str, Failure] = {
    "failed:userblock": Failure.RECIPIENT_BLOCKED,
    "failed:systemfailed": Failure.TEMPORARY,
}
