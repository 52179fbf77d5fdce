"""What was edited between a merge and its undoing: it stays as it is, and whoever parted the two is asked about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from base.errors import NotFound, Refused
from desk.api.merges import must_see_all
from desk.api.scope import reading
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.keys import runtime_of
from desk.pages.merging import MERGE_ID, label_of, value_words
from desk.pages.value_names import value_names
from desk.render import formats_of
from profiles.edit import ProfileFields, patch_from_paths
from profiles.merge import Undone
from profiles.models import Profile, is_safe_key

routes = web.RouteTableDef()


@dataclass(frozen=True)
class Edited:
    """A field that was edited since: as it is, and as it was before the merge."""

    field: str
    label: str
    now: str
    before: str


@dataclass(frozen=True)
class PartedNotice:
    """Somebody has just taken a merge back."""

    id: str
    edited: tuple[Edited, ...]


async def parted_notice(request: web.Request, person: Profile) -> PartedNotice | None:
    """What the address of a page says was just parted from this person."""
    try:
        undone = await _undone(request, request.query.get("undone", ""))
    except (NotFound, Refused):
        return None
    if undone.survivor_id != person.id:
        return None
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    row, terms = person.model_dump(), await value_names(runtime, formats)
    values = {path: (_value(row, path), before) for path, before in undone.kept.items()}
    owners = await runtime.users.names([each for each in values.get("owner_id", ()) if each])
    words = [
        Edited(
            path, label_of(path, terms, formats), *(value_words(path, each, owners, terms, formats) for each in pair)
        )
        for path, pair in values.items()
    ]
    return PartedNotice(undone.merge_id, tuple(each for each in words if each.now != each.before))


@routes.post("/profiles/merges/{merge_id}/kept")
@require("agent", "marketer")
async def put_back(request: web.Request) -> web.StreamResponse:
    """These fields are again what they were before the merge."""
    form, runtime, by = await read_form(request), runtime_of(request), principal_of(request).id
    undone = await _undone(request, request.match_info["merge_id"])
    chosen = {path: before for path, before in undone.kept.items() if path in form.getall("field", [])}
    if chosen:
        patch = patch_from_paths({path: _as_given(path, before) for path, before in chosen.items()})
        # It was so before: no reason is asked for, and what is no value any more stays away.
        await runtime.editor.patch(undone.survivor_id, patch, by=by, strict=False)
        runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(f"/profiles/{undone.survivor_id}?undone={undone.merge_id}")


async def _undone(request: web.Request, merge_id: str) -> Undone:
    """A merge that was taken back, for who sees all of both. Raises `NotFound`, `Refused`."""
    undone: Undone | None = await runtime_of(request).merger.undone(merge_id) if MERGE_ID.fullmatch(merge_id) else None
    if undone is None:
        raise NotFound("There is no such merge.")
    for each in (undone.survivor_id, undone.other_id):
        await must_see_all(reading(request), each)
    masks = principal_of(request).masks
    return replace(undone, kept={path: value for path, value in undone.kept.items() if _is_asked(path, masks)})


def _is_asked(path: str, masks: Collection[str]) -> bool:
    """Whether a field may be set by hand, by somebody who sees what it holds."""
    head, _, key = path.partition(".")
    if head == "attributes":
        return is_safe_key(key)
    return path in ProfileFields.model_fields and not (path == "address" and "addresses" in masks)


def _value(row: Mapping[str, Any], path: str) -> Any:
    head, _, key = path.partition(".")
    return (row.get("attributes") or {}).get(key) if head == "attributes" else row.get(path)


def _as_given(path: str, value: Any) -> Any:
    """As people give it: a place in degrees."""
    if path == "location" and isinstance(value, Mapping):
        longitude, latitude = value["coordinates"]
        return {"longitude": longitude, "latitude": latitude}
    return value
