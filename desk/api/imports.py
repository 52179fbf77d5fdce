"""Lists of people brought in: uploaded, mapped, looked at, carried out, taken back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from aiohttp import web
from pydantic import Field

from base.mongo import Document
from desk.api.contract import BASE, Call, Operations, json_response
from desk.api.once import HEADER, once
from desk.api.scope import Reader, refuse_scoped
from desk.api.shapes import PageQuery, Query, Time, View, listed
from desk.api.uploads import receive
from desk.auth import principal_of, require
from desk.keys import runtime_of
from desk.refused_rows import refused_answer
from profiles.imports.book import Look, undoable
from profiles.imports.mapping import ImportMapping
from profiles.models import plain
from profiles.postal import lines_of
from profiles.sheets.cells import text_of
from profiles.sheets.table import FILE_MAX_BYTES

operations = Operations("imports")
Outcome = Literal["created", "updated", "unchanged", "repeated", "skipped", "conflict", "fault", "erased"]


class RegionView(View):
    """In which country numbers are likely written that name none, and by what that was guessed: the language of the
    `headings` or of the `rows`, or the deployment's own setting (`default`)."""

    code: str
    why: str


class NumbersView(View):
    """Phone numbers that name no country. `asked`: read as of the `region` of the options; `told`: of that of the
    address in their row."""

    asked: int
    told: int


class MoveView(View):
    """A stage: how many we know would move there, and how many new ones would begin there."""

    stage: str
    moving: int
    new: int


class UnknownStageView(View):
    """A stage that is in no list, in so many rows, which are not taken."""

    stage: str
    rows: int


class ImportView(View):
    """An import. `outlook`: what would become of its rows; `counts`: what became of them; `undo_counts`: what became of
    those when it was taken back. `mapping` is what `PUT …/mapping` takes: a guess until somebody has said it."""

    id: str
    state: str
    name: str
    size_bytes: int
    kind: str | None
    encoding: str | None
    delimiter: str | None
    rows: int
    done_rows: int
    columns: list[str]
    samples: list[list[str]]
    mapping: dict[str, Any] | None
    region: RegionView
    numbers: NumbersView
    moves: list[MoveView]
    unknown_stages: list[UnknownStageView]
    outlook: dict[str, int]
    counts: dict[str, int]
    undo_counts: dict[str, int]
    undoable: bool
    fault: str | None
    by: str
    created_at: Time
    ended_at: Time | None
    kept_until: Time


class ReasonView(View):
    """Why a row is not taken."""

    code: str
    column: str
    value: str


class LookView(View):
    """One row as it would become: `changes` are fields with what stands there and what would."""

    row: int
    outcome: str
    profile_id: str | None
    changes: dict[str, dict[str, str]]
    kept: list[str]
    reason: ReasonView | None


class LookQuery(Query):
    """Which rows."""

    outcome: Outcome = "created"
    limit: int = Field(5, ge=1, le=20)


@operations("POST", "/imports", roles=["marketer"], returns=ImportView, status=201, elsewhere=True)
async def bring_import(call: Call) -> Any:
    """Bring a list of people: CSV, XLSX, JSON lines or vCard, at most 100 MB.

    Either `multipart/form-data` with the file in its first part that has a file name, or the bytes themselves with the
    name percent-encoded in `X-File-Name`. Encoding and delimiter are found out. It is read in the background: `state`
    goes from `reading` to `mapping`.
    """


@operations("GET", "/imports", roles=["marketer"], query=PageQuery, returns=list[ImportView])
async def list_imports(call: Call) -> Any:
    """List imports, the latest first."""
    refuse_scoped(call)
    found = await call.runtime.imports.page(call.query.limit, call.query.cursor)
    return listed(found, [_view(call, each) for each in found.data])


@operations("GET", "/imports/{id:imp}", roles=["marketer"], returns=ImportView)
async def get_import(call: Call) -> Any:
    """One import, and how far it has come."""
    refuse_scoped(call)
    return _view(call, await call.runtime.imports.get(call.path["id"]))


@operations("PUT", "/imports/{id:imp}/mapping", roles=["marketer"], body=ImportMapping, returns=ImportView)
async def map_import(call: Call) -> Any:
    """Say what each column is; then what would become of each row is looked at, and `state` goes to `ready`.

    A column is `email`, `phone`, `customer_id`, `profile_id`, `channel:chn_…`, `name`, `first_name`, `last_name`,
    `tags`, `stage`, `tier`, `owner`, `locale`, `time_zone`, `location`, `latitude`, `longitude`, the parts of
    one `address` (`address.street`, `.street2`, `.district`, `.postal_code`, `.city`, `.region`, `.country`),
    `consent:PURPOSE:email`, `consent:PURPOSE:phone`, `attributes.KEY` or `ignore`.
    """
    refuse_scoped(call)
    return _view(call, await call.runtime.imports.map(call.path["id"], call.body))


