"""The use cases at the desk: drafts, lists, templates, tasks."""

from datetime import timedelta
from typing import Any

import pytest

from base.clock import now
from base.errors import Conflict, NotFound, WrongInput
from campaigns.contents import TemplateInput
from campaigns.explain import SENTENCES, say
from campaigns.tasks import TaskInput, TaskPatch
from tests.campaigns.conftest import World

SEND: dict[str, Any] = {"id": "s", "type": "send", "content": {"text": "Hi"}, "next": None}
DRAFT: dict[str, Any] = {"name": "One", "trigger": {"type": "api"}, "steps": [SEND]}


async def test_a_draft_is_written_in_pieces_and_published_when_whole(world: World) -> None:
    head = await world.journeys.create({"name": "One"}, "usr_1")
    assert (head["status"], head["live_version"], head["created_by"]) == ("draft", None, "usr_1")
    with pytest.raises(WrongInput) as caught:
        await world.journeys.publish(head["_id"])
    assert {fault.path for fault in caught.value.errors} == {"trigger", "steps"}
    await world.journeys.patch(head["_id"], {"trigger": {"type": "api"}, "description": "d"})
    await world.journeys.patch(head["_id"], {"steps": [SEND], "description": None})
    with pytest.raises(WrongInput):
        await world.journeys.patch(head["_id"], {"steps": [{**SEND, "surprise": 1}]})
    done = await world.journeys.publish(head["_id"], "usr_2")
    assert (done.version, done.added, done.dry_run) == (1, ("s",), False)
    head = await world.journeys.get(head["_id"])
    assert (head["status"], head["live_version"], head["draft"]) == ("live", 1, {**DRAFT})
    assert await world.journeys.definition(head["_id"]) == DRAFT


async def test_saving_over_somebody_elses_draft_is_refused(world: World) -> None:
    head = await world.journeys.create(DRAFT)
    await world.journeys.patch(head["_id"], {"name": "Two"}, draft_rev=1)
    with pytest.raises(Conflict):
        await world.journeys.patch(head["_id"], {"name": "Three"}, draft_rev=1)


async def test_lists_are_pages(world: World) -> None:
    made = [(await world.journeys.create({**DRAFT, "name": f"J{i}"}))["_id"] for i in range(5)]
    await world.journeys.publish(made[0])
    first = await world.journeys.page(limit=3)
    second = await world.journeys.page(limit=3, cursor=first.next_cursor)
    assert [row["_id"] for row in (*first.data, *second.data)] == made[::-1] and second.next_cursor is None
    assert [row["_id"] for row in (await world.journeys.page(status="live")).data] == [made[0]]
    await world.journeys.set_status(made[1], "archived")
    assert len((await world.journeys.page()).data) == 4
    with pytest.raises(WrongInput):
        await world.journeys.page(cursor="nonsense")
    for wrong in ("jrn_x", "", "../x", "jrn_" + "0" * 26):
        with pytest.raises(NotFound):
            await world.journeys.get(wrong)


async def test_a_template_must_exist_when_a_journey_is_published(world: World) -> None:
    head = await world.journeys.create({**DRAFT, "steps": [{"id": "s", "type": "send", "template_id": "tpl_gone"}]})
    with pytest.raises(WrongInput) as caught:
        await world.journeys.publish(head["_id"])
    assert caught.value.errors[0].path == "steps[0].template_id"


async def test_templates(world: World) -> None:
    made = await world.templates.create(
        TemplateInput(name="T", kind="email", subject="Hi {{ profile.name }}", body="<p>{{ order.number }}</p>"),
        "usr_1",
    )
    anna = await world.person("Anna")
    await world.order(anna, "A-5")
    shown = await world.templates.render(made["_id"], anna)
    assert (shown.subject, shown.html, shown.text) == ("Hi Anna", "<p>A-5</p>", "A-5")
    shown = await world.templates.render(made["_id"], None, {"order": {"number": "X"}})
    assert shown.subject == "Hi" and shown.html == "<p>X</p>" and "name" in shown.warnings
    with pytest.raises(WrongInput) as caught:
        await world.templates.patch(made["_id"], {"body": "{% for %}"}, None)
    assert caught.value.errors[0].path == "body"
    changed = await world.templates.patch(made["_id"], {"body": "{{ profile.nmae }}"}, None)
    assert changed["rev"] == 2
    with pytest.raises(WrongInput) as caught:
        await world.templates.render(made["_id"], anna)
    assert caught.value.code == "template_undefined" and "nmae" in caught.value.errors[0].message
    assert [row["_id"] for row in (await world.templates.page(kind="email")).data] == [made["_id"]]
    await world.templates.delete(made["_id"])
    with pytest.raises(NotFound):
        await world.templates.get(made["_id"])
    with pytest.raises(NotFound):
        await world.templates.render("tpl_x", None)
    for wrong in ({"kind": "email", "subject": None}, {"body": None}, {"nonsense": 1}, {"kind": "whatsapp"}):
        other = await world.templates.create(TemplateInput(name="T", body="b"), None)
        with pytest.raises(WrongInput):
            await world.templates.patch(other["_id"], wrong, None)


async def test_tasks(world: World) -> None:
    anna = await world.person()
    task = await world.tasks.create(TaskInput(text="Call", profile_id=anna, due_at=now() + timedelta(hours=2)), "usr_1")
    other = await world.tasks.create(TaskInput(text="Write", assignee_id="usr_2"), "usr_1")
    assert [row["_id"] for row in (await world.tasks.page(assignee_id="-")).data] == [task["_id"]]
    due = await world.tasks.due("usr_2", now() + timedelta(days=1))
    assert [row["_id"] for row in due] == [task["_id"], other["_id"]]
    await world.tasks.patch(task["_id"], TaskPatch(assignee_id="usr_3"), "usr_1")
    await world.tasks.done(task["_id"], "usr_3", "done")
    back = await world.tasks.patch(task["_id"], TaskPatch(state="open"), "usr_1")
    assert back["done_at"] is None and back["result"] is None
    await world.tasks.patch(task["_id"], TaskPatch(state="cancelled"), "usr_1")
    names = [event.name for event in await world.events.for_profile(anna, 20)]
    assert sorted(names) == ["profile.created", "task.created", "task.done", "task.done"]
    with pytest.raises(NotFound):
        await world.tasks.done("tsk_x", None)


async def test_two_who_close_a_task_at_once_close_it_once(world: World) -> None:
    import asyncio

    anna = await world.person()
    task = await world.tasks.create(TaskInput(text="Call", profile_id=anna), None)
    await asyncio.gather(*(world.tasks.done(task["_id"], f"usr_{i}") for i in range(4)))
    done = [event for event in await world.events.for_profile(anna, 20) if event.name == "task.done"]
    assert len(done) == 1


def test_every_sentence_can_be_said() -> None:
    for code in SENTENCES:
        assert "%(" not in say(code, {})
    assert say("wait.event", {"events": ["a", "b"]}) == "Waits for a or b, at most until –."
    assert say("something.new", {}) == "something.new"
