"""What can be done to a conversation: from its row as read to what changes, and from there back again. Pure.

An act may be taken back later: `undone_act` sets back what is still as the act left it, and leaves what somebody else
has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from base.errors import Conflict, FieldError, WrongInput
from base.mongo import Document
from channels.vocabulary import Instant
from inbox.models import PRIORITY_RANK, Actor, Priority, Status
from inbox.owning import FIELDS as OWNER
from inbox.owning import LEFT, Reason, belongs_to, freed, given_to, has_bot, unfit

LABELS_MAX, LABEL_MAX = 40, 60
PARTICIPANTS_MAX = 50
#: Parts of a conversation that an act changes, one by one.
Part = Literal["assignee", "team", "labels", "participants", "priority", "status", "unread"]
#: The field that stands for a part. Some change others along with it: a status comes first.
FIELDS: Mapping[str, Part] = {
    "status": "status", "assignee_id": "assignee", "team_id": "team", "labels": "labels",
    "participants": "participants", "priority": "priority", "unread": "unread",
}  # fmt: skip


class AnyOwner:
    """No expectation who has the conversation."""


ANY_OWNER = AnyOwner()


@dataclass(frozen=True)
class Act:
    """One thing done to a conversation as read: its fields, and the line and event that tell of it."""

    set: Document
    unset: Sequence[str] = ()
    code: str | None = None
    params: Document | None = None
    event: str | None = None

    @property
    def part(self) -> Part:
        """Which part of the conversation it changes."""
        return next(part for field, part in FIELDS.items() if field in self.set)


#: From the row as read to what is to be done; None: nothing, it is so already. May raise.
Plan = Callable[[Document], Act | None]


class ListChange(BaseModel):
    """Some more and some less; the others stay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    add: tuple[str, ...] = Field((), max_length=LABELS_MAX)
    remove: tuple[str, ...] = Field((), max_length=LABELS_MAX)

    def of(self, before: Sequence[str]) -> list[str]:
        """The list afterwards."""
        return [x for x in before if x not in self.remove] + [x for x in self.add if x not in before]


