"""A person's rights: a copy of everything, that it goes, and that nobody looks into what they do."""

from __future__ import annotations

from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import must_see_whole, refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, View, listed, page, sliced
from profiles.dossier import file_name

operations = Operations("privacy")


class DossierView(View):
    """All rows by room, each as it is kept without our bookkeeping."""

    profile_id: str
    made_at: Time
    rooms: dict[str, list[dict[str, Any]]]


class ExportInput(Body):
    """In which language the page is; without one in the person's own, where it is known."""

    language: Literal["en", "zh_CN"] | None = None


class ExportView(View):
    """A file with everything. `ready`: it can be fetched until `expires_at`; `shown`: it was answered at once."""

    id: str
    profile_id: str
    state: Literal["wanted", "ready", "failed", "expired", "shown"]
    asked_by: str
    asked_at: Time
    source: str
    language: str
    size_bytes: int | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    expires_at: Time | None = None


class PlaceView(View):
    """Where a text of a colleague may still name who was erased. `id`: of the row, or of the person, conversation or
    journey it belongs to; empty where the row's id would be the words themselves."""

    room: str
    id: str


class ErasureView(View):
    """A line of the erasure log; it names nobody. `held`: rows per room when it was asked for; `erased`: what went.
    `places`: at most 100; not `all_read`: there was more than could be read."""

    id: str
    state: Literal["erasing", "settling", "done"]
    asked_by: str
    asked_at: Time
    source: str
    reason: str | None
    held: dict[str, int]
    erased: dict[str, int]
    waits_for: str | None = None
    places: list[PlaceView] = Field(default_factory=list)
    all_read: bool = True
    done_at: Time | None
    scrubbed_at: Time | None = Field(description="When the private server's files were written anew without it.")


def export_view(row: Document) -> ExportView:
    """A row of an export."""
    return ExportView.model_validate({**row, "id": row["_id"]})


def erasure_view(row: Document) -> ErasureView:
    """A row of the log."""
    return ErasureView.model_validate({**row, "id": row["_id"]})


@operations("GET", "/profiles/{id:prf}/export", roles=["admin"], returns=DossierView)
async def export_person(call: Call) -> Any:
    """Everything held on a person, in every room of the house. That it was asked for is noted.

    Needs sight of every channel the person is on. For somebody with very much (413) ask for a file.
    """
    profile_id = await must_see_whole(call, call.path["id"])
    return DossierView.model_validate(await call.runtime.privacy.dossiers.at_once(profile_id, by=call.principal.id))


@operations("POST", "/profiles/{id:prf}/export", roles=["admin"], body=ExportInput, returns=ExportView, status=202)
async def ask_for_export(call: Call) -> Any:
    """Ask for a zip with the same as JSON, as a page to read, and with all files. It is made in the background."""
    profile_id = await must_see_whole(call, call.path["id"])
    row = await call.runtime.privacy.dossiers.ask(
        profile_id, by=call.principal.id, source="api", language=call.body.language
    )
    return export_view(row)


@operations("GET", "/profiles/{id:prf}/exports", roles=["admin"], query=PageQuery, returns=list[ExportView])
async def list_exports_of_person(call: Call) -> Any:
    """List a person's exports, newest first."""
    profile_id = await must_see_whole(call, call.path["id"])
    rows = await call.runtime.privacy.dossiers.of_profile(profile_id)
    shown, following = sliced(rows, lambda row: row["_id"], call.query)
    return page([export_view(row) for row in shown], following)


@operations(
    "GET", "/profiles/{id:prf}/exports/{export_id:dos}/file", roles=["admin"], returns=bytes,
    media_type="application/zip",
)  # fmt: skip
async def fetch_export(call: Call) -> Any:
    """Fetch the zip of an export that is ready."""
    profile_id = await must_see_whole(call, call.path["id"])
    return await send_dossier(call.request, call.runtime, profile_id, call.path["export_id"])


async def send_dossier(request: web.Request, runtime: Any, profile_id: str, dossier_id: str) -> web.StreamResponse:
    """The zip. Raises `NotFound` when it is not this person's or not there."""
    row = await runtime.privacy.dossiers.get(dossier_id)
    if row["profile_id"] not in (await runtime.privacy.erasures.traces(profile_id)).profile_ids:
        raise not_there()
    pieces = runtime.privacy.dossiers.read(row)
    settings = runtime.settings
    name = file_name(settings.business_name, row["made_at"], settings.time_zone)
    first = await anext(pieces, b"")  # what is missing is said before the first header goes out
    response = web.StreamResponse(headers={
        "Content-Type": "application/zip", "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}"',
    })  # fmt: skip
    response.content_length = row["size_bytes"]
    await response.prepare(request)
    await response.write(first)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


class KindView(View):
    """One kind of data. `days`: null is for ever; `count`: rows that would go tonight, counted no further than
    100,000; null where counting them takes too long."""

    name: str
    days: int | None
    least: int
    count: int | None


class RetentionInput(Body):
    """Days for which each kind is kept from now on; null: for ever. Kinds that are not named stay as they are."""

    days: dict[str, int | None] = Field(max_length=50)


@operations("GET", "/retention", roles=["admin"], query=PageQuery, returns=list[KindView])
async def list_retention(call: Call) -> Any:
    """List the kinds of data that can go by their age."""
    refuse_scoped(call)
    rows, following = sliced(await call.runtime.retention.outlook(), lambda row: row.name, call.query)
    return page([KindView.model_validate(row) for row in rows], following)


@operations("PUT", "/retention", roles=["admin"], body=RetentionInput)
async def choose_retention(call: Call) -> None:
    """Keep each kind so long; what is older goes in the next night, for good."""
    refuse_scoped(call)
    await call.runtime.retention.choose(call.body.days, call.principal.id)


@operations("GET", "/erasures", roles=["admin"], query=PageQuery, returns=list[ErasureView])
async def list_erasures(call: Call) -> Any:
    """The erasure log, newest first."""
    refuse_scoped(call)
    found = await call.runtime.privacy.erasures.log(limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [erasure_view(row) for row in found.data])


@operations("GET", "/erasures/{id:ers}", roles=["admin"], returns=ErasureView)
async def get_erasure(call: Call) -> Any:
    """One line of the log: how far it has got."""
    refuse_scoped(call)
    return erasure_view(await call.runtime.privacy.erasures.get(call.path["id"]))
