"""The signature against Slack's own library, the handshake, and what the golden files do not show."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from slack_sdk.signature import Clock, SignatureVerifier

from channels.adapter import Account, Delivery, Unreadable, Unverified
from channels.providers.slack.adapter import SlackAdapter
from channels.providers.slack.card import SlackSettings
from channels.providers.slack.signature import HEADER, TIME_HEADER, signature
from channels.providers.slack.words import emoji_of, escaped, readable
from channels.vocabulary import AnyEvent, DeliveryUpdate, MessageReceived, Unrecognised
from tests.channels.contract import NOW
from tests.channels.peer import loopback_client
from tests.channels.providers.slack.contract import SlackContract

SECRET = "canary-signing-secret"


def account(secret: str = SECRET) -> Account:
    settings = {"bot_token": "xoxb-canary", "signing_secret": secret}
    return Account("chn_sl", "slack", "Shop", SlackSettings.model_validate(settings))


def adapter() -> SlackAdapter:
    return SlackAdapter(loopback_client())


def post(body: bytes, secret: str = SECRET, stamp: str | None = None) -> Delivery:
    stamp = stamp or str(int(NOW.timestamp()))
    headers = {HEADER: (signature(secret, stamp, body),), TIME_HEADER: (stamp,)}
    return Delivery("POST", body, headers, received_at=NOW)


def event(**fields: Any) -> bytes:
    base = {"type": "message", "user": "U2", "channel": "D1", "channel_type": "im", "ts": "1700000000.000100"}
    return json.dumps({"type": "event_callback", "api_app_id": "A1", "event": {**base, **fields}}).encode()


def parse(body: bytes) -> list[AnyEvent]:
    return adapter().parse(account(), Delivery("POST", body, received_at=NOW))


# -- the signature -----------------------------------------------------------------------------------------


class AtNow(Clock):
    def now(self) -> float:
        return NOW.timestamp()


@given(body=st.text(max_size=200), secret=st.from_regex(r"[0-9a-f]{8,40}", fullmatch=True))
def test_the_official_verifier_accepts_ours(body: str, secret: str) -> None:
    stamp, raw = str(int(NOW.timestamp())), body.encode()
    assert SignatureVerifier(secret, AtNow()).is_valid(raw, stamp, signature(secret, stamp, raw))


@given(body=st.binary(max_size=200))
def test_we_accept_the_official_signer(body: bytes) -> None:
    stamp = str(int(NOW.timestamp()))
    given = SignatureVerifier(SECRET, AtNow()).generate_signature(timestamp=stamp, body=body.decode("latin-1"))
    assert given is not None
    raw = body.decode("latin-1").encode()
    adapter().verify(account(), Delivery("POST", raw, {HEADER: (given,), TIME_HEADER: (stamp,)}), NOW)


def test_published_signature(fixtures_dir: Path) -> None:
    vector = json.loads((fixtures_dir / "slack" / "signature-vector.json").read_text())
    headers = {vector["header"].lower(): (vector["value"],), TIME_HEADER: (vector["timestamp"],)}
    delivery, at = Delivery("POST", vector["raw_body"].encode(), headers), SlackContract.at(vector["timestamp"])
    ours = account(vector["signing_secret"])
    adapter().verify(ours, delivery, at)
    adapter().verify(ours, delivery, at + timedelta(seconds=300))
    for late in (301, -301):
        with pytest.raises(Unverified):
            adapter().verify(ours, delivery, at + timedelta(seconds=late))
    with pytest.raises(Unverified):
        adapter().verify(ours, replace(delivery, body=delivery.body + b"&x=1"), at)


# -- the handshake -----------------------------------------------------------------------------------------

CHALLENGE = json.dumps({"type": "url_verification", "challenge": "3eZbrw", "token": "x"}).encode()


def test_a_signed_challenge_is_given_back() -> None:
    answer = adapter().handshake(account(), post(CHALLENGE))
    assert answer is not None
    assert (answer.status, answer.body, answer.content_type) == (200, b"3eZbrw", "text/plain")
    assert parse(CHALLENGE) == []


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery("POST", CHALLENGE, received_at=NOW),
        post(CHALLENGE, "another"),
        post(CHALLENGE, stamp="1000000000"),
        replace(post(CHALLENGE), received_at=None),
    ],
)
def test_an_unsigned_challenge_is_refused(delivery: Delivery) -> None:
    with pytest.raises(Unverified):
        adapter().handshake(account(), delivery)


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery("GET", CHALLENGE),
        Delivery("POST", event(text="url_verification")),
        Delivery("POST", b"url_verification"),
        Delivery("POST", b'{"type": "url_verification"}'),
    ],
)
def test_everything_else_is_no_handshake(delivery: Delivery) -> None:
    assert adapter().handshake(account(), delivery) is None


# -- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"a=1", b"payload=", b"payload=[]", b"payload={", b"\xff=1"])
def test_what_is_none_of_slacks_is_put_aside(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(body)


def test_a_mention_and_its_message_are_one() -> None:
    [one] = parse(event(type="app_mention", channel="C1", channel_type=None, text="Hi"))
    [other] = parse(event(channel="C1", channel_type="channel", text="Hi"))
    assert isinstance(one, MessageReceived) and isinstance(other, MessageReceived)
    assert (one.event_id, one.message_id, one.group_id) == (other.event_id, other.message_id, other.group_id)


def test_the_app_is_known_by_its_user() -> None:
    body = json.loads(event(user="UBOT", text="a"))
    body["authorizations"] = [{"user_id": "UBOT", "is_bot": True}, {"user_id": "U2", "is_bot": False}]
    [found] = parse(json.dumps(body).encode())
    assert isinstance(found, DeliveryUpdate)
    body["event"]["user"] = "U2"
    [found] = parse(json.dumps(body).encode())
    assert isinstance(found, MessageReceived) and not found.echo


@pytest.mark.parametrize(
    "metadata", [None, 7, {"event_type": "other", "event_payload": {"key": "k"}}, {"event_type": []}]
)
def test_metadata_of_others_is_no_key(metadata: Any) -> None:
    [found] = parse(event(user="U9", bot_id="B1", app_id="A1", metadata=metadata))
    assert isinstance(found, DeliveryUpdate) and found.correlation is None


def test_nothing_private_is_kept() -> None:
    form = {
        "command": "/x",
        "user_id": "U2",
        "channel_id": "D1",
        "token": "t0k",
        "response_url": "https://hooks/secret",
    }
    [found] = parse(urlencode(form).encode())
    assert "t0k" not in json.dumps(found.raw) and "secret" not in json.dumps(found.raw)


@pytest.mark.parametrize("mode", [[], {}, 7])
def test_odd_files(mode: Any) -> None:
    [found] = parse(event(files=[{"id": "F1", "mode": mode, "mimetype": mode, "size": -1, "duration_ms": 1e30}, mode]))
    assert isinstance(found, MessageReceived) and len(found.attachments) == 1


def test_a_retry_is_the_same_delivery() -> None:
    body = json.dumps({"type": "event_callback", "event_id": "Ev1", "event": {}}).encode()
    first = Delivery("POST", body)
    again = Delivery("POST", body + b" ", {"x-slack-retry-num": ("1",)})
    assert adapter().delivery_key(account(), first) == adapter().delivery_key(account(), again) == "Ev1"


def test_an_unknown_outer_type_is_kept() -> None:
    [found] = parse(b'{"type": "tomorrow"}')
    assert isinstance(found, Unrecognised) and found.topic == "tomorrow"


# -- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<@U1|anna> <@U2>", "@anna @U2"),
        ("<#C1|orders> <#C2>", "#orders #C2"),
        ("<!here> <!channel|channel> <!subteam^S1|@team> <!subteam^S2>", "@here channel @team @subteam"),
        ("<!date^1392734382^{date}|Feb 18>", "Feb 18"),
        ("<https://a.example> <https://a.example|https://a.example>", "https://a.example https://a.example"),
        ("<tel:+49301|+49301> <mailto:a@b.c|write>", "+49301 write (a@b.c)"),
        ("a &lt;b&gt; &amp;amp; <|x> <>", "a <b> &amp; x () <>"),
    ],
)
def test_readable(given: str, shown: str) -> None:
    assert readable(given) == shown


@given(said=st.text(max_size=60))
def test_what_we_escape_is_read_as_written(said: str) -> None:
    assert readable(escaped(said)) == said


@pytest.mark.parametrize(
    ("name", "shown"),
    [("tada", "🎉"), ("wave::skin-tone-6", "👋🏿"), ("parrot", ":parrot:"), ("a::skin-tone-2", ":a::skin-tone-2:")],
)
def test_emoji(name: str, shown: str) -> None:
    assert emoji_of(name) == shown


# -- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "xoxp-1", "xapp-1", "xoxb-ü", "xoxb-a\nb"])
def test_a_wrong_token_is_caught(token: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SlackSettings.model_validate({"bot_token": token, "signing_secret": "s"})
    assert "xoxp-1" not in str(caught.value.errors(include_input=False))
