"""Delivery: due sends are claimed, pass the gates, are handed over and recorded. Each account is served on its own.

A slow or silent provider holds up nobody but itself: accounts are served side by side, and while one is slow the
others are looked at again. Within an account agents go first, then order notices, then mailings.
"""

from __future__ import annotations

import asyncio
import logging
import time

from base.clock import Clock
from base.errors import NotFound
from base.mongo import Document
from channels.adapter import Adapter
from channels.registry import Registry
from channels.store import ChannelStore
from inbox.aftermath import Aftermath
from inbox.handover import Claim, Handover
from inbox.recovery import Recovery
from inbox.results import ended
from inbox.sources import Answer, Defer, Prepared, SendSource, Skip
from inbox.store import SendStore
from inbox.store.sends import Lane

log = logging.getLogger(__name__)

#: Rows of one claim, and how many times as many for an account that takes them within a second: a claim is paid for
#: once, however many rows it has.
BATCH, MOST_TIMES, QUICK_S = 200, 2.5, 1.0
#: An account that is served for so long gets the rest in its next turn.
TURN_S = 10.0
#: How often other accounts are looked at while one is being served.
LOOK_S = 0.25
#: An account that takes longer holds up nobody: others are then served again beside it.
SLOW_S = 1.0

__all__ = ["Answer", "Defer", "Delivery", "Prepared", "SendSource", "Skip"]


