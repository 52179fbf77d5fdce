"""Two profiles side by side before they become one, the queue of pairs that may be one person, and the way back."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.ids import is_id
from desk.api.merges import must_see_all, seen_differences, seen_evidence, seen_pair, seen_pairs
from desk.api.scope import reading, seen_ids, seen_person
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.customer import Way, language_name, revenue_of, ways_of
from desk.pages.faces import Faces
from desk.pages.reads import faces_of
from desk.pages.value_names import ValueNames, value_names
from desk.render import formats_of, page
from profiles.joining import OBJECTIONS, Difference, objections
from profiles.merge import STATES
from profiles.models import Identity, Profile
from profiles.postal import lines_of
from profiles.store.profiles import ProfileFilter
from profiles.suggestions import Suggestion

routes = web.RouteTableDef()
PAIRS, FOUND = 25, 12
MERGE_ID = re.compile(r"mrg_[0-9a-z]{26}")

LABELS = {
    "name": N_("Name"), "avatar_url": N_("Picture"), "locale": N_("Language"), "time_zone": N_("Time zone"),
    "location": N_("Place"), "address": N_("Address"), "owner_id": N_("Owner"), "stage": N_("Stage"),
    "tier": N_("Tier"), "score": N_("Score"), "emails": N_("E-mail addresses"), "phones": N_("Phone numbers"),
    "handles": N_("Public names"), "tags": N_("Tags"), "roles": N_("Roles"),
}  # fmt: skip
MOVES = {
    "identities": (N_("Identities"), "identification"),
    "conversations": (N_("Conversations"), "chat-bubble-left-right"),
    "messages": (N_("Messages"), "chat-bubble-bottom-center-text"), "sends": (N_("Messages sent"), "paper-airplane"),
    "orders": (N_("Orders"), "shopping-bag"), "enrolments": (N_("Runs of journeys"), "map"),
    "planned_entries": (N_("Journeys that are to begin"), "calendar"),
    "tasks": (N_("Tasks"), "clipboard"), "notes": (N_("Notes"), "pencil"), "files": (N_("Files"), "paper-clip"),
    "consents": (N_("Answers about consent"), "hand-thumb-up"),
    "events": (N_("Entries of the timeline"), "clock"),
    "stage_log": (N_("Moves between stages"), "view-columns"), "relations": (N_("Relations"), "users"),
    "import_rows": (N_("Rows of imports"), "arrow-up-tray"),
}  # fmt: skip
REASONS = {
    "other_profile": N_("both gave %(value)s"),
    "unverified": N_("%(value)s belongs to one and was said by the other"),
    "proved_elsewhere": N_("%(value)s was said by one and proved by the other"),
    "limit": N_("together they have too many identities"),
    "same_browser": N_("one browser did what both did"),
}


#: The same reasons → why nobody but a person joins them.
APART = {
    "other_profile": N_(
        "Both were known already when the same value came; people who are known are never joined unasked."
    ),
    "unverified": N_("Nobody has proved that the value is theirs."),
    "proved_elsewhere": N_("One has proved the value, the other has only said it."),
    "limit": N_("Together they have too many identities."),
    "same_browser": N_("A browser may be used by several people."),
}


@dataclass(frozen=True)
class Side:
    """One of the two."""

    id: str
    name: str
    avatar_url: str | None
    ways: tuple[Way, ...]
    orders: str
    revenue: str
    since: datetime


@dataclass(frozen=True)
class Choice:
    """One field in which they differ. `free`: it is chosen; else both are kept, or there is only one value."""

    field: str
    label: str
    this: str
    other: str
    stays: str
    free: bool


@dataclass(frozen=True)
class PairRow:
    """Two that may be one person: what speaks for it, and why they were not joined by themselves."""

    id: str
    one: Side
    other: Side
    why: tuple[str, ...]
    apart: tuple[str, ...]


@dataclass(frozen=True)
class MergeRow:
    """A merge that this person was part of."""

    id: str
    sentence: str
    at: datetime
    state: str
    undoable: bool


def side_of(profile: Profile, identities: Sequence[Identity], faces: Faces, formats: Formats) -> Side:
    """What tells one person from another."""
    orders = formats.number(profile.orders.count) if profile.orders.count else ""
    return Side(
        profile.id, profile.display_name, None, ways_of(identities, faces, formats)[:8], orders,
        revenue_of(profile, formats), profile.created_at,
    )  # fmt: skip


def choices_of(
    differences: Sequence[Difference], owners: Mapping[str, str], terms: ValueNames, formats: Formats
) -> list[Choice]:  # fmt: skip
    """The fields to choose first, then what goes together by itself."""
    rows = []
    for each in differences:
        this, other = (value_words(each.field, value, owners, terms, formats) for value in (each.this, each.other))
        rows.append(Choice(each.field, label_of(each.field, terms, formats), this, other, each.stays, each.free))
    return sorted(rows, key=lambda row: not row.free)


def label_of(path: str, terms: ValueNames, formats: Formats) -> str:
    """A field as people call it."""
    head, _, key = path.partition(".")
    return terms.label(key) if head == "attributes" else formats.text(LABELS.get(path, path))


def value_words(path: str, value: Any, owners: Mapping[str, str], terms: ValueNames, formats: Formats) -> str:
    """A value as people read it; empty is a dash."""
    if value in (None, "", [], {}):
        return "–"
    name = path.removeprefix("attributes.")
    if isinstance(value, list):
        plain = (str(each["value"] if isinstance(each, Mapping) and "value" in each else each) for each in value)
        return ", ".join(terms.value(name, each) for each in plain)
    if isinstance(value, bool):
        return formats.text(N_("yes") if value else N_("no"))
    if path == "owner_id":
        return owners.get(value, value)
    if path == "locale":
        return language_name(value, formats)
    if path == "location" and isinstance(value, Mapping):
        return ", ".join(f"{each:.4f}" for each in reversed(value["coordinates"]))
    if path == "address" and isinstance(value, Mapping):
        return ", ".join(lines_of(value))
    return formats.moment(value) if isinstance(value, datetime) else terms.value(name, str(value))[:200]


def moves_of(moves: Mapping[str, int], formats: Formats) -> list[tuple[str, str, str]]:
    """(icon, what, how many)."""
    known = ((*MOVES.get(name, (name, "square-3-stack-3d")), count) for name, count in moves.items())
    return [(symbol, formats.text(label), formats.number(count)) for label, symbol, count in known]


def why_of(pair: Suggestion, evidence: Sequence[Any], formats: Formats) -> tuple[str, ...]:
    """What speaks for their being one."""
    return tuple(formats.text(REASONS.get(each.reason, each.reason), value=each.value) for each in evidence[:4])


def apart_of(
    pair: Suggestion, evidence: Sequence[Any], held: Mapping[str, Sequence[Identity]], blocked: Collection[str],
    formats: Formats,
) -> tuple[str, ...]:  # fmt: skip
    """Why the two did not join by themselves. Pure; `held`: identities by profile, as far as the reader sees them."""
    found = [formats.text(N_("They were one person until somebody parted them."))] if pair.parted else []
    found += [formats.text(OBJECTIONS[code]) for code in objections(held[pair.one.id], held[pair.other.id], 0)]
    silent = [each for each in evidence if each.key in blocked]
    found += [
        formats.text(N_("%(value)s joins nobody: it is listed under Who is who."), value=each.value)
        for each in silent[:2]
    ]
    reasons = dict.fromkeys(each.reason for each in evidence if each not in silent)
    if not found:
        found = [formats.text(APART[reason]) for reason in reasons if reason in APART]
    return tuple(found)


# -- the queue -----------------------------------------------------------------------------------------------------


@routes.get("/profiles/duplicates")
@require("viewer")
async def duplicates(request: web.Request) -> web.StreamResponse:
    """Pairs that wait for an answer, newest first."""
    runtime = runtime_of(request)
    try:
        found = await runtime.suggestions.page(limit=PAIRS, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther("/profiles/duplicates") from None
    values = {
        "pairs": await pair_rows(request, await seen_pairs(reading(request), found.data)),
        "next_href": f"/profiles/duplicates?{urlencode({'cursor': found.next_cursor})}" if found.next_cursor else "",
        "merged": await merged_notice(request),
        "dismissed": await _dismissed(request),
        "undone": "undone" in request.query,
    }
    return await page(request, "profiles/duplicates.html", values)


async def pair_rows(request: web.Request, pairs: Sequence[Suggestion]) -> list[PairRow]:
    """As rows of a list."""
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    ids = sorted({each.id for pair in pairs for each in (pair.one, pair.other)})
    held = await runtime.profiles.identity_rows.of_profiles(ids)
    faces, asking = await faces_of(runtime), reading(request)
    blocked = await runtime.blocking.keys()
    seen = {key: [each for each in own if asking.principal.may_see(each.channel_id)] for key, own in held.items()}
    return [
        PairRow(
            pair.id, side_of(pair.one, seen[pair.one.id], faces, formats),
            side_of(pair.other, seen[pair.other.id], faces, formats),
            why_of(pair, seen_evidence(asking, pair), formats),
            apart_of(pair, seen_evidence(asking, pair), seen, blocked, formats),
        )
        for pair in pairs
    ]  # fmt: skip


@routes.post("/profiles/duplicates/{suggestion_id}/{answer:dismiss|reopen}")
@require("agent", "marketer")
async def answer(request: web.Request) -> web.StreamResponse:
    """They are not the same person; or that was said too soon."""
    suggestion_id, what = request.match_info["suggestion_id"], request.match_info["answer"]
    if not is_id(suggestion_id, "sug"):
        raise NotFound("There is no such pair.")
    await seen_pair(reading(request), suggestion_id)
    suggestions, by = runtime_of(request).suggestions, principal_of(request).id
    await (suggestions.dismiss if what == "dismiss" else suggestions.reopen)(suggestion_id, by)
    raise web.HTTPSeeOther(f"/profiles/duplicates?dismissed={suggestion_id}" if what == "dismiss" else _QUEUE)


_QUEUE = "/profiles/duplicates"


async def _dismissed(request: web.Request) -> Suggestion | None:
    """The pair somebody has just answered, so that it can be taken back."""
    suggestion_id = request.query.get("dismissed", "")
    if not is_id(suggestion_id, "sug"):
        return None
    try:
        pair = await seen_pair(reading(request), suggestion_id)
    except NotFound:
        return None
    return pair if pair.state == "dismissed" else None


# -- side by side --------------------------------------------------------------------------------------------------


@routes.get("/profiles/{profile_id}/merge")
@require("agent", "marketer")
async def compare(request: web.Request) -> web.StreamResponse:
    """Both side by side with what would stay and move; without another one, a search for it."""
    runtime, asking = runtime_of(request), reading(request)
    formats = formats_of(request, principal_of(request))
    this, identities = await seen_person(asking, request.match_info["profile_id"])
    faces = await faces_of(runtime)
    values: dict[str, Any] = {"this": side_of(this, identities, faces, formats), "other": None, "q": "", "found": []}
    other_id = request.query.get("other", "")
    if not is_id(other_id, "prf"):
        values["q"] = request.query.get("q", "").strip()[:200]
        values["found"] = await _found(request, values["q"], this.id)
        return await page(request, "profiles/merge.html", values)
    other, others = await seen_person(asking, other_id)
    if other.id == this.id:
        raise web.HTTPSeeOther(f"/profiles/{this.id}")
    for each in (this.id, other.id):
        await must_see_all(asking, each)
    outlook = await runtime.merger.outlook(this.id, other.id)
    owners = await runtime.users.names([each.owner_id for each in (this, other) if each.owner_id])
    differences = seen_differences(outlook.differences, principal_of(request).masks)
    choices = choices_of(differences, owners, await value_names(runtime, formats), formats)
    values |= {
        "other": side_of(other, others, faces, formats), "moves": moves_of(outlook.moves, formats),
        "choices": [each for each in choices if each.free], "together": [each for each in choices if not each.free],
        "against": [formats.text(OBJECTIONS[code]) for code in outlook.objections],
    }  # fmt: skip
    return await page(request, "profiles/merge.html", values)


async def _found(request: web.Request, q: str, own_id: str) -> list[Side]:
    """Who the other one may be."""
    if not q:
        return []
    runtime, asking = runtime_of(request), reading(request)
    formats, faces = formats_of(request, principal_of(request)), await faces_of(runtime)
    found = await runtime.profiles.page(ProfileFilter(q=q), sort="last_seen", limit=FOUND)
    people = {each.id: each for each in found.data if each.id != own_id}
    seen = await seen_ids(asking, set(people))
    held = await runtime.profiles.identity_rows.of_profiles(sorted(seen))
    return [
        side_of(each, [one for one in held[key] if asking.principal.may_see(one.channel_id)], faces, formats)
        for key, each in people.items()
        if key in seen
    ]


@routes.post("/profiles/{profile_id}/merge")
@require("agent", "marketer")
async def merge(request: web.Request) -> web.StreamResponse:
    """Make them one. What is not chosen goes by its source."""
    form, runtime = await read_form(request), runtime_of(request)
    this, other = request.match_info["profile_id"], str(form.get("other", ""))
    if not is_id(other, "prf"):
        raise WrongInput("It is not said who the other one is.")
    for each in (this, other):
        await must_see_all(reading(request), each)
    chosen = {name.removeprefix("stays."): str(value) for name, value in form.items() if name.startswith("stays.")}
    if any(side not in ("this", "other") for side in chosen.values()):
        raise WrongInput("Some of these fields cannot be chosen.")
    try:
        done = await runtime.merger.merge(this, other, by=principal_of(request).id, choices=chosen)
    except Conflict as error:
        if error.code not in OBJECTIONS:
            raise
        raise web.HTTPSeeOther(f"/profiles/{this}/merge?other={other}") from None
    runtime.doorbell.soon("react")
    where = _QUEUE if form.get("back") == "duplicates" else f"/profiles/{done.survivor_id}"
    raise web.HTTPSeeOther(f"{where}?merged={done.merge_id}" if done.merge_id else where)


@routes.post("/profiles/merges/{merge_id}/undo")
@require("agent", "marketer")
async def undo(request: web.Request) -> web.StreamResponse:
    """Take it back."""
    form, runtime, merge_id = await read_form(request), runtime_of(request), request.match_info["merge_id"]
    row = await runtime.merger.get(merge_id) if MERGE_ID.fullmatch(merge_id) else None
    if row is None:
        raise NotFound("There is no such merge.")
    for each in (row["survivor_id"], row["other_id"]):
        await must_see_all(reading(request), each)
    undone = await runtime.merger.unmerge(merge_id, by=principal_of(request).id)
    runtime.doorbell.soon("react")
    if form.get("back") == "duplicates" and not undone.kept:
        raise web.HTTPSeeOther(f"{_QUEUE}?undone=1")
    raise web.HTTPSeeOther(f"/profiles/{row['survivor_id']}?undone={merge_id}")


# -- on other pages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergedNotice:
    """Somebody has just merged two people."""

    id: str
    survivor_id: str
    name: str
    other: str


async def merged_notice(request: web.Request) -> MergedNotice | None:
    """What the address of a page says was just merged, as long as it can be taken back."""
    runtime, merge_id = runtime_of(request), request.query.get("merged", "")
    row = await runtime.merger.get(merge_id) if MERGE_ID.fullmatch(merge_id) else None
    if row is None or STATES[row["state"]] not in ("moving", "done"):
        return None
    try:
        person, _ = await seen_person(reading(request), row["survivor_id"])
    except NotFound:
        return None
    return MergedNotice(merge_id, row["survivor_id"], person.display_name, called(row["before"]["other"]))


async def merge_rows(request: web.Request, profile_id: str) -> list[MergeRow]:
    """The merges a person was part of, latest first; only for who sees all of the person."""
    asking, formats = reading(request), formats_of(request, principal_of(request))
    if asking.principal.channels is not None:
        return []
    rows = await runtime_of(request).merger.of_profile(profile_id)
    return [
        MergeRow(
            row["_id"],
            formats.text(N_("%(other)s was merged into %(name)s"), other=called(row["before"]["other"]),
                         name=called(row["before"]["survivor"])),
            row["at"], STATES[row["state"]], row["undoable"],
        )
        for row in rows
    ]  # fmt: skip


def called(row: Mapping[str, Any]) -> str:
    """The name of somebody as they were before a merge."""
    return Profile.model_validate(row).display_name
