"""WeCom's registration for the contract test. `examples/` holds what the given fixtures leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channels.providers.tencent.wecom.adapter import WeComAdapter
from tests.channels.providers.tencent.envelope import AES_KEY, TencentContract


class WeComContract(TencentContract):
    adapter = WeComAdapter
    receive_id = "ww45a0972125658be9"
    settings: ClassVar[Mapping[str, Any]] = {
        "corp_id": receive_id,
        "agent_id": "1000004",
        "secret": "canary-corp-secret",
        "token": "canaryToken",
        "encoding_aes_key": AES_KEY,
    }
    folder = "wecom"
    pattern = "w*.xml"
    other_secret = "canaryOtherToken"


CONTRACT = WeComContract()
