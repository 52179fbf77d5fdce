"""What a review counts: who would get a broadcast and who not, by reason, channel and arm, with some of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.broadcasts.places import Place
from campaigns.broadcasts.ways import Way

#: Of each kind so many people are shown.
SAMPLE = 5
GETS = "gets"


def counted_in(found: Mapping[str, Any], places: Sequence[Place]) -> dict[str, Any]:
    """The figures with these people added: `{people, gets, late, skipped: {code: n}, reasons: {code: sentence},
    channels: {id: n}, arms: {name: n}, samples: {code: [profile]}}`."""
    names = ("skipped", "reasons", "channels", "arms", "samples")
    made: dict[str, Any] = {name: dict(found.get(name) or {}) for name in names}
    made |= {name: found.get(name, 0) for name in ("people", GETS, "late")}
    for place in places:
        made["people"] += 1
        made["late"] += place.turn.late
        if isinstance(place.way, Way):
            made[GETS] += 1
            _one_more(made["channels"], place.way.channel_id)
            if place.arm is not None:
                _one_more(made["arms"], place.arm)
            code = GETS
        else:
            code = place.way.code
            _one_more(made["skipped"], code)
            made["reasons"].setdefault(code, place.way.sentence)
        sample = made["samples"].setdefault(code, [])
        if len(sample) < SAMPLE:
            made["samples"][code] = [*sample, place.profile_id]
    return made


def _one_more(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1
