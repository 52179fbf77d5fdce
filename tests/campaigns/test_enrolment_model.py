"""Whatever happens in whatever order (people enter, answer, refuse; workers work, die and lose their leases; the
journey is edited under people's feet, paused; events come late; a cap holds), the books of every enrolment add up.

A model of plain sets says who may be written to and what has begun; at the end everybody has come out at the other end,
each step was left once a visit, and everything outside was done once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from base.clock import now
from base.http import HttpReply
from base.mongo import Database
from campaigns.render import Renderer
from profiles.consent import ConsentAct
from tests.campaigns.conftest import ADAPTERS, Mate, World, opened_world
from tests.campaigns.policies.test_gate import rule as rule_of_house
from tests.campaigns.test_crashing_steps import expired
from tests.campaigns.test_versions import carried
from tests.dying import Dying

PEOPLE = 3
#: How often each kind of work is done in one go.
ROUNDS = 3
#: Rows that stay from one example to the next.
KEPT = ("channels", "profiles", "identities")
RULES = settings(
    max_examples=10, stateful_step_count=24, deadline=None, derandomize=True,
    phases=(Phase.generate,),  # an example takes seconds: what fails is looked at as it is
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip

SECOND: list[dict[str, Any]] = [
    {"id": "h", "type": "holdout", "percent": 40, "next": "s"},
    {"id": "s", "type": "send", "content": {"text": "Second"}, "next": "u"},
    {"id": "u", "type": "update", "score": 5, "next": "x"},
    {"id": "x", "type": "exit", "reason": "done"},
]


def first(second: str, *, longer: bool = False, without_task: bool = False) -> list[dict[str, Any]]:
    """The journey as written at first, or after an edit: another wait, and a step that is gone."""
    steps: list[dict[str, Any]] = [
        {"id": "d", "type": "digest", "window": "PT5M", "max": 2, "next": "t"},
        {"id": "t", "type": "throttle", "rate": 4, "per": "PT10M", "next": "p"},
        {"id": "p", "type": "split", "arms": [{"weight": 1, "name": "a", "next": "a"},
                                             {"weight": 1, "name": "b", "next": "b"}]},
        {"id": "a", "type": "send", "content": {"text": "A"}, "next": "e"},
        {"id": "b", "type": "send", "content": {"text": "B"}, "next": "e"},
        {"id": "e", "type": "wait_event", "any": [{"event": "answered", "next": "w"}], "since": "entry",
         "timeout": "PT5H" if longer else "PT1H", "timeout_next": "w"},
        {"id": "w", "type": "webhook", "url": "https://x.example/", "save_as": "told",
         "next": "j" if without_task else "k"},
        {"id": "k", "type": "task", "text": "Call", "wait_done": True, "timeout": "PT2H", "next": "j"},
        {"id": "j", "type": "start_journey", "journey_id": second, "next": "n"},
        {"id": "n", "type": "note", "text": "Been here", "next": None},
    ]  # fmt: skip
    return [step for step in steps if step["id"] != "k" or not without_task]


@dataclass
class Model:
    """What must be true."""

    capped: bool = False
    begun: int = 0
    refused: set[int] = field(default_factory=set)
    #: Messages that had gone out before the last look.
    seen: int = 0


class _Loop:
    """One event loop and one world for all examples: opening one takes seconds."""

    runner: asyncio.Runner
    world: World
    people: list[str]
    identities: list[str]
    dying: Dying
    #: What sends came to and waited for, over all examples.
    seen: Counter[str]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return _Loop.runner.run(work)


class Enrolments(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model, self.world = Model(), _Loop.world
        run(self._begin())

    async def _begin(self) -> None:
        for name in await self.world.db.handle.list_collection_names():
            if name not in KEPT:
                await self.world.db.collection(name).delete_many({})
        clean = {"score": 0, "score_parts": [], "score_told": 0, "manual_points": 0, "consents": []}
        await self.world.db.collection("profiles").update_many({}, {"$set": clean})
        provider = self.world.provider()
        provider.sent.clear()
        provider.accepted.clear()
        self.world.phone.posted.clear()
        await self._restarted()
        key = {"mode": "per_key"}
        self.second = await self.world.journey(*SECOND, name="Second", reentry=key)
        trigger = {"type": "event", "event": "x"}
        self.first = await self.world.journey(*first(self.second), name="First", trigger=trigger, reentry=key)

    async def _restarted(self) -> None:
        """Another process takes over: what the last one had in memory is gone."""
        self.world.worker = self.world.new_worker()
        self.world.inbox.delivery.register("journey", self.world.worker.source)

    @initialize(capped=st.booleans())
    def house_rules(self, capped: bool) -> None:
        self.model.capped = capped
        run(rule_of_house(self.world, caps=[{"most": 1, "per": "PT3H"}] if capped else []))
        for who in range(PEOPLE):
            self.model.begun += 1
            run(self.world.happens("x", _Loop.people[who], key=f"x{self.model.begun}"))

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(who=st.integers(0, PEOPLE - 1), often=st.integers(1, 4), twice=st.booleans())
    def enters(self, who: int, often: int, twice: bool) -> None:
        for _ in range(often):
            self.model.begun += 1
            for _ in range(1 + twice):
                run(self.world.happens("x", _Loop.people[who], key=f"x{self.model.begun}"))

    @rule(who=st.integers(0, PEOPLE - 1))
    def is_heard_of_too_late(self, who: int) -> None:
        run(self.world.happens("x", _Loop.people[who], ago_s=80 * 3600))

    @rule(who=st.integers(0, PEOPLE - 1), ago_s=st.sampled_from([0, 60, 7200]))
    def answers(self, who: int, ago_s: int) -> None:
        run(self.world.happens("answered", _Loop.people[who], ago_s=ago_s))

    @rule(who=st.integers(0, PEOPLE - 1), yes=st.booleans())
    def is_asked(self, who: int, yes: bool) -> None:
        (self.model.refused.discard if yes else self.model.refused.add)(who)
        source = "preference_centre" if yes else "keyword"
        run(self.world.consent.act(ConsentAct(_Loop.identities[who], "marketing", yes, source)))

    @rule(minutes=st.sampled_from([0, 6, 11]), dies=st.none() | st.integers(1, 60), after=st.booleans())
    def is_worked_on(self, minutes: int, dies: int | None, after: bool) -> None:
        run(self._passed(minutes))
        run(self._worked(dies, after))
        self._look_at_what_went_out()

    @rule()
    def loses_its_leases(self) -> None:
        run(self._expired())

    @rule(minutes=st.sampled_from([6, 61, 190]))
    def time_passes(self, minutes: int) -> None:
        run(self._passed(minutes))
        run(self._worked())
        self._look_at_what_went_out()

    @rule(closes=st.booleans())
    def a_colleague_looks(self, closes: bool) -> None:
        async def look() -> None:
            for row in (await self.world.tasks.page(state="open")).data[: 1 + closes]:
                await self.world.tasks.done(row["_id"], "usr_ann")

        run(look())

    @rule(longer=st.booleans(), without_task=st.booleans(), along=st.booleans())
    def is_edited(self, longer: bool, without_task: bool, along: bool) -> None:
        async def edit() -> None:
            steps = first(self.second, longer=longer, without_task=without_task)
            await self.world.journeys.patch(self.first, {"steps": steps})
            await self.world.journeys.publish(self.first, "usr_ann", migrate={} if along else None)
            await carried(self.world)

        run(edit())

    @rule(overdue=st.sampled_from(["send", "shift"]), minutes=st.sampled_from([1, 90]))
    def is_paused_for_a_while(self, overdue: Any, minutes: int) -> None:
        async def rest() -> None:
            await self.world.journeys.set_status(self.first, "paused")
            before = len(self.world.provider().sent)
            await self._passed(minutes)
            await self._worked()
            assert all(each.text == "Second" for each in self.world.provider().sent[before:]), "sent while paused"
            await self.world.journeys.set_status(self.first, "live", overdue=overdue)

        run(rest())
        self._look_at_what_went_out()

    # -- how it is done --------------------------------------------------------------------------------------------

    async def _worked(self, dies: int | None = None, after: bool = False) -> None:
        async def work() -> None:
            worker = self.world.worker
            for _ in range(ROUNDS):
                await worker.reactor.react(50)
                await worker.walker.advance(50)
                try:
                    await self.world.inbox.delivery.deliver(50)
                finally:
                    await self.world.inbox.delivery.close()
                await self.world.call()

        await _Loop.dying.on(dies or -1, after, work)
        if dies is not None:
            await self._restarted()

    async def _expired(self) -> None:
        await expired(self.world)
        past = {"$set": {"due_at": now() - timedelta(seconds=1)}}
        leased = {"lease": {"$type": "string"}, "due_at": {"$exists": True}}
        await self.world.db.collection("sends").update_many(leased, past)

    async def _passed(self, minutes: float) -> None:
        await self.world.travel(minutes=minutes)
        await self.world.db.collection("send_slots").delete_many({})  # they are worked out from the ledger

    # -- what must be true -----------------------------------------------------------------------------------------

    def _look_at_what_went_out(self) -> None:
        sent = self.world.provider().sent
        for message in sent[self.model.seen :]:
            assert int(message.to.external_id.removeprefix("p")) not in self.model.refused, "against a no"
        self.model.seen = len(sent)
        assert all(count == 1 for count in self.world.provider().accepted.values()), "a message went out twice"

    def teardown(self) -> None:
        run(self._ended())

    async def _ended(self) -> None:
        for _ in range(120):
            await self._expired()
            await self._passed(61)
            await self._worked()
            self._look_at_what_went_out()
            if not await self.world.rows(state={"$ne": "ended"}) and not await self._pending():
                break
        await self._check()

    async def _pending(self) -> int:
        return int(await self.world.db.collection("events").count_documents({"state": "pending"}))

    async def _check(self) -> None:
        world = self.world
        rows = await world.rows()
        stuck = [(row["state"], row["node"], row["wait"], row.get("end")) for row in rows if row["state"] != "ended"]
        assert not stuck, stuck
        assert not [row for row in rows if row.keys() & {"todo", "due_at"} or row.get("lease")]
        own = [row for row in rows if row["journey_id"] == self.first]
        assert len(own) == self.model.begun, "each event begins one run, and what came too late none"
        for row in rows:
            await self._check_log(row)
        told = Counter(each["id"] for row in own for each in row["data"].get("digest", ()))
        assert set(told) == {row["data"]["event"]["id"] for row in own} and set(told.values()) <= {1}
        through = [row["_id"] for row in own if row["end"]["reason"] == "completed"]
        assert Counter(row["end"]["reason"] for row in own)["digested"] + len(through) == len(own)
        begun = Counter(row["data"]["event"]["id"].split(":")[1] for row in rows if row["journey_id"] == self.second)
        assert begun == Counter(through), "each went into the second journey once"
        await self._check_outside(through)

    async def _check_log(self, row: Any) -> None:
        lines = await self.world.runs.log_of(row["_id"], 10_000)
        known = {line["_id"] for line in lines}
        lines += [line for line in row.get("tail", ()) if line["_id"] not in known]
        assert [line["rev"] for line in lines] == list(range(1, len(lines) + 1)), "the log has a gap or a double"
        left = Counter((line["node"], line["visit"]) for line in lines
                       if line.get("outcome") and not line["code"].startswith(("end.", "migrat")))  # fmt: skip
        assert not [place for place, count in left.items() if count > 1], [line["code"] for line in lines]
        assert sum(line["code"].startswith("end.") for line in lines) == 1

    async def _check_outside(self, through: list[str]) -> None:
        world = self.world
        sends = await world.inbox.sends.raw({})
        visits = Counter(tuple(row["source"][key] for key in ("enrolment_id", "node_id", "visit")) for row in sends)
        _Loop.seen += Counter(f"{row['state']}:{(row.get('reason') or {}).get('code', '')}" for row in sends)
        _Loop.seen += Counter(f"held:{each['reason']['code']}" for row in sends for each in row["history"]
                              if each["status"] == "deferred" and each.get("reason"))  # fmt: skip
        assert set(visits.values()) <= {1} and {row["state"] for row in sends} <= {"accepted", "skipped", "unknown"}
        if self.model.capped:
            for person in _Loop.people:
                # Of what was handed over when its worker died nobody knows; those that were called are the messages.
                called = (row for row in sends if world.provider().accepted[row["send_key"]])
                at = sorted(row["handed_at"] for row in called if row["profile_id"] == person)
                close = [later - before for before, later in pairwise(at) if later - before < timedelta(hours=3)]
                assert not close, "more messages than the cap allows"
        bodies: dict[str, set[bytes]] = {}
        for _, headers, body in world.phone.posted:
            bodies.setdefault(headers["Idempotency-Key"], set()).add(body)
        assert len(bodies) == len(through) and all(len(each) == 1 for each in bodies.values())
        tasks = [row for row in (await world.tasks.page(limit=200)).data if row.get("key")]
        assert len(tasks) == len({row["key"] for row in tasks}) <= len(through)
        notes = await world.db.collection("notes").count_documents({})
        assert notes == len(through)
        points = Counter[str]()
        for row in await world.rows(journey_id=self.second):
            points[row["profile_id"]] += 5
        scores = {each.id: each.score for each in (await world.profiles.many(_Loop.people)).values()}
        assert {person: min(100, points[person]) for person in _Loop.people} == scores


async def _opened(mongo_url: str, name: str) -> World:
    world = opened_world(Database(mongo_url, name), Renderer(project_zone="Europe/Berlin"))
    for each in await world.db.handle.list_collection_names():
        await world.db.collection(each).delete_many({})
    for each in ADAPTERS:
        world.ids[each] = (await world.channels.add(each, each.title(), {})).id
    world.mates.people = [Mate("usr_ann")]
    world.phone.script = lambda *_: HttpReply(200, {}, orjson.dumps({"ok": True}))
    _Loop.people = await world.people(PEOPLE)
    own = [await world.profiles.identities_of(each) for each in _Loop.people]
    _Loop.identities = [each[0].id for each in own]
    return world


async def _closed(world: World) -> None:
    await world.inbox.delivery.close()
    await world.renderer.close()
    world.db.close()


@pytest.fixture
def loop_of_its_own(mongo_url: str, shaped_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with asyncio.Runner() as runner:
        _Loop.runner, _Loop.dying, _Loop.seen = runner, Dying(monkeypatch), Counter()
        _Loop.world = runner.run(_opened(mongo_url, shaped_database))
        try:
            yield
        finally:
            runner.run(_closed(_Loop.world))


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_in_any_order_of_events_and_deaths_the_books_of_an_enrolment_add_up(loop_of_its_own: None) -> None:
    run_state_machine_as_test(Enrolments, settings=RULES)
    print("\n", dict(_Loop.seen))  # noqa: T201 - what it has met
    for met in ("accepted:", "skipped:holdout", "skipped:no_consent", "held:capped"):
        assert _Loop.seen[met], f"nothing was ever {met}"
