"""A person's run through a journey in words: where it is, why it waits, until when, what happened before. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from campaigns.explain import Explanation, Statement
from desk.i18n import N_, Formats
from desk.pages.faces import Faces
from desk.pages.journey_steps import SYMBOLS, TITLES, left_words, step_words
from desk.pages.rules import duration_words, event_words

LIVE = ("waiting", "held")
ENDS = {
    "completed": N_("Came to its end"),
    "goal": N_("Reached the goal"),
    "exit_condition": N_("Left because the exit condition came true"),
    "exit_step": N_("Left by an exit step"),
    "send_skipped": N_("Left because a message could not be sent"),
    "send_failed": N_("Left because a message failed"),
    "webhook_failed": N_("Left because an address could not be called"),
    "digested": N_("Gathered by an earlier run, which goes on for both"),
    "date_passed": N_("Left because the date had passed"),
    "step_removed": N_("Ended, because its step was taken out of the journey and nothing follows it"),
    "step_missing": N_("Stopped: its step is no longer there"),
    "too_many_visits": N_("Stopped: it went in circles"),
    "loop": N_("Loop stopped: too many journeys had led to one another"),
    "restarted": N_("Ended, because the person began anew"),
    "exited": N_("Taken out by a colleague"),
    "merged": N_("Ended, because two people turned out to be one and the other run had come further"),
    "archived": N_("Ended, because the journey was archived"),
    "dead": N_("Stopped by a fault"),
    "error": N_("Stopped by a fault"),
}
#: Why the message of a run has to wait, by the code of its reason.
HELD_UP = {
    "quiet_hours": N_("It waits for the end of the quiet hours."),
    "capped": N_("The person has had as many messages as a cap allows. It waits until there is room again."),
    "step_stopped": N_(
        "Too many messages of this step failed, so its sends are stopped. See Settings → Rules of sending."
    ),
    "journey_paused": N_("The journey is paused. Everybody in it stays where they are."),
}
#: Log code → sentence and tone. A code unknown here shows itself.
LOG: Mapping[str, tuple[str, str]] = {
    "send.accepted": (N_("Sent by %(channel)s"), "good"),
    "send.delivered": (N_("Arrived by %(channel)s"), "good"),
    "send.not_delivered": (N_("Sent by %(channel)s; nobody said in time that it arrived"), ""),
    "send.skipped": (N_("Not sent: %(why)s"), ""),
    "send.failed": (N_("Failed: %(why)s"), "bad"),
    "send.unknown": (N_("Perhaps sent by %(channel)s; not repeated"), "bad"),
    "send.holdout": (N_("Not sent: the person is in the control group"), ""),
    "wait.send": (N_("Handed to %(channel)s"), ""),
    "wait.time": (N_("Waits until %(until)s"), "now"),
    "wait.event": (N_("Waits until %(events)s, at most until %(until)s"), "now"),
    "wait.task": (N_("Waits for a colleague, at most until %(until)s"), "now"),
    "wait.call": (N_("Waits for an answer from %(host)s"), "now"),
    "wait.turn": (N_("Waits for its turn, expected %(until)s (%(ahead)s before it)"), "now"),
    "wait.digest": (N_("Gathers until %(until)s, %(count)s so far"), "now"),
    "wait.queue": (N_("Waits for an earlier run of the same person"), "now"),
    "wait.over": (N_("The time was over"), ""),
    "wait.no_date": (N_("There was no date to wait for"), ""),
    "wait.date_passed": (N_("The date had passed already"), ""),
    "wait_event.came": (N_("It happened: %(event)s"), "good"),
    "wait_event.timeout": (N_("Nothing happened in time"), ""),
    "branch.case": (N_("True: went that way"), ""),
    "branch.else": (N_("Not true: went the other way"), ""),
    "split.arm": (N_("Went way %(arm)s"), ""),
    "split.winner": (N_("Went way %(arm)s, which has won"), ""),
    "holdout.apart": (N_("Put into the control group"), ""),
    "holdout.included": (N_("Not in the control group"), ""),
    "update.done": (N_("Profile changed"), "good"),
    "task.created": (N_("Task made"), "good"),
    "task.done": (N_("Task done"), "good"),
    "task.timeout": (N_("The task was not done in time"), ""),
    "notify.told": (N_("Colleagues told"), "good"),
    "assign.given": (N_("Given to a colleague"), "good"),
    "note.written": (N_("Note written"), "good"),
    "webhook.answered": (N_("Answered with %(status)s"), "good"),
    "webhook.failed": (N_("Not answered after %(tries)s tries: %(why)s"), "bad"),
    "start_journey.asked": (N_("Another journey was asked to take the person in"), ""),
    "start_journey.started": (N_("Another journey was started"), "good"),
    "start_journey.refused": (N_("Another journey did not take the person in: %(reason)s"), ""),
    "start_journey.too_deep": (N_("Not started: too many journeys have started each other"), "bad"),
    "throttle.passed": (N_("It was its turn"), ""),
    "digest.closed": (N_("Went on with %(count)s gathered"), "good"),
    "jump": (N_("Went on elsewhere"), ""),
    "version.same": (N_("Taken along from version %(from)s to %(to)s"), ""),
    "version.changed": (N_("Taken along from version %(from)s to %(to)s; the step was looked at anew"), ""),
    "version.gone": (N_("Its step is gone: taken along from version %(from)s to %(to)s, at another step"), ""),
    "version.out": (N_("Its step is gone: taken out with version %(to)s"), ""),
    "version.back": (N_("Put back from version %(from)s to %(to)s"), ""),
    "send.back": (N_("Not sent while the person was elsewhere; asked for again"), ""),
    "merge.undone": (N_("Goes on, because the merge that ended it was undone"), "good"),
    "goal.jump": (N_("Reached the goal and went on elsewhere"), "good"),
}
WHY = {
    "no_address": N_("no address on these channels"),
    "no_consent": N_("no consent"),
    "consent_denied": N_("no consent"),
    "consent": N_("no consent"),
    "suppressed": N_("the address is out of use"),
    "shut_out": N_("the person is shut out"),
    "unreachable": N_("the person can not be reached"),
    "window_closed": N_("the reply window is closed"),
    "overdue": N_("it was too late for it"),
    "holdout": N_("the person is in the control group"),
    "run_over": N_("the run was over"),
    "run_elsewhere": N_("the person had moved on"),
    "goal": N_("the goal was reached"),
    "exit_condition": N_("the exit condition came true"),
    "cancelled": N_("it was cancelled"),
    "quiet_hours": N_("it came due in the quiet hours"),
    "refused_address": N_("the address is a private one"),
    "connect": N_("it could not be reached"),
    "timeout": N_("no answer in time"),
    "cut": N_("the connection broke"),
    "status": N_("it answered with an error"),
    "crashed": N_("it broke off too often"),
    "template_failed": N_("the body could not be filled in"),
    "not_running": N_("it takes nobody in"),
    "once": N_("the person has been in it"),
    "active": N_("the person is in it"),
    "cooldown": N_("the person was in it a short while ago"),
    "queued_already": N_("the person waits for it already"),
}
WAITS = {
    "time": N_("Waits until %(until)s"),
    "event": N_("Waits for something to happen, at most until %(until)s"),
    "send": N_("Waits for its message to go out"),
    "task": N_("Waits for a colleague, at most until %(until)s"),
    "queue": N_("Waits for an earlier run of the same person to end"),
    "call": N_("Waits for an address to answer"),
    "turn": N_("Waits for its turn"),
    "digest": N_("Gathers until %(until)s"),
}

NOBODY = Faces([], [])


@dataclass(frozen=True)
class RunBrief:
    """A journey the person is or was in, in a line."""

    id: str
    journey: str
    sentence: str
    live: bool


@dataclass(frozen=True)
class Happened:
    """One line of a run's log."""

    title: str
    sentence: str
    symbol: str
    tone: str
    at: datetime


