"""What a journey or broadcast has moved: those who got it against those held out, with the uncertainty said. Pure.

- share of buyers: the interval of Newcombe for the difference of two proportions, from Wilson's for each
  (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8%3C873::AID-SIM779%3E3.0.CO;2-I, method 10)
- money per person: Welch's interval for the difference of two means, with the degrees of freedom of Satterthwaite
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

#: Of a hundred intervals so many hold the truth.
CONFIDENCE = 0.95
#: With fewer people in either group, or fewer buyers in both, nothing is said.
LEAST_PEOPLE, LEAST_BUYERS = 30, 10
Verdict = Literal["more", "less", "cannot_tell", "too_few"]


@dataclass(frozen=True)
class Bought:
    """What a group comes to: `mean` minor units per person."""

    people: int
    buyers: int
    mean: float

    @property
    def rate(self) -> float:
        """Share of buyers, 0 to 1."""
        return self.buyers / self.people if self.people else 0.0


@dataclass(frozen=True)
class Group:
    """What people have spent, one figure each, 0 for who bought nothing; `buyers` of them bought."""

    spent: Sequence[int]
    buyers: int

    @property
    def people(self) -> int:
        """How many there are."""
        return len(self.spent)

    def summed(self) -> Bought:
        """What it comes to."""
        return Bought(self.people, self.buyers, sum(self.spent) / self.people if self.people else 0.0)


@dataclass(frozen=True)
class Difference:
    """Treated less held out, with its interval."""

    value: float
    low: float
    high: float
    verdict: Verdict


@dataclass(frozen=True)
class Lift:
    """Both groups and both differences."""

    treated: Bought
    held_out: Bought
    rate: Difference
    mean: Difference


def lift_of(treated: Group, held_out: Group) -> Lift:
    """The comparison, and whether anything can be told from it."""
    few = min(treated.people, held_out.people) < LEAST_PEOPLE or treated.buyers + held_out.buyers < LEAST_BUYERS
    rate = proportions(treated.buyers, treated.people, held_out.buyers, held_out.people)
    mean = welch(treated.spent, held_out.spent)
    return Lift(treated.summed(), held_out.summed(), _judged(rate, few=few), _judged(mean, few=few))


def proportions(hits: int, people: int, other_hits: int, others: int) -> tuple[float, float, float]:
    """(difference of the shares, its lower and upper end)."""
    if not people or not others:
        return 0.0, -1.0, 1.0
    first, second = hits / people, other_hits / others
    low, high = wilson(hits, people)
    other_low, other_high = wilson(other_hits, others)
    value = first - second
    return (
        value,
        value - math.hypot(first - low, other_high - second),
        value + math.hypot(high - first, second - other_low),
    )


def wilson(hits: int, people: int) -> tuple[float, float]:
    """The interval of one share."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = hits / people
    middle = (share + z * z / (2 * people)) / (1 + z * z / people)
    half = z * math.sqrt(share * (1 - share) / people + z * z / (4 * people * people)) / (1 + z * z / people)
    return max(0.0, middle - half), min(1.0, middle + half)


def welch(first: Sequence[int], second: Sequence[int]) -> tuple[float, float, float]:
    """(difference of the means, its lower and upper end); no end where a group has fewer than two."""
    if len(first) < 2 or len(second) < 2:
        return 0.0, -math.inf, math.inf
    value = sum(first) / len(first) - sum(second) / len(second)
    shares = [_variance(group) / len(group) for group in (first, second)]
    if not sum(shares):
        return value, value, value
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(group) - 1) for share, group in zip(shares, (first, second), strict=True)
    )
    half = t_quantile((1 + CONFIDENCE) / 2, freedom) * math.sqrt(sum(shares))
    return value, value - half, value + half


def t_quantile(share: float, freedom: float) -> float:
    """Where so much of Student's distribution lies to the left; `share` above one half."""
    low, high = 0.0, 1.0
    while t_share(high, freedom) < share:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def t_share(t: float, freedom: float) -> float:
    """How much of Student's distribution lies to the left of `t`, which is not below 0."""
    return 1 - incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by Lentz's continued fraction (https://dlmf.nist.gov/8.17.E22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny, c, d = 1e-300, 1.0, 1 / (1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + factor * d) or tiny)
            c = (1 + factor / c) or tiny
            found *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * found


def _variance(values: Sequence[int]) -> float:
    mean = sum(values) / len(values)
    return math.fsum((each - mean) ** 2 for each in values) / (len(values) - 1)


def _judged(found: tuple[float, float, float], *, few: bool) -> Difference:
    value, low, high = found
    verdict: Verdict = "too_few" if few else "more" if low > 0 else "less" if high < 0 else "cannot_tell"
    return Difference(value, low, high, verdict)
