"""1,000 enrolments of five steps and more, of every kind that waits, gathers, counts or reaches outside, while workers
are killed, one sleeps beyond its lease, Redis is flushed, providers storm and people say no: nothing twice, nobody
stuck, and the books of both sides agree.

The people are two halves. One gathers events (digest), queues (throttle), parts (split), gets a message, waits for an
answer and is taken into a second journey. The other half parts with its control group, is told to a program (webhook),
to a colleague (task), gets a message and has its score changed.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import SecretStr

from base.clock import now
from base.errors import Conflict, NotFound
from base.mongo import Document
from base.secret_box import SecretBox
from base.settings import load
from campaigns.engine import share
from profiles.consent import ConsentAct
from profiles.models import NewEvent
from profiles.resolve import Known
from rapport.embedded import EmbeddedServers
from rapport.migrations import migrate
from rapport.runtime import Runtime, open_runtime
from tests.chaos.fake_telegram import FIRST, FakeTelegram, storms_struck, strangers
from tests.chaos.fleet import Fleet, kills, workers
from tests.chaos.hurry import hurried

pytestmark = [pytest.mark.slow, pytest.mark.timeout(560)]

SEED = int(os.environ.get("RAPPORT_TEST_SEED", "20261129"))
#: Events that begin runs; the second journey comes on top.
ENROLMENTS = int(os.environ.get("RAPPORT_TEST_ENROLMENTS", "1000"))
#: Every so-manyth of those who gather comes with two events.
TWICE = 10
OPT_OUTS, HEARD_WITHIN_S = 60, 5.0
KILLS = ("worker-1", "worker-2", "flush", "worker-1", "worker-2", "worker-1", "worker-2", "worker-1")
#: A lease lasts 30 s.
ASLEEP_AFTER_S, ASLEEP_S = 4.0, 34.0
PATIENCE_S = 300.0
PACE = 40
ENDED = {"accepted", "failed", "skipped", "unknown"}

GATHERS: list[dict[str, Any]] = [
    {"id": "d", "type": "digest", "window": "PT3S", "max": 2, "next": "t"},
    {"id": "t", "type": "throttle", "rate": PACE, "per": "PT1S", "next": "p"},
    {"id": "p", "type": "split", "arms": [{"name": "a", "weight": 50, "next": "sa"},
                                         {"name": "b", "weight": 50, "next": "sb"}]},
    {"id": "sa", "type": "send", "content": {"text": "A {{ event.id }}"}, "next": "e"},
    {"id": "sb", "type": "send", "content": {"text": "B {{ event.id }}"}, "next": "e"},
    {"id": "e", "type": "wait_event", "since": "entry", "timeout": "PT6S", "timeout_next": "j",
     "any": [{"event": "answered", "next": "j"}]},
    {"id": "j", "type": "start_journey", "journey_id": "", "data": {"n": "{{ event.properties.n }}"}, "next": None},
]  # fmt: skip
TELLS: list[dict[str, Any]] = [
    {"id": "h", "type": "holdout", "percent": 20, "next": "w"},
    {"id": "w", "type": "webhook", "url": "", "save_as": "told", "timeout_s": 2, "next": "k"},
    {"id": "k", "type": "task", "text": "Call", "wait_done": True, "timeout": "PT8S", "timeout_next": "s", "next": "s"},
    {"id": "s", "type": "send", "content": {"text": "{{ journey.told.word }} {{ event.id }}"}, "next": "u"},
    {"id": "u", "type": "update", "score": 5, "next": None},
]
SECOND: list[dict[str, Any]] = [
    {"id": "s", "type": "send", "content": {"text": "C {{ event.id }}"}, "next": "x"},
    {"id": "x", "type": "exit", "reason": "done"},
]


class FakeProgram:
    """What webhooks call: keeps what it was told by key, answers the same to the same, and has storms."""

    def __init__(self, seed: int) -> None:
        self.told: dict[str, list[bytes]] = defaultdict(list)
        self.answers: Counter[str] = Counter()
        self._random = random.Random(seed)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        return app

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.told[request.headers["Idempotency-Key"]].append(await request.read())
        kinds = ("429", "5xx", "cut", "slow") if sum(self.answers.values()) < ENROLMENTS // 3 else ()
        kind = self._random.choice(kinds) if kinds and self._random.random() < 0.4 else "taken"
        self.answers[kind] += 1
        if kind == "429":
            return web.json_response({}, status=429, headers={"Retry-After": "1"})
        if kind == "5xx":
            return web.json_response({}, status=503)
        if kind == "cut" and request.transport is not None:
            request.transport.abort()
        if kind == "slow":
            await asyncio.sleep(2.5)
        return web.json_response({"word": "W"})


@dataclass
class Town:
    """Everything that takes part."""

    runtime: Runtime
    fleet: Fleet
    telegram: FakeTelegram
    program: FakeProgram
    people: Sequence[Known]
    journeys: dict[str, str] = field(default_factory=dict)
    noes: dict[str, float] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))

    def chat_of(self) -> dict[str, str]:
        """Profile id → chat."""
        return {known.profile_id: str(FIRST + place) for place, known in enumerate(self.people)}

    async def write(self) -> None:
        """The three journeys, published."""
        for name, steps in (("second", SECOND), ("gathers", GATHERS), ("tells", TELLS)):
            trigger = {"type": "api"} if name == "second" else {"type": "event", "event": name}
            filled = [{**step, **({"journey_id": self.journeys["second"]} if step["type"] == "start_journey" else {})}
                      for step in steps]  # fmt: skip
            draft = {"name": name, "trigger": trigger, "reentry": {"mode": "per_key"}, "steps": filled}
            head = await self.runtime.journeys.create(draft)
            self.journeys[name] = head["_id"]
            await self.runtime.journeys.publish(head["_id"])

    async def enter(self) -> None:
        """Everybody's events, spread over some seconds; some twice, as providers deliver them."""
        half = ENROLMENTS // 2
        wanted = [("gathers", place) for place in range(half)] + [("tells", place) for place in range(half)]
        twice = [("gathers", place) for place in range(0, half, TWICE)]
        wanted = wanted[: len(wanted) - len(twice)] + twice
        self.dice.shuffle(wanted)
        for start in range(0, len(wanted), 50):
            batch = []
            for name, place in wanted[start : start + 50]:
                self.events[name] += 1
                known = self.people[place if name == "gathers" else half + place]
                number = sum(self.events.values())
                batch.append(NewEvent(name, f"{name}:{number}", now(), known.profile_id, properties={"n": number}))
            await self.runtime.events.record(batch)
            await self.runtime.events.record(batch[:10])
            await self.runtime.doorbell.ring("react")
            await asyncio.sleep(0.4)

    async def refuse(self) -> None:
        """People say no in the middle of it."""
        for place in self.dice.sample(range(len(self.people)), OPT_OUTS):
            await self.runtime.consent.act(ConsentAct(self.people[place].identity_id, "marketing", False, "keyword"))
            self.noes[str(FIRST + place)] = time.time()
            await asyncio.sleep(0.3)

    async def answer(self) -> None:
        """Some of those who gather answer, sooner or later."""
        half = ENROLMENTS // 2
        for start in range(0, half, 20):
            chosen = self.dice.sample(self.people[:half], 8)
            batch = [NewEvent("answered", f"answer:{start}:{each.profile_id}", now(), each.profile_id)
                     for each in chosen]  # fmt: skip
            await self.runtime.events.record(batch)
            await asyncio.sleep(0.5)

    async def work(self, over: asyncio.Event) -> None:
        """Colleagues close every second task they see, and let stopped steps go on."""
        seen: set[str] = set()
        while not over.is_set():
            for row in (await self.runtime.tasks.page(state="open", limit=100)).data:
                if row["_id"] not in seen and self.dice.random() < 0.5:
                    try:
                        await self.runtime.tasks.done(row["_id"], "usr_ann")
                    except (Conflict, NotFound):
                        continue  # it ended meanwhile
                seen.add(row["_id"])
            breaker = self.runtime.policies.breaker
            for stop in await breaker.all_stopped():
                await breaker.resume(stop["_id"], "usr_ann")
            await asyncio.sleep(0.5)

    async def sleep_beyond_its_lease(self) -> None:
        """One worker stands still with what it has claimed, and wakes up when others have taken it on."""
        await asyncio.sleep(ASLEEP_AFTER_S)
        self.fleet.freeze("worker-3")
        await asyncio.sleep(ASLEEP_S)
        self.fleet.thaw("worker-3")

    async def end(self) -> float:
        """Wait until nobody is under way; how long that took, seconds."""
        begun, db = time.monotonic(), self.runtime.db
        open_ = {
            "events": {"state": "pending"}, "enrolments": {"state": {"$in": ["waiting", "held"]}},
            "sends": {"state": {"$nin": [*ENDED, "delivered", "read"]}}, "webhook_calls": {"state": "planned"},
        }  # fmt: skip
        while time.monotonic() - begun < PATIENCE_S:
            left = [await db.collection(name).count_documents(where) for name, where in open_.items()]
            if not any(left):
                break
            await hurried(db)
            await asyncio.sleep(1)
        return time.monotonic() - begun


