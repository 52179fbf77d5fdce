"""What steps have left behind goes once no run needs it: settled calls, closed digests, places in lines.

Never by its age alone: a run that is held for months still finds what its step has led to, and does it no second time.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from base.clock import Clock
from campaigns.digests import visit_key as digest_key
from campaigns.store import CallStore, DigestStore, EnrolmentStore, TurnStore
from campaigns.store.enrolments import is_live, run_of

#: For so long everything is kept, for who wants to look.
KEPT = timedelta(days=30)
BATCH = 500


class Tidying:
    """A chore, safe to be done by several at once."""

    def __init__(
        self, calls: CallStore, digests: DigestStore, turns: TurnStore, runs: EnrolmentStore, clock: Clock
    ) -> None:
        self._calls = calls
        self._digests = digests
        self._turns = turns
        self._runs = runs
        self._clock = clock

    async def tidy(self) -> int:
        """Let go of what nobody needs; how many rows."""
        before = self._clock() - KEPT
        return await self._turns.forget(before) + await self._old_calls(before) + await self._old_digests(before)

    async def _old_calls(self, before: datetime) -> int:
        gone, after = 0, ""
        while rows := await self._calls.settled_before(before, after, BATCH):
            after = rows[-1]["_id"]
            runs = await self._runs.many([row["enrolment_id"] for row in rows if "enrolment_id" in row])
            here = {run["_id"]: (run["node"], run["visit"]) for run in runs.values() if not _over(run)}
            gone += await self._calls.remove(
                [row["_id"] for row in rows if here.get(row.get("enrolment_id")) != (row.get("node"), row.get("visit"))]
            )
        return gone

    async def _old_digests(self, before: datetime) -> int:
        gone, after = 0, ""
        while rows := await self._digests.closed_before(before, after, BATCH):
            after = rows[-1]["_id"]
            runs = await self._runs.many([item["run_id"] for row in rows for item in row["items"]])
            needed = {digest_key(run_of(run)) for run in runs.values() if not _over(run)}
            gone += await self._digests.remove(
                [row["_id"] for row in rows if needed.isdisjoint(item["key"] for item in row["items"])]
            )
        return gone


def _over(run: dict[str, object]) -> bool:
    """A run that was set aside may be tried again."""
    return not is_live(run) and run["state"] != "dead"
