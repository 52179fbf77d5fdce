"""Customers and runs for the scenarios, made by the house's own means, many at a time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from base.clock import now
from base.ids import new_id
from base.mongo import Document
from bench.world import World
from campaigns.definition import must_read
from campaigns.engine import new_run
from campaigns.interest import wakes
from campaigns.models import Definition
from campaigns.run import Wait
from campaigns.store.enrolments import new_row
from channels.vocabulary import Address, Person
from profiles.models import IdentityRef
from profiles.resolve import Known, Reference, Sighting

#: People resolved, and rows inserted, at a time.
MANY = 500


@dataclass(frozen=True)
class Journey:
    """A live journey in its first version."""

    id: str
    definition: Definition


async def chatting(world: World, count: int) -> list[str]:
    """New customers who have just written on WhatsApp; their profile ids."""
    mark = f"{secrets.randbelow(10**6):06d}"
    seen = [
        Sighting(
            Address(channel_id=world.whatsapp.id, external_id=f"48{mark}{n:06d}"), "whatsapp", now(),
            Person(name=f"Person {n}"), inbound=True,
        )
        for n in range(count)
    ]  # fmt: skip
    known: list[Known] = []
    for part in _parts(seen):
        known += await world.runtime.resolver.resolve(part)
    return [each.profile_id for each in known]


async def with_mail(world: World, count: int) -> list[str]:
    """New customers with a mail address each; their profile ids."""
    mark = secrets.token_hex(4)
    named = [
        Reference([IdentityRef(kind="email", value=f"person{n}.{mark}@example.org")], name=f"Person {n}")
        for n in range(count)
    ]
    known: list[Known | None] = []
    for part in _parts(named):
        known += await world.runtime.resolver.identify(part)
    return [each.profile_id for each in known if each is not None]


async def journey(world: World, name: str, steps: Sequence[Mapping[str, Any]], **more: Any) -> Journey:
    """A live journey that is entered by calls alone."""
    raw = {"name": name, "trigger": {"type": "api"}, "reentry": {"mode": "per_key"}, "steps": list(steps), **more}
    head = await world.runtime.journeys.create(raw)
    await world.runtime.journeys.publish(head["_id"])
    return Journey(head["_id"], must_read(raw))


async def enrolled(
    world: World, journey: Journey, profile_ids: Sequence[str], dues: Sequence[datetime],
    *, waited: timedelta | None = None,
) -> dict[str, datetime]:  # fmt: skip
    """One run per due time, as `campaigns.entering` makes them; people take turns. Run id → when it is due.

    `waited`: the first step is a wait of that length, in which they have stood so long that it ends when they are due.
    """
    made: dict[str, datetime] = {}
    for part in _parts(list(enumerate(dues))):
        rows = [_run(journey, profile_ids[n % len(profile_ids)], due, waited) for n, due in part]
        await world.runtime.enrolments.add(rows)
        made |= {row["_id"]: row["due_at"] for row in rows}
    return made


async def all_ended(world: World, journey: Journey) -> None:
    """Return when no run of the journey is under way."""
    rows = world.runtime.db.collection("enrolments")
    under_way = {"journey_id": journey.id, "version": 1, "state": "waiting"}
    async with asyncio.timeout(120):
        while await rows.find_one(under_way, {"_id": 1}):
            await asyncio.sleep(0.02)


def _run(journey: Journey, profile_id: str, due: datetime, waited: timedelta | None) -> Document:
    at, run_id = now() if waited is None else due - waited, new_id("enr")
    run = new_run(
        journey.definition, id=run_id, journey_id=journey.id, profile_id=profile_id, since=at, now=at, data={},
        wait=None if waited is None else Wait("time", due),
    )  # fmt: skip
    return new_row(
        run, version=1, entry_key=run_id, cause=f"bench:{run_id}", started_at=at, due_at=due,
        wake=sorted(wakes(journey.definition, run)), updated_at=at,
    )  # fmt: skip


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + MANY] for start in range(0, len(values), MANY))
