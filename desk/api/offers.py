"""Offers and their codes: one for each person, given when a message to them is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from base.errors import FieldError, WrongInput
from base.mongo import Document
from campaigns.library.offers import CODES_MAX, SIGNS_MIN, Laid, OfferInput, is_low
from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped, seen_ids
from desk.api.shapes import Body, Name, PageQuery, Patch, Time, View, listed

operations = Operations("offers")
#: Codes that are named in an answer.
NAMED_MAX = 100
Code = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)]


class OfferPatch(Patch):
    """Parts to replace. Codes that were given stay."""

    name: Name = ""
    pattern: Annotated[str, StringConstraints(max_length=60)] | None = None
    expires_at: AwareDatetime | None = None
    when_none: Literal["skip", "blank"] = "skip"
    warn_below: Annotated[int, Field(ge=0, le=CODES_MAX)] | None = None


class CodesInput(Body):
    """Codes to lay into the list; those that are in it are passed over."""

    codes: list[Code] = Field(min_length=1, max_length=CODES_MAX)


class AddedView(View):
    """How many were new; the first of those that stand in the list already, and of those that were given twice."""

    added: int
    known: list[str]
    twice: list[str]


class OfferView(View):
    """An offer; `{{ coupon('key') }}` shows a person their code. `free` counts what is left of a list, `low`
    says that it is little: fewer than `warn_below`, else than a tenth."""

    id: str
    key: str
    name: str
    source: Literal["list", "generated"]
    pattern: str | None
    expires_at: Time | None
    when_none: Literal["skip", "blank"]
    warn_below: int | None
    free: int
    given: int
    low: bool
    created_at: Time
    updated_at: Time


class CouponView(View):
    """A code and who has it. `send_id`: the message for which it was given."""

    code: str
    profile_id: str
    send_id: str | None
    assigned_at: Time


async def _view(call: Call, row: Document) -> OfferView:
    free, given = await call.runtime.offers.tally(row["_id"])
    shown = {name: row.get(name) for name in OfferView.model_fields}
    counts = {"free": free, "given": given, "low": is_low(row, free, given)}
    return OfferView.model_validate({**shown, "id": row["_id"], **counts})


@operations("GET", "/offers", roles=["viewer"], query=PageQuery, returns=list[OfferView])
async def list_offers(call: Call) -> Any:
    """List offers by key."""
    found = await call.runtime.offers.page(limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [await _view(call, each) for each in found.data])


@operations("POST", "/offers", roles=["marketer"], body=OfferInput, returns=OfferView, status=201)
async def create_offer(call: Call) -> Any:
    """Make an offer whose codes come from a list or are made by a pattern."""
    refuse_scoped(call)
    return await _view(call, await call.runtime.offers.create(call.body, call.principal.id))


@operations("GET", "/offers/{id:ofr}", roles=["viewer"], returns=OfferView)
async def get_offer(call: Call) -> Any:
    """One offer with how many codes are free and given."""
    return await _view(call, await call.runtime.offers.get(call.path["id"]))


@operations("PATCH", "/offers/{id:ofr}", roles=["marketer"], body=OfferPatch, returns=OfferView)
async def change_offer(call: Call) -> Any:
    """Replace parts of an offer."""
    refuse_scoped(call)
    row, changes = await call.runtime.offers.get(call.path["id"]), call.body.given()
    pattern = changes.get("pattern", row["pattern"]) or ""
    if row["source"] == "generated" and pattern.count("#") < SIGNS_MIN:
        raise WrongInput("Codes could be guessed.", [FieldError("pattern", f"needs {SIGNS_MIN} or more # signs")])
    return await _view(call, await call.runtime.offers.change(row["_id"], changes))


@operations("DELETE", "/offers/{id:ofr}", roles=["marketer"])
async def delete_offer(call: Call) -> None:
    """Take an offer out of the list. 409 `in_use` while a template, a snippet, a journey or a broadcast names it."""
    refuse_scoped(call)
    await call.runtime.offers.delete(call.path["id"])


@operations("POST", "/offers/{id:ofr}/restore", roles=["marketer"], returns=OfferView)
async def restore_offer(call: Call) -> Any:
    """Undo a deletion."""
    refuse_scoped(call)
    return await _view(call, await call.runtime.offers.restore(call.path["id"]))


@operations("POST", "/offers/{id:ofr}/codes", roles=["marketer"], body=CodesInput, returns=AddedView)
async def add_offer_codes(call: Call) -> Any:
    """Lay codes into the list of an offer."""
    refuse_scoped(call)
    laid: Laid = await call.runtime.offers.add_codes(call.path["id"], call.body.codes)
    return AddedView(added=laid.added, known=list(laid.known[:NAMED_MAX]), twice=list(laid.twice[:NAMED_MAX]))


@operations("GET", "/offers/{id:ofr}/codes", roles=["viewer"], query=PageQuery, returns=list[CouponView])
async def list_offer_codes(call: Call) -> Any:
    """List who has which code, newest first. For a caller limited to channels a page may hold fewer than `limit`."""
    found = await call.runtime.offers.given(call.path["id"], limit=call.query.limit, cursor=call.query.cursor)
    seen = await seen_ids(call, {each["profile_id"] for each in found.data})
    return listed(found, [CouponView.model_validate(each) for each in found.data if each["profile_id"] in seen])
