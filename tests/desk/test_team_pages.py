"""Teams and presence on the desk: written by forms, chosen in the frame, seen by everybody."""

import asyncio

import pytest

from tests.desk.conftest import Browser, Desk
from tests.desk.world import channel, wrote


@pytest.fixture(scope="module")
async def admin(desk: Desk) -> Browser:
    return await desk.person("admin", name="Ada Admin")


async def test_a_team_is_made_changed_and_taken_away(desk: Desk, admin: Browser) -> None:
    agent = await desk.person("agent", name="Anna Agent")
    shop = await channel(desk.runtime)
    assert "No teams yet" in await admin.page("/settings/teams")
    form = {
        "name": "Support", f"member-{agent.user_id}": "works", f"member-{admin.user_id}": "watches", "mode": "balanced",
        "channel_ids": shop.id, "last_agent_first": "1", "max_wait_min": "30",
    }  # fmt: skip
    text = await admin.post("/settings/teams/new", 422, **{**form, "max_wait_min": "x"})
    text = await (await admin.client.post("/settings/teams/new", data={"csrf": admin.csrf, **form, "name": " "})).text()
    assert 'data-testid="fault-name"' in text and 'value="balanced" checked' in text
    where = await admin.post("/settings/teams/new", **form)
    team_id = where.split("?")[0].rpartition("/")[2]
    team = await desk.runtime.teams.get(team_id)
    assert (team.workers, team.written.routing.max_wait_s) == ([agent.user_id], 1800)
    again = await admin.client.post("/settings/teams/new", data={"csrf": admin.csrf, **form, "name": "Other"})
    assert again.status == 422 and "Another team has one of these channels" in await again.text()
    shown = await admin.page(where)
    assert "Saved." in shown and 'value="watches" selected' in shown
    assert "Support" in await agent.page("/settings/teams")
    await agent.post(f"/settings/teams/{team_id}", 403, **form)
    gone = await admin.post(f"/settings/teams/{team_id}/remove")
    assert "is taken away" in await admin.page(gone)
    await admin.post(f"/settings/teams/{team_id}/restore")
    assert (await desk.runtime.teams.get(team_id)).name == "Support"


async def test_conversations_are_moved_and_found_by_team(desk: Desk, admin: Browser) -> None:
    from inbox.routing.models import TeamInput

    agent = await desk.person("agent", name="Bo Agent")
    team = await desk.runtime.teams.create(TeamInput(name="Returns", members=[{"user_id": agent.user_id}]))
    talk = await wrote(desk.runtime, await channel(desk.runtime, name="Second"), "kim", "Broken", name="Kim")
    page = await agent.post(f"/inbox/{talk.id}/team", 200, True, team=team.id)
    assert "Bo Agent moved this to the team Returns" in page
    listed = await agent.page(f"/inbox?view=unassigned&team={team.id}")
    assert "Kim" in listed and f'value="{team.id}" selected' in listed and "Team: Returns" in listed
    assert "Kim" not in await agent.page("/inbox?view=unassigned&team=tea_" + "0" * 26)
    await agent.post(f"/inbox/{talk.id}/team", 422, team="tea_" + "0" * 26)
    assert f"/inbox/{talk.id}" in await agent.post("/inbox/next")
    mine = await desk.runtime.conversations.get(talk.id)
    assert mine is not None and mine.assignee_id == agent.user_id
    await agent.post(f"/inbox/{talk.id}/team", team="")
    assert "took this out of its team" in await agent.page(f"/inbox/{talk.id}")
    viewer = await desk.person("viewer", name="Vera Viewer")
    await viewer.post("/inbox/next", 403)


async def test_one_says_how_one_stands(desk: Desk) -> None:
    agent = await desk.person("agent", name="Cem Agent")
    await desk.runtime.agents.seen(agent.user_id)
    assert await desk.runtime.agents.here(agent.user_id)
    assert 'data-testid="own-state"' in await agent.page("/presence")
    assert await agent.post("/presence", state="away", back="/inbox?view=all") == "/inbox?view=all"
    assert await agent.post("/presence", state="away", back="https://evil.example/") == "/"
    assert not await desk.runtime.agents.here(agent.user_id)
    await agent.post("/presence", 422, state="nowhere")
    await agent.post("/presence", 422, state="busy", whole="1", until="2020-01-01T10:00")
    await agent.post("/presence", state="online", whole="1", on_phone="1", until="2090-01-01T10:00")
    await agent.post("/presence", state="online")
    row = await desk.runtime.agents.row(agent.user_id)
    assert row is not None and row.on_phone and row.until is None
    viewer = await desk.person("viewer", name="Vito Viewer")
    await viewer.post("/presence", 403, state="away")
    assert "Cem Agent" in await viewer.page("/presence")


