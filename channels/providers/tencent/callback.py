"""The encrypted envelope in which Official Accounts and WeCom deliver: proof, challenge, what is inside.

Only the cipher text is signed (with time and nonce, in the query), so nothing else of a posted body is ever read. Plain
mode signs no body at all and is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from base.signing import same, within
from channels.adapter import Account, Answer, Delivery, Unreadable, Unverified
from channels.providers.tencent.crypto import Undecipherable, decrypt, encrypt, signature
from channels.providers.tencent.markup import read_fields
from channels.reading import Json, text

#: How far the signed time may lie from our clock. Tencent names none; it tries three times within seconds.
TOLERANCE_S = 600.0
#: Deliveries are small: files come by id.
MAX_BODY_BYTES = 300_000


@dataclass(frozen=True)
class Opened:
    """The message inside an envelope."""

    fields: Json
    #: The same for each try of one delivery, although each is encrypted anew.
    key: str


def check_envelope(account: Account, delivery: Delivery, now: datetime, receive_id: str) -> None:
    """Raise `Unverified` unless the cipher text is signed, fresh, and meant for `receive_id`.

    What is signed but cannot be opened passes: it is kept and quarantined, and read once the key is mended.
    """
    cipher_text = _cipher_text(delivery.body)
    if cipher_text is None:
        raise Unverified("The message is not encrypted. Choose safe mode (安全模式) in the console.")
    _check_signature(account, delivery, now, "msg_signature", cipher_text)
    found = _decrypted(account, cipher_text)
    if found is not None and not same(found[1], receive_id):
        raise Unverified("The message is encrypted for another account.")


def open_envelope(account: Account, delivery: Delivery, receive_id: str) -> Opened:
    """What is inside. Raises only `Unreadable`."""
    cipher_text = _cipher_text(delivery.body)
    found = None if cipher_text is None else _decrypted(account, cipher_text)
    if found is None:
        raise Unreadable("The message cannot be decrypted: is the EncodingAESKey the one of the console?")
    message, meant_for = found
    if not same(meant_for, receive_id):
        raise Unreadable("The message is encrypted for another account.")
    return Opened(read_fields(message), hashlib.sha256(message).hexdigest())


def key_of_envelope(account: Account, delivery: Delivery, receive_id: str) -> str:
    """A delivery's own key: a hash of what is inside, else of the body."""
    try:
        return open_envelope(account, delivery, receive_id).key
    except Unreadable:
        return hashlib.sha256(delivery.body).hexdigest()


def plain_challenge(account: Account, delivery: Delivery) -> Answer | None:
    """An Official Account's challenge: token, time and nonce are signed, `echostr` goes back as it is."""
    echo = delivery.param("echostr")
    if delivery.method != "GET" or echo is None:
        return None
    _check_signature(account, delivery, delivery.received_at, "signature")
    return Answer(body=echo.encode(errors="replace"))


def sealed_challenge(account: Account, delivery: Delivery, receive_id: str) -> Answer | None:
    """WeCom's challenge: `echostr` is signed and encrypted, its content goes back bare."""
    echo = delivery.param("echostr")
    if delivery.method != "GET" or echo is None:
        return None
    cipher_text = echo.replace(" ", "+")  # a plus that somebody decoded once more
    _check_signature(account, delivery, delivery.received_at, "msg_signature", cipher_text)
    found = _decrypted(account, cipher_text)
    if found is None or not same(found[1], receive_id):
        raise Unverified("The challenge is not encrypted for this account.")
    return Answer(body=found[0])


def sealed_answer(account: Account, delivery: Delivery, message: bytes, receive_id: str) -> Answer:
    """A message in return, encrypted and signed as the delivery was. Raises `Undecipherable` for a key that is none."""
    stamp, nonce = str(stamp_of(delivery)), delivery.param("nonce") or ""
    token, key = account.secret("token") or "", account.secret("encoding_aes_key") or ""
    sealed = encrypt(key, message, receive_id)
    body = (
        f"<xml><Encrypt><![CDATA[{sealed}]]></Encrypt><MsgSignature>{signature(token, stamp, nonce, sealed)}"
        f"</MsgSignature><TimeStamp>{stamp}</TimeStamp><Nonce><![CDATA[{nonce}]]></Nonce></xml>"
    )
    return Answer(body=body.encode(errors="replace"), content_type="text/xml")


def stamp_of(delivery: Delivery) -> int:
    """When the delivery came, in seconds."""
    return int(delivery.received_at.timestamp()) if delivery.received_at is not None else 0


def _check_signature(
    account: Account, delivery: Delivery, now: datetime | None, name: str, *signed: str
) -> None:  # fmt: skip
    stamp, nonce, given = delivery.param("timestamp") or "", delivery.param("nonce") or "", delivery.param(name)
    right = [same(given, signature(token, stamp, nonce, *signed)) for token in account.secrets("token")]
    if not any(right):
        raise Unverified("The signature does not match.")
    if now is not None and not within(stamp, now, TOLERANCE_S):
        raise Unverified("The signed time lies too far from ours.")


def _cipher_text(body: bytes) -> str | None:
    try:
        fields = read_fields(body)
    except Unreadable:
        return None
    return text(fields.get("Encrypt")) or text(fields.get("encrypt"))


def _decrypted(account: Account, cipher_text: str) -> tuple[bytes, str] | None:
    for key in account.secrets("encoding_aes_key"):
        try:
            return decrypt(key, cipher_text.strip())
        except Undecipherable:
            continue
    return None
