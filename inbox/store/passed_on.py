"""Lines as a room of a person's, with what of them was passed on: a mail forwarded to a supplier is quoted there."""

from __future__ import annotations

from datetime import datetime

from base.clock import Clock
from base.mongo import BY_ID, Database, Document, UpdateOne, whole
from inbox.store.conversations import tokens_of
from inbox.store.words import WordStore
from profiles.holdings import Traces, speaks_of
from profiles.store.holdings import Held

#: Of a mail in answer to a forward: what quotes or names what was forwarded.
QUOTING = ("mail.full_text", "mail.html", "mail.subject", "original")
#: The rest of what it says, where it names the person itself.
SAYING = ("text", "attachments", "edits", "extra")
LINES = 500


class MessageRoom(Held):
    """Lines go; of what others wrote in conversations that began by forwarding them, what quotes or names them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, "messages")
        self._conversations = database.collection("conversations")
        self._events = database.collection("events")
        self._words = WordStore(database)
        self._clock = clock

    async def erase(self, traces: Traces) -> int:
        """As `profiles.holdings.Room`."""
        for child_id in await self._children(traces):
            await self._redacted(child_id, traces)
        return await super().erase(traces)

    async def _children(self, traces: Traces) -> list[str]:
        """The conversations that their mails were forwarded into: told by quiet lines of theirs."""
        told = {"profile_id": {"$in": list(traces.profile_ids)}, "system.code": "forwarded"}
        found = await whole(self._rows.find(told, {"system.params.conversation_id": 1}).hint("by_profile"))
        return sorted({str(row["system"]["params"]["conversation_id"]) for row in found})

    async def _redacted(self, child_id: str, traces: Traces) -> None:
        """Others' lines first: until the person's own are gone all of it is found again."""
        others = {"conversation_id": child_id, "profile_id": {"$nin": list(traces.profile_ids)}}
        fields = {"text": 1, "dedupe": 1, "mail.subject": 1}
        lines = await whole(self._rows.find(others, fields).hint("thread").limit(LINES))
        naming = [each for each in lines if speaks_of(str(each.get("text") or ""), traces)]
        now: datetime = self._clock()
        quoting = {"$unset": dict.fromkeys(QUOTING, "")}
        saying: Document = {"$unset": dict.fromkeys((*QUOTING, *SAYING), ""), "$set": {"deleted_at": now}}
        named = {each["_id"] for each in naming}
        writes = [UpdateOne({"_id": each["_id"]}, saying if each["_id"] in named else quoting) for each in lines]
        if writes:
            await self._rows.bulk_write(writes, ordered=False)
        await self._words.remove([each["_id"] for each in lines])
        await self._words.want([each["_id"] for each in lines if each["_id"] not in named], now)
        told = [f"message.received:{each['dedupe']}" for each in naming]
        await self._events.update_many({"dedupe": {"$in": told}}, {"$unset": {"properties.text": ""}}, hint="once")
        await self._without_subject(child_id, named)

    async def _without_subject(self, child_id: str, named: set[str]) -> None:
        row = await self._conversations.find_one({"_id": child_id}, hint=BY_ID)
        if row is None:
            return
        change: Document = {"tokens": tokens_of(row.get("display_name"), row.get("address") or {}, None)}
        if (row.get("last_message") or {}).get("id") in named:
            change["last_message.text"] = None
        await self._conversations.update_one(
            {"_id": child_id}, {"$set": change, "$unset": {"subject": ""}, "$inc": {"rev": 1}}
        )  # fmt: skip
