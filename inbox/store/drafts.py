"""Drafts as rows, under an id made of conversation, person and kind: nobody has two of one kind."""

from __future__ import annotations

from collections.abc import Iterable

from pymongo import ASCENDING, IndexModel

from base.clock import Clock
from base.errors import Conflict
from base.mongo import Database, Document, DuplicateKeyError, Indexes, Session
from inbox.drafts import Draft, DraftInput, DraftKey, Mode, draft_of, joined
from profiles.store.belongings import Belongings

#: What nobody went on with is forgotten.
KEPT_S = 90 * 24 * 3600
INDEXES: Indexes = {
    "drafts": [
        IndexModel([("profile_id", ASCENDING)], name="by_profile"),
        IndexModel([("updated_at", ASCENDING)], name="forgotten", expireAfterSeconds=KEPT_S),
    ]
}


class DraftStore:
    """Rows are `{_id, conversation_id, profile_id, identity_id, channel_id, user_id, mode, text, file_ids, reply_to,
    subject, cc, canned_ids, rev, updated_at}`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._rows = database.collection("drafts")
        self.belongings = Belongings("drafts", self._rows, "cnv", counted=True, by_identity="always")
        self._clock = clock

    async def get(self, key: DraftKey) -> Draft | None:
        """One draft."""
        row = await self._rows.find_one({"_id": key.id})
        return draft_of(row) if row else None

    async def begun_in(self, conversation_ids: Iterable[str], user_id: str) -> set[str]:
        """In which of these conversations this person has begun to answer."""
        ids = [DraftKey(each, user_id).id for each in conversation_ids]
        found = self._rows.find({"_id": {"$in": ids}}, {"conversation_id": 1})
        return {row["conversation_id"] async for row in found}

    async def save(self, key: DraftKey, talk: Document, written: DraftInput, rev: int) -> Draft | None:
        """Keep it; `rev` is the version that was seen, 0: none yet. An empty draft is removed: None.

        `talk`: whose conversation it is ({profile_id, identity_id, channel_id}). Raises `Conflict` when another window
        was quicker, or the draft has been sent meanwhile: text that went out does not come back as a draft.
        """
        if written.empty:
            await self._rows.delete_one({"_id": key.id, "rev": rev})
            return None
        fields = {**written.model_dump(mode="json"), "updated_at": self._clock()}
        if rev == 0:
            row = {"_id": key.id, **_about(key, talk), **fields, "rev": self._first_rev()}
            try:
                await self._rows.insert_one(row)
            except DuplicateKeyError:
                raise _elsewhere() from None
            return draft_of(row)
        result = await self._rows.update_one({"_id": key.id, "rev": rev}, {"$set": fields, "$inc": {"rev": 1}})
        if result.matched_count == 0:
            raise _elsewhere()
        return Draft(written, rev + 1, fields["updated_at"])

    async def put_back(self, key: DraftKey, talk: Document, written: DraftInput, session: Session) -> None:
        """Something that was sent is a draft again; before what was begun meanwhile."""
        if written.empty:
            return
        row = await self._rows.find_one({"_id": key.id}, session=session)
        both = joined(written, draft_of(row).written) if row else written
        change = {**_about(key, talk), **both.model_dump(mode="json"), "updated_at": self._clock()}
        if row is None:
            await self._rows.insert_one({"_id": key.id, **change, "rev": self._first_rev()}, session=session)
        else:
            await self._rows.update_one({"_id": key.id}, {"$set": change, "$inc": {"rev": 1}}, session=session)

    def _first_rev(self) -> int:
        """Later than every version of a draft that stood here before: a window that still knows one is not believed."""
        return int(self._clock().timestamp() * 1000)

    async def remove(self, key: DraftKey, session: Session | None = None) -> None:
        """It has been sent, or thrown away."""
        await self._rows.delete_one({"_id": key.id}, session=session)


def _about(key: DraftKey, talk: Document) -> Document:
    named = {name: talk[name] for name in ("profile_id", "identity_id", "channel_id")}
    mode: Mode = key.mode
    return {"conversation_id": key.conversation_id, "user_id": key.user_id, "mode": mode, **named}


def _elsewhere() -> Conflict:
    return Conflict("This draft was changed or sent in another window meanwhile.", code="draft_changed")
