"""Customer service's registration for the contract test: the callbacks. Fetched pages have their own, in `pages/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channels.providers.tencent.wecom_kf.adapter import WeComKfAdapter
from tests.channels.providers.tencent.envelope import AES_KEY, TencentContract

SETTINGS: Mapping[str, Any] = {
    "corp_id": "ww12345678910",
    "open_kfid": "wkxxxxxxx",
    "secret": "canary-corp-secret",
    "token": "canaryToken",
    "encoding_aes_key": AES_KEY,
}


class WeComKfContract(TencentContract):
    adapter = WeComKfAdapter
    receive_id = "ww12345678910"
    settings: ClassVar[Mapping[str, Any]] = SETTINGS
    folder = "wecom"
    pattern = "kf-*.xml"
    other_secret = "canaryOtherToken"


CONTRACT = WeComKfContract()
