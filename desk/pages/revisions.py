"""Revisions of templates and snippets: the list with what changed, one as it was, putting it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web

from base.errors import Conflict, NotFound, WrongInput
from base.ids import Prefix
from base.mongo import Document
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in
from desk.pages.template_editor import LETTER_POLICY, letter_fault, web_escaped
from desk.pages.wording_diff import WordingChange, parts_changed, whole_words, wording_changes
from desk.render import page, reader_of

routes = web.RouteTableDef()
ALL = "/{what:templates|snippets}/{owner_id}/revisions"
ONE = ALL + "/{rev:[0-9]{1,9}}"
PER_PAGE = 30
_PREFIXES: dict[str, Prefix] = {"templates": "tpl", "snippets": "snp"}
MISSING = {"templates": N_("There is no such template."), "snippets": N_("There is no such snippet.")}
#: What stands for the changes of the first one.
FIRST = N_("As it was first written")


@dataclass(frozen=True)
class RevisionRow:
    """One line of the list. `parts`: what changed with it."""

    rev: int
    parts: str
    by: str
    at: datetime
    is_latest: bool


class _Owner:
    """What a request is about: a template or a snippet that is there."""

    def __init__(self, request: web.Request) -> None:
        self.what = request.match_info["what"]
        self.id = id_in(request, "owner_id", _PREFIXES[self.what], MISSING[self.what])
        self.here = f"/{self.what}/{self.id}"
        self.book: Any = getattr(runtime_of(request), self.what)

    async def head(self) -> Document:
        found: Document = await self.book.get(self.id)
        return found

    async def revision(self, rev: int) -> Document | None:
        """One of them; None where there is none."""
        try:
            found: Document = await self.book.revision(self.id, rev)
        except NotFound:
            return None
        return found


@routes.get(ALL)
@require("viewer")
async def revisions(request: web.Request) -> web.StreamResponse:
    """All of them, newest first."""
    owner, formats = _Owner(request), reader_of(request)
    head = await owner.head()
    try:
        found = await owner.book.revisions(owner.id, limit=PER_PAGE, cursor=request.query.get("cursor"))
    except WrongInput:
        raise web.HTTPSeeOther(f"{owner.here}/revisions") from None
    rows: list[Document] = list(found.data)
    names = await runtime_of(request).users.names([row["by"] for row in rows if row["by"]])
    last = await owner.revision(rows[-1]["rev"] - 1) if rows else None
    befores = [*rows[1:], last]
    values = {
        "owner": head, "what": owner.what, "here": owner.here,
        "rows": [
            RevisionRow(row["rev"], _parts(before, row, formats), names.get(row["by"] or "", ""), row["at"],
                        row["rev"] == head["rev"])
            for row, before in zip(rows, befores, strict=True)
        ] if rows else [],
        "more": f"{owner.here}/revisions?cursor={quote(found.next_cursor)}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "templates/revisions.html", values)


@routes.get(ONE)
@require("viewer")
async def revision(request: web.Request) -> web.StreamResponse:
    """One as it was: what changed with it, and what would change if it were put back."""
    return await _one(request, _Owner(request), "")


@routes.post(ONE + "/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """It becomes the latest, as a new revision; the editor offers the way back."""
    refuse_scoped(reading(request))
    owner = _Owner(request)
    before, rev = (await owner.head())["rev"], int(request.match_info["rev"])
    try:
        await owner.book.go_back(owner.id, rev, principal_of(request).id)
    except (WrongInput, Conflict) as error:
        formats = reader_of(request)
        told = [formats.text(str(error)), *(formats.text(each.message) for each in getattr(error, "errors", ()))]
        return await _one(request, owner, " · ".join(told), status=422)
    raise web.HTTPSeeOther(f"{owner.here}?back={rev}&before={before}")


@routes.get("/{what:templates}/{owner_id}/revisions/{rev:[0-9]{1,9}}/letter")
@require("viewer")
async def letter(request: web.Request) -> web.StreamResponse:
    """The mail of a revision, for a frame that runs nothing and loads nothing but pictures."""
    owner = _Owner(request)
    row = await _must(owner, request)
    try:
        rendered = await runtime_of(request).templates.preview(row["content"], None)
        markup = rendered.html or f"<pre style='white-space:pre-wrap'>{web_escaped(rendered.text)}</pre>"
    except WrongInput as error:
        markup = letter_fault(error, reader_of(request))
    return web.Response(text=markup, content_type="text/html", headers={"Content-Security-Policy": LETTER_POLICY})


async def _must(owner: _Owner, request: web.Request) -> Document:
    await owner.head()
    found = await owner.revision(int(request.match_info["rev"]))
    if found is None:
        raise NotFound("There is no such revision.")
    return found


async def _one(request: web.Request, owner: _Owner, bad: str, status: int = 200) -> web.Response:
    formats, row, head = reader_of(request), await _must(owner, request), await owner.head()
    before = await owner.revision(row["rev"] - 1)
    latest: list[WordingChange] = []
    if row["rev"] != head["rev"]:
        now = {**head, "name": row["name"]}  # the name stays when an earlier wording is put back
        latest = wording_changes(now, row, formats)
    names = await runtime_of(request).users.names([row["by"]] if row["by"] else [])
    values = {
        "owner": head, "what": owner.what, "here": owner.here, "row": row, "bad": bad,
        "by": names.get(row["by"] or "", ""), "changes": wording_changes(before, row, formats) if before else None,
        "latest": latest, "is_latest": row["rev"] == head["rev"], "is_mail": row.get("kind") == "email",
        "may_change": principal_of(request).may_everywhere("marketer"), "words": whole_words(row["content"], formats),
    }  # fmt: skip
    return await page(request, "templates/revision.html", values, status=status)


def _parts(before: Document | None, row: Document, formats: Formats) -> str:
    if before is None:
        return formats.text(FIRST) if row["rev"] == 1 else ""
    found = wording_changes(before, row, formats)
    return parts_changed(found, formats) or formats.text(N_("Nothing in its words"))