class Delivery:
    """Drains the outbox."""

    def __init__(
        self, sends: SendStore, channels: ChannelStore, registry: Registry, handover: Handover, aftermath: Aftermath,
        recovery: Recovery, sources: dict[str, SendSource], clock: Clock, *, batch: int = BATCH,
    ) -> None:  # fmt: skip
        """`sources` is shared with `handover` and `aftermath`; see `register`."""
        self._sends = sends
        self._channels = channels
        self._registry = registry
        self._handover = handover
        self._aftermath = aftermath
        self._recovery = recovery
        self._sources = sources
        self._clock = clock
        self._batch = batch
        #: Lane → rows of its next claim, where that is not the usual number.
        self._sizes: dict[str, int] = {}
        self._serving: dict[str, asyncio.Task[int]] = {}

    def register(self, kind: str, source: SendSource) -> None:
        """From now on sends with this `source.kind` are prepared and settled by `source`."""
        self._sources[kind] = source

    async def deliver(self, limit: int) -> int:
        """Serve every account that has something due, up to `limit` sends each; how many were handled.

        Cancelling the call does not cancel what is being handed over: that goes on in the background and ends by
        itself (`close` waits for it).
        """
        handled = await self._recovery.recover(limit)
        mine: dict[asyncio.Task[int], tuple[Lane, float]] = {}
        served: set[str] = set()
        faults: list[BaseException] = []
        while True:
            slow = any(time.monotonic() - begun > SLOW_S for _, begun in mine.values())
            for lane in await self._sends.due_lanes(self._clock()):
                if lane.name not in self._serving and (slow or lane.name not in served):
                    mine[self._started(lane, limit)] = (lane, time.monotonic())
                    served.add(lane.name)
            if not mine:
                break
            done, _ = await asyncio.wait(mine, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                lane, _ = mine.pop(task)
                served -= set(lane.less_urgent)  # they may have let this one go first
                if task.cancelled():
                    faults.append(asyncio.CancelledError())
                elif (fault := task.exception()) is not None:
                    faults.append(fault)
                else:
                    handled += task.result()
        if faults:
            raise faults[0]
        return handled

    async def close(self, timeout_s: float = 20.0) -> None:
        """Wait for what is being handed over; after `timeout_s` it is left to the next worker."""
        if self._serving:
            await asyncio.wait(list(self._serving.values()), timeout=timeout_s)

    def _started(self, lane: Lane, limit: int) -> asyncio.Task[int]:
        task = asyncio.create_task(self._serve(lane, limit), name=f"deliver {lane.name}")
        self._serving[lane.name] = task
        task.add_done_callback(lambda _: self._serving.pop(lane.name, None))
        return task

    async def _serve(self, lane: Lane, limit: int) -> int:
        """Hand over what one account may send now, of one urgency."""
        opened = await self._channels.both(lane.channel_id)
        adapter = self._adapter(opened[0].provider) if opened else None
        if opened is None or adapter is None or opened[0].state == "disconnected":
            return await self._abandon(lane, limit)
        if opened[0].state == "paused" and lane.urgency > 0:
            return 0  # mailings and notices simply stay due; for a reply the gate lets the agent see why it waits
        handled, tokens, sent, error = 0, 0, 0, None
        drawing: asyncio.Task[None] | None = None
        end = time.monotonic() + TURN_S
        try:
            while handled < limit and time.monotonic() < end:
                size = self._sizes.get(lane.name, self._batch)
                wanted = await self._turn(lane, min(size, limit - handled))
                if tokens < wanted:
                    rate = opened[0].rate_per_s or adapter.capabilities.rate_per_s
                    tokens += await self._channels.reserve(lane.channel_id, wanted - tokens, rate)
                rows = await self._claimed(lane, min(tokens, wanted))
                if not rows:
                    break
                claim = Claim(rows, opened[0], opened[1], adapter, self._sends.lease_s, time.monotonic())
                try:
                    await self._handover.carry(claim)
                finally:
                    sent, error = sent + claim.accepted, claim.last_error or error
                self._sizes[lane.name] = next_size(self._batch, size, len(rows), time.monotonic() - claim.begun)
                drawing = await self._drawing(claim, drawing)
                handled += len(rows)
                tokens -= claim.calls
                if claim.halted:
                    break
        finally:
            if sent or error:
                await self._note(lane.channel_id, sent, error)
            if drawing is not None:
                await drawing
        return handled

    async def _drawing(self, claim: Claim, before: asyncio.Task[None] | None) -> asyncio.Task[None]:
        """Draw what follows from a claim while the next one is on its way, one claim after the other."""
        if before is not None:
            await before
        return asyncio.create_task(self._drawn(claim), name=f"draw {claim.channel.id}")

    async def _drawn(self, claim: Claim) -> None:
        await self._aftermath.draw(claim.results)
        await self._aftermath.note_waiting(claim.waiting)

    async def _turn(self, lane: Lane, most: int) -> int:
        """How many sends of the lane may be claimed next: none while something more urgent of the account is due."""
        now = self._clock()
        if lane.urgency and await self._sends.count_due(lane.more_urgent, now, 1):
            return 0
        return await self._sends.count_due([lane.name], now, most)

    async def _claimed(self, lane: Lane, limit: int) -> list[Document]:
        return await self._sends.claim(lane.name, self._clock(), limit) if limit > 0 else []

    async def _abandon(self, lane: Lane, limit: int) -> int:
        """The account is gone: what was to be sent on it ends, so that runs go on and agents see it."""
        reason = {"code": "channel_gone", "sentence": "The channel is no longer connected.", "detail": None}
        handled = 0
        while handled < limit:
            rows = await self._claimed(lane, min(self._batch, limit - handled))
            if not rows:
                break
            now = self._clock()
            await self._sends.settle([ended(row, "skipped", reason, now) for row in rows])
            await self._aftermath.draw([row["_id"] for row in rows])
            handled += len(rows)
        return handled

    async def _note(self, channel_id: str, sent: int, error: str | None) -> None:
        fault = {"at": self._clock(), "code": "send_failed", "text": error[:500]} if error else None
        await self._channels.note(channel_id, sent=sent, error=fault)

    def _adapter(self, provider: str) -> Adapter | None:
        try:
            return self._registry.get(provider)
        except NotFound:
            return None


def next_size(usual: int, size: int, rows: int, took_s: float) -> int:
    """Rows of an account's next claim, after one of `rows` where `size` might have been: more when it was a large one
    and over at once, the usual number after a slow one."""
    if took_s > QUICK_S:
        return usual
    return min(2 * size, int(usual * MOST_TIMES)) if rows >= usual else size
