"""The proof of a delivery of SNS: which certificate is fetched, from where, and how often."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from base.errors import Unavailable
from base.http import HttpFailed, HttpReply
from channels.adapter import Unverified
from channels.providers.mail.ses import sns
from channels.providers.mail.ses.adapter import SesAdapter
from tests.channels.contract import NOW
from tests.channels.providers.mail.ses.amazon import NOTIFICATION, Amazon, account, posted
from tests.channels.providers.mail.ses.contract import CERTIFICATE, TOPIC, certificate


async def test_a_certificate_is_fetched_once() -> None:
    amazon = Amazon()
    adapter = SesAdapter(amazon)
    with pytest.raises(Unverified):
        adapter.verify(account(), posted(NOTIFICATION), NOW)
    await asyncio.gather(*(adapter.prepare(account(), posted(NOTIFICATION)) for _ in range(20)))
    assert amazon.asked == [CERTIFICATE]
    for version in ("1", "2"):
        adapter.verify(account(), posted(NOTIFICATION, version=version), NOW)
        adapter.verify(account(), posted({**NOTIFICATION, "Subject": "Grüße\nzwei"}, version=version), NOW)
    adapter.verify(account(topic_arn=f"{TOPIC}2 {TOPIC}"), posted(NOTIFICATION), NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"TopicArn": TOPIC + "x"},
        {"Type": "Other"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.example/a.pem"},
        {"SigningCertURL": "https://evil.example/sns.us-east-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com@evil.example/a.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com:8443/a.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem?x=.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/../a.pem"},
        {"SigningCertURL": "http://sns.us-east-1.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://s3.amazonaws.com/bucket/a.pem"},
        {"SigningCertURL": "https://sns.s3.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.s3-us-west-2.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.s3-accelerate.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.us-west-2.amazonaws.com/a.pem"},
        {"SigningCertURL": "https://sns.us-east-1.amazonaws.com/a.pem\n"},
        {"SigningCertURL": ["https://sns.us-east-1.amazonaws.com/a.pem"]},
    ],
)
async def test_nobody_else_is_ever_asked(change: dict[str, Any]) -> None:
    amazon = Amazon()
    adapter = SesAdapter(amazon)
    delivery = posted(NOTIFICATION, **change)
    await adapter.prepare(account(), delivery)
    assert amazon.asked == []
    with pytest.raises(Unverified):
        adapter.verify(account(), delivery, NOW)


async def test_china_has_its_own_ending() -> None:
    url = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:mail"
    assert sns.certificate_url({"Type": "Notification", "TopicArn": topic, "SigningCertURL": url}, (topic,)) == url


@pytest.mark.parametrize(
    ("found", "refusal"),
    [
        (HttpFailed("timeout", "slow", sent=True), Unavailable),
        (HttpReply(503, {}, b""), Unavailable),
        (HttpReply(404, {}, b""), Unverified),
        (HttpReply(200, {}, b"<html>"), Unverified),
    ],
)
async def test_what_cannot_be_had_is_not_asked_for_again_at_once(
    found: HttpReply | HttpFailed, refusal: type[Exception]
) -> None:
    amazon = Amazon({CERTIFICATE: found})
    adapter = SesAdapter(amazon)
    with pytest.raises(refusal):
        await adapter.prepare(account(), posted(NOTIFICATION))
    for _ in range(5):
        with pytest.raises(Unavailable):
            await adapter.prepare(account(), posted(NOTIFICATION))
    assert len(amazon.asked) == 1
    adapter.certificates._not_before.clear()  # half a minute later
    amazon.answers[CERTIFICATE] = HttpReply(200, {}, certificate())
    await adapter.prepare(account(), posted(NOTIFICATION))
    adapter.verify(account(), posted(NOTIFICATION), NOW)


async def test_a_stranger_cannot_fill_the_cupboard() -> None:
    amazon = Amazon()
    adapter = SesAdapter(amazon)
    for number in range(60):
        url = CERTIFICATE.replace("0123", f"{number:04d}")
        amazon.answers[url] = HttpReply(200, {}, certificate())
        await adapter.prepare(account(), posted(NOTIFICATION, SigningCertURL=url))
    assert len(adapter.certificates._kept) <= sns.MAX_CERTIFICATES
    assert len(adapter.certificates._not_before) <= sns.MAX_CERTIFICATES


async def test_a_certificate_that_has_run_out_proves_nothing() -> None:
    adapter = SesAdapter(Amazon({CERTIFICATE: HttpReply(200, {}, certificate(at=NOW - timedelta(days=60)))}))
    await adapter.prepare(account(), posted(NOTIFICATION))
    with pytest.raises(Unverified):
        adapter.verify(account(), posted(NOTIFICATION), NOW)
