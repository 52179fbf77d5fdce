"""Finds all members of new versions, stretch by stretch, beside what is served; then serves them all at once.

A build is a duty. After each stretch it is noted how far it is, so a builder that died is carried on after its last
stretch. Whoever changes while it runs is appraised by the new versions, too (`profiles.appraisal`): a profile that is
changed after its stretch was looked at is due, and one changed before was looked at as it then was.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from base.clock import Clock
from base.mongo import UNAVAILABLE, Database, Document, Session
from profiles.membership.finding import Between, Stretch
from profiles.membership.versions import Version, versions
from profiles.store.profiles import ProfileStore
from profiles.store.segments import MemberStore, SegmentStore
from profiles.store.tags import TagStore

log = logging.getLogger(__name__)

#: People of one stretch.
STRETCH = 10_000
#: How far clocks may be apart, and how long an event may be on its way into the database.
SKEW = timedelta(seconds=30)
#: Builds that failed so often without getting on are given up.
TRIES = 3


class _Lost(Exception):
    """The build is somebody else's, or another has taken its place."""


class SegmentBuilder:
    """Carries out builds. Any number of workers may; each build has one at a time."""

    def __init__(
        self, database: Database, store: SegmentStore, members: MemberStore, profiles: ProfileStore, clock: Clock,
        *, stretch: int = STRETCH,
    ) -> None:  # fmt: skip
        self._database = database
        self._tags = TagStore(database)
        self._store = store
        self._members = members
        self._profiles = profiles
        self._clock = clock
        self._stretch = stretch

    async def drain(self) -> int:
        """Carry out all builds that are due; how many. For the clockwork."""
        done = 0
        while (row := await self._store.builds.claim()) is not None:
            done += 1
            try:
                await self._carry_out(row)
            except _Lost:
                continue
            except UNAVAILABLE:
                raise
            except Exception:
                log.exception("a build of segments failed", extra={"build": row["_id"], "attempts": row["attempts"]})
                if row["attempts"] >= TRIES:
                    await self._give_up(row, "The members could not be found. See the log of the worker.")
        return done

    async def _carry_out(self, row: Document) -> None:
        if not row["swapped"]:
            await self._find(row)
            row = await self._serve(row)
        for key in row["retired"]:
            while await self._members.clear(key, self._stretch):
                await self._noted(row, {})
        await self._profiles.tallies.forget(row["retired"])
        await self._store.builds.close(row)

    async def _find(self, row: Document) -> None:
        keys = [part["key"] for part in row["parts"]]
        wanted = [each for each in versions(await self._store.all(), await self._tags.names()) if each.key in keys]
        if len(wanted) < len(keys):
            await self._unreadable(row, keys, wanted)
        after, seen, total = row["after"], row["seen"], await self._members.total()
        while (found := await self._members.stretch(after, self._stretch)) is not None:
            last, count = found
            seen += count
            await self._one_stretch(
                row, wanted, (after, last), {"after": last, "seen": seen, "total": max(seen, total)}
            )
            after = last
        await self._look_again(row, wanted)

    async def _unreadable(self, row: Document, keys: Sequence[str], wanted: Sequence[Version]) -> None:
        """Superseded meanwhile, or a rule that this version cannot read."""
        rows = await self._store.all()
        drafts = {_drafted(each) for each in rows}
        if drafts >= set(keys):
            await self._give_up(row, "The rule cannot be read.")
        raise _Lost

    async def _one_stretch(self, row: Document, wanted: Sequence[Version], between: Between, note: Document) -> None:
        await self._noted(row, {})
        stretch = Stretch(self._members, between, self._clock())
        for version in wanted:  # inner ones first: their members are there when others ask for them
            await self._members.put(between, version.key, await stretch.filter(version.rule))
            if version.timely:
                for times, whom in await stretch.timely(version.rule):
                    await self._members.due_by(between, times, whom)
        try:
            await self._noted(row, note)
        except _Lost:
            await self._heal(wanted, between)
            raise

    async def _heal(self, wanted: Sequence[Version], between: Between) -> None:
        """We were away for so long that somebody else went on, and may have written by what was then: all people of the
        stretch are looked at again, and what is served is counted anew."""
        live = set((await self._store.live_keys([each.segment_id for each in wanted])).values())
        keys = [each.key for each in wanted if each.key in live]
        await self._profiles.appraisals.due_where({"_id": {"$lte": between[1]}}, between[0], limit=None)

        async def work(session: Session) -> None:
            await self._profiles.tallies.set(await self._members.count(keys, session), session)

        if keys:
            await self._database.in_transaction(work)

    async def _look_again(self, row: Document, wanted: Sequence[Version]) -> None:
        """At those to whom something happened while it was being read what had happened."""
        names = frozenset().union(*(version.names for version in wanted))
        if names:
            concerned = await self._members.lately(names, row["at"] - SKEW)
            today = await self._profiles.current(concerned)
            await self._profiles.appraisals.due(today.values())

    async def _serve(self, row: Document) -> Document:
        """From here on the new versions are served and told of."""
        keys = {part["segment_id"]: part["key"] for part in row["parts"]}

        async def work(session: Session) -> Document:
            rows = {each["_id"]: each for each in await self._store.all(session) if each["_id"] in keys}
            if any(_drafted(rows.get(each)) != key for each, key in keys.items()):
                raise _Lost
            retired = [*row["retired"], *(each["live"]["key"] for each in rows.values() if each.get("live"))]
            await self._profiles.tallies.set(await self._members.count(keys.values(), session), session)
            for each in rows.values():
                fields = {
                    "live": {**each["draft"], "at": self._clock()},
                    "draft": None,
                    "state": "live",
                    "reason": None,
                }
                await self._store.change(each["_id"], {"$set": fields}, session)
            await self._store.next_edition(session)
            await self._noted(row, {"swapped": True, "retired": retired}, session)
            return {**row, "swapped": True, "retired": retired}

        done: Document = await self._database.in_transaction(work)
        return done

    async def _give_up(self, row: Document, reason: str) -> None:
        """What is served stays; the versions that could not be built are taken back."""
        keys = {part["segment_id"]: part["key"] for part in row["parts"]}

        async def work(session: Session) -> None:
            for each in await self._store.all(session):
                if _drafted(each) == keys.get(each["_id"], ""):
                    fields = {"draft": None, "state": "failed", "reason": reason}
                    await self._store.change(each["_id"], {"$set": fields}, session)
            await self._store.next_edition(session)
            await self._noted(row, {"swapped": True, "retired": [*row["retired"], *keys.values()]}, session)

        await self._database.in_transaction(work)
        await self._store.builds.released(row, self._clock())

    async def _noted(self, row: Document, fields: Document, session: Session | None = None) -> None:
        if not await self._store.builds.duties.advance(row, fields, session):
            raise _Lost


def _drafted(row: Document | None) -> str | None:
    """The key of the version that is being built."""
    draft = (row or {}).get("draft")
    return draft["key"] if draft else None
