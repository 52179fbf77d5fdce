"""Lists of people handed out as files; every export stays on record with who asked for it and how many there were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web
from pydantic import Field

from base.errors import Refused
from base.mongo import Document
from desk.api.contract import Call, Operations, Reply
from desk.api.scope import Asking, refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, UserId, View, listed
from profiles.sheets.headings import Headings

operations = Operations("exports")
Format = Literal["csv", "xlsx", "jsonl", "vcf"]
TYPES = {
    "csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/x-ndjson", "vcf": "text/vcard; charset=utf-8",
}  # fmt: skip


class ExportFilter(Body):
    """Whom: as in the list of profiles."""

    q: str | None = Field(None, min_length=1, max_length=200)
    tag: str | None = Field(None, min_length=1, max_length=80)
    stage: str | None = Field(None, min_length=1, max_length=80)
    tier: str | None = Field(None, min_length=1, max_length=80)
    role: str | None = Field(None, min_length=1, max_length=80)
    owner: UserId | None = None
    segment: str | None = Field(None, pattern=r"^seg_[0-9a-z]{26}$")


class ExportInput(Body):
    """What file of whom. `version`: of vCard. `headings` of CSV and XLSX: as the API names the fields (`keys`), or in
    English or Chinese; an import reads all of them."""

    format: Format
    filter: ExportFilter = Field(default_factory=ExportFilter)
    version: Literal["3.0", "4.0"] = "4.0"
    headings: Headings = "keys"


class ExportView(View):
    """An export. `done`: its file can be fetched for seven days; then it is `expired`."""

    id: str
    state: str
    format: str
    headings: Headings
    filter: dict[str, str]
    count: int
    total: int | None
    size_bytes: int | None
    fault: str | None
    by: str
    created_at: Time
    ended_at: Time | None


def may_export(asking: Asking) -> None:
    """Raise `Refused` for agents, unless the deployment lets them, and for who sees some channels only."""
    principal = asking.principal
    if not (principal.may("marketer") or (principal.may("agent") and asking.runtime.settings.agents_may_export)):
        raise Refused("Your role does not allow this.", code="forbidden")
    refuse_scoped(asking)


@operations("POST", "/exports", roles=["agent", "marketer"], body=ExportInput, returns=ExportView, status=201)
async def begin_export(call: Call) -> Any:
    """Ask for a file of the people whom the filter finds. It is written in the background.

    Agents may where `RAPPORT_AGENTS_MAY_EXPORT` is set.
    """
    may_export(call)
    wanted = call.body.filter.model_dump()
    wanted["owner_id"] = wanted.pop("owner")
    wanted["tag"] = await call.runtime.tags.today(wanted["tag"])
    principal = call.principal
    row = await call.runtime.exports.begin(
        call.body.format, wanted, principal.id, principal.name, version=call.body.version, headings=call.body.headings
    )
    return Reply(export_view(row), 201)


@operations("GET", "/exports", roles=["agent", "marketer"], query=PageQuery, returns=list[ExportView])
async def list_exports(call: Call) -> Any:
    """List exports, the latest first: who took out how many."""
    may_export(call)
    found = await call.runtime.exports.page(call.query.limit, call.query.cursor)
    return listed(found, [export_view(each) for each in found.data])


@operations("GET", "/exports/{id:exp}", roles=["agent", "marketer"], returns=ExportView)
async def get_export(call: Call) -> Any:
    """One export, and how far it has come."""
    may_export(call)
    return export_view(await call.runtime.exports.get(call.path["id"]))


@operations("POST", "/exports/{id:exp}/cancel", roles=["agent", "marketer"], returns=ExportView)
async def cancel_export(call: Call) -> Any:
    """Stop it."""
    may_export(call)
    return export_view(await call.runtime.exports.cancel(call.path["id"]))


@operations("GET", "/exports/{id:exp}/file", roles=["agent", "marketer"], returns=bytes, media_type="*/*")
async def get_export_file(call: Call) -> Any:
    """The file. 404 until it is there, and after seven days."""
    may_export(call)
    return await file_answer(call.request, call.runtime, call.path["id"])


async def file_answer(request: web.Request, runtime: Any, export_id: str) -> web.StreamResponse:
    """Stream the file of an export. Raises `NotFound`."""
    row, pieces = await runtime.exports.file(export_id)
    name = f"profiles-{row['created_at']:%Y-%m-%d}.{row['format']}"
    response = web.StreamResponse(
        headers={
            "Content-Type": TYPES[row["format"]], "Cache-Control": "private, no-store",
            "Content-Disposition": f"attachment; filename=\"{name}\"; filename*=UTF-8''{quote(name)}",
        }
    )  # fmt: skip
    response.content_length = row["size_bytes"]
    await response.prepare(request)
    async for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


def export_view(row: Mapping[str, Any] | Document) -> ExportView:
    """As the API shows it."""
    given = {"headings": "keys", "size_bytes": None, "fault": None, "ended_at": None}
    return ExportView.model_validate({**given, **row, "id": row["_id"]})
