"""Promises by the API: written, ordered, taken away and put back; and what conversations say of them."""

from typing import Any

from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of

NEW = {
    "name": "Chats", "lengths": {"first_response_min": 60, "resolution_min": 2880},
    "by_priority": {"urgent": {"first_response_min": 15}},
}  # fmt: skip


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1{path}", json=body, **more)
    if status == 204:
        assert answer.status == 204
        return None
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_promises_are_written_and_ordered(own_world: World) -> None:
    async with own_world.client() as client:
        made = await ask(client, "POST", "/sla-policies", NEW, 201)
        path = f"/sla-policies/{made['id']}"
        assert (await ask(client, "POST", "/sla-policies", NEW, 409))["code"] == "name_taken"
        assert await ask(client, "GET", path) == made and made["pauses"] == ["pending"] and made["soon_min"] == 15
        nothing = await ask(client, "POST", "/sla-policies", {"name": "Nothing"}, 422)
        assert "promise something" in nothing["errors"][0]["message"]
        wrong = {**NEW, "name": "Gone", "reach": {"channel_ids": ["chn_" + "0" * 26]}}
        assert (await ask(client, "POST", "/sla-policies", wrong, 422))["errors"][0]["path"] == "reach"
        gone = {**NEW, "name": "Gone", "hours_id": "hrs_" + "0" * 26}
        assert (await ask(client, "POST", "/sla-policies", gone, 422))["errors"][0]["path"] == "hours_id"
        ids = [each["id"] for each in (await ask(client, "GET", "/sla-policies"))["data"]]
        turned = await ask(client, "PUT", "/sla-policies/order", {"ids": ids[::-1]})
        assert [each["id"] for each in turned["data"]] == ids[::-1]
        await ask(client, "PUT", "/sla-policies/order", {"ids": ids[:1]}, 422)
        changed = await ask(client, "PATCH", path, {"lengths": {"next_response_min": 30}})
        assert changed["lengths"]["first_response_min"] is None and changed["by_priority"] == made["by_priority"]
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        assert (await ask(client, "POST", f"{path}/restore"))["id"] == made["id"]
        await ask(client, "DELETE", path, status=204)


async def test_conversations_say_what_is_due(own_world: World) -> None:
    async with own_world.client() as client:
        await ask(client, "POST", "/sla-policies", {**NEW, "name": "Everywhere"}, 201)
        await own_world.runtime.sla_watch.renew()
        await own_world.runtime.sla_clocks.fresh_terms()
        listed = await ask(client, "GET", "/conversations", params={"sort": "sla"})
        shown = next(each for each in listed["data"] if each["id"] == own_world.ours.conversation)
        assert shown["sla"]["due_at"] and shown["sla"]["clocks"][0]["since"]
        dues = [each["sla"]["due_at"] for each in listed["data"]]
        assert dues == sorted(dues)
        for asked in ("soon", "breached"):
            assert "data" in await ask(client, "GET", "/conversations", params={"sla": asked})
        await ask(client, "GET", "/conversations", params={"sla": "never"}, status=422)


async def test_who_sees_some_channels_sees_what_is_promised_there(own_world: World) -> None:
    ours, foreign = own_world.ours.channel, own_world.foreign.channel
    async with own_world.client() as client:
        both = {**NEW, "name": "Both", "reach": {"channel_ids": [ours, foreign]}}
        shared = (await ask(client, "POST", "/sla-policies", both, 201))["id"]
        theirs = {**NEW, "name": "Theirs", "reach": {"channel_ids": [foreign]}}
        hidden = (await ask(client, "POST", "/sla-policies", theirs, 201))["id"]
    async with own_world.client("scoped:agent") as client:
        listed = (await ask(client, "GET", "/sla-policies"))["data"]
        assert hidden not in [each["id"] for each in listed] and foreign not in str(listed)
        assert (await ask(client, "GET", f"/sla-policies/{shared}"))["reach"]["channel_ids"] == [ours]
        await ask(client, "GET", f"/sla-policies/{hidden}", status=404)
