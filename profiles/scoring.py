"""The score: how warm a person is, 0–100, added up from rules that each can be shown. Pure.

A rule of the one rule language gives or takes points while it holds. With a half-life the points of an event fade from
when it happened last. Points are whole at every moment, so the parts of a score always add up to it (before it is held
between 0 and 100). What people and journeys add by hand is a part of its own that does not fade; what is given for a
named reason, or for a time, is a part each (`score_gifts` of the profile).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator

from base.errors import FieldError, WrongInput
from profiles.models import Input, NewEvent
from profiles.segments import (
    EventFacts,
    Facts,
    Needs,
    Rule,
    TagNames,
    event_names,
    event_needs,
    joint_needs,
    matches_event,
    parse,
    with_tags,
)
from profiles.segments.outlook import outlook
from profiles.segments.rules import All, AnyOf, EventCount, FieldIs, InSegment, LastEvent, Not
from profiles.segments.span import Span

SCORE_MAX, POINTS_MAX, RULES_MAX = 100, 100, 50
#: What the part that was added by hand is called among the parts.
MANUAL = "manual"
#: Points given for a reason or a time: what their parts' ids begin with, and how many a person can have; of more the
#: oldest go.
GIFT, GIFTS_MAX = "gift-", 50
#: A change of the score is told when it comes to so much, or leads into another band.
TOLD_STEP = 10
WARM = 25
HOT = 50
#: Fields that the score itself decides, or what is decided after it: asking for them would go round in a circle.
_LATER = frozenset({"score", "tier", "tier_since", "updated_at"})
RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]
Duration = Annotated[str, StringConstraints(max_length=60)]
Band = Literal["cold", "warm", "hot"]


class ScoreRule(Input):
    """`points` while `rule` holds. `half_life`: an ISO 8601 duration after which half of them are left."""

    id: RuleId
    name: Annotated[str, StringConstraints(max_length=120)] = ""
    rule: dict[str, Any]
    points: int = Field(ge=-POINTS_MAX, le=POINTS_MAX)
    half_life: Duration | None = None


class ScoreSettings(Input):
    """The rules, in the order in which they are shown, and from which score on somebody is hot."""

    rules: list[ScoreRule] = Field(default_factory=list, max_length=RULES_MAX)
    hot: int = Field(HOT, ge=1, le=SCORE_MAX)

    @field_validator("rules", mode="after")
    @classmethod
    def _each_once(cls, rules: list[ScoreRule]) -> list[ScoreRule]:
        ids = [each.id for each in rules]
        doubled = sorted({each for each in ids if ids.count(each) > 1} | ({MANUAL} & set(ids)))
        if doubled:
            raise ValueError(f"the id {doubled[0]} is taken")
        return rules


@dataclass(frozen=True)
class ParsedRule:
    """A rule ready to be asked."""

    id: str
    name: str
    points: int
    rule: Rule
    half_life: timedelta | None = None


@dataclass(frozen=True)
class ScoreCard:
    """Settings ready to be used."""

    rules: tuple[ParsedRule, ...] = ()
    hot: int = HOT

    def event_names(self) -> frozenset[str]:
        """What must be known of a person to score them."""
        return frozenset().union(*(event_names(each.rule) for each in self.rules))

    def event_needs(self) -> Needs:
        """The same with how many of each are enough."""
        return joint_needs(event_needs(each.rule) for each in self.rules)

    def with_tags(self, names: TagNames) -> ScoreCard:
        """The same rules with all names of the tags they name."""
        return replace(self, rules=tuple(replace(each, rule=with_tags(each.rule, names)) for each in self.rules))


@dataclass(frozen=True)
class Part:
    """Why a score is what it is. `ends_at`: when these points become fewer by themselves."""

    rule_id: str
    name: str
    points: int
    ends_at: datetime | None = None
    #: When they all go, for points that were given for a time.
    until: datetime | None = None

    def stored(self) -> dict[str, Any]:
        """As it stands on the profile."""
        told = {"rule_id": self.rule_id, "name": self.name, "points": self.points}
        return {**told, "until": self.until} if self.until else told


@dataclass(frozen=True)
class Score:
    """A score with its reasons, those that weigh most first."""

    value: int
    parts: tuple[Part, ...] = ()
    #: When it may change although nothing happens.
    again_at: datetime | None = None


def score_card(settings: ScoreSettings, path: str = "rules") -> ScoreCard:
    """The rules read. Raises `WrongInput` with the path of each fault (`rules[2].rule.field`)."""
    faults: list[FieldError] = []
    rules: list[ParsedRule] = []
    for place, each in enumerate(settings.rules):
        at = f"{path}[{place}]"
        try:
            rules.append(_parsed(each, at))
        except WrongInput as error:
            faults += error.errors
    if faults:
        raise WrongInput("Some rules make no sense.", faults)
    return ScoreCard(tuple(rules), settings.hot)


def read_settings(given: Mapping[str, Any]) -> ScoreSettings:
    """Settings from JSON. Raises `WrongInput` with paths."""
    try:
        settings = ScoreSettings.model_validate(given)
    except ValidationError as error:
        raise WrongInput("These settings have faults.", field_errors(error)) from None
    score_card(settings)
    return settings


def field_errors(error: ValidationError) -> list[FieldError]:
    """Where pydantic found what, with paths as the API writes them."""
    found = []
    for each in error.errors():
        path = ""
        for key in each["loc"]:
            path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
        found.append(FieldError(path, each["msg"]))
    return found


def _parsed(given: ScoreRule, path: str) -> ParsedRule:
    rule = parse(given.rule, path=f"{path}.rule")
    faults = [FieldError(f"{path}.rule", said) for said in sorted(set(_circles(rule)))]
    half_life = None
    if given.half_life:
        half_life, said = _half_life(given.half_life, rule)
        if said:
            faults.append(FieldError(f"{path}.half_life", said))
    if faults:
        raise WrongInput("This rule makes no sense.", faults)
    return ParsedRule(given.id, given.name, given.points, rule, half_life)


def _half_life(text: str, rule: Rule) -> tuple[timedelta | None, str]:
    if not isinstance(rule, EventCount | LastEvent):
        return None, "only what happened can fade: the rule must be an event or last_event"
    try:
        span = Span.parse(text)
    except ValueError as error:
        return None, str(error)
    length = span.rest + timedelta(days=30 * span.months)
    return (length, "") if length >= timedelta(hours=1) else (None, "is shorter than an hour")


def _circles(rule: Rule) -> list[str]:
    match rule:
        case All(rules) | AnyOf(rules):
            return [each for inner in rules for each in _circles(inner)]
        case Not(inner):
            return _circles(inner)
        case InSegment():
            return ["cannot ask for a segment: segments are decided after the score"]
        case FieldIs(field=asked) if asked.name in _LATER or asked.name.startswith("rfm"):
            return [f"cannot ask for {asked.name}: it is decided after the score"]
        case _:
            return []


# -- one person ----------------------------------------------------------------------------------------------------


def points_now(points: int, happened: datetime | None, half_life: timedelta | None, now: datetime) -> int:
    """What is left of `points` since then, whole, never more than they were and never of the other sign."""
    if half_life is None or happened is None or happened >= now:
        return points
    left = abs(points) * 0.5 ** ((now - happened) / half_life)
    return int(math.copysign(math.floor(left + 0.5), points))


def fewer_at(points: int, happened: datetime | None, half_life: timedelta | None, now: datetime) -> datetime | None:
    """When `points_now` is the next smaller number; None when it stays."""
    left = abs(points_now(points, happened, half_life, now))
    if half_life is None or happened is None or left == 0:
        return None
    age = half_life * math.log2(abs(points) / (left - 0.5))
    return max(happened + age, now) + timedelta(seconds=1)


def score_of(document: Mapping[str, Any], events: EventFacts, card: ScoreCard, now: datetime) -> Score:
    """The score of one person with its reasons. Who is not to be profiled has none."""
    if document.get("profiling_off"):
        return Score(0)
    facts = Facts(document, events)
    looks = [(rule, *outlook(rule.rule, facts, now)) for rule in card.rules]
    parts = [part for rule, holds, _ in looks if holds and (part := _part(rule, events, now))]
    by_hand = manual_points(document)
    if by_hand:
        parts.append(Part(MANUAL, "", by_hand))
    parts += [_gift_part(each) for each in gifts_now(document, now)]
    parts.sort(key=lambda part: (-abs(part.points), part.rule_id))
    moments = [part.ends_at for part in parts] + [until for _, _, until in looks]
    again = min((each for each in moments if each is not None), default=None)
    return Score(capped(sum(part.points for part in parts)), tuple(parts), again)


def _part(rule: ParsedRule, events: EventFacts, now: datetime) -> Part | None:
    """What a rule that holds gives."""
    happened = last_time(rule.rule, events, now) if rule.half_life else None
    points = points_now(rule.points, happened, rule.half_life, now)
    ends = fewer_at(rule.points, happened, rule.half_life, now)
    return Part(rule.id, rule.name, points, ends) if points else None


def last_time(rule: Rule, events: EventFacts, now: datetime) -> datetime | None:
    """When what an event rule asks for happened last; None when it has not."""
    if isinstance(rule, LastEvent):
        return events.last(rule.event)
    if not isinstance(rule, EventCount):
        return None
    if not rule.where:
        return events.last(rule.event)
    fitting = (each for each in events.of(rule.event) if matches_event(rule.where, each, now))
    return max((each["occurred_at"] for each in fitting), default=None)


def capped(points: int) -> int:
    """Held between 0 and 100."""
    return max(0, min(SCORE_MAX, points))


def manual_points(document: Mapping[str, Any]) -> int:
    """What people and journeys added. Profiles from before there were rules have nothing else."""
    held = document.get("manual_points")
    if held is not None:
        return int(held)
    return 0 if document.get("score_parts") is not None else int(document.get("score") or 0)


def by_rules(document: Mapping[str, Any]) -> int:
    """What the rules gave when they were last asked, before capping."""
    return sum(part["points"] for part in document.get("score_parts") or () if part["rule_id"] != MANUAL)


def with_manual(document: Mapping[str, Any], points: int) -> dict[str, Any]:
    """The fields of a profile whose points by hand become `points`."""
    parts = [part for part in document.get("score_parts") or () if part["rule_id"] != MANUAL]
    if points:
        parts.append(Part(MANUAL, "", points).stored())
    return {
        "manual_points": points, "score": capped(by_rules(document) + points),
        "score_parts": sorted(parts, key=lambda part: (-abs(part["points"]), part["rule_id"])),
    }  # fmt: skip


def set_by_hand(document: Mapping[str, Any], score: int) -> dict[str, Any]:
    """The fields of a profile whose score shall be `score` now: the points by hand make up the difference."""
    return with_manual(document, score - by_rules(document))


def add_by_hand(document: Mapping[str, Any], points: int) -> dict[str, Any]:
    """The fields of a profile that gets so many points more by hand; adding leads no further than 100 either way."""
    before = manual_points(document)
    limit = max(SCORE_MAX, abs(before))
    return with_manual(document, max(-limit, min(limit, before + points)))


def gifts_now(document: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    """Points that were given for a reason or a time and still count: `{id, points, reason, at, until}`."""
    held = document.get("score_gifts") or ()
    return [dict(each) for each in held if each.get("until") is None or each["until"] > now]


def with_gift(
    document: Mapping[str, Any], points: int, reason: str, lasts: str | None, now: datetime
) -> dict[str, Any]:  # fmt: skip
    """The fields of a profile that gets so many points for a reason. `lasts`: an ISO 8601 duration after which they
    go."""
    until = now + gift_span(lasts) if lasts else None
    gift = {"id": f"{GIFT}{document['rev']}", "points": points, "reason": reason, "at": now, "until": until}
    gifts = [*gifts_now(document, now), gift][-GIFTS_MAX:]
    others = [part for part in document.get("score_parts") or () if not part["rule_id"].startswith(GIFT)]
    parts = [*others, *(_gift_part(each).stored() for each in gifts)]
    return {
        "score_gifts": gifts, "score": capped(sum(part["points"] for part in parts)),
        "score_parts": sorted(parts, key=lambda part: (-abs(part["points"]), part["rule_id"])),
        "manual_points": manual_points(document),
    }  # fmt: skip


def gift_span(text: str) -> timedelta:
    """How long such points last. Raises ValueError."""
    span = Span.parse(text)
    length = span.rest + timedelta(days=30 * span.months)
    if length < timedelta(hours=1):
        raise ValueError("is shorter than an hour")
    return length


def _gift_part(gift: Mapping[str, Any]) -> Part:
    return Part(gift["id"], gift["reason"], gift["points"], gift["until"], gift["until"])


# -- telling -------------------------------------------------------------------------------------------------------


def band_of(score: int, hot: int) -> Band:
    """`hot` from the threshold on, `warm` from half of it (at most 25) on, else `cold`."""
    if score >= hot:
        return "hot"
    return "warm" if score >= min(WARM, (hot + 1) // 2) and score > 0 else "cold"


def worth_telling(told: int, score: int, hot: int) -> bool:
    """Whether `profile.score_changed` is told: another band, or so many points since it was told last."""
    return band_of(told, hot) != band_of(score, hot) or abs(score - told) >= TOLD_STEP


@dataclass(frozen=True)
class Scored:
    """What an appraisal writes about the score."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[NewEvent, ...] = ()
    again_at: datetime | None = None


