"""Looks after the clocks: tells once when one is about to run out and when it has, and reckons anew what runs when
promises or business hours were changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from base.clock import Clock
from base.feed import Feed, Notice
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Doorbell
from inbox.sla.clock import Telling, after_telling, owed
from inbox.sla.clocks import SlaClocks
from inbox.store import ConversationStore, WatchStore
from profiles.events import EventStore, NewEvent

#: How often a conversation is looked at again because somebody changed it meanwhile.
ROUNDS = 12
#: Conversations that are looked at together.
TURN = 100
#: Conversations of one stretch of reckoning anew.
STRETCH = 200
#: All are reckoned twice, the second time so long after the first: what was begun under older promises is over by then.
AGAIN_AFTER = timedelta(seconds=70)
PASSES = 2
EVENTS = {"soon": "sla.due_soon", "breached": "sla.breached"}


class SlaWatch:
    """Chores; each is safe to be done by several at once."""

    def __init__(
        self, database: Database, conversations: ConversationStore, watch: WatchStore, clocks: SlaClocks,
        events: EventStore, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._watch = watch
        self._clocks = clocks
        self._events = events
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def drain(self) -> None:
        """Tell until nothing is due."""
        while await self.tell() == TURN:
            pass

    async def renew(self) -> None:
        """Reckon anew until there is nothing to reckon."""
        while await self.reckon():
            pass

    async def tell(self, limit: int = TURN) -> int:
        """Tell of what is due; how many conversations were looked at."""
        duties = await self._watch.duties.claim(["pending"], self._clock(), limit=limit)
        rows = await self._true_rows([each["_id"] for each in duties])
        told = []
        for duty in duties:
            row = rows.get(duty["_id"])
            row, is_news = await self._all_told(row) if row else (None, False)
            await self._watch.settle(duty, (row or {}).get("sla", {}).get("look_at"))
            told += [row] if row and is_news else []
        if told:
            await self._feed.append([_notice(row) for row in told])
            await self._doorbell.ring("react")
        return len(duties)

    async def _true_rows(self, ids: Sequence[str]) -> dict[str, Document]:
        """These conversations, with the clocks that follow from them: some are closed without being looked at."""
        rows = await self._conversations.rows(ids)
        changed = await self._clocks.refresh(self._clocks.stale(rows.values(), await self._clocks.terms()))
        return {**rows, **await self._conversations.rows(changed)} if changed else rows

    async def _all_told(self, row: Document) -> tuple[Document | None, bool]:
        """Tell of all that is due in a conversation; how it stands then, and whether there was anything."""
        current: Document | None = row
        told = False
        for _ in range(ROUNDS):
            now = self._clock()
            telling = owed(current["sla"], now) if current and current.get("sla") else None
            if current is None or telling is None:
                break
            after = await self._told(current, telling, now)
            told = told or after is not None
            current = after or await self._conversations.row(row["_id"])
        return current, told

    async def _told(self, row: Document, telling: Telling, now: datetime) -> Document | None:
        """The conversation once the event is recorded; None when somebody has changed it meanwhile."""
        clocks, event = after_telling(row["sla"], telling), _event(row, telling, now)

        async def work(session: Session, *, recorded: bool = False) -> Document | None:
            after = await self._conversations.change_one(row, {"$set": {"sla": clocks}}, session)
            if after is not None:
                await self._clocks.watch([(row, clocks)], session)
                await self._events.record([] if recorded else [event], session)
            return after

        async def marked(session: Session) -> Document | None:
            return await work(session, recorded=True)

        try:
            told: Document | None = await self._database.in_transaction(work)
        except DuplicateKeyError:  # it was told before its clocks were forgotten: all promises had been taken away
            told = await self._database.in_transaction(marked)
        return told

    # -- reckoning anew ----------------------------------------------------------------------------------------

    async def reckon(self) -> int:
        """Reckon a stretch of open conversations anew where promises or hours have changed; how many were read."""
        now = self._clock()
        terms = await self._clocks.fresh_terms()
        await self._watch.begin_round(terms.mark, now, at_all=bool(terms.policies))
        duty = await self._watch.round_duties.claim_one(["pending"], now)
        if duty is None:
            return 0
        rows = await self._conversations.open_after(duty["after"], STRETCH)
        changed = await self._clocks.refresh(self._clocks.stale(rows, terms))
        await self._feed.append([_notice(row) for row in rows if row["_id"] in changed])
        await self._watch.round_goes_on(duty, *_next_step(duty, rows, now))
        return len(rows)


def _next_step(duty: Document, rows: Sequence[Document], now: datetime) -> tuple[Document, datetime | None]:
    """What is noted of a stretch, and when the next one is due; None: all are reckoned."""
    if rows:
        return {"after": rows[-1]["identity_id"]}, now
    passes = duty["passes"] + 1
    return {"after": "", "passes": passes}, now + AGAIN_AFTER if passes < PASSES else None


def _notice(row: Mapping[str, Any]) -> Notice:
    return Notice("conversation.updated", {"conversation_id": row["_id"]}, row["channel_id"])


def _event(row: Mapping[str, Any], telling: Telling, now: datetime) -> NewEvent:
    name = EVENTS[telling.kind]
    properties: Document = {
        "conversation_id": row["_id"], "target": telling.target, "policy_id": row["sla"]["policy_id"],
        "since": telling.since, "due_at": telling.due_at, "priority": row.get("priority", "none"),
        "assignee_id": row.get("assignee_id"), "team_id": row.get("team_id"),
    }  # fmt: skip
    if telling.kind == "breached":
        properties["late_s"] = max(0, int((now - telling.due_at).total_seconds()))
    return NewEvent(
        name=name, dedupe=f"{name}:{row['_id']}:{telling.target}:{telling.key}", occurred_at=now,
        profile_id=row["profile_id"], identity_id=row["identity_id"], channel_id=row["channel_id"],
        conversation_id=row["_id"], properties=properties,
    )  # fmt: skip
