"""Templates: the library with its search, what worked, duplicating, deleting and undoing that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from base.errors import WrongInput
from desk.api.scope import reading, refuse_scoped
from desk.auth import principal_of, require
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages.definition_forms import id_in, removed_id
from desk.pages.tracked import uncounted
from desk.render import page, reader_of

routes = web.RouteTableDef()
HERE, PER_PAGE = "/templates", 50
KINDS = {"email": N_("E-mail"), "chat": N_("Chat"), "whatsapp": N_("WhatsApp"), "text": N_("Text")}
#: Count → its share in words, and what is said where nobody counts.
_SHARES = {
    "opened": (N_("%(percent)s %% opened"), N_("opening not tracked")),
    "clicked": (N_("%(percent)s %% clicked"), N_("clicks not tracked")),
}  # fmt: skip
ORDERS = NN_("%(num)s order", "%(num)s orders")
MISSING = N_("There is no such template.")


@dataclass(frozen=True)
class TemplateRow:
    """One template. `worked`: what its messages have come to; empty where it was not sent yet."""

    id: str
    name: str
    kind: str
    text: str
    tags: tuple[str, ...]
    languages: tuple[str, ...]
    worked: str
    revision: int
    at: datetime


def template_row(
    row: Mapping[str, Any], formats: Formats, sums: Mapping[str, int] | None, tracked: Collection[str]
) -> TemplateRow:
    """One row; the wording is the subject, else the text."""
    content = row.get("content") or {}
    words = content.get("subject") or content.get("text") or content.get("body") or content.get("name") or ""
    kind = str(row.get("kind", ""))
    shown = formats.text(KINDS[kind]) if kind in KINDS else kind
    return TemplateRow(
        row["_id"], row["name"], shown, " ".join(str(words).split())[:120], tuple(row.get("tags") or ()),
        tuple(content.get("locales") or ()), worked(sums, formats, tracked), row.get("rev", 1), row["updated_at"],
    )  # fmt: skip


def worked(sums: Mapping[str, int] | None, formats: Formats, tracked: Collection[str]) -> str:
    """How many it was sent to, which share of them opened and clicked, and how many orders that brought. `tracked`: of
    `opened` and `clicked` what is counted."""
    reached = (sums or {}).get("accepted", 0)
    if not sums or not reached:
        return ""
    told = [formats.text(N_("Sent to %(count)s"), count=formats.number(reached))]
    for name, (share, not_tracked) in _SHARES.items():
        count = sums.get(name, 0)
        if uncounted(name, count, tracked):
            told.append(formats.text(not_tracked))
        else:
            told.append(formats.text(share, percent=formats.number(round(count * 100 / reached))))
    orders = sums.get("orders", 0)
    return " · ".join([*told, formats.plural(*ORDERS, orders)] if orders else told)


async def worked_by_key(request: web.Request, keys: Sequence[str], use: Callable[[str], str]) -> dict[str, str]:
    """Key of a snippet or an offer → what the messages it stands in have come to; figures speak of all channels.
    `use`: what it is called among uses."""
    if principal_of(request).channels is not None:
        return dict.fromkeys(keys, "")
    sums, formats = await runtime_of(request).results.of_contents([use(key) for key in keys]), reader_of(request)
    tracked = (await runtime_of(request).tracking_choice.now()).settings.counted
    return {key: worked(sums.get(use(key)), formats, tracked) for key in keys}


@routes.get(HERE)
@require("viewer")
async def templates(request: web.Request) -> web.StreamResponse:
    """The library, newest first; by words, kind and tag."""
    runtime, formats = runtime_of(request), reader_of(request)
    asked = {name: request.query.get(name, "").strip()[:100] for name in ("q", "kind", "tag")}
    kind = asked["kind"] if asked["kind"] in KINDS else ""
    try:
        found = await runtime.templates.page(
            kind=kind or None, tag=asked["tag"][:40] or None, q=asked["q"] or None, limit=PER_PAGE,
            cursor=request.query.get("cursor"),
        )  # fmt: skip
    except WrongInput:
        raise web.HTTPSeeOther(HERE) from None
    whole = principal_of(request).channels is None
    sums = await runtime.results.of_contents([each["_id"] for each in found.data]) if whole else {}
    tracked = (await runtime.tracking_choice.now()).settings.counted
    removed = removed_id(request, "tpl")
    query = {name: value for name, value in asked.items() if value}
    values = {
        "templates": [template_row(each, formats, sums.get(each["_id"]), tracked) for each in found.data],
        "asked": asked, "kinds": {name: KINDS[name] for name in ("email", "chat", "whatsapp")},
        "tags": await runtime.templates.tags(), "removed": removed,
        "may_change": principal_of(request).may_everywhere("marketer"),
        "more": f"{HERE}?{urlencode({**query, 'cursor': found.next_cursor})}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "templates/list.html", values)


@routes.post(HERE + "/{template_id}/duplicate")
@require("marketer")
async def duplicate(request: web.Request) -> web.StreamResponse:
    """The same once more, opened to be changed."""
    refuse_scoped(reading(request))
    template_id = id_in(request, "template_id", "tpl", MISSING)
    made = await runtime_of(request).templates.duplicate(template_id, principal_of(request).id)
    raise web.HTTPSeeOther(f"{HERE}/{made['_id']}")


@routes.post(HERE + "/{template_id}/delete")
@require("marketer")
async def delete(request: web.Request) -> web.StreamResponse:
    """Take it out of the library; the list offers to put it back."""
    refuse_scoped(reading(request))
    template_id = id_in(request, "template_id", "tpl", MISSING)
    await runtime_of(request).templates.delete(template_id)
    raise web.HTTPSeeOther(f"{HERE}?removed={template_id}")


@routes.post(HERE + "/{template_id}/restore")
@require("marketer")
async def restore(request: web.Request) -> web.StreamResponse:
    """Undo that."""
    refuse_scoped(reading(request))
    await runtime_of(request).templates.restore(id_in(request, "template_id", "tpl", MISSING))
    raise web.HTTPSeeOther(HERE)
