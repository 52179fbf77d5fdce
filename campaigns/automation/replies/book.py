"""The use cases of what a channel says by itself: read, choose, try out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from base.clock import Clock
from base.errors import Conflict, FieldError, WrongInput
from base.mongo import Document
from campaigns.automation.replies.choosing import Answer, Heard, Standing, chosen
from campaigns.automation.replies.models import ChannelReplies
from campaigns.automation.replies.store import ChannelReplyStore
from campaigns.automation.replies.writing import ReplyWords
from inbox.acts import checked_labels
from inbox.hours.book import BusinessHours
from profiles.opt_words import opt_word

#: Of no person in particular.
NOBODY: Document = {}


class TeamNames(Protocol):
    """Knows teams."""

    async def standing(self, team_ids: Collection[str]) -> dict[str, str]:
        """Id → name, of those that were not taken away."""
        ...


@dataclass(frozen=True)
class Closed:
    """Whether somebody is there, and when again; the zone in which that is said."""

    is_open: bool
    opens_at: datetime | None
    zone: ZoneInfo


@dataclass(frozen=True)
class Trial:
    """What would be said to a message: `kind` and `text`, what else would be done, or `why` nothing is said."""

    kind: str | None = None
    text: str | None = None
    labels: tuple[str, ...] = ()
    team_id: str | None = None
    why: str | None = None


class ChannelReplyBook:
    """Whoever calls has checked who may."""

    def __init__(
        self, store: ChannelReplyStore, words: ReplyWords, hours: BusinessHours, teams: TeamNames, clock: Clock, *,
        zone: str = "UTC",
    ) -> None:  # fmt: skip
        """`zone`: by whose days a greeting counts."""
        self._store = store
        self._words = words
        self._hours = hours
        self._teams = teams
        self._clock = clock
        self.zone = ZoneInfo(zone)

    async def get(self, channel_id: str) -> ChannelReplies:
        """What a channel says; nothing where nobody has chosen."""
        return replies_of(await self._store.get(channel_id))

    async def of(self, channel_ids: Iterable[str]) -> dict[str, ChannelReplies]:
        """The same of several, those left out for which nobody has chosen."""
        return {each: replies_of(row) for each, row in (await self._store.of(channel_ids)).items()}

    async def choose(self, channel_id: str, wanted: ChannelReplies, by: str) -> int:
        """From the next message on so; the revision, by which it can be taken back. Raises `WrongInput`."""
        await self._words.check(wanted)
        faults = []
        for place, each in enumerate(wanted.keywords):
            checked_labels(each.labels)
            if each.team_id and each.team_id not in await self._teams.standing([each.team_id]):
                faults.append(FieldError(f"keywords.{place}.team_id", "is no team"))
        away = wanted.out_of_office
        if away is not None and away.hours_id not in await self._hours.calendars([away.hours_id]):
            faults.append(FieldError("out_of_office.hours_id", "are no business hours"))
        if faults:
            raise WrongInput("What is named here is not there.", faults)
        return int((await self._store.choose(channel_id, wanted.model_dump(mode="json"), by))["rev"])

    async def take_back(self, channel_id: str, rev: int, by: str) -> None:
        """What stood before that revision stands again. Raises `Conflict` where somebody has changed it since."""
        if await self._store.take_back(channel_id, rev, by) is None:
            raise Conflict("Somebody has changed this since. Look at it again.", code="changed_since")

    async def closed(self, replies: ChannelReplies, at: datetime) -> Closed:
        """How it stands with the hours. Hours that are gone count as always open."""
        away = replies.out_of_office
        found = await self._hours.calendars([away.hours_id]) if away is not None and away.active else {}
        for _, calendar in found.values():
            is_open = calendar.is_open(at)
            return Closed(is_open, None if is_open else calendar.opens_at(at), calendar.zone)
        return Closed(True, None, self.zone)

    async def try_out(
        self, replies: ChannelReplies, text: str, at: datetime | None = None, language: str | None = None
    ) -> Trial:  # fmt: skip
        """What would be said to the first message of somebody new. Writes nothing. Raises `WrongInput`."""
        await self._words.check(replies)
        if opt_word(text) is not None:
            return Trial(why="consent_word")
        now = at or self._clock()
        closed = await self.closed(replies, now)
        standing = Standing(began_at=now, is_open=closed.is_open, opens_at=closed.opens_at)
        answer = chosen(replies, Heard(text, now), standing, now, self.zone)
        if not isinstance(answer, Answer):
            return Trial(why=answer)
        person = {**NOBODY, "locale": language}
        words = await self._words.write(answer.texts, person, text, closed.opens_at, closed.zone, now)
        return Trial(answer.kind, words, answer.labels, answer.team_id)


def replies_of(row: Document | None) -> ChannelReplies:
    """The row as a value."""
    return ChannelReplies.model_validate(row["written"]) if row else ChannelReplies()
