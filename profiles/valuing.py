"""Valuing customers: the settings of score and tiers, their effect before they are saved, and the appraisers.

Settings count from the moment they are saved: everybody is looked at again in the background, in parts that are marked
one after the other, so that a worker that dies leaves a sweep that goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.errors import Conflict, NotFound
from base.mongo import Document
from profiles import rfm, scoring, traits
from profiles.appraisal import Subject, Verdict
from profiles.models import Profile
from profiles.segments import EventFacts, ListedEvents, Needs, TagNames
from profiles.store.appraisals import BATCH
from profiles.store.events import EventStore
from profiles.store.profiles import ProfileStore, as_profile
from profiles.store.tags import TagStore
from profiles.store.value_settings import RHYTHM, SWEEP, Name, ValueSettingsStore

#: How many people an effect is computed on.
SAMPLE = 500
#: Everybody who is shown is the same for so long, so that a number moves because of a rule.
SAMPLE_LIFE = timedelta(seconds=90)
#: The deployment's rhythm is learned anew so often, from so many people.
LEARN_EVERY, LEARN_SAMPLE = timedelta(hours=12), 5000
#: A change of the learned rhythm by less is no reason to look at everybody again.
LEARN_STEP = 0.1
BINS = 10
WAITING_CAP = 100_000
#: Events read at once for a sample.
EVENTS_MAX = 50_000


@dataclass(frozen=True)
class Held:
    """Settings with their revision; 0: nobody has saved any, they are those a deployment begins with."""

    rev: int
    settings: Any
    at: datetime | None = None
    by: str | None = None
    undoable: bool = False


@dataclass(frozen=True)
class Progress:
    """How far the look at everybody after a change is."""

    running: bool
    done: int
    people: int
    started_at: datetime | None = None

    @property
    def percent(self) -> int:
        """0 to 100."""
        return min(100, self.done * 100 // self.people) if self.people else 100


@dataclass(frozen=True)
class Changed:
    """One person before and after."""

    profile: Profile
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Effect:
    """What settings would do to a sample of people. `bins`: (word, before, after); `moved`: who changes."""

    sample: int
    people: int
    bins: tuple[tuple[str, int, int], ...]
    moved: int
    risen: int
    fallen: int
    examples: tuple[Changed, ...] = ()


class Valuing:
    """The use cases."""

    def __init__(
        self, store: ValueSettingsStore, profiles: ProfileStore, events: EventStore, tags: TagStore, clock: Clock, *,
        zone: str = "UTC",
    ) -> None:  # fmt: skip
        self._store = store
        self._profiles = profiles
        self._events = events
        self._tags = tags
        self._clock = clock
        self.zone = zone
        self._shown: tuple[datetime, list[str]] | None = None

    # -- settings ----------------------------------------------------------------------------------------------------

    async def score(self) -> Held:
        """The rules of the score."""
        return _held(await self._store.get("score"), scoring.ScoreSettings, scoring.DEFAULT)

    async def tiers(self) -> Held:
        """Thresholds and tiers."""
        return _held(await self._store.get("tiers"), rfm.TierSettings, rfm.DEFAULT)

    async def save_score(self, given: Mapping[str, Any], rev: int | None = None, by: str | None = None) -> Held:
        """Save rules. `rev`: the revision they were made from; None takes whatever stands. Raises `WrongInput` with
        the path of each fault, `Conflict` when somebody saved meanwhile."""
        settings = scoring.read_settings(given)
        return await self._saved("score", await self.score(), settings, rev, by)

    async def save_tiers(self, given: Mapping[str, Any], rev: int | None = None, by: str | None = None) -> Held:
        """The same for tiers."""
        settings = rfm.read_settings(given)
        return await self._saved("tiers", await self.tiers(), settings, rev, by)

    async def undo(self, name: Name, rev: int, by: str | None = None) -> None:
        """Take the last change back. Raises `NotFound` when there is none, `Conflict` when it is not the last."""
        row = await self._store.get(name)
        if row is None or row["before"] is None:
            raise NotFound("There is nothing to take back.")
        if row["rev"] != rev or not await self._store.save(name, rev, row["before"], None, self._clock(), by):
            raise Conflict("Somebody has changed this meanwhile.", code="contended")

    async def suggest(self) -> rfm.TierSettings | None:
        """The tiers with thresholds taken from the deployment's own customers; None for too few who bought."""
        now, held = self._clock(), await self.tiers()
        rows = await self._store.sample({"orders.count": {"$gte": 1}}, LEARN_SAMPLE)
        bought = [
            rfm.Bought((now - row["orders"]["last_at"]) / timedelta(days=1), row["orders"]["count"],
                       row["orders"].get("revenue") or {})
            for row in rows if row["orders"].get("last_at")
        ]  # fmt: skip
        return rfm.suggested(bought, held.settings)

    async def _saved(self, name: Name, held: Held, settings: Any, rev: int | None, by: str | None) -> Held:
        if rev is not None and rev != held.rev:
            raise Conflict("Somebody has changed this meanwhile.", code="contended")
        if held.rev and settings == held.settings:
            return held
        before = held.settings.model_dump(mode="json")
        done = await self._store.save(name, held.rev, settings.model_dump(mode="json"), before, self._clock(), by)
        if not done:
            raise Conflict("Somebody has changed this meanwhile.", code="contended")
        return await (self.score() if name == "score" else self.tiers())

    async def tier_history(self, profile_id: str, limit: int = 20) -> list[rfm.Spell]:
        """The tiers of one person, the one of today first: read from what was told."""
        events = await self._events.find(profile_id, ["profile.tier_changed"], limit=limit)
        return rfm.spells([(each.occurred_at, each.properties) for each in events])

    # -- in the background -------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Mark the next part of the people who are to be looked at again; how many looks were taken (0 or 1).

        A worker that dies in between leaves a part that is marked twice.
        """
        row = await self._store.claim_sweep(self._clock())
        if row is None:
            return 0
        after = await self._profiles.appraisals.due_where({}, row["after"], limit=BATCH)
        await self._store.advance_sweep(row, after, BATCH if after else 0, self._clock())
        return 1

    async def progress(self) -> Progress:
        """How far everybody has been looked at since the last change."""
        row = await self._store.get(SWEEP)
        people = await self._store.people()
        if row is None:
            return Progress(False, people, people)
        waiting = await self._store.waiting(self._clock(), WAITING_CAP)
        marked = people if row["done"] else row["marked"]
        return Progress(not row["done"] or waiting > 0, max(0, marked - waiting), people, row["started_at"])

    async def learn(self) -> bool:
        """Learn the rhythm of orders anew where it is time; whether it was. The first time everybody is looked at."""
        now, row = self._clock(), await self._store.get(RHYTHM)
        if row is not None and now - row["at"] < LEARN_EVERY:
            return False
        rows = await self._store.sample({"orders.count": {"$gte": 2}}, LEARN_SAMPLE)
        gaps = [gap for each in rows if (gap := traits.own_gap_days(each)) is not None]
        rhythm, before = traits.learned(gaps), row["median_days"] if row else None
        news = row is None or not _near(before, rhythm.median_days)
        await self._store.keep_rhythm(rhythm.median_days if news else before, rhythm.people, now, news=news)
        return True

    # -- the effect before saving ------------------------------------------------------------------------------------

    async def score_effect(self, given: Mapping[str, Any] | None = None) -> Effect:
        """What these rules would do (None: those that stand). Raises `WrongInput` with paths."""
        old = scoring.score_card((await self.score()).settings)
        new = old if given is None else scoring.score_card(scoring.read_settings(given))
        names = await self._tags.names()
        old, new = old.with_tags(names), new.with_tags(names)
        rows, facts, now = await self._look(old.event_names() | new.event_names())
        pairs = [(row, _score(row, facts, old, now), _score(row, facts, new, now)) for row in rows]
        bins = tuple(
            (_bin(place), sum(_place(one.value) == place for _, one, _ in pairs),
             sum(_place(two.value) == place for _, _, two in pairs))
            for place in range(BINS)
        )  # fmt: skip
        risen = sum(one.value < old.hot and two.value >= new.hot for _, one, two in pairs)
        fallen = sum(one.value >= old.hot and two.value < new.hot for _, one, two in pairs)
        most = sorted(pairs, key=lambda each: (-abs(each[2].value - each[1].value), -each[2].value, each[0]["_id"]))
        examples = tuple(Changed(as_profile(row), _scored(one), _scored(two)) for row, one, two in most[:5])
        moved = sum(one.value != two.value for _, one, two in pairs)
        return Effect(len(rows), await self._store.people(), bins, moved, risen, fallen, examples)

    async def tier_effect(self, given: Mapping[str, Any] | None = None) -> Effect:
        """The same for tiers."""
        old = (await self.tiers()).settings
        new = old if given is None else rfm.read_settings(given)
        rows, _, now = await self._look(frozenset())
        looks = [(row, _stands(row, old, now), _stands(row, new, now)) for row in rows]
        keys = list(dict.fromkeys([*(each.key for each in new.tiers), *(each.key for each in old.tiers), ""]))
        order = {key: -place for place, key in enumerate(keys)}
        bins = tuple(
            (key, sum((one["tier"] or "") == key for _, one, _ in looks),
             sum((two["tier"] or "") == key for _, _, two in looks))
            for key in keys
        )  # fmt: skip
        moves = [(row, one, two) for row, one, two in looks if one["tier"] != two["tier"]]
        risen = sum(order.get(two["tier"] or "", 0) > order.get(one["tier"] or "", 0) for _, one, two in moves)
        rest = [each for each in looks if each[2]["rfm"] and each not in moves]
        examples = tuple(Changed(as_profile(row), one, two) for row, one, two in [*moves, *rest][:5])
        people = await self._store.people()
        return Effect(len(rows), people, bins, len(moves), risen, len(moves) - risen, examples)

    async def _look(self, names: frozenset[str]) -> tuple[list[Document], dict[str, EventFacts], datetime]:
        """The sample with what happened to it. Who has too many events for one read is looked at without."""
        now = self._clock()
        if self._shown is None or now - self._shown[0] > SAMPLE_LIFE:
            rows = await self._store.sample({}, SAMPLE)
            self._shown = (now, [row["_id"] for row in rows])
        rows = sorted(await self._store.rows(self._shown[1]), key=lambda row: str(row["_id"]))
        ids = [row["_id"] for row in rows]
        found = await self._events.facts(ids, names, EVENTS_MAX) if names and ids else {}
        while found is None:
            rows = rows[: len(rows) // 2]
            found = await self._events.facts([row["_id"] for row in rows], names, EVENTS_MAX)
        return rows, {row["_id"]: ListedEvents(found.get(row["_id"], ()), now) for row in rows}, now


def _held(row: Document | None, model: Any, default: Any) -> Held:
    if row is None:
        return Held(0, default)
    return Held(row["rev"], model.model_validate(row["settings"]), row["at"], row["by"], row["before"] is not None)


def _near(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= LEARN_STEP * one


def _place(score: int) -> int:
    return min(BINS - 1, score // BINS)


def _bin(place: int) -> str:
    return f"{place * BINS}–{place * BINS + (BINS - 1 if place < BINS - 1 else BINS)}"


def _score(
    row: Document, facts: Mapping[str, EventFacts], card: scoring.ScoreCard, now: datetime
) -> scoring.Score:  # fmt: skip
    return scoring.score_of(row, facts[row["_id"]], card, now)


def _scored(score: scoring.Score) -> dict[str, Any]:
    return {"score": score.value, "score_parts": [part.stored() for part in score.parts]}


def _stands(row: Mapping[str, Any], settings: rfm.TierSettings, now: datetime) -> dict[str, Any]:
    fields = rfm.ranked(row, settings, now).fields
    return {name: fields[name] for name in ("tier", "rfm", "tier_source")}


# -- appraisers ----------------------------------------------------------------------------------------------------


@dataclass
class Definitions:
    """What the appraisers go by, read once for all of them and parsed again only where it changed."""

    store: ValueSettingsStore
    tags: TagStore
    card: scoring.ScoreCard = field(default_factory=lambda: scoring.score_card(scoring.DEFAULT))
    tiers: rfm.TierSettings = field(default_factory=lambda: rfm.DEFAULT)
    rhythm: traits.Rhythm = field(default_factory=traits.Rhythm)
    _rules: scoring.ScoreCard = field(default_factory=lambda: scoring.score_card(scoring.DEFAULT))
    _names: TagNames = field(default_factory=TagNames)
    _revs: tuple[int, int] = (0, 0)

    async def read(self) -> None:
        """See what is stored by now."""
        rows = await self.store.all()
        revs = tuple(rows[name]["rev"] if name in rows else 0 for name in ("score", "tiers"))
        if revs[0] != self._revs[0]:
            self._rules = scoring.score_card(_held(rows.get("score"), scoring.ScoreSettings, scoring.DEFAULT).settings)
        if revs[1] != self._revs[1]:
            self.tiers = _held(rows.get("tiers"), rfm.TierSettings, rfm.DEFAULT).settings
        names = await self.tags.names()
        if revs[0] != self._revs[0] or names != self._names:
            self.card, self._names = self._rules.with_tags(names), names
        self._revs = (revs[0], revs[1])
        learned = rows.get(RHYTHM)
        self.rhythm = traits.Rhythm(learned["median_days"], learned["people"]) if learned else traits.Rhythm()


class ValueAppraiser:
    """One of the three: traits, score, tier, in this order."""

    def __init__(
        self, definitions: Definitions, needs: Callable[[Definitions], Needs],
        look: Callable[[Definitions, Subject, datetime], Verdict], *, reads: bool = False,
    ) -> None:  # fmt: skip
        """`reads`: the first of them reads for all."""
        self._definitions = definitions
        self._needs = needs
        self._look = look
        self._reads = reads

    async def prepare(self) -> None:
        """See `profiles.appraisal.Appraiser`."""
        if self._reads:
            await self._definitions.read()

    def event_needs(self) -> Needs:
        """See `profiles.appraisal.Appraiser`."""
        return self._needs(self._definitions)

    def appraise(self, subject: Subject, now: datetime) -> Verdict:
        """See `profiles.appraisal.Appraiser`."""
        return self._look(self._definitions, subject, now)


def appraisers(store: ValueSettingsStore, tags: TagStore, zone: str) -> list[ValueAppraiser]:
    """Traits, score, tier: each sees what the former ones found."""

    def about_traits(definitions: Definitions, subject: Subject, now: datetime) -> Verdict:
        events = [each for name in traits.NEEDS for each in subject.events.of(name)]
        found = traits.traits_of(subject.document, events, definitions.rhythm, zone, now)
        return Verdict({"traits": dict(found.fields)}, (), found.changes_at)

    def about_score(definitions: Definitions, subject: Subject, now: datetime) -> Verdict:
        found = scoring.scored(subject.document, subject.events, definitions.card, now)
        return Verdict(found.fields, found.events, found.again_at)

    def about_tier(definitions: Definitions, subject: Subject, now: datetime) -> Verdict:
        found = rfm.ranked(subject.document, definitions.tiers, now)
        return Verdict(found.fields, found.events, found.again_at)

    shared = Definitions(store, tags)
    return [
        ValueAppraiser(shared, lambda _: traits.NEEDS, about_traits, reads=True),
        ValueAppraiser(shared, lambda definitions: definitions.card.event_needs(), about_score),
        ValueAppraiser(shared, lambda _: {}, about_tier),
    ]
