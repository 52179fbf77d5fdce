"""Which conversation a line belongs to, and what it does to that conversation. Pure: rows in, changes out.

Lines may come in any order: whatever order they take, the conversation ends up the same. So "last" means by the
provider's time, and counters only add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from base.ids import new_id
from base.mongo import Document
from channels.vocabulary import MessageReceived
from inbox.acts import holds_slot
from inbox.heads import applied, as_update, head_in, is_part
from inbox.incoming import Line, received_event, system_row, thread_key
from inbox.owning import FIELDS as OWNER
from inbox.owning import LEFT, freed, given_to, has_bot, unfit
from inbox.quotes import ALL, Forgotten, forget
from inbox.store.conversations import THREAD_KEYS_KEPT, tokens_of
from profiles.models import NewEvent

PREVIEW = 200
Slot = tuple[str, str, str | None]


@dataclass(frozen=True)
class Found:
    """What stands in the database about the slots of a batch."""

    open: Mapping[Slot, Document]
    #: Closed conversations young enough to be opened again.
    recent: Mapping[Slot, Document]
    #: Conversations named by threading, open or not.
    named: Mapping[str, Document]
    #: Identities that had a conversation before.
    known: frozenset[str] = frozenset()
    #: What conversations were merged into, by id.
    heads: Mapping[str, Document] = field(default_factory=dict)
    #: Channels whose conversations a bot has first, with that bot.
    bots: Mapping[str, str] = field(default_factory=dict)
    #: Parts that hold the slot of a head that is closed for good: they give it up to whatever comes next.
    given_up: Mapping[Slot, Document] = field(default_factory=dict)


@dataclass
class Placement:
    """One conversation of a batch, with its new lines."""

    slot: Slot
    row: Document
    lines: list[Line]
    created: bool = False
    #: The first inbound line later than a colleague's answer that is in this batch, among those stored before.
    next_waiting: datetime | None = None
    update: Document = field(default_factory=dict)
    system: list[Document] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)

    @property
    def answered_at(self) -> datetime | None:
        """When a colleague last wrote in the provider's own app, this batch included."""
        times = [line.at for line in self.lines if _is_echo(line)]
        return max([*times, self.row["answered_at"]] if self.row.get("answered_at") else times, default=None)

    @property
    def must_look_for_waiting(self) -> bool:
        """Whether an echo answered the line that the stored clock stands on."""
        answered, since = self.answered_at, self.row.get("waiting_since")
        return bool(not self.created and answered and since and since <= answered)


def slot_of(row: Document) -> Slot:
    """The slot of a conversation; at most one conversation of a slot is open."""
    return row["identity_id"], row["channel_id"], row.get("group_id")


def slot_and_name(line: Line, named: Mapping[str, Document]) -> tuple[Slot, str | None]:
    """Where a line belongs: to the slot of a conversation its threading names, else to its sender's own.

    A mail may also lead into a chat that went on by mail on this account (`inbox.continuity`).
    """
    for conversation_id in line.threads:
        row = named.get(conversation_id)
        if row is not None and line.arrival.channel_id in (row["channel_id"], row.get("continued_by")):
            return slot_of(row), conversation_id
    return (line.identity_id, line.arrival.channel_id, line.group_id), None


def placed(lines: Iterable[Line], found: Found) -> list[Placement]:
    """Lines by conversation: the open one, else the one that threading names, else a recent one, else a new one."""
    groups: dict[Slot | str, Placement] = {}
    for line in lines:
        slot, name = slot_and_name(line, found.named)
        split_off = found.named[name] if name and found.named[name].get("branch") else None
        key: Slot | str = slot if split_off is None else split_off["_id"]
        placement = groups.get(key)
        if placement is None:
            row = split_off or found.open.get(slot) or (found.named[name] if name else found.recent.get(slot))
            placement = Placement(slot, row or {}, [], created=row is None)
            groups[key] = placement
        placement.lines.append(line)
    return list(groups.values())


