"""The secret of webhook steps: for administrators of everything, exchanged without a gap."""

from typing import Any

from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1{path}", json=body)
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_the_secret_is_shown_and_exchanged(world: World) -> None:
    async with world.client("admin") as client:
        first = (await ask(client, "GET", "/webhook-secret"))["secret"]
        assert first.startswith("whsec_") and (await ask(client, "GET", "/webhook-secret"))["secret"] == first
        second = (await ask(client, "POST", "/webhook-secret/exchange"))["secret"]
        assert second != first and (await ask(client, "GET", "/webhook-secret"))["secret"] == second
    async with world.client("scoped:admin") as client:
        await ask(client, "GET", "/webhook-secret", status=403)
    async with world.client("marketer") as client:
        await ask(client, "POST", "/webhook-secret/exchange", status=403)


async def test_a_task_says_whether_it_was_done_in_time(world: World) -> None:
    async with world.client("agent") as client:
        made = await ask(client, "POST", "/tasks", {"text": "Call", "due_at": "2020-01-01T00:00:00Z"}, 201)
        assert made["on_time"] is None and made["handed_from"] is None
        done = await ask(client, "PATCH", f"/tasks/{made['id']}", {"state": "done"})
        assert done["on_time"] is False
