"""From the webhook to the screens of fifty agents, each with twenty open conversations, while they answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import aiohttp

from bench.child import Child
from bench.figures import Figure, Goal, percentile
from bench.world import World, stopwatch
from inbox.models import Actor

GROUP = "fifty agents at their desks"
AGENTS, EACH = 50, 20
#: Messages of customers a second, and answers.
RATE, ANSWERS = 10.0, 2.0
#: Fifty people who come in the same second see each other come; then the day begins.
SETTLED_S = 3.0


async def measure(world: World) -> list[Figure]:
    """Everybody looks at one of their conversations, and has the others in their list."""
    count, each = world.rounds(10, AGENTS), world.rounds(5, EACH)
    mark = f"{secrets.randbelow(10**6):06d}"
    await world.load(count=count * each, people=count * each, mark=mark)
    await world.at_rest()
    agents = await _agents(world, mark, count)
    await world.at_rest()  # what follows from giving a thousand conversations out is no part of a day
    desks = await Child.start("bench.agents", web=world.web, cookie="rapport", agents=agents)
    await desks.answer()
    await asyncio.sleep(SETTLED_S)
    seconds, before, begun = world.rounds(5, 20), world.cpu_s("web"), stopwatch()
    total = int(RATE * seconds)
    run: Any
    writing = world.load(count=total, people=total, rate=RATE, mark=mark, first=count * each)
    run, answered = await asyncio.gather(writing, _answers(world, agents, seconds))
    await asyncio.sleep(3)
    shown = await desks.ask()
    took_s, used = stopwatch() - begun, world.cpu_s("web") - before
    await desks.stop()
    await world.at_rest()
    waits = await _waits(world, run["posted"], shown["seen"])
    return [
        Figure(GROUP, f"p50 at {RATE:g} messages/s", percentile(waits, 0.5), "s"),
        Figure(GROUP, "p95, from the webhook to the screen", percentile(waits, 0.95), "s", goal=Goal(most=0.5)),
        Figure(GROUP, "p99", percentile(waits, 0.99), "s"),
        Figure(GROUP, "messages that no screen showed", total - len(waits), "of them", goal=Goal(most=0)),
        Figure(GROUP, "answers sent meanwhile", answered, "answers"),
        Figure(GROUP, "requests of all pages", shown["requests"] / took_s, "per s"),
        Figure(GROUP, "processor time of the web process", used / took_s, "cores"),
    ]


async def _agents(world: World, mark: str, count: int) -> list[dict[str, Any]]:
    """Their sessions, and the conversations that were given to them."""
    talks = await world.runtime.db.collection("conversations").distinct(
        "_id", {"channel_id": world.whatsapp.id, "status": "open", "address.external_id": {"$regex": f"^49{mark}"}}
    )
    by, agents = Actor("usr_bench", "Bench"), []
    for number in range(count):
        accounts = world.runtime.accounts
        user, link = await accounts.invite(f"agent-{mark}-{number}@bench.example.org", f"Agent {number}", "agent")
        session, _ = await accounts.follow_link(link, secrets.token_urlsafe(12), agent="bench", address="::1")
        mine = talks[number::count]
        for talk in mine:
            await world.runtime.desk_actions.assign(talk, user.id, by, assignee_name=user.name)
        agents.append({"session": session, "user_id": user.id, "mine": mine})
    return agents


async def _answers(world: World, agents: Sequence[dict[str, Any]], seconds: float) -> int:
    """Somebody answers one of theirs, at an even pace."""
    headers, sent = {"Authorization": f"Bearer {world.token}"}, 0
    async with aiohttp.ClientSession(headers=headers) as client:
        for number in range(int(ANSWERS * seconds)):
            talk = agents[number % len(agents)]["mine"][0]
            path = f"{world.web}/api/v1/conversations/{talk}/messages"
            async with client.post(path, json={"text": f"It is on its way ({number})."}) as answer:
                sent += answer.status == 201
            await asyncio.sleep(1 / ANSWERS)
    return sent


async def _waits(world: World, posted: dict[str, float], seen: dict[str, float]) -> list[float]:
    rows = world.runtime.db.collection("messages").find(
        {"provider_message_id": {"$in": list(posted)}}, {"provider_message_id": 1}
    )
    return [seen[row["_id"]] - posted[row["provider_message_id"]] async for row in rows if row["_id"] in seen]
