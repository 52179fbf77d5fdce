"""Notes, follow-ups and files of a person over the API, and what becomes of them: tasks, timeline, erasure."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from campaigns.reminders import MENTIONED
from profiles.models import IdentityRef, iso_ms
from profiles.resolve import Reference
from tests.desk.api.conftest import World, answer_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """Nothing is left as it was."""
    return own_world


async def ask(client: Any, method: str, path: str, status: int = 200, **more: Any) -> Any:
    answer = await client.request(method, f"/api/v1{path}", **more)
    assert answer.status == status, (path, answer.status, await answer.text())
    return await answer_of(answer)


async def reacted(world: World) -> None:
    while await world.runtime.reactor.react(100):
        pass


async def timeline(client: Any, who: str, **asked: str) -> list[Any]:
    return list((await ask(client, "GET", f"/profiles/{who}/timeline", params=asked))["data"])


async def test_a_note_calls_a_colleague_once(world: World) -> None:
    who, path = world.ours.profile, f"/profiles/{world.ours.profile}/notes"
    ben, _ = await world.runtime.accounts.invite("ben@example.org", "Ben Boss", "agent")
    async with world.client("agent") as client:
        for _ in range(2):  # a repeat of the same request
            note = await ask(client, "POST", path, 201, json={"text": "@Ben Boss, see https://x.example"},
                             headers={"Idempotency-Key": "n-1"})  # fmt: skip
        assert note["mentions"] == [ben.id] and note["by"].startswith("tok_")
        await reacted(world)
        await ask(client, "PATCH", f"{path}/{note['id']}", json={"text": "@ben, see there", "pinned": True})
        await reacted(world)
        tasks = (await ask(client, "GET", f"/tasks?assignee={ben.id}"))["data"]
        assert [(each["text"], each["profile_id"], each["state"]) for each in tasks] == [(MENTIONED, who, "open")]
        pinned = (await ask(client, "GET", f"{path}?pinned=true"))["data"]
        assert [each["text"] for each in pinned] == ["@ben, see there"] and pinned[0]["edited_by"] == note["by"]
        (entry,) = [each for each in await timeline(client, who, kind="note") if each["refs"]["note_id"] == note["id"]
                    and each["name"] == "note.added"]  # fmt: skip
        assert (entry["text"], entry["by_name"]) == ("@ben, see there", "All of agent")

        await ask(client, "DELETE", f"{path}/{note['id']}", 204)
        await reacted(world)
        (task,) = (await ask(client, "GET", f"/tasks?assignee={ben.id}"))["data"]
        assert task["state"] == "cancelled"
        assert note["id"] not in {each["id"] for each in (await ask(client, "GET", path))["data"]}
        assert (await ask(client, "POST", f"{path}/{note['id']}/restore"))["text"] == "@ben, see there"
        for wrong in ({"text": " "}, {"text": "x", "colour": 1}, {"text": "x", "at": "2020-01-01T00:00:00Z"}, {}):
            await ask(client, "POST", path, 422, json=wrong)
        await ask(client, "PATCH", f"{path}/{note['id']}", 422, json={"text": None})


async def test_the_next_follow_up_over_the_api(world: World) -> None:
    who, at = world.ours.profile, now() + timedelta(days=120)
    path = f"/profiles/{who}/follow-up"
    ben, _ = await world.runtime.accounts.invite("bea@example.org", "Bea", "agent")
    async with world.client("agent") as client:
        body = {"at": iso_ms(at), "text": "Spring teas", "assignee_id": ben.id}
        stands = (await ask(client, "PUT", path, json=body))["next_follow_up"]
        assert (stands["text"], stands["assignee_id"], stands["at"]) == ("Spring teas", ben.id, iso_ms(at))
        later = iso_ms(at + timedelta(days=1))
        stands = (await ask(client, "POST", path, json={"action": "snooze", "until": later}))["next_follow_up"]
        assert stands["at"] == later
        stands = (await ask(client, "POST", path, json={"action": "hand_over", "assignee_id": None}))["next_follow_up"]
        assert stands["assignee_id"] is None
        stale = {"action": "done", "id": "fup_" + "0" * 26}
        assert (await ask(client, "POST", path, json=stale))["next_follow_up"] == stands
        assert (await ask(client, "POST", path, json={"action": "done", "id": stands["id"]}))["next_follow_up"] is None
        await ask(client, "DELETE", path, 204)
        for wrong in ({"action": "snooze"}, {"action": "done", "until": later}, {"action": "x"}):
            await ask(client, "POST", path, 422, json=wrong)
        for wrong in ({**body, "assignee_id": "usr_" + "0" * 26}, {"at": iso_ms(at)}, {**body, "x": 1}):
            await ask(client, "PUT", path, 422, json=wrong)
        told = [each["name"] for each in await timeline(client, who, kind="task", by_us="true")]
        assert told[:4] == ["follow_up.done", "follow_up.handed_over", "follow_up.snoozed", "follow_up.set"]


async def test_files_of_a_person(world: World) -> None:
    who, path = world.ours.profile, f"/profiles/{world.ours.profile}/files"
    async with world.client("agent") as client:
        file = await ask(client, "POST", path, 201, data=PNG, headers={"X-File-Name": "offer.png"})
        assert (file["name"], file["media_type"]) == ("offer.png", "image/png")
        listed = (await ask(client, "GET", path))["data"]
        assert listed[0]["id"] == file["id"] and listed[0]["created_by"].startswith("tok_")
        assert (await client.get(f"/api/v1/files/{file['id']}")).status == 200
        for token, status in (("viewer", 200), ("scoped:agent", 200)):
            async with world.client(token) as other:
                assert (await other.get(f"/api/v1/files/{file['id']}")).status == status
        (entry,) = [each for each in await timeline(client, who, kind="file")
                    if each["refs"]["file_id"] == file["id"]]  # fmt: skip
        assert (entry["name"], entry["text"]) == ("file.attached", "offer.png")
        await ask(client, "DELETE", f"{path}/{file['id']}", 204)
        assert (await client.get(f"/api/v1/files/{file['id']}")).status == 404
        assert (await ask(client, "POST", f"{path}/{file['id']}/restore"))["state"] == "stored"
        assert (await client.get(f"/api/v1/files/{file['id']}")).status == 200
        assert (await ask(client, "GET", f"{path}?of=messages"))["data"] == []
    foreign = world.foreign
    async with world.client("scoped:agent") as limited:
        assert (await limited.get(f"/api/v1/files/{foreign.file}")).status == 404
        answer = await limited.post(f"/api/v1/profiles/{foreign.profile}/files", data=b"x")
        assert answer.status == 404
    async with world.client("viewer") as viewer:
        assert (await viewer.post(f"/api/v1{path}", data=b"x")).status == 403


async def test_a_file_taken_off_is_gone_after_a_day(world: World) -> None:
    who, files = world.ours.profile, world.runtime.profile_files
    kept = await files.attach(who, b"remember me", "a.txt", None, "usr_1")
    twin = await files.attach(who, b"remember me", "b.txt", None, "usr_1")
    await files.remove(who, kept.id, "usr_1")
    assert await files.tidy() == 0
    past = {"$set": {"removed_at": now() - timedelta(days=2)}}
    await world.runtime.db.collection("files").update_one({"_id": kept.id}, past)
    assert await files.tidy() == 1 and await files.tidy() == 0
    assert await world.runtime.files.get(kept.id) is None
    assert b"".join([each async for each in world.runtime.files.read(twin.id)]) == b"remember me"


async def test_every_change_says_by_whom(world: World) -> None:
    who = world.ours.profile
    async with world.client("agent") as client:
        change = {"name": "Anna B", "add_tags": ["vip"], "score": 7, "attributes": {"city": "Leiden"}}
        await ask(client, "PATCH", f"/profiles/{who}", json=change)
        await ask(client, "POST", f"/profiles/{who}/stage", json={"stage": "lost", "reason": "Moved"})
        await ask(client, "POST", f"/profiles/{who}/consents", 201,
                  json={"identity_id": world.ours.identity, "purpose": "marketing", "granted": False})  # fmt: skip
        task = await ask(client, "POST", "/tasks", 201, json={"text": "Call", "profile_id": who})
        await ask(client, "PATCH", f"/tasks/{task['id']}", json={"state": "done"})
        await ask(client, "PATCH", f"/conversations/{world.ours.conversation}", json={"status": "resolved"})
        await ask(client, "POST", f"/orders/{world.ours.order}/status", json={"status": "paid"})
        made = await ask(client, "POST", "/profiles", 201, json={"identities": ["customer_id:by-whom"], "name": "New"})
        told = await timeline(client, who, by_us="true", limit="200")
        new = await timeline(client, made["id"], by_us="true")
    mine = {each["name"] for each in told if each["by_name"] == "All of agent"}
    assert mine >= {
        "profile.updated", "profile.tag_added", "profile.score_changed", "profile.stage_changed", "consent.denied",
        "task.created", "task.done", "conversation.status_changed", "order.paid",
    }  # fmt: skip
    assert {each["name"] for each in new} >= {"profile.created"}
    changes = [each["properties"]["changes"] for each in told if each["name"] == "profile.updated"]
    assert {"from": "Anna", "to": "Anna B"} in [each.get("name") for each in changes]
    assert {"from": None, "to": "Leiden"} in [each.get("attributes", {}).get("city") for each in changes]


async def test_nothing_of_it_is_left_after_erasure(world: World) -> None:
    runtime = world.runtime
    (known,) = await runtime.resolver.identify([Reference([IdentityRef(kind="customer_id", value="erase-me")], True)])
    who = known.profile_id
    async with world.client("agent") as client:
        await ask(client, "POST", f"/profiles/{who}/notes", 201, json={"text": "CANARYNOTE"})
        deleted = await ask(client, "POST", f"/profiles/{who}/notes", 201, json={"text": "CANARYNOTE too"})
        await ask(client, "DELETE", f"/profiles/{who}/notes/{deleted['id']}", 204)
        await ask(client, "POST", f"/profiles/{who}/files", 201, data=b"CANARYNOTE", headers={"X-File-Name": "c.txt"})
        body = {"at": iso_ms(now()), "text": "CANARYNOTE"}
        await ask(client, "PUT", f"/profiles/{who}/follow-up", json=body)
    await reacted(world)
    await runtime.privacy.erasures.at_once(who, by="usr_x")
    while await runtime.privacy.erasures.drain():
        pass
    for name in await runtime.db.handle.list_collection_names():
        async for row in runtime.db.collection(name).find({}):
            assert "CANARYNOTE" not in repr(row), name
            # the erasure names whom to look for until it has settled
            assert who not in repr(row) or name in ("feed", "idempotency", "erasures"), (name, row)
