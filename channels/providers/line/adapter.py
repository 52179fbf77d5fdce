"""The LINE adapter: ties parsing and composing to LINE's signature and Messaging API."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from urllib.parse import quote

import filetype

from base.http import HttpFailed
from base.signing import hmac_b64, same
from channels.adapter import Account, Adapter, Card, Delivery, HttpAnswer, Unverified
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.line.api import FILE_TIMEOUT_S, LineApi, Taken, retry_key
from channels.providers.line.card import CAPABILITIES, CARD
from channels.providers.line.compose import pushes
from channels.providers.line.failures import refusal
from channels.providers.line.objects import person_of
from channels.providers.line.parse import parse_delivery
from channels.reading import Json, integer, mapping, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, Person, SendReceipt

HEADER = "x-line-signature"
#: LINE is still converting a video; it takes seconds, not minutes.
_PREPARING_S = 5.0
_GONE = (404, 410)


class LineAdapter(Adapter):
    """One official account per account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    #: For one call of the API.
    timeout_s: float = 15.0

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Base64 HMAC-SHA256 over the raw body under the channel secret. LINE signs no time."""
        given = delivery.header(HEADER)
        matches = [same(given, hmac_b64(secret, delivery.body)) for secret in account.secrets("channel_secret")]
        if not any(matches):
            raise Unverified("The signature does not match.")

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.line.parse`."""
        return parse_delivery(account.channel_id, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Push, with a retry key from the first try on: a repeat of the whole message doubles nothing."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        parts, api = pushes(message), self._api(account)
        taken: list[Taken] = []
        for place, objects in enumerate(parts):
            try:
                taken.append(await api.push(message.to.external_id, objects, retry_key(message.key, place)))
            except SendFailed as failed:
                raise _partly(failed, len(taken), len(parts)) from None
        return SendReceipt(
            message_ids=tuple(each for part in taken for each in part.message_ids),
            repeated=all(part.repeated for part in taken),
        )

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """From LINE's host for files with our token; from an app's own address without it."""
        if attachment.media_id is None:
            answer = await self._outside(attachment, max_bytes)
        else:
            answer = await self._kept(self._api(account), quote(attachment.media_id, safe=""), max_bytes)
        told = attachment.media_type or answer.headers.get("content-type", "").partition(";")[0].strip()
        return answer.body, filetype.guess_mime(answer.body) or told or "application/octet-stream"

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name, picture and language of a friend; name and picture of a group. Rooms have neither."""
        quoted = quote(external_id, safe="")
        path = f"/v2/bot/group/{quoted}/summary" if external_id.startswith("C") else f"/v2/bot/profile/{quoted}"
        try:
            found = await self._api(account).get(path)
        except SendFailed as failed:
            if failed.provider_code in ("400", "404"):  # not a friend, not in that group, or no id of LINE's
                return None
            raise
        picture, language = text(found.get("pictureUrl")), text(found.get("language"))
        if external_id.startswith("C"):
            return Person(name=text(found.get("groupName")), avatar_url=picture)
        return person_of(external_id, text(found.get("displayName")), picture, language)

    async def check(self, account: Account) -> str:
        """The account behind the token, its webhook, and what is left of the month's messages."""
        api = self._api(account)
        bot = await api.get("/v2/bot/info")
        quota = await api.get("/v2/bot/message/quota")
        used = await api.get("/v2/bot/message/quota/consumption")
        name, handle = text(bot.get("displayName")) or "the account", text(bot.get("basicId"))
        return f"Connected to {name}{f' ({handle})' if handle else ''}. {_quota(quota, used)}"

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Tell LINE the address; that the webhook is used at all is switched on in LINE's console alone."""
        api = self._api(account)
        await api.put("/v2/bot/channel/webhook/endpoint", {"endpoint": url})
        state = await api.get("/v2/bot/channel/webhook/endpoint")
        if state.get("active") is True:
            return f"LINE now posts to {url}."
        return f"LINE knows {url} now. Switch on Use webhook in the LINE Developers console, tab Messaging API."

    def _api(self, account: Account) -> LineApi:
        return LineApi(self.http, account, self.timeout_s)

    async def _kept(self, api: LineApi, message_id: str, max_bytes: int) -> HttpAnswer:
        answer = await api.file(f"/v2/bot/message/{message_id}/content", max_bytes)
        if answer.status == 202:
            state = await api.file(f"/v2/bot/message/{message_id}/content/transcoding", 10_000)
            if mapping(state.json()).get("status") == "failed":
                raise SendFailed(Failure.CONTENT_REJECTED, "LINE could not convert this file.", provider_code="202")
            raise SendFailed(
                Failure.TEMPORARY, "LINE is still preparing this file.", provider_code="202", retry_after_s=_PREPARING_S
            )
        if answer.status in _GONE:
            raise SendFailed(
                Failure.CONTENT_REJECTED, "LINE does not keep this file any more.", provider_code=str(answer.status)
            )
        if answer.status != 200:
            raise refusal(answer)
        return answer

    async def _outside(self, attachment: Attachment, max_bytes: int) -> HttpAnswer:
        if attachment.url is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "LINE gives no file for this; a sticker is only named.")
        try:
            answer = await self.http.request("GET", attachment.url, timeout_s=FILE_TIMEOUT_S, max_bytes=max_bytes)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url", "too_large")
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status != 200:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, f"The file's server answered {answer.status}.", provider_code=str(answer.status))
        return answer


ADAPTER = LineAdapter


def _partly(failed: SendFailed, taken: int, parts: int) -> SendFailed:
    """Says how far it went. The failure stays, for LINE drops the first parts of a repeat by their keys."""
    if not taken:
        return failed
    return SendFailed(
        failed.failure,
        f"{taken} of {parts} parts were sent, then: {failed}",
        provider_code=failed.provider_code,
        retry_after_s=failed.retry_after_s,
    )


def _quota(quota: Json, used: Json) -> str:
    limit, spent = integer(quota.get("value")), integer(used.get("totalUsage")) or 0
    if quota.get("type") != "limited" or limit is None:
        return f"{spent} messages were sent this month; the plan sets no limit."
    return f"{spent} of this month's {limit} messages are used."
