"""One database for the tests of a module, with the stores of a person on it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from base.mongo import Database
from profiles.resolve import Resolver
from profiles.store import (
    ConsentStore,
    EventStore,
    ProfileStore,
)
from tests.databases import Shelf


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    at: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 9, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **parts: float) -> datetime:
        self.at += timedelta(**parts)
        return self.at


@dataclass
class People:
    """What the tests of this package work with."""

    db: Database
    clock: Time
    profiles: ProfileStore
    events: EventStore
    consents: ConsentStore
    resolver: Resolver


def open_people(url: str, name: str) -> People:
    """On a database in shape."""
    db, clock = Database(url, name), Time()
    store = ProfileStore(db, clock)
    happenings = EventStore(db, clock)
    return People(db, clock, store, happenings, ConsentStore(db), Resolver(store, happenings, clock))


@pytest.fixture(scope="module")
async def _opened(mongo_url: str, shaped_database: str) -> AsyncIterator[People]:
    opened = open_people(mongo_url, shaped_database)
    yield opened
    opened.db.close()


@pytest.fixture
async def people(_opened: People, shelf: Shelf, shaped_database: str) -> AsyncIterator[People]:
    """The stores of a person on a database that is empty but for its indexes."""
    _opened.clock.at = Time().at
    yield _opened
    await shelf.empty(shaped_database)
