"""Rules of the house for who answers: how long an answer can be taken back, and who may answer what is somebody's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from base.errors import Conflict
from base.mongo import Document
from inbox.guard import IN_A_MOMENT
from inbox.models import Actor, ReplyInput
from inbox.reopening import Reopening
from inbox.store.answering import AnsweringStore

#: Seconds in which an answer can be taken back, where nobody has chosen.
UNDO_S, UNDO_MAX_S = 10, int(IN_A_MOMENT.total_seconds())


class AnsweringRules(BaseModel):
    """`lock`: whether somebody else may answer a conversation that has an assignee: yes (`off`), once asked (`warn`),
    or no (`assignee`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    undo_s: int = Field(UNDO_S, ge=0, le=UNDO_MAX_S)
    lock: Literal["off", "warn", "assignee"] = "off"


class Answering:
    """Reads and sets them."""

    def __init__(self, store: AnsweringStore) -> None:
        self._store = store

    async def rules(self) -> AnsweringRules:
        """Those that hold now."""
        row = await self._store.chosen()
        return AnsweringRules.model_validate({name: row[name] for name in AnsweringRules.model_fields if name in row})

    async def choose(self, rules: AnsweringRules, by: str) -> None:
        """From now on these."""
        await self._store.choose(rules.model_dump(), by)

    async def reopening(self, channel_ids: Iterable[str]) -> dict[str, Reopening]:
        """What becomes of closed conversations on these channels, where somebody has chosen."""
        rows = await self._store.reopening(channel_ids)
        return {channel_id: Reopening.model_validate(row) for channel_id, row in rows.items()}

    async def choose_reopening(self, channel_id: str, rule: Reopening, by: str) -> None:
        """From the next message on so."""
        await self._store.choose_reopening(channel_id, rule.model_dump(), by)

    async def check(self, row: Document, agent: Actor, reply: ReplyInput) -> None:
        """Raise `Conflict` when this colleague may not (or not without saying so) answer what is somebody else's."""
        owner = row.get("assignee_id")
        if reply.note or owner is None or owner == agent.id or agent.type != "agent":
            return
        objection = lock_objection(await self.rules(), reply)
        if objection is not None:
            raise objection


def lock_objection(rules: AnsweringRules, reply: ReplyInput) -> Conflict | None:
    """What speaks against answering a conversation of somebody else's. Pure."""
    if rules.lock == "assignee":
        return Conflict(
            "This conversation is somebody else's. Take it first, or leave a note.", code="assigned_to_other"
        )
    if rules.lock == "warn" and not reply.send_anyway:
        return Conflict("This conversation is somebody else's. Send anyway?", code="ask_first")
    return None
