"""Asks the platforms who a new person is: name, picture, ids that join channels. What is known already stays.

The wish stands on the identity itself, written with it, so that a crash loses none. Nothing waits for the answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from base.clock import Clock
from base.errors import RapportError
from base.mongo import UNAVAILABLE, Document
from channels.failures import SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, Person
from profiles.resolve import Resolver, Sighting
from profiles.store.identities import IdentityStore

log = logging.getLogger(__name__)

#: Asked side by side.
WIDTH = 8
LEASE = timedelta(seconds=60)
MAX_TRIES = 4
FIRST_WAIT = timedelta(minutes=1)


class Lookups:
    """Drains the wishes."""

    def __init__(
        self, identities: IdentityStore, channels: ChannelStore, registry: Registry, resolver: Resolver, clock: Clock
    ) -> None:
        self._identities = identities
        self._channels = channels
        self._registry = registry
        self._resolver = resolver
        self._clock = clock

    async def drain(self, limit: int = 100) -> int:
        """Ask for up to `limit` people; how many were asked for."""
        now = self._clock()
        rows = await self._identities.claim_lookups(now, now + LEASE, limit)
        turn = asyncio.Semaphore(WIDTH)
        found = await asyncio.gather(*(self._asked(row, turn) for row in rows))
        sightings = [sighting for sighting in found if sighting is not None]
        await self._write(sightings)
        answered = {(each.address.channel_id, each.address.external_id) for each in sightings}
        for row in rows:
            if (row["channel_id"], row["external_id"]) in answered:
                await self._identities.looked_up(row)
        return len(rows)

    async def _write(self, sightings: Sequence[Sighting]) -> None:
        """All together; an answer that cannot be written costs its own name and no other's."""
        try:
            await self._resolver.resolve(sightings)
        except UNAVAILABLE:
            raise
        except Exception:
            if len(sightings) == 1:
                log.exception("an answer cannot be kept", extra={"provider": sightings[0].provider})
                return
            for each in sightings:
                await self._write([each])

    async def _asked(self, row: Document, turn: asyncio.Semaphore) -> Sighting | None:
        person: Person | None = None
        try:
            account = await self._channels.account(row["channel_id"])
            if account is not None:
                async with turn:
                    person = await self._registry.get(row["provider"]).lookup(account, row["external_id"])
        except SendFailed as error:
            await self._put_off(row, again=error.consequence.retry)
            return None
        except RapportError:  # the account's secrets cannot be opened
            await self._put_off(row, again=True)
            return None
        except UNAVAILABLE:
            raise
        except Exception:  # an adapter's bug costs a name, nothing else
            log.exception("lookup failed", extra={"provider": row["provider"]})
        if person is None:
            await self._identities.looked_up(row)
            return None
        address = Address(channel_id=row["channel_id"], external_id=row["external_id"], handle=row.get("handle"))
        return Sighting(address, row["provider"], self._clock(), person)

    async def _put_off(self, row: Document, *, again: bool) -> None:
        tries = row["lookup"]["tries"]
        at = self._clock() + FIRST_WAIT * 4 ** (tries - 1) if again and tries < MAX_TRIES else None
        await self._identities.looked_up(row, at)
