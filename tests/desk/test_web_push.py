"""Web push as bytes: the example of RFC 8291, and a browser of our own that reads what is sent to it."""

from datetime import UTC, datetime

import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from base.errors import WrongInput
from base.http import AddressGuard
from campaigns.telling.carrying import Said
from desk.push import checked_browser, contact_of, payload, topic_of
from desk.web_push import (
    CURVE,
    PLAIN_MAX,
    authorization,
    content_keys,
    decoded,
    encoded,
    encrypted,
    point_of,
    private_of,
    public_bytes,
)

BROWSER = private_of(decoded("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"))
AUTH = decoded("BTBZMqHH6r4Tts7J_aSIgg")


def read(body: bytes, browser: ec.EllipticCurvePrivateKey = BROWSER, auth: bytes = AUTH) -> bytes:
    """What a browser makes of a body, by the same RFC from its other end."""
    salt, record, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
    server, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(sealed) <= record
    shared = browser.exchange(ec.ECDH(), point_of(server))
    key, nonce = content_keys(shared, auth, public_bytes(browser), server, salt)
    opened = AESGCM(key).decrypt(nonce, sealed, None)
    return opened[: opened.rindex(b"\x02")]


def test_the_example_of_the_rfc() -> None:
    """RFC 8291, section 5 and appendix A."""
    browser = decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
    assert public_bytes(BROWSER) == browser
    body = encrypted(
        b"When I grow up, I want to be a watermelon", browser, AUTH,
        key=private_of(decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
    )  # fmt: skip
    assert encoded(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
        "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert read(body) == b"When I grow up, I want to be a watermelon"


@given(st.binary(max_size=PLAIN_MAX))
def test_the_browser_it_is_for_reads_it_and_nobody_else(plain: bytes) -> None:
    body = encrypted(plain, public_bytes(BROWSER), AUTH)
    assert read(body) == plain and len(body) <= 4096
    assert body != encrypted(plain, public_bytes(BROWSER), AUTH)
    with pytest.raises(InvalidTag):
        read(body, ec.generate_private_key(CURVE))
    with pytest.raises(InvalidTag):
        read(body, BROWSER, bytes(16))


def test_what_is_told_fits_whatever_it_is() -> None:
    said = Said("壶" * 5000, tuple("x" * 5000 for _ in range(60)), "/inbox/cnv_" + "0" * 26, "cnv_" + "0" * 26)
    assert len(payload(said)) < PLAIN_MAX
    with pytest.raises(ValueError, match="longer"):
        encrypted(bytes(PLAIN_MAX + 1), public_bytes(BROWSER), AUTH)
    assert len(topic_of(said.tag)) == 32 and topic_of(said.tag) != topic_of("other")


def test_a_push_service_knows_who_asks() -> None:
    key, now = ec.generate_private_key(CURVE), datetime.now(UTC)
    header = authorization("https://push.example.org:8443/send/abc?x=1", key, "https://desk.example", now)
    scheme, token, public = header.replace(",", "").split(" ")
    assert scheme == "vapid" and decoded(public.removeprefix("k=")) == public_bytes(key)
    told = jwt.decode(
        token.removeprefix("t="), key.public_key(), algorithms=["ES256"], audience="https://push.example.org:8443"
    )
    assert told["sub"] == "https://desk.example" and 0 < told["exp"] - now.timestamp() < 24 * 3600
    assert contact_of("http://desk.example:80") == "mailto:postmaster@desk.example"


GOOD = {"endpoint": "https://push.example.org/a", "p256dh": encoded(public_bytes(BROWSER)), "auth": encoded(AUTH)}


@pytest.mark.parametrize(
    ("field", "value"),
    [("endpoint", "http://push.example.org/a"), ("endpoint", "https://127.0.0.1/a"), ("endpoint", "https://[::1]/a"),
     ("endpoint", "https://localhost/a"), ("endpoint", "https://u:p@push.example.org/"), ("endpoint", "push"),
     ("p256dh", "x"), ("p256dh", encoded(b"\x04" + bytes(64))), ("p256dh", "é"), ("auth", "AAAA"), ("auth", "!")],
)  # fmt: skip
def test_what_no_browser_says_is_refused_by_its_field(field: str, value: str) -> None:
    checked_browser(GOOD, AddressGuard())
    with pytest.raises(WrongInput) as refused:
        checked_browser({**GOOD, field: value}, AddressGuard())
    assert [fault.path for fault in refused.value.errors] == [field]
