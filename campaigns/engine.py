"""The journey engine: (definition, run, fresh facts, now) → what happens next. Pure, no I/O.

`next_action` decides one step; `walk` takes as many steps as can be taken at this moment. What has to be done outside
(a send, a change of the profile, a task) comes back as effects, each of them unique by (run, step, visit).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from campaigns.conditions import holds, look_up
from campaigns.interest import still_needed
from campaigns.models import (
    AnyStep,
    AssignStep,
    BranchStep,
    Definition,
    DigestStep,
    ExitStep,
    HoldoutStep,
    HumanStep,
    JumpStep,
    NoteStep,
    NotifyStep,
    SendStep,
    SplitStep,
    StartJourneyStep,
    TaskStep,
    ThrottleStep,
    UpdateStep,
    WaitEventStep,
    WaitStep,
    WebhookStep,
)
from campaigns.run import (
    Action,
    Candidate,
    ChangeProfile,
    CreateTask,
    DigestFact,
    Effect,
    Errand,
    Facts,
    Finish,
    LogLine,
    Move,
    Outcome,
    RequestSend,
    RunState,
    SendFact,
    Stay,
    TurnFact,
    Wait,
    Walked,
)
from campaigns.waiting import after_entry, deadline_of, decide_wait, decide_wait_event, scope_of

#: A lost call from the outbox costs a run at most this long.
SEND_RECHECK = timedelta(seconds=60)
SEND_RECHECK_MOST = timedelta(hours=1)
#: So many journeys may lead to one another; the next one is not started, and the log says so.
JOURNEYS_MAX = 10
#: How long a run waits for its message to arrive where its author named no time.
DELIVERY_PATIENCE = timedelta(days=3)
QUEUE_RECHECK = timedelta(minutes=1)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
#: Steps taken in one go before others get their turn.
STRIDE = 25


def walk(definition: Definition, run: RunState, facts: Facts, now: datetime, stride: int = STRIDE) -> Walked:
    """Take every step that can be taken now. Effects that make facts stale end the walk with `again`."""
    lines: list[LogLine] = []
    effects: list[Effect] = []
    if run.wait is not None and run.wait.kind == "queue" and not facts.ahead_live:
        run = replace(run, wait=None, entered_at=now)  # its turn has come: waits of the first step begin now
    for taken in range(1, stride + 1):
        wants = still_needed(definition, run, facts)
        if wants:
            return Walked(run, tuple(lines), tuple(effects), wants=wants, steps=taken - 1)
        action = next_action(definition, run, facts, now)
        if isinstance(action, Finish):
            lines.append(LogLine(run.node, run.visit, f"end.{action.reason}", action.params, action.outcome))
            return Walked(run, tuple(lines), tuple(effects), ended=action.reason, steps=taken)
        effects.extend(action.effects)
        if isinstance(action, Stay):
            if _worth_a_line(run.wait, action.wait):
                lines.append(LogLine(run.node, run.visit, action.code, action.params))
            stays = replace(run, wait=replace(action.wait, about=action.params))
            return Walked(stays, tuple(lines), tuple(effects), steps=taken)
        lines.append(LogLine(run.node, run.visit, action.code, action.params, action.outcome))
        run, ended = _moved(definition, run, action, now)
        if ended is not None:
            lines.append(LogLine(run.node, run.visit, f"end.{ended}", {}))
            return Walked(run, tuple(lines), tuple(effects), ended=ended, steps=taken)
        if not action.same_facts:
            return Walked(run, tuple(lines), tuple(effects), again=True, steps=taken)
        facts = facts.elsewhere()
    return Walked(run, tuple(lines), tuple(effects), again=True, steps=stride)


def next_action(definition: Definition, run: RunState, facts: Facts, now: datetime) -> Action:
    """What this run does next. The goal and the exit condition are asked before every step."""
    over = goal_or_exit(definition, run, facts, now)
    if over is not None:
        return over
    if run.wait is not None and run.wait.kind == "queue" and facts.ahead_live:
        return Stay(Wait("queue", now + QUEUE_RECHECK, ref=run.wait.ref), "wait.queue")
    step = definition.by_id.get(run.node)
    if step is None:
        return Finish("step_missing", {"step": run.node}, "failed")
    return _STEPS[type(step)](step, run, facts, now)


def goal_or_exit(definition: Definition, run: RunState, facts: Facts, now: datetime) -> Action | None:
    """The end (or the jump) that the goal or the exit condition asks for; None: carry on.

    Also asked right before every send, on facts read at that moment.
    """
    goal = definition.goal
    if goal is None and definition.exit_when is None:
        return None
    scope = scope_of(run, facts)
    if goal is not None and not run.goal_met and holds(goal.when, scope, now):
        if goal.jump is None:
            return Finish("goal")
        return Move(goal.jump, "goal.jump", {"to": goal.jump}, goal=True)
    if definition.exit_when is not None and holds(definition.exit_when, scope, now):
        return Finish("exit_condition")
    return None


def new_run(
    definition: Definition, *, id: str, journey_id: str, profile_id: str, since: datetime, now: datetime,
    data: Mapping[str, Any], wait: Wait | None = None,
) -> RunState:  # fmt: skip
    """A run that stands before the first step."""
    entry = definition.entry
    return RunState(
        id=id, journey_id=journey_id, profile_id=profile_id, node=entry, visit=1, entered_at=now, since=since,
        visits={entry: 1}, wait=wait, data=data,
    )  # fmt: skip


def share(*parts: str) -> float:
    """A number in [0, 100) that is always the same for the same parts: retries and re-entries agree."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def _moved(definition: Definition, run: RunState, move: Move, now: datetime) -> tuple[RunState, str | None]:
    """The run after the move, and why it is over, if it is."""
    ended, node, visit, visits, entered_at, shift = None, run.node, run.visit, run.visits, run.entered_at, run.shift
    if move.to is None:
        ended = "completed"
    elif run.visits.get(move.to, 0) >= definition.max_visits:
        ended = "too_many_visits"
    else:
        node, visit = move.to, run.visits.get(move.to, 0) + 1
        visits, entered_at, shift = {**run.visits, node: visit}, now, timedelta()
    moved = RunState(
        id=run.id, journey_id=run.journey_id, profile_id=run.profile_id, node=node, visit=visit, visits=visits,
        entered_at=entered_at, since=run.since, wait=None, shift=shift,
        data={**run.data, **move.save} if move.save else run.data, drawn=run.drawn or move.drawn,
        holdout=run.holdout or move.holdout, goal_met=run.goal_met or move.goal,
        skip_next=run.skip_next and not move.passed_over,
    )  # fmt: skip
    return moved, ended


