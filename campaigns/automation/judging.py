"""Whether a rule fits, and what speaks against an action of it: values and a time in, values out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from base.mongo import Document
from campaigns.causes import Chain, rules_in
from campaigns.conditions import Condition, Group, Leaf, Scope, holds
from campaigns.facts import order_view
from inbox.owning import has_bot
from orders.models import Order
from profiles.events import Event

#: Runs of rules that may follow from one another.
CHAIN_MAX = 5
#: A rule that would have run in circles so often is switched off.
LOOPS_MAX = 20
#: A rule answers in one conversation at most so often within this time.
ANSWERS_MAX, ANSWERS_WITHIN = 3, timedelta(minutes=10)
#: States in which there is something to be done.
OPEN = frozenset({"open", "pending", "snoozed"})
#: What is older when we hear of it moves no rule: an answer to yesterday's news helps nobody.
TOO_OLD = timedelta(hours=24)


def conversation_view(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A conversation as rules see it; see `campaigns.automation.models.CONVERSATION_FIELDS`."""
    waiting = row.get("waiting_since")
    last = row.get("last_message") or {}
    return {
        "id": row["_id"], "status": row["status"], "channel_id": row["channel_id"], "provider": row.get("provider"),
        "team_id": row.get("team_id"), "assignee_id": row.get("assignee_id"), "labels": list(row.get("labels") or ()),
        "priority": row.get("priority") or "none", "subject": row.get("subject"), "open": row["status"] in OPEN,
        "waiting": waiting is not None,
        "waiting_s": _since(waiting, now), "idle_s": _since(row.get("last_activity_at"), now),
        "unread": row.get("unread") or 0, "message_count": row.get("message_count") or 0,
        "answered": row.get("first_reply_at") is not None, "text": last.get("text"),
        "group": bool(row.get("group_id")), "owner": "bot" if has_bot(row) else "agents",
    }  # fmt: skip


def _since(at: datetime | None, now: datetime) -> int:
    return 0 if at is None else max(0, int((now - at).total_seconds()))


def order_values(orders: Sequence[Order], event: Event | None) -> dict[str, Any]:
    """The order a rule looks at: the one that the event is about, else the person's latest."""
    told = event.properties if event is not None else {}
    very = [each for each in orders if each.id == told.get("order_id")]
    number = told.get("external_id")
    same = very or [each for each in orders if number and each.external_id == number]
    return order_view(same or list(orders[:1]))


def event_view(event: Event | None) -> dict[str, Any]:
    """An event as rules see it."""
    if event is None:
        return {}
    return {
        "id": event.id, "name": event.name, "occurred_at": event.occurred_at, "channel_id": event.channel_id,
        "conversation_id": event.conversation_id, "properties": dict(event.properties),
    }  # fmt: skip


def judged(
    condition: Condition | None, scope: Scope, now: datetime, kept: Sequence[bool] | None = None
) -> tuple[bool, list[bool]]:
    """Whether it holds, and what each of its parts said, from left to right. With `kept` only what asks of an order
    is asked anew; the rest stands as it was when the rule began to act, whatever its own actions have changed."""
    verdicts: list[bool] = []
    if condition is None:
        return True, verdicts

    def walk(node: Any) -> bool:
        if isinstance(node, Group):
            parts = [walk(part) for part in node.parts]
            return not parts[0] if node.how == "not" else all(parts) if node.how == "all" else any(parts)
        old = kept[len(verdicts)] if kept is not None and len(verdicts) < len(kept) else None
        asks_order = isinstance(node, Leaf) and node.path.startswith("order.")
        verdicts.append(old if old is not None and not asks_order else holds(Condition({}, node), scope, now))
        return verdicts[-1]

    return walk(condition.root), verdicts


def loop_in(rule_id: str, chain: Chain) -> str | None:
    """What speaks against a rule that fits: it would act upon its own doing (`own_effect`), or run in circles by way
    of other rules or of journeys (`loop`). Pure."""
    if chain and chain[-1][-1] == rule_id:
        return "own_effect"
    return "loop" if rules_in(chain) >= CHAIN_MAX or any(rule_id in each for each in chain) else None


def answer_objection(talk: Mapping[str, Any], event: Event | None, answered: int) -> str | None:
    """Why a rule does not answer here: what came is a program's, it is a group, or it has answered too often."""
    if event is not None and event.properties.get("automatic"):
        return "automatic"
    if talk.get("group_id"):
        return "group"
    return "too_often" if answered >= ANSWERS_MAX else None


def is_for(rule: Mapping[str, Any], event_name: str | None, rule_id: str | None, channel_id: str | None) -> bool:
    """Whether a rule is asked: it waits for such an event, or it is the one whose time has come."""
    if not rule["active"] or (rule["channel_ids"] and channel_id not in rule["channel_ids"]):
        return False
    on: Mapping[str, Any] = rule["on"]
    return bool(rule["_id"] == rule_id if rule_id else on["type"] == "event" and on["event"] == event_name)


def run_of(event: Event) -> Document:
    """The duty that an event makes."""
    return {
        "key": f"event:{event.id}", "event": event.name, "event_id": event.id, "profile_id": event.profile_id,
        "conversation_id": event.conversation_id, "channel_id": event.channel_id,
        "lane": event.conversation_id or event.profile_id,
    }  # fmt: skip


# -- time ------------------------------------------------------------------------------------------------------------


def in_reach(rule: Mapping[str, Any], talk: Mapping[str, Any]) -> bool:
    """Whether a rule is on and for the channel of a conversation that is no part of another one."""
    on_channel = not rule["channel_ids"] or talk["channel_id"] in rule["channel_ids"]
    return bool(rule["active"]) and on_channel and not talk.get("merged_into")


def since_of(what: str, talk: Mapping[str, Any], touched_at: datetime | None) -> datetime | None:
    """Since when it stands in a conversation: the customer waits (`waiting`), has not answered us (`no_reply`), nobody
    has said anything (`idle`; what programs say counts not), none of us has done anything since it was opened
    (`untouched`). None: it does not. What is snoozed until a time rests until then."""
    status, waiting = talk["status"], talk.get("waiting_since")
    if what == "waiting":
        return waiting if status == "open" else None
    if what == "no_reply":
        rests = status == "snoozed" and talk.get("snoozed_until") is not None
        answered: datetime | None = talk.get("last_reply_at")
        return answered if status in OPEN and not rests and waiting is None and _is_last(talk, answered) else None
    if what == "idle":
        said = [talk["created_at"], talk.get("last_inbound_at"), talk.get("last_reply_at"), talk.get("reopened_at")]
        return max(each for each in said if each is not None) if status in ("open", "pending") else None
    if status != "open" or touched_at is not None:
        return None
    opened: datetime = talk.get("reopened_at") or talk["created_at"]
    return opened


def _is_last(talk: Mapping[str, Any], answered: datetime | None) -> bool:
    """Whether the customer has said nothing since."""
    last = talk.get("last_inbound_at")
    return answered is not None and (last is None or last <= answered)
