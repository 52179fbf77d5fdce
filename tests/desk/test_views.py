"""What pages make of what the stores give: rows, lines, composer, forms, sentences. All pure."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import get_args
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from campaigns.explain import SENTENCES
from campaigns.models import STEPS
from campaigns.run import WaitKind
from channels.capabilities import Capabilities
from channels.vocabulary import Address
from desk.i18n import Formats
from desk.pages.composer import composer_of, later_times, snoozes
from desk.pages.faces import Faces, hue_step
from desk.pages.inbox_address import OPEN, Asked, beside, filter_of, said_in
from desk.pages.inbox_head import Known as Choices
from desk.pages.inbox_head import Tallies, list_view
from desk.pages.inbox_lines import Scene, file_size, file_view, lines_of, quoted_part
from desk.pages.inbox_rows import PRIORITIES, row_of, wait_level
from desk.pages.journey_steps import SYMBOLS, TITLES, exits_of, step_words
from desk.pages.mails import clean_mail
from desk.pages.rules import duration_words
from desk.pages.runs import ENDS, LOG, WAITS
from desk.pages.sentences import Known, rule_words
from desk.pages.settings_form import emptied, fields_of, settings_from
from desk.pages.triggers import trigger_words
from desk.pages.value_names import ValueNames
from desk.render import hue_of, icon, initials
from inbox.models import Conversation, Message
from inbox.view_filter import STATUSES, LabelFilter, PersonFilter, ViewFilter
from inbox.views import SavedView
from profiles.segments.fields import ALL_OPERATORS

NOW = datetime(2026, 11, 22, 14, 32, tzinfo=UTC)
EN, ZH = Formats("en", ZoneInfo("UTC"), NOW), Formats("zh_CN", ZoneInfo("UTC"), NOW)
CARD = SimpleNamespace(provider="whatsapp", label="WhatsApp", mark="Wa", hue=142)
FACES = Faces([SimpleNamespace(id="chn_1", provider="whatsapp", name="Shop")], [CARD])


def _talk(**more):
    known = {
        "id": "cnv_1", "profile_id": "prf_1", "identity_id": "idn_1", "channel_id": "chn_1", "provider": "whatsapp",
        "address": Address(channel_id="chn_1", external_id="49170", handle="+49170"), "display_name": "Anna",
        "status": "open", "last_activity_at": NOW, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return Conversation.model_validate(known | more)


def _message(n, text="Hi", minutes=0, direction="in", **more):
    author = more.pop(
        "author", {"type": "customer"} if direction == "in" else {"type": "agent", "id": "usr_1", "name": "Mara"}
    )
    at = NOW + timedelta(minutes=minutes)
    return Message.model_validate(
        {"id": f"msg_{n}", "channel_id": "chn_1", "direction": direction, "author": author, "text": text, "seq": n,
         "provider_at": at, "received_at": at, **more}
    )  # fmt: skip


def _lines(*messages, formats=EN):
    return lines_of(messages, Scene(_talk(), "Anna", formats, {"jrn_1": "Welcome"}))


# -- rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "level"), [(None, 0), (0, 1), (9, 1), (10, 2), (59, 2), (60, 3), (9999, 3)])
def test_waiting_gets_warmer(minutes, level):
    assert wait_level(None if minutes is None else NOW - timedelta(minutes=minutes), NOW) == level


@pytest.mark.parametrize(
    ("direction", "author", "text", "shown"),
    [
        ("in", {"type": "customer"}, "Hello\n there", ("", "", "Hello there")),
        ("in", {"type": "customer"}, None, ("", "paper-clip", "Attachment")),
        ("out", {"type": "agent", "id": "usr_1", "name": "Mara L"}, "Yes", ("You:", "", "Yes")),
        ("out", {"type": "agent", "id": "usr_2", "name": "Tom B"}, "Yes", ("Tom:", "", "Yes")),
        ("note", {"type": "agent", "id": "usr_2", "name": "Tom B"}, "VIP", ("", "lock-closed", "VIP")),
    ],
)
def test_a_row_tells_the_last_message(direction, author, text, shown):
    last = {"id": "msg_1", "text": text, "at": NOW, "direction": direction, "author": author}
    row = row_of(_talk(last_message=last), Asked("all"), FACES, {}, "usr_1", EN)
    assert (row.by, row.symbol, "".join(part for part, _ in row.preview_said)) == shown


def test_what_was_searched_for_is_marked_in_a_row():
    last = {"id": "msg_1", "text": "<b>anna</b>", "at": NOW, "direction": "in", "author": {"type": "customer"}}
    row = row_of(_talk(last_message=last, display_name="Anna 王小明"), Asked.of({"q": "ann 小明"}), FACES, {}, "u", EN)
    assert row.name_said == [("Ann", True), ("a 王", False), ("小明", True)]
    assert row.preview_said == [("<b>", False), ("ann", True), ("a</b>", False)]
    row = row_of(_talk(last_message=last), Asked(), FACES, {}, "u", EN)
    assert row.preview_said == [("<b>anna</b>", False)]

def test_a_resolved_conversation_keeps_nobody_waiting_and_the_name_falls_back():
    row = row_of(_talk(status="resolved", waiting_since=NOW, display_name=None), Asked(), FACES, {}, "usr_1", EN)
    assert (row.wait_level, row.name, row.face.letters) == (0, "+49170", "Wa")


def test_the_address_of_a_view_says_only_what_is_not_usual():
    asked = Asked.of({"view": "all", "status": "open", "q": " x y "})
    assert (asked.query(), asked.query(status="resolved", q=None)) == ("view=all&q=x+y", "view=all&status=resolved")
    assert Asked.of({"view": "$ne", "status": "no", "channel": "", "priority": "$gt", "stage": " "}) == Asked()


def _there_and_back(asked):
    return Asked.of(MultiDict(parse_qsl(asked.query())), "mine", asked.saved)


_WORDS = st.text("abc茶 ,&=%+", min_size=1, max_size=8).map(str.strip).filter(bool)
_SOME = st.lists(_WORDS, max_size=3, unique=True).map(tuple)
_FILTERS = st.builds(
    ViewFilter, status=st.lists(st.sampled_from(STATUSES), max_size=3, unique=True).map(tuple),
    labels=st.builds(LabelFilter, any=_SOME, all=_SOME, none=_SOME), person=st.builds(PersonFilter, tag=_SOME),
    unread=st.none() | st.booleans(), waiting=st.none() | st.booleans(), q=st.none() | _WORDS,
    priority=st.lists(st.sampled_from(list(PRIORITIES)), max_size=2, unique=True).map(tuple),
)  # fmt: skip


@given(view=_FILTERS, base=st.none() | _FILTERS)
def test_an_address_leads_back_to_what_was_asked(view, base):
    assert filter_of(said_in(view)) == view
    saved = base and SavedView("viw_1", "Own", base, "usr_1", 1, NOW, NOW)
    asked = Asked(saved.id if saved else "all", view, saved)
    assert _there_and_back(asked) == asked


def test_a_saved_view_is_come_to_and_left_without_what_narrows_it():
    saved = SavedView("viw_1", "Own", ViewFilter(priority=("high",)), "usr_1", 1, NOW, NOW)
    asked = Asked("viw_1", ViewFilter(priority=("high",), unread=True), saved)
    assert asked.query() == "view=viw_1&unread=yes"
    assert asked.query(priority=None) == "view=viw_1&whole=1&unread=yes"
    assert (asked.query(view="all"), Asked("all", ViewFilter(unread=True)).query(view="viw_1")) == (
        "view=all", "view=viw_1",
    )  # fmt: skip
    assert Asked("mine", OPEN).condition("usr_1", None).view.assignee == ("me",)


def test_an_empty_list_says_what_to_do_next():
    none, one = Tallies(), Choices(channels=[("chn_1", "Shop")])
    assert list_view(Asked(), EN, none, Choices(), FACES).empty_href == "/settings/channels"
    assert list_view(Asked(), EN, none, one, FACES).empty_href == "/inbox?view=unassigned"
    found = list_view(Asked("all", ViewFilter(status=("open",), q="x")), EN, none, one, FACES)
    assert (found.empty_title, found.narrowings) == ("Nothing found", ())
    assert list_view(Asked("all"), EN, Tallies({"all": 1200}), one, FACES).tabs[2].count == "999+"


def test_what_narrows_a_list_is_named_with_the_way_out():
    view = ViewFilter(status=("open", "pending"), priority=("high",), labels=LabelFilter(none=("late",)), unread=False)
    head = list_view(Asked("all", view), EN, Tallies(), Choices(channels=[("chn_1", "Shop")]), FACES)
    assert [each.label for each in head.narrowings] == ["Open", "Pending", "Without late", "High", "Read"]
    assert head.narrowings[1].href == "/inbox?view=all&no_label=late&priority=high&unread=no"


def test_a_row_shows_labels_and_priority():
    row = row_of(_talk(labels=["a", "b", "c", "d"], priority="high"), Asked("all"), FACES, {}, "usr_1", EN)
    assert (row.labels, row.labels_more, row.priority_label) == (("a", "b", "c"), 1, "High")
    assert row_of(_talk(), Asked("all"), FACES, {}, "usr_1", EN).priority_label == ""


# -- lines ---------------------------------------------------------------------------------------------------------


def test_lines_of_one_author_stand_together_and_days_are_set_apart():
    lines = _lines(_message(1), _message(2, minutes=2), _message(3, minutes=30), _message(4, minutes=60 * 24))
    assert [(each.kind, each.first) for each in lines] == [
        ("day", True), ("in", True), ("in", False), ("in", True), ("day", True), ("in", True),
    ]  # fmt: skip
    assert [each.foot for each in lines if each.kind == "in"] == [False, True, True, True]


def test_the_day_is_the_readers_own():
    late = _message(1, minutes=60 * 9)  # 23:32 UTC
    zone = Formats("en", ZoneInfo("Asia/Shanghai"), NOW)
    assert [each.id for each in _lines(late, formats=zone) if each.kind == "day"] == ["2026-11-23"]


@pytest.mark.parametrize(
    ("status", "tick", "label"),
    [
        ("queued", "waiting", "Waiting to be sent"), ("sent", "sent", "Sent"), ("delivered", "delivered", "Delivered"),
        ("read", "read", "Read"), ("failed", "failed", "Not sent"), ("unknown", "unknown", "Perhaps sent"),
        ("brand_new", "unknown", "brand_new"),
    ],
)  # fmt: skip
def test_ticks(status, tick, label):
    (_, line) = _lines(_message(1, direction="out", status=status))
    assert (line.tick, line.tick_label) == (tick, label)


def test_a_failure_gives_the_reason_in_the_readers_language():
    reason = {"code": "recipient_blocked", "sentence": "The person blocked or left this channel.", "detail": "131049"}
    (_, line) = _lines(_message(1, direction="out", status="failed", reason=reason), formats=ZH)
    assert (line.failed, line.failed_detail) == ("对方已屏蔽或离开此渠道。", "131049")
    (_, bare) = _lines(_message(1, direction="out", status="failed"))
    assert bare.failed == "The provider gave no reason."


def test_a_deleted_message_shows_nothing_of_what_it_was():
    (_, line) = _lines(_message(1, "secret", deleted_at=NOW, mail={"subject": "s"}, original="o", edited_at=NOW))
    assert (line.deleted, line.text, line.mail, line.edited) == (True, "", None, False)


def test_a_quote_is_found_by_either_id_or_said_to_be_earlier():
    first, second = _message(1, provider_message_id="wamid.1"), _message(2, "Yes", direction="out", reply_to="wamid.1")
    lines = _lines(first, second, _message(3, reply_to="msg_2"), _message(4, reply_to="gone"))
    assert [line.quote and (line.quote.author, line.quote.text) for line in lines if line.kind != "day"] == [
        None, ("Anna", "Hi"), ("Mara", "Yes"), ("An earlier message", "…"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        ({"code": "assigned", "params": {"to": "usr_2", "to_name": "Tom", "by": "usr_1"}}, "Mara assigned this to Tom"),
        (
            {"code": "assigned", "params": {"to": "usr_1", "to_name": "Mara", "by": "usr_1"}},
            "Mara took this conversation",
        ),
        ({"code": "status_changed", "params": {"to": "resolved"}}, "Mara resolved this"),
        (
            {"code": "status_changed", "params": {"to": "snoozed", "until": NOW}},
            "Mara snoozed this until 22 Nov 2026, 14:32",
        ),
        ({"code": "status_changed", "params": {"to": "snoozed"}}, "Mara snoozed this until they answer"),
        ({"code": "labelled", "params": {"added": ["vip", "returns"], "removed": []}}, "Mara added vip, returns"),
        ({"code": "woken", "params": {"from": "pending", "to": "open", "by": "customer"}},
         "Open again, because they have written"),
        ({"code": "something_new", "params": {}}, "something new"),
    ],
)
def test_quiet_lines(system, sentence):
    (_, line) = _lines(
        _message(1, None, direction="system", author={"type": "agent", "id": "usr_1", "name": "Mara"}, system=system)
    )
    assert line.sentence == sentence


def test_a_campaigns_line_names_its_journey():
    (_, line) = _lines(_message(1, direction="out", author={"type": "campaign", "id": "jrn_1", "name": "journey"}))
    assert (line.author, line.badge) == ("Welcome", "Journey")


def test_reactions_are_counted():
    (_, line) = _lines(
        _message(1, reactions=[{"emoji": "👍", "by": "1"}, {"emoji": "👍", "by": "2"}, {"emoji": "❤️", "by": "1"}])
    )
    assert [(each.emoji, each.count, each.by) for each in line.reactions] == [("👍", 2, "Anna, Anna"), ("❤️", 1, "Anna")]


@pytest.mark.parametrize(
    ("text", "whole", "below"),
    [
        ("Hi", "Hi", ""),
        ("Hi", None, ""),
        ("Hi", "Hi\n> old", "> old"),
        (None, "> old", "> old"),
        ("Hi", "Else", "Else"),
    ],
)
def test_what_is_below_the_fold_of_a_mail(text, whole, below):
    assert quoted_part(text, whole) == below


@pytest.mark.parametrize(
    ("attachment", "shown", "href"),
    [
        (
            {"kind": "image", "media_type": "image/png", "file_id": "fil_1", "state": "stored"},
            "image",
            "/api/v1/files/fil_1",
        ),
        (
            {"kind": "image", "media_type": "image/svg+xml", "file_id": "fil_1", "state": "stored"},
            "file",
            "/api/v1/files/fil_1",
        ),
        (
            {"kind": "voice", "media_type": "audio/ogg; codecs=opus", "file_id": "f", "state": "stored"},
            "audio",
            "/api/v1/files/f",
        ),
        ({"kind": "image", "file_id": "fil_1", "state": "wanted"}, "coming", ""),
        ({"kind": "file", "file_id": "fil_1", "state": "failed", "reason": {"sentence": "x"}}, "missing", ""),
        ({"kind": "image", "media_type": "image/png", "url": "https://x/y.png"}, "file", "https://x/y.png"),
        ({"kind": "image", "url": "javascript:alert(1)"}, "file", ""),
    ],
)
def test_files(attachment, shown, href):
    view = file_view(attachment, EN)
    assert (view.shown, view.href) == (shown, href)


def test_sizes():
    assert [file_size(n) for n in (1, 1023, 2048, 184223, 5_000_000, 3 * 1024**3)] == [
        "1 B", "1023 B", "2.0 KB", "180 KB", "4.8 MB", "3.0 GB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "evil",
    [
        "<script>x</script>",
        "<img src=x onerror=x>",
        "<a href='javascript:x'>a</a>",
        "<a href='data:text/html,x'>a</a>",
        "<svg><script>x</script></svg>",
        "<math><mi xlink:href='javascript:x'>",
        "<style>*{}</style>",
        "<meta http-equiv=refresh>",
        "<base href=//evil>",
        "<form><input></form>",
        "<p style='background:url(//x)'>",
        "<object data=x></object>",
        "<template><script>x</script></template>",
        "<noscript><p title='</noscript><img src=x onerror=x>'></noscript>",
    ],
)
def test_mail_is_cleaned(evil):
    clean = clean_mail(f"<b>kept</b>{evil}").lower()
    assert "<b>kept</b>" in clean
    for word in (
        "<script",
        "onerror",
        "javascript:",
        "data:text",
        "<svg",
        "<style",
        "<meta",
        "<base",
        "<form",
        "url(",
        "<object",
    ):
        assert word not in clean


# -- composer ------------------------------------------------------------------------------------------------------


def _identity(hours_ago):
    at = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return SimpleNamespace(last_inbound_at=at, window_sends=0)


WINDOWED = Capabilities(text_limit=4096, reply_window_s=86400, template_outside_window=True)


@pytest.mark.parametrize(
    ("hours_ago", "closed", "soon"), [(1, False, False), (22.5, False, True), (25, True, False), (None, True, False)]
)
def test_the_reply_window(hours_ago, closed, soon):
    view = composer_of(WINDOWED, _identity(hours_ago), EN)
    assert (bool(view.closed), view.soon) == (closed, soon)
    assert (view.window_until is None) is closed


def test_a_channel_without_a_window_has_no_countdown_and_a_gone_one_nothing():
    free = composer_of(Capabilities(text_limit=100), _identity(None), EN)
    assert (free.closed, free.window_until, free.limit) == ("", None, 100)
    assert composer_of(None, _identity(1), EN).closed
    assert free.client_key != composer_of(Capabilities(text_limit=100), _identity(None), EN).client_key


def test_snoozes_are_ahead_and_in_the_zone_of_the_person():
    zone = ZoneInfo("America/New_York")
    for hour in range(24):
        found = snoozes(Formats("en", zone, NOW + timedelta(hours=hour)))
        assert all(each.at > NOW + timedelta(hours=hour) for each in found) and len(found) >= 2
        assert all(each.at.astimezone(zone).hour == 9 for each in found if each.label != "Later today")


def test_an_answer_is_planned_for_no_time_at_which_the_window_is_closed():
    for hour in range(24):
        formats = Formats("en", ZoneInfo("Europe/Berlin"), NOW + timedelta(hours=hour))
        closes_at = formats.now + timedelta(hours=23)
        offered = later_times(formats, closes_at)
        assert offered and all(formats.now < each.at < closes_at for each in offered)
        assert later_times(formats, None) == tuple(snoozes(formats))


# -- forms ---------------------------------------------------------------------------------------------------------

SCHEMA = {
    "required": ["host", "key"],
    "properties": {
        "host": {"type": "string", "title": "Host"}, "port": {"type": "integer", "default": 587, "minimum": 1},
        "key": {"type": "string", "writeOnly": True}, "mode": {"enum": ["a", "b"], "default": "a", "type": "string"},
        "fast": {"type": "boolean", "default": False}, "origins": {"type": "array", "items": {"type": "string"}},
        "url": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, "api_base": {"type": "string"},
    },
}  # fmt: skip


def test_a_form_is_drawn_from_the_schema():
    fields = {
        each.name: each for each in fields_of(SCHEMA, {"host": "h"}, ["key"], {"settings.port": "bad"}, new=False)
    }
    assert [each.kind for each in fields.values()] == [
        "text",
        "number",
        "password",
        "choice",
        "check",
        "list",
        "text",
        "text",
    ]
    assert (fields["key"].value, fields["key"].is_set, fields["key"].required) == ("", True, False)
    assert (fields["host"].value, fields["port"].value, fields["port"].fault) == ("h", "587", "bad")
    assert (fields["api_base"].advanced, fields["url"].value) == (True, "")
    assert fields_of(SCHEMA, {}, [], {}, new=True)[2].required


def test_settings_are_read_back():
    sent = {
        "settings.host": " h ",
        "settings.port": "25",
        "settings.key": "",
        "settings.fast": "1",
        "settings.origins": "a, b,",
        "settings.other": "x",
    }
    assert settings_from(SCHEMA, sent, new=False) == {"host": "h", "port": 25, "fast": True, "origins": ["a", "b"]}
    assert settings_from(SCHEMA, {"settings.port": "many"}, new=True)["port"] == "many"
    assert emptied(SCHEMA, {"settings.url": "", "settings.key": ""}, {"url": "https://x", "key": "k"}) == {"url": None}


# -- sentences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "en", "zh"),
    [
        ("P1D", "1 day", "1 天"), ("P3D", "3 days", "3 天"), ("PT2H30M", "2 hours 30 minutes", "2 小时 30 分钟"),
        ("P2W", "2 weeks", "2 周"), ("PT0M", "0 minutes", "0 分钟"), ("soon", "soon", "soon"), ("P", "P", "P"),
    ],
)  # fmt: skip
def test_durations(text, en, zh):
    assert (duration_words(text, EN), duration_words(text, ZH)) == (en, zh)


KNOWN = Known(
    {"attributes.size": "Shoe size"},
    {"segment": {"seg_1": "Regulars"}, "consent": {"news": "Tea letter"}, "channel": {"whatsapp": "WhatsApp"},
     "stage": {"customer": "First order"}},
)  # fmt: skip
SPOKEN = [
    ({"field": "orders.count", "op": "gte", "value": 3}, "number of orders is at least 3"),
    ({"field": "attributes.favourite_tea", "op": "eq", "value": "Sencha"}, "favourite tea is “Sencha”"),
    ({"field": "attributes.size", "op": "exists"}, "Shoe size is known"),
    ({"field": "attributes.member", "op": "eq", "value": True}, "member: yes"),
    ({"field": "conversation.waiting", "op": "eq", "value": True}, "the customer waits for our answer"),
    ({"field": "tags", "op": "any_of", "value": ["a", "b"]}, "tags include any of “a”, “b”"),
    ({"field": "tags", "op": "missing"}, "has no tags"),
    ({"field": "stage", "op": "in", "value": ["customer", "x"]}, "stage is one of First order, “x”"),
    ({"field": "orders.revenue.EUR", "op": "gt", "value": 19900}, "revenue in EUR is above €199.00"),
    ({"field": "score", "op": "between", "value": [10, 50]}, "score is between 10 and 50"),
    ({"field": "last_seen_at", "op": "within_last", "value": "P1M"}, "last seen is within the last 1 month"),
    ({"field": "created_at", "op": "before", "value": "2025-05-01"}, "first seen is before 1 May 2025"),
    ({"field": "attributes.birthday", "op": "day_of_year", "value": {"from": "11-01", "to": "11-30"}},
     "birthday falls on a day from 1 Nov to 30 Nov"),
    ({"event": "order.paid", "within": "P30D"}, "paid for an order in the last 30 days"),
    ({"event": "order.paid", "count": {"gte": 2, "lte": 5}}, "paid for an order at least 2 times and at most 5 times"),
    ({"event": "my.event", "count": {"eq": 0}}, "never had “my.event”"),
    ({"not": {"event": "order.paid", "within": "P90D"}}, "never paid for an order in the last 90 days"),
    ({"event": "order.paid", "where": [{"field": "properties.total", "op": "gte", "value": 5000}]},
     "paid for an order (where total is at least 5,000)"),
    ({"all": [{"field": "score", "op": "gt", "value": 1}, {"any": [{"event": "order.paid"}, {"consent": "news"}]}]},
     "score is above 1 and (paid for an order or agreed to Tea letter)"),
    ({"consent": "news", "channel": "whatsapp", "is": "denied"}, "said no to Tea letter by WhatsApp"),
    ({"not": {"reachable": "whatsapp"}}, "not reachable on WhatsApp"),
    ({"not": {"segment": "seg_1"}}, "not in segment “Regulars”"),
    ({"last_event": "order.paid", "op": "older_than", "value": "P90D"},
     "last paid for an order more than 90 days ago"),
    ({"near": {"lat": 52.1, "lon": 4.5, "km": 25}}, "within 25 km of 52.1, 4.5"),
    ({"bucket": {"salt": "x", "from": 0, "to": 20}}, "in the random share “x” from 0 % to 20 %"),
    ({"all": []}, "everybody"),
    ("odd", "odd"),
    ({"strange": 1}, "strange: 1"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "words"), SPOKEN)
def test_rules_read_as_sentences(rule, words):
    assert rule_words(rule, EN, KNOWN) == words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"field": "tags", "op": "any_of", "value": ["a", "b"]}, "标签至少包括其一：“a”、“b”"),
        ({"field": "attributes.member", "op": "ne", "value": True}, "member：否"),
        ({"field": "score", "op": "between", "value": [10, 50]}, "评分介于 10 与 50 之间"),
        ({"field": "last_seen_at", "op": "older_than", "value": "P1M"}, "最近出现距今超过 1 个月"),
        ({"not": {"event": "order.paid", "within": "P90D"}}, "最近 90 天内从未付过款"),
        ({"consent": "news", "channel": "whatsapp", "is": "denied"}, "拒绝通过WhatsApp接收Tea letter"),
        ({"not": {"segment": "seg_1"}}, "不属于分群 “Regulars”"),
        ({"last_event": "order.paid", "op": "older_than", "value": "P90D"}, "上次付过款距今超过 90 天"),
    ],
)
def test_rules_read_as_sentences_in_chinese(rule, words):
    assert rule_words(rule, ZH, KNOWN) == words


def test_every_operator_of_every_kind_has_its_sentence():
    for op in ALL_OPERATORS:
        rule = {"field": "tags", "op": op, "value": "P3D" if op in ("within_last", "older_than") else "05-17"}
        for name in ("tags", "created_at", "attributes.x"):
            for formats in (EN, ZH):
                assert "_" not in rule_words({**rule, "field": name}, formats), (op, name)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        ({"type": "order", "status": "delivered"}, "When the order is delivered"),
        ({"type": "message_received", "first_contact": True}, "When somebody writes for the first time"),
        ({"type": "message_received", "keyword": ["tea", "茶"]}, "When somebody writes “tea, 茶”"),
        ({"type": "event", "event": "order.paid"}, "When the order is paid"),
        ({"type": "segment_entered", "segment_id": "seg_1"}, "When somebody enters “Regulars”"),
        ({"type": "segment_left", "segment_id": "seg_2"}, "When somebody leaves “seg_2”"),
        ({"type": "date", "field": "attributes.birthday", "yearly": True, "at": "09:00"},
         "On the day: birthday, every year at 09:00"),
        ({"type": "date", "field": "orders.last_at", "offset": "P30D"}, "30 days after: last order"),
        ({"type": "date", "field": "attributes.renewal", "offset": "-P1M"}, "1 month before: renewal"),
        ({"type": "date", "field": "created_at", "offset": "PT0S"}, "On the day: first seen"),
        ({"type": "schedule", "rrule": "FREQ=WEEKLY;BYDAY=MO,TH", "segment_id": "seg_1", "at": "18:30"},
         "Every Monday, Thursday at 18:30, everybody in “Regulars”"),
        ({"type": "schedule", "rrule": "FREQ=DAILY", "segment_id": "seg_1"},
         "Every day at 09:00, everybody in “Regulars”"),
        ({"type": "schedule", "rrule": "FREQ=DAILY;BYHOUR=8,18", "segment_id": "seg_1"},
         "Every day, everybody in “Regulars”"),
        ({"type": "schedule", "rrule": "FREQ=MONTHLY;BYMONTHDAY=1", "segment_id": "seg_1"},
         "Every month on day 1 at 09:00, everybody in “Regulars”"),
        ({"type": "schedule", "rrule": "FREQ=MONTHLY;BYDAY=-1FR", "segment_id": "seg_1"},
         "By the rule FREQ=MONTHLY;BYDAY=-1FR at 09:00, everybody in “Regulars”"),
        ({"type": "message", "what": "clicked"}, "When somebody follows a link in a message"),
        ({"type": "message", "what": "replied", "journey_id": "jrn_1"},
         "When somebody answers a message, from “Welcome”"),
        ({"type": "date"}, "On the day: "), ({"type": "schedule"}, "By the rule  at 09:00, everybody in “”"),
        ({"type": "message"}, "When something happens to a message"),
        ({"type": "api"}, "When a program or a colleague starts it"), ({"type": "moon"}, "moon"), ({}, ""),
    ],
)  # fmt: skip
def test_triggers(trigger, words):
    names = {"seg_1": "Regulars", "jrn_1": "Welcome"}
    assert trigger_words(trigger, EN, names) == words
    assert "%(" not in trigger_words(trigger, ZH, names)


def test_steps_and_their_ways_out():
    wait = {
        "id": "a",
        "type": "wait_event",
        "any": [{"event": "order.paid", "next": "b"}],
        "timeout": "P1D",
        "timeout_next": "c",
    }
    assert step_words(wait, {}, EN) == "until the order is paid, at most 1 day"
    assert [(way.to, way.label) for way in exits_of(wait, EN)] == [("b", "the order is paid"), ("c", "after 1 day")]
    told_apart = [{"event": "order.paid", "where": [{"field": "properties.n", "op": "eq", "value": n}]} for n in (1, 2)]
    assert step_words({**wait, "any": told_apart}, {}, EN) == "until the order is paid, at most 1 day", "said once"
    split = {
        "id": "s",
        "type": "split",
        "arms": [{"weight": 1, "next": "x"}, {"weight": 3, "next": None, "name": "Long"}],
    }
    assert [(way.to, way.label) for way in exits_of(split, EN)] == [("x", "A · 25 %"), (None, "Long · 75 %")]
    assert exits_of({"id": "e", "type": "exit"}, EN) == []
    for kind in (*STEPS, "nobody_knows"):
        assert isinstance(step_words({"id": "x", "type": kind}, {}, EN), str)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"type": "throttle", "rate": 20, "per": "PT1H"}, "at most 20 in 1 hour"),
        ({"type": "digest", "window": "PT5M"}, "for 5 minutes"),
        ({"type": "webhook", "url": "https://shop.example/credit"}, "shop.example/credit"),
        ({"type": "assign", "assignee": "round_robin"}, "to colleagues in turn"),
        ({"type": "assign", "assignee": "owner", "wait_done": True}, "to the owner, and it waits until that is done"),
        ({"type": "note", "text": "Seen"}, "Seen"),
    ],
)
def test_what_a_step_does(step, said):
    assert step_words({"id": "x", **step}, {}, EN) == said


def test_every_step_has_a_title_and_every_word_of_a_run_a_sentence():
    assert STEPS.keys() <= TITLES.keys() and STEPS.keys() <= SYMBOLS.keys()
    for name in {*SYMBOLS.values()}:
        assert "<svg" in icon(name)
    special = {"entered", "wait.held", "wait.held_up", "wait.now"}  # said of a run as it stands
    codes = {code for code in SENTENCES if not code.startswith("end.")} - special
    assert codes <= LOG.keys()
    assert {code.removeprefix("end.") for code in SENTENCES if code.startswith("end.")} <= ENDS.keys()
    assert set(get_args(WaitKind)) == WAITS.keys()


# -- faces ---------------------------------------------------------------------------------------------------------


def test_marks_and_names():
    assert [initials(name) for name in ("Anneke de Vries", "王小明", "+49 170", "@luca", "", "  ", "😀", "ida")] == [
        "AV", "王", "41", "L", "·", "·", "·", "I",
    ]  # fmt: skip
    assert all(0 <= hue_of(str(i)) < 24 and 0 <= hue_step(i) < 24 for i in range(360))
    assert FACES.of("chn_gone", "telegram").label == "telegram"


def test_values_are_called_as_the_deployment_calls_them():
    names = ValueNames({"size": "Shoe size"}, {"stage": {"customer": "First order"}, "size": {"l": "Large"}})
    said = [names.value(*each) for each in (("stage", "customer"), ("stage", "old_one"), ("size", "l"), ("size", "x"))]
    assert said == ["First order", "Old one", "Large", "x"]
    assert (names.label("size"), names.label("home_town")) == ("Shoe size", "Home town")
    assert ValueNames().value("stage", "customer") == "customer"


def test_after_an_act_the_list_beside_is_the_one_that_was_there():
    came = "https://desk.example/inbox/cnv_1?view=all&label=refund&label=late&did=act_1&quote=msg_1"
    assert beside("cnv_2", came) == "/inbox/cnv_2?view=all&label=refund&label=late"
    assert beside("cnv_2", came, did="act_2").endswith("&did=act_2")
    assert beside("cnv_2", "") == "/inbox/cnv_2"
