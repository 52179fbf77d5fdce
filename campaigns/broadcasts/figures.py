"""The figures of a broadcast, made of exact counts of its rows in the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from campaigns.broadcasts.models import Trial
from campaigns.broadcasts.winner import ArmResult
from inbox.store.mailings import Tally

#: States in which it came to the provider, and how far each counts: who has read it was reached, too.
_REACHED = {
    "accepted": ("accepted",), "delivered": ("accepted", "delivered"), "read": ("accepted", "delivered", "read"),
}  # fmt: skip
_WAITING = frozenset({"planned", "deferred", "claimed"})
NAMES = (
    "people", "waiting", "handed", "accepted", "delivered", "read", "failed", "unknown", "skipped", "opened", "clicked",
    "unsubscribed",
)  # fmt: skip


def counts_of(tallies: Iterable[Tally]) -> dict[str, Any]:
    """Each name of `NAMES` as people, `reasons` by code for who got nothing, `arms` by name, and `retried`: attempts
    that were followed by another. Each person counts once, by their last attempt."""
    made: dict[str, Any] = dict.fromkeys(NAMES, 0)
    reasons: dict[str, int] = {}
    arms: dict[str, dict[str, int]] = {}
    retried = ended = lost = 0
    for each in tallies:
        ended += each.count if each.state in (*_REACHED, "failed", "unknown") else 0
        lost += each.count if each.state in ("failed", "unknown") else 0
        if each.again:
            retried += each.count
            continue
        own = [made]
        if each.arm:
            own.append(arms.setdefault(each.arm, dict.fromkeys(NAMES, 0)))
        for counts in own:
            _add(counts, each)
        if each.state in ("skipped", "failed", "unknown") and each.reason:
            reasons[each.reason] = reasons.get(each.reason, 0) + each.count
    return made | {"reasons": reasons, "arms": arms, "retried": retried, "ended": ended, "lost": lost}


def _add(counts: dict[str, int], tally: Tally) -> None:
    counts["people"] += tally.count
    counts["opened"] += tally.opened
    counts["clicked"] += tally.clicked
    counts["unsubscribed"] += tally.left
    if tally.state in _WAITING:
        counts["waiting"] += tally.count
    for name in _REACHED.get(tally.state, (tally.state,)):
        if name in counts:
            counts[name] += tally.count


def results_of(trial: Trial, counts: dict[str, Any]) -> list[ArmResult]:
    """What each arm has come to by the trial's metric."""
    found = []
    for arm in trial.arms:
        own = counts["arms"].get(arm.name) or dict.fromkeys(NAMES, 0)
        found.append(ArmResult(arm.name, own["accepted"], own[trial.metric]))
    return found


def adds_up(counts: dict[str, Any]) -> bool:
    """Every person is somewhere, and nobody in two places."""
    parts: Sequence[str] = ("waiting", "handed", "accepted", "failed", "unknown", "skipped")
    return bool(sum(counts[part] for part in parts) == counts["people"])
