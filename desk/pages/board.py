"""Profiles → Board: the people of each stage, moved by hand, with the reason where one is asked for and a way back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.lifecycle import LOOKED_BACK
from desk.api.scope import must_see_person, reading, seen_ids, seen_person
from desk.auth import local_path, principal_of, require
from desk.forms import read_form
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.effects import tier_names
from desk.pages.terms import Words, words
from desk.render import formats_of, page
from profiles.edit import patch_from_paths
from profiles.store.profiles import ProfileFilter, as_profile

routes = web.RouteTableDef()
HERE = "/profiles/board"
PER_COLUMN, COUNT_MAX = 25, 10_000
#: A shorter stay says nothing.
MEASURED_S = 60


@dataclass(frozen=True)
class Card:
    """One person on the board."""

    id: str
    name: str
    tier: str
    score: int
    owner: str
    since: datetime | None
    follow_up: datetime | None
    late: bool


@dataclass(frozen=True)
class Column:
    """One stage. `mean`: how long those who left it had stayed; `slow`: longest of all."""

    key: str
    label: str
    count: str
    mean: str
    slow: bool
    asks_reason: bool
    known: bool
    cards: tuple[Card, ...]
    more_href: str
    paged: bool
    #: The one that is shown where there is room for one alone.
    is_open: bool
    open_href: str


@dataclass(frozen=True)
class Narrowed:
    """What the board is narrowed to, as it stands in the address."""

    owner: str = ""
    tier: str = ""
    tag: str = ""
    #: The stage that a narrow window shows.
    open: str = ""

    @property
    def query(self) -> dict[str, str]:
        """Only what is given."""
        return {name: value for name in ("owner", "tier", "tag", "open") if (value := getattr(self, name))}

    @property
    def narrows(self) -> bool:
        """Whether somebody is left out."""
        return bool(self.owner or self.tier or self.tag)

    def filter(self, stage: str, me: str) -> ProfileFilter:
        """For one column."""
        owner = me if self.owner == "me" else self.owner
        return ProfileFilter(stage=stage, owner_id=owner or None, tier=self.tier or None, tag=self.tag or None)


def narrowed_by(query: Mapping[str, str]) -> Narrowed:
    """What the address says; an owner who is none is left out."""
    owner = query.get("owner", "")
    return Narrowed(
        owner if owner == "me" or is_id(owner, "usr") else "", query.get("tier", "").strip()[:64],
        query.get("tag", "").strip()[:64], query.get("open", "").strip()[:64],
    )  # fmt: skip


@routes.get(HERE)
@require("viewer")
async def board(request: web.Request) -> web.StreamResponse:
    """The columns in the order of the way; stages that are in the list no more stand at its end while held."""
    runtime, reader = runtime_of(request), principal_of(request)
    formats, narrowed = formats_of(request, reader), narrowed_by(request.query)
    said = await words(runtime, formats)
    narrowed = replace(narrowed, tag=said.agreed.tags.today(narrowed.tag))
    held = await runtime.profiles.stages_held()
    keys = [each.key for each in said.agreed.stages]
    keys += [key for key in held if key not in keys]
    spent = await runtime.stage_log.spent(runtime.clock() - LOOKED_BACK)
    spent = {key: each for key, each in spent.items() if each[0] >= MEASURED_S}
    shown = narrowed.open if narrowed.open in keys else next(iter(keys), "")
    slowest = max(spent, key=lambda key: spent[key][0], default=None) if len(spent) > 1 else None
    try:
        columns = await asyncio.gather(
            *(_column(request, key, said, narrowed, formats, spent, slowest, key == shown) for key in keys)
        )
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    people = await runtime.users.users()
    values = {
        "columns": columns, "narrowed": narrowed, "people": [(each.id, each.name) for each in people],
        "words": said, "moved": await _moved(request, said), "may_move": reader.may("agent", "marketer"),
        "here": request.path_qs if "moved" not in request.query else _back(narrowed), "me": reader.id,
        "empty": not any(each.cards for each in columns) and not narrowed.narrows,
        "tiers": await tier_names(runtime, formats),
    }  # fmt: skip
    return await page(request, "profiles/board.html", values)


async def _column(
    request: web.Request, key: str, said: Words, narrowed: Narrowed, formats: Formats,
    spent: Mapping[str, tuple[float, int]], slowest: str | None, is_open: bool,
) -> Column:  # fmt: skip
    runtime, reader = runtime_of(request), principal_of(request)
    wanted = narrowed.filter(key, reader.id)
    paged = request.query.get("column") == key and "cursor" in request.query
    cursor = request.query["cursor"] if paged else None
    found = await runtime.profiles.column(wanted, limit=PER_COLUMN, cursor=cursor)
    seen = await seen_ids(reading(request), {row["_id"] for row in found.data})
    rows = [row for row in found.data if row["_id"] in seen]
    owners = await runtime.users.names(sorted({row["owner_id"] for row in rows if row.get("owner_id")}))
    more = {**narrowed.query, "open": key, "column": key, "cursor": found.next_cursor}
    mean = spent.get(key)
    return Column(
        key, said.stage(key), await _count(request, wanted, formats), formats.span(mean[0], parts=2) if mean else "",
        key == slowest, key in said.asking, said.agreed.stage(key) is not None,
        tuple(card_of(row, owners, formats) for row in rows),
        f"{HERE}?{urlencode(more)}" if found.next_cursor else "", paged, is_open,
        f"{HERE}?{urlencode({**narrowed.query, 'open': key})}",
    )  # fmt: skip


def card_of(row: Document, owners: Mapping[str, str], formats: Formats) -> Card:
    """One person."""
    at = (row.get("next_follow_up") or {}).get("at")
    return Card(
        row["_id"], as_profile(row).display_name, row.get("tier") or "", row.get("score") or 0,
        owners.get(row.get("owner_id") or "", ""), row.get("stage_since"), at, at is not None and at < formats.now,
    )  # fmt: skip


async def _count(request: web.Request, wanted: ProfileFilter, formats: Formats) -> str:
    """How many there are; not said to who sees only some of them."""
    if principal_of(request).channels is not None:
        return ""
    count = await runtime_of(request).profiles.column_count(wanted, cap=COUNT_MAX)
    return f"{formats.number(count)}+" if count >= COUNT_MAX else formats.number(count)


@dataclass(frozen=True)
class Moved:
    """What was just done, for the way back."""

    id: str
    profile_id: str
    name: str
    stage: str
    undone: bool


async def _moved(request: web.Request, said: Words) -> Moved | None:
    move_id = request.query.get("moved", "")
    row = await runtime_of(request).stage_log.get(move_id) if is_id(move_id, "stl") else None
    if row is None:
        return None
    try:
        person, _ = await seen_person(reading(request), row["profile_id"])
    except NotFound:
        return None
    return Moved(row["_id"], person.id, person.display_name, said.stage(row["to"]), str(row["key"]).startswith("undo:"))


def _back(narrowed: Narrowed) -> str:
    return f"{HERE}?{urlencode(narrowed.query)}" if narrowed.query else HERE


# -- moving --------------------------------------------------------------------------------------------------------


@routes.get("/profiles/{profile_id}/stage")
@require("agent", "marketer")
async def ask_reason(request: web.Request) -> web.StreamResponse:
    """The form by which somebody is moved, with the reason."""
    return await _form(request, request.query.get("to", ""), request.query.get("back", ""), "")


@routes.post("/profiles/{profile_id}/stage")
@require("agent", "marketer")
async def move(request: web.Request) -> web.StreamResponse:
    """Move somebody. Where a reason is missing the form that asks for it follows; else back to where it came from."""
    runtime, form = runtime_of(request), await read_form(request)
    profile_id = await must_see_person(reading(request), request.match_info["profile_id"])
    stage, back = str(form.get("stage", "")), str(form.get("back", ""))
    reason = (str(form.get("reason", "")) or str(form.get("reason_text", ""))).strip()[:200]
    patch = patch_from_paths({"stage": stage or None, "stage_reason": reason or None})
    try:
        await runtime.editor.patch(profile_id, patch, source="person", by=principal_of(request).id)
    except WrongInput as error:
        if any(each.path == "stage_reason" for each in error.errors):
            return await _form(request, stage, back, "" if "reason" not in form else str(error))
        raise
    runtime.doorbell.soon("react")
    moves = await runtime.stage_log.of_profile(profile_id, limit=1)
    raise web.HTTPSeeOther(_with_moved(back, moves.data[0]["_id"] if moves.data else ""))


@routes.post("/profiles/stages/{move_id}/undo")
@require("agent", "marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Put somebody back to where they were, unless they were moved on since."""
    runtime, move_id, form = runtime_of(request), request.match_info["move_id"], await read_form(request)
    row = await runtime.stage_log.get(move_id) if is_id(move_id, "stl") else None
    if row is None:
        raise NotFound("There is no such move.")
    profile_id = await must_see_person(reading(request), row["profile_id"])
    latest = (await runtime.stage_log.of_profile(profile_id, limit=1)).data
    if not latest or latest[0]["_id"] != move_id:
        raise Conflict("This person was moved on since.", code="moved_on")
    by = principal_of(request).id
    await runtime.editor.put_back(profile_id, row, by=by)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(local_path(str(form.get("back") or HERE)))


def _with_moved(back: str, move_id: str) -> str:
    path = local_path(back or HERE)
    mark = "&" if "?" in path else "?"
    return f"{path}{mark}{urlencode({'moved': move_id})}" if path.startswith(HERE) and move_id else path


async def _form(request: web.Request, stage: str, back: str, fault: str) -> web.Response:
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    person, _ = await seen_person(reading(request), request.match_info["profile_id"])
    values: dict[str, Any] = {
        "person": person, "words": await words(runtime, formats), "stage": stage or person.stage, "fault": fault,
        "back": local_path(back or f"/profiles/{person.id}"),
    }  # fmt: skip
    return await page(request, "profiles/stage.html", values, status=422 if fault else 200)
