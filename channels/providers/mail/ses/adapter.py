"""The provider `ses`: mail by Amazon SES (API version 2), receipts and inbound mail by Amazon SNS.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html, …/sns/latest/dg/sns-http-https-endpoint-as-
subscriber.html (read 2026-11-28).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlencode

from pydantic import AfterValidator, Field, SecretStr

from base import clock
from base.errors import Unavailable
from base.http import HttpFailed
from channels.adapter import Account, AccountSettings, Adapter, Answer, Card, Delivery, Http, HttpAnswer, SetupStep
from channels.capabilities import Capabilities, Idempotency
from channels.failures import Failure, SendFailed
from channels.providers.mail.addresses import MailAddress, WebAddressOrNone
from channels.providers.mail.calls import failure_of_answer, files_up_to, lost, wait_s
from channels.providers.mail.compose import Letter, Sender, compose
from channels.providers.mail.files import loaded
from channels.providers.mail.message import Box
from channels.providers.mail.ses.events import KEY, S3, read_event
from channels.providers.mail.ses.sigv4 import Signer
from channels.providers.mail.ses.sns import (
    SUBSCRIBED,
    Certificates,
    certificate_url,
    check_envelope,
    kind_of,
    read_envelope,
    subscribe_url,
)
from channels.reading import Json, identifier, mapping, number, text
from channels.vocabulary import AnyEvent, Attachment, OutboundMessage, SendReceipt

#: Bytes of one file; a whole mail may have 40 MB at SES, base64 included.
MAX_FILE = 20_000_000
#: Seconds for a mail with its files to go up.
SEND_S = 60.0

#: Exceptions of Amazon's → ours. What is missing follows the HTTP status.
_REASONS = {
    "MessageRejected": Failure.CONTENT_REJECTED,
    "MailFromDomainNotVerifiedException": Failure.ACCOUNT_PROBLEM,
    "SendingPausedException": Failure.ACCOUNT_PROBLEM,
    "AccountSuspendedException": Failure.ACCOUNT_PROBLEM,
    "NotFoundException": Failure.ACCOUNT_PROBLEM,  # the configuration set
    "LimitExceededException": Failure.RATE_LIMITED,
    "TooManyRequestsException": Failure.RATE_LIMITED,
    "ThrottlingException": Failure.RATE_LIMITED,
    "Throttling": Failure.RATE_LIMITED,
    "UnrecognizedClientException": Failure.ACCOUNT_PROBLEM,
    "InvalidClientTokenId": Failure.ACCOUNT_PROBLEM,
    "InvalidSignatureException": Failure.ACCOUNT_PROBLEM,
    "SignatureDoesNotMatch": Failure.ACCOUNT_PROBLEM,
    "IncompleteSignatureException": Failure.ACCOUNT_PROBLEM,
    "MissingAuthenticationTokenException": Failure.ACCOUNT_PROBLEM,
    "ExpiredTokenException": Failure.ACCOUNT_PROBLEM,
    "AccessDeniedException": Failure.ACCOUNT_PROBLEM,
    "AuthorizationError": Failure.ACCOUNT_PROBLEM,
    "BadRequestException": Failure.CONTENT_REJECTED,
}
_OUR_SENDER = re.compile(r"not verified|identities failed", re.I)
_TOPIC = re.compile(r"arn:aws[a-z-]{0,10}:sns:([a-z0-9-]{3,30}):[0-9]{1,12}:[A-Za-z0-9_.-]{1,256}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_.@-]{1,256}", re.ASCII)
_OBJECT = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.{1,1024})", re.S)
_CODE = re.compile(rb"<Code>([A-Za-z.]{1,80})</Code>")


def _topics(value: str) -> str:
    if not all(_TOPIC.fullmatch(each) for each in value.split()):
        raise ValueError("is not the ARN of an SNS topic")
    return value


class SesSettings(AccountSettings):
    """An identity at SES, the key pair that sends for it, and the topics that speak of it."""

    from_address: MailAddress = Field(title="Address", min_length=3, description="Of an identity verified at SES.")
    from_name: str = Field("", title="Sender's name", max_length=200, description="Shown beside the address.")
    reply_address: MailAddress = Field(
        "",
        title="Answer address",
        description="Where answers go when that is another address; a receipt rule takes it.",
    )
    region: str = Field(
        title="Region", pattern=r"^[a-z]{2}(-[a-z]{2,12}){1,2}-\d{1,2}$", description="E.g. eu-central-1."
    )
    access_key_id: str = Field(title="Access key ID", pattern=r"^[A-Z0-9]{16,128}$")
    secret_access_key: SecretStr = Field(title="Secret access key")
    topic_arn: Annotated[str, AfterValidator(_topics)] = Field(
        "", title="SNS topic", max_length=1500,
        description="ARN of the topic that posts here; two with a space, where receipts and inbound mail differ.",
    )  # fmt: skip
    configuration_set: str = Field(
        "", title="Configuration set", pattern=r"^[A-Za-z0-9_-]{0,64}$", description="It publishes opens and clicks."
    )
    api_base: WebAddressOrNone = Field(
        "",
        title="API address",
        description="Empty: Amazon's own, by region. Else all calls but confirmations go there.",
    )


class SesAdapter(Adapter):
    """Mail by Amazon SES."""

    card: ClassVar[Card] = Card(
        provider="ses",
        label="Amazon SES",
        kind="email",
        summary="Mail through Amazon SES: sending by its API, receipts and inbound mail through Amazon SNS.",
        settings=SesSettings,
        steps=(
            SetupStep(
                "In the SES console verify your domain and have the account moved out of the sandbox.",
                "https://console.aws.amazon.com/ses/home",
            ),
            SetupStep(
                "In IAM make a user with an access key that may do ses:SendEmail, ses:GetAccount, sns:Subscribe and, "
                "for inbound mail in S3, s3:GetObject. Enter its key pair and the region here.",
                "https://console.aws.amazon.com/iam/home#/users",
            ),
            SetupStep(
                "Make a standard SNS topic in the same region and enter its ARN here.",
                "https://console.aws.amazon.com/sns/v3/home#/topics",
            ),
            SetupStep(
                "Make a configuration set with an event destination to that topic (bounces, complaints, deliveries, "
                "delays, rejects, opens, clicks, subscriptions) and enter its name here."
            ),
            SetupStep(
                "To receive mail, point the MX record of the domain to inbound-smtp.<region>.amazonaws.com and make a "
                "receipt rule with the action SNS, the topic and the encoding Base64 (mails up to 150 KB)."
            ),
            SetupStep(
                "Save, then subscribe {webhook_url} to the topic with the protocol HTTPS and raw message delivery off, "
                "or let us register it. The subscription confirms itself."
            ),
        ),
        documentation=(
            "https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
            "https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html",
            "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
        ),
        mark="Aw",
        hue=30,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=500_000,
        media=files_up_to(MAX_FILE),
        caption=False,
        rate_per_s=14.0,
        idempotency=Idempotency.ECHO,
        delivery_receipts=True,
        sources=("https://docs.aws.amazon.com/ses/latest/dg/quotas.html (read 2026-11-28)",),
    )
    #: SNS posts 256 KB at most.
    max_body_bytes: ClassVar[int] = 1_000_000

    def __init__(self, http: Http) -> None:
        super().__init__(http)
        self.certificates = Certificates()

    # -- in ----------------------------------------------------------------------------------------

    async def prepare(self, account: Account, delivery: Delivery) -> None:
        """Fetch the certificate that a delivery of our topic names, from Amazon's host, unless it is kept already."""
        url = certificate_url(read_envelope(delivery.body), _own_topics(account))
        if url is not None:
            await self.certificates.need(self.http, url)

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Topic, certificate, signature of the fields, age. The account has no secret in this: the topic is its own."""
        check_envelope(read_envelope(delivery.body), _own_topics(account), self.certificates, now)

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        """A topic asks whether it may post here."""
        return Answer() if kind_of(read_envelope(delivery.body)) == SUBSCRIBED else None

    async def confirm(self, account: Account, delivery: Delivery) -> None:
        """Say yes by opening the address in the verified question. Raises `Unavailable`: SNS asks again."""
        url = subscribe_url(read_envelope(delivery.body))
        if url is None:
            return
        try:
            answer = await self.http.request("GET", url, timeout_s=8.0)
        except HttpFailed as error:
            raise Unavailable(f"Amazon could not be told: {error}") from None
        if answer.status != 200:
            raise Unavailable(f"Amazon answered {answer.status} to the confirmation.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """MessageId of SNS; it stays the same when SNS tries again."""
        given = identifier(read_envelope(delivery.body).get("MessageId"))
        return given if given and len(given) <= 200 else super().delivery_key(account, delivery)

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """One event for each recipient that SES names, or the mail that came in."""
        settings: SesSettings = account.settings
        own = tuple(address for address in (settings.from_address, settings.reply_address) if address)
        return read_event(read_envelope(delivery.body), Box(account.channel_id, own), delivery.received_at)

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """A mail that lies in S3, whole. Raises `SendFailed`."""
        found = _OBJECT.fullmatch((attachment.media_id or "").removeprefix(S3))
        if not (attachment.media_id or "").startswith(S3) or found is None:
            raise SendFailed(Failure.NOT_SUPPORTED, "That file does not lie in S3.")
        url = f"{_base(account.settings, 's3')}/{found[1]}/{quote(found[2], safe='/-_.~')}"
        answer = await self._call(account.settings, "s3", "GET", url, b"", max_bytes=max_bytes)
        if answer.status != 200:
            code = _CODE.search(answer.body)
            words = f"S3 answered {answer.status} {code[1].decode() if code else ''}".strip()
            failure = Failure.TEMPORARY if answer.status >= 500 else Failure.CONTENT_REJECTED
            raise SendFailed(failure, f"{words}; the key pair needs s3:GetObject.", provider_code=str(answer.status))
        return answer.body, "message/rfc822"

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One mail, put together by us. SES gives it a Message-ID of its own, under which answers come."""
        settings: SesSettings = account.settings
        message = await loaded(self.http, message, max_bytes=MAX_FILE)
        sender = Sender(settings.from_address, settings.from_name, settings.reply_address)
        letter = compose(message, sender, clock.now())
        if letter.international:
            raise SendFailed(Failure.NOT_SUPPORTED, "SES takes no addresses with letters outside of ASCII.")
        found = await self._ask(settings, "POST", "/v2/email/outbound-emails", _body(settings, letter, message.key))
        given = text(found.get("MessageId"))
        ids = (given, f"{given}@{_id_domain(settings.region)}", letter.message_id) if given else (letter.message_id,)
        return SendReceipt(message_ids=ids)

    async def check(self, account: Account) -> str:
        """Ask for the account's quota."""
        found = await self._ask(account.settings, "GET", "/v2/email/account", None)
        if found.get("SendingEnabled") is False:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Amazon has switched off sending for this account.")
        quota = mapping(found.get("SendQuota"))
        most, sent = number(quota.get("Max24HourSend")) or 0, number(quota.get("SentLast24Hours")) or 0
        sandbox = (
            "" if found.get("ProductionAccessEnabled") is True else " Still in the sandbox: only to verified addresses."
        )
        return f"The key pair may send; {sent:.0f} of {most:.0f} mails of this day are used.{sandbox}"

    async def register_webhook(self, account: Account, url: str) -> str | None:
        """Subscribe `url` to every topic; SNS then asks back, and the question confirms itself."""
        settings: SesSettings = account.settings
        topics = _own_topics(account)
        for topic in topics:
            form = {
                "Action": "Subscribe", "Version": "2010-03-31", "TopicArn": topic, "Protocol": url.partition(":")[0],
                "Endpoint": url,
            }  # fmt: skip
            region = topic.split(":")[3]
            answer = await self._call(
                settings, "sns", "POST", f"{_base(settings, 'sns', region)}/", urlencode(form).encode(), region=region,
                kind="application/x-www-form-urlencoded",
            )  # fmt: skip
            if answer.status != 200:
                raise _refusal(answer)
        return f"Subscribed to {len(topics)} topics; Amazon asks back in a moment." if topics else None

    async def _ask(self, settings: SesSettings, method: str, path: str, body: Json | None) -> Json:
        data = json.dumps(body).encode() if body is not None else b""
        url = f"{_base(settings, 'email')}{path}"
        answer = await self._call(settings, "ses", method, url, data, kind="application/json")
        found = answer.json()
        if answer.status == 200 and isinstance(found, dict):
            return found
        if answer.status == 200:
            raise SendFailed(Failure.UNCERTAIN, "The answer of SES could not be read.", provider_code="200")
        raise _refusal(answer)

    async def _call(
        self, settings: SesSettings, service: str, method: str, url: str, body: bytes, *, region: str = "",
        kind: str = "", max_bytes: int = 1_000_000,
    ) -> HttpAnswer:  # fmt: skip
        """One signed request. Raises `SendFailed` when no whole answer came."""
        secret = settings.secret_access_key.get_secret_value()
        signer = Signer(settings.access_key_id, secret, region or settings.region, service)
        extra = {"Content-Type": kind} if kind else {}
        if service == "s3":
            extra["x-amz-content-sha256"] = signer.digest(body)
        headers = signer.headers(method, url, body, clock.now(), extra)
        try:
            return await self.http.request(
                method, url, headers=headers, data=body or None, timeout_s=SEND_S, max_bytes=max_bytes
            )
        except HttpFailed as error:
            raise lost(error) from None


