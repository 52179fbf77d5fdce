"""Several events of one person become one: the first run to come opens a digest, later ones give it theirs and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from base.clock import Clock
from base.ids import unique_key
from base.mongo import Document
from campaigns.conditions import MISSING, fitting, look_up
from campaigns.models import DigestStep
from campaigns.run import DigestFact, Facts, RunState
from campaigns.store.digests import DigestStore
from campaigns.store.enrolments import EnrolmentStore, is_live
from campaigns.waiting import own_zone_of
from campaigns.wallclock import Duration

#: How often a digest is looked for again because others were quicker.
ROUNDS = 20
#: Characters of the properties of one event that a digest takes along.
PROPERTIES_MAX = 4_000


def visit_key(run: RunState) -> str:
    """Unique for ever: one place in one digest per run, step and visit."""
    return unique_key("digest", run.id, run.node, run.visit)


def pool_of(step: DigestStep, run: RunState) -> str:
    """Whose digests these are: of a person, a step and what `key` names."""
    value = look_up({"event": run.data.get("event", {}), "journey": run.data}, step.key) if step.key else MISSING
    return unique_key("digest", run.journey_id, run.node, run.profile_id, "" if value is MISSING else value)


class Digests:
    """Opens, joins and closes digests."""

    def __init__(self, store: DigestStore, runs: EnrolmentStore, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock

    async def of(self, run: RunState, step: DigestStep, facts: Facts) -> DigestFact:
        """What this run is to its digest. May be asked twice: it finds itself."""
        key, now = visit_key(run), self._clock()
        closes_at = _after(step.window, now, facts)
        for _ in range(ROUNDS):
            row = await self._store.of(key) or await self._found_place(run, step, key, closes_at)
            if row is None:
                continue
            if row["owner"] == key:
                return await self._as_owner(row, step, key, now)
            if row.get("closed_at") is not None or await self._stands(row["owner_run"], row["owner"]):
                if row["count"] >= step.max:  # full: it need not wait any longer, nor write down that it does
                    await self._runs.poke([({"_id": row["owner_run"]}, now)])
                return DigestFact("joined", row["closes_at"], row["count"], row["owner_run"])
            await self._store.take_over(row["_id"], row["owner"], key, run.id, max(closes_at, row["closes_at"]))
        return DigestFact("open", closes_at)

    async def _found_place(self, run: RunState, step: DigestStep, key: str, closes_at: datetime) -> Document | None:
        """Join the open one or open the next; None: look again, others were quicker."""
        pool = pool_of(step, run)
        last = await self._store.latest(pool)
        if last is not None and last.get("closed_at") is None and last["count"] < step.max:
            return await self._store.join(last["_id"], key, run.id, step.max)
        await self._store.open(pool, last["number"] + 1 if last else 0, key, run.id, closes_at)
        return None

    async def _as_owner(self, row: Document, step: DigestStep, key: str, now: datetime) -> DigestFact:
        over = row.get("closed_at") is not None or row["closes_at"] <= now or row["count"] >= step.max
        closed = await self._store.close(row["_id"], key, now) if over else None
        if closed is None:
            return DigestFact("open", row["closes_at"], row["count"])
        return DigestFact("closed", closed["closes_at"], closed["count"], events=await self._events(closed))

    async def _stands(self, run_id: str, key: str) -> bool:
        """Whether the owner still waits at this very visit."""
        row = (await self._runs.many([run_id])).get(run_id)
        return row is not None and is_live(row) and key == unique_key("digest", run_id, row["node"], row["visit"])

    async def _events(self, row: Document) -> list[dict[str, Any]]:
        """What began the runs that are in it, earliest first."""
        rows = await self._runs.many([item["run_id"] for item in row["items"]])
        views = [(run.get("data") or {}).get("event") for run in rows.values()]
        return in_order([view for view in views if view])


def in_order(views: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Views of events by when they happened, each once and cut to what fits. Pure."""
    by_id = {str(view.get("id")): view for view in views}
    found = sorted(by_id.values(), key=lambda view: (str(view.get("occurred_at")), str(view.get("id"))))
    return [
        {
            **{name: view.get(name) for name in ("id", "name", "occurred_at")},
            "properties": fitting(view.get("properties") or {}, PROPERTIES_MAX),
        }
        for view in found
    ]


def _after(window: Duration, now: datetime, facts: Facts) -> datetime:
    return window.after(now, own_zone_of(facts))
