"""How customers are valued: the rules of the score and the tiers, with their effect before they are saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from base.errors import Conflict
from desk.api.contract import Call, Operations
from desk.api.profile_views import RfmView, ScorePartView
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, Time, View
from profiles import rfm, scoring
from profiles.valuing import Effect, Held, Progress

operations = Operations("score and tiers")
_REV = Field(None, ge=0, description="`rev` of what was read: 409 when somebody has saved since. Left out: no check.")


class ScoreRuleBody(Body):
    """Points for who matches a rule. `half_life`: an ISO 8601 duration after which half of an event's are left."""

    id: scoring.RuleId | None = Field(None, description="Stays with the rule; made where it is left out.")
    name: str = Field("", max_length=120)
    rule: dict[str, Any]
    points: int = Field(ge=-scoring.POINTS_MAX, le=scoring.POINTS_MAX)
    half_life: str | None = Field(None, max_length=60)


class ScoreRulesBody(Body):
    """All rules, and from which score on somebody is hot."""

    rules: list[ScoreRuleBody] = Field(max_length=scoring.RULES_MAX)
    hot: int = Field(scoring.HOT, ge=1, le=scoring.SCORE_MAX)


class ScoreRulesChange(ScoreRulesBody):
    """All rules, in place of those that stand."""

    rev: int | None = _REV


class LeastBody(Body):
    """What a customer of this tier reaches at least, mark by mark and in all."""

    r: int = Field(1, ge=1, le=5)
    f: int = Field(1, ge=1, le=5)
    m: int = Field(1, ge=1, le=5)
    total: int = Field(3, ge=3, le=15)


class TierBody(Body):
    """One tier. `locales`: its name in further languages."""

    key: rfm.TierKey
    name: rfm.Title
    locales: dict[rfm.LocaleCode, rfm.Title] = Field(default_factory=dict, max_length=60)
    least: LeastBody = Field(default_factory=LeastBody)


class TiersBody(Body):
    """Tiers from the best down, and the thresholds of the marks. What is left out is as a deployment begins with."""

    recency_days: rfm.Four | None = Field(None, description="At most so many days since the last order: 5, 4, 3, 2.")
    frequency: rfm.Four | None = Field(None, description="From so many orders on: 2, 3, 4, 5.")
    monetary: rfm.Four | None = Field(None, description="From so much revenue on, smallest unit: 2, 3, 4, 5.")
    currency: rfm.Currency | None = None
    tiers: list[TierBody] = Field(max_length=rfm.TIERS_MAX)


class TiersChange(TiersBody):
    """Tiers and thresholds, in place of those that stand."""

    rev: int | None = _REV


class ProgressView(View):
    """The look at everybody after a change."""

    running: bool
    done: int
    people: int


class SettingsView(View):
    """Since when and by whom. `rev` 0: nobody has changed anything yet."""

    rev: int
    updated_at: Time | None
    updated_by: str | None
    progress: ProgressView


class ScoreRuleView(View):
    """One rule."""

    id: str
    name: str
    rule: dict[str, Any]
    points: int
    half_life: str | None


class ScoreRulesView(SettingsView):
    """The rules that stand."""

    rules: list[ScoreRuleView]
    hot: int


class LeastView(View):
    """What a customer of this tier reaches at least."""

    r: int
    f: int
    m: int
    total: int


class TierView(View):
    """One tier."""

    key: str
    name: str
    locales: dict[str, str]
    least: LeastView


class ThresholdsView(View):
    """Thresholds and tiers."""

    recency_days: list[int]
    frequency: list[int]
    monetary: list[int]
    currency: str
    tiers: list[TierView]


class TiersView(SettingsView, ThresholdsView):
    """The tiers that stand."""


class BinView(View):
    """How many of the sample: scores from–to, or a tier (empty: none)."""

    name: str
    before: int
    after: int


class StandView(View):
    """What somebody would be."""

    score: int | None = None
    score_parts: list[ScorePartView] | None = None
    tier: str | None = None
    rfm: RfmView | None = None


class ExampleView(View):
    """One person of the sample."""

    profile_id: str
    name: str
    before: StandView
    after: StandView


class EffectView(View):
    """What it would do, computed on a sample. `risen`: become hot, or come into a better tier; `fallen`: the reverse.

    `changed`: whose score or tier is another one then.
    """

    sample: int
    people: int
    changed: int
    risen: int
    fallen: int
    bins: list[BinView]
    examples: list[ExampleView]