class Change(BaseModel):
    """What is to become of conversations; what is not given stays as it is. `assignee_id`, `team_id` None:
    nobody's.

    `status` snoozed without `snoozed_until`: until the customer answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status | None = None
    snoozed_until: Instant | None = None
    assignee_id: str | None = Field(None, pattern=r"^usr_[0-9a-z]{26}$")
    team_id: str | None = Field(None, pattern=r"^tea_[0-9a-z]{26}$")
    labels: ListChange | None = None
    priority: Priority | None = None
    participants: ListChange | None = None
    #: To the bot of its channel.
    hand_to_bot: bool = False
    #: From its bot, to whoever asks. What no bot has stays as it is.
    take_over: bool = False

    @property
    def parts(self) -> list[Part]:
        """Which parts of a conversation it is about."""
        given: list[tuple[Part, bool]] = [
            ("assignee", "assignee_id" in self.model_fields_set), ("team", "team_id" in self.model_fields_set),
            ("labels", self.labels is not None),
            ("participants", self.participants is not None), ("priority", self.priority is not None),
            ("status", self.status is not None or self.hand_to_bot or self.take_over),
        ]  # fmt: skip
        return [part for part, is_given in given if is_given]


def checked(change: Change, now: datetime) -> Change:
    """The change with its labels cleaned. Raises `WrongInput` for one that changes nothing or cannot be made."""
    if not change.parts:
        raise WrongInput("Say what is to be changed.", [FieldError("change", "names nothing that changes")])
    if change.snoozed_until is not None and change.status != "snoozed":
        fault = FieldError("change.snoozed_until", "needs status snoozed")
        raise WrongInput("Only a snoozed conversation has a time.", [fault])
    if change.status == "snoozed":
        require_future(change.snoozed_until, now)
    if change.hand_to_bot and (change.status is not None or change.assignee_id is not None):
        fault = FieldError("change.hand_to_bot", "goes neither with a status nor with an assignee")
        raise WrongInput("What a bot has is pending and nobody's.", [fault])
    if change.take_over and (change.hand_to_bot or not {"status", "assignee_id"}.isdisjoint(change.model_fields_set)):
        fault = FieldError("change.take_over", "goes with no status, no assignee and not with hand_to_bot")
        raise WrongInput("What is taken over is open and yours.", [fault])
    if change.labels is None:
        return change
    labels = ListChange(
        add=tuple(checked_labels(change.labels.add)), remove=tuple(checked_labels(change.labels.remove))
    )
    return change.model_copy(update={"labels": labels})


def plans_of(
    change: Change, by: Actor, now: datetime, *, assignee_name: str | None = None, team_name: str | None = None,
    bots: Mapping[str, str] | None = None, bot_name: str | None = None,
) -> list[Plan]:  # fmt: skip
    """One plan for each part of a change that was checked. `bots`: channel → its bot; `bot_name`: who has it now."""
    plans: list[Plan] = []
    if "assignee" in change.parts:
        plans.append(assigned(change.assignee_id, by, now, name=assignee_name))
    if "team" in change.parts:
        plans.append(in_team(change.team_id, by, name=team_name))
    if change.labels is not None:
        plans.append(labels_changed(change.labels, by))
    if change.participants is not None:
        plans.append(participants_changed(change.participants, by))
    if change.priority is not None:
        plans.append(prioritised(change.priority, by))
    if change.status is not None:
        plans.append(status_set(change.status, by, now, snoozed_until=change.snoozed_until))
    if change.hand_to_bot:
        plans.append(handed_to_bot(bots or {}, by, now))
    if change.take_over:
        plans.append(handed_over(by, "taken", now, bot_name=bot_name, to=by if _is_person(by) else None))
    return plans


# -- one part each ---------------------------------------------------------------------------------------------------


def assigned(
    assignee_id: str | None, by: Actor, now: datetime, *, name: str | None = None,
    expected: str | AnyOwner | None = ANY_OWNER,
) -> Plan:  # fmt: skip
    """Give it to somebody, or (None) to nobody; with `expected` only when that one has it now, else `Conflict`."""

    def plan(row: Document) -> Act | None:
        now_has = row.get("assignee_id")
        if not isinstance(expected, AnyOwner) and now_has != expected:
            raise Conflict("Somebody else has taken this conversation meanwhile.", code="assigned_meanwhile")
        if now_has == assignee_id:
            return None
        params = {"from": now_has, "to": assignee_id, "to_name": name, **_signed(by)}
        return assign_act(row, assignee_id, "assigned" if assignee_id else "unassigned", params, now)

    return plan


def assign_act(row: Document, assignee_id: str | None, code: str, params: Document, now: datetime) -> Act:
    """It is somebody's, or nobody's; a bot has it no longer. Who gave it away, and which teams it has left, counts no
    more."""
    gone = tuple(each for each in ("released_from", "fallen_from", *(OWNER if assignee_id else ())) if each in row)
    change = {**(freed(row, now) if assignee_id else {}), "assignee_id": assignee_id, "assigned_at": now}
    return Act(change, gone, code, params, "conversation.assigned")


def in_team(team_id: str | None, by: Actor, *, name: str | None = None) -> Plan:
    """Move it to a team, or (None) to none."""

    def plan(row: Document) -> Act | None:
        if row.get("team_id") == team_id:
            return None
        return team_act(row, team_id, name, by, chosen=True)

    return plan


def team_act(row: Document, team_id: str | None, name: str | None, by: Actor, *, chosen: bool) -> Act:
    """It moves to a team. `chosen`: somebody said so, rather than its channel."""
    params = {"from": row.get("team_id"), "to": team_id, "to_name": name, **_signed(by)}
    change = {"team_id": team_id, **({"team_chosen": True} if chosen else {})}
    return Act(change, (), "team_assigned" if team_id else "team_left", params, "conversation.assigned")


def labels_set(labels: Sequence[str], by: Actor) -> Plan:
    """Exactly these labels."""
    wanted = checked_labels(labels)
    return lambda row: _labels_act(row, wanted, by)


def labels_changed(change: ListChange, by: Actor) -> Plan:
    """Add and remove labels; the others stay."""
    return lambda row: _labels_act(row, change.of(row.get("labels", [])), by)


def _labels_act(row: Document, after: list[str], by: Actor) -> Act | None:
    before = row.get("labels", [])
    moved = _moved(before, after)
    if not moved["added"] and not moved["removed"]:
        return None
    params = {**moved, **_signed(by)}
    return Act({"labels": checked_labels(after)}, (), "labelled", params, "conversation.labelled")


def participants_set(user_ids: Sequence[str], by: Actor) -> Plan:
    """Exactly these follow it, although somebody else may have it."""
    wanted = list(dict.fromkeys(user_ids))
    return lambda row: _participants_act(row, wanted, by)


def participants_changed(change: ListChange, by: Actor) -> Plan:
    """Who follows it: some more, some less; the others stay."""
    return lambda row: _participants_act(row, change.of(row.get("participants", [])), by)


def _participants_act(row: Document, after: list[str], by: Actor) -> Act | None:
    before = row.get("participants", [])
    moved = _moved(before, after)
    if not moved["added"] and not moved["removed"]:
        return None
    if len(after) > PARTICIPANTS_MAX:
        fault = FieldError("participants", f"at most {PARTICIPANTS_MAX}")
        raise WrongInput("So many people cannot follow one conversation.", [fault])
    code, event = "participants_changed", "conversation.participants_changed"
    return Act({"participants": after}, (), code, {**moved, **_signed(by)}, event)


def prioritised(priority: Priority, by: Actor) -> Plan:
    """None, low, medium, high or urgent."""
    if priority not in PRIORITY_RANK:
        raise WrongInput("There is no such priority.", [FieldError("priority", " ".join(PRIORITY_RANK))])

    def plan(row: Document) -> Act | None:
        if row.get("priority") == priority:
            return None
        params = {"from": row.get("priority"), "to": priority, **_signed(by)}
        change = {"priority": priority, "priority_rank": PRIORITY_RANK[priority]}
        return Act(change, (), "prioritised", params, "conversation.prioritised")

    return plan


def status_set(status: Status, by: Actor, now: datetime, *, snoozed_until: datetime | None = None) -> Plan:
    """Open, pending, snoozed (until a time, or an answer), resolved or spam."""
    if status == "snoozed":
        require_future(snoozed_until, now)

    def plan(row: Document) -> Act | None:
        if row["status"] == status and row.get("snoozed_until") == snoozed_until:
            return None
        return status_act(row, status, snoozed_until, by, now)

    return plan


def status_act(row: Document, status: Status, snoozed_until: datetime | None, by: Actor, now: datetime) -> Act:
    """What a status that it does not have yet does to a conversation and its clocks."""
    taken = freed(row, now) if status == "open" else {}
    change: Document = {**taken, "status": status}
    gone = ["snoozed_until", *OWNER]
    if status == "resolved":
        gone += ["open", "waiting_since", LEFT]
        change |= {"resolved_at": now, "unread": 0}
    else:
        gone.append("resolved_at")
        change |= holds_slot(row)
    if status == "open":
        change["reopened_at"] = now
    if status == "spam":
        gone.append("waiting_since")
        change["unread"] = 0
    if snoozed_until is not None:
        gone.remove("snoozed_until")
        change["snoozed_until"] = snoozed_until
    params: dict[str, Any] = {"from": row["status"], "to": status, **_signed(by)}
    if snoozed_until is not None:
        params["until"] = snoozed_until
    code = "woken" if by.type == "system" and row["status"] == "snoozed" else "status_changed"
    unset = tuple(name for name in gone if name in row)
    return Act(change, unset, code, params, "conversation.status_changed")


#: Why a conversation is not given to a bot: code → sentence.
NOT_FOR_BOTS: Mapping[str, str] = {
    "no_bot": "No bot answers on this channel.",
    "unfit": "A bot takes no groups, no spam and nothing that was merged or split off.",
}


def handed_to_bot(bots: Mapping[str, str], by: Actor, now: datetime) -> Plan:
    """The bot of its channel has it from now on, and is told so. `bots`: channel → its bot.

    Raises `Conflict` where there is none, for what is nothing for a bot, and for a rule whose bot has lost it already:
    that would go round.
    """

    def plan(row: Document) -> Act | None:
        if has_bot(row):
            return None
        if row["channel_id"] not in bots:
            raise Conflict(NOT_FOR_BOTS["no_bot"], code="no_bot")
        if unfit(row) or row["status"] == "spam":
            raise Conflict(NOT_FOR_BOTS["unfit"], code="unfit")
        if by.type != "agent" and row.get(LEFT):
            raise Conflict("The bot has lost this conversation to people.", code="bot_lost_it")
        return bot_act(row, bots[row["channel_id"]], by, now)

    return plan


def handed_over(
    by: Actor, reason: Reason, now: datetime, *, bot_name: str | None = None, said: str | None = None,
    to: Actor | None = None,
) -> Plan:  # fmt: skip
    """People have it. Where they have it already nothing is done, but a bot that does not have it is told so
    (`Conflict`)."""

    def plan(row: Document) -> Act | None:
        if by.type == "bot" and not belongs_to(row, by.id or ""):
            raise Conflict("People have this conversation now.", code="not_yours")
        change = freed(row, now)
        if not change:
            return None
        change |= {"assignee_id": to.id, "assigned_at": now} if to else {}
        told = {
            "from": row["status"], "to": "open", "by": by.id, "by_name": by.name, "bot_id": row.get("bot_id"),
            "bot_name": bot_name, "reason": reason, "said": said,
        }  # fmt: skip
        params = {name: value for name, value in told.items() if value is not None}
        return Act(change, OWNER, "handed_over", params, "conversation.status_changed")

    return plan


def bot_act(row: Document, bot_id: str, by: Actor, now: datetime) -> Act:
    """A bot has it, and nobody else waits for it."""
    act = status_act(row, "pending", None, by, now)
    gone = [name for name in act.unset if name not in OWNER]
    gone += [name for name in ("waiting_since", LEFT) if name in row]
    params = {**(act.params or {}), "bot_id": bot_id, "bot_seq": row["seq"], "waits": bool(row.get("waiting_since"))}
    change = {**act.set, **given_to(bot_id, row), "assignee_id": None}
    return Act(change, tuple(gone), "given_to_bot", params, "conversation.status_changed")


def holds_slot(row: Mapping[str, Any]) -> Document:
    """A conversation that goes on holds its slot; one that was split off has none."""
    return {} if row.get("branch") else {"open": True}


def read(row: Document) -> Act | None:
    """The customer's messages have been seen. Leaves no line."""
    return Act({"unread": 0}) if row.get("unread") else None


