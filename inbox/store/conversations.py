"""Conversations as rows. A list reads one index of this one collection: everything it shows is kept here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, DuplicateKeyError, Indexes, Session, UpdateOne, whole
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from inbox.clashes import Contended
from inbox.heads import head_in, is_part
from inbox.models import Conversation, conversation_of
from inbox.signs import mark_of, sign_after, sign_of, touches
from inbox.store.inserting import insert_all
from inbox.store.tallies import MarkStore
from inbox.view_filter import ConversationFilter, Due, condition, due_condition
from profiles.holdings import Traces
from profiles.search import search_tokens
from profiles.store.belongings import Belongings
from profiles.store.holdings import Held

Sort = Literal["last_activity", "waiting", "created", "priority", "sla"]
#: Sort → field and direction (+1 rising). All end in `_id`, so that a page ends at one row exactly.
SORTS: Mapping[str, tuple[str, int]] = {
    "last_activity": ("last_activity_at", DESCENDING),
    "waiting": ("waiting_since", ASCENDING),
    "created": ("created_at", DESCENDING),
    "priority": ("priority_rank", DESCENDING),
    "sla": ("sla.due_at", ASCENDING),
}


_LATEST = [("last_activity_at", DESCENDING), ("_id", DESCENDING)]

#: Few, because every message changes its conversation, and in a transaction each index costs that update about
#: 0.04 ms of the server (measured 2026-11-22), whether its own fields changed or not. Views by channel, team,
#: priority and what is due walk `by_status` from its newest end; what only few rows have is sorted in memory.
INDEXES: Indexes = {
    "conversations": [
        IndexModel(
            [("identity_id", ASCENDING), ("channel_id", ASCENDING), ("group_id", ASCENDING)],
            name="one_open",
            unique=True,
            partialFilterExpression={"open": True},
        ),
        IndexModel([("status", ASCENDING), *_LATEST], name="by_status"),
        IndexModel([("assignee_id", ASCENDING), ("status", ASCENDING), *_LATEST], name="by_assignee"),
        IndexModel(
            [("status", ASCENDING), ("waiting_since", ASCENDING), ("_id", ASCENDING)],
            name="by_waiting",
            partialFilterExpression={"waiting_since": {"$exists": True}},
        ),
        IndexModel(
            [
                ("team_id", ASCENDING),
                ("status", ASCENDING),
                ("assignee_id", ASCENDING),
                ("priority_rank", DESCENDING),
                ("waiting_since", ASCENDING),
                ("_id", ASCENDING),
            ],
            name="by_team",
            partialFilterExpression={"team_id": {"$gt": ""}},
        ),
        IndexModel([("labels", ASCENDING)], name="by_label"),
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("tokens", ASCENDING)], name="by_token"),
        IndexModel([("identity_id", ASCENDING)], name="by_identity"),
        IndexModel(
            [("channel_id", ASCENDING), ("group_id", ASCENDING)],
            name="by_group",
            partialFilterExpression={"group_id": {"$type": "string"}},
        ),
        IndexModel(
            [("unseen_due_at", ASCENDING)],
            name="unseen",
            partialFilterExpression={"unseen_due_at": {"$exists": True}},
        ),
        IndexModel(
            [("thread_keys", ASCENDING)],
            name="by_thread",
            partialFilterExpression={"thread_keys": {"$exists": True}},
        ),
    ]
}
#: Conversations that are looked at for their labels.
LABELLED_MAX = 500
#: Conversations of one transaction that may be in other views afterwards.
MARKED_AT_ONCE = 100
#: What a conversation that others were merged into has of them.
ON_HEADS = frozenset({
    "message_count", "last_message", "last_activity_at", "waiting_since", "first_reply_at", "first_reply_id",
})  # fmt: skip
#: Mails remembered per conversation for threading.
THREAD_KEYS_KEPT = 300


class ConversationStore:
    """Reads and writes conversations. Every write counts `rev` up, so that nobody overwrites what he has not seen."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._rows = database.collection("conversations")
        self._marks = MarkStore(database)
        self.belongings = Belongings("conversations", self._rows, "cnv", counted=True, by_identity="always")
        self._clock = clock

    # -- reading -----------------------------------------------------------------------------------------------

    async def get(self, conversation_id: str) -> Conversation | None:
        """One conversation; of one that was merged into another, that one, with `merged_from`."""
        row = await self.head(conversation_id)
        if row is None:
            return None
        merged_from = conversation_id if row["_id"] != conversation_id else None
        return conversation_of({**row, "merged_from": merged_from})

    async def row(self, conversation_id: str, session: Session | None = None) -> Document | None:
        """One conversation as it stands."""
        return await self._rows.find_one({"_id": conversation_id}, session=session)

    async def head(self, conversation_id: str) -> Document | None:
        """One conversation as it stands; of one that was merged into another, that one."""
        row = await self.row(conversation_id)
        return await self.row(row["merged_into"]) if row and is_part(row) else row

    async def with_parts(self, talk: Conversation) -> list[Conversation]:
        """A conversation and those that were merged into it, as long as they are the same person's."""
        rows = (await self.rows(talk.parts)).values() if talk.parts else ()
        head = {talk.id: {"profile_id": talk.profile_id}}
        return [talk, *(conversation_of(row) for row in rows if head_in(row, head))]

    async def rows(self, ids: Iterable[str]) -> dict[str, Document]:
        """Conversations by id."""
        wanted = sorted(set(ids))
        found = self._rows.find({"_id": {"$in": wanted}}) if wanted else None
        return {row["_id"]: row async for row in found} if found is not None else {}

    async def page(
        self, wanted: ConversationFilter, *, sort: Sort = "last_activity", limit: int | None = None,
        cursor: str | None = None, sla: Due | None = None,
    ) -> Page[Conversation]:  # fmt: skip
        """A part of the list. `sort="waiting"` shows only those where a customer waits, the longest first;
        `sort="priority"` without a status only those that are not closed; `sort="sla"` only those in which something
        promised is due, the earliest first. `sla` asks for those in which it is overdue, or soon due."""
        field, direction = SORTS[sort]
        asked = {**condition(wanted, self._clock()), **(due_condition(sla, self._clock()) if sla else {})}
        if sort == "waiting":
            asked["waiting_since"] = {"$exists": True}
        if sort == "sla":
            asked.setdefault("sla.due_at", {"$exists": True})
        if (sort in ("priority", "sla") or sla) and not wanted.view.status:
            asked["status"] = {"$in": ["open", "pending", "snoozed"]}
        size = bounded(limit)
        rows = self._rows.find({"$and": [asked, _beyond(sort, cursor)]})
        found = await rows.sort([(field, direction), ("_id", direction)]).limit(size + 1).to_list(None)
        shown, more = cut(found, size)
        return Page([conversation_of(row) for row in shown], _cursor_at(shown[-1], sort) if more else None)

    async def count(self, wanted: ConversationFilter, *, at_most: int) -> int:
        """How many there are, counted no further than `at_most`."""
        return await self._rows.count_documents(condition(wanted, self._clock()), limit=at_most)

    async def any(self, wanted: ConversationFilter) -> bool:
        """Whether there is one."""
        return await self._rows.find_one(condition(wanted, self._clock()), {"_id": 1}) is not None

    async def of_profile(self, profile_id: str, limit: int = 50) -> list[Conversation]:
        """All threads of a person, the latest first; what was merged as the one it is."""
        rows = self._rows.find({"profile_id": profile_id, "merged_into": None}).sort(_LATEST).limit(limit)
        return [conversation_of(row) async for row in rows]

    async def open_of(self, identity_ids: Iterable[str]) -> list[Document]:
        """The open conversations of these identities, on all accounts."""
        wanted = {"identity_id": {"$in": list(identity_ids)}, "open": True}
        return await self._rows.find(wanted).hint("one_open").to_list(None)

    async def resolved_since(self, identity_ids: Iterable[str], since: datetime) -> list[Document]:
        """Closed conversations of these identities with something in them since then, the latest first."""
        wanted = {"identity_id": {"$in": list(identity_ids)}, "last_activity_at": {"$gte": since}, "status": "resolved"}
        return await self._rows.find(wanted).sort("last_activity_at", DESCENDING).limit(2000).to_list(None)

    async def known(self, identity_ids: Iterable[str]) -> set[str]:
        """Which of these identities ever had a conversation. One index entry per identity."""
        return set(await self._rows.distinct("identity_id", {"identity_id": {"$in": list(identity_ids)}}))

    async def open_after(self, identity_id: str, limit: int) -> list[Document]:
        """Some open conversations, all of each identity, in the order of identities; those after this one."""
        wanted = {"open": True, "identity_id": {"$gt": identity_id}}
        rows = await self._rows.find(wanted).sort("identity_id", ASCENDING).limit(limit).hint("one_open").to_list(None)
        if len(rows) < limit:
            return rows
        last = rows[-1]["identity_id"]
        same = self._rows.find({"open": True, "identity_id": last}).hint("one_open")
        return [row for row in rows if row["identity_id"] != last] + await same.to_list(None)

    async def of_identities(self, identity_ids: Iterable[str], channel_id: str, limit: int = 50) -> list[Document]:
        """Private threads of these identities on one account, the newest first."""
        wanted = {"identity_id": {"$in": list(identity_ids)}, "channel_id": channel_id, "group_id": None}
        return await self._rows.find(wanted).sort([("created_at", -1), ("_id", -1)]).limit(limit).to_list(None)

    async def latest_of(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Document]:
        """The most recent conversation of each (identity, channel account): its id, status and profile."""
        wanted = set(pairs)
        identities = sorted({identity_id for identity_id, _ in wanted})
        steps: list[Document] = [
            {"$match": {"identity_id": {"$in": identities}}},
            {"$sort": {"identity_id": 1, "last_activity_at": -1, "_id": -1}},
            {"$group": {
                "_id": {"identity_id": "$identity_id", "channel_id": "$channel_id"}, "id": {"$first": "$_id"},
                "open": {"$max": {"$cond": ["$open", "$_id", None]}},
            }},
        ]  # fmt: skip
        found = await self._database.aggregate(self._rows, steps) if identities else []
        keys = {(row["_id"]["identity_id"], row["_id"]["channel_id"]): row["open"] or row["id"] for row in found}
        rows = await self.rows(keys[pair] for pair in wanted if pair in keys)
        return {pair: rows[keys[pair]] for pair in wanted if keys.get(pair) in rows}

    async def walk(
        self, wanted: ConversationFilter, *, after: str, upto: str, limit: int
    ) -> list[Conversation]:  # fmt: skip
        """Those of the list after one id and up to another, in the order of ids: whatever changes in between, each
        comes once."""
        span = {"_id": {"$gt": after, "$lte": upto}}
        found = self._rows.find({"$and": [condition(wanted, self._clock()), span]}).sort("_id", ASCENDING).limit(limit)
        return [conversation_of(row) for row in await whole(found)]

    async def labels_in_use(self, channels: Sequence[str] | None, *, at_most: int = 200) -> list[str]:
        """Labels there are, by name. Who sees only some channels is told those of the newest open ones there."""
        if channels is None:
            return sorted(each for each in await self._rows.distinct("labels") if each)[:at_most]
        wanted = {"status": "open", "channel_id": {"$in": list(channels)}}
        rows = self._rows.find(wanted, {"labels": 1}).sort(_LATEST).limit(LABELLED_MAX).hint("by_status")
        return sorted({label for row in await whole(rows) for label in row.get("labels", ())})[:at_most]

    async def last_answered(self, profile_ids: Iterable[str]) -> dict[str, datetime]:
        """Profile → when one of us last wrote to that person; who was never written to is left out."""
        wanted = {"profile_id": {"$in": list(profile_ids)}, "last_reply_at": {"$type": "date"}}
        steps: list[Document] = [
            {"$match": wanted}, {"$group": {"_id": "$profile_id", "at": {"$max": "$last_reply_at"}}}
        ]  # fmt: skip
        return {row["_id"]: row["at"] for row in await self._database.aggregate(self._rows, steps)}

    async def by_thread_keys(self, keys: Iterable[str]) -> list[Document]:
        """Conversations in which one of these mails stands; the latest first."""
        wanted = {"thread_keys": {"$in": list(keys)}}
        return await self._rows.find(wanted).sort("last_activity_at", DESCENDING).limit(500).to_list(None)

    async def queue(self, team_id: str, limit: int) -> list[Document]:
        """What a team has and nobody yet: the most urgent first, of these who waits longest. Where nobody waits comes
        before."""
        wanted = {"team_id": team_id, "status": "open", "assignee_id": None}
        order = [("priority_rank", DESCENDING), ("waiting_since", ASCENDING), ("_id", ASCENDING)]
        return await self._rows.find(wanted).hint("by_team").sort(order).limit(limit).to_list(None)

    async def queued(self, team_id: str, channel_ids: Sequence[str] | None, *, at_most: int = 1000) -> int:
        """How long that queue is, on these channels (None: all), counted no further than `at_most`."""
        wanted: Document = {"team_id": team_id, "status": "open", "assignee_id": None}
        if channel_ids is not None:
            wanted["channel_id"] = {"$in": list(channel_ids)}
        return await self._rows.count_documents(wanted, limit=at_most, hint="by_team")

    async def without_team(
        self, channel_ids: Iterable[str], limit: int, since: datetime | None = None
    ) -> list[Document]:
        """What nobody has on these channels and no team was chosen for, the latest first; `since`: with something in
        it from then on."""
        wanted: Document = {
            "assignee_id": None, "status": "open", "team_id": None, "channel_id": {"$in": sorted(channel_ids)},
            "team_chosen": {"$ne": True},
        }  # fmt: skip
        if since is not None:
            wanted["last_activity_at"] = {"$gte": since}
        return await self._rows.find(wanted).hint("by_assignee").sort(_LATEST).limit(limit).to_list(None)

    async def held_by(
        self, user_ids: Iterable[str], team_ids: Iterable[str], channel_ids: Iterable[str], limit: int, *,
        stirred: bool = False,
    ) -> list[Document]:  # fmt: skip
        """Open conversations that these people have, of these teams, or of none yet on these channels. `stirred`: those
        where somebody waits, or that came back."""
        still_to_come = {"team_id": None, "channel_id": {"$in": sorted(channel_ids)}, "team_chosen": {"$ne": True}}
        belongs = {"$or": [{"team_id": {"$in": sorted(team_ids)}}, still_to_come]}
        stirs = {"$or": [{"waiting_since": {"$exists": True}}, {"reopened_at": {"$exists": True}}]}
        both = [belongs, stirs] if stirred else [belongs]
        wanted: Document = {"assignee_id": {"$in": sorted(user_ids)}, "status": "open", "$and": both}
        return await self._rows.find(wanted).hint("by_assignee").limit(limit).to_list(None)

    async def loads(
        self, user_ids: Iterable[str], session: Session | None = None
    ) -> dict[str, list[tuple[str, str, int]]]:
        """Person → (channel, provider, open conversations they have there). Who has none is left out."""
        steps: list[Document] = [
            {"$match": {"assignee_id": {"$in": sorted(user_ids)}, "status": "open"}},
            {"$group": {
                "_id": {"user": "$assignee_id", "channel": "$channel_id", "provider": "$provider"},
                "count": {"$sum": 1},
            }},
        ]  # fmt: skip
        found: dict[str, list[tuple[str, str, int]]] = {}
        for row in await self._database.aggregate(self._rows, steps, hint="by_assignee", session=session):
            key = row["_id"]
            found.setdefault(key["user"], []).append((key["channel"], key["provider"], row["count"]))
        return found

    async def open_of_people(self, user_ids: Sequence[str], limit: int) -> list[Document]:
        """Open conversations that these people have, the latest first."""
        wanted = {"assignee_id": {"$in": list(user_ids)}, "status": "open"}
        return await whole(self._rows.find(wanted).sort(_LATEST).limit(limit).hint("by_assignee"))

    async def waiting_longest(self, limit: int) -> list[Document]:
        """Open conversations in which a customer waits, whoever has them, the longest first."""
        wanted = {"status": "open", "waiting_since": {"$exists": True}}
        return await whole(self._rows.find(wanted).sort("waiting_since", ASCENDING).limit(limit).hint("by_waiting"))

    async def unassigned_oldest(self, limit: int) -> list[Document]:
        """Open conversations that nobody has, those first in which nothing has happened for longest."""
        wanted = {"assignee_id": None, "status": "open"}
        order = [("last_activity_at", ASCENDING), ("_id", ASCENDING)]
        return await whole(self._rows.find(wanted).sort(order).limit(limit).hint("by_assignee"))

    async def last_assignees(self, profile_ids: Iterable[str]) -> dict[str, str]:
        """Profile → who had the latest of their conversations that was somebody's."""
        steps: list[Document] = [
            {"$match": {"profile_id": {"$in": sorted(set(profile_ids))}, "assignee_id": {"$type": "string"}}},
            {"$sort": {"last_activity_at": 1, "_id": 1}},
            {"$group": {"_id": "$profile_id", "user": {"$last": "$assignee_id"}}},
        ]  # fmt: skip
        found = await self._database.aggregate(self._rows, steps, hint="by_profile")
        return {row["_id"]: row["user"] for row in found}

    async def of_bot(self, bot_id: str) -> AsyncIterator[Document]:
        """Conversations that a bot has; reads what is pending."""
        async for row in self._rows.find({"status": "pending", "bot_id": bot_id}, hint="by_status"):
            yield row

    async def due_snoozes(self, now: datetime, limit: int) -> list[Document]:
        """Snoozed conversations whose time has come."""
        wanted = {"snoozed_until": {"$lte": now}, "status": "snoozed"}
        return await self._rows.find(wanted).sort("snoozed_until", ASCENDING).limit(limit).to_list(None)

    async def due_unseen(self, now: datetime, limit: int) -> list[Document]:
        """Conversations with an answer that should have been seen by now."""
        wanted = {"unseen_due_at": {"$exists": True, "$lte": now}}
        return await self._rows.find(wanted).sort("unseen_due_at", ASCENDING).limit(limit).to_list(None)

    # -- writing -----------------------------------------------------------------------------------------------

    async def put_off_unseen(self, row: Document, until: datetime | None) -> None:
        """Look again then; None: there is nothing to look after. Nothing when the row has changed since it was read."""
        update: Document = {"$set": {"unseen_due_at": until}} if until else {"$unset": {"unseen_due_at": ""}}
        await self._rows.update_one({"_id": row["_id"], "rev": row["rev"]}, counted(update))

    async def insert(self, rows: Sequence[Document], session: Session) -> None:
        """New conversations. A second open one of the same identity and account is a `DuplicateKeyError`."""
        await insert_all(self._rows, rows, session)
        await self._marks.add([mark_of(None, sign_of(row)) for row in rows], session)

    async def change(self, changes: Sequence[tuple[Document, Document]], session: Session) -> None:
        """Apply (row as read, update) pairs. Raises `Contended` when one of the rows is no longer as it was read: the
        others are changed by then, so the transaction has to be given up."""
        if not changes:
            return
        writes = [UpdateOne({"_id": row["_id"], "rev": row["rev"]}, counted(update)) for row, update in changes]
        result = await self._rows.bulk_write(writes, ordered=False, session=session)
        if result.matched_count < len(changes):
            raise Contended("Somebody changed these conversations in between.")
        await self._marks.add([_mark(row, update) for row, update in changes], session)

    async def change_one(self, row: Document, update: Document, session: Session) -> Document | None:
        """Apply `update` to a row as read; the row afterwards, or None when somebody was quicker."""
        wanted = {"_id": row["_id"], "rev": row["rev"]}
        after: Document | None = await self._rows.find_one_and_update(
            wanted, counted(update), session=session, return_document=ReturnDocument.AFTER
        )
        if after is not None:
            await self._marks.add([_mark(row, update)], session)
        return after

    async def write(self, updates: Sequence[tuple[Document, Document]], session: Session | None = None) -> None:
        """Apply (condition, update) pairs that need nothing of what was read. May run twice only if each allows it.

        What counts in a part (`ON_HEADS`) counts on its head, too.
        """
        if not updates:
            return
        heads = await self.heads_of({where["_id"] for where, _ in updates}, session)
        both = [*updates, *(({**where, "_id": heads[where["_id"]]}, update) for where, update in updates
                            if where["_id"] in heads and _counts_on_heads(update))]  # fmt: skip
        plain = [UpdateOne(where, counted(update)) for where, update in both if not touches(update)]
        if plain:
            await self._rows.bulk_write(plain, ordered=False, session=session)
        marking = [each for each in both if touches(each[1])]
        for start in range(0, len(marking), MARKED_AT_ONCE):
            part = marking[start : start + MARKED_AT_ONCE]
            if session is not None:
                await self._write_marked(part, session)
            else:
                await self._database.in_transaction(partial(self._write_marked, part))

    async def heads_of(self, ids: Iterable[str], session: Session | None = None) -> dict[str, str]:
        """Of those of these conversations that were merged into another one: into which."""
        wanted = {"_id": {"$in": sorted(ids)}, "merged_into": {"$type": "string"}}
        found = self._rows.find(wanted, {"merged_into": 1}, session=session).hint(BY_ID)
        return {row["_id"]: row["merged_into"] for row in await whole(found)}

    async def _write_marked(self, updates: Sequence[tuple[Document, Document]], session: Session) -> None:
        """Updates after which a conversation may be in other views."""
        marks = []
        for where, update in updates:
            before: Document | None = await self._rows.find_one_and_update(
                where, counted(update), session=session, return_document=ReturnDocument.BEFORE
            )
            marks.append(_mark(before, update) if before is not None else None)
        await self._marks.add(marks, session)

    async def remove(self, ids: Sequence[str]) -> int:
        """Take conversations away; how many there were."""

        async def work(session: Session) -> int:
            rows = await whole(self._rows.find({"_id": {"$in": list(ids)}}, session=session).hint(BY_ID))
            gone = await self._rows.delete_many({"_id": {"$in": list(ids)}}, hint=BY_ID, session=session)
            await self._marks.add([mark_of(sign_of(row), None) for row in rows], session)
            return gone.deleted_count

        count: int = await self._database.in_transaction(work)
        return count

    async def move_group(self, channel_id: str, former: str, group_id: str) -> None:
        """A group chat has another id now: its threads go on under it. May run twice.

        Where the new id has an open thread of the same person already, the old one is closed.
        """
        for row in await self._rows.find({"channel_id": channel_id, "group_id": former}, {"_id": 1}).to_list(None):
            change: Document = {"$set": {"group_id": group_id}}
            try:
                await self._rows.update_one({"_id": row["_id"]}, counted(change))
            except DuplicateKeyError:
                change["$set"]["status"] = "resolved"
                await self.write([({"_id": row["_id"]}, {**change, "$unset": {"open": "", "waiting_since": ""}})])

    async def raw(self, wanted: Mapping[str, Any]) -> list[Document]:
        """Rows by an exact condition of ours. For tests and reports, never with input from outside."""
        return await self._rows.find(dict(wanted)).sort("_id", ASCENDING).to_list(None)


