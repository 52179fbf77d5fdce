"""Notifications go out: by mail, web push, or posted to an address of one's own; each asked once more before it goes.

What goes out has a key of its own that is the same each time, so that who dies in the middle repeats it and whoever
gets it sees one: a mail has its Message-ID, a push its tag and topic, a post its `webhook-id`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.mongo import Document
from base.side_by_side import SideBySide
from campaigns.telling.addressees import SPAM
from campaigns.telling.choosing import Choices
from campaigns.telling.models import OF_PROMISES, Chosen, Kind, Nearness, Reader, Readers, Way
from campaigns.telling.noticing import FRESH_S, Sight
from campaigns.telling.quiet import look_again, quiet_until, rests
from campaigns.telling.store import NotificationStore, TellingStore
from campaigns.telling.store.tellings import DONE, FAILED, SKIPPED
from campaigns.wallclock import zone_or
from inbox.store import ConversationStore

#: Until when it is tried again: later nobody wants to hear of it.
WAITS = (timedelta(seconds=20), timedelta(minutes=2), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=3))
#: Kinds that say that a customer waits: once that is over there is nothing to tell.
OF_WAITING: frozenset[Kind] = frozenset({"message", "waiting"})


@dataclass(frozen=True)
class Said:
    """What is told, in the words of whoever is told. `path` leads there; `tag`: what is about the same thing replaces
    each other, and what tells of several replaces itself alone. `lines` has one for each notification."""

    title: str
    lines: tuple[str, ...]
    path: str
    tag: str


@dataclass(frozen=True)
class Outcome:
    """What came of a try. `reached`: who of several has got it; `after`: when the other end wants to be asked again."""

    state: Literal["done", "again", "failed", "skipped"]
    said: str | None = None
    reached: tuple[str, ...] = ()
    after: datetime | None = None


class Wording(Protocol):
    """Says notifications in somebody's language."""

    async def said(self, person: Reader, rows: Sequence[Document], *, more: bool = False) -> Said:
        """Never with an address or a number of a customer: it is read on other people's servers. `more`: they have just
        been told of others like these."""
        ...


class Carrier(Protocol):
    """One way out."""

    async def carry(self, person: Reader, said: Said, telling: Document) -> Outcome:
        """Tell it. The same telling again is the same to whoever gets it."""
        ...


class Presence(Protocol):
    """Knows where colleagues are."""

    async def nearness(self, user_id: str) -> Nearness:
        """As what somebody counts just now."""
        ...


