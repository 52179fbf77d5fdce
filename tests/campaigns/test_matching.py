"""Which events begin a journey, and under which key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.conditions import Happened
from campaigns.definition import must_read
from campaigns.matching import MAX_AGE, begins, folded, has_word, key_of, names_of

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def trigger(**spec: Any) -> Any:
    return must_read({"name": "x", "trigger": spec, "steps": [{"id": "e", "type": "exit"}]}).trigger


def happened(name: str, *, at: datetime = NOW, channel_id: str | None = None, **properties: Any) -> Happened:
    return Happened("evt_1", name, at, at, properties, channel_id, properties.get("conversation_id"))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"type": "event", "event": "Signed Up"}, ("Signed Up",)),
        ({"type": "message_received"}, ("message.received",)),
        ({"type": "order", "status": "delivered"}, ("order.delivered",)),
        ({"type": "order", "status": "pending"}, ("order.created",)),
        ({"type": "order", "status": "shipped"}, ("order.fulfilled",)),
        ({"type": "order", "status": "checkout"}, ("checkout.started",)),
        ({"type": "changed", "field": "stage"}, ("profile.stage_changed",)),
        ({"type": "changed", "field": "tags"}, ("profile.tag_added", "profile.tag_removed")),
        ({"type": "changed", "field": "attributes.city"}, ("profile.updated",)),
        ({"type": "api"}, ()),
    ],
)
def test_names(spec: dict[str, Any], names: tuple[str, ...]) -> None:
    assert names_of(trigger(**spec)) == names


def test_events_are_narrowed_and_keyed() -> None:
    big = trigger(
        type="event", event="quote", key="properties.quote.id",
        where=[{"field": "properties.total", "op": "gte", "value": 100}],
    )  # fmt: skip
    assert begins(big, happened("quote", total=100), NOW) and not begins(big, happened("quote", total=99), NOW)
    assert not begins(big, happened("quote", total="100"), NOW)
    assert key_of(big, happened("quote", quote={"id": 7})) == "7" and key_of(big, happened("quote")) is None
    assert key_of(trigger(type="order", status="paid"), happened("order.paid", order_id="ord_1")) == "ord_1"


def test_what_is_too_old_begins_nothing() -> None:
    late = happened("x", at=NOW - MAX_AGE - timedelta(seconds=1))
    assert not begins(trigger(type="event", event="x"), late, NOW)
    assert begins(trigger(type="event", event="x"), happened("x", at=NOW - MAX_AGE), NOW)


@pytest.mark.parametrize(
    ("text", "word", "found"),
    [
        ("Please STOP it", "stop", True),
        ("ＳＴＯＰ", "stop", True),  # full width
        ("stopped", "stop", False),
        ("non-stop", "stop", True),
        ("Größe XL", "grosse", True),
        ("café?", "CAFE", True),
        ("decaféiné", "cafe", False),
        ("我要优惠券谢谢", "优惠券", True),  # no spaces between words
        ("クーポン", "くーぽん", False),
        ("ｸｰﾎﾟﾝください", "クーポン", True),  # half width
        ("vip  offer", "vip offer", True),
        ("a+b=c", "a+b", True),
        ("anything", "", False),
        ("", "x", False),
        ("İstanbul", "istanbul", True),
        ("4711", "47", False),
    ],
)
def test_a_keyword_is_a_whole_word_in_any_dress(text: str, word: str, found: bool) -> None:
    assert has_word(text, word) is found


@given(st.text(max_size=40), st.text(max_size=10))
@settings(max_examples=200, deadline=None)
def test_keywords_never_break_and_find_themselves(text: str, word: str) -> None:
    has_word(text, word)
    assert not folded(word) or has_word(word, word)


def test_keywords_cannot_be_made_slow() -> None:
    begun = datetime.now(UTC)
    assert not has_word("a" * 50_000, "a" * 3000 + "b")
    assert datetime.now(UTC) - begun < timedelta(seconds=0.5)


def test_messages() -> None:
    first = trigger(type="message_received", first_contact=True, channel="telegram")
    said = {"provider": "telegram", "text": "hi", "conversation_id": "cnv_1"}
    assert begins(first, happened("message.received", first_contact=True, **said), NOW)
    assert not begins(first, happened("message.received", first_contact=False, **said), NOW)
    assert not begins(first, happened("message.received", first_contact=True, provider="line"), NOW)
    own = trigger(type="message_received", channel="chn_1", keyword=["coupon", "优惠"])
    assert begins(own, happened("message.received", channel_id="chn_1", text="有优惠吗"), NOW)
    assert not begins(own, happened("message.received", channel_id="chn_2", text="coupon"), NOW)
    assert key_of(own, happened("message.received", **said)) == "cnv_1"


def test_an_automatic_reply_starts_no_talk_between_machines() -> None:
    anything = trigger(type="message_received")
    assert not begins(anything, happened("message.received", text="I am out of office", automatic=True), NOW)


def test_changes() -> None:
    to_vip = trigger(type="changed", field="stage", to="vip")
    assert begins(to_vip, happened("profile.stage_changed", **{"from": "lead", "to": "vip"}), NOW)
    assert not begins(to_vip, happened("profile.stage_changed", **{"from": "vip", "to": "vip"}), NOW)  # an equal write
    assert not begins(to_vip, happened("profile.stage_changed", **{"from": "vip", "to": "lost"}), NOW)
    moved = trigger(type="changed", field="attributes.city", **{"from": "Leiden"})
    change = {"attributes": {"city": {"from": "Leiden", "to": "Delft"}}, "name": {"from": None, "to": "A"}}
    assert begins(moved, happened("profile.updated", changes=change), NOW)
    assert not begins(moved, happened("profile.updated", changes={"name": {"from": "Leiden", "to": "A"}}), NOW)
    assert begins(trigger(type="changed", field="tags", to="vip"), happened("profile.tag_added", tag="vip"), NOW)
    assert not begins(trigger(type="changed", field="tags", to="vip"), happened("profile.tag_removed", tag="vip"), NOW)
    assert begins(
        trigger(type="changed", field="tags", **{"from": "vip"}), happened("profile.tag_removed", tag="vip"), NOW
    )
