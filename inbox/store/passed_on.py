"""Lines as a room of a person's, and what others' lines repeat of them: a mail forwarded to a supplier is quoted there,
and who reads along quotes it in answers of their own (decision 56)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, UpdateOne, whole
from inbox.incoming import EVENT_TEXT_MAX
from inbox.quotes import ALL, QUOTING, Forgotten, repeats, unquoted
from inbox.store.conversations import tokens_of
from inbox.store.words import WordStore
from profiles.holdings import Traces, speaks_of
from profiles.store.holdings import Held

#: The rest of what a line says, where it names the person itself.
SAYING = ("text", "attachments", "edits", "extra")
#: A number as people write it, apart from other numbers of the same text.
_NUMBER = re.compile(r"\+?\d[\d().\-/ \xa0]{5,}\d")
#: Lines of one thread that are looked through.
LINES = 5000
#: Take away what these deliveries said.
Forget = Callable[[Sequence[str]], Awaitable[object]]


@dataclass(frozen=True)
class Thread:
    """A conversation into which words of a person came, with the line after which others may repeat them."""

    conversation_id: str
    after: str = ""
    #: It began by passing them on: its subject is theirs as well.
    passed_on: bool = False


async def nothing(_: Sequence[str]) -> None:
    """For a house that keeps no deliveries."""


async def threads_of(database: Database, traces: Traces) -> list[Thread]:
    """Where lines of the person stand, and what began there by passing lines on, over as many hands as it went. Until
    the person's own lines are gone the same is found again."""
    mine: Document = {"profile_id": {"$in": list(traces.profile_ids)}, "conversation_id": {"$type": "string"}}
    steps: list[Document] = [{"$match": mine}, {"$group": {"_id": "$conversation_id", "first": {"$min": "$_id"}}}]
    found = await database.aggregate(database.collection("messages"), steps, hint="by_profile")
    known = {row["_id"]: Thread(row["_id"], row["first"]) for row in found}
    edge = list(known.values())
    while edge:
        # a line that was passed on is the person's as well, so what it began is known already, as if they wrote there
        found_on = {child.conversation_id: child for each in edge for child in await _children(database, each)}
        edge = [child for key, child in found_on.items() if key not in known or not known[key].passed_on]
        known |= {each.conversation_id: each for each in edge}
    return sorted(known.values(), key=lambda each: each.conversation_id)


def names_them(text: str | None, traces: Traces) -> bool:
    """Whether a line in what was passed on names the person itself, beside what it repeats: also by a number that
    stands among others."""
    said = unquoted(text) or ""
    return speaks_of(said, traces) or any(speaks_of(number, traces) for number in _NUMBER.findall(said))


async def _children(database: Database, thread: Thread) -> list[Thread]:
    """What began by forwarding something of this thread: told by quiet lines of it."""
    told = {"conversation_id": thread.conversation_id, "system.code": "forwarded", "_id": {"$gte": thread.after}}
    found = database.collection("messages").find(told, {"system.params.conversation_id": 1}).hint("thread")
    ids = {str(row["system"]["params"]["conversation_id"]) for row in await whole(found)}
    return [Thread(each, passed_on=True) for each in sorted(ids)]


