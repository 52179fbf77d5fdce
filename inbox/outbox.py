"""The only way to ask for a message to be sent: one row per send under its unique key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parseaddr

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, Refused, WrongInput
from base.feed import Feed, Notice
from base.ids import new_id, unique_key
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Bell, Doorbell
from channels.adapter import Account
from channels.capabilities import Capabilities
from channels.registry import Registry
from channels.store import ChannelStore
from channels.vocabulary import Address, Attachment, OutboundMail, OutboundMessage
from inbox.answering import Answering
from inbox.canned import unfilled
from inbox.clashes import Contended
from inbox.consent_words import is_stop
from inbox.drafts import DraftKey
from inbox.enclosures import Enclosures
from inbox.guard import NewerMessages, must_know, of_others
from inbox.heads import is_part, on_channel, threads_of
from inbox.models import Actor, Message, ReplyInput, Send, SendRequest, Source, message_of, send_of
from inbox.owning import ASKED_TO_STOP, belongs_to, freed
from inbox.owning import FIELDS as OWNER
from inbox.placing import preview
from inbox.policy import window_objection
from inbox.quota import with_quota
from inbox.reply_token import make_reply_token
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.sources import written
from inbox.store import CannedStore, ConversationStore, DraftStore, MessageStore, SendStore
from inbox.store.files import BlobGone
from inbox.store.sends import lane_name
from profiles.events import EventStore, NewEvent
from profiles.models import SHUT_OUT, Identity
from profiles.store import ProfileStore

#: How often a reply is written anew because the conversation changed meanwhile.
ROUNDS = 12
#: What a bot may say in a conversation until the customer writes again.
BOT_SAYS_MAX = 10
_REFERENCES_KEPT = 20


@dataclass(frozen=True)
class Way:
    """How a conversation is answered."""

    conversation: Document
    identity: Identity
    account: Account
    capabilities: Capabilities
    is_mail: bool


@dataclass(frozen=True)
class Talk:
    """The thread that is answered, and the conversation with which it is shown: another one where it was merged."""

    row: Document
    head: Document
    #: For one that is not there yet: writes its row, given what its first line does to it.
    opening: Callable[[Document, Session], Awaitable[None]] | None = None
    #: Whose words the line holds, when not those of whom it goes to: it is kept, moved and erased with that person.
    about: str | None = None

    @property
    def is_merged(self) -> bool:
        """Whether it is a part."""
        return bool(self.row["_id"] != self.head["_id"])

    @property
    def heads_threads(self) -> list[str]:
        """All that is shown as one."""
        return threads_of(self.head)


class Outbox:
    """Writes down what is to be sent. Delivery does the rest."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, sends: SendStore,
        drafts: DraftStore, canned: CannedStore, profiles: ProfileStore, channels: ChannelStore, registry: Registry,
        enclosures: Enclosures, answering: Answering, events: EventStore, sla: SlaClocks, feed: Feed,
        doorbell: Doorbell, clock: Clock, *, reply_key: str | bytes | None = None,
    ) -> None:  # fmt: skip
        """`reply_key` signs the reply addresses of mails; None: they carry none."""
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._sends = sends
        self._drafts = drafts
        self._canned = canned
        self._profiles = profiles
        self._channels = channels
        self._registry = registry
        self._enclosures = enclosures
        self._answering = answering
        self._events = events
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock
        self._reply_key = reply_key

    # -- for programs ------------------------------------------------------------------------------------------

    async def request(self, requests: Sequence[SendRequest], session: Session | None = None) -> list[Send]:
        """Plan these sends; for a key that was used before, the first send under it, unchanged.

        With a session the rows are part of the caller's transaction: a key taken by somebody else in the same moment
        aborts it with `DuplicateKeyError` (re-read, come again), and the caller rings "deliver" after its commit.
        """
        if not requests:
            return []
        now = self._clock()
        wanted = {request.send_key: request for request in reversed(requests)}
        rows: dict[str, Document] = {}
        if session is not None:
            rows = await self._sends.by_keys(list(wanted), session)
        fresh = [send_row(each, now) for key, each in wanted.items() if key not in rows]
        taken = await self._sends.add(fresh, session)
        rows |= {row["send_key"]: row for position, row in enumerate(fresh) if position not in taken}
        if taken:
            rows |= await self._sends.by_keys([fresh[position]["send_key"] for position in taken])
        if session is None and any(row["due_at"] <= now for row in fresh):
            await self._doorbell.ring("deliver")
        return [send_of(rows[request.send_key]) for request in requests]

    async def try_out(self, requests: Sequence[tuple[SendRequest, str | None]]) -> None:
        """Plan sends by which colleagues look at a message: to a customer's identity, or (the second part) to a mail
        address that belongs to no customer. A key that was used before is passed over."""
        now = self._clock()
        rows = [send_row(each, now) | ({"stranger": mail} if mail else {}) for each, mail in requests]
        await self._sends.add(rows)
        await self._doorbell.ring("deliver")

    # -- for people --------------------------------------------------------------------------------------------

    async def reply(
        self, conversation_id: str, agent: Actor, reply: ReplyInput, client_key: str, *, undo_s: int = 0,
        clears_draft: bool = False, retry_of: str | None = None, exactly: bool = False,
        mentions: Sequence[str] = (),
    ) -> Message:  # fmt: skip
        """Write an agent's line: message, send and conversation in one transaction.

        The same `client_key` again returns the same message. With `note` nothing is sent. Raises `NotFound`,
        `Refused` (window closed and no template, address out of reach, channel gone), `WrongInput` (nothing to send,
        or the channel cannot carry it), `NewerMessages` (others have written after `seen_seq`).

        `undo_s`: seconds in which it can be taken back (`inbox.afterthoughts`); less where the reply window closes
        before. `clears_draft`: what the agent had begun here is this line. `retry_of`: the failed line it repeats.
        `mentions`: colleagues whom a note calls.
        `exactly`: on this channel, also where others that were merged into it were heard from later.
        """
        _require_content(reply)
        for _ in range(ROUNDS):
            talk = await self._talk(conversation_id, reply, exactly=exactly or retry_of is not None)
            if retry_of is not None and talk.row.get("parent_id"):
                talk = replace(talk, about=(await self._messages.many([retry_of]))[retry_of]["profile_id"])
            earlier = await self._messages.by_client_key(talk.heads_threads, client_key)
            if earlier is not None:
                return message_of(earlier)
            await self._guard(talk, agent, reply)
            more = {"retry_of": retry_of, "mentions": list(mentions) if reply.note else []}
            written_row = await self._written(talk, agent, reply, client_key, undo_s, clears_draft, more)
            if written_row is not None:
                await self._after_commit(talk, written_row)
                return message_of(written_row)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    async def begin(
        self, talk: Talk, agent: Actor, reply: ReplyInput, client_key: str, *, undo_s: int = 0
    ) -> Message | None:  # fmt: skip
        """Write the first line of a conversation that is not there yet, or one more in the one that is. None: it has
        changed, or somebody was quicker; look again and come again. Raises as `reply`."""
        _require_content(reply)
        earlier = await self._messages.by_client_key(talk.heads_threads, client_key)
        if earlier is not None:
            return message_of(earlier)
        await self._guard(talk, agent, reply)
        line = await self._written(talk, agent, reply, client_key, undo_s, False, {"retry_of": None})
        if line is None:
            return None
        await self._after_commit(talk, line)
        return message_of(line)

    async def _talk(self, conversation_id: str, reply: ReplyInput, *, exactly: bool = False) -> Talk:
        """The thread that is answered, and the conversation it is a part of. One that others were merged into is
        answered where a quoted line stands, else where the customer wrote last; a part by its own id is meant itself.
        """
        row = await self._conversations.row(conversation_id)
        if row is None:
            raise NotFound("There is no such conversation.")
        if row.get("parts") and not reply.note and not exactly:
            return Talk(await self._answered_part(row, reply), row)
        head = await self._conversations.row(row["merged_into"]) if is_part(row) else row
        return Talk(row, head or row)

    async def _answered_part(self, head: Document, reply: ReplyInput) -> Document:
        rows = [head, *(await self._conversations.rows(head["parts"])).values()]
        quoted = (await self._messages.many([reply.reply_to])).get(reply.reply_to) if reply.reply_to else None
        line = quoted or await self._messages.latest(threads_of(head), ["in"])
        place = line.get("conversation_id") if line else None
        return next((row for row in rows if row["_id"] == place), head)

    async def _guard(self, talk: Talk, agent: Actor, reply: ReplyInput) -> None:
        seen = must_know(talk.head, reply)
        lines = await self._messages.since(talk.heads_threads, seen) if seen is not None else []
        newer = of_others(lines, agent)
        if newer:
            raise NewerMessages("There are newer messages in this conversation. Read them, or send anyway.", newer)
        if agent.type == "bot" and not reply.note and not belongs_to(talk.head, agent.id or ""):
            raise Conflict("People have this conversation now.", code="not_yours")
        if agent.type == "bot":
            await self._must_let_answer(talk, reply)
        await self._answering.check(talk.head, agent, reply)

    async def _must_let_answer(self, talk: Talk, reply: ReplyInput) -> None:
        """A bot that goes on and on, or whose customer has just said STOP, says nothing until they write again."""
        heard = await self._messages.latest(talk.row["_id"], ["in"])
        if is_stop(heard) and not reply.note:
            raise Conflict("The customer has asked to be sent nothing; wait until they write.", code=ASKED_TO_STOP)
        since = {"provider_at": {"$gt": heard["provider_at"]}} if heard else {}
        wanted = {"conversation_id": talk.row["_id"], **since, "author.type": "bot", "direction": "out"}
        if await self._messages.count(wanted) >= BOT_SAYS_MAX:
            raise Conflict("The bot has said enough until the customer writes again.", code="said_enough")

    async def _written(
        self, talk: Talk, agent: Actor, reply: ReplyInput, client_key: str, undo_s: int, clears_draft: bool,
        more: Document,
    ) -> Document | None:  # fmt: skip
        """The message as committed; None when the conversation changed meanwhile, or the key was just taken."""
        now, row, head = self._clock(), talk.row, talk.head
        given, retry_of = {name: value for name, value in more.items() if value}, more["retry_of"]
        line = _line(row, agent, reply, client_key, now) | given
        line |= {"profile_id": talk.about} if talk.about else {}
        able = None if reply.note else self._registry.get(row["provider"]).capabilities
        reply, files = await self._enclosures.given(line, reply, agent, able)
        send = None if reply.note else await self._send_row(talk, line, reply, client_key, now, undo_s)
        if send is not None:
            line |= {"send_id": send["_id"], "status": "queued", "status_rank": 0, "status_history": []}
            line |= {"due_at": send["due_at"]} if send["due_at"] > now else {}
        later = reply.send_at is not None and reply.send_at > now
        terms = await self._sla.terms()
        changes = [(row, _effect(row, line, now, later=later))]
        if talk.is_merged:
            line["head_seq"] = head["seq"] + 1
            changes.append((head, on_head(_effect(head, line, now, later=later), line, head)))
        changes = [(each, with_clocks(update, each, terms, now)) for each, update in changes]
        draft = DraftKey(head["_id"], agent.id or "", "note" if reply.note else "reply")

        async def work(session: Session) -> None:
            if talk.opening is not None:
                await talk.opening(changes[0][1], session)
            else:
                await self._conversations.change(changes, session)
            await self._sla.watch([(each, clocks_of(update, each)) for each, update in changes], session)
            await self._messages.insert([line], session, files)
            await self._sends.add([send] if send else [], session)
            await self._events.record([_noted(line, head, agent)] if reply.note else [], session)
            await self._canned.count_uses(line.get("canned_ids", ()), agent.id, 1, session)
            if clears_draft:
                await self._drafts.remove(draft, session)
            if retry_of:
                repeated: Document = {"$set": {"retried_by": line["_id"]}, "$inc": {"retries": 1}}
                await self._messages.change(retry_of, repeated, session)

        try:
            await self._database.in_transaction(work)
        except (DuplicateKeyError, BlobGone, Contended):
            return None
        return line

    async def _send_row(
        self, talk: Talk, line: Document, reply: ReplyInput, client_key: str, now: datetime, undo_s: int
    ) -> Document:
        row = talk.row
        await self._spare_customer(row, reply)
        key = unique_key("reply", row["_id"], client_key)
        way = await self.way(row)
        message = await self._message(way, reply, key, line)
        due_at = max(reply.send_at or now, now)
        require_possible(way, message, due_at)
        undone_by = now + timedelta(seconds=undo_s)
        if undone_by > due_at and window_objection(way.capabilities, way.identity, undone_by, message) is None:
            due_at = undone_by
        request = SendRequest(
            send_key=key, send_class="service", source=Source("reply", line["author"]["id"]),
            profile_id=line["profile_id"], identity_id=row["identity_id"], channel_id=row["channel_id"],
            content=written(message), conversation_id=row["_id"], message_id=line["_id"], due_at=due_at,
        )  # fmt: skip
        send = send_row(request, now)
        taken = freed(talk.head, now) if line["author"]["type"] == "agent" else {}
        if waits := talk.head.get("waiting_since") or taken.get("waiting_since"):
            send["waited_since"] = waits
        if reply.send_at is not None and reply.send_at > now:
            send["scheduled"] = True
        if row.get("group_id"):
            send["group_id"] = row["group_id"]
        return send

    async def _spare_customer(self, row: Document, reply: ReplyInput) -> None:
        """Whom a forward is about gets no copy of what is talked about them."""
        if not (row.get("parent_id") and reply.cc):
            return
        parent = await self._conversations.row(row["parent_id"])
        if parent is not None and (await self.addresses_of(parent)).intersection(map(bare_address, reply.cc)):
            fault = FieldError("cc", "holds an address of the customer")
            raise WrongInput("The customer gets no copy of what was forwarded.", [fault])

    async def addresses_of(self, row: Document) -> frozenset[str]:
        """All mail addresses of whose conversation it is."""
        known = await self._profiles.identities_of(row["profile_id"])
        values = [each.external_id or each.value or "" for each in known]
        values.append(row["address"].get("external_id") or "")
        return frozenset(bare_address(each) for each in values if "@" in each)

    async def way(self, row: Document) -> Way:
        """How this conversation can be answered. Raises `Refused` where it cannot."""
        opened = await self._channels.both(row["channel_id"])
        if opened is None or opened[0].state == "disconnected":
            raise Refused("The channel of this conversation is no longer connected.", code="channel_gone")
        identity = await self._profiles.identity(row["identity_id"])
        if identity is None:
            raise Refused("The address of this conversation has been erased.", code="no_address")
        if identity.suppressed is not None and identity.suppressed.reason == SHUT_OUT:
            raise Refused("This person is shut out; let them in again first.", code=SHUT_OUT)
        if identity.suppressed is not None:
            sentence = f"Nothing is sent to this address any more ({identity.suppressed.reason})."
            raise Refused(sentence, code="suppressed")
        if not identity.reachable:
            raise Refused("The person blocked or left this channel.", code="left")
        adapter = self._registry.get(row["provider"])
        identity = (await with_quota(self._sends, adapter.capabilities, {identity.id: identity}))[identity.id]
        able = adapter.capabilities_for(row.get("group_id") or identity.external_id)
        return Way(row, identity, opened[1], able, adapter.card.kind == "email")

    async def _message(self, way: Way, reply: ReplyInput, key: str, line: Document) -> OutboundMessage:
        row = way.conversation
        quoted = await self._quoted(row, reply.reply_to)
        return OutboundMessage(
            key=key,
            to=Address(
                channel_id=row["channel_id"], external_id=row.get("group_id") or way.identity.external_id or "?"
            ),
            text=reply.text,
            attachments=tuple(each for each in reply.attachments if isinstance(each, Attachment)),
            buttons=reply.buttons,
            template=reply.template,
            reply_to=quoted.get("provider_message_id") if quoted else None,
            quote_token=(quoted.get("extra") or {}).get("quote_token") if quoted else None,
            mail=await self._mail(row, reply, quoted) if way.is_mail else None,
            sender_name=line["author"]["name"] if way.is_mail and line["author"]["type"] == "agent" else None,
            automatic=line["author"]["type"] != "agent",
        )

    async def _quoted(self, row: Document, message_id: str | None) -> Document | None:
        if message_id is None:
            return None
        quoted = (await self._messages.many([message_id])).get(message_id)
        if quoted is None or quoted.get("conversation_id") != row["_id"]:
            raise WrongInput(
                "The quoted message is not in this conversation.", [FieldError("reply_to", "not in this conversation")]
            )
        return quoted

    async def _mail(self, row: Document, reply: ReplyInput, quoted: Document | None) -> OutboundMail:
        """Threading headers: answered is the quoted mail, else the customer's last one."""
        answered = quoted or await self._messages.latest(row["_id"], ["in"])
        mail = (answered or {}).get("mail") or {}
        mail_id = mail.get("message_id")
        references = [*mail.get("references", ()), *([mail_id] if mail_id else ())]
        subject = reply.subject or mail.get("subject") or row.get("subject") or ""
        return OutboundMail(
            subject=subject if reply.subject or subject.lower().startswith("re:") else f"Re: {subject}".strip(),
            in_reply_to=mail_id,
            references=tuple(dict.fromkeys(references))[-_REFERENCES_KEPT:],
            reply_token=make_reply_token(self._reply_key, row["_id"]) if self._reply_key else None,
            cc=reply.cc,
        )

    async def _after_commit(self, talk: Talk, line: Document) -> None:
        rows = [talk.head, talk.row] if talk.is_merged else [talk.row]
        kind = "conversation.updated" if talk.opening is None else "conversation.created"
        told = [
            Notice(kind, {"conversation_id": row["_id"], "assignee_id": row.get("assignee_id")}, row["channel_id"])
            for row in rows
        ]
        said = line_notice("message.created", line)
        await self._feed.append([said, *told] if talk.opening is None else [*told, said])
        bells: list[Bell] = ["deliver"] if line.get("send_id") else []
        if talk.opening is not None or not bells:
            bells.append("react")
        await self._doorbell.ring(*bells)