@dataclass(frozen=True)
class RunView:
    """The page of a run."""

    id: str
    journey_id: str
    journey: str
    profile_id: str
    person: str
    state: str
    tone: str
    live: bool
    heading: str
    sentence: str
    until: str
    log: tuple[Happened, ...]
    version: str


@dataclass(frozen=True)
class RunRow:
    """One person in the list of a journey or a step."""

    id: str
    name: str
    profile_id: str
    step: str
    since: datetime
    due_at: datetime | None
    state: str
    tone: str


def is_live(row: Mapping[str, Any]) -> bool:
    """Not over, and not about to be."""
    return row["state"] in LIVE and not (row.get("next") or {}).get("end")


def state_words(row: Mapping[str, Any], formats: Formats) -> tuple[str, str]:
    """The state in a word, and its colour."""
    if row["state"] == "dead":
        return formats.text(N_("Stopped")), "danger"
    if not is_live(row):
        reason = (row.get("end") or {}).get("reason")
        return (formats.text(N_("Goal reached")), "accent") if reason == "goal" else (formats.text(N_("Over")), "")
    return (formats.text(N_("Held")), "warn") if row["state"] == "held" else (formats.text(N_("Running")), "good")


def run_brief(row: Mapping[str, Any], journey: str, formats: Formats) -> RunBrief:
    """One run in a line."""
    return RunBrief(row["_id"], journey, brief_sentence(row, formats), is_live(row))


