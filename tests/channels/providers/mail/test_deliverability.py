"""What receivers ask of a sending domain: judged from records, and read from a name server that plays the DNS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from channels.providers.mail.deliverability import (
    DnsReader,
    Finding,
    Records,
    Sending,
    judged,
    read_records,
    sending_of,
)
from channels.providers.mail.dkim import Signer, new_key, record_of
from channels.providers.mail.email.adapter import EmailSettings

KEY = new_key()
PLAIN = Sending("shop.example", "shop.example", False, smtp=True)
SIGNED = Sending("shop.example", "shop.example", True, Signer("shop.example", "r1", KEY), signs=True, smtp=True)
GOOD = Records(
    ["v=spf1 mx -all"], 1, [record_of(KEY)], ["v=DMARC1; p=reject"], ["mx.shop.example"], ["mx.shop.example"]
)


def codes(sending: Sending, records: Records) -> dict[str, str]:
    return {each.topic: each.code for each in judged(sending, records)}


def test_all_is_well() -> None:
    assert {each.tone for each in judged(SIGNED, GOOD)} == {"good"}


@pytest.mark.parametrize(
    ("texts", "lookups", "code"),
    [([], 0, "spf_none"), (["v=spf1 -all", "v=spf1 mx -all"], 1, "spf_several"), (["v=spf1 +all"], 0, "spf_everybody"),
     (["v=spf1 mx ?all"], 1, "spf_open"), (["v=spf1 include:a -all"], 11, "spf_lookups"), (None, 0, "spf_unknown"),
     (["v=spf1 redirect=a.example"], 1, "spf_good")],
)  # fmt: skip
def test_spf(texts: Sequence[str] | None, lookups: int, code: str) -> None:
    assert codes(PLAIN, Records(texts, lookups))["spf"] == code


def test_dkim() -> None:
    assert codes(PLAIN, GOOD)["dkim"] == "dkim_none"
    assert codes(SIGNED, Records(dkim=[]))["dkim"] == "dkim_missing"
    assert codes(SIGNED, Records(dkim=["v=DKIM1; p=QUJD"]))["dkim"] == "dkim_other_key"
    waiting = Sending("shop.example", "shop.example", True, SIGNED.signer, signs=False, smtp=True)
    assert codes(waiting, GOOD)["dkim"] == "dkim_ready"
    spaced = record_of(KEY).replace("p=", "p= ")[:200] + " " + record_of(KEY).replace("p=", "p= ")[200:]
    assert codes(SIGNED, Records(dkim=[spaced]))["dkim"] == "dkim_good", "some name servers put spaces in"


def test_the_rest() -> None:
    assert codes(PLAIN, Records(dmarc=[]))["dmarc"] == "dmarc_none"
    assert codes(PLAIN, Records(dmarc=["v=DMARC1; p=none"]))["dmarc"] == "dmarc_watches"
    assert codes(PLAIN, Records(dmarc=["v=DMARC1"]))["dmarc"] == "dmarc_broken"
    assert codes(PLAIN, Records(mx=[]))["mx"] == codes(PLAIN, Records(mx=[""]))["mx"] == "mx_none"
    assert codes(PLAIN, GOOD)["return_path"] == "return_plain"
    foreign = Sending("shop.example", "relay.test", True, smtp=True)
    assert codes(foreign, GOOD)["return_path"] == "return_foreign"
    assert codes(SIGNED, Records(return_mx=[]))["return_path"] == "return_nowhere"
    assert codes(Sending("a.example", "a.example", False, smtp=True, encrypted=False), GOOD)["tls"] == "tls_none"


def test_what_a_channel_says_of_itself() -> None:
    given = {
        "from_address": "care@bücher.example",
        "return_address": "b@back.bücher.example",
        "smtp_host": "mx.example",
    }
    sending = sending_of(EmailSettings.model_validate(given), "email")
    assert sending is not None
    assert (sending.domain, sending.return_domain) == ("xn--bcher-kva.example", "back.xn--bcher-kva.example")
    assert sending_of(object(), "telegram") is None


# -- a name server -----------------------------------------------------------------------------------


class NameServer(asyncio.DatagramProtocol):
    """Answers from a table; names with `broken` in them fail."""

    def __init__(self, zone: Mapping[tuple[str, str], Sequence[str]]) -> None:
        self._zone = zone
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer, question = dns.message.make_response(query), query.question[0]
        name, kind = question.name.to_text().rstrip("."), dns.rdatatype.to_text(question.rdtype)
        if "broken" in name:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in self._zone:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *self._zone[(name, kind)]))
        elif not any(known == name for known, _ in self._zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def reader() -> AsyncIterator[DnsReader]:
    key = record_of(KEY)
    zone = {
        ("shop.example", "TXT"): ['"v=spf1 include:_spf.relay.test mx ~all"', '"other=1"'],
        ("shop.example", "MX"): ["20 second.shop.example.", "10 first.shop.example."],
        ("_spf.relay.test", "TXT"): ['"v=spf1 a mx include:_spf.relay.test -all"'],
        ("_dmarc.shop.example", "TXT"): ['"v=DMARC1; p=quarantine"'],
        ("r1._domainkey.shop.example", "TXT"): [f'"{key[:200]}" "{key[200:]}"'],
    }
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone), local_addr=("127.0.0.1", 0)
    )
    yield DnsReader(["127.0.0.1"], transport.get_extra_info("sockname")[1])
    transport.close()


async def test_records_are_read(reader: DnsReader) -> None:
    records = await read_records(reader, SIGNED)
    assert records.mx == ["first.shop.example", "second.shop.example"] and records.spf_lookups == 5
    assert {each.tone for each in judged(SIGNED, records)} == {"good"}


async def test_a_name_below_uses_the_policy_of_its_domain(reader: DnsReader) -> None:
    below = Sending("news.shop.example", "news.shop.example", False, smtp=True)
    records = await read_records(reader, below)
    assert records.dmarc == ["v=DMARC1; p=quarantine"] and records.spf == [] and records.mx == []


async def test_who_does_not_answer_says_nothing(reader: DnsReader) -> None:
    broken = Sending("broken.example", "broken.example", False, smtp=True)
    found = {each.topic: each for each in judged(broken, await read_records(reader, broken))}
    assert {found[topic].tone for topic in ("spf", "dmarc", "mx")} == {"unknown"}
    assert isinstance(found["spf"], Finding)
