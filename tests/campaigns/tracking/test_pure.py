"""Tokens, addresses, machines, touches and statistics, without a database."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from base.ids import new_id
from campaigns.tracking.attribution import Touch, last_touch
from campaigns.tracking.lift import Group, lift_of, proportions, t_quantile, welch, wilson
from campaigns.tracking.machines import Caller, Hit, at_the_door, by_neighbours
from campaigns.tracking.rewriting import addresses_in, is_trackable, rewritten, with_utm
from campaigns.tracking.settings import TrackingSettings, Windows, settings_of
from campaigns.tracking.tokens import HONEYPOT, PIXEL, TrackedLink, TrackedLinks, link_id_of
from campaigns.utm import Utm, UtmChoice
from channels.vocabulary import Address, Button, OutboundMail, OutboundMessage

AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
LINKS = TrackedLinks([b"a" * 32], "https://crm.example")
UTM = Utm(source="rapport", medium="{channel}", campaign="{campaign}")
NAMES = {"campaign": "spring", "channel": "email", "step": "", "id": "jrn_1"}


def message(html: str = "", text: str = "", *buttons: Button) -> OutboundMessage:
    mail = OutboundMail(subject="s", html=html) if html else None
    return OutboundMessage(
        key="k", to=Address(channel_id="c", external_id="e"), text=text or None, buttons=buttons, mail=mail
    )


# -- tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_is_short_and_names_send_and_link():
    link = TrackedLink(new_id("snd"), link_id_of("jrn_1", "https://shop.example/"))
    token = LINKS.token(link)
    assert len(token) == 44
    assert "=" not in token
    assert LINKS.read(token) == link
    assert TrackedLinks([b"b" * 32, b"a" * 32], "").read(token) == link  # an older key still opens


@given(st.data())
def test_no_token_can_be_changed(data):
    token = LINKS.token(TrackedLink("snd_01kb6zq3v8x5n2m4c7d9e0f1g2", "0123456789abcdef"))  # the same in every try
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda each: each != token[place]))
    assert LINKS.read(token[:place] + letter + token[place + 1 :]) is None


@given(st.text(max_size=60))
def test_nonsense_is_no_token(text):
    assert LINKS.read(text) is None


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_only_addresses_change_and_the_markup_stays():
    html = "<p>a &amp; b</p><a  class=x href='https://s.example/?a=1&amp;b=2' >go</a><a href=\"tel:+1\">t</a><A HREF=https://t.example>u</A>"
    made = rewritten(message(html), lambda url: "https://crm.example/c/T" if "s.example" in url else url)
    assert made.mail.html == html.replace("'https://s.example/?a=1&amp;b=2'", '"https://crm.example/c/T"')
    assert addresses_in(message(html)) == ["https://s.example/?a=1&b=2", "https://t.example"]


def test_text_and_buttons_are_rewritten_without_the_sentence_around():
    text = "See https://s.example/a. Or (https://s.example/b_(c)), 看https://s.example/d。"
    found = addresses_in(message("", text, Button(title="x", url="https://s.example/e")))
    assert found == ["https://s.example/a", "https://s.example/b_(c)", "https://s.example/d", "https://s.example/e"]


def test_the_ways_out_are_no_links():
    own = "https://crm.example"
    for url in (
        "https://crm.example/u/abc",
        "https://crm.example/p/x",
        "mailto:a@b.example",
        "tel:+31",
        own,
        "ftp://a.example",
    ):
        assert not is_trackable(url, own), url
    assert is_trackable("https://crm.example.evil.example/u/", own)
    assert is_trackable("https://shop.example/", own)
    html = '<a data-untracked href="https://s.example/">x</a>'
    assert addresses_in(message(html)) == []


@pytest.mark.parametrize("wrong", ["{nobody}", "{campaign", "}", "x" * 201])
def test_what_cannot_be_added_to_links_is_said_in_words(wrong: str):
    for model in (Utm, UtmChoice):
        with pytest.raises(ValidationError, match=r"may name \{campaign\}, \{channel\}, \{step\} and \{id\}"):
            model.model_validate({"source": wrong})


def test_utm_keeps_query_fragment_and_signature():
    assert with_utm("https://s.example/a?b=%20c#d", UTM, NAMES) == (
        "https://s.example/a?b=%20c&utm_source=rapport&utm_medium=email&utm_campaign=spring#d"
    )
    assert with_utm("https://s.example/?utm_source=mine", UTM, NAMES).count("utm_source") == 1
    signed = "https://s3.example/f?X-Amz-Signature=abc&X-Amz-Date=1"
    assert with_utm(signed, UTM, NAMES) == signed


@given(
    st.lists(st.tuples(st.text("abc", min_size=1), st.text("xyz%& é#?", max_size=5)), max_size=4),
    st.text("abc/?=", max_size=6),
)
def test_utm_changes_nothing_that_was_there(pairs, fragment):
    from urllib.parse import urlencode

    url = "https://s.example/p" + (f"?{urlencode(pairs)}" if pairs else "") + (f"#{fragment}" if fragment else "")
    made = urlsplit(with_utm(url, UTM, NAMES))
    assert made.fragment == fragment
    assert parse_qsl(made.query, keep_blank_values=True)[: len(pairs)] == pairs
    assert dict(parse_qsl(made.query))["utm_campaign"] == "spring"


def test_patterns_name_only_what_there_is():
    for wrong in ("{person}", "{", "{campaign.__class__}", "{campaign!r}"):
        with pytest.raises(ValueError):
            TrackingSettings.model_validate({"utm": {"source": wrong}})


# -- machines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (Caller("HEAD", "Mozilla/5.0 (X11) Firefox/150", "203.0.113.9"), "head_request"),
        (Caller("GET", "Mozilla/5.0", "203.0.113.9"), "apple_mpp"),
        (Caller("GET", "Mozilla/5.0 (Macintosh) Safari/605", "17.58.1.2"), "apple_mpp"),
        (Caller("GET", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "203.0.113.9"), "gmail_proxy"),
        (Caller("GET", "Mozilla/5.0 (Windows NT 10.0) Edge/18", "::ffff:40.107.1.1"), "outlook"),
        (Caller("GET", "BarracudaCentral/1", "203.0.113.9"), "scanner"),
        (Caller("GET", "WhatsApp/2.23", "203.0.113.9"), "preview"),
        (Caller("GET", "python-requests/2", "203.0.113.9"), "program"),
        (Caller("GET", "", "203.0.113.9"), "no_agent"),
        (Caller("GET", "Mozilla/5.0 (X11) Firefox/150", "203.0.113.9", prefetch=True), "prefetch"),
        (Caller("GET", "Mozilla/5.0 (X11) Firefox/150", "not an address"), None),
    ],
)
def test_machines_are_known_at_the_door(caller, code):
    assert at_the_door(caller) == code


def judged(hit, *others, links=3, after=60.0, kind="email"):
    handed = AT - timedelta(seconds=after)
    return by_neighbours(hit, [hit, *others], links=links, handed_at=handed, channel_kind=kind)


def test_neighbours_give_a_scanner_away():
    def at(link, seconds=0.0):
        return Hit(link, AT + timedelta(seconds=seconds))

    assert judged(at("a")) is None
    assert judged(at("a"), at("b", 30), at("c", 60)) is None  # somebody reads
    assert judged(at("a"), at("b", 0.5), at("c", 1.5)) == "burst"
    assert judged(at("a"), links=1) is None  # the only link of a message is followed by people, too
    assert judged(at("a"), at(HONEYPOT, 1)) == "honeypot"
    assert judged(at("a"), after=2) == "too_soon"
    assert judged(at("a"), after=2, kind="chat") is None
    assert judged(at(PIXEL), at("a", 1)) is None  # opens, then follows one link


# -- touches -----------------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["clicked", "opened", "delivered"])
touches = st.lists(
    st.builds(
        lambda minute, kind, channel, number: Touch(
            f"snd_{number}", kind, AT + timedelta(minutes=minute), "chn", channel, "journey", "jrn"
        ),
        st.integers(0, 10_000),
        KINDS,
        st.sampled_from(["email", "chat"]),
        st.integers(0, 50),
    ),
    max_size=25,
)


@given(
    touches, st.integers(0, 12_000), st.integers(0, 130), st.integers(0, 30), st.integers(0, 30),
    st.one_of(st.none(), st.integers(0, 130)), st.randoms(),
)  # fmt: skip
def test_last_touch_is_what_walking_through_all_of_them_finds(listed, minute, click, opened, chat, in_chat, chance):
    at = AT + timedelta(minutes=minute)
    windows = Windows(click=click, open=opened, chat_delivery=chat, chat_click=in_chat)
    order = {"delivered": 0, "opened": 1, "clicked": 2}
    best = None
    for touch in sorted(listed, key=lambda each: (each.at, order[each.kind], each.send_id)):
        mail = touch.channel_kind == "email"
        clicked = click if mail or in_chat is None else in_chat
        hours = {"clicked": clicked, "opened": opened, "delivered": 0 if mail else chat}[touch.kind]
        if hours > 0 and touch.at <= at <= touch.at + timedelta(hours=hours):
            best = touch
    chance.shuffle(listed)
    found = last_touch(listed, at, windows)
    assert (found is None) == (best is None)
    if found is not None and best is not None:
        assert (found.at, found.kind, found.send_id) == (best.at, best.kind, best.send_id)


def test_each_channel_has_its_own_window():
    """A click in a mail counts for five days, one in a chat for one, if its owner says so."""
    def touch(channel: str) -> Touch:
        return Touch("snd_1", "clicked", AT, "chn", channel, "journey", "jrn")

    later = AT + timedelta(hours=30)
    split = Windows(click=120, chat_click=24)
    assert last_touch([touch("email")], later, split) is not None and last_touch([touch("chat")], later, split) is None
    assert last_touch([touch("sms")], later, Windows(click=120)) is not None
    assert last_touch([touch("chat")], later, Windows(click=0, chat_click=48)) is not None
    kept = {"links": True, "windows": {"click": 48, "open": 0, "chat_delivery": 24}}  # before chats had their own
    assert settings_of({"chosen": kept}).windows.after("clicked", "chat") == timedelta(hours=48)


# -- statistics --------------------------------------------------------------------------------------------------------


def test_intervals_are_those_of_the_books():
    assert proportions(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)  # Newcombe 1998, table II (a)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # the same, 1998b, table I
    assert t_quantile(0.975, 10) == pytest.approx(2.228139, abs=1e-6)
    assert t_quantile(0.975, 1) == pytest.approx(12.706205, abs=1e-5)
    assert t_quantile(0.975, 1e6) == pytest.approx(1.959966, abs=1e-5)


def test_welch_by_hand():
    first, second = [10, 20, 30, 40], [5, 5, 10, 20, 20]
    value, low, high = welch(first, second)
    error = math.sqrt((500 / 3) / 4 + 57.5 / 5)
    freedom = error**4 / (((500 / 3) / 4) ** 2 / 3 + (57.5 / 5) ** 2 / 4)
    assert value == pytest.approx(13)
    assert high - value == pytest.approx(t_quantile(0.975, freedom) * error)
    assert (low + high) / 2 == pytest.approx(13)
    assert welch([5, 5], [5, 5]) == (0, 0, 0)
    assert welch([5], [1, 2])[1] == -math.inf


def test_nothing_is_told_from_few_or_from_chance():
    def group(people, buyers):
        return Group([1000] * buyers + [0] * (people - buyers), buyers)

    assert lift_of(group(20, 15), group(20, 1)).rate.verdict == "too_few"
    assert lift_of(group(1000, 52), group(1000, 50)).rate.verdict == "cannot_tell"
    assert lift_of(group(1000, 90), group(1000, 40)).rate.verdict == "more"
    assert lift_of(group(1000, 40), group(1000, 90)).mean.verdict == "less"
    assert lift_of(group(0, 0), group(0, 0)).rate.verdict == "too_few"
