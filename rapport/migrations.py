"""Brings the database to the shape this version expects: all declared indexes, and what older rows lack. Repeatable
at any time."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from base.clock import now
from base.mongo import Database, IndexModel
from profiles.store import EventStore
from profiles.store.segments import SegmentStore
from profiles.store.tallies import spread_tallies

#: Packages whose stores declare `INDEXES`.
PACKAGES = ("base", "channels", "profiles", "inbox", "orders", "campaigns", "webhooks", "worker", "desk")


def declared_indexes() -> dict[str, list[IndexModel]]:
    """Collection → indexes, gathered from every module-level `INDEXES` below `PACKAGES`."""
    found: dict[str, list[IndexModel]] = {}
    for name in _modules():
        for collection, models in getattr(importlib.import_module(name), "INDEXES", {}).items():
            known = found.setdefault(collection, [])
            names = {model.document["name"] for model in known}
            known += [model for model in models if model.document["name"] not in names]
    return found


def _modules() -> Iterator[str]:
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.startswith("channels.providers."):
                yield module.name


#: Indexes of former versions that would still do something, if only cost with every write: they go.
RETIRED = {
    "deliveries": ["expiry"],
    "webhook_calls": ["due"],
    "profiles": ["board_by_owner", "board_by_tier", "board_by_tag", "tombstones", "follow_ups"],
    "tasks": ["by_assignee", "by_state"],
}


async def migrate(database: Database) -> int:
    """Create what is missing; the number of collections looked after."""
    indexes = declared_indexes()
    await database.drop_indexes(RETIRED)
    await database.ensure_indexes(indexes)
    await EventStore(database, now).file_old()
    await spread_tallies(database)
    await SegmentStore(database, now).begin()
    return len(indexes)