async def test_no_double_send_nothing_stuck_and_the_ledger_adds_up(
    private_servers: EmbeddedServers, tmp_path: Path, local_server: Any
) -> None:
    started = time.monotonic()
    telegram, program = FakeTelegram(SEED), FakeProgram(SEED)
    url = (await local_server(telegram.application())).rstrip("/")
    hook = (await local_server(program.application())).rstrip("/") + "/hook"
    key, addresses = SecretBox.new_key(), private_servers.servers
    runtime = await open_runtime(
        load(
            mongo_url=SecretStr(addresses.mongo_url), redis_url=SecretStr(addresses.redis_url),
            secret_keys=(SecretStr(key),), allow_private_addresses=("127.0.0.0/8",), data=tmp_path,
        )
    )  # fmt: skip
    await migrate(runtime.db)
    bot = {"bot_token": "1:x", "secret_token": "s" * 20, "api_base": url}
    channel = await runtime.channels.add("telegram", "Chaos", bot)
    await runtime.db.collection("channels").update_one({"_id": channel.id}, {"$set": {"rate_per_s": 60.0}})
    TELLS[1]["url"] = hook
    people = await strangers(runtime.resolver, channel.id, ENROLMENTS)
    town = Town(runtime, workers(addresses, key, tmp_path, 3), telegram, program, people)
    await town.write()
    town.fleet.start()
    over = asyncio.Event()
    colleagues = asyncio.create_task(town.work(over))
    await asyncio.gather(
        town.enter(), town.refuse(), town.answer(), kills(town.fleet, addresses.redis_url, KILLS, 3.0),
        town.sleep_beyond_its_lease(),
    )  # fmt: skip
    quiet_s = await town.end()
    over.set()
    await colleagues
    codes = await town.fleet.stop()
    figures = await _figures(town)
    figures |= {"exit_codes": codes, "seed": SEED, "quiet_after_s": round(quiet_s, 1),
                "seconds": round(time.monotonic() - started, 1)}  # fmt: skip
    await runtime.close()
    print("\njourney chaos " + orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())  # noqa: T201 - the point
    _judge(figures)