def unread(row: Document) -> Act | None:
    """Somebody is to look at it again. Leaves no line."""
    return None if row.get("unread") else Act({"unread": 1})


# -- back again ------------------------------------------------------------------------------------------------------


def trace(row: Document, act: Act) -> Document:
    """What is kept of an act on a row as read: `{part, before, after}`, so that it can be taken back."""
    names = [*act.set, *act.unset]
    return {
        "part": act.part, "before": {name: row[name] for name in names if name in row}, "after": dict(act.set),
    }  # fmt: skip


def undone_act(row: Document, kept: Mapping[str, Any], by: Actor, waits_since: datetime | None) -> Act | None:
    """The act that sets a part back; None: somebody has changed it since, so it is left.

    `waits_since`: when the customer first wrote after the act, for clocks that did not run meanwhile.
    """
    part, before, after = kept["part"], kept["before"], kept["after"]
    if part in ("labels", "participants"):
        return _undone_list(row, part, before.get(part, []), after.get(part, []), by)
    if part == "status":
        return _undone_status(row, before, after, by, waits_since)
    names = {"assignee": "assignee_id", "team": "team_id", "priority": "priority"}
    name = names[part]
    if row.get(name) != after.get(name):
        return None
    if part == "priority":
        return prioritised(before.get(name, "none"), by)(row)
    if part == "team":
        return _taken_back(in_team(before.get(name), by)(row))
    return _taken_back(assigned(before.get(name), by, after.get("assigned_at") or row["updated_at"])(row))


