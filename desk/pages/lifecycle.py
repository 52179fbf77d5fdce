"""On the page of a person: stage and owner, roles, fields, relations, and what their social accounts tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import FieldError, NotFound, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.scope import must_see_person, reading, seen_ids, seen_person
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.customer import Way, field_text, way_of
from desk.pages.moments import read_date
from desk.pages.panels import Opened
from desk.pages.terms import RULES, Words, words
from desk.render import formats_of, page
from profiles.custom_fields import CustomField, coerced_value
from profiles.edit import ProfilePatch
from profiles.models import SHUT_OUT, Identity
from profiles.store.profiles import ProfileFilter

routes = web.RouteTableDef()
MOVES, FOUND = 6, 8


# -- stage and owner -----------------------------------------------------------------------------------------------


async def stage_panel(opened: Opened) -> Any:
    """Where the person stands, since when, how they came there; who looks after them."""
    person, runtime, formats = opened.person, opened.runtime, opened.formats
    said = await words(runtime, formats)
    moves = (await runtime.stage_log.of_profile(person.id, limit=MOVES)).data
    people = await runtime.users.users()
    names = {each.id: each.name for each in people}
    return {
        "stage": said.stage(person.stage), "key": person.stage, "since": person.stage_since, "words": said,
        "owner": names.get(person.owner_id or "", ""), "owner_id": person.owner_id or "", "me": opened.principal.id,
        "people": sorted(names.items(), key=lambda each: each[1].casefold()), "may": _may(opened),
        "moves": [
            {
                "to": said.stage(row["to"]), "from": said.stage(row["from"]), "at": row["at"],
                "spent": formats.span(row["spent_s"], parts=2), "reason": _reason(row, said, formats),
                "by": names.get(str(row.get("by")), "") or _by(str(row.get("by") or ""), formats),
            }
            for row in moves
        ],
    }  # fmt: skip


def _reason(row: Document, said: Words, formats: Formats) -> str:
    if row.get("merge_id"):
        return formats.text(N_("two profiles were merged or parted"))
    return said.reason(row.get("reason"))


def _by(by: str, formats: Formats) -> str:
    if by.startswith("journey:"):
        return formats.text(N_("by a journey"))
    return formats.text(RULES[by]) if by in RULES else ""


def _may(opened: Opened) -> bool:
    return opened.principal.may("agent", "marketer")


@routes.post("/profiles/{profile_id}/owner")
@require("agent", "marketer")
async def own(request: web.Request) -> web.StreamResponse:
    """Give the person to a colleague, or to nobody."""
    runtime, form = runtime_of(request), await read_form(request)
    profile_id = await must_see_person(reading(request), request.match_info["profile_id"])
    owner = str(form.get("owner", ""))
    if owner and (not is_id(owner, "usr") or await runtime.users.user(owner) is None):
        raise WrongInput("There is no such colleague.", [FieldError("owner", "is nobody's id")])
    return await _patched(request, profile_id, ProfilePatch(owner_id=owner or None))


# -- roles ---------------------------------------------------------------------------------------------------------


async def roles_panel(opened: Opened) -> Any:
    """What the person is to us; nothing for who may only look where it is not said."""
    said = await words(opened.runtime, opened.formats)
    held = opened.person.roles
    known = [each.key for each in said.agreed.roles]
    listed = [(key, said.role(key), key in held) for key in [*known, *(key for key in held if key not in known)]]
    if not _may(opened) and not held:
        return None
    return {"roles": listed, "held": [said.role(key) for key in held], "may": _may(opened)}


@routes.post("/profiles/{profile_id}/roles")
@require("agent", "marketer")
async def play(request: web.Request) -> web.StreamResponse:
    """Put the roles that are ticked. Those that are in the list no more stay or go, but are not given."""
    runtime, form = runtime_of(request), await read_form(request)
    person, _ = await seen_person(reading(request), request.match_info["profile_id"])
    known = [each.key for each in (await runtime.terms.now()).roles]
    ticked = {name.removeprefix("role:") for name in form if name.startswith("role:")}
    gone = [key for key in person.roles if key not in ticked]
    patch = ProfilePatch(add_roles=[key for key in known if key in ticked], remove_roles=gone)
    return await _patched(request, person.id, patch)


# -- fields --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldRow:
    """A defined field and what stands there. `raw`: as the form writes it."""

    field: CustomField
    label: str
    text: str
    raw: Any
    options: tuple[tuple[str, str], ...]


def field_row(field: CustomField, value: Any, formats: Formats) -> FieldRow:
    """One field of the form. Pure."""
    raw = value
    if field.type == "date":
        raw = value.date().isoformat() if isinstance(value, datetime) else ("" if value is None else str(value)[:10])
    elif field.type == "choices":
        raw = value if isinstance(value, list) else []
    elif value is None or isinstance(value, dict | list):
        raw = ""
    elif field.type in ("url", "file"):
        raw = str(value)  # written before it was defined, it may be anything
    options = tuple((each.value, field.option_said(each.value, formats.language)) for each in field.options)
    text = "" if value in (None, "", []) else field_text(field, value, formats)
    return FieldRow(field, field.said(formats.language), text, raw, options)


async def fields_panel(opened: Opened) -> Any:
    """The defined fields; nothing where none is shown here, or none is filled in and the reader may only look."""
    fields = [each for each in (await opened.runtime.terms.now()).fields if "profile" in each.shown]
    if not fields:
        return None
    rows = [field_row(each, opened.person.attributes.get(each.key), opened.formats) for each in fields]
    if not _may(opened) and not any(row.text for row in rows):
        return None
    return {"rows": rows, "may": _may(opened), "faults": {}}


@routes.post("/profiles/{profile_id}/fields")
@require("agent", "marketer")
async def fill_in(request: web.Request) -> web.StreamResponse:
    """Save the form of fields. What does not fit, or is missing, is said beside it, and nothing is saved."""
    runtime, form = runtime_of(request), await read_form(request)
    formats = formats_of(request, principal_of(request))
    person, _ = await seen_person(reading(request), request.match_info["profile_id"])
    fields = [each for each in (await runtime.terms.now()).fields if "profile" in each.shown]
    given, faults = typed(fields, form, formats)
    if not faults:
        return await _patched(request, person.id, ProfilePatch(attributes=given))
    rows = [field_row(each, given.get(each.key), formats) for each in fields]
    panel = {"rows": rows, "may": True, "faults": {key: formats.text(text) for key, text in faults.items()}}
    return await page(request, "profiles/fields.html", {"person": person, "panel": panel}, status=422)


def typed(fields: list[CustomField], form: Any, formats: Formats) -> tuple[dict[str, Any], dict[str, str]]:
    """Attributes as the form gives them, and key → fault. Pure; what has a fault stays as it was written."""
    given: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for field in fields:
        name = f"field:{field.key}"
        said: Any = str(form.get(name, "")).replace("\r\n", "\n").strip()
        if field.type == "choices":
            said = [str(each) for each in form.getall(name, ())]
        try:
            if field.type == "date" and said:
                said = read_date(said, formats).isoformat()
            given[field.key] = coerced_value(field, said) if said not in ("", []) else None
        except ValueError:
            given[field.key] = said
            faults[field.key] = _FAULTS.get(field.type, N_("Please check this."))
        if field.required and given[field.key] is None:
            faults[field.key] = N_("This field is required.")
    return given, faults


_FAULTS = {
    "number": N_("This is to be a number."), "date": N_("This is to be a date, such as 2026-12-01 or 1 Dec 2026."),
    "rating": N_("This is to be a whole number from 1 to 5."), "text": N_("This is too long."),
    "long_text": N_("This is too long."), "choice": N_("Choose one of the list."),
    "choices": N_("Choose from the list."), "url": N_("This is to be an address that begins with https://"),
    "file": N_("This is to be an address that begins with https://"),
}  # fmt: skip


# -- relations -----------------------------------------------------------------------------------------------------


async def relations_panel(opened: Opened) -> Any:
    """What the person is to others, and a search for whom to add; nothing where both are empty."""
    runtime, query = opened.runtime, opened.request.query
    said = await words(runtime, opened.formats)
    found = await runtime.relations.of_profile(opened.person.id)
    seen = await seen_ids(opened.reader, {each.other_id for each in found})
    rows = [
        {"id": each.id, "label": said.relation(each.kind, each.way), "other_id": each.other_id,
         "name": each.other_name, "note": each.note or ""}
        for each in found
        if each.other_id in seen
    ]  # fmt: skip
    q, removed = query.get("relate", "").strip()[:100], query.get("unrelated", "")
    people: list[tuple[str, str]] = []
    if q and _may(opened):
        page_of = await runtime.profiles.page(ProfileFilter(q=q), limit=FOUND + 1)
        may_see = await seen_ids(opened.reader, {each.id for each in page_of.data})
        people = [(each.id, each.display_name) for each in page_of.data
                  if each.id in may_see and each.id != opened.person.id][:FOUND]  # fmt: skip
    if not rows and not _may(opened):
        return None
    return {
        "rows": rows, "kinds": said.relations, "q": q, "people": people, "may": _may(opened),
        "removed": removed if is_id(removed, "rel") and _may(opened) else "",
    }  # fmt: skip


@routes.post("/profiles/{profile_id}/relations")
@require("agent", "marketer")
async def relate(request: web.Request) -> web.StreamResponse:
    """Say what the person is to another."""
    runtime, form = runtime_of(request), await read_form(request)
    profile_id = await must_see_person(reading(request), request.match_info["profile_id"])
    other_id = await must_see_person(reading(request), str(form.get("other_id", "")))
    kind, _, way = str(form.get("kind", "")).rpartition(":")
    if way not in ("forth", "back"):
        raise WrongInput("There is no such kind of relation.")
    await runtime.relations.add(
        profile_id, kind, other_id, way=way, note=str(form.get("note", ""))[:300] or None, by=principal_of(request).id
    )
    raise web.HTTPSeeOther(f"/profiles/{profile_id}")


@routes.post("/profiles/{profile_id}/relations/{relation_id}/{what:remove|restore}")
@require("agent", "marketer")
async def unrelate(request: web.Request) -> web.StreamResponse:
    """Take a relation away, or put it back."""
    runtime, relation_id = runtime_of(request), request.match_info["relation_id"]
    profile_id = await must_see_person(reading(request), request.match_info["profile_id"])
    if not is_id(relation_id, "rel"):
        raise NotFound("There is no such relation.")
    gone = request.match_info["what"] == "remove"
    act = runtime.relations.remove if gone else runtime.relations.restore
    await act(profile_id, relation_id, by=principal_of(request).id)
    raise web.HTTPSeeOther(f"/profiles/{profile_id}" + (f"?unrelated={relation_id}" if gone else ""))


# -- social accounts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """One social account. `state`: whether it follows us, and since when it is so."""

    way: Way
    name: str
    state: str
    tone: str
    at: datetime | None


@dataclass(frozen=True)
class Touch:
    """Where the person came from."""

    label: str
    text: str
    at: datetime | None


async def social_panel(opened: Opened) -> Any:
    """Accounts on channels with their names and whether they follow us; first and last touch; referrals."""
    on_channels = [each for each in opened.identities if each.channel_id is not None]
    events = await opened.runtime.events.find(opened.person.id, ["contact.left", "contact.returned"], limit=50)
    latest: dict[str, Any] = {}
    for event in events:
        latest.setdefault(str(event.identity_id), event)
    accounts = [_account(each, latest.get(each.id), opened) for each in on_channels]
    touches = [
        _touch(label, touch, opened)
        for label, touch in (
            (N_("First touch"), opened.person.first_touch),
            (N_("Last touch"), opened.person.last_touch),
        )
        if touch
    ]
    return {"accounts": accounts, "touches": touches} if accounts or touches else None


def _account(identity: Identity, event: Any, opened: Opened) -> Account:
    way = way_of(identity, opened.faces, opened.formats)
    name = identity.display_name or ""
    state, tone = N_("in contact"), "good"
    at: datetime | None = identity.first_seen_at
    if identity.suppressed is not None and identity.suppressed.reason == SHUT_OUT:
        state, tone, at = N_("shut out"), "danger", identity.suppressed.at
    elif identity.suppressed is not None:
        state, tone, at = N_("unreachable"), "danger", identity.suppressed.at
    elif identity.left_at is not None or not identity.reachable:
        state, tone, at = N_("left"), "warn", identity.left_at
    elif event is not None and event.name == "contact.returned":
        state, at = N_("came back"), event.occurred_at
    return Account(way, "" if name == way.label else name, opened.formats.text(state), tone, at)


def _touch(label: str, touch: Mapping[str, Any], opened: Opened) -> Touch:
    parts = [str(touch[key]) for key in ("headline", "campaign", "source", "medium", "ref") if touch.get(key)]
    channel = opened.faces.cards.get(str(touch.get("channel")))
    where = opened.formats.text(channel.label) if channel else str(touch.get("channel") or "")
    at = touch.get("at")
    text = " · ".join(dict.fromkeys(each for each in (*parts, where) if each))
    return Touch(opened.formats.text(label), text, at if isinstance(at, datetime) else None)


async def _patched(request: web.Request, profile_id: str, patch: ProfilePatch) -> web.StreamResponse:
    runtime = runtime_of(request)
    await runtime.editor.patch(profile_id, patch, source="person", by=principal_of(request).id)
    runtime.doorbell.soon("react")
    raise web.HTTPSeeOther(f"/profiles/{profile_id}")
