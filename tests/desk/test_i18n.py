"""Both languages are complete, and times and numbers read as people write them."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from desk.assets import Assets
from desk.i18n import LANGUAGES, SOURCE, Formats, chosen_language, translations, zone_of
from desk.locales import gather
from desk.render import _environment

NOW = datetime(2026, 11, 22, 14, 32, tzinfo=UTC)
OTHERS = [language for language in LANGUAGES if language != SOURCE]
PLACE = re.compile(r"%\((\w+)\)s|\{(\w+)\}")


def _formats(language="en", zone="Europe/Amsterdam"):
    return Formats(language, ZoneInfo(zone), NOW)


@pytest.fixture(scope="module")
def said():
    """Everything that is said anywhere."""
    return [message for message in gather.template() if message.id]


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_missing_or_fuzzy(said, language):
    catalogue = gather.read(language)
    known = {message.id if isinstance(message.id, str) else message.id[0] for message in catalogue if message.id}
    wanted = {message.id if isinstance(message.id, str) else message.id[0] for message in said}
    assert sorted(wanted - known) == [], "run: python -m desk.locales.gather, then translate"
    assert gather.missing(catalogue) == []


@pytest.mark.parametrize("language", OTHERS)
def test_places_to_fill_in_are_the_same(language):
    for message in gather.read(language):
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string] if isinstance(message.string, str) else list(message.string)
        if message.id:
            names = {found for text in ids for found in PLACE.findall(text)}
            for text in strings:
                assert set(PLACE.findall(text)) == names, message.id
                text % {name: "x" for name, _ in names} if "python-format" in message.flags else None


def test_the_desk_itself_says_a_lot(said):
    assert len(said) > 500
    assert {"Inbox", "Reply", "Keyboard shortcuts", "Not sent: %(why)s"} <= {message.id for message in said}


@pytest.mark.parametrize(
    ("own", "accept", "wanted"),
    [
        ("zh_CN", "en", "zh_CN"), (None, "zh-TW,zh;q=0.9,en", "zh_CN"), (None, "de,en;q=0.5", "en"), (None, "", "en"),
        ("xx", "zh", "zh_CN"), (None, "fr", "en"),
    ],
)  # fmt: skip
def test_which_language_is_spoken(own, accept, wanted):
    assert chosen_language(own, accept) == wanted


def test_times_in_english_and_chinese():
    en, zh = _formats(), _formats("zh_CN", "Asia/Shanghai")
    early = NOW - timedelta(hours=20)
    assert (en.clock(NOW), zh.clock(NOW)) == ("15:32", "22:32")
    assert (en.day(NOW), en.day(early), zh.day(early)) == ("Today", "Yesterday", "今天")
    assert (en.date(NOW), zh.date(NOW)) == ("22 Nov", "11月22日")
    assert (en.date(NOW - timedelta(days=400)), zh.moment(NOW)) == ("18 Oct 2025", "2026年11月22日 22:32")
    assert (en.when(NOW), en.when(early)) == ("15:32", "21 Nov")


@pytest.mark.parametrize(
    ("seconds", "parts", "en", "zh"),
    [
        (-5, 1, "now", "刚刚"), (59, 1, "now", "刚刚"), (60, 1, "1m", "1分钟"), (3599, 1, "59m", "59分钟"),
        (3 * 3600 + 100, 1, "3h", "3小时"), (86400 * 6, 1, "6d", "6天"), (86400 * 15, 1, "2w", "2周"),
        (23 * 3600 + 46 * 60, 2, "23h 46m", "23小时 46分钟"), (86400 * 15, 2, "15d", "15天"),
        (86400 + 60, 2, "1d", "1天"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds, parts, en, zh):
    assert (_formats().span(seconds, parts), _formats("zh_CN").span(seconds, parts)) == (en, zh)


def test_money_and_numbers():
    en, zh = _formats(), _formats("zh_CN")
    assert (en.money(123450, "EUR"), zh.money(123450, "CNY"), en.money(500, "JPY")) == (
        "€1,234.50",
        "¥1,234.50",
        "¥500",
    )
    assert (en.number(12345), zh.number(12345)) == ("12,345", "12,345")


def test_plurals():
    one, many = "%(num)s day", "%(num)s days"
    assert [_formats().plural(one, many, n) for n in (1, 2)] == ["1 day", "2 days"]
    assert _formats("zh_CN").plural(one, many, 2) == "2 天"
    assert _formats().plural(one, many, 12345) == "12,345 days", "long numbers are read as everywhere else"


def test_pages_say_numbers_in_sentences_with_their_separators():
    for language, said in (("en", "<b>12,345 days</b>, 7"), ("zh_CN", "<b>12,345 天</b>, 7")):
        drawn = _environment(language, Assets()).from_string(
            "<b>{{ ngettext('%(num)s day', '%(num)s days', many) }}</b>, {{ ngettext('%(num)s', '%(num)s', 2, num=7) }}"
        )
        assert drawn.render(many=12345) == said


def test_the_clock_of_somebody_elsewhere_is_shown_only_when_it_differs():
    assert _formats().local_clock("Asia/Shanghai") == "22:32"
    assert _formats().local_clock("Europe/Berlin") is None
    assert _formats().local_clock(None) is None


def test_strange_zones_fall_back():
    assert str(zone_of("Mars/Base", "Europe/Berlin")) == "Europe/Berlin"
    assert str(zone_of("../../etc/passwd", "x")) == "UTC"


def test_english_is_the_source_itself():
    assert translations("en").gettext("Inbox") == "Inbox"
    assert translations("zh_CN").gettext("Inbox") == "收件箱"
