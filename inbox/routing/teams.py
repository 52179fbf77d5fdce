"""The use cases of teams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from base.queue import Doorbell
from channels.store import ChannelStore
from inbox.hours.book import BusinessHours
from inbox.routing.models import Staff, TeamInput
from inbox.store import TeamStore

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5


@dataclass(frozen=True)
class Team:
    """A team as it stands."""

    id: str
    written: TeamInput
    rev: int
    created_at: datetime
    updated_at: datetime

    @property
    def name(self) -> str:
        """What it is called."""
        return self.written.name

    @property
    def workers(self) -> list[str]:
        """Ids of those who are given conversations."""
        return [each.user_id for each in self.written.members if not each.watches]

    @property
    def gives_by_itself(self) -> bool:
        """Whether nobody has to take."""
        return self.written.routing.mode != "manual"


class Teams:
    """Reads and changes them."""

    def __init__(
        self, store: TeamStore, staff: Staff, channels: ChannelStore, hours: BusinessHours,
        doorbell: Doorbell,
    ) -> None:  # fmt: skip
        self._store = store
        self._staff = staff
        self._channels = channels
        self._hours = hours
        self._doorbell = doorbell

    async def all(self) -> list[Team]:
        """Those that stand, by name."""
        return [team_of(row) for row in await self._store.all()]

    async def get(self, team_id: str) -> Team:
        """Raises `NotFound`."""
        row = await self._store.get(team_id)
        if row is None:
            raise _missing()
        return team_of(row)

    async def names(self, team_ids: Iterable[str]) -> dict[str, str]:
        """Id → name, also of those that were taken away."""
        return await self._store.names(team_ids)

    async def of_member(self, user_id: str) -> list[Team]:
        """The teams of somebody, by name."""
        return [each for each in await self.all() if user_id in {one.user_id for one in each.written.members}]

    async def create(self, wanted: TeamInput) -> Team:
        """A new one. Raises `WrongInput` for whom and what it names, `Conflict` when name or channel is taken."""
        await self._check(wanted, None)
        try:
            row = await self._store.add(new_id("tea"), wanted.model_dump(mode="json"))
        except DuplicateKeyError as error:
            raise _taken(error) from None
        await self._doorbell.ring("route")
        return team_of(row)

    async def change(self, team_id: str, fields: Mapping[str, Any]) -> Team:
        """Replace the parts given. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            known = await self.get(team_id)
            wanted = _checked({**known.written.model_dump(mode="json"), **fields})
            await self._check(wanted, known)
            try:
                row = await self._store.change(team_id, known.rev, wanted.model_dump(mode="json"))
            except DuplicateKeyError as error:
                raise _taken(error) from None
            if row is not None:
                await self._doorbell.ring("route")
                return team_of(row)
        raise Conflict("This team is being changed too often just now.", code="contended")

    async def remove(self, team_id: str) -> None:
        """Take it away; what is in its queue waits for everybody. Raises `NotFound`."""
        if not await self._store.remove(team_id):
            raise _missing()

    async def restore(self, team_id: str) -> Team:
        """Put it back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        try:
            await self._store.restore(team_id)
        except DuplicateKeyError as error:
            raise _taken(error) from None
        await self._doorbell.ring("route")
        return await self.get(team_id)

    async def _stands(self, team_id: str) -> bool:
        return await self._store.get(team_id) is not None

    async def _check(self, wanted: TeamInput, known: Team | None) -> None:
        """Everybody and everything named is there. What the team names already may stay, whatever became of it."""
        before = known.written if known else None
        people = {each.id for each in await self._staff.users() if each.active and each.role in ("admin", "agent")}
        people |= {each.user_id for each in before.members} if before else set()
        channels = {each.id for each in await self._channels.list()} | set(before.channel_ids if before else ())
        faults = [
            FieldError(f"members[{place}].user_id", "is nobody who can answer here")
            for place, each in enumerate(wanted.members) if each.user_id not in people
        ]  # fmt: skip
        faults += [
            FieldError(f"channel_ids[{place}]", "is no channel")
            for place, each in enumerate(wanted.channel_ids) if each not in channels
        ]  # fmt: skip
        hours, fallback = wanted.hours_id, wanted.routing.fallback_team_id
        if hours and hours not in {each.id for each in await self._hours.all()} | {before.hours_id if before else None}:
            faults.append(FieldError("hours_id", "are no business hours"))
        if fallback and fallback == (known and known.id):
            faults.append(FieldError("routing.fallback_team_id", "is another team"))
        elif fallback and fallback != (before and before.routing.fallback_team_id) and not await self._stands(fallback):
            faults.append(FieldError("routing.fallback_team_id", "is no team"))
        if faults:
            raise WrongInput("The team names something that is not there.", faults[:20])


def team_of(row: Document) -> Team:
    """The row as a value."""
    written = TeamInput.model_validate({name: row[name] for name in TeamInput.model_fields})
    return Team(row["_id"], written, row["rev"], row["created_at"], row["updated_at"])


def _checked(fields: Mapping[str, Any]) -> TeamInput:
    try:
        return TeamInput.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The team has faults.", faults) from None


def _missing() -> NotFound:
    return NotFound("There is no such team.")


def _taken(error: DuplicateKeyError) -> Conflict:
    if "channel_ids" in (error.details or {}).get("keyPattern", {}):
        return Conflict("Another team has one of these channels already.", code="channel_taken")
    return Conflict("There is a team with this name already.", code="name_taken")
