"""Segment's registration for the contract test. `examples/` holds what the given fixtures leave out; what stands before
`--` in a name is the path by which the call came.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from channels.adapter import Delivery
from channels.providers.segment.adapter import SegmentAdapter
from channels.providers.segment.parse import CALL
from tests.channels.contract import Case, ProviderContract, with_headers

EXAMPLES = Path(__file__).parent / "examples"


class SegmentContract(ProviderContract):
    adapter = SegmentAdapter
    settings: ClassVar[Mapping[str, Any]] = {"write_key": "canary-write-key"}
    folder = "segment"
    secret = "write_key"
    proof = "secret"
    proof_headers = ("authorization",)
    api_base_exempt = "nothing is sent to Segment"

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_headers(delivery, {"authorization": f"Basic {base64.b64encode(f'{secret}:'.encode()).decode()}"})

    def cases(self, file: Path) -> Iterable[Case]:
        yield Case(file.stem, self.called("batch", file.read_bytes()))

    def own(self) -> Iterable[Case]:
        for own in sorted(EXAMPLES.glob("*.json")):
            yield Case(f"own-{own.stem}", self.called(own.stem.partition("--")[0], own.read_bytes()))

    def called(self, call: str, body: bytes) -> Delivery:
        """As the door hands it on."""
        return replace(self.post(body), query={CALL: (call,)})


CONTRACT = SegmentContract()