def scored(document: Mapping[str, Any], events: EventFacts, card: ScoreCard, now: datetime) -> Scored:
    """The score of one person as fields and the event that tells of it. `score_told`: what was told last."""
    score = score_of(document, events, card, now)
    fields: dict[str, Any] = {
        "score": score.value, "score_parts": [each.stored() for each in score.parts],
        "manual_points": manual_points(document),
    }  # fmt: skip
    gifts = gifts_now(document, now)
    if gifts != list(document.get("score_gifts") or ()):
        fields["score_gifts"] = gifts
    if document.get("profiling_off"):
        return Scored({**fields, "score_told": 0})
    told = document.get("score_told")
    told = int(document.get("score") or 0) if told is None else int(told)
    if not worth_telling(told, score.value, card.hot):
        return Scored(fields, (), score.again_at)
    fields["score_told"] = score.value
    properties = {
        "from": told, "to": score.value, "band_from": band_of(told, card.hot), "band": band_of(score.value, card.hot),
        "source": "rule", "by": None, "parts": fields["score_parts"][:5],
    }  # fmt: skip
    dedupe = f"profile.score_changed:appraised:{document['_id']}:{document['rev']}"
    event = NewEvent("profile.score_changed", dedupe, now, document["_id"], properties=properties)
    return Scored(fields, (event,), score.again_at)