def _worth_a_line(before: Wait | None, now: Wait) -> bool:
    """What is asked of the outside is news. Plain waiting is not: it stands in the run itself while it lasts, and the
    line that ends it says the rest."""
    if now.kind not in ("send", "task", "call"):
        return False
    return before is None or before.kind != now.kind or before.tried != now.tried


# -- one function per step type ------------------------------------------------------------------------------------


def _send(step: SendStep, run: RunState, facts: Facts, now: datetime) -> Action:
    if run.skip_next:
        return _missed(step, step.if_skipped, "send.skipped", {"code": "overdue"}, "skipped", passed_over=True)
    tried = run.wait.tried if run.wait is not None and run.wait.kind == "send" else ()
    if not tried:
        return _next_channel(step, run, facts, now, tried)
    fact = facts.sends.get(tried[-1])
    if fact is None:  # the request was lost between the two writes: the same key makes a repeat harmless
        return _pending(run, facts, now, tried, None)
    if fact.state == "skipped" and fact.code == "run_elsewhere":  # it was taken away from here, and put back since
        return Move(run.node, "send.back", outcome="skipped")
    if fact.state == "skipped" and fact.code == "holdout":  # the next channel would say the same
        return Move(step.next, "send.holdout", outcome="skipped")
    if fact.state == "skipped":
        return _next_channel(step, run, facts, now, tried, fact.code)
    if fact.state == "failed":
        return _missed(step, step.if_failed, "send.failed", {"code": fact.code}, "failed")
    if fact.state == "unknown":
        return Move(step.next, "send.unknown", {"channel_id": tried[-1]})
    if fact.state == "accepted" and step.wait_for == "delivered":
        return _until_delivered(step, run, facts, now, tried)
    if fact.state in ("accepted", "delivered", "read"):
        return Move(step.next, f"send.{step.wait_for}", {"channel_id": tried[-1]})
    return _pending(run, facts, now, tried, fact)


def _until_delivered(step: SendStep, run: RunState, facts: Facts, now: datetime, tried: tuple[str, ...]) -> Action:
    deadline = deadline_of(step.wait_timeout, run, facts, DELIVERY_PATIENCE)
    if deadline <= now:
        return Move(step.next, "send.not_delivered", {"channel_id": tried[-1]})
    return Stay(Wait("send", deadline, tried=tried), "wait.send", {"channel_id": tried[-1], "until": deadline})


def _next_channel(
    step: SendStep, run: RunState, facts: Facts, now: datetime, tried: tuple[str, ...], code: str | None = None
) -> Action:
    usable = in_order(step.channels, facts.candidates)
    left = next((each for each in usable if each.channel_id not in tried), None)
    if left is None:
        reason = code or _nowhere(step.channels, facts.candidates)
        return _missed(step, step.if_skipped, "send.skipped", {"code": reason}, "skipped")
    request = RequestSend(run.node, run.visit, left)
    params = {"channel_id": left.channel_id, "provider": left.provider}
    wait = Wait("send", now + SEND_RECHECK, tried=(*tried, left.channel_id))
    return Stay(wait, "wait.send", params, (request,))


