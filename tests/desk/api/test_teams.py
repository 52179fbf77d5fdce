"""Teams, presence and the queue by the API."""

from typing import Any

from aiohttp import ClientSession

from tests.desk.api.conftest import World, answer_of


async def ask(client: ClientSession, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    """The JSON of an answer with this status."""
    answer = await client.request(method, f"/api/v1{path}", json=body)
    if status == 204:
        assert answer.status == 204, await answer.text()
        return None
    found = await answer_of(answer)
    assert answer.status == status, (method, path, found)
    return found


async def test_a_team_gives_its_conversations_out(own_world: World) -> None:
    runtime = own_world.runtime
    anna = await runtime.users.add_user("anna.agent@example.org", "Anna", "agent")
    await runtime.agents.seen(anna.id)
    async with own_world.client() as client:
        wanted = {"name": "Support", "members": [{"user_id": anna.id}], "channel_ids": [own_world.ours.channel],
                  "routing": {"mode": "balanced", "last_agent_first": True}}  # fmt: skip
        made = await ask(client, "POST", "/teams", wanted, 201)
        assert (await ask(client, "POST", "/teams", {**wanted, "channel_ids": []}, 409))["code"] == "name_taken"
        assert (await ask(client, "POST", "/teams", {**wanted, "name": "B"}, 409))["code"] == "channel_taken"
        wrong = await ask(
            client, "PUT", f"/teams/{made['id']}/members", {"members": [{"user_id": "usr_" + "0" * 26}]}, 422
        )
        assert wrong["errors"][0]["path"] == "members[0].user_id"
        await runtime.routing.sweep()
        await runtime.routing.drain(100)
        talk = await ask(client, "GET", f"/conversations/{own_world.ours.conversation}")
        assert (talk["team_id"], talk["assignee_id"]) == (made["id"], anna.id)
        listed = await ask(client, "GET", f"/conversations?team={made['id']}")
        assert [each["id"] for each in listed["data"]] == [talk["id"]]
        here = await ask(client, "GET", "/presence")
        (own,) = [each for each in here["data"] if each["user_id"] == anna.id]
        assert (own["state"], own["here"], own["load"], own["most"]) == ("online", True, 1, 10)
        changed = await ask(client, "PATCH", f"/agents/{anna.id}", {"capacity": {"total": 3}, "skills": ["Returns "]})
        assert (changed["most"], changed["skills"]) == (3, ["returns"])
        assert (await ask(client, "PATCH", f"/agents/{anna.id}", {"languages": ["de"]}))["most"] == 3
        moved = await ask(client, "PATCH", f"/conversations/{talk['id']}", {"team_id": None})
        assert moved["team_id"] is None
        nowhere = await ask(client, "PATCH", f"/conversations/{talk['id']}", {"team_id": "tea_" + "0" * 26}, 422)
        assert nowhere["errors"][0]["path"] == "team_id"
        again = await ask(client, "PATCH", f"/conversations/{talk['id']}", {"team_id": made["id"]})
        assert again["team_id"] == made["id"]
        await ask(client, "DELETE", f"/teams/{made['id']}", status=204)
        await ask(client, "GET", f"/teams/{made['id']}", status=404)
        assert (await ask(client, "POST", f"/teams/{made['id']}/restore"))["members"] == made["members"]
    async with own_world.client("scoped:viewer") as client:
        foreign = [own_world.foreign.channel]
        await runtime.teams.change(made["id"], {"channel_ids": [own_world.ours.channel, *foreign]})
        assert (await ask(client, "GET", f"/teams/{made['id']}"))["channel_ids"] == [own_world.ours.channel]


async def test_the_states_are_the_houses_own(own_world: World) -> None:
    async with own_world.client() as client:
        rules = await ask(client, "GET", "/presence-rules")
        assert [each["key"] for each in rules["states"]] == ["online", "busy", "away", "offline"]
        lunch = {"key": "lunch", "names": {"en": "At lunch", "de": "Mittag"}, "releases_after_s": 2700}
        wanted = {"states": [rules["states"][0], lunch], "capacity": None}
        assert (await ask(client, "PUT", "/presence-rules", wanted))["states"][1]["names"]["de"] == "Mittag"
        wrong = await ask(client, "PUT", "/presence-rules", {"states": [rules["states"][0]] * 2}, 422)
        assert wrong["errors"]
        assert (await ask(client, "GET", "/presence-rules"))["capacity"] is None
        await ask(client, "PUT", "/presence-rules", rules)
        said = await ask(client, "PUT", "/presence", {"state": "away"}, 422)
        assert "program" in said["detail"]
        nothing = await ask(client, "POST", "/conversations/next", status=422)
        assert "program" in nothing["detail"]
