"""Hand-overs whose worker died: nobody wrote down what the provider said. Judged by proof, by class, by the channel.

A receipt that came back proves that it went. Where the provider honours our key it goes again. Where it echoes our key
one is waited for. Then a marketing send is `unknown` and not repeated; an order notice or a reply goes again. Who wrote
a step may want it the other way round (`if_unknown`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

from base.clock import Clock
from base.errors import NotFound
from base.mongo import Document, UpdateOne
from channels.adapter import Adapter
from channels.failures import Failure, SendFailed
from channels.registry import Registry
from channels.store import ChannelStore
from inbox import policy
from inbox.aftermath import Aftermath
from inbox.handover import attempt_of, reason_of
from inbox.receipts import Receipts
from inbox.results import accepted, ended, repeated, waiting_for_echo
from inbox.store import SendStore


class Recovery:
    """Finds what dead workers left behind."""

    def __init__(
        self, sends: SendStore, channels: ChannelStore, registry: Registry, receipts: Receipts, aftermath: Aftermath,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._sends = sends
        self._channels = channels
        self._registry = registry
        self._receipts = receipts
        self._aftermath = aftermath
        self._clock = clock
        self._rng = random.Random()

    async def recover(self, limit: int) -> int:
        """Judge up to `limit` broken hand-overs and finish half-drawn consequences; how many."""
        now = self._clock()
        rows = await self._sends.claim_broken(now, limit)
        if rows:
            heard = await self._receipts.heard_of(rows)
            adapters = await self._adapters(rows)
            changes, results = [], []
            for row in rows:
                if row["_id"] in heard:
                    changes.append(accepted(row, heard[row["_id"]], now))
                    results.append(row["_id"])
                else:
                    change, is_result = self._judged(row, adapters.get(row["channel_id"]), now)
                    changes.append(change)
                    results += [row["_id"]] if is_result else []
            await self._sends.settle(changes)
            await self._aftermath.draw(results)
        return len(rows) + await self._aftermath.draw_abandoned(limit)

    def _judged(self, row: Document, adapter: Adapter | None, now: datetime) -> tuple[UpdateOne, bool]:
        words = "The program stopped while it handed the message over."
        failed = SendFailed(Failure.UNCERTAIN, words)
        step = policy.after(attempt_of(row, failed, adapter), now, self._rng)
        if isinstance(step, policy.Retry):
            return repeated(row, now), False
        if isinstance(step, policy.AwaitEcho):
            return waiting_for_echo(row, step.until, now), False
        return ended(row, step.state, reason_of(failed), now), True

    async def _adapters(self, rows: Sequence[Document]) -> dict[str, Adapter]:
        found: dict[str, Adapter] = {}
        for channel_id in {row["channel_id"] for row in rows}:
            channel = await self._channels.get(channel_id)
            if channel is not None:
                try:
                    found[channel_id] = self._registry.get(channel.provider)
                except NotFound:
                    continue
        return found
