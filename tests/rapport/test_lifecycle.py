"""What moves by itself and who is told of it: through the whole house, with deaths and repeats on the way."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from base.clock import now
from campaigns.lifecycle import due_stage
from profiles.edit import ProfilePatch
from profiles.models import NewEvent
from profiles.terms import DEFAULTS, Agreed, Stage
from tests.rapport.merging import Town, opened


@pytest.fixture(scope="module")
async def _town(mongo_url: str, redis_url: str, shaped_database: str) -> AsyncIterator[Town]:
    async with opened(mongo_url, redis_url, shaped_database) as town:
        yield town


@pytest.fixture
async def town(_town: Town) -> AsyncIterator[Town]:
    yield _town
    await _town.empty()
    await _town.runtime.db.collection("term_lists").delete_many({})
    _town.runtime.terms.forget()


SEGMENT = "seg_" + "0" * 26


def rules(**more: dict[str, Any]) -> list[dict[str, Any]]:
    own = {"customer": {"orders": 1}, "repeat": {"orders": 2, "back": True}, **more}
    return [{**each, **own.get(str(each["key"]), {})} for each in DEFAULTS["stages"]]


async def reacted(town: Town, again: bool = False) -> None:
    """Every event is acted upon; `again`: as if whoever did so had died before saying so."""
    if again:
        await town.runtime.db.collection("events").update_many(
            {}, {"$set": {"state": "pending", "due_at": now(), "attempts": 0}}
        )
    while await town.runtime.reactor.react(100):
        pass


async def stage(town: Town, profile_id: str) -> str:
    person = await town.runtime.profiles.get(profile_id)
    assert person is not None
    return person.stage


@pytest.mark.parametrize(
    ("here", "orders", "there"),
    [
        ("new", 0, None), ("new", 1, "customer"), ("lead", 3, "repeat"), ("customer", 1, None), ("repeat", 1, None),
        ("lost", 1, None), ("lapsed", 2, "repeat"), ("gone from the list", 1, "customer"),
    ],
)  # fmt: skip
def test_the_way_goes_forward_unless_told(here: str, orders: int, there: str | None) -> None:
    stages = tuple(Stage.model_validate(each) for each in rules())
    found = due_stage({"stage": here}, orders, Agreed(stages, (), (), ()))
    assert (found.key if found else None) == there


async def test_nobody_moves_by_themselves_unless_switched_on(town: Town) -> None:
    anna = await town.says("anna")
    await town.buys("anna")
    await reacted(town)
    assert await stage(town, anna) == "new"


async def test_orders_move_once_and_whoever_is_moved_back_stays(town: Town) -> None:
    await town.runtime.terms.save("stages", 0, rules(), by=None)
    anna = await town.says("anna")
    await town.buys("anna")
    await reacted(town)
    assert await stage(town, anna) == "customer"
    await town.runtime.editor.patch(anna, ProfilePatch(stage="lead"), by="usr_1")
    await reacted(town, again=True)
    assert await stage(town, anna) == "lead"
    await town.buys("anna")
    await reacted(town)
    await reacted(town, again=True)
    assert await stage(town, anna) == "repeat"
    moves = [(row["from"], row["to"], row["by"]) for row in await town.rows("stage_log", profile_id=anna)]
    assert moves == [("new", "customer", "rule:order"), ("customer", "lead", "usr_1"), ("lead", "repeat", "rule:order")]
    await town.runtime.editor.patch(anna, ProfilePatch(stage="lost", stage_reason="price"), by="usr_1")
    await town.buys("anna")
    await reacted(town)
    assert await stage(town, anna) == "repeat"  # `back`: won again


async def test_who_enters_a_segment_moves(town: Town) -> None:
    await town.runtime.terms.save("stages", 0, rules(lapsed={"segment_id": SEGMENT}), by=None)
    anna = await town.says("anna")
    entered = NewEvent("segment.entered", "entered:1", now(), anna, properties={"segment_id": SEGMENT})
    await town.runtime.events.record([entered])
    await reacted(town)
    await reacted(town, again=True)
    assert await stage(town, anna) == "lapsed" and len(await town.rows("stage_log")) == 1


async def test_the_owner_who_loses_a_customer_is_told_once(town: Town) -> None:
    anna, double = await town.says("anna"), await town.says("double")
    for who, owner in ((anna, "usr_a"), (double, "usr_d")):
        await town.runtime.editor.patch(who, ProfilePatch(owner_id=owner))
    await town.runtime.merger.merge(anna, double, by="usr_boss")
    await reacted(town)
    await reacted(town, again=True)
    (task,) = await town.rows("tasks")
    assert (task["assignee_id"], task["profile_id"], task["source"]["kind"]) == ("usr_d", anna, "owner_changed")
    assert task["source"]["owner_id"] == "usr_a"
    assert [each["_id"] for each in await town.runtime.tasks.due("usr_d", now())] == [task["_id"]]


async def test_relations_survive_a_merge_and_an_unmerge_and_go_with_the_erased(town: Town) -> None:
    anna, double, ben = await town.says("anna"), await town.says("double"), await town.says("ben")
    relations = town.runtime.relations
    await relations.add(double, "parent", ben)
    await relations.add(anna, "partner", double)
    done = await town.runtime.merger.merge(anna, double, by=None)
    (kept,) = await relations.of_profile(anna)
    assert (kept.kind, kept.other_id) == ("parent", ben)  # nobody is a partner of themselves
    (other,) = await relations.of_profile(ben)
    assert other.other_id == anna
    await town.runtime.merger.unmerge(str(done.merge_id), by=None)
    assert [each.other_id for each in await relations.of_profile(ben)] == [double]
    assert {each.kind for each in await relations.of_profile(double)} == {"parent", "partner"}
    await town.done()
    erasure = await town.runtime.privacy.erasures.ask(ben, by="usr_1")
    while await town.runtime.privacy.erasures.drain(only=erasure["_id"]):
        pass
    assert [each.kind for each in await relations.of_profile(double)] == ["partner"]
    assert len(await town.rows("relations")) == 2
