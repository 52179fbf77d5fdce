"""A broadcast from its start to the last acceptance: planned into the ledger beside the bare insert of the same rows,
and handed over into an SMTP and an HTTP sink beside clients that do nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Any

from base.clock import now
from base.ids import new_id
from base.mongo import Document
from bench.crowd import gather
from bench.figures import Figure, Goal, beside
from bench.people import chatting, with_mail
from bench.sends import CHAT, MAIL
from bench.world import World, stopwatch
from channels.store import Channel
from inbox.store import sends

GROUP = "broadcast"
#: Rows of one bare insert: as many as a stretch of the planner has.
MANY = 2000
#: Long enough before the first message to have planned everybody, seconds.
AHEAD_S = 8


async def measure(world: World) -> list[Figure]:
    """The planner is the worker's own; everything is asked of the database."""
    await world.at_rest()
    figures = await _fan_out(world)
    return [*await _planning(world), *figures]


# -- planning ------------------------------------------------------------------------------------------------------


async def _planning(world: World) -> list[Figure]:
    count = world.rounds(10_000, 100_000)
    ids = await gather(world.runtime.db, count, seed=11)
    await _reachable(world, ids)
    begun = stopwatch()
    broadcast_id = await _started(
        world, world.email, MAIL, {"field": "created_at", "op": "exists"}, timedelta(minutes=9)
    )
    waves = world.runtime.db.collection("broadcast_waves")
    async with asyncio.timeout(300):
        while await waves.find_one({"broadcast_id": broadcast_id, "state": "pending"}, {"_id": 1}):
            await asyncio.sleep(0.05)
    took_s = stopwatch() - begun
    rows = world.runtime.db.collection("sends")
    planned = await rows.count_documents({"source.kind": "broadcast", "source.id": broadcast_id})
    print(f"{planned:,} people planned in {took_s:.1f} s", file=sys.stderr, flush=True)
    floor = await _bare_insert(world, broadcast_id)
    counted = stopwatch()
    await world.runtime.broadcasts.figures(broadcast_id)
    counted_ms = (stopwatch() - counted) * 1000
    await world.runtime.broadcasts.set_status(broadcast_id, "cancelled")
    return [
        Figure(GROUP, f"planning {planned:,} people", took_s, "s", goal=Goal(most=30 * max(1.0, planned / 100_000))),
        beside(GROUP, "people planned", "people/s", [planned / took_s], [floor], "bare bulk insert of the same rows"),
        Figure(GROUP, f"figures of {planned:,} people, counted", counted_ms, "ms"),
    ]


async def _reachable(world: World, ids: Sequence[str]) -> None:
    """Everybody has the mail address that stands on the profile."""
    identities = world.runtime.db.collection("identities")
    for start in range(0, len(ids), MANY):
        rows = [_identity(profile_id) for profile_id in ids[start : start + MANY]]
        await identities.insert_many(rows, ordered=False)


def _identity(profile_id: str) -> Document:
    mail, at = f"{profile_id}@example.org", now()
    return {
        "_id": new_id("idn"), "key": f"email:{mail}", "address_key": f"email:{mail}", "kind": "email",
        "strength": "strong", "verified": True, "profile_id": profile_id, "channel_id": None, "provider": None,
        "external_id": None, "value": mail, "handle": None, "display_name": None, "avatar_url": None,
        "reachable": True, "left_at": None, "suppressed": None, "last_inbound_at": None, "window_sends": 0,
        "first_seen_at": at, "last_seen_at": at, "evidence": {},
    }  # fmt: skip


async def _bare_insert(world: World, broadcast_id: str) -> float:
    """The same rows into a collection with the same indexes; rows a second."""
    database = world.runtime.db
    wanted = {"source.kind": "broadcast", "source.id": broadcast_id}
    rows = await database.collection("sends").find(wanted).to_list(None)
    bare = database.collection("bench_sends")
    await database.ensure_indexes({"bench_sends": sends.INDEXES["sends"]})
    begun = stopwatch()
    for start in range(0, len(rows), MANY):
        await bare.insert_many(rows[start : start + MANY], ordered=False)
    took_s = stopwatch() - begun
    await bare.drop()
    return len(rows) / took_s


# -- handing over --------------------------------------------------------------------------------------------------


async def _fan_out(world: World) -> list[Figure]:
    count, rounds = world.rounds(400, 1500), world.rounds(1, 3)
    mails, chats = await with_mail(world, count), await chatting(world, count)
    await _tagged(world, mails, "bench-mail")
    await _tagged(world, chats, "bench-chat")
    await _sent(world, world.email, MAIL, "bench-mail", count)  # connections are opened, templates compiled
    sample = (await world.sinks.ask())["last_mail"]
    mailed, posted, mail_floor, post_floor = [], [], [], []
    for _ in range(rounds):
        common = {"mail": sample, "port": world.ports["smtp"], "count": world.rounds(800, 2500)}
        mail_floor.append(await world.floor("mail", **common))
        mailed.append(await _sent(world, world.email, MAIL, "bench-mail", count))
        url = f"http://127.0.0.1:{world.ports['http']}/messages"
        post_floor.append(await world.floor("post", url=url, count=world.rounds(1500, 5000), at_once=32))
        posted.append(await _sent(world, world.whatsapp, CHAT, "bench-chat", count))
    return [
        beside(GROUP, "fan-out into an SMTP sink", "mails/s", mailed, mail_floor, "one fixed mail", Goal(least=0.5)),
        beside(GROUP, "fan-out into an HTTP sink", "messages/s", posted, post_floor, "one fixed post", Goal(least=0.5)),
        Figure(GROUP, "mails of a broadcast", median(mailed), "mails/s", rounds=tuple(mailed)),
    ]


async def _tagged(world: World, ids: Sequence[str], tag: str) -> None:
    wanted = {"_id": {"$in": list(ids)}}
    await world.runtime.db.collection("profiles").update_many(wanted, {"$addToSet": {"tags": tag}})


async def _sent(world: World, channel: Channel, content: Mapping[str, str], tag: str, count: int) -> float:
    """Sends a second, from the moment at which everybody is due to the last acceptance."""
    ahead = timedelta(seconds=AHEAD_S)
    due_at = now() + ahead
    rule = {"field": "tags", "op": "any_of", "value": [tag]}
    broadcast_id = await _started(world, channel, content, rule, ahead)
    rows = world.runtime.db.collection("sends")
    wanted = {"source.kind": "broadcast", "source.id": broadcast_id}
    async with asyncio.timeout(120):
        while await rows.count_documents(wanted) < count:
            await asyncio.sleep(0.05)
        await asyncio.sleep(max(0.0, (due_at - now()).total_seconds()))
        begun = stopwatch()
        await world.runtime.doorbell.ring("deliver")
        while await rows.count_documents({**wanted, "state": "accepted"}) < count:
            await asyncio.sleep(0.03)
    took_s = stopwatch() - begun
    await world.at_rest()
    return count / took_s


async def _started(
    world: World, channel: Channel, content: Mapping[str, str], rule: Mapping[str, Any], ahead: timedelta
) -> str:
    body = {
        "name": "Bench", "channel_ids": [channel.id], "content": dict(content), "audience": {"rule": dict(rule)},
        "schedule": {"type": "at", "at": (now() + ahead).isoformat()},
    }  # fmt: skip
    head = await world.runtime.broadcasts.create(body)
    await world.runtime.broadcasts.set_status(head["_id"], "scheduled")
    return str(head["_id"])
