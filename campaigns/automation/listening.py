"""What happens becomes a duty for the rules that wait for it. Writes rows, and nothing else.

A listener of `campaigns.triggers`: told of every event, perhaps twice, which the key of a run forgives.
"""

from __future__ import annotations

from collections.abc import Sequence

from base.clock import Clock
from campaigns.automation.judging import TOO_OLD, run_of
from campaigns.automation.store.rules import RuleStore
from campaigns.automation.store.runs import RunStore
from campaigns.automation.store.timers import TimerStore
from campaigns.bells import Ringer
from profiles.events import Event

#: Families of events after which a timed rule may have to wait anew, or no more.
STIRRING = ("message", "conversation")


class RuleEars:
    """Hears for the rules."""

    def __init__(self, rules: RuleStore, runs: RunStore, timers: TimerStore, doorbell: Ringer, clock: Clock) -> None:
        self._rules = rules
        self._runs = runs
        self._timers = timers
        self._doorbell = doorbell
        self._clock = clock

    async def hear(self, events: Sequence[Event]) -> None:
        """Plan what these events ask for."""
        active = [each for each in await self._rules.all() if each["active"]]
        names = {each["on"]["event"] for each in active if each["on"]["type"] == "event"}
        since = self._clock() - TOO_OLD
        runs = [run_of(each) for each in events if each.name in names and each.profile_id and each.occurred_at > since]
        planned = await self._runs.plan(runs) if runs else 0
        stirred: set[str] = set()
        if any(each["on"]["type"] == "timed" for each in active):
            stirred = {str(each.conversation_id) for each in events if _stirs(each)}
            await self._timers.look(stirred, self._clock())
        if planned or stirred:
            await self._doorbell.ring("automate")


def _stirs(event: Event) -> bool:
    return event.conversation_id is not None and event.name.partition(".")[0] in STIRRING
