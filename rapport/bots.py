"""Programs that answer first, with their keys and what they are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from campaigns.automation.bots.book import Bots
from campaigns.automation.bots.handing import HandOver
from campaigns.automation.bots.posting import BotPoster
from campaigns.automation.bots.store import BotPostStore, BotStore
from desk.accounts import Accounts
from desk.api.event_views import EventViews
from inbox.room import Inbox
from profiles.events import Event
from rapport.people import People
from rapport.plumbing import Plumbing


class BotKeys:
    """Tokens of the API for bots, each for the channels of its bot."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    async def make(self, bot_id: str, name: str, channels: Sequence[str], by: str) -> tuple[str, str]:
        """See `campaigns.automation.bots.book.Keys`."""
        key, token = await self._accounts.new_token(
            name, "agent", channels=list(channels), created_by=by, bot_id=bot_id
        )
        return key, token.id

    async def narrow(self, token_id: str, name: str, channels: Sequence[str]) -> None:
        """See `campaigns.automation.bots.book.Keys`."""
        await self._accounts.store.change_token(token_id, {"name": name, "channels": list(channels)})

    async def switch(self, token_id: str, *, on: bool) -> None:
        """See `campaigns.automation.bots.book.Keys`."""
        if on:
            await self._accounts.store.change_token(token_id, {"revoked_at": None})
        else:
            await self._accounts.store.revoke_token(token_id)


class BotRoom:
    """Bots and what carries them. The poster needs what the API reads from, and comes last."""

    def __init__(self, plumbing: Plumbing, people: People, inbox: Inbox, rows: BotStore) -> None:
        self.rows = rows
        self.posts = BotPostStore(plumbing.db, plumbing.clock)
        self.handing = HandOver(rows, inbox.conversations, inbox.actions, inbox.teams, plumbing.clock)
        self.bots = Bots(
            rows, plumbing.channels, BotKeys(Accounts(people.users, plumbing.clock)), plumbing.box,
            plumbing.http.guard, plumbing.clock,
        )  # fmt: skip
        self._plumbing, self._people, self._inbox = plumbing, people, inbox
        self._poster: BotPoster | None = None

    def poster(self, runtime: Any) -> BotPoster:
        """`runtime`: everything that the views of the API read from."""
        self._poster = BotPoster(
            self.bots, self.rows, self.posts, self.handing, self._inbox.conversations, self._inbox.messages,
            self._people.consent, self._people.events, EventViews(runtime), self._plumbing.http, self._plumbing.clock,
        )  # fmt: skip
        return self._poster

    async def hear(self, events: Sequence[Event]) -> None:
        """Told of what happens, once all is opened."""
        if self._poster is not None:
            await self._poster.hear(events)


def open_bots(plumbing: Plumbing, people: People, inbox: Inbox, rows: BotStore) -> BotRoom:
    """Nothing is read or written here."""
    return BotRoom(plumbing, people, inbox, rows)
