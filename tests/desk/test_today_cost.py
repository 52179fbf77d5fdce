"""However many people, conversations, tasks, orders and failed messages there are, Today reads a bounded part."""

import os
import sys
import time
from datetime import timedelta

from base.clock import now
from base.ids import new_id
from campaigns.stream.reading import FAILED, FOLLOW_UPS, ORDERS, PAIRS, PEOPLE, QUEUE, TALKS, TASKS
from inbox.routing.models import TeamInput

#: Rows of each kind; 50,000 were measured on 2026-11-29 (docs/decisions/0051).
SIZE = int(os.environ.get("RAPPORT_TODAY_ROWS", "5000"))
#: Index entries of all sources together: each source's bound, six statuses of orders, and what hangs on the rows.
KEYS_MAX = 2 * (3 * TALKS + QUEUE + 2 * TASKS + FOLLOW_UPS + 6 * ORDERS + FAILED + 2 * PEOPLE + PAIRS)


async def insert(runtime, name, rows):
    for start in range(0, len(rows), 4000):
        await runtime.db.handle[name].insert_many(rows[start : start + 4000], ordered=False)


def talk(number, at, **more):
    return {
        "_id": new_id("cnv"), "profile_id": f"prf_{number:026}", "identity_id": f"idn_{number:026}",
        "channel_id": "chn_" + "0" * 26, "provider": "generic", "status": "open", "open": True, "group_id": None,
        "address": {"channel_id": "chn_" + "0" * 26, "external_id": str(number)}, "waiting_since": at,
        "last_activity_at": at, "created_at": at, "updated_at": at, "rev": 1, "seq": 1, "priority_rank": 0, **more,
    }  # fmt: skip


async def crowd(runtime, me):
    """`SIZE` of everything, most of it somebody else's, some of it mine or nobody's."""
    at, other = now() - timedelta(days=2), "usr_" + "9" * 26

    def owner(number):
        return me if number % 100 == 0 else None if number % 100 == 1 else other

    numbers = range(SIZE)
    people = [{
        "_id": f"prf_{n:026}", "name": f"Person {n}", "rev": 1, "created_at": at, "updated_at": at, "merged_into": None,
        "owner_id": owner(n), "score": 60, "stage": "new",
        **({"next_follow_up": {"id": new_id("fup"), "at": at, "text": "x", "assignee_id": owner(n)}} if n % 2 else {}),
    } for n in numbers]  # fmt: skip
    await insert(runtime, "profiles", people)
    watched = [{
        "_id": f"prf_{n:026}", "owner_id": owner(n), "score": 60, "hot": True, "hot_since": at, "ladder": "owned",
        "contact_at": at - timedelta(days=40), "idle_at": at - timedelta(days=10),
    } for n in numbers]  # fmt: skip
    await insert(runtime, "stream_people", watched)
    await insert(runtime, "conversations", [talk(n, at, assignee_id=owner(n)) for n in numbers])
    await insert(runtime, "tasks", [{
        "_id": new_id("tsk"), "state": "open", "rev": 1, "text": "x", "assignee_id": owner(n), "created_at": at,
        "updated_at": at, "due_at": at if n % 2 else None, "source": {},
    } for n in numbers])  # fmt: skip
    await insert(runtime, "orders", [{
        "_id": new_id("ord"), "external_id": str(n), "source": "api", "profile_id": f"prf_{n:026}",
        "identity_id": f"idn_{n:026}", "status": ("pending", "fulfilled", "delivered")[n % 3],
        "placed_at": at - timedelta(days=20), "created_at": at, "updated_at": at,
        "status_history": [{"status": ("pending", "fulfilled", "delivered")[n % 3], "at": at - timedelta(days=19),
                            "recorded_at": at}],
    } for n in numbers])  # fmt: skip
    await insert(runtime, "sends", [{
        "_id": new_id("snd"), "send_key": f"cost-{n}", "class": "service", "source": {"kind": "reply", "id": None},
        "profile_id": f"prf_{n:026}", "identity_id": f"idn_{n:026}", "channel_id": "chn_" + "0" * 26, "content": {},
        "state": "failed", "standing_at": at, "planned_at": at, "updated_at": at,
    } for n in numbers])  # fmt: skip


async def test_today_reads_a_bounded_part_of_everything(desk):
    runtime, ada = desk.runtime, await desk.person("agent", name="Cora Cost")
    mine = [{"user_id": ada.user_id}]
    await runtime.teams.create(TeamInput.model_validate({"name": "Cost", "members": mine}))
    await crowd(runtime, ada.user_id)
    handle = runtime.db.handle
    await ada.page("/today")
    await handle.command("profile", 2)
    try:
        began = time.perf_counter()
        page = await ada.page("/today")
        took_ms = (time.perf_counter() - began) * 1000
    finally:
        await handle.command("profile", 0)
    assert page.count('data-testid="stream-row"') == 40
    read = await handle["system.profile"].find({"op": {"$in": ["query", "command", "getmore"]}}).to_list(None)
    by_room = {}
    for each in read:
        room = each["ns"].partition(".")[2]
        by_room[room] = by_room.get(room, 0) + each.get("keysExamined", 0)
        assert each.get("planSummary") != "COLLSCAN" or each.get("docsExamined", 0) < 100, each
    sys.stderr.write(f"{SIZE} rows of each: {took_ms:.0f} ms, {sum(by_room.values())} keys: {by_room}\n")
    assert sum(by_room.values()) <= KEYS_MAX, by_room
    await handle.drop_collection("system.profile")
