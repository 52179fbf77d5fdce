"""Amazon played by a table, and deliveries of SNS as it would sign them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from base.http import HttpFailed, HttpReply
from channels.adapter import Account, Delivery
from tests.channels.contract import NOW
from tests.channels.providers.mail.ses.contract import CERTIFICATE, TOPIC, SesContract, certificate, stamped

SUBSCRIBE = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=EXAMPLE"
NOTIFICATION = {"Type": "Notification", "MessageId": "m-1", "Message": "{}"}
QUESTION = {
    "Type": "SubscriptionConfirmation", "MessageId": "m-2", "Token": "EXAMPLE", "Message": "?",
    "SubscribeURL": SUBSCRIBE,
}  # fmt: skip


class Amazon:
    """Stands in for the outbound client: remembers who was asked, answers from a table."""

    def __init__(self, answers: dict[str, HttpReply | HttpFailed] | None = None) -> None:
        usual: dict[str, HttpReply | HttpFailed] = {CERTIFICATE: HttpReply(200, {}, certificate())}
        self.answers = answers if answers is not None else usual
        self.asked: list[str] = []

    async def request(self, method: str, url: str, **more: Any) -> Any:
        self.asked.append(url)
        await asyncio.sleep(0)
        found = self.answers.get(url, HttpReply(404, {}, b""))
        if isinstance(found, HttpFailed):
            raise found
        return found


def account(**more: Any) -> Account:
    return SesContract().account(more)


def posted(envelope: dict[str, Any], topic: str = TOPIC, version: str = "2", **more: Any) -> Delivery:
    made = {**stamped(envelope, topic, NOW, version), **more}
    return Delivery("POST", json.dumps(made).encode(), {"content-type": ("text/plain",)}, received_at=NOW)
