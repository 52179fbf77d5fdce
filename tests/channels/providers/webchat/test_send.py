"""What the contract test can't know of the web chat: being sent, the only way in, what is told of oneself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.http import AddressGuard, HttpClient
from base.signing import hmac_hex
from channels.adapter import Account, Delivery, Unverified
from channels.failures import Failure, SendFailed
from channels.identity import proved
from channels.providers.webchat.adapter import FILE_MAX_BYTES, WebchatAdapter
from channels.providers.webchat.envelope import WIDGET, opened, sealed
from channels.providers.webchat.parse import handle_of
from channels.providers.webchat.settings import WebchatSettings
from channels.vocabulary import Address, Attachment, AttachmentKind, Button, Location, OutboundMessage, OutboundReaction
from tests.channels.contract import NOW

ADAPTER = WebchatAdapter(HttpClient(AddressGuard()))


def account(**settings: object) -> Account:
    return Account("chn_w", "webchat", "Chat", WebchatSettings.model_validate(settings))


def message(**more: object) -> OutboundMessage:
    to = Address(channel_id="chn_w", external_id=str(more.pop("to", "v_0123456789abcdefghjkmnpqrs")))
    return OutboundMessage.model_validate({"key": "k1", "to": to, **more})


async def test_being_sent_is_all_there_is_and_a_repeat_is_the_same_line() -> None:
    sent = message(
        text="Hello", buttons=[Button(title="Yes", payload="y"), Button(title="Shop", url="https://a.example")]
    )
    first, again = await ADAPTER.send(account(), sent), await ADAPTER.send(account(), sent)
    assert first == again and first.message_ids == ("k1",)


async def test_a_reaction_stands_on_the_line_and_needs_nothing_more() -> None:
    for emoji in ("👍", None):
        reacted = message(reaction=OutboundReaction(message_id="v_1:k", emoji=emoji))
        assert (await ADAPTER.react(account(), reacted)).message_ids == ()


@pytest.mark.parametrize(
    ("more", "failure"),
    [
        ({"text": "x" * 4001}, Failure.NOT_SUPPORTED),
        ({"location": Location(latitude=52.1, longitude=4.5)}, Failure.NOT_SUPPORTED),
        ({"buttons": [Button(title=str(i)) for i in range(11)]}, Failure.NOT_SUPPORTED),
        ({"attachments": [Attachment(kind=AttachmentKind.FILE, size_bytes=FILE_MAX_BYTES + 1)]}, Failure.NOT_SUPPORTED),
        ({"text": "hi", "to": "4915123456"}, Failure.RECIPIENT_UNREACHABLE),
    ],
)
async def test_what_cannot_be_shown_is_refused_with_a_sentence(more: dict[str, object], failure: Failure) -> None:
    with pytest.raises(SendFailed) as caught:
        await ADAPTER.send(account(), message(**more))
    assert caught.value.failure is failure and str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery("POST", b"{}", {}, {}, NOW),
        Delivery("GET", b"", {}, {}, NOW),
        Delivery(WIDGET, b"{}", {"content-type": ("application/json",)}, {}, NOW),
        Delivery(WIDGET, b"{}", {}, {"a": ("b",)}, NOW),
        Delivery(WIDGET.lower(), b"{}", {}, {}, NOW),
    ],
)
def test_the_widgets_door_is_the_only_way_in(delivery: Delivery) -> None:
    with pytest.raises(Unverified):
        ADAPTER.verify(account(), delivery, NOW)


async def test_the_check_says_when_no_page_may_show_it() -> None:
    with pytest.raises(SendFailed, match="No website is allowed"):
        await ADAPTER.check(account())
    found = await ADAPTER.check(account(allowed_origins=["https://shop.example.com"]))
    assert "https://shop.example.com" in found and "anonymous" in found
    known = await ADAPTER.check(account(allowed_origins=["https://shop.example.com"], identity_secret="s3cret"))
    assert "anonymous" not in known


@given(st.dictionaries(st.text(), st.text()), st.none() | st.binary())
def test_an_envelope_holds_what_was_put_into_it(head: dict[str, str], file: bytes | None) -> None:
    try:
        body = sealed(head, file)
    except TypeError:  # lone surrogates are no text
        return
    found, kept = opened(body)
    assert kept == file
    if all("\0" not in each for pair in head.items() for each in pair):
        assert found == head


def test_a_nameless_visitor_is_called_by_a_word_that_is_no_phone_number() -> None:
    called = {handle_of(f"v_{n:032x}") for n in range(0, 65536, 7)}
    assert all(each is not None and each.removeprefix("visitor-").isalpha() for each in called) and len(called) > 5000
    assert handle_of("u_0123456789abcdef") is None


# -- who somebody is ------------------------------------------------------------------------------------------------

SECRET, USER = "canary-identity", "c-4711"
RIGHT = hmac_hex(SECRET, USER.encode())


def test_a_right_hash_proves_the_customer_and_nothing_else() -> None:
    found = proved({"user_id": USER, "email": "victim@example.org", "hash": RIGHT}, [SECRET])
    assert found is not None and (found.customer_id, found.email) == (USER, None)


def test_an_address_counts_when_it_was_signed_too_or_is_the_id() -> None:
    mail = "mei@example.org"
    both = {"user_id": USER, "hash": RIGHT, "email": mail, "email_hash": hmac_hex(SECRET, mail.encode())}
    found = proved(both, [SECRET])
    assert found is not None and found.email == mail
    found = proved({"user_id": mail, "email": mail, "hash": hmac_hex(SECRET, mail.encode())}, [SECRET])
    assert found is not None and found.email == mail
    found = proved({**both, "email_hash": RIGHT}, [SECRET])
    assert found is not None and found.email is None


def test_a_number_is_an_id_and_a_former_secret_still_counts() -> None:
    found = proved({"user_id": 42, "hash": hmac_hex("old", b"42")}, ["new", "old"])
    assert found is not None and found.customer_id == "42"


@pytest.mark.parametrize(
    "given_hash", [None, "", RIGHT.upper(), RIGHT[:-1], RIGHT + "0", "é" * 64, 1, [RIGHT], {"a": 1}]
)
def test_anything_but_the_right_hash_is_nobody(given_hash: object) -> None:
    assert proved({"user_id": USER, "hash": given_hash}, [SECRET]) is None


def test_without_a_secret_nobody_is_anybody() -> None:
    assert proved({"user_id": USER, "hash": hmac_hex("", USER.encode())}, []) is None
    assert proved({"user_id": USER, "hash": hmac_hex("", USER.encode())}, [""]) is None


@pytest.mark.parametrize("user_id", [None, "", "   ", True, ["a"], {"$ne": 1}, "x" * 201, 1.5])
def test_an_id_that_is_none_is_nobody(user_id: object) -> None:
    signed = hmac_hex(SECRET, str(user_id).encode())
    assert proved({"user_id": user_id, "hash": signed}, [SECRET]) is None