def _taken_back(act: Act | None) -> Act | None:
    """Its line says so, and names nobody: who it went back to is known by id alone."""
    return act and replace(act, params={**(act.params or {}), "taken_back": True})


def _undone_list(row: Document, part: Part, before: list[str], after: list[str], by: Actor) -> Act | None:
    moved = _moved(before, after)
    back = ListChange.model_construct(add=tuple(moved["removed"]), remove=tuple(moved["added"]))
    plan = labels_changed(back, by) if part == "labels" else participants_changed(back, by)
    return plan(row)


def _undone_status(
    row: Document, before: Mapping[str, Any], after: Mapping[str, Any], by: Actor, waits_since: datetime | None
) -> Act | None:
    if any(row.get(name) != after.get(name) for name in ("status", "snoozed_until", "resolved_at", "bot_id")):
        return None
    status: Status = before["status"]
    change: Document = {"status": status}
    gone = ["snoozed_until", "resolved_at", *OWNER, LEFT]
    for name in ("snoozed_until", "resolved_at", *OWNER, LEFT):
        if name in before:
            gone.remove(name)
            change[name] = before[name]
    if "assignee_id" in after and row.get("assignee_id") == after["assignee_id"]:
        change["assignee_id"] = before.get("assignee_id")
    of_bot = has_bot(before)
    change |= given_to(before["bot_id"], row) if of_bot else {}
    if status == "resolved" or of_bot:
        gone.append("waiting_since")
    if status == "resolved":
        gone.append("open")
    else:
        clock = _clock_again(row, before, waits_since)
        change |= {**holds_slot(row), **({} if of_bot else clock)}
    params = {"from": row["status"], "to": status, "taken_back": True, **_signed(by)}
    if of_bot:
        waits = bool(row.get("waiting_since") or waits_since)
        params |= {"bot_id": before["bot_id"], "bot_seq": row["seq"], "waits": waits}
    if "snoozed_until" in change:
        params["until"] = change["snoozed_until"]
    unset = tuple(name for name in gone if name in row)
    return Act(change, unset, "status_changed", params, "conversation.status_changed")