def brief_sentence(row: Mapping[str, Any], formats: Formats) -> str:
    """Why it stands where it stands, in few words."""
    if not is_live(row):
        return end_words(row, formats)
    if row["state"] == "held":
        return formats.text(N_("Held: the journey is paused"))
    wait = row.get("wait") or {}
    until = wait.get("until") or row.get("due_at")
    if not until:
        return formats.text(N_("Goes on right now"))
    return formats.text(WAITS.get(str(wait.get("kind", "time")), WAITS["time"]), until=formats.moment(until))


def end_words(row: Mapping[str, Any], formats: Formats) -> str:
    """How it ended."""
    end = row.get("end") or (row.get("next") or {}).get("end") or {}
    reason = str(end.get("reason") or ("dead" if row["state"] == "dead" else "completed"))
    words = formats.text(ENDS[reason]) if reason in ENDS else left_words(reason, formats)
    return f"{words} · {formats.moment(end['at'])}" if end.get("at") else words


def run_row(row: Mapping[str, Any], name: str, titles: Mapping[str, str], formats: Formats) -> RunRow:
    """One person in a journey. `titles`: of steps by id."""
    state, tone = state_words(row, formats)
    live = is_live(row)
    step = titles.get(row["node"], row["node"]) if live else end_words(row, formats)
    due = row.get("due_at") if live else None
    return RunRow(row["_id"], name, row["profile_id"], step, row["entered_at"], due, state, tone)


def left_row(row: Mapping[str, Any], name: str, titles: Mapping[str, str], formats: Formats) -> RunRow:
    """One person who left a step: a line of the log. `titles`: of steps by id."""
    code, params = str(row.get("code", "")), row.get("params") or {}
    tone = LOG[code][1] if code in LOG else ""
    sentence = formats.text(LOG[code][0], _shown(params, NOBODY, formats)) if code in LOG else code
    shown = {"good": "good", "bad": "danger"}.get(tone, "")
    return RunRow(row["enrolment_id"], name, row["profile_id"], sentence, row["at"], None, "", shown)


def run_view(
    explanation: Explanation, definition: Mapping[str, Any], *, person: str, faces: Faces, formats: Formats,
    names: Mapping[str, str] = MappingProxyType({}),
) -> RunView:  # fmt: skip
    """A run that explains itself. `names`: of colleagues by id."""
    steps = {str(step["id"]): step for step in definition.get("steps", ())}
    row = {"state": explanation.state, "end": _end_of(explanation)}
    state, tone = state_words(row, formats)
    live = is_live(row)
    heading = formats.text(N_("Why it waits") if live else N_("How it ended"))
    log = [_line(each, steps, faces, formats) for each in explanation.log]
    return RunView(
        explanation.id, explanation.journey_id, explanation.journey, explanation.profile_id, person, state, tone, live,
        heading, _why(explanation, steps, faces, formats), _goes_on(explanation, steps, formats), tuple(log),
        _version_words(explanation, names, formats),
    )  # fmt: skip


def _version_words(explanation: Explanation, names: Mapping[str, str], formats: Formats) -> str:
    version = formats.text(N_("Version %(version)s"), version=explanation.version)
    if explanation.version_before is None:
        return version
    told = {
        "before": explanation.version_before, "when": formats.moment(explanation.version_since),
        "who": names.get(explanation.version_by or ""),
    }  # fmt: skip
    since = (
        formats.text(N_("since %(when)s, taken along from version %(before)s by %(who)s"), told)
        if told["who"] else formats.text(N_("since %(when)s, taken along from version %(before)s"), told)
    )  # fmt: skip
    return f"{version} · {since}"


def _end_of(explanation: Explanation) -> dict[str, Any] | None:
    code = explanation.why.code
    return {"reason": code.removeprefix("end."), "at": explanation.why.at} if code.startswith("end.") else None


def step_title(step: Mapping[str, Any] | None, formats: Formats) -> str:
    """What a step is called."""
    if step is None:
        return ""
    kind = str(step.get("type", ""))
    return str(step.get("name") or formats.text(TITLES.get(kind, kind)))


