"""A run explains itself: where it is, since when, why it waits, until when, and what happened before. Pure.

Every statement is a stable code with parameters, so that a page can say it in any language; `sentence` is the English.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from campaigns.models import Definition
from campaigns.store.enrolments import is_live

#: Waits that leave no line in the log: the one that lasts is shown at its end.
_NOT_LOGGED = ("wait.time", "wait.event", "wait.queue", "wait.turn", "wait.digest")
SENTENCES: Mapping[str, str] = {
    "entered": "Began: %(event)s.",
    "send.accepted": "The message was sent.",
    "send.delivered": "The message has arrived.",
    "send.not_delivered": "The message was sent; nobody said in time that it arrived.",
    "send.back": "The message was not sent while the person was elsewhere; it is asked for again.",
    "send.skipped": "The message was not sent: %(code)s.",
    "send.failed": "The message failed: %(code)s.",
    "send.unknown": "The message may have been sent; nobody can say, so it is not repeated.",
    "send.holdout": "Not sent: the person is in the control group.",
    "wait.send": "Waits for its message to go out.",
    "wait.held_up": "Its message waits until %(until)s: %(reason)s",
    "wait.time": "Waits until %(until)s.",
    "wait.event": "Waits for %(events)s, at most until %(until)s.",
    "wait.task": "Waits for a colleague to do: %(text)s, at most until %(until)s.",
    "wait.call": "Waits for an answer from %(host)s.",
    "wait.turn": "Waits for its turn, expected at %(until)s; %(ahead)s before it.",
    "wait.digest": "Gathers until %(until)s; %(count)s so far.",
    "wait.queue": "Waits for an earlier run of the same person to end.",
    "wait.held": "The journey is paused; everybody in it is held.",
    "wait.now": "Goes on at once.",
    "wait.over": "The wait was over.",
    "wait.no_date": "There was no date in %(field)s to wait for.",
    "wait.date_passed": "The date in %(field)s had passed.",
    "wait_event.came": "%(event)s came.",
    "wait_event.timeout": "Nothing came in time.",
    "branch.case": "Case %(case)s was true.",
    "branch.else": "No case was true.",
    "split.arm": "Took the way %(arm)s.",
    "split.winner": "Took the way %(arm)s, which has won.",
    "holdout.apart": "Put into the control group.",
    "holdout.included": "Not in the control group.",
    "update.done": "The profile was changed.",
    "task.created": "A task was created: %(text)s.",
    "task.done": "The task was closed.",
    "task.timeout": "The task was not done in time.",
    "notify.told": "Colleagues were told: %(text)s.",
    "assign.given": "Given to a colleague.",
    "note.written": "A note was written: %(text)s.",
    "webhook.answered": "The address answered with %(status)s.",
    "webhook.failed": "The address could not be called: %(code)s, %(tries)s tries.",
    "start_journey.asked": "Another journey was asked to take the person in.",
    "start_journey.started": "Another journey was started.",
    "start_journey.refused": "Another journey did not take the person in: %(why)s.",
    "start_journey.too_deep": "Not started: %(chain)s journeys have started each other already.",
    "throttle.passed": "It was its turn.",
    "digest.closed": "Went on with %(count)s gathered.",
    "jump": "Went on at step %(to)s.",
    "goal.jump": "The goal was reached; went on at step %(to)s.",
    "end.completed": "Came to the end of the journey.",
    "end.goal": "Ended: the goal was reached.",
    "end.exit_condition": "Ended: the exit condition came true.",
    "end.exit_step": "Ended at an exit step.",
    "end.send_skipped": "Ended: the message could not be sent.",
    "end.send_failed": "Ended: the message failed.",
    "end.webhook_failed": "Ended: the address could not be called.",
    "end.digested": "Ended: what it brought was gathered by another run.",
    "end.date_passed": "Ended: the date had passed.",
    "end.step_missing": "Ended: the step is not there any more.",
    "end.too_many_visits": "Ended: it came to the same step too often.",
    "end.loop": "Loop stopped: %(journeys)s journeys had led to one another already.",
    "end.restarted": "Ended: the person began anew.",
    "end.exited": "Ended by a person.",
    "end.merged": "Ended: two people turned out to be one, and the run that had come further goes on.",
    "version.same": "Taken along from version %(from)s to version %(to)s.",
    "version.changed": "Taken along from version %(from)s to version %(to)s; the step was looked at anew.",
    "version.gone": "Taken along from version %(from)s to version %(to)s; its step is gone, went on at %(step)s.",
    "version.out": "Taken out with version %(to)s, which has not the step of version %(from)s.",
    "version.back": "Put back from version %(from)s to version %(to)s.",
    "end.step_removed": "Ended: its step was taken out of the journey, and nothing follows it.",
    "merge.undone": "Goes on: the merge that ended it was undone.",
    "end.archived": "Ended: the journey was archived.",
    "end.error": "Set aside: a fault stopped it.",
}


@dataclass(frozen=True)
class Statement:
    """One thing said of a run."""

    code: str
    params: Mapping[str, Any]
    sentence: str
    at: datetime | None = None
    node: str | None = None
    visit: int | None = None
    outcome: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Everything a person may ask of a run. `until` None: it is over, or goes on at once."""

    id: str
    journey_id: str
    journey: str
    version: int
    #: The version it was in before it was taken along, since when it is in this one, and who published that.
    version_before: int | None
    version_since: datetime
    version_by: str | None
    profile_id: str
    state: str
    node: str
    node_type: str | None
    node_name: str | None
    since: datetime
    why: Statement
    until: datetime | None
    log: tuple[Statement, ...]


