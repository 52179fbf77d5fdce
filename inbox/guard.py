"""Whether an answer goes over something its writer has not seen. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from base.errors import Conflict
from base.mongo import Document
from inbox.models import Actor, ReplyInput

#: Lines that a refusal names.
NAMED_MAX = 20


class NewerMessages(Conflict):
    """Somebody else has written since; `since`: those lines, the oldest first. `send_anyway` sends all the same."""

    code = "newer_messages"

    def __init__(self, since: Sequence[Document]) -> None:
        super().__init__("There are newer messages in this conversation. Read them, or send anyway.")
        self.since = [each["_id"] for each in since[:NAMED_MAX]]


def must_know(row: Document, reply: ReplyInput) -> int | None:
    """The number of the line after which others may not have written; None: nobody asked for that, or nothing came."""
    if reply.note or reply.send_anyway or reply.seen_seq is None or row["seq"] <= reply.seen_seq:
        return None
    return reply.seen_seq


def of_others(lines: Sequence[Document], agent: Actor) -> list[Document]:
    """Those that somebody else wrote: what one has written oneself in another window is known."""
    return [each for each in lines if agent.id is None or each["author"].get("id") != agent.id]