async def _all(town: Town, name: str) -> list[Document]:
    return [row async for row in town.runtime.db.collection(name).find({})]


async def _figures(town: Town) -> dict[str, Any]:
    runs, sends, tasks = await _all(town, "enrolments"), await _all(town, "sends"), await _all(town, "tasks")
    names = {journey: name for name, journey in town.journeys.items()}
    by_id = {row["_id"]: row for row in runs}
    return {
        "events": dict(town.events), "runs": dict(Counter(names[row["journey_id"]] for row in runs)),
        "causes_twice": len(runs) - len({(row["journey_id"], row["data"]["event"]["id"]) for row in runs}),
        "states": dict(Counter(row["state"] for row in runs)),
        "ends": {name: dict(Counter(row["end"]["reason"] for row in runs if row["end"] and row["journey_id"] == own))
                 for name, own in town.journeys.items()},
        "unfinished": sum(1 for row in runs if row.keys() & {"todo", "due_at"} or row.get("lease")),
        "visits_twice": sum(1 for row in runs if any(count > 1 for count in row["visits"].values())),
        "step_types": sorted(await _step_types(town, runs)),
        **_of_sends(town, sends, by_id), **await _of_lines(town, runs), **_of_digests(runs, names),
        **await _of_turns(town), **_of_program(town, await _all(town, "webhook_calls")), **_of_split(town, runs, sends),
        "tasks_twice": len(keyed := [row["key"] for row in tasks if row.get("key")]) - len(set(keyed)),
        "tasks": dict(Counter(row["state"] for row in tasks)),
        "scores_wrong": await _scores_wrong(town, runs),
    }  # fmt: skip


