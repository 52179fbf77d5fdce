"""Teams as they are written and changed."""

import asyncio

import pytest

from base.errors import Conflict, NotFound, WrongInput
from inbox.routing.models import TeamInput
from tests.inbox.routing.conftest import Floor, usr


async def test_written_changed_taken_away_and_put_back(floor: Floor) -> None:
    channel, anna = await floor.house.channel(), await floor.mate("anna")
    team = await floor.team("Support", [anna], [channel])
    with pytest.raises(Conflict) as taken:
        await floor.teams.create(TeamInput(name=" support "))
    assert taken.value.code == "name_taken"
    with pytest.raises(Conflict) as taken:
        await floor.teams.create(TeamInput(name="Sales", channel_ids=[channel]))
    assert taken.value.code == "channel_taken"
    await floor.teams.create(TeamInput(name="Nobody"))
    await floor.teams.create(TeamInput(name="Nobody either"))  # no channel is nobody's
    await floor.teams.remove(team.id)
    with pytest.raises(NotFound):
        await floor.teams.get(team.id)
    assert await floor.teams.names([team.id]) == {team.id: "Support"}
    assert (await floor.teams.restore(team.id)).written == team.written
    renamed = await floor.teams.change(team.id, {"name": "Care"})
    assert (renamed.name, renamed.written.channel_ids) == ("Care", [channel])


async def test_what_is_not_there_is_named(floor: Floor) -> None:
    anna = await floor.mate("anna")
    team = await floor.team("Support", [anna])
    wrong = {
        "members": [{"user_id": anna}, {"user_id": usr("nobody")}], "channel_ids": ["chn_" + "0" * 26],
        "hours_id": "hrs_" + "0" * 26, "routing": {"max_wait_s": 60, "fallback_team_id": team.id},
    }  # fmt: skip
    with pytest.raises(WrongInput) as refused:
        await floor.teams.change(team.id, wrong)
    assert [each.path for each in refused.value.errors] == [
        "members[1].user_id", "channel_ids[0]", "hours_id", "routing.fallback_team_id",
    ]  # fmt: skip
    del floor.staff.mates[anna]
    assert (await floor.teams.change(team.id, {"name": "Still"})).workers == [anna]


async def test_two_who_change_it_at_once_lose_nothing(floor: Floor) -> None:
    anna = await floor.mate("anna")
    team = await floor.team("Support", [])
    await asyncio.gather(
        floor.teams.change(team.id, {"name": "Care"}), floor.teams.change(team.id, {"members": [{"user_id": anna}]})
    )
    again = await floor.teams.get(team.id)
    assert (again.name, again.workers) == ("Care", [anna])


async def test_the_queue_is_read_from_its_index(floor: Floor) -> None:
    """Whatever else waits in the house, only what the team has is looked at."""
    house = floor.house
    channel, other = await house.channel(), await house.channel()
    team = await floor.team("Support", [], [channel])
    for number in range(30):
        await house.conversation(other, f"lee-{number}")
    talk = await house.conversation(channel, "kim")
    await floor.settle()
    rows = house.database.collection("conversations")
    order = [("priority_rank", -1), ("waiting_since", 1), ("_id", 1)]
    wanted = {"team_id": team.id, "status": "open", "assignee_id": None}
    plan = await rows.find(wanted).sort(order).explain()
    stats = plan["executionStats"]
    assert (stats["totalDocsExamined"], stats["nReturned"]) == (1, 1)
    assert [row["_id"] for row in await house.inbox.conversations.queue(team.id, 10)] == [talk.id]
