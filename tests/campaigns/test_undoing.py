"""Drafts that are taken back and brought back, whoever writes meanwhile and whatever dies."""

import asyncio

import pytest

from base.errors import Conflict
from campaigns.drafting import inserted, removed
from campaigns.store.journeys import UNDO_MOST
from tests.campaigns.conftest import World
from tests.dying import Dying

WAIT = {"id": "w", "type": "wait", "for": "P1D"}


def named(name):
    return lambda draft: {**draft, "name": name}


async def names(world: World, journey_id: str, *, again: bool = False, most: int = 100) -> list[str]:
    """Names that come back one after the other."""
    found = []
    for _ in range(most):
        before = (await world.journeys.get(journey_id))["draft_rev"]
        head = await world.journeys.undo(journey_id, again=again)
        if head["draft_rev"] == before:
            break
        found.append(head["name"])
    return found


async def test_changes_are_taken_back_and_made_again_until_something_new_is_written(world: World):
    head = await world.journeys.create({"name": "0"})
    for n in range(1, 4):
        await world.journeys.edit(head["_id"], named(str(n)))
    await world.journeys.edit(head["_id"], named("3"))  # nothing new
    assert await names(world, head["_id"]) == ["2", "1", "0"]
    assert await names(world, head["_id"], again=True) == ["1", "2", "3"]
    assert await names(world, head["_id"], most=2) == ["2", "1"]
    await world.journeys.patch(head["_id"], {"name": "new"})
    assert await names(world, head["_id"], again=True) == []
    assert await names(world, head["_id"]) == ["1", "0"]


async def test_fifty_drafts_are_kept_and_no_more(world: World):
    head = await world.journeys.create({"name": "0"})
    for n in range(1, 56):
        await world.journeys.edit(head["_id"], named(str(n)))
    assert await names(world, head["_id"]) == [str(n) for n in range(54, 4, -1)]
    rows = await world.db.collection("journey_drafts").find({"journey_id": head["_id"]}).to_list(None)
    assert len(rows) <= UNDO_MOST + 1


async def test_what_is_half_written_is_kept_with_its_faults_and_cannot_be_published(world: World):
    head = await world.journeys.create({})
    await world.journeys.edit(head["_id"], lambda draft: inserted(draft, "start", {"id": "s", "type": "send"}))
    await world.journeys.edit(head["_id"], lambda draft: {**draft, "trigger": {"type": "api"}, "name": "Half"})
    draft = (await world.journeys.get(head["_id"]))["draft"]
    assert [fault.path for fault in await world.journeys.faults(draft)] == ["steps[0]"]
    await world.journeys.edit(head["_id"], lambda draft: removed(inserted(draft, "s:next", WAIT), "s"))
    draft = (await world.journeys.get(head["_id"]))["draft"]
    assert not await world.journeys.faults(draft)
    assert (await world.journeys.publish(head["_id"])).version == 1


async def test_two_who_change_at_once_both_do(world: World):
    head = await world.journeys.create({"name": "0"})

    def step(name):
        return lambda draft: inserted(draft, "start", {**WAIT, "id": name})

    await asyncio.gather(*(world.journeys.edit(head["_id"], step(f"w{n}")) for n in range(4)))
    draft = (await world.journeys.get(head["_id"]))["draft"]
    assert {each["id"] for each in draft["steps"]} == {"w0", "w1", "w2", "w3"}
    with pytest.raises(Conflict):
        await world.journeys.edit(head["_id"], lambda draft: inserted(draft, "gone:next", WAIT))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_whoever_dies_while_writing_loses_no_draft(
    world: World, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
):
    head = await world.journeys.create({"name": "0"})
    await world.journeys.edit(head["_id"], named("1"))
    dying = Dying(monkeypatch, ("update_one", "find_one_and_update", "delete_many"))
    assert await dying.on(at, after, lambda: world.journeys.edit(head["_id"], named("2")))
    written = (at, after) >= (2, True)
    assert (await world.journeys.get(head["_id"]))["name"] == ("2" if written else "1")
    await world.journeys.edit(head["_id"], named("2"))
    assert await names(world, head["_id"]) == ["1", "0"]
    assert await dying.on(at, after, lambda: world.journeys.undo(head["_id"], again=True))
    assert (await names(world, head["_id"], again=True))[-1] == "2"
