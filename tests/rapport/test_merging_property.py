"""Whatever order people write, say who they are, buy, refuse, merge and part in, and whenever a worker dies: the books
agree with a model of plain sets. No row without its person, nothing counted twice, no consent lost, and merging then
parting is nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from base.errors import Conflict
from base.mongo import Collection
from tests.rapport.merging import ROOMS, Town, opened

NAMES = ("anna", "berta", "clara", "dora", "emma")
names = st.sampled_from(NAMES)
RULES = settings(
    max_examples=16, stateful_step_count=25, deadline=None, derandomize=True,
    phases=(Phase.generate,),  # an example takes seconds: what fails is looked at as it is
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)  # fmt: skip


@dataclass
class Model:
    """Who is who, as sets: a person is the set of names that are one; each name has written, bought and answered."""

    #: Name → the name that stands for the person.
    stands: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    bought: dict[str, list[int]] = field(default_factory=dict)
    said: dict[str, bool] = field(default_factory=dict)
    #: Name → keys that came with it: its mail address, and its customer number where the person had none yet.
    proofs: dict[str, set[str]] = field(default_factory=dict)
    acts: int = 0
    #: Standing merges, the latest last: (merge id, survivor, other, `stands` before).
    merges: list[tuple[str, str, str, frozenset[str]]] = field(default_factory=list)

    def numbers(self, members: set[str]) -> int:
        """How many customer numbers these have."""
        return sum(key.startswith("customer_id:") for name in members for key in self.proofs.get(name, ()))

    def people(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for name, head in self.stands.items():
            found.setdefault(head, set()).add(name)
        return found


class _Died(BaseException):
    pass


class _Death:
    """The next write but so many is the last thing a worker does."""

    def __init__(self) -> None:
        self.left: int | None = None
        self._real = {name: getattr(Collection, name) for name in _WRITES}

    def install(self) -> None:
        for name, real in self._real.items():
            setattr(Collection, name, self._wrapped(real))

    def remove(self) -> None:
        for name, real in self._real.items():
            setattr(Collection, name, real)

    def _wrapped(self, real: Any) -> Any:
        async def call(collection: Any, *args: Any, **more: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise _Died
            return await real(collection, *args, **more)

        return call


_WRITES = ("update_many", "update_one", "bulk_write", "insert_many", "insert_one", "find_one_and_update", "replace_one")


class _Loop:
    """One event loop and one town for all examples: opening one takes seconds."""

    runner: asyncio.Runner
    town: Town
    death: _Death


class Merging(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.run = _Loop.runner.run
        self.town = _Loop.town
        self.run(self.town.empty())

    # -- what happens ------------------------------------------------------------------------------------------

    @rule(name=names)
    def writes(self, name: str) -> None:
        profile_id = self.run(self.town.says(name))
        model = self.model
        model.ids.setdefault(name, profile_id)
        model.stands.setdefault(name, name)
        model.lines[name] = model.lines.get(name, 0) + 1
        assert profile_id == model.ids[model.stands[name]]

    @precondition(lambda self: self.model.ids)
    @rule(name=names)
    def identifies(self, name: str) -> None:
        model = self.model
        if name not in model.ids:
            return
        head = model.stands[name]
        assert self.run(self.town.identifies(name)) == model.ids[head]
        mine = model.proofs.setdefault(name, set())
        mine.add(f"email:{name}@example.org")
        if model.numbers(model.people()[head]) in (0, int(f"customer_id:C-{name}" in mine)):
            mine.add(f"customer_id:C-{name}")

    @precondition(lambda self: self.model.ids)
    @rule(name=names, minor=st.integers(1, 900))
    def buys(self, name: str, minor: int) -> None:
        if name in self.model.ids:
            self.run(self.town.buys(name, minor))
            self.model.bought.setdefault(name, []).append(minor)

    @precondition(lambda self: self.model.ids)
    @rule(name=names, granted=st.booleans())
    def answers(self, name: str, granted: bool) -> None:
        if name in self.model.ids:
            self.run(self.town.answers(name, granted))
            self.model.said[name] = granted
            self.model.acts += 1

    @precondition(lambda self: self.model.ids)
    @rule(name=names)
    def enters(self, name: str) -> None:
        if name in self.model.ids:
            self.run(self._enters(self.model.ids[name]))

    async def _enters(self, profile_id: str) -> None:
        today = (await self.town.runtime.profiles.current([profile_id]))[profile_id]
        await self.town.runtime.journeys.enrol(self.town.waiting, today, key=f"k{next(self.town.numbers)}")

    @precondition(lambda self: len(self.model.people()) > 1)
    @rule(one=names, other=names, dies=st.none() | st.integers(0, 25), crowd=st.booleans())
    def merges(self, one: str, other: str, dies: int | None, crowd: bool) -> None:
        model = self.model
        if one not in model.ids or other not in model.ids or model.stands[one] == model.stands[other]:
            return
        head, lost = model.stands[one], model.stands[other]
        merger = self.town.runtime.merger
        task = merger.merge(model.ids[one], model.ids[other], by="usr_1")
        if crowd and dies is None:
            self.run(self._crowded(task, one, other))
            model.lines[one], model.lines[other] = model.lines[one] + 1, model.lines[other] + 1
        else:
            self._maybe_dying(task, dies)
        if self._today(lost) == model.ids[lost]:
            return  # it was refused, or had not been decided when the worker died: nothing has happened
        self.run(self.town.later())
        row = self.run(self.town.rows("merges", other_id=model.ids[lost]))[-1]
        model.merges.append((row["_id"], head, lost, frozenset(model.people()[lost])))
        for name in model.people()[lost]:
            model.stands[name] = head

    async def _crowded(self, task: Any, one: str, other: str) -> None:
        try:
            await asyncio.gather(task, self.town.says(one), self.town.says(other))
        except Conflict:
            pass

    @precondition(lambda self: self.model.merges)
    @rule(which=st.integers(0, 9), dies=st.none() | st.integers(0, 25))
    def parts(self, which: int, dies: int | None) -> None:
        """Any merge whose survivor stands by itself, not only the latest."""
        free = [each for each in self.model.merges if self.model.stands[each[1]] == each[1]]
        merge_id, _, lost, back = chosen = free[which % len(free)]
        self._maybe_dying(self.town.runtime.merger.unmerge(merge_id, by="usr_2"), dies)
        if self._today(lost) != self.model.ids[lost]:
            return  # died before it was decided
        self.model.merges.remove(chosen)
        for name in back:
            self.model.stands[name] = lost

    @precondition(lambda self: len(self.model.people()) > 1)
    @rule(one=names, other=names)
    def merging_and_parting_is_nothing(self, one: str, other: str) -> None:
        model = self.model
        if one in model.ids and other in model.ids and model.stands[one] != model.stands[other]:
            self.run(self._there_and_back(model.ids[model.stands[one]], model.ids[model.stands[other]]))

    async def _there_and_back(self, one: str, other: str) -> None:
        await self.town.done()
        before = await self.town.everything(one, other)
        try:
            done = await self.town.runtime.merger.merge(one, other, by="usr_1")
        except Conflict:
            return
        await self.town.runtime.merger.unmerge(str(done.merge_id), by="usr_1")
        await self.town.done()
        assert await self.town.everything(one, other) == before

    def _maybe_dying(self, task: Any, dies: int | None) -> None:
        _Loop.death.left = dies
        try:
            self.run(self._result(task))
        except (_Died, Conflict):
            pass
        finally:
            _Loop.death.left = None
            self.run(self.town.later())

    async def _result(self, task: Any) -> None:
        await task

    def _today(self, name: str) -> str:
        profile_id = self.model.ids[name]
        found: dict[str, str] = self.run(self.town.runtime.profiles.current([profile_id]))
        return found[profile_id]

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        self.run(self._agree())

    async def _agree(self) -> None:
        await self.town.done()
        model, people = self.model, self.model.people()
        alive = {row["_id"]: row for row in await self.town.rows("profiles", merged_into=None)}
        assert set(alive) == {model.ids[head] for head in people}
        for room in ROOMS:
            orphans = [row for row in await self.town.rows(room) if row["profile_id"] not in alive]
            assert not orphans, (room, orphans)
        for head, members in people.items():
            await self._person(alive[model.ids[head]], members)
        assert len(await self.town.rows("consents")) == model.acts
        live = await self.town.rows("enrolments", state={"$in": ["waiting", "held"]})
        assert len({row["profile_id"] for row in live}) == len(live)

    async def _person(self, row: dict[str, Any], members: set[str]) -> None:
        model, profile_id = self.model, row["_id"]
        ids = {await self.town.identity(name): name for name in members}
        held = {each["key"]: each["_id"] for each in await self.town.rows("identities", profile_id=profile_id)}
        proofs = {key for name in members for key in model.proofs.get(name, ())}
        assert set(held) == {f"{self.town.channel(name)}:{name}" for name in members} | proofs
        assert set(ids) <= set(held.values()) and model.numbers(members) <= 1
        assert {f"email:{each['value']}" for each in row["emails"]} == {key for key in proofs if key[0] == "e"}
        lines = await self.town.rows("messages", profile_id=profile_id, direction="in")
        assert len(lines) == sum(model.lines[name] for name in members)
        amounts = [minor for name in members for minor in model.bought.get(name, [])]
        assert row["orders"]["count"] == len(amounts)
        assert row["orders"]["revenue"] == ({"EUR": sum(amounts)} if amounts else {})
        told = {each["address_key"]: each["state"] for each in row["consents"]}
        said = {name: "granted" if model.said[name] else "denied" for name in members if name in model.said}
        assert told == {f"{self.town.channel(name)}:{name}": state for name, state in said.items()}
        for talk in await self.town.rows("conversations", profile_id=profile_id):
            assert talk["identity_id"] in ids


@pytest.fixture
def loop_of_its_own(mongo_url: str, redis_url: str, shaped_database: str) -> Iterator[None]:
    town: AbstractAsyncContextManager[Town] = opened(mongo_url, redis_url, shaped_database)
    with asyncio.Runner() as runner:
        _Loop.runner, _Loop.town, _Loop.death = runner, runner.run(town.__aenter__()), _Death()
        _Loop.death.install()
        try:
            yield
        finally:
            _Loop.death.remove()
            runner.run(town.__aexit__(None, None, None))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_any_order_of_merging_and_parting_agrees_with_plain_sets(loop_of_its_own: None) -> None:
    run_state_machine_as_test(Merging, settings=RULES)
