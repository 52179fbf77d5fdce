"""What the contract test leaves out of the two signatures: rotation headers, mixed schemes, keys of a delivery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.signing import hmac_hex, sign_standard
from channels.adapter import Account, Delivery, Unverified
from channels.providers.generic.adapter import GenericAdapter
from channels.providers.generic.settings import GenericSettings
from channels.providers.generic.signature import is_stripe, signed_headers

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())
SECRET = "whsec_Y2FuYXJ5LWdlbmVyaWMtc2VjcmV0LTI0"


def stripe(body: bytes, secret: str = SECRET, stamp: int = STAMP) -> str:
    return hmac_hex(secret, f"{stamp}.".encode() + body)


def delivery(body: bytes = b"{}", **headers: str) -> Delivery:
    named = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return Delivery("POST", body, named, {}, NOW)


def account(scheme: str) -> Account:
    settings = GenericSettings.model_validate({"scheme": scheme, "secret": SECRET})
    return Account("chn_1", "generic", "Shop", settings)


def adapter() -> GenericAdapter:
    http: Any = None
    return GenericAdapter(http)


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("t={t},v1={right}", True),
        ("t={t},v1={wrong},v1={right}", True),
        ("v1={right},t={t}", True),
        ("t={t},v0={right}", False),
        ("t={t},v1={right},t={t}", False),
        ("v1={right}", False),
        ("t={t}", False),
        ("t={t}, v1={right}", False),
        ("t=soon,v1={right}", False),
        ("t=,v1={right}", False),
        (",,=,t,v1", False),
        ("", False),
    ],
)
def test_stripe_headers(header: str, answer: bool) -> None:
    given_header = header.format(t=STAMP, right=stripe(b"{}"), wrong=stripe(b"[]"))
    assert is_stripe(delivery(stripe_signature=given_header), [SECRET], NOW) is answer


def test_stripe_refuses_old_and_future_stamps() -> None:
    for seconds, answer in ((300, True), (301, False), (-300, True), (-301, False)):
        stamp = STAMP - seconds
        header = f"t={stamp},v1={stripe(b'{}', stamp=stamp)}"
        assert is_stripe(delivery(stripe_signature=header), [SECRET], NOW) is answer
    assert not is_stripe(delivery(stripe_signature=f"t={STAMP},v1={stripe(b'{}', '')}"), [""], NOW)


def test_the_scheme_is_the_accounts_and_not_the_headers() -> None:
    standard = {
        "webhook_id": "m",
        "webhook_timestamp": str(STAMP),
        "webhook_signature": sign_standard(SECRET, "m", STAMP, b"{}"),
    }
    other = {"stripe_signature": f"t={STAMP},v1={stripe(b'{}')}"}
    adapter().verify(account("standard"), delivery(**standard), NOW)
    adapter().verify(account("stripe"), delivery(**other), NOW)
    for scheme, headers in (("standard", other), ("stripe", standard)):
        with pytest.raises(Unverified):
            adapter().verify(account(scheme), delivery(**headers), NOW)


def test_delivery_keys() -> None:
    body = b'{"id": "evt_1", "type": "a"}'
    assert adapter().delivery_key(account("standard"), delivery(body, webhook_id="msg_1")) == "msg_1"
    assert adapter().delivery_key(account("standard"), delivery(body)) == "evt_1"
    unsigned_header = delivery(body, webhook_id="msg_1")
    assert adapter().delivery_key(account("stripe"), unsigned_header) == "evt_1", "that header is not signed there"
    assert adapter().parse(account("stripe"), unsigned_header)[0].event_id == "evt_1"
    for odd in (b"[]", b"\xff", b'{"id": {}}'):
        assert len(adapter().delivery_key(account("stripe"), delivery(odd))) == 40
    assert len(adapter().delivery_key(account("standard"), delivery(body, webhook_id="x" * 5000))) == 40


def test_a_redelivery_has_the_same_ids() -> None:
    body = b'[{"type": "a", "data": {}}, {"type": "a", "data": {}}]'
    first, second = (
        adapter().parse(account("standard"), Delivery("POST", body, {"webhook-id": ("msg_1",)}, {}, at))
        for at in (NOW, NOW + timedelta(hours=1))
    )
    assert [event.event_id for event in first] == [event.event_id for event in second] == ["msg_1.0", "msg_1.1"]


@given(st.sampled_from(["standard", "stripe"]), st.binary(max_size=300))
def test_what_we_sign_we_accept(scheme: str, body: bytes) -> None:
    sent = signed_headers(scheme, SECRET, "snd_1", NOW, body)
    received = Delivery("POST", body, {name.lower(): (value,) for name, value in sent.items()}, {}, NOW)
    adapter().verify(account(scheme), received, NOW)
