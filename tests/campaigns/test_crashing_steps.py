"""Workers die before and after every write of the steps that reach outside: everything happens once."""

import random
import time
from datetime import timedelta
from typing import Any

import orjson
import pytest

from base.clock import now
from base.http import HttpReply
from tests.campaigns.conftest import Mate, World
from tests.dying import Died, Dying

STEPS: list[dict[str, Any]] = [
    {"id": "d", "type": "digest", "window": "PT1M", "max": 2, "next": "t"},
    {"id": "t", "type": "throttle", "rate": 50, "per": "PT1S", "next": "n"},
    {"id": "n", "type": "note", "text": "Seen", "next": "a"},
    {"id": "a", "type": "assign", "assignee": "round_robin", "what": ["owner"], "next": "tell"},
    {"id": "tell", "type": "notify", "assignee": "role:agent", "text": "Look", "next": "h"},
    {"id": "h", "type": "webhook", "url": "https://x.example/", "save_as": "answer", "next": "j"},
    {"id": "j", "type": "start_journey", "journey_id": "", "next": None},
]
ALL_CODES = [
    "digest.closed", "throttle.passed", "note.written", "assign.given", "notify.told", "wait.call", "webhook.answered",
    "start_journey.", "end.completed",
]  # fmt: skip
ROOMS = (
    "enrolments", "enrolment_log", "journey_counts", "events", "tasks", "notes", "journeys", "turns", "digests",
    "webhook_calls",
)  # fmt: skip


async def expired(world: World) -> None:
    """Every lease has run out."""
    for name in ("enrolments", "events", "webhook_calls"):
        leased = {"lease": {"$type": "string"}, "due_at": {"$exists": True}}
        await world.db.collection(name).update_many(leased, {"$set": {"due_at": now() - timedelta(seconds=1)}})


async def add_up(world: World, person: str, second: str) -> None:
    """The books of one person with two events: one run goes on with both, and each thing was done once."""
    rows = await world.rows()
    stuck = [row for row in rows if row["state"] != "ended" or "todo" in row or "lease" in row]
    assert not stuck, [(row["state"], row["node"], row["wait"], row.get("due_at")) for row in stuck]
    by_end = sorted((row["end"]["reason"], row["journey_id"] == second) for row in rows)
    assert by_end == [("completed", False), ("completed", True), ("digested", False)]
    main = next(row for row in rows if row["end"]["reason"] == "completed" and row["journey_id"] != second)
    codes = await world.codes(main["_id"])
    assert ["start_journey." if code.startswith("start_journey.") else code for code in codes] == ALL_CODES
    assert len(main["data"]["digest"]) == 2 and main["data"]["answer"] == {"ok": True}
    assert len((await world.notes.page(person)).data) == 1
    tasks = (await world.tasks.page()).data
    assert sorted(task["assignee_id"] for task in tasks) == ["usr_ann", "usr_ben"]
    profile = await world.profiles.get(person)
    assert profile is not None and profile.owner_id in ("usr_ann", "usr_ben")
    owners = await world.db.collection("events").count_documents({"name": "profile.updated"})
    assert owners == 1
    keys = {(headers["Idempotency-Key"], body) for _, headers, body in world.phone.posted}
    assert len(keys) == 1, "the peer would take it for two"


async def _day(world: World, person: str, dying: Dying | None) -> int:
    for name in ROOMS:
        await world.db.collection(name).delete_many({})
    blank = {"owner_id": None}
    await world.db.collection("profiles").update_many({}, {"$set": blank})
    world.phone.posted.clear()
    second = await world.journey({"id": "w", "type": "wait", "for": "PT0S"}, reentry={"mode": "per_key"})
    steps = [{**step, "journey_id": second} if "journey_id" in step else step for step in STEPS]
    await world.journey(*steps, trigger={"type": "event", "event": "x"}, reentry={"mode": "per_key"})
    for _ in range(2):
        await world.happens("x", person)
    if dying is not None:
        dying.armed = True
    try:
        await world.worker.reactor.react(100)
        for _ in range(5):
            await world.worker.walker.advance(100)
            await world.call()
    except Died:
        pass
    finally:
        if dying is not None:
            dying.armed = False
    used = dying.count if dying else 0
    for _ in range(4):
        await expired(world)
        await world.settle()
        if await world.rows(state="waiting"):
            await world.travel(seconds=70)  # a lost call to the run costs it one look
    await add_up(world, person, second)
    return used


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_killed_at_every_write_of_the_steps_that_reach_outside(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Die right before and right after each write; afterwards everything was done once."""
    world.mates.people = [Mate("usr_ann"), Mate("usr_ben")]
    world.phone.script = lambda url, headers, body: HttpReply(200, {}, orjson.dumps({"ok": True}))
    person = (await world.people(1))[0]
    dying = Dying(monkeypatch)
    writes = await _day(world, person, dying)
    assert writes > 15
    places = [(at, after) for at in range(1, writes + 1) for after in (False, True)]
    random.Random(7).shuffle(places)
    begun, tried = time.monotonic(), 0
    for at, after in places:
        dying.count, dying.at, dying.after = 0, at, after
        await _day(world, person, dying)
        tried += 1
        if tried >= 20 and time.monotonic() - begun > 180:
            break
    print(f"\nkilled at {tried} of {len(places)} places around {writes} writes; nothing lost, nothing twice")  # noqa: T201
