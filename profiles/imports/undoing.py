"""Taking an import back, the last row first, in batches that may be cut short and repeated.

Who was created and has not been touched since is erased. What was changed on others is restored unless it was changed
again; tags that were added go, addresses that were joined go unless somebody used them, and consents are taken back by
acts of their own. What cannot be undone is counted and stays marked on its row.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from base.clock import Clock
from base.duty import LeaseLost
from base.errors import NotFound, Unavailable
from base.mongo import Database, Document, Session
from profiles.consent import Consent, ConsentAct
from profiles.edit import ProfilePatch, told
from profiles.imports.carrying import content_mark
from profiles.models import NewEvent
from profiles.store.consents import ConsentStore
from profiles.store.events import EventStore
from profiles.store.imports import ImportStore
from profiles.store.profiles import ProfileStore
from profiles.store.tags import TagStore
from profiles.survivorship import tokens_of

log = logging.getLogger(__name__)

#: Erases a person everywhere; raises `NotFound` when there is nobody (any more).
Erase = Callable[[str], Awaitable[object]]
Elsewhere = Callable[[Sequence[str]], Awaitable[set[str]]]


class Undoer:
    """Takes batches back."""

    def __init__(
        self, database: Database, store: ImportStore, profiles: ProfileStore, consent: Consent, consents: ConsentStore,
        events: EventStore, tags: TagStore, clock: Clock, *, erase: Erase, elsewhere: Elsewhere,
    ) -> None:  # fmt: skip
        """`elsewhere`: which of these people have anything outside of this package."""
        self._database = database
        self._store = store
        self._profiles = profiles
        self._consent = consent
        self._consents = consents
        self._events = events
        self._tags = tags
        self._clock = clock
        self._erase = erase
        self._elsewhere = elsewhere

    async def undo(self, head: Document, rows: Sequence[Document]) -> None:
        """All of these rows, and move the head's cursor and counts. Raises `LeaseLost`."""
        changed = [row for row in rows if row["outcome"] in ("updated", "repeated") and "undone" not in row]
        created = [row for row in rows if row["outcome"] == "created" and "undone" not in row]
        if changed:
            await self._database.in_transaction(partial(self._restore, head, changed))
            await self._profiles.refresh_reach([row["profile_id"] for row in changed])
        await self._remove(head, created)
        await self._forget_tags(head, rows)
        counts = dict(head["undo_counts"])
        for row in rows:
            if row["outcome"] in ("created", "updated", "repeated"):
                counts[row["undone"]] = counts.get(row["undone"], 0) + 1
        progress = {"undo_cursor": rows[-1]["_id"], "undo_counts": counts}
        if not await self._store.note(head, progress):
            raise LeaseLost
        head.update(progress)

    async def _forget_tags(self, head: Document, rows: Sequence[Document]) -> None:
        """Tags that came into the space with the import, and that nobody has now."""
        for tag in {tag for row in rows for tag in row.get("tags_added", ())}:
            await self._tags.forget(tag, since=head["started_at"])

    # -- who was created -------------------------------------------------------------------------------------------

    async def _remove(self, head: Document, rows: Sequence[Document]) -> None:
        """Those of whom nothing is kept outside of this package vanish in one transaction, in which is looked once more
        whether they are as the import left them; the others (a journey has begun) are erased one by one."""
        documents = await self._profiles.documents({row["profile_id"] for row in rows})
        ids = [row["_id"] for row in documents.values()]
        touched = await self._events.acted(ids) | await self._profiles.identity_rows.made_otherwise(ids, head["_id"])
        touched |= await self._store.others_of(ids, head["_id"])
        elsewhere = await self._elsewhere(ids)
        light = [row for row in rows if row["profile_id"] not in elsewhere | touched]
        vanished: set[str] = await self._database.in_transaction(partial(self._vanish, light)) if light else set()
        kept: dict[str, Document] = {}
        for row in rows:
            found = documents.get(row["profile_id"])
            row["undone"] = "erased"
            if found is None or found["_id"] in vanished:
                continue
            if found["_id"] in touched or not _as_left(found, row) or row in light:
                row["undone"] = "kept"
                kept[row["_id"]] = {"undone": "kept"}
                continue
            try:
                await self._erase(found["_id"])
            except NotFound:
                log.info("somebody else has erased this person", extra={"import": head["_id"]})
        await self._store.mark(kept)

    async def _vanish(self, rows: Sequence[Document], session: Session) -> set[str]:
        found = await self._profiles.stones([row["profile_id"] for row in rows], session)
        gone = [row["profile_id"] for row in rows if _as_left(found.get(row["profile_id"]), row)]
        if gone:
            await self._profiles.delete(gone, session)
            await self._profiles.identity_rows.delete_of(gone, session)
            await self._profiles.suggestions.delete_of(gone, session)
            await self._events.delete_of(gone, session)
            await self._consents.delete_of(gone, session)
            await self._store.delete_of(gone, session)
        return set(gone)

    # -- who was changed -------------------------------------------------------------------------------------------

    async def _restore(self, head: Document, rows: Sequence[Document], session: Session) -> None:
        at = self._clock()
        found = await self._profiles.documents({row["profile_id"] for row in rows}, session)
        documents = {row["_id"]: row for row in found.values()}
        before = dict(documents)
        joined = await self._joined(rows, list(documents), session)
        events: list[NewEvent] = []
        for row in rows:
            document = found.get(row["profile_id"])
            if document is None:
                row["undone"] = "erased"
                continue
            current = documents[document["_id"]]
            after, whole = restored(current, row, joined["free"].get(row["_id"], ()), at)
            row["undone"] = "restored" if whole and row["_id"] not in joined["used"] else "partly"
            documents[document["_id"]] = after
            if after is not current:
                events += told(current, after, ProfilePatch(), "import", head["undone_by"], f"undo:{row['_id']}", at)
        await self._profiles.identity_rows.drop(joined["ids"], session)
        acted = await self._consent.act_many(await self._retractions(rows, head["undone_by"]), session)
        for profile_id, standing in acted.standing.items():
            if profile_id in documents:
                documents[profile_id] = {**documents[profile_id], "consents": standing}
        changes = [(before[key], after) for key, after in documents.items() if after is not before[key]]
        if not await self._profiles.rewrite(changes, session):
            raise Unavailable("Somebody else was writing to the same people.")
        await self._events.record([replace(each, quiet=True) for each in (*events, *acted.events)], session)
        await self._store.mark({row["_id"]: {"undone": row["undone"]} for row in rows}, session)

    async def _joined(self, rows: Sequence[Document], ids: Sequence[str], session: Session) -> dict[str, Any]:
        """Addresses these rows have joined to people: `ids` to be taken away, `free` row → their values, `used`: rows
        with an address that somebody has used or proved since."""
        sources = [row["_id"] for row in rows if row.get("joins")]
        made = await self._profiles.identity_rows.made_by(ids, sources, session) if sources else []
        talked = await self._events.talked([each["_id"] for each in made], ids) if made else set()
        free: dict[str, list[str]] = {}
        used: set[str] = set()
        for each in made:
            source = each["evidence"]["made_by"]
            if each["_id"] in talked or each["last_inbound_at"] is not None or each.get("alias_of"):
                used.add(source)
            else:
                free.setdefault(source, []).append(each["value"])
        return {"ids": [each["_id"] for each in made if each["evidence"]["made_by"] not in used], "free": {
            source: values for source, values in free.items() if source not in used}, "used": used}  # fmt: skip

    async def _retractions(self, rows: Iterable[Document], by: str) -> list[ConsentAct]:
        """An act that takes back each yes or no of these rows."""
        acts = await self._consents.many([act_id for row in rows for act_id in row.get("acts", ())])
        return [
            ConsentAct(
                act["identity_id"], act["purpose"], not act["granted"], "import", by=by, key=f"undo:{act['_id']}",
                retracts=act["_id"], reason="The import was taken back.",
            )
            for act in acts
        ]  # fmt: skip


