"""What must be true of a whole journey: every way leads somewhere, no circle without rest. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from base.errors import FieldError, WrongInput
from base.http import INSIDE
from campaigns.models import (
    RESTING,
    AnyStep,
    AssignStep,
    Definition,
    DigestStep,
    HumanStep,
    SendStep,
    SplitStep,
    StartJourneyStep,
    UpdateStep,
    WebhookStep,
)

#: Step id or None (the end of the journey).
Ways = Mapping[str, list[tuple[str, str | None]]]


def check_whole(
    definition: Definition, known_templates: frozenset[str] | None = None, known_stages: frozenset[str] | None = None,
    known_journeys: frozenset[str] | None = None, named_in_trigger: frozenset[str] | None = None,
    refuses_host: Callable[[str], bool] | None = None, known_teams: frozenset[str] | None = None,
) -> None:  # fmt: skip
    """Raise `WrongInput` with the path of every fault. `known_templates`, `known_journeys`, `known_teams`: ids that
    exist; `known_stages`: keys of the list; `named_in_trigger`: what exists of what the trigger names; `refuses_host`:
    whether calls to a host would be refused in any case; None: not asked."""
    faults = [
        *_double_ids(definition),
        *_unknown_targets(definition),
        *_unreachable(definition),
        *_restless_circles(definition),
        *_endless(definition),
        *_unknown_templates(definition, known_templates),
        *_unknown_stages(definition, known_stages),
        *_unknown_journeys(definition, known_journeys),
        *_unknown_teams(definition, known_teams),
        *_lonely_digests(definition),
        *_unknown_in_trigger(definition, named_in_trigger),
        *_refused_addresses(definition, refuses_host),
    ]
    if faults:
        raise WrongInput("This journey cannot be published yet.", faults)


def template_ids(definition: Definition) -> frozenset[str]:
    """The templates its steps name."""
    return frozenset(step.template_id for step in definition.steps if isinstance(step, SendStep) and step.template_id)


def pinned_template_ids(definition: Definition) -> frozenset[str]:
    """Those whose wording stays as it is when the journey is published."""
    return frozenset(
        step.template_id for step in definition.steps
        if isinstance(step, SendStep) and step.template_id and is_pinned(step, definition)
    )  # fmt: skip


def is_pinned(step: SendStep, definition: Definition) -> bool:
    """Whether the step keeps the wording it was published with: by its own word, else in the arms of a split."""
    if step.wording is not None:
        return step.wording == "pinned"
    return step.id in _in_arms(definition)


def _in_arms(definition: Definition) -> frozenset[str]:
    """Steps to which some arms of a split lead and others do not."""
    found: set[str] = set()
    for split in definition.steps:
        if isinstance(split, SplitStep):
            reached = [reached_from(definition, arm.next) if arm.next else frozenset() for arm in split.arms]
            found |= frozenset().union(*reached) - frozenset.intersection(*reached)
    return frozenset(found)


def journey_ids(definition: Definition) -> frozenset[str]:
    """The journeys its steps start."""
    return frozenset(step.journey_id for step in definition.steps if isinstance(step, StartJourneyStep))


def reached_from(definition: Definition, start: str) -> frozenset[str]:
    """Every step that can come after `start`, itself included."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        step = definition.by_id.get(waiting.pop())
        if step is None or step.id in seen:
            continue
        seen.add(step.id)
        waiting.extend(target for _, target in step.exits() if target is not None)
    return frozenset(seen)


def rests(step: AnyStep) -> bool:
    """True when a run stands still here for a while, so that a circle through it does no harm."""
    return step.type in RESTING or (isinstance(step, HumanStep) and step.wait_done)


def _double_ids(definition: Definition) -> Iterator[FieldError]:
    seen: set[str] = set()
    for place, step in enumerate(definition.steps):
        if step.id in seen:
            yield FieldError(f"steps[{place}].id", f"{step.id!r} is used twice")
        seen.add(step.id)


def _unknown_targets(definition: Definition) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        for way, target in step.exits():
            if target is not None and target not in definition.by_id:
                yield FieldError(f"steps[{place}].{way}", f"there is no step {target!r}")
    goal = definition.goal
    if goal is not None and goal.jump is not None and goal.jump not in definition.by_id:
        yield FieldError("goal.on_meet", f"there is no step {goal.jump!r}")


