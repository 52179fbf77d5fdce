"""Deliveries of SNS through the door: certificate, proof, confirmation, journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from base.http import HttpFailed, HttpReply
from channels.adapter import Delivery
from channels.providers.mail.ses.adapter import SesAdapter
from channels.registry import Registry
from tests.channels.contract import NOW
from tests.channels.providers.mail.ses.amazon import NOTIFICATION, QUESTION, SUBSCRIBE, Amazon, posted
from tests.channels.providers.mail.ses.contract import CERTIFICATE, TOPIC, SesContract, certificate
from tests.webhooks.conftest import Tools
from webhooks.routes import Door


@pytest.fixture
def amazon() -> Amazon:
    return Amazon({CERTIFICATE: HttpReply(200, {}, certificate()), SUBSCRIBE: HttpReply(200, {}, b"<ok/>")})


@pytest.fixture
async def door(tools: Tools, amazon: Amazon) -> AsyncIterator[Any]:
    tools.registry = Registry(amazon, {"ses": SesAdapter})
    tools.channels._registry = tools.registry
    tools.clock = lambda: NOW
    app = web.Application()
    app.add_routes(Door(tools).routes())
    channel = await tools.channels.add("ses", "Mail", dict(SesContract.settings))
    async with TestClient(TestServer(app)) as client:

        async def post(delivery: Delivery) -> int:
            return int((await client.post(f"/webhooks/ses/{channel.id}", data=delivery.body)).status)

        yield post


async def kept(tools: Tools) -> int:
    return int(await tools.db.collection("deliveries").count_documents({}))


async def test_a_subscription_confirms_itself_after_it_is_verified(door: Any, tools: Tools, amazon: Amazon) -> None:
    assert await door(posted(QUESTION, Message="tampered")) == 401
    assert await door(posted(QUESTION, topic=TOPIC + "x")) == 401
    assert SUBSCRIBE not in amazon.asked
    assert await door(posted(QUESTION)) == 200
    assert amazon.asked == [CERTIFICATE, SUBSCRIBE] and await kept(tools) == 0
    amazon.answers[SUBSCRIBE] = HttpReply(500, {}, b"")
    assert await door(posted(QUESTION)) == 503, "SNS asks again"
    amazon.answers[SUBSCRIBE] = HttpFailed("connect", "away", sent=False)
    assert await door(posted(QUESTION)) == 503


async def test_a_question_that_leads_elsewhere_is_not_followed(door: Any, amazon: Amazon) -> None:
    for url in ("https://evil.example/?x", "http://sns.us-east-1.amazonaws.com/?x", SUBSCRIBE.replace("sns.", "sqs.")):
        assert await door(posted({**QUESTION, "SubscribeURL": url})) == 200
    assert amazon.asked == [CERTIFICATE]


async def test_notifications_are_kept_once(door: Any, tools: Tools) -> None:
    for _ in range(3):
        assert await door(posted(NOTIFICATION)) == 200
    assert await kept(tools) == 1


async def test_amazon_away_means_come_again(door: Any, tools: Tools, amazon: Amazon) -> None:
    amazon.answers[CERTIFICATE] = HttpFailed("timeout", "slow", sent=True)
    assert await door(posted(NOTIFICATION)) == 503
    assert await kept(tools) == 0