def _as_left(document: Mapping[str, Any] | None, row: Document) -> bool:
    """Whether this is still the person whom the row has made, as it made them."""
    if document is None or document.get("made_by") != row["_id"] or document.get("merged_into"):
        return False
    return document.get("last_seen_at") is None and content_mark(document) == row.get("left")


def restored(document: Document, row: Mapping[str, Any], values: Sequence[str], at: datetime) -> tuple[Document, bool]:
    """The profile without what the row did, and whether that was all of it; the same document when nothing is left to
    undo. `values`: addresses that are taken away. Pure."""
    changes = dict(row.get("changes") or {})
    attributes = changes.pop("attributes", [])
    after, whole = dict(document), True
    sources = dict(document.get("sources") or {})
    for name, change in changes.items():
        if document.get(name) != change["to"]:
            whole = False
            continue
        after[name] = change["from"]
        if change.get("stamp") is not None:
            sources[name] = change["stamp"]
        else:
            sources.pop(name, None)
        after |= {"stage_since": at} if name == "stage" else {}
    held = dict(document["attributes"])
    for each in attributes:
        if held.get(each["key"]) != each["to"]:
            whole = False
        elif each["new"]:
            held.pop(each["key"])
        else:
            held[each["key"]] = each["from"]
    after["attributes"] = held
    after["tags"] = [tag for tag in document["tags"] if tag not in row.get("tags_added", ())]
    for name in ("emails", "phones"):
        after[name] = _without(document.get(name) or [], values)
    if all(after[name] == document.get(name) for name in after):
        return document, whole
    searched = any(after[name] != document.get(name) for name in ("name", "emails", "phones"))
    search = tokens_of(after) if searched else document.get("search", [])
    return {**after, "sources": sources, "search": search, "updated_at": at}, whole


def _without(entries: Sequence[Document], values: Sequence[str]) -> list[Document]:
    """Addresses of an import that are taken away; one of those left is the first."""
    left = [each for each in entries if each["value"] not in values or each.get("source") != "import"]
    if left and len(left) < len(entries) and not any(each.get("primary") for each in left):
        left[0] = {**left[0], "primary": True}
    return left
