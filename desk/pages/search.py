"""Search: messages, people and orders on one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import TooSlow
from desk.api.scope import reading
from desk.api.search import hits_for, orders_for, people_for
from desk.auth import principal_of, require
from desk.i18n import Formats
from desk.keys import runtime_of
from desk.pages.effects import tier_names
from desk.pages.faces import Face, Faces
from desk.pages.inbox_rows import name_of
from desk.pages.orders import order_row
from desk.pages.profiles import profile_row
from desk.pages.reads import faces_of, together
from desk.render import formats_of, page
from inbox.models import Conversation, conversation_of
from inbox.searching import Hit
from inbox.words import asked_pieces
from profiles.matching import cut, places

routes = web.RouteTableDef()
SHOWN = 20
Q_MAX = 200


@dataclass(frozen=True)
class HitRow:
    """One message that was found."""

    href: str
    name: str
    profile_id: str
    face: Face
    by: str
    #: In stretches, each with whether it was searched for.
    said: list[tuple[str, bool]]
    is_note: bool
    at: datetime


def hit_row(hit: Hit, q: str, talk: Conversation, faces: Faces, formats: Formats) -> HitRow:
    """One row, in which what was searched for is marked; it leads to the conversation."""
    message, said = hit.message, cut(hit.snippet, places(hit.snippet, asked_pieces(q)))
    by = "" if message.direction == "in" else message.author.name or ""
    return HitRow(
        f"/inbox/{talk.id}?view=all&status={talk.status}", name_of(talk), talk.profile_id,
        faces.of(talk.channel_id, talk.provider), by, said, message.direction == "note", message.provider_at,
    )  # fmt: skip


@routes.get("/search")
@require("viewer")
async def search(request: web.Request) -> web.StreamResponse:
    """What was found, of each kind."""
    q = " ".join(request.query.get("q", "").split())[:Q_MAX]
    found = await _found(request, q) if q else {"fault": "", "hits": [], "people": [], "orders": []}
    return await page(request, "search.html", {"q": q, **found})


async def _found(request: web.Request, q: str) -> dict[str, Any]:
    asking, runtime = reading(request), runtime_of(request)
    formats, fault = formats_of(request, principal_of(request)), ""
    found = await together(
        people=people_for(asking, q, SHOWN), orders=orders_for(asking, q, SHOWN), faces=faces_of(runtime),
        agreed=runtime.terms.now(), tiers=tier_names(runtime, formats),
    )  # fmt: skip
    try:
        hits = await hits_for(asking, q, SHOWN)
    except TooSlow as error:
        hits, fault = [], formats.text(str(error))
    talks = await runtime.conversations.rows(hit.message.conversation_id for hit in hits)
    names = {each.id: each.display_name for each in found["people"]}
    buyers = await runtime.profiles.many({each.profile_id for each in found["orders"]} - names.keys())
    names |= {key: each.display_name for key, each in buyers.items()}
    return {
        "hits": [
            hit_row(hit, q, conversation_of(talks[hit.message.conversation_id]), found["faces"], formats)
            for hit in hits
            if hit.message.conversation_id in talks
        ],
        "people": [profile_row(each, formats, found["agreed"], found["tiers"]) for each in found["people"]],
        "orders": [order_row(each, names.get(each.profile_id, each.profile_id), formats) for each in found["orders"]],
        "fault": fault,
    }
