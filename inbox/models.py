"""The words of the inbox: conversations, messages, sends, and what people ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from base.errors import MEMBER
from base.mongo import Document
from channels.vocabulary import Address, Attachment, Button, Instant, TemplateCall
from inbox.owning import has_bot

Status = Literal["open", "pending", "snoozed", "resolved", "spam"]
Priority = Literal["none", "low", "medium", "high", "urgent"]
Direction = Literal["in", "out", "note", "system"]
SendClass = Literal["marketing", "transactional", "service"]
SendState = Literal[
    "planned", "claimed", "deferred", "handed", "accepted", "delivered", "read", "failed", "skipped", "unknown"
]  # fmt: skip

#: States in which a send waits for its turn. `claimed` is one of them: a claim whose lease ran out is due again.
WAITING: tuple[SendState, ...] = ("planned", "deferred", "claimed")
#: States that tell how it ended, or how far it has come.
RESULTS: frozenset[str] = frozenset({"accepted", "delivered", "read", "failed", "skipped", "unknown"})
#: Nothing may overtake a send that was never made.
SKIPPED_RANK = 100
#: Priorities in rising order, as numbers that an index can sort.
PRIORITY_RANK: Mapping[str, int] = {"none": 0, "low": 1, "medium": 2, "high": 3, "urgent": 4}


@dataclass(frozen=True)
class Source:
    """What asked for a send: a reply, a step of a journey, a broadcast, a test."""

    kind: str
    id: str | None = None
    enrolment_id: str | None = None
    node_id: str | None = None
    visit: int | None = None

    def as_document(self) -> Document:
        """As it stands in the row."""
        return {
            "kind": self.kind, "id": self.id, "enrolment_id": self.enrolment_id, "node_id": self.node_id,
            "visit": self.visit,
        }  # fmt: skip


@dataclass(frozen=True)
class SendRequest:
    """Please send this. `send_key` makes it unique for ever; `content` is the source's own, read by its `prepare`."""

    send_key: str
    send_class: SendClass
    source: Source
    profile_id: str
    identity_id: str
    channel_id: str
    content: Mapping[str, Any]
    conversation_id: str | None = None
    message_id: str | None = None
    due_at: datetime | None = None


@dataclass(frozen=True)
class Reason:
    """Why a send did not go, or waits: a stable code, a sentence for a person, the provider's own words."""

    code: str
    sentence: str
    detail: str | None = None

    def as_document(self) -> Document:
        """As it stands in the row. The detail is bounded."""
        return {"code": self.code, "sentence": self.sentence, "detail": self.detail[:1000] if self.detail else None}


@dataclass(frozen=True)
class Send:
    """One row of the outbox, which is also the ledger. `identity_id` is empty where there was no way to the person."""

    id: str
    send_key: str
    send_class: SendClass
    source: Source
    profile_id: str
    identity_id: str
    channel_id: str
    content: Mapping[str, Any]
    state: SendState
    planned_at: datetime
    conversation_id: str | None = None
    message_id: str | None = None
    due_at: datetime | None = None
    reason: Reason | None = None
    to: Mapping[str, Any] | None = None
    tries: int = 0
    handed_at: datetime | None = None
    accepted_at: datetime | None = None
    provider_message_ids: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    updated_at: datetime | None = None


def line_id(send: Document) -> str:
    """The message of a send: given for replies, else it follows from the send's id: a repeat is the same line."""
    given: str | None = send.get("message_id")
    return given or "msg_" + send["_id"].removeprefix("snd_")


