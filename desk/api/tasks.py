"""Work for people: created by hand or by a journey, taken, done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from base.errors import FieldError, WrongInput
from base.ids import is_id
from base.mongo import Document
from campaigns.tasks import State, TaskInput, TaskPatch
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import id_today, must_see_person, seen_tasks
from desk.api.shapes import PageQuery, ProfileId, Time, View, page, sliced

operations = Operations("tasks")


class TaskQuery(PageQuery):
    """Narrows the list."""

    status: State | None = None
    assignee: str | None = Field(
        None, pattern=r"^(me|none|usr_[0-9a-z]{26})$", description="`me`, `none` or a user id."
    )
    profile: ProfileId | None = None


class TaskView(View):
    """A task. `source` says who or what made it; `on_time`: closed by its due time, null while it is open or has none;
    `handed_from`: who had it before, when that one is not there any more."""

    id: str
    text: str
    state: State
    assignee_id: str | None
    due_at: Time | None
    profile_id: str | None
    conversation_id: str | None
    order_id: str | None
    source: dict[str, Any]
    result: str | None
    created_at: Time
    updated_at: Time
    done_at: Time | None
    done_by: str | None
    on_time: bool | None
    handed_from: str | None


def task_view(task: Document) -> TaskView:
    """As people and programs see it."""
    shown = {name: task.get(name) for name in TaskView.model_fields}
    return TaskView.model_validate({**shown, "id": task["_id"], "source": task.get("source") or {}})


@operations("GET", "/tasks", roles=["viewer"], query=TaskQuery, returns=list[TaskView])
async def list_tasks(call: Call) -> Any:
    """List tasks, newest first. For a caller limited to channels a page may hold fewer than `limit`."""
    wanted: TaskQuery = call.query
    assignee = {"me": call.principal.id, "none": "-"}.get(wanted.assignee or "", wanted.assignee)
    found = await call.runtime.tasks.page(
        state=wanted.status,
        assignee_id=assignee,
        profile_id=await id_today(call, wanted.profile),
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    return page([task_view(each) for each in await seen_tasks(call, found.data)], found.next_cursor)


@operations("GET", "/tasks/today", roles=["viewer"], query=PageQuery, returns=list[TaskView])
async def list_tasks_of_today(call: Call) -> Any:
    """What the asking person has to do within a day: their own tasks and those nobody has taken, most urgent first."""
    until = call.runtime.clock() + timedelta(days=1)
    due = await call.runtime.tasks.due(call.principal.id, until)
    tasks, following = sliced(await seen_tasks(call, due), lambda task: task["_id"], call.query)
    return page([task_view(each) for each in tasks], following)


@operations("POST", "/tasks", roles=["agent", "marketer"], body=TaskInput, returns=TaskView, status=201)
async def create_task(call: Call) -> Any:
    """Give somebody, or whoever takes it, something to do."""
    wanted: TaskInput = call.body
    await _check(call, wanted.assignee_id, "assignee_id", "usr")
    if wanted.profile_id is not None:
        wanted = wanted.model_copy(update={"profile_id": await must_see_person(call, wanted.profile_id)})
    await _check(call, wanted.conversation_id, "conversation_id", "cnv")
    await _check(call, wanted.order_id, "order_id", "ord")
    return task_view(await call.runtime.tasks.create(wanted, call.principal.id))


@operations("GET", "/tasks/{id:tsk}", roles=["viewer"], returns=TaskView)
async def get_task(call: Call) -> Any:
    """One task."""
    return task_view(await _seen(call))


@operations("PATCH", "/tasks/{id:tsk}", roles=["agent", "marketer"], body=TaskPatch, returns=TaskView)
async def change_task(call: Call) -> Any:
    """Change or close a task. A journey that waits for it goes on when it is closed."""
    task = await _seen(call)
    patch: TaskPatch = call.body
    for name in ("text", "state"):
        if name in patch.model_fields_set and getattr(patch, name) is None:
            raise WrongInput("The body is not right.", [FieldError(name, "cannot be empty")])
    await _check(call, patch.assignee_id, "assignee_id", "usr")
    return task_view(await call.runtime.tasks.patch(task["_id"], patch, call.principal.id))


Kind = Literal["usr", "cnv", "ord"]


async def _check(call: Call, value: str | None, path: str, kind: Kind) -> None:
    """Raise `WrongInput` for an id that names nothing, `NotFound` for what is out of scope."""
    if value is None:
        return
    runtime = call.runtime
    store = {"usr": runtime.users.user, "cnv": runtime.conversations.get, "ord": runtime.order_store.get}[kind]
    found = await store(value) if is_id(value, kind) else None
    if found is None:
        raise WrongInput("The body is not right.", [FieldError(path, "names nothing that is there")])
    if kind == "cnv":
        call.must_see(found.channel_id)
    elif kind == "ord":
        await must_see_person(call, found.profile_id)


async def _seen(call: Call) -> Document:
    task: Document = await call.runtime.tasks.get(call.path["id"])
    if not await seen_tasks(call, [task]):
        raise not_there()
    return task
