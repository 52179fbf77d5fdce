"""The door for mail: an LMTP or SMTP listener on the running event loop. 250 means kept, and nothing else does.

It stands behind a mail server of the house (Postfix, Exim, OpenSMTPD), which does queueing, TLS, and spam. It knows no
database: `accept` returns only when the mail is durable, `known_recipient` says whose mail is taken. What cannot be
kept is refused with 451, and the mail server comes again.

RFC 5321, RFC 2033 (LMTP: one answer per receiver after the data); read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, AnyStr, Literal

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from base.errors import Unavailable
from channels.adapter import Delivery
from channels.providers.mail.email.adapter import LISTENER
from channels.providers.mail.headers import valid_address
from channels.providers.mail.message import MAX_MAIL

log = logging.getLogger(__name__)

Protocol = Literal["lmtp", "smtp"]
#: (recipient, sender, raw mail) → True once it is durable, False when it could not be kept.
Accept = Callable[[str, str, bytes], Awaitable[bool]]
#: (recipient) → True when mail for it is taken. Raises `Unavailable` when that cannot be said now.
KnownRecipient = Callable[[str], Awaitable[bool]]

#: Longest line of a mail taken, octets. RFC 5321 allows 1,000; programs that do not know it send longer ones.
MAX_LINE = 65_536

#: Seconds that a mail under way has to be answered when we stop.
STOP_S = 5.0

_KEPT = "250 2.0.0 Kept"
_AWAY = "451 4.3.0 Cannot keep it now, come again"
_ASK_LATER = "451 4.3.0 Cannot look up the recipient now, come again"
_UNKNOWN = "550 5.1.1 No such recipient here"
_TOO_MANY = "452 4.5.3 Too many recipients"
_BAD_ADDRESS = "553 5.1.3 Not a mail address"
_BUSY = b"421 4.3.2 Too many connections, come again\r\n"


def as_delivery(recipient: str, sender: str, raw: bytes, received_at: datetime) -> Delivery:
    """A mail as the journal keeps it. Only the listener makes deliveries of this method, and only without headers."""
    query = {"sender": (sender,), "recipient": (recipient,)}
    return Delivery(method=LISTENER, body=raw, headers={}, query=query, received_at=received_at)


class MailListener:
    """Listens until stopped; limits connections, receivers, sizes and times."""

    def __init__(
        self,
        host: str,
        port: int,
        accept: Accept,
        known_recipient: KnownRecipient,
        *,
        protocol: Protocol = "lmtp",
        hostname: str = "rapport.localdomain",
        max_bytes: int = MAX_MAIL,
        max_connections: int = 50,
        max_recipients: int = 100,
        idle_s: float = 30.0,
        data_s: float = 120.0,
        accept_s: float = 20.0,
    ) -> None:
        """`idle_s` between commands, `data_s` for a whole mail with its answer, `accept_s` for keeping it."""
        self.accept = accept
        self.known_recipient = known_recipient
        self.max_recipients = max_recipients
        self.accept_s = accept_s
        self.data_s = data_s
        self.max_connections = max_connections
        self.connections: set[_Conversation] = set()
        self._at = (host, port)
        self._speaks = _LmtpConversation if protocol == "lmtp" else _SmtpConversation
        self._options: dict[str, Any] = {
            "data_size_limit": max_bytes, "enable_SMTPUTF8": True, "hostname": hostname, "ident": "Rapport",
            "timeout": idle_s, "command_call_limit": {"*": 1000, "RCPT": 10_000},
        }  # fmt: skip
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen. Raises `OSError` when the port is taken."""
        # aiosmtpd logs every command line at INFO: addresses of customers have no place in our logs.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._conversation, *self._at)

    async def stop(self) -> None:
        """Stop listening, let the mails under way be answered for a moment, then hang up."""
        if self._server is None:
            return
        self._server.close()
        try:
            async with asyncio.timeout(STOP_S):
                while any(each.busy for each in self.connections):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass  # not answered with 250: those mails come again
        for each in list(self.connections):
            each.hang_up()
        await self._server.wait_closed()
        self._server = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port really listened on."""
        if self._server is None:
            raise RuntimeError("the mail listener is not started")
        host, port, *_ = self._server.sockets[0].getsockname()
        return str(host), int(port)

    def _conversation(self) -> _Conversation:
        return self._speaks(self, self._options)


class _Handler:
    """What aiosmtpd asks at each step."""

    def __init__(self, listener: MailListener) -> None:
        self._listener = listener

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        sender = "" if address in ("", "<>") else address
        if sender and not (valid_address(sender) and _storable(sender)):
            return "553 5.1.7 Not a mail address"
        envelope.mail_from = sender or "<>"  # aiosmtpd takes an empty one for a missing one
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self._listener.max_recipients:
            return _TOO_MANY
        if not (valid_address(address) and _storable(address)):
            return _BAD_ADDRESS
        try:
            async with asyncio.timeout(self._listener.accept_s):
                known = await self._listener.known_recipient(address)
        except (Unavailable, TimeoutError):
            return _ASK_LATER
        if not known:
            return _UNKNOWN
        if address not in envelope.rcpt_tos:
            envelope.rcpt_tos.append(address)
        elif isinstance(server, _LmtpConversation):
            envelope.rcpt_tos.append(address)  # LMTP owes an answer for each RCPT, the same one too
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        raw = envelope.original_content or b""
        sender = "" if envelope.mail_from in (None, "<>") else str(envelope.mail_from)
        kept: dict[str, bool] = {}
        for recipient in dict.fromkeys(envelope.rcpt_tos):
            kept[recipient] = await self._keep(recipient, sender, raw)
        if isinstance(server, _LmtpConversation):
            return "\r\n".join(_KEPT if kept[recipient] else _AWAY for recipient in envelope.rcpt_tos)
        # SMTP has one answer for all: what was kept already is known by its key when the mail comes again.
        return _KEPT if all(kept.values()) else _AWAY

    async def handle_exception(self, error: Exception) -> str:
        log.error("mail conversation failed", exc_info=error)
        return "451 4.3.0 Internal fault, come again"

    async def _keep(self, recipient: str, sender: str, raw: bytes) -> bool:
        try:
            async with asyncio.timeout(self._listener.accept_s):
                return await self._listener.accept(recipient, sender, raw)
        except (Unavailable, TimeoutError):
            return False
        except Exception:  # whatever it is, the mail is not kept, and the mail server still has it
            log.exception("a mail could not be kept")
            return False


class _Conversation(SMTP):
    """One connection: aiosmtpd's protocol with our limits."""

    line_length_limit = MAX_LINE

    def __init__(self, listener: MailListener, options: dict[str, Any]) -> None:
        super().__init__(_Handler(listener), loop=asyncio.get_running_loop(), **options)
        self._listener = listener
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.connections.discard(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Close without a word."""
        if self.transport is not None:
            self.transport.close()

    async def _handle_client(self) -> None:
        if len(self._listener.connections) > self._listener.max_connections:
            self._writer.write(_BUSY)
            self.hang_up()
            return
        try:
            await super()._handle_client()
        except ConnectionError:
            pass  # the other side hung up while we spoke; whatever was not answered with 250 comes again

    async def smtp_DATA(self, arg: str) -> None:
        self._reset_timeout(self._listener.data_s)
        self.busy = True
        try:
            await super().smtp_DATA(arg)
        finally:
            self.busy = False
            if self.transport is not None:
                self._reset_timeout()


class _SmtpConversation(_Conversation):
    """SMTP: one answer for all receivers."""


class _LmtpConversation(_Conversation, LMTP):
    """LMTP: an answer for each receiver, the refusals of the protocol itself (too large) included."""

    #: Receivers that await an answer, and whether the next answer is theirs.
    _owed = 0
    _taking = False

    async def smtp_DATA(self, arg: str) -> None:
        self._owed = len(self.envelope.rcpt_tos) if self.envelope is not None else 0
        await super().smtp_DATA(arg)

    async def push(self, status: AnyStr) -> None:
        answer = status if isinstance(status, str) else status.decode("ascii", "replace")
        if self._taking and answer.startswith(("4", "5")) and "\r\n" not in answer:
            answer = "\r\n".join([answer] * max(1, self._owed))
        self._taking = answer.startswith("354")
        await super().push(answer)


def _storable(address: str) -> bool:
    try:
        address.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as lone surrogates
        return False
    return True
