"""Signatures, checked by a reader of its own that follows RFC 6376 step by step."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from channels.providers.mail.compose import Sender, compose
from channels.providers.mail.dkim import Signer, new_key, record_of, signed
from channels.providers.mail.email.adapter import EmailSettings, signer_of
from channels.vocabulary import Address, OutboundMail, OutboundMessage

NOW = datetime(2026, 11, 28, 10, tzinfo=UTC)
KEY = new_key()
SIGNER = Signer("shop.example", "r1", KEY)


def mail(text: str = "Hello \t there\n\n", **more: object) -> bytes:
    head = OutboundMail(
        subject="Grüße an alle, die uns mögen und das noch lange tun wollen", html="<p>Hi</p>",
        list_id="news.shop.example",
        list_unsubscribe_url="https://crm.shop.example/u/" + "x" * 90,
    )  # fmt: skip
    to = Address(channel_id="chn_1", external_id="anna@example.net")
    message = OutboundMessage(key="snd_1", to=to, text=text, mail=head.model_copy(update=more))
    return compose(message, Sender("care@shop.example", "Müller & Söhne"), NOW).data


def verify(data: bytes, record: str) -> dict[str, str]:
    """The tags of the signature. Raises `InvalidSignature`."""
    head, _, body = data.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    own = fields[0]
    assert own.lower().startswith(b"dkim-signature:")
    parts = (part.partition("=") for part in own.split(b":", 1)[1].decode().split(";"))
    tags = {name.strip(): re.sub(r"\s+", "", value) for name, _, value in parts}
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    canonical = b"".join(line + b"\r\n" for line in lines)
    if base64.b64encode(hashlib.sha256(canonical).digest()).decode() != tags["bh"]:
        raise InvalidSignature
    left = list(fields[1:])
    signed_lines = b""
    for name in tags["h"].split(":"):
        found = next((each for each in reversed(left) if each.lower().startswith(name.encode() + b":")), None)
        if found is not None:
            left.remove(found)
            signed_lines += relaxed(found) + b"\r\n"
    signed_lines += relaxed(re.sub(rb"(;\s*b=)[^;]*$", rb"\1", own))
    public = load_der_public_key(base64.b64decode(record.rpartition("p=")[2]))
    assert isinstance(public, rsa.RSAPublicKey)
    public.verify(base64.b64decode(tags["b"]), signed_lines, padding.PKCS1v15(), hashes.SHA256())
    return tags


def relaxed(field: bytes) -> bytes:
    name, _, value = field.partition(b":")
    return name.lower().strip() + b":" + re.sub(rb"\s+", b" ", value).strip()


@pytest.mark.parametrize("text", ["Hello", "", "Hello \t there \n\n\n", "你好\n" * 50, ".\n..\n"])
def test_a_reader_believes_it(text: str) -> None:
    tags = verify(signed(mail(text), SIGNER, NOW), record_of(KEY))
    assert (tags["d"], tags["s"], tags["a"], tags["c"]) == ("shop.example", "r1", "rsa-sha256", "relaxed/relaxed")


def test_rfc_8058_both_fields_of_the_way_out_are_covered() -> None:
    names = verify(signed(mail(), SIGNER, NOW), record_of(KEY))["h"].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post", "list-id", "from", "message-id"} <= set(names)
    assert names.count("from") == 2, "nobody adds a second From"


def test_a_change_is_noticed() -> None:
    data = signed(mail(), SIGNER, NOW)
    verify(data.replace(b"Subject:", b"Subject: "), record_of(KEY))  # a space more is the same mail
    for old, new in ((b"Hello", b"Hallo"), (b"anna@example.net", b"eve@example.net")):
        with pytest.raises(InvalidSignature):
            verify(data.replace(old, new), record_of(KEY))
    with pytest.raises(InvalidSignature):
        verify(data, record_of(new_key()))
    forged = data.replace(b"\r\nFrom:", b"\r\nFrom: eve@evil.example\r\nFrom:", 1)
    with pytest.raises(InvalidSignature):
        verify(forged, record_of(KEY))


def test_lines_are_short_and_the_rest_is_untouched() -> None:
    data = signed(mail(), SIGNER, NOW)
    assert data.endswith(mail()) and max(len(line) for line in data.split(b"\r\n\r\n")[0].split(b"\r\n")) < 200


def test_keys_of_any_form_and_none() -> None:
    settings = {"from_address": "care@shop.example", "dkim_selector": "r1"}
    pem = "-----BEGIN PRIVATE KEY----- " + KEY + " -----END PRIVATE KEY-----"
    assert record_of(pem) == record_of(KEY)
    assert signer_of(EmailSettings.model_validate({**settings, "dkim_private_key": KEY, "dkim_on": True})) == SIGNER
    assert signer_of(EmailSettings.model_validate({**settings, "dkim_private_key": KEY})) is None
    assert signer_of(EmailSettings.model_validate(settings)) is None
    for bad in ("nonsense", "bm9uc2Vuc2U="):
        with pytest.raises(ValueError, match="no private key"):
            EmailSettings.model_validate({**settings, "dkim_private_key": bad})
    with pytest.raises(ValueError, match="selector"):
        EmailSettings.model_validate({**settings, "dkim_selector": "a b"})
