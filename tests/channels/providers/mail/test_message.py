"""Raw mails: bounds, damage, who wrote it, which conversation. The given samples are in the contract's golden files."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.adapter import Unreadable
from channels.providers.mail.headers import Headers
from channels.providers.mail.message import MAX_MAIL, Box, Envelope, author_of, is_automatic, read_mail
from channels.providers.mail.mime import MAX_DEPTH, MAX_PARTS
from channels.vocabulary import DeliveryUpdate, MessageReceived, Unrecognised

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
BOX = Box("chn_1", ("care@example.com",))
HEAD = b"From: Anna <anna@example.net>\r\nTo: care@example.com\r\nMessage-ID: <1@x>\r\nSubject: Hi\r\n"
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def read(raw: bytes, recipient: str = "care@example.com", sender: str | None = "anna@example.net") -> list[object]:
    return list(read_mail(raw, BOX, Envelope(sender, recipient, NOW)))


def one(raw: bytes, recipient: str = "care@example.com") -> MessageReceived:
    (event,) = read(raw, recipient)
    assert isinstance(event, MessageReceived)
    return event


# -- anything at all ---------------------------------------------------------------------------------

FIELD = st.sampled_from(
    ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition",
     "References", "List-Id", "Content-ID", "Reply-To", "Authentication-Results", "Precedence", "X"]
)  # fmt: skip
VALUE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"multipart/mixed; boundary=b", b"multipart/report; report-type=delivery-status; boundary=b", b"text/html",
         b"text/plain; charset=utf-7", b"text/plain; charset=punycode", b"message/delivery-status", b"message/rfc822",
         b"base64", b"quoted-printable", b"x-uuencode", b"=?utf-8?B?////?= =?idna?Q?=FF?=", b"a@b.c", b"<a@b.c>",
         b"attachment; filename*0*=x''%ff; filename*2=y", b"text/plain; format=flowed; delsp=yes",
         b"text/plain; name=\"", b"\xff\xfe\x00", b"Mon, 31 Dec 9999 23:59:59 -2359", b"Thu, 1 Jan 0001 00:00:00 +2359"]
    ),
)  # fmt: skip
LINES = st.lists(
    st.one_of(
        st.tuples(FIELD, VALUE).map(lambda pair: pair[0].encode() + b": " + pair[1]),
        st.sampled_from(
            [b"", b"--b", b"--b--", b" folded", b">", b"Final-Recipient: rfc822; a@b.c", b"Action: failed"]
        ),
        st.binary(max_size=60),
    ),
    max_size=40,
)


@given(lines=LINES, end=st.sampled_from([b"\r\n", b"\n", b"\r"]))
@FUZZ
def test_any_lines_are_events_or_unreadable(lines: list[bytes], end: bytes) -> None:
    try:
        events = read(end.join(lines))
    except Unreadable:
        return
    for event in events:
        event.model_dump_json()  # type: ignore[attr-defined]  # storable: no lone surrogate, no odd time


@given(raw=st.binary(max_size=600))
@FUZZ
def test_any_bytes_after_a_head(raw: bytes) -> None:
    for event in read(HEAD + raw):
        event.model_dump_json()  # type: ignore[attr-defined]


# -- bounds (S14) ------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    out = [HEAD]
    for level in range(depth):
        out.append(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level))
    return b"".join(out) + b"\r\nHello\r\n"


def many_parts(count: int) -> bytes:
    return HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * count + b"--b--\r\n"


def test_nesting_is_bounded() -> None:
    assert one(nested(MAX_DEPTH)).text == "Hello"
    for depth in (MAX_DEPTH + 1, 500, 5000):
        with pytest.raises(Unreadable, match="nested"):
            read(nested(depth))


def test_parts_are_bounded() -> None:
    assert one(many_parts(MAX_PARTS - 1)).text
    with pytest.raises(Unreadable, match="parts"):
        read(many_parts(10_000))


def test_size_is_bounded() -> None:
    with pytest.raises(Unreadable, match="larger"):
        read(HEAD + b"\r\n" + b"x" * MAX_MAIL)


@pytest.mark.parametrize(
    "evil",
    [
        b"To: " + b"a@b.example, " * 100_000 + b"\r\n\r\nx",
        b"To: " + b'"\\' * 100_000 + b"\r\n\r\nx",
        b"References: " + b"<a@b> " * 100_000 + b"\r\n\r\nx",
        b"References: " + b"<" * 100_000 + b"\r\n\r\nx",
        b"Subject: " + b"=?utf-8?q?" * 50_000 + b"\r\n\r\nx",
        b"Subject: " + b"=?punycode?q?a?=" * 20_000 + b"\r\n\r\nx",
        b"X: y\r\n" * 200_000 + b"\r\nx",
        b" folded\r\n" * 200_000 + b"\r\nx",
        b"Content-Type: text/plain" + b";a=b" * 100_000 + b"\r\n\r\nx",
        b'Content-Type: text/plain; name="' + b'\\"' * 100_000 + b"\r\n\r\nx",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\r\n" * 500_000,
        b"Content-Type: text/html\r\n\r\n" + b"<div>" * 200_000,
        b"Content-Type: text/html\r\n\r\n" + b"<b>x</i>" * 100_000,
        b"Content-Type: text/html\r\n\r\n<p " + b'a="' * 300_000,
        b"\r\n" + b"\r\n" * 2_000_000,
        b"\r\n" + b"> " * 2_000_000,
        b"\r\n" + b"On a b\r\n" * 300_000,
        b"\r\n" + b"From: \r\n" * 4_900,
        b"\r\n" + b"2026 wrote" * 100_000 + b":",
        b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=\r\n" * 1_000_000,
    ],
    ids=lambda raw: raw[:24].decode("ascii", "replace").strip() or "body",
)
def test_no_mail_takes_long(evil: bytes) -> None:
    started = time.process_time()
    read(HEAD + evil)
    assert time.process_time() - started < 3.0


def test_addresses_are_bounded() -> None:
    event = one(HEAD + b"Cc: " + b", ".join(b"a%d@b.example" % number for number in range(5000)) + b"\r\n\r\nx")
    assert event.mail is not None and len(event.mail.cc) == 200


def test_long_ids_still_fit_an_index() -> None:
    event = one(HEAD.replace(b"<1@x>", b"<" + b"i" * 10_000 + b"@x>") + b"\r\nx")
    assert len(event.message_id) <= 500 and event.message_id.startswith("sha256.")


# -- who ---------------------------------------------------------------------------------------------


def author(**fields: str) -> tuple[str, bool] | None:
    found = author_of(Headers((name.replace("_", "-"), value) for name, value in fields.items()), "env@example.net")
    return (found.mailbox.key, found.claimed) if found else None


def test_the_sender_is_from() -> None:
    assert author(From="Anna <Anna@X.net>", Reply_To="b@y.net", X_Original_Sender="c@z.net") == ("anna@x.net", False)
    assert author(From="nonsense", Sender="s@x.net") == ("s@x.net", False)
    assert author(From="nonsense") == ("env@example.net", False)
    assert author_of(Headers(), "") is None


def test_behind_a_list_the_person_counts_but_is_only_claimed() -> None:
    assert author(From="'A' via G <g@l.org>", List_Id="<g.l.org>", Reply_To="a@x.net") == ("a@x.net", True)
    assert author(From="g@l.org", List_Post="<mailto:g@l.org>", Reply_To="a@x.net") == ("a@x.net", True)
    assert author(From="a@x.net", List_Id="<g.l.org>", X_Original_Sender="a@x.net") == ("a@x.net", False)
    # a newsletter is a list, too, but its From is no list's
    assert author(From="news@shop.example", List_Id="<n.shop.example>", Reply_To="r@shop.example") == (
        "news@shop.example",
        False,
    )


@pytest.mark.parametrize(
    "field",
    ["Auto-Submitted: auto-generated", "Precedence: bulk", "Precedence: JUNK", "X-Autoreply: yes", "List-Id: <a.b>",
     "X-Auto-Response-Suppress: All", "Return-Path: <>"],
)  # fmt: skip
def test_automatic_mail(field: str) -> None:
    name, _, value = field.partition(": ")
    assert is_automatic(Headers([(name, value)]), "a@b.c")


def test_people_are_not_automatic() -> None:
    assert not is_automatic(Headers([("Auto-Submitted", "no"), ("Precedence", "first-class")]), "a@b.c")
    assert is_automatic(Headers(), "")


def test_mail_from_ourselves_is_kept_apart() -> None:
    (event,) = read(HEAD.replace(b"anna@example.net", b"CARE@example.com") + b"\r\nx")
    assert isinstance(event, Unrecognised) and event.topic == "mail from ourselves"


# -- which conversation ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "token"),
    [
        ("care+Tok-1@example.com", "Tok-1"),
        ("CARE+tok@EXAMPLE.com", "tok"),
        ("reply+tok@example.com", "tok"),
        ("care@example.com", None),
        ("care+@example.com", None),
        ("other+tok@example.com", None),
        ("care+tok@evil.example", None),
        ("care+tok%40x@example.com", None),
    ],
)
def test_token(recipient: str, token: str | None) -> None:
    event = one(HEAD + b"\r\nx", recipient)
    assert event.mail is not None and event.mail.reply_token == token


def test_answer_all_to_tagged_and_plain_address_is_one_message() -> None:
    raw = HEAD + b"Cc: care+tok@example.com\r\n\r\nx"
    plain, tagged = one(raw), one(raw, "care+tok@example.com")
    assert plain.message_id == tagged.message_id
    assert plain.mail is not None and plain.mail.reply_token == "tok"


def test_two_addresses_of_ours_are_two_messages() -> None:
    assert one(HEAD + b"\r\nx").message_id != one(HEAD + b"\r\nx", "sales@example.com").message_id


# -- the body ----------------------------------------------------------------------------------------


def test_text_parts_around_a_picture_are_joined() -> None:
    raw = HEAD + (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nAbove\r\n--b\r\nContent-Type: image/png\r\n"
        b"Content-Disposition: inline; filename=a.png\r\n\r\nPNG\r\n--b\r\n\r\nBelow\r\n--b--\r\n"
    )
    event = one(raw)
    assert event.text == "Above\n\nBelow"
    assert [(file.file_name, file.inline, file.content) for file in event.attachments] == [("a.png", False, b"PNG")]


def test_missing_closing_boundary_and_preamble() -> None:
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\nThis is MIME\r\n--b\r\n\r\nHello"
    assert one(raw).text == "Hello"


def test_nothing_but_a_forward_is_shown_whole() -> None:
    raw = HEAD + b"\r\n---------- Forwarded message ---------\nFrom: A <a@b.c>\nDate: x\nSubject: y\n\nLook"
    assert "Look" in (one(raw).text or "")


def test_a_report_we_cannot_read_is_automatic_mail() -> None:
    raw = (
        b"From: <>\r\nMessage-ID: <b@x>\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        b"--b\r\n\r\nSorry\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nnonsense\r\n--b--\r\n"
    )
    (event,) = read(raw, sender="")
    assert isinstance(event, Unrecognised) and event.topic == "mail without a sender"
    (event,) = read(raw.replace(b"From: <>", b"From: MAILER-DAEMON@x.net"), sender="")
    assert isinstance(event, MessageReceived) and event.mail is not None and event.mail.automatic


def test_report_without_an_original_id_names_no_message() -> None:
    raw = (
        b"From: MAILER-DAEMON@x.net\r\nMessage-ID: <b@x>\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
        b"Final-Recipient: rfc822; a@b.c\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n"
    )
    (event,) = read(raw, sender="")
    assert isinstance(event, DeliveryUpdate) and event.message_id is None and event.permanent