@operations("GET", "/score-rules", roles=["marketer"], returns=ScoreRulesView)
async def get_score_rules(call: Call) -> Any:
    """The rules of the score, and how far people were looked at again since they were changed."""
    return await _score_view(call, await call.runtime.valuing.score())


@operations("PUT", "/score-rules", roles=["marketer"], body=ScoreRulesChange, returns=ScoreRulesView)
async def change_score_rules(call: Call) -> Any:
    """Replace the rules. Everybody is scored anew in the background.

    Rules may not ask for what is decided after the score: score, tier, `rfm.*` and segments.
    """
    refuse_scoped(call)
    wanted = score_settings(call.body.model_dump(exclude={"rev"}))
    return await _score_view(call, await call.runtime.valuing.save_score(wanted, call.body.rev, call.principal.id))


@operations("POST", "/score-rules/preview", roles=["marketer"], body=ScoreRulesBody, returns=EffectView)
async def preview_score_rules(call: Call) -> Any:
    """What these rules would do, on a sample of people. Nothing is saved."""
    refuse_scoped(call)
    return effect_view(await call.runtime.valuing.score_effect(score_settings(call.body.model_dump())))


@operations("GET", "/tiers", roles=["marketer"], returns=TiersView)
async def get_tiers(call: Call) -> Any:
    """Tiers and thresholds, and how far people were looked at again since they were changed."""
    return await _tiers_view(call, await call.runtime.valuing.tiers())


@operations("PUT", "/tiers", roles=["marketer"], body=TiersChange, returns=TiersView)
async def change_tiers(call: Call) -> Any:
    """Replace tiers and thresholds. Everybody is looked at anew in the background; tiers that people gave stay."""
    refuse_scoped(call)
    wanted = _given(call.body.model_dump(exclude={"rev"}))
    return await _tiers_view(call, await call.runtime.valuing.save_tiers(wanted, call.body.rev, call.principal.id))


@operations("POST", "/tiers/preview", roles=["marketer"], body=TiersBody, returns=EffectView)
async def preview_tiers(call: Call) -> Any:
    """What these tiers would do, on a sample of people. Nothing is saved."""
    refuse_scoped(call)
    return effect_view(await call.runtime.valuing.tier_effect(_given(call.body.model_dump())))


@operations("GET", "/tiers/suggestion", roles=["marketer"], returns=ThresholdsView)
async def suggest_tiers(call: Call) -> Any:
    """The tiers with thresholds that part the deployment's own customers in fifths. 409 with too few who bought."""
    refuse_scoped(call)
    found = await call.runtime.valuing.suggest()
    if found is None:
        raise Conflict("There are too few customers who bought.", code="too_few")
    return ThresholdsView.model_validate(found.model_dump())


def score_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with an id for every rule: those that have none get the next free number."""
    rules: Sequence[Mapping[str, Any]] = given["rules"]
    taken = {each["id"] for each in rules if each["id"]}
    free = (name for number in range(1, 2 * scoring.RULES_MAX + 2) if (name := f"rule-{number}") not in taken)
    return {**given, "rules": [{**each, "id": each["id"] or next(free)} for each in rules]}


def _given(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def effect_view(effect: Effect) -> EffectView:
    """As programs see it."""
    examples = [
        ExampleView(profile_id=each.profile.id, name=each.profile.display_name,
                    before=StandView.model_validate(each.before), after=StandView.model_validate(each.after))
        for each in effect.examples
    ]  # fmt: skip
    bins = [BinView(name=name, before=before, after=after) for name, before, after in effect.bins]
    return EffectView(
        sample=effect.sample, people=effect.people, changed=effect.moved, risen=effect.risen, fallen=effect.fallen,
        bins=bins, examples=examples,
    )  # fmt: skip


async def _about(call: Call, held: Held) -> dict[str, Any]:
    progress: Progress = await call.runtime.valuing.progress()
    return {"rev": held.rev, "updated_at": held.at, "updated_by": held.by, "progress": progress}


async def _score_view(call: Call, held: Held) -> ScoreRulesView:
    return ScoreRulesView.model_validate({**held.settings.model_dump(), **await _about(call, held)})


async def _tiers_view(call: Call, held: Held) -> TiersView:
    return TiersView.model_validate({**held.settings.model_dump(), **await _about(call, held)})
