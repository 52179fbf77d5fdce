"""The demo's past: two thousand people who wrote, were answered and bought. It goes in the ordinary ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from base.ids import new_id, unique_key
from channels.vocabulary import Address, MailParts, MessageReceived, Person
from inbox.acts import assigned, in_team, labels_set
from inbox.incoming import Arrival
from inbox.models import Actor
from orders.models import OrderInput
from profiles.edit import ProfileInput
from profiles.events import NewEvent
from rapport.demo import cast, house
from rapport.demo.remembering import told_at
from rapport.demo.setting import COLLEAGUES
from rapport.demo.stage import Stage
from rapport.demo.talks import Exchange, Mark, Talk, is_open, talks
from rapport.runtime import Runtime

log = logging.getLogger(__name__)

#: People per batch: about two hundred messages in one transaction.
BATCH = 40
#: A first answer that took longer than was promised, while the shop was open.
LATE = timedelta(minutes=house.PROMISE["lengths"]["first_response_min"])


@dataclass(frozen=True)
class Crew:
    """Who had the conversations: colleagues in the order of `setting.COLLEAGUES`, teams by name."""

    colleagues: tuple[Actor, ...]
    teams: Mapping[str, str]

    def team_for(self, talk: Talk) -> tuple[str, str] | None:
        """Id and name of the team that had a conversation."""
        name = house.TEAM_OF.get(talk.label, house.SUPPORT)
        return (self.teams[name], name) if name in self.teams else None


async def crew_of(runtime: Runtime) -> Crew:
    """Those whom the stage and the house have brought in."""
    users = {user.email: user for user in await runtime.users.users()}
    actors = tuple(Actor(users[email].id, users[email].name) for email, _ in COLLEAGUES if email in users)
    return Crew(actors, {each.written.name: each.id for each in await runtime.teams.all()})


async def load_past(runtime: Runtime, held: Stage, told: Callable[[int], None] = lambda percent: None) -> None:
    """Load everybody, those with the freshest news first. May run again: nothing is doubled. `told`: how far it is."""
    now, crew = runtime.clock(), await crew_of(runtime)
    people = sorted(map(cast.person, range(cast.PEOPLE)), key=lambda one: talks(one, now)[-1].exchanges[-1].asked_at)
    for start in range(0, len(people), BATCH):
        told(start * 100 // len(people))
        await _load(runtime, held, people[::-1][start : start + BATCH], crew, now)
    told(100)
    log.info("the demo's past is loaded", extra={"people": len(people)})


async def _load(
    runtime: Runtime, held: Stage, people: Sequence[cast.Person], crew: Crew, now: datetime
) -> None:  # fmt: skip
    arrivals = [arrival for one in people for arrival in _arrivals(held, one, crew, now)]
    arrivals.sort(key=lambda each: each.event.occurred_at)
    got = await runtime.receiver.receive(arrivals)
    where = {each.event.event_id: outcome.conversation_id
             for each, outcome in zip(arrivals, got.outcomes, strict=True)}  # fmt: skip
    # Each write waits for the disk, so people go side by side; what concerns one person stays in order.
    await asyncio.gather(*(_live_on(runtime, held, one, crew, where, now) for one in people))


async def _live_on(
    runtime: Runtime, held: Stage, one: cast.Person, crew: Crew, where: Mapping[str, str | None], now: datetime,
) -> None:  # fmt: skip
    await _describe(runtime, held, one)
    for purchase in cast.purchases(one, now):
        for order in _orders(held, one, purchase):
            await runtime.orders.record(order, "demo-shop")
    for n, talk in enumerate(talks(one, now)):
        talk_id = where.get(f"past-{one.number}-{n}-0-0")
        if talk_id is not None:
            await _looked_after(runtime, talk, talk_id, crew)
            await _came_back(runtime, held, one, talk, talk_id, crew, f"past-{one.number}-{n}-again")


async def _describe(runtime: Runtime, held: Stage, one: cast.Person) -> None:
    profile = {
        "identities": [_identity(held, one)], "name": one.name, "time_zone": one.time_zone, "tags": list(one.tags),
        "locale": "zh_CN" if one.language == "zh" else "en", "attributes": {"city": one.city, "country": one.country},
    }  # fmt: skip
    await runtime.editor.upsert(ProfileInput.model_validate(profile))


def _identity(held: Stage, one: cast.Person) -> str:
    channel = one.channels[0]
    return f"{held.channels[channel]}:{external_id(channel, one)}"


def external_id(channel: cast.Channel, one: cast.Person) -> str:
    """The person's id on that channel."""
    by_channel = {"whatsapp": one.phone.removeprefix("+"), "telegram": one.telegram_id, "email": one.email,
                  "generic": f"app-{one.number}"}  # fmt: skip
    return by_channel[channel]


def _arrivals(held: Stage, one: cast.Person, crew: Crew, now: datetime) -> Iterator[Arrival]:
    for n, talk in enumerate(talks(one, now)):
        for turn, exchange in enumerate(talk.exchanges):
            yield from _said(held, one, talk, exchange, crew, f"past-{one.number}-{n}-{turn}")


def _said(
    held: Stage, one: cast.Person, talk: Talk, exchange: Exchange, crew: Crew, key: str
) -> Iterator[Arrival]:  # fmt: skip
    said = [(exchange.asked_at, exchange.question, False)]
    if exchange.answered_at is not None:
        said.append((exchange.answered_at, exchange.answer, True))
    if exchange.thanks is not None:
        said.append((exchange.last_at, exchange.thanks, False))
    for step, (at, text, echo) in enumerate(said):
        event = _message(held, one, talk.channel, f"{key}-{step}", at, text, echo)
        writer = crew.colleagues[talk.colleague] if echo and crew.colleagues else None
        yield Arrival(held.channels[talk.channel], talk.channel, event, "dlv_demo", writer)


