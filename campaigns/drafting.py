"""Changes of a draft as a person makes them: a step comes in at a way, moves, goes. Pure.

A **slot** is a way out of a step, where another step may stand: `start`, `s1:next`, `s1:cases[0].next`. Drafts are what
their author has written so far: things may be missing, and nothing here minds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from base.errors import Conflict, NotFound

START = "start"
Draft = dict[str, Any]
Step = dict[str, Any]
#: Steps at which a colleague is waited for when `wait_done` is set.
HUMAN = frozenset({"task", "notify", "assign"})
#: Type → members in a list, each with a way of its own; and the way of those for whom none holds.
LISTS: Mapping[str, tuple[str, str]] = {"branch": ("cases", "else"), "split": ("arms", ""), "wait_event": ("any", "")}
_MEMBER = re.compile(r"(\w+)\[(\d+)\]\.(\w+)", re.ASCII)


def tidy(draft: Mapping[str, Any]) -> Draft:
    """The draft with steps that are objects and have ids: what the functions here take."""
    found: Draft = {**draft}
    steps = [dict(step) for step in draft.get("steps") or () if isinstance(step, Mapping)]
    taken = {str(step["id"]) for step in steps if step.get("id")}
    for step in steps:
        if not step.get("id"):
            step["id"] = free_id(str(step.get("type") or "step"), taken)
            taken.add(step["id"])
    if steps:
        found["steps"] = steps
    else:
        found.pop("steps", None)
    return found


def steps_of(draft: Mapping[str, Any]) -> dict[str, Step]:
    """Id → step, the entry first."""
    return {str(step["id"]): step for step in draft.get("steps") or ()}


def free_id(kind: str, taken: Iterable[str]) -> str:
    """An id for a new step: `wait`, `wait2` …"""
    known = set(taken)
    return next(name for name in (kind, *(f"{kind}{n}" for n in range(2, 1000))) if name not in known)


def ways_of(step: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """(way, step it leads to or None for the end), in the order in which they are tried."""
    kind = str(step.get("type"))
    if kind == "exit":
        return []
    if kind == "jump":
        return [("to", step.get("to"))]
    if kind in LISTS:
        name, rest = LISTS[kind]
        members = [each for each in step.get(name) or () if isinstance(each, Mapping)]
        ways = [(f"{name}[{i}].next", each.get("next")) for i, each in enumerate(members)]
        if rest:
            ways.append((rest, step.get(rest)))
        if kind == "wait_event" and (step.get("timeout") or not ways):
            ways.append(("timeout_next", step.get("timeout_next")))
        return ways
    found = [("next", step.get("next"))]
    if kind in HUMAN and step.get("wait_done") and (step.get("timeout") or step.get("timeout_next")):
        found.append(("timeout_next", step.get("timeout_next")))
    return found


def led(step: Mapping[str, Any], way: str, target: str | None) -> Step:
    """The step with one of its ways leading elsewhere. Raises `NotFound` for a way it does not have."""
    found = _MEMBER.fullmatch(way)
    if found is None:
        if way not in ("next", "else", "to", "timeout_next"):
            raise NotFound("There is no such way.")
        return {**step, way: target}
    name, place, inner = found[1], int(found[2]), found[3]
    members = list(step.get(name) or ())
    if place >= len(members) or inner != "next":
        raise NotFound("There is no such way.")
    members[place] = {**members[place], inner: target}
    return {**step, name: members}


def slots(draft: Mapping[str, Any]) -> dict[str, str | None]:
    """Every slot and what stands there."""
    steps = steps_of(draft)
    found: dict[str, str | None] = {START: next(iter(steps), None)}
    for key, step in steps.items():
        if step.get("type") != "jump":
            found.update({f"{key}:{way}": target for way, target in ways_of(step)})
    return found


def reached(draft: Mapping[str, Any], start: str | None) -> set[str]:
    """Steps that can come after `start`, itself included."""
    steps, seen, waiting = steps_of(draft), set[str](), [start]
    while waiting:
        here = waiting.pop()
        if here is None or here in seen or here not in steps:
            continue
        seen.add(here)
        waiting.extend(target for _, target in ways_of(steps[here]))
    return seen


def loose(draft: Mapping[str, Any]) -> list[str]:
    """Steps that nobody can reach."""
    steps = steps_of(draft)
    met = reached(draft, next(iter(steps), None)) | reached(draft, _jump_of_goal(draft))
    return [key for key in steps if key not in met]


def _jump_of_goal(draft: Mapping[str, Any]) -> str | None:
    goal = draft.get("goal")
    on_meet = str(goal.get("on_meet") or "") if isinstance(goal, Mapping) else ""
    return on_meet.removeprefix("jump:") if on_meet.startswith("jump:") else None


# -- changes -------------------------------------------------------------------------------------------------------


def inserted(draft: Mapping[str, Any], slot: str, step: Mapping[str, Any]) -> Draft:
    """With a new step at the slot. All its ways lead to what stood there, so that nobody's way is cut."""
    known = slots(draft)
    if slot not in known:
        raise Conflict("This place is not there any more: somebody has changed the journey.", code="no_place")
    following, new = known[slot], dict(step)
    for way, target in ways_of(new):
        if target is None:
            new = led(new, way, following)
    return _placed({**draft, "steps": [*(draft.get("steps") or ()), new]}, slot, str(new["id"]))


