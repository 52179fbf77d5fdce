"""The Slack adapter: ties parsing and composing to Slack's signature and Web API."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import filetype

from base.http import HttpFailed
from channels.adapter import Account, Adapter, Answer, Card, Delivery, Unreadable, Unverified
from channels.capabilities import Capabilities
from channels.failures import Failure, SendFailed
from channels.providers.slack.api import SlackApi, missing_scope
from channels.providers.slack.card import CAPABILITIES, CARD, FILE_MAX_BYTES, SCOPES
from channels.providers.slack.compose import is_person, plan_of
from channels.providers.slack.objects import person_of, slack_id
from channels.providers.slack.outgoing import carry_out
from channels.providers.slack.parse import parse_delivery
from channels.providers.slack.payload import read_payload, type_of
from channels.providers.slack.signature import verify_signature
from channels.providers.slack.words import name_of
from channels.reading import Json, integer, mapping, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, Person, SendReceipt

#: Words of users.info for somebody whom we may not see, or who is none.
_NOBODY = frozenset({"user_not_found", "user_not_visible", "users_not_found"})


class SlackAdapter(Adapter):
    """One app in one workspace is one account."""

    card: ClassVar[Card] = CARD
    capabilities: ClassVar[Capabilities] = CAPABILITIES
    #: For one call of the Web API.
    timeout_s: float = 15.0

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """Give `url_verification` its challenge back, when it is signed."""
        challenge = _challenge(delivery)
        if challenge is None:
            return None
        if delivery.received_at is None:
            raise Unverified("The challenge has no time of receipt to judge it by.")
        self.verify(account, delivery, delivery.received_at)
        return Answer(body=challenge.encode(errors="replace"))

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """See `channels.providers.slack.signature`."""
        verify_signature(account, delivery, now)

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The event's id, which repeats with a retry; commands and buttons have none, so their bytes stand for it."""
        try:
            payload = read_payload(delivery.body)
        except Unreadable:
            payload = {}
        return slack_id(payload.get("event_id")) or super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """See `channels.providers.slack.parse`."""
        return parse_delivery(account.channel_id, delivery)

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """Slack knows no idempotency: a repeat is a second message. Files and a text with buttons go as two."""
        objection = self.capabilities.objection(message)
        if objection is not None:
            raise SendFailed(Failure.NOT_SUPPORTED, objection)
        plan = plan_of(message)
        # Everything is fetched before the first call, so that a missing file does not leave half a message behind.
        files = [(_name(file), await self._bytes(file)) for file in plan.files]
        return SendReceipt(message_ids=await carry_out(self._api(account), plan, files))

    async def react(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """reactions.remove of what stood there, reactions.add of the new one: Slack keeps several of one app."""
        reaction, api = message.reaction, self._api(account)
        conversation, _, stamp = (reaction.message_id if reaction else "").rpartition(":")
        if reaction is None or not stamp:
            raise SendFailed(Failure.CONTENT_REJECTED, "Slack knows no message to react to.")
        place: Json = {"channel": conversation, "timestamp": stamp}
        if reaction.former and reaction.former != reaction.emoji:
            await _unless(api, "reactions.remove", {**place, "name": name_of(reaction.former)}, "no_reaction")
        if reaction.emoji:
            await _unless(api, "reactions.add", {**place, "name": name_of(reaction.emoji)}, "already_reacted")
        return SendReceipt(message_ids=())

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """Fetch the file with the bot token; where it lies is asked when the event did not say."""
        api, url = self._api(account), text(attachment.extra.get("address"))
        if attachment.media_id is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "This attachment has no file behind it.")
        if (attachment.size_bytes or 0) > max_bytes:
            raise SendFailed(Failure.CONTENT_REJECTED, f"The file has more than {max_bytes} bytes.")
        if url is None:
            url = _address(mapping((await api.ask("files.info", file=attachment.media_id)).get("file")), max_bytes)
        answer = await api.download(url, max_bytes)
        told = attachment.media_type or "application/octet-stream"
        is_page = answer.headers.get("content-type", "").lower().startswith("text/html")
        if is_page and (told != "text/html" or "content-disposition" not in answer.headers):
            raise missing_scope()
        return answer.body, filetype.guess_mime(answer.body) or told

    async def lookup(self, account: Account, external_id: str) -> Person | None:
        """Name, picture, language and confirmed mail address by users.info; None for a channel."""
        if not is_person(external_id):
            return None
        try:
            found = await self._api(account).ask("users.info", user=external_id, include_locale="true")
        except SendFailed as failed:
            if failed.provider_code in _NOBODY:
                return None
            raise
        user = mapping(found.get("user"))
        profile = mapping(user.get("profile"))
        person = person_of(profile, user.get("real_name") or user.get("name"))
        confirmed = user.get("is_email_confirmed") is True
        more = {"locale": text(user.get("locale")), "email": text(profile.get("email")) if confirmed else None}
        return person.model_copy(update=more) if person else None

    async def check(self, account: Account) -> str:
        """auth.test: whose token it is, and whether it may do what we need."""
        found, headers = await self._api(account).ask_with_headers("auth.test")
        if not found.get("bot_id"):
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "This token belongs to a person; the bot token is needed.")
        who = f"Connected to {text(found.get('team')) or 'the workspace'} as {text(found.get('user')) or 'the app'}."
        if "x-oauth-scopes" not in headers:
            return who
        granted = {each.strip() for each in headers["x-oauth-scopes"].split(",")}
        missing = [f"{scope} ({why})" for scope, why in SCOPES.items() if scope not in granted]
        return f"{who} Missing scopes: {', '.join(missing)}." if missing else f"{who} All scopes are there."

    def _api(self, account: Account) -> SlackApi:
        return SlackApi(self.http, account, self.timeout_s)

    async def _bytes(self, file: Attachment) -> bytes:
        if file.content is not None:
            return file.content
        try:
            answer = await self.http.request("GET", file.url or "", timeout_s=60.0, max_bytes=FILE_MAX_BYTES)
        except HttpFailed as failed:
            lasting = failed.reason in ("refused_address", "bad_url", "too_large")
            raise SendFailed(Failure.CONTENT_REJECTED if lasting else Failure.TEMPORARY, str(failed)) from None
        if answer.status != 200:
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, f"The file's server answered {answer.status}.")
        return answer.body


async def _unless(api: SlackApi, method: str, body: Json, code: str) -> None:
    """Do it; that it is so already is no failure."""
    try:
        await api.do(method, body, repeatable=True)
    except SendFailed as failed:
        if failed.provider_code != code:
            raise


def _challenge(delivery: Delivery) -> str | None:
    if delivery.method != "POST" or b"url_verification" not in delivery.body:
        return None
    try:
        payload = read_payload(delivery.body)
    except Unreadable:
        return None
    return text(payload.get("challenge")) if type_of(payload) == "url_verification" else None


def _name(file: Attachment) -> str:
    given = file.file_name or (file.url or "").partition("?")[0].rpartition("/")[2]
    return "".join(char for char in given if char.isprintable() and char not in '"\\/')[:200] or "file"


def _address(file: Json, max_bytes: int) -> str:
    """Where files.info says that a file lies."""
    url = text(file.get("url_private_download")) or text(file.get("url_private"))
    if url is None:
        raise SendFailed(Failure.CONTENT_REJECTED, "Slack gives this file no address.")
    if (integer(file.get("size")) or 0) > max_bytes:
        raise SendFailed(Failure.CONTENT_REJECTED, f"The file has more than {max_bytes} bytes.")
    return url


ADAPTER = SlackAdapter
