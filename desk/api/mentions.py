"""Conversations in whose notes somebody is called by name."""

from __future__ import annotations

from desk.api.scope import Asking

#: Notes that are looked at, the latest: a list of mentions is for what is new.
NOTES_MAX = 500


async def mentioning(asking: Asking) -> list[str]:
    """Those in which a note calls who asks, on the channels they see; a merged one by what it was merged into."""
    seen, runtime = asking.principal.reach, asking.runtime
    ids = await runtime.messages.mentioning(asking.principal.id, seen, NOTES_MAX)
    rows = await runtime.conversations.rows(ids)
    return list(dict.fromkeys(row.get("merged_into") or row["_id"] for row in rows.values()))
