"""What a run at a step looks at: the facts a decision needs, and the events that may change it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from campaigns.conditions import ANY_EVENT, ORDER_EVENTS, Condition
from campaigns.models import (
    BranchStep,
    Definition,
    DigestStep,
    HumanStep,
    SendStep,
    SplitStep,
    ThrottleStep,
    WaitEventStep,
    WaitStep,
)
from campaigns.run import Facts, Need, RunState
from campaigns.waiting import STAMP, looks_back
from campaigns.wallclock import Duration

#: Events that tell what became of a message that the provider took.
ARRIVAL = frozenset({"message.delivered", "message.read", "message.failed", "message.bounced"})


def needs(definition: Definition, node: str) -> frozenset[Need]:
    """The facts that a decision at this step looks at, those of the goal and the exit condition included."""
    found: set[str] = set()
    for rule in _standing_rules(definition):
        found |= rule.needs
    step = definition.by_id.get(node)
    if isinstance(step, SendStep):
        found |= {"candidates", *(("profile",) if _by_calendar(step.wait_timeout) else ())}
    elif isinstance(step, WaitEventStep):
        found |= {"happened", *(("profile",) if _by_calendar(step.timeout) else ())}
    elif isinstance(step, WaitStep):
        found |= _needs_of_wait(step)
    elif isinstance(step, BranchStep):
        found = found.union(*(case.when.needs for case in step.cases))
    elif isinstance(step, HumanStep) and (_by_calendar(step.due) or _by_calendar(step.timeout)):
        found.add("profile")
    elif isinstance(step, ThrottleStep):
        found.add("turn")
    elif isinstance(step, DigestStep):
        found |= {"digest", *(("profile",) if _by_calendar(step.window) else ())}
    elif isinstance(step, SplitStep) and step.winner is not None:
        found.add("winner")
    return cast("frozenset[Need]", frozenset(found))


def still_needed(definition: Definition, run: RunState, facts: Facts) -> frozenset[Need]:
    """What of that has not been read. Addresses are looked at by who asks for a send or passes to another channel, not
    while a send is on its way or when it has gone."""
    missing = needs(definition, run.node) - facts.loaded
    wait = run.wait
    if wait is None or wait.kind != "send" or not wait.tried:
        return missing
    send = facts.sends.get(wait.tried[-1])
    return missing if send is None or send.state == "skipped" else missing - {"candidates"}


def _needs_of_wait(step: WaitStep) -> set[str]:
    if step.for_ is not None:
        return {"profile"} if _by_calendar(step.for_) else set()
    if step.until_date is not None and step.until_date.field.partition(".")[0] in ("order", "conversation"):
        return {"profile", step.until_date.field.partition(".")[0]}
    return {"profile"}


def _by_calendar(duration: Duration | None) -> bool:
    return duration is not None and bool(duration.months or duration.days)


def wakes(definition: Definition, run: RunState) -> frozenset[str]:
    """Names of the events after which this run has to be looked at before its time; `*`: every event of the person."""
    names: set[str] = set()
    for rule in _standing_rules(definition):
        names |= rule.event_names
    step = definition.by_id.get(run.node)
    if isinstance(step, WaitEventStep):
        names |= {way.event for way in step.any}
    elif isinstance(step, HumanStep) and step.wait_done:
        names.add("task.done")
    elif isinstance(step, SendStep) and step.wait_for == "delivered":
        names |= ARRIVAL
    elif isinstance(step, WaitStep) and step.for_ is None:
        names.add("profile.updated")  # the zone or the date it waits for may change
        if step.until_date is not None and step.until_date.field.startswith(("order.", "orders.")):
            names |= ORDER_EVENTS
    return frozenset({ANY_EVENT}) if ANY_EVENT in names else frozenset(names)


def looks_for(definition: Definition, run: RunState) -> frozenset[str]:
    """Names of the events since the run began that a decision at this step looks at."""
    names: set[str] = set()
    for rule in _standing_rules(definition):
        names |= rule.since_names
    step = definition.by_id.get(run.node)
    if isinstance(step, WaitEventStep):
        names |= {way.event for way in step.any}
    return frozenset(names)


def history_names(definition: Definition, node: str) -> frozenset[str]:
    """Names of the events in the person's history that rules at this step look at."""
    step = definition.by_id.get(node)
    rules = [
        *_standing_rules(definition),
        *([case.when for case in step.cases] if isinstance(step, BranchStep) else []),
    ]
    return frozenset(name for rule in rules for name in rule.history_names)


def looks_back_to(definition: Definition, run: RunState) -> datetime:
    """The earliest time of an event that a decision at this step may look at."""
    step = definition.by_id.get(run.node)
    return min(run.since, looks_back(step, run) - STAMP) if isinstance(step, WaitEventStep) else run.since


def _standing_rules(definition: Definition) -> list[Condition]:
    """The goal and the exit condition: asked before every step."""
    found = [definition.goal.when if definition.goal else None, definition.exit_when]
    return [rule for rule in found if rule is not None]
