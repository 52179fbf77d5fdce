"""One call of Viber's API: request and answer. The token goes into a header only.

https://developers.viber.com/docs/api/rest-bot-api/#authentication-token (read 2026-11-28). Viber answers 200 to
nearly everything and says in `status` what happened.
"""

from __future__ import annotations

from base.http import HttpFailed
from channels.adapter import Account, Http, Unreadable
from channels.failures import Failure, SendFailed
from channels.providers.viber.card import ViberSettings
from channels.providers.viber.failures import no_answer, refusal, refused_by_http
from channels.reading import Json, integer, read_json, text


class ViberApi:
    """The API for one bot."""

    def __init__(self, http: Http, account: Account, timeout_s: float) -> None:
        settings: ViberSettings = account.settings
        self._http = http
        self._base = settings.api_base
        self._timeout_s = timeout_s
        self._headers = {"X-Viber-Auth-Token": settings.auth_token.get_secret_value()}

    async def ask(self, method: str, body: Json, *, lost: Failure = Failure.TEMPORARY) -> Json:
        """Call `method`; its answer with `status` 0. Raises `SendFailed`: `lost` where nobody knows what came of it."""
        try:
            answer = await self._http.request(
                "POST", f"{self._base}/pa/{method}", headers=self._headers, json=body, timeout_s=self._timeout_s
            )
        except HttpFailed as failed:
            raise no_answer(failed, lost=lost) from None
        if not 200 <= answer.status < 300:
            raise refused_by_http(answer)
        try:
            said = read_json(answer.body)
        except Unreadable:
            said = None
        status = integer(said.get("status")) if isinstance(said, dict) else None
        if not isinstance(said, dict) or status is None:
            raise SendFailed(lost, "Viber's answer could not be read.", provider_code=f"http {answer.status}")
        if status != 0:
            raise refusal(status, text(said.get("status_message")) or "")
        return said
