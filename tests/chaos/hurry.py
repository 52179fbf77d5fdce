"""Times that prove nothing pass quickly: what only waits to be tried again is due now.

Leases are left alone: that a dead or stopped worker's rows come free by themselves is what these tests are about.
"""

from __future__ import annotations

from typing import Any

from base.clock import now
from base.mongo import Database

#: States in which a send is over.
SETTLED = ["accepted", "delivered", "read", "failed", "skipped", "unknown"]
#: Nobody holds it.
FREE = {"lease": {"$not": {"$type": "string"}}}
#: A call whose worker died is judged by how long ago it was made; older than any patience for an echo.
LONG_MS = 600_000


async def hurried(database: Database, *, echoes: bool = False) -> None:
    """Sends, calls and events that wait for another try, runs that were not told of the last one, accounts that rest.
    `echoes`: also calls of which a receipt may still tell, when it is known that there is none under way."""
    at = now()
    later: dict[str, Any] = {**FREE, "due_at": {"$gt": at}}
    due = {"$set": {"due_at": at}}
    await database.collection("sends").update_many({**later, "state": "deferred"}, due)
    await database.collection("webhook_calls").update_many({**later, "state": "planned"}, due)
    await database.collection("events").update_many({**later, "state": "pending"}, due)
    for kind, name, done in (("send", "sends", SETTLED), ("call", "webhook_calls", ["done", "failed", "cancelled"])):
        if not await database.collection(name).count_documents({"state": {"$nin": done}}, limit=1):
            waiting = {**later, "state": "waiting", "wait.kind": kind}  # the word that it is over was lost
            await database.collection("enrolments").update_many(waiting, due)
    await database.collection("channels").update_many({"rate.tokens": {"$lt": 0}}, {"$set": {"rate.tokens": 0.0}})
    if echoes:
        fields = ("handed_at", "first_handed_at")
        back = {name: {"$dateSubtract": {"startDate": f"${name}", "unit": "millisecond", "amount": LONG_MS}}
                for name in fields}  # fmt: skip
        waiting = {**later, "state": "handed", "awaiting_echo": {"$exists": True}}
        await database.collection("sends").update_many(waiting, [{"$set": {**back, "due_at": at}}])
