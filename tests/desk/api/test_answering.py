"""Answering over the API: undo, send later, send again, the guard over newer messages, drafts."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import iso, now
from channels.vocabulary import Address, MessageReceived
from inbox.incoming import Arrival
from tests.desk.api.conftest import World, answer_of


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """Nothing is left as it was."""
    return own_world


async def ask(client: Any, method: str, path: str, status: int = 200, **more: Any) -> Any:
    answer = await client.request(method, f"/api/v1{path}", **more)
    assert answer.status == status, (path, answer.status, await answer.text())
    return await answer_of(answer)


async def says(world: World, text: str) -> None:
    """The customer writes once more."""
    address = Address(channel_id=world.ours.channel, external_id="ext-anna")
    event = MessageReceived(event_id=text, message_id=text, occurred_at=now(), text=text, address=address)
    await world.runtime.receiver.receive([Arrival(world.ours.channel, "generic", event, "dlv_x")])


async def test_an_answer_is_taken_back_and_is_a_draft_again(world: World) -> None:
    talk = f"/conversations/{world.ours.conversation}"
    async with world.client("agent") as client, world.client("admin") as other:
        line = await ask(client, "POST", f"{talk}/messages", 201, json={"text": "Oops", "undo_s": 30})
        assert line["due_at"] is not None and line["status"] == "queued"
        for _ in range(2):
            gone = await ask(client, "POST", f"/messages/{line['id']}/undo")
            assert (gone["status"], gone["text"]) == ("cancelled", None)
        assert line["id"] not in {each["id"] for each in (await ask(client, "GET", f"{talk}/messages"))["data"]}
        draft = await ask(client, "GET", f"{talk}/draft")
        assert draft["text"] == "Oops" and draft["rev"] > 0
        assert (await ask(other, "GET", f"{talk}/draft"))["text"] == "", "nobody reads the drafts of others"
        await ask(client, "DELETE", f"{talk}/draft", 204)
        assert (await ask(client, "GET", f"{talk}/draft"))["rev"] == 0
        await ask(client, "POST", f"{talk}/messages", 422, json={"text": "x", "undo_s": 61})


async def test_drafts_say_when_another_window_was_quicker(world: World) -> None:
    path = f"/conversations/{world.ours.conversation}/draft"
    async with world.client("agent") as client:
        saved = await ask(client, "PUT", path, json={"mode": "note", "text": "Careful"})
        assert saved["rev"] > 0 and saved["updated_at"]
        problem = await ask(client, "PUT", path, 409, json={"mode": "note", "text": "Other", "rev": 0})
        assert problem["code"] == "draft_changed"
        again = await ask(client, "PUT", path, json={"mode": "note", "text": "Very careful", "rev": saved["rev"]})
        assert again["rev"] == saved["rev"] + 1 and (await ask(client, "GET", path))["text"] == ""
        assert (await ask(client, "GET", path, params={"mode": "note"}))["text"] == "Very careful"


async def test_what_goes_later_is_moved_and_what_is_sent_is_not(world: World) -> None:
    talk, at = f"/conversations/{world.ours.conversation}", now() + timedelta(days=1)
    async with world.client("agent") as client:
        line = await ask(client, "POST", f"{talk}/messages", 201, json={"text": "Later", "send_at": iso(at)})
        later = iso(at + timedelta(days=1))
        assert (await ask(client, "PATCH", f"/messages/{line['id']}", json={"send_at": later}))["due_at"] == later
        await ask(client, "PATCH", f"/messages/{line['id']}", 422, json={"send_at": "2020-01-01T00:00:00Z"})
        await ask(client, "PATCH", f"/messages/{line['id']}", 422, json={})
        await ask(client, "POST", f"/messages/{line['id']}/undo")
        problem = await ask(client, "PATCH", f"/messages/{line['id']}", 409, json={"send_at": later})
        assert problem["code"] == "too_late"
        received = next(
            each for each in (await ask(client, "GET", f"{talk}/messages"))["data"] if each["direction"] == "in"
        )
        await ask(client, "POST", f"/messages/{received['id']}/undo", 404)
        await ask(client, "POST", f"/messages/{received['id']}/retry", 404)


async def test_a_newer_message_is_named_and_may_be_passed_over(world: World) -> None:
    talk = f"/conversations/{world.ours.conversation}"
    async with world.client("agent") as client:
        seen = max(each["seq"] for each in (await ask(client, "GET", f"{talk}/messages"))["data"])
        await says(world, "Wait!")
        body = {"text": "Over it", "seen_seq": seen}
        problem = await ask(client, "POST", f"{talk}/messages", 409, json=body)
        newest = (await ask(client, "GET", f"{talk}/messages"))["data"][0]
        assert (problem["code"], problem["since"]) == ("newer_messages", [newest["id"]])
        sent = await ask(client, "POST", f"{talk}/messages", 201, json={**body, "send_anyway": True})
        problem = await ask(client, "POST", f"/messages/{sent['id']}/retry", 409)
        assert problem["code"] == "not_failed"
        await world.runtime.db.collection("messages").update_one({"_id": sent["id"]}, {"$set": {"status": "failed"}})
        again = await ask(client, "POST", f"/messages/{sent['id']}/retry", 201)
        assert (again["retry_of"], again["text"]) == (sent["id"], "Over it")
        assert (await ask(client, "POST", f"/messages/{sent['id']}/retry", 201))["id"] == again["id"]
