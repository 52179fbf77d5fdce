"""What calls of journeys are signed with: a secret of the deployment, shown to who may, exchanged without a gap."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from base.clock import Clock
from base.mongo import Document
from base.secret_box import SecretBox
from base.signing import new_standard_secret
from base.signing_secrets import BOTH_FOR
from campaigns.store.call_secrets import CallSecretStore

#: Seconds for which what was read is good enough.
FRESH_S = 10.0
_CONTEXT = "journeys:webhook_secret"


@dataclass(frozen=True)
class Standing:
    """How it stands, without the secret. `both_until`: so long the former one signs too."""

    is_made: bool
    exchanged_at: datetime | None
    both_until: datetime | None


class CallSecrets:
    """Makes, shows and exchanges it."""

    def __init__(self, store: CallSecretStore, box: SecretBox, clock: Clock) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self._known: list[str] = []
        self._until = 0.0

    async def signing(self) -> list[str]:
        """The secret in use, and for a day after an exchange the former one too."""
        if not self._known or time.monotonic() >= self._until:
            row = await self._store.get() or await self._store.begin(self._sealed())
            self._known = self._opened(row)
            self._until = time.monotonic() + FRESH_S
        return self._known

    async def current(self) -> str:
        """What receivers have to know."""
        return (await self.signing())[0]

    async def exchange(self) -> str:
        """A new one from now on."""
        await self.signing()
        await self._store.exchange(self._sealed(), self._clock())
        self._known = []
        return await self.current()

    async def standing(self) -> Standing:
        """Since when, and until when the former one signs too."""
        row = await self._store.get()
        at = row.get("exchanged_at") if row else None
        both = at + BOTH_FOR if row and row.get("former") and at is not None else None
        return Standing(row is not None, at, both if both is not None and self._clock() < both else None)

    async def take_back(self) -> bool:
        """Undo an exchange while both sign: the former one is in use again, the new one signs for another day."""
        row = await self._store.get()
        if row is None or (await self.standing()).both_until is None:
            return False
        self._known = []
        return await self._store.take_back(row["secret"], self._clock())

    def _sealed(self) -> str:
        return self._box.seal(new_standard_secret(), _CONTEXT)

    def _opened(self, row: Document) -> list[str]:
        found = [self._box.open(row["secret"], _CONTEXT)]
        at = row.get("exchanged_at")
        if row.get("former") and at is not None and self._clock() < at + BOTH_FOR:
            found.append(self._box.open(row["former"], _CONTEXT))
        return found
