"""Steps that give people work: assign, notify, note, task; done in time, handed over, ended elsewhere."""

from datetime import timedelta
from typing import Any

from base.clock import now
from inbox.models import Actor
from tests.campaigns.conftest import Mate, World

AGENT = Actor("usr_ann", "Ann")


async def talk_of(world: World, person: str) -> Any:
    return (await world.inbox.conversations.of_profile(person))[0]


def staff(world: World, *ids: str) -> None:
    world.mates.people = [Mate(each) for each in ids]


async def test_a_conversation_is_given_in_turn_and_the_run_waits_until_it_is_resolved(world: World) -> None:
    staff(world, "usr_ann", "usr_ben")
    step = {"id": "a", "type": "assign", "assignee": "round_robin", "what": ["conversation", "owner"], "due": "PT1H",
            "wait_done": True, "next": "t"}  # fmt: skip
    await world.journey(step, {"id": "t", "type": "task", "text": "Done?"}, trigger={"type": "message_received"})
    people = [await world.person(name) for name in ("Anna", "Bo", "Cy", "Di")]
    for person in people:
        await world.says(person, "Hello")
    await world.settle()
    given = [(await talk_of(world, person)).assignee_id for person in people]
    assert sorted(given) == ["usr_ann", "usr_ann", "usr_ben", "usr_ben"]
    owners = [profile.owner_id for profile in (await world.profiles.many(people)).values()]
    assert sorted(map(str, owners)) == sorted(given)
    tasks = await world.tasks.page(state="open")
    assert {task["assignee_id"] for task in tasks.data} == {"usr_ann", "usr_ben"} and len(tasks.data) == 4
    assert {row["wait"]["kind"] for row in await world.rows()} == {"task"}
    talk = await talk_of(world, people[0])
    await world.inbox.actions.set_status(talk.id, "resolved", Actor(talk.assignee_id, "Who has it"))
    await world.settle()
    run = await world.run(profile_id=people[0])
    assert run["end"]["reason"] == "completed" and "task.done" in await world.codes(run["_id"])
    closed = (await world.tasks.page(state="done")).data[0]
    assert (closed["done_by"], closed["on_time"]) == (talk.assignee_id, True)
    assert len(await world.rows(state="waiting")) == 3


async def test_a_conversation_resolved_before_the_task_is_written_ends_it(world: World) -> None:
    """Nobody tells of it a second time: the step looks for itself."""
    staff(world, "usr_ann")
    await world.journey({"id": "a", "type": "assign", "assignee": "usr_ann", "wait_done": True},
                        trigger={"type": "message_received"})  # fmt: skip
    person = await world.person()
    await world.says(person, "Hello")
    real = world.tasks.create_once

    async def meanwhile(fields: Any) -> Any:
        await world.inbox.actions.set_status((await talk_of(world, person)).id, "resolved", AGENT)
        await world.react()
        return await real(fields)

    world.tasks.create_once = meanwhile  # type: ignore[method-assign]
    await world.settle()
    assert (await world.run())["end"]["reason"] == "completed"


async def test_only_who_may_see_the_channel_takes_turns(world: World) -> None:
    other = Mate("usr_zoe", channels=frozenset({"chn_other"}))
    world.mates.people = [Mate("usr_ann"), other, Mate("usr_gone", active=False), Mate("usr_boss", role="admin")]
    await world.journey({"id": "a", "type": "assign", "assignee": "round_robin"}, trigger={"type": "message_received"})
    for name in ("Anna", "Bo"):
        person = await world.person(name)
        await world.says(person, "Hello")
        await world.settle()
        assert (await talk_of(world, person)).assignee_id == "usr_ann"


async def test_everybody_of_a_role_is_told_and_one_is_enough(world: World) -> None:
    world.mates.people = [Mate("usr_ann"), Mate("usr_ben"), Mate("usr_boss", role="admin")]
    step = {"id": "n", "type": "notify", "assignee": "role:agent", "text": "{{ profile.name }} is angry",
            "wait_done": True}  # fmt: skip
    await world.journey(step, trigger={"type": "event", "event": "x"})
    person = await world.person("Anna Bell")
    await world.happens("x", person)
    await world.settle()
    tasks = (await world.tasks.page()).data
    assert {task["assignee_id"] for task in tasks} == {"usr_ann", "usr_ben"}
    assert {task["text"] for task in tasks} == {"Anna Bell is angry"}
    assert {task["source"]["step"] for task in tasks} == {"notify"}
    await world.tasks.done(tasks[0]["_id"], "usr_ann", "called")
    await world.settle()
    assert (await world.run())["end"]["reason"] == "completed"
    assert sorted(task["state"] for task in (await world.tasks.page()).data) == ["cancelled", "done"]


