"""The promises in force, for whoever changes a conversation: the change carries its clocks in the same transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.errors import Conflict
from base.ids import unique_key
from base.mongo import Database, Document, Session
from inbox.hours.book import BusinessHours
from inbox.sla.clock import Policy, Terms, reckoned
from inbox.sla.policies import SlaPolicies, StandingPolicy
from inbox.store import ConversationStore, WatchStore

#: So long promises are believed without looking. What was reckoned by older ones comes again (`inbox.sla.watching`).
BELIEVED_S = 1.0
ROUNDS = 12


class SlaClocks:
    """Reads promises, and writes when a conversation is to be looked at."""

    def __init__(
        self, database: Database, conversations: ConversationStore, policies: SlaPolicies, hours: BusinessHours,
        watch: WatchStore, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._policies = policies
        self._hours = hours
        self._watch = watch
        self._clock = clock
        self._known = Terms()
        self._known_until = 0.0

    async def terms(self) -> Terms:
        """What is promised now, at most a second old."""
        if time.monotonic() >= self._known_until:
            return await self.fresh_terms()
        return self._known

    async def fresh_terms(self) -> Terms:
        """What is promised at this moment."""
        standing = [each for each in await self._policies.all() if each.written.active]
        named = {each.written.hours_id for each in standing if each.written.hours_id}
        calendars = await self._hours.calendars(named) if named else {}
        since = await self._hours.held_since(named) if named else {}
        parts = [f"{each.id} {each.rev}" for each in standing]
        parts += [f"{each} {rev}" for each, (rev, _) in sorted(calendars.items())]
        self._known = Terms(
            tuple(Policy(each.id, each.written, _held_since(each, since)) for each in standing),
            {each: calendar for each, (_, calendar) in calendars.items()}, unique_key(*parts),
        )  # fmt: skip
        self._known_until = time.monotonic() + BELIEVED_S
        return self._known

    async def watch(self, rows: Iterable[tuple[Mapping[str, Any], Document | None]], session: Session) -> None:
        """Part of the transaction that gives these conversations, as they were read, these clocks."""
        changed = (
            (row["_id"], (row.get("sla") or {}).get("look_at"), (clocks or {}).get("look_at")) for row, clocks in rows
        )
        await self._watch.expect(((each, at) for each, before, at in changed if at != before), session)

    def stale(self, rows: Iterable[Document], terms: Terms) -> list[str]:
        """Which of these conversations have other clocks than they should."""
        now = self._clock()
        return [row["_id"] for row in rows if with_clocks({}, row, terms, now)]

    async def refresh(self, conversation_ids: Iterable[str]) -> set[str]:
        """Reckon these anew from what is written on them; which of them had others. May run twice."""
        wanted = sorted(set(conversation_ids))
        terms = await self.terms() if wanted else Terms()
        return {each for each in wanted if await self._refreshed(each, terms)}

    async def refresh_within(self, conversation_id: str, session: Session) -> None:
        """The same for one, in a transaction that has changed it."""
        row = await self._conversations.row(conversation_id, session)
        if row is not None:
            await self._rewritten(row, await self.terms(), session)

    async def _refreshed(self, conversation_id: str, terms: Terms) -> bool:
        for _ in range(ROUNDS):
            row = await self._conversations.row(conversation_id)
            if row is None or not with_clocks({}, row, terms, self._clock()):
                return False

            async def work(session: Session, row: Document = row) -> bool:
                return await self._rewritten(row, terms, session)

            if await self._database.in_transaction(work):
                return True
        raise Conflict("This conversation is being changed too often just now.", code="contended")

    async def _rewritten(self, row: Document, terms: Terms, session: Session) -> bool:
        update = with_clocks({}, row, terms, self._clock())
        if not update or await self._conversations.change_one(row, update, session) is None:
            return False
        await self.watch([(row, clocks_of(update, row))], session)
        return True


def with_clocks(update: Document, row: Mapping[str, Any], terms: Terms, now: datetime) -> Document:
    """A change of a conversation (`$set` and `$unset` of whole fields count) with the clocks that follow from it, where
    they are others than before. Pure."""
    if not terms.policies and "sla" not in row:
        return update
    gone = update.get("$unset", {})
    after = {name: value for name, value in {**row, **update.get("$set", {})}.items() if name not in gone}
    clocks = reckoned(row, after, terms, now)
    if clocks == row.get("sla"):
        return update
    if clocks is None:
        return {**update, "$unset": {**gone, "sla": ""}}
    return {**update, "$set": {**update.get("$set", {}), "sla": clocks}}


def clocks_of(update: Mapping[str, Any], row: Mapping[str, Any]) -> Document | None:
    """The clocks of a conversation once a change has been applied. Pure."""
    if "sla" in update.get("$unset", {}):
        return None
    found: Document | None = update.get("$set", {}).get("sla", row.get("sla"))
    return found


def _held_since(policy: StandingPolicy, hours: Mapping[str, datetime]) -> datetime:
    """Since when it is promised as it is, by hours that are as they are."""
    return max(policy.holds_since, hours.get(policy.written.hours_id or "", policy.holds_since))
