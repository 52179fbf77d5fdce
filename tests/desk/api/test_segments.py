"""Segments over HTTP: made, tried, changed, read by their members, taken away; and who may."""

from typing import Any

import pytest

from tests.desk.api.conftest import World
from tests.desk.api.test_resources import ask

VIP = {"field": "tags", "op": "eq", "value": "vip"}


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """These tests take things away."""
    return own_world


async def person(world: World, name: str, **more: Any) -> str:
    async with world.client("marketer") as client:
        body = {"identities": [f"email:{name}@example.net"], "name": name.capitalize(), **more}
        return str((await ask(client, "POST", "/profiles", body, 201))["id"])


async def appraised(world: World) -> None:
    while await world.runtime.reactor.react(500) or await world.runtime.appraisal.drain(500):
        pass


async def test_a_segment(world: World) -> None:
    anna, ben = await person(world, "anna1", tags=["vip"]), await person(world, "ben1")
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/segments", {"name": "Best", "rule": VIP}, 201)
        path = f"/segments/{made['id']}"
        assert (made["state"], made["members"], made["progress"], made["version"]) == ("building", None, 0.0, 1)
        assert (await ask(client, "GET", f"{path}/members"))["data"] == []
        await world.runtime.segment_builder.drain()
        found = await ask(client, "GET", path)
        assert (found["state"], found["members"], found["progress"]) == ("live", 1, None)
        for query in (f"{path}/members", f"/profiles?segment={made['id']}"):
            assert [each["id"] for each in (await ask(client, "GET", query))["data"]] == [anna]
        await ask(client, "PATCH", f"/profiles/{ben}", {"add_tags": ["vip"]})
        await appraised(world)
        first = await ask(client, "GET", f"{path}/members?limit=1")
        rest = await ask(client, "GET", f"{path}/members?limit=1&cursor={first['next_cursor']}")
        assert [each["id"] for each in first["data"] + rest["data"]] == [ben, anna] and rest["next_cursor"] is None
        timeline, seg = (await ask(client, "GET", f"/profiles/{ben}/timeline"))["data"], world.ours.id_for("seg")
        assert "segment.entered" in {each["name"] for each in timeline}
        changed = await ask(client, "PATCH", path, {"name": "All", "rule": {"not": {"segment": seg}}})
        assert (changed["name"], changed["state"], changed["members"]) == ("All", "building", 2)
        assert changed["uses"] == [seg]
        assert "“All”" in (await ask(client, "DELETE", f"/segments/{world.ours.id_for('seg')}", status=409))["detail"]
        journey = {"name": "Waits for them", "trigger": {"type": "api"}, "entry_filter": {"segment": made["id"]},
                   "steps": [{"id": "end", "type": "exit"}]}  # fmt: skip
        waiting = await ask(client, "POST", "/journeys", journey, 201)
        (named,) = (await ask(client, "GET", "/tags?q=vip"))["data"]
        assert {each["kind"] for each in named["uses"]} <= {"segment"}
        problem = await ask(client, "DELETE", path, status=409)
        assert problem["code"] == "in_use"
        assert problem["uses"] == [{"kind": "journey", "id": waiting["id"], "name": "Waits for them"}]
        await ask(client, "PATCH", f"/journeys/{waiting['id']}", {"entry_filter": None})
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        assert (await ask(client, "GET", f"/profiles?segment={made['id']}"))["data"] == []


