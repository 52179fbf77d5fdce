"""The list of conversations as it is shown: pure shaping, no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from desk.i18n import N_, Formats
from desk.pages.faces import Face, Faces
from inbox.models import Conversation, LastMessage
from inbox.store.conversations import ConversationFilter

#: After this many minutes a waiting customer is shown calmer, warmer, red.
WAIT_MINUTES = (10, 60)
VIEWS = (("mine", N_("Mine")), ("unassigned", N_("Unassigned")), ("all", N_("All")))
STATUSES = (
    ("open", N_("Open"), "inbox"), ("snoozed", N_("Snoozed"), "bell-snooze"),
    ("resolved", N_("Resolved"), "check-circle"),
    ("spam", N_("Spam"), "no-symbol"),
)  # fmt: skip
STATUS_LABELS = {key: label for key, label, _ in STATUSES} | {"pending": N_("Pending")}
#: What stands for a last message without words.
SILENT = {"note": ("lock-closed", N_("Note")), "system": ("information-circle", "")}


@dataclass(frozen=True)
class Asked:
    """What part of the inbox somebody looks at, as it stands in the address."""

    view: str = "mine"
    status: str = "open"
    channel_id: str | None = None
    q: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str], default_view: str = "mine") -> Asked:
        """Read from an address; what makes no sense is left out."""
        view, status = query.get("view", default_view), query.get("status", "open")
        return cls(
            view if view in dict(VIEWS) else default_view,
            status if status in STATUS_LABELS else "open",
            query.get("channel") or None,
            query.get("q", "").strip()[:200],
        )

    def query(self, **changes: str | None) -> str:
        """The part of an address after `?` that leads here; defaults are left out but for the view."""
        values = {"view": self.view, "status": self.status, "channel": self.channel_id, "q": self.q, **changes}
        if values["status"] == "open":
            values["status"] = None
        return urlencode({name: value for name, value in values.items() if value})

    def condition(self, principal_id: str, channels: frozenset[str] | None) -> ConversationFilter:
        """The same as a question to the store."""
        assignee = {"mine": principal_id, "unassigned": "none"}.get(self.view)
        scope = None if channels is None else sorted(channels)
        return ConversationFilter(
            status=self.status, assignee_id=assignee, channel_id=self.channel_id, q=self.q or None, channels=scope
        )

    def matches(self, conversation: Conversation, principal_id: str) -> bool:
        """Whether a row still belongs here, searching apart."""
        assignee = {"mine": principal_id, "unassigned": None}.get(self.view, conversation.assignee_id)
        on_channel = self.channel_id in (None, conversation.channel_id)
        return conversation.status == self.status and conversation.assignee_id == assignee and on_channel


@dataclass(frozen=True)
class Choice:
    """One entry of a menu or a tab."""

    key: str
    label: str
    href: str
    current: bool
    symbol: str = ""
    count: str = ""
    face: Face | None = None


@dataclass(frozen=True)
class ListView:
    """The head of the list."""

    query: str
    q: str
    status_label: str
    tabs: tuple[Choice, ...]
    statuses: tuple[Choice, ...]
    channels: tuple[Choice, ...]
    hidden: tuple[tuple[str, str], ...]
    empty_title: str
    empty_text: str
    empty_href: str = ""
    empty_label: str = ""


@dataclass(frozen=True)
class Row:
    """One conversation in the list."""

    id: str
    href: str
    name: str
    profile_id: str
    face: Face
    preview: str
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


def open_view(
    conversation: Conversation, asked: Asked, faces: Faces, names: Mapping[str, str], formats: Formats
) -> OpenView:
    """The head of a conversation. `names`: colleagues by id."""
    here = f"/inbox/{conversation.id}?"
    return OpenView(
        id=conversation.id,
        name=name_of(conversation),
        face=faces.of(conversation.channel_id, conversation.provider),
        handle=conversation.address.handle or "",
        subject=conversation.subject or "",
        status=conversation.status,
        status_label=formats.text(STATUS_LABELS[conversation.status]),
        assignee=names.get(conversation.assignee_id or "", ""),
        assignee_id=conversation.assignee_id or "",
        href=here + asked.query(),
        list_href=f"/inbox?{asked.query()}",
        customer_href=here + asked.query(pane="customer"),
    )


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
    waiting = conversation.waiting_since if conversation.status in ("open", "pending") else None
    return Row(
        id=conversation.id,
        href=f"/inbox/{conversation.id}?{asked.query()}",
        name=name_of(conversation),
        profile_id=conversation.profile_id,
        face=faces.of(conversation.channel_id, conversation.provider),
        preview=preview,
        by=by,
        symbol=symbol,
        at=conversation.last_activity_at,
        order=conversation.last_activity_at.isoformat(),
        waiting_since=waiting,
        wait_level=wait_level(waiting, formats.now),
        snoozed_until=conversation.snoozed_until if conversation.status == "snoozed" else None,
        unread=conversation.unread,
        assignee=names.get(assignee_id, "") if asked.view == "all" else "",
        assignee_id=assignee_id,
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


def list_view(
    asked: Asked, formats: Formats, counts: Mapping[str, int], channels: Sequence[Any], faces: Faces
) -> ListView:
    """Tabs, menus and the words for an empty list. `counts`: open conversations per view, at most 1000."""
    _ = formats.text
    tabs = tuple(
        Choice(key, _(label), f"/inbox?{asked.query(view=key)}", asked.view == key, count=_count(counts.get(key, 0)))
        for key, label in VIEWS
    )
    statuses = tuple(
        Choice(key, _(label), f"/inbox?{asked.query(status=key)}", asked.status == key, symbol)
        for key, label, symbol in STATUSES
    )
    accounts = [Choice("", _("All channels"), f"/inbox?{asked.query(channel=None)}", asked.channel_id is None)]
    accounts += [
        Choice(each.id, each.name, f"/inbox?{asked.query(channel=each.id)}", asked.channel_id == each.id,
               face=faces.of(each.id))
        for each in channels
    ]  # fmt: skip
    hidden = tuple(
        (name, value)
        for name, value in (("view", asked.view), ("status", asked.status), ("channel", asked.channel_id or ""))
        if value
    )
    title, text, href, label = _empty(asked, bool(channels), formats)
    return ListView(
        asked.query(), asked.q, _(STATUS_LABELS[asked.status]), tabs, statuses, tuple(accounts), hidden, title, text,
        href, label,
    )  # fmt: skip


def _count(number: int) -> str:
    return "" if not number else "999+" if number > 999 else str(number)


def _empty(asked: Asked, has_channels: bool, formats: Formats) -> tuple[str, str, str, str]:
    _ = formats.text
    if not has_channels:
        text = _("Connect a channel and the messages of your customers arrive here.")
        return _("Nobody can write to you yet"), text, "/settings/channels", _("Connect a channel")
    if asked.q:
        return _("Nothing found"), _("Try fewer or other words, or look in another view."), "", ""
    if asked.status != "open":
        return (
            _("Nothing here"),
            _("No conversation is in this state."),
            f"/inbox?view={asked.view}",
            _("Show open ones"),
        )
    if asked.view == "mine":
        text = _("Take one from those that nobody has yet.")
        return _("You have answered everybody"), text, "/inbox?view=unassigned", _("Show unassigned")
    return _("All clear"), _("No customer is waiting. New messages appear here by themselves."), "", ""
