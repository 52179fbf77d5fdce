"""What the adapters of Tencent's platforms have in common: envelope, tokens, files."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import ClassVar

import filetype

from base.clock import now as current_time
from channels.adapter import Account, Adapter, Answer, Delivery, Http
from channels.failures import Failure, SendFailed
from channels.providers.tencent.api import Api, outside_file
from channels.providers.tencent.callback import MAX_BODY_BYTES, check_envelope, key_of_envelope
from channels.providers.tencent.failures import is_file
from channels.providers.tencent.tokens import Tokens
from channels.reading import mapping, text
from channels.vocabulary import AnyEvent, Attachment

_JSON = "application/json"


class TencentAdapter(Adapter):
    """Base of the adapters. Keeps the access tokens of all accounts, in memory alone."""

    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES
    #: For one call of the API.
    timeout_s: float = 15.0

    def __init__(self, http: Http) -> None:
        super().__init__(http)
        self._tokens = Tokens()

    @abstractmethod
    def receive_id(self, account: Account) -> str:
        """The id that stands at the end of everything encrypted for this account."""

    @abstractmethod
    def api(self, account: Account) -> Api:
        """The calls of an account."""

    def verify(self, account: Account, delivery: Delivery, now: datetime) -> None:
        """The signed cipher text, fresh within ten minutes, and meant for this account."""
        check_envelope(account, delivery, now, self.receive_id(account))

    def delivery_key(self, account: Account, delivery: Delivery) -> str:
        """A hash of what is inside: Tencent repeats the message and encrypts it anew."""
        return key_of_envelope(account, delivery, self.receive_id(account))

    def accepted(self, account: Account, delivery: Delivery) -> Answer:
        """The word that ends Tencent's tries."""
        return Answer(body=b"success")

    async def media(self, account: Account, attachment: Attachment, *, max_bytes: int) -> tuple[bytes, str]:
        """By id, with our token; Tencent keeps files for three days. Some videos come as an address to fetch."""
        if attachment.media_id is None:
            raise SendFailed(Failure.CONTENT_REJECTED, "WeChat gives this file out in its own app only.")
        answer = await self.api(account).file(attachment.media_id, max_bytes)
        told = answer.headers.get("content-type", "").partition(";")[0].strip()
        may_be_address = len(answer.body) < 10_000 and not is_file(answer)
        address = text(mapping(answer.json()).get("video_url")) if may_be_address else None
        if address is not None:
            answer = await outside_file(self.http, address, max_bytes)
            told = answer.headers.get("content-type", "").partition(";")[0].strip()
        known = attachment.media_type or (told if told not in (_JSON, "text/plain") else "")
        return answer.body, filetype.guess_mime(answer.body) or known or "application/octet-stream"


def fresh(event: AnyEvent, within_s: float) -> bool:
    """True while `event` is at most so many seconds old: a welcome later than that is none."""
    return (current_time() - event.occurred_at).total_seconds() <= within_s