async def test_a_preview(world: World) -> None:
    ids = [await person(world, f"many{n}", attributes={"city": "Delft"}) for n in range(7)]
    rule = {"field": "attributes.city", "op": "eq", "value": "Delft"}
    async with world.client("agent") as client:
        seen = await ask(client, "POST", "/segments/preview", {"rule": rule})
        assert (seen["count"], seen["at_least"]) == (7, False)
        assert len(seen["sample"]) == 5 and {each["id"] for each in seen["sample"]} <= set(ids)
        assert all(each["line"].endswith("@example.net") for each in seen["sample"])
        named = {"identities": ["anonymous:nobody-else"], "name": "new"}  # as the stage is called, and no address
        await ask(client, "POST", "/profiles", named, 201)
        seen = await ask(client, "POST", "/segments/preview", {"rule": {"field": "name", "op": "eq", "value": "new"}})
        assert [each["line"] for each in seen["sample"]] == [""]
        ever = {"any": [rule, {"event": "order.paid", "count": {"gte": 99}}]}
        assert (await ask(client, "POST", "/segments/preview", {"rule": ever}))["count"] == 7
        inner = {"all": [rule, {"segment": world.ours.common["seg"]}]}
        assert (await ask(client, "POST", "/segments/preview", {"rule": inner}))["count"] == 0  # not looked at yet
        await appraised(world)
        assert (await ask(client, "POST", "/segments/preview", {"rule": inner}))["count"] == 7
        assert (await ask(client, "POST", "/segments/preview", {"rule": {"near": {"lat": 52, "lon": 4.4, "km": 20}}}))[
            "sample"
        ] == []


WRONG = [
    ({"name": "x", "rule": {"all": [{"field": "nome", "op": "eq", "value": 1}]}}, "rule.all[0].field"),
    ({"name": "x", "rule": {"any": [VIP, {"segment": "seg_" + "0" * 26}]}}, "rule.any[1].segment"),
    ({"name": "x", "rule": {**VIP, "$where": "1"}}, "rule.$where"),
    ({"name": "x", "rule": {}}, "rule"),
    ({"name": "", "rule": VIP}, "name"),
    ({"name": "x", "rule": VIP, "more": 1}, "more"),
    ({"name": "x", "rule": []}, "rule"),
    ({"name": "x"}, "rule"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path"), WRONG)
async def test_what_makes_no_sense_is_refused_with_its_path(world: World, body: Any, path: str) -> None:
    async with world.client("marketer") as client:
        calls = [("POST", "/segments"), ("PATCH", f"/segments/{world.ours.id_for('seg')}")]
        for method, where in calls[: 1 if "rule" not in body else 2]:
            answer = await ask(client, method, where, body, 422)
            assert [each["path"] for each in answer["errors"]] == [path]
        if "rule" in body and path.startswith("rule"):
            answer = await ask(client, "POST", "/segments/preview", {"rule": body["rule"]}, 422)
            assert [each["path"] for each in answer["errors"]] == [path]


async def test_a_circle_is_refused_with_its_way(world: World) -> None:
    async with world.client("marketer") as client:
        rule = {"segment": world.ours.id_for("seg")}
        outer = await ask(client, "POST", "/segments", {"name": "O", "rule": rule}, 201)
        answer = await ask(
            client, "PATCH", f"/segments/{world.ours.id_for('seg')}", {"rule": {"not": {"segment": outer["id"]}}}, 422
        )
        assert answer["errors"] == [
            {"path": "rule.not.segment", "message": "asks for itself: Everybody → O → Everybody"}
        ]
        await ask(client, "DELETE", f"/segments/{outer['id']}", status=204)


async def test_who_may(world: World) -> None:
    given = {"name": "x", "rule": VIP}
    for role, made, tried in (("viewer", 403, 403), ("agent", 403, 200), ("marketer", 201, 200), ("admin", 201, 200)):
        async with world.client(role) as client:
            row = await ask(client, "POST", "/segments", given, made)
            await ask(client, "POST", "/segments/preview", {"rule": VIP}, tried)
            await ask(client, "GET", "/segments")
            if made == 201:
                await ask(client, "DELETE", f"/segments/{row['id']}", status=204)


async def test_who_is_limited_to_channels_sees_their_own_people_and_no_numbers(world: World) -> None:
    await world.runtime.segment_builder.drain()
    await appraised(world)
    path = f"/segments/{world.ours.id_for('seg')}"
    async with world.client("scoped:admin") as client:
        assert (await ask(client, "GET", path))["members"] is None
        seen = {each["id"] for each in (await ask(client, "GET", f"{path}/members"))["data"]}
        assert world.ours.profile in seen and world.foreign.profile not in seen
        assert seen == {each["id"] for each in (await ask(client, "GET", f"/profiles?segment={path[10:]}"))["data"]}
        await ask(client, "POST", "/segments/preview", {"rule": VIP}, 403)
        await ask(client, "PATCH", path, {"name": "Mine"}, 403)
