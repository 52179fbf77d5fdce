"""From a vocabulary event to the rows it becomes. Pure: values in, documents out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from base.ids import new_id, unique_key
from base.mongo import Document
from channels.vocabulary import AnyEvent, MessageReceived, Unrecognised
from inbox.attached import Home, inbound
from inbox.models import Actor
from profiles.models import NewEvent, storable

TEXT_MAX, HTML_MAX, EVENT_TEXT_MAX = 150_000, 2_000_000, 1000
#: A provider's clock may be this far ahead of ours before we stop believing it.
AHEAD = timedelta(minutes=5)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
STATUS_RANK = {
    "cancelled": 0, "queued": 0, "unknown": 10, "accepted": 20, "sent": 20, "failed": 30, "delivered": 40,
    "bounced": 45, "read": 50,
}  # fmt: skip


@dataclass(frozen=True)
class Arrival:
    """One event of one delivery, with the account it came to. `writer`: who of us wrote what is an echo, where who
    brings it knows."""

    channel_id: str
    provider: str
    event: AnyEvent
    delivery_id: str
    writer: Actor | None = None


@dataclass
class Line:
    """A message on its way into a conversation."""

    position: int
    arrival: Arrival
    event: MessageReceived | Unrecognised
    identity_id: str
    profile_id: str
    display_name: str | None
    dedupe: str
    at: datetime
    #: Conversations that the mail's headers or its signed address name, the best evidence first.
    threads: tuple[str, ...] = ()
    #: Its signed address names a conversation that is no more: whose it was has been erased.
    of_gone: bool = False
    #: Something of it was left out, because it repeats somebody who was erased.
    forgets: bool = False
    #: Its writer is shut out: it is kept, and nothing follows from it.
    shut_out: bool = False
    row: Document = field(default_factory=dict)
    files: list[Document] = field(default_factory=list)

    @property
    def inbound(self) -> bool:
        """Written by the customer and shown as such. Echoes and unknown kinds open no reply window."""
        return isinstance(self.event, MessageReceived) and not self.event.echo

    @property
    def heard(self) -> bool:
        """An inbound line that is to be answered."""
        return self.inbound and not self.shut_out

    @property
    def group_id(self) -> str | None:
        """The chat of several people it was written in."""
        return self.event.group_id if isinstance(self.event, MessageReceived) else None


def dedupe_of(arrival: Arrival) -> str:
    """What makes a provider's event one message of ours."""
    event = arrival.event
    if isinstance(event, MessageReceived):
        return f"{arrival.channel_id}:{short_id(event.message_id)}"
    return f"{arrival.channel_id}:{event.kind}:{short_id(event.event_id)}"


def short_id(value: str) -> str:
    """A provider's id as it is stored and looked up: storable, and hashed when it is absurdly long."""
    return value if len(value) <= 300 and value.isprintable() else unique_key(value.encode("utf-8", "replace"))


def believable(at: datetime, now: datetime) -> datetime:
    """The provider's time, unless it lies in the future or before there was any provider."""
    return at if _EARLIEST <= at <= now + AHEAD else now


def cleaned(text: str | None, most: int = TEXT_MAX) -> str | None:
    """Without NUL and lone surrogates (MongoDB refuses them), pairs joined, bounded."""
    if not text:
        return text
    text = text[:most].replace("\x00", "")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def message_row(line: Line, now: datetime) -> tuple[Document, list[Document]]:
    """The message of a line, still without conversation and number, and the rows of its files."""
    row: Document = {
        "_id": new_id("msg"), "dedupe": line.dedupe, "profile_id": line.profile_id,
        "identity_id": line.identity_id, "channel_id": line.arrival.channel_id,
        "provider_at": line.at, "received_at": now, "delivery_id": line.arrival.delivery_id,
    }  # fmt: skip
    if isinstance(line.event, Unrecognised):
        return row | _placeholder(line, line.event), []
    event = line.event
    row |= {
        "direction": "out" if event.echo else "in", "author": _author(line, event), "text": cleaned(event.text),
        "provider_message_id": short_id(event.message_id), "provider_message_ids": [short_id(event.message_id)],
    }  # fmt: skip
    if event.echo:
        row |= {
            "status": "sent",
            "status_rank": STATUS_RANK["sent"],
            "status_history": [{"status": "sent", "at": line.at}],
        }
    home = Home(row["_id"], line.arrival.channel_id, line.arrival.provider)
    attachments, files = inbound(home, event.attachments, now)
    row |= _present(
        attachments=attachments,
        reply_to=event.reply_to,
        location=event.location.model_dump(exclude_none=True) if event.location else None,
        contacts=[card.model_dump(exclude_none=True) for card in event.contacts],
        postback=event.postback.model_dump(exclude_none=True) if event.postback else None,
        referral=storable(event.referral.model_dump(exclude_none=True)) if event.referral else None,
        mail=_mail(event),
        extra=storable(event.extra) if event.extra else None,
        forwarded=event.forwarded,
        unsupported=cleaned(event.unsupported, 300),
    )
    return row, files


