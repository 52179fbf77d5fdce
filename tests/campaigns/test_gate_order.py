"""The gates of a send in their order (decision 33): the first that objects gives the reason.

Each test puts a gate and all that follow it in the way of one send; what is shown has to be the first of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

import pytest

from base.clock import now
from campaigns.library.offers import OfferInput, Offers
from campaigns.store import OfferStore, SnippetStore
from campaigns.writing import MessageWriter
from profiles.consent import ConsentAct
from tests.campaigns.broadcasts.conftest import Post, opened, post
from tests.campaigns.conftest import World
from tests.campaigns.policies.test_gate import rule

__all__ = ["post"]
HELLO: Mapping[str, Any] = {"id": "hello", "type": "send", "channels": ["windowed"], "content": {"text": "Hi"}}
APART: Mapping[str, Any] = {"id": "apart", "type": "holdout", "percent": 100, "next": "hello"}


@dataclass
class Case:
    """One send that is about to go."""

    world: World
    person: str
    journey: str = ""

    async def identity(self) -> str:
        (only,) = await self.world.profiles.identities_of(self.person)
        return only.id

    async def marked(self, **fields: Any) -> None:
        await self.world.db.collection("identities").update_one({"_id": await self.identity()}, {"$set": fields})


async def over(case: Case) -> None:
    await case.world.journeys.exit((await case.world.run(journey_id=case.journey))["_id"])


async def bought(case: Case) -> None:
    await case.world.happens("bought", case.person)  # nobody has looked at it yet: the send itself has to


async def suppressed(case: Case) -> None:
    await case.marked(suppressed={"reason": "bounce", "at": now()})


async def refused(case: Case) -> None:
    await case.world.consent.act(ConsentAct(await case.identity(), "marketing", False, "keyword"))


async def gone(case: Case) -> None:
    await case.marked(reachable=False)


async def window(case: Case) -> None:
    await case.marked(last_inbound_at=now() - timedelta(days=2))


async def at_rest(case: Case) -> None:
    """What the journey or the rules were made with stands in the way."""


#: In order: what is seen of it, and what puts it in the way.
GATES: tuple[tuple[str, Callable[[Case], Awaitable[None]]], ...] = (
    ("run_over", over), ("goal", bought), ("suppressed", suppressed), ("no_consent", refused), ("left", gone),
    ("holdout", at_rest), ("window_closed", window), ("quiet_hours", at_rest), ("capped", at_rest),
)  # fmt: skip
CODES = [code for code, _ in GATES]


@pytest.mark.parametrize("first", CODES)
async def test_the_first_gate_that_objects_gives_the_reason(world: World, first: str) -> None:
    standing = CODES[CODES.index(first) :]
    case = Case(world, await world.person(channel="windowed"))
    if "capped" in standing:
        earlier = await world.journey(HELLO, name="Earlier")
        await world.journeys.enrol(earlier, case.person)
        await world.settle()
        assert len(world.sent("windowed")) == 1
    at = now().astimezone(UTC)
    quiet = {"from": f"{at - timedelta(hours=1):%H:%M}", "to": f"{at + timedelta(hours=2):%H:%M}", "zone": "UTC"}
    await rule(
        world, caps=[{"most": 1, "per": "P7D"}] if "capped" in standing else [],
        quiet_hours=quiet if "quiet_hours" in standing else None,
    )  # fmt: skip
    steps = (APART, HELLO) if "holdout" in standing else (HELLO,)
    case.journey = await world.journey(*steps, name="Now", goal={"when": {"event": "bought"}})
    await world.journeys.enrol(case.journey, case.person)
    await world.worker.walker.advance(10)
    for code, put in GATES:
        if code in standing:
            await put(case)
    await world.inbox.delivery.deliver(10)
    send = await world.db.collection("sends").find_one({"source.id": case.journey})
    assert send is not None and (send.get("reason") or {}).get("code") == first, send
    assert send["state"] == ("deferred" if first in ("quiet_hours", "capped") else "skipped")
    assert len(world.sent("windowed")) == int("capped" in standing), "only the earlier one went out"


async def test_the_control_group_is_of_those_who_could_have_had_it(world: World) -> None:
    """Lift compares like with like only when whoever said no is in neither group."""
    journey = await world.journey(APART, {**HELLO, "channels": ["chat"], "if_skipped": "exit", "next": "t"},
                                  {"id": "t", "type": "task", "text": "Call"})  # fmt: skip
    yes, no = await world.person("Yes"), await world.person("No")
    identity = (await world.profiles.identities_of(no))[0]
    await world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))
    for person in (yes, no):
        await world.journeys.enrol(journey, person)
    await world.settle()
    reasons = {row["profile_id"]: row["reason"]["code"] for row in await world.inbox.sends.raw({})}
    assert reasons == {yes: "holdout", no: "no_consent"} and world.sent() == []
    ends = {row["profile_id"]: row["end"]["reason"] for row in await world.rows()}
    assert ends == {yes: "completed", no: "send_skipped"}, "who is held out goes the way of those who get it"
    codes = await world.codes((await world.run(profile_id=yes))["_id"])
    assert codes == ["holdout.apart", "wait.send", "send.holdout", "task.created", "end.completed"]


async def test_nobody_is_held_out_of_a_broadcast_who_would_not_have_got_it(world: World, post: Post) -> None:
    people = await post.people(60)
    for person in people[:30]:
        identity = (await world.profiles.identities_of(person))[0]
        await world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))
    broadcast = await post.started(holdout_percent=50)
    rows = {row["profile_id"]: (row.get("reason") or {}).get("code") for row in await post.rows(broadcast)}
    assert {rows[person] for person in people[:30]} == {"no_consent"}
    assert {rows[person] for person in people[30:]} == {None, "holdout"}


@pytest.mark.parametrize("source", ["journey", "broadcast"])
async def test_who_may_not_be_written_to_uses_up_no_code(world: World, source: str) -> None:
    offers = Offers(OfferStore(world.db, now), world.template_rows, SnippetStore(world.db, now), now)
    offer = await offers.create(OfferInput(key="spring", name="Spring", source="list"), None)
    await offers.add_codes(offer["_id"], ["A", "B", "C"])
    writer = MessageWriter(world.renderer, world.channels, world.registry, coupons=offers)
    content = {"text": "Here: {{ coupon('spring') }}"}
    yes, no = await world.person("Yes"), await world.person("No")
    if source == "journey":
        world.worker.source._writer = writer
        journey = await world.journey({**HELLO, "channels": ["chat"], "content": content})
        for person in (yes, no):
            await world.journeys.enrol(journey, person)
        await world.worker.walker.advance(10)
    else:
        made = opened(world)
        made.source._writer = writer
        await made.started(content=content)
    identity = (await world.profiles.identities_of(no))[0]
    await world.consent.act(ConsentAct(identity.id, "marketing", False, "keyword"))
    await world.inbox.delivery.deliver(10)
    assert world.sent() == [f"Here: {await offers._store.held(offer['_id'], yes)}"]
    assert [each["profile_id"] for each in (await offers.given(offer["_id"])).data] == [yes]
    assert await offers.tally(offer["_id"]) == (2, 1)