class MessageRoom(Held):
    """Lines go; of what others wrote where they were read, what repeats or names them."""

    def __init__(self, database: Database, clock: Clock, forget: Forget = nothing) -> None:
        super().__init__(database, "messages")
        self._database = database
        self._conversations = database.collection("conversations")
        self._events = database.collection("events")
        self._sends = database.collection("sends")
        self._words = WordStore(database)
        self._clock = clock
        self._forget = forget

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`. Others' lines first: until the person's own are gone all is found again."""
        for thread in await threads_of(self._database, traces):
            await self._redacted(thread, traces)
        return await super().erase(traces)

    async def _redacted(self, thread: Thread, traces: Traces) -> None:
        """The conversation is marked first: what comes at the same moment meets another revision, and is taken in as
        what comes later. The lines themselves are last: by them the rest is found again after a death."""
        row = await self._conversations.find_one({"_id": thread.conversation_id}, hint=BY_ID)
        forgets: Sequence[Forgotten] = ALL if thread.passed_on else ALL[:1]
        if row is not None:
            mark = {"$addToSet": {"forgets": {"$each": list(forgets)}}, "$inc": {"rev": 1}}
            await self._conversations.update_one({"_id": row["_id"]}, mark, hint=BY_ID)
        lines = await self._others(thread, traces)
        of_mails = thread.passed_on or bool((row or {}).get("thread_keys"))
        said = {each["_id"]: self._change(each, thread, traces, of_mails=of_mails) for each in lines}
        changed = {each["_id"]: _text_after(each, said[each["_id"]]) for each in lines if said[each["_id"]]}
        await self._elsewhere([each for each in lines if each["_id"] in changed], changed)
        if row is not None and row["profile_id"] not in traces.profile_ids:
            await self._shown(row, thread, changed, traces)
        if changed:
            await self._rows.bulk_write([UpdateOne({"_id": key}, said[key]) for key in changed], ordered=False)

    async def _others(self, thread: Thread, traces: Traces) -> list[Document]:
        others = {
            "conversation_id": thread.conversation_id, "profile_id": {"$nin": list(traces.profile_ids)},
            "_id": {"$gt": thread.after}, "direction": {"$ne": "system"},
        }  # fmt: skip
        fields = {"text": 1, "dedupe": 1, "mail": 1, "original": 1, "delivery_id": 1, "send_id": 1}
        return await whole(self._rows.find(others, fields).hint("thread").limit(LINES))

    def _change(self, line: Document, thread: Thread, traces: Traces, *, of_mails: bool) -> Document:
        """What becomes of another's line; nothing where it repeats nothing. `of_mails`: the thread is one of mails."""
        mail, text = line.get("mail") or {}, line.get("text")
        subject = thread.passed_on or speaks_of(str(mail.get("subject") or ""), traces)
        quoting = QUOTING if mail or of_mails else ()  # an edited chat message keeps its first wording: no quotation
        gone = [path for path in (*quoting, *(("mail.subject",) if subject else ())) if _at(line, path)]
        if thread.passed_on and names_them(text, traces):
            return {"$unset": dict.fromkeys((*gone, *SAYING), ""), "$set": {"deleted_at": self._clock()}}
        change: Document = {"$unset": dict.fromkeys(gone, "")} if gone else {}
        if (mail or of_mails) and repeats(text):
            change["$set"] = {"text": unquoted(text)}
        return change

    async def _elsewhere(self, lines: Sequence[Document], texts: dict[str, str | None]) -> None:
        """The same words in the search, in events, in the outbox and in what was delivered."""
        ids = [each["_id"] for each in lines]
        await self._words.remove(ids)
        await self._words.want(ids, self._clock())
        for each in (line for line in lines if line.get("text") != texts[line["_id"]]):
            text = texts[each["_id"]] or ""
            told = {"dedupe": f"message.received:{each['dedupe']}"}
            await self._events.update_one(told, {"$set": {"properties.text": text[:EVENT_TEXT_MAX]}}, hint="once")
            if each.get("send_id"):
                await self._sends.update_one({"_id": each["send_id"]}, {"$set": {"content.text": text}}, hint=BY_ID)
        await self._forget([each["delivery_id"] for each in lines if each.get("delivery_id")])

    async def _shown(
        self, row: Document, thread: Thread, changed: dict[str, str | None], traces: Traces
    ) -> None:  # fmt: skip
        """What lists show of a conversation that stays: its subject, and its last line where that was one of these."""
        last = row.get("last_message") or {}
        change: Document = {}
        if last and (last["id"] in changed or await self._is_theirs(last["id"], traces)):
            shown = last.get("text") or ""
            change["last_message.text"] = (changed.get(last["id"]) or "")[: len(shown)] or None
        update: Document = {"$inc": {"rev": 1}}
        if thread.passed_on or speaks_of(str(row.get("subject") or ""), traces):
            change["tokens"] = tokens_of(row.get("display_name"), row.get("address") or {}, None)
            update["$unset"] = {"subject": ""}
        if change:
            await self._conversations.update_one({"_id": row["_id"]}, {**update, "$set": change}, hint=BY_ID)

    async def _is_theirs(self, message_id: str, traces: Traces) -> bool:
        wanted = {"_id": message_id, "profile_id": {"$in": list(traces.profile_ids)}}
        return await self._rows.find_one(wanted, {"_id": 1}, hint=BY_ID) is not None


def _at(line: Document, path: str) -> object:
    head, _, rest = path.partition(".")
    value = line.get(head)
    return value.get(rest) if rest and isinstance(value, dict) else value


def _text_after(line: Document, change: Document) -> str | None:
    """What a line says when it has been changed so."""
    if "text" in change.get("$unset", {}):
        return None
    text: str | None = change.get("$set", {}).get("text", line.get("text"))
    return text