async def _step_types(town: Town, runs: Sequence[Document]) -> set[str]:
    types = {(journey, step["id"]): step["type"] for name, steps in
             (("second", SECOND), ("gathers", GATHERS), ("tells", TELLS)) for step in steps
             for journey in [town.journeys[name]]}  # fmt: skip
    return {types[(row["journey_id"], node)] for row in runs for node in row["visits"]}


def _of_sends(town: Town, sends: Sequence[Document], runs: Mapping[str, Document]) -> dict[str, Any]:
    """Each message carries the id of what began its run: the provider's books are compared row by row."""
    chats = town.chat_of()
    taken_by_state: Counter[str] = Counter()
    matched: set[tuple[str, str]] = set()
    for row in sends:
        run = runs[row["source"]["enrolment_id"]]
        text = next((each for each in town.telegram.taken if each[0] == chats[row["profile_id"]]
                     and each[1].endswith(f" {run['data']['event']['id']}")), None)  # fmt: skip
        if text is not None:
            taken_by_state[row["state"]] += town.telegram.taken[text]
            matched.add(text)
    told = [row for row in sends if row["state"] == "accepted"]
    visits = {(row["source"]["enrolment_id"], row["source"]["node_id"]) for row in sends}
    refused = [row["reason"]["code"] for row in sends if row["state"] != "accepted" and row.get("reason")]
    return {
        "sends": dict(Counter(row["state"] for row in sends)), "taken_by_state": dict(taken_by_state),
        "sends_of_nobody": len(town.telegram.taken) - len(matched),
        "one_row_a_visit": len(sends) == len(visits),
        "doubled": sum(1 for count in town.telegram.taken.values() if count > 1),
        "reasons": dict(Counter(refused)),
        "answers": dict(town.telegram.answers), "opted_out": len(town.noes),
        "against_a_no": sum(1 for chat, at in town.noes.items() if town.telegram.last_to(chat) > at + HEARD_WITHIN_S),
        "to_held_out": sum(1 for row in told if runs[row["source"]["enrolment_id"]]["holdout"]),
        "held_out": sum(1 for row in runs.values() if row["holdout"]),
    }  # fmt: skip


async def _of_lines(town: Town, runs: Sequence[Document]) -> dict[str, Any]:
    """The log of every run without a gap, each step left once, and one end."""
    lines: dict[str, list[Document]] = defaultdict(list)
    for row in await _all(town, "enrolment_log"):
        lines[row["enrolment_id"]].append(row)
    gaps = left_twice = ends = 0
    for run in runs:
        own = {row["_id"]: row for row in (*lines[run["_id"]], *run.get("tail", ()))}
        gaps += sorted(row["rev"] for row in own.values()) != list(range(1, len(own) + 1))
        left = Counter((row["node"], row["visit"]) for row in own.values()
                       if row.get("outcome") and not row["code"].startswith("end."))  # fmt: skip
        left_twice += any(count > 1 for count in left.values())
        ends += sum(row["code"].startswith("end.") for row in own.values()) != 1
    return {"log_gaps": gaps, "steps_left_twice": left_twice, "without_one_end": ends}


