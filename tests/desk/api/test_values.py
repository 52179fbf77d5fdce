"""Score rules and tiers over the API: read, shown before, saved, and what a profile then says."""

from typing import Any

import pytest

from profiles.models import NewEvent
from tests.desk.api.conftest import World
from tests.desk.api.test_resources import ask


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """These tests change what everybody is measured by."""
    return own_world


async def settle(runtime: Any) -> None:
    while await runtime.valuing.sweep():
        pass
    while await runtime.appraisal.drain(200):
        pass


async def test_score_rules(world: World) -> None:
    person = world.ours.profile
    event = NewEvent("order.paid", "order.paid:test-values", world.runtime.clock(), person)
    await world.runtime.events.record([event])
    async with world.client("marketer") as client:
        held = await ask(client, "GET", "/score-rules")
        assert held["rev"] == 0 and held["hot"] == 50 and held["rules"][0]["id"] == "bought"
        wanted = {"hot": 40, "rules": [
            {"name": "Paid", "rule": {"event": "order.paid", "within": "P30D"}, "points": 60, "half_life": "P10D"},
            {"name": "Gone", "rule": {"field": "last_seen_at", "op": "older_than", "value": "P900D"}, "points": -5},
        ]}  # fmt: skip
        shown = await ask(client, "POST", "/score-rules/preview", wanted)
        assert shown["sample"] >= 2 and shown["changed"] >= 1 and len(shown["bins"]) == 10
        assert {"before", "after", "name", "profile_id"} <= shown["examples"][0].keys()
        assert (await ask(client, "GET", "/score-rules"))["rev"] == 0
        saved = await ask(client, "PUT", "/score-rules", {**wanted, "rev": 0})
        assert [each["id"] for each in saved["rules"]] == ["rule-1", "rule-2"] and saved["progress"]["running"]
        assert (await ask(client, "PUT", "/score-rules", {**wanted, "hot": 41, "rev": 0}, 409))["code"] == "contended"
        faults = (await ask(client, "PUT", "/score-rules", {"rules": [
            {"rule": {"field": "score", "op": "gt", "value": 1}, "points": 1},
            {"rule": {"all": [{"field": "nome", "op": "eq", "value": 1}]}, "points": 1},
        ]}, 422))["errors"]  # fmt: skip
        assert [each["path"] for each in faults] == ["rules[0].rule", "rules[1].rule.all[0].field"]
        await settle(world.runtime)
        found = await ask(client, "GET", f"/profiles/{person}")
        part = {"rule_id": "rule-1", "name": "Paid", "points": 60, "until": None}
        assert found["score"] == 60 and found["score_parts"] == [part]
        assert not (await ask(client, "GET", "/score-rules"))["progress"]["running"]


async def test_tiers(world: World) -> None:
    person = world.ours.profile
    async with world.client("marketer") as client:
        held = await ask(client, "GET", "/tiers")
        assert [each["key"] for each in held["tiers"]] == ["vip", "level1", "level2", "level3"]
        wanted = {"currency": "EUR", "tiers": [{"key": "all", "name": "All", "locales": {"zh_CN": "全部"}}]}
        assert (await ask(client, "POST", "/tiers/preview", wanted))["bins"][0]["name"] == "all"
        saved = await ask(client, "PUT", "/tiers", wanted)
        assert saved["tiers"][0]["locales"] == {"zh_CN": "全部"} and saved["frequency"] == [2, 3, 5, 10]
        assert (await ask(client, "PUT", "/tiers", {**wanted, "frequency": [1, 1, 2, 3]}, 422))["errors"]
        assert (await ask(client, "GET", "/tiers/suggestion", status=409))["code"] == "too_few"
        await ask(client, "PATCH", f"/profiles/{person}", {"tier": "all"})
        released = await ask(client, "PATCH", f"/profiles/{person}", {"tier": None})
        assert "all" in {each["tier"] for each in released["tier_history"]} and released["tier_source"] == "rule"
        assert {"rfm", "traits", "tier_since"} <= released.keys()


async def test_who_is_limited_to_channels_may_not(world: World) -> None:
    async with world.client("scoped:admin") as client:
        for method, path, body in (
            ("PUT", "/score-rules", {"rules": []}), ("POST", "/score-rules/preview", {"rules": []}),
            ("PUT", "/tiers", {"tiers": []}), ("POST", "/tiers/preview", {"tiers": []}),
            ("GET", "/tiers/suggestion", None),
        ):  # fmt: skip
            await ask(client, method, path, body, 403)
