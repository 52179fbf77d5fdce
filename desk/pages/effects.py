"""What an edited score or tier would do, as a picture with words: bars before and after, people as examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from desk.i18n import N_, Formats
from profiles.rfm import TierSettings
from profiles.scoring import GIFT, MANUAL
from profiles.valuing import Effect

WIDTH, HEIGHT = 320, 96
#: Names of the rules a deployment begins with; a rule that was given a name is called by it.
RULE_NAMES = (
    N_("Bought recently"), N_("Bought more than once"), N_("Began a checkout"), N_("Wrote to us"),
    N_("Clicked a link"), N_("Opened a mail"), N_("Read a message"), N_("Had an order refunded"),
    N_("Withdrew consent"), N_("Complained about a message"), N_("Blocked us or left"),
    N_("Not seen for half a year"),
)  # fmt: skip
TIER_NAMES = (N_("Key customer"), N_("Level 1"), N_("Level 2"), N_("Level 3"))


@dataclass(frozen=True)
class Bar:
    """One pair of bars; lengths in the picture's own units."""

    name: str
    before: int
    after: int
    before_height: float
    after_height: float
    x: float


@dataclass(frozen=True)
class Cause:
    """One part of a score."""

    points: str
    name: str


@dataclass(frozen=True)
class Example:
    """One person before and after."""

    id: str
    name: str
    before: str
    after: str
    changed: bool
    reasons: tuple[Cause, ...]


@dataclass(frozen=True)
class EffectView:
    """The whole picture. `told`: its words, for who cannot see it."""

    bars: tuple[Bar, ...]
    step: float
    sample: str
    people: str
    whole: bool
    moved: str
    risen: str
    fallen: str
    told: str
    examples: tuple[Example, ...]


def reasons_of(parts: Sequence[Mapping[str, Any]], formats: Formats) -> tuple[Cause, ...]:
    """The parts of a score in words."""
    return tuple(Cause(f"{each['points']:+d}".replace("-", "−"), _reason(each, formats)) for each in parts)


def _reason(part: Mapping[str, Any], formats: Formats) -> str:
    name, until = reason_name(part, formats), part.get("until")
    return formats.text(N_("%(reason)s, until %(day)s"), reason=name, day=formats.date(until)) if until else name


def reason_name(part: Mapping[str, Any], formats: Formats) -> str:
    """What a rule is called."""
    if part["rule_id"] == MANUAL or (part["rule_id"].startswith(GIFT) and not part["name"]):
        return formats.text(N_("Given by hand"))
    return formats.text(part["name"]) if part["name"] else str(part["rule_id"])


def tier_name(key: str | None, settings: TierSettings, formats: Formats) -> str:
    """What a tier is called here."""
    if not key:
        return formats.text(N_("No tier"))
    tier = settings.tier(key)
    if tier is None:
        return key.capitalize()
    said = tier.said(formats.language)
    return formats.text(said) if said == tier.name else said


async def tier_names(runtime: Any, formats: Formats) -> dict[str, str]:
    """Key → what the tier is called here."""
    settings = (await runtime.valuing.tiers()).settings
    return {each.key: tier_name(each.key, settings, formats) for each in settings.tiers}


def score_effect(effect: Effect, formats: Formats) -> EffectView:
    """Scores in tens."""
    examples = tuple(
        Example(
            each.profile.id, each.profile.display_name, str(each.before["score"]), str(each.after["score"]),
            each.before["score"] != each.after["score"], reasons_of(each.after["score_parts"], formats),
        )
        for each in effect.examples
    )  # fmt: skip
    return _view(effect, [name for name, _, _ in effect.bins], examples, formats)


def tier_effect(effect: Effect, settings: TierSettings, old: TierSettings, formats: Formats) -> EffectView:
    """Tiers from the best down, then those without."""

    def named(key: str | None) -> str:
        return tier_name(key, settings if not key or settings.tier(key) else old, formats)

    examples = tuple(
        Example(
            each.profile.id, each.profile.display_name, named(each.before["tier"]), named(each.after["tier"]),
            each.before["tier"] != each.after["tier"], marks_of(each.after["rfm"], formats),
        )
        for each in effect.examples
    )  # fmt: skip
    return _view(effect, [named(name) for name, _, _ in effect.bins], examples, formats)


def marks_of(rfm: Mapping[str, Any] | None, formats: Formats) -> tuple[Cause, ...]:
    """The three marks in words."""
    if not rfm:
        return (Cause("", formats.text(N_("Bought nothing yet"))),)
    words = (("r", N_("recency")), ("f", N_("frequency")), ("m", N_("money")))
    return tuple(Cause(str(rfm[key]), formats.text(word)) for key, word in words)


def _view(effect: Effect, names: Sequence[str], examples: tuple[Example, ...], formats: Formats) -> EffectView:
    most = max((max(before, after) for _, before, after in effect.bins), default=0) or 1
    step = WIDTH / max(1, len(effect.bins))
    bars = tuple(
        Bar(name, before, after, HEIGHT * before / most, HEIGHT * after / most, place * step)
        for place, (name, (_, before, after)) in enumerate(zip(names, effect.bins, strict=True))
    )
    pieces = [
        formats.text(N_("%(name)s: %(before)s before, %(after)s after"), name=bar.name, before=bar.before,
                     after=bar.after)
        for bar in bars
    ]  # fmt: skip
    number = formats.number
    return EffectView(
        bars, step, number(effect.sample), number(effect.people), effect.sample >= effect.people,
        number(effect.moved), number(effect.risen), number(effect.fallen), "; ".join(pieces), examples,
    )  # fmt: skip
