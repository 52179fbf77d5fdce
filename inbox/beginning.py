"""Writing to somebody first: by which of their addresses they can be written to, and the conversation it begins.

Where their slot holds a conversation already, the line goes there: two who begin at once begin one conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from base.clock import Clock
from base.errors import Conflict, FieldError, Refused, WrongInput
from base.mongo import Document, Session
from channels.adapter import Account, Adapter
from channels.capabilities import Capabilities
from channels.registry import Registry
from channels.store import Channel, ChannelStore
from channels.vocabulary import Address
from inbox.clashes import rest_after
from inbox.heads import head_in, is_part
from inbox.models import Actor, Message, Reason, ReplyInput, message_of
from inbox.opening import created_event, with_line
from inbox.outbox import Outbox, Talk
from inbox.placing import blank_row, slot_of
from inbox.policy import Closed, window
from inbox.quota import with_quota
from inbox.store import ConversationStore, MessageStore, SendStore
from profiles.events import EventStore
from profiles.keys import number_in
from profiles.models import SHUT_OUT, Identity
from profiles.resolve import Resolver
from profiles.store import ProfileStore

ROUNDS = 12
#: Kinds of providers that carry no messages.
SILENT_KINDS = frozenset({"shop", "tracking"})
#: Kinds of identities by which somebody can be written to.
ADDRESSES = frozenset({"channel", "email", "phone"})
NO_CHANNEL = Reason("no_channel", "No connected channel reaches this address.")
LEFT = Reason("left", "The person blocked or left this channel.")
SHUT = Reason(SHUT_OUT, "This person is shut out; let them in again first.")


@dataclass(frozen=True)
class Road:
    """A connected account by which somebody can be written to."""

    channel: Channel
    account: Account
    adapter: Adapter

    @property
    def is_mail(self) -> bool:
        """Whether it carries mails."""
        return self.adapter.card.kind == "email"

    def external_id(self, identity: Identity) -> str | None:
        """Under which id somebody known by a mail address, a number or an id of ours is written to here."""
        if identity.channel_id is not None or not identity.value:
            return None
        if identity.kind == "email":
            return identity.value if self.is_mail else None
        return self.adapter.address_of(self.account, identity.kind, identity.value)


@dataclass(frozen=True)
class Reach:
    """An address of somebody on one of our channels, and what speaks against writing there (`objection`).

    `only_templates`: nothing but an approved template may be sent, free text until `until` (None: at any time).
    Without a channel no account reaches it.
    """

    identity: Identity
    channel: Channel | None = None
    external_id: str = ""
    capabilities: Capabilities | None = None
    is_mail: bool = False
    objection: Reason | None = None
    only_templates: bool = False
    until: datetime | None = None
    #: Further identities of the person that are the same mail address or number.
    also: frozenset[str] = frozenset()

    def is_of(self, identity_id: str) -> bool:
        """Whether this identity is reached by it."""
        return identity_id == self.identity.id or identity_id in self.also

    @property
    def channel_id(self) -> str | None:
        """The account."""
        return self.channel.id if self.channel else None

    @property
    def on(self) -> Channel:
        """The account of a way that is one. Raises `Refused`."""
        if self.channel is None:
            raise Refused(NO_CHANNEL.sentence, code=NO_CHANNEL.code)
        return self.channel


@dataclass(frozen=True)
class Wish:
    """To whom, by which of their addresses (`identity_id`) or on which channel, and whose it is to be (`owner_id`)."""

    profile_id: str
    identity_id: str | None = None
    channel_id: str | None = None
    owner_id: str | None = None


@dataclass(frozen=True)
class Begun:
    """The first line, or one more in the conversation that was there."""

    conversation_id: str
    message: Message
    is_new: bool


class Beginning:
    """The use case: the conversation, its first line and the send in one transaction."""

    def __init__(
        self, conversations: ConversationStore, messages: MessageStore, sends: SendStore, profiles: ProfileStore,
        resolver: Resolver, channels: ChannelStore, registry: Registry, events: EventStore, outbox: Outbox,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._conversations = conversations
        self._messages = messages
        self._sends = sends
        self._profiles = profiles
        self._resolver = resolver
        self._channels = channels
        self._registry = registry
        self._events = events
        self._outbox = outbox
        self._clock = clock

    async def reaches(self, identities: Sequence[Identity], channel_ids: frozenset[str] | None) -> list[Reach]:
        """Every way to somebody with these identities, on these channels (None: all): where they wrote last first,
        then those that are closed, with the reason."""
        roads = []
        for channel in await self._channels.list():
            adapter = self._registry.get(channel.provider)
            seen = channel_ids is None or channel.id in channel_ids
            if seen and channel.state != "disconnected" and adapter.card.kind not in SILENT_KINDS:
                opened = await self._channels.both(channel.id)
                roads += [Road(channel, opened[1], adapter)] if opened is not None else []
        counted = await self._counted(identities, roads)
        return reaches_of(counted, roads, self._clock())

    async def begin(
        self, wish: Wish, reaches: Sequence[Reach], agent: Actor, reply: ReplyInput, client_key: str, *, undo_s: int = 0
    ) -> Begun:  # fmt: skip
        """Write to somebody. The same `client_key` again is the same message, whatever became of the conversation.

        Raises `WrongInput` for no way at all or several, `Refused` for one that is closed, and whatever speaks
        against an answer (`inbox.outbox.Outbox.reply`).
        """
        reach = chosen(reaches, wish)
        _require_first(reply)
        identity = await self._identity(wish, reach, agent)
        earlier = await self._earlier(identity, reach.on.id, client_key)
        if earlier is not None:
            return Begun(earlier.conversation_id or "", earlier, is_new=False)
        for attempt in range(ROUNDS):
            talk = await self._talk(wish, reach, identity, reply, agent)
            message = await self._outbox.begin(talk, agent, reply, client_key, undo_s=undo_s)
            if message is not None:
                return Begun(talk.head["_id"], message, is_new=talk.opening is not None)
            await rest_after(attempt)
        raise Conflict("This conversation is being changed too often just now; please try again.", code="contended")

    # -- where -------------------------------------------------------------------------------------------------

    async def _counted(self, identities: Sequence[Identity], roads: Sequence[Road]) -> list[Identity]:
        """With what was sent in windows that count it."""
        found = {each.id: each for each in identities}
        for road in roads:
            own = {key: each for key, each in found.items() if each.channel_id == road.channel.id}
            found |= await with_quota(self._sends, road.adapter.capabilities, own) if own else {}
        return list(found.values())

    async def _identity(self, wish: Wish, reach: Reach, agent: Actor) -> Identity:
        """The identity they will answer by. An address that was only known becomes one of the channel."""
        if reach.identity.channel_id is not None:
            return reach.identity
        address = _address(reach)
        found = await self._resolver.introduce(wish.profile_id, address, reach.on.provider, agent.id)
        identity = await self._profiles.identity(found)
        today = await self._profiles.current([identity.profile_id]) if identity is not None else {}
        if identity is None or today[identity.profile_id] != wish.profile_id:
            raise Conflict("This address belongs to somebody else by now; merge the two first.", code="other_person")
        return identity

    async def _earlier(self, identity: Identity, channel_id: str, client_key: str) -> Message | None:
        rows = await self._conversations.of_identities([identity.id], channel_id)
        line = await self._messages.by_client_key([row["_id"] for row in rows], client_key)
        return message_of(line) if line is not None else None

    async def _talk(self, wish: Wish, reach: Reach, identity: Identity, reply: ReplyInput, agent: Actor) -> Talk:
        """The conversation that holds their slot, else a new one."""
        slot = (identity.id, reach.on.id, None)
        held = next((row for row in await self._conversations.open_of([identity.id]) if slot_of(row) == slot), None)
        if held is not None and not is_part(held):
            return Talk(held, held)
        if held is not None:
            head = head_in(held, await self._conversations.rows([held["merged_into"]]))
            if head is not None and head["status"] != "resolved":
                return Talk(held, head)
        return await self._new_talk(wish, reach, identity, reply, agent, held)

    async def _new_talk(
        self, wish: Wish, reach: Reach, identity: Identity, reply: ReplyInput, agent: Actor, held: Document | None
    ) -> Talk:  # fmt: skip
        """`held`: the part of a closed conversation that gives up the slot."""
        if reach.is_mail and not (reply.subject or "").strip():
            raise WrongInput("A mail needs a subject.", [FieldError("subject", "say what it is about")])
        now, profile = self._clock(), await self._profiles.get(wish.profile_id)
        name = (profile.name if profile else None) or identity.display_name
        address = _address(reach).model_dump()
        slot = (identity.id, reach.on.id, None)
        row = blank_row(slot, wish.profile_id, reach.on.provider, address, name, reply.subject, now)
        row |= {"last_activity_at": now, "updated_at": now}
        row |= {"assignee_id": wish.owner_id, "assigned_at": now} if wish.owner_id else {}
        event = created_event(row, agent, now)

        async def opening(update: Document, session: Session) -> None:
            if held is not None:
                await self._conversations.change([(held, {"$unset": {"open": ""}})], session)
            await self._conversations.insert([with_line(row, update)], session)
            await self._messages.adopt({identity.id: (row["channel_id"], row["_id"])}, session)
            await self._events.record([event], session)

        return Talk(row, row, opening)


def reaches_of(identities: Sequence[Identity], roads: Sequence[Road], now: datetime) -> list[Reach]:
    """Every address on every road, and those that no road reaches. What a channel knows them by stands for the mail
    address or number it is. Pure."""
    found = []
    for road in roads:
        own = [each for each in identities if each.channel_id == road.channel.id and each.external_id]
        known = {_same(each.external_id or "") for each in own}
        found += [_reach(road, each, each.external_id or "", now) for each in own]
        for each in identities:
            external_id = road.external_id(each)
            if external_id and _same(external_id) not in known:
                found.append(_reach(road, each, external_id, now))
    found = [replace(each, also=_same_as(each, identities)) for each in found]
    rest = [
        Reach(one, objection=NO_CHANNEL)
        for one in identities
        if one.kind in ADDRESSES and not any(each.is_of(one.id) for each in found)
    ]
    ordered = sorted(found, key=lambda each: each.identity.last_inbound_at or each.identity.first_seen_at, reverse=True)
    return [*sorted(ordered, key=lambda each: each.objection is not None), *rest]


def chosen(reaches: Sequence[Reach], wish: Wish) -> Reach:
    """The way that is wished for. Raises `WrongInput` for none or several, `Refused` for one that is closed. Pure."""
    fitting = [
        each for each in reaches
        if each.channel is not None and (wish.identity_id is None or each.is_of(wish.identity_id))
        and wish.channel_id in (None, each.channel_id)
    ]  # fmt: skip
    stranded = [each for each in reaches if each.channel is None and each.identity.id == wish.identity_id]
    if not fitting and stranded:
        raise Refused(NO_CHANNEL.sentence, code=NO_CHANNEL.code)
    if not fitting:
        path = "identity_id" if wish.identity_id else "channel_id"
        raise WrongInput("There is no such way to this person.", [FieldError(path, "does not reach this person")])
    passable = [each for each in fitting if each.objection is None]
    if not passable:
        reason = fitting[0].objection or NO_CHANNEL
        raise Refused(reason.sentence, code=reason.code)
    if len({each.channel_id for each in passable}) > 1 and wish.channel_id is None:
        fault = FieldError("channel_id", "say which of several channels")
        raise WrongInput("Several of your channels reach this address.", [fault])
    return passable[0]


def _reach(road: Road, identity: Identity, external_id: str, now: datetime) -> Reach:
    able = road.adapter.capabilities_for(external_id)
    reach = Reach(identity, road.channel, external_id, able, road.is_mail)
    if identity.suppressed is not None:
        reason = identity.suppressed.reason
        sentence = f"Nothing is sent to this address any more ({reason})."
        return replace(reach, objection=SHUT if reason == SHUT_OUT else Reason("suppressed", sentence))
    if not identity.reachable:
        return replace(reach, objection=LEFT)
    state = window(able, identity, now, automatic=False)
    if not isinstance(state, Closed):
        return replace(reach, until=state.until)
    if able.template_outside_window and state.code == "window_closed":
        return replace(reach, only_templates=True)
    return replace(reach, objection=Reason(state.code, state.sentence))


def _same(external_id: str) -> str:
    """What makes two ids the same address: the number, or the letters in any case."""
    return number_in(external_id) or external_id.casefold()


def _same_as(reach: Reach, identities: Sequence[Identity]) -> frozenset[str]:
    plain = [each for each in identities if each.channel_id is None and each.value]
    return frozenset(each.id for each in plain if _same(each.value or "") == _same(reach.external_id))


def _address(reach: Reach) -> Address:
    is_value = reach.identity.kind in ("email", "phone")
    handle = reach.identity.handle or (reach.identity.value if is_value else None)
    return Address(channel_id=reach.on.id, external_id=reach.external_id, handle=handle)


def _require_first(reply: ReplyInput) -> None:
    if reply.note:
        raise WrongInput("A conversation begins with a message.", [FieldError("note", "is for colleagues")])
    if reply.reply_to:
        fault = FieldError("reply_to", "there is nothing to quote yet")
        raise WrongInput("A first message quotes nothing.", [fault])
