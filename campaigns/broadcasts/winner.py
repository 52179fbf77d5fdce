"""Which wording won, and why: decided once, from exact figures, in words that a person can check. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from campaigns.broadcasts.models import Metric, Trial

#: From here on a difference is said to be more than chance: 95 of 100.
BEYOND_CHANCE = 1.96


@dataclass(frozen=True)
class ArmResult:
    """What an arm has come to: how many were reached, and how many of them did what is counted."""

    name: str
    reached: int
    hits: int

    @property
    def share(self) -> float:
        """Of those reached, 0 to 1."""
        return self.hits / self.reached if self.reached else 0.0


@dataclass(frozen=True)
class Decision:
    """The winner. `why`: `won`, `too_small`, `draw` or `chosen`; `certain`: the difference is more than chance."""

    arm: str
    why: str
    certain: bool
    sentence: str


def decide(trial: Trial, results: Sequence[ArmResult]) -> Decision:
    """The winner of these results; with too few or none ahead the fallback."""
    by_name = {each.name: each for each in results}
    arms = [by_name.get(arm.name, ArmResult(arm.name, 0, 0)) for arm in trial.arms]
    small = [each for each in arms if each.reached < trial.min_sample]
    if small:
        figures = ", ".join(f"{each.name} reached {each.reached}" for each in small)
        sentence = (
            f"Too few people for a comparison ({figures}; {trial.min_sample} were asked for), "
            f"so {trial.fallback_name} goes to the rest."
        )
        return Decision(trial.fallback_name, "too_small", False, sentence)
    ranked = sorted(arms, key=lambda each: each.share, reverse=True)
    first, second = ranked[0], ranked[1]
    told = "; ".join(_told(each, trial.metric) for each in arms)
    if first.share == second.share:
        return Decision(trial.fallback_name, "draw", False, f"No arm is ahead ({told}): {trial.fallback_name} it is.")
    certain = z_score(first, second) >= BEYOND_CHANCE
    doubt = "more than chance" if certain else "it may be chance"
    return Decision(first.name, "won", certain, f"{first.name} is ahead ({told}); {doubt}.")


def z_score(first: ArmResult, second: ArmResult) -> float:
    """How many standard errors two shares are apart, by the pooled test of two proportions."""
    reached = first.reached + second.reached
    pooled = (first.hits + second.hits) / reached if reached else 0.0
    if not first.reached or not second.reached or pooled in (0.0, 1.0):
        return 0.0
    error = math.sqrt(pooled * (1 - pooled) * (1 / first.reached + 1 / second.reached))
    return abs(first.share - second.share) / error


def _told(result: ArmResult, metric: Metric) -> str:
    return f"{result.name}: {result.hits} of {result.reached} {metric} ({result.share:.1%})"


def figures_of(results: Sequence[ArmResult]) -> list[Mapping[str, object]]:
    """As they are kept beside the decision."""
    return [{"name": each.name, "reached": each.reached, "hits": each.hits} for each in results]
