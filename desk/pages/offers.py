"""Offers: the list with how many codes are left, the form of one, laying codes in, who has which."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aiohttp import web

from base.errors import Conflict, FieldError, TooLarge, WrongInput
from base.ids import is_id
from base.mongo import Document
from campaigns.library.code_lists import codes_in, read_text
from campaigns.library.offers import SIGNS_MIN, Laid, OfferInput, is_low, made
from campaigns.wording.parts import offer_use
from desk.api.scope import reading, refuse_scoped, seen_ids
from desk.api.uploads import receive
from desk.auth import check_token, principal_of, require
from desk.forms import read_form
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import checked, faults_of, id_in, made_with_key, removed_id
from desk.pages.moments import local_value, read_local
from desk.pages.snippets import links_of
from desk.pages.templates import worked_by_key
from desk.render import page, reader_of

routes = web.RouteTableDef()
HERE, PER_PAGE = "/offers", 50
MISSING = N_("There is no such offer.")
TAKEN = N_("There is or was an offer with this key; take another one.")
#: Bytes of a list that is uploaded; codes that are named when they are there already.
FILE_MAX_BYTES, NAMED_MAX = 12_000_000, 20
SOURCES = {
    "generated": N_("Made by a pattern, one for each person"), "list": N_("Out of a list that you lay in"),
}  # fmt: skip
WHEN_NONE = {
    "skip": N_("The message is not sent to them"), "blank": N_("The message is sent without a code"),
}  # fmt: skip
_SAYS = {
    "name": N_("A name of at most 120 characters."),
    "key": N_("Small letters, digits, - and _, beginning with a letter or digit."),
    "": N_("A pattern needs six or more # signs, such as TEA-########."),
    "warn_below": N_("This needs a whole number."), "pattern": N_("At most 60 characters."),
}  # fmt: skip


@dataclass(frozen=True)
class OfferRow:
    """One of the list, with how it stands."""

    id: str
    key: str
    name: str
    source: str
    free: int
    given: int
    low: bool
    expires_at: datetime | None
    is_over: bool


@dataclass(frozen=True)
class Holder:
    """Who has which code."""

    code: str
    profile_id: str
    name: str
    at: datetime


async def _row_of(runtime: Any, offer: Document) -> OfferRow:
    free, given = await runtime.offers.tally(offer["_id"])
    over = offer["expires_at"] is not None and offer["expires_at"] <= runtime.clock()
    low = is_low(offer, free, given) and not over
    return OfferRow(
        offer["_id"], offer["key"], offer["name"], offer["source"], free, given, low, offer["expires_at"], over
    )  # fmt: skip


@routes.get(HERE)
@require("viewer")
async def offers(request: web.Request) -> web.StreamResponse:
    """All of them by key."""
    runtime = runtime_of(request)
    try:
        found = await runtime.offers.page(limit=PER_PAGE, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    values = {
        "worked": await worked_by_key(request, [each["key"] for each in found.data], offer_use),
        "offers": await asyncio.gather(*(_row_of(runtime, each) for each in found.data)), "sources": SOURCES,
        "more": f"{HERE}?cursor={quote(found.next_cursor)}" if found.next_cursor else "",
        "removed": removed_id(request, "ofr"), "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "templates/offers.html", values)


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """An empty form."""
    refuse_scoped(reading(request))
    return await _form(request, None, {"source": "generated", "when_none": "skip"}, {})


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """Make it; into a list codes are laid afterwards, on its page."""
    refuse_scoped(reading(request))
    form, formats = await read_form(request), reader_of(request)
    given = _texts(form)
    try:
        fields = _fields(given, formats)
        book, by = runtime_of(request).offers, principal_of(request).id

        async def make(key: str) -> Document:
            row: Document = await book.create(_checked({**fields, "key": key}), by)
            return row

        offer = await made_with_key(given["key"], given["name"], "offer", make)
    except (WrongInput, Conflict) as error:
        return await _form(request, None, given, _beside(error), status=422)
    raise web.HTTPSeeOther(f"{HERE}/{offer['_id']}?saved")


@routes.get(HERE + "/{offer_id}")
@require("viewer")
async def show(request: web.Request) -> web.StreamResponse:
    """One: its form, its codes, who has them."""
    offer = await _offer(request)
    return await _form(request, offer, _shown(offer, reader_of(request)), {}, saved="saved" in request.query)


@routes.post(HERE + "/{offer_id}")
@require("marketer")
async def change(request: web.Request) -> web.StreamResponse:
    """Save the form. Codes that were given stay."""
    refuse_scoped(reading(request))
    offer, given = await _offer(request), _texts(await read_form(request))
    given["source"] = offer["source"]
    try:
        fields = _fields(given, reader_of(request))
        _checked({**fields, "key": offer["key"]})
        await runtime_of(request).offers.change(offer["_id"], fields)
    except (WrongInput, Conflict) as error:
        return await _form(request, offer, given, _beside(error), status=422)
    raise web.HTTPSeeOther(f"{HERE}/{offer['_id']}?saved")


@routes.post(HERE + "/{offer_id}/codes")
@require("marketer")
async def paste(request: web.Request) -> web.StreamResponse:
    """Lay in codes that were pasted."""
    refuse_scoped(reading(request))
    offer, text = await _offer(request), str((await read_form(request)).get("codes") or "")
    return await _laid(request, offer, text, text)


@routes.post(HERE + "/{offer_id}/codes/file")
@require("marketer", streamed=True)
async def upload(request: web.Request) -> web.StreamResponse:
    """Lay in codes of a file."""
    refuse_scoped(reading(request))
    offer = await _offer(request)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "codes"
        try:
            await receive(request, path, FILE_MAX_BYTES, lambda fields: check_token(request, fields.get("csrf", "")))
            text = read_text(await asyncio.to_thread(path.read_bytes))
        except TooLarge:
            return await _bad(request, offer, N_("The file is too large: a list of codes may have 12 MB."))
        except WrongInput as error:
            return await _bad(request, offer, next((each.message for each in error.errors), str(error)))
    return await _laid(request, offer, text, "")


@routes.post(HERE + "/{offer_id}/codes/{lot}/take-out")
@require("marketer")
async def take_out(request: web.Request) -> web.StreamResponse:
    """Undo that, as far as nobody has one of them."""
    refuse_scoped(reading(request))
    offer, lot = await _offer(request), request.match_info["lot"]
    if is_id(lot, "evt"):
        await runtime_of(request).offers.take_out(offer["_id"], lot)
    raise web.HTTPSeeOther(f"{HERE}/{offer['_id']}")


@routes.post(HERE + "/{offer_id}/remove")
@require("marketer")
async def remove(request: web.Request) -> web.StreamResponse:
    """Take it out of the list, which offers to put it back. Where it is used it stays, and that is said."""
    refuse_scoped(reading(request))
    offer = await _offer(request)
    try:
        await runtime_of(request).offers.delete(offer["_id"])
    except Conflict:
        said = {"": N_("It is used in what stands below. Take it out there first.")}
        return await _form(request, offer, _shown(offer, reader_of(request)), said, status=409)
    raise web.HTTPSeeOther(f"{HERE}?removed={offer['_id']}")


@routes.post(HERE + "/{offer_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    await runtime_of(request).offers.restore(id_in(request, "offer_id", "ofr", MISSING))
    raise web.HTTPSeeOther(HERE)


# -- what is written -----------------------------------------------------------------------------------------------


def _texts(form: Any) -> dict[str, str]:
    names = ("name", "key", "source", "pattern", "expires_at", "when_none", "warn_below")
    return {name: str(form.get(name) or "").strip()[:200] for name in names}


def _fields(given: Mapping[str, str], formats: Formats) -> dict[str, Any]:
    """As the use case takes it. Raises `WrongInput` for what is no time or no number."""
    below = given["warn_below"]
    if below and not (below.isascii() and below.isdigit() and len(below) < 7):
        raise WrongInput("Please look at the marked fields.", [FieldError("warn_below", _SAYS["warn_below"])])
    ends = read_local(given["expires_at"], formats, "expires_at") if given["expires_at"] else None
    is_list = given["source"] == "list"
    return {
        "name": given["name"], "source": "list" if is_list else "generated",
        "pattern": None if is_list else given["pattern"], "expires_at": ends,
        "when_none": given["when_none"] or "skip", "warn_below": int(below) if below and is_list else None,
    }  # fmt: skip


def _checked(fields: Mapping[str, Any]) -> OfferInput:
    if fields["source"] == "generated" and str(fields["pattern"] or "").count("#") < SIGNS_MIN:
        raise WrongInput("Please look at the marked fields.", [FieldError("pattern", _SAYS[""])])
    return checked(OfferInput, fields, _SAYS)


def _beside(error: WrongInput | Conflict) -> dict[str, str]:
    return faults_of(error, TAKEN)


def _shown(offer: Document, formats: Formats) -> dict[str, str]:
    ends, below = offer["expires_at"], offer.get("warn_below")
    return {
        "name": offer["name"], "key": offer["key"], "source": offer["source"], "pattern": offer["pattern"] or "",
        "expires_at": local_value(ends, formats.zone) if ends else "", "when_none": offer["when_none"],
        "warn_below": "" if below is None else str(below),
    }  # fmt: skip


async def _offer(request: web.Request) -> Document:
    found: Document = await runtime_of(request).offers.get(id_in(request, "offer_id", "ofr", MISSING))
    return found


# -- codes ---------------------------------------------------------------------------------------------------------


async def _laid(request: web.Request, offer: Document, text: str, pasted: str) -> web.Response:
    formats, codes = reader_of(request), codes_in(text)
    if not codes:
        return await _bad(request, offer, N_("There is no code in it: write one a line."), pasted)
    try:
        laid: Laid = await runtime_of(request).offers.add_codes(offer["_id"], codes)
    except WrongInput as error:
        place = next((each.path for each in error.errors if each.path.startswith("codes[")), "")
        at = int(place[6:-1]) if place else 0
        said = formats.text(str(error)) + (f" ({at + 1}: {codes[at][:40]})" if place else "")
        return await _bad(request, offer, said, pasted)
    return await _form(request, offer, _shown(offer, formats), {}, laid=laid)


async def _bad(request: web.Request, offer: Document, sentence: str, pasted: str = "") -> web.Response:
    shown = _shown(offer, reader_of(request))
    return await _form(request, offer, shown, {"codes": sentence}, pasted=pasted, status=422)


async def _holders(request: web.Request, offer: Document) -> tuple[list[Holder], str]:
    """Who has which, newest first, of those whom this reader may see; and the address of the next page."""
    runtime = runtime_of(request)
    try:
        found = await runtime.offers.given(offer["_id"], limit=PER_PAGE, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(f"{HERE}/{offer['_id']}") from None
    ids = {each["profile_id"] for each in found.data}
    seen = await seen_ids(reading(request), ids)
    people = await runtime.profiles.many(sorted(seen)) if seen else {}
    rows = [
        Holder(each["code"], each["profile_id"], people[each["profile_id"]].display_name, each["assigned_at"])
        for each in found.data if each["profile_id"] in people
    ]  # fmt: skip
    return rows, f"{HERE}/{offer['_id']}?cursor={quote(found.next_cursor)}" if found.next_cursor else ""


async def _form(
    request: web.Request, offer: Document | None, given: Mapping[str, str], faults: Mapping[str, str], *,
    saved: bool = False, laid: Laid | None = None, pasted: str = "", status: int = 200,
) -> web.Response:  # fmt: skip
    runtime = runtime_of(request)
    holders, more = await _holders(request, offer) if offer else ([], "")
    pattern = given.get("pattern") or ""
    values: dict[str, Any] = {
        "offer": offer, "given": given, "faults": faults, "saved": saved, "laid": laid, "pasted": pasted,
        "named": NAMED_MAX, "row": await _row_of(runtime, offer) if offer else None, "holders": holders, "more": more,
        "users": links_of(await runtime.offers.users(offer["key"])) if offer else [], "sources": SOURCES,
        "when_none": WHEN_NONE, "sample": made(pattern) if pattern.count("#") >= SIGNS_MIN else "",
        "may_change": principal_of(request).may_everywhere("marketer"),
    }  # fmt: skip
    return await page(request, "templates/offer.html", values, status=status)