def replaced(draft: Mapping[str, Any], step: Mapping[str, Any]) -> Draft:
    """With one step written anew. Raises `NotFound`."""
    steps = steps_of(draft)
    _must_have(steps, str(step["id"]))
    return {**draft, "steps": [dict(step) if key == step["id"] else each for key, each in steps.items()]}


def removed(draft: Mapping[str, Any], step_id: str, keep: str | None = None) -> Draft:
    """Without a step. What leads to it leads on to what follows on its way `keep` (else its longest one); what only its
    other ways led to goes with it. Raises `NotFound`."""
    steps = steps_of(draft)
    _must_have(steps, step_id)
    ways = dict(ways_of(steps[step_id]))
    kept = ways.get(keep or "") if keep in ways else max(
        (target for target in ways.values() if target != step_id), key=lambda each: len(reached(draft, each)),
        default=None,
    )  # fmt: skip
    before = set(loose(draft))
    bridged = _led_past(draft, step_id, kept)
    bridged = {**bridged, "steps": [step for step in bridged["steps"] if step["id"] != step_id]}
    whole = kept is None and next(iter(steps)) == step_id
    gone = set(steps if whole else loose(bridged)) - before
    bridged["steps"] = [step for step in bridged["steps"] if step["id"] not in gone]
    return tidy(bridged)


def moved(draft: Mapping[str, Any], step_id: str, slot: str) -> Draft:
    """With a step at another slot; its first way leads to what stood there. Raises `NotFound`, `Conflict`."""
    steps = steps_of(draft)
    _must_have(steps, step_id)
    if slot.partition(":")[0] == step_id or slot not in slots(draft):
        raise Conflict("The step cannot go there.", code="no_place")
    if slots(draft)[slot] == step_id:
        return {**draft}
    ways = ways_of(steps[step_id])
    without = draft if step_id in loose(draft) else _led_past(draft, step_id, ways[0][1] if ways else None)
    following = slots(without)[slot]
    if ways and following != step_id:
        without = replaced(without, led(steps_of(without)[step_id], ways[0][0], following))
    return _placed(without, slot, step_id)


def shifted(draft: Mapping[str, Any], step_id: str, *, up: bool) -> Draft:
    """One place up or down its way; unchanged at the end of it. Raises `NotFound`."""
    steps = steps_of(draft)
    _must_have(steps, step_id)
    known = slots(draft)
    if up:
        above = next((slot for slot, target in known.items() if target == step_id and slot != START), None)
        source = above.partition(":")[0] if above else None
        slot = next((each for each, target in known.items() if target == source), None) if source else None
    else:
        ways = ways_of(steps[step_id])
        below = ways[0][1] if ways else None
        slot = next((each for each in known if below and each.startswith(f"{below}:")), None)
    return moved(draft, step_id, slot) if slot and not slot.startswith(f"{step_id}:") else {**draft}


def _led_past(draft: Mapping[str, Any], step_id: str, target: str | None) -> Draft:
    """What leads to the step leads to `target`."""
    steps = []
    for key, step in steps_of(draft).items():
        new = step
        for way, to in ways_of(step) if key != step_id else ():
            if to == step_id:
                new = led(new, way, target)
        steps.append(new)
    first = steps[0]["id"] == step_id
    found = {**draft, "steps": steps}
    goal = draft.get("goal")
    if _jump_of_goal(draft) == step_id and isinstance(goal, Mapping):
        found["goal"] = {**goal, "on_meet": f"jump:{target}" if target else "exit"}
    return _first(found, target) if first and target else found


def _placed(draft: Mapping[str, Any], slot: str, step_id: str) -> Draft:
    if slot == START:
        return _first({**draft}, step_id)
    source, _, way = slot.partition(":")
    return replaced(draft, led(steps_of(draft)[source], way, step_id))


def _first(draft: Draft, step_id: str) -> Draft:
    """The first step is the entry."""
    steps = steps_of(draft)
    if step_id not in steps:
        return draft
    return {**draft, "steps": [steps[step_id], *(step for key, step in steps.items() if key != step_id)]}


def _must_have(steps: Mapping[str, Step], step_id: str) -> None:
    if step_id not in steps:
        raise NotFound("There is no such step.")
