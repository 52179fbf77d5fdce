"""The steps of a journey in words, their ways out, and the counts that stand on them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaigns.drafting import ways_of
from desk.i18n import N_, NN_, Formats
from desk.pages.flow import Exit
from desk.pages.rules import cut, duration_words, event_words, field_words
from desk.pages.sentences import rule_words

#: Reasons of the exit steps of recipes, in words.
LEFT_FOR = {
    "in_conversation": N_("In a conversation"), "handed_to_a_person": N_("Handed to a colleague"),
    "no_answer": N_("No answer came"), "not_done_in_time": N_("Not done in time"),
}  # fmt: skip
SYMBOLS = {
    "send": "paper-airplane", "wait": "clock", "wait_event": "bell", "branch": "arrows-right-left", "split": "scale",
    "holdout": "eye-slash", "update": "pencil-square", "task": "clipboard-document-check", "exit": "flag",
    "jump": "arrow-uturn-up", "notify": "bell-alert", "assign": "user-plus", "note": "lock-closed", "webhook": "bolt",
    "start_journey": "map", "throttle": "queue-list", "digest": "inbox-stack",
}  # fmt: skip
TITLES = {
    "send": N_("Send"), "wait": N_("Wait"), "wait_event": N_("Wait for something"), "branch": N_("Branch"),
    "split": N_("Split"), "holdout": N_("Hold back"), "update": N_("Update"), "task": N_("Task"), "exit": N_("Exit"),
    "jump": N_("Go to"), "notify": N_("Notify"), "assign": N_("Assign"), "note": N_("Note"), "webhook": N_("Webhook"),
    "start_journey": N_("Start a journey"), "throttle": N_("Let pass slowly"), "digest": N_("Gather"),
}  # fmt: skip
WEEKDAYS = {
    "mon": N_("Mon"), "tue": N_("Tue"), "wed": N_("Wed"), "thu": N_("Thu"), "fri": N_("Fri"), "sat": N_("Sat"),
    "sun": N_("Sun"),
}  # fmt: skip
CHANNELS = {"any": N_("any channel")}
WAYS = NN_("%(num)s way", "%(num)s ways")


@dataclass(frozen=True)
class Counts:
    """People at a step: there now, gone on, skipped, failed."""

    waiting: int = 0
    passed: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True)
class StepView:
    """One step as it is drawn."""

    id: str
    kind: str
    symbol: str
    title: str
    detail: str
    counts: Counts = field(default_factory=Counts)
    #: What is wrong with it, in a line.
    fault: str = ""


def step_view(
    step: Mapping[str, Any], counts: Mapping[str, Counts], templates: Mapping[str, str], formats: Formats
) -> StepView:
    """One step. `templates`: names by id."""
    kind = str(step.get("type", ""))
    title = str(step.get("name") or formats.text(TITLES.get(kind, kind)))
    detail = cut(step_words(step, templates, formats))
    symbol = SYMBOLS.get(kind, "question-mark-circle")
    return StepView(str(step["id"]), kind, symbol, title, detail, counts.get(str(step["id"]), Counts()))


def step_words(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    """What a step does, in a line."""
    shape = _SHAPES.get(str(step.get("type")))
    return shape(step, templates, formats) if shape else ""


def _send(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    content = step.get("content") or {}
    words = content.get("subject") or content.get("text") or content.get("body") or content.get("html") or ""
    what = templates.get(str(step.get("template_id") or "")) or " ".join(str(words).split())
    names = [formats.text(CHANNELS.get(each, each)) for each in step.get("channels") or ["any"]]
    where = ", ".join(names)
    return f"{cut(what, 56)} · {where}" if what else where


def _wait(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    if step.get("for"):
        return formats.text(N_("for %(span)s"), span=duration_words(step["for"], formats))
    until = step.get("until")
    if isinstance(until, Mapping):
        parts = [", ".join(formats.text(WEEKDAYS.get(each, each)) for each in until.get("weekdays") or ())]
        parts.append(str(until.get("time") or ""))
        window = until.get("window") or {}
        parts.append(f"{window.get('from')}–{window.get('to')}" if window else "")
        return formats.text(N_("until %(when)s"), when=" ".join(part for part in parts if part))
    date = step.get("until_date") or {}
    return formats.text(N_("until %(when)s"), when=field_words(str(date.get("field", "")), formats))


def _wait_event(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    names = [event_words(str(each["event"]), formats) for each in step.get("any") or () if each.get("event")]
    words = f" {formats.text(N_('or'))} ".join(dict.fromkeys(names))  # several may tell one event apart by its words
    if step.get("timeout"):
        return formats.text(
            N_("until %(event)s, at most %(span)s"), event=words, span=duration_words(step["timeout"], formats)
        )
    return formats.text(N_("until %(when)s"), when=words)


def _branch(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    cases: Sequence[Any] = step.get("cases") or ()
    if len(cases) > 1:
        return formats.plural(*WAYS, len(cases) + 1)
    return rule_words(cases[0]["when"], formats) + "?" if cases and cases[0].get("when") else ""


def _update(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    _ = formats.text
    parts = [f"{field_words(key, formats)} = {value}" for key, value in (step.get("set") or {}).items()]
    parts += [_("add tag %(tag)s", tag=tag) for tag in step.get("add_tags") or ()]
    parts += [_("remove tag %(tag)s", tag=tag) for tag in step.get("remove_tags") or ()]
    parts += [_("stage %(stage)s", stage=step["stage"])] if step.get("stage") else []
    parts += [_("score %(score)s", score=f"{_number(step['score']):+g}")] if step.get("score") else []
    return ", ".join(parts)


def _task(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates, formats
    return str(step.get("text", ""))


def _holdout(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    return formats.text(
        N_("%(percent)s %% get nothing, to measure the difference"), percent=f"{_number(step.get('percent')):g}"
    )


def _exit(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    return left_words(str(step.get("reason") or ""), formats)


def left_words(reason: str, formats: Formats) -> str:
    """Why an exit step ends a run: the reasons of recipes in the reader's language, others as their author wrote
    them."""
    return formats.text(LEFT_FOR[reason]) if reason in LEFT_FOR else reason.replace("_", " ").capitalize()


def _assign(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    whom = {"owner": N_("to the owner"), "round_robin": N_("to colleagues in turn")}
    given = formats.text(whom.get(str(step.get("assignee")), N_("to a colleague")))
    return formats.text(N_("%(what)s, and it waits until that is done"), what=given) if step.get("wait_done") else given


def _webhook(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates, formats
    return cut(str(step.get("url") or "").partition("://")[2], 56)


def _throttle(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    span = duration_words(step["per"], formats) if step.get("per") else ""
    return formats.text(N_("at most %(count)s in %(span)s"), count=step.get("rate", ""), span=span)


def _digest(step: Mapping[str, Any], templates: Mapping[str, str], formats: Formats) -> str:
    del templates
    return formats.text(N_("for %(span)s"), span=duration_words(step["window"], formats)) if step.get("window") else ""


_SHAPES = {
    "send": _send, "wait": _wait, "wait_event": _wait_event, "branch": _branch, "update": _update, "task": _task,
    "holdout": _holdout, "exit": _exit, "notify": _task, "note": _task, "assign": _assign, "webhook": _webhook,
    "throttle": _throttle, "digest": _digest,
}  # fmt: skip


def exits_of(step: Mapping[str, Any], formats: Formats) -> list[Exit]:
    """The ways out of a step with their labels, in the order they are tried."""
    label = _LABELS.get(str(step.get("type")))
    if step.get("type") == "jump":
        return [Exit(step.get("to"))]
    return [
        Exit(to, (label(step, way, formats) if label else "") or _late_label(step, way, formats),
             "late" if way == "timeout_next" else "", way)
        for way, to in ways_of(step)
    ]  # fmt: skip


def _late_label(step: Mapping[str, Any], way: str, formats: Formats) -> str:
    if way == "timeout_next":
        return formats.text(N_("after %(span)s"), span=duration_words(step.get("timeout") or "P90D", formats))
    return formats.text(N_("done")) if step.get("wait_done") and len(ways_of(step)) > 1 else ""


def _branch_label(step: Mapping[str, Any], way: str, formats: Formats) -> str:
    cases = step.get("cases") or ()
    if way == "else":
        return formats.text(N_("no")) if len(cases) == 1 else formats.text(N_("else"))
    return formats.text(N_("yes")) if len(cases) == 1 else cut(_case_words(_member(cases, way), formats), 28)


def _case_words(case: Mapping[str, Any], formats: Formats) -> str:
    return rule_words(case["when"], formats) if case.get("when") else "…"


def _event_label(step: Mapping[str, Any], way: str, formats: Formats) -> str:
    if way == "timeout_next":
        return ""
    event = _member(step.get("any") or (), way).get("event")
    return cut(event_words(str(event), formats), 28) if event else "…"


def _arm_label(step: Mapping[str, Any], way: str, formats: Formats) -> str:
    arms = step.get("arms") or ()
    total = sum(_number(arm.get("weight")) for arm in arms) or 1
    arm = _member(arms, way)
    name = arm.get("name") or chr(65 + _place(way) % 26)
    return f"{name} · {round(100 * _number(arm.get('weight')) / total)} %"


def _place(way: str) -> int:
    return int(way.partition("[")[2].partition("]")[0])


def _member(members: Sequence[Any], way: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = members[_place(way)]
    return found


def _number(value: Any) -> float:
    return value if isinstance(value, int | float) else 0


_LABELS: Mapping[str, Callable[[Mapping[str, Any], str, Formats], str]] = {
    "branch": _branch_label, "wait_event": _event_label, "split": _arm_label,
}  # fmt: skip


def exits_by_step(steps: Sequence[Mapping[str, Any]], formats: Formats) -> dict[str, list[Exit]]:
    """The same for all steps."""
    return {str(step["id"]): exits_of(step, formats) for step in steps}
