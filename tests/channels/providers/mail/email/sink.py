"""Mail servers for tests: a real one on aiosmtpd that keeps what it takes, and a scripted one that misbehaves."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass(frozen=True)
class Taken:
    """One mail as the sink took it."""

    sender: str | None
    recipients: list[str]
    data: bytes
    user: str | None


@dataclass
class Sink:
    """Where mails end up. `connections` counts those opened."""

    port: int = 0
    mails: list[Taken] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    delay_s: float = 0.0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.delay_s)
        user = session.auth_data.login.decode() if isinstance(session.auth_data, LoginPassword) else None
        data = envelope.original_content or b""
        self.mails.append(Taken(envelope.mail_from, list(envelope.rcpt_tos), data, user))
        return "250 2.0.0 Ok: queued as 12345"


class _Counted(SMTP):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._original_transport is None:
            self.event_handler.connections += 1
            self.event_handler.open += 1
            self.event_handler.most_open = max(self.event_handler.most_open, self.event_handler.open)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.open -= 1
        super().connection_lost(error)


@asynccontextmanager
async def real_sink(
    *, password: str | None = None, tls: ssl.SSLContext | None = None, implicit_tls: bool = False, **options: Any
) -> AsyncIterator[Sink]:
    """An aiosmtpd server on a free port. With `password`, user `care` has to sign in."""
    sink = Sink()

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(b"care", (password or "").encode())
        return AuthResult(success=right, auth_data=data, handled=right)

    if password is not None:
        options |= {"authenticator": check, "auth_required": True, "auth_require_tls": False}
    if tls is not None and not implicit_tls:
        options["tls_context"] = tls
    loop = asyncio.get_running_loop()

    def conversation() -> _Counted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sign-in without TLS is what is tested
            return _Counted(sink, hostname="sink.example", loop=loop, **options)

    server = await loop.create_server(
        conversation,
        "127.0.0.1",
        0,
        ssl=tls if implicit_tls else None,
    )
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        await server.wait_closed()


@dataclass
class Script:
    """What to say to each command; `cut` hangs up, `silence` never answers. Commands seen are kept."""

    answers: Mapping[str, str | list[str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    #: Nothing is said before DATA was heard; its answer holds those to all.
    waits_for_all: bool = False

    def answer(self, command: str, usual: str) -> str:
        given = self.answers.get(command, usual)
        if isinstance(given, list):
            return given.pop(0) if len(given) > 1 else given[0]
        return given


_USUAL = {"EHLO": "250-scripted\r\n250 SIZE 1000000", "DATA": "354 go on", "QUIT": "221 bye", "FINAL": "250 2.0.0 ok"}


@asynccontextmanager
async def scripted(answers: Mapping[str, str | list[str]]) -> AsyncIterator[Script]:
    """A server that answers by script. Keys: GREETING, EHLO, AUTH, MAIL, RCPT, DATA, FINAL, RSET, QUIT."""
    script = Script(answers)
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script.connections += 1
        try:
            if not await _say(writer, script.answer("GREETING", "220 scripted")):
                return
            while line := await reader.readline():
                command = line.split()[0].decode().upper() if line.split() else ""
                script.seen.append(line.decode().strip())
                said = script.answer(command, _USUAL.get(command, "250 ok"))
                if script.waits_for_all and command in ("MAIL", "RCPT"):
                    continue
                if not await _say(writer, said):
                    return
                if command == "DATA" and "354" in said:
                    script.mails.append(await reader.readuntil(b"\r\n.\r\n"))
                    if not await _say(writer, script.answer("FINAL", _USUAL["FINAL"])):
                        return
                if command == "QUIT":
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(talk(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _say(writer: asyncio.StreamWriter, words: str) -> bool:
    if words == "cut":
        writer.transport.abort()
        return False
    if words == "silence":
        await asyncio.sleep(3600)
    writer.write(words.encode() + b"\r\n")
    await writer.drain()
    return True