def _placeholder(line: Line, event: Unrecognised) -> Document:
    return {
        "direction": "system", "author": {"type": "customer", "id": line.profile_id, "name": line.display_name},
        "text": None, "unsupported": cleaned(f"{event.topic}: {event.reason}", 300),
        "system": {"code": "unrecognised", "params": {"topic": cleaned(event.topic, 100)}},
    }  # fmt: skip


def _author(line: Line, event: MessageReceived) -> Document:
    if event.echo:
        writer = line.arrival.writer
        return writer.as_author() if writer else {"type": "colleague", "id": None, "name": None}
    return {"type": "customer", "id": line.profile_id, "name": line.display_name}


def _present(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value}


def _mail(event: MessageReceived) -> Document | None:
    if event.mail is None:
        return None
    mail = event.mail.model_dump(exclude_none=True, exclude={"reply_token"})
    mail["in_reply_to"], mail["references"] = list(event.mail.in_reply_to[:5]), list(event.mail.references[-20:])
    mail["to"], mail["cc"] = list(event.mail.to[:50]), list(event.mail.cc[:50])
    for name, most in (("html", HTML_MAX), ("full_text", TEXT_MAX), ("subject", 500)):
        if mail.get(name):
            mail[name] = cleaned(mail[name], most)
    return mail


def thread_key(channel_id: str, mail_id: str) -> str:
    """How a mail's Message-ID is remembered on its conversation: short, and of one account."""
    return unique_key(channel_id, mail_id.strip().strip("<>"))[:24]


def mail_ids(event: MessageReceived) -> list[str]:
    """The mails it answers, best evidence first: In-Reply-To, then References from the end."""
    if event.mail is None:
        return []
    return list(dict.fromkeys([*event.mail.in_reply_to[:5], *reversed(event.mail.references[-20:])]))


def received_event(line: Line, *, first_contact: bool) -> NewEvent:
    """The domain event of an inbound message: what triggers and waiting journeys look at."""
    event = line.event
    properties: Document = {
        "message_id": line.row["_id"], "conversation_id": line.row["conversation_id"],
        "provider": line.arrival.provider, "channel": line.arrival.provider,
        "text": (line.row.get("text") or "")[:EVENT_TEXT_MAX], "first_contact": first_contact,
        "attachments": len(line.row.get("attachments", ())),
    }  # fmt: skip
    if isinstance(event, MessageReceived):
        properties |= _present(
            payload=event.postback.payload if event.postback else None,
            referral=line.row.get("referral"),
            reply_to=event.reply_to,
            group_id=event.group_id,
            automatic=bool(event.mail and event.mail.automatic) or event.standby,
        )
    return NewEvent(
        name="message.received",
        dedupe=f"message.received:{line.dedupe}",
        occurred_at=line.at,
        profile_id=line.profile_id,
        identity_id=line.identity_id,
        channel_id=line.arrival.channel_id,
        conversation_id=line.row["conversation_id"],
        properties=properties,
    )


def system_row(
    conversation: Document, code: str, params: Document, *, at: datetime, seq: int, author: Document, dedupe: str
) -> Document:
    """A quiet line: what happened to the conversation itself."""
    return {
        "_id": new_id("msg"), "dedupe": dedupe, "conversation_id": conversation["_id"],
        "profile_id": conversation["profile_id"], "identity_id": conversation["identity_id"],
        "channel_id": conversation["channel_id"], "direction": "system", "author": author, "text": None,
        "system": {"code": code, "params": params}, "provider_at": at, "received_at": at, "seq": seq,
    }  # fmt: skip