def _rule(id: str, name: str, rule: Mapping[str, Any], points: int, half_life: str | None = None) -> ScoreRule:
    return ScoreRule(id=id, name=name, rule=dict(rule), points=points, half_life=half_life)


#: What a new deployment begins with. The names are message ids of the desk.
DEFAULT = ScoreSettings(
    rules=[
        _rule("bought", "Bought recently", {"event": "order.paid"}, 30, "P60D"),
        _rule("returned", "Bought more than once", {"field": "orders.count", "op": "gte", "value": 2}, 10),
        _rule("checkout", "Began a checkout", {"event": "checkout.started"}, 25, "P3D"),
        _rule("wrote", "Wrote to us", {"event": "message.received"}, 20, "P14D"),
        _rule("clicked", "Clicked a link", {"event": "message.clicked"}, 15, "P14D"),
        _rule("opened", "Opened a mail", {"event": "message.opened"}, 5, "P14D"),
        _rule("read", "Read a message", {"event": "message.read"}, 5, "P7D"),
        _rule("refunded", "Had an order refunded", {"event": "order.refunded"}, -10, "P90D"),
        _rule("refused", "Withdrew consent", {"event": "consent.denied"}, -20, "P180D"),
        _rule("complained", "Complained about a message", {"event": "message.complained"}, -40, "P365D"),
        _rule("left", "Blocked us or left", {"event": "contact.left"}, -40, "P180D"),
        _rule("silent", "Not seen for half a year", {"field": "last_seen_at", "op": "older_than", "value": "P180D"},
              -10),
    ]
)  # fmt: skip
