"""What an event is about, as the API shows it: for programs that are told of events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from base.errors import NotFound
from base.ids import is_id
from desk.api.contract import not_there
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
        """Name → view, for who sees these channels alone (None: all); None when the event is not for them: it, its
        person or anything it is about lies outside."""
        reader = Reader(Principal("webhook", "token", "viewer", channels, "Webhook"), self._runtime)
        if not reader.principal.may_see(event.channel_id):
            return None
        try:
            found = {
                "profile": await self._profile(reader, event.profile_id),
                "conversation": await self._conversation(reader, event.conversation_id),
                "message": await self._message(reader, event.properties.get("message_id")),
                "order": await self._order(reader, event.properties.get("order_id")),
                "task": await self._task(reader, event.properties.get("task_id")),
            }
        except NotFound:
            return None
        return {name: plain(view) for name, view in found.items() if view is not None}

    async def _profile(self, reader: Reader, profile_id: str | None) -> View | None:
        profile = await self._runtime.profiles.get(profile_id) if profile_id is not None else None
        if profile is None:
            return None
        held = await self._runtime.profiles.identities_of(profile.id) if reader.principal.channels is not None else []
        return _for(may_see_person(reader, held), profile_view(scoped_profile(reader, profile)))

    async def _conversation(self, reader: Reader, conversation_id: Any) -> View | None:
        talk = await self._runtime.conversations.get(conversation_id) if is_id(str(conversation_id), "cnv") else None
        if talk is None:
            return None
        if talk.merged_from and not reader.principal.may_see(talk.channel_id):
            # it is shown with one of another channel: what happens on its own is told all the same, without that one
            own = await self._runtime.conversations.row(talk.merged_from)
            if own is None or not reader.principal.may_see(own["channel_id"]):
                raise not_there()
            return None
        return _for(reader.principal.may_see(talk.channel_id), conversation_view(reader, talk))

    async def _message(self, reader: Reader, message_id: Any) -> View | None:
        line = await self._runtime.messages.get(message_id) if is_id(str(message_id), "msg") else None
        return _for(reader.principal.may_see(line.channel_id), message_view(line)) if line is not None else None

    async def _order(self, reader: Reader, order_id: Any) -> View | None:
        order = await self._runtime.order_store.get(order_id) if is_id(str(order_id), "ord") else None
        return _for(await seen_ids(reader, [order.profile_id]), order_view(order)) if order is not None else None

    async def _task(self, reader: Reader, task_id: Any) -> View | None:
        row = await self._runtime.task_rows.get(task_id) if is_id(str(task_id), "tsk") else None
        return _for(await seen_tasks(reader, [row]), task_view(row)) if row is not None else None


def _for(seen: object, view: View) -> View:
    """The view, for who may see it. Raises `NotFound`."""
    if not seen:
        raise not_there()
    return view
