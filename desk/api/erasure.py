"""Erases a person everywhere: asked for once, begun at once, finished by the workers whatever dies."""

from __future__ import annotations

from typing import Any

from base.mongo import Document


async def erase_everywhere(
    runtime: Any, profile_id: str, *, by: str, source: str = "api", reason: str | None = None
) -> Document:
    """Ask for the erasure and carry on with it; when this returns it stands, and mostly the rooms are empty already.
    Raises `NotFound`."""
    row: Document = await runtime.privacy.erasures.ask(profile_id, by=by, source=source, reason=reason)
    await runtime.privacy.erasures.begin(row["_id"])
    return row
