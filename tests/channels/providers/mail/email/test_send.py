"""Sending by SMTP: into a real server, and against one that refuses, hangs up and falls silent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
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
from channels.adapter import Account, Delivery, Unverified
from channels.failures import Failure, SendFailed
from channels.providers.mail.email import pool, transmit
from channels.providers.mail.email.adapter import LISTENER, EmailAdapter, EmailSettings
from channels.vocabulary import Address, Attachment, AttachmentKind, OutboundMail, OutboundMessage
from tests.channels.peer import Peer, answer, loopback_client
from tests.channels.providers.mail.email.sink import real_sink, scripted

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
#: A server that wants commands one by one, and one that takes them in groups.
EHLOS = ("250-scripted\r\n250 SIZE 1000000", "250-scripted\r\n250-PIPELINING\r\n250 SIZE 1000000")


@pytest.fixture
async def adapter() -> AsyncIterator[EmailAdapter]:
    http = loopback_client()
    made = EmailAdapter(http)
    yield made
    await made.close()
    await http.close()


def account(port: int, *, channel_id: str = "chn_1", **more: Any) -> Account:
    given = {"from_address": "care@example.com", "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "none"}
    return Account(channel_id, "email", "Care", EmailSettings.model_validate({**given, **more}))


def message(key: str = "snd_1", to: str = "anna@example.net", **more: Any) -> OutboundMessage:
    mail = OutboundMail(subject="Hi", reply_token="tok", **more)
    return OutboundMessage(key=key, to=Address(channel_id="chn_1", external_id=to), text="Hello\n.\nBye", mail=mail)


async def refused(adapter: EmailAdapter, to: Account, outgoing: OutboundMessage | None = None) -> SendFailed:
    with pytest.raises(SendFailed) as caught:
        await adapter.send(to, outgoing or message())
    return caught.value


# -- a real server -----------------------------------------------------------------------------------


async def test_a_mail_arrives_whole(adapter: EmailAdapter) -> None:
    async with real_sink() as sink:
        receipt = await adapter.send(account(sink.port), message())
        await adapter.close()
    (taken,) = sink.mails
    assert (taken.sender, taken.recipients) == ("care@example.com", ["anna@example.net"])
    assert receipt.message_ids == ("snd_1@example.com",) and "queued as" in receipt.raw["answer"]
    assert b"\r\nReply-To: care+tok@example.com\r\n" in taken.data and taken.data.endswith(b"Hello\r\n.\r\nBye\r\n")


async def test_bounces_come_back_to_an_address_of_their_own(adapter: EmailAdapter) -> None:
    key = unique_key("a", "send")
    async with real_sink() as sink:
        with_return = account(sink.port, return_address="bounce@example.com")
        await adapter.send(with_return, message(key))
        await adapter.close()
    (taken,) = sink.mails
    assert taken.sender == f"bounce+b-{key}@example.com"
    assert adapter.answers_to(with_return, taken.sender), "the listener takes the bounce for this account"


async def test_a_repeat_is_the_same_mail(adapter: EmailAdapter) -> None:
    async with real_sink() as sink:
        first = await adapter.send(account(sink.port), message())
        second = await adapter.send(account(sink.port), message())
        await adapter.close()
    assert first.message_ids == second.message_ids and sink.connections == 1


async def test_connections_are_shared_bounded_and_renewed(
    adapter: EmailAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.Pool.__init__, "__kwdefaults__", {"connections": 3, "mails": 10, "idle_s": 30.0})
    async with real_sink() as sink:
        sink.delay_s = 0.005
        to = account(sink.port)
        await asyncio.gather(*(adapter.send(to, message(f"k{number}")) for number in range(60)))
        await adapter.close()
    assert len({mail.data.split(b"Message-ID: ")[1].split(b"\r\n")[0] for mail in sink.mails}) == 60
    assert sink.most_open <= 4  # one may still be saying goodbye
    assert 6 <= sink.connections <= 9, "each was used for ten mails"


async def test_idle_connections_are_closed(adapter: EmailAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.Pool.__init__, "__kwdefaults__", {"connections": 3, "mails": 10, "idle_s": 0.05})
    async with real_sink() as sink:
        await adapter.send(account(sink.port), message())
        assert sink.open == 1
        for _ in range(100):
            await asyncio.sleep(0.02)
            if not sink.open:
                break
        assert sink.open == 0
        await adapter.send(account(sink.port), message())
        assert len(sink.mails) == 2 and sink.connections == 2


async def test_signing_in(adapter: EmailAdapter) -> None:
    async with real_sink(password="canary") as sink:
        to = account(sink.port, smtp_user="care", smtp_password="canary")
        await adapter.send(to, message())
        assert "signed in" in await adapter.check(to)
        wrong = await refused(adapter, account(sink.port, channel_id="chn_2", smtp_user="care", smtp_password="no"))
        assert wrong.failure is Failure.ACCOUNT_PROBLEM and "535" in wrong.detail and "canary" not in str(wrong)
        unsigned = await refused(adapter, account(sink.port, channel_id="chn_3"))
        assert unsigned.failure is Failure.ACCOUNT_PROBLEM
        await adapter.close()
    assert [mail.user for mail in sink.mails] == ["care"]


async def test_new_settings_open_new_connections(adapter: EmailAdapter) -> None:
    async with real_sink() as old, real_sink() as new:
        await adapter.send(account(old.port), message())
        await adapter.send(account(new.port), message())
        await asyncio.sleep(0.05)
        assert old.open == 0 and len(new.mails) == 1
        await adapter.close()


async def test_copies_and_files(adapter: EmailAdapter, local_server: Callable[..., Any]) -> None:
    peer = Peer([answer(b"%PDF", headers={"Content-Type": "application/pdf"})])
    base = await local_server(peer.app())
    file = Attachment(kind=AttachmentKind.FILE, url=f"{base}/a.pdf", media_type="application/pdf", file_name="a.pdf")
    outgoing = message(cc=("bob@example.net",)).model_copy(update={"attachments": (file,)})
    async with real_sink() as sink:
        await adapter.send(account(sink.port), outgoing)
        await adapter.close()
    assert sink.mails[0].recipients == ["anna@example.net", "bob@example.net"] and b"JVBERg==" in sink.mails[0].data


@pytest.mark.parametrize(("status", "failure"), [(404, Failure.CONTENT_REJECTED), (503, Failure.TEMPORARY)])
async def test_a_file_that_cannot_be_fetched(
    adapter: EmailAdapter, local_server: Callable[..., Any], status: int, failure: Failure
) -> None:
    base = await local_server(Peer([answer(b"no", status=status)]).app())
    file = Attachment(kind=AttachmentKind.FILE, url=f"{base}/a.pdf")
    async with real_sink() as sink:
        error = await refused(adapter, account(sink.port), message().model_copy(update={"attachments": (file,)}))
    assert error.failure is failure and not sink.mails


async def test_international_addresses(adapter: EmailAdapter) -> None:
    async with real_sink(enable_SMTPUTF8=True) as able, real_sink() as unable:
        await adapter.send(account(able.port), message(to="用户@example.cn"))
        error = await refused(adapter, account(unable.port, channel_id="chn_2"), message(to="用户@example.cn"))
        await adapter.send(account(unable.port, channel_id="chn_2"), message())
        await adapter.close()
    assert able.mails[0].recipients == ["用户@example.cn"] and error.failure is Failure.NOT_SUPPORTED


# -- encryption --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("how", ["starttls", "tls"])
async def test_encryption_is_checked(
    adapter: EmailAdapter, certificate: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    async with real_sink(tls=server, implicit_tls=how == "tls") as sink:
        to = account(sink.port, smtp_host="localhost", smtp_tls=how)
        error = await refused(adapter, to)
        assert error.failure is Failure.ACCOUNT_PROBLEM and "encryption" in error.detail
        trusting = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusting)
        await adapter.send(to, message())
        await adapter.close()
    assert len(sink.mails) == 1


async def test_no_sign_in_over_a_line_that_could_not_be_encrypted(adapter: EmailAdapter) -> None:
    async with scripted({}) as script:
        error = await refused(adapter, account(script.port, smtp_tls="starttls", smtp_user="u", smtp_password="p"))
        assert error.failure is Failure.ACCOUNT_PROBLEM
    assert not [line for line in script.seen if line.startswith(("AUTH", "MAIL"))]


# -- refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words", "failure"),
    [
        ("GREETING", "554 5.7.1 not you", Failure.ACCOUNT_PROBLEM),
        ("GREETING", "421 too many connections", Failure.RATE_LIMITED),
        ("MAIL", "451 4.3.0 local error", Failure.TEMPORARY),
        ("MAIL", "550 5.7.1 sender not allowed", Failure.ACCOUNT_PROBLEM),
        ("RCPT", "550 5.1.1 no such user", Failure.RECIPIENT_UNREACHABLE),
        ("RCPT", "450 4.7.1 greylisted", Failure.RATE_LIMITED),
        ("RCPT", "554 5.7.1 policy", Failure.CONTENT_REJECTED),
        ("DATA", "451 4.3.0 not now", Failure.TEMPORARY),
        ("FINAL", "554 5.7.1 spam", Failure.CONTENT_REJECTED),
        ("FINAL", "452 4.3.1 disk full", Failure.TEMPORARY),
    ],
)
@pytest.mark.parametrize("ehlo", EHLOS)
async def test_refusals(adapter: EmailAdapter, command: str, words: str, failure: Failure, ehlo: str) -> None:
    async with scripted({"EHLO": ehlo, command: words}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is failure and error.provider_code == words[:3] and words[4:] in error.detail
    assert len(script.mails) == (command == "FINAL")


async def test_a_refusal_leaves_the_connection_usable(adapter: EmailAdapter) -> None:
    async with scripted({"RCPT": ["550 5.1.1 no", "250 ok"]}) as script:
        await refused(adapter, account(script.port))
        await adapter.send(account(script.port), message())
        await adapter.close()
    assert script.connections == 1 and "RSET" in script.seen and len(script.mails) == 1


@pytest.mark.parametrize("ehlo", EHLOS)
async def test_a_refused_copy_does_not_stop_the_mail(adapter: EmailAdapter, ehlo: str) -> None:
    async with scripted({"EHLO": ehlo, "RCPT": ["250 ok", "550 5.1.1 no"]}) as script:
        await adapter.send(account(script.port), message(cc=("gone@example.net",)))
        await adapter.close()
    assert len(script.mails) == 1


async def test_a_server_that_takes_groups_is_asked_once(adapter: EmailAdapter) -> None:
    """It answers nothing before it has heard all three."""
    async with scripted({"EHLO": EHLOS[1], "MAIL": "", "RCPT": "", "DATA": "250 a\r\n250 b\r\n354 c"}) as script:
        script.waits_for_all = True
        await adapter.send(account(script.port), message())
        await adapter.close()
    assert len(script.mails) == 1 and [line[:4] for line in script.seen[1:4]] == ["MAIL", "RCPT", "DATA"]


async def test_a_copy_alone_gets_no_mail(adapter: EmailAdapter) -> None:
    """The receiver was refused, the copy was not, and the server waits for the mail: the line is cut instead."""
    async with scripted({"EHLO": EHLOS[1], "RCPT": ["550 5.1.1 no", "250 ok"]}) as script:
        error = await refused(adapter, account(script.port), message(cc=("copy@example.net",)))
        assert error.failure is Failure.RECIPIENT_UNREACHABLE and not script.mails and "RSET" not in script.seen
        await adapter.send(account(script.port), message("k2"))
        await adapter.close()
    assert script.connections == 2 and len(script.mails) == 1


async def test_after_a_refusal_in_a_group_the_connection_is_kept(adapter: EmailAdapter) -> None:
    answers = {"EHLO": EHLOS[1], "RCPT": ["550 5.1.1 no", "250 ok"], "DATA": ["554 no valid recipients", "354 go on"]}
    async with scripted(answers) as script:
        await refused(adapter, account(script.port))
        await adapter.send(account(script.port), message())
        await adapter.close()
    assert script.connections == 1 and "RSET" in script.seen and len(script.mails) == 1


async def test_what_nobody_asked_for_ends_the_connection(adapter: EmailAdapter) -> None:
    """A word after the answer to a mail would be taken for the answer to the next one."""
    async with scripted({"FINAL": ["250 ok\r\n421 4.4.2 good night", "250 ok"]}) as script:
        await adapter.send(account(script.port), message("k1"))
        await asyncio.sleep(0.05)
        await adapter.send(account(script.port), message("k2"))
        await adapter.close()
    assert script.connections == 2 and len(script.mails) == 2


async def test_who_hangs_up_before_the_mail_is_written_has_not_taken_it(adapter: EmailAdapter) -> None:
    """What was said behind "go on" is no answer to a mail that nobody has heard yet: it is sent again later."""
    async with scripted({"DATA": ["354 go on\r\n421 4.4.2 good night", "354 go on"]}) as script:
        error = await refused(adapter, account(script.port))
        assert error.failure is Failure.TEMPORARY and not script.mails
        await adapter.send(account(script.port), message())
        await adapter.close()
    assert script.connections == 2 and len(script.mails) == 1


async def test_an_endless_answer_is_not_heard_out(adapter: EmailAdapter) -> None:
    endless = "\r\n".join(f"250-{number} {'x' * 500}" for number in range(200))
    async with scripted({"FINAL": endless}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.UNCERTAIN


async def test_a_mail_too_large_is_not_offered(adapter: EmailAdapter) -> None:
    async with scripted({"EHLO": "250-x\r\n250 SIZE 100"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.CONTENT_REJECTED and not [line for line in script.seen if "MAIL" in line]


# -- losses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ehlo", EHLOS)
@pytest.mark.parametrize("command", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_lost_before_the_data_is_temporary(adapter: EmailAdapter, command: str, ehlo: str) -> None:
    async with scripted({"EHLO": ehlo, command: "cut"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.TEMPORARY and not script.mails


@pytest.mark.parametrize("ehlo", EHLOS)
async def test_lost_after_the_final_dot_is_uncertain(adapter: EmailAdapter, ehlo: str) -> None:
    async with scripted({"EHLO": ehlo, "FINAL": "cut"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.UNCERTAIN and len(script.mails) == 1, "and it was not sent again"


async def test_silence_after_the_final_dot_is_uncertain(adapter: EmailAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transmit, "FINAL_S", 0.1)
    async with scripted({"FINAL": "silence"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.UNCERTAIN


async def test_nonsense_after_the_final_dot_is_uncertain(adapter: EmailAdapter) -> None:
    async with scripted({"FINAL": "what?"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.UNCERTAIN


async def test_silence_before_is_temporary(adapter: EmailAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transmit, "COMMAND_S", 0.1)
    async with scripted({"MAIL": "silence"}) as script:
        error = await refused(adapter, account(script.port))
        await adapter.close()
    assert error.failure is Failure.TEMPORARY


async def test_a_kept_connection_that_died_is_replaced_once(adapter: EmailAdapter) -> None:
    async with scripted({"MAIL": ["250 ok", "cut", "250 ok"]}) as script:
        await adapter.send(account(script.port), message("k1"))
        await adapter.send(account(script.port), message("k2"))
        await adapter.close()
    assert script.connections == 2 and len(script.mails) == 2


async def test_nobody_listens(adapter: EmailAdapter, free_port: Callable[[], int]) -> None:
    error = await refused(adapter, account(free_port()))
    assert error.failure is Failure.TEMPORARY


async def test_cancelled_in_the_middle_the_connection_is_not_kept(adapter: EmailAdapter) -> None:
    async with scripted({"FINAL": ["silence", "250 ok"]}) as script:
        task = asyncio.create_task(adapter.send(account(script.port), message("k1")))
        while not script.mails:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await adapter.send(account(script.port), message("k2"))
        await adapter.close()
    assert script.connections == 2


# -- where it may go ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254", "::1", "[::1]", "10.0.0.1"])
async def test_private_hosts_are_refused(host: str) -> None:
    http = HttpClient(AddressGuard())
    async with scripted({}) as script:
        error = await refused(EmailAdapter(http), account(script.port, smtp_host=host))
    assert error.failure is Failure.ACCOUNT_PROBLEM and "private address" in error.detail and not script.connections


async def test_without_a_guard_nothing_private_is_dialled() -> None:
    class Bare:
        async def request(self, method: str, url: str, **more: Any) -> Any:
            raise AssertionError

    async with scripted({}) as script:
        error = await refused(EmailAdapter(Bare()), account(script.port))
    assert error.failure is Failure.ACCOUNT_PROBLEM and not script.connections


async def test_receiving_only(adapter: EmailAdapter) -> None:
    error = await refused(adapter, account(25, smtp_host=""))
    assert error.failure is Failure.NOT_SUPPORTED
    assert "only receives" in await adapter.check(account(25, smtp_host=""))


# -- the listener is the only way in -----------------------------------------------------------------


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery("POST", b"From: a@b.c\r\n\r\nx", {}, {"recipient": ("care@example.com",), "sender": ("a@b.c",)}),
        Delivery("GET", b"", {}, {}),
        Delivery("lmtp", b"From: a@b.c\r\n\r\nx", {}, {"recipient": ("care@example.com",)}),
        Delivery(LISTENER, b"From: a@b.c\r\n\r\nx", {"host": ("x",)}, {"recipient": ("care@example.com",)}),
        Delivery(LISTENER, b"From: a@b.c\r\n\r\nx", {}, {}),
        Delivery(LISTENER, b"From: a@b.c\r\n\r\nx", {}, {"recipient": ("a@b.c", "d@e.f")}),
    ],
)
async def test_listener_is_the_only_way_in(adapter: EmailAdapter, delivery: Delivery) -> None:
    with pytest.raises(Unverified):
        adapter.verify(account(25), delivery, NOW)


async def test_settings() -> None:
    def tls(value: Any) -> str:
        return EmailSettings.model_validate({"from_address": "a@b.c", "smtp_tls": value}).smtp_tls

    assert [tls(value) for value in (True, False, "SSL", "off", "TLS", "starttls")] == [
        "starttls", "none", "tls", "none", "tls", "starttls",
    ]  # fmt: skip
    for bad in (
        {"from_address": "a@b.c\r\nX: y"},
        {"from_address": "no"},
        {"from_address": "a@b.c", "smtp_host": "a b"},
    ):
        with pytest.raises(ValueError, match="validation error"):
            EmailSettings.model_validate(bad)


async def test_whose_mail_it_is(adapter: EmailAdapter) -> None:
    mine = account(25, reply_address="in@box.example")
    ours = ["care@example.com", "Care+tok@example.com", "reply+t@example.com", "in+t@box.example", "IN@box.example"]
    assert all(adapter.answers_to(mine, address) for address in ours)
    others = ["other@example.com", "care@example.org", "carex+tok@example.com", "care+a b@example.com"]
    assert not any(adapter.answers_to(mine, address) for address in others)
