"""The use cases of bots: made with a secret and a key of their own, changed, switched off, taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.http import INSIDE, AddressGuard
from base.ids import new_id
from base.mongo import Document, DuplicateKeyError
from base.secret_box import SecretBox
from base.signing_secrets import SigningSecrets
from campaigns.automation.bots.models import BotInput, host_of
from campaigns.automation.bots.store import BotStore

#: More are more than anybody looks after.
BOTS_MAX = 50
MISSING = "There is no such bot."
TAKEN = "One of these channels has another bot already."


class Keys(Protocol):
    """Keys by which programs come in."""

    async def make(self, bot_id: str, name: str, channels: Sequence[str], by: str) -> tuple[str, str]:
        """(the key, shown this once; its id), for what a bot may do on these channels."""
        ...

    async def narrow(self, token_id: str, name: str, channels: Sequence[str]) -> None:
        """From now on for these channels."""
        ...

    async def switch(self, token_id: str, *, on: bool) -> None:
        """Whether it opens anything."""
        ...


class Channels(Protocol):
    """Knows channels."""

    async def get(self, channel_id: str) -> Any:
        """One of them, or None."""
        ...


@dataclass(frozen=True)
class MadeBot:
    """A new bot with what is shown this once: the secret its posts are signed with, and the key it answers by."""

    row: Document
    secret: str
    key: str


class Bots:
    """Whoever calls has checked who may."""

    def __init__(
        self, store: BotStore, channels: Channels, keys: Keys, box: SecretBox, guard: AddressGuard, clock: Clock
    ) -> None:  # fmt: skip
        self._store = store
        self._channels = channels
        self._keys = keys
        self._secrets = SigningSecrets(box, clock)
        self._guard = guard
        self._clock = clock

    async def all(self) -> list[Document]:
        """Those that stand, the newest first."""
        return await self._store.all()

    async def get(self, bot_id: str) -> Document:
        """Raises `NotFound`."""
        row = await self._store.get(bot_id)
        if row is None:
            raise NotFound(MISSING)
        return row

    async def create(self, wanted: BotInput, by: str, bot_id: str | None = None) -> MadeBot:
        """A new one. `bot_id`: chosen by who may ask twice. Raises `WrongInput`, and `Conflict` for an id that is
        there, a channel that has a bot or one too many."""
        await self._check(wanted)
        if bot_id is not None and await self._store.known(bot_id) is not None:
            raise Conflict("This bot has been made already.", code="exists")
        if len(await self._store.all()) >= BOTS_MAX:
            raise Conflict("There are as many bots as there may be. Take one away first.", code="too_many")
        bot_id = bot_id or new_id("bot")
        secret, sealed = self._secrets.new(bot_id)
        key, token_id = await self._keys.make(bot_id, wanted.name, wanted.channel_ids, by)
        fields = {
            "_id": bot_id, **wanted.model_dump(), "host": host_of(wanted.url), "secret": sealed,
            "token_id": token_id, "created_by": by,
        }  # fmt: skip
        try:
            row = await self._store.add(fields)
        except DuplicateKeyError:
            await self._keys.switch(token_id, on=False)
            raise _taken() from None
        return MadeBot(row, secret, key)

    async def change(self, bot_id: str, given: Mapping[str, Any]) -> Document:
        """Replace the parts given; what it has on channels it loses goes to people. Raises `NotFound`, `WrongInput`,
        `Conflict`."""
        before = await self.get(bot_id)
        wanted = _read({**{name: before[name] for name in BotInput.model_fields}, **given})
        await self._check(wanted)
        fields = {**wanted.model_dump(), "host": host_of(wanted.url)}
        if not wanted.active or set(before["channel_ids"]) - set(wanted.channel_ids):
            fields["leaving"] = True
        try:
            row = await self._store.change(bot_id, fields)
        except DuplicateKeyError:
            raise _taken() from None
        if row is None:
            raise NotFound(MISSING)
        await self._keys.narrow(row["token_id"], row["name"], row["channel_ids"])
        return row

    async def remove(self, bot_id: str) -> None:
        """Take it away: what it has goes to people. `restore` puts it back. Raises `NotFound`."""
        change = {"stands": False, "removed_at": self._clock(), "leaving": True}
        row = await self._store.change(bot_id, change)
        if row is None:
            raise NotFound(MISSING)
        await self._keys.switch(row["token_id"], on=False)

    async def restore(self, bot_id: str) -> Document:
        """Undo that; it has no conversations until new ones begin. Raises `NotFound`, `Conflict`."""
        try:
            await self._store.change(bot_id, {"stands": True}, gone=("removed_at",), stands=False)
        except DuplicateKeyError:
            raise _taken() from None
        row = await self.get(bot_id)
        await self._keys.switch(row["token_id"], on=True)
        return row

    async def exchange(self, bot_id: str) -> str:
        """A new secret from now on, shown this once; for a day the former one signs too. Raises `NotFound`,
        `Conflict` for two at once."""
        before = await self.get(bot_id)
        secret, fields = self._secrets.exchanged(before)
        if await self._store.change(bot_id, fields, rev=before["rev"]) is None:
            raise Conflict("The bot was changed just now. Look at it again.", code="contended")
        return secret

    async def new_key(self, bot_id: str, by: str) -> str:
        """Another key to come in by, shown this once; the former one opens nothing any more. Raises `NotFound`."""
        before = await self.get(bot_id)
        key, token_id = await self._keys.make(bot_id, before["name"], before["channel_ids"], by)
        if await self._store.change(bot_id, {"token_id": token_id}, rev=before["rev"]) is None:
            await self._keys.switch(token_id, on=False)
            raise Conflict("The bot was changed just now. Look at it again.", code="contended")
        await self._keys.switch(before["token_id"], on=False)
        return key

    def secrets_of(self, row: Document) -> Sequence[str]:
        """What its posts are signed with: the newest first, for a day after an exchange two."""
        return self._secrets.of(row)

    async def _check(self, wanted: BotInput) -> None:
        if self._guard.refuses(host_of(wanted.url)):
            raise WrongInput("This address cannot be called.", [FieldError("url", INSIDE)], code="refused_address")
        for each in wanted.channel_ids:
            if await self._channels.get(each) is None:
                raise WrongInput("There is no such channel.", [FieldError("channel_ids", f"{each} is no channel")])


def _read(fields: Mapping[str, Any]) -> BotInput:
    try:
        return BotInput.model_validate(dict(fields))
    except ValidationError as error:
        faults = [FieldError(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        raise WrongInput("The bot has faults.", faults) from None


def _taken() -> Conflict:
    return Conflict(TAKEN, code="channel_taken")