def send_of(row: Document) -> Send:
    """The row as a value."""
    reason, source = row.get("reason"), row["source"]
    return Send(
        id=row["_id"],
        send_key=row["send_key"],
        send_class=row["class"],
        source=Source(
            source["kind"], source.get("id"), source.get("enrolment_id"), source.get("node_id"), source.get("visit")
        ),
        profile_id=row["profile_id"],
        identity_id=row["identity_id"],
        channel_id=row["channel_id"],
        content=row["content"],
        state=row["state"],
        planned_at=row["planned_at"],
        conversation_id=row.get("conversation_id"),
        message_id=line_id(row) if row.get("message_id") or row.get("tries") else None,
        due_at=row.get("due_at"),
        reason=Reason(reason["code"], reason["sentence"], reason.get("detail")) if reason else None,
        to=row.get("to"),
        tries=row.get("tries", 0),
        handed_at=row.get("handed_at"),
        accepted_at=row.get("accepted_at"),
        provider_message_ids=tuple(row.get("provider_message_ids", ())),
        history=tuple(row.get("history", ())),
        updated_at=row.get("updated_at"),
    )


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Author(_Record):
    """Who wrote a line. `colleague`: one of ours, in the provider's own app, so we know no more of them."""

    type: Literal["customer", "agent", "bot", "campaign", "system", "colleague"]
    id: str | None = None
    name: str | None = None


class LastMessage(_Record):
    """What a list shows of a conversation."""

    id: str
    text: str | None = None
    #: What to name in place of a text: `image`, `location`, `template` …
    kind: str | None = None
    at: datetime
    direction: Direction
    author: Author
    #: Where it stands, when not on the conversation's own channel.
    channel_id: str | None = None


class SlaClock(_Record):
    """One thing that was promised and is not done yet. Without a due time it stands still (`left_s` of open time are
    left), or its hours never open."""

    target: Literal["first_response", "next_response", "resolution"]
    since: datetime
    due_at: datetime | None = None
    soon_at: datetime | None = None
    left_s: float | None = None


class Sla(_Record):
    """What was promised in a conversation. `due_at` is the earliest end; past, it is breached."""

    policy_id: str | None = None
    clocks: tuple[SlaClock, ...] = ()
    paused: bool = False
    due_at: datetime | None = None
    soon_at: datetime | None = None


class Conversation(_Record):
    """A thread with one identity on one channel account. Replies go to that identity for ever.

    `parts`: conversations that were merged into it and are shown with it; `merged_from`: the id that was asked for,
    when that one was.
    """

    id: str
    profile_id: str
    identity_id: str
    channel_id: str
    provider: str
    address: Address
    display_name: str | None = None
    subject: str | None = None
    status: Status | Literal["merged"]
    #: Who has it; a bot until it or somebody hands over.
    owner: Literal["agents", "bot"] = "agents"
    bot_id: str | None = None
    assignee_id: str | None = None
    team_id: str | None = None
    labels: tuple[str, ...] = ()
    #: Colleagues who follow it although somebody else may have it.
    participants: tuple[str, ...] = ()
    priority: Priority = "none"
    snoozed_until: datetime | None = None
    resolved_at: datetime | None = None
    last_message: LastMessage | None = None
    last_activity_at: datetime
    waiting_since: datetime | None = None
    first_reply_at: datetime | None = None
    unread: int = 0
    message_count: int = 0
    seq: int = 0
    sla: Sla | None = None
    last_inbound_at: datetime | None = None
    group_id: str | None = None
    parts: tuple[str, ...] = ()
    merged_into: str | None = None
    merged_from: str | None = None
    #: What it was split off from.
    split_from: str | None = None
    #: Whose conversation a forward was made from.
    parent_id: str | None = None
    created_at: datetime
    updated_at: datetime
    rev: int = 0

    @property
    def threads(self) -> tuple[str, ...]:
        """The conversations whose messages it shows."""
        return (self.id, *self.parts)


def conversation_of(row: Document) -> Conversation:
    """The row as a value."""
    own = {"owner": "bot", "bot_id": row.get("bot_id")} if has_bot(row) else {"owner": "agents", "bot_id": None}
    return Conversation.model_validate({**row, **own, "id": row["_id"]})


