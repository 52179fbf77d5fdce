"""Who is told of an event. Pure: takes what was read and gives what is to be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from base.clock import iso
from base.mongo import Document
from campaigns.reminders import MENTIONING
from campaigns.telling.models import Chosen, Kind, Notification, Reader
from inbox.routing.models import may_answer
from profiles.events import Event

#: Conversations in this state are told of to nobody.
SPAM = "spam"
#: `source.kind` of the task by which administrators learn that a webhook endpoint was switched off.
ENDPOINT = "webhook_endpoint"


@dataclass(frozen=True)
class Scene:
    """What is known where something happens. `talks`: by the ids events name, those merged into others by these;
    `crews`: team → who answers in it; `tasks`: made by people."""

    people: Mapping[str, Reader] = field(default_factory=dict)
    chosen: Mapping[str, Chosen] = field(default_factory=dict)
    talks: Mapping[str, Document] = field(default_factory=dict)
    crews: Mapping[str, Iterable[str]] = field(default_factory=dict)
    tasks: Mapping[str, Document] = field(default_factory=dict)

    def talk(self, event: Event) -> Document | None:
        """The conversation of an event, if it is to be told of."""
        row = self.talks.get(event.conversation_id or "")
        return None if row is None or row["status"] == SPAM else row

    def owners(self, talk: Document) -> list[str]:
        """Whose a conversation is: who has it, and who follows it."""
        return [each for each in (talk.get("assignee_id"), *talk.get("participants", ())) if each]

    def crew(self, talk: Document) -> list[str]:
        """Who could take a conversation that nobody has: its team, else whoever answers on its channel."""
        if talk.get("team_id"):
            return [each for each in self.crews.get(talk["team_id"], ()) if each in self.people]
        return [each.id for each in self.people.values() if may_answer(each, talk["channel_id"])]


def told_of(event: Event, scene: Scene) -> list[Notification]:
    """Who is told of this, each once: nobody of what they did themselves, of what they may not see, or of what they
    have switched off altogether. What is on no channel is asked of again, for who sees some channels only."""
    made = _TABLE.get(event.name)
    found = made(event, scene) if made else []
    kept = {each.user_id: each for each in reversed(found) if _is_for(each, scene)}
    return list(reversed(kept.values()))


def _is_for(told: Notification, scene: Scene) -> bool:
    person = scene.people.get(told.user_id)
    if person is None or not person.active or person.id == told.by:
        return False
    sees = person.channels is None or told.channel_id is None or told.channel_id in person.channels
    chosen = scene.chosen.get(person.id)
    return sees and bool(chosen.ways(told.kind) if chosen else ())


def _in_talk(event: Event, talk: Document, kind: Kind, user_ids: Iterable[str], cause: str, by: Any = None
             ) -> list[Notification]:  # fmt: skip
    return [
        Notification(
            each, kind, cause, talk["_id"], event.occurred_at, talk["_id"], event.profile_id, talk["channel_id"], by,
        )
        for each in user_ids
    ]  # fmt: skip


def _assigned(event: Event, scene: Scene) -> list[Notification]:
    talk, to = scene.talk(event), event.properties.get("to")
    if talk is None or to not in scene.people or talk.get("assignee_id") != to:
        return []  # to a team or to nobody, or it has gone on meanwhile
    return _in_talk(event, talk, "assigned", [str(to)], f"assigned:{event.id}", event.properties.get("by"))


def _noted(event: Event, scene: Scene) -> list[Notification]:
    talk = scene.talk(event)
    if talk is None:
        return []
    called = list(event.properties.get("mentions") or ())
    return _in_talk(event, talk, "mentioned", called, f"mentioned:{event.id}", event.properties.get("by"))


def _mentioned(event: Event, scene: Scene) -> list[Notification]:
    """In a note on a person: once however often the note is edited."""
    cause = f"mentioned:{event.properties.get('note_id')}"
    return [
        Notification(each, "mentioned", cause, str(event.profile_id), event.occurred_at,
                     profile_id=event.profile_id, by=event.properties.get("by"))
        for each in event.properties.get("mentions") or ()
    ] if event.profile_id else []  # fmt: skip


def _received(event: Event, scene: Scene) -> list[Notification]:
    """A message: whose the conversation is; of one that nobody has, once for each wait, whoever could take it."""
    talk = scene.talk(event)
    if talk is None or event.properties.get("automatic"):
        return []
    told = _in_talk(event, talk, "message", scene.owners(talk), f"message:{event.id}")
    if not talk.get("assignee_id") and talk.get("waiting_since"):
        cause = f"waiting:{talk['_id']}:{iso(talk['waiting_since'])}"
        told += _in_talk(event, talk, "waiting", scene.crew(talk), cause)
    return told


def _promised(event: Event, scene: Scene) -> list[Notification]:
    talk = scene.talk(event)
    if talk is None:
        return []
    told = scene.owners(talk) if talk.get("assignee_id") else [*scene.owners(talk), *scene.crew(talk)]
    kind: Kind = "sla_breached" if event.name == "sla.breached" else "sla_soon"
    return _in_talk(event, talk, kind, told, f"{kind}:{event.id}")


def _failed(event: Event, scene: Scene) -> list[Notification]:
    """An answer did not go out: who wrote it, and whose the conversation is. (Campaigns have figures of their own.)"""
    talk, by = scene.talk(event), event.properties.get("source_id")
    if talk is None or event.properties.get("source") != "reply":
        return []
    cause = f"failed:{event.properties.get('send_id')}"
    return _in_talk(event, talk, "failed", dict.fromkeys([*([str(by)] if by else []), *scene.owners(talk)]), cause)


def _given(event: Event, scene: Scene) -> list[Notification]:
    """Somebody has given somebody else something to do."""
    task = scene.tasks.get(str(event.properties.get("task_id")))
    by = event.properties.get("by")
    return [] if task is None or by is None else of_task(task, f"given:{task['_id']}", event.occurred_at, by=by)


def of_task(task: Document, cause: str, at: Any, *, by: str | None = None) -> list[Notification]:
    """Whoever has a task is told of it."""
    source = task.get("source") or {}
    kind: Kind = "endpoint" if source.get("kind") == ENDPOINT else "task"
    if not task.get("assignee_id"):
        return []
    return [Notification(
        task["assignee_id"], kind, cause, task["_id"], at, task.get("conversation_id"), task.get("profile_id"), None, by
    )]  # fmt: skip


def is_due(task: Document) -> list[Notification]:
    """The time of a task has come."""
    return of_task(task, f"due:{task['_id']}:{iso(task['due_at'])}", task["due_at"])


def follow_up_is_due(person: Document) -> list[Notification]:
    """The time has come to get back to somebody."""
    it = person["next_follow_up"]
    if not it.get("assignee_id"):
        return []
    cause = f"due:{it['id']}:{iso(it['at'])}"
    return [Notification(it["assignee_id"], "task", cause, person["_id"], it["at"], profile_id=person["_id"])]


#: Event → who is told of it.
_TABLE: Mapping[str, Callable[[Event, Scene], list[Notification]]] = {
    "conversation.assigned": _assigned, "message.noted": _noted, **dict.fromkeys(MENTIONING, _mentioned),
    "message.received": _received, "message.failed": _failed, "message.bounced": _failed, "sla.due_soon": _promised,
    "sla.breached": _promised, "task.created": _given,
}  # fmt: skip
#: Events that somebody may be told of.
HEARD = frozenset(_TABLE)
