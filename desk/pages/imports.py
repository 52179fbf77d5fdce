"""Import: bring a list, say what its columns are, see what would change, watch it run, take it back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from phonenumbers import SUPPORTED_REGIONS
from pydantic import ValidationError

from base.errors import Conflict, TooLarge, WrongInput
from base.mongo import Document
from desk.api.imports import differences
from desk.api.scope import reading, refuse_scoped
from desk.api.uploads import receive
from desk.auth import check_token, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.terms import words
from desk.refused_rows import refused_answer, sentence_of
from desk.render import formats_of, page
from profiles.imports.book import WORKING, Look, undoable
from profiles.imports.mapping import ImportMapping, consent_in
from profiles.imports.regions import names_country
from profiles.postal import country_names
from profiles.sheets.table import FILE_MAX_BYTES

routes = web.RouteTableDef()
HERE = "/profiles/imports"
SHOWN, SAMPLES = 4, 3
#: A list to begin with.
TEMPLATE = (
    "customer_id,name,email,phone,tags,stage,owner,locale,time_zone,city,birthday\r\n"
    'C-1001,Anna Visser,anna@example.org,+31612345678,"tea, newsletter",new,,nl,Europe/Amsterdam,Leiden,1987-04-12\r\n'
)

STATES: Mapping[str, tuple[str, str]] = {
    "reading": (N_("Being read"), "accent"), "mapping": (N_("Waiting for its columns"), "warn"),
    "previewing": (N_("Being looked through"), "accent"), "ready": (N_("Ready to run"), "warn"),
    "running": (N_("Running"), "accent"), "done": (N_("Done"), "good"), "undoing": (N_("Being taken back"), "accent"),
    "undone": (N_("Taken back"), ""), "cancelled": (N_("Stopped"), ""), "failed": (N_("Failed"), "danger"),
}  # fmt: skip
#: Outcome → what would become of a row, what became of it.
OUTCOMES: Mapping[str, tuple[str, str]] = {
    "created": (N_("New people"), N_("Created")), "updated": (N_("People that change"), N_("Changed")),
    "unchanged": (N_("Nothing new"), N_("Nothing new")),
    "repeated": (N_("Further rows of new people"), N_("Further rows of new people")),
    "skipped": (N_("Known, left alone"), N_("Known, left alone")),
    "conflict": (N_("Conflicts"), N_("Conflicts")), "fault": (N_("Cannot be taken"), N_("Not taken")),
    "erased": (N_("Left out: erased since"), N_("Left out: erased since")),
}  # fmt: skip
UNDONE: Mapping[str, str] = {
    "erased": N_("People removed"), "restored": N_("People restored"),
    "partly": N_("People restored in part: somebody has changed them since"),
    "kept": N_("New people kept: they have been active or were changed since"),
}  # fmt: skip
FIELDS: Mapping[str, str] = {
    "ignore": N_("Leave out"), "customer_id": N_("Customer id"), "email": N_("E-mail"), "phone": N_("Phone"),
    "profile_id": N_("Profile id of Rapport"), "name": N_("Name"), "first_name": N_("First name"),
    "last_name": N_("Last name"), "tags": N_("Tags"), "stage": N_("Stage"), "tier": N_("Tier"), "owner": N_("Owner"),
    "locale": N_("Language"), "time_zone": N_("Time zone"), "location": N_("Latitude and longitude"),
    "latitude": N_("Latitude"), "longitude": N_("Longitude"), "address": N_("Address"),
    "address.street": N_("Street"), "address.street2": N_("Street, second line"), "address.district": N_("District"),
    "address.postal_code": N_("Postcode"), "address.city": N_("Town"), "address.region": N_("State or province"),
    "address.country": N_("Country"), "identities": N_("Addresses"), "owner_id": N_("Owner"),
}  # fmt: skip
WHO = ("customer_id", "email", "phone", "profile_id")
ABOUT = ("name", "first_name", "last_name", "tags", "stage", "tier", "owner", "locale", "time_zone", "location",
         "latitude", "longitude")  # fmt: skip
POST = ("address.street", "address.street2", "address.district", "address.postal_code", "address.city",
        "address.region", "address.country")  # fmt: skip
#: Why a country was guessed for numbers that name none.
WHY: Mapping[str, str] = {
    "headings": N_("by the language of the headings"), "rows": N_("by the writing in the rows"),
    "default": N_("as this installation is set"),
}  # fmt: skip
TYPES: Mapping[str, str] = {
    "text": N_("Text"), "number": N_("Number"), "boolean": N_("Yes or no"), "date": N_("Date"),
}  # fmt: skip
EXISTING: Mapping[str, str] = {
    "fill": N_("Fill in what is empty"), "overwrite": N_("Overwrite what is there"),
    "skip": N_("Leave people alone whom we know"),
}  # fmt: skip


@dataclass(frozen=True)
class ColumnRow:
    """One column of the file in the form. `to`: what is chosen; `key`, `type`: of an attribute."""

    place: int
    name: str
    samples: tuple[str, ...]
    to: str
    key: str
    type: str


@dataclass(frozen=True)
class Sample:
    """One row of the preview. `changes`: (label, before, after)."""

    number: int
    title: str
    profile_id: str | None
    changes: tuple[tuple[str, str, str], ...]
    kept: tuple[str, ...]
    reason: str


@routes.get(HERE)
@require("marketer")
async def imports(request: web.Request) -> web.StreamResponse:
    """The list, and the way to bring another."""
    return await _list(request, "")


@routes.post(HERE)
@require("marketer", streamed=True)
async def bring(request: web.Request) -> web.StreamResponse:
    """Take in a file; its page shows how it is read."""
    refuse_scoped(reading(request))
    principal = principal_of(request)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        try:
            upload = await receive(
                request, path, FILE_MAX_BYTES, lambda fields: check_token(request, fields.get("csrf", ""))
            )
            head = await runtime_of(request).imports.bring(path, upload.name, principal.id, principal.name)
        except TooLarge:
            return await _list(request, N_("The file is too large: a list may have 100 MB."))
        except WrongInput as error:
            return await _list(request, str(error))
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}")


@routes.get(HERE + "/template.csv")
@require("marketer")
async def template(request: web.Request) -> web.StreamResponse:
    """A list to begin with."""
    headers = {"Content-Disposition": 'attachment; filename="rapport-people.csv"'}
    return web.Response(body=b"\xef\xbb\xbf" + TEMPLATE.encode(), content_type="text/csv", headers=headers)


@routes.get(HERE + "/{import_id}")
@require("marketer")
async def show(request: web.Request) -> web.StreamResponse:
    """One import, wherever it is."""
    return await _page(request, await _head(request), "")


@routes.get(HERE + "/{import_id}/errors.csv")
@require("marketer")
async def errors(request: web.Request) -> web.StreamResponse:
    """The rows that were not taken."""
    return await refused_answer(request, runtime_of(request), await _head(request), principal_of(request))


@routes.post(HERE + "/{import_id}/mapping")
@require("marketer")
async def map_columns(request: web.Request) -> web.StreamResponse:
    """Save what the columns are; what would become of each row is looked at then."""
    head, form = await _head(request), await read_form(request)
    given = written(form, len(head["columns"]))
    try:
        await runtime_of(request).imports.map(head["_id"], ImportMapping.model_validate(given))
    except ValidationError as error:
        return await _page(request, {**head, "mapping": given}, _sentence(error))
    except WrongInput as error:
        return await _page(request, {**head, "mapping": given}, str(error))
    except Conflict:
        pass  # it has gone on meanwhile: its page shows where it is
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}")


@routes.post(HERE + "/{import_id}/{act:run|cancel|undo|back}")
@require("marketer")
async def act(request: web.Request) -> web.StreamResponse:
    """One of the buttons. Where it came too late the page shows how it is."""
    head, book = await _head(request), runtime_of(request).imports
    name = request.match_info["act"]
    try:
        if name == "undo":
            await book.undo(head["_id"], principal_of(request).id)
        else:
            await {"run": book.run, "cancel": book.cancel, "back": book.back}[name](head["_id"])
    except Conflict:
        pass
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}")


def written(form: Mapping[str, Any], width: int) -> dict[str, Any]:
    """The mapping as the use case takes it."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    columns = []
    for place in range(width):
        to, key = text(f"to:{place}"), text(f"key:{place}")
        columns.append({"to": f"attributes.{key}" if to == "attributes" else to or "ignore",
                        "type": text(f"type:{place}") or "text"})  # fmt: skip
    tags = [part.strip() for part in text("tags").replace("，", ",").split(",") if part.strip()]
    return {
        "columns": columns,
        "options": {
            "existing": text("existing") or "fill", "region": text("region").upper(), "tags": tags,
            "evidence": text("evidence"), "verified": bool(form.get("verified")),
            "journeys": bool(form.get("journeys")),
        },
    }  # fmt: skip


