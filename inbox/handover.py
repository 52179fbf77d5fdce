"""One claim of sends through the gates to the provider, and what the provider said written down.

`handed` is written before the call and the result after it, both only while the lease is ours. So whatever dies when,
a row says how far it had come: `claimed` has not been called, `handed` may have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime

from base.clock import Clock
from base.mongo import UNAVAILABLE, Document, UpdateOne
from channels.adapter import Adapter
from channels.capabilities import Idempotency
from channels.failures import CONSEQUENCES, Failure, SendFailed
from channels.store import ChannelStore
from channels.vocabulary import SendReceipt
from inbox import policy
from inbox.claim import Claim, Ready
from inbox.clearance import Clearance
from inbox.enclosures import Enclosures
from inbox.results import accepted, deferred, ended, late_acceptance, released, waiting_for_echo
from inbox.store import SendStore

log = logging.getLogger(__name__)

#: Calls of a provider under way at once for one account.
IN_FLIGHT = 50
#: A call that takes longer is given up; what became of it is then uncertain.
CALL_TIMEOUT_S = 60.0
#: How long the answer of a provider is held for a store that is away.
RECORD_PATIENCE_S = 60.0


Result = SendReceipt | SendFailed | None


class Handover:
    """Carries claims out. Has no state of its own besides counters of faults per account."""

    def __init__(
        self, clearance: Clearance, sends: SendStore, channels: ChannelStore, enclosures: Enclosures, clock: Clock, *,
        in_flight: int = IN_FLIGHT, call_timeout_s: float = CALL_TIMEOUT_S, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._clearance = clearance
        self._sends = sends
        self._channels = channels
        self._enclosures = enclosures
        self._clock = clock
        self._in_flight = in_flight
        self._call_timeout_s = call_timeout_s
        self._rng = rng or random.Random()
        self._faults: dict[str, int] = {}

    async def carry(self, claim: Claim) -> None:
        """Take every row of the claim to a result, or back. Results are listed in the claim."""
        async with self._kept_alive(claim):
            await self._drive(claim, deque(await self._clearance.cleared(claim)))

    # -- the lease ---------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _kept_alive(self, claim: Claim) -> AsyncIterator[None]:
        beating = asyncio.create_task(self._beat(claim))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.wait([beating])

    async def _beat(self, claim: Claim) -> None:
        ids = [row["_id"] for row in claim.rows]
        while True:
            await asyncio.sleep(claim.lease_s / 3)
            begun = time.monotonic()
            try:
                if await self._sends.renew(ids, claim.lease):
                    claim.alive_until = begun + claim.lease_s
            except Exception as error:  # the next beat may succeed; if none does, the lease simply ends
                log.warning("lease not renewed", extra={"error": type(error).__name__})

    # -- the calls ---------------------------------------------------------------------------------------------

    async def _drive(self, claim: Claim, queue: deque[Ready]) -> None:
        """Keep calls under way until the queue is empty. When our store fails, what is under way is still recorded."""
        running: dict[asyncio.Task[Result], Ready] = {}
        fault: Exception | None = None
        try:
            while queue or running:
                try:
                    await self._begin(claim, queue, running)
                except UNAVAILABLE as error:
                    fault = error
                    queue.clear()  # still claimed: due again when the lease ends
                if running:
                    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    await self._record(claim, [(running.pop(task), task.result()) for task in done])
        finally:
            for task in running:
                task.cancel()
        if fault is not None:
            raise fault

    async def _begin(self, claim: Claim, queue: deque[Ready], running: dict[asyncio.Task[Result], Ready]) -> None:
        if queue and (claim.halted or not claim.ours() or not claim.fresh()):
            rest = [each.row for each in queue]
            queue.clear()
            await self._sends.settle([released(row, self._clock(), claim.halted) for row in rest])
            return
        free = self._in_flight - len(running)
        if not queue or free < min(self._in_flight // 4 + 1, len(queue)):
            return
        chunk = [queue.popleft() for _ in range(min(free, len(queue)))]
        for each in await self._handed(claim, chunk):
            claim.calls += 1
            running[asyncio.create_task(self._call(claim, each))] = each

    async def _handed(self, claim: Claim, chunk: Sequence[Ready]) -> list[Ready]:
        """Write `handed`, then look once more whether somebody said no: nothing lies between this look and the call."""
        now = self._clock()
        ours = await self._sends.hand_over([each.row for each in chunk], now)
        chunk = [each for each in chunk if each.row["_id"] in ours]
        for each in chunk:
            row = each.row
            row |= {"tries": row["tries"] + 1, "handed_at": now, "first_handed_at": row.get("first_handed_at") or now}
        return await self._clearance.still_wanted(claim, chunk)

    async def _call(self, claim: Claim, ready: Ready) -> Result:
        if not claim.ours():
            return None
        try:
            async with asyncio.timeout(self._call_timeout_s):
                able = claim.adapter.capabilities
                message = await self._enclosures.filled(ready.message, claim.account, able)
                return await claim.adapter.send(claim.account, message)
        except SendFailed as failed:
            return failed
        except TimeoutError:
            return SendFailed(Failure.UNCERTAIN, f"No answer within {self._call_timeout_s:.0f} s.")
        except Exception as error:
            # An adapter's bug: before or after the provider acted, nobody knows.
            log.exception("an adapter broke its contract", extra={"provider": claim.channel.provider})
            return SendFailed(Failure.UNCERTAIN, f"The channel's program failed ({type(error).__name__}).")

    # -- the record --------------------------------------------------------------------------------------------

    async def _record(self, claim: Claim, outcomes: Iterable[tuple[Ready, Result]]) -> None:
        now = self._clock()
        changes: list[UpdateOne] = []
        late: list[UpdateOne] = []
        for ready, result in outcomes:
            if isinstance(result, SendReceipt):
                changes.append(accepted(ready.row, [], now, result, ready.message))
                late.append(late_acceptance(ready.row, result, now))
                claim.results.append(ready.row["_id"])
                claim.accepted += 1
                self._faults[claim.channel.id] = 0
            elif isinstance(result, SendFailed):
                changes.append(self._failed(claim, ready, result, now))
                await self._account_consequences(claim, result)
        if await self._written_down(changes) < len(changes):
            # We were paused beyond our lease and another worker judged these rows. Its word stands, except that
            # "nobody knows" gives way to knowledge.
            await self._sends.write(late)

    async def _written_down(self, changes: Sequence[UpdateOne]) -> int:
        """The provider has answered: its word is worth waiting for a store that is away for a moment."""
        end = time.monotonic() + RECORD_PATIENCE_S
        while True:
            try:
                return await self._sends.settle(changes)
            except UNAVAILABLE as error:
                if time.monotonic() > end:
                    raise
                log.warning("a result waits for the store", extra={"error": type(error).__name__})
                await asyncio.sleep(0.5)

    def _failed(self, claim: Claim, ready: Ready, failed: SendFailed, now: datetime) -> UpdateOne:
        row = ready.row
        next_step = policy.after(attempt_of(row, failed, claim.adapter), now, self._rng)
        uncertain = failed.failure is Failure.UNCERTAIN
        if isinstance(next_step, policy.Retry):
            claim.waiting.append(row["_id"])
            return deferred(row, reason_of(failed), next_step.at, now, uncertain=uncertain, to=ready.message.to)
        if isinstance(next_step, policy.AwaitEcho):
            return waiting_for_echo(row, next_step.until, now)
        claim.results.append(row["_id"])
        return ended(row, next_step.state, reason_of(failed), now, to=ready.message.to)

    async def _account_consequences(self, claim: Claim, failed: SendFailed) -> None:
        """What concerns the account follows at once: nothing more is handed over that would fail as well."""
        claim.last_error = str(failed)
        if failed.consequence.pause_account:
            claim.halted = "account_paused"
            await self._channels.pause(claim.channel.id, failed.failure.value, failed.detail or str(failed))
        elif failed.failure is Failure.RATE_LIMITED:
            claim.halted = "rate_limited"
            await self._channels.hold_back(claim.channel.id, failed.retry_after_s or 1.0, claim.rate_per_s)
        elif failed.failure is Failure.TEMPORARY:
            self._faults[claim.channel.id] = self._faults.get(claim.channel.id, 0) + 1
            rest = max(policy.rest_s(self._faults[claim.channel.id]), failed.retry_after_s or 0.0)
            if rest:
                claim.halted = "resting"
                await self._channels.hold_back(claim.channel.id, rest, claim.rate_per_s)


def attempt_of(row: Document, failed: SendFailed, adapter: Adapter | None) -> policy.Attempt:
    """What the policy has to know of a hand-over that did not end in an acceptance."""
    return policy.Attempt(
        failure=failed.failure,
        send_class=row["class"],
        idempotency=adapter.capabilities.idempotency if adapter else Idempotency.NONE,
        tries=row["tries"],
        first_handed_at=row["first_handed_at"],
        handed_at=row["handed_at"],
        retry_after_s=failed.retry_after_s,
        was_uncertain=bool(row.get("uncertain")),
    )


def reason_of(failed: SendFailed) -> Document:
    """Why it failed: our sentence, and the provider's own words."""
    words = " ".join(part for part in (failed.provider_code, failed.detail) if part)[:1000]
    return {"code": failed.failure.value, "sentence": CONSEQUENCES[failed.failure].sentence, "detail": words or None}
