"""One row of the stream: what waits, why, since when, about whom and whose it is. Pure.

| kind | key | its cause comes anew when |
|---|---|---|
| conversation | `conversation:cnv_…` | somebody waits in it, or a promise is due |
| task | `task:tsk_…` | it is opened again |
| follow_up | `follow_up:prf_…:fup_…` | another one is set |
| order | `order:ord_…:unpaid` (`unnoticed`, `unreviewed`) | never: each need of an order comes once |
| failed | `failed:snd_…` | never |
| hot | `hot:prf_…:<ms>` | the score rises over the threshold once more |
| idle | `idle:prf_…:<ms>:<days>` | the next rung of the ladder is reached, or contact ends again |
| pair | `pair:sug_…` | never |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from base.ids import Prefix, is_id
from base.mongo import Document
from inbox.models import Send
from orders.models import Order
from profiles.models import Profile
from profiles.suggestions import Suggestion

Kind = Literal["conversation", "task", "follow_up", "order", "failed", "hot", "idle", "pair"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Why = Literal[
    "sla_breached", "sla_soon", "waiting", "due", "unpaid", "unnoticed", "unreviewed", "failed", "hot", "coming",
    "undated", "idle", "pair",
]  # fmt: skip
#: Why → how urgent, the lowest first. What was promised comes before what would be good.
URGENCY: Mapping[Why, int] = {each: place for place, each in enumerate(get_args(Why))}
#: What nobody has promised: of one person one of these rows is enough, and none beside a row that somebody waits for.
OFFERED: frozenset[Kind] = frozenset({"hot", "idle"})
#: Kind → the prefix of the id that stands first in its key.
NAMES: Mapping[Kind, Prefix] = {
    "conversation": "cnv", "task": "tsk", "follow_up": "prf", "order": "ord", "failed": "snd", "hot": "prf",
    "idle": "prf", "pair": "sug",
}  # fmt: skip
#: What falls due within this time is shown already.
AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class Item:
    """One row. `at`: since when it waits, or (`due`, `coming`) by when it is due; `assignee_id` None: whoever takes it;
    `other_id`: the second person of a pair; `facts`: what its sentence needs."""

    key: str
    kind: Kind
    why: Why
    at: datetime
    profile_id: str | None = None
    other_id: str | None = None
    conversation_id: str | None = None
    channel_id: str | None = None
    order_id: str | None = None
    assignee_id: str | None = None
    text: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: What it was made of, for whoever shows it.
    source: Any = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        """The id that stands first in its key."""
        return self.key.split(":")[1]

    @property
    def people(self) -> tuple[str, ...]:
        """Whom it is about."""
        return tuple(each for each in (self.profile_id, self.other_id) if each)


@dataclass(frozen=True)
class Key:
    """A key taken apart."""

    kind: Kind
    id: str
    rest: tuple[str, ...]


def key_of(text: str) -> Key | None:
    """A key, or None for what is none. Pure."""
    head, *parts = text.split(":")
    kind = next((each for each in KINDS if each == head), None)
    if kind is None or not parts or len(parts) > 3 or not is_id(parts[0], NAMES[kind]):
        return None
    return Key(kind, parts[0], tuple(parts[1:]))


def stamp(at: datetime) -> str:
    """A moment in a key."""
    return str(round(at.timestamp() * 1000))


def moment(text: str) -> datetime | None:
    """The reverse of `stamp`; None for what is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 14:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


# -- what each row is made of ----------------------------------------------------------------------------------------


def talk_item(row: Document, now: datetime) -> Item | None:
    """An open conversation in which a customer waits or something promised is due; None: neither. Pure."""
    sla = row.get("sla") or {}
    due, soon, waiting = sla.get("due_at"), sla.get("soon_at"), row.get("waiting_since")
    why: Why
    if due is not None and due <= now:
        why, at = "sla_breached", due
    elif due is not None and soon is not None and soon <= now:
        why, at = "sla_soon", due
    elif waiting is not None:
        why, at = "waiting", waiting
    else:
        return None
    return Item(
        f"conversation:{row['_id']}", "conversation", why, at, profile_id=row["profile_id"],
        conversation_id=row["_id"], channel_id=row["channel_id"], assignee_id=row.get("assignee_id"), source=row,
    )  # fmt: skip


def task_item(row: Document, now: datetime, channel_id: str | None = None) -> Item:
    """An open task. `channel_id`: of the conversation it is about. Pure."""
    due = row.get("due_at")
    return Item(
        f"task:{row['_id']}", "task", _when(due, now), due or row["created_at"], profile_id=row.get("profile_id"),
        conversation_id=row.get("conversation_id"), channel_id=channel_id, order_id=row.get("order_id"),
        assignee_id=row.get("assignee_id"), text=row.get("text"), source=row,
    )  # fmt: skip


def follow_up_item(profile: Profile, now: datetime) -> Item | None:
    """The next follow-up with somebody; None: there is none. Pure."""
    it = profile.next_follow_up
    if it is None:
        return None
    return Item(
        f"follow_up:{profile.id}:{it.id}", "follow_up", _when(it.at, now), it.at, profile_id=profile.id,
        assignee_id=it.assignee_id, text=it.text, source=profile,
    )  # fmt: skip


def order_item(order: Order, need: Why, since: datetime, owner_id: str | None) -> Item:
    """An order that needs a hand. Pure."""
    return Item(
        f"order:{order.id}:{need}", "order", need, since, profile_id=order.profile_id, order_id=order.id,
        assignee_id=owner_id, facts={"number": order.number or order.external_id}, source=order,
    )  # fmt: skip


def failed_item(send: Send, assignee_id: str | None) -> Item:
    """A message that did not go out. Pure."""
    return Item(
        f"failed:{send.id}", "failed", "failed", send.updated_at or send.planned_at, profile_id=send.profile_id,
        conversation_id=send.conversation_id, channel_id=send.channel_id, assignee_id=assignee_id, source=send,
    )  # fmt: skip


def hot_item(row: Document) -> Item | None:
    """Somebody whose score rose over the threshold, and nobody has been in touch since; None: that is not so. Pure."""
    since = row.get("hot_since")
    if since is None or not row.get("hot"):
        return None
    return Item(
        f"hot:{row['_id']}:{stamp(since)}", "hot", "hot", since, profile_id=row["_id"],
        assignee_id=row.get("owner_id"), facts={"score": row.get("score", 0)}, source=row,
    )  # fmt: skip


def idle_item(row: Document, rung: int, now: datetime) -> Item:
    """Somebody with whom there was no contact for longer than this rung of their ladder, days. Pure."""
    since = row["contact_at"]
    return Item(
        f"idle:{row['_id']}:{stamp(since)}:{rung}", "idle", "idle", since, profile_id=row["_id"],
        assignee_id=row.get("owner_id"), facts={"days": (now - since).days, "rung": rung, "tier": row.get("ladder")},
        source=row,
    )  # fmt: skip


def pair_item(pair: Suggestion) -> Item:
    """Two who may be one person. Pure."""
    return Item(
        f"pair:{pair.id}", "pair", "pair", pair.created_at, profile_id=pair.one.id, other_id=pair.other.id,
        source=pair,
    )  # fmt: skip


def _when(due: datetime | None, now: datetime) -> Why:
    if due is None:
        return "undated"
    return "due" if due <= now else "coming"