def _unreachable(definition: Definition) -> Iterator[FieldError]:
    reached = reached_from(definition, definition.entry)
    if definition.goal is not None and definition.goal.jump is not None:
        reached |= reached_from(definition, definition.goal.jump)
    for place, step in enumerate(definition.steps):
        if step.id not in reached:
            yield FieldError(f"steps[{place}]", f"nobody can reach step {step.id!r}")


def _restless_circles(definition: Definition) -> Iterator[FieldError]:
    """Circles among steps at which nobody rests: depth-first over the steps that remain without the resting ones."""
    moving = {step.id: step for step in definition.steps if not rests(step)}
    state: dict[str, int] = {}
    for start in moving:
        trail: list[tuple[str, Iterator[str]]] = [(start, _onward(moving, start))] if start not in state else []
        state.setdefault(start, 1)
        while trail:
            here, onward = trail[-1]
            target = next(onward, None)
            if target is None:
                state[here] = 2
                trail.pop()
            elif state.get(target) == 1:
                place = next(i for i, step in enumerate(definition.steps) if step.id == here)
                yield FieldError(f"steps[{place}]", f"goes in a circle to {target!r} without a wait")
            elif target not in state:
                state[target] = 1
                trail.append((target, _onward(moving, target)))


def _onward(moving: Mapping[str, AnyStep], step_id: str) -> Iterator[str]:
    return iter([target for _, target in moving[step_id].exits() if target in moving and target is not None])


def _endless(definition: Definition) -> Iterator[FieldError]:
    """Steps from which no way leads to the end of the journey, unless a goal or an exit condition ends it."""
    if definition.exit_when is not None or (definition.goal is not None and definition.goal.jump is None):
        return
    ends = {step.id for step in definition.steps if step.type == "exit" or any(to is None for _, to in step.exits())}
    while True:
        more = {
            step.id
            for step in definition.steps
            if step.id not in ends and any(target in ends for _, target in step.exits())
        }
        if not more:
            break
        ends |= more
    for place, step in enumerate(definition.steps):
        if step.id not in ends and all(target in definition.by_id for _, target in step.exits() if target):
            yield FieldError(f"steps[{place}]", f"no way leads from step {step.id!r} to an end")


def _unknown_templates(definition: Definition, known: frozenset[str] | None) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        named = step.template_id if isinstance(step, SendStep) else None
        if known is not None and named is not None and named not in known:
            yield FieldError(f"steps[{place}].template_id", f"there is no template {named!r}")


def _unknown_stages(definition: Definition, known: frozenset[str] | None) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        if known is None or not isinstance(step, UpdateStep):
            continue
        for path, stage in (("stage", step.stage), ("set.stage", step.set.get("stage"))):
            if stage is not None and stage not in known:
                yield FieldError(f"steps[{place}].{path}", f"there is no stage {stage!r}")


def _unknown_journeys(definition: Definition, known: frozenset[str] | None) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        if known is not None and isinstance(step, StartJourneyStep) and step.journey_id not in known:
            yield FieldError(f"steps[{place}].journey_id", f"there is no journey {step.journey_id!r}")


def _unknown_teams(definition: Definition, known: frozenset[str] | None) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        if known is not None and isinstance(step, AssignStep) and step.team_id and step.team_id not in known:
            yield FieldError(f"steps[{place}].team_id", f"there is no team {step.team_id!r}")


def _lonely_digests(definition: Definition) -> Iterator[FieldError]:
    """Where a second event begins no run of its own, nothing ever joins a digest."""
    if definition.reentry.mode != "per_key" and any(isinstance(step, DigestStep) for step in definition.steps):
        yield FieldError("reentry.mode", "a digest needs per_key, so that each event begins a run that can join it")


def _refused_addresses(definition: Definition, refuses: Callable[[str], bool] | None) -> Iterator[FieldError]:
    for place, step in enumerate(definition.steps):
        if refuses is not None and isinstance(step, WebhookStep) and refuses(urlsplit(step.url).hostname or ""):
            yield FieldError(f"steps[{place}].url", INSIDE)


def _unknown_in_trigger(definition: Definition, known: frozenset[str] | None) -> Iterator[FieldError]:
    for name in ("segment_id", "journey_id"):
        wanted = getattr(definition.trigger, name, None)
        if known is not None and wanted is not None and wanted not in known:
            yield FieldError(f"trigger.{name}", f"there is no {name.removesuffix('_id')} {wanted!r}")
