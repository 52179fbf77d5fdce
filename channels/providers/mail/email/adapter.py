"""The provider `email`: any mail server. Out by SMTP, in by our own listener (`webhooks/mail_listener.py`) or by IMAP.

The way in is the proof of origin: a delivery of the listener or of a poll says so as its method and carries no headers.
Nothing that came over HTTP can look like that, so a post to /webhooks/email/… is refused, whatever it holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import aiosmtplib
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from base import clock
from base.http import AddressGuard, HttpFailed
from channels.adapter import Account, AccountSettings, Adapter, Card, Delivery, Http, Page, SetupStep, Unverified
from channels.capabilities import Capabilities, Idempotency, MediaLimit
from channels.failures import Failure, SendFailed
from channels.providers.mail import dkim
from channels.providers.mail.addresses import Host, MailAddress
from channels.providers.mail.compose import Letter, Sender, compose
from channels.providers.mail.email.fetching import EVERY_S, FETCHED, LEFT, Fetching, left_behind
from channels.providers.mail.email.mailbox import Login
from channels.providers.mail.email.pool import Pool, hang_up
from channels.providers.mail.email.talk import Talk
from channels.providers.mail.email.transmit import COMMAND_S, LostBefore, refusal, transmit
from channels.providers.mail.files import loaded
from channels.providers.mail.message import MAX_MAIL, Box, Envelope, read_mail
from channels.providers.mail.threading import is_ours
from channels.vocabulary import AnyEvent, AttachmentKind, OutboundMessage, SendReceipt

#: The method of a delivery that our own listener took.
LISTENER = "LMTP"
_OURS = (LISTENER, FETCHED, LEFT)
CONNECT_S = 10.0
#: Bytes of one outgoing file. Most servers take 20–25 MB a mail, and base64 adds a third.
MAX_FILE = 10_000_000


def _tls(value: Any) -> Any:
    """Words and switches people use for the same three things."""
    if isinstance(value, bool):
        return "starttls" if value else "none"
    words = {"": "none", "off": "none", "false": "none", "plain": "none", "ssl": "tls", "true": "starttls"}
    return words.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _selector(value: Any) -> Any:
    if isinstance(value, str) and value.strip() and not dkim.SELECTOR.fullmatch(value.strip()):
        raise ValueError("a selector holds letters, digits, dots and hyphens")
    return value


def _rsa_key(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        dkim.record_of(value.get_secret_value())
    return value


Port = Annotated[int, Field(ge=1, le=65535)]


class EmailSettings(AccountSettings):
    """A mailbox and the server that sends for it."""

    from_address: MailAddress = Field(title="Address", min_length=3, description="Customers write to it and see it.")
    from_name: str = Field("", title="Sender's name", max_length=200, description="Shown beside the address.")
    reply_address: MailAddress = Field(
        "", title="Answer address", description="Where answers go when that is another address; it needs plus tags."
    )
    return_address: MailAddress = Field(
        "", title="Return address",
        description="Bounces come to it, each under a plus tag of its own. Empty: to the address above. It has to be "
        "fetched by this channel, and the SMTP server has to let it be the sender.",
    )  # fmt: skip
    smtp_host: Host = Field("", title="SMTP host", description="Empty: this channel only receives.")
    smtp_port: Port = Field(587, title="SMTP port")
    smtp_user: str = Field("", title="SMTP user", max_length=300)
    smtp_password: SecretStr = Field(SecretStr(""), title="SMTP password")
    smtp_tls: Annotated[Literal["none", "starttls", "tls"], BeforeValidator(_tls)] = Field(
        "starttls", title="Encryption", description="starttls for port 587, tls for 465, none inside one machine."
    )
    dkim_selector: Annotated[str, BeforeValidator(_selector)] = Field(
        "", title="DKIM selector", max_length=63,
        description="The name of the signing key, for who signs here. The page “Deliverability” makes a key.",
    )  # fmt: skip
    dkim_private_key: Annotated[SecretStr, AfterValidator(_rsa_key)] = Field(
        SecretStr(""), title="DKIM private key", description="RSA, as PEM or base64."
    )
    dkim_on: bool = Field(False, title="Sign with DKIM", description="Only once the record stands in the DNS.")
    imap_host: Host = Field("", title="IMAP host", description="Mail is fetched from there. Empty: nothing is fetched.")
    imap_port: Port = Field(993, title="IMAP port")
    imap_user: str = Field("", title="IMAP user", max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")
    imap_password: SecretStr = Field(SecretStr(""), title="IMAP password")
    imap_tls: Annotated[Literal["none", "starttls", "tls"], BeforeValidator(_tls)] = Field(
        "tls", title="IMAP encryption", description="tls for port 993, starttls for 143, none inside one machine."
    )


class EmailAdapter(Adapter):
    """Any mailbox behind a server that speaks SMTP."""

    card: ClassVar[Card] = Card(
        provider="email",
        label="E-mail",
        kind="email",
        summary="Your own mail server: answers go out by SMTP, letters are fetched by IMAP or come in by LMTP.",
        settings=EmailSettings,
        steps=(
            SetupStep("Enter the address customers write to and the server that sends for it."),
            SetupStep(
                "To fetch mail from a mailbox, enter its IMAP host, user and password. Google and Microsoft want a "
                "password made for programs (app password), not your own. Only what comes from now on is fetched; "
                "nothing in the mailbox is marked or deleted."
            ),
            SetupStep(
                "Or let your mail server hand mail over at once: start Rapport with RAPPORT_MAIL_LISTEN=127.0.0.1:8025 "
                "and RAPPORT_MAIL_PROTOCOL=lmtp and send it there what comes for this address (Postfix: "
                "transport_maps with lmtp:[127.0.0.1]:8025)."
            ),
            SetupStep(
                "Let the server accept plus tags (Postfix: recipient_delimiter = +): answers are sorted by them."
            ),
        ),
        documentation=(
            "https://www.rfc-editor.org/rfc/rfc5321",
            "https://www.rfc-editor.org/rfc/rfc3501",
            "https://www.rfc-editor.org/rfc/rfc2033",
            "https://www.postfix.org/lmtp.8.html",
        ),
        mark="@",
        hue=215,
    )
    capabilities: ClassVar[Capabilities] = Capabilities(
        text_limit=500_000,
        media=tuple(
            MediaLimit(kind=kind, max_bytes=MAX_FILE) for kind in AttachmentKind if kind is not AttachmentKind.STICKER
        ),
        caption=False,
        rate_per_s=1000.0,  # the server decides; an account can be given less
        idempotency=Idempotency.RECEIVER,
        sources=("https://www.rfc-editor.org/rfc/rfc5321 (read 2026-11-22)",),
    )
    max_body_bytes: ClassVar[int] = MAX_MAIL

    def __init__(self, http: Http) -> None:
        super().__init__(http)
        self._guard: AddressGuard = getattr(http, "guard", None) or AddressGuard()
        self._pools: dict[str, tuple[EmailSettings, Pool]] = {}
        self._fetching = Fetching(self._dial)

    # -- in ----------------------------------------------------------------------------------------

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """Only what the listener or a poll handed over is mail. HTTP never is."""
        if delivery.method not in _OURS or delivery.headers or delivery.param("recipient") is None:
            raise Unverified("Mail comes in by the mail listener or is fetched; it never comes by HTTP.")

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """The mail and whom it was for: one mail to two of our addresses is kept twice."""
        recipient = (delivery.param("recipient") or "").lower()
        return hashlib.sha256(recipient.encode("utf-8", "replace") + b"\0" + delivery.body).hexdigest()

    def parse(self, account: Account, delivery: Delivery) -> list[AnyEvent]:
        """A message, the receipts of a report, or word of a mail that was left. Raises only `Unreadable`."""
        if delivery.method == LEFT:
            return [left_behind(account.channel_id, delivery)]
        settings: EmailSettings = account.settings
        recipient = delivery.param("recipient") or settings.from_address
        envelope = Envelope(delivery.param("sender"), recipient, delivery.received_at)
        return read_mail(delivery.body, Box(account.channel_id, own_addresses(settings)), envelope)

    def answers_to(self, account: Account, recipient: str) -> bool:
        """True when mail to `recipient` (plus tags allowed) is this account's. For the listener's look-up."""
        return any(is_ours(recipient, own) for own in own_addresses(account.settings))

    def poll_every_s(self, account: Account) -> float | None:
        """Every minute, where there is a mailbox to fetch from."""
        return EVERY_S if account.settings.imap_host and account.settings.imap_user else None

    async def poll(self, account: Account, cursor: str | None, hint: str | None) -> Page:
        """The next mails of the mailbox. Cursor: `uidvalidity:uid` of the last one handled, and whose box."""
        return await self._fetching.poll(_login(account.settings), own_addresses(account.settings), cursor)

    # -- out ---------------------------------------------------------------------------------------

    async def send(self, account: Account, message: OutboundMessage) -> SendReceipt:
        """One mail. A repeat of the same key has the same Message-ID, so that its receiver can drop the double."""
        settings: EmailSettings = account.settings
        if not settings.smtp_host:
            raise SendFailed(Failure.NOT_SUPPORTED, "This channel has no SMTP host: it only receives.")
        message = await loaded(self.http, message, max_bytes=MAX_FILE)
        sender = Sender(settings.from_address, settings.from_name, settings.reply_address, settings.return_address)
        letter = compose(message, sender, clock.now())
        signer = signer_of(settings)
        if signer is not None:
            letter = replace(letter, data=dkim.signed(letter.data, signer, clock.now()))
        words = await self._hand_over(account, letter)
        return SendReceipt(message_ids=(letter.message_id,), raw={"answer": words})

    async def check(self, account: Account) -> str:
        """Connect and sign in, at the server for sending and at the mailbox."""
        settings: EmailSettings = account.settings
        return f"{await self._check_out(settings)} {await self._check_in(settings)}"

    async def _check_out(self, settings: EmailSettings) -> str:
        if not settings.smtp_host:
            return "No SMTP host is set: this channel only receives."
        smtp = await self._connect(settings)
        words = "signed in" if settings.smtp_user else "no sign-in wanted"
        hang_up(smtp)
        return f"{settings.smtp_host}:{settings.smtp_port} answered ({_safe(settings.smtp_tls)}, {words})."

    async def _check_in(self, settings: EmailSettings) -> str:
        if not settings.imap_host:
            return "No IMAP host is set: nothing is fetched."
        if not settings.imap_user:
            raise SendFailed(Failure.ACCOUNT_PROBLEM, "Fetching by IMAP wants a user and a password.")
        login = _login(settings)
        count = await self._fetching.look(login)
        return f"{login.where} answered ({_safe(login.tls)}, signed in, {count} mails in the mailbox)."

    async def close(self) -> None:
        """Hang up everywhere."""
        for _, pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._fetching.close()

    async def _hand_over(self, account: Account, letter: Letter) -> str:
        """Over a kept connection if there is one. One that died of idleness is replaced once: nothing had been sent."""
        pool = self._pool(account)
        for fresh in (False, True):
            async with pool.line(fresh=fresh) as line:
                try:
                    return await transmit(line.talk, letter)
                except LostBefore:
                    line.broken = True
                    if fresh or not line.reused:
                        raise SendFailed(
                            Failure.TEMPORARY, "The mail server hung up before the mail was sent."
                        ) from None
                except SendFailed:
                    line.broken = not await _ready_again(line.talk)
                    raise
        raise AssertionError("unreachable")

    def _pool(self, account: Account) -> Pool:
        """The account's pool; a new one when its settings have changed."""
        settings: EmailSettings = account.settings
        known = self._pools.get(account.channel_id)
        if known is not None and known[0] == settings:
            return known[1]
        if known is not None:
            known[1].close()
        pool = Pool(lambda: self._connect(settings))
        self._pools[account.channel_id] = (settings, pool)
        return pool

    async def _connect(self, settings: EmailSettings) -> aiosmtplib.SMTP:
        """A connection that has greeted, switched to TLS and signed in. Raises `SendFailed`."""
        domain = settings.from_address.rpartition("@")[2]
        smtp = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            username=settings.smtp_user or None,
            password=settings.smtp_password.get_secret_value() if settings.smtp_user else None,
            local_hostname=domain if domain.isascii() else "localhost",
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=COMMAND_S,
        )
        opened = await self._dial(settings.smtp_host, settings.smtp_port)
        try:
            await smtp.connect(sock=opened, port=None)
            if smtp.is_ehlo_or_helo_needed:
                await smtp.ehlo()
        except aiosmtplib.SMTPAuthenticationError as error:
            raise refusal("auth", error.code, error.message) from None
        except aiosmtplib.SMTPResponseException as error:
            raise refusal("greeting", error.code, error.message) from None
        except (aiosmtplib.SMTPException, ValueError, OSError) as error:
            raise _no_connection(settings, error) from None
        finally:
            if not smtp.is_connected:
                opened.close()
        return smtp

    async def _dial(self, host: str, port: int) -> socket.socket:
        """A connected socket to an address that the guard has permitted: the name is not looked up again."""
        try:
            address = await self._guard.resolve(host.strip("[]"), port)
        except HttpFailed as error:
            failure = Failure.ACCOUNT_PROBLEM if error.reason == "refused_address" else Failure.TEMPORARY
            raise SendFailed(failure, str(error)) from None
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(opened, (address, port))
        except (OSError, TimeoutError):
            opened.close()
            raise SendFailed(Failure.TEMPORARY, f"{host}:{port} could not be reached.") from None
        except BaseException:
            opened.close()
            raise
        return opened


