"""The timeline of a person with its filters, and the audit: what was changed by whom. Both are pages of one stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from base.errors import WrongInput
from desk.mentions import handles_of
from desk.pages.merging import called
from desk.pages.moments import local_value, read_day
from desk.pages.panels import Opened
from desk.pages.timeline import KIND_LABELS, DayOf, Known, ids_in, timeline
from desk.pages.value_names import value_names
from profiles.timeline import Entry, Wanted

PER_PAGE = 60


@dataclass(frozen=True)
class KindChoice:
    """A kind that may be shown; pressing it adds it or takes it away."""

    label: str
    chosen: bool
    href: str


@dataclass(frozen=True)
class TimelineView:
    """One page. `newer_href` and `older_href` are empty at the ends."""

    days: list[DayOf]
    kinds: tuple[KindChoice, ...]
    day: str
    hidden: tuple[tuple[str, str], ...]
    newer_href: str
    older_href: str
    plain_href: str
    narrowed: bool
    now_local: str


async def timeline_tab(opened: Opened) -> TimelineView:
    """Everything that happened."""
    chosen = [each for each in opened.request.query.get("kind", "").split(",") if each in KIND_LABELS]
    return await _view(opened, "timeline", chosen)


async def audit_tab(opened: Opened) -> TimelineView:
    """What one of us or a program of ours did, with each field from → to."""
    return await _view(opened, "audit", [], by_somebody=True)


async def known_of(opened: Opened, entries: Sequence[Entry]) -> Known:
    """What the entries need to be put into words."""
    runtime = opened.runtime
    names = await runtime.users.names(ids_in(entries))
    terms = await value_names(runtime, opened.formats)
    handles = handles_of(await runtime.users.users())
    return Known(opened.faces, names, handles, terms, opened.principal.id, await _merges(opened, entries))


async def _merges(opened: Opened, entries: Sequence[Entry]) -> Mapping[str, Mapping[str, str]]:
    """Merge → person → name, where an entry tells of one; for who sees all of the person, as everywhere."""
    if opened.principal.channels is not None or not any("merge_id" in each.refs for each in entries):
        return {}
    rows = await opened.runtime.merger.of_profile(opened.person.id)
    return {row["_id"]: {each["_id"]: called(each) for each in row["before"].values() if "_id" in each} for row in rows}


async def _view(opened: Opened, tab: str, kinds: Sequence[str], *, by_somebody: bool = False) -> TimelineView:
    query = opened.request.query
    day = read_day(query.get("day", ""), opened.formats)
    older, newer = query.get("older"), query.get("newer")
    wanted = Wanted(kinds, by_somebody=by_somebody)
    try:
        found = await opened.runtime.timeline.page(
            opened.person.id, wanted, limit=PER_PAGE, older=older, newer=newer, at=day[1] if day else None
        )
    except WrongInput:  # a cursor of somewhere else: begin anew
        older = newer = None
        found = await opened.runtime.timeline.page(opened.person.id, wanted, limit=PER_PAGE)
    seen = [each for each in found.data if opened.principal.may_see(each.refs.get("channel_id"))]
    asked = {"tab": tab, **({"kind": ",".join(kinds)} if kinds else {})}
    has_newer = bool(older or day) or (newer is not None and len(found.data) == PER_PAGE)
    return TimelineView(
        days=timeline(seen, await known_of(opened, seen), opened.formats),
        kinds=_choices(opened, tab, kinds) if tab == "timeline" else (),
        day=local_value(day[0], opened.formats.zone)[:10] if day else "",
        hidden=tuple(asked.items()),
        newer_href=_href(opened, {**asked, "newer": found.newer}) if has_newer and found.newer else "",
        older_href=_href(opened, {**asked, "older": found.older}) if found.older else "",
        plain_href=_href(opened, {"tab": tab}),
        narrowed=bool(kinds or day or older or newer),
        now_local=local_value(opened.formats.now, opened.formats.zone),
    )


def _choices(opened: Opened, tab: str, kinds: Sequence[str]) -> tuple[KindChoice, ...]:
    result = []
    for kind, label in KIND_LABELS.items():
        after = [each for each in KIND_LABELS if (each in kinds) != (each == kind)]
        asked = {"tab": tab, **({"kind": ",".join(after)} if after else {})}
        day = opened.request.query.get("day")
        asked |= {"day": day} if day else {}
        result.append(KindChoice(opened.formats.text(label), kind in kinds, _href(opened, asked)))
    return tuple(result)


def _href(opened: Opened, asked: Mapping[str, Any]) -> str:
    return f"/profiles/{opened.person.id}?{urlencode(asked)}"
