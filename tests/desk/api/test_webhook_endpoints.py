"""Endpoints by the API: the secret once, what was told and again, and nobody beyond their channels."""

from typing import Any

from aiohttp import ClientSession

from base.ids import new_id
from desk.api.event_views import EventViews
from desk.api.webhook_endpoints import post_view
from profiles.events import Event
from tests.desk.api.conftest import World, answer_of

NEW = {"url": "https://example.org/in", "events": ["order.paid", "task.*"]}


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1/webhook-endpoints{path}", json=body, **more)
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_the_secret_is_shown_once(own_world: World) -> None:
    async with own_world.client() as client:
        key = {"Idempotency-Key": "hook-1"}
        made = await ask(client, "POST", "", NEW, 201, headers=key)
        assert made["secret"].startswith("whsec_") and made["state"] == "on" and made["channels"] is None
        assert await ask(client, "POST", "", NEW, 201, headers=key) == made  # a repeat is the same endpoint
        path = f"/{made['id']}"
        shown = await ask(client, "GET", path)
        assert "secret" not in shown and shown["events"] == NEW["events"]
        assert made["id"] in [each["id"] for each in (await ask(client, "GET", ""))["data"]]
        other = (await ask(client, "POST", f"{path}/secret", status=201))["secret"]
        assert other != made["secret"] and other.startswith("whsec_")
        kept = await own_world.runtime.db.collection("webhook_endpoints").find_one({"_id": made["id"]})
        assert other not in str(kept) and made["secret"] not in str(kept)


async def test_what_was_told_can_be_looked_at_and_told_again(own_world: World) -> None:
    async with own_world.client() as client:
        made = await ask(client, "POST", "", NEW, 201)
        path = f"/{made['id']}"
        tried = await ask(client, "POST", f"{path}/test", status=202)
        assert (tried["event"], tried["state"], tried["tries"]) == ("webhook.test", "waiting", [])
        posts = own_world.runtime.poster._posts
        (row,) = [each for each in await posts.by_host.claim(50, []) if each["_id"] == tried["id"]]
        await posts.settle(row, "failed", {"at": row["created_at"], "ms": 12, "error": "timeout"})
        assert await ask(client, "POST", f"{path}/redeliver", {}, 202) == {"count": 0}  # a test is nobody's loss
        happened = {"key": made["id"], "endpoint_id": made["id"], "event_id": new_id("evt"), "event": "order.paid",
                    "profile_id": None, "channel_id": None, "host": "example.org"}  # fmt: skip
        tried = post_view((await posts.plan([happened]))[0]).model_dump()
        (row,) = [each for each in await posts.by_host.claim(50, []) if each["_id"] == tried["id"]]
        await posts.settle(row, "failed", {"at": row["created_at"], "ms": 12, "status": 500, "answer": "no"})
        listed, _ = (await ask(client, "GET", f"{path}/deliveries?state=failed"))["data"]
        assert listed["tries"][0]["status"] == 500 and listed["reason"] is None and listed["settled_at"]
        assert (await ask(client, "GET", f"{path}/deliveries?state=delivered"))["data"] == []
        whole = await ask(client, "GET", f"{path}/deliveries/{tried['id']}")
        assert whole["body"] is None and whole["webhook_id"] == tried["webhook_id"]
        again = await ask(client, "POST", f"{path}/deliveries/{tried['id']}/redeliver", status=202)
        assert again["state"] == "waiting" and again["next_try_at"] and len(again["tries"]) == 1
        (row,) = [each for each in await posts.by_host.claim(50, []) if each["_id"] == tried["id"]]
        await posts.settle(row, "failed", {"at": row["created_at"], "error": "crashed"}, tried=False)
        assert (await ask(client, "GET", f"{path}/deliveries"))["data"][0]["reason"] == "crashed"
        assert await ask(client, "POST", f"{path}/redeliver", {}, 202) == {"count": 1}
        assert await ask(client, "POST", f"{path}/redeliver", {"since": "2190-01-01T00:00:00Z"}, 202) == {"count": 0}
        await ask(client, "PATCH", path, {"state": "off"})
        off = await ask(client, "POST", f"{path}/deliveries/{tried['id']}/redeliver", status=409)
        assert off["code"] == "switched_off"
        await ask(client, "GET", f"{path}/deliveries/whd_{'0' * 26}", status=404)


