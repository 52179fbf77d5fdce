"""Saved views: by what lists of conversations are narrowed, of one's own and shared by all."""

from __future__ import annotations

from typing import Any

from desk.api.contract import Call, Operations, not_there
from desk.api.scope import Asking, refuse_sharing
from desk.api.shapes import PageQuery, Patch, Time, View, page, sliced
from inbox.counting import BUILT_IN
from inbox.view_filter import ViewFilter
from inbox.views import SavedView, ViewInput, ViewName

operations = Operations("views")


class ViewPatch(Patch):
    """Parts to replace, each as a whole. What is no longer shared is one's own."""

    name: ViewName = ""
    filter: ViewFilter = ViewFilter()
    shared: bool = False


class SavedViewView(View):
    """A view as it stands. Without an owner everybody sees it."""

    id: str
    name: str
    filter: ViewFilter
    shared: bool
    owner_id: str | None
    created_at: Time
    updated_at: Time


class CountsView(View):
    """Conversations by view: `mine`, `unassigned` and `all` open ones, `waiting` in which a customer waits for the
    caller, and saved views by their ids."""

    counts: dict[str, int]


def view_view(view: SavedView) -> SavedViewView:
    """As people and programs see it."""
    return SavedViewView.model_validate(view)


def sees_view(asking: Asking, view: SavedView) -> bool:
    """Whether somebody may see a view: one that names a channel is for who sees that channel."""
    return all(asking.principal.may_see(each) for each in view.filter.channel)


async def seen_view(asking: Asking, view_id: str, *, removed: bool = False) -> SavedView:
    """One that the caller sees; with `removed` also when it was taken away. Raises `NotFound`."""
    views, user_id = asking.runtime.views, asking.principal.id
    found: SavedView = await (views.known if removed else views.get)(view_id, user_id)
    if not sees_view(asking, found):
        raise not_there()
    return found


async def view_to_change(asking: Asking, view_id: str, *, removed: bool = False) -> SavedView:
    """The same, for who may change it. Raises `NotFound`, `Refused`."""
    found = await seen_view(asking, view_id, removed=removed)
    if found.shared:
        refuse_sharing(asking)
    return found


def check_view(asking: Asking, filter: ViewFilter | None, shared: bool | None) -> None:
    """Raise `NotFound` for channels that may not be seen, `Refused` for who may not share."""
    if filter is not None and not all(asking.principal.may_see(each) for each in filter.channel):
        raise not_there()
    if shared:
        refuse_sharing(asking)


@operations("GET", "/views", roles=["viewer"], query=PageQuery, returns=list[SavedViewView])
async def list_views(call: Call) -> Any:
    """List saved views of the inbox by name: one's own, and those all share."""
    seen = [each for each in await call.runtime.views.seen_by(call.principal.id) if sees_view(call, each)]
    found, following = sliced(seen, lambda view: view.id, call.query)
    return page([view_view(each) for each in found], following)


@operations("POST", "/views", roles=["viewer"], body=ViewInput, returns=SavedViewView, status=201)
async def create_view(call: Call) -> Any:
    """Save a view. 409 `name_taken` when there is one with this name.

    `filter` says what belongs: of several values in one field one has to hold, and all fields together; `assignee`
    takes `me` (whoever looks), `none` and user ids. `shared`, for who answers on all channels: everybody sees it.
    """
    check_view(call, call.body.filter, call.body.shared)
    return view_view(await call.runtime.views.create(call.body, call.principal.id))


@operations("GET", "/views/counts", roles=["viewer"], returns=CountsView)
async def count_views(call: Call) -> Any:
    """How many conversations are in each view, as the caller sees them.

    The counts are kept with every change, not counted when asked, and at most a second old. A view that asks for words
    or for what is known of people has none.
    """
    seen = [each for each in await call.runtime.views.seen_by(call.principal.id) if sees_view(call, each)]
    scope = call.principal.reach
    views = {**BUILT_IN, **{each.id: each.filter for each in seen}}
    return CountsView(counts=await call.runtime.counting.counts(views, call.principal.id, scope))


@operations("GET", "/views/{id:viw}", roles=["viewer"], returns=SavedViewView)
async def get_view(call: Call) -> Any:
    """One saved view."""
    return view_view(await seen_view(call, call.path["id"]))


@operations("PATCH", "/views/{id:viw}", roles=["viewer"], body=ViewPatch, returns=SavedViewView)
async def change_view(call: Call) -> Any:
    """Rename a view, replace its filter, share it or keep it to oneself."""
    given = call.body.given()
    known = await view_to_change(call, call.path["id"])
    check_view(call, given.get("filter"), given.get("shared"))
    return view_view(await call.runtime.views.change(known.id, call.principal.id, **given))


@operations("DELETE", "/views/{id:viw}", roles=["viewer"])
async def delete_view(call: Call) -> None:
    """Take a view away; for 30 days it can be put back."""
    known = await view_to_change(call, call.path["id"])
    await call.runtime.views.remove(known.id, call.principal.id)


@operations("POST", "/views/{id:viw}/restore", roles=["viewer"], returns=SavedViewView)
async def restore_view(call: Call) -> Any:
    """Undo a deletion."""
    known = await view_to_change(call, call.path["id"], removed=True)
    return view_view(await call.runtime.views.restore(known.id, call.principal.id))
