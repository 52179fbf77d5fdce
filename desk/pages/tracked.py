"""Shares of those a message was sent to, as people read them; and “not tracked” where nobody counts. Pure.

Opens and clicks are counted only where the workspace chose so: a nought there would say that nobody did.
"""

from __future__ import annotations

from collections.abc import Collection

from desk.i18n import N_, Formats

#: What is counted only where it is tracked.
BY_TRACKING = frozenset({"opened", "clicked"})
NOT_TRACKED = N_("not tracked")
#: In place of a number that nobody counts.
NOTHING = "–"


def uncounted(name: str, count: int, tracked: Collection[str]) -> bool:
    """Whether a nought means only that nobody counts. What was counted before tracking was switched off is told."""
    return name in BY_TRACKING and not count and name not in tracked


def number_or(name: str, count: int, tracked: Collection[str], formats: Formats) -> str:
    """The number, or that there is none."""
    return NOTHING if uncounted(name, count, tracked) else formats.number(count)


def share_or(name: str, count: int, sent: int, tracked: Collection[str], formats: Formats) -> str:
    """The share of those it was sent to, or that it is not tracked."""
    if uncounted(name, count, tracked):
        return formats.text(NOT_TRACKED)
    return percent(count, sent, formats)


def percent(part: float, whole: float, formats: Formats) -> str:
    """A share in percent with one digit."""
    return formats.text(N_("%(percent)s %%"), percent=formats.number(round(100 * part / whole, 1) if whole else 0))