def _clock_again(row: Document, before: Mapping[str, Any], waits_since: datetime | None) -> Document:
    """The customer waits as before, unless somebody has answered since; new messages are new."""
    if before["status"] == "spam":
        return {}
    waited = before.get("waiting_since")
    answered = row.get("last_reply_at")
    since = waited if waited is not None and (answered is None or answered < waited) else waits_since
    change: Document = {"unread": max(row.get("unread", 0), before.get("unread", 0), int(waits_since is not None))}
    return change | ({"waiting_since": since} if since is not None else {})


# -- checks ----------------------------------------------------------------------------------------------------------


def checked_labels(labels: Sequence[str]) -> list[str]:
    """Trimmed, each once. Raises `WrongInput` for too many or too long ones."""
    wanted = list(dict.fromkeys(label.strip() for label in labels if label.strip()))
    if len(wanted) > LABELS_MAX or any(len(label) > LABEL_MAX for label in wanted):
        fault = FieldError("labels", f"at most {LABELS_MAX} labels of at most {LABEL_MAX} characters")
        raise WrongInput("These labels cannot be kept.", [fault])
    return wanted


def require_future(until: datetime | None, now: datetime) -> None:
    """Raise `WrongInput` for a snooze until a time that is over. None: until an answer."""
    if until is not None and until <= now:
        fault = FieldError("snoozed_until", "a time to come, or none: until they answer")
        raise WrongInput("A conversation is snoozed until a time to come.", [fault])


def _moved(before: Sequence[str], after: Sequence[str]) -> dict[str, list[str]]:
    return {"added": [x for x in after if x not in before], "removed": [x for x in before if x not in after]}


def _is_person(by: Actor) -> bool:
    return (by.id or "").startswith("usr_")


def _signed(by: Actor) -> Document:
    return {"by": by.id, "by_name": by.name}
