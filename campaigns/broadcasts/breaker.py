"""When too much goes wrong, a broadcast stops by itself. Pure.

Figures are exact counts of people, so nobody's repeated failure counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from campaigns.policies.models import BreakerRule

#: Snapshots are so far apart at least; those within the rule's minutes are kept.
APART = timedelta(seconds=15)


def noted(
    ring: Sequence[Mapping[str, Any]], failed: int, ended: int, now: datetime, rule: BreakerRule
) -> list[dict[str, Any]]:
    """The snapshots with one of now: of those older than the window only the newest is kept."""
    rows = [dict(each) for each in ring]
    if not rows or now - rows[-1]["at"] >= APART:
        rows.append({"at": now, "failed": failed, "ended": ended})
    old = [each for each in rows if each["at"] <= now - rule.within]
    return [*old[-1:], *(each for each in rows if each["at"] > now - rule.within)]


def trips(ring: Sequence[Mapping[str, Any]], failed: int, ended: int, rule: BreakerRule) -> tuple[int, int] | None:
    """(failed, ended) since the oldest snapshot when that is too much; None while all is well."""
    before = ring[0] if ring else {"failed": 0, "ended": 0}
    lost, all_ = failed - before["failed"], ended - before["ended"]
    return (lost, all_) if rule.trips(lost, all_) else None
