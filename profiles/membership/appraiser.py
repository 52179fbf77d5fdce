"""Keeps one person's memberships up to date whenever the person is looked at; tells who entered and who left."""

from __future__ import annotations

from datetime import datetime

from profiles.appraisal import Subject, Verdict
from profiles.membership.versions import Version, versions
from profiles.models import NewEvent
from profiles.segments import Facts, Needs, joint_needs, outlook
from profiles.store.segments import SegmentStore
from profiles.store.tags import TagStore

ENTERED, LEFT = "segment.entered", "segment.left"


class SegmentAppraiser:
    """The last appraiser: it sees score, tier and traits as the others found them."""

    def __init__(self, store: SegmentStore, tags: TagStore) -> None:
        self._store = store
        self._tags = tags
        self._edition = (-1, -1)
        self._versions: tuple[Version, ...] = ()

    async def prepare(self) -> None:
        """Read the definitions anew when any has changed, or what a tag is called."""
        names = await self._tags.names()
        edition = (await self._store.edition(), names.rev)
        if edition != self._edition:
            self._versions = versions(await self._store.all(), names)
            self._edition = edition

    def event_needs(self) -> Needs:
        """Events that some segment asks about."""
        return joint_needs(each.needs for each in self._versions)

    def appraise(self, subject: Subject, now: datetime) -> Verdict:
        """Inner segments come before those that ask for them, so a change reaches all at once."""
        person = subject.document
        held = frozenset(person.get("segments") or ())
        keys: list[str] = []
        facts = Facts({**person, "segments": keys}, subject.events)
        again: list[datetime] = []
        told: list[NewEvent] = []
        for version in self._versions:
            inside, until = _inside(version, facts, now)
            if inside:
                keys.append(version.key)
            if until is not None:
                again.append(until)
            if version.told and inside != (version.key in held):
                told.append(_event(version, subject, now, entered=inside))
        fields = {} if held == set(keys) else {"segments": keys}
        return Verdict(fields, told, min(again, default=None))


def _inside(version: Version, facts: Facts, now: datetime) -> tuple[bool, datetime | None]:
    if version.profiling and facts.profile.get("profiling_off"):
        return False, None
    return outlook(version.rule, facts, now)


def _event(version: Version, subject: Subject, now: datetime, *, entered: bool) -> NewEvent:
    name, person = ENTERED if entered else LEFT, subject.document
    return NewEvent(
        name, f"{name}:{version.segment_id}:{person['_id']}:{person.get('rev')}", now, person["_id"],
        properties={"segment_id": version.segment_id, "version": version.number},
    )  # fmt: skip
