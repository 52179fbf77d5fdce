"""Each resource's ordinary life, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from base.clock import now
from channels.adapter import Delivery
from channels.vocabulary import ApprovedTemplate
from desk.api.routes import OPERATIONS
from tests.desk.api.conftest import CANARY, World, answer_of

API = "/api/v1"
EUR = {"amount_minor": 1999, "currency": "EUR"}


@pytest.fixture(scope="module")
def world(own_world: World) -> World:
    """These tests take things away."""
    return own_world


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, API + path, json=body, **more)
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


#: What people alone are told.
PERSONAL = ("/notifications", "/notifications/unread", "/me/notification-settings", "/me/push")
#: What must be asked along with a path.
QUERIES = {
    "preview_business_hours": {"from": "2031-05-01T00:00:00Z", "to": "2031-05-08T00:00:00Z"}, "search": {"q": "hello"},
    "list_report_rows": {"column": "created"},
}  # fmt: skip


async def test_whatever_can_be_read_can_be_read(world: World) -> None:
    async with world.client("viewer") as client:
        for operation in OPERATIONS:
            if operation.method == "GET" and operation.roles == ("viewer",) and not operation.elsewhere:
                path = operation.plain_path
                for name, pattern in operation.parameters.items():
                    path = path.replace(f"{{{name}}}", world.ours.known().get(pattern[:3], "volume"))
                answer = await client.get(path, params=QUERIES.get(operation.name))
                found = await answer_of(answer)
                if path.endswith(("/deliverability", "/me/sessions", "/me/two-factor", "/me/calendar", *PERSONAL)):
                    # Of e-mail channels, and of people: this is none.
                    assert answer.status == 404, (path, found)
                    continue
                assert answer.status == 200, (path, found)
                if "data" in found and path.count("/") == 3:
                    assert found["data"], path


async def test_a_channel(world: World) -> None:
    body = {"provider": "generic", "name": "Shop", "settings": {"secret": CANARY, "scheme": "standard"}}
    async with world.client() as client:
        made = await ask(client, "POST", "/channels", body, 201)
        path = f"/channels/{made['id']}"
        assert made["webhook_url"] == f"http://rapport.test/webhooks/generic/{made['id']}"
        assert (made["state"], made["secret_names"]) == ("connected", ["secret"])
        changed = await ask(client, "PATCH", path, {"name": "Store", "state": "paused"})
        assert (changed["name"], changed["state"], changed["secret_names"]) == ("Store", "paused", ["secret"])
        assert (await ask(client, "PATCH", path, {"settings": {"scheme": "stripe"}}))["settings"]["scheme"] == "stripe"
        assert (await ask(client, "POST", f"{path}/test"))["ok"] in (True, False)
        faults = (await ask(client, "PATCH", path, {"settings": {"scheme": "x"}}, 422))["errors"]
        assert [each["path"] for each in faults] == ["settings.scheme"]
        for rate in (0.25, None):
            assert (await ask(client, "PATCH", path, {"rate_per_s": rate}))["rate_per_s"] == rate
        faults = (await ask(client, "PATCH", path, {"rate_per_s": 0}, 422))["errors"]
        assert [each["path"] for each in faults] == ["rate_per_s"]
        assert (await ask(client, "GET", path))["settings"]["scheme"] == "stripe"
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)
        for wrong in ({"provider": "pigeon", "name": "n"}, {"provider": "generic", "name": "n", "settings": {"x": 1}}):
            assert (await ask(client, "POST", "/channels", wrong, 422))["errors"]


async def test_a_profile(world: World) -> None:
    both = ["email:Clara@Example.org", {"kind": "phone", "value": "0171 2345678"}]
    async with world.client("agent") as client:
        made = await ask(client, "POST", "/profiles", {"identities": both, "name": "Clara", "tags": ["vip"]}, 201)
        again = await ask(client, "POST", "/profiles", {"identities": both[:1], "attributes": {"city": "Leiden"}})
        assert again["id"] == made["id"] and again["attributes"] == {"city": "Leiden"} and again["tags"] == ["vip"]
        assert made["phones"][0]["value"] == "+491712345678"
        assert {each["kind"] for each in made["identities"]} == {"email", "phone"}
        path = f"/profiles/{made['id']}"
        for query in ("identity=email:clara@example.org", "q=clar", "tag=vip"):
            assert [each["id"] for each in (await ask(client, "GET", f"/profiles?{query}"))["data"]] == [made["id"]]
        changed = await ask(client, "PATCH", path, {"name": "Clara B.", "attributes": {"city": None, "size": 38}})
        assert (changed["name"], changed["attributes"]) == ("Clara B.", {"size": 38})
        staged = await ask(client, "POST", f"{path}/stage", {"stage": "customer", "reason": "bought"})
        assert staged["stage"] == "customer"
        timeline = (await ask(client, "GET", f"{path}/timeline?kind=profile"))["data"]
        assert "profile.stage_changed" in {each["name"] for each in timeline}
        assert (await ask(client, "GET", "/profiles?segment=seg_x", status=422))["errors"][0]["path"] == "segment"
        assert (await ask(client, "GET", "/profiles?identity=x", status=422))["errors"][0]["path"] == "identity"
        await ask(client, "PATCH", path, {"owner_id": "usr_" + "0" * 26}, 422)


async def test_consent_is_a_ledger(world: World) -> None:
    path, address = f"/profiles/{world.ours.profile}/consents", world.ours.identity
    async with world.client("agent") as client:
        act = {"identity_id": address, "purpose": "marketing", "granted": False, "proof": "said so"}
        denied = await ask(client, "POST", path, act, 201, headers={"Idempotency-Key": "consent"})
        assert (denied["data"][0]["granted"], denied["data"][0]["source"]) == (False, "api")
        lifted = {**act, "granted": True, "source": "form", "wording": "Yes, please"}
        assert (await ask(client, "POST", path, lifted, 201))["data"][0]["granted"]
        assert len((await ask(client, "GET", path))["data"]) == 2
        profile = await ask(client, "GET", f"/profiles/{world.ours.profile}")
        assert [(each["purpose"], each["state"]) for each in profile["consents"]] == [("marketing", "granted")]
        await ask(client, "POST", path, {**act, "identity_id": world.foreign.identity}, 422)


async def test_a_conversation(world: World) -> None:
    path = f"/conversations/{world.ours.conversation}"
    user = await world.runtime.users.add_user("agnes@example.org", "Agnes", "agent")
    async with world.client("agent") as client:
        given = {"assignee_id": user.id, "labels": ["returns"], "priority": "high"}
        changed = await ask(client, "PATCH", path, given)
        assert {name: changed[name] for name in given} == given
        for query in (f"assignee={user.id}", "label=returns", "priority=high", "q=anna", "sort=priority",
                      f"channel={world.ours.channel}", f"profile={world.ours.profile}", "status=open"):  # fmt: skip
            assert world.ours.conversation in [
                each["id"] for each in (await ask(client, "GET", f"/conversations?{query}"))["data"]
            ], query
        assert not (await ask(client, "GET", "/conversations?assignee=me"))["data"]
        later = "2199-01-01T00:00:00.000Z"
        await ask(client, "PATCH", path, {"snoozed_until": later}, 422)
        later = "2099-01-01T00:00:00.000Z"
        snoozed = await ask(client, "PATCH", path, {"snoozed_until": later})
        assert (snoozed["status"], snoozed["snoozed_until"]) == ("snoozed", later)
        assert (await ask(client, "PATCH", path, {"snoozed_until": None}))["status"] == "open"
        freed = await ask(client, "PATCH", path, {"status": "resolved", "assignee_id": None})
        assert (freed["status"], freed["assignee_id"]) == ("resolved", None)
        await ask(client, "PATCH", path, {"status": "open"})
        until_reply = await ask(client, "PATCH", path, {"status": "snoozed", "participants": [user.id]})
        assert (until_reply["status"], until_reply["snoozed_until"]) == ("snoozed", None)
        assert until_reply["participants"] == [user.id]
        await ask(client, "PATCH", path, {"status": "open"})
        for wrong in ({"participants": ["usr_" + "0" * 26]}, {"status": "open", "snoozed_until": later},
                      {"team_id": "x"}, {"assignee_id": "usr_" + "0" * 26}, {"status": None},
                      {"priority": None}):  # fmt: skip
            await ask(client, "PATCH", path, wrong, 422)
        lines = (await ask(client, "GET", f"{path}/messages"))["data"]
        assert {"assigned", "labelled", "status_changed"} <= {
            each["system"]["code"] for each in lines if each["system"]
        }


async def test_an_answer_and_a_note(world: World) -> None:
    path = f"/conversations/{world.ours.conversation}/messages"
    async with world.client("agent") as client:
        sent = await ask(client, "POST", path, {"text": "On its way", "reply_to": world.ours.message}, 201)
        assert (sent["direction"], sent["status"], sent["author"]["type"]) == ("out", "queued", "agent")
        send = await ask(client, "GET", f"/sends/{sent['send_id']}")
        assert (send["status"], send["class"], send["message_id"]) == ("planned", "service", sent["id"])
        note = await ask(client, "POST", path, {"text": "Was angry", "note": True}, 201)
        assert (note["direction"], note["send_id"]) == ("note", None)
        later = await ask(client, "POST", path, {"text": "Later", "send_at": "2099-01-01T00:00:00Z"}, 201)
        assert later["due_at"] == "2099-01-01T00:00:00.000Z"
        file = {"kind": "image", "url": "https://files.example.org/a.png", "media_type": "image/png"}
        assert (await ask(client, "POST", path, {"attachments": [file]}, 201))["attachments"][0]["url"] == file["url"]
        for wrong in ({}, {"text": " "}, {"text": "x", "reply_to": world.foreign.message},
                      {"text": "x", "template": {"name": "t", "language": "en"}}):  # fmt: skip
            await ask(client, "POST", path, wrong, 422)
        found = await ask(client, "GET", f"/messages?profile={world.ours.profile}&direction=note")
        assert [each["id"] for each in found["data"]] == [note["id"]]
        by_provider = await ask(client, "GET", f"/messages?channel={world.ours.channel}&provider_message_id=m-anna")
        assert [each["id"] for each in by_provider["data"]] == [world.ours.message]
        ledger = await ask(client, "GET", f"/sends?conversation={world.ours.conversation}&status=planned")
        assert sent["send_id"] in [each["id"] for each in ledger["data"]]


async def test_events_are_kept_once(world: World) -> None:
    event = {"event": "page.viewed", "identity": "anonymous:visit-1", "properties": {"path": "/"}, "message_id": "pv-1"}
    async with world.client("marketer") as client:
        first = (await ask(client, "POST", "/events", event, 202))["data"][0]
        again = (await ask(client, "POST", "/events", event, 202))["data"][0]
        assert first == again
        many = {"batch": [{**event, "message_id": f"pv-{i}"} for i in (1, 2, 3)]}
        assert len((await ask(client, "POST", "/events", many, 202))["data"]) == 3
        timeline = (await ask(client, "GET", f"/profiles/{first['profile_id']}/timeline"))["data"]
        assert sum(each["name"] == "page.viewed" for each in timeline) == 3
        assert timeline[0]["properties"] == {"path": "/"}
        wrong = {"batch": [event, {**event, "event": "message.received"}]}
        assert (await ask(client, "POST", "/events", wrong, 422))["errors"][0]["path"] == "batch[1].event"
        alone = {**event, "event": "message.received"}
        assert (await ask(client, "POST", "/events", alone, 422))["errors"][0]["path"] == "event"
        nobody = {"batch": [{"event": "x", "message_id": "1"}, {"event": 1}]}
        paths = [each["path"] for each in (await ask(client, "POST", "/events", nobody, 422))["errors"]]
        assert paths[0] == "batch[0]" and "batch[1].event" in paths
        assert (await ask(client, "POST", "/events", {**event, "x": 1}, 422))["errors"][0]["path"] == "x"
        await ask(client, "POST", "/events", {"batch": []}, 422)


async def test_an_order_tells_its_times(world: World) -> None:
    at, paid = "2026-11-20T09:30:00.000Z", "2026-11-21T09:30:00.000Z"
    body = {"external_id": "timed-1", "identity": "email:tim@example.org", "placed_at": at, "occurred_at": paid,
            "milestones": [{"status": "paid", "at": paid}]}  # fmt: skip
    async with world.client() as client:
        found = await ask(client, "POST", "/orders", body, 201)
        assert found["placed_at"] == at and found["status"] == "paid"
        for wrong in ("soon", 5, "2026-11-20T09:30:00"):
            await ask(client, "POST", "/orders", {**body, "placed_at": wrong}, 422)


async def test_an_order_goes_forward(world: World) -> None:
    body = {"external_id": "A-1", "identity": f"{world.ours.channel}:ext-anna", "status": "pending", "total": EUR,
            "lines": [{"name": "Kettle", "quantity": 2, "unit_price": EUR}]}  # fmt: skip
    async with world.client("agent") as client:
        made = await ask(client, "POST", "/orders", body, 201)
        assert (made["profile_id"], made["lines"][0]["unit_price"]) == (world.ours.profile, EUR)
        same = await ask(client, "POST", "/orders", {"external_id": "A-1", "status": "paid"})
        assert (same["id"], same["status"]) == (made["id"], "paid")
        path = f"/orders/{made['id']}"
        shipped = {"status": "fulfilled", "tracking": {"number": "T1", "company": "Post"}}
        assert (await ask(client, "POST", f"{path}/status", shipped))["tracking"]["number"] == "T1"
        assert (await ask(client, "POST", f"{path}/status", {"status": "pending"}))["status"] == "fulfilled"
        listed = await ask(client, "GET", f"/orders?status=fulfilled&profile={world.ours.profile}")
        assert [each["id"] for each in listed["data"]] == [made["id"]]
        assert (await ask(client, "POST", "/orders", {"external_id": "A-2"}, 422))["errors"][0]["path"] == "identity"
        wrong = {**body, "external_id": "A-3", "identity": "chn_" + "0" * 26 + ":x"}
        await ask(client, "POST", "/orders", wrong, 422)


async def test_tasks(world: World) -> None:
    async with world.client("agent") as client:
        made = await ask(client, "POST", "/tasks", {"text": "Send the invoice", "order_id": world.ours.order}, 201)
        today = [each["id"] for each in (await ask(client, "GET", "/tasks/today"))["data"]]
        assert made["id"] in today
        done = await ask(client, "PATCH", f"/tasks/{made['id']}", {"state": "done", "result": "sent"})
        assert (done["state"], done["result"]) == ("done", "sent") and done["done_at"]
        assert made["id"] not in [each["id"] for each in (await ask(client, "GET", "/tasks?status=open"))["data"]]
        for wrong in ({"text": " "}, {"text": "x", "assignee_id": "usr_x"}, {"text": "x", "order_id": "ord_x"}):
            await ask(client, "POST", "/tasks", wrong, 422)
        await ask(client, "PATCH", f"/tasks/{made['id']}", {"text": None}, 422)


async def test_users_and_tokens(world: World) -> None:
    async with world.client() as client:
        invited = await ask(client, "POST", "/users", {"email": "Ben@example.org", "name": "Ben", "role": "agent"}, 201)
        assert invited["link"].startswith("http://rapport.test/welcome/") and not invited["has_password"]
        await ask(client, "POST", "/users", {"email": "ben@example.org", "role": "agent"}, 409)
        renewed = await ask(client, "POST", f"/users/{invited['id']}/link", status=201)
        assert renewed["link"] != invited["link"]
        changed = await ask(client, "PATCH", f"/users/{invited['id']}", {"role": "viewer", "active": False})
        assert (changed["role"], changed["active"]) == ("viewer", False)
        await ask(client, "POST", "/users", {"email": "no address", "role": "agent"}, 422)
        scope = {"name": "n", "role": "agent", "channels": ["chn_" + "0" * 26]}
        assert (await ask(client, "POST", "/tokens", scope, 422))["errors"][0]["path"] == "channels[0]"
        made = await ask(client, "POST", "/tokens", {**scope, "channels": [world.ours.channel]}, 201)
        listed = (await ask(client, "GET", "/tokens"))["data"]
        assert "token" not in listed[0] and listed[0]["id"] == made["id"]
        async with world.client(made["token"]) as theirs:
            assert len((await ask(theirs, "GET", "/channels"))["data"]) == 1
            await ask(client, "DELETE", f"/tokens/{made['id']}", status=204)
            await ask(theirs, "GET", "/channels", status=401)
        await ask(client, "DELETE", "/tokens/tok_" + "0" * 26, status=404)


# -- campaigns -----------------------------------------------------------------------------------------------------


async def test_a_template(world: World) -> None:
    body = {"name": "Hi", "kind": "email", "subject": "For {{ profile.name }}",
            "body": "<p>{{ event.x|default('–') }}</p>",
            "locales": {"de": {"subject": "Für {{ profile.name }}"}}}  # fmt: skip
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/templates", body, 201)
        path = f"/templates/{made['id']}"
        whom = {"profile_id": world.ours.profile, "context": {"event": {"x": "<b>"}}}
        shown = await ask(client, "POST", f"{path}/render", whom)
        assert (shown["subject"], shown["html"]) == ("For Anna", "<p>&lt;b&gt;</p>")
        assert (await ask(client, "POST", f"{path}/render", {**whom, "locale": "de_AT"}))["subject"] == "Für Anna"
        changed = await ask(client, "PATCH", path, {"subject": "Dear {{ profile.nme }}"})
        assert (changed["rev"], changed["locales"]["de"]["subject"]) == (2, "Für {{ profile.name }}")
        fault = (await ask(client, "POST", f"{path}/render", whom, 422))["errors"][0]
        assert fault["path"] == "subject" and "nme" in fault["message"]
        broken = (await ask(client, "POST", "/templates", {**body, "body": "{% if %}"}, 422))["errors"]
        assert broken[0]["path"] == "body"
        assert [each["id"] for each in (await ask(client, "GET", "/templates?kind=email"))["data"]] == [made["id"]]
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)


async def test_a_journey(world: World) -> None:
    steps = [{"id": "w", "type": "wait", "for": "P1D", "next": "x"}, {"id": "x", "type": "exit", "reason": "done"}]
    draft = {"name": "Short", "trigger": {"type": "event", "event": "signed_up"}, "class": "service"}
    async with world.client("marketer") as client:
        made = await ask(client, "POST", "/journeys", draft, 201)
        path = f"/journeys/{made['id']}"
        assert made["status"] == "draft" and made["draft"]["class"] == "service"
        assert (await ask(client, "POST", f"{path}/publish", {}, 422))["errors"][0]["path"] == "steps"
        await ask(client, "PUT", f"{path}/status", {"status": "live"}, 409)
        changed = await ask(client, "PATCH", path, {"steps": steps, "draft_rev": 1})
        assert changed["draft_rev"] == 2
        assert (await ask(client, "PATCH", path, {"name": "n", "draft_rev": 1}, 409))["code"] == "changed_meanwhile"
        dry = await ask(client, "POST", f"{path}/publish", {"dry_run": True})
        assert (dry["version"], dry["dry_run"], dry["added"]) == (1, True, ["w", "x"])
        assert (await ask(client, "GET", path))["live_version"] is None
        await ask(client, "POST", f"{path}/publish", {})
        assert (await ask(client, "GET", path))["status"] == "live"
        await _walk(client, path, world)
        assert (await ask(client, "PUT", f"{path}/status", {"status": "paused"}))["paused_at"]
        await ask(client, "PUT", f"{path}/status", {"status": "live", "overdue": "shift"})
        await ask(client, "PUT", f"{path}/status", {"status": "archived"})
        assert made["id"] not in [each["id"] for each in (await ask(client, "GET", "/journeys"))["data"]]
        faults = await ask(
            client, "POST", "/journeys", {"name": "n", "steps": [{"id": "a", "type": "wait", "for": "x"}]}, 422
        )
        assert faults["errors"][0]["path"] == "steps[0].for"
        assert (await ask(client, "POST", "/journeys", {"nme": "n"}, 422))["errors"][0]["path"] == "nme"


async def test_people_go_along_to_a_new_version_and_back(world: World) -> None:
    wait = {"id": "w", "type": "wait", "for": "P3D", "next": "x"}
    steps = [wait, {"id": "x", "type": "exit"}]
    async with world.client("marketer") as client:
        draft = {"name": "J", "trigger": {"type": "api"}, "steps": steps}
        made = await ask(client, "POST", "/journeys", draft, 201)
        path = f"/journeys/{made['id']}"
        await ask(client, "POST", f"{path}/publish", {})
        run = await ask(client, "POST", f"{path}/enrolments", {"profile_id": world.ours.profile}, 201)
        await world.runtime.walker.advance(10)
        await ask(client, "PATCH", path, {"steps": [{**wait, "for": "P9D"}, steps[1]]})
        changes = await ask(client, "GET", f"{path}/changes")
        assert changes["changed"][0]["fields"] == [{"path": "for", "before": "P3D", "after": "P9D"}]
        dry = await ask(client, "POST", f"{path}/publish", {"dry_run": True, "migrate": {}})
        (move,) = dry["moves"]
        assert (move["node"], move["what"], move["people"], move["now"], move["later"]) == ("w", "changed", 1, 0, 1)
        assert (dry["runs_moving"], dry["move_later"], dry["migration_id"]) == (1, 1, None)
        told = await ask(client, "POST", f"{path}/publish", {"migrate": {"nodes": {"w": "x"}}}, 422)
        assert told["errors"][0]["path"] == "migrate.nodes.w"
        done = await ask(client, "POST", f"{path}/publish", {"migrate": {}})
        (batch,) = (await ask(client, "GET", f"{path}/migrations"))["data"]
        assert (batch["id"], batch["to"], batch["state"]) == (done["migration_id"], 2, "pending")
        undo = f"{path}/migrations/{batch['id']}/undo"
        assert (await ask(client, "POST", undo, {}, 409))["code"] == "still_moving"
        rows = world.runtime.db.collection("journey_migrations")
        await world.runtime.migrations.drain()
        past = now() - timedelta(minutes=1)
        await rows.update_many({}, {"$set": {"created_at": past, "due_at": past}})
        await world.runtime.migrations.drain()
        told = await ask(client, "GET", f"/enrolments/{run['id']}")
        assert (told["version"], told["version_before"]) == (2, 1) and told["version_by"]
        await ask(client, "POST", undo, {})
        await world.runtime.migrations.drain()
        (batch,) = (await ask(client, "GET", f"{path}/migrations"))["data"]
        assert (batch["state"], batch["moved"], batch["put_back"]) == ("undone", 1, 1)
        dry = await ask(client, "POST", f"{path}/migrations", {"dry_run": True})
        assert (dry["people"], dry["move_later"], dry["moves"][0]["node"], dry["migration_id"]) == (1, 1, "w", None)
        told = await ask(client, "POST", f"{path}/migrations", {"nodes": {"w": "x"}}, 422)
        assert told["errors"][0]["path"] == "nodes.w"
        later = await ask(client, "POST", f"{path}/migrations", {})
        newest = (await ask(client, "GET", f"{path}/migrations"))["data"][0]
        assert (newest["id"], newest["to"], newest["state"]) == (later["migration_id"], 2, "pending")
        await world.runtime.migrations.drain()
        assert (await ask(client, "POST", f"{path}/migrations", {}, 409))["code"] == "nobody_behind"
        assert [each["version"] for each in (await ask(client, "GET", f"{path}/versions"))["data"]] == [2, 1]
        assert (await ask(client, "GET", f"{path}/changes?old=2&new=1"))["changed"][0]["fields"][0]["after"] == "P3D"


async def _walk(client: ClientSession, path: str, world: World) -> None:
    whom = {"profile_id": world.ours.profile, "key": "k1", "data": {"coupon": "X"}}
    run = await ask(client, "POST", f"{path}/enrolments", whom, 201)
    again = await ask(client, "POST", f"{path}/enrolments", whom)
    assert (again["id"], again["created"]) == (run["id"], False) and again["reason"]
    listed = (await ask(client, "GET", f"{path}/enrolments?state=waiting"))["data"]
    assert [each["id"] for each in listed] == [run["id"]]
    why = await ask(client, "GET", f"/enrolments/{run['id']}")
    assert why["journey"] == "Short" and why["log"][0]["code"] == "entered" and why["why"]["sentence"]
    ended = await ask(client, "POST", f"/enrolments/{run['id']}/exit")
    assert (ended["state"], ended["end"]["reason"]) == ("ended", "exited")
    await ask(client, "POST", f"/enrolments/{run['id']}/retry", status=409)


@pytest.mark.parametrize("name", ["payment_reminder", "thank_you_review"])
async def test_recipes_are_installed_once_per_key(world: World, name: str) -> None:
    async with world.client("marketer") as client:
        assert name in [each["name"] for each in (await ask(client, "GET", "/journeys/recipes"))["data"]]
        headers = {"Idempotency-Key": f"install-{name}"}
        made = await ask(client, "POST", f"/journeys/recipes/{name}", {"live": True}, 201, headers=headers)
        assert (made["status"], made["recipe"]) == ("live", name)
        again = await ask(client, "POST", f"/journeys/recipes/{name}", {"live": True}, 201, headers=headers)
        assert again["id"] == made["id"]
        wrong = await ask(client, "POST", f"/journeys/recipes/{name}", {"params": {"x": 1}}, 422)
        assert wrong["errors"][0]["path"] == "params.x"
        await ask(client, "POST", "/journeys/recipes/nothing", {}, 404)


# -- last: it takes one side away -----------------------------------------------------------------------------------


async def test_an_erased_person_is_in_no_collection(world: World) -> None:
    victim = world.foreign
    async with world.client() as client:
        await ask(client, "DELETE", f"/profiles/{victim.profile}", status=204)
        for path in (f"/profiles/{victim.profile}", f"/orders/{victim.order}", f"/messages/{victim.message}",
                     f"/conversations/{victim.conversation}", f"/sends/{victim.send}", f"/tasks/{victim.task}",
                     f"/enrolments/{victim.enrolment}"):  # fmt: skip
            await ask(client, "GET", path, status=404)
        await ask(client, "DELETE", f"/profiles/{victim.profile}", status=404)
        assert not (await ask(client, "GET", "/profiles?identity=email:boris@example.org"))["data"]
    database = world.runtime.db.handle
    for _ in range(3):  # webhooks, and the second look, a minute later
        await database.erasures.update_many(
            {"due_at": {"$exists": True}}, {"$set": {"due_at": datetime(2020, 1, 1, tzinfo=UTC)}}
        )
        await world.runtime.privacy.erasures.drain()
    for name in await database.list_collection_names():
        if name not in ("feed", "channels", "system.views"):
            rows = repr(await database[name].find({}).to_list(None))
            assert victim.profile not in rows, name
            # what colleagues call their broadcasts is found and told, not changed (decision 21)
            assert "boris" not in rows.lower() or name == "broadcasts", name


async def test_what_a_channel_delivered(world: World) -> None:
    body = {"provider": "generic", "name": "Log", "settings": {"secret": CANARY, "scheme": "standard"}}
    async with world.client() as client:
        channel = (await ask(client, "POST", "/channels", body, 201))["id"]
        for n, raw in enumerate((b'{"type": "x"}', b"\xff\x00", b"no json")):
            await world.runtime.journal.keep(channel, "generic", f"k{n}", Delivery("POST", raw))
        await world.runtime.ingest.drain(50)
        path = f"/channels/{channel}/deliveries"
        rows = (await ask(client, "GET", path))["data"]
        assert [row["bytes"] for row in rows] == [7, 2, 13]
        first = await ask(client, "GET", f"{path}?limit=2")
        rest = await ask(client, "GET", f"{path}?limit=2&cursor={first['next_cursor']}")
        assert [row["id"] for row in first["data"] + rest["data"]] == [row["id"] for row in rows]
        troubled = (await ask(client, "GET", f"{path}?troubled=true"))["data"]
        assert {row["id"] for row in troubled} == {rows[0]["id"], rows[1]["id"]}
        assert (await ask(client, "GET", f"{path}/{rows[2]['id']}"))["body"] == '{"type": "x"}'
        binary = await ask(client, "GET", f"{path}/{rows[1]['id']}")
        assert (binary["body"], binary["body_base64"]) == (None, "/wA=")
        assert await ask(client, "POST", f"{path}/{rows[1]['id']}/again") == {"again": True}
        assert await ask(client, "POST", f"{path}/{rows[1]['id']}/again") == {"again": False}
        other = (await ask(client, "POST", "/channels", body, 201))["id"]
        await ask(client, "GET", f"/channels/{other}/deliveries/{rows[1]['id']}", status=404)
    async with world.client("agent") as client:
        await ask(client, "GET", path, status=403)


async def test_the_approved_templates_of_a_channel(world: World) -> None:
    body = {"provider": "generic", "name": "Approved", "settings": {"secret": CANARY, "scheme": "standard"}}
    async with world.client() as client:
        channel = (await ask(client, "POST", "/channels", body, 201))["id"]
        path = f"/channels/{channel}/templates"
        assert (await ask(client, "GET", path))["data"] == []
        kept = [
            ApprovedTemplate(name=name, language="en", status="approved", body="Hi {{1}}", body_values=1)
            for name in ("b", "a", "c")
        ]
        await world.runtime.approved.replace(channel, kept)
        first = await ask(client, "GET", f"{path}?limit=2")
        rest = await ask(client, "GET", f"{path}?limit=2&cursor={first['next_cursor']}")
        assert [row["name"] for row in first["data"] + rest["data"]] == ["a", "b", "c"]
        assert (first["data"][0]["body_values"], rest["next_cursor"]) == (1, None)
        assert await ask(client, "POST", f"{path}/fetch", status=202) == {"wanted": True}
        assert await world.runtime.approved.next_fetch(channel) is not None
    async with world.client("agent") as client:
        assert len((await ask(client, "GET", path))["data"]) == 3
        await ask(client, "POST", f"{path}/fetch", status=403)


async def test_consent_groups_are_made_changed_and_taken_away(world: World) -> None:
    async with world.client("marketer") as client:
        given = {"key": "tea_news", "name": "Tea news", "wording": "Yes, monthly.", "double_opt_in": True,
                 "locales": {"zh_CN": {"name": "茶讯"}}}  # fmt: skip
        made = await ask(client, "POST", "/consent-groups", given, 201)
        assert (made["default"], made["wording_version"], made["locales"]["zh_CN"]["name"]) == ("opt_in", 1, "茶讯")
        await ask(client, "POST", "/consent-groups", given, 409)
        path = f"/consent-groups/{made['id']}"
        assert (await ask(client, "PATCH", path, {"wording": "Yes, weekly."}))["wording_version"] == 2
        assert (await ask(client, "PATCH", path, {"default": "opt_out"}, 422))["errors"][0]["path"] == "double_opt_in"
        for wrong in ({"key": "service"}, {"key": "Tea News"}, {"name": ""}, {"wordings": "x"}):
            await ask(client, "POST", "/consent-groups", {**given, **wrong}, 422)
        act = {"identity_id": world.ours.identity, "purpose": "tea_news", "granted": True, "source": "form"}
        consents = f"/profiles/{world.ours.profile}/consents"
        asked = (await ask(client, "POST", consents, act, 201))["data"][0]
        assert (asked["pending"], asked["wording"], asked["wording_version"]) == (True, "Yes, weekly.", 2)
        shown = (await ask(client, "GET", f"/profiles/{world.ours.profile}"))["consents"]
        assert ("tea_news", "pending") in {(each["purpose"], each["state"]) for each in shown}
        assert "tea_news" in {each["key"] for each in (await ask(client, "GET", "/consent-groups"))["data"]}
        await ask(client, "DELETE", path, status=204)
        await ask(client, "GET", path, status=404)


async def test_values_that_tell_nobody_apart_are_blocked_by_administrators(world: World) -> None:
    given = {"kind": "email", "value": "Till@Shop.example"}
    async with world.client("admin") as client:
        looked = await ask(client, "POST", "/blocked-values", {**given, "dry_run": True}, 201)
        assert looked["id"] is None and looked["held_by"] == []
        made = await ask(client, "POST", "/blocked-values", given, 201)
        assert (made["value"], made["why"]) == ("till@shop.example", "named")
        assert made["id"] in {each["id"] for each in (await ask(client, "GET", "/blocked-values"))["data"]}
        for wrong in ({"kind": "name"}, {"value": "nobody"}, {"value": ""}, {"more": 1}):
            await ask(client, "POST", "/blocked-values", {**given, **wrong}, 422)
        path = f"/blocked-values/{made['id']}"
    async with world.client("marketer") as client:
        assert (await ask(client, "GET", "/blocked-values"))["data"]
        await ask(client, "POST", "/blocked-values", given, 403)
        await ask(client, "DELETE", path, status=403)
    async with world.client("admin") as client:
        await ask(client, "DELETE", path, status=204)
        await ask(client, "DELETE", path, status=404)
