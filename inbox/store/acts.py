"""Acts on conversations as rows, and what each did to every conversation, for as long as it can be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument

from base.duty import DutyBook, due_index
from base.mongo import Database, Document, Indexes, Session

#: How long an act can be taken back.
KEPT = timedelta(days=30)
LEASE_S = 30
#: Conversations named in a row as left out; the others are counted.
NAMED_MAX = 100

_EXPIRES = IndexModel([("expires_at", ASCENDING)], name="expires", expireAfterSeconds=0)
_MERGES = IndexModel(
    [("head_id", ASCENDING), ("_id", DESCENDING)],
    name="merges",
    partialFilterExpression={"state": "merged"},
)
INDEXES: Indexes = {"conversation_acts": [due_index(), _EXPIRES, _MERGES], "conversation_act_traces": [_EXPIRES]}


class ActStore:
    """`conversation_acts {_id act_, state, by, change, ids, found_by, after, doing?, total, done, changed, ...}`, and
    `conversation_act_traces {_id "<act>:<conversation>", parts: [{part, before, after}], did?: [{type, about}], at}`.
    """

    def __init__(self, database: Database) -> None:
        self._acts = database.collection("conversation_acts")
        self._traces = database.collection("conversation_act_traces")
        self.duties = DutyBook(self._acts, lease_s=LEASE_S)

    async def add(self, row: Document) -> None:
        """A new act."""
        await self._acts.insert_one(row)

    async def put(self, row: Document, session: Session) -> None:
        """A new act, as part of what it does."""
        await self._acts.insert_one(row, session=session)

    async def latest_merge(self, head_id: str) -> Document | None:
        """The last merge into a conversation that stands."""
        return await self._acts.find_one({"head_id": head_id, "state": "merged"}, sort=[("_id", -1)])

    async def end_merge(self, act_id: str, by: str | None, at: datetime, session: Session) -> bool:
        """It was taken back; False when it was before."""
        change = {"$set": {"state": "unmerged", "undone_by": by, "undone_at": at}}
        done = await self._acts.update_one({"_id": act_id, "state": "merged"}, change, session=session)
        return done.matched_count == 1

    async def get(self, act_id: str) -> Document | None:
        """One act as it stands."""
        return await self._acts.find_one({"_id": act_id})

    async def note(self, act: Document, fields: Mapping[str, Any], counts: Mapping[str, int], *,
                   left_out: Sequence[Document] = (), session: Session | None = None) -> bool:  # fmt: skip
        """Write down how far it is; False when it is no longer ours to carry on."""
        update: Document = {"$set": dict(fields), "$inc": dict(counts)}
        if left_out:
            update["$push"] = {"left_out": {"$each": list(left_out), "$slice": NAMED_MAX}}
        wanted = {"_id": act["_id"], "lease": act["lease"], "state": act["state"]}
        return (await self._acts.update_one(wanted, update, session=session)).matched_count == 1

    async def turn(self, act_id: str, states: Sequence[str], update: Mapping[str, Any]) -> Document | None:
        """Change an act that is in one of these states; the row afterwards."""
        after: Document | None = await self._acts.find_one_and_update(
            {"_id": act_id, "state": {"$in": list(states)}}, update, return_document=ReturnDocument.AFTER
        )
        return after

    async def add_trace(self, row: Document, session: Session) -> None:
        """What an act did to one conversation; once."""
        await self._traces.insert_one(row, session=session)

    async def traces(self, act_id: str, before: str | None, limit: int) -> list[Document]:
        """What an act did, from its end backwards."""
        span = {"$gt": f"{act_id}:", "$lt": before or f"{act_id};"}
        return await self._traces.find({"_id": span}).sort("_id", -1).limit(limit).to_list(None)
