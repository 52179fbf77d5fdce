"""Every kind of data that can go by its age. Without a choice only what is technical goes by itself."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from base.clock import now
from base.ids import Prefix, id_before
from base.mongo import Database, Document
from inbox.models import RESULTS
from inbox.store import ConversationStore, FileStore, WordStore
from profiles.holdings import Holdings, Traces
from profiles.retention import Kind
from profiles.store.retention import Aged
from webhooks.journal import Journal

#: Runs that nothing will happen to any more.
ENDED = ("ended",)
VIEWS = ("page.viewed", "screen.viewed")


def kinds_of(database: Database, journal: Journal, holdings: Holdings) -> list[Kind]:
    """In the order in which a night goes through them."""
    files, conversations, words = FileStore(database), ConversationStore(database, now), WordStore(database)
    talks = Aged(database, "conversations", lambda at: {"status": "resolved", "last_activity_at": {"$lt": at}})
    media = Aged(database, "files", partial(_made, "fil", state="stored", message_id={"$exists": True}))
    visitors = Aged(database, "profiles", _visitors)
    views = Aged(database, "events", partial(_made, "evt", state="done", name={"$in": list(VIEWS)}))
    events = Aged(database, "events", partial(_made, "evt", state="done"))
    sends = Aged(database, "sends", partial(_made, "snd", state={"$in": sorted(RESULTS)}))
    runs = Aged(database, "enrolments", partial(_made, "enr", state={"$in": list(ENDED)}))
    steps = Aged(database, "enrolment_log", partial(_steps))
    links = Aged(database, "tracked_links", lambda at: {"used_at": {"$lt": at}})
    erasures = Aged(database, "erasures", lambda at: {"done_at": {"$lt": at}})

    audit = Aged(database, "audit", partial(_made, "aud"))

    async def close_talks(at: datetime, limit: int) -> int:
        """Messages and files first, so that what is cut short is found again by its conversation; what was merged into
        one goes with it, and before it."""
        heads = await talks.ids(at, min(limit, 50))
        parts = [part for row in (await conversations.rows(heads)).values() for part in row.get("parts", ())]
        for talk_id in [*parts, *heads]:
            lines = Aged(database, "messages", lambda _, talk_id=talk_id: {"conversation_id": talk_id})  # type: ignore[misc]
            while message_ids := await lines.ids(at, 500):
                await files.erase(message_ids)
                await lines.remove(at, 500)
                await words.remove(message_ids)
        await conversations.remove(parts)
        count = await conversations.remove(heads) if heads else 0
        return limit if count == min(limit, 50) else count

    async def drop_media(at: datetime, limit: int) -> int:
        return await files.erase_files(await media.ids(at, limit))

    async def forget_visitors(at: datetime, limit: int) -> int:
        ids = await visitors.ids(at, limit)
        for room in holdings.rooms if ids else ():
            if not room.read_whole:  # webhooks go by their own age
                await room.erase(Traces(tuple(ids)))
        return len(ids)

    return [
        Kind("delivery_bodies", 60, 7, journal.count_bodies, journal.drop_bodies),
        Kind("deliveries", 60, 7, journal.count_old, journal.drop_old),
        Kind("page_views", 400, 1, views.count, views.remove),
        Kind("visitors", 400, 30, visitors.count, forget_visitors),
        Kind("run_steps", None, 30, steps.count, steps.remove),
        Kind("runs", None, 90, runs.count, runs.remove),
        Kind("sends", None, 90, sends.count, sends.remove),
        Kind("links", None, 90, links.count, links.remove),
        Kind("media", None, 30, media.count, drop_media),
        Kind("closed_conversations", None, 30, talks.count, close_talks),
        Kind("events", None, 90, events.count, events.remove),
        Kind("audit", 400, 90, audit.count, audit.remove),
        Kind("erasure_log", 1095, 365, erasures.count, erasures.remove),
    ]


def _made(prefix: Prefix, at: datetime, **more: object) -> Document:
    """Rows made before that time: ids sort by it, so no further index is needed."""
    return {"_id": {"$lt": id_before(prefix, at)}, **more}


def _steps(at: datetime) -> Document:
    """The log of runs begun before that time."""
    return {"_id": {"$lt": id_before("enr", at)}}


def _visitors(at: datetime) -> Document:
    """People known by a browser alone: nobody wrote, bought or left an address."""
    nothing: Document = {name: [] for name in ("emails", "phones", "reachable_on", "handles", "consents", "tags")}
    return {
        "last_seen_at": {"$lt": at},
        "merged_into": None,
        "name": None,
        "orders.count": 0,
        "owner_id": None,
        **nothing,
    }
