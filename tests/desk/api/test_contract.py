"""What holds for every call: strict input, one form of error, at most once per key, opaque cursors."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import io
import json
from datetime import datetime

import pytest
from aiohttp import FormData
from pydantic import BaseModel

from base.errors import WrongInput
from desk.api.reading import dotted, read_body, refuse_unstorable
from desk.api.shapes import Body, iso, plain
from tests.desk.api.conftest import CANARY, World, answer_of

#: What an attacker puts where a text is expected.
OPERATORS = (
    {"$ne": None},
    {"$gt": ""},
    {"$regex": ".*"},
    {"$where": "1"},
    ["a"],
    {"a.b": 1},
    {"__proto__": {}},
    1,
    True,
)


def post_profile(client, body, **headers):
    return client.post("/api/v1/profiles", json=body, headers=headers)


def person(name: str) -> dict:
    return {"identities": [{"kind": "customer_id", "value": f"c-{name}"}], "name": name}


async def test_unknown_fields_are_refused_with_their_path(world: World) -> None:
    async with world.client() as client:
        answer = await post_profile(client, {**person("x"), "role": "admin", "orders": {}})
        problem = await answer_of(answer)
        nested = await answer_of(
            await post_profile(client, {"identities": [{"kind": "email", "value": "a@b.example", "profile_id": "x"}]})
        )
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert {each["path"] for each in problem["errors"]} == {"role", "orders"}
    assert problem["code"] == "wrong_input" and problem["request_id"]
    assert [each["path"] for each in nested["errors"]] == ["identities[0].profile_id"]


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"a": 1}', b"NaN", b"[" * 100_000])
async def test_what_is_no_json_object_is_422(world: World, body: bytes) -> None:
    async with world.client(headers={"Content-Type": "application/json"}) as client:
        answer = await client.post("/api/v1/profiles", data=body)
        assert (answer.status, (await answer_of(answer))["status"]) == (422, 422)


async def test_a_form_is_not_taken_for_json(world: World) -> None:
    async with world.client() as client:
        for data in (FormData({"name": "x"}), '{"identities": ["email:a@b.example"]}'):
            headers = {} if isinstance(data, FormData) else {"Content-Type": "text/plain"}
            answer = await client.post("/api/v1/profiles", data=data, headers=headers)
            assert (answer.status, (await answer_of(answer))["code"]) == (422, "not_json")


async def test_bodies_are_bounded_also_when_packed(world: World) -> None:
    async with world.client(headers={"Content-Type": "application/json"}) as client:
        large = json.dumps({"name": "x" * 1_100_000}).encode()
        bomb = gzip.compress(b" " * 60_000_000)
        assert (await client.post("/api/v1/profiles", data=io.BytesIO(large))).status == 413
        packed = {"Content-Encoding": "gzip"}
        assert (await client.post("/api/v1/profiles", data=io.BytesIO(bomb), headers=packed)).status == 413
        small = gzip.compress(json.dumps(person("packed")).encode())
        assert (await client.post("/api/v1/profiles", data=small, headers=packed)).status == 201
        assert (await client.post("/api/v1/profiles", data=b"not packed", headers=packed)).status == 422


async def test_a_body_where_none_is_taken_and_parameters_that_do_not_exist(world: World) -> None:
    async with world.client() as client:
        assert (await client.post(f"/api/v1/channels/{world.ours.channel}/test", json={"x": 1})).status == 422
        for query in ("?x=1", "?limit=0", "?limit=201", "?limit=x", "?limit=1&limit=2", "?limit[$gt]=1"):
            answer = await client.get("/api/v1/profiles" + query)
            assert (answer.status, (await answer_of(answer))["errors"][0]["path"][:5]) in (
                (422, "limit"), (422, "x"),
            )  # fmt: skip
        assert (await client.get("/api/v1/channels?x=5")).status == 422


@pytest.mark.parametrize("odd", OPERATORS, ids=str)
async def test_operators_are_no_texts(world: World, odd: object) -> None:
    before = await world.digest()
    cnv, prf, chn = world.ours.conversation, world.ours.profile, world.ours.channel
    tries = [
        ("POST", "/channels", {"provider": odd, "name": "n"}), ("PATCH", f"/channels/{chn}", {"name": odd}),
        ("POST", "/channels", {"provider": "generic", "name": odd}),
        ("PATCH", f"/channels/{chn}", {"settings": {"scheme": odd}}),
        ("POST", "/profiles", {"identities": [{"kind": "email", "value": odd}]}),
        ("POST", "/profiles", {"identities": odd}), ("PATCH", f"/profiles/{prf}", {"name": odd}),
        ("PATCH", f"/profiles/{prf}", {"tags": odd}), ("PATCH", f"/profiles/{prf}", {"tags": [odd]}),
        ("POST", f"/profiles/{prf}/stage", {"stage": odd}),
        ("POST", f"/profiles/{prf}/consents", {"identity_id": odd, "purpose": "marketing", "granted": True}),
        ("PATCH", f"/conversations/{cnv}", {"status": odd}), ("PATCH", f"/conversations/{cnv}", {"assignee_id": odd}),
        ("PATCH", f"/conversations/{cnv}", {"labels": [odd]}),
        ("POST", f"/conversations/{cnv}/messages", {"text": odd}),
        ("POST", f"/conversations/{cnv}/messages", {"text": "x", "reply_to": odd}),
        ("POST", "/events", {"event": odd, "profile_id": prf}), ("POST", "/events", {"event": "x", "profile_id": odd}),
        ("POST", "/events", {"event": "x", "identity": odd}), ("POST", "/events", {"batch": [{"event": odd}]}),
        ("POST", "/orders", {"external_id": odd, "identity": "email:a@b.example"}),
        ("POST", "/orders", {"external_id": "1", "identity": odd}), ("POST", "/tasks", {"text": odd}),
        ("POST", "/tasks", {"text": "x", "assignee_id": odd}), ("POST", "/tokens", {"name": odd, "role": "viewer"}),
        ("POST", "/tokens", {"name": "n", "role": odd}), ("POST", "/users", {"email": odd, "role": "viewer"}),
    ]  # fmt: skip
    fine = {"labels", "tags"} if odd == ["a"] else set()
    async with world.client() as client:
        for method, path, body in tries:
            if fine & body.keys():
                continue
            answer = await client.request(method, "/api/v1" + path, json=body)
            assert answer.status == 422, (method, path, body, await answer.text())
        for path in ("/profiles", "/conversations", "/messages", "/orders", "/sends", "/tasks"):
            for name in ("status", "profile", "q[$ne]", "cursor[$gt]", "$where"):
                assert (await client.get(f"/api/v1{path}", params={name: '{"$ne": null}'})).status == 422
            odd_id = path + '/{"$ne":null}'
            assert (await client.get("/api/v1" + odd_id)).status == 404
    assert await world.digest() == before


async def test_free_form_parts_hold_only_what_can_be_stored(world: World) -> None:
    huge, deep = 2**63, json.loads('{"a":' * 45 + "1" + "}" * 45)
    async with world.client() as client:
        for attributes in (
            {"$set": 1},
            {"a.b": 1},
            {"a": {"$ne": 1}},
            {"a": huge},
            {"a": deep},
            {"1": 1},
            {"a\x00": 1},
        ):
            answer = await post_profile(client, {**person("x"), "attributes": attributes})
            assert answer.status == 422, attributes
        for properties in ({"a": huge}, {"a": deep}, {"a\x00b": 1}):
            body = {"event": "viewed", "identity": "customer_id:c-x", "properties": properties}
            assert (await client.post("/api/v1/events", json=body)).status == 422, properties
        kept = {
            "event": "viewed",
            "identity": "customer_id:c-x",
            "properties": {"$set": 1, "a.b": [1.5, None, {"x": []}]},
        }
        assert (await client.post("/api/v1/events", json=kept)).status == 202
        raw = b'{"event": "viewed", "identity": "customer_id:c-x", "properties": {"a": %s}}'
        for text in (b"NaN", b"Infinity", b"1e999", b'"\\ud800"', b"9" * 5000):
            headers = {"Content-Type": "application/json"}
            assert (await client.post("/api/v1/events", data=raw % text, headers=headers)).status == 422, text[:20]


@pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "2026-01-01", 1767225600, "0001-01-01T00:00:00+14:00",
                                "9999-12-31T23:59:59-14:00", "1800-01-01T00:00:00Z", "yesterday", ""])  # fmt: skip
async def test_times_need_a_zone_and_a_sane_year(world: World, at: object) -> None:
    async with world.client() as client:
        body = {"event": "viewed", "identity": "customer_id:c-x", "occurred_at": at}
        assert (await client.post("/api/v1/events", json=body)).status == 422
        assert (await client.get("/api/v1/messages", params={"since": str(at)})).status == 422


# -- at most once --------------------------------------------------------------------------------------------------


async def test_a_repeat_gets_the_first_answer(world: World) -> None:
    async with world.client() as client:
        first = await post_profile(client, person("once"), **{"Idempotency-Key": "k-once"})
        again = await post_profile(client, person("once"), **{"Idempotency-Key": "k-once"})
        assert (first.status, again.status) == (201, 201)
        assert await first.read() == await again.read()
        assert again.headers["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first.headers
        other = await post_profile(client, person("another"), **{"Idempotency-Key": "k-once"})
        assert (other.status, (await answer_of(other))["code"]) == (422, "idempotency_key_reused")
        elsewhere = await client.post("/api/v1/tasks", json={"text": "x"}, headers={"Idempotency-Key": "k-once"})
        assert elsewhere.status == 422
    async with world.client("marketer") as somebody_else:
        theirs = await post_profile(somebody_else, person("another"), **{"Idempotency-Key": "k-once"})
        assert theirs.status == 201


async def test_one_effect_however_many_come_at_once(world: World) -> None:
    path = f"/api/v1/conversations/{world.ours.conversation}/messages"
    async with world.client() as client:
        asked = [client.post(path, json={"text": "Only once"}, headers={"Idempotency-Key": "k-race"}) for _ in range(8)]
        statuses = sorted([answer.status for answer in await asyncio.gather(*asked)])
        assert set(statuses) <= {201, 409} and 201 in statuses
        lines = (await answer_of(await client.get(path)))["data"]
    assert sum(line["text"] == "Only once" for line in lines) == 1


async def test_while_the_first_runs_others_wait(world: World) -> None:
    store, owner = world.runtime.users, "tok_other"
    assert (await store.begin_once(owner, "k", "h")).state == "new"
    async with world.client() as client:
        me = (await answer_of(await client.get("/api/v1/tokens")))["data"]
        mine = next(each["id"] for each in me if each["name"] == "All of admin")
        body = b'{"text":"slow"}'
        await store.begin_once(mine, "k-slow", _fingerprint("/api/v1/tasks", body))
        headers = {"Idempotency-Key": "k-slow", "Content-Type": "application/json"}
        answer = await client.post("/api/v1/tasks", data=body, headers=headers)
        assert (answer.status, (await answer_of(answer))["code"]) == (409, "still_running")


def _fingerprint(path: str, raw: bytes) -> str:
    return hashlib.sha256(f"POST {path}\n".encode() + raw).hexdigest()


async def test_after_a_failure_the_key_is_free_again(world: World) -> None:
    headers = {"Idempotency-Key": "k-retry"}
    async with world.client() as client:
        assert (await client.post("/api/v1/tasks", json={"text": ""}, headers=headers)).status == 422
        assert (await client.post("/api/v1/tasks", json={"text": "Better"}, headers=headers)).status == 201
        assert (await client.post("/api/v1/tasks", json={"text": "Better"}, headers=headers)).status == 201
        found = (await answer_of(await client.get("/api/v1/tasks")))["data"]
    assert sum(task["text"] == "Better" for task in found) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
async def test_odd_keys_are_refused(world: World, key: str) -> None:
    async with world.client() as client:
        answer = await client.post("/api/v1/tasks", json={"text": "x"}, headers={"Idempotency-Key": key})
        assert (answer.status, (await answer_of(answer))["code"]) == (422, "idempotency_key")


async def test_an_answer_with_a_secret_is_kept_sealed(world: World) -> None:
    body, headers = {"name": "shop", "role": "viewer"}, {"Idempotency-Key": "k-secret"}
    async with world.client() as client:
        first = await answer_of(await client.post("/api/v1/tokens", json=body, headers=headers))
        again = await answer_of(await client.post("/api/v1/tokens", json=body, headers=headers))
    assert first == again and first["token"].startswith("rpt_")
    kept = await world.runtime.db.handle["idempotency"].find({}).to_list(None)
    assert first["token"].encode() not in b"".join(bytes(row.get("body", b"")) for row in kept)


# -- pages ---------------------------------------------------------------------------------------------------------


async def test_pages_are_stable_under_inserts(world: World) -> None:
    async with world.client() as client:
        for i in range(5):
            await post_profile(client, person(f"page-{i}"))
        first = await answer_of(await client.get("/api/v1/profiles?limit=2"))
        for i in range(3):
            await post_profile(client, person(f"late-{i}"))
        seen, cursor = [each["id"] for each in first["data"]], first["next_cursor"]
        while cursor:
            following = await answer_of(await client.get("/api/v1/profiles", params={"limit": 2, "cursor": cursor}))
            seen += [each["id"] for each in following["data"]]
            cursor = following["next_cursor"]
        everybody = (await answer_of(await client.get("/api/v1/profiles?limit=200")))["data"]
    assert len(seen) == len(set(seen))
    assert set(seen) == {each["id"] for each in everybody} - {
        each["id"] for each in everybody if (each["name"] or "").startswith("late-")
    }


LISTS = (
    "/channels", "/channels/providers", "/users", "/tokens", "/templates", "/journeys", "/journeys/recipes",
    "/journeys/{jrn}/enrolments", "/tasks", "/tasks/today", "/profiles", "/profiles/{prf}/consents",
    "/profiles/{prf}/timeline", "/profiles/{prf}/notes", "/profiles/{prf}/files", "/consent-groups",
    "/conversations", "/conversations/{cnv}/messages", "/messages", "/orders", "/sends",
)  # fmt: skip


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_comes_in_parts(world: World, path: str) -> None:
    path = "/api/v1" + path.format(**world.ours.known())
    async with world.client() as client:
        whole = (await answer_of(await client.get(path, params={"limit": 200})))["data"]
        parts, cursor = [], None
        while len(parts) <= len(whole):
            asked = {"limit": 1} if cursor is None else {"limit": 1, "cursor": cursor}
            part = await answer_of(await client.get(path, params=asked))
            parts, cursor = parts + part["data"], part["next_cursor"]
            if cursor is None:
                break
        assert [each.get("id", each.get("name")) for each in parts] == [
            each.get("id", each.get("name")) for each in whole
        ]


@pytest.mark.parametrize("path", LISTS)
async def test_cursors_that_we_did_not_give_out_are_refused(world: World, path: str) -> None:
    path = path.format(**world.ours.known())
    forged = [
        "x", "~x", "!!!", "e30", "bnVsbA", "W10", base64.urlsafe_b64encode(b'[{"$gt":""}]').decode(),
        base64.urlsafe_b64encode(b'[{"t":"9999"},{"$ne":1},3]').decode(),
        base64.urlsafe_b64encode(b"[[[[[]]]]]").decode(), base64.urlsafe_b64encode(b'["a","b","c","d"]').decode(),
        "é", "A" * 499, base64.urlsafe_b64encode(b'{"$gt":""}').decode(), base64.urlsafe_b64encode(b'"abc"').decode(),
    ]  # fmt: skip
    async with world.client() as client:
        for cursor in forged:
            answer = await client.get("/api/v1" + path, params={"cursor": cursor})
            assert answer.status == 422, (cursor, await answer.text())


# -- small parts ---------------------------------------------------------------------------------------------------


def test_paths_of_faults() -> None:
    assert dotted(("steps", 2, "for")) == "steps[2].for"
    assert dotted(("‹batch", "batch", 0, "event")) == "batch[0].event"


def test_a_fault_never_repeats_what_was_given() -> None:
    class Secretive(Body):
        secret: int

    with pytest.raises(WrongInput) as refused:
        read_body(Secretive, json.dumps({"secret": CANARY}).encode())
    assert CANARY not in repr(refused.value.errors)


def test_times_go_out_in_one_form() -> None:
    at = datetime.fromisoformat("2026-11-22T10:00:00.123456+01:00")
    assert plain({"a": [at], "b": {"c": (at,)}}) == {
        "a": ["2026-11-22T09:00:00.123Z"],
        "b": {"c": ["2026-11-22T09:00:00.123Z"]},
    }
    assert iso(at) == "2026-11-22T09:00:00.123Z"


def test_what_no_document_can_hold_is_named() -> None:
    class Free(BaseModel):
        value: object

    with pytest.raises(WrongInput) as refused:
        refuse_unstorable(Free(value={"a": [1, 2**64]}))
    assert refused.value.errors[0].path == "value.a[1]"


# -- by cookie, and slowly -----------------------------------------------------------------------------------------


async def test_a_person_acts_by_cookie_only_with_the_csrf_token(world: World) -> None:
    users = world.runtime.users
    user = await users.add_user("cookie@example.org", "Cookie", "agent")
    await users.open_session("secret-of-cookie", user.id, agent="t", address="::1")
    token = hmac.new(b"secret-of-cookie", b"csrf", hashlib.sha256).hexdigest()[:40]
    async with world.client(None, headers={"Cookie": "rapport=secret-of-cookie"}) as client:
        assert (await client.post("/api/v1/tasks", json={"text": "Forged"})).status == 403
        good = {"X-CSRF-Token": token}
        elsewhere = {**good, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post("/api/v1/tasks", json={"text": "Forged"}, headers=elsewhere)).status == 403
        made = await answer_of(await client.post("/api/v1/tasks", json={"text": "Meant"}, headers=good))
        assert made["source"] == {"kind": "person", "id": user.id}
        act = {"identity_id": world.ours.identity, "purpose": "news", "granted": False}
        path = f"/api/v1/profiles/{world.ours.profile}/consents"
        assert (await answer_of(await client.post(path, json=act, headers=good)))["data"][0]["source"] == "staff"
        await users.change_user(user.id, {"active": False})
        assert (await client.get("/api/v1/tasks")).status == 401
        tasks = await world.runtime.tasks.page(limit=200)
    assert "Forged" not in {task["text"] for task in tasks.data}


async def test_a_slow_body_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desk.api.reading.BODY_TIMEOUT_S", 0.3)
    host, port = world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.tokens['admin']}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    async with asyncio.timeout(20):
        assert b" 408 " in await reader.readline()
    writer.close()
