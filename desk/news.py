"""Something of a person was changed here: open pages look again, and what follows from it begins."""

from __future__ import annotations

from typing import Any

from base.feed import Notice


async def tell_of(runtime: Any, profile_id: str, kind: str = "profile.updated") -> None:
    """Ring for whoever reacts, and tell the pages; only those who may see the person hear of it."""
    runtime.doorbell.soon("react")
    await runtime.feed.append([Notice(kind, {"profile_id": profile_id})])
