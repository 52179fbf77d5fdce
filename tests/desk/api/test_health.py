"""Alive, ready and figures: who may look, and what is said when the database is away."""

from types import SimpleNamespace

import pytest
from aiohttp import ClientSession, web

from desk.api import health
from desk.keys import RUNTIME
from tests.desk.api.conftest import World, answer_of


async def test_alive_and_ready(world: World) -> None:
    async with world.client(None) as client:
        assert await answer_of(await client.get("/healthz")) == {"status": "ok"}
        found = await answer_of(await client.get("/readyz"))
    assert found == {"status": "ready", "checks": {"database": "ok", "journal": "ok"}}


class Database:
    """Answers as told."""

    def __init__(self, answer):
        self.answer = answer

    async def require_replica_set(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "checks"),
    [
        (TimeoutError(), {"database": "away", "journal": "away"}),
        ({"setName": "r", "isWritablePrimary": False}, {"database": "ok", "journal": "read_only"}),
    ],
)
async def test_not_ready_without_a_database_that_takes_writes(local_server, answer, checks) -> None:
    app = web.Application()
    app[RUNTIME] = SimpleNamespace(db=Database(answer))
    app.add_routes(health.routes())
    async with ClientSession(await local_server(app)) as client:
        answered = await client.get("/readyz")
        assert (answered.status, answered.headers["Retry-After"]) == (503, "2")
        assert await answered.json() == {"status": "not_ready", "checks": checks}
        assert (await client.get("/healthz")).status == 200


async def test_figures_are_for_this_machine_and_for_tokens(world: World) -> None:
    async with world.client(None) as client:
        found = await client.get("/metrics")
        assert found.status == 200 and "rapport_webhooks_total" in await found.text()
        assert found.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        for name in health.FORWARDED:
            proxied = await client.get("/metrics", headers={name: "203.0.113.9"})
            assert proxied.status == 401, name
            token = {name: "203.0.113.9", "Authorization": f"Bearer {world.tokens['viewer']}"}
            assert (await client.get("/metrics", headers=token)).status == 200
            wrong = {name: "203.0.113.9", "Authorization": "Bearer rpt_wrong"}
            assert (await client.get("/metrics", headers=wrong)).status == 401