def _nowhere(channels: Sequence[str], addresses: Sequence[Candidate]) -> str:
    """Why there is no address left: what bars those that `channels` name, as the gate would have said it."""
    named = {each.barred for each in addresses if {"any", each.channel_id, each.provider} & set(channels)}
    return next((code for code in ("suppressed", "left") if code in named), "no_address")


def in_order(channels: Sequence[str], addresses: Sequence[Candidate]) -> list[Candidate]:
    """The addresses that `channels` (provider names, channel ids, `any`) name, best first, one per channel.

    Within one name the address that wrote last comes first. What is not reachable is left out.
    """
    usable = sorted(
        (each for each in addresses if each.reachable), key=lambda each: each.last_inbound_at or _LONG_AGO, reverse=True
    )
    ordered: dict[str, Candidate] = {}
    for name in channels:
        for each in usable:
            if name in ("any", each.channel_id, each.provider):
                ordered.setdefault(each.channel_id, each)
    return list(ordered.values())


def _missed(
    step: SendStep, then: str, code: str, params: Mapping[str, Any], outcome: Outcome, *, passed_over: bool = False
) -> Action:
    if then == "exit":
        return Finish(code.replace(".", "_"), params, outcome)
    return Move(step.next, code, params, outcome, passed_over=passed_over)


def _pending(run: RunState, facts: Facts, now: datetime, tried: tuple[str, ...], fact: SendFact | None) -> Stay:
    waited = now - run.entered_at
    again = now + min(max(waited, SEND_RECHECK), SEND_RECHECK_MOST)
    effects: tuple[Effect, ...] = ()
    if fact is None:
        known = [each for each in facts.candidates if each.channel_id == tried[-1] and each.reachable]
        effects = tuple(RequestSend(run.node, run.visit, each) for each in known[:1])
        if not known:  # the address went away in the meantime: try the others at the next look
            return Stay(Wait("send", now + SEND_RECHECK, tried=tried[:-1]), "wait.send")
    elif fact.state == "deferred" and fact.due_at is not None:
        again = max(again, fact.due_at + SEND_RECHECK)
    return Stay(Wait("send", again, tried=tried), "wait.send", {"channel_id": tried[-1]}, effects)


def _branch(step: BranchStep, run: RunState, facts: Facts, now: datetime) -> Action:
    scope = scope_of(run, facts)
    for place, case in enumerate(step.cases):
        if holds(case.when, scope, now):
            return Move(case.next, "branch.case", {"case": place, "values": case.when.values(scope)})
    return Move(step.else_, "branch.else", {"values": step.cases[0].when.values(scope)})


def _split(step: SplitStep, run: RunState, facts: Facts, now: datetime) -> Action:
    kept = look_up(run.data, f"{step.id}.arm")
    if step.winner is not None and isinstance(kept, int) and kept < len(step.arms):
        return _arm(step, kept)  # who came this way before comes this way again
    if facts.winner is not None:
        names = [step.arm_name(place) for place in range(len(step.arms))]
        if facts.winner in names:
            return _arm(step, names.index(facts.winner), "split.winner")
    total = sum(arm.weight for arm in step.arms)
    point = share(run.journey_id, step.id, run.profile_id) / 100 * total
    for place, arm in enumerate(step.arms):
        point -= arm.weight
        if point < 0:
            return _arm(step, place)
    raise AssertionError("a share is smaller than the whole")


def _arm(step: SplitStep, place: int, code: str = "split.arm") -> Move:
    return Move(step.arms[place].next, code, {"arm": step.arm_name(place)}, save={step.id: {"arm": place}})


def _holdout(step: HoldoutStep, run: RunState, facts: Facts, now: datetime) -> Action:
    apart = share(run.journey_id, step.id, run.profile_id) < step.percent
    return Move(step.next, "holdout.apart" if apart else "holdout.included", drawn=True, holdout=apart)


def _update(step: UpdateStep, run: RunState, facts: Facts, now: datetime) -> Action:
    return Move(step.next, "update.done", effects=(ChangeProfile(run.node, run.visit),), same_facts=False)


