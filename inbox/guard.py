"""Whether an answer goes over something its writer has not seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from base.errors import Conflict
from base.mongo import Document
from inbox.models import Actor, ReplyInput

#: Lines that a refusal names.
NAMED_MAX = 20
#: What waits no longer than this is on its way and can only be taken back; what waits longer is planned.
IN_A_MOMENT = timedelta(seconds=60)


class NewerMessages(Conflict):
    """Somebody else has written since; `since`: those lines, the oldest first. `send_anyway` sends all the same."""

    code = "newer_messages"

    def __init__(self, sentence: str, since: Sequence[Document]) -> None:
        super().__init__(sentence)
        self.since = [each["_id"] for each in since[:NAMED_MAX]]


def must_know(row: Document, reply: ReplyInput) -> int | None:
    """The number of the line after which others may not have written; None: nobody asked for that, or nothing came."""
    if reply.note or reply.send_anyway or reply.seen_seq is None or row["seq"] <= reply.seen_seq:
        return None
    return reply.seen_seq


def of_others(lines: Sequence[Document], agent: Actor) -> list[Document]:
    """Those that somebody else has said: what one wrote oneself in another window is known, and what is planned for
    later is not said yet."""
    said = [each for each in lines if not _is_planned(each)]
    return [each for each in said if agent.id is None or each["author"].get("id") != agent.id]


def _is_planned(line: Document) -> bool:
    due_at = line.get("due_at") if line.get("status") == "queued" else None
    return due_at is not None and due_at - line["provider_at"] > IN_A_MOMENT
