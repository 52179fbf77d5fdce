"""Where the application keeps what every handler asks for. Read by `request.config_dict`: it sees subapps too."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from desk.accounts import Accounts

#: The opened `rapport.runtime.Runtime`. Any: the composition root stands above the desk, no import may point up.
RUNTIME: web.AppKey[Any] = web.AppKey("runtime", object)
ACCOUNTS = web.AppKey("accounts", Accounts)


def runtime_of(request: web.Request) -> Any:
    """The runtime this request is served by."""
    return request.config_dict[RUNTIME]


def base_url_of(request: web.Request) -> str:
    """The public address of this deployment as configured, without a closing slash; empty when none is."""
    settings = getattr(runtime_of(request), "settings", None)
    return str(getattr(settings, "base_url", "") or "").rstrip("/")
