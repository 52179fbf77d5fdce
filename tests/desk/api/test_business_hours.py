"""Business hours by the API: written, looked at ahead, taken away and put back."""

from typing import Any

from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of

NEW = {
    "name": "Warehouse", "zone": "Asia/Shanghai", "holidays": {"country": "CN"},
    "week": {day: [["09:00", "12:00"], ["13:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
    "special": [{"date": "2025-10-09", "spans": [], "name": "Stocktaking"}],
}  # fmt: skip


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1/business-hours{path}", json=body, **more)
    if status == 204:
        assert answer.status == 204
        return None
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_hours_are_written_and_looked_at_ahead(own_world: World) -> None:
    async with own_world.client() as client:
        made = await ask(client, "POST", "", NEW, 201)
        path = f"/{made['id']}"
        assert (await ask(client, "POST", "", NEW, 409))["code"] == "name_taken"
        assert await ask(client, "GET", path) == made and made["week"]["sat"] == []
        when = {"from": "2025-10-08T16:00:00Z", "to": "2025-10-12T16:00:00Z"}
        seen = await ask(client, "GET", f"{path}/preview", params=when)
        assert [(each["date"], each["why"]) for each in seen["days"]] == [
            ("2025-10-09", "special"), ("2025-10-11", "workday"),
        ]  # fmt: skip
        assert seen["open_s"] == 16 * 3600 and seen["open"][0]["opens_at"] == "2025-10-10T01:00:00.000Z"
        refused = await ask(client, "GET", f"{path}/preview", status=422, params={**when, "to": "2027-01-01T00:00:00Z"})
        assert refused["errors"][0]["path"] == "to"
        changed = await ask(client, "PATCH", path, {"holidays": None, "zone": "UTC"})
        assert changed["holidays"] is None and changed["special"] == made["special"]
        wrong = await ask(client, "PATCH", path, {"week": {"mon": [["09:00", "08:00"]]}}, 422)
        assert "next day from 00:00" in wrong["errors"][0]["message"]
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        assert (await ask(client, "POST", f"{path}/restore"))["id"] == made["id"]
        assert made["id"] in [each["id"] for each in (await ask(client, "GET", ""))["data"]]
