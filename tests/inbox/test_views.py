"""Saved views, and lists by what is known of people."""

from datetime import timedelta

import pytest

from base.errors import Conflict, NotFound
from inbox.view_filter import STATUSES, ConversationFilter, PersonFilter, ViewFilter, condition
from inbox.views import ViewInput
from tests.inbox.conftest import House

ANNA, BO = (f"usr_{'0' * 25}{n}" for n in "ab")
URGENT = ViewFilter(status=("open",), priority=("urgent",))


async def test_a_view_is_ones_own_or_everybodys(house: House) -> None:
    views = house.inbox.views
    own = await views.create(ViewInput(name=" Mine ", filter=URGENT), ANNA)
    shared = await views.create(ViewInput(name="Mine", filter=URGENT, shared=True), ANNA)
    assert (own.name, own.filter, own.owner_id, shared.owner_id) == ("Mine", URGENT, ANNA, None)
    await views.create(ViewInput(name="mine", filter=URGENT), BO)
    with pytest.raises(Conflict):
        await views.create(ViewInput(name="MINE", filter=URGENT), ANNA)
    assert [each.id for each in await views.seen_by(ANNA)] == sorted([own.id, shared.id])
    for wrong in (own.id, "viw_none", "viw_" + "0" * 26):
        with pytest.raises(NotFound):
            await views.get(wrong, BO)
    changed = await views.change(shared.id, BO, shared=False, name="Bo's", filter=ViewFilter(unread=True))
    assert (changed.owner_id, changed.filter) == (BO, ViewFilter(unread=True))
    with pytest.raises(NotFound):
        await views.get(shared.id, ANNA)


async def test_a_view_taken_away_is_put_back(house: House) -> None:
    views = house.inbox.views
    own = await views.create(ViewInput(name="Own", filter=URGENT), ANNA)
    await views.remove(own.id, ANNA)
    assert not await views.seen_by(ANNA)
    with pytest.raises(NotFound):
        await views.restore(own.id, BO)
    other = await views.create(ViewInput(name="own", filter=URGENT), ANNA)
    with pytest.raises(Conflict):
        await views.restore(own.id, ANNA)
    await views.change(other.id, ANNA, name="Other")
    assert (await views.restore(own.id, ANNA)).name == "Own"


async def test_lists_by_people_are_whole_and_bounded(house: House) -> None:
    channel = await house.channel()
    arrivals = [
        house.arrival(channel, f"p{n:03}", f"m{n}", at=house.clock() - timedelta(seconds=300 - n)) for n in range(230)
    ]
    await house.inbox.receiver.receive(arrivals)
    profiles = house.database.collection("profiles")
    rows = await house.inbox.conversations.raw({})
    vips = {row["_id"] for row in rows[::7]}
    await profiles.update_many(
        {"_id": {"$in": [row["profile_id"] for row in rows[::7]]}}, {"$set": {"tags": ["vip"], "stage": "customer"}}
    )
    wanted = ConversationFilter(ViewFilter(person=PersonFilter(tag=("vip",), stage=("customer",))))
    found: list[str] = []
    cursor, trips = None, 0
    while True:
        page = await house.inbox.finding.page(wanted, limit=5, cursor=cursor)
        assert len(page.data) <= 5
        found += [each.id for each in page.data]
        cursor, trips = page.next_cursor, trips + 1
        if cursor is None:
            break
    assert len(found) == len(set(found)) and set(found) == vips and trips <= 8
    some = (await house.inbox.conversations.page(ConversationFilter(), limit=50)).data
    assert {each.id for each in await house.inbox.finding.belonging(some, wanted)} == vips & {each.id for each in some}


async def test_no_list_reads_more_than_it_shows(house: House) -> None:
    """Chatwoot 9300: long lists answered 500. Here each begins in its index and ends with its page."""
    rows = house.database.collection("conversations")
    now = house.clock()
    await rows.insert_many(
        {
            "_id": f"cnv_{n:026}", "status": STATUSES[n % 5], "channel_id": f"chn_{n % 4}", "identity_id": f"idn_{n}",
            "assignee_id": (None, ANNA, BO)[n % 3], "priority": "none", "labels": ["vip"] if n % 9 == 0 else [],
            "last_activity_at": now - timedelta(seconds=n), "unread": n % 2, "profile_id": f"prf_{n}", "tokens": [],
        }
        for n in range(20_000)
    )  # fmt: skip

    async def keys(view: ViewFilter) -> int:
        find = {"find": "conversations", "filter": condition(ConversationFilter(view, ANNA)), "limit": 51,
                "sort": {"last_activity_at": -1, "_id": -1}}  # fmt: skip
        plan = await house.database.handle.command({"explain": find, "verbosity": "executionStats"})
        winning = str(plan["queryPlanner"]["winningPlan"])
        assert "COLLSCAN" not in winning and "'SORT'" not in winning, winning
        return int(plan["executionStats"]["totalKeysExamined"])

    for view in (
        ViewFilter(), ViewFilter(status=("open",)), ViewFilter(status=("open", "pending")),
        ViewFilter(status=("open",), assignee=("me",)), ViewFilter(assignee=("none",), status=("open", "snoozed")),
    ):  # fmt: skip
        assert await keys(view) <= 120, view
    assert await keys(ViewFilter(status=("open",), unread=True)) <= 250
