"""Today: who waits for an answer, what is due, what did not go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from base.errors import NotFound
from campaigns.reminders import MENTION
from desk.api.merges import seen_pairs
from desk.api.scope import reading, seen_ids, seen_tasks, shown_talk
from desk.auth import principal_of, require
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.composer import snoozes
from desk.pages.inbox_address import Asked
from desk.pages.inbox_rows import row_of
from desk.pages.merging import pair_rows
from desk.pages.profile_follow_up import follow_up_view
from desk.pages.reads import faces_of, people, together
from desk.pages.task_words import task_place, task_words
from desk.render import arriving_of, formats_of, page
from inbox.counting import BUILT_IN
from inbox.models import Send
from inbox.view_filter import ConversationFilter, ViewFilter
from profiles.follow_up import follow_ups_of
from profiles.words import Words

routes = web.RouteTableDef()
MOST = 12
#: Pairs that may be one person; the rest stands on the page of its own.
PAIRS = 3
FAILED_WITHIN = timedelta(days=7)


@dataclass(frozen=True)
class TaskRow:
    """One thing to do."""

    id: str
    text: str
    person: str
    profile_id: str
    due_at: datetime | None
    late: bool
    mine: bool
    #: The note in which one is mentioned.
    said: str = ""
    #: Where it leads, if not to the person.
    href: str = ""
    #: It was the work of a colleague who is not there any more.
    handed_over: bool = False


@dataclass(frozen=True)
class FailedRow:
    """One message that did not go out."""

    id: str
    person: str
    href: str
    why: str
    at: datetime


def task_row(
    task: dict[str, Any], names: dict[str, str], notes: Mapping[str, Words], me: str, formats: Formats
) -> TaskRow:
    """One task."""
    due, profile_id = task.get("due_at"), str(task.get("profile_id") or "")
    late = due is not None and due < formats.now
    source = task.get("source") or {}
    said = notes[source["id"]].text if source.get("kind") == MENTION and source.get("id") in notes else None
    return TaskRow(
        task["_id"], task_words(task, names, formats), names.get(profile_id, ""), profile_id, due, late,
        task.get("assignee_id") == me, (said or "")[:300], task_place(task), bool(task.get("handed_from")),
    )  # fmt: skip


def failed_row(send: Send, names: dict[str, str], formats: Formats) -> FailedRow:
    """One failed send."""
    why = formats.text(send.reason.sentence) if send.reason else ""
    href = f"/inbox/{send.conversation_id}" if send.conversation_id else f"/profiles/{send.profile_id}"
    person = names.get(send.profile_id, send.profile_id)
    return FailedRow(send.id, person, href, why, send.updated_at or send.planned_at)


@routes.get("/today")
@require("viewer")
async def today(request: web.Request) -> web.StreamResponse:
    """The list, what matters most first."""
    principal, runtime = principal_of(request), runtime_of(request)
    formats = formats_of(request, principal)
    scope = None if principal.channels is None else sorted(principal.channels)
    wanted = ConversationFilter(ViewFilter(status=("open",)), channels=scope)
    found = await together(
        waiting=runtime.conversations.page(wanted, sort="waiting", limit=MOST),
        tasks=runtime.tasks.due(principal.id, formats.now + timedelta(days=1), MOST),
        failed=runtime.sends.page(state="failed", channels=scope, since=formats.now - FAILED_WITHIN, limit=MOST),
        faces=faces_of(runtime), pairs=runtime.suggestions.page(limit=MOST),
        due=runtime.follow_ups.due(principal.id, formats.now + timedelta(days=1), MOST), people=people(runtime),
    )  # fmt: skip
    pairs = await seen_pairs(reading(request), found["pairs"].data)
    waiting = [shown_talk(reading(request), each) for each in found["waiting"].data]
    failed = found["failed"].data
    tasks = await seen_tasks(reading(request), found["tasks"])
    ids = {str(task["profile_id"]) for task in tasks if task.get("profile_id")} | {send.profile_id for send in failed}
    names = {key: profile.display_name for key, profile in (await runtime.profiles.many(ids)).items()}
    assigned = await runtime.users.names(sorted({each.assignee_id for each in waiting if each.assignee_id}))
    mentions = [task["source"]["id"] for task in tasks if (task.get("source") or {}).get("kind") == MENTION]
    notes = await runtime.notes.words(mentions) if mentions else {}
    seen = await seen_ids(reading(request), {each.id for each in found["due"]})
    colleagues = {each.id: each.name or each.email for each in found["people"]}
    values = {
        "follow_ups": [
            follow_up_view(each, it, colleagues, principal.id, formats)
            for each, it in follow_ups_of(found["due"])
            if each.id in seen
        ],
        "people": list(colleagues.items()),
        "snoozes": snoozes(formats),
        "undo": {name: request.query.get(f"was_{name}", "") for name in ("at", "text", "assignee", "who")},
        "rows": [row_of(each, Asked("all"), found["faces"], assigned, principal.id, formats) for each in waiting],
        "tasks": [task_row(each, names, notes, principal.id, formats) for each in tasks],
        "failed": [failed_row(each, names, formats) for each in failed],
        "pairs": await pair_rows(request, pairs[:PAIRS]),
    }
    return await page(request, "today.html", values)


@routes.get("/counts")
@require("viewer")
async def counts(request: web.Request) -> web.StreamResponse:
    """The figures on the rail: conversations of one's own in which a customer waits, and what is due."""
    principal, runtime = principal_of(request), runtime_of(request)
    now = runtime.clock()
    scope = None if principal.channels is None else sorted(principal.channels)
    waiting = await runtime.counting.counts({"waiting": BUILT_IN["waiting"]}, principal.id, scope)
    due = await seen_tasks(reading(request), await runtime.tasks.due(principal.id, now, 100))
    follow_ups = await runtime.follow_ups.due(principal.id, now, 100)
    seen = await seen_ids(reading(request), {each.id for each in follow_ups})
    figures = {"inbox": waiting.get("waiting", 0), "today": len(due) + len(seen), "arriving": arriving_of(request)}
    return web.json_response(figures)


@routes.post("/today/tasks/{task_id}")
@require("agent", "marketer")
async def done(request: web.Request) -> web.StreamResponse:
    """Close a task."""
    runtime, task_id = runtime_of(request), request.match_info["task_id"]
    if not task_id.startswith("tsk_"):
        raise NotFound("There is no such task.")
    if not await seen_tasks(reading(request), [await runtime.tasks.get(task_id)]):
        raise NotFound("There is no such task.")
    await runtime.tasks.done(task_id, principal_of(request).id)
    raise web.HTTPSeeOther("/today")
