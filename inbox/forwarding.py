"""Forwarding a mail to somebody who is not the customer: a conversation of its own, in which the answers stay.

It is a child of the customer's conversation (`parent_id`) and holds no slot: answers find it by what they answer. The
customer is never among its readers, and what it says of the customer is the customer's (decision 52).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, Refused, WrongInput
from base.ids import unique_key
from base.mongo import Document, Session
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address
from inbox.clashes import rest_after
from inbox.incoming import system_row
from inbox.models import Actor, ChosenFile, Message, ReplyInput, message_of
from inbox.opening import created_event, with_line
from inbox.outbox import Outbox, Talk, bare_address
from inbox.placing import PREVIEW, blank_row
from inbox.quotes import HEADS
from inbox.store import ConversationStore, MessageStore
from profiles.events import EventStore, NewEvent
from profiles.models import Identity
from profiles.normalise import email_address
from profiles.resolve import Resolver
from profiles.store import ProfileStore

ROUNDS = 12
#: Files of a mail that go along, and signs of it.
FILES_MAX, ORIGINAL_MAX = 20, 100_000
#: Language of who forwards → what stands above the original.
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {"head": HEADS["en"], "from": "From", "at": "Date", "subject": "Subject"},
    "zh": {"head": HEADS["zh"], "from": "发件人", "at": "日期", "subject": "主题"},
}


class ForwardInput(BaseModel):
    """To whom a mail is forwarded. `history`: with what it quoted itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: str = Field(min_length=3, max_length=320, description="One mail address, not the customer's.")
    cc: tuple[str, ...] = Field((), max_length=20)
    text: str = Field("", max_length=40_000, description="What stands above the forwarded mail.")
    subject: str | None = Field(None, max_length=500, description="Else `Fwd:` and the subject of the mail.")
    files: bool = True
    history: bool = False


class Forwarding:
    """The use case: the child, its first line, the send and the quiet line in the customer's thread are one
    transaction."""

    def __init__(
        self, conversations: ConversationStore, messages: MessageStore, profiles: ProfileStore, resolver: Resolver,
        channels: ChannelStore, registry: Registry, events: EventStore, outbox: Outbox, clock: Clock,
    ) -> None:  # fmt: skip
        self._conversations = conversations
        self._messages = messages
        self._profiles = profiles
        self._resolver = resolver
        self._channels = channels
        self._registry = registry
        self._events = events
        self._outbox = outbox
        self._clock = clock

    async def forward(
        self, message_id: str, wanted: ForwardInput, agent: Actor, client_key: str, *, owner_id: str | None = None,
        channels: Collection[str] | None = None, language: str = "en", undo_s: int = 0,
    ) -> Message:  # fmt: skip
        """Forward a mail; the line that was written, in its own conversation. The same key again is the same line.
        `channels`: what who forwards may see, None: all; an address of a customer on others is a stranger's to them.

        Raises `NotFound`, `WrongInput` for what is no mail and for an address of the customer's, and whatever speaks
        against an answer.
        """
        line = (await self._messages.many([message_id])).get(message_id) or {}
        parent = await self._conversations.row(line.get("conversation_id") or "")
        if parent is None or line.get("deleted_at"):
            raise NotFound("There is no such message.")
        if self._registry.get(parent["provider"]).card.kind != "email" or line["direction"] not in ("in", "out"):
            raise WrongInput("Only mails are forwarded.", [FieldError("id", "is no mail")])
        if wanted.files and _coming(line):
            raise Conflict("A file of this mail is still on its way; try again in a moment.", code="files_coming")
        to = await self._checked(parent, wanted)
        dedupe = f"forwarded:{unique_key(message_id, client_key)}"
        reply = forwarded(line, parent, wanted, language)
        for attempt in range(ROUNDS):
            earlier = await self._earlier(dedupe, client_key)
            if earlier is not None:
                return earlier
            talk = await self._talk(line, to, reply.subject or "", wanted.text, agent, owner_id, dedupe, channels)
            message = await self._outbox.begin(talk, agent, reply, client_key, undo_s=undo_s)
            if message is not None:
                return message
            await rest_after(attempt)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    async def _checked(self, parent: Document, wanted: ForwardInput) -> str:
        """The address it goes to. Raises `WrongInput` for none, for the customer's and for our own."""
        to = email_address(bare_address(wanted.to) or wanted.to)
        if to is None:
            raise WrongInput("This is no mail address.", [FieldError("to", "is no mail address")])
        theirs = await self._outbox.addresses_of(parent)
        for path, address in [("to", to), *(("cc", bare_address(each)) for each in wanted.cc)]:
            if address in theirs:
                fault = FieldError(path, "is an address of the customer")
                raise WrongInput("This is the customer. A forward goes to somebody else.", [fault])
        account = await self._channels.account(parent["channel_id"])
        if account is None:
            raise Refused("The channel of this conversation is no longer connected.", code="channel_gone")
        if bare_address(str(getattr(account.settings, "from_address", ""))) == to:
            raise WrongInput("This is the address of the channel itself.", [FieldError("to", "is our own address")])
        return to

    async def _earlier(self, dedupe: str, client_key: str) -> Message | None:
        seen = (await self._messages.seen([dedupe])).get(dedupe)
        told = (await self._messages.many([seen["_id"]])).get(seen["_id"]) if seen else None
        child = told["system"]["params"]["conversation_id"] if told else None
        line = await self._messages.by_client_key([child], client_key) if child else None
        return message_of(line) if line is not None else None

    async def _talk(
        self, line: Document, to: str, subject: str, text: str, agent: Actor, owner_id: str | None, dedupe: str,
        channels: Collection[str] | None,
    ) -> Talk:  # fmt: skip
        parent, now = await self._conversations.row(line["conversation_id"]), self._clock()
        if parent is None:
            raise NotFound("There is no such message.")
        identity = await self._identity(parent, to, agent, channels)
        address = Address(channel_id=parent["channel_id"], external_id=to, handle=to).model_dump()
        profile = await self._profiles.get(identity.profile_id)
        slot = (identity.id, parent["channel_id"], None)
        name = (profile.name if profile else None) or to
        row = blank_row(slot, identity.profile_id, parent["provider"], address, name, subject, now)
        del row["open"]
        row |= {"branch": True, "parent_id": parent["_id"], "last_activity_at": now, "updated_at": now}
        row |= {"assignee_id": owner_id, "assigned_at": now} if owner_id else {}
        row |= {"team_id": parent["team_id"], "team_chosen": True} if parent.get("team_id") else {}
        event = created_event(row, agent, now)

        async def opening(update: Document, session: Session) -> None:
            params = {"conversation_id": row["_id"], "to": to, "by": agent.id, "by_name": agent.name}
            told = system_row(
                parent, "forwarded", params, at=now, seq=parent["seq"] + 1, author=agent.as_author(), dedupe=dedupe
            )
            change: Document = {"$set": {"seq": parent["seq"] + 1, "updated_at": now}}
            await self._conversations.change([(parent, change)], session)
            await self._conversations.insert([_without_original(with_line(row, update), text)], session)
            await self._messages.insert([told], session)
            await self._events.record([event, _event(line, parent, row, agent, now, dedupe)], session)

        return Talk(row, row, opening, about=parent["profile_id"])

    async def _identity(
        self, parent: Document, to: str, agent: Actor, channels: Collection[str] | None
    ) -> Identity:  # fmt: skip
        address = Address(channel_id=parent["channel_id"], external_id=to, handle=to)
        known = await self._resolver.introduce(None, address, parent["provider"], agent.id, within=channels)
        found = await self._profiles.identity(known)
        if found is None:
            raise Conflict("This address has been erased in between; please try again.", code="contended")
        return found