def explain(
    row: Mapping[str, Any], log: Sequence[Mapping[str, Any]], definition: Definition | None, journey: str,
    held_up: Mapping[str, Any] | None = None,
) -> Explanation:  # fmt: skip
    """From a run's row and its log. `held_up`: the send it waits for, which something holds back."""
    step = definition.by_id.get(row["node"]) if definition else None
    why, until = _why(row)
    if held_up is not None:
        reason = held_up["reason"]
        params = {"code": reason["code"], "reason": reason["sentence"], "until": held_up["due_at"]}
        why = replace(why, code="wait.held_up", params=params, sentence=say("wait.held_up", params))
        until = held_up["due_at"]
    moved = row.get("migrated") or {}
    now = (why,) if until is not None and why.code in _NOT_LOGGED else ()
    return Explanation(
        id=row["_id"],
        journey_id=row["journey_id"],
        journey=journey,
        version=row["version"],
        version_before=moved.get("from"),
        version_since=moved.get("at") or row["started_at"],
        version_by=moved.get("by"),
        profile_id=row["profile_id"],
        state=row["state"],
        node=row["node"],
        node_type=step.type if step else None,
        node_name=step.name if step else None,
        since=row["entered_at"],
        why=why,
        until=until,
        log=(_entered(row), *(_of_line(line) for line in (*log, *_unwritten(row, log))), *now),
    )


def say(code: str, params: Mapping[str, Any]) -> str:
    """The English sentence of a code; parameters that are missing show as a dash."""
    shown = {name: _shown(value) for name, value in params.items()}
    return SENTENCES.get(code, code) % _Lenient(shown)


class _Lenient(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "–"


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="minutes")
    if isinstance(value, list | tuple):
        return " or ".join(str(each) for each in value)
    return str(value)


def _why(row: Mapping[str, Any]) -> tuple[Statement, datetime | None]:
    if not is_live(row):
        end = row.get("end") or (row.get("next") or {}).get("end") or {"reason": "completed"}
        detail = {name: end[name] for name in ("detail", "by", "journeys") if end.get(name)}
        return _statement(f"end.{end['reason']}", detail, end.get("at")), None
    wait = row.get("wait")
    if row["state"] == "held":
        return _statement("wait.held", {}), None
    if wait is None:
        return _statement("wait.now", {}), row.get("due_at")
    # A step that waits for a task is looked at before its patience ends; people are told when that is.
    params = {"until": wait["until"], **(wait.get("about") or {})}
    code = f"wait.{wait['kind']}"
    said = Statement(code, params, say(code, params), row["entered_at"], row["node"], row["visit"])
    return said, params["until"]


def _entered(row: Mapping[str, Any]) -> Statement:
    event = (row.get("data") or {}).get("event") or {}
    zone = (event.get("properties") or {}).get("unknown_zone") if event.get("name") == "date" else None
    told = {"event": event.get("name") or "api", **({"unknown_zone": zone} if zone else {})}
    return _statement("entered", told, row["started_at"])


def _unwritten(row: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Lines that ride in the row because their writer has not come to add them to the log yet."""
    known = {line["_id"] for line in log}
    riding = [*(row.get("tail") or ()), *(row.get("todo") or {}).get("lines", ())]
    return [line for line in riding if line["_id"] not in known]


def _of_line(line: Mapping[str, Any]) -> Statement:
    said = say(line["code"], line["params"])
    return Statement(line["code"], line["params"], said, line["at"], line["node"], line["visit"], line.get("outcome"))


def _statement(code: str, params: Mapping[str, Any], at: datetime | None = None) -> Statement:
    return Statement(code, params, say(code, params), at)
