"""Languages: catalogues read from the `.po` files at start, and dates, ages, numbers and money as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from babel import Locale
from babel.dates import format_date, format_datetime, format_time
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_precision

FOLDER = Path(__file__).parent / "locales"
SOURCE = "en"
#: Code → name in its own words, in the order of the menu.
LANGUAGES = {"en": "English", "zh_CN": "简体中文"}
#: Names of all time zones there are.
ZONES = frozenset(available_timezones())


@lru_cache(maxsize=len(LANGUAGES))
def translations(language: str) -> NullTranslations:
    """The catalogue of a language, compiled in memory. English is written in the source itself."""
    if language == SOURCE:
        return NullTranslations()
    with (FOLDER / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def chosen_language(own: str | None, accept: str) -> str:
    """The person's own choice, else the first language of the browser that we speak, else English."""
    if own in LANGUAGES:
        return str(own)
    for part in accept.split(","):
        tag = part.split(";")[0].strip().lower()
        if tag.startswith("zh"):
            return "zh_CN"
        if tag.startswith("en"):
            return "en"
    return SOURCE


def N_(msgid: str) -> str:
    """Marks a sentence for the catalogue where it is only kept, not yet said."""
    return msgid


def NN_(one: str, many: str) -> tuple[str, str]:
    """The same for a sentence with a number in it."""
    return one, many


UNITS = ((604800, N_("%(n)sw")), (86400, N_("%(n)sd")), (3600, N_("%(n)sh")), (60, N_("%(n)sm")))


def zone_of(name: str | None, fallback: str = "UTC") -> ZoneInfo:
    """A zone by name; the fallback when the name is none."""
    for each in (name, fallback):
        try:
            return ZoneInfo(each or "")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return ZoneInfo("UTC")


class Formats:
    """How one person reads time and numbers: their language, their zone."""

    def __init__(self, language: str, zone: ZoneInfo, now: datetime, *, covers: frozenset[str] = frozenset()) -> None:
        """`covers`: what of customers this person is not shown (`desk.team.masking`)."""
        self.covers = covers
        self.language = language
        self.zone = zone
        self.now = now
        self._gettext = translations(language).gettext

    def text(self, msgid: str, given: Mapping[str, object] | None = None, /, **values: object) -> str:
        """A sentence of ours in this language, its `%(name)s` filled in."""
        found = self._gettext(msgid) if msgid else ""
        if given is not None:
            return found % given
        return found % values if values else found

    def plural(self, one: str, many: str, num: int) -> str:
        """The form that fits the number, which stands in it as `%(num)s`, with its separators."""
        return translations(self.language).ngettext(one, many, num) % {"num": self.number(num)}

    def clock(self, at: datetime) -> str:
        """Hour and minute."""
        return _clock(at.astimezone(self.zone).replace(second=0, microsecond=0, tzinfo=None), self.language)

    def day(self, at: datetime) -> str:
        """Today, Yesterday, else the date, with its year when it is another one."""
        there, today = at.astimezone(self.zone).date(), self.now.astimezone(self.zone).date()
        if there == today:
            return self._gettext("Today")
        if there == today - timedelta(days=1):
            return self._gettext("Yesterday")
        return _date(there, self.language, there.year == today.year)

    def day_long(self, at: datetime) -> str:
        """The date with its weekday."""
        return _date(at.astimezone(self.zone).date(), self.language, True)

    def day_full(self, at: datetime) -> str:
        """The date with weekday and year."""
        return _full_date(at.astimezone(self.zone).date(), self.language)

    def date(self, at: datetime) -> str:
        """A short date."""
        there = at.astimezone(self.zone).date()
        return _short_date(there, self.language, there.year == self.now.astimezone(self.zone).year)

    def moment(self, at: datetime) -> str:
        """Date and time in full, for hovering and logs."""
        return _moment(at.astimezone(self.zone).replace(second=0, microsecond=0, tzinfo=None), self.language)

    def when(self, at: datetime) -> str:
        """The clock for today, a date before and after: one short word for a list."""
        there, today = at.astimezone(self.zone).date(), self.now.astimezone(self.zone).date()
        return self.clock(at) if there == today else self.date(at)

    def age(self, at: datetime | None) -> str:
        """How long ago, in one unit: `now`, `4m`, `3h`, `6d`, `9w`."""
        return self.span((self.now - at).total_seconds()) if at else ""

    def until(self, at: datetime) -> str:
        """How long until then, in at most two units; `now` once it is past."""
        return self.span((at - self.now).total_seconds(), parts=2)

    def span(self, seconds: float, parts: int = 1) -> str:
        """A length of time in its `parts` largest units."""
        left = max(0, int(seconds))
        words: list[str] = []
        for size, msgid in UNITS:
            if left >= size and len(words) < parts and not (size == 604800 and parts > 1):
                words.append(self._gettext(msgid) % {"n": left // size})
                left %= size
            elif words:
                break
        return " ".join(words) or self._gettext("now")

    def number(self, value: float) -> str:
        """With the separators of the language."""
        return number_words(value, self.language)

    def money(self, amount_minor: int, currency: str) -> str:
        """An amount in minor units as money; currencies without cents keep their own count."""
        if "money" in self.covers:
            return "•••"
        return _money(amount_minor, currency, self.language)

    def local_clock(self, zone: str | None) -> str | None:
        """What time it is for somebody elsewhere; None when their zone is unknown or the same now."""
        if not zone:
            return None
        there = self.now.astimezone(zone_of(zone))
        return None if there.utcoffset() == self.now.astimezone(self.zone).utcoffset() else self._clock_of(there)

    def _clock_of(self, there: datetime) -> str:
        return _clock(there.replace(second=0, microsecond=0, tzinfo=None), self.language)


# Babel takes a third of a millisecond a call; lists repeat the same few values.


def number_words(value: float, language: str) -> str:
    """A number with the separators of the language."""
    return str(format_decimal(value, locale=language))


@lru_cache(maxsize=4096)
def _clock(naive: datetime, language: str) -> str:
    return str(format_time(naive.time(), "HH:mm", locale=language))


@lru_cache(maxsize=4096)
def _moment(naive: datetime, language: str) -> str:
    pattern = {"en": "d MMM y, HH:mm", "zh_CN": "y年M月d日 HH:mm"}[language]
    return str(format_datetime(naive, pattern, locale=language))


@lru_cache(maxsize=2048)
def _date(day: date, language: str, this_year: bool) -> str:
    pattern = {"en": "EEEE, d MMMM", "zh_CN": "M月d日 EEEE"}[language]
    return str(format_date(day, pattern if this_year else "long", locale=language))


@lru_cache(maxsize=2048)
def _full_date(day: date, language: str) -> str:
    pattern = {"en": "EEEE, d MMMM y", "zh_CN": "y年M月d日 EEEE"}[language]
    return str(format_date(day, pattern, locale=language))


@lru_cache(maxsize=2048)
def _short_date(day: date, language: str, this_year: bool) -> str:
    patterns = {"en": ("d MMM", "d MMM y"), "zh_CN": ("M月d日", "y年M月d日")}
    return str(format_date(day, patterns[language][0 if this_year else 1], locale=language))


@lru_cache(maxsize=4096)
def _money(amount_minor: int, currency: str, language: str) -> str:
    digits = get_currency_precision(currency)
    return str(format_currency(amount_minor / 10**digits, currency, locale=Locale.parse(language)))
