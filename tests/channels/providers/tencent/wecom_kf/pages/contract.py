"""The pages that customer service gives when asked. We fetch them ourselves: they prove nothing and are not posted;
where the contract test wants a signed delivery, it gets a callback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.tencent.wecom_kf.adapter import WeComKfAdapter
from channels.providers.tencent.wecom_kf.parse import PAGE
from tests.channels.contract import NOW, Case, ProviderContract
from tests.channels.providers.tencent.envelope import sealed, with_proof


class KfPagesContract(ProviderContract):
    adapter = WeComKfAdapter
    settings: ClassVar[Mapping[str, Any]] = {
        "corp_id": "ww12345678910",
        "open_kfid": "wkAJ2GCAAASSm4_FhToWMFea0xAFfd3Q",
        "secret": "canary-corp-secret",
        "token": "canaryToken",
        "encoding_aes_key": "canaryKEYcanaryKEYcanaryKEYcanaryKEYcanary0",
    }
    folder = "wecom"
    pattern = "kf-*.json"
    secret = "token"
    proof = "none"
    #: The given page repeats one placeholder.
    unique_event_ids = False

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        callback = b"<xml><MsgType>event</MsgType><Event>other</Event></xml>"
        return with_proof(self.post(sealed(callback, "ww12345678910"), "text/xml"), secret, at)

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, page(file.read_bytes()))

    def own(self) -> Iterable[Case]:
        for own in sorted((self.home / "examples").glob("*")):
            yield Case(f"own-{own.stem}", page(own.read_bytes()))

    def post(self, body: bytes, content_type: str | None = None) -> Delivery:
        """Anything at all, as a page: what this registration's fuzzing is for."""
        posted = super().post(body, content_type)
        return posted if content_type else replace(posted, method=PAGE)


def page(body: bytes) -> Delivery:
    return Delivery(method=PAGE, body=body, received_at=NOW)


CONTRACT = KfPagesContract()
