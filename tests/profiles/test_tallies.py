"""How many people a membership has: counted in lanes, so that two looks at once do not clash."""

import asyncio

from profiles.store.tallies import LANES, TallyStore, spread_tallies


async def test_the_lanes_of_a_count_are_summed_and_set_and_go_together(people):
    tallies = TallyStore(people.db)
    await people.db.in_transaction(lambda session: tallies.set({"seg_a": 5, "seg_b": 0}, session))
    for lane in range(LANES):
        await people.db.in_transaction(lambda session, lane=lane: tallies.shift([([], ["seg_a"])], session, lane))
    assert await tallies.of(["seg_a", "seg_b", "seg_c"]) == {"seg_a": 5 + LANES, "seg_b": 0}
    await people.db.in_transaction(lambda session: tallies.set({"seg_a": 1}, session))
    assert await tallies.of(["seg_a"]) == {"seg_a": 1}
    await tallies.forget(["seg_a"])
    await people.db.in_transaction(lambda session: tallies.shift([([], ["seg_a"])], session, 1))
    assert await tallies.of(["seg_a"]) == {}, "nobody keeps it any more"


async def test_two_transactions_count_at_once_and_neither_runs_twice(people):
    tallies, tries = TallyStore(people.db), []
    await people.db.in_transaction(lambda session: tallies.set({"seg_a": 0}, session))
    meet = asyncio.Barrier(2)

    async def look(session, lane):
        tries.append(lane)
        await tallies.shift([([], ["seg_a"])], session, lane)
        await asyncio.wait_for(meet.wait(), 10)  # both have written, neither has committed

    await asyncio.gather(*(people.db.in_transaction(lambda s, lane=lane: look(s, lane)) for lane in (0, 1)))
    assert sorted(tries) == [0, 1] and await tallies.of(["seg_a"]) == {"seg_a": 2}


async def test_counts_of_before_there_were_lanes_go_on(people):
    tallies = TallyStore(people.db)
    await people.db.collection("segment_tallies").insert_one({"_id": "seg_a", "members": 7})
    for _ in range(2):
        await spread_tallies(people.db)
    await people.db.in_transaction(lambda session: tallies.shift([([], ["seg_a"])], session, 1))
    assert await tallies.of(["seg_a"]) == {"seg_a": 8}
