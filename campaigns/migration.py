"""What becomes of people when a new version is published and they go along: by the id of the step they stand at. Pure.

The same id: they stay, and a wait is reckoned anew from its original start. The id is gone: they go to a chosen step,
else to the next one that is still there. Steps that were put in behind a person are not run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from base.errors import FieldError, WrongInput
from campaigns.models import AnyStep, BranchStep, Definition, HumanStep, WaitEventStep, WaitStep
from campaigns.run import Facts, Need, RunState, Stay
from campaigns.waiting import deadline_of, decide_wait

#: `same`: nothing about the step they stand at is another; `changed`: it is looked at anew; `gone`: they go elsewhere.
What = Literal["same", "changed", "gone"]
#: Fields of a step that say nothing about who stands at it.
_ONWARD = ("name", "next", "timeout_next", "wording")
#: Facts by which a wait is reckoned.
RECKONED_BY: frozenset[Need] = frozenset({"profile", "order", "conversation"})


@dataclass(frozen=True)
class Fate:
    """What becomes of those who stand at one step. `to`: the step of the new version, None: the journey ends."""

    what: What
    to: str | None


@dataclass(frozen=True)
class Migrated:
    """A run in the new version. `look`: it has to be looked at now; `ended`: nothing follows for it."""

    run: RunState
    what: What
    look: bool
    ended: bool = False


def check_choices(nodes: Mapping[str, str | None], new: Definition, path: str) -> None:
    """Raise `WrongInput` where a choice names a step that the new version has not, or moves who can stay. `path`: where
    the choices stand in what was sent."""
    faults = []
    for node, to in nodes.items():
        if node in new.by_id:
            faults.append(FieldError(f"{path}.{node}", "is still there: who stands at it stays"))
        elif to is not None and to not in new.by_id:
            faults.append(FieldError(f"{path}.{node}", f"there is no step {to!r} in the new version"))
    if faults:
        raise WrongInput("People cannot be moved like this.", faults)


def plan_of(old: Definition, new: Definition, nodes: Mapping[str, str | None]) -> dict[str, Fate]:
    """Step of the old version → what becomes of those who stand there. `nodes`: removed step → the step to go to."""
    alike = _standing_rules(old) == _standing_rules(new)
    return {step.id: _fate(step, old, new, nodes, alike) for step in old.steps}


def _fate(step: AnyStep, old: Definition, new: Definition, nodes: Mapping[str, str | None], alike: bool) -> Fate:
    today = new.by_id.get(step.id)
    if today is None:
        return Fate("gone", nodes[step.id] if step.id in nodes else successor(step.id, old, new))
    return Fate("same" if alike and _at_rest(step) == _at_rest(today) else "changed", step.id)


def fate_of(node: str, plan: Mapping[str, Fate], new: Definition) -> Fate:
    """Also of somebody who stands where no step is."""
    known = plan.get(node)
    if known is not None:
        return known
    return Fate("changed", node) if node in new.by_id else Fate("gone", None)


def successor(node: str, old: Definition, new: Definition) -> str | None:
    """The next step on the old way that is still there, the nearest first; None: none is."""
    seen, waiting = {node}, [node]
    while waiting:
        step = old.by_id.get(waiting.pop(0))
        for to in _ways(step) if step is not None else ():
            if to in new.by_id:
                return to
            if to not in seen:
                seen.add(to)
                waiting.append(to)
    return None


def _ways(step: AnyStep) -> Iterator[str]:
    """Where to when nothing has happened at the step: the way of who waited in vain, or for whom nothing was true."""
    ways = [to for _, to in step.exits() if to is not None]
    yield from reversed(ways) if isinstance(step, WaitEventStep | BranchStep) else ways


def migrated(run: RunState, old: AnyStep | None, fate: Fate, new: Definition, now: datetime) -> Migrated:
    """The run in the new version. Who stays keeps the visit, and with it the keys of all that was asked for there."""
    if run.wait is not None and run.wait.kind == "queue":  # it has not begun: it begins where everybody does now
        return Migrated(replace(run, node=new.entry, visit=1, visits={new.entry: 1}), "changed", look=False)
    if fate.what == "same":
        return Migrated(run, "same", look=False)
    if fate.what == "changed":
        kept = old is not None and old.type == new.by_id[run.node].type
        return Migrated(run if kept else replace(run, wait=None), "changed", look=True)
    visit = run.visits.get(fate.to, 0) + 1 if fate.to is not None else 0
    if fate.to is None or visit > new.max_visits:
        return Migrated(replace(run, wait=None), "gone", look=False, ended=True)
    there = replace(
        run, node=fate.to, visit=visit, visits={**run.visits, fate.to: visit}, entered_at=now, wait=None,
        shift=timedelta(),
    )  # fmt: skip
    return Migrated(there, "gone", look=True)


def reckons(step: AnyStep | None) -> bool:
    """Whether people stand at this step until a time that follows from its words."""
    return isinstance(step, WaitStep | WaitEventStep) or (isinstance(step, HumanStep) and step.wait_done)


def due_anew(step: AnyStep, run: RunState, facts: Facts, now: datetime) -> datetime:
    """When the wait at this step is over by the words it has now, from its original start."""
    if isinstance(step, WaitStep):
        action = decide_wait(step, run, facts, now)
        return action.wait.until if isinstance(action, Stay) else now
    timeout = step.timeout if isinstance(step, WaitEventStep | HumanStep) else None
    return deadline_of(timeout, run, facts)


def _at_rest(step: AnyStep) -> dict[str, Any]:
    return {name: value for name, value in _written(step).items() if name not in _ONWARD}


def _standing_rules(definition: Definition) -> Any:
    whole = definition.model_dump(mode="json", by_alias=True, include={"goal", "exit_when"})
    return whole


def _written(step: AnyStep) -> dict[str, Any]:
    written: dict[str, Any] = step.model_dump(mode="json", by_alias=True)
    return written