def send_row(request: SendRequest, now: datetime) -> Document:
    """A new row of the outbox."""
    row: Document = {
        "_id": new_id("snd"), "send_key": request.send_key, "class": request.send_class,
        "lane": lane_name(request.channel_id, request.send_class), "source": request.source.as_document(),
        "profile_id": request.profile_id, "identity_id": request.identity_id, "channel_id": request.channel_id,
        "content": dict(request.content), "state": "planned", "rank": 0, "tries": 0, "attempts": 0, "fence": 0,
        "planned_at": now, "due_at": request.due_at or now, "updated_at": now, "history": [],
    }  # fmt: skip
    given = {"conversation_id": request.conversation_id, "message_id": request.message_id}
    return row | {name: value for name, value in given.items() if value is not None}


def still_waiting(send: Document) -> list[tuple[Document, Document]]:
    """A reply did not go out: the customer waits as before, unless somebody answered since."""
    if not send.get("waited_since"):
        return []
    where = {
        "_id": send["conversation_id"], "last_reply_id": send["message_id"], "waiting_since": {"$exists": False},
    }  # fmt: skip
    return [(where, {"$set": {"waiting_since": send["waited_since"]}})]


def unanswered(send: Document) -> list[tuple[Document, Document]]:
    """A reply failed: when it was the first and nobody has written since, nobody has answered yet."""
    if send["source"]["kind"] != "reply":
        return []
    where = dict.fromkeys(("first_reply_id", "last_reply_id"), send["message_id"])
    gone = {"first_reply_at": "", "first_reply_id": ""}
    return [({"_id": send["conversation_id"], **where}, {"$unset": gone})]


