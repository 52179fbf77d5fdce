"""What the webhooks of journeys are signed with (Standard Webhooks)."""

from __future__ import annotations

from typing import Any

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import View

operations = Operations("journeys")


class WebhookSecretView(View):
    """The secret with which receivers check `webhook-signature`."""

    secret: str


@operations("GET", "/webhook-secret", roles=["admin"], returns=WebhookSecretView, shows_secret=True)
async def get_webhook_secret(call: Call) -> Any:
    """The secret with which webhook steps of journeys are signed; made when it is first asked for."""
    refuse_scoped(call)
    return WebhookSecretView(secret=await call.runtime.call_secrets.current())


@operations("POST", "/webhook-secret/exchange", roles=["admin"], returns=WebhookSecretView, shows_secret=True)
async def exchange_webhook_secret(call: Call) -> Any:
    """Make a new one. For a day both sign, so that receivers can follow."""
    refuse_scoped(call)
    return WebhookSecretView(secret=await call.runtime.call_secrets.exchange())
