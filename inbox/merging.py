"""Merging conversations of one person into one, and taking that back. Messages stay where they are (decision 42)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, WrongInput
from base.feed import Feed, Notice
from base.ids import new_id
from base.mongo import (
    Database,
    Document,
    Session,
)
from base.queue import Doorbell
from inbox.acts import undone_act
from inbox.clashes import CLASHES, Contended, is_clash, rest_after
from inbox.heads import (
    THREADS_MAX,
    applied,
    as_update,
    combined_clocks,
    head_change,
    member_before,
    member_update,
    parted_update,
    threads_of,
    together,
)
from inbox.incoming import system_row
from inbox.models import Actor, Conversation, conversation_of
from inbox.owning import LEFT, has_bot
from inbox.placing import Slot, preview, slot_of
from inbox.sla.clocks import SlaClocks, clocks_of, with_clocks
from inbox.store import ActStore, ConversationStore, MessageStore
from inbox.store.conversations import tokens_of
from profiles.events import EventStore, NewEvent

ROUNDS = 12
#: A conversation as read, and what becomes of it.
Change = tuple[Document, Document]


@dataclass(frozen=True)
class Merge:
    """What a merge would join, or has joined. `act_id` None: nothing was written."""

    act_id: str | None
    conversation: Conversation
    parts: tuple[Conversation, ...]
    messages: int


class Merging:
    """The use cases. Each is one transaction."""

    def __init__(
        self, database: Database, conversations: ConversationStore, messages: MessageStore, acts: ActStore,
        events: EventStore, sla: SlaClocks, feed: Feed, doorbell: Doorbell, clock: Clock,
    ) -> None:  # fmt: skip
        self._database = database
        self._conversations = conversations
        self._messages = messages
        self._acts = acts
        self._events = events
        self._sla = sla
        self._feed = feed
        self._doorbell = doorbell
        self._clock = clock

    async def look(self, head_id: str, other_ids: Sequence[str]) -> Merge:
        """What a merge would come to. Raises as `merge`."""
        head, others, parts = await self._chosen(head_id, other_ids)
        return _told(None, head, others, parts)

    async def merge(self, head_id: str, other_ids: Sequence[str], by: Actor) -> Merge:
        """Show these as one with the first, on which all goes on. Raises `NotFound`; `WrongInput` for conversations of
        other people, of groups, or too many."""
        for attempt in range(ROUNDS):
            head, others, parts = await self._chosen(head_id, other_ids)
            members = [*others, *parts]
            if not members:
                return _told(None, head, [], [])
            free = await self._free_slots(members, head)
            try:
                act_id, after = await self._joined(head, others, parts, free, by)
            except CLASHES as error:
                if not is_clash(error):
                    raise
                await rest_after(attempt)
                continue
            await self._announce([after, *members], "react")
            return _told(act_id, after, others, parts)
        raise _contended()

    async def unmerge(self, act_id: str, by: Actor) -> Conversation:
        """Each is as it was, with what came to it since. The same again changes nothing. Raises `NotFound`, `Conflict`
        when what it made was merged again since."""
        for attempt in range(ROUNDS):
            act = await self._acts.get(act_id)
            if act is None or act["kind"] != "merge":
                raise NotFound("There is no such merge.")
            head = await self._conversations.row(act["head_id"])
            if head is None:
                raise NotFound("What these were merged into is gone.")
            if act["state"] == "unmerged":
                return conversation_of(head)
            try:
                after, members = await self._parted(act, head, by)
            except CLASHES as error:
                if not is_clash(error):
                    raise
                await rest_after(attempt)
                continue
            await self._announce([after, *members], "react")
            return conversation_of(after)
        raise _contended()

    async def latest(self, head: Conversation) -> Document | None:
        """The last merge into this conversation that can be taken back."""
        return await self._acts.latest_merge(head.id) if head.parts else None

    # -- choosing ----------------------------------------------------------------------------------------------

    async def _chosen(
        self, head_id: str, other_ids: Sequence[str]
    ) -> tuple[Document, list[Document], list[Document]]:  # fmt: skip
        """The head, the others that stand on their own, and what was merged into those before."""
        head = await self._conversations.head(head_id)
        rows = await self._conversations.rows(other_ids)
        if head is None or len(rows) < len(set(other_ids)):
            raise NotFound("There is no such conversation.")
        heads = await self._conversations.rows(row.get("merged_into") or key for key, row in rows.items())
        others = [heads[key] for key in sorted(heads) if key != head["_id"]]
        found = await self._conversations.rows(part for row in others for part in row.get("parts", ()))
        parts = [found[key] for key in sorted(found)]
        if fault := _fault(head, [*others, *parts]):
            raise WrongInput(fault, [FieldError("other_ids", fault)])
        return head, others, parts

    async def _free_slots(self, members: Sequence[Document], head: Document) -> set[str]:
        """Those whose slot nobody holds, so that they may take it: what comes there comes to the merged thread."""
        held = await self._held_slots(members)
        free: dict[Any, str] = {}
        for row in members:
            slot = slot_of(row)
            if not row.get("open") and not row.get("branch") and slot not in held and slot != slot_of(head):
                free[slot] = row["_id"]
        return set(free.values())

    async def _held_slots(self, rows: Sequence[Document]) -> set[Slot]:
        return {slot_of(row) for row in await self._conversations.open_of(row["identity_id"] for row in rows)}

    # -- joining -----------------------------------------------------------------------------------------------

    async def _joined(
        self, head: Document, others: Sequence[Document], parts: Sequence[Document], free: set[str], by: Actor
    ) -> tuple[str, Document]:  # fmt: skip
        now, act_id = self._clock(), new_id("act")
        members = [*others, *parts]
        change = head_change(head, others, [row["_id"] for row in members])
        if any(has_bot(row) for row in (head, *others)) and change["last_inbound_at"]:
            change["waiting_since"] = change["waiting_since"] or now
        change |= {LEFT: now} if has_bot(head) else {}
        update = as_update({**change, "updated_at": now, "seq": head["seq"] + 1}, head)
        line = self._line(head, "merged", {"count": len(members), "merge_id": act_id}, by, now)
        kept = {
            "_id": act_id, "kind": "merge", "state": "merged", "by": {"id": by.id, "name": by.name, "type": by.type},
            "at": now, "head_id": head["_id"], "members": [member_before(row) for row in members],
            "parts": _traces(head, change),
        }  # fmt: skip
        event = self._event("conversation.merged", act_id, head, by, other_ids=[row["_id"] for row in members])
        joining = [(row, member_update(row, head["_id"], now, takes_slot=row["_id"] in free)) for row in members]
        owned = {row["_id"]: await own_clocks(self._messages, row) for row in members if row.get("parts")}
        joining = [(row, together(each, as_update(owned.get(row["_id"], {}), row))) for row, each in joining]
        changes = await self._with_clocks([*joining, (head, update)])

        async def work(session: Session) -> None:
            await self._changed(changes, session)
            await self._messages.insert([line], session)
            await self._events.record([event], session)
            await self._acts.put(kept, session)

        await self._database.in_transaction(work)
        return act_id, applied(head, update)

    # -- parting -----------------------------------------------------------------------------------------------

    async def _parted(self, act: Document, head: Document, by: Actor) -> tuple[Document, list[Document]]:
        rows = await self._conversations.rows(each["id"] for each in act["members"])
        if head.get("merged_into") or any(row.get("merged_into") != head["_id"] for row in rows.values()):
            raise Conflict("These were merged again since. Take that back first.", code="merged_since")
        now = self._clock()
        members = [(rows[each["id"]], each) for each in act["members"] if each["id"] in rows]
        held = await self._held_slots([row for row, _ in members])
        changes = [
            (row, parted_update(row, before, act["at"], now, slot_is_free=slot_of(row) not in held,
                                head_read=not head.get("unread")))
            for row, before in members
        ]  # fmt: skip
        changes = [
            (row, together(change, await self._whole_again(row, change)) if before.get("parts") else change)
            for (row, change), (_, before) in zip(changes, members, strict=True)
        ]  # fmt: skip
        change = await self._own_again(head, act, by)
        update = as_update({**change, "updated_at": now, "seq": head["seq"] + 1}, head)
        line = self._line(head, "unmerged", {"count": len(members), "merge_id": act["_id"]}, by, now)
        all_of_them = await self._with_clocks([*changes, (head, update)])
        event = self._event("conversation.unmerged", act["_id"], head, by, other_ids=[row["_id"] for row, _ in members])

        async def work(session: Session) -> None:
            await self._changed(all_of_them, session)
            await self._messages.insert([line], session)
            await self._events.record([event], session)
            if not await self._acts.end_merge(act["_id"], by.id, now, session):
                raise Contended("Somebody took this back in between.")

        await self._database.in_transaction(work)
        return applied(head, update), [row for row, _ in members]

    async def _own_again(self, head: Document, act: Document, by: Actor) -> Document:
        """The head without these parts: its clocks by its own messages and those of the parts that stay."""
        gone = {each["id"] for each in act["members"]}
        parts = [each for each in head.get("parts", ()) if each not in gone]
        staying = await self._conversations.rows(parts)
        own = {**head, **await own_clocks(self._messages, head)}
        rows = [own, *(staying[each] for each in parts if each in staying)]
        clocks = combined_clocks(rows)
        if head["status"] in ("resolved", "spam"):
            clocks["waiting_since"] = None
        tokens = tokens_of(head.get("display_name"), head.get("address") or {}, head.get("subject"))
        change: Document = {
            **clocks, "parts": parts or None, "unread": min(head.get("unread", 0), sum(row["unread"] for row in rows)),
            "tokens": list(dict.fromkeys([*tokens, *(each for row in rows[1:] for each in row.get("tokens", ()))])),
        }  # fmt: skip
        for kept in act["parts"]:
            back = undone_act(head, kept, by, None)
            change |= back.set if back is not None else {}
        return change

    async def _whole_again(self, row: Document, change: Document) -> Document:
        """A part that has parts of its own again: its clocks by its messages and theirs."""
        parts = await self._conversations.rows(change["$set"]["parts"])
        rows = [{**row, **await own_clocks(self._messages, row), "status": change["$set"]["status"]}, *parts.values()]
        clocks = combined_clocks(rows)
        unread = sum(each.get("unread", 0) for each in rows)
        if change["$set"]["status"] in ("resolved", "spam"):
            clocks["waiting_since"], unread = None, 0
        return as_update({**clocks, "unread": change["$set"].get("unread", unread)}, row)

    async def _with_clocks(self, changes: Sequence[Change]) -> list[Change]:
        terms, now = await self._sla.terms(), self._clock()
        return [(row, with_clocks(update, row, terms, now)) for row, update in changes]

    async def _changed(self, changes: Sequence[Change], session: Session) -> None:
        await self._conversations.change(changes, session)
        await self._sla.watch([(row, clocks_of(update, row)) for row, update in changes], session)

    # -- telling -----------------------------------------------------------------------------------------------

    def _line(self, head: Document, code: str, params: Document, by: Actor, now: Any) -> Document:
        params = {**params, "by": by.id, "by_name": by.name}
        dedupe = f"system:{head['_id']}:{head['rev'] + 1}"
        return system_row(head, code, params, at=now, seq=head["seq"] + 1, author=by.as_author(), dedupe=dedupe)

    def _event(self, name: str, act_id: str, head: Document, by: Actor, *, other_ids: list[str]) -> NewEvent:
        properties = {
            "merge_id": act_id, "other_ids": other_ids, "conversation_id": head["_id"], "by": by.id,
            "by_name": by.name, "by_type": by.type,
        }  # fmt: skip
        return NewEvent(
            name, f"{name}:{act_id}", self._clock(), profile_id=head["profile_id"], identity_id=head["identity_id"],
            channel_id=head["channel_id"], conversation_id=head["_id"], properties=properties,
        )  # fmt: skip

    async def _announce(self, rows: Sequence[Document], bell: Any) -> None:
        await self._feed.append(
            [Notice("conversation.updated", {"conversation_id": row["_id"]}, row["channel_id"]) for row in rows]
        )
        await self._doorbell.ring(bell)


async def own_clocks(messages: MessageStore, row: Document, session: Session | None = None) -> Document:
    """The clocks of one thread, read off its own messages. Somebody waits only where somebody waited before."""
    key = row["_id"]
    said = await messages.latest(key, ["in", "out", "note"], session=session)
    heard = await messages.latest(key, ["in"], session=session)
    answered = await messages.latest(key, ["out"], session=session)
    since: Document = {"provider_at": {"$gt": answered["provider_at"]}} if answered else {}
    waits = (
        await messages.latest(key, ["in"], after=answered["provider_at"], session=session)
        if answered
        else await messages.first(key, "in", session)
    )
    shown = {"conversation_id": key, "direction": {"$ne": "system"}, "status": {"$ne": "cancelled"}}
    return {
        "last_message": preview(said) if said else None,
        "unread": await messages.count({"conversation_id": key, "direction": "in", **since}, session),
        "message_count": await messages.count(shown, session),
        "last_inbound_at": heard["provider_at"] if heard else None,
        "last_activity_at": said["provider_at"] if said else row["last_activity_at"],
        "waiting_since": waits["provider_at"] if waits and row.get("waiting_since") else None,
        "last_reply_at": answered["provider_at"] if answered else None,
        "last_reply_id": answered["_id"] if answered else None,
    }


def _fault(head: Document, members: Sequence[Document]) -> str | None:
    """What speaks against a merge; None: nothing. Pure."""
    if any(row["profile_id"] != head["profile_id"] for row in members):
        return "These are conversations of different people. Merge the people first."
    if any(row.get("group_id") for row in (head, *members)):
        return "A conversation of a group stays on its own."
    if len(threads_of(head)) + len(members) > THREADS_MAX:
        return f"At most {THREADS_MAX} conversations can be shown as one."
    return None


def _traces(head: Document, change: Document) -> list[Document]:
    """What the merge did to labels, followers, priority and owner of the head, so that it can be taken back."""
    kept = []
    for part, name in (("labels", "labels"), ("participants", "participants"), ("priority", "priority"),
                       ("assignee", "assignee_id")):  # fmt: skip
        if change.get(name) != head.get(name):
            kept.append({"part": part, "before": {name: head[name]} if name in head else {},
                         "after": {name: change.get(name)}})  # fmt: skip
    return kept


def _told(act_id: str | None, head: Document, others: Sequence[Document], parts: Sequence[Document]) -> Merge:
    members = tuple(conversation_of(row) for row in (*others, *parts))
    return Merge(act_id, conversation_of(head), members, sum(row.get("message_count", 0) for row in others))


def _contended() -> Conflict:
    return Conflict("These conversations are being changed too often just now; please try again.", code="contended")
