"""Search over what was said: words are kept beside messages as these come and change, and the past is read bit by bit.

A message that is to be read is named in the transaction that writes it, so none is forgotten; reading it twice does no
harm. What journeys and broadcasts say to everybody alike is not kept: it would stand before what people wrote.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.clock import Clock
from base.mongo import Database, Document, Session
from inbox.models import Message, message_of
from inbox.store import MessageStore, WordStore
from inbox.words import asked_words, is_found, says, snippet, text_of, words_in

#: Rows that name messages, and messages after which no further row is read in the same transaction.
BATCH, READ_MAX = 10, 200
#: Messages of the past that are named in one row.
PAST = 200
#: The longest rest between two transactions, seconds.
REST_MAX_S = 1.0
#: Messages looked at for one page of a question, and how often more are fetched.
AT_ONCE, TRIPS = 60, 5


@dataclass(frozen=True)
class Hit:
    """A message in which it was found, and the part of it that says so."""

    message: Message
    snippet: str


class Searching:
    """Keeps the words and answers questions."""

    def __init__(self, database: Database, messages: MessageStore, clock: Clock) -> None:
        self._database = database
        self._messages = messages
        self._words: WordStore = messages.words_of
        self._clock = clock

    async def messages(self, q: str, channels: Sequence[str] | None, limit: int) -> list[Hit]:
        """Messages that say all of it, the newest first. Words are found whole, runs of scripts without spaces
        anywhere. `channels`: those that the asking person may see. Raises `TooSlow`."""
        words, found, before = asked_words(q), [], None
        known: list[str] = []
        for _ in range(TRIPS if words else 0):
            rows = await self._words.found(words, channels, AT_ONCE, before, known)
            held = await self._messages.many(row["_id"] for row in rows)
            for row in rows:
                message = held.get(row["_id"])
                if message and is_found(message) and says(text := text_of(message), q):
                    found.append(Hit(message_of(message), snippet(text, q)))
            if len(rows) < AT_ONCE or len(found) >= limit:
                break
            last = rows[-1]["at"]
            known = [*(known if last == before else ()), *(row["_id"] for row in rows if row["at"] == last)]
            before = last
        return found[:limit]

    async def read(self, limit: int = BATCH) -> int:
        """Read messages that are new or have changed; how many rows named them. Several may do it at once."""

        async def work(session: Session) -> tuple[list[Document], list[str]]:
            due = _together(await self._words.due(self._clock(), limit, session))
            ids = {message_id for each in due for message_id in each["message_ids"]}
            held = await self._words.messages(ids, session)
            kept = {key: words for key, row in held.items() if is_found(row) and (words := words_in(text_of(row)))}
            await self._words.write([_row(held[key], words) for key, words in kept.items()], session)
            await self._words.remove(sorted(ids - kept.keys()), session)
            return due, sorted(kept)

        if not await self._words.due(self._clock(), 1):
            return 0
        due, written = await self._database.in_transaction(work)
        # Who was erased meanwhile leaves no words behind: only now it is forgotten that they were to be read.
        await self._words.remove_lost(written)
        await self._words.forget_due(due)
        return len(due)

    async def keep(self) -> None:
        """Read all that is due, resting as long as it works: what comes in goes first. A chore."""
        begun = time.monotonic()
        while await self.read():
            await asyncio.sleep(min(REST_MAX_S, time.monotonic() - begun))
            begun = time.monotonic()

    async def read_past(self) -> int:
        """Name some messages from before there was a search, the newest first, while little else waits; how many. A
        chore that goes on where it was, until all are read."""
        state = await self._words.past()
        if state["done"] or len(await self._words.due(self._clock(), BATCH)) >= BATCH:
            return 0
        ids = await self._words.earlier(state["after"], PAST)

        async def work(session: Session) -> int:
            last = ids[-1] if ids else state["after"]
            if not await self._words.went_on(state, last, len(ids) < PAST, session):
                return 0
            await self._words.want(ids, self._clock(), session)
            return len(ids)

        done: int = await self._database.in_transaction(work)
        return done


def _together(due: Sequence[Document]) -> list[Document]:
    """As many rows from the front as make one transaction; at least one."""
    taken: list[Document] = []
    count = 0
    for each in due:
        if taken and count >= READ_MAX:
            break
        taken.append(each)
        count += len(each["message_ids"])
    return taken


def _row(message: Mapping[str, Any], words: Sequence[str]) -> Document:
    names = ("_id", "conversation_id", "channel_id", "profile_id", "identity_id")
    return {**{name: message[name] for name in names if name in message}, "at": message["provider_at"],
            "words": list(words)}  # fmt: skip