class Message(_Record):
    """One line of a conversation, in either direction, or a note, or a quiet system line `{code, params}`."""

    id: str
    conversation_id: str | None = None
    profile_id: str | None = None
    identity_id: str | None = None
    channel_id: str
    direction: Direction
    author: Author
    text: str | None = None
    attachments: tuple[Mapping[str, Any], ...] = ()
    reply_to: str | None = None
    location: Mapping[str, Any] | None = None
    contacts: tuple[Mapping[str, Any], ...] = ()
    buttons: tuple[Mapping[str, Any], ...] = ()
    template: Mapping[str, Any] | None = None
    postback: Mapping[str, Any] | None = None
    referral: Mapping[str, Any] | None = None
    mail: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = Field(default_factory=dict)
    system: Mapping[str, Any] | None = None
    forwarded: bool = False
    provider_message_id: str | None = None
    provider_at: datetime
    received_at: datetime
    seq: int = 0
    status: str | None = None
    status_history: tuple[Mapping[str, Any], ...] = ()
    reason: Mapping[str, Any] | None = None
    reactions: tuple[Mapping[str, Any], ...] = ()
    #: Ours, to a message of theirs: `{emoji, rev, by: {id, name}, at, state: sending|sent|failed|unknown, reason?}`.
    reacted: Mapping[str, Any] | None = None
    edits: tuple[Mapping[str, Any], ...] = ()
    original: str | None = None
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    due_at: datetime | None = None
    send_id: str | None = None
    client_key: str | None = None
    unsupported: str | None = None
    #: The failed line that this one repeats, and the line that repeated this one.
    retry_of: str | None = None
    retried_by: str | None = None
    #: Its number among all lines of the conversation into which its own was merged.
    head_seq: int | None = None


def message_of(row: Document) -> Message:
    """The row as a value. Reactions that were taken back are left out."""
    reactions = [each for each in row.get("reactions", ()) if each.get("emoji")]
    return Message.model_validate({**row, "id": row["_id"], "reactions": reactions})


@dataclass(frozen=True)
class Actor:
    """The person or rule that does something at the desk. `for_user`: whose rule it is, who may use what is theirs."""

    id: str | None
    name: str | None = None
    type: Literal["agent", "bot", "system", "campaign"] = "agent"
    for_user: str | None = None

    @property
    def user_id(self) -> str | None:
        """Whose files and canned replies it uses."""
        return self.for_user or self.id

    def as_author(self) -> Document:
        """As it stands in a message."""
        return {"type": self.type, "id": self.id, "name": self.name}


#: What the application itself does (a snooze that ends).
SYSTEM = Actor(None, None, "system")


class ChosenFile(BaseModel):
    """A file that is kept here already: one the agent uploaded, or one of the same channel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file_id: str = Field(pattern=r"^fil_[0-9a-z]{26}$")
    caption: str | None = Field(None, max_length=4000)


_NEW, _KEPT = f"{MEMBER}new", f"{MEMBER}kept"


def _which(value: Any) -> str:
    is_kept = "file_id" in value if isinstance(value, dict) else isinstance(value, ChosenFile)
    return _KEPT if is_kept else _NEW


#: A file by its address, or one that is kept here.
Enclosed = Annotated[Annotated[Attachment, Tag(_NEW)] | Annotated[ChosenFile, Tag(_KEPT)], Discriminator(_which)]


#: Canned replies in one answer.
CANNED_MAX = 20
CannedId = Annotated[str, StringConstraints(pattern="^cnr_[0-9a-z]{26}$")]


class ReplyInput(BaseModel):
    """What an agent writes. `note` stays inside the house; `send_at` sends later; `reply_to` is our message id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(None, max_length=150_000)
    attachments: tuple[Enclosed, ...] = Field((), max_length=20)
    buttons: tuple[Button, ...] = Field((), max_length=20)
    note: bool = False
    reply_to: str | None = Field(None, max_length=60)
    template: TemplateCall | None = None
    send_at: Instant | None = None
    #: Mail only: replaces the subject of the thread.
    subject: str | None = Field(None, max_length=500)
    #: Mail only.
    cc: tuple[str, ...] = Field((), max_length=50)
    #: The `seq` of the last line that its writer has seen: it is refused when others have written since.
    seen_seq: int | None = Field(None, ge=0, le=2**53)
    #: Send it although others have written since.
    send_anyway: bool = False
    #: Canned replies it was made of, so that their uses are counted.
    canned_ids: tuple[CannedId, ...] = Field((), max_length=CANNED_MAX)
