"""Workers die at every call to the database between claiming a send and writing down what became of it, with a cap that
lets one message pass and codes of an offer: nobody gets two messages or two codes, and no place and no code is lost.
"""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from base.clock import now
from campaigns.library.offers import OfferInput, Offers
from campaigns.store import OfferStore, SnippetStore
from campaigns.writing import MessageWriter
from tests.campaigns.conftest import World, world
from tests.campaigns.policies.test_gate import rule
from tests.campaigns.test_crashes import expired
from tests.dying import WRITES, Dying

__all__ = ["world"]
ROOMS = (
    "enrolments", "enrolment_log", "journey_counts", "journeys", "sends", "messages", "send_slots", "coupon_codes",
    "offers",
)  # fmt: skip
CODES = ("A", "B", "C", "D")


async def _evening(world: World, dying: Dying, people: list[str], at: int, after: bool) -> int:
    """Two journeys want to write to each of two people, one message a day is allowed; one death. The calls it took."""
    for room in ROOMS:
        await world.db.collection(room).delete_many({})
    provider = world.provider()
    provider.sent.clear()
    provider.accepted.clear()
    offers = Offers(OfferStore(world.db, now), world.template_rows, SnippetStore(world.db, now), now)
    offer = await offers.create(OfferInput(key="spring", name="Spring", source="list"), None)
    await offers.add_codes(offer["_id"], CODES)
    world.worker.source._writer = MessageWriter(world.renderer, world.channels, world.registry, coupons=offers)
    for name in ("One", "Two"):
        step = {"id": "s", "type": "send", "content": {"text": f"{name}: {{{{ coupon('spring') }}}}"}}
        journey = await world.journey(step, name=name)
        for person in people:
            await world.journeys.enrol(journey, person)
    await world.worker.walker.advance(10)

    async def work() -> None:
        try:
            await world.inbox.delivery.deliver(50)
        finally:
            await world.inbox.delivery.close()

    await dying.on(at, after, work)
    used = dying.count
    for _ in range(3):
        await expired(world)
        await world.settle()
    await _add_up(world, offers, offer["_id"], people)
    return used


async def _add_up(world: World, offers: Offers, offer_id: str, people: list[str]) -> None:
    rows = await world.inbox.sends.raw({})
    given = {each["profile_id"]: each["code"] for each in (await offers.given(offer_id)).data}
    assert len(set(given.values())) == len(given)
    assert await offers.tally(offer_id) == (len(CODES) - len(given), len(given))
    slots = {row["_id"]: row["slots"] for row in await world.db.collection("send_slots").find({}).to_list(None)}
    for person in people:
        own = [row for row in rows if row["profile_id"] == person]
        states = Counter(row["state"] for row in own)
        assert set(states) <= {"accepted", "unknown", "deferred"} and states["deferred"] < 2, states
        # Of one that was handed over when its worker died nobody knows whether it had been called: it counts as gone.
        called = [row for row in own if world.provider().accepted[row["send_key"]]]
        assert len(called) <= 1 and all(row["state"] in ("accepted", "unknown") for row in called)
        assert [row for row in own if row["state"] == "accepted"] == [
            row for row in called if row["state"] == "accepted"
        ]
        for row in own:
            if row["state"] == "deferred":
                assert row["reason"]["code"] == "capped" and row["due_at"] > now() and not row.get("lease")
        assert len(slots.get(person, ())) <= max(1, states["unknown"]), "a place was taken twice"
    texts = world.sent()  # says itself when a key went out twice
    names = {row["send_key"]: given[row["profile_id"]] for row in rows if world.provider().accepted[row["send_key"]]}
    assert sorted(text.partition(": ")[2] for text in texts) == sorted(names.values())


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_killed_at_every_call_around_a_slot_and_a_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    people = await world.people(2)
    await rule(world, caps=[{"most": 1, "per": "P1D"}])
    dying = Dying(monkeypatch, (*WRITES, "find_one"))
    calls = await _evening(world, dying, people, -1, False)
    assert calls > 12
    places = [(at, after) for at in range(1, calls + 1) for after in (False, True)]
    random.Random(9).shuffle(places)
    begun, tried = time.monotonic(), 0
    for at, after in places:
        await _evening(world, dying, people, at, after)
        tried += 1
        if tried >= 24 and time.monotonic() - begun > 90:
            break
    print(f"\nkilled at {tried} of {len(places)} places around {calls} calls; no place and no code lost or taken twice")  # noqa: T201
