"""Public holidays by country and part of it, from the data of the `holidays` package. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

from holidays import country_holidays
from holidays.registry import EntityLoader

COUNTRIES: frozenset[str] = frozenset(EntityLoader.get_country_codes(include_aliases=False))


@dataclass(frozen=True)
class HolidayYear:
    """The holidays of one year with their names, and the days off that were swapped into workdays."""

    days: Mapping[date, str] = field(default_factory=dict)
    workdays: frozenset[date] = frozenset()


@lru_cache(maxsize=300)
def subdivisions_of(country: str) -> tuple[str, ...]:
    """Codes of the parts of a known country that have holidays of their own."""
    return tuple(country_holidays(country).subdivisions)


@lru_cache(maxsize=1000)
def holidays_of(country: str, subdivision: str | None, year: int, language: str = "") -> HolidayYear:
    """What a known country keeps. Names are in `language` where the data has it, else in one of the country's own.
    Years of which the data knows nothing have none."""
    spoken = _spoken(country, language)
    found = country_holidays(country, subdiv=subdivision, years=year, expand=False, language=spoken)
    workdays = frozenset(day for day in found.weekend_workdays if day.year == year)
    return HolidayYear({day: name for day, name in sorted(found.items()) if day.year == year}, workdays)


def _spoken(country: str, language: str) -> str | None:
    known: tuple[str, ...] = country_holidays(country).supported_languages
    head = language.partition("_")[0]
    exact = [each for each in known if each == language]
    close = [each for each in known if head and each.partition("_")[0] == head]
    return next(iter([*exact, *close]), None)