def _counts_on_heads(update: Document) -> bool:
    return all(field.partition(".")[0] in ON_HEADS for change in update.values() for field in change)


class ConversationRoom(Held):
    """Conversations as a room: whoever takes them away takes them out of the counts."""

    def __init__(self, database: Database, conversations: ConversationStore) -> None:
        super().__init__(database, "conversations")
        self._conversations = conversations

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        wanted, erased = await self._wanted(traces), 0
        while True:
            ids = [row["_id"] async for row in self._rows.find(wanted, {"_id": 1}).limit(MARKED_AT_ONCE)]
            if not ids:
                return erased
            erased += await self._conversations.remove(ids)


def _mark(row: Mapping[str, Any], update: Mapping[str, Any]) -> Document | None:
    return mark_of(sign_of(row), sign_after(row, update)) if touches(update) else None


def counted(update: Document) -> Document:
    """`update` with one more revision."""
    return {**update, "$inc": {**update.get("$inc", {}), "rev": 1}}


def tokens_of(name: str | None, address: Mapping[str, Any], subject: str | None) -> list[str]:
    """The words by which a conversation is found: names, address and subject."""
    handle, external = address.get("handle"), str(address.get("external_id") or "")
    is_mail, is_number = "@" in external, external.lstrip("+").isdigit() and len(external) > 6
    names = [each for each in (handle, None if is_mail or is_number else external) if each]
    return search_tokens(
        " ".join(part for part in (name, subject) if part), names, [external] if is_mail else [],
        [external] if is_number else [],
    )  # fmt: skip


def _beyond(sort: Sort, cursor: str | None) -> Document:
    """The rows after the one a cursor names, in the order of `sort`."""
    if cursor is None:
        return {}
    field, direction = SORTS[sort]
    step = "$gt" if direction == ASCENDING else "$lt"
    value: datetime | int
    if sort == "priority":
        text, last = read_cursor(cursor, str, str)
        value = int(text) if text.isdigit() else 0
    else:
        value, last = read_cursor(cursor, datetime, str)
    return {"$or": [{field: {step: value}}, {field: value, "_id": {step: last}}]}


def _cursor_at(row: Document, sort: Sort) -> str:
    value = row["sla"]["due_at"] if sort == "sla" else row[SORTS[sort][0]]
    return write_cursor(value if isinstance(value, datetime) else str(value), row["_id"])