def carry_out(
    placement: Placement, now: datetime, known: frozenset[str], heads: Mapping[str, Document] | None = None,
    bots: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Fill in the placement's rows: number its lines, and work out what they do to the conversation."""
    placement.lines.sort(key=lambda line: (line.at, line.position))
    bot_id, forgets = _bot_for(placement, bots or {}), _forgotten(placement)
    if placement.created:
        placement.row = _new_conversation(placement, now)
        placement.row |= given_to(bot_id, placement.row) if bot_id else {}
    row, before = placement.row, dict(placement.row)
    woken = _woken(placement, now, bot_id) | _strayed(row, heads or {}) | _taken_in_app(placement, now)
    seq = row["seq"]
    for line in placement.lines:
        seq += 1
        line.row |= {"conversation_id": row["_id"], "seq": seq}
    change = _counters(placement) | _clocks(placement, has_bot({**row, **woken})) | woken
    change |= {"seq": seq + len(placement.system), "updated_at": now} | _naming(placement)
    change |= {"forgets": forgets} if forgets else {}
    for number, line_row in enumerate(placement.system):
        line_row["seq"] = seq + 1 + number
    _events(placement, before, known)
    if placement.created:
        placement.row = _without_none(row | change)
    else:
        placement.update = _as_update(change, row, placement)


def _forgotten(placement: Placement) -> list[Forgotten]:
    """What the conversation forgets of its mails, taken out of these lines. A mail in answer to a conversation that is
    no more, because its person has been erased, repeats what was said there, and so will those that follow it. Where
    it comes into a conversation that is there already, that one has a subject of its own."""
    known: list[Forgotten] = [*(placement.row.get("forgets") or ())]
    of_gone = any(line.of_gone for line in placement.lines)
    marks = (ALL if placement.created else ALL[:1]) if of_gone else ()
    forgets = [*known, *(each for each in marks if each not in known)]
    for line in placement.lines:
        line.forgets = forget(line.row, ALL if line.of_gone else forgets)
    return forgets


@dataclass
class HeadEffect:
    """What lines in its parts do to the conversation that they were merged into."""

    row: Document
    update: Document
    system: list[Document]
    events: list[NewEvent]


def carried_to_heads(
    placements: Sequence[Placement], heads: Mapping[str, Document], next_waiting: Mapping[str, datetime | None],
    now: datetime,
) -> list[HeadEffect]:  # fmt: skip
    """News in a part is news of its head. What the batch does to the head's own thread is in the effect, too: call
    after `carry_out`. `next_waiting`: as `Placement.next_waiting`, over all threads of a head."""
    parts: dict[str, list[Placement]] = {}
    for placement in placements:
        head = head_in(placement.row, heads)
        if head is not None:
            parts.setdefault(head["_id"], []).append(placement)
    return [_head_effect(heads[key], group, placements, next_waiting.get(key), now) for key, group in parts.items()]


def _head_effect(
    head: Document, group: Sequence[Placement], placements: Sequence[Placement], next_waiting: datetime | None,
    now: datetime,
) -> HeadEffect:  # fmt: skip
    own = next((each for each in placements if each.row["_id"] == head["_id"]), None)
    stands: Document = applied(head, own.update) if own else dict(head)
    lines = sorted((line for each in group for line in each.lines), key=lambda line: (line.at, line.position))
    news = Placement(slot_of(head), stands, lines, next_waiting=next_waiting)
    woken = _woken(news, now)
    for number, line in enumerate(lines):
        line.row["head_seq"] = stands["seq"] + 1 + number
    for number, row in enumerate(news.system):
        row["seq"] = stands["seq"] + len(lines) + 1 + number
    change = _counters(news) | _clocks(news) | woken
    change |= {"seq": stands["seq"] + len(lines) + len(news.system), "updated_at": now}
    _mark_place(change, lines, head)
    update = as_update({name: change.get(name, stands.get(name)) for name in _touched(change, own)}, head)
    if own and "$push" in own.update:
        update["$push"] = own.update["$push"]
    events = [_status_event(head, stands["status"], news.system[0]["provider_at"])] if news.system else []
    for placement in group:
        if stands["status"] == "spam":
            placement.events.clear()
    if own:
        own.update = {}
    return HeadEffect(head, update, news.system, events)


def _touched(change: Mapping[str, Any], own: Placement | None) -> set[str]:
    """Fields that either the parts or the head's own lines change."""
    update = own.update if own else {}
    return {*change, *update.get("$set", {}), *update.get("$unset", {})}


def _mark_place(change: Document, lines: Sequence[Line], head: Document) -> None:
    """A last message of another channel says so: not everybody who sees the head may read it."""
    last = change.get("last_message")
    line = next((each for each in lines if last and each.row["_id"] == last["id"]), None)
    if last and line is not None and line.arrival.channel_id != head["channel_id"]:
        change["last_message"] = {**last, "channel_id": line.arrival.channel_id}


def _status_event(row: Document, before: str, at: datetime, to: str = "open") -> NewEvent:
    dedupe = f"conversation.status_changed:{row['_id']}:{row['rev'] + 1}"
    properties = {"conversation_id": row["_id"], "from": before, "to": to, "by": "customer"}
    return NewEvent(
        "conversation.status_changed", dedupe, at, profile_id=row["profile_id"], identity_id=row["identity_id"],
        channel_id=row["channel_id"], conversation_id=row["_id"], properties=properties,
    )  # fmt: skip


def _new_conversation(placement: Placement, now: datetime) -> Document:
    line = placement.lines[0]
    address = line.event.address
    silent = all(each.shut_out for each in placement.lines)
    subject = (line.row.get("mail") or {}).get("subject")
    return blank_row(
        placement.slot, line.profile_id, line.arrival.provider, address.model_dump() if address else {},
        line.display_name, subject, now, status="spam" if silent else "open",
    )  # fmt: skip


def blank_row(
    slot: Slot, profile_id: str, provider: str, address: Document, display_name: str | None, subject: str | None,
    now: datetime, *, status: str = "open",
) -> Document:  # fmt: skip
    """A new conversation in which nothing has been said yet."""
    return {
        "_id": new_id("cnv"), "profile_id": profile_id, "identity_id": slot[0], "channel_id": slot[1],
        "provider": provider, "address": address, "display_name": display_name,
        "subject": subject[:500] if subject else None, "status": status, "open": True, "assignee_id": None,
        "team_id": None, "labels": [], "priority": "none", "priority_rank": 0,
        "group_id": slot[2], "unread": 0, "message_count": 0, "seq": 0, "created_at": now, "rev": 0,
        "tokens": tokens_of(display_name, address, subject),
    }  # fmt: skip


def _bot_for(placement: Placement, bots: Mapping[str, str]) -> str | None:
    """The bot that has what begins or comes back here; none in a group, nor what a machine begins."""
    slot, lines = placement.slot, placement.lines
    bot_id, begins = bots.get(slot[1]), placement.created or placement.row["status"] == "resolved"
    mails = [line.event.mail for line in lines if isinstance(line.event, MessageReceived)]
    by_machine = any(mail is not None and mail.automatic for mail in mails)
    if bot_id is None or slot[2] or not begins or by_machine or any(_is_echo(line) for line in lines):
        return None
    fits = placement.created or not unfit(placement.row)
    return bot_id if fits and any(line.heard for line in lines) else None


def _taken_in_app(placement: Placement, now: datetime) -> Document:
    """A colleague who writes in the provider's own app takes it from the bot."""
    if placement.created or not any(_is_echo(line) for line in placement.lines):
        return {}
    taken = freed(placement.row, now)
    return {**taken, **dict.fromkeys(OWNER)} if taken else {}


def _woken(placement: Placement, now: datetime, bot_id: str | None = None) -> Document:
    """The status after these lines: a customer who writes opens what was closed, put off or waiting for them; what a
    bot has stays the bot's, and what was closed comes back to one (`bot_id`)."""
    row = placement.row
    asleep = row["status"] in ("resolved", "snoozed", "pending") and not has_bot(row)
    if not asleep or not any(line.heard for line in placement.lines):
        return {}
    code = "reopened" if row["status"] == "resolved" else "woken"
    author = {"type": "system", "id": None, "name": None}
    params = {"from": row["status"], "to": "pending" if bot_id else "open", "by": "customer"}
    dedupe = f"system:{row['_id']}:{row['rev'] + 1}"
    placement.system.append(system_row(row, code, params, at=now, seq=0, author=author, dedupe=dedupe))
    owned = given_to(bot_id, row) if bot_id else {"status": "open"}
    owned |= {LEFT: None} if LEFT in row else {}
    return {**owned, **holds_slot(row), "resolved_at": None, "snoozed_until": None, "reopened_at": now}


def _strayed(row: Document, heads: Mapping[str, Document]) -> Document:
    """A part whose head is gone, or another person's, is a conversation of its own."""
    if not is_part(row) or head_in(row, heads):
        return {}
    return {"status": "open", "open": True, "merged_into": None}


def _counters(placement: Placement) -> Document:
    row = placement.row
    inbound = sum(line.heard for line in placement.lines)
    shown = sum(line.row["direction"] != "system" for line in placement.lines)
    unread = 0 if row["status"] == "spam" else inbound
    return {"unread": row["unread"] + unread, "message_count": row["message_count"] + shown}


def _clocks(placement: Placement, of_bot: bool = False) -> Document:
    row, lines = placement.row, placement.lines
    inbound = [line.at for line in lines if line.inbound]
    echoes = [line.at for line in lines if _is_echo(line)]
    change: Document = {
        "last_activity_at": max([line.at for line in lines] + _given(row.get("last_activity_at"))),
        "last_message": _last_message(row.get("last_message"), lines),
        "answered_at": placement.answered_at,
    }
    if inbound:
        change["last_inbound_at"] = max(inbound + _given(row.get("last_inbound_at")))
    if echoes:
        change["first_reply_at"] = min(echoes + _given(row.get("first_reply_at")))
    if row["status"] != "spam" and not of_bot:
        change["waiting_since"] = _waiting_since(placement, [line.at for line in lines if line.heard])
    return change


def _waiting_since(placement: Placement, inbound: Sequence[datetime]) -> datetime | None:
    answered, stored = placement.answered_at, placement.row.get("waiting_since")
    if placement.must_look_for_waiting:
        stored = placement.next_waiting
    unanswered = [at for at in inbound if answered is None or at > answered]
    return min(unanswered + _given(stored), default=None)


def _last_message(stored: Document | None, lines: Sequence[Line]) -> Document | None:
    latest = stored
    for line in lines:
        if line.row["direction"] != "system" and (latest is None or line.at >= latest["at"]):
            latest = preview(line.row)
    return latest


def preview(message: Document) -> Document:
    """What a list shows of a message."""
    text = message.get("text") or ""
    return {
        "id": message["_id"], "text": text[:PREVIEW] or None, "kind": None if text else _kind(message),
        "at": message["provider_at"], "direction": message["direction"], "author": message["author"],
    }  # fmt: skip


def _kind(message: Document) -> str | None:
    if message.get("attachments"):
        return str(message["attachments"][0].get("kind", "file"))
    names = ("location", "contacts", "postback", "template", "unsupported")
    return next((name for name in names if message.get(name)), None)


def _naming(placement: Placement) -> Document:
    """A changed name of the person, and the profile they belong to since a merge."""
    row = placement.row
    own = [line for line in placement.lines if line.identity_id == row["identity_id"]]
    if not own or placement.created:
        return {}
    change: Document = {"profile_id": own[-1].profile_id}
    name = next((line.display_name for line in reversed(own) if line.display_name), None)
    if name and name != row.get("display_name"):
        change |= {"display_name": name, "tokens": tokens_of(name, row.get("address") or {}, row.get("subject"))}
    return change


def _thread_keys(placement: Placement) -> list[str]:
    keys = []
    for line in placement.lines:
        if isinstance(line.event, MessageReceived) and line.event.mail and line.event.mail.message_id:
            keys.append(thread_key(line.arrival.channel_id, line.event.mail.message_id))
    return keys


def _events(placement: Placement, before: Document, known: frozenset[str]) -> None:
    row = placement.row
    common: dict[str, Any] = {
        "profile_id": row["profile_id"], "identity_id": row["identity_id"], "channel_id": row["channel_id"],
        "conversation_id": row["_id"],
    }  # fmt: skip
    first = placement.lines[0]
    if placement.created and row["status"] == "spam":
        return  # of somebody who is shut out
    if placement.created:
        properties = {"provider": row["provider"], "conversation_id": row["_id"]}
        placement.events.append(
            NewEvent(
                "conversation.created", f"conversation.created:{row['_id']}", first.at, properties=properties, **common
            )
        )
    elif placement.system:
        to = placement.system[0]["system"]["params"]["to"]
        placement.events.append(_status_event(row, before["status"], placement.system[0]["provider_at"], to))
    if before["status"] == "spam":
        return  # a machine that answers a spammer would only tell them that somebody is here
    is_first = placement.created and row["identity_id"] not in known
    for line in placement.lines:
        if line.heard:
            placement.events.append(received_event(line, first_contact=is_first))
            is_first = False


def _as_update(change: Document, row: Document, placement: Placement) -> Document:
    update = as_update(change, row)
    keys = _thread_keys(placement)
    if keys:
        update["$push"] = {"thread_keys": {"$each": keys, "$slice": -THREAD_KEYS_KEPT}}
    return update


def new_row(placement: Placement) -> Document:
    """The row of a conversation that this batch creates."""
    keys = _thread_keys(placement)
    return placement.row | ({"thread_keys": keys[-THREAD_KEYS_KEPT:]} if keys else {})


def _without_none(row: Document) -> Document:
    """Clocks that do not run are absent, so that their indexes hold only those that do."""
    absent = ("waiting_since", "snoozed_until", "resolved_at", "answered_at", "first_reply_at", "last_inbound_at")
    return {name: value for name, value in row.items() if value is not None or name not in absent}


def _is_echo(line: Line) -> bool:
    return isinstance(line.event, MessageReceived) and line.event.echo


def _given(value: datetime | None) -> list[datetime]:
    return [] if value is None else [value]