def _own_topics(account: Account) -> tuple[str, ...]:
    return tuple(account.settings.topic_arn.split())


def _base(settings: SesSettings, service: str, region: str = "") -> str:
    """Amazon's address of a service in the region, or the one address that stands for all of them."""
    where = region or settings.region
    return settings.api_base or f"https://{service}.{where}.amazonaws.com{'.cn' if where.startswith('cn-') else ''}"


def _id_domain(region: str) -> str:
    """What SES writes behind the `@` of the Message-ID it gives a mail."""
    return "email.amazonses.com" if region == "us-east-1" else f"{region}.amazonses.com"


def _body(settings: SesSettings, letter: Letter, key: str) -> Json:
    to, *copies = letter.recipients
    body: Json = {
        "FromEmailAddress": settings.from_address,
        "Destination": {"ToAddresses": [to], **({"CcAddresses": copies} if copies else {})},
        "Content": {"Raw": {"Data": base64.b64encode(letter.data).decode()}},
    }
    if _TAG.fullmatch(key):
        body["EmailTags"] = [{"Name": KEY, "Value": key}]
    if settings.configuration_set:
        body["ConfigurationSetName"] = settings.configuration_set
    return body


def _refusal(answer: HttpAnswer) -> SendFailed:
    """The type of the error stands in a header (JSON services) or in the body (XML)."""
    found: Mapping[str, Any] = mapping(answer.json())
    in_xml = _CODE.search(answer.body[:5000])
    named = (
        answer.headers.get("x-amzn-errortype") or text(found.get("__type")) or (in_xml[1].decode() if in_xml else "")
    )
    code = named.partition(":")[0].rpartition("#")[2][:100]
    words = (text(found.get("message")) or text(found.get("Message")) or f"Amazon answered {answer.status} {code}")[
        :500
    ]
    failure = _REASONS.get(code) or failure_of_answer(answer.status)
    if code == "MessageRejected" and _OUR_SENDER.search(words):
        failure = Failure.ACCOUNT_PROBLEM
    return SendFailed(
        failure, words.strip(), provider_code=code or str(answer.status), retry_after_s=wait_s(answer.headers)
    )


ADAPTER = SesAdapter
