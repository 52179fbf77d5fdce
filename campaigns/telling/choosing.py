"""What each person wants to be told, and how. An address of their own is kept sealed: who knows it can post there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import ValidationError

from base.errors import FieldError, WrongInput
from base.http import INSIDE, AddressGuard
from base.mongo import Document
from base.secret_box import SecretBox
from campaigns.telling.models import Chosen, TellingChoice
from campaigns.telling.store import ChoiceStore
from campaigns.telling.store.browsers import BrowserStore

#: Seconds for which what was read is good enough.
FRESH_S = 2.0
URL_MAX = 2000
_NO_ADDRESS = "is a web address such as https://hooks.slack.com/services/…, without names, passwords or # in it"


class Choices:
    """Reads and changes them."""

    def __init__(self, store: ChoiceStore, browsers: BrowserStore, box: SecretBox, guard: AddressGuard) -> None:
        self._store = store
        self._browsers = browsers
        self._box = box
        self._guard = guard
        self._known: dict[str, Document] = {}
        self._with_push: frozenset[str] = frozenset()
        self._until = 0.0

    async def of_all(self, user_ids: list[str]) -> dict[str, Chosen]:
        """What counts for each of these; read some seconds ago at most."""
        if time.monotonic() >= self._until:
            self._known = {row["_id"]: row for row in await self._store.all()}
            self._with_push = await self._browsers.owners()
            self._until = time.monotonic() + FRESH_S
        return {each: _chosen(self._known.get(each), each in self._with_push) for each in user_ids}

    async def of(self, user_id: str) -> Chosen:
        """What counts for one, as it stands."""
        row = await self._store.of(user_id)
        return _chosen(row, bool(await self._browsers.of(user_id)))

    async def choose(self, user_id: str, choice: TellingChoice, *, hook_url: str | None = None, keeps_hook: bool = True
                     ) -> Chosen:  # fmt: skip
        """From now on this counts. `hook_url` replaces their own address; without one it stays (`keeps_hook`) or goes.

        Raises `WrongInput` for an address that is none, or inside the house.
        """
        fields: Document = {"choice": choice.model_dump(mode="json", by_alias=True)}
        if hook_url:
            host = self._checked(hook_url)
            fields |= {"hook": self._box.seal(hook_url, _context(user_id)), "hook_host": host}
        gone = () if hook_url or keeps_hook else ("hook", "hook_host")
        await self._store.choose(user_id, fields, gone)
        self.forget()
        return await self.of(user_id)

    async def hook_url(self, user_id: str) -> str | None:
        """Their own address. Raises `SecretLost`."""
        row = await self._store.of(user_id)
        return self._box.open(row["hook"], _context(user_id)) if row and row.get("hook") else None

    def forget(self) -> None:
        """Read anew before the next answer."""
        self._until = 0.0

    def _checked(self, url: str) -> str:
        """Its host."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            plain = parts.port != 0 and parts.scheme in ("http", "https") and parts.username is None
        except ValueError:
            host, plain = "", False
        odd = any(letter.isspace() or not letter.isprintable() for letter in url) or "#" in url or len(url) > URL_MAX
        if not host or not plain or odd:
            raise WrongInput("This is no address that can be posted to.", [FieldError("hook_url", _NO_ADDRESS)])
        if self._guard.refuses(host):
            raise WrongInput("This address lies inside the house.", [FieldError("hook_url", INSIDE)])
        return host


def _chosen(row: Mapping[str, object] | None, has_push: bool) -> Chosen:
    if row is None:
        return Chosen(TellingChoice(), None, has_push)
    try:
        choice = TellingChoice.model_validate(row["choice"])
    except ValidationError:  # written by another version of us: as usual
        choice = TellingChoice()
    host = row.get("hook_host")
    return Chosen(choice, str(host) if host else None, has_push)


def _context(user_id: str) -> str:
    return f"{user_id}:hook_url"
