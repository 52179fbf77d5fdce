"""What automation keeps: macros, rules, runs of rules and the times that rules wait for."""

from base.mongo import Indexes
from campaigns.automation.store import macros, rules, runs, timers
from campaigns.automation.store.macros import MacroStore
from campaigns.automation.store.rules import RuleStore
from campaigns.automation.store.runs import RunStore
from campaigns.automation.store.timers import TimerStore

INDEXES: Indexes = {**macros.INDEXES, **rules.INDEXES, **runs.INDEXES, **timers.INDEXES}

__all__ = ["INDEXES", "MacroStore", "RuleStore", "RunStore", "TimerStore"]
