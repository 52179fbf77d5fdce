"""The door: nothing unsigned leaves a trace, everything answered 200 is kept."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from base.errors import Unavailable
from base.mongo import Database
from channels.adapter import Account, Adapter, Answer, Delivery, Unverified
from tests.webhooks.conftest import Pigeon, Tools, sign
from webhooks.journal import Journal
from webhooks.routes import Door

BODY = json.dumps([{"id": "1", "from": "anna", "text": "hi"}]).encode()


@pytest.fixture
async def door(tools: Tools) -> Any:
    app = web.Application()
    app.add_routes(Door(tools, max_inflight=64).routes())
    client = TestClient(TestServer(app))
    await client.start_server()
    yield client
    await client.close()


def path(tools: Tools) -> str:
    return f"/webhooks/pigeon/{tools.channel.id}"


def signed(body: bytes) -> dict[str, str]:
    return {"X-Pigeon": sign("s3cret", body)}


async def rows(tools: Tools) -> list[Any]:
    return await tools.db.collection("deliveries").find({}).to_list(None)


async def test_signed_is_kept_before_it_is_answered(door: Any, tools: Tools) -> None:
    answer = await door.post(path(tools), data=BODY, headers=signed(BODY))
    assert answer.status == 200
    (row,) = await rows(tools)
    assert bytes(row["body"]) == BODY and row["state"] == "pending"
    assert "x-pigeon" not in row["headers"]


@pytest.mark.parametrize("headers", [{}, {"X-Pigeon": ""}, {"X-Pigeon": "0" * 64}, {"X-Pigeon": sign("other", BODY)}])
async def test_unsigned_changes_nothing(door: Any, tools: Tools, headers: dict[str, str]) -> None:
    assert (await door.post(path(tools), data=BODY, headers=headers)).status == 401
    assert await rows(tools) == []


async def test_refusals_are_counted_outside_of_the_database(door: Any, tools: Tools) -> None:
    for _ in range(3):
        await door.post(path(tools), data=BODY)
    await tools.refusals.close()
    assert await tools.refusals.of(tools.channel.id) == 3
    assert set(await tools.db.collection("channels").find_one({})) == {
        "_id", "provider", "name", "settings", "secrets", "former_secrets", "state", "state_reason", "created_at",
        "updated_at", "received", "sent",
    }  # fmt: skip


async def test_redelivery_is_answered_and_kept_once(door: Any, tools: Tools) -> None:
    answers = await asyncio.gather(*(door.post(path(tools), data=BODY, headers=signed(BODY)) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len(await rows(tools)) == 1


async def test_many_at_once_share_writes_and_each_is_kept(door: Any, tools: Tools) -> None:
    bodies = [json.dumps([{"id": str(i), "from": "x", "text": ""}]).encode() for i in range(60)]
    answers = await asyncio.gather(*(door.post(path(tools), data=body, headers=signed(body)) for body in bodies))
    assert {answer.status for answer in answers} == {200}
    assert {bytes(row["body"]) for row in await rows(tools)} == set(bodies)


async def test_too_large_is_413_even_as_a_gzip_bomb(door: Any, tools: Tools) -> None:
    large = b"x" * 200_000
    assert (await door.post(path(tools), data=large, headers=signed(large))).status == 413
    packed = gzip.compress(b"0" * 50_000_000)
    headers = {**signed(packed), "Content-Encoding": "gzip"}
    assert (await door.post(path(tools), data=packed, headers=headers)).status == 413
    assert await rows(tools) == []


async def test_what_cannot_be_unpacked_is_400(door: Any, tools: Tools) -> None:
    headers = {**signed(BODY), "Content-Encoding": "gzip"}
    for _ in range(2):
        answer = await door.post(path(tools), data=BODY, headers=headers)
        assert answer.status == 400, await answer.text()
    assert await rows(tools) == []


@pytest.mark.parametrize("where", ["/webhooks/pigeon/chn_nobody", "/webhooks/owl/{}", "/webhooks/pigeon/%24ne"])
async def test_unknown_channels_are_404(door: Any, tools: Tools, where: str) -> None:
    answer = await door.post(where.format(tools.channel.id), data=BODY, headers=signed(BODY))
    assert answer.status == 404


async def test_overload_is_503_with_retry_after(tools: Tools) -> None:
    app = web.Application()
    app.add_routes(Door(tools, max_inflight=0).routes())
    async with TestClient(TestServer(app)) as client:
        answer = await client.post(path(tools), data=BODY, headers=signed(BODY))
    assert answer.status == 503 and answer.headers["Retry-After"]


async def test_a_database_that_is_away_is_503_not_500(door: Any, tools: Tools) -> None:
    await door.post(path(tools), data=BODY, headers=signed(BODY))  # the account is known now
    gone = Database("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200", "gone")
    tools.journal = Journal(gone, tools.clock)
    other = BODY.replace(b"hi", b"ho")
    answer = await asyncio.wait_for(door.post(path(tools), data=other, headers=signed(other)), 5)
    assert answer.status == 503 and answer.headers["Retry-After"]
    gone.close()


async def test_a_row_that_cannot_be_stored_fails_its_own_request_alone(door: Any, tools: Tools) -> None:
    good = [json.dumps([{"id": f"g{i}", "from": "x", "text": ""}]).encode() for i in range(10)]
    poison = door.post(path(tools) + "?a=%ED%A0%80", data=BODY, headers={**signed(BODY), "User-Agent": "\udce9"})
    answers = await asyncio.gather(
        poison, *(door.post(path(tools), data=body, headers=signed(body)) for body in good), return_exceptions=True
    )
    assert [answer.status for answer in answers[1:]] == [200] * 10


async def test_a_secret_being_rotated_is_accepted_old_and_new(door: Any, tools: Tools) -> None:
    await tools.channels.update(tools.channel.id, settings={"secret": "fresh"})
    assert (await door.post(path(tools), data=BODY, headers=signed(BODY))).status == 200
    other = BODY + b" "
    assert (await door.post(path(tools), data=other, headers={"X-Pigeon": sign("fresh", other)})).status == 200


class _Notary(Pigeon):
    """Wants a key before it verifies, and to be called back after a handshake."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.steps: list[str] = []

    async def prepare(self, account: Account, delivery: Delivery) -> None:
        self.steps.append("prepare")
        if self.trouble is not None:
            raise self.trouble

    def verify(self, account: Account, delivery: Delivery, now: Any) -> None:
        self.steps.append("verify")
        super().verify(account, delivery, now)

    def handshake(self, account: Account, delivery: Delivery) -> Answer | None:
        return Answer(body=b"hello") if delivery.body.startswith(b"[]") else None

    async def confirm(self, account: Account, delivery: Delivery) -> None:
        self.steps.append("confirm")
        if delivery.body.endswith(b" "):
            raise Unavailable("The provider does not answer.")


