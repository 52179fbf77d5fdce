"""Reports over HTTP: shapes, files, scopes, faults."""

import pytest

from tests.desk.api.conftest import World, answer_of

API = "/api/v1/reports"


@pytest.fixture(scope="module")
async def world(own_world: World) -> World:
    """Everything in it is counted."""
    while await own_world.runtime.figures.read_past():
        pass
    await own_world.runtime.figures.keep()
    return own_world


async def test_a_report_and_the_rows_behind_it(world: World) -> None:
    ours, foreign = world.ours, world.foreign
    async with world.client("viewer") as client:
        found = await answer_of(await client.get(f"{API}/volume", params={"by": "channel", "zone": "Asia/Shanghai"}))
        assert {row["key"] for row in found["rows"]} == {ours.channel, foreign.channel}
        assert {row["name"] for row in found["rows"]} == {"Channel of anna", "Channel of boris"}
        assert found["total"]["created"] == 2
        assert found["columns"][0] == {"key": "created", "unit": "count", "open": False}
        assert (found["zone"], found["by"]) == ("Asia/Shanghai", "channel")
        asked = {"by": "channel", "column": "created", "of": ours.channel}
        rows = await answer_of(await client.get(f"{API}/volume/rows", params=asked))
        assert [row["conversation_id"] for row in rows["data"]] == [ours.conversation] and rows["next_cursor"] is None
        first = await answer_of(await client.get(f"{API}/volume/rows", params={"column": "created", "limit": "1"}))
        rest = {"column": "created", "cursor": first["next_cursor"]}
        second = await answer_of(await client.get(f"{API}/volume/rows", params=rest))
        both = {row["conversation_id"] for row in (*first["data"], *second["data"])}
        assert both == {ours.conversation, foreign.conversation}
        csat = await answer_of(await client.get(f"{API}/csat"))
        assert csat["total"]["count"] == 2 and csat["total"]["mean"] == 2 and csat["total"]["mark_2"] == 2
        answer = await client.get(f"{API}/volume", params={"by": "channel"}, headers={"Accept": "text/csv"})
        lines = (await answer.text()).splitlines()
        assert answer.content_type == "text/csv" and lines[0].startswith("channel,name,created") and len(lines) == 4
        answer = await client.get(f"{API}/volume/rows", params={"column": "sent"}, headers={"Accept": "text/csv"})
        assert (await answer.text()).startswith("at,kind,n,conversation_id")
    async with world.client("scoped:viewer") as client:
        found = await answer_of(await client.get(f"{API}/volume", params={"by": "channel"}))
        assert [row["key"] for row in found["rows"]] == [ours.channel] and found["total"]["created"] == 1
        for query in ({"channel": foreign.channel}, {"of": foreign.channel, "by": "channel"}):
            answer = await client.get(f"{API}/volume/rows", params={"column": "created", **query})
            assert (await answer_of(answer))["data"] == [], query


async def test_narrowed_by_all_at_once_file_and_rows_agree(world: World) -> None:
    """Of the furnished conversations, whatever they carry: each combination that there is, and no other."""
    async with world.client("viewer") as client:
        facts = await answer_of(await client.get(f"{API}/volume/rows", params={"column": "created"}))
        assert len(facts["data"]) == 2
        for fact in facts["data"]:
            told = {"agent": fact["agent_id"] or "none", "team": fact["team_id"] or "none"}
            told |= {"channel": fact["channel_id"], **({"label": fact["labels"][0]} if fact["labels"] else {})}
            for by in ("day", "agent", "label"):
                found = await answer_of(await client.get(f"{API}/volume", params={**told, "by": by}))
                assert found["total"]["created"] == 1 and sum(row["values"]["created"] for row in found["rows"]) >= 1
                answer = await client.get(f"{API}/volume", params={**told, "by": by}, headers={"Accept": "text/csv"})
                assert (await answer.text()).splitlines()[-1].split(",")[2] == "1"
            behind = await answer_of(await client.get(f"{API}/volume/rows", params={**told, "column": "created"}))
            assert behind["data"] == [fact]
            none = await answer_of(await client.get(f"{API}/volume", params={**told, "label": "another"}))
            assert none["total"]["created"] == 0
    async with world.client("scoped:viewer") as client:
        for fact in facts["data"]:
            told = {"agent": fact["agent_id"] or "none", "team": fact["team_id"] or "none", "by": "label"}
            found = await answer_of(await client.get(f"{API}/volume", params={**told, "channel": fact["channel_id"]}))
            assert found["total"]["created"] == int(fact["channel_id"] == world.ours.channel), fact


@pytest.mark.parametrize(
    ("path", "query", "place"),
    [
        ("/volume", {"from": "yesterday"}, "from"), ("/volume", {"zone": "Nowhere"}, "zone"),
        ("/volume", {"from": "2026-01-02", "to": "2026-01-02"}, "to"), ("/volume", {"by": "week_hour"}, "by"),
        ("/volume", {"by": "hour", "from": "2026-01-01", "to": "2026-03-01"}, "from"),
        ("/volume", {"agent": "none", "team": "x"}, "team"), ("/agent-load", {"agent": "none", "by": "team"}, "by"),
        ("/volume/rows", {"column": "nothing"}, "column"),
        ("/volume/rows", {"column": "sent", "of": "2020-01-01"}, "of"),
    ],
)  # fmt: skip
async def test_a_fault_is_named(world: World, path: str, query: dict[str, str], place: str) -> None:
    async with world.client("viewer") as client:
        answer = await client.get(API + path, params=query)
        assert answer.status == 422
        assert place in {each["path"] for each in (await answer_of(answer))["errors"]}
        assert (await client.get(f"{API}/nothing")).status == 404


async def test_hours_that_are_not_there_are_refused(world: World) -> None:
    hours = world.ours.common["hrs"]
    async with world.client() as client:
        for body in ({"hours_id": "hrs_" + "0" * 26}, {"channel_hours": {"chn_" + "0" * 26: hours}}):
            assert (await client.put("/api/v1/report-rules", json=body)).status == 422
        body = {"hours_id": hours, "channel_hours": {world.ours.channel: hours}}
        assert await answer_of(await client.put("/api/v1/report-rules", json=body)) == body
        assert await answer_of(await client.get("/api/v1/report-rules")) == body
