"""Types for settings: a mail address, a host, a web address."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from channels.providers.mail.headers import valid_address

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[?[0-9A-Fa-f:.]{2,45}\]?")


def _address(value: str) -> str:
    if value and not valid_address(value):
        raise ValueError("is not a mail address")
    return value


def _host(value: str) -> str:
    if value and not _HOST.fullmatch(value):
        raise ValueError("is not a host name")
    return value


def _web(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("is not a web address")
    return value.rstrip("/")


def _web_or_none(value: str) -> str:
    return _web(value) if value else ""


MailAddress = Annotated[str, AfterValidator(_address)]
Host = Annotated[str, AfterValidator(_host)]
WebAddress = Annotated[str, AfterValidator(_web)]
#: Empty where the provider's own address follows from other settings.
WebAddressOrNone = Annotated[str, AfterValidator(_web_or_none)]
