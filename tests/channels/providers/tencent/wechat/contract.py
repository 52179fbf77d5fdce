"""The Official Account's registration for the contract test. `examples/` holds what the given fixtures leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from channels.providers.tencent.wechat.adapter import WeChatAdapter
from tests.channels.providers.tencent.envelope import AES_KEY, TencentContract


class WeChatContract(TencentContract):
    adapter = WeChatAdapter
    receive_id = "wxb11529c136998cb6"
    settings: ClassVar[Mapping[str, Any]] = {
        "app_id": receive_id,
        "app_secret": "canary-app-secret",
        "token": "canaryToken",
        "encoding_aes_key": AES_KEY,
    }
    folder = "wechat"
    other_secret = "canaryOtherToken"
    exempt: ClassVar[Mapping[str, str]] = {
        "aes-vectors.json": "a vector of the encryption; see test_envelope",
        "signature-vector-plain.json": "a vector of the challenge; see test_envelope",
    }


CONTRACT = WeChatContract()
