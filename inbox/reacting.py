"""What we think of a message of theirs: one emoji of the house, sent once, changed and taken back.

It stands on the message (`reacted`), counted by `rev`; each change is a send of the kind `reaction` under a key made of
both. One that has been overtaken by another is not sent any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, Refused, WrongInput
from base.feed import Feed, Notice
from base.ids import unique_key
from base.mongo import Database, Document, DuplicateKeyError, Session
from base.queue import Doorbell
from channels.capabilities import Capabilities, Reacting
from channels.vocabulary import Address, OutboundMessage, OutboundReaction
from inbox.models import Actor, Message, Send, SendRequest, Source, message_of
from inbox.outbox import Outbox, require_possible, send_row
from inbox.sources import Answer, Defer, Prepared, Skip
from inbox.store import ConversationStore, MessageStore, SendStore
from profiles.events import EventStore, NewEvent

KIND = "reaction"
ROUNDS = 12
EMOJI_MAX = 40
#: An earlier one is still on its way: the next look.
AFTER_EARLIER = timedelta(seconds=2)
OVERTAKEN = Skip("overtaken", "Another reaction took its place before it was sent.")
#: States of a send → what is shown of the reaction.
SHOWN = {"accepted": "sent", "delivered": "sent", "read": "sent", "failed": "failed", "skipped": "failed"}


class Reactions:
    """The use case, and the source of its sends."""

    def __init__(
        self, database: Database, messages: MessageStore, conversations: ConversationStore, sends: SendStore,
        outbox: Outbox, events: EventStore, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._messages = messages
        self._conversations = conversations
        self._sends = sends
        self._outbox = outbox
        self._events = events
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def react(self, message_id: str, emoji: str | None, agent: Actor) -> Message:
        """React to a message of theirs, or (None) take ours back. The same again changes nothing, but sends once more
        what failed.

        Raises `NotFound`, `WrongInput` for a message that is none of theirs and for an emoji the channel does not take,
        `Refused` where the window is closed or the channel carries none.
        """
        for _ in range(ROUNDS):
            line = await self._line(message_id)
            standing = line.get("reacted") or {}
            is_so = standing.get("emoji") == emoji and standing.get("state") != "failed"
            if is_so or (emoji is None and not standing):
                return message_of(line)
            send = await self._send(line, standing, emoji, agent)
            if await self._written(line, standing, emoji, agent, send):
                await self._feed.append([_notice(line)])
                await self._doorbell.ring("deliver")
                return message_of(await self._line(message_id))
        raise Conflict("This message is being changed too often just now; please try again.", code="contended")

    async def _line(self, message_id: str) -> Document:
        line = (await self._messages.many([message_id])).get(message_id)
        if line is None or not line.get("conversation_id"):
            raise NotFound("There is no such message.")
        if line["direction"] != "in" or not line.get("provider_message_id") or line.get("deleted_at"):
            raise WrongInput("Only messages of the customer are reacted to.", [FieldError("id", "is none of theirs")])
        return line

    async def _send(self, line: Document, standing: Document, emoji: str | None, agent: Actor) -> Document:
        row, now = await self._conversations.row(line["conversation_id"]), self._clock()
        if row is None:
            raise NotFound("There is no such message.")
        way = await self._outbox.way(row)
        reaction = OutboundReaction(
            message_id=line["provider_message_id"], emoji=emoji, former=standing.get("emoji")
        )  # fmt: skip
        to = Address(channel_id=row["channel_id"], external_id=row.get("group_id") or way.identity.external_id or "?")
        key = key_of(line["_id"], standing.get("rev", 0) + 1)
        message = OutboundMessage(key=key, to=to, reaction=reaction)
        if emoji is not None:
            _require_reactable(way.capabilities, line, now)
        require_possible(way, message, now)
        request = SendRequest(
            send_key=key, send_class="service", source=Source(KIND, agent.id), profile_id=line["profile_id"],
            identity_id=row["identity_id"], channel_id=row["channel_id"],
            content={"reaction": reaction.model_dump(), "line_id": line["_id"], "rev": standing.get("rev", 0) + 1},
        )  # fmt: skip
        group = {"group_id": row["group_id"]} if row.get("group_id") else {}
        return send_row(request, now) | group

    async def _written(
        self, line: Document, standing: Document, emoji: str | None, agent: Actor, send: Document
    ) -> bool:  # fmt: skip
        reacted = {
            "emoji": emoji, "rev": send["content"]["rev"], "by": {"id": agent.id, "name": agent.name},
            "at": self._clock(), "state": "sending",
        }  # fmt: skip

        async def work(session: Session) -> bool:
            if not await self._messages.react(line["_id"], standing.get("rev"), reacted, session):
                return False
            await self._sends.add([send], session)
            await self._events.record([_event(line, reacted, agent)], session)
            return True

        try:
            return bool(await self._database.in_transaction(work))
        except DuplicateKeyError:
            return False

    # -- as the source of its sends ----------------------------------------------------------------------------

    async def prepare(
        self, sends: Sequence[Send], barred: Mapping[str, Skip], now: datetime
    ) -> Mapping[str, Answer]:  # fmt: skip
        """What has been overtaken is not sent; what comes after one that is on its way waits for it."""
        overtaken = await self._overtaken(sends)
        before = {send.id: key_of(send.content["line_id"], send.content["rev"] - 1) for send in sends}
        earlier = await self._sends.by_keys(list(before.values()))
        answers: dict[str, Answer] = {}
        for send in sends:
            if send.id in overtaken:
                answers[send.id] = OVERTAKEN
            elif (earlier.get(before[send.id]) or {}).get("state") == "handed":
                answers[send.id] = Defer(now + AFTER_EARLIER, "after_earlier", "The reaction before is on its way.")
            else:
                answers[send.id] = Prepared(_message(send))
        return answers

    async def house_rules(
        self, sends: Sequence[Send], now: datetime, known: Mapping[str, object]
    ) -> Mapping[str, Skip | Defer]:
        """A person reacted for this moment: no hours and no caps hold for it."""
        return {}

    async def last_look(self, sends: Sequence[Send], now: datetime) -> Mapping[str, Skip | Defer]:
        """The same as before, right before the call."""
        return dict.fromkeys(await self._overtaken(sends), OVERTAKEN)

    async def settled(self, sends: Sequence[Send]) -> None:
        """The message shows what became of it, unless another one has taken its place."""
        for send in sends:
            reason = send.reason.as_document() if send.reason and SHOWN.get(send.state) == "failed" else None
            state = SHOWN.get(send.state, "unknown")
            await self._messages.reaction_became(send.content["line_id"], send.content["rev"], state, reason)
        rows = await self._messages.many({send.content["line_id"] for send in sends})
        await self._feed.append([_notice(row) for row in rows.values()])

    async def _overtaken(self, sends: Sequence[Send]) -> set[str]:
        rows = await self._messages.many({send.content["line_id"] for send in sends})
        return {
            send.id for send in sends
            if ((rows.get(send.content["line_id"]) or {}).get("reacted") or {}).get("rev") != send.content["rev"]
        }  # fmt: skip


def key_of(message_id: str, rev: int) -> str:
    """The send key of one change."""
    return unique_key(KIND, message_id, str(rev))


def _event(line: Document, reacted: Document, agent: Actor) -> NewEvent:
    """What is told of a reaction of ours; without an emoji it was taken back."""
    properties = {
        "message_id": line["_id"], "emoji": reacted["emoji"], "conversation_id": line["conversation_id"],
        "by": agent.id, "by_name": agent.name, "by_type": agent.type,
    }  # fmt: skip
    return NewEvent(
        name="message.reacted", dedupe=f"message.reacted:{line['_id']}:{reacted['rev']}", occurred_at=reacted["at"],
        profile_id=line["profile_id"], identity_id=line.get("identity_id"), channel_id=line["channel_id"],
        conversation_id=line["conversation_id"], properties=properties,
    )  # fmt: skip


def reacting_of(able: Capabilities | None) -> Reacting | None:
    """What may be reacted with on a channel."""
    return able.reacting if able is not None else None


def _require_reactable(able: Capabilities, line: Document, now: datetime) -> None:
    if able.reacting is None:
        raise Refused("This channel carries no reactions of ours.", code="not_supported")
    within = able.reacting.within_s
    if within is not None and now - line["provider_at"] > timedelta(seconds=within):
        raise Refused("This message is too old to react to on this channel.", code="too_old")


def _message(send: Send) -> OutboundMessage:
    to = Address(channel_id=send.channel_id, external_id=(send.to or {}).get("external_id") or "?")
    return OutboundMessage(key=send.send_key, to=to, reaction=OutboundReaction(**send.content["reaction"]))


def _notice(line: Document) -> Notice:
    data = {"message_id": line["_id"], "conversation_id": line.get("conversation_id")}
    return Notice("message.updated", data, line["channel_id"])
