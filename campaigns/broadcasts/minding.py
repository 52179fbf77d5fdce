"""What happens to broadcasts by time alone: they begin, are held and let go, find their winner, stop, and end.

Every step is a condition and one write, so any number of workers may look after the same broadcast at once, and one
that dies leaves nothing half-done that the next look would not finish.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from base.clock import Clock
from base.feed import Feed, Notice
from base.ids import unique_key
from base.mongo import UNAVAILABLE, Document
from campaigns.bells import Ringer
from campaigns.broadcasts.breaker import noted, trips
from campaigns.broadcasts.figures import counts_of, results_of
from campaigns.broadcasts.heads import begins_at, broadcast_of
from campaigns.broadcasts.source import PAUSED, PAUSED_SENTENCE, UNDECIDED
from campaigns.broadcasts.store import BroadcastStore, WaveStore
from campaigns.broadcasts.winner import decide, figures_of
from campaigns.policies.models import SendingPolicies
from campaigns.tasks import Tasks
from inbox.store import MailingStore

log = logging.getLogger(__name__)

BREAKER = "breaker"
#: `source.code` of the task that tells of it.
STOPPED = "broadcast_stopped"
_CANCELLED: Document = {
    "code": "cancelled", "sentence": "The broadcast was cancelled before it came to this person.", "detail": None,
}  # fmt: skip
_OVERDUE: Document = {
    "code": "overdue", "sentence": "Its time came while the broadcast was paused, and late messages are not wanted.",
    "detail": None,
}  # fmt: skip


class Minder:
    """Looks after all broadcasts that have something to come."""

    def __init__(
        self, store: BroadcastStore, waves: WaveStore, mailings: MailingStore, tasks: Tasks, feed: Feed,
        doorbell: Ringer, clock: Clock, policies: Callable[[], Awaitable[SendingPolicies]],
    ) -> None:  # fmt: skip
        """`policies` tells the rules of the house that hold now."""
        self._store = store
        self._waves = waves
        self._mailings = mailings
        self._tasks = tasks
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._policies = policies

    async def look(self) -> int:
        """One look at each; how many there were. For the clockwork."""
        heads = await self._store.to_look_after()
        for head in heads:
            try:
                await self.mind(head)
            except UNAVAILABLE:
                raise
            except Exception:  # one broken broadcast must not stop the others
                log.exception("a broadcast could not be looked after", extra={"broadcast": head["_id"]})
        return len(heads)

    async def mind(self, head: Document) -> None:
        """Whatever is due for this one."""
        if head["status"] == "scheduled" and begins_at(head) <= self._clock():
            await self.begin(head)
            return
        if head["moving"] is not None:
            await self.move(head)
        elif head["status"] == "running":
            await self._gather_strays(head)
        counts = await self._counted(head) if head["touched"] else head["counts"]
        if head["status"] == "running" and counts:
            await self._run_on(head, counts)
        elif head["status"] in ("draft", "done", "cancelled"):
            await self._store.rest(head)

    async def _counted(self, head: Document) -> Document:
        begun = time.monotonic()
        counts = counts_of(await self._mailings.tally(head["_id"]))
        took_ms = int((time.monotonic() - begun) * 1000)
        rule = (await self._policies()).breaker
        head["ring"] = noted(head["ring"], counts["lost"], counts["ended"], self._clock(), rule)
        await self._store.counted(head, counts, head["ring"], took_ms)
        await self._tell(head)
        return counts

    async def begin(self, head: Document) -> Document | None:
        """Plan the first wave. The wave comes first: a broadcast that runs has one."""
        await self._waves.add(head["_id"], 1, "first")
        now = self._clock()
        ring = [{"at": now, "failed": 0, "ended": 0}]
        fields = {"status": "running", "started_at": now, "waves": max(1, head["waves"]), "active": True, "ring": ring}
        begun = await self._store.change(head, fields)
        if begun is not None:
            await self._tell(begun)
        return begun

    # -- what a change of status asks for ----------------------------------------------------------------------

    async def move(self, head: Document) -> None:
        """Hold, let go or end those who wait, all at once; until it is done each is asked for itself anyway."""
        now, moving = self._clock(), head["moving"]
        if moving["do"] == "hold":
            await self._mailings.hold(head["_id"], PAUSED, PAUSED_SENTENCE, now)
        elif moving["do"] == "end":
            await self._mailings.end_open(head["_id"], _CANCELLED, now)
            if await self._mailings.is_open(head["_id"]) or not await self._waves.all_done(head["_id"]):
                await self._store.touch([head["_id"]])
                return  # some are under way, or a stretch is being written: look again
        else:
            await self._let_go(head["_id"], moving["overdue"], now)
        await self._store.moved(head)
        await self._store.touch([head["_id"]])

    async def _let_go(self, broadcast_id: str, overdue: str, now: datetime) -> None:
        if overdue == "skip":
            await self._mailings.end_overdue(broadcast_id, PAUSED, _OVERDUE, now)
        await self._mailings.release(broadcast_id, PAUSED, now, next_day=overdue == "next_day")
        await self._doorbell.ring("deliver")

    async def _gather_strays(self, head: Document) -> None:
        """Somebody who had not heard of the resume held them; or the worker that let them go died on the way."""
        if await self._mailings.waits_for(head["_id"], PAUSED):
            await self._let_go(head["_id"], (head["release"] or {}).get("overdue", "send_now"), self._clock())
        if head["winner"] is not None and await self._mailings.waits_for(head["_id"], UNDECIDED):
            await self._mailings.release(head["_id"], UNDECIDED, self._clock())
            await self._doorbell.ring("deliver")

    # -- running -----------------------------------------------------------------------------------------------

    async def _run_on(self, head: Document, counts: Document) -> None:
        rule = (await self._policies()).breaker
        tripped = trips(head["ring"], counts["lost"], counts["ended"], rule)
        if tripped is not None:
            await self._stop(head, *tripped, rule.minutes)
            return
        await self._find_winner(head, counts)
        await self._finish(head)

    async def _stop(self, head: Document, lost: int, ended: int, minutes: int) -> None:
        """Too much goes wrong: nobody is lost, somebody is told."""
        now = self._clock()
        sentence = f"{lost} of {ended} messages failed within {minutes} minutes."
        figures = {"failed": lost, "ended": ended, "minutes": minutes}
        fields = {
            "status": "paused", "paused_at": now, "paused_by": BREAKER, "paused_because": sentence,
            "paused_figures": figures, "moving": {"do": "hold", "at": now},
        }  # fmt: skip
        stopped = await self._store.change(head, fields)
        if stopped is None:
            return
        await self._tasks.create_once(
            {
                "key": unique_key("breaker", head["_id"], stopped["rev"]),
                "text": f"The broadcast “{head['name']}” has stopped: {sentence} Look at the reasons, then resume it.",
                "assignee_id": None, "due_at": now, "profile_id": None, "conversation_id": None, "order_id": None,
                "source": {"kind": "broadcast", "id": head["_id"], "code": STOPPED,
                           "params": {"name": head["name"], **figures}},
            }
        )  # fmt: skip
        await self._tell(stopped)

    async def _find_winner(self, head: Document, counts: Document) -> None:
        trial = broadcast_of(head).ab
        if trial is None or not trial.automatic or head["winner"] is not None or head["decide_at"] is None:
            return
        if self._clock() < head["decide_at"]:
            return
        results = results_of(trial, counts)
        found = decide(trial, results)
        winner = {
            "arm": found.arm, "why": found.why, "certain": found.certain, "sentence": found.sentence,
            "at": self._clock(), "by": None, "figures": figures_of(results),
        }  # fmt: skip
        decided = await self._store.change(head, {"winner": winner})
        if decided is not None:
            await self._mailings.release(head["_id"], UNDECIDED, self._clock())
            await self._doorbell.ring("deliver")
            await self._tell(decided)

    async def _finish(self, head: Document) -> None:
        """Over when all are planned and nobody waits. Asked in this order: a wave puts people into the ledger before
        it is done."""
        if not await self._waves.all_done(head["_id"]) or await self._mailings.is_open(head["_id"]):
            return
        done = await self._store.change(head, {"status": "done", "ended_at": self._clock()})
        if done is not None:
            await self._tell(done)

    async def _tell(self, head: Document) -> None:
        await self._feed.append([Notice("broadcast.updated", {"broadcast_id": head["_id"]})])