def _human(step: HumanStep, run: RunState, facts: Facts, now: datetime) -> Action:
    waiting = run.wait is not None and run.wait.kind == "task"
    if waiting and facts.task is not None and facts.task.closed:
        return Move(step.next, "task.done", {"result": facts.task.result})
    ask = _asked(step, run, facts)
    if not step.wait_done:
        same_facts = not (isinstance(step, AssignStep) and "owner" in step.what)
        return Move(step.next, _ASKED[step.type], {"text": step.text}, effects=(ask,), same_facts=same_facts)
    deadline = deadline_of(step.timeout, run, facts)
    if waiting and deadline <= now:
        return Move(step.timeout_next if step.timeout_next else step.next, "task.timeout", outcome="skipped")
    # Looked at again after a minute while the task is not there yet (its creation was lost), else at the deadline.
    until = deadline if facts.task is not None else min(deadline, now + SEND_RECHECK)
    effects: tuple[Effect, ...] = () if facts.task is not None else (ask,)
    return Stay(Wait("task", until), "wait.task", {"text": step.text, "until": deadline}, effects)


#: What the log says of human steps that hold nobody up.
_ASKED = {"task": "task.created", "notify": "notify.told", "assign": "assign.given"}


def _asked(step: HumanStep, run: RunState, facts: Facts) -> Effect:
    due = after_entry(step.due, run, facts) if step.due is not None else None
    if isinstance(step, NotifyStep):
        return Errand("notify", run.node, run.visit, due)
    if isinstance(step, AssignStep):
        return Errand("assign", run.node, run.visit, due)
    return CreateTask(run.node, run.visit, due)


def _note(step: NoteStep, run: RunState, facts: Facts, now: datetime) -> Action:
    return Move(step.next, "note.written", {"text": step.text}, effects=(Errand("note", run.node, run.visit),))


def _webhook(step: WebhookStep, run: RunState, facts: Facts, now: datetime) -> Action:
    call = facts.call if run.wait is not None and run.wait.kind == "call" else None
    if call is not None and call.state == "done":
        save = {step.save_as: call.answer} if step.save_as and call.answer is not None else {}
        return Move(step.next, "webhook.answered", call.said, save=save)
    if call is not None and call.state == "failed":
        if step.if_failed == "exit":
            return Finish("webhook_failed", call.said, "failed")
        return Move(step.next, "webhook.failed", call.said, "failed")
    again = now + min(max(now - run.entered_at, SEND_RECHECK), SEND_RECHECK_MOST)
    if call is not None and call.due_at is not None:
        again = max(again, call.due_at + SEND_RECHECK)
    effects = () if call is not None else (Errand("call", run.node, run.visit),)
    return Stay(Wait("call", again), "wait.call", {"host": urlsplit(step.url).hostname or ""}, effects)


def _start_journey(step: StartJourneyStep, run: RunState, facts: Facts, now: datetime) -> Action:
    params = {"journey_id": step.journey_id}
    if links_before(run) >= JOURNEYS_MAX:
        return Move(step.next, "start_journey.too_deep", {**params, "chain": JOURNEYS_MAX}, "skipped")
    return Move(step.next, "start_journey.asked", params, effects=(Errand("start", run.node, run.visit),))


def links_before(run: RunState) -> int:
    """How many journeys led to one another before this run came about."""
    chain = look_up(run.data, "event.chain")
    return chain if isinstance(chain, int) else 0


def _throttle(step: ThrottleStep, run: RunState, facts: Facts, now: datetime) -> Action:
    turn = facts.turn or TurnFact(False, now + SEND_RECHECK)
    if turn.passes:
        return Move(step.next, "throttle.passed")
    return Stay(Wait("turn", turn.again_at or turn.until), "wait.turn", {"until": turn.until, "ahead": turn.ahead})


def _digest(step: DigestStep, run: RunState, facts: Facts, now: datetime) -> Action:
    mine = facts.digest or DigestFact("open", now + SEND_RECHECK)
    if mine.role == "joined":
        return Finish("digested", {"run": mine.run_id})
    if mine.role == "closed":
        return Move(step.next, "digest.closed", {"count": len(mine.events)}, save={"digest": list(mine.events)})
    return Stay(Wait("digest", mine.until), "wait.digest", {"until": mine.until, "count": mine.count})


def _exit(step: ExitStep, run: RunState, facts: Facts, now: datetime) -> Action:
    return Finish("exit_step", {"reason": step.reason} if step.reason else {})


def _jump(step: JumpStep, run: RunState, facts: Facts, now: datetime) -> Action:
    return Move(step.to, "jump", {"to": step.to})


_Decide = Callable[[Any, RunState, Facts, datetime], Action]
_STEPS: Mapping[type[AnyStep], _Decide] = {
    SendStep: _send,
    WaitStep: decide_wait,
    WaitEventStep: decide_wait_event,
    BranchStep: _branch,
    SplitStep: _split,
    HoldoutStep: _holdout,
    UpdateStep: _update,
    TaskStep: _human,
    NotifyStep: _human,
    AssignStep: _human,
    NoteStep: _note,
    WebhookStep: _webhook,
    StartJourneyStep: _start_journey,
    ThrottleStep: _throttle,
    DigestStep: _digest,
    ExitStep: _exit,
    JumpStep: _jump,
}