def _event(line: Document, parent: Document, child: Document, agent: Actor, at: datetime, dedupe: str) -> NewEvent:
    """What is told of a forward, to the customer's side; to whom stands in the other conversation alone."""
    properties = {
        "message_id": line["_id"], "conversation_id": parent["_id"], "forward_conversation_id": child["_id"],
        "by": agent.id, "by_name": agent.name, "by_type": agent.type,
    }  # fmt: skip
    return NewEvent(
        name="message.forwarded", dedupe=f"message.{dedupe}", occurred_at=at, profile_id=parent["profile_id"],
        identity_id=parent["identity_id"], channel_id=parent["channel_id"], conversation_id=parent["_id"],
        properties=properties,
    )  # fmt: skip


def forwarded(line: Mapping[str, Any], parent: Mapping[str, Any], wanted: ForwardInput, language: str) -> ReplyInput:
    """The mail that goes out: the agent's words, the head of the original, its text and files. Pure."""
    mail, words = line.get("mail") or {}, WORDS["zh" if language.startswith("zh") else "en"]
    subject = str(mail.get("subject") or parent.get("subject") or "")
    whole = mail.get("full_text") if wanted.history else None
    original = str(whole or line.get("text") or "")[:ORIGINAL_MAX]
    head = [words["head"], f"{words['from']}: {_sender(line, parent)}", f"{words['at']}: {_when(line['provider_at'])}"]
    head += [f"{words['subject']}: {subject}"] if subject else []
    text = "\n\n".join(part for part in (wanted.text.strip(), "\n".join(head), original.strip()) if part)
    title = wanted.subject or (subject if subject.lower().startswith("fwd:") else f"Fwd: {subject}".strip())
    return ReplyInput(
        text=text, subject=title[:500], cc=tuple(dict.fromkeys(wanted.cc)), seen_seq=None,
        attachments=tuple(ChosenFile(file_id=each) for each in _files(line)) if wanted.files else (),
    )  # fmt: skip


def _without_original(row: Document, text: str) -> Document:
    """What a list shows of the child is what an agent wrote: what the customer wrote stands in the line alone."""
    last = row.get("last_message")
    return row | ({"last_message": {**last, "text": text.strip()[:PREVIEW] or None, "kind": "forward"}} if last else {})


def _sender(line: Mapping[str, Any], parent: Mapping[str, Any]) -> str:
    if line["direction"] == "out":
        return str(line["author"].get("name") or "")
    name, address = line["author"].get("name"), (parent.get("address") or {}).get("external_id") or ""
    return f"{name} <{address}>" if name and name != address else str(address)


def _when(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _coming(line: Mapping[str, Any]) -> bool:
    """Whether a file is still to be fetched; one that could not be is not waited for."""
    waited = [each for each in line.get("attachments", ()) if each.get("file_id") and not each.get("inline")]
    return any(each.get("state") not in ("stored", "failed") for each in waited)


def _files(line: Mapping[str, Any]) -> Sequence[str]:
    kept = [each for each in line.get("attachments", ()) if each.get("state") == "stored" and each.get("file_id")]
    return [each["file_id"] for each in kept if not each.get("inline")][:FILES_MAX]
