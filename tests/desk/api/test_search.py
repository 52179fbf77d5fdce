"""One question over messages, people and orders, by the API and on the page."""

from tests.desk.api.conftest import World, answer_of


async def found(world: World, who: str, q: str, **more: str) -> dict[str, list[str]]:
    async with world.client(who) as client:
        answer = await client.get("/api/v1/search", params={"q": q, **more})
        body = await answer_of(answer)
        assert answer.status == 200, body
        return {
            "messages": [each["snippet"] for each in body["messages"]],
            "people": [each["name"] for each in body["people"]],
            "orders": [each["external_id"] for each in body["orders"]],
        }


async def test_everything_is_found_and_only_what_may_be_seen(own_world: World) -> None:
    await own_world.runtime.searching.keep()
    anna = {"messages": ["Hello from anna"], "people": ["Anna"], "orders": []}
    assert await found(own_world, "viewer", "anna") == anna == await found(own_world, "scoped:viewer", "anna")
    assert (await found(own_world, "viewer", "order-anna"))["orders"] == ["order-anna"]
    assert (await found(own_world, "viewer", "#ORDER-boris", kinds="orders"))["orders"] == ["order-boris"]
    nothing: dict[str, list[str]] = {"messages": [], "people": [], "orders": []}
    assert await found(own_world, "scoped:admin", "boris") == nothing
    assert await found(own_world, "scoped:admin", "order-boris") == nothing
    assert len((await found(own_world, "viewer", "hello", kinds="messages"))["messages"]) == 2
    assert (await found(own_world, "viewer", "anna", kinds="people,orders"))["messages"] == []


async def test_what_makes_no_sense_is_refused(own_world: World) -> None:
    async with own_world.client() as client:
        for query in ({}, {"q": " "}, {"q": "x", "kinds": "files"}, {"q": "x", "limit": "500"}):
            assert (await client.get("/api/v1/search", params=query)).status == 422
