"""The signature, and what the golden files do not show of reading Twilio's requests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from channels.adapter import Account, Delivery, Unreadable, Unverified
from channels.providers.twilio.adapter import TwilioAdapter
from channels.providers.twilio.card import TwilioSettings
from channels.providers.twilio.failures import CODES, failure_of
from channels.providers.twilio.signature import HEADER, form_pairs, signature
from channels.vocabulary import AnyEvent, ConsentChange, DeliveryUpdate, MessageReceived
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client

SID = "AC" + "0" * 32
BASE = "https://crm.example.com"
PATH = "/webhooks/twilio/chn_tw"


def account(base_url: str = BASE, **settings: str) -> Account:
    given = {"account_sid": SID, "auth_token": "canary-token", "from_number": "+15550001111", **settings}
    return Account("chn_tw", "twilio", "Shop", TwilioSettings.model_validate(given), base_url=base_url)


def post(body: bytes, url: str = BASE + PATH, token: str = "canary-token", **query: str) -> Delivery:
    """A signed form post to `url`, which has the query already."""
    headers = {HEADER: (signature(token, url, form_pairs(body)),)}
    return Delivery("POST", body, headers, {name: (value,) for name, value in query.items()}, NOW)


def adapter() -> TwilioAdapter:
    return TwilioAdapter(loopback_client())


def parse(body: bytes | dict[str, str], **query: str) -> list[AnyEvent]:
    raw = body if isinstance(body, bytes) else urlencode(body).encode()
    return adapter().parse(account(), Delivery("POST", raw, {}, {k: (v,) for k, v in query.items()}, NOW))


# -- the signature -----------------------------------------------------------------------------------------


def test_published_form_signature(fixtures_dir: Path) -> None:
    vector = json.loads((fixtures_dir / "twilio" / "signature-vectors.json").read_text())
    assert signature(vector["auth_token"], vector["url"], list(vector["params"].items())) == vector["value"]
    delivery = Delivery(
        "POST",
        urlencode(vector["params"]).encode(),
        {HEADER: (vector["value"],)},
        {"foo": ("1",), "bar": ("2",)},
        NOW,
    )
    ours = account(auth_token=vector["auth_token"], webhook_url="https://mycompany.com/myapp.php")
    adapter().verify(ours, delivery, NOW)
    for changed in (
        replace(delivery, body=delivery.body + b"&Extra=1"),
        replace(delivery, query={**delivery.query, "foo": ("2",)}),
        replace(delivery, query={"foo": ("1",)}),
    ):
        with pytest.raises(Unverified):
            adapter().verify(ours, changed, NOW)


@pytest.mark.parametrize(
    ("base_url", "signed"),
    [
        (BASE, BASE),
        (BASE, f"{BASE}:443"),
        (f"{BASE}:443", BASE),
        (f"{BASE}:8443", f"{BASE}:8443"),
        (f"{BASE}:8443", BASE),
        ("http://crm.example.com", "http://crm.example.com:80"),
    ],
)
def test_with_and_without_the_port(base_url: str, signed: str) -> None:
    adapter().verify(account(base_url), post(b"Body=a", signed + PATH), NOW)


@pytest.mark.parametrize("url", ["http://crm.example.com" + PATH, f"{BASE}:444{PATH}", "https://evil.example" + PATH])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(Unverified):
        adapter().verify(account(), post(b"Body=a", url), NOW)


def test_the_host_header_says_nothing() -> None:
    delivery = post(b"Body=a", "https://evil.example" + PATH)
    told = replace(
        delivery, headers={**delivery.headers, "host": ("evil.example",), "x-forwarded-host": ("evil.example",)}
    )
    with pytest.raises(Unverified):
        adapter().verify(account(), told, NOW)


def test_an_odd_port_of_our_own_is_a_refusal() -> None:
    with pytest.raises(Unverified):
        adapter().verify(account("https://crm.example.com:99999"), post(b"Body=a"), NOW)


def test_the_query_is_signed_as_we_wrote_it() -> None:
    key = "snd:1/ä"
    delivery = post(b"MessageSid=SM1&MessageStatus=sent", f"{BASE}{PATH}?send=snd%3A1%2F%C3%A4", send=key)
    adapter().verify(account(), delivery, NOW)
    [event] = adapter().parse(account(), delivery)
    assert isinstance(event, DeliveryUpdate) and event.correlation == key


def test_repeated_names_count_each_value_once() -> None:
    assert signature("t", "u", [("b", "2"), ("a", "1"), ("b", "1"), ("b", "2")]) == signature(
        "t", "u", [("a", "1"), ("b", "1"), ("b", "2")]
    )


def test_a_json_body_needs_its_hash() -> None:
    body = b'{"MessageSid": "SM1", "MessageStatus": "sent"}'
    digest = hashlib.sha256(body).hexdigest()
    headers = {HEADER: (signature("canary-token", f"{BASE}{PATH}?bodySHA256={digest}"),)}
    right = Delivery("POST", body, headers, {"bodySHA256": (digest,)}, NOW)
    adapter().verify(account(), right, NOW)
    for changed in (
        replace(right, body=body + b" "),
        replace(right, query={}),
        replace(right, query={"bodySHA256": (digest, digest)}),
        replace(right, query={"bodySHA256": ("",)}),
    ):
        with pytest.raises(Unverified):
            adapter().verify(account(), changed, NOW)


NAMES = st.text(min_size=1, max_size=8)


@given(fields=st.lists(st.tuples(NAMES, st.text(max_size=20)), max_size=6), key=st.text(max_size=20))
def test_sign_and_verify_go_round(fields: list[tuple[str, str]], key: str) -> None:
    body = urlencode(fields, errors="surrogatepass").encode()
    query = urlencode({"send": key}, quote_via=lambda value, *_: _quoted(value))
    adapter().verify(account(), post(body, f"{BASE}{PATH}?{query}", send=key), NOW)


def _quoted(value: Any) -> str:
    return quote(value, safe="", errors="replace")


KEYS = st.sampled_from(
    ["MessageSid", "MessageStatus", "From", "To", "Body", "NumMedia", "MediaUrl0", "OptOutType", "ErrorCode"]
)


def fields_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(KEYS, inner | st.sampled_from(["failed", "received", "STOP", 1]), max_size=6)


# -- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"\xff\xfe=1", b"just words", b"&&"])
def test_what_is_no_form_is_put_aside(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(body)


def test_a_plus_is_a_space_and_percent_2b_a_plus() -> None:
    [event] = parse(b"MessageSid=SM1&From=%2B15558675309&Body=a+b%2Bc")
    assert isinstance(event, MessageReceived)
    assert (event.text, event.address.external_id, event.person and event.person.phone) == (
        "a b+c",
        "+15558675309",
        "+15558675309",
    )


def test_sids_differ_within_one_request() -> None:
    [event] = parse({"SmsSid": "SM2", "MessageSid": "SM1", "MessageStatus": "sent"})
    assert isinstance(event, DeliveryUpdate) and event.message_id == "SM1"


@pytest.mark.parametrize(
    "word", ["STOP", "stop", " Stopall ", "UNSUBSCRIBE", "cancel", "End", "QUIT", "optout", "revoke"]
)
def test_stop_words(word: str) -> None:
    message, consent = parse({"MessageSid": "SM1", "From": "+15558675309", "Body": word})
    assert isinstance(message, MessageReceived) and message.text == word
    assert isinstance(consent, ConsentChange) and not consent.granted and consent.purpose == "marketing"


@pytest.mark.parametrize("word", ["stop it", "YES", "Don't stop", "", "ends"])
def test_other_words_are_words(word: str) -> None:
    assert len(parse({"MessageSid": "SM1", "From": "+15558675309", "Body": word})) == 1


def test_a_later_read_receipt_is_another_event() -> None:
    ids = {parse({"MessageSid": "SM1", "MessageStatus": each})[0].event_id for each in ("sent", "delivered", "read")}
    assert len(ids) == 3


def test_a_repeat_with_more_fields_is_the_same_delivery() -> None:
    first = Delivery("POST", b"MessageSid=SM1&From=%2B1&SmsStatus=received")
    again = replace(first, body=first.body + b"&ErrorCode=11200&ErrorUrl=x")
    other = replace(first, body=b"MessageSid=SM1&MessageStatus=sent")
    keys = [adapter().delivery_key(account(), each) for each in (first, again, other)]
    assert keys[0] == keys[1] != keys[2]


def test_an_answer_without_words() -> None:
    answer = adapter().accepted(account(), Delivery("POST", b""))
    assert (answer.status, answer.body, answer.content_type) == (200, b"<Response/>", "text/xml")


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=12), lambda inner: st.lists(inner, max_size=3) | fields_of(inner)
)


@given(value=JSON)
def test_any_json_gives_events(value: Any) -> None:
    body = json.dumps(value).encode()
    events = adapter().parse(account(), Delivery("POST", body, {}, {"bodySHA256": ("x",)}, NOW))
    assert all(event.raw for event in events)
    adapter().delivery_key(account(), Delivery("POST", body, {}, {"bodySHA256": ("x",)}, NOW))


# -- settings and the table --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"from_number": ""},
        {"account_sid": "SK" + "0" * 32},
        {"account_sid": "AC123"},
        {"from_number": "sms +1555"},
        {"from_number": "15551234567"},
        {"messaging_service_sid": "SM" + "0" * 32},
        {"webhook_url": "https://x.example/?a=1"},
        {"api_base": "api.twilio.com"},
    ],
)
def test_a_wrong_paste_is_caught(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        account(**settings)


@pytest.mark.parametrize("sender", ["+15551234567", "whatsapp:+15551234567", "72727", "Tea House", "messenger:1234"])
def test_senders(sender: str) -> None:
    assert account(from_number=sender).settings.from_number == sender


def test_every_code_of_the_table_says_so() -> None:
    assert all(failure_of(code, 400) is failure for code, failure in CODES.items())
