"""What everything else is built on: connections, keys, the accounts at providers."""

from __future__ import annotations

from dataclasses import dataclass

from base import clock as base_clock
from base.bus import Bus
from base.clock import Clock
from base.errors import Misconfigured
from base.feed import Feed
from base.http import AddressGuard, HttpClient
from base.mongo import Database
from base.queue import Doorbell
from base.secret_box import SecretBox
from base.settings import Settings
from channels.approved.store import ApprovedStore
from channels.registry import Registry
from channels.store import ChannelStore
from rapport import keys


@dataclass(frozen=True)
class Plumbing:
    """What is opened: connections and keys."""

    settings: Settings
    clock: Clock
    db: Database
    bus: Bus
    doorbell: Doorbell
    feed: Feed
    http: HttpClient
    box: SecretBox
    registry: Registry
    channels: ChannelStore
    approved: ApprovedStore

    async def close(self) -> None:
        """Let go of every connection, in reverse."""
        await self.registry.close()
        await self.http.close()
        await self.doorbell.close()
        await self.bus.close()
        self.db.close()


def open_plumbing(settings: Settings, clock: Clock = base_clock.now) -> Plumbing:
    if settings.mongo_url is None or settings.redis_url is None:
        raise Misconfigured("RAPPORT_MONGO_URL and RAPPORT_REDIS_URL are needed here.")
    db = Database(settings.mongo_url.get_secret_value(), settings.database)
    redis_url = settings.redis_url.get_secret_value()
    bus, doorbell = Bus(redis_url, prefix=settings.queue_prefix), Doorbell(redis_url, prefix=settings.queue_prefix)
    box = keys.secret_box(settings, create=False)
    http = HttpClient(AddressGuard(settings.allow_private_addresses))
    registry = Registry(http)
    channels = ChannelStore(db, box, registry, clock, settings.base_url)
    approved = ApprovedStore(db, clock)
    return Plumbing(settings, clock, db, bus, doorbell, Feed(db, bus, clock), http, box, registry, channels, approved)
