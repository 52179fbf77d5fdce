"""Saved views by the API, and lists that are narrowed by them."""

from typing import Any

from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1{path}", json=body, **more)
    if status == 204:
        assert answer.status == 204
        return None
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_a_view_narrows_the_list(own_world: World) -> None:
    ours, foreign = own_world.ours.conversation, own_world.foreign.conversation
    async with own_world.client() as client:
        await ask(client, "PATCH", f"/conversations/{ours}", {"labels": ["vip"], "priority": "high"})
        made = await ask(client, "POST", "/views", {"name": "High", "filter": {"priority": ["high", "urgent"]}}, 201)
        assert (made["shared"], made["filter"]["priority"]) == (False, ["high", "urgent"])
        assert (await ask(client, "POST", "/views", {"name": "high", "filter": {}}, 409))["code"] == "name_taken"

        async def ids(**query: str) -> set[str]:
            return {each["id"] for each in (await ask(client, "GET", "/conversations", params=query))["data"]}

        assert await ids(view=made["id"]) == {ours} == await ids(label="vip")
        assert await ids(view=made["id"], priority="none") == {foreign} == await ids(priority="none")
        assert await ids(waiting="false", unread="true") == {ours, foreign}
        assert await ids(waiting="true") == set() == await ids(unread="false")
        assert await ids(stage="nowhere") == set()
        path = f"/views/{made['id']}"
        await ask(client, "PATCH", path, {"filter": {"labels": {"none": ["vip"]}}, "name": "Plain"})
        assert await ids(view=made["id"]) == {foreign}
        wrong = await ask(client, "PATCH", path, {"filter": {"labels": {"some": ["x"]}}}, 422)
        assert wrong["errors"][0]["path"] == "filter.labels.some"
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", "/conversations", status=404, params={"view": made["id"]})
        assert (await ask(client, "POST", f"{path}/restore"))["name"] == "Plain"


async def test_who_is_called_by_name_is_found(own_world: World) -> None:
    runtime, ours = own_world.runtime, own_world.ours.conversation
    user, _ = await runtime.accounts.invite("mia@example.org", "Mia Muster", "agent", None)
    async with own_world.client() as client:
        note = {"text": "@Mia please", "note": True}
        await ask(client, "POST", f"/conversations/{ours}/messages", note, 201)
        assert (await ask(client, "GET", "/conversations", params={"mentioned": "true"}))["data"] == []
    assert await runtime.messages.mentioning(user.id, None, 10) == [ours]
    assert await runtime.messages.mentioning(user.id, [own_world.foreign.channel], 10) == []


async def test_counts_are_those_of_who_asks(own_world: World) -> None:
    counting = own_world.runtime.counting
    async with own_world.client() as client, own_world.client("scoped:viewer") as scoped:
        answered, anna = {"waiting": False}, {"q": "anna"}
        made = await ask(client, "POST", "/views", {"name": "Answered", "filter": answered, "shared": True}, 201)
        searched = await ask(client, "POST", "/views", {"name": "Anna's", "filter": anna, "shared": True}, 201)
        await counting.keep()
        everything = (await ask(client, "GET", "/views/counts"))["counts"]
        assert (everything["all"], everything["unassigned"], everything["mine"]) == (2, 2, 0)
        assert everything[made["id"]] == 2 and searched["id"] not in everything
        part = (await ask(scoped, "GET", "/views/counts"))["counts"]
        assert (part["all"], part[made["id"]]) == (1, 1)


async def test_views_are_for_who_may_see_what_they_name(own_world: World) -> None:
    foreign = {"filter": {"channel": [own_world.foreign.channel]}}
    async with own_world.client() as admin, own_world.client("scoped:agent") as scoped:
        made = await ask(admin, "POST", "/views", {"name": "Theirs", "shared": True, **foreign}, 201)
        everybodys = await ask(admin, "POST", "/views", {"name": "All of us", "shared": True, "filter": {}}, 201)
        seen = {each["id"] for each in (await ask(scoped, "GET", "/views"))["data"]}
        assert made["id"] not in seen and everybodys["id"] in seen
        await ask(scoped, "GET", f"/views/{made['id']}", status=404)
        await ask(scoped, "POST", "/views", {"name": "x", **foreign}, 404)
        await ask(scoped, "POST", "/views", {"name": "x", "filter": {}, "shared": True}, 403)
        await ask(scoped, "PATCH", f"/views/{everybodys['id']}", {"name": "x"}, 403)
        await ask(scoped, "DELETE", f"/views/{everybodys['id']}", status=403)
        own = await ask(scoped, "POST", "/views", {"name": "Own", "filter": {}}, 201)
        await ask(admin, "GET", f"/views/{own['id']}", status=404)