async def test_a_note_is_written_once_and_mentions_the_owner(world: World) -> None:
    staff(world, "usr_ann")
    step = {"id": "n", "type": "note", "text": "Bought {{ event.properties.what }} for {{ event.properties.n }}",
            "assignee": "owner"}  # fmt: skip
    await world.journey(step, trigger={"type": "event", "event": "x"})
    person = await world.person()
    from profiles.edit import ProfilePatch

    await world.editor.patch(person, ProfilePatch(owner_id="usr_ann"))
    await world.happens("x", person, what="tea", n=5)
    await world.settle()
    notes = (await world.notes.page(person)).data
    assert [(note["text"], note["mentions"]) for note in notes] == [("Bought tea for 5", ["usr_ann"])]
    assert notes[0]["by"].startswith("journey:jrn_")


async def test_work_is_late_or_in_time(world: World) -> None:
    task = {"id": "t", "type": "task", "text": "Call", "due": "PT1H"}
    await world.journey(task, trigger={"type": "event", "event": "x"})
    for person in await world.people(2):
        await world.happens("x", person)
    await world.settle()
    early, late = (await world.tasks.page()).data
    assert early["due_at"] is not None and "on_time" not in early
    assert (await world.tasks.done(early["_id"], "usr_ann"))["on_time"] is True
    await world.travel(hours=2)
    assert (await world.tasks.done(late["_id"], "usr_ann"))["on_time"] is False
    from campaigns.tasks import TaskPatch

    opened = await world.tasks.patch(late["_id"], TaskPatch(state="open"), "usr_ann")
    assert opened["on_time"] is None


async def test_work_of_who_has_left_goes_to_the_owner_else_to_whoever_takes_it(world: World) -> None:
    from profiles.edit import ProfilePatch

    staff(world, "usr_ann", "usr_ben")
    task = {"id": "t", "type": "task", "text": "Call", "assignee": "usr_ann", "wait_done": True}
    await world.journey(task, trigger={"type": "event", "event": "x"})
    owned, nobodys = await world.people(2)
    await world.editor.patch(owned, ProfilePatch(owner_id="usr_ben"))
    for person in (owned, nobodys):
        await world.happens("x", person)
    await world.settle()
    assert {task["assignee_id"] for task in (await world.tasks.page()).data} == {"usr_ann"}
    world.mates.people = [Mate("usr_ann", active=False), Mate("usr_ben")]
    world.handing_over._assigning.forget()
    assert await world.handing_over.pass_on() == 2 and await world.handing_over.pass_on() == 0
    found = {task["profile_id"]: task for task in (await world.tasks.page()).data}
    assert found[owned]["assignee_id"] == "usr_ben" and found[nobodys]["assignee_id"] is None
    assert {task["handed_from"] for task in found.values()} == {"usr_ann"}
    due = await world.tasks.due("usr_ben", now() + timedelta(days=1))
    assert len(due) == 2  # both stand on the page of who is there
    # whoever is not there when the step is reached never gets it
    late = await world.person("Eve")
    await world.happens("x", late)
    await world.settle()
    assert (await world.tasks.page(profile_id=late)).data[0]["assignee_id"] is None


class Absent:
    """Says who is not here, and who is on leave."""

    def __init__(self, away: set[str], leave: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self.away, self.leave = away, leave

    async def here(self, user_id: str) -> bool:
        return user_id not in self.away

    async def on_leave(self) -> frozenset[str]:
        return frozenset(self.leave)


async def test_who_is_here_takes_turns_before_the_others(world: World) -> None:
    staff(world, "usr_ann", "usr_ben", "usr_cem")
    assigning = world.handing_over._assigning
    assigning._presence = Absent({"usr_ben"})
    got = {await assigning.choose("round_robin", None, key=f"k{number}", pool="p") for number in range(6)}
    assert got == {"usr_ann", "usr_cem"}
    assigning._presence = Absent({"usr_ann", "usr_ben", "usr_cem"})
    got = {await assigning.choose("round_robin", None, key=f"l{number}", pool="p") for number in range(6)}
    assert got == {"usr_ann", "usr_ben", "usr_cem"}


async def test_what_falls_due_on_leave_is_handed_on(world: World) -> None:
    staff(world, "usr_ann", "usr_ben")
    task = {"id": "t", "type": "task", "text": "Call", "assignee": "usr_ann", "due": "PT2H"}
    await world.journey(task, trigger={"type": "event", "event": "x"})
    (person,) = await world.people(1)
    await world.happens("x", person)
    await world.settle()
    world.handing_over._assigning._presence = Absent({"usr_ann"}, {"usr_ann"})
    assert await world.handing_over.pass_on() == 0
    await world.travel(hours=3)
    assert await world.handing_over.pass_on() == 1 and await world.handing_over.pass_on() == 0
    (handed,) = (await world.tasks.page()).data
    assert (handed["assignee_id"], handed["handed_from"]) == (None, "usr_ann")
