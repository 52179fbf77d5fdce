"""Facts that belong to one visit of one step: whose turn it is, what became of a digest, which arm has won."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from campaigns.digests import Digests
from campaigns.facts import Ask
from campaigns.models import DigestStep, SplitStep, ThrottleStep
from campaigns.run import OF_THE_VISIT, Facts
from campaigns.turns import Turns
from campaigns.winning import Winners


class VisitFacts:
    """Reads them for many runs. May be asked twice for the same visit."""

    def __init__(self, turns: Turns, digests: Digests, winners: Winners) -> None:
        self._turns = turns
        self._digests = digests
        self._winners = winners

    async def read(self, asks: Sequence[Ask], known: Mapping[str, Facts]) -> dict[str, Facts]:
        """Run id → its facts with what was asked for."""
        found = {ask.run.id: known[ask.run.id] for ask in asks}
        steps = [(ask, ask.definition.by_id[ask.run.node]) for ask in asks]
        turns = await self._turns.of([(ask.run, step) for ask, step in steps if isinstance(step, ThrottleStep)])
        for run_id, turn in turns.items():
            found[run_id] = replace(found[run_id], turn=turn)
        gathering = [(ask.run, step) for ask, step in steps if isinstance(step, DigestStep)]
        digests = await asyncio.gather(*(self._digests.of(run, step, found[run.id]) for run, step in gathering))
        for (run, _), digest in zip(gathering, digests, strict=True):
            found[run.id] = replace(found[run.id], digest=digest)
        shared = [(ask.run, step) for ask, step in steps if isinstance(step, SplitStep)]
        for run_id, winner in (await self._winners.of(shared)).items():
            found[run_id] = replace(found[run_id], winner=winner)
        return {
            ask.run.id: replace(found[ask.run.id], loaded=found[ask.run.id].loaded | (ask.needs & OF_THE_VISIT))
            for ask in asks
        }
