"""Bounces in plain words and reports that quote nothing: which mail it was, and whether the address is done with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from base.ids import unique_key
from channels.failures import Failure
from channels.providers.mail.bounces import return_tag
from channels.providers.mail.compose import Sender, compose
from channels.providers.mail.message import Box, Envelope, read_mail
from channels.vocabulary import Address, DeliveryStatus, DeliveryUpdate, MessageReceived, OutboundMail, OutboundMessage

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
KEY = unique_key("a", "send")
BACK = f"bounce+b-{KEY}@shop.example"
BOX = Box("chn_1", ("care@shop.example", "bounce@shop.example"))


def letter(body: str, sender: str = "MAILER-DAEMON@mx.example", to: str = BACK, more: str = "") -> list[object]:
    head = (
        f"From: Mail System <{sender}>\r\nTo: {to}\r\nMessage-ID: <b1@mx>\r\nSubject: =?utf-8?b?6YCA5L+h?=\r\n{more}"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    )
    envelope = Envelope("" if "daemon" in sender.lower() or "postmaster" in sender.lower() else sender, to, NOW)
    return list(read_mail(head.encode() + body.encode(), BOX, envelope))


@pytest.mark.parametrize(
    ("body", "failure", "permanent"),
    [
        ("很抱歉,您发送的邮件被退回。\n退信原因: 收件人邮箱不存在 (anna@qq.com)", Failure.RECIPIENT_UNREACHABLE, True),
        ("550 Mailbox not found. http://service.mail.qq.com", Failure.RECIPIENT_UNREACHABLE, True),
        ("收件人 anna@163.com 邮箱空间已满,无法接收", Failure.UNKNOWN, False),
        ("554 MI:SPB 163 smtp2 http://mail.163.com/help", Failure.CONTENT_REJECTED, False),
        ("550 5.1.1 The email account that you tried to reach does not exist.", Failure.RECIPIENT_UNREACHABLE, True),
        ("552 5.2.2 Mailbox full", Failure.UNKNOWN, False),
        ("550 User not found: anna@163.com", Failure.RECIPIENT_UNREACHABLE, True),
        ("该用户不存在", Failure.RECIPIENT_UNREACHABLE, True),
        ("451 4.7.1 Greylisted, will keep trying", Failure.TEMPORARY, False),
        ("550 5.7.1 垃圾邮件", Failure.CONTENT_REJECTED, False),
    ],
)  # fmt: skip
def test_what_servers_say(body: str, failure: Failure, permanent: bool) -> None:
    (event,) = letter(body)
    assert isinstance(event, DeliveryUpdate) and event.correlation == KEY
    assert (event.failure, event.permanent) == (failure, permanent)
    wanted = DeliveryStatus.SENT if failure is Failure.TEMPORARY else DeliveryStatus.BOUNCED
    assert event.status is wanted and event.detail


def test_a_person_or_an_answering_machine_bounces_nothing() -> None:
    """Automatic answers go to the return address, too (RFC 3834), and may quote anything."""
    for sender, more in (
        ("anna@example.net", ""), ("anna@example.net", "Auto-Submitted: auto-replied\r\n"),
        ("postmaster@example.net", "Auto-Submitted: auto-replied (vacation)\r\n"),
    ):  # fmt: skip
        (event,) = letter("My mailbox is full and user unknown is my favourite band", sender, more=more)
        assert isinstance(event, MessageReceived)


def test_without_a_tag_or_our_id_nothing_is_believed() -> None:
    (event,) = letter("550 5.1.1 user unknown", to="care@shop.example")
    assert isinstance(event, MessageReceived)
    quoted = letter("550 5.1.1 user unknown\n\nMessage-ID: <snd_1@shop.example>", to="care@shop.example")
    assert isinstance(quoted[0], DeliveryUpdate) and quoted[0].message_id == "snd_1@shop.example"
    (silent,) = letter("Your letter arrived at a strange place.")
    assert isinstance(silent, MessageReceived), "what says nothing is left to a person"


def test_a_report_that_quotes_nothing_is_tied_to_its_send() -> None:
    raw = (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {BACK}\r\nMessage-ID: <r1@mx>\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
        "Final-Recipient: rfc822; anna@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()
    (event,) = read_mail(raw, BOX, Envelope("", BACK, NOW))
    assert isinstance(event, DeliveryUpdate)
    assert (event.correlation, event.message_id, event.permanent) == (KEY, None, True)


def test_a_complaint_is_tied_to_its_send() -> None:
    raw = (
        f"From: fbl@mx.example\r\nTo: {BACK}\r\nMessage-ID: <c1@mx>\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nVersion: 1\r\n"
        "Original-Rcpt-To: anna@example.net\r\n\r\n--b--\r\n"
    ).encode()
    (event,) = read_mail(raw, BOX, Envelope("fbl@mx.example", BACK, NOW))
    assert isinstance(event, DeliveryUpdate) and event.status is DeliveryStatus.COMPLAINED and event.correlation == KEY


def test_the_envelope_names_the_send() -> None:
    to = Address(channel_id="chn_1", external_id="anna@example.net")
    message = OutboundMessage(key=KEY, to=to, text="Hi", mail=OutboundMail(subject="Hi"))
    sender = Sender("care@shop.example", return_address="bounce@shop.example")
    assert compose(message, sender, NOW).sender == BACK
    assert compose(message, Sender("care@shop.example"), NOW).sender == "care@shop.example"
    long = Sender("care@shop.example", return_address="a-very-long-return-address@shop.example")
    assert compose(message, long, NOW).sender == "a-very-long-return-address@shop.example"
    assert return_tag("snd_1") is None
