"""The tag space: every tag with how many have it, and changes of a tag across all people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations, Reply
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, PageQuery, Time, View, listed, page, sliced
from profiles.segments import TagNames
from profiles.tags import TagCount
from profiles.uses import Use

operations = Operations("tags")


class TagQuery(PageQuery):
    """Narrows the list."""

    q: str | None = Field(None, min_length=1, max_length=64, description="Beginning of the tag.")


class UseView(View):
    """Who names it: a segment, a journey, a broadcast, a rule of the score, or a stage with the key `id`."""

    kind: Literal["segment", "journey", "broadcast", "score_rule", "stage"]
    id: str
    name: str


class TagView(View):
    """A tag. `count` stops at 10,000, and is None for a caller limited to channels. `former`: what it was called
    before; `uses`: who names it, by whatever name."""

    name: str
    count: int | None
    former: list[str]
    uses: list[UseView]


class TagChangeBody(Body):
    """`rename` and `merge` do the same: whoever has `tag` has `to` instead; `delete` only takes it away."""

    what: Literal["rename", "merge", "delete"]
    tag: str = Field(min_length=1, max_length=64)
    to: str | None = Field(None, min_length=1, max_length=64)


class TagChangeView(View):
    """A change under way or done. `done` of `total` people."""

    id: str
    what: str
    tag: str
    to: str | None
    state: Literal["running", "done", "undoing", "undone"]
    done: int
    total: int
    by: str | None
    at: Time


def _tag(tag: TagCount, names: TagNames, uses: Sequence[Use], *, whole: bool) -> TagView:
    shown = [UseView(kind=each.kind, id=each.id, name=each.name) for each in uses]
    former = list(names.spellings([tag.name])[1:])
    return TagView(name=tag.name, count=tag.count if whole else None, former=former, uses=shown)


def _view(row: Document) -> TagChangeView:
    return TagChangeView.model_validate({**row, "id": row["_id"]})


@operations("GET", "/tags", roles=["viewer"], query=TagQuery, returns=list[TagView])
async def list_tags(call: Call) -> Any:
    """List tags in order of the alphabet."""
    found = await call.runtime.tags.page(starting=call.query.q or "", limit=call.query.limit, cursor=call.query.cursor)
    whole, names = call.principal.channels is None, await call.runtime.tags.former_names()
    uses = await call.runtime.tags.named_by([each.name for each in found.data])
    return listed(found, [_tag(each, names, uses[each.name], whole=whole) for each in found.data])


@operations("GET", "/tags/changes", roles=["viewer"], query=PageQuery, returns=list[TagChangeView])
async def list_tag_changes(call: Call) -> Any:
    """List the latest changes, with how far they are. None for a caller limited to channels: they count all people."""
    rows = await call.runtime.tags.changes() if call.principal.channels is None else []
    rows, following = sliced(rows, lambda row: row["_id"], call.query)
    return page([_view(row) for row in rows], following)


@operations("POST", "/tags/changes", roles=["marketer"], body=TagChangeBody, returns=TagChangeView, status=202)
async def change_tag(call: Call) -> Any:
    """Rename a tag, join it with another or take it away, across all people. It is done in the background.

    Segments, journeys, rules of the score and programs that name the old tag mean the new one from then on, until the
    change is undone. `GET /tags` says beforehand who names it.
    """
    refuse_scoped(call)
    row = await call.runtime.tags.change(call.body.what, call.body.tag, call.body.to, by=call.principal.id)
    return Reply(_view(row), 202)


@operations("POST", "/tags/changes/{id:tgc}/undo", roles=["marketer"], returns=TagChangeView)
async def undo_tag_change(call: Call) -> Any:
    """Take a change back: whoever it found has again what they had."""
    refuse_scoped(call)
    return _view(await call.runtime.tags.undo(call.path["id"], by=call.principal.id))
