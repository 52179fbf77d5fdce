"""Fetching by IMAP, from a real dovecot; what no real server does comes from a scripted one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from base.http import AddressGuard, HttpClient
from base.ids import unique_key
from channels.adapter import Account, Delivery, Unreadable, Unverified
from channels.failures import Failure, SendFailed
from channels.providers.mail.email import mailbox
from channels.providers.mail.email.adapter import EmailAdapter, EmailSettings
from channels.vocabulary import AccountNotice, MessageReceived
from tests.channels.peer import loopback_client
from tests.channels.providers.mail.email.dovecot import PASSWORD, USER, Dovecot, running
from webhooks.mail_listener import as_delivery

WHOSE = unique_key(USER)[:12]
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.fixture
async def adapter() -> AsyncIterator[EmailAdapter]:
    http = loopback_client()
    made = EmailAdapter(http)
    yield made
    await made.close()
    await http.close()


@pytest.fixture
async def dovecot(dovecot_program: str, free_port: Callable[[], int]) -> AsyncIterator[Dovecot]:
    async with running(dovecot_program, free_port) as server:
        yield server


def account(port: int, **more: Any) -> Account:
    given = {
        "from_address": "care@example.com", "imap_host": "127.0.0.1", "imap_port": port, "imap_user": USER,
        "imap_password": PASSWORD, "imap_tls": "none",
    }  # fmt: skip
    return Account("chn_1", "email", "Care", EmailSettings.model_validate({**given, **more}))


def mail(number: int, *, to: str = "care@example.com", body: str = "Hello", at: datetime | None = None) -> bytes:
    date = f"Date: {at:%a, %d %b %Y %H:%M:%S +0000}\r\n" if at else ""
    return (
        f"From: Anna <anna{number}@example.net>\r\nTo: {to}\r\nSubject: Letter {number}\r\n{date}"
        f"Message-ID: <{number}@example.net>\r\n\r\n{body}\r\n"
    ).encode()


async def all_pages(adapter: EmailAdapter, at: Account, cursor: str | None) -> tuple[list[Delivery], str, int]:
    """Every delivery until there is no more; the last cursor; how many pages it took."""
    found: list[Delivery] = []
    for pages in range(1, 30):
        page = await adapter.poll(at, cursor, None)
        found += page.deliveries
        cursor = page.cursor
        if not page.more:
            return found, cursor, pages
    raise AssertionError("no end")


async def refused(adapter: EmailAdapter, at: Account) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.poll(at, f"1:1 {WHOSE}", None)
    assert "canary" not in f"{caught.value!r} {caught.value.detail}"
    return caught.value


def subjects(adapter: EmailAdapter, at: Account, deliveries: list[Delivery]) -> list[str | None]:
    found: list[str | None] = []
    for delivery in deliveries:
        adapter.verify(at, delivery, NOW)
        try:
            (event,) = adapter.parse(at, delivery)
        except Unreadable:
            found.append("unreadable")
            continue
        found.append(event.mail.subject if isinstance(event, MessageReceived) and event.mail else event.kind)
    return found


# -- a real server -------------------------------------------------------------------------------------


async def test_begins_at_the_present_and_leaves_the_mailbox_as_it_is(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    at = account(dovecot.port)
    dovecot.put(mail(1))
    first = await adapter.poll(at, None, None)
    assert not first.deliveries and not first.more
    dovecot.put(mail(2, to="Care <care+tok@example.com>"))
    dovecot.put(mail(3, to="undisclosed-recipients:;"))
    found, cursor, _ = await all_pages(adapter, at, first.cursor)
    assert subjects(adapter, at, found) == ["Letter 2", "Letter 3"]
    assert [each.param("recipient") for each in found] == ["care+tok@example.com", "care@example.com"]
    assert cursor == f"{first.cursor.partition(':')[0]}:3 {WHOSE}"
    assert await all_pages(adapter, at, cursor) == ([], cursor, 1)
    assert dovecot.flags() == ["", "", ""], "not seen, not deleted"


async def test_eighty_mails_with_broken_ones(
    adapter: EmailAdapter, dovecot: Dovecot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_MAIL", 50_000)
    at = account(dovecot.port)
    start = (await adapter.poll(at, None, None)).cursor
    for number in range(1, 81):
        match number:
            case 13:
                dovecot.put(mail(number, body="x" * 60_000))
            case 27:
                dovecot.put(b"\xff\x00 no mail at all")
            case 55:
                dovecot.put(mail(number)).chmod(0)
            case _:
                dovecot.put(mail(number))
    found, cursor = [], start
    for _ in range(6):  # dovecot hangs up over the one it cannot read: tried again at the next looks, then passed over
        more, cursor, _ = await all_pages(adapter, at, cursor)
        found += more
    assert cursor.endswith(f":80 {WHOSE}")
    seen = subjects(adapter, at, found)
    assert sorted(s for s in seen if s and s.startswith("Letter")) == sorted(
        f"Letter {n}" for n in range(1, 81) if n not in (13, 27, 55)
    )
    assert "unreadable" in seen, "handed on; the ingest puts it into quarantine by its name"
    notices = [event for each in found if each.method == "IMAP-LEFT" for event in adapter.parse(at, each)]
    told = [event.text for event in notices if isinstance(event, AccountNotice)]
    assert len(told) == 2
    assert "anna13@example.net (Letter 13)" in told[0] and "50000 are taken" in told[0]
    assert "could not" in told[1] or "broke" in told[1]
    assert len({adapter.delivery_key(at, each) for each in found}) == 80


async def test_a_restart_between_two_polls_loses_nothing(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    at = account(dovecot.port)
    cursor = (await adapter.poll(at, None, None)).cursor
    dovecot.put(mail(1))
    await dovecot.stop()
    assert (await refused(adapter, at)).failure is Failure.TEMPORARY
    dovecot.put(mail(2))
    await dovecot.start()
    found, cursor, _ = await all_pages(adapter, at, cursor)
    assert subjects(adapter, at, found) == ["Letter 1", "Letter 2"]
    assert cursor.endswith(f":2 {WHOSE}")


async def test_a_wrong_password_is_the_account_s_problem(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    at = account(dovecot.port, imap_password="wrong")
    error = await refused(adapter, at)
    assert error.failure is Failure.ACCOUNT_PROBLEM and error.consequence.pause_account
    with pytest.raises(SendFailed):
        await adapter.check(at)


async def test_passwords_and_users_of_any_letters(
    dovecot_program: str, adapter: EmailAdapter, dovecot: Dovecot
) -> None:
    for user, password in (("käthe", "pässwort"), ('a"b\\c', 'x"y\\'), ("a b", "{5}")):
        error = await refused(adapter, account(dovecot.port, imap_user=user, imap_password=password))
        assert error.failure is Failure.ACCOUNT_PROBLEM
    with pytest.raises(ValueError, match="imap_user"):
        account(1, imap_user="a\r\nA1 DELETE INBOX")


async def test_new_numbers_bring_back_what_is_recent_and_nothing_old(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    at = account(dovecot.port)
    now = datetime.now(UTC)
    dovecot.put(mail(1, at=now - timedelta(days=40)))
    cursor = (await adapter.poll(at, None, None)).cursor
    dovecot.put(mail(2, at=now - timedelta(hours=30)))
    before, cursor, _ = await all_pages(adapter, at, cursor)
    await dovecot.stop()
    await asyncio.sleep(1.1)  # a new UIDVALIDITY is a time in seconds
    dovecot.number_anew()
    dovecot.put(mail(3, at=now))
    await dovecot.start()
    after, renewed, _ = await all_pages(adapter, at, cursor)
    assert renewed.partition(":")[0] != cursor.partition(":")[0]
    assert subjects(adapter, at, after) == ["Letter 2", "Letter 3"]
    assert adapter.delivery_key(at, after[0]) == adapter.delivery_key(at, before[0]), "the journal knows it"


async def test_the_same_mail_by_both_ways_is_one_message(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    at = account(dovecot.port)
    cursor = (await adapter.poll(at, None, None)).cursor
    raw = mail(1, to="care+tok@example.com, care@example.com")
    dovecot.put(b"Return-Path: <bounces@example.net>\r\nDelivered-To: care@example.com\r\n" + raw)
    (fetched,), _, _ = await all_pages(adapter, at, cursor)
    (one,) = adapter.parse(at, fetched)
    (other,) = adapter.parse(at, as_delivery("care+tok@example.com", "bounces@example.net", raw, NOW))
    assert isinstance(one, MessageReceived) and isinstance(other, MessageReceived)
    assert (one.event_id, one.message_id) == (other.event_id, other.message_id)
    assert fetched.param("sender") == "bounces@example.net"


async def test_check_tries_both_sides(adapter: EmailAdapter, dovecot: Dovecot) -> None:
    dovecot.put(mail(1))
    said = await adapter.check(account(dovecot.port))
    assert "only receives" in said and "1 mails in the mailbox" in said and "not encrypted" in said
    assert "nothing is fetched" in await adapter.check(account(1, imap_host=""))
    with pytest.raises(SendFailed, match="user"):
        await adapter.check(account(dovecot.port, imap_user=""))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1)).not_valid_after(datetime.now(UTC) + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("tls")
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.parametrize("how", ["starttls", "tls"])
async def test_encryption_is_checked(
    adapter: EmailAdapter, dovecot_program: str, free_port: Callable[[], int], certificate: tuple[Path, Path],
    how: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with running(dovecot_program, free_port, certificate) as server:
        port = server.port if how == "starttls" else server.tls_port
        at = account(port, imap_host="localhost", imap_tls=how)
        error = await refused(adapter, at)
        assert error.failure is Failure.ACCOUNT_PROBLEM and "encryption" in error.detail
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusting)
        cursor = (await adapter.poll(at, None, None)).cursor
        server.put(mail(1))
        found, _, _ = await all_pages(adapter, at, cursor)
        assert subjects(adapter, at, found) == ["Letter 1"]


# -- what no good server does --------------------------------------------------------------------------


class Scripted:
    """Answers by the beginning of each command; None hangs up."""

    def __init__(self, answers: dict[str, bytes | None], greeting: bytes = b"* OK ready\r\n") -> None:
        self.answers = {
            "CAPABILITY": b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "AUTHENTICATE": b"",
            "EXAMINE": b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4] x\r\n",
            "UID SEARCH": b"* SEARCH 2 3\r\n", "UID FETCH 2,3": b"", "LOGOUT": b"* BYE\r\n", **answers,
        }  # fmt: skip
        self.greeting = greeting
        self.seen: list[str] = []

    async def __aenter__(self) -> Scripted:
        self.server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = int(self.server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.greeting)
        while line := (await reader.readline()).decode():
            tag, _, command = line.strip().partition(" ")
            self.seen.append(command)
            known = [name for name in self.answers if command.startswith(name)]
            answer = self.answers[max(known, key=len)] if known else b""
            if answer is None:
                break
            if command.startswith("AUTHENTICATE"):
                writer.write(b"+ \r\n")
                await reader.readline()
            done = b"" if b"\nNO " in answer else f"{tag} OK done\r\n".encode()
            writer.write(answer.replace(b"\nNO ", b"\n" + tag.encode() + b" NO ") + done)
        writer.close()


def literal(uid: int, raw: bytes) -> bytes:
    return b"* 1 FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, len(raw), raw)


async def test_a_mail_that_takes_the_connection_down_is_passed_over_in_the_end(adapter: EmailAdapter) -> None:
    answers: dict[str, bytes | None] = {"UID FETCH 2 ": None, "UID FETCH 3 ": literal(3, mail(3))}
    async with Scripted(answers) as server:
        at, cursor = account(server.port), f"7:1 {WHOSE}"
        cursors: list[str] = []
        found: list[Delivery] = []
        for _ in range(5):
            page = await adapter.poll(at, cursor, None)
            found += page.deliveries
            cursor = page.cursor
            cursors.append(cursor.removesuffix(f" {WHOSE}"))
            if cursors[-1] == "7:3":
                break
    assert cursors == ["7:1:1", "7:1:2", "7:1:3", "7:3"]
    assert subjects(adapter, at, found) == ["Letter 3", "account_notice"]


async def test_a_busy_server_costs_no_mail(adapter: EmailAdapter) -> None:
    busy = b"* OK still here\r\nNO [UNAVAILABLE] Server busy, try again\r\n"
    answers: dict[str, bytes | None] = {"UID FETCH 2 ": busy, "UID FETCH 3 ": literal(3, mail(3))}
    async with Scripted(answers) as server:
        at = account(server.port)
        page = await adapter.poll(at, f"7:1 {WHOSE}", None)
        assert (page.cursor, page.deliveries) == (f"7:1:1 {WHOSE}", ())
        server.answers["UID FETCH 2 "] = literal(2, mail(2))
        page = await adapter.poll(at, page.cursor, None)
    assert subjects(adapter, at, list(page.deliveries)) == ["Letter 2", "Letter 3"]


async def test_a_cursor_of_another_mailbox_is_not_believed(adapter: EmailAdapter) -> None:
    async with Scripted({"UID SEARCH SINCE": b"* SEARCH\r\n"}) as server:
        foreign = await adapter.poll(account(server.port), "7:1 somebody", None)
        beyond = await adapter.poll(account(server.port), f"7:900 {WHOSE}", None)
    assert [each.cursor for each in (foreign, beyond)] == [f"7:3 {WHOSE}"] * 2
    assert not foreign.deliveries and not beyond.deliveries
    assert any(line.startswith("UID SEARCH SINCE") for line in server.seen), "numbers that fell: what is recent counts"


async def test_mails_that_have_gone_meanwhile_are_passed_over(adapter: EmailAdapter) -> None:
    async with Scripted({"UID FETCH 2 ": b"", "UID FETCH 3 ": literal(3, mail(3))}) as server:
        page = await adapter.poll(account(server.port), f"7:1 {WHOSE}", None)
    assert page.cursor == f"7:3 {WHOSE}" and len(page.deliveries) == 1


async def test_a_gap_without_mails_is_crossed(adapter: EmailAdapter) -> None:
    answers: dict[str, bytes | None] = {
        "EXAMINE": b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4000000000] x\r\n",
        "UID SEARCH": b"* SEARCH\r\n",
    }
    async with Scripted(answers) as server:
        page = await adapter.poll(account(server.port), f"7:1 {WHOSE}", None)
    assert page.more and page.cursor == f"7:{mailbox.WINDOW * mailbox.WINDOWS + 1} {WHOSE}"


@pytest.mark.parametrize(
    ("greeting", "answers", "failure"),
    [
        (b"* BYE go away\r\n", {}, Failure.TEMPORARY),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", {}, Failure.TEMPORARY),
        (b"\xff\xfe" * 50 + b"\r\n", {}, Failure.TEMPORARY),
        (b"* OK\r\n", {"AUTHENTICATE": b"x\r\nNO [UNAVAILABLE] Temporary failure\r\n"}, Failure.TEMPORARY),
        (b"* OK\r\n", {"AUTHENTICATE": None}, Failure.TEMPORARY),
        (b"* OK\r\n", {"CAPABILITY": b"* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n"}, Failure.ACCOUNT_PROBLEM),
        (b"* OK\r\n", {"EXAMINE": b"* x\r\nNO no such mailbox\r\n"}, Failure.TEMPORARY),
        (b"* OK\r\n", {"UID SEARCH": b"* SEARCH " + b"1 " * 600_000 + b"\r\n"}, Failure.TEMPORARY),
        (b"* OK\r\n", {"UID SEARCH": None}, Failure.TEMPORARY),
    ],
)
async def test_bad_servers(
    adapter: EmailAdapter, greeting: bytes, answers: dict[str, bytes | None], failure: Failure
) -> None:
    async with Scripted(answers, greeting) as server:
        assert (await refused(adapter, account(server.port))).failure is failure


async def test_an_answer_larger_than_any_mail_is_not_read(adapter: EmailAdapter) -> None:
    async with Scripted({"UID FETCH 2 ": b"* 1 FETCH (UID 2 BODY[] {900000000}\r\n"}) as server:
        page = await adapter.poll(account(server.port), f"7:1 {WHOSE}", None)
    assert page.cursor == f"7:1:1 {WHOSE}" and not page.deliveries


async def test_encryption_that_is_not_offered_is_never_done_without(adapter: EmailAdapter) -> None:
    async with Scripted({}) as server:
        error = await refused(adapter, account(server.port, imap_tls="starttls"))
    assert error.failure is Failure.ACCOUNT_PROBLEM
    assert not [line for line in server.seen if line.startswith(("LOGIN", "AUTH"))]


async def test_a_silent_server_is_left(adapter: EmailAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.providers.mail.email.fetching.POLL_S", 0.3)
    async with Scripted({}, greeting=b"") as server:
        async with asyncio.timeout(5):
            assert (await refused(adapter, account(server.port))).failure is Failure.TEMPORARY


async def test_private_addresses_are_not_dialled(free_port: Callable[[], int]) -> None:
    http = HttpClient(AddressGuard())
    adapter = EmailAdapter(http)
    assert (await refused(adapter, account(free_port()))).failure is Failure.ACCOUNT_PROBLEM
    await http.close()


def test_who_is_polled_and_what_is_believed() -> None:
    adapter = EmailAdapter(loopback_client())
    assert adapter.poll_every_s(account(993)) == 60.0
    assert adapter.poll_every_s(account(993, imap_host="")) is None
    left = Delivery("IMAP-LEFT", b"{}", query={"recipient": ("uid 7:1",)}, received_at=NOW)
    with pytest.raises(Unreadable):
        adapter.parse(account(993), left)
    for method in ("IMAP", "IMAP-LEFT"):
        with pytest.raises(Unverified):
            adapter.verify(account(993), replace(left, method=method, headers={"host": ("x",)}), NOW)
    for cursor in ("", "7", "a:b", "7:1:99", "7:1;DROP", None):
        assert mailbox.place_of(cursor) is None
