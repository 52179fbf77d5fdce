"""Segments as people make, change, try and take them away.

A changed rule is a new version, built beside the one that is served, and so are all segments that ask for its members:
they change together. Definitions are changed one after the other, so no two changes make a circle between them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from base.clock import Clock
from base.errors import Conflict, FieldError, NotFound, TooSlow, WrongInput
from base.ids import new_id
from base.mongo import Database, Document, ExecutionTimeout, Session
from base.pages import Page
from profiles.membership.finding import Stretch
from profiles.membership.versions import circle, key_of, users_of
from profiles.models import Input, Profile
from profiles.segments import (
    Rule,
    finds_no_tombstone,
    is_profiling,
    parse,
    segments_of,
    to_filter,
    todays,
    uses_events,
    with_segments,
    with_tags,
)
from profiles.store import ProfileFilter, ProfileStore
from profiles.store.profiles import as_profile
from profiles.store.segments import SEGMENTS_MAX, MemberStore, SegmentStore
from profiles.store.tags import TagStore
from profiles.uses import InUse, Use, Uses

Name = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=r"\S")]
#: How long a preview looks, and how many people it counts when that was too short.
PREVIEW_S, COUNTED_MAX, SAMPLE = 1.5, 10_000, 5
#: People of the first stretch of a preview, and of the largest.
PREVIEW_STRETCH, STRETCH_MAX = 500, 8000


class SegmentInput(Input):
    """A new segment."""

    name: Name
    description: str = Field("", max_length=2000)
    rule: dict[str, Any]


class SegmentPatch(Input):
    """Parts to replace."""

    name: Name | None = None
    description: str | None = Field(None, max_length=2000)
    rule: dict[str, Any] | None = None


@dataclass(frozen=True)
class Preview:
    """How many people a rule finds now, and some of them. `at_least`: counting them all would have taken too long."""

    count: int
    at_least: bool
    sample: list[Profile]


class Segments:
    """The use cases."""

    def __init__(
        self, database: Database, store: SegmentStore, members: MemberStore, profiles: ProfileStore, clock: Clock,
        uses: Uses, *, preview_s: float = PREVIEW_S,
    ) -> None:  # fmt: skip
        self._database = database
        self._tags = TagStore(database)
        self._uses = uses
        self._store = store
        self._members = members
        self._profiles = profiles
        self._clock = clock
        self._preview_s = preview_s

    # -- definitions -------------------------------------------------------------------------------------------

    async def create(self, given: SegmentInput, by: str | None = None, *, maker: str | None = None) -> Document:
        """A new one, whose members are being found. Raises `WrongInput` for a rule that does not make sense.

        With a `maker` (such as a recipe) the one that it has made already, whatever people have changed of it since.
        """
        rule, now, segment_id = parse(given.rule, path="rule"), self._clock(), new_id("seg")
        row = {
            "_id": segment_id, "name": given.name, "description": given.description, "rule": given.rule,
            "uses": sorted(segments_of(rule)), "version": 0, "live": None, "draft": None, "state": "building",
            "reason": None, "rev": 0, "created_by": by, "created_at": now, "updated_at": now,
            **({"made_by": maker} if maker else {}),
        }  # fmt: skip

        async def work(session: Session) -> str:
            await self._store.next_edition(session)  # two who do this at once follow each other
            rows = {each["_id"]: each for each in await self._store.all(session)}
            known = [key for key, each in rows.items() if maker and each.get("made_by") == maker]
            if known:
                return str(known[0])
            if len(rows) >= SEGMENTS_MAX:
                raise Conflict(f"There are {SEGMENTS_MAX} segments already.", code="too_many")
            _require_known(rule, given.rule, rows)
            await self._store.insert(row, session)
            await self._rebuild([segment_id], {**rows, segment_id: row}, session)
            return segment_id

        return await self.get(await self._database.in_transaction(work))

    async def change(self, segment_id: str, patch: SegmentPatch) -> Document:
        """Replace what is given. Members of the rule before are served until those of the new one are all found.

        Raises `NotFound`, and `WrongInput` for a rule that does not make sense or asks for itself.
        """
        rule = parse(patch.rule, path="rule") if patch.rule is not None else None
        names = await self._tags.names()

        async def work(session: Session) -> None:
            await self._store.next_edition(session)
            rows = {each["_id"]: each for each in await self._store.all(session)}
            if segment_id not in rows:
                raise NotFound("There is no such segment.")
            fields: Document = {"updated_at": self._clock()}
            fields |= {name: value for name in ("name", "description") if (value := getattr(patch, name)) is not None}
            before = rows[segment_id]
            unlike = todays(patch.rule, names) != todays(before["rule"], names)
            same = rule is None or (not unlike and before["state"] != "failed")
            if rule is not None and not same:
                _require_known(rule, patch.rule, rows)
                fields |= {"rule": patch.rule, "uses": sorted(segments_of(rule))}
            rows[segment_id] = {**rows[segment_id], **fields}
            if not same:
                _require_no_circle(segment_id, rows)
            await self._store.change(segment_id, {"$set": fields}, session)
            if not same:
                uses = {key: each["uses"] for key, each in rows.items()}
                await self._rebuild([segment_id, *users_of(segment_id, uses)], rows, session)

        await self._database.in_transaction(work)
        return await self.get(segment_id)

    async def delete(self, segment_id: str) -> None:
        """Take it away; nobody is told of having left. Raises `NotFound`, and `InUse` while others ask for it."""
        others = [each for each in await self._uses.of_segment(segment_id) if each.kind != "segment"]

        async def work(session: Session) -> None:
            await self._store.next_edition(session)
            rows = {each["_id"]: each for each in await self._store.all(session)}
            if segment_id not in rows:
                raise NotFound("There is no such segment.")
            asking = [each for each in rows.values() if segment_id in each["uses"]]
            users = [*(Use("segment", each["_id"], each["name"]) for each in asking), *others]
            if users:
                named = ", ".join(f"“{each.name}”" for each in users[:10])
                raise InUse(f"Others ask for its members: {named}.", users)
            await self._store.delete(segment_id, session)
            row = rows.pop(segment_id)
            stopped = await self._stopped({segment_id}, rows, session)
            rest = sorted(stopped.parts - {segment_id})
            keys = [each["key"] for each in (row["live"], row["draft"]) if each]
            await self._rebuild(rest, rows, session, retired=[*stopped.retired, *keys])

        await self._database.in_transaction(work)

    async def removed(self, segment_id: str) -> Document | None:
        """One that was taken away within the last day."""
        return await self._store.removed(segment_id)

    async def restore(self, segment_id: str) -> Document:
        """Put back one that was taken away, under its id; its members are found anew. Raises `NotFound` after a day,
        and `WrongInput` when a segment that it asks for is gone too."""

        async def work(session: Session) -> None:
            await self._store.next_edition(session)
            rows = {each["_id"]: each for each in await self._store.all(session)}
            if segment_id in rows:
                return
            row = await self._store.removed(segment_id, session)
            if row is None:
                raise NotFound("There is no such segment.")
            if len(rows) >= SEGMENTS_MAX:
                raise Conflict(f"There are {SEGMENTS_MAX} segments already.", code="too_many")
            _require_known(parse(row["rule"], path="rule"), row["rule"], rows)
            # the version counts on, so that keys of members that are still being cleared away stay apart
            row |= {"live": None, "draft": None, "state": "building", "reason": None, "updated_at": self._clock()}
            await self._store.put_back(row, session)
            await self._rebuild([segment_id], {**rows, segment_id: row}, session)

        await self._database.in_transaction(work)
        return await self.get(segment_id)

    async def get(self, segment_id: str) -> Document:
        """One, with `members` and, while it is built, `progress` (0 to 1). Raises `NotFound`."""
        row = await self._store.get(segment_id)
        if row is None:
            raise NotFound("There is no such segment.")
        return (await self._shown([row]))[0]

    async def page(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Document]:
        """Newest first, as `get`."""
        found = await self._store.page(limit=limit, cursor=cursor)
        return Page(await self._shown(found.data), found.next_cursor)

    # -- people ------------------------------------------------------------------------------------------------

    async def key(self, segment_id: str) -> str:
        """For `ProfileFilter.segment`; one that nobody has for a segment that is not there or was never built."""
        return (await self._store.live_keys([segment_id])).get(segment_id, "")

    async def members(self, segment_id: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Profile]:
        """Whoever is in it now, the newest profiles first. Raises `NotFound`."""
        row = await self._store.get(segment_id)
        if row is None:
            raise NotFound("There is no such segment.")
        if not row["live"]:
            return Page([], None)
        return await self._profiles.page(ProfileFilter(segment=row["live"]["key"]), limit=limit, cursor=cursor)

    async def preview(self, rule: Mapping[str, Any]) -> Preview:
        """Whom a rule would find, within a time that the database keeps. Raises `WrongInput`; `Conflict` when nobody
        was found before the time was over, so that nothing can be said."""
        parsed = parse(rule, path="rule")
        asked = segments_of(parsed)
        keys = await self._store.live_keys(asked)
        unknown = asked - {each["_id"] for each in await self._store.many(asked)}
        if unknown:
            raise WrongInput("The rule does not make sense.", [_unknown(rule, sorted(unknown)[0])])
        bound = with_tags(with_segments(parsed, keys), await self._tags.names())
        return await (self._along(bound) if uses_events(bound) else self._at_once(bound))

    async def _at_once(self, rule: Rule) -> Preview:
        wanted = to_filter(rule, self._clock())
        if is_profiling(rule):
            wanted = {"$and": [wanted, {"profiling_off": {"$ne": True}}]}
        if not finds_no_tombstone(rule):
            wanted = {"$and": [{"merged_into": None}, wanted]}
        end = time.monotonic() + self._preview_s
        try:
            sample = [as_profile(row) for row in await self._members.first(wanted, SAMPLE, time_ms=_left_ms(end))]
        except ExecutionTimeout as error:
            raise _too_slow() from error
        count = len(sample)
        for limit in (COUNTED_MAX, None):
            try:
                count = await self._members.quick_count(wanted, limit=limit, time_ms=_left_ms(end))
            except ExecutionTimeout:
                return Preview(count, True, sample)
            if limit is None or count < limit:
                break
        return Preview(count, False, sample)

    async def _along(self, rule: Rule) -> Preview:
        """What happened is asked stretch by stretch, the newest people last."""
        count, after, size = 0, "", PREVIEW_STRETCH
        sample: list[Profile] = []
        end = time.monotonic() + self._preview_s
        while (found := await self._members.stretch(after, size)) is not None:
            between = (after, found[0])
            asked = Stretch(self._members, between, self._clock(), left_ms=partial(_left_ms, end))
            try:
                wanted = await asked.filter(rule)
                people = {"$and": [{"_id": {"$gt": after, "$lte": found[0]}, "merged_into": None}, wanted]}
                count += await self._members.quick_count(people, time_ms=_left_ms(end))
                if len(sample) < SAMPLE:
                    more = await self._members.first(people, SAMPLE - len(sample), time_ms=_left_ms(end))
                    sample += [as_profile(row) for row in more]
            except ExecutionTimeout:
                break
            after, size = found[0], min(size * 2, STRETCH_MAX)
            if time.monotonic() > end:
                break
        else:
            return Preview(count, False, sample)
        if not sample:
            raise _too_slow()
        return Preview(count, True, sample)

    # -- building ----------------------------------------------------------------------------------------------

    async def _rebuild(
        self, segment_ids: Sequence[str], rows: Mapping[str, Document], session: Session, *,
        retired: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """One build of new versions for these and for all whose builds have to do with them."""
        stopped = await self._stopped(set(segment_ids), rows, session)
        wanted = list(dict.fromkeys([*segment_ids, *sorted(stopped.parts)]))
        parts, keys = [], {}
        for segment_id in (each for each in wanted if each in rows):
            row = rows[segment_id]
            number = row["version"] + 1
            keys[segment_id] = key_of(segment_id, number)
            draft = {"key": keys[segment_id], "version": number, "rule": row["rule"]}
            fields = {"draft": draft, "version": number, "state": "building", "reason": None}
            await self._store.change(segment_id, {"$set": fields}, session)
            parts.append({"segment_id": segment_id, "key": keys[segment_id]})
        await self._profiles.tallies.set(dict.fromkeys(keys.values(), 0), session)
        left = [*retired, *stopped.retired]
        if parts or left:
            await self._store.builds.add(new_id("log"), parts, left, session)

    async def _stopped(self, segment_ids: set[str], rows: Mapping[str, Document], session: Session) -> _Stopped:
        """Builds that have to do with these segments make way for one of all of them."""
        parts: set[str] = set()
        retired: list[str] = []
        near = set(segment_ids) | {each for key in segment_ids if key in rows for each in rows[key]["uses"]}
        near |= {key for key, row in rows.items() if set(row["uses"]) & segment_ids}
        for build in await self._store.builds.open(session):
            own = {part["segment_id"] for part in build["parts"]}
            if not build["swapped"] and own & near:
                parts |= own
                retired += [*build["retired"], *(part["key"] for part in build["parts"])]
                await self._store.builds.drop([build["_id"]], session)
        return _Stopped(frozenset(parts), retired)

    async def _shown(self, rows: Sequence[Document]) -> list[Document]:
        names = await self._tags.names()
        tallies = await self._profiles.tallies.of(row["live"]["key"] for row in rows if row["live"])
        builds = await self._store.builds.progress(row["_id"] for row in rows if row["draft"])
        return [
            {
                **row,
                "rule": todays(row["rule"], names) if names.renamed else row["rule"],
                "members": tallies.get(row["live"]["key"], 0) if row["live"] else None,
                "progress": _share(*builds[row["_id"]]) if row["draft"] and row["_id"] in builds else None,
            }
            for row in rows
        ]


@dataclass(frozen=True)
class _Stopped:
    parts: frozenset[str]
    retired: list[str]


def _left_ms(end: float) -> int:
    return max(1, int((end - time.monotonic()) * 1000))


def _share(seen: int, total: int) -> float:
    return round(min(seen / total, 0.99), 3) if total else 0.0


def _too_slow() -> TooSlow:
    return TooSlow(
        "This is too large to preview now: nobody was found in the time that a preview may take. Save the segment to "
        "find all."
    )


def _require_known(rule: Rule, given: Any, rows: Mapping[str, Document]) -> None:
    unknown = sorted(segments_of(rule) - rows.keys())
    if unknown:
        raise WrongInput("The rule does not make sense.", [_unknown(given, unknown[0])])


def _unknown(given: Any, segment_id: str) -> FieldError:
    return FieldError(_where(given, segment_id, "rule") or "rule", "names no segment that is there")


def _require_no_circle(segment_id: str, rows: Mapping[str, Document]) -> None:
    way = circle(segment_id, {key: row["uses"] for key, row in rows.items()})
    if way is not None:
        names = " → ".join(rows[each]["name"] for each in way)
        path = _where(rows[segment_id]["rule"], way[1], "rule") or "rule"
        sentence = f"asks for itself: {names}"
        raise WrongInput(f"The segment {sentence}.", [FieldError(path, sentence)])


def _where(given: Any, segment_id: str, path: str) -> str | None:
    """The path at which a rule names a segment."""
    if not isinstance(given, Mapping):
        return None
    if given.get("segment") == segment_id:
        return f"{path}.segment"
    inner = [(f"{path}.not", given["not"])] if "not" in given else []
    for name in ("all", "any"):
        inner += [(f"{path}.{name}[{n}]", each) for n, each in enumerate(given.get(name) or ())]
    return next((found for at, each in inner if (found := _where(each, segment_id, at))), None)