def signer_of(settings: EmailSettings) -> dkim.Signer | None:
    """Whose signature stands under our mails; None where the server signs, or nobody does."""
    key = settings.dkim_private_key.get_secret_value()
    domain = settings.from_address.rpartition("@")[2].lower()
    if not settings.dkim_on or not key or not settings.dkim_selector or not domain.isascii():
        return None
    return dkim.Signer(domain, settings.dkim_selector, key)


def own_addresses(settings: EmailSettings) -> tuple[str, ...]:
    """The addresses under which the account is reached."""
    known = (settings.from_address, settings.reply_address, settings.return_address)
    return tuple(dict.fromkeys(address for address in known if address))


def _login(settings: EmailSettings) -> Login:
    password = settings.imap_password.get_secret_value()
    return Login(settings.imap_host, settings.imap_port, settings.imap_user, password, settings.imap_tls)


def _safe(tls: str) -> str:
    return "encrypted" if tls != "none" else "not encrypted"


def _no_connection(settings: EmailSettings, error: Exception) -> SendFailed:
    """TLS and sign-in that the server does not offer are ours to mend; the rest passes."""
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return SendFailed(
            Failure.ACCOUNT_PROBLEM, f"No trusted connection to {where}: wrong encryption or certificate."
        )
    if isinstance(error, aiosmtplib.SMTPConnectError | aiosmtplib.SMTPServerDisconnected | TimeoutError):
        return SendFailed(Failure.TEMPORARY, f"{where} closed the connection before it could be used.")
    if isinstance(error, aiosmtplib.SMTPException):
        return SendFailed(
            Failure.ACCOUNT_PROBLEM, f"{where} does not offer what the settings ask for (TLS or sign-in)."
        )
    return SendFailed(Failure.TEMPORARY, f"{where} could not be used: {type(error).__name__}.")


async def _ready_again(talk: Talk) -> bool:
    """After a refusal: True when the session could be reset, so that the connection may be kept."""
    return [each.code for each in await talk.ask(b"RSET\r\n", 1, 5.0)] == [250]


ADAPTER = EmailAdapter
