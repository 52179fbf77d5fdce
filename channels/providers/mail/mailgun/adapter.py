"""The provider `mailgun`: mail by Mailgun's API, inbound mail by a route, receipts by webhooks.

https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages, …/user-manual/webhooks/webhooks
(read 2026-11-28).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote

from pydantic import Field, SecretStr

from base.http import HttpFailed
from base.signing import hmac_hex, same, within
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, SetupStep, Unreadable, Unverified
from channels.capabilities import Capabilities, Idempotency
from channels.failures import Failure, SendFailed
from channels.providers.mail.addresses import Host, MailAddress, WebAddress
from channels.providers.mail.calls import basic, failure_of_answer, files_up_to, lost, wait_s
from channels.providers.mail.compose import Outline, Sender, outline_of, phrase
from channels.providers.mail.files import loaded
from channels.providers.mail.forms import is_form, read_form, write_form
from channels.providers.mail.mailgun.events import read_event, read_inbound
from channels.providers.mail.message import Box
from channels.providers.mail.mime import safe_file_name
from channels.providers.mail.threading import bare_id
from channels.reading import identifier, items, mapping, read_json, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, SendReceipt

#: Bytes of one file; a whole mail may have 25 MB at Mailgun, base64 included.
MAX_FILE = 15_000_000
#: Seconds for a mail with its files to go up.
SEND_S = 60.0
#: How long a signed time is taken.
TOLERANCE_S = 600.0
#: What we have Mailgun tell, in the words of its webhooks.
WEBHOOKS = ("delivered", "opened", "clicked", "unsubscribed", "complained", "permanent_fail", "temporary_fail")

_BAD_RECIPIENT = re.compile(r"'?\bto\b'? parameter|not a valid address", re.I)


class MailgunSettings(AccountSettings):
    """A sending domain at Mailgun and its two keys."""

    from_address: MailAddress = Field(title="Address", min_length=3, description="An address of the sending domain.")
    from_name: str = Field("", title="Sender's name", max_length=200, description="Shown beside the address.")
    reply_address: MailAddress = Field(
        "",
        title="Answer address",
        description="Where answers go when that is another address; a route posts them here.",
    )
    domain: Host = Field(title="Sending domain", min_length=3, description="As Mailgun lists it, e.g. mg.example.com.")
    api_key: SecretStr = Field(title="API key")
    signing_key: SecretStr = Field(
        title="Webhook signing key",
        description="HTTP webhook signing key, on the page of the API keys; not the API key.",
    )
    api_base: WebAddress = Field(
        "https://api.mailgun.net", title="API address", description="https://api.eu.mailgun.net for domains in the EU."
    )


class Proof(NamedTuple):
    """What Mailgun puts into every post."""

    timestamp: str | None
    token: str | None
    signature: str | None


class MailgunAdapter(Adapter):
    """Mail by Mailgun."""

    card: ClassVar[Card] = Card(
        provider="mailgun",
        label="Mailgun",
        kind="email",
        summary="Mail through Mailgun: sending by its API, receiving by a route, receipts by its webhooks.",
        settings=MailgunSettings,
        steps=(
            SetupStep(
                "In Mailgun open your sending domain and see that its DNS records are verified.",
                "https://app.mailgun.com/mg/sending/domains",
            ),
            SetupStep(
                "Copy an API key and the HTTP webhook signing key.", "https://app.mailgun.com/settings/api_security"
            ),
            SetupStep(
                "To receive mail, set the MX records of the domain to Mailgun, and under Receiving make a route for "
                'the address with the action forward("{webhook_url}").'
            ),
            SetupStep(
                "Under Webhooks add {webhook_url} for delivered, opened, clicked, unsubscribed, complained, permanent "
                "and temporary failure. Or save, then let us register these webhooks and the route."
            ),
        ),
        documentation=(
            "https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages",
            "https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks",
            "https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-forward-store",
        ),
        mark="Mg",
        hue=356,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=500_000,
        media=files_up_to(MAX_FILE),
        caption=False,
        rate_per_s=50.0,
        idempotency=Idempotency.ECHO,
        delivery_receipts=True,
        sources=(
            "https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages (read 2026-11-28)",
        ),
    )
    #: Larger mails would not fit the journal's one document; Mailgun tries again for hours and shows the refusal.
    max_body_bytes: ClassVar[int] = 15_000_000

    # -- in ----------------------------------------------------------------------------------------

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """HMAC over time and token. The body is *not* signed: see `delivery_key` for what that leaves open."""
        proof = _proof(delivery)
        if not (proof.timestamp and proof.token and len(proof.token) <= 200):
            raise Unverified("The delivery carries no signature.")
        signed = f"{proof.timestamp}{proof.token}".encode("utf-8", "replace")
        known = [same(proof.signature, hmac_hex(key, signed)) for key in account.secrets("signing_key")]
        if not any(known):
            raise Unverified("The signature does not match.")
        if not within(proof.timestamp, now, TOLERANCE_S):
            raise Unverified("The signature is too old.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The token: used once by Mailgun, so that nobody can send other content with a signature he saw."""
        token = _proof(delivery).token
        return f"token {token}" if token and len(token) <= 200 else super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """A form of a route is a mail, JSON is one event."""
        settings: MailgunSettings = account.settings
        own = tuple(address for address in (settings.from_address, settings.reply_address) if address)
        box = Box(account.channel_id, own)
        if is_form(delivery):
            return read_inbound(read_form(delivery), box, delivery.received_at)
        payload = read_json(delivery.body)
        if not isinstance(payload, dict):
            raise Unreadable("The body is not a JSON object.")
        return [read_event(payload, box, delivery.received_at)]

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One mail under our own Message-ID. The send key comes back as a variable of its events."""
        settings: MailgunSettings = account.settings
        message = await loaded(self.http, message, max_bytes=MAX_FILE)
        outline = outline_of(message, Sender(settings.from_address, settings.from_name, settings.reply_address))
        kind, body = write_form(_fields(outline, message.key), _files(outline, message.attachments))
        found = await self._ask(settings, "POST", f"/v3/{_domain(settings)}/messages", kind, body)
        given = bare_id(text(found.get("id")) or "")
        ids = dict.fromkeys(each for each in (outline.message_id, given) if each)
        return SendReceipt(message_ids=tuple(ids), raw={"message": text(found.get("message"))})

    async def check(self, account: Account) -> str:
        """Ask for the domain with the key."""
        settings: MailgunSettings = account.settings
        found = await self._ask(settings, "GET", f"/v3/domains/{_domain(settings)}")
        state = text(mapping(found.get("domain")).get("state")) or "unknown"
        if state != "active":
            raise SendFailed(
                Failure.ACCOUNT_PROBLEM, f"Mailgun says that the domain {settings.domain} is {state[:50]}."
            )
        return f"The key may use the domain {settings.domain}, and Mailgun calls it active."

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """A webhook for each kind of event, and a route for the addresses of this account."""
        settings: MailgunSettings = account.settings
        for name in WEBHOOKS:
            await self._set_webhook(settings, name, url)
        made = [
            await self._set_route(settings, own, url) for own in (settings.from_address, settings.reply_address) if own
        ]
        return f"Mailgun posts {len(WEBHOOKS)} kinds of events from now on; {sum(made)} new routes for inbound mail."

    async def _set_webhook(self, settings: MailgunSettings, name: str, url: str) -> None:
        path = f"/v3/domains/{_domain(settings)}/webhooks"
        try:
            await self._ask(settings, "PUT", f"{path}/{name}", *write_form([("url", url)], ()))
        except SendFailed as error:
            if error.provider_code != "404":
                raise
            await self._ask(settings, "POST", path, *write_form([("id", name), ("url", url)], ()))

    async def _set_route(self, settings: MailgunSettings, own: str, url: str) -> bool:
        """True when there was none yet for this address and this URL."""
        expression = f'match_recipient("^{_pattern(own)}$")'
        listed = items((await self._ask(settings, "GET", "/v3/routes?limit=1000")).get("items"))
        for route in map(mapping, listed):
            if route.get("expression") == expression and any(url in str(each) for each in items(route.get("actions"))):
                return False
        fields = [
            ("priority", "0"), ("description", "Rapport"), ("expression", expression), ("action", f'forward("{url}")'),
            ("action", "stop()"),
        ]  # fmt: skip
        await self._ask(settings, "POST", "/v3/routes", *write_form(fields, ()))
        return True

    async def _ask(
        self, settings: MailgunSettings, method: str, path: str, kind: str | None = None, body: bytes | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": basic("api", settings.api_key.get_secret_value()), "Accept": "application/json"}
        if kind:
            headers["Content-Type"] = kind
        url = f"{settings.api_base}{path}"
        try:
            answer = await self.http.request(method, url, headers=headers, data=body, timeout_s=SEND_S)
        except HttpFailed as error:
            raise lost(error) from None
        found = answer.json()
        if 200 <= answer.status < 300 and isinstance(found, dict):
            return found
        if 200 <= answer.status < 300:
            raise SendFailed(Failure.UNCERTAIN, "Mailgun's answer could not be read.", provider_code=str(answer.status))
        raise _refusal(answer.status, mapping(found), answer.headers)


def _proof(delivery: Delivery) -> Proof:
    """Time, token and signature: fields of a form, an object of JSON. All None where it is neither."""
    try:
        if is_form(delivery):
            form = read_form(delivery)
            return Proof(form.one("timestamp"), form.one("token"), form.one("signature"))
        found = mapping(mapping(read_json(delivery.body)).get("signature"))
    except Unreadable:
        return Proof(None, None, None)
    return Proof(identifier(found.get("timestamp")), text(found.get("token")), text(found.get("signature")))


def _domain(settings: MailgunSettings) -> str:
    return quote(settings.domain, safe=".-")


def _pattern(own: str) -> str:
    """A Mailgun expression for our address with and without a tag."""
    local, _, domain = own.rpartition("@")
    return rf"{re.escape(local)}(\+.*)?@{re.escape(domain)}"


def _fields(outline: Outline, key: str) -> list[tuple[str, str]]:
    name = outline.from_name
    fields = [
        ("from", f"{phrase(name)} <{outline.from_address}>" if name else outline.from_address),
        ("to", outline.to),
        ("subject", outline.subject),
        ("text", outline.text),
        ("h:Message-Id", f"<{outline.message_id}>"),
        ("v:key", key),
    ]
    optional = [("html", outline.html), ("cc", ", ".join(outline.cc)), ("h:Reply-To", outline.reply_to)]
    fields += [(name, value) for name, value in optional if value]
    return fields + [(f"h:{name}", value) for name, value in outline.fields]


def _files(outline: Outline, files: tuple[Attachment, ...]) -> list[tuple[str, Attachment, str]]:
    """An inline picture is named by its Content-ID: that is how Mailgun makes it one."""
    found = []
    for file in files:
        inline = file.inline and file.content_id and outline.html
        shown = file.content_id if inline else safe_file_name(file.file_name)
        found.append(("inline" if inline else "attachment", file, shown or "file"))
    return found


def _refusal(status: int, found: Mapping[str, Any], headers: Mapping[str, str]) -> SendFailed:
    words = (text(found.get("message")) or f"Mailgun answered {status}.")[:500]
    failure = failure_of_answer(status)
    if status == 400 and _BAD_RECIPIENT.search(words):
        failure = Failure.RECIPIENT_UNREACHABLE
    return SendFailed(failure, words, provider_code=str(status), retry_after_s=wait_s(headers))


ADAPTER = MailgunAdapter
