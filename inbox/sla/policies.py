"""The use cases of promises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from channels.store import ChannelStore
from inbox.hours.book import BusinessHours
from inbox.sla.models import PolicyInput
from inbox.store import PolicyStore

#: How often a change is tried again because somebody else saved at the same moment.
ROUNDS = 5
#: As many promises are asked in turn for each conversation.
POLICIES_MAX = 50
MISSING = "There is no such promise."


@dataclass(frozen=True)
class StandingPolicy:
    """A promise as it stands."""

    id: str
    written: PolicyInput
    rev: int
    holds_since: datetime
    created_at: datetime
    updated_at: datetime


class SlaPolicies:
    """Writes them down. Who reckons by them reads `inbox.sla.clocks`."""

    def __init__(self, store: PolicyStore, hours: BusinessHours, channels: ChannelStore) -> None:
        self._store = store
        self._hours = hours
        self._channels = channels

    async def all(self) -> list[StandingPolicy]:
        """Those that stand, the first to be asked first."""
        return [_policy(row) for row in await self._store.all()]

    async def get(self, policy_id: str) -> StandingPolicy:
        """Raises `NotFound`."""
        row = await self._store.get(policy_id)
        if row is None:
            raise NotFound(MISSING)
        return _policy(row)

    async def create(self, wanted: PolicyInput) -> StandingPolicy:
        """A new one, asked after all others. Raises `Conflict` when the name is taken, `WrongInput` when there are too
        many or it names hours or channels that are not there."""
        if len(await self._store.all()) >= POLICIES_MAX:
            raise WrongInput(f"There are {POLICIES_MAX} promises already; take one away first.")
        await self._know_channels(wanted.reach.channel_ids)
        await self._know_hours(wanted)
        try:
            return _policy(await self._store.add(new_id("slp"), wanted.model_dump(mode="json")))
        except DuplicateKeyError:
            raise _taken() from None

    async def change(self, policy_id: str, fields: Mapping[str, Any]) -> StandingPolicy:
        """Replace the parts given. Raises `NotFound`, `WrongInput`, `Conflict`."""
        for _ in range(ROUNDS):
            known = await self.get(policy_id)
            wanted = _checked({**known.written.model_dump(mode="json"), **fields})
            await self._know_channels(set(wanted.reach.channel_ids) - set(known.written.reach.channel_ids))
            if wanted.hours_id != known.written.hours_id:
                await self._know_hours(wanted)
            anew = wanted.model_copy(update={"name": ""}) != known.written.model_copy(update={"name": ""})
            try:
                row = await self._store.change(
                    policy_id, known.rev, wanted.model_dump(mode="json"), holds_anew=anew
                )  # fmt: skip
            except DuplicateKeyError:
                raise _taken() from None
            if row is not None:
                return _policy(row)
        raise Conflict("This promise is being changed too often just now.", code="contended")

    async def order(self, ids: Sequence[str]) -> list[StandingPolicy]:
        """Ask them in this order. Raises `WrongInput` unless it names each of them once."""
        standing = [each.id for each in await self.all()]
        if sorted(ids) != sorted(standing):
            fault = FieldError("ids", "name each promise that stands once")
            raise WrongInput("These are not all promises.", [fault])
        await self._store.order(ids)
        return await self.all()

    async def remove(self, policy_id: str) -> None:
        """Take it away. Raises `NotFound`."""
        if not await self._store.remove(policy_id):
            raise NotFound(MISSING)

    async def restore(self, policy_id: str) -> StandingPolicy:
        """Put it back; nothing is done to one that stands. Raises `NotFound`, `Conflict`."""
        try:
            await self._store.restore(policy_id)
        except DuplicateKeyError:
            raise _taken() from None
        return await self.get(policy_id)

    async def _know_channels(self, channel_ids: Iterable[str]) -> None:
        for each in channel_ids:
            if await self._channels.get(each) is None:
                raise WrongInput("There is no such channel.", [FieldError("reach", f"{each} is no channel here")])

    async def _know_hours(self, wanted: PolicyInput) -> None:
        if wanted.hours_id is None:
            return
        try:
            await self._hours.get(wanted.hours_id)
        except NotFound:
            fault = FieldError("hours_id", "names hours that are not there")
            raise WrongInput("There are no such business hours.", [fault]) from None


def _policy(row: Document) -> StandingPolicy:
    written = PolicyInput.model_validate({name: row[name] for name in PolicyInput.model_fields if name in row})
    return StandingPolicy(row["_id"], written, row["rev"], row["holds_since"], row["created_at"], row["updated_at"])


def _checked(fields: Mapping[str, Any]) -> PolicyInput:
    try:
        return PolicyInput.model_validate(fields)
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The promise has faults.", faults) from None


def _taken() -> Conflict:
    return Conflict("There is a promise with this name already.", code="name_taken")