async def test_an_open_window_counts_as_here_and_the_thread_says_why(desk: Desk) -> None:
    from inbox.routing.models import TeamInput

    agent = await desk.person("agent", name="Fay Agent")
    assert not await desk.runtime.agents.here(agent.user_id)
    async with agent.client.get("/api/v1/stream") as answer:
        await answer.content.readline()
        for _ in range(100):
            if await desk.runtime.agents.here(agent.user_id):
                break
            await asyncio.sleep(0.05)
    assert await desk.runtime.agents.here(agent.user_id)
    account = await channel(desk.runtime, name="Third")
    team = {"name": "Care", "members": [{"user_id": agent.user_id}], "channel_ids": [account.id]}
    await desk.runtime.teams.create(TeamInput.model_validate({**team, "routing": {"mode": "round_robin"}}))
    talk = await wrote(desk.runtime, account, "lee", "Hello", name="Lee", minutes_ago=0)
    while await desk.runtime.routing.drain(100):
        pass
    page = await agent.page(f"/inbox/{talk.id}")
    assert "Went to Fay Agent of Care, whose turn it was" in page
    assert "Rapport moved this to the team Care" in page and 'data-testid="team">· Care' in page


async def test_what_somebody_can_take(desk: Desk, admin: Browser) -> None:
    agent = await desk.person("agent", name="Dia Agent")
    here = f"/presence/{agent.user_id}"
    await agent.page(here, 403)
    form = {"total": "5", "by_channel": "whatsapp 3\nemail 2", "skills": "Returns，VIP", "languages": "de, zh"}
    text = await (await admin.client.post(here, data={"csrf": admin.csrf, **form, "by_channel": "whatsapp"})).text()
    assert 'data-testid="fault-by_channel"' in text and "Returns" in text
    wrong = await admin.client.post(here, data={"csrf": admin.csrf, **form, "total": "many"})
    assert wrong.status == 422 and 'data-testid="fault-total"' in await wrong.text()
    assert "Saved." in await admin.page(await admin.post(here, **form))
    row = await desk.runtime.agents.row(agent.user_id)
    assert row is not None and (row.capacity.by_channel, row.skills) == (
        {"whatsapp": 3, "email": 2},
        ["returns", "vip"],
    )
    assert "whatsapp 3" in await admin.page(here)


async def test_the_states_are_written_whole(desk: Desk, admin: Browser) -> None:
    here = "/settings/presence"
    before = await desk.runtime.agents.rules()
    form = {"capacity": "8", "name:zh_CN:0": "在线"}
    for place, state in enumerate(before.states):
        means = "works" if state.takes_work else "here" if state.counts_as_here else "away"
        form |= {f"key:{place}": state.key, f"name:en:{place}": state.names["en"], f"means:{place}": means,
                 f"place:{place}": str(place + 1), f"minutes:{place}": ""}  # fmt: skip
    form |= {"name:en:4": "Lunch", "name:zh_CN:4": "午餐", "means:4": "away", "minutes:4": "45", "place:4": "2"}
    assert "Saved." in await admin.page(await admin.post(here, **form))
    rules = await desk.runtime.agents.rules()
    assert [each.key for each in rules.states] == ["online", "busy", "lunch", "away", "offline"]
    assert (rules.capacity, rules.states[2].releases_after_s, rules.states[0].names["zh_CN"]) == (8, 2700, "在线")
    last = await admin.client.post(here, data={"csrf": admin.csrf, **form, "means:3": "here"})
    assert last.status == 422 and "the last one has to be away" in await last.text()
    agent = await desk.person("agent", name="Emil Agent")
    await agent.post(here, 403, **form)
    assert "Lunch" in await agent.page("/presence")
    await desk.runtime.agents.choose_rules(before, admin.user_id)
