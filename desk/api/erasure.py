"""Erases a person everywhere: what could still act goes first, the profile last, so that a call cut short can be
repeated."""

from __future__ import annotations

from typing import Any


async def erase_everywhere(runtime: Any, profile_id: str) -> None:
    """Runs, sends, tasks, files, messages, conversations and orders of the person and of all ids merged into it, then
    the person. Raises `NotFound`.

    The journal's raw deliveries stay: they are kept by channel and name nobody that could be looked for.
    """
    ids = [profile_id, *await runtime.profiles.tombstones_of(profile_id)]
    await runtime.enrolments.delete_of(ids)
    await runtime.sends.delete_of(ids)
    await runtime.tasks.erase(ids)
    await runtime.files.erase_messages(await runtime.messages.ids_of(ids))
    await runtime.messages.delete_of(ids)
    await runtime.conversations.delete_of(ids)
    await runtime.order_store.delete_of(ids)
    await runtime.privacy.erase(profile_id)