@operations(
    "GET", "/imports/{id:imp}/preview", roles=["marketer"], query=LookQuery, returns=list[LookView]
)  # fmt: skip
async def look_at_import(call: Call) -> Any:
    """Some rows with one outlook, each with what it would change."""
    refuse_scoped(call)
    head = await call.runtime.imports.get(call.path["id"])
    looks = await call.runtime.imports.looks(head, call.query.outcome, call.query.limit) if head["columns"] else []
    return {"data": [_look_view(each) for each in looks], "next_cursor": None}


@operations("POST", "/imports/{id:imp}/run", roles=["marketer"], returns=ImportView)
async def run_import(call: Call) -> Any:
    """Carry it out. 409 until it is `ready`."""
    refuse_scoped(call)
    return _view(call, await call.runtime.imports.run(call.path["id"]))


@operations("POST", "/imports/{id:imp}/cancel", roles=["marketer"], returns=ImportView)
async def cancel_import(call: Call) -> Any:
    """Stop it. Rows that were carried out stay, and can be taken back."""
    refuse_scoped(call)
    return _view(call, await call.runtime.imports.cancel(call.path["id"]))


@operations("POST", "/imports/{id:imp}/undo", roles=["marketer"], returns=ImportView)
async def undo_import(call: Call) -> Any:
    """Take it back, within 30 days.

    People it made and nobody touched since are erased, what it changed and nobody changed since is restored, its tags
    go, its consents are taken back by acts of their own. `undo_counts` says what could not be undone.
    """
    refuse_scoped(call)
    return _view(call, await call.runtime.imports.undo(call.path["id"], call.principal.id))


@operations("GET", "/imports/{id:imp}/errors", roles=["marketer"], returns=bytes, media_type="text/csv")
async def get_import_errors(call: Call) -> Any:
    """The rows that were not taken, as a CSV with the columns of the file and the reason."""
    refuse_scoped(call)
    head = await call.runtime.imports.get(call.path["id"])
    return await refused_answer(call.request, call.runtime, head, call.principal)


@require("marketer")
async def _bring(request: web.Request) -> web.StreamResponse:
    principal, runtime = principal_of(request), runtime_of(request)
    refuse_scoped(Reader(principal, runtime))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        upload = await receive(request, path, FILE_MAX_BYTES)

        async def carry() -> web.StreamResponse:
            head = await runtime.imports.bring(path, upload.name, principal.id, principal.name)
            return json_response(import_view(head, runtime), 201, {"Location": f"{BASE}/imports/{head['_id']}"})

        key = request.headers.get(HEADER)
        return await carry() if key is None else await once(request, upload.sha256.encode(), key, carry, None)


def _view(call: Call, head: Document) -> ImportView:
    return import_view(head, call.runtime)


def import_view(head: Mapping[str, Any], runtime: Any) -> ImportView:
    """As the API shows it."""
    given = {
        "kind": None, "encoding": None, "delimiter": None, "fault": None, "ended_at": None, "samples": [],
        "region": {"code": "", "why": ""}, "numbers": {"asked": 0, "told": 0}, "moves": [], "unknown_stages": [],
        **head,
    }  # fmt: skip
    return ImportView.model_validate(
        {**given, "id": head["_id"], "undoable": undoable(dict(head), runtime.clock())}
    )  # fmt: skip


def _look_view(each: Look) -> LookView:
    fault = each.plan.fault
    return LookView(
        row=each.wanted.number, outcome=each.plan.outcome, profile_id=each.plan.profile_id, kept=list(each.plan.kept),
        changes={name: {"from": before, "to": after} for name, before, after in differences(each)},
        reason=ReasonView.model_validate(fault.document()) if fault else None,
    )  # fmt: skip


def differences(each: Look) -> list[tuple[str, str, str]]:
    """(field, what stands there, what would) of one row."""
    before = each.before or {}
    held = before.get("attributes") or {}
    found: list[tuple[str, str, str]] = []
    for name, value in each.plan.fields.items():
        if name == "attributes":
            found += [(f"attributes.{key}", text_of(held.get(key)), text_of(plain(to))) for key, to in value.items()]
        elif name == "add_tags":
            found.append(("tags", text_of(before.get("tags") or []), text_of([*(before.get("tags") or []), *value])))
        elif name == "address":
            found.append((name, ", ".join(lines_of(before.get(name) or {})), ", ".join(lines_of(value))))
        elif name == "location":
            longitude, latitude = (before.get("location") or {}).get("coordinates") or (None, None)
            found.append((name, text_of([latitude, longitude]) if latitude is not None else "", text_of(list(value))))
        else:
            found.append((name, text_of(before.get(name)), text_of(value)))
    fresh = [key.value for key in each.wanted.keys if key.key in each.plan.fresh]
    if fresh:
        found.append(("identities", "", text_of(fresh)))
    return found


def routes() -> list[web.AbstractRouteDef]:
    """What is not made from `operations`."""
    return [web.post(f"{BASE}/imports", _bring)]