def notary(tools: Tools, monkeypatch: pytest.MonkeyPatch, trouble: Exception | None = None) -> _Notary:
    made = _Notary(trouble)
    known: dict[str, Adapter] = tools.registry._adapters
    monkeypatch.setitem(known, "pigeon", made)
    return made


async def test_what_verify_needs_is_fetched_before_it(door: Any, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = notary(tools, monkeypatch)
    assert (await door.post(path(tools), data=BODY, headers=signed(BODY))).status == 200
    assert adapter.steps == ["prepare", "verify"] and len(await rows(tools)) == 1


@pytest.mark.parametrize(("trouble", "status"), [(Unverified("no"), 401), (Unavailable("away"), 503)])
async def test_without_it_nothing_is_verified_and_nothing_kept(
    door: Any, tools: Tools, monkeypatch: pytest.MonkeyPatch, trouble: Exception, status: int
) -> None:
    adapter = notary(tools, monkeypatch, trouble)
    assert (await door.post(path(tools), data=BODY, headers=signed(BODY))).status == status
    assert adapter.steps == ["prepare"] and await rows(tools) == []


async def test_a_verified_handshake_may_be_confirmed(door: Any, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = notary(tools, monkeypatch)
    assert (await door.post(path(tools), data=b"[]", headers=signed(b"[]"))).status == 200
    assert adapter.steps == ["prepare", "verify", "confirm"] and await rows(tools) == []
    assert (await door.post(path(tools), data=b"[] ", headers=signed(b"[] "))).status == 503, "it comes again"
    adapter.steps.clear()
    assert (await door.post(path(tools), data=b"[]")).status == 401
    assert "confirm" not in adapter.steps
