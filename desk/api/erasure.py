"""Erases a person everywhere: each room erases its own, the profile last, so that a call cut short can be repeated."""

from __future__ import annotations

from typing import Any


async def erase_everywhere(runtime: Any, profile_id: str) -> None:
    """What hangs on the profile and all ids merged into it, then the profile. Raises `NotFound`."""
    ids = [profile_id, *await runtime.profiles.tombstones_of(profile_id)]
    await runtime.order_store.delete_of(ids)
    await runtime.privacy.erase(profile_id)