def _message(
    held: Stage, one: cast.Person, channel: cast.Channel, key: str, at: datetime, text: str, echo: bool
) -> MessageReceived:
    # The second channel shares a proven value with the first, so that the two are one person from the start.
    person = Person(name=one.name, email=one.email, phone=one.phone if channel == "whatsapp" else None)
    mail = MailParts(message_id=f"<{key}@people.example>", subject="A question about my tea")
    return MessageReceived(
        event_id=key, message_id=key, occurred_at=at, text=text, echo=echo, person=None if echo else person,
        address=Address(channel_id=held.channels[channel], external_id=external_id(channel, one)),
        mail=mail if channel == "email" else None,
    )  # fmt: skip


def _orders(held: Stage, one: cast.Person, purchase: cast.Purchase) -> Iterator[OrderInput]:
    lines = [
        {"sku": sku, "name": name, "quantity": quantity, "unit_price": {"amount_minor": price, "currency": "EUR"}}
        for sku, name, price, quantity in purchase.lines
    ]
    order = {
        "external_id": purchase.external_id, "identity": _identity(held, one), "customer_name": one.name,
        "status": "pending", "total": {"amount_minor": purchase.total_minor, "currency": "EUR"}, "lines": lines,
        "placed_at": purchase.placed_at, "occurred_at": purchase.placed_at,
        "url": f"https://harbour-tea.example/orders/{purchase.external_id}",
        "payment_url": f"https://harbour-tea.example/pay/{purchase.external_id}",
    }  # fmt: skip
    yield OrderInput.model_validate(order)
    if purchase.status != "pending":
        step = {"external_id": purchase.external_id, "occurred_at": purchase.status_at}
        if purchase.status in ("fulfilled", "delivered", "refunded"):
            step["tracking"] = {"number": f"3SHT{purchase.external_id.replace('-', '')}", "company": "PostNL"}
            yield OrderInput.model_validate({**step, "status": "paid", "occurred_at": purchase.placed_at})
        yield OrderInput.model_validate({**step, "status": purchase.status})


async def _looked_after(runtime: Runtime, talk: Talk, talk_id: str, crew: Crew) -> None:
    """Somebody took it before they answered, it was filed, and in the end it was closed; some said how it was."""
    answered_at = talk.exchanges[0].answered_at
    if answered_at is None or not crew.colleagues:
        return
    who, asked_at = crew.colleagues[talk.colleague], talk.exchanges[0].asked_at
    taken_at = asked_at + (answered_at - asked_at) / 2
    with told_at(taken_at):
        team = crew.team_for(talk)
        plans = [assigned(who.id, who, taken_at, name=who.name), labels_set([talk.label] if talk.label else [], who)]
        plans += [in_team(team[0], who, name=team[1])] if team else []
        await runtime.desk_actions.change(talk_id, plans, who)
    if answered_at - asked_at > LATE and is_open(asked_at) and is_open(asked_at + LATE):
        await _told_late(runtime, talk_id, asked_at, asked_at + LATE)
    await _closed(runtime, talk_id, talk.closed_at, who)
    if talk.mark is not None and talk.closed_at is not None:
        await _marked(runtime, talk_id, talk.closed_at, talk.mark)


async def _came_back(
    runtime: Runtime, held: Stage, one: cast.Person, talk: Talk, talk_id: str, crew: Crew, key: str
) -> None:  # fmt: skip
    if talk.again is None or not crew.colleagues:
        return
    exchange, closed_at = talk.again
    with told_at(exchange.asked_at):
        await runtime.receiver.receive(list(_said(held, one, talk, exchange, crew, key)))
    await _closed(runtime, talk_id, closed_at, crew.colleagues[talk.colleague])


async def _closed(runtime: Runtime, talk_id: str, closed_at: datetime | None, who: Actor) -> None:
    if closed_at is not None:
        with told_at(closed_at):
            await runtime.desk_actions.set_status(talk_id, "resolved", who)


async def _told_late(runtime: Runtime, talk_id: str, since: datetime, due_at: datetime) -> None:
    """What the watch over promises would have told when the time was over."""
    row = await runtime.conversations.row(talk_id)
    if row is None:
        return
    about = {name: row.get(name) for name in ("assignee_id", "team_id")}
    event = NewEvent(
        name="sla.breached", dedupe=f"sla.breached:{talk_id}:first_response:{int(since.timestamp() * 1000)}",
        occurred_at=due_at, profile_id=row["profile_id"], identity_id=row["identity_id"],
        channel_id=row["channel_id"], conversation_id=talk_id,
        properties={"conversation_id": talk_id, "target": "first_response", "since": since, "due_at": due_at, **about},
    )  # fmt: skip
    await runtime.events.record([event])


async def _marked(runtime: Runtime, talk_id: str, closed_at: datetime, mark: Mark) -> None:
    """They were asked when it was closed; the answer goes the ordinary way."""
    row = await runtime.conversations.row(talk_id)
    if row is None:
        return
    rating_id = new_id("rat")
    about = {name: row.get(name) for name in ("profile_id", "identity_id", "channel_id", "team_id")}
    question = {
        "_id": rating_id, "key": unique_key("demo", talk_id), "state": "asked",
        "conversation_id": talk_id, "closed_at": closed_at, "asked_at": closed_at, "agent_id": row.get("assignee_id"),
        **about, **({"kind": "nps"} if mark.nps else {}),
    }  # fmt: skip
    if await runtime.rating_rows.plan([question]):
        with told_at(mark.at):
            await runtime.ratings.answer(rating_id, mark.score)
