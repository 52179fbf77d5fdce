"""What the registrations of Tencent's channels share: the envelope around a message, its proof, and damage to both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from channels.adapter import Delivery
from channels.providers.tencent.crypto import encrypt, signature
from tests.channels.contract import Case, ProviderContract

#: Not random: the same message gives the same bytes in each run.
RANDOM = b"contract-random!"
NONCE = "1372623149"
AES_KEY = "canaryKEYcanaryKEYcanaryKEYcanaryKEYcanary0"


def sealed(message: bytes, receive_id: str, key: str = AES_KEY) -> bytes:
    """The body that Tencent posts."""
    cipher_text = encrypt(key, message, receive_id, random=RANDOM)
    return (
        f"<xml><ToUserName><![CDATA[toUser]]></ToUserName><Encrypt><![CDATA[{cipher_text}]]></Encrypt></xml>".encode()
    )


def with_proof(delivery: Delivery, token: str, at: datetime) -> Delivery:
    """The query that Tencent adds: the cipher text signed together with time and nonce."""
    stamp, cipher_text = str(int(at.timestamp())), cipher_text_of(delivery.body)
    proof = {"msg_signature": signature(token, stamp, NONCE, cipher_text), "timestamp": stamp, "nonce": NONCE}
    return replace(delivery, query={**delivery.query, **{name: (value,) for name, value in proof.items()}})


def cipher_text_of(body: bytes) -> str:
    found = re.search(rb"<Encrypt><!\[CDATA\[(.*?)\]\]></Encrypt>", body, re.DOTALL)
    return found[1].decode() if found else ""


class TencentContract(ProviderContract):
    """Fixtures are what is inside; each is sealed for the account."""

    secret = "token"
    proof = "signature"
    time_tolerance_s = 600
    signs_any_bytes = False
    receive_id: ClassVar[str]

    def sign(self, delivery: Delivery, secret: str, at: datetime) -> Delivery:
        return with_proof(delivery, secret, at)

    def sealed_case(self, file: Path, prefix: str = "") -> Case:
        body = sealed(file.read_bytes(), self.receive_id)
        return Case(f"{prefix}{file.stem}", self.post(body, "text/xml"))

    def cases(self, file: Path) -> Iterable[Case]:
        yield self.sealed_case(file)

    def own(self) -> Iterable[Case]:
        for own in sorted((self.home / "examples").glob("*")):
            yield self.sealed_case(own, "own-")

    def tampered(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        """Only the cipher text is signed, and nothing else of the body is read."""
        text = cipher_text_of(signed.body).encode()
        at = len(text) // 2
        swapped = b"A" if text[at : at + 1] != b"A" else b"B"
        for what, other in {
            "one letter changed": text[:at] + swapped + text[at + 1 :],
            "a block less": text[:-24],
            "a letter less": text[:-1],
            "a line end more": text + b"\n",
            "another's": encrypt(AES_KEY, b"<xml></xml>", self.receive_id, random=RANDOM).encode(),
            "empty": b"",
        }.items():
            yield what, replace(signed, body=signed.body.replace(text, other))
        twice = b"<Encrypt><![CDATA[" + text + b"]]></Encrypt></xml>"
        yield "twice", replace(signed, body=signed.body.replace(b"</xml>", twice))
        yield "in the clear", replace(signed, body=b"<xml><FromUserName>x</FromUserName><MsgType>text</MsgType></xml>")
        yield "a document type", replace(signed, body=b'<!DOCTYPE xml [<!ENTITY a "b">]>' + signed.body)
        yield "nothing", replace(signed, body=b"")

    def damaged(self, signed: Delivery) -> Iterator[tuple[str, Delivery]]:
        for name in ("msg_signature", "timestamp", "nonce"):
            value = signed.param(name) or ""
            bad = {
                "missing": (), "empty": ("",), "cut": (value[:-1],), "longer": (value + "0",),
                "repeated": (value, value), "not ascii": (value + "é",), "of another script": ("①" * len(value),),
                "a surrogate": ("\udcff" + value[1:],),
            }  # fmt: skip
            for what, values in bad.items():
                yield f"{name} {what}", replace(signed, query={**signed.query, name: values})
        upper = (signed.param("msg_signature") or "").upper()
        yield "in upper case", replace(signed, query={**signed.query, "msg_signature": (upper,)})
        plain = {"signature": signed.query["msg_signature"], "timestamp": signed.query["timestamp"]}
        yield "the plain signature alone", replace(signed, query=plain)
