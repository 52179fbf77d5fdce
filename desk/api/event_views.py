"""What an event is about, as the API shows it: for programs that are told of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.ids import is_id
from desk.api.conversations import conversation_view
from desk.api.messages import message_view
from desk.api.orders import order_view
from desk.api.profile_views import profile_view
from desk.api.scope import Reader, may_see_person, scoped_profile, seen_ids, seen_tasks
from desk.api.shapes import View, plain
from desk.api.tasks import task_view
from desk.auth import Principal
from profiles.events import Event


class EventViews:
    """Reads what events name; what has gone meanwhile is left out. `runtime`: everything the API reads from."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime

    async def of(self, event: Event, channels: frozenset[str] | None) -> Mapping[str, Any] | None:
        """Name → view, for who sees these channels alone (None: all); None when the event is not for them."""
        reader = Reader(Principal("webhook", "token", "viewer", channels, "Webhook"), self._runtime)
        if not reader.principal.may_see(event.channel_id):
            return None
        found: dict[str, View | None] = {}
        if event.profile_id is not None:
            profile = await self._runtime.profiles.get(event.profile_id)
            if profile is not None:
                held = await self._runtime.profiles.identities_of(profile.id) if channels is not None else []
                if not may_see_person(reader, held):
                    return None
                found["profile"] = profile_view(scoped_profile(reader, profile))
        found |= {
            "conversation": await self._conversation(reader, event.conversation_id),
            "message": await self._message(reader, event.properties.get("message_id")),
            "order": await self._order(reader, event.properties.get("order_id")),
            "task": await self._task(reader, event.properties.get("task_id")),
        }
        return {name: plain(view) for name, view in found.items() if view is not None}

    async def _conversation(self, reader: Reader, conversation_id: Any) -> View | None:
        if not is_id(str(conversation_id), "cnv"):
            return None
        talk = await self._runtime.conversations.get(conversation_id)
        return conversation_view(talk) if talk is not None and reader.principal.may_see(talk.channel_id) else None

    async def _message(self, reader: Reader, message_id: Any) -> View | None:
        if not is_id(str(message_id), "msg"):
            return None
        message = await self._runtime.messages.get(message_id)
        return message_view(message) if message is not None and reader.principal.may_see(message.channel_id) else None

    async def _order(self, reader: Reader, order_id: Any) -> View | None:
        order = await self._runtime.order_store.get(order_id) if is_id(str(order_id), "ord") else None
        return order_view(order) if order is not None and await seen_ids(reader, [order.profile_id]) else None

    async def _task(self, reader: Reader, task_id: Any) -> View | None:
        row = await self._runtime.task_rows.get(task_id) if is_id(str(task_id), "tsk") else None
        return task_view(row) if row is not None and await seen_tasks(reader, [row]) else None