class Teller:
    """Drains due tellings."""

    def __init__(
        self, store: NotificationStore, tellings: TellingStore, choices: Choices, readers: Readers, sight: Sight,
        conversations: ConversationStore, presence: Presence, wording: Wording, carriers: Mapping[Way, Carrier],
        clock: Clock, *,
        time_zone: str,
    ) -> None:  # fmt: skip
        """`time_zone`: of whoever has said none."""
        self._store = store
        self._tellings = tellings
        self._choices = choices
        self._readers = readers
        self._sight = sight
        self._conversations = conversations
        self._presence = presence
        self._wording = wording
        self._carriers = carriers
        self._clock = clock
        self._time_zone = time_zone
        self._people: dict[str, Reader] = {}
        self._until = 0.0
        self._calls = SideBySide(tellings.by_host, self._tell, self._worn_out)

    async def drain(self, limit: int) -> int:
        """Begin as many due tellings as there is room for; how many. Does not wait for slow answers."""
        return await self._calls.drain(limit)

    async def idle(self) -> None:
        """Wait for those under way."""
        await self._calls.idle()

    async def close(self) -> None:
        """Give up what is under way; it is due again when its lease ends."""
        await self._calls.close()

    async def _worn_out(self, row: Document) -> None:
        await self._tellings.settle(row, FAILED, "crashed")

    async def _tell(self, row: Document) -> None:
        person = (await self._colleagues()).get(row["user_id"])
        if person is None or not person.active:
            await self._tellings.settle(row, SKIPPED, "gone")
            return
        chosen = await self._choices.of(person.id)
        zone, _ = zone_or(person.time_zone, self._time_zone)
        if (until := await self._quiet_until(row, chosen, zone)) is not None:
            await self._tellings.put_off(row, until)
            return
        gathered = await self._gathered(person, chosen, row)
        if gathered is None:
            return
        rows, why = await self._still(person, chosen, row["way"], gathered)
        if not rows:
            await self._tellings.settle(row, SKIPPED, why)
            return
        more = any(each.get("follows") not in (None, row["_id"]) for each in gathered)
        said = await self._wording.said(person, rows, more=more)
        if len(gathered) > 1:  # by what was written down, not by what is left of it: the same when it is sent again
            said = replace(said, tag=row["_id"])
        await self._ended(row, await self._carriers[row["way"]].carry(person, said, row))

    async def _gathered(self, person: Reader, chosen: Chosen, row: Document) -> list[Document] | None:
        """What is told with this one, itself first; None: it goes with another, or later, or not at all."""
        if row["way"] == "mail":
            return await self._tellings.gather(row)
        if "crowd" not in row:
            return [row]
        if not row.get("gathered"):  # what is not told any more takes no turn
            rows, why = await self._still(person, chosen, row["way"], [row])
            if not rows:
                await self._tellings.settle(row, SKIPPED, why)
                return None
        return await self._tellings.gather_crowd(row)

    async def _quiet_until(self, row: Document, chosen: Chosen, zone: ZoneInfo) -> datetime | None:
        """When it is looked at again, because the person is not to be disturbed now; None: it may be told."""
        now = self._clock()
        until = quiet_until(chosen.choice, zone, now)
        if until is None and chosen.choice.quiet.presence is not None:
            nearness = await self._presence.nearness(row["user_id"])
            return look_again(row["created_at"], now) if rests(chosen.choice, nearness) else None
        return until

    async def _ended(self, row: Document, outcome: Outcome) -> None:
        if outcome.state != "again":
            ends = {"done": DONE, "failed": FAILED, "skipped": SKIPPED}
            await self._tellings.settle(row, ends[outcome.state], outcome.said)
        elif row["failures"] >= len(WAITS):
            await self._tellings.settle(row, FAILED, outcome.said)
        else:
            until = max(self._clock() + WAITS[row["failures"]], outcome.after or row["created_at"])
            await self._tellings.put_off(row, until, outcome.said or "", outcome.reached)

    # -- once more before it goes ------------------------------------------------------------------------------

    async def _still(
        self, person: Reader, chosen: Chosen, way: Way, tellings: Sequence[Document]
    ) -> tuple[list[Document], str]:
        """The notifications that are still to be told, in their order; and why the others are not."""
        found = await self._store.many(each["notification_id"] for each in tellings)
        talks = await self._conversations.rows(
            each["conversation_id"] for each in found.values() if each["conversation_id"]
        )
        kept, why = [], "erased"
        for row in sorted(found.values(), key=lambda each: each["_id"]):
            against = await self._objection(person, chosen, way, row, talks)
            why = against or why
            kept += [] if against else [row]
        return kept, why

    async def _objection(
        self, person: Reader, chosen: Chosen, way: Way, row: Document, talks: Mapping[str, Document]
    ) -> str | None:
        if not row.get("unread"):
            return "read"
        if way not in chosen.ways(row["kind"]):
            return "switched_off"
        talk = talks.get(row["conversation_id"] or "")
        if row["conversation_id"] and row["channel_id"] is not None and row["kind"] != "task":
            if talk is None or talk["status"] == SPAM:
                return "gone"
            waits = talk.get("waiting_since") or talk.get("merged_into")
            if (row["kind"] in OF_WAITING and not waits) or (row["kind"] in OF_PROMISES and not talk.get("open")):
                return "answered"
        return None if await self._sees(person, row) else "out_of_scope"

    async def _sees(self, person: Reader, row: Document) -> bool:
        if person.channels is None:
            return True
        if row["channel_id"] is not None:
            return row["channel_id"] in person.channels
        return row["profile_id"] is None or await self._sight.sees(person.id, row["profile_id"])

    async def _colleagues(self) -> dict[str, Reader]:
        if time.monotonic() >= self._until:
            self._people = {each.id: each for each in await self._readers.users()}
            self._until = time.monotonic() + FRESH_S
        return self._people