async def test_it_is_changed_taken_away_and_put_back(own_world: World) -> None:
    async with own_world.client() as client:
        made = await ask(client, "POST", "", NEW, 201)
        path = f"/{made['id']}"
        changed = await ask(client, "PATCH", path, {"events": ["*"], "description": " Warehouse ", "state": "off"})
        assert (changed["events"], changed["description"], changed["state"]) == (["*"], "Warehouse", "off")
        assert (await ask(client, "PATCH", path, {"state": "on"}))["url"] == NEW["url"]
        for body in ({"url": None}, {"events": None}, {"state": "disabled"}, {"events": []}, {"secret": "x"}):
            await ask(client, "PATCH", path, body, 422)
        await ask(client, "DELETE", path, status=204)
        for method, part, body in (("GET", "", None), ("PATCH", "", {}), ("POST", "/test", None), ("DELETE", "", None)):
            await ask(client, method, path + part, body, 404)
        assert (await ask(client, "POST", f"{path}/restore"))["id"] == made["id"]
        assert (await ask(client, "POST", f"{path}/restore"))["id"] == made["id"]


async def test_what_makes_no_sense_is_refused_with_advice(own_world: World) -> None:
    async with own_world.client() as client:
        for change, path, said in (
            ({"url": "http://127.0.0.1/x"}, "url", "inside the house"),
            ({"url": "http://localhost:8080/x"}, "url", "inside the house"),
            ({"url": "http://[::1]/x"}, "url", "inside the house"),
            ({"url": "http://169.254.169.254/latest"}, "url", "inside the house"),
            ({"url": "example.org"}, "url", "web address"),
            ({"events": ["message.recieved"]}, "events", "did you mean message.received?"),
            ({"channels": ["chn_" + "0" * 26]}, "channels[0]", "does not exist"),
            ({"channels": []}, "channels", ""),
        ):
            found = await ask(client, "POST", "", {**NEW, **change}, 422)
            assert found["errors"][0]["path"] == path and said in found["errors"][0]["message"], (change, found)


async def test_who_is_limited_looks_after_their_own_alone(own_world: World) -> None:
    ours, foreign = own_world.ours, own_world.foreign
    async with own_world.client("scoped:admin") as client:
        assert [each["id"] for each in (await ask(client, "GET", ""))["data"]] == [ours.endpoint]
        own = await ask(client, "POST", "", {**NEW, "channels": [ours.channel]}, 201)
        assert own["channels"] == [ours.channel]
        await ask(client, "POST", "", {**NEW, "channels": [ours.channel, foreign.channel]}, 404)
        await ask(client, "POST", "", NEW, 403)
        await ask(client, "PATCH", f"/{own['id']}", {"channels": None}, 403)
        await ask(client, "PATCH", f"/{own['id']}", {"channels": [foreign.channel]}, 404)
        await ask(client, "GET", f"/{foreign.endpoint}", status=404)
        await ask(client, "GET", f"/{ours.endpoint}/deliveries/{foreign.post}", status=404)
        await own_world.runtime.endpoints.remove(foreign.endpoint)
        await ask(client, "POST", f"/{foreign.endpoint}/restore", status=404)


async def test_what_happens_on_a_channel_is_told_there_also_when_it_is_shown_with_another(own_world: World) -> None:
    """Who is told of one channel alone hears of a message on it, and nothing of the conversation it was merged into."""
    ours, foreign, runtime = own_world.ours, own_world.foreign, own_world.runtime
    await runtime.merger.merge(foreign.profile, ours.profile, by="usr_x")
    async with own_world.client() as admin:
        path = f"/api/v1/conversations/{foreign.conversation}/merge"
        merged = await answer_of(await admin.post(path, json={"other_ids": [ours.conversation]}))
        assert merged["parts"] == [ours.conversation], merged
    said = {"message_id": ours.message, "conversation_id": ours.conversation}
    views = {}
    for channel in (ours.channel, foreign.channel):
        event = Event(
            id=new_id("evt"), name="message.received", dedupe="m:1", occurred_at=runtime.clock(),
            received_at=runtime.clock(), profile_id=foreign.profile, channel_id=ours.channel,
            conversation_id=ours.conversation, properties=said,
        )  # fmt: skip
        views[channel] = await EventViews(runtime).of(event, frozenset([channel]))
    told = views[ours.channel]
    assert told is not None and told["message"]["id"] == ours.message and "conversation" not in told
    assert foreign.channel not in str(told["message"]) and views[foreign.channel] is None