def _why(explanation: Explanation, steps: Mapping[str, Mapping[str, Any]], faces: Faces, formats: Formats) -> str:
    why, step = explanation.why, steps.get(explanation.node)
    if why.code.startswith("end."):
        return end_words({"state": explanation.state, "end": _end_of(explanation)}, formats)
    if why.code == "wait.held":
        return formats.text(N_("The journey is paused. Everybody in it stays where they are."))
    if why.code == "wait.now":
        return formats.text(N_("Goes on right now."))
    if why.code == "wait.send":
        return formats.text(WAITS["send"]) + "."
    if why.code == "wait.held_up":
        code = str(why.params["code"])
        return formats.text(HELD_UP[code]) if code in HELD_UP else str(why.params["reason"])
    if why.code == "wait.event":
        events = _shown(why.params, faces, formats)["events"]
        return formats.text(N_("Waits until %(events)s."), events=events)
    if why.code == "wait.time" and step and step.get("for"):
        return formats.text(N_("Waits for %(span)s."), span=duration_words(step["for"], formats))
    return _sentence(why.code, why.params, faces, formats) + "."


def _goes_on(explanation: Explanation, steps: Mapping[str, Mapping[str, Any]], formats: Formats) -> str:
    until, code = explanation.until, explanation.why.code
    if until is None or code in ("wait.now", "wait.held"):
        return ""
    step = steps.get(explanation.node) or {}
    after = step.get("timeout_next") if code == "wait.event" else step.get("next")
    title = step_title(steps.get(str(after)), formats)
    left = formats.span(max(60.0, (until - formats.now).total_seconds()), parts=2)  # "in now" is no time
    values = {"when": formats.moment(until), "left": left, "step": title}
    if code in ("wait.time", "wait.event") and title:
        return formats.text(N_("At the latest on %(when)s (in %(left)s) it goes on with “%(step)s”."), values)
    if code in ("wait.time", "wait.event"):
        return formats.text(N_("At the latest on %(when)s (in %(left)s) the journey ends."), values)
    return formats.text(N_("Looked at again on %(when)s."), values)


def _line(line: Statement, steps: Mapping[str, Mapping[str, Any]], faces: Faces, formats: Formats) -> Happened:
    at = line.at or formats.now
    if line.code == "entered":
        name = str(line.params.get("event") or "api")
        began = formats.text(N_("by a program or a colleague")) if name == "api" else event_words(name, formats)
        if zone := line.params.get("unknown_zone"):
            began = formats.text(N_("%(what)s; there is no time zone “%(zone)s”: our own"), what=began, zone=zone)
        return Happened(formats.text(N_("Began")), began, "bolt", "good", at)
    if line.code.startswith("end."):
        words = end_words({"state": "ended", "end": {"reason": line.code.removeprefix("end.")}}, formats)
        tone = "good" if line.code in ("end.goal", "end.completed") else ""
        return Happened(formats.text(N_("Ended")), words, "flag", tone, at)
    step = steps.get(str(line.node))
    symbol = SYMBOLS.get(str((step or {}).get("type", "")), "ellipsis-horizontal")
    sentence = _sentence(line.code, line.params, faces, formats)
    if line.code in ("wait.time", "branch.case", "branch.else") and step:
        sentence = " · ".join(each for each in (step_words(step, {}, formats), sentence) if each)
    tone = LOG[line.code][1] if line.code in LOG else ""
    return Happened(step_title(step, formats) or str(line.node), sentence, symbol, tone, at)


def _sentence(code: str, params: Mapping[str, Any], faces: Faces, formats: Formats) -> str:
    return formats.text(LOG[code][0], _shown(params, faces, formats)) if code in LOG else code


def _shown(params: Mapping[str, Any], faces: Faces, formats: Formats) -> dict[str, str]:
    channel = faces.of(str(params.get("channel_id") or ""), str(params.get("provider") or "")).name
    why = str(params.get("code") or "")
    until = params.get("until")
    events = [event_words(str(each), formats) for each in params.get("events") or ()]
    return {
        "channel": channel or formats.text(N_("a channel")),
        "why": formats.text(WHY[why]) if why in WHY else why.replace("_", " "),
        "until": formats.moment(until) if isinstance(until, datetime) else str(until or ""),
        "events": f" {formats.text(N_('or'))} ".join(dict.fromkeys(events)),
        "event": event_words(str(params.get("event", "")), formats),
        "arm": str(params.get("arm", "")),
        "reason": formats.text(WHY.get(str(params.get("why")), str(params.get("why") or ""))),
        **{name: str(params.get(name, "")) for name in ("host", "status", "tries", "ahead", "count", "from", "to")},
    }
