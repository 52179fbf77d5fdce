"""Stages, lists, fields, relations and tags over the API."""

from tests.desk.api.conftest import World
from tests.desk.api.test_resources import ask


async def test_stage_by_the_contract(own_world: World) -> None:
    async with own_world.client("agent") as client:
        path = f"/profiles/{own_world.ours.profile}"
        unknown = await ask(client, "POST", f"{path}/stage", {"stage": "vip"}, 422)
        assert unknown["detail"].startswith("There is no stage 'vip'") and unknown["errors"][0]["path"] == "stage"
        silent = await ask(client, "POST", f"{path}/stage", {"stage": "lost"}, 422)
        assert (silent["detail"], silent["errors"][0]["path"]) == ("This stage asks for a reason.", "reason")
        moved = await ask(client, "POST", f"{path}/stage", {"stage": "lost", "reason": "Went to a competitor"})
        assert moved["stage"] == "lost"
        (move,) = (await ask(client, "GET", f"{path}/stage"))["data"]
        assert (move["from_stage"], move["to_stage"], move["reason"]) == ("new", "lost", "competitor")
        assert (await ask(client, "PATCH", path, {"stage": "vip"}, 422))["errors"][0]["path"] == "stage"
        stages = {each["key"]: each for each in (await ask(client, "GET", "/stages"))["data"]}
        assert list(stages) == ["new", "lead", "customer", "repeat", "lapsed", "lost"]
        assert (stages["lost"]["count"], stages["new"]["left"], stages["lost"]["asks_reason"]) == (1, 1, True)


async def test_lists_are_replaced_whole(own_world: World) -> None:
    async with own_world.client("marketer") as client:
        lists = {each["name"]: each for each in (await ask(client, "GET", "/terms"))["data"]}
        roles = [*lists["roles"]["entries"][:2], {"key": "press", "names": {"en": "Press", "zh_CN": "媒体"}}]
        body = {"rev": 0, "entries": [{"key": each["key"], "names": each["names"]} for each in roles]}
        saved = await ask(client, "PUT", "/terms/roles", body)
        assert saved["rev"] == 1 and [each["key"] for each in saved["entries"]] == ["buyer", "user", "press"]
        await ask(client, "PUT", "/terms/roles", body, 409)
        faults = await ask(client, "PUT", "/terms/stages", {"rev": 0, "entries": [{"key": "x"}]}, 422)
        assert faults["errors"][0]["path"] == "entries.0.names"
        await ask(client, "PUT", "/terms/nonsense", body, 404)
        path = f"/profiles/{own_world.ours.profile}"
        assert (await ask(client, "PATCH", path, {"add_roles": ["press"]}))["roles"] == ["press"]
        assert (await ask(client, "PATCH", path, {"roles": ["king"]}, 422))["errors"][0]["path"] == "roles.0"
        found = await ask(client, "GET", "/profiles?role=press")
        assert [each["id"] for each in found["data"]] == [own_world.ours.profile]
        assert (await ask(client, "GET", "/profiles?owner=me"))["data"] == []


async def test_a_defined_field_refuses_a_wrong_type_by_its_path(own_world: World) -> None:
    async with own_world.client("marketer") as client:
        path = f"/profiles/{own_world.ours.profile}"
        body = {"key": "gift", "labels": {"en": "Gift"}, "type": "choice", "options": [{"value": "card"}]}
        field = await ask(client, "POST", "/fields", body, 201)
        wrong = await ask(client, "PATCH", path, {"attributes": {"gift": "car", "shoe_size": "38", "free": [1]}}, 422)
        assert {each["path"] for each in wrong["errors"]} == {"attributes.gift", "attributes.shoe_size"}
        right = await ask(client, "PATCH", path, {"attributes": {"gift": "card", "shoe_size": 38, "free": [1]}})
        assert right["attributes"]["gift"] == "card"
        await ask(client, "PATCH", f"/fields/{field['id']}", {"type": "date", "options": []})
        await ask(client, "PATCH", path, {"attributes": {"gift": "2026-11-28"}})
        await ask(client, "DELETE", f"/fields/{field['id']}", status=204)
        kept = await ask(client, "PATCH", path, {"name": "Anna"})
        assert kept["attributes"]["gift"].startswith("2026-11-28T00:00")
        await ask(client, "POST", "/fields", {"key": "a.b", "labels": {"en": "x"}}, 422)


async def test_relations_and_tags(own_world: World) -> None:
    ours, foreign = own_world.ours.profile, own_world.foreign.profile
    async with own_world.client("marketer") as client:
        body = {"kind": "referred_by", "other_id": foreign}
        (made,) = (await ask(client, "POST", f"/profiles/{ours}/relations", body, 201))["data"]
        assert (made["way"], made["other_name"]) == ("forth", "Boris")
        (back,) = (await ask(client, "GET", f"/profiles/{foreign}/relations"))["data"]
        assert back["way"] == "back"
        await ask(client, "PATCH", f"/profiles/{ours}", {"tags": ["tee"]})
        assert (await ask(client, "GET", "/tags?q=te"))["data"] == [
            {"name": "tee", "count": 1, "former": [], "uses": []}
        ]
        change = await ask(client, "POST", "/tags/changes", {"what": "rename", "tag": "tee", "to": "tea"}, 202)
        await own_world.runtime.tags.drain()
        (tea,) = (await ask(client, "GET", "/tags?q=tea"))["data"]
        assert tea["former"] == ["tee"]
        assert [each["id"] for each in (await ask(client, "GET", "/profiles?tag=tee"))["data"]] == [ours]
        assert (await ask(client, "GET", f"/profiles/{ours}"))["tags"] == ["tea"]
        await ask(client, "POST", f"/tags/changes/{change['id']}/undo")
        (shown,) = (await ask(client, "GET", "/tags/changes"))["data"]
        assert shown["state"] == "undoing"
    async with own_world.client("scoped:marketer") as client:
        assert (await ask(client, "GET", f"/profiles/{ours}/relations"))["data"] == []
        await ask(client, "POST", f"/profiles/{ours}/relations", body, 404)
        assert all(each["count"] is None for each in (await ask(client, "GET", "/tags"))["data"])
        assert (await ask(client, "GET", "/tags/changes"))[
            "data"
        ] == []  # how many people a change found is no less told
        await ask(client, "POST", "/tags/changes", {"what": "delete", "tag": "tee"}, 403)
        stages = (await ask(client, "GET", "/stages"))["data"]
        assert all(each["count"] is None for each in stages)
    async with own_world.client("agent") as client:
        await ask(client, "DELETE", f"/profiles/{ours}/relations/{made['id']}", status=204)
        assert (await ask(client, "GET", f"/profiles/{foreign}/relations"))["data"] == []
