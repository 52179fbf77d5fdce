"""What the golden files cannot say: whose a delivery is, and what never happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels.adapter import Delivery, Unreadable
from channels.providers.meta.messenger.adapter import MessengerAdapter
from channels.vocabulary import AccountNotice, DeliveryUpdate, MessageReceived, Tracked, Unrecognised
from tests.channels.peer import loopback_client
from tests.channels.providers.meta.messenger.conftest import ANNA_ID, PAGE, account, entry, parse, parse_item

BIG = 9_007_199_254_740_993_123


def test_ids_are_text_even_beyond_what_a_number_holds() -> None:
    event = parse_item(sender={"id": BIG}, message={"mid": 17, "text": "hi"})
    assert event.address is not None
    assert event.address.external_id == str(BIG)
    assert isinstance(event, MessageReceived)
    assert event.message_id == "17"


@pytest.mark.parametrize(
    ("sender", "recipient", "flag"),
    [(PAGE, ANNA_ID, True), (ANNA_ID, PAGE, True), (PAGE, ANNA_ID, None), (int(PAGE), int(ANNA_ID), False)],
)
def test_what_the_page_wrote_is_never_inbound(sender: Any, recipient: Any, flag: bool | None) -> None:
    message = {"mid": "m_1", "text": "ours", "metadata": "snd_1", **({"is_echo": flag} if flag is not None else {})}
    event = parse_item(sender={"id": sender}, recipient={"id": recipient}, message=message)
    assert isinstance(event, MessageReceived)
    assert (event.echo, event.correlation, event.address.external_id) == (True, "snd_1", ANNA_ID)


def test_a_customers_metadata_is_no_key_of_ours() -> None:
    event = parse_item(message={"mid": "m_1", "text": "hi", "metadata": "snd_1"})
    assert isinstance(event, MessageReceived)
    assert (event.echo, event.correlation) == (False, None)


def test_another_pages_items_are_kept_and_located() -> None:
    theirs = {"sender": {"id": "1"}, "recipient": {"id": "999"}, "message": {"mid": "m", "text": "x"}}
    payload = {"object": "page", "entry": [{"id": "999", "messaging": [theirs]}, {"id": PAGE}, {"id": "0"}]}
    delivery = Delivery("POST", json.dumps(payload).encode())
    first = parse(delivery)[0]
    assert isinstance(first, Unrecognised)
    assert first.reason == "another page of this app"
    located = MessengerAdapter(loopback_client()).locate(delivery)
    assert located == {("page_id", "999"), ("page_id", PAGE)}


def test_times_in_seconds_and_milliseconds() -> None:
    for given in (1763800000, 1763800000000, "1763800000000"):
        event = parse_item(timestamp=given, message={"mid": "m", "text": "x"})
        assert event.occurred_at.isoformat() == "2025-11-22T08:26:40+00:00"
    assert parse_item(timestamp=None, message={"mid": "m", "text": "x"}).occurred_at.microsecond == 500_000


def test_two_presses_of_one_button_are_two_messages() -> None:
    one = parse_item(postback={"payload": "P"})
    two = parse_item(postback={"payload": "P"}, timestamp=1763800000001)
    assert one.event_id != two.event_id
    assert one == parse_item(postback={"payload": "P"})


def test_receipts_cover_the_names_and_what_lies_before_the_watermark() -> None:
    receipt = {"mids": ["m_1", "m_2"], "watermark": "1763800000000"}
    found = parse(entry(messaging=[{"sender": {"id": ANNA_ID}, "recipient": {"id": PAGE}, "delivery": receipt}]))
    assert all(isinstance(each, DeliveryUpdate) for each in found)
    assert [getattr(each, "message_id", None) for each in found] == ["m_1", "m_2", None]
    assert getattr(found[2], "watermark", None) is not None


def test_an_absurd_id_is_hashed() -> None:
    event = parse_item(message={"mid": "m" * 5000, "text": "x"})
    assert len(event.event_id) == 40


def test_a_name_from_a_plugin_becomes_an_alias() -> None:
    first = parse_item(sender=None, optin={"ref": "box", "user_ref": "abc"})
    assert first.address is not None
    assert first.address.external_id == "user_ref:abc"
    later = parse_item(message={"mid": "m", "text": "x"}, prior_message={"identifier": "abc"})
    assert later.person is not None
    assert later.person.aliases == ("user_ref:abc",)


def test_standby_is_told() -> None:
    item = {"sender": {"id": ANNA_ID}, "recipient": {"id": PAGE}, "message": {"mid": "m", "text": "x"}}
    [event] = parse(entry(standby=[item]))
    assert isinstance(event, MessageReceived)
    assert event.standby
    assert not parse_item(message={"mid": "m", "text": "x"}).standby  # type: ignore[union-attr]


@pytest.mark.parametrize(("owner", "app_id", "ours"), [("42", "42", True), ("43", "42", False), ("42", "", None)])
def test_who_owns_a_thread(owner: str, app_id: str, ours: bool | None) -> None:
    item = {"sender": {"id": ANNA_ID}, "recipient": {"id": PAGE}, "pass_thread_control": {"new_owner_app_id": owner}}
    [event] = MessengerAdapter(loopback_client()).parse(account(app_id=app_id), entry(messaging=[item]))
    assert isinstance(event, Tracked)
    assert (event.name, event.properties.get("ours")) == ("thread.passed", ours)


def test_a_block_by_policy_is_critical() -> None:
    event = parse_item(sender=None, **{"policy-enforcement": {"action": "block", "reason": "spam"}})
    assert isinstance(event, AccountNotice)
    assert (event.severity, event.text) == ("critical", "Meta's policies: block (spam).")


def test_comments_are_events_and_never_messages() -> None:
    value = {
        "item": "comment",
        "verb": "add",
        "comment_id": "1_2",
        "from": {"id": ANNA_ID, "name": "Anna"},
        "message": "?",
    }
    [event] = parse(entry(changes=[{"field": "feed", "value": value}]))
    assert isinstance(event, Tracked)
    assert event.address is not None
    assert (event.name, event.address.external_id) == ("comment.received", ANNA_ID)
    assert event.properties["reply_to"] == "comment:1_2"
    [own] = parse(entry(changes=[{"field": "feed", "value": {**value, "from": {"id": PAGE}}}]))
    assert isinstance(own, Unrecognised)


def test_only_what_is_no_object_is_unreadable() -> None:
    for body in (b"[]", b"1", b"", b"{"):
        with pytest.raises(Unreadable):
            parse(Delivery("POST", body))
    assert len(parse(Delivery("POST", b"{}"))) == 1
