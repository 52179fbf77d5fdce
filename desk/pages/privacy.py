"""A person's privacy: what is held, a copy of it, the profiling switch, erasure; and the log in the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import Refused, WrongInput
from base.ids import is_id
from base.mongo import Document
from desk.api.privacy import send_dossier
from desk.api.scope import must_see_whole, reading, refuse_scoped, seen_person
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, Formats
from desk.keys import runtime_of
from desk.render import formats_of, page
from profiles.dossier import language_of
from profiles.keys import key_of
from profiles.models import Profile, parse_identity

routes = web.RouteTableDef()
HERE = "/settings/privacy"
#: What rooms are called. Those without a name are counted together.
ROOMS = {
    "profiles": N_("Profiles"), "identities": N_("Identities"), "conversations": N_("Conversations"),
    "messages": N_("Messages"), "files": N_("Files"), "sends": N_("Messages sent"), "orders": N_("Orders"),
    "events": N_("Entries of the timeline"), "consents": N_("Answers about consent"),
    "enrolments": N_("Runs of journeys"), "tasks": N_("Tasks"), "deliveries": N_("Kept webhooks"),
    "merges": N_("Merges"), "dossiers": N_("Exports"), "notes": N_("Notes"),
}  # fmt: skip
REST = N_("Other entries")
#: Room in which colleagues write → what its rows are called, and where one is seen.
PLACES = {
    "segments": (N_("Rule of a segment"), "/segments/{id}"), "tags": (N_("Name of a tag"), "/profiles/tags"),
    "tasks": (N_("Text of a task"), "/today"), "notes": (N_("Note about somebody else"), "/profiles/{id}"),
    "messages": (N_("Note in a conversation"), "/inbox/{id}"),
    "templates": (N_("Text of a template"), "/templates/{id}"),
    "template_revisions": (N_("Earlier wording of a template"), "/templates/{id}"),
    "snippets": (N_("Text of a snippet"), "/templates"), "offers": (N_("Name of an offer"), "/templates"),
    "brand": (N_("Look of letters"), "/settings/brand"),
    "journeys": (N_("Journey"), "/journeys/{id}"),
    "journey_versions": (N_("Published version of a journey"), "/journeys/{id}"),
    "consent_groups": (N_("Kind of consent"), "/settings/consent/{id}"),
    "fields": (N_("Field"), "/settings/fields/{id}"),
    "term_lists": (N_("Name of a stage, role, relation or reason"), "/settings/stages"),
    "value_settings": (N_("Rule of the score or of tiers"), "/settings/score"),
    "blocked_values": (N_("Value that joins nobody"), "/settings/who-is-who"),
    "imports": (N_("Name of an imported file"), "/profiles/imports/{id}"),
    "exports": (N_("Filter of an export"), "/profiles/exports"),
    "business_hours": (N_("Business hours"), "/settings/hours/{id}"),
    "teams": (N_("Teams"), "/settings/teams/{id}"),
    "agent_states": (N_("Presence"), "/settings/presence"),
    "channels": (N_("Name of a channel"), "/settings/channels/{id}"),
}  # fmt: skip
STATES = {
    "erasing": (N_("Under way"), "warn"), "settling": (N_("Looked at once more"), "warn"), "done": (N_("Done"), "good")
}  # fmt: skip
EXPORT_STATES = {
    "wanted": (N_("Being made"), "warn"), "ready": (N_("Ready"), "good"), "failed": (N_("Failed"), "danger"),
    "expired": (N_("Deleted again"), ""), "shown": (N_("Answered at once"), ""),
}  # fmt: skip
SOURCES = {"desk": N_("At the desk"), "api": N_("By the API"), "shop": N_("Asked for by a shop")}
#: By what a request names somebody, the best first.
SUBJECT = ("email", "phone", "customer_id")
REQUESTS = {
    "show": N_("Wants a copy of their data"), "erase": N_("Wants to be erased"),
    "erase_shop": N_("The shop has left: erase what came from it"),
}  # fmt: skip
ANSWERS = {"erased": N_("Erased"), "shown": N_("Exported"), "declined": N_("Declined"), "nobody": N_("Nobody known")}


@dataclass(frozen=True)
class ExportRow:
    """One export of a person."""

    id: str
    label: str
    tone: str
    by: str
    at: datetime
    size: str
    ready: bool
    until: str


@dataclass(frozen=True)
class PlaceRow:
    """Where texts of ours may still name who was erased. `href` is empty where no page shows them."""

    label: str
    href: str


@dataclass(frozen=True)
class LogRow:
    """One line of the erasure log."""

    id: str
    label: str
    tone: str
    by: str
    source: str
    at: datetime
    done_at: datetime | None
    parts: tuple[tuple[str, str], ...]
    total: str
    percent: int
    scrubbed: bool
    waits: bool
    places: tuple[PlaceRow, ...] = ()
    all_read: bool = True


# -- one person ------------------------------------------------------------------------------------------------------


@routes.get("/profiles/{profile_id}/privacy")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """What is held on a person, and what can be done about it."""
    person, _ = await seen_person(reading(request), request.match_info["profile_id"])
    if person.id != request.match_info["profile_id"]:
        raise web.HTTPSeeOther(f"/profiles/{person.id}/privacy")
    return await _person_page(request, person)


async def _person_page(request: web.Request, person: Profile, fault: str = "", status: int = 200) -> web.Response:
    runtime, principal = runtime_of(request), principal_of(request)
    formats = formats_of(request, principal)
    whole = principal.may("admin") and await _sees_whole(request, person.id)
    held = await runtime.privacy.erasures.outlook(person.id) if whole else {}
    rows = await runtime.privacy.dossiers.of_profile(person.id) if whole else []
    names = await runtime.users.names([row["asked_by"] for row in rows])
    values = {
        "person": person, "whole": whole, "admin": principal.may("admin"),
        "parts": parts_of(held, formats), "total": formats.number(sum(held.values())),
        "exports": [_export_row(row, names, formats) for row in rows], "fault": fault,
        "may_switch": principal.may("agent", "marketer"), "word": word_of(person),
        "languages": LANGUAGES, "copy_language": language_of(person.locale),
        "switched": request.query.get("switched", ""),
    }  # fmt: skip
    return await page(request, "profiles/privacy.html", values, status=status)


@routes.post("/profiles/{profile_id}/privacy/profiling")
@require("agent", "marketer")
async def switch(request: web.Request) -> web.StreamResponse:
    """Switch profiling; the page offers the way back."""
    person, _ = await seen_person(reading(request), request.match_info["profile_id"])
    form = await read_form(request)
    on, proof = str(form.get("on", "")) == "1", str(form.get("proof", ""))[:2000] or None
    await runtime_of(request).profiling.switch(person.id, on, source="staff", by=principal_of(request).id, proof=proof)
    runtime_of(request).doorbell.soon("react")
    raise web.HTTPSeeOther(f"/profiles/{person.id}/privacy?switched={'on' if on else 'off'}")


@routes.post("/profiles/{profile_id}/privacy/export")
@require("admin")
async def export(request: web.Request) -> web.StreamResponse:
    """Ask for a file with everything."""
    profile_id = await must_see_whole(reading(request), request.match_info["profile_id"])
    language = str((await read_form(request)).get("language", ""))
    await runtime_of(request).privacy.dossiers.ask(
        profile_id, by=principal_of(request).id, language=language if language in LANGUAGES else None
    )
    raise web.HTTPSeeOther(f"/profiles/{profile_id}/privacy#exports")


@routes.get("/profiles/{profile_id}/privacy/exports/{dossier_id}")
@require("admin")
async def fetch(request: web.Request) -> web.StreamResponse:
    """The file."""
    profile_id = await must_see_whole(reading(request), request.match_info["profile_id"])
    return await send_dossier(request, runtime_of(request), profile_id, request.match_info["dossier_id"])


@routes.post("/profiles/{profile_id}/privacy/erase")
@require("admin")
async def erase(request: web.Request) -> web.StreamResponse:
    """Erase the person: it cannot be undone, so a word has to be typed."""
    profile_id = await must_see_whole(reading(request), request.match_info["profile_id"])
    person, _ = await seen_person(reading(request), profile_id)
    typed = " ".join(str((await read_form(request)).get("word", "")).split())
    if typed != word_of(person):
        return await _person_page(request, person, N_("Type exactly what stands there."), 422)
    row = await runtime_of(request).privacy.erasures.at_once(profile_id, by=principal_of(request).id, source="desk")
    raise web.HTTPSeeOther(f"{HERE}/{row['_id']}")


def word_of(person: Profile) -> str:
    """What has to be typed before somebody is erased."""
    return " ".join(person.display_name.split())


def parts_of(counts: dict[str, int], formats: Formats) -> tuple[tuple[str, str], ...]:
    """(room, how much), rooms that need no name together. Pure but for the words."""
    named = [(formats.text(label), counts[name]) for name, label in ROOMS.items() if counts.get(name)]
    rest = sum(count for name, count in counts.items() if name not in ROOMS)
    if rest:
        named.append((formats.text(REST), rest))
    return tuple((label, formats.number(count)) for label, count in named)


async def _sees_whole(request: web.Request, profile_id: str) -> bool:
    try:
        await must_see_whole(reading(request), profile_id)
    except Refused:
        return False
    return True


def _export_row(row: Document, names: dict[str, str], formats: Formats) -> ExportRow:
    label, tone = EXPORT_STATES[row["state"]]
    size = f"{formats.number(max(1, row['size_bytes'] // 1024))} KB" if row.get("size_bytes") else ""
    until = formats.date(row["expires_at"]) if row["state"] == "ready" else ""
    return ExportRow(
        row["_id"], formats.text(label), tone, names.get(row["asked_by"], ""), row["asked_at"], size,
        row["state"] == "ready", until,
    )  # fmt: skip


# -- settings --------------------------------------------------------------------------------------------------------


@routes.get(HERE)
@require("admin")
async def log(request: web.Request) -> web.StreamResponse:
    """Requests that wait, the log of erasures, and whether somebody was erased."""
    refuse_scoped(reading(request))
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    found = await runtime.privacy.erasures.log(limit=50, cursor=request.query.get("cursor"))
    asked = request.query.get("identity", "").strip()[:300]
    names = await runtime.users.names([row["asked_by"] for row in found.data])
    values = {
        "rows": [_log_row(row, names, formats) for row in found.data], "asked": asked,
        "known": await _known(request, asked) if asked else None, "requests": await _requests(request),
        "unscrubbed": await runtime.privacy.erasures.unscrubbed(), "private": _has_private_database(request),
        "next_href": f"{HERE}?{urlencode({'cursor': found.next_cursor})}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "settings/privacy.html", values)


@routes.get(HERE + "/{erasure_id:ers_[0-9a-z]{26}}")
@require("admin")
async def progress(request: web.Request) -> web.StreamResponse:
    """One erasure: how far it has got."""
    refuse_scoped(reading(request))
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    row = await runtime.privacy.erasures.get(request.match_info["erasure_id"])
    names = await runtime.users.names([row["asked_by"]])
    values = {"row": _log_row(row, names, formats), "private": _has_private_database(request)}
    return await page(request, "settings/erasure.html", values)


@routes.post(HERE + "/requests/{request_id:prq_[0-9a-z]{26}}")
@require("admin")
async def answer(request: web.Request) -> web.StreamResponse:
    """A shop's request was seen to. Erasing and exporting are done on the person's own page."""
    refuse_scoped(reading(request))
    how = str((await read_form(request)).get("how", ""))
    if how in ANSWERS:
        await runtime_of(request).privacy.requests.answer(
            request.match_info["request_id"], principal_of(request).id, how
        )
    raise web.HTTPSeeOther(HERE)


async def _requests(request: web.Request) -> list[dict[str, Any]]:
    runtime, formats = runtime_of(request), formats_of(request, principal_of(request))
    found = await runtime.privacy.requests.open()
    people = await runtime.profiles.many([each for _, ids in found for each in ids])
    return [
        {
            "id": row["_id"], "what": formats.text(REQUESTS[row["kind"]]), "kind": row["kind"],
            "who": next((row["subject"][name] for name in SUBJECT if name in row["subject"]), ""),
            "answer_by": row["answer_by"], "late": row["answer_by"] < formats.now,
            "people": [(people[each].id, people[each].display_name) for each in ids if each in people],
        }
        for row, ids in found
    ]  # fmt: skip


async def _known(request: web.Request, asked: str) -> list[datetime]:
    """When somebody with this address or number was erased."""
    keys = []
    for text in (asked, f"email:{asked}", f"phone:{asked}"):
        try:
            keys.append(key_of(parse_identity(text), runtime_of(request).settings.default_region).key)
        except WrongInput:
            continue
    rows = await runtime_of(request).privacy.erasures.known(keys)
    return [row["asked_at"] for row in rows]


def _has_private_database(request: web.Request) -> bool:
    """Whether `rapport scrub` can write the files anew: the private server's address is on this machine and ours."""
    url = runtime_of(request).settings.mongo_url
    return bool(url) and "replicaSet=rapport" in url.get_secret_value() and "127.0.0.1" in url.get_secret_value()


def _log_row(row: Document, names: dict[str, str], formats: Formats) -> LogRow:
    label, tone = STATES[row["state"]]
    held, gone = sum(row["held"].values()), sum(row["erased"].values())
    percent = 100 if row["state"] != "erasing" else min(99, 100 * gone // max(1, held))
    by = names.get(row["asked_by"], "") if is_id(row["asked_by"], "usr") else ""
    return LogRow(
        row["_id"], formats.text(label), tone, by, formats.text(SOURCES.get(row["source"], str(row["source"]))),
        row["asked_at"], row.get("done_at"), parts_of(row["erased"], formats), formats.number(gone), percent,
        row.get("scrubbed_at") is not None, bool(row.get("waits_for")),
        tuple(_place(each, formats) for each in row.get("places") or ()), row.get("all_read", True),
    )  # fmt: skip


def _place(place: Mapping[str, str], formats: Formats) -> PlaceRow:
    label, where = PLACES.get(place["room"], (REST, ""))
    return PlaceRow(formats.text(label), where.format(id=place["id"]))
