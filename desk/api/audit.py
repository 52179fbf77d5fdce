"""Who did and saw what, for administrators."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from pydantic import Field

from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import PageQuery, Since, Time, View, listed
from desk.team.audit import Kind
from desk.team.audit_words import as_csv

operations = Operations("users and tokens")


class AuditQuery(PageQuery):
    """What the list is narrowed by."""

    by: str | None = Field(None, max_length=40, description="Id of a user or token.")
    about: str | None = Field(None, max_length=40, description="Id of what it was about, e.g. a profile.")
    kind: Kind | None = None
    what: str | None = Field(None, max_length=80, description="Name of an operation, e.g. change_profile.")
    since: Since | None = None
    until: Since | None = None


class AuditView(View):
    """One request. `outcome`: its HTTP status; `changed`: names of the fields that were sent, never their values."""

    id: str = Field(validation_alias="_id")
    at: Time
    kind: Kind
    what: str
    by: str | None
    by_kind: str
    session: str | None
    address: str
    outcome: int
    about: list[str]
    changed: list[str]


@operations("GET", "/audit", roles=["admin"], query=AuditQuery, returns=list[AuditView])
async def list_audit(call: Call) -> Any:
    """List who changed and saw what and who came in, newest first. `Accept: text/csv` answers with a table."""
    refuse_scoped(call)
    wanted: AuditQuery = call.query
    found = await call.runtime.audit.page(
        by=wanted.by, about=wanted.about, kind=wanted.kind, what=wanted.what, since=wanted.since, until=wanted.until,
        limit=wanted.limit, cursor=wanted.cursor,
    )  # fmt: skip
    if "text/csv" in call.request.headers.get("Accept", ""):
        names = await call.runtime.users.names([row["by"] for row in found.data if row["by"]])
        headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
        return web.Response(
            text=as_csv(found.data, names), content_type="text/csv", charset="utf-8", headers=headers
        )  # fmt: skip
    return listed(found, [AuditView.model_validate(row) for row in found.data])
