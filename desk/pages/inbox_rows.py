"""The list of conversations as it is shown: pure shaping, no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from desk.pages.inbox_address import Asked
from desk.pages.sla_clock import DueClock
from inbox.models import Conversation, LastMessage, Priority
from profiles.matching import cut, places
from profiles.search import query_tokens

#: After this many minutes a waiting customer is shown calmer, warmer, red.
WAIT_MINUTES = (10, 60)
STATUSES = (
    ("open", N_("Open"), "inbox"), ("pending", N_("Pending"), "pause"), ("snoozed", N_("Snoozed"), "bell-snooze"),
    ("resolved", N_("Resolved"), "check-circle"), ("spam", N_("Spam"), "no-symbol"),
)  # fmt: skip
STATUS_LABELS = {key: label for key, label, _ in STATUSES}
PRIORITIES: Mapping[Priority, str] = {
    "urgent": N_("Urgent"), "high": N_("High"), "medium": N_("Medium"), "low": N_("Low"), "none": N_("No priority"),
}  # fmt: skip
#: Labels that a row has room for.
LABELS_SHOWN = 3
#: What stands for a last message without words.
SILENT = {"note": ("lock-closed", N_("Note")), "system": ("information-circle", "")}


@dataclass(frozen=True)
class Row:
    """One conversation in the list."""

    id: str
    href: str
    name: str
    profile_id: str
    face: Face
    #: The name and what was said last, in stretches, each with whether it was searched for.
    name_said: list[tuple[str, bool]]
    preview_said: list[tuple[str, bool]]
    by: str
    symbol: str
    at: datetime
    order: str
    waiting_since: datetime | None
    wait_level: int
    snoozed_until: datetime | None
    unread: int
    assignee: str
    assignee_id: str
    failed: bool = False
    avatar_url: str | None = None
    #: The reader has begun an answer here.
    draft: bool = False
    labels: tuple[str, ...] = ()
    #: How many more labels there are than those shown.
    labels_more: int = 0
    priority: str = "none"
    priority_label: str = ""
    #: A bot has it.
    bot: bool = False
    #: What was promised and is due first.
    clock: DueClock | None = None


@dataclass(frozen=True)
class OpenView:
    """The head of the open conversation."""

    id: str
    name: str
    face: Face
    handle: str
    subject: str
    status: str
    status_label: str
    assignee: str
    assignee_id: str
    href: str
    list_href: str
    customer_href: str
    clock: DueClock | None = None
    snoozed_until: datetime | None = None
    priority: str = "none"
    labels: tuple[str, ...] = ()
    #: Colleagues who follow it: id and name.
    followers: tuple[tuple[str, str], ...] = ()
    #: The person is.
    shut_out: bool = False
    #: The name of the bot that has it.
    bot: str = ""
    #: How many were merged into it.
    parts: int = 0
    split_from: str = ""
    #: Whose conversation it was forwarded from.
    parent_id: str = ""
    parent_name: str = ""
    team_id: str = ""
    team: str = ""


def open_view(
    conversation: Conversation, asked: Asked, faces: Faces, names: Mapping[str, str], formats: Formats,
    teams: Mapping[str, str] | None = None,
) -> OpenView:  # fmt: skip
    """The head of a conversation. `names`: colleagues by id; `teams`: names of teams by id."""
    here = f"/inbox/{conversation.id}?"
    return OpenView(
        id=conversation.id,
        name=name_of(conversation),
        face=faces.of(conversation.channel_id, conversation.provider),
        handle=conversation.address.handle or _mail_address(conversation),
        subject=conversation.subject or "",
        status=conversation.status,
        status_label=formats.text(STATUS_LABELS[conversation.status]),
        assignee=names.get(conversation.assignee_id or "", ""),
        assignee_id=conversation.assignee_id or "",
        href=here + asked.query(),
        list_href=f"/inbox?{asked.query()}",
        customer_href=here + asked.query(pane="customer"),
        snoozed_until=conversation.snoozed_until,
        priority=conversation.priority,
        labels=conversation.labels,
        parts=len(conversation.parts),
        split_from=conversation.split_from or "",
        followers=tuple((each, names[each]) for each in conversation.participants if each in names),
        team_id=conversation.team_id or "",
        team=(teams or {}).get(conversation.team_id or "", ""),
    )


def _mail_address(conversation: Conversation) -> str:
    external_id = conversation.address.external_id
    return external_id if "@" in external_id and conversation.address.handle is None else ""


def name_of(conversation: Conversation) -> str:
    """What to call the customer."""
    known = conversation.display_name or conversation.address.handle
    return known or conversation.address.external_id


def wait_level(since: datetime | None, now: datetime) -> int:
    """0 nobody waits, 1 short, 2 getting long, 3 too long."""
    if since is None:
        return 0
    minutes = (now - since).total_seconds() / 60
    return 1 + sum(minutes >= limit for limit in WAIT_MINUTES)


def row_of(
    conversation: Conversation, asked: Asked, faces: Faces, names: Mapping[str, str], me: str, formats: Formats
) -> Row:
    """One row. `names`: people by id. The assignee is left out where everything shown is one's own."""
    last = conversation.last_message
    by, symbol, preview = _preview(last, me, formats)
    assignee_id = conversation.assignee_id or ""
    name, words = name_of(conversation), query_tokens(asked.q) if asked.q else []
    waiting = conversation.waiting_since if conversation.status in ("open", "pending") else None
    return Row(
        id=conversation.id,
        href=f"/inbox/{conversation.id}?{asked.query()}",
        name=name,
        profile_id=conversation.profile_id,
        face=faces.of(conversation.channel_id, conversation.provider),
        name_said=cut(name, places(name, words, starts=True)),
        preview_said=cut(preview, places(preview, words, starts=True)),
        by=by,
        symbol=symbol,
        at=conversation.last_activity_at,
        order=conversation.last_activity_at.isoformat(),
        waiting_since=waiting,
        wait_level=wait_level(waiting, formats.now),
        snoozed_until=conversation.snoozed_until if conversation.status == "snoozed" else None,
        unread=conversation.unread,
        assignee="" if asked.view in ("mine", "unassigned") else names.get(assignee_id, ""),
        assignee_id=assignee_id,
        labels=conversation.labels[:LABELS_SHOWN],
        labels_more=max(0, len(conversation.labels) - LABELS_SHOWN),
        priority=conversation.priority,
        priority_label="" if conversation.priority == "none" else formats.text(PRIORITIES[conversation.priority]),
        bot=conversation.owner == "bot",
    )


def _preview(last: LastMessage | None, me: str, formats: Formats) -> tuple[str, str, str]:
    if last is None:
        return "", "", formats.text(N_("No messages yet"))
    text = " ".join((last.text or "").split())[:160]
    if last.direction == "note":
        return "", "lock-closed", text or formats.text(N_("Note"))
    if last.direction == "in":
        return "", "" if text else "paper-clip", text or formats.text(N_("Attachment"))
    if last.direction == "system":
        return "", "information-circle", text
    author = last.author
    by = formats.text(N_("You:")) if author.id == me else f"{author.name.split()[0]}:" if author.name else "→"
    return by, "" if text else "paper-clip", text or formats.text(N_("Attachment"))
