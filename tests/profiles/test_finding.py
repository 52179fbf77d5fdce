"""A stretch of people asked in the database: as one by one in memory, and due before time changes the answer."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from base.mongo import Database
from profiles.membership.finding import Stretch
from profiles.segments import Facts, ListedEvents, matches, parse
from profiles.store.segments import MemberStore
from tests.profiles.test_outlook import happened, instants, people, rules, whens

BETWEEN = ("prf_", "prf_~")


@pytest.fixture(scope="module")
async def database(mongo_url: str, database_name: str) -> AsyncIterator[Database]:
    db = Database(mongo_url, database_name)
    yield db
    db.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.tuples(people, st.lists(happened, max_size=3)), min_size=1, max_size=5), st.lists(rules, min_size=2,
       max_size=6), whens)  # fmt: skip
async def test_the_database_answers_as_memory_does_and_knows_when_to_ask_again(
    database: Database, crowd: list[tuple[dict[str, Any], list[dict[str, Any]]]], asked: list[Any], now: datetime
) -> None:
    profiles, events = database.collection("profiles"), database.collection("events")
    for rows in (profiles, events):
        await rows.delete_many({})
    past: dict[str, list[dict[str, Any]]] = {}
    for number, (person, own) in enumerate(crowd):
        key = f"prf_{number}"
        off = {"profiling_off": True} if number == 4 else {}
        await profiles.insert_one(
            {"_id": key, "merged_into": None, "segments": ["seg_1"][: number % 2], **person, **off}
        )
        past[key] = [{**each, "profile_id": key} for each in own]
        if own:
            await events.insert_many([dict(each) for each in past[key]])
    members = MemberStore(database)
    for each in asked:
        rule, stretch = parse(each), Stretch(members, BETWEEN, now)
        there = {row["_id"] async for row in profiles.find(await stretch.filter(rule), {"_id": 1})}
        await profiles.update_many({}, {"$unset": {"appraise_at": ""}})
        for times, whom in await stretch.timely(rule):
            await members.due_by(BETWEEN, times, whom)
        async for row in profiles.find({}):
            if row.get("profiling_off"):
                continue

            def answer(at: datetime, row: dict[str, Any] = row, rule: Any = rule) -> bool:
                return matches(rule, Facts(row, ListedEvents(past[row["_id"]], at)), at)

            assert (row["_id"] in there) == answer(now), (each, row, past[row["_id"]])
            due = row.get("appraise_at")
            for at in instants(row, past[row["_id"]], now):
                if due is None or at < due:
                    assert answer(at) == answer(now), (each, row, past[row["_id"]], at, due)
