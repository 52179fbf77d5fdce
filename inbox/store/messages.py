"""Messages as rows, in all directions; their files are kept beside them (`inbox.store.files`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.mongo import (
    BY_ID,
    Database,
    Document,
    Indexes,
    Session,
    UpdateMany,
    UpdateOne,
    inserted_apart_from_duplicates,
    whole,
)
from base.pages import Page, bounded, cut, read_cursor, write_cursor
from inbox.models import Message, message_of
from inbox.store.files import FileStore
from inbox.store.inserting import insert_all
from inbox.store.words import WordStore
from inbox.words import is_found
from profiles.store.belongings import Belongings
from profiles.words import Words

INDEXES: Indexes = {
    "messages": [
        IndexModel([("dedupe", ASCENDING)], name="once", unique=True),
        IndexModel(
            [("conversation_id", ASCENDING), ("provider_at", DESCENDING), ("seq", DESCENDING), ("_id", DESCENDING)],
            name="thread",
        ),
        IndexModel(
            [("channel_id", ASCENDING), ("provider_message_ids", ASCENDING)],
            name="by_provider_id",
            partialFilterExpression={"provider_message_ids": {"$exists": True}},
        ),
        IndexModel([("profile_id", ASCENDING), ("_id", DESCENDING)], name="by_profile"),
        IndexModel([("channel_id", ASCENDING), ("_id", DESCENDING)], name="by_channel"),
        IndexModel(
            [("profile_id", ASCENDING), ("_id", DESCENDING)],
            name="with_files",
            partialFilterExpression={"attachments.file_id": {"$exists": True}},
        ),
        IndexModel(
            [("conversation_id", ASCENDING), ("client_key", ASCENDING)],
            name="once_per_client_key",
            unique=True,
            partialFilterExpression={"client_key": {"$exists": True}},
        ),
        IndexModel(
            [("mentions", ASCENDING), ("_id", DESCENDING)],
            name="by_mention",
            partialFilterExpression={"mentions": {"$exists": True}},
        ),
        IndexModel([("identity_id", ASCENDING)], name="orphans", partialFilterExpression={"orphan": True}),
    ],
}


#: Statuses of a line of ours that was not said after all.
_UNSAID = ["cancelled", "failed", "skipped"]
#: Events of a message at which a timeline shows what it said.
WITH_TEXT = ("message.received", "message.sent", "message.failed", "message.noted")
#: Characters of a message that a timeline shows.
WORDS_MAX = 4000


class MessageStore:
    """Reads and writes messages. A row's `dedupe` is what makes a provider's event one message."""

    def __init__(self, database: Database) -> None:
        self._rows = database.collection("messages")
        self.belongings = Belongings("messages", self._rows, "msg", by_identity="always")
        self.files = FileStore(database)
        self.words_of = WordStore(database)

    # -- reading -----------------------------------------------------------------------------------------------

    async def get(self, message_id: str) -> Message | None:
        """One message."""
        row = await self._rows.find_one({"_id": message_id})
        return message_of(row) if row else None

    async def many(self, ids: Iterable[str]) -> dict[str, Document]:
        """Rows by id."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        return {row["_id"]: row async for row in self._rows.find({"_id": {"$in": wanted}})}

    async def homes(self, ids: Iterable[str]) -> dict[str, Document]:
        """In which conversation these lines stand: id → {conversation_id}; ids that are no line are left out."""
        found = self._rows.find({"_id": {"$in": list(ids)}}, {"conversation_id": 1})
        return {row["_id"]: row for row in await whole(found)}

    async def words(self, ids: Sequence[str]) -> dict[str, Words]:
        """What was said in these lines, for a timeline: by id, in one read; long ones are cut."""
        fields = {
            "text": {"$substrCP": [{"$ifNull": ["$text", ""]}, 0, WORDS_MAX]}, "author": 1, "deleted_at": 1,
            "direction": 1, "mail.subject": 1, "attachments.file_id": 1, "attachments.name": 1, "status": 1,
        }  # fmt: skip
        found = await whole(self._rows.find({"_id": {"$in": list(ids)}}, fields))
        return {row["_id"]: _words(row) for row in found}

    async def seen(self, dedupes: Iterable[str]) -> dict[str, Document]:
        """What stands under these keys: key → {_id, conversation_id, channel_id, direction, received_at}."""
        fields = {"dedupe": 1, "conversation_id": 1, "channel_id": 1, "direction": 1, "received_at": 1}
        return {row["dedupe"]: row async for row in self._rows.find({"dedupe": {"$in": list(dedupes)}}, fields)}

    async def by_provider_ids(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Document]:
        """Rows by (channel id, provider message id)."""
        per_channel: dict[str, list[str]] = {}
        for channel_id, message_id in pairs:
            per_channel.setdefault(channel_id, []).append(message_id)
        found: dict[tuple[str, str], Document] = {}
        for channel_id, ids in per_channel.items():
            async for row in self._rows.find({"channel_id": channel_id, "provider_message_ids": {"$in": ids}}):
                found |= {(channel_id, each): row for each in row["provider_message_ids"]}
        return found

    async def by_client_key(self, threads: Sequence[str], client_key: str) -> Document | None:
        """What an earlier request with this key wrote in one of these threads."""
        return await self._rows.find_one({"conversation_id": {"$in": list(threads)}, "client_key": client_key})

    async def page(
        self, threads: str | Sequence[str], *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Message]:  # fmt: skip
        """A thread, or several as one, from the end backwards, by provider time, then by our sequence. Undone replies
        are left out."""
        size = bounded(limit)
        ids: Any = threads if isinstance(threads, str) else {"$in": list(threads)}
        wanted: Document = {"conversation_id": ids, "status": {"$ne": "cancelled"}}
        if cursor is not None:
            wanted |= _before(*read_cursor(cursor, datetime, str, str))
        order = [("provider_at", DESCENDING), ("seq", DESCENDING), ("_id", DESCENDING)]
        rows, more = cut(await self._rows.find(wanted).sort(order).limit(size + 1).to_list(None), size)
        last = write_cursor(rows[-1]["provider_at"], str(rows[-1]["seq"]), rows[-1]["_id"]) if more else None
        return Page([message_of(row) for row in rows], last)

    async def shown(
        self, conversation_ids: Sequence[str], statuses: Sequence[str], *, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Message]:  # fmt: skip
        """What the customer wrote and what went out to them in these states, over several threads, newest first."""
        size = bounded(limit)
        theirs = [{"direction": "in"}, {"direction": "out", "status": {"$in": list(statuses)}}]
        wanted: Document = {"conversation_id": {"$in": list(conversation_ids)}, "$or": theirs}
        before = {} if cursor is None else _before(*read_cursor(cursor, datetime, str, str))
        order = [("provider_at", DESCENDING), ("seq", DESCENDING), ("_id", DESCENDING)]
        found = self._rows.find({"$and": [wanted, before]}).sort(order).limit(size + 1)
        rows, more = cut(await found.to_list(None), size)
        last = write_cursor(rows[-1]["provider_at"], str(rows[-1]["seq"]), rows[-1]["_id"]) if more else None
        return Page([message_of(row) for row in rows], last)

    async def all(
        self, *, channel_id: str | None = None, profile_id: str | None = None,
        provider_message_id: str | None = None, direction: str | None = None, since: datetime | None = None,
        channels: Sequence[str] | None = None, limit: int | None = None, cursor: str | None = None,
    ) -> Page[Message]:  # fmt: skip
        """Messages of all conversations, newest first. `channels` limits what the asking person may see."""
        wanted: Document = {
            "channel_id": channel_id, "profile_id": profile_id, "provider_message_ids": provider_message_id,
            "direction": direction,
        }  # fmt: skip
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if since is not None:
            wanted["received_at"] = {"$gte": since}
        if cursor is not None:
            wanted["_id"] = {"$lt": read_cursor(cursor, str)[0]}
        allowed: Document = {} if channels is None else {"channel_id": {"$in": list(channels)}}
        size = bounded(limit)
        found = self._rows.find({"$and": [wanted, allowed]}).sort("_id", DESCENDING).limit(size + 1)
        rows, more = cut(await found.to_list(None), size)
        return Page([message_of(row) for row in rows], write_cursor(rows[-1]["_id"]) if more else None)

    async def with_files(
        self, profile_id: str, *, channels: Sequence[str] | None = None, limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Document]:  # fmt: skip
        """{_id, attachments} of the person's messages that brought files, newest first."""
        wanted: Document = {"profile_id": profile_id, "attachments.file_id": {"$exists": True}, "deleted_at": None}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        if cursor is not None:
            wanted["_id"] = {"$lt": read_cursor(cursor, str)[0]}
        size = bounded(limit)
        found = self._rows.find(wanted, {"attachments.file_id": 1}).sort("_id", DESCENDING).limit(size + 1)
        rows, more = cut(await found.to_list(None), size)
        return Page(rows, write_cursor(rows[-1]["_id"]) if more else None)

    async def mentioning(self, user_id: str, channels: Sequence[str] | None, limit: int) -> list[str]:
        """Conversations in which a note calls this person, those of the latest notes first."""
        wanted: Document = {"mentions": user_id}
        if channels is not None:
            wanted["channel_id"] = {"$in": list(channels)}
        found = self._rows.find(wanted, {"conversation_id": 1}).sort("_id", DESCENDING).limit(limit).hint("by_mention")
        return list(dict.fromkeys([row["conversation_id"] for row in await whole(found)]))

    async def latest(
        self, threads: str | Sequence[str], directions: Sequence[str], *, after: datetime | None = None,
        session: Session | None = None,
    ) -> Document | None:  # fmt: skip
        """The last line of these directions in a thread, or in several; with `after`, the *first* one later than
        that."""
        ids: Any = threads if isinstance(threads, str) else {"$in": list(threads)}
        wanted: Document = {
            "conversation_id": ids, "direction": {"$in": list(directions)}, "status": {"$ne": "cancelled"},
        }  # fmt: skip
        step = DESCENDING
        if after is not None:
            wanted["provider_at"], step = {"$gt": after}, ASCENDING
        order = [("provider_at", step), ("seq", step), ("_id", step)]
        return await self._rows.find_one(wanted, sort=order, session=session)

    async def readers(self, threads: Sequence[str], limit: int) -> list[str]:
        """To whom the latest mails of these threads went, ours and theirs, as they were written there."""
        wanted = {"conversation_id": {"$in": list(threads)}, "direction": {"$in": ["in", "out"]}}
        found = self._rows.find(wanted, {"mail.to": 1, "mail.cc": 1}).sort("provider_at", DESCENDING).limit(limit)
        mails = [row.get("mail") or {} for row in await found.hint("thread").to_list(None)]
        return [each for mail in mails for name in ("to", "cc") for each in mail.get(name) or ()]

    async def touched_at(self, threads: Sequence[str], since: datetime) -> datetime | None:
        """When one of us did something in these threads from then on (a word, a note, a change); None: never."""
        wanted = {
            "conversation_id": {"$in": list(threads)}, "provider_at": {"$gte": since},
            "author.type": {"$in": ["agent", "colleague"]}, "status": {"$ne": "cancelled"},
        }  # fmt: skip
        row = await self._rows.find_one(wanted, {"provider_at": 1}, hint="thread")
        return row["provider_at"] if row else None
    async def spoken_by(self, author_type: str, conversation_id: str, since: datetime) -> bool:
        """Whether somebody of this kind has written in a thread since then, and it was not seen to fail."""
        return await self._has_said(conversation_id, {"author.type": author_type, "provider_at": {"$gt": since}})

    async def went_out(self, conversation_id: str, since: datetime, until: datetime, *, besides: str) -> bool:
        """Whether one of us said something in a thread between these moments, apart from this send."""
        between = {"send_id": {"$ne": besides}, "provider_at": {"$gt": since, "$lt": until}}
        return await self._has_said(conversation_id, between)

    async def _has_said(self, conversation_id: str, wanted: Document) -> bool:
        """Whether there is such a line of ours in a thread that was not seen to fail."""
        ours = {"conversation_id": conversation_id, "direction": "out", **wanted, "status": {"$nin": _UNSAID}}
        return await self._rows.find_one(ours, {"_id": 1}, hint="thread") is not None

    async def first(self, conversation_id: str, direction: str, session: Session | None = None) -> Document | None:
        """The earliest line of this direction."""
        wanted = {"conversation_id": conversation_id, "direction": direction}
        order = [("provider_at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)]
        return await self._rows.find_one(wanted, sort=order, session=session)

    async def since(self, threads: Sequence[str], seq: int, limit: int = 50) -> list[Document]:
        """What was said in or out after this number of the first of these threads, into which the others were merged,
        the oldest first: {_id, author, status, provider_at, due_at}."""
        head, *parts = threads
        later: list[Document] = [{"conversation_id": head, "seq": {"$gt": seq}}]
        later += [{"conversation_id": {"$in": parts}, "head_seq": {"$gt": seq}}] if parts else []
        wanted: Document = {"$or": later, "direction": {"$in": ["in", "out"]}, "status": {"$ne": "cancelled"}}
        order = [("provider_at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)]
        fields = {"author": 1, "status": 1, "provider_at": 1, "due_at": 1}
        return await self._rows.find(wanted, fields).sort(order).limit(limit).to_list(limit)

    async def unseen(self, conversation_id: str, limit: int) -> list[Document]:
        """Agents' lines that went out, were not read, and did not follow by mail yet, oldest first."""
        wanted: Document = {
            "conversation_id": conversation_id, "direction": "out", "status": {"$in": ["sent", "delivered"]},
            "author.type": "agent", "continued": {"$ne": True}, "deleted_at": None,
        }  # fmt: skip
        order = [("provider_at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)]
        return await self._rows.find(wanted).sort(order).limit(limit).to_list(None)

    async def content(self, message_id: str, position: int) -> bytes | None:
        """The bytes of a message's file; None when they are not here (yet)."""
        row = await self.files.of_message(message_id, position)
        if row is None or row["state"] in ("failed", "erased"):
            return None
        try:
            return b"".join([piece async for piece in self.files.read(row)])
        except KeyError:
            return None

    # -- writing -----------------------------------------------------------------------------------------------

    async def insert(self, rows: Sequence[Document], session: Session, files: Sequence[Document] = ()) -> None:
        """New messages with their files. A dedupe key already taken is a `DuplicateKeyError`."""
        await insert_all(self._rows, rows, session)
        await self.files.insert(files, session)
        found = [row for row in rows if is_found(row)]
        if found:
            await self.words_of.want([row["_id"] for row in found], found[0]["received_at"], session)

    async def mark_continued(self, ids: Sequence[str], session: Session) -> None:
        """These lines follow their reader by mail; not a second time."""
        await self._rows.update_many({"_id": {"$in": list(ids)}}, {"$set": {"continued": True}}, session=session)

    async def react(self, message_id: str, rev: int | None, reacted: Mapping[str, Any], session: Session) -> bool:
        """Our reaction to a message of theirs, where the one before still has this number; whether it had."""
        where: Document = {"_id": message_id, "reacted.rev": rev} if rev else {"_id": message_id, "reacted": None}
        done = await self._rows.update_one(where, {"$set": {"reacted": dict(reacted)}}, session=session)
        return done.modified_count == 1

    async def reaction_became(self, message_id: str, rev: int, state: str, reason: Document | None) -> None:
        """What became of it, unless another one has taken its place. May run twice."""
        change: Document = {"$set": {"reacted.state": state}}
        change |= {"$unset": {"reacted.reason": ""}} if reason is None else {}
        change["$set"] |= {"reacted.reason": reason} if reason is not None else {}
        await self._rows.update_one({"_id": message_id, "reacted.rev": rev}, change)

    async def adopt(self, homes: Mapping[str, tuple[str, str]], session: Session) -> None:
        """Messages sent before there was a conversation get one: identity id → (channel id, conversation id)."""
        writes = [
            UpdateMany(
                {"identity_id": identity_id, "orphan": True, "channel_id": channel_id},
                {"$set": {"conversation_id": conversation_id}, "$unset": {"orphan": ""}},
            )
            for identity_id, (channel_id, conversation_id) in homes.items()
        ]
        if writes:
            await self._rows.bulk_write(writes, ordered=False, session=session)

    async def put_lines(self, rows: Sequence[Document], *, again: bool) -> None:
        """Lines of campaign sends, under ids that follow from the sends'; written anew at each hand-over (`again`)."""
        rest = list(rows)
        if not again:
            taken = await inserted_apart_from_duplicates(self._rows, rows)
            rest = [rows[position] for position in sorted(taken)]
        writes = []
        for row in rest:
            once = {name: row[name] for name in ONCE if name in row}
            fresh = {name: value for name, value in row.items() if name not in once and name != "_id"}
            writes.append(UpdateOne({"_id": row["_id"]}, {"$set": fresh, "$setOnInsert": once}, upsert=True))
        if writes:
            await self._rows.bulk_write(writes, ordered=False)

    async def write(self, changes: Sequence[UpdateOne | UpdateMany]) -> int:
        """Carry out changes that have their own conditions and may run twice; how many rows met theirs."""
        return (await self._rows.bulk_write(list(changes), ordered=False)).matched_count if changes else 0

    async def change(self, message_id: str, update: Any, session: Session | None = None) -> Document | None:
        """Apply an update to one row; the row afterwards."""
        after: Document | None = await self._rows.find_one_and_update(
            {"_id": message_id}, update, session=session, return_document=ReturnDocument.AFTER
        )
        return after

    async def remove_files(self, message_ids: Sequence[str]) -> None:
        """Forget the files of these messages."""
        await self.files.erase(message_ids)

    async def remove_doubles(self, dedupes: Sequence[str]) -> list[Document]:
        """Delete lines that an echo made of a send of ours; what was deleted."""
        wanted = {"dedupe": {"$in": list(dedupes)}, "author.type": "colleague"}
        found = await self._rows.find(wanted).to_list(None)
        if found:
            await self._rows.delete_many({"_id": {"$in": [row["_id"] for row in found]}})
            await self.words_of.remove([row["_id"] for row in found])
            await self.files.erase([row["_id"] for row in found])
        return found

    async def count(self, wanted: Mapping[str, Any], session: Session | None = None) -> int:
        """Rows by an exact condition of ours."""
        return await self._rows.count_documents(dict(wanted), session=session)

    async def rest(self, line: Mapping[str, Any], limit: int) -> list[Document]:
        """A line and all that come after it in its thread, in order."""
        at, seq = line["provider_at"], line["seq"]
        later = [{"provider_at": {"$gt": at}}, {"provider_at": at, "seq": {"$gt": seq}},
                 {"provider_at": at, "seq": seq, "_id": {"$gte": line["_id"]}}]  # fmt: skip
        order = [("provider_at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)]
        found = self._rows.find({"conversation_id": line["conversation_id"], "$or": later}).sort(order).limit(limit)
        return await whole(found)

    async def rehome(self, ids: Sequence[str], conversation_id: str, former: str, session: Session) -> None:
        """These lines stand in another conversation now."""
        change = {"$set": {"conversation_id": conversation_id, "split_from": former}}
        wanted = {"_id": {"$in": list(ids)}, "conversation_id": former}
        await self._rows.update_many(wanted, change, session=session, hint=BY_ID)

    async def raw(self, wanted: Mapping[str, Any]) -> list[Document]:
        """Rows by an exact condition of ours, as a thread reads. For tests, never with input from outside."""
        order = [("provider_at", ASCENDING), ("seq", ASCENDING), ("_id", ASCENDING)]
        return await self._rows.find(dict(wanted)).sort(order).to_list(None)


#: What the first hand-over of a campaign send fixes for ever.
ONCE = (
    "dedupe", "seq", "provider_at", "received_at", "conversation_id", "orphan", "status", "status_rank",
    "status_history",
)  # fmt: skip


def _words(row: Document) -> Words:
    author, gone = row.get("author") or {}, row.get("deleted_at") is not None
    by = author.get("id") if author.get("type") == "agent" else None
    if gone:
        return Words(by=by, gone=True)
    files = [{"id": each.get("file_id"), "name": each.get("name")} for each in row.get("attachments", ())]
    subject = (row.get("mail") or {}).get("subject")
    more = {"direction": row.get("direction"), "subject": subject, "files": files}
    return Words(row["text"] or None, by, more={name: value for name, value in more.items() if value})


def _before(at: datetime, seq: str, row_id: str) -> Document:
    number = int(seq) if seq.isdigit() else 0
    return {"$or": [
        {"provider_at": {"$lt": at}},
        {"provider_at": at, "seq": {"$lt": number}},
        {"provider_at": at, "seq": number, "_id": {"$lt": row_id}},
    ]}  # fmt: skip
