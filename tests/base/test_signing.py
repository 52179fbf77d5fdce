"""Signatures against a published vector, an independent implementation, and whatever strangers send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from base.errors import WrongInput
from base.signing import hmac_b64, hmac_hex, same, sign_standard, standard_key, verify_standard, within

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
STAMP = int(NOW.timestamp())
SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
OTHER = "whsec_" + base64.b64encode(b"o" * 24).decode()
keys = st.binary(min_size=1, max_size=64)
#: What can stand in a header: the reference library takes nothing outside ASCII.
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_hmac_forms() -> None:
    # RFC 4231, test case 2
    assert hmac_hex("Jefe", b"what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )
    sha1 = hmac.new(b"k", b"d", hashlib.sha1).digest()
    assert hmac_b64(b"k", b"d", "sha1") == base64.b64encode(sha1).decode()
    assert hmac_hex(b"k", b"d", "sha512") == hmac.new(b"k", b"d", hashlib.sha512).hexdigest()


@pytest.mark.parametrize(
    ("given_value", "expected", "answer"),
    [
        ("abc", "abc", True),
        (b"abc", "abc", True),
        ("abc", b"abc", True),
        ("ABC", "abc", False),
        ("ab", "abc", False),
        ("abc ", "abc", False),
        ("", "abc", False),
        ("abc", "", False),
        ("", "", False),
        (None, "abc", False),
        ("äbc", "äbc", False),
        (b"\xff", b"\xff", False),
        ("\udcff", "abc", False),
    ],
)
def test_same(given_value: str | bytes | None, expected: str | bytes, answer: bool) -> None:
    assert same(given_value, expected) is answer


@pytest.mark.parametrize(
    ("stamp", "answer"),
    [
        (STAMP, True),
        (str(STAMP), True),
        (f"{STAMP}.25", True),
        (STAMP - 300, True),
        (STAMP + 300, True),
        (STAMP - 301, False),
        (STAMP + 301, False),
        (None, False),
        ("", False),
        ("soon", False),
        (" 1", False),
        (f"{STAMP}\n", False),
        ("1_000", False),
        ("٣", False),
        ("1e9", False),
        ("inf", False),
        ("nan", False),
        (float("inf"), False),
        (float("-inf"), False),
        (float("nan"), False),
        (10**400, False),
        ("9" * 5000, False),
        (True, False),
    ],
)
def test_within(stamp: float | str | None, answer: bool) -> None:
    assert within(stamp, NOW, 300) is answer


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none()))
def test_within_never_raises(stamp: float | str | None) -> None:
    assert within(stamp, NOW, 300) in (True, False)


def test_given_vector(fixtures_dir: Path) -> None:
    vector = json.loads((fixtures_dir / "webhooks" / "standard-webhooks-vector.json").read_bytes())
    message_id, stamp, body = vector["webhook-id"], vector["webhook-timestamp"], vector["raw_body"].encode()
    assert sign_standard(vector["secret"], message_id, int(stamp), body) == vector["webhook-signature"]
    at = datetime.fromtimestamp(int(stamp), UTC)
    for seconds, answer in ((0, True), (300, True), (301, False), (-300, True), (-301, False)):
        moment = at + timedelta(seconds=seconds)
        said = verify_standard([vector["secret"]], message_id, stamp, vector["webhook-signature"], body, moment)
        assert said is answer


@given(keys, ids, st.binary(max_size=200))
def test_the_reference_library_accepts_what_we_sign(key: bytes, message_id: str, body: bytes) -> None:
    text = base64.b64encode(body).decode()  # it takes text and wants JSON
    payload = json.dumps({"data": text}).encode()
    secret = "whsec_" + base64.b64encode(key).decode()
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(STAMP),
        "webhook-signature": sign_standard(secret, message_id, STAMP, payload),
    }
    with time_machine.travel(NOW, tick=False):
        assert Webhook(secret).verify(payload, headers) == {"data": text}
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(payload + b" ", headers)


@given(keys, ids, st.text(st.characters(codec="utf-8"), max_size=200))
def test_we_accept_what_the_reference_library_signs(key: bytes, message_id: str, text: str) -> None:
    secret = base64.b64encode(key).decode()
    signature = Webhook(secret).sign(message_id, NOW, text)
    body = text.encode()
    assert verify_standard([OTHER, secret], message_id, str(STAMP), signature, body, NOW)
    assert not verify_standard([secret], message_id, str(STAMP), signature, body + b"\n", NOW)
    assert not verify_standard([secret], message_id + "x", str(STAMP), signature, body, NOW)


def test_several_signatures_and_unknown_versions() -> None:
    right, wrong = sign_standard(SECRET, "m", STAMP, b"{}"), sign_standard(OTHER, "m", STAMP, b"{}")

    def said(header: str | None, secrets: tuple[str, ...] = (SECRET,)) -> bool:
        return verify_standard(secrets, "m", str(STAMP), header, b"{}", NOW)

    assert said(right)
    assert said(f"{wrong} {right}")
    assert said(f"v1a,AAAA v2,x v1 v1, , garbage {right}")
    assert said(right, (OTHER, SECRET)), "the former secret is taken while it rotates out"
    for header in (
        None,
        "",
        " ",
        "v1",
        "v1,",
        wrong,
        right[3:],
        right.replace("v1", "v2"),
        right[:-1],
        right.upper(),
    ):
        assert not said(header)
    assert not said(right, ())
    assert not said(" ".join([wrong] * 50 + [right])), "a header of many signatures is cut"


@pytest.mark.parametrize("secret", ["", "whsec_", "  ", "whsec_====", "whsec_!!!!", "ünïcode", "whsec_A"])
def test_unusable_secret_is_a_refusal(secret: str) -> None:
    assert standard_key(secret) is None
    with pytest.raises(WrongInput) as raised:
        sign_standard(secret, "m", STAMP, b"")
    assert raised.value.code == "bad_secret"
    empty = "v1," + hmac_b64(b"", b"m.%d." % STAMP)
    assert not verify_standard([secret], "m", str(STAMP), empty, b"", NOW)


def test_padding_may_be_missing() -> None:
    padded = "whsec_" + base64.b64encode(b"seven77").decode()
    assert padded.endswith("=")
    signature = sign_standard(padded, "m", STAMP, b"x")
    assert signature == sign_standard(padded.rstrip("="), "m", STAMP, b"x")
    assert verify_standard([padded.rstrip("=")], "m", str(STAMP), signature, b"x", NOW)


@given(st.text(), st.text(), st.text(), st.text(), st.binary())
def test_strangers_never_make_it_raise(secret: str, message_id: str, stamp: str, header: str, body: bytes) -> None:
    assert verify_standard([secret], message_id, stamp, header, body, NOW) is False
    for strange in ("\udcff", "\ud800", "ü"):
        assert verify_standard([SECRET], strange, str(STAMP), f"v1,{strange} {header}", body, NOW) is False
