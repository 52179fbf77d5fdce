"""Snippets, and how letters look: what templates share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from base.mongo import Document
from campaigns.contents import LocaleName, Source
from campaigns.library.snippets import SnippetInput, SnippetWording
from campaigns.wording.blocks import Brand
from desk.api.contract import Call, Operations
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, Name, PageQuery, Patch, Time, View, listed

operations = Operations("snippets")


class SnippetPatch(Patch):
    """Parts to replace."""

    name: Name = ""
    text: Source = ""
    html: Source | None = None
    locales: dict[LocaleName, SnippetWording] = Field(default_factory=dict, max_length=60)


class SnippetRestoreInput(Body):
    """Which revision becomes the latest again; left out: the deletion is undone."""

    rev: Annotated[int, Field(ge=1)] | None = None


class UserView(View):
    """Who names it: a template, a snippet, a journey or a broadcast."""

    id: str
    name: str


class SnippetView(View):
    """A named part; `{% include "key" %}` puts it into any template."""

    id: str
    key: str
    name: str
    text: str
    html: str | None
    locales: dict[str, SnippetWording]
    rev: int
    created_at: Time
    updated_at: Time


class SnippetDetail(SnippetView):
    """With who uses it."""

    used_by: list[UserView]


class SnippetRevisionView(View):
    """One wording a snippet had."""

    rev: int
    name: str
    text: str
    html: str | None
    locales: dict[str, SnippetWording]
    at: Time
    by: str | None


def snippet_view(row: Document) -> SnippetView:
    """As people and programs see it."""
    return SnippetView.model_validate({**_shown(row), **row["content"]})


@operations("GET", "/snippets", roles=["viewer"], query=PageQuery, returns=list[SnippetView])
async def list_snippets(call: Call) -> Any:
    """List snippets by key."""
    found = await call.runtime.snippets.page(limit=call.query.limit, cursor=call.query.cursor)
    return listed(found, [snippet_view(each) for each in found.data])


@operations("POST", "/snippets", roles=["marketer"], body=SnippetInput, returns=SnippetView, status=201)
async def create_snippet(call: Call) -> Any:
    """Write a snippet. One that would contain itself is refused, with the way."""
    refuse_scoped(call)
    return snippet_view(await call.runtime.snippets.create(call.body, call.principal.id))


@operations("GET", "/snippets/{id:snp}", roles=["viewer"], returns=SnippetDetail)
async def get_snippet(call: Call) -> Any:
    """One snippet with the templates and snippets in which it stands."""
    row = await call.runtime.snippets.get(call.path["id"])
    users = [{"id": each["_id"], "name": each["name"]} for each in await call.runtime.snippets.users(row["key"])]
    return SnippetDetail.model_validate({**_shown(row), **row["content"], "used_by": users})


@operations("PATCH", "/snippets/{id:snp}", roles=["marketer"], body=SnippetPatch, returns=SnippetView)
async def change_snippet(call: Call) -> Any:
    """Replace parts of a snippet. All who use it say the new words from their next message on."""
    refuse_scoped(call)
    changed = await call.runtime.snippets.change(call.path["id"], call.body.given(), call.principal.id)
    return snippet_view(changed)


@operations("DELETE", "/snippets/{id:snp}", roles=["marketer"])
async def delete_snippet(call: Call) -> None:
    """Take a snippet out of the list. 409 `in_use` while a template, a snippet, a journey or a broadcast names it."""
    refuse_scoped(call)
    await call.runtime.snippets.delete(call.path["id"])


@operations("GET", "/snippets/{id:snp}/revisions", roles=["viewer"], query=PageQuery, returns=list[SnippetRevisionView])
async def list_snippet_revisions(call: Call) -> Any:
    """List every wording a snippet had, newest first."""
    found = await call.runtime.snippets.revisions(call.path["id"], limit=call.query.limit, cursor=call.query.cursor)
    views = [
        SnippetRevisionView.model_validate(
            {name: each.get(name) for name in SnippetRevisionView.model_fields} | each["content"]
        )
        for each in found.data
    ]
    return listed(found, views)


@operations("POST", "/snippets/{id:snp}/restore", roles=["marketer"], body=SnippetRestoreInput, returns=SnippetView)
async def restore_snippet(call: Call) -> Any:
    """Undo a deletion, or make an earlier revision the latest."""
    refuse_scoped(call)
    if call.body.rev is None:
        return snippet_view(await call.runtime.snippets.restore(call.path["id"]))
    return snippet_view(await call.runtime.snippets.go_back(call.path["id"], call.body.rev, call.principal.id))


@operations("GET", "/brand", roles=["viewer"], returns=Brand)
async def get_brand(call: Call) -> Any:
    """How e-mails made of blocks look."""
    return await call.runtime.snippets.brand()


@operations("PUT", "/brand", roles=["marketer"], body=Brand, returns=Brand)
async def set_brand(call: Call) -> Any:
    """Say how e-mails made of blocks look: name, logo, colours, font, postal address."""
    refuse_scoped(call)
    return await call.runtime.snippets.set_brand(call.body, call.principal.id)


def _shown(row: Document) -> Document:
    return {name: row.get(name) for name in SnippetView.model_fields} | {"id": row["_id"]}
