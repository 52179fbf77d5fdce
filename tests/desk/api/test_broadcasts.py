"""Broadcasts through the API: from a draft over review and test to recipients and another attempt."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of

BASE = "/api/v1/broadcasts"


@pytest.fixture
async def client(own_world: World) -> AsyncIterator[ClientSession]:
    async with own_world.client("marketer") as session:
        yield session


async def written(client: ClientSession, world: World, **more: Any) -> dict[str, Any]:
    body = {
        "name": "News", "channel_ids": [world.ours.channel, world.foreign.channel], "content": {"text": "Hi"},
        "audience": {"rule": {"all": []}}, **more,
    }  # fmt: skip
    answer = await client.post(BASE, json=body)
    assert answer.status == 201, await answer.text()
    found: dict[str, Any] = await answer_of(answer)
    return found


async def work(world: World) -> None:
    runtime = world.runtime
    for _ in range(3):
        await runtime.broadcast_planner.drain()
        await runtime.db.collection("broadcasts").update_many({}, {"$set": {"looked_at": None}})
        await runtime.broadcast_minder.look()


async def test_from_a_draft_to_the_ledger(client: ClientSession, own_world: World) -> None:
    made = await written(client, own_world, holdout_percent=0)
    path = f"{BASE}/{made['id']}"
    assert made["status"] == "draft" and made["definition"]["name"] == "News"
    begun = await client.post(f"{path}/review")
    assert begun.status == 202
    await work(own_world)
    review = await answer_of(await client.get(f"{path}/review"))
    assert review["state"] == "done" and review["gets"] == 2 == review["people"] and not review["stale"]
    await client.patch(path, json={"name": "Better news", "rev": made["rev"]})
    assert (await answer_of(await client.get(f"{path}/review")))["stale"]
    clash = await client.patch(path, json={"name": "Other", "rev": made["rev"]})
    assert clash.status == 409
    later = {"type": "at", "at": "2090-01-01T09:00:00Z"}
    await client.patch(path, json={"schedule": later})
    started = await answer_of(await client.put(f"{path}/status", json={"status": "scheduled"}))
    assert started["status"] == "scheduled" and (started["late"], started["late_at_least"]) == (0, False)
    assert (await client.patch(path, json={"name": "Too late"})).status == 409
    running = await answer_of(await client.put(f"{path}/status", json={"status": "running"}))
    assert running["status"] == "running"
    await work(own_world)
    paused = await answer_of(await client.put(f"{path}/status", json={"status": "paused"}))
    assert paused["status"] == "paused"
    found = await answer_of(await client.get(path))
    assert found["counts"]["people"] == 2 and found["waves"][0]["state"] == "done"
    listed = await answer_of(await client.get(f"{path}/recipients?state=planned"))
    assert len(listed["data"]) == 2 and listed["data"][0]["source"]["kind"] == "broadcast"
    nobody = await answer_of(await client.get(f"{path}/recipients?state=skipped"))
    assert nobody["data"] == []
    assert (await client.put(f"{path}/status", json={"status": "running", "overdue": "skip"})).status == 422
    cancelled = await answer_of(await client.put(f"{path}/status", json={"status": "cancelled"}))
    assert cancelled["status"] == "cancelled"
    await work(own_world)
    ended = await answer_of(await client.get(f"{path}/recipients?state=skipped&reason=cancelled"))
    assert len(ended["data"]) == 2
    assert (await client.post(f"{path}/retry", json={})).status == 409


async def test_local_times_say_for_whom_it_is_too_late(client: ClientSession, own_world: World) -> None:
    schedule = {"type": "local", "date": "2020-01-01", "time": "09:00", "late": "skip"}
    made = await written(client, own_world, schedule=schedule)
    answer = await answer_of(await client.put(f"{BASE}/{made['id']}/status", json={"status": "running"}))
    assert answer["late"] == 2
    await work(own_world)
    found = await answer_of(await client.get(f"{BASE}/{made['id']}"))
    assert found["counts"]["reasons"] == {"late_zone": 2} and found["status"] == "done"


async def test_who_is_limited_to_a_channel_sees_its_part(client: ClientSession, own_world: World) -> None:
    made = await written(client, own_world)
    await client.put(f"{BASE}/{made['id']}/status", json={"status": "running"})
    await client.put(f"{BASE}/{made['id']}/status", json={"status": "paused"})
    await client.put(f"{BASE}/{made['id']}/status", json={"status": "running"})
    await own_world.runtime.broadcast_planner.drain()
    async with own_world.client("scoped:marketer") as limited:
        found = await answer_of(await limited.get(f"{BASE}/{made['id']}"))
        assert found["counts"] is None
        listed = await answer_of(await limited.get(f"{BASE}/{made['id']}/recipients"))
        assert {each["channel_id"] for each in listed["data"]} <= {own_world.ours.channel}
        assert (await limited.put(f"{BASE}/{made['id']}/status", json={"status": "paused"})).status == 403
    await client.put(f"{BASE}/{made['id']}/status", json={"status": "cancelled"})


async def test_tests_go_to_colleagues_and_to_whom_an_administrator_allowed(
    client: ClientSession, own_world: World
) -> None:
    runtime = own_world.runtime
    settings = {"from_address": "shop@shop.example", "smtp_host": "127.0.0.1", "smtp_port": 2525, "smtp_tls": "none"}
    mail = await runtime.channels.add("email", "Mail", settings)
    made = await written(
        client, own_world, channel_ids=[mail.id, own_world.ours.channel],
        content={"subject": "Hello {{ profile.name }}", "body": "<p>News</p>"},
    )  # fmt: skip
    path = f"{BASE}/{made['id']}/test"
    refused = await client.post(path, json={"to": ["stranger@example.org"]})
    assert refused.status == 403 and (await answer_of(refused))["code"] == "not_allowed"
    assert (await client.put(f"{BASE}/test-list", json={"addresses": ["a@b.example"]})).status == 403
    async with own_world.client("admin") as admin:
        allowed = {"addresses": ["Preview@example.org", own_world.ours.profile]}
        assert (await admin.put(f"{BASE}/test-list", json=allowed)).status == 200
        assert (await admin.put(f"{BASE}/test-list", json={"addresses": ["nobody"]})).status == 422
    body = {"to": ["preview@example.org", own_world.ours.profile], "profile_id": own_world.ours.profile}
    headers = {"Idempotency-Key": "t-1"}
    for _ in range(2):
        answer = await client.post(path, json=body, headers=headers)
        assert answer.status == 202 and (await answer_of(answer))["sends"] == 2
    rows = await runtime.sends.raw({"source.kind": "test", "source.id": made["id"]})
    assert len(rows) == 2 and {row["class"] for row in rows} == {"service"}
    stranger = next(row for row in rows if row.get("stranger"))
    assert stranger["stranger"] == "preview@example.org"
    assert stranger["content"]["mail"]["subject"].startswith("[Test] ")
    figures = await answer_of(await client.get(f"{BASE}/{made['id']}"))
    assert figures["counts"]["people"] == 0