def bare_address(address: str) -> str:
    """The mail address of `Name <address>`, as it is compared."""
    return parseaddr(address)[1].strip().lower()


def _require_content(reply: ReplyInput) -> None:
    has_text = bool(reply.text and reply.text.strip())
    if not (has_text or reply.attachments or reply.template):
        raise WrongInput("There is nothing to send.", [FieldError("text", "write something, or add a file")])
    if reply.note and (reply.template or reply.send_at or reply.buttons):
        raise WrongInput("A note is not sent.", [FieldError("note", "takes text and files only")])
    blanks = [] if reply.note else unfilled(reply.text)
    if blanks:
        fault = FieldError("text", blanks[0])
        raise WrongInput("A blank is not filled in yet: write over what stands in braces.", [fault])


def require_possible(way: Way, message: OutboundMessage, at: datetime) -> None:
    """Raise `Refused` when the window is closed then, `WrongInput` when the channel cannot carry it."""
    closed = window_objection(way.capabilities, way.identity, at, message)
    if closed is not None:
        raise Refused(closed.sentence, code=closed.code)
    sentence = way.capabilities.objection(message)
    if sentence is not None:
        raise WrongInput(sentence, [FieldError("text", sentence)], code="not_supported")


def _line(row: Document, agent: Actor, reply: ReplyInput, client_key: str, now: datetime) -> Document:
    message_id = new_id("msg")
    line: Document = {
        "_id": message_id, "dedupe": f"desk:{message_id}", "conversation_id": row["_id"],
        "profile_id": row["profile_id"], "identity_id": row["identity_id"], "channel_id": row["channel_id"],
        "direction": "note" if reply.note else "out", "author": agent.as_author(), "text": reply.text,
        "provider_at": now, "received_at": now, "seq": row["seq"] + 1, "client_key": client_key,
    }  # fmt: skip
    extras = {
        "buttons": [each.model_dump(exclude_none=True) for each in reply.buttons],
        "template": reply.template.model_dump(mode="json") if reply.template else None,
        "reply_to": reply.reply_to,
        "canned_ids": list(dict.fromkeys(reply.canned_ids)),
        "mail": {"subject": reply.subject, "cc": list(reply.cc)} if reply.subject or reply.cc else None,
    }
    return line | {name: value for name, value in extras.items() if value}


