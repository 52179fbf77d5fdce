"""A crowd of customers as they come out of a few years, put straight into the database: profiles and what they did."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from base.clock import now
from base.ids import new_id
from base.mongo import Database, Document, IndexModel
from profiles.search import search_tokens
from profiles.segments.bucket import dice_of

#: Rows of one insert.
MANY = 5000
#: The twentieth of the crowd that a segment with an indexed rule finds.
RARE = "tag-07"
FIRST = ("Anna", "Ben", "Chen", "Dora", "Emil", "Farah", "Grete", "Hugo", "Ines", "Jun", "Kofi", "Lena", "Mei", "Nils")
LAST = ("Abel", "Bauer", "Costa", "Diaz", "Evans", "Fischer", "García", "Huang", "Ito", "Jansen", "Kowalski", "Li")
CITIES = (("Leiden", 4.49, 52.16), ("Berlin", 13.4, 52.52), ("Madrid", -3.7, 40.42), ("上海", 121.47, 31.23))
STAGES = ("new", "lead", "customer", "customer", "repeat", "lost")


async def gather(database: Database, count: int, seed: int = 7) -> list[str]:
    """That many profiles, and as many events on top: every second has paid once or more. Their ids."""
    dice, at = random.Random(seed), now()
    ids: list[str] = []
    async with _indexed_afterwards(database, "profiles"), _indexed_afterwards(database, "events"):
        for _ in range(0, count, MANY):
            people = [_person(dice, at) for _ in range(min(MANY, count - len(ids)))]
            await database.collection("profiles").insert_many(people, ordered=False)
            await database.collection("events").insert_many(list(_past(dice, people, at)), ordered=False)
            ids += [person["_id"] for person in people]
    return ids


@asynccontextmanager
async def _indexed_afterwards(database: Database, name: str) -> AsyncIterator[None]:
    """Rows come in several times as fast where their indexes are made of all of them at the end."""
    rows = database.collection(name)
    specs = [dict(each) async for each in rows.list_indexes() if each["name"] != "_id_"]
    await rows.drop_indexes()
    yield
    models = [IndexModel(list(each["key"].items()), **_options(each)) for each in specs]
    await database.ensure_indexes({name: models})


def _options(spec: Document) -> Document:
    return {name: value for name, value in spec.items() if name not in ("v", "key", "ns")}


def _person(dice: random.Random, at: datetime) -> Document:
    profile_id, number = new_id("prf"), dice.randrange(10**9)
    name = f"{dice.choice(FIRST)} {dice.choice(LAST)}"
    email, phone = f"p{number}@example.org", f"+49151{number:09d}"
    created = at - timedelta(minutes=dice.randrange(3 * 365 * 1440))
    seen = created + (at - created) * dice.random()
    city, lon, lat = dice.choice(CITIES)
    orders = dice.choice((0, 0, 1, 2, 5))
    mail = {"value": email, "verified": True, "primary": True, "source": "shop", "raw": None}
    consent = {"address_key": f"email:{email}", "channel": "email", "purpose": "newsletter",
               "state": dice.choice(("granted", "denied")), "at": created}  # fmt: skip
    stamp = {"rank": 1, "at": created}
    return {
        "_id": profile_id, "name": name, "emails": [mail],
        "phones": [{**mail, "value": phone}] if number % 3 == 0 else [], "handles": [], "avatar_url": None,
        "tags": [f"tag-{dice.randrange(40):02d}" for _ in range(dice.randrange(4))], "stage": dice.choice(STAGES),
        "stage_since": created, "tier": dice.choice((None, "gold", "silver")), "score": dice.randrange(101),
        "locale": "en", "time_zone": "Europe/Amsterdam",
        "location": {"type": "Point", "coordinates": [lon + dice.gauss(0, 0.3), lat + dice.gauss(0, 0.3)]},
        "owner_id": None,
        "attributes": {"city": city, "birthday": f"{1950 + number % 50}-{1 + number % 12:02d}-{1 + number % 28:02d}",
                       "plan": dice.choice(("free", "basic", "pro"))},
        "orders": {"count": orders, "revenue": {"EUR": orders * 2500}, "revenue_minor": [orders * 2500],
                   "first_at": created if orders else None, "last_at": seen if orders else None},
        "consents": [consent], "reachable_on": ["email"], "segments": [],
        "search": search_tokens(name, [], [email], [phone]), "sources": {"name": stamp, "locale": stamp},
        "first_touch": {"at": created, "channel": "email", "told": False},
        "last_touch": {"at": seen, "channel": "email"},
        "created_at": created, "updated_at": seen, "last_seen_at": seen, "merged_into": None, "rev": 3,
        "dice": dice_of(profile_id),
    }  # fmt: skip


def _past(dice: random.Random, people: list[Document], at: datetime) -> Iterator[Document]:
    for person in people:
        for number in range(dice.choice((0, 0, 1, 3))):
            occurred = person["created_at"] + (at - person["created_at"]) * dice.random()
            yield {
                "_id": new_id("evt"), "name": dice.choice(("order.paid", "order.paid", "page.viewed")),
                "dedupe": f"{person['_id']}:{number}", "profile_id": person["_id"], "identity_id": None,
                "channel_id": None, "conversation_id": None, "occurred_at": occurred, "received_at": occurred,
                "properties": {"total": dice.randrange(1000, 20000), "currency": "EUR"}, "state": "done",
                "due_at": occurred, "lease": None, "fence": 1, "attempts": 1,
            }  # fmt: skip
