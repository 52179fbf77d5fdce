"""Settings of score and tiers on the real store: saved once, undone, applied to everybody in parts, shown before."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from base.errors import Conflict, NotFound, WrongInput
from profiles import rfm, scoring
from profiles.appraisal import Appraisal
from profiles.edit import ProfileEditor, ProfilePatch
from profiles.models import IdentityRef, NewEvent
from profiles.resolve import Reference
from profiles.store.tags import TagStore
from profiles.store.value_settings import SWEEP, ValueSettingsStore
from profiles.valuing import Valuing, appraisers
from tests.profiles.conftest import People


@dataclass
class Shop:
    people: People
    valuing: Valuing
    appraisal: Appraisal
    editor: ProfileEditor
    store: ValueSettingsStore
    number: int = 0

    async def customer(self, *, orders: int = 0, days_ago: float = 1, minor: int = 1000) -> str:
        self.number += 1
        ref = IdentityRef(kind="email", value=f"c{self.number}@example.com")
        (known,) = await self.people.resolver.identify([Reference([ref])])
        assert known is not None
        last = self.people.clock() - timedelta(days=days_ago)
        summary = {"count": orders, "revenue": {"EUR": minor}, "revenue_minor": [minor], "last_at": last,
                   "first_at": last - timedelta(days=10 * max(0, orders - 1))}  # fmt: skip
        if orders:
            await self.people.profiles.write(known.profile_id, {"orders": summary})
        return known.profile_id

    async def happens(self, profile_id: str, name: str, **properties: Any) -> None:
        self.number += 1
        event = NewEvent(name, f"{name}:{self.number}", self.people.clock(), profile_id, properties=properties)
        await self.people.events.record([event])
        await self.appraisal.hear(await self.people.events.find(profile_id, [name]))

    async def settle(self) -> None:
        while await self.valuing.sweep():
            pass
        while await self.appraisal.drain(200):
            pass

    async def of(self, profile_id: str) -> dict[str, Any]:
        return (await self.people.profiles.documents([profile_id]))[profile_id]

    async def told(self, profile_id: str, name: str) -> list[dict[str, Any]]:
        return [event.properties for event in reversed(await self.people.events.find(profile_id, [name]))]


@pytest.fixture
async def shop(people: People) -> AsyncIterator[Shop]:
    for name in ("profiles", "identities", "events", "value_settings"):
        await people.db.collection(name).delete_many({})
    store = ValueSettingsStore(people.db)
    valuing = Valuing(store, people.profiles, people.events, TagStore(people.db), people.clock)
    appraisal = Appraisal(
        people.db, people.profiles, people.events, people.clock, appraisers(store, TagStore(people.db), "UTC")
    )
    editor = ProfileEditor(people.profiles, people.events, people.resolver, people.db, people.clock)
    yield Shop(people, valuing, appraisal, editor, store)


async def test_what_happens_makes_score_and_time_takes_it(shop: Shop) -> None:
    anna = await shop.customer()
    await shop.happens(anna, "order.paid")
    await shop.happens(anna, "checkout.started")
    await shop.settle()
    row = await shop.of(anna)
    assert row["score"] == 55 and [part["rule_id"] for part in row["score_parts"]] == ["bought", "checkout"]
    (told,) = await shop.told(anna, "profile.score_changed")
    assert (told["from"], told["to"], told["band_from"], told["band"]) == (0, 55, "cold", "hot")
    shop.people.clock.forward(days=3)
    await shop.settle()
    row = await shop.of(anna)
    assert [part["points"] for part in row["score_parts"]] == [29, 13] and row["score"] == 42
    assert [each["to"] for each in await shop.told(anna, "profile.score_changed")] == [55, 42]
    shop.people.clock.forward(days=400)
    await shop.settle()
    assert (await shop.of(anna))["score"] == 0


async def test_points_by_hand_stay_beside_the_rules(shop: Shop) -> None:
    ben = await shop.customer()
    await shop.happens(ben, "order.paid")
    await shop.settle()
    await shop.editor.patch(ben, ProfilePatch(score_add=15))
    await shop.editor.patch(ben, ProfilePatch(score_add=15), key="run:1")
    await shop.editor.patch(ben, ProfilePatch(score_add=15), key="run:1")
    await shop.settle()
    row = await shop.of(ben)
    assert (row["score"], row["manual_points"]) == (60, 30)
    await shop.editor.patch(ben, ProfilePatch(score=20))
    await shop.settle()
    row = await shop.of(ben)
    assert (row["score"], row["manual_points"]) == (20, -10)
    assert sum(part["points"] for part in row["score_parts"]) == 20


async def test_points_for_a_reason_and_a_time_are_a_part_and_go_by_themselves(shop: Shop) -> None:
    ben = await shop.customer()
    await shop.happens(ben, "order.paid")
    await shop.settle()
    quiz = ProfilePatch(score_add=25, score_reason="Answered the quiz", score_for="P10D")
    for _ in range(2):
        await shop.editor.patch(ben, quiz, key="run:1")
    await shop.editor.patch(ben, ProfilePatch(score_add=5, score_reason="Met at the fair"))
    await shop.editor.patch(ben, ProfilePatch(score_add=3))
    await shop.settle()
    row = await shop.of(ben)
    parts = {part["name"] or part["rule_id"]: part["points"] for part in row["score_parts"]}
    assert (parts["Answered the quiz"], parts["Met at the fair"], parts["manual"]) == (25, 5, 3)
    assert sum(parts.values()) == row["score"] and row["manual_points"] == 3
    told = [each for each in await shop.told(ben, "profile.score_changed") if each.get("reason")]
    assert sorted(each["reason"] for each in told) == ["Answered the quiz", "Met at the fair"]
    shop.people.clock.forward(days=9)
    await shop.settle()
    assert "Answered the quiz" in {part["name"] for part in (await shop.of(ben))["score_parts"]}
    shop.people.clock.forward(days=2)
    await shop.settle()
    row = await shop.of(ben)
    assert {part["name"] for part in row["score_parts"]} >= {"Met at the fair"}
    assert "Answered the quiz" not in {part["name"] for part in row["score_parts"]}
    assert [each["reason"] for each in row["score_gifts"]] == ["Met at the fair"]
    assert sum(part["points"] for part in row["score_parts"]) == row["score"]


@pytest.mark.parametrize(
    "wrong", [{"score_reason": "x"}, {"score_for": "P1D"}, {"score_add": 1, "score_for": "soon"},
              {"score_add": 1, "score_for": "PT5M"}, {"score": 3, "score_reason": "x"}],
)  # fmt: skip
def test_a_reason_or_a_time_belongs_to_points_that_are_added(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ProfilePatch.model_validate(wrong)


async def test_a_score_from_before_there_were_rules_is_kept(shop: Shop) -> None:
    old = await shop.customer()
    await shop.people.profiles.write(old, {"score": 35, "tier": "gold"})
    await shop.settle()
    row = await shop.of(old)
    assert (row["score"], row["manual_points"], row["tier"], row["tier_source"]) == (35, 35, "gold", "person")


async def test_tiers_move_and_a_person_has_the_last_word(shop: Shop) -> None:
    cleo = await shop.customer(orders=12, days_ago=3, minor=200_000)
    await shop.settle()
    assert (await shop.of(cleo))["tier"] == "vip" and (await shop.of(cleo))["rfm"]["code"] == "555"
    shop.people.clock.forward(hours=1)
    await shop.editor.patch(cleo, ProfilePatch(tier="level2"), by="usr_1")
    await shop.settle()
    assert (await shop.of(cleo))["tier"] == "level2"
    shop.people.clock.forward(hours=1)
    await shop.editor.patch(cleo, ProfilePatch(tier=None), by="usr_1")
    assert (await shop.of(cleo))["tier"] == "vip"
    shop.people.clock.forward(days=400)
    await shop.settle()
    assert (await shop.of(cleo))["tier"] == "level2" and (await shop.of(cleo))["rfm"]["code"] == "155"
    told = await shop.told(cleo, "profile.tier_changed")
    assert [(each["from"], each["to"], each["source"]) for each in told] == [
        (None, "vip", "rule"), ("vip", "level2", "person"), ("level2", "vip", "person"),
        ("vip", "level2", "rule"),
    ]  # fmt: skip


async def test_settings_are_saved_once_and_taken_back(shop: Shop) -> None:
    assert (await shop.valuing.score()).rev == 0
    wanted = {"hot": 60, "rules": [{"id": "a", "name": "", "rule": {"event": "order.paid"}, "points": 70}]}
    first = await shop.valuing.save_score(wanted, 0, "usr_1")
    assert (first.rev, first.undoable, first.settings.hot) == (1, True, 60)
    with pytest.raises(Conflict):
        await shop.valuing.save_score(wanted | {"hot": 61}, 0)
    assert (await shop.valuing.save_score(wanted)).rev == 1
    with pytest.raises(WrongInput):
        await shop.valuing.save_score({"rules": [{"id": "a", "rule": {"what": 1}, "points": 1}]})
    await shop.valuing.undo("score", 1)
    back = await shop.valuing.score()
    assert back.settings == scoring.DEFAULT and back.rev == 2 and not back.undoable
    with pytest.raises(NotFound):
        await shop.valuing.undo("score", 2)


async def test_everybody_is_looked_at_again_in_parts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiles.valuing.BATCH", 3)
    everybody = [await shop.customer(orders=1) for _ in range(8)]
    await shop.settle()
    assert not (await shop.valuing.progress()).running
    tiers = rfm.DEFAULT.model_copy(update={"tiers": [rfm.Tier(key="all", name="All")]})
    await shop.valuing.save_tiers(tiers.model_dump(mode="json"))
    assert await shop.valuing.sweep() == 1
    half = await shop.valuing.progress()
    assert half.running and half.percent < 100
    # a worker dies between marking and writing down how far it came: the part is marked again, nothing is lost
    row = await shop.store.claim_sweep(shop.people.clock())
    assert row is not None and await shop.valuing.sweep() == 0
    shop.people.clock.forward(seconds=31)
    await shop.settle()
    assert {(await shop.of(each))["tier"] for each in everybody} == {"all"}
    assert not (await shop.valuing.progress()).running
    for each in everybody:
        assert [told["to"] for told in await shop.told(each, "profile.tier_changed")][-1] == "all"


async def test_a_newer_change_begins_the_look_anew(shop: Shop) -> None:
    for _ in range(2):
        await shop.customer(orders=1)
    await shop.valuing.save_score({"rules": [], "hot": 50})
    row = await shop.store.claim_sweep(shop.people.clock())
    assert row is not None
    await shop.valuing.save_score({"rules": [], "hot": 60})
    await shop.store.advance_sweep(row, None, 0, shop.people.clock())
    fresh = await shop.store.get(SWEEP)
    assert fresh is not None and not fresh["done"] and fresh["turn"] == row["turn"] + 1


async def test_an_effect_shows_before_and_after(shop: Shop) -> None:
    warm = [await shop.customer(orders=1) for _ in range(3)]
    await shop.customer()
    for each in warm:
        await shop.happens(each, "order.paid")
    await shop.settle()
    effect = await shop.valuing.score_effect({"rules": [
        {"id": "bought", "rule": {"event": "order.paid"}, "points": 80},
    ]})  # fmt: skip
    assert (effect.sample, effect.risen, effect.fallen, effect.moved) == (4, 3, 0, 3)
    assert sum(before for _, before, _ in effect.bins) == sum(after for _, _, after in effect.bins) == 4
    assert effect.examples[0].before["score"] == 30 and effect.examples[0].after["score"] == 80
    assert (await shop.of(warm[0]))["score"] == 30
    tiers = rfm.DEFAULT.model_copy(update={"tiers": [rfm.Tier(key="all", name="All")]})
    effect = await shop.valuing.tier_effect(tiers.model_dump(mode="json"))
    assert effect.moved == 3 and {key: after for key, _, after in effect.bins}["all"] == 3
    with pytest.raises(WrongInput):
        await shop.valuing.score_effect({"rules": [{"id": "x"}]})


async def test_suggestions_and_the_rhythm_come_from_the_own_customers(shop: Shop) -> None:
    assert await shop.valuing.suggest() is None
    for place in range(20):
        await shop.customer(orders=1 + place % 4, days_ago=10 * place, minor=1000 * (place + 1))
    found = await shop.valuing.suggest()
    assert found is not None and found.currency == "EUR" and found.recency_days == [40, 80, 120, 160]
    assert await shop.valuing.learn() and not await shop.valuing.learn()
    await shop.settle()
    once = next(row for row in await shop.store.sample({"orders.count": 1}, 1))
    assert (once["traits"]["next_order_by"], once["traits"]["orders"]) == ("everybody", 1)


async def test_who_is_not_to_be_profiled_is_let_be(shop: Shop) -> None:
    dora = await shop.customer(orders=12, minor=200_000)
    await shop.happens(dora, "order.paid")
    await shop.settle()
    assert (await shop.of(dora))["score"] > 0
    await shop.people.profiles.write(dora, {"profiling_off": True})
    await shop.settle()
    row = await shop.of(dora)
    assert (row["score"], row["score_parts"], row["rfm"], row["traits"], row["tier"]) == (0, [], None, {}, None)