def _noted(line: Document, head: Document, agent: Actor) -> NewEvent:
    """A note was written; whom it calls."""
    told = {
        "message_id": line["_id"], "conversation_id": head["_id"], "mentions": line.get("mentions", []),
        "by": agent.id, "by_name": agent.name, "by_type": agent.type,
    }  # fmt: skip
    return NewEvent(
        name="message.noted", dedupe=f"message.noted:{line['_id']}", occurred_at=line["received_at"],
        profile_id=line["profile_id"], identity_id=line["identity_id"], channel_id=line["channel_id"],
        conversation_id=head["_id"], properties=told,
    )  # fmt: skip


def _effect(row: Document, line: Document, now: datetime, *, later: bool) -> Document:
    """What a line does to its conversation. What is only to be sent later answers nobody yet, nor does a machine; who
    answers takes it from a bot."""
    change: Document = {"updated_at": now}
    update: Document = {"$inc": {"seq": 1, "message_count": 1}, "$set": change}
    answers = line["direction"] == "out" and line["author"]["type"] == "agent"
    taken = freed(row, now) if answers else {}
    change |= taken
    if taken:
        update["$unset"] = dict.fromkeys(OWNER, "")
    if later:
        return update
    change |= {"last_message": preview(line), "last_activity_at": max(now, row["last_activity_at"])}
    if answers:
        change.pop("waiting_since", None)
        change |= {"last_reply_id": line["_id"], "last_reply_at": now}
        update["$unset"] = {"waiting_since": "", **update.get("$unset", {})}
        if not row.get("first_reply_at"):
            change |= {"first_reply_at": now, "first_reply_id": line["_id"]}
    return update


def on_head(update: Document, line: Document, head: Document) -> Document:
    """The same on the conversation a part belongs to: what was said last may stand on a channel of its own."""
    last = update["$set"].get("last_message")
    if last:
        update["$set"]["last_message"] = {**last, **on_channel(line, head)}
    return update


def line_notice(kind: str, line: Document) -> Notice:
    """What open pages are told of a line: ids alone."""
    data = {"message_id": line["_id"], "conversation_id": line["conversation_id"], "direction": line["direction"]}
    if line.get("client_key"):
        data["client_key"] = line["client_key"]
    return Notice(kind, data, line["channel_id"])
