"""Sends a second: a mailing into an SMTP sink and messages into an HTTP sink, beside clients that do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from base.clock import now
from bench.figures import Figure, Goal, beside
from bench.people import Journey, chatting, enrolled, journey, with_mail
from bench.world import World, stopwatch
from channels.store import FRESH_S, Channel

GROUP = "sends"
#: A mail of the size a shop sends.
BODY = (
    "<h1>Hello {{ profile.first_name | default('there') }}</h1>"
    + "<p style='font-family:sans-serif;color:#333'>{{ profile.name }}, this week we have something for you: "
    "<a href='https://shop.example/new?to={{ profile.id }}'>look here</a> before everybody else does.</p>"
    * 12
    + "<p>Your shop</p>"
)
MAIL = {"subject": "News for {{ profile.first_name | default('you') }}", "body": BODY}
CHAT = {"text": "Hello {{ profile.first_name | default('there') }}, your order is on its way. Thank you!"}


@dataclass(frozen=True)
class Mailing:
    """One kind of send: on which account, what, to whom, and how its floor is measured."""

    channel: Channel
    content: dict[str, str]
    people: Sequence[str]

    def steps(self) -> list[dict[str, Any]]:
        """Send, then end."""
        send = {"id": "send", "type": "send", "channels": [self.channel.id], "content": self.content, "next": "end"}
        return [send, {"id": "end", "type": "exit"}]


@dataclass(frozen=True)
class Sent:
    """What one mailing came to."""

    asked_per_s: float
    accepted_per_s: float
    #: Of the worker, from the first step to the last consequence, what it uses at rest or while we sleep left out.
    cpu_ms_each: float


async def measure(world: World) -> list[Figure]:
    """Rendered, gated, handed over and recorded, until the ledger says `accepted` for everybody."""
    count, rounds = world.rounds(400, 1500), 3
    mails = Mailing(world.email, MAIL, await with_mail(world, count))
    chats = Mailing(world.whatsapp, CHAT, await chatting(world, count))
    await world.at_rest()
    for each in (mails, chats):
        await _sent(world, each, 20)
    sample = (await world.sinks.ask())["last_mail"]
    mailed: list[Sent] = []
    posted: list[Sent] = []
    mail_floor, post_floor = [], []
    for _ in range(rounds):
        common = {"mail": sample, "port": world.ports["smtp"], "count": world.rounds(800, 2500)}
        mail_floor.append(await world.floor("mail", **common))
        mailed.append(await _sent(world, mails, count))
        url = f"http://127.0.0.1:{world.ports['http']}/messages"
        post_floor.append(await world.floor("post", url=url, count=world.rounds(1500, 5000), at_once=32))
        posted.append(await _sent(world, chats, count))
    asked = [each.asked_per_s for each in mailed]
    return [
        beside(GROUP, "mails into an SMTP sink", "mails/s", [each.accepted_per_s for each in mailed], mail_floor,
               "one fixed mail", Goal(least=0.5)),
        beside(GROUP, "WhatsApp messages into an HTTP sink", "messages/s", [each.accepted_per_s for each in posted],
               post_floor, "one fixed post", Goal(least=0.5)),
        Figure(GROUP, "journey steps that ask for a send", median(asked), "steps/s", rounds=tuple(asked)),
        _cpu("processor time of the worker for a mail", mailed),
        _cpu("the same for a WhatsApp message", posted),
    ]  # fmt: skip


def _cpu(what: str, sent: Sequence[Sent]) -> Figure:
    used = [each.cpu_ms_each for each in sent]
    return Figure(GROUP, what, median(used), "ms each", rounds=tuple(used))


async def _sent(world: World, mailing: Mailing, count: int) -> Sent:
    """Send it to the first `count` people. The account is paused until all are asked for."""
    channel_id = mailing.channel.id
    await world.runtime.channels.update(channel_id, state="paused")
    await asyncio.sleep(FRESH_S)  # until the worker knows, or it sends at once
    made = await journey(world, "A mailing", mailing.steps())
    begun, used = stopwatch(), -world.cpu_s("worker")
    await enrolled(world, made, mailing.people, [now()] * count)
    await world.runtime.doorbell.ring("advance")
    await _until(world, made, count, {"state": "planned"})
    asked = count / (stopwatch() - begun)
    used += world.cpu_s("worker")
    begin_at = now() + timedelta(seconds=FRESH_S + 0.5)  # the worker may know the account as paused for so long
    rows = world.runtime.db.collection("sends")
    await rows.update_many({"source.id": made.id}, {"$set": {"due_at": begin_at}})
    await world.runtime.channels.update(channel_id, state="connected")
    await asyncio.sleep((begin_at - now()).total_seconds())
    begun, used = stopwatch(), used - world.cpu_s("worker")
    await world.runtime.doorbell.ring("deliver")
    await _until(world, made, count, {"state": "accepted"})
    took_s = stopwatch() - begun
    await world.at_rest()
    used += world.cpu_s("worker")
    return Sent(asked, count / took_s, used / count * 1000)


async def _until(world: World, made: Journey, count: int, wanted: dict[str, str]) -> None:
    rows = world.runtime.db.collection("sends")
    async with asyncio.timeout(120):
        while await rows.count_documents({"source.id": made.id, **wanted}) < count:
            await asyncio.sleep(0.03)