def _sentence(error: ValidationError) -> str:
    where = {str(part) for fault in error.errors() for part in fault["loc"]}
    if "region" in where:
        return N_("A country is two letters, such as DE.")
    if "to" in where:
        return N_("An attribute needs a name without dots and dollar signs.")
    if any("two columns" in fault["msg"] for fault in error.errors()):
        return N_("Two columns are the same: only e-mail and phone may stand in several.")
    return N_("Please look at what you have chosen.")


async def _head(request: web.Request) -> Document:
    refuse_scoped(reading(request))
    head: Document = await runtime_of(request).imports.get(request.match_info["import_id"])
    return head


async def _list(request: web.Request, fault: str) -> web.Response:
    refuse_scoped(reading(request))
    found = await runtime_of(request).imports.page(50, request.query.get("cursor"))
    values = {
        "imports": found.data, "states": STATES, "fault": fault, "working": WORKING, "outcomes": OUTCOMES,
        "next_href": f"{HERE}?cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "imports/list.html", values, status=422 if fault else 200)


async def _page(request: web.Request, head: Document, fault: str) -> web.Response:
    formats = formats_of(request, principal_of(request))
    head = {"kind": "", "fault": "", "known_mapping": False, **head}
    state = head["state"]
    total = head["rows"] or 0
    done = sum(head["undo_counts"].values()) if state == "undoing" else head["done_rows"]
    if state == "undoing":
        total = sum(head["counts"].get(name, 0) for name in ("created", "updated", "repeated"))
    values: dict[str, Any] = {
        "head": head, "state": state, "states": STATES, "outcomes": OUTCOMES, "undone_words": UNDONE, "fault": fault,
        "working": state in WORKING, "total": total, "done": done,
        "undoable": undoable(head, runtime_of(request).clock()), "encoding": _encoding(head),
        "refused": sum((head["counts"] or head["outlook"]).get(name, 0) for name in ("fault", "conflict")),
    }  # fmt: skip
    if state == "mapping":
        values |= await _form(request, head, formats)
    if state == "ready":
        values |= await _outlook(request, head, formats)
    return await page(request, "imports/import.html", values, status=422 if fault else 200)


async def _outlook(request: web.Request, head: Document, formats: Formats) -> dict[str, Any]:
    """What would become of the rows, and what somebody may have to decide before they are carried out."""
    runtime = runtime_of(request)
    said = await words(runtime, formats)
    code = head["mapping"]["options"]["region"] or runtime.settings.default_region
    why = head.get("region") or {}
    return {
        "groups": await _samples(request, head, formats), "numbers": head.get("numbers") or {},
        "country": country_names(formats.language).get(code, code),
        "why": formats.text(WHY[why["why"]]) if why.get("why") in WHY and why["code"] == code else "",
        "moves": [(said.stage(each["stage"]), each["moving"], each["new"]) for each in head.get("moves", ())],
        "unknown_stages": head.get("unknown_stages", ()),
    }  # fmt: skip


async def _form(request: web.Request, head: Document, formats: Formats) -> dict[str, Any]:
    runtime = runtime_of(request)
    mapping = head["mapping"] or {"columns": [{"to": "ignore"}] * len(head["columns"]), "options": {}}
    groups = [(each.key, each.said(formats.language).name) for each in await runtime.consent.groups.all()]
    known = {key for key, _ in groups}
    used = {found[0] for each in mapping["columns"] if (found := consent_in(each.get("to", "")))}
    purposes = [("marketing", formats.text(N_("All marketing"))), *groups]
    purposes += [(key, key) for key in sorted(used - known - {"marketing"})]
    channels = [(each.id, each.name) for each in await runtime.channels.list()]
    return {
        "columns": [_column(head, mapping["columns"], place) for place in range(len(head["columns"]))],
        "options": {"existing": "fill", "region": "", "tags": [], "evidence": "", "verified": False,
                    "journeys": False, **mapping["options"]},
        "fields": FIELDS, "who": WHO, "about": ABOUT, "post": POST, "types": TYPES, "existing": EXISTING,
        "purposes": purposes,
        "channels": channels, **_countries(head, runtime.settings.default_region, formats),
    }  # fmt: skip


def _countries(head: Document, default: str, formats: Formats) -> dict[str, Any]:
    """The countries to choose from, the guess and why; whether rows that are shown have numbers it decides."""
    guess = head.get("region") or {"code": "", "why": ""}
    columns = (head["mapping"] or {"columns": []})["columns"]
    phones = [place for place, each in enumerate(columns) if each.get("to") == "phone"]
    cells = (row[place].strip() for row in head["samples"] for place in phones if place < len(row))
    names = country_names(formats.language)
    return {
        "countries": {code: name for code, name in names.items() if code in SUPPORTED_REGIONS},
        "default_country": names.get(default, default),
        "guess": names.get(guess["code"], guess["code"]), "why": formats.text(WHY.get(guess["why"], "")),
        "asks": any(cell and not names_country(cell) for cell in cells) and guess["why"] == "default",
    }  # fmt: skip


def _column(head: Document, columns: Sequence[Mapping[str, Any]], place: int) -> ColumnRow:
    meant = columns[place] if place < len(columns) else {"to": "ignore"}
    to, key = meant.get("to", "ignore"), ""
    if to.startswith("attributes."):
        to, key = "attributes", to.partition(".")[2]
    cells = (row[place] for row in head["samples"] if place < len(row) and row[place].strip())
    samples = tuple(dict.fromkeys(cell[:60] for cell in cells))[:SAMPLES]
    return ColumnRow(place, head["columns"][place], samples, to, key, meant.get("type", "text"))


async def _samples(
    request: web.Request, head: Document, formats: Formats
) -> list[tuple[str, int, list[Sample]]]:  # fmt: skip
    """(outcome, how many, some of them)."""
    book = runtime_of(request).imports
    groups = []
    for outcome in OUTCOMES:
        count = head["outlook"].get(outcome, 0)
        if count:
            looks = await book.looks(head, outcome, SHOWN) if outcome != "unchanged" else []
            groups.append((outcome, count, [_sample(each, formats) for each in looks]))
    return groups


def _sample(each: Look, formats: Formats) -> Sample:
    changes = tuple((label_of(name, formats), before, after) for name, before, after in differences(each))
    named = each.wanted.fields.get("name") or next((key.value for key in each.wanted.keys), "")
    title = (each.before or {}).get("name") or named
    reason = sentence_of(each.plan.fault.document(), formats) if each.plan.fault else ""
    kept = tuple(label_of(name, formats) for name in each.plan.kept)
    return Sample(each.wanted.number, title, each.plan.profile_id, changes, kept, reason)


def label_of(name: str, formats: Formats) -> str:
    """A field as people call it."""
    return name.removeprefix("attributes.") if name.startswith("attributes.") else formats.text(FIELDS.get(name, name))


def _encoding(head: Document) -> str:
    names = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "gb18030": "GB18030", "cp1252": "Windows-1252",
             "latin-1": "ISO 8859-1", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}  # fmt: skip
    return names.get(head.get("encoding") or "", "")
