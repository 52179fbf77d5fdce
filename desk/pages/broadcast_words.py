"""How a broadcast is shown: its state, its figures, why somebody got nothing, which wording won. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from channels.failures import CONSEQUENCES, Failure
from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from desk.pages.tracked import BY_TRACKING, NOTHING, percent, share_or, uncounted
from inbox.models import Send

STATES = {
    "draft": (N_("Draft"), ""), "scheduled": (N_("Scheduled"), "info"), "running": (N_("Running"), "accent"),
    "paused": (N_("Paused"), "warn"), "done": (N_("Done"), "good"), "cancelled": (N_("Cancelled"), ""),
}  # fmt: skip
SEND_STATES = {
    "planned": (N_("Planned"), ""), "claimed": (N_("Planned"), ""), "deferred": (N_("Waiting"), ""),
    "handed": (N_("Being handed over"), "info"), "accepted": (N_("Sent"), "info"),
    "delivered": (N_("Delivered"), "good"), "read": (N_("Read"), "good"), "failed": (N_("Failed"), "danger"),
    "skipped": (N_("Skipped"), "warn"), "unknown": (N_("Unknown"), "warn"),
}  # fmt: skip
REASONS = {
    "no_address": N_("No address on any of the channels"), "left": N_("Blocked us or left"),
    "shut_out": N_("Shut out"), "suppressed": N_("Address bounced or complained"), "no_consent": N_("No consent"),
    "holdout": N_("Control group"), "late_zone": N_("Too late where they live"), "cancelled": N_("Cancelled before"),
    "overdue": N_("Its time passed during the pause"), "same_person": N_("Gets it under another profile"),
    "left_audience": N_("Not in the audience any more"), "quiet_hours": N_("Quiet hours"),
    "profile_gone": N_("Person erased"), "channel_gone": N_("Channel not connected"),
    "broadcast_paused": N_("Broadcast is paused"), "awaits_winner": N_("Waits for the better wording"),
    "rate": N_("Waits for its turn"), "ramp": N_("Waits for its day"), "window_closed": N_("Reply window closed"),
    "frequency_cap": N_("Written to often enough lately"), "other_way": N_("Goes to another address"),
}  # fmt: skip
METRICS = {
    "delivered": N_("delivered"), "read": N_("read"), "opened": N_("opened"), "clicked": N_("clicked"),
}  # fmt: skip
#: Name of a figure → its words, and the state that lists the people behind it.
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("people", N_("People"), ""), ("waiting", N_("Waiting"), "planned"), ("skipped", N_("Skipped"), "skipped"),
    ("handed", N_("Being handed over"), "handed"), ("accepted", N_("Sent"), ""),
    ("delivered", N_("Delivered"), ""), ("read", N_("Read"), "read"), ("opened", N_("Opened"), ""),
    ("clicked", N_("Clicked"), ""), ("failed", N_("Failed"), "failed"), ("unknown", N_("Unknown"), "unknown"),
    ("unsubscribed", N_("Unsubscribed"), ""),
)  # fmt: skip
#: What is always shown, also when it is nothing.
_ALWAYS = frozenset({"people", "accepted", "delivered", "skipped", "failed"})
_OF_SENT = frozenset({"delivered", "read", "opened", "clicked", "unsubscribed"})
LATE = {
    "send_now": N_("Send to them at once"), "next_day": N_("Send to them the next day at that time"),
    "skip": N_("Leave them out"),
}  # fmt: skip


def reason_words(code: str, formats: Formats, sentence: str = "") -> str:
    """Why, in few words; an unknown code is said by its sentence."""
    if code in REASONS:
        return formats.text(REASONS[code])
    if code in set(Failure):
        return formats.text(CONSEQUENCES[Failure(code)].sentence)
    return formats.text(sentence) if sentence else code.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Figure:
    """A number with its meaning, its share of those reached, and the people behind it."""

    key: str
    value: str
    label: str
    share: str
    href: str


def figures(broadcast_id: str, counts: Mapping[str, Any], formats: Formats) -> list[Figure]:
    """All that say something."""
    sent, found = counts.get("accepted", 0), []
    for key, label, state in FIGURES:
        count = counts.get(key, 0)
        if not count and key not in _ALWAYS:
            continue
        share = percent(count, sent, formats) if key in _OF_SENT and sent else ""
        href = f"/broadcasts/{broadcast_id}/recipients" + (f"?state={state}" if state else "")
        linked = href if state or key == "people" else ""
        found.append(Figure(key, formats.number(count), formats.text(label), share, linked))
    return found


@dataclass(frozen=True)
class ReasonRow:
    """So many for one reason."""

    code: str
    label: str
    count: int
    people: tuple[tuple[str, str], ...] = ()


def reason_rows(
    counts: Mapping[str, int], formats: Formats, sentences: Mapping[str, str] | None = None,
    samples: Mapping[str, Sequence[tuple[str, str]]] | None = None,
) -> list[ReasonRow]:  # fmt: skip
    """The most first. `samples`: (id, name) of some people by code."""
    said, some = sentences or {}, samples or {}
    ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [
        ReasonRow(code, reason_words(code, formats, said.get(code, "")), count, tuple(some.get(code, ())))
        for code, count in ranked
    ]


@dataclass(frozen=True)
class BroadcastRow:
    """One line of the list."""

    id: str
    name: str
    state: str
    label: str
    tone: str
    when: datetime | None
    audience: str
    people: str
    sent: str
    read: str
    percent: int | None
    channels: tuple[Face, ...]
    href: str


def broadcast_row(
    head: Mapping[str, Any], names: Mapping[str, str], faces: Faces, formats: Formats, *, counted: bool,
    telling: Collection[str] = (),
) -> BroadcastRow:  # fmt: skip
    """`counted`: this reader may know the figures; `telling`: providers that tell when a message was read."""
    label, tone = STATES[head["status"]]
    counts = head["counts"] if counted else {}
    at = head["ended_at"] or head["started_at"] or head["start_at"] or head["updated_at"]
    sent = counts.get("accepted", 0)
    marks = tuple(faces.of(each) for each in head["channel_ids"])
    told = counts.get("read", 0) or any(each.provider in telling for each in marks)
    moving = head["status"] in ("running", "paused") and counts.get("people")
    return BroadcastRow(
        head["_id"], head["name"] or formats.text(N_("Without a name")), head["status"], formats.text(label), tone, at,
        audience_words(head["body"], names, formats), formats.number(counts["people"]) if counts.get("people") else "",
        formats.number(sent) if sent else "",
        "" if not sent else percent(counts.get("read", 0), sent, formats) if told else NOTHING,
        progress(counts) if moving else None, marks[:4],
        f"/broadcasts/{head['_id']}",
    )  # fmt: skip


def audience_words(body: Mapping[str, Any], names: Mapping[str, str], formats: Formats) -> str:
    """Whom it is for, and who is left out, in few words."""
    audience = body.get("audience") or {}
    for_whom, left_out = _people_words(audience, names, formats), audience.get("exclude") or {}
    but = _people_words(left_out, names, formats) if for_whom else ""
    return formats.text(N_("%(whom)s · left out: %(left_out)s"), whom=for_whom, left_out=but) if but else for_whom


def _people_words(audience: Mapping[str, Any], names: Mapping[str, str], formats: Formats) -> str:
    ids, rule = audience.get("segment_ids") or (), audience.get("rule")
    if not ids and not rule:
        return ""
    if not ids and rule == {"all": []}:
        return formats.text(N_("Everybody"))
    said = [names.get(each, formats.text(N_("a segment that is gone"))) for each in ids]
    if rule and rule != {"all": []}:
        said.append(formats.text(N_("by conditions")))
    return ", ".join(said)


def progress(counts: Mapping[str, Any]) -> int:
    """How much is through, in whole percent; 100 only when nobody is left."""
    people = counts.get("people", 0)
    left = counts.get("waiting", 0) + counts.get("handed", 0)
    return min(99 if left else 100, round(100 * (people - left) / people)) if people else 0


# -- wordings that are compared ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ArmRow:
    """One wording and what it has come to."""

    name: str
    share: str
    reached: str
    hits: str
    rate: str
    width: int
    is_winner: bool


def arm_rows(
    trial: Mapping[str, Any], results: Sequence[Mapping[str, Any]], winner: Mapping[str, Any] | None, formats: Formats,
    tracked: Collection[str] = BY_TRACKING,
) -> list[ArmRow]:  # fmt: skip
    """As the author ordered them. `tracked`: of `opened` and `clicked` what is counted."""
    metric, all_hits = str(trial.get("metric") or "clicked"), sum(each["hits"] for each in results)
    by_name = {str(each["name"]): each for each in results}
    best = max((each["hits"] / each["reached"] for each in results if each["reached"]), default=0.0)
    rows = []
    for arm in trial.get("arms") or ():
        found = by_name.get(arm["name"], {"reached": 0, "hits": 0})
        rate = found["hits"] / found["reached"] if found["reached"] else 0.0
        rows.append(
            ArmRow(
                arm["name"], percent(arm.get("share", 50), 100, formats), formats.number(found["reached"]),
                NOTHING if uncounted(metric, all_hits, tracked) else formats.number(found["hits"]),
                share_or(metric, all_hits and found["hits"], found["reached"], tracked, formats),
                round(100 * rate / best) if best else 0, winner is not None and winner["arm"] == arm["name"],
            )
        )  # fmt: skip
    return rows


def stopped_words(figures: Mapping[str, int] | None, formats: Formats) -> str:
    """Why the breaker stopped it; `figures`: {failed, ended, minutes}."""
    if not figures:
        return formats.text(N_("It stopped by itself because too much failed."))
    said = {name: formats.number(number) for name, number in figures.items()}
    text = N_("It stopped by itself because %(failed)s of %(ended)s messages failed within %(minutes)s minutes.")
    return formats.text(text, said)


_WHY = {
    ("won", True): N_("“%(arm)s” is ahead, and that is more than chance. It goes to the rest."),
    ("won", False): N_("“%(arm)s” is ahead, though it may be chance. It goes to the rest."),
    ("too_small", False): N_(
        "Too few people for a comparison (%(least)s for each wording were asked for): “%(arm)s” goes to the rest."
    ),
    ("draw", False): N_("No wording is ahead: “%(arm)s” goes to the rest."),
    ("chosen", False): N_("“%(arm)s” was chosen by hand and goes to the rest."),
}  # fmt: skip


def winner_words(winner: Mapping[str, Any], trial: Mapping[str, Any], formats: Formats) -> str:
    """Which wording won and why."""
    words = _WHY.get((winner["why"], bool(winner["certain"])))
    if words is None:
        return str(winner["sentence"])
    return formats.text(words, {"arm": winner["arm"], "least": formats.number(trial.get("min_sample") or 50)})


# -- recipients ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecipientRow:
    """One person and what became of it."""

    profile_id: str
    name: str
    face: Face
    state: str
    tone: str
    reason: str
    detail: str
    arm: str
    attempt: int
    at: datetime


def recipient_row(send: Send, names: Mapping[str, str], faces: Faces, formats: Formats) -> RecipientRow:
    """`names`: of people by id."""
    label, tone = SEND_STATES[send.state]
    reason = send.reason if send.state in ("failed", "skipped", "unknown", "deferred") else None
    return RecipientRow(
        send.profile_id, names.get(send.profile_id, formats.text(N_("Somebody"))), faces.of(send.channel_id),
        formats.text(label), tone, reason_words(reason.code, formats, reason.sentence) if reason else "",
        (reason.detail or "") if reason else "", send.source.node_id or "", send.source.visit or 1,
        send.accepted_at or send.due_at or send.planned_at,
    )  # fmt: skip
