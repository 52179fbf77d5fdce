"""What every channel of Meta asks for: the same app proves the deliveries of all of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

#: The Graph API's version where nobody chose one.
VERSION = "v25.0"

AppSecret = Annotated[
    SecretStr,
    Field(
        title="App secret",
        description="App settings, Basic. Proves that a delivery comes from Meta.",
        min_length=1,
    ),
]
VerifyToken = Annotated[
    SecretStr,
    Field(
        title="Verify token",
        description="A word of your own in plain letters and digits; the webhook form at Meta asks for the same.",
        min_length=1,
    ),
]
ApiBase = Annotated[
    str,
    Field(
        title="API address",
        description="Change it only to go through a proxy of your own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    ),
]
ApiVersion = Annotated[
    str,
    Field(
        title="API version",
        description="Meta retires a version about two years after its release.",
        pattern=r"^v[0-9]{1,3}\.[0-9]{1,2}$",
    ),
]
AppId = Annotated[
    str,
    Field(
        title="App ID",
        description="Not needed. With it we can set the callback address, and say whether a thread was passed to us.",
        pattern=r"^[0-9]{0,32}$",
    ),
]
HumanAgent = Annotated[
    bool,
    Field(
        title="Human agent permission",
        description="Meta granted the app Human Agent: people may answer for seven days, machines for one.",
    ),
]