def _of_digests(runs: Sequence[Document], names: Mapping[str, str]) -> dict[str, Any]:
    """Every event that began a run of those who gather is told by exactly one run that went on."""
    own = [row for row in runs if names[row["journey_id"]] == "gathers"]
    told = Counter(event["id"] for row in own for event in row["data"].get("digest", ()))
    began = {row["data"]["event"]["id"] for row in own}
    return {"events_undigested": len(began - told.keys()), "digested_twice": sum(n > 1 for n in told.values()),
            "joined": sum(1 for row in own if row["end"] and row["end"]["reason"] == "digested")}  # fmt: skip


async def _of_turns(town: Town) -> dict[str, Any]:
    at = sorted(row["passed_at"] for row in await _all(town, "turns") if row.get("passed_at"))
    close = sum(later - first < timedelta(seconds=1) for first, later in zip(at, at[PACE:], strict=False))
    return {"passed": len(at), "passed_too_soon": close}


def _of_program(town: Town, calls: Sequence[Document]) -> dict[str, Any]:
    told = town.program.told
    return {
        "calls": dict(Counter(row["state"] for row in calls)), "called": len(told),
        "calls_twice": len(calls) - len({row["enrolment_id"] for row in calls}),
        "unknown_keys": len(told.keys() - {row["key"] for row in calls}),
        "bodies_changed": sum(1 for bodies in told.values() if len(set(bodies)) > 1),
        "program": dict(town.program.answers),
    }  # fmt: skip


def _of_split(town: Town, runs: Sequence[Document], sends: Sequence[Document]) -> dict[str, Any]:
    """Whoever looks, a person's arm is the same."""
    journey = town.journeys["gathers"]
    wrong = 0
    for row in sends:
        if row["source"]["id"] == journey:
            arm = "sa" if share(journey, "p", row["profile_id"]) < 50 else "sb"
            wrong += row["source"]["node_id"] != arm
    return {"in_the_wrong_arm": wrong}


async def _scores_wrong(town: Town, runs: Sequence[Document]) -> int:
    """Points are given once for each run that came past the step."""
    due: Counter[str] = Counter()
    for row in runs:
        due[row["profile_id"]] += 5 * ("u" in row["visits"])
    rows = await _all(town, "profiles")
    return sum(1 for row in rows if row.get("manual_points", 0) != due[row["_id"]])


def _judge(figures: dict[str, Any]) -> None:
    runs, ends = figures["runs"], figures["ends"]
    assert figures["step_types"] == sorted(
        {"digest", "throttle", "split", "send", "wait_event", "start_journey", "holdout", "webhook", "task", "update",
         "exit"}
    )  # fmt: skip
    assert runs["gathers"] == figures["events"]["gathers"] and runs["tells"] == figures["events"]["tells"]
    assert sum(figures["events"].values()) == ENROLMENTS and figures["causes_twice"] == 0
    assert runs["second"] == ends["gathers"]["completed"], "each was taken into the second journey once"
    assert set(figures["states"]) == {"ended"} and figures["unfinished"] == 0
    assert figures["log_gaps"] == figures["steps_left_twice"] == figures["without_one_end"] == 0
    assert figures["visits_twice"] == 0
    assert figures["events_undigested"] == figures["digested_twice"] == 0 and figures["joined"] > 0
    assert figures["passed_too_soon"] == 0 and figures["passed"] == ends["gathers"]["completed"]
    assert figures["calls_twice"] == figures["unknown_keys"] == figures["bodies_changed"] == 0
    assert figures["tasks_twice"] == 0 and figures["scores_wrong"] == 0 and figures["in_the_wrong_arm"] == 0
    assert figures["doubled"] == figures["against_a_no"] == figures["sends_of_nobody"] == 0
    assert figures["one_row_a_visit"] and set(figures["sends"]) <= ENDED
    sends, taken = figures["sends"], figures["taken_by_state"]
    assert taken["accepted"] == sends["accepted"] and taken.get("skipped", 0) == taken.get("failed", 0) == 0
    assert taken.get("unknown", 0) <= sends.get("unknown", 0)
    assert figures["held_out"] > 0 and figures["to_held_out"] == 0 and figures["reasons"]["holdout"] > 0
    assert storms_struck(figures["answers"]) and storms_struck(figures["program"])
    assert set(figures["exit_codes"]) == {0}
