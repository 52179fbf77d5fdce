"""Settings → Channels → Deliveries: what a provider posted, what became of it, and "process again"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.errors import NotFound
from base.ids import is_id
from base.mongo import Document
from desk.api.deliveries import text_of
from desk.auth import principal_of, require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.pages.channels import channel_of
from desk.pages.faces import face_of
from desk.render import formats_of, page

routes = web.RouteTableDef()
PER_PAGE = 50
#: Characters of a body that a page shows.
BODY_SHOWN = 40_000
STATES = {
    "pending": (N_("Waiting"), ""), "done": (N_("Processed"), "good"), "quarantined": (N_("Unreadable"), "warn"),
    "dead": (N_("Failed"), "danger"), "retry": (N_("Is tried again"), "warn"),
}  # fmt: skip


@dataclass(frozen=True)
class DeliveryRow:
    """One delivery in the log."""

    id: str
    at: datetime
    state: str
    state_label: str
    tone: str
    reason: str
    events: str
    size: str
    may_repeat: bool


def delivery_row(row: Document, formats: Formats) -> DeliveryRow:
    """A delivery as it is shown."""
    state = "retry" if row["state"] == "pending" and row["reason"] else row["state"]
    label, tone = STATES[state]
    events = "–" if row["events"] is None else formats.number(row["events"])
    return DeliveryRow(
        row["_id"], row["received_at"], state, formats.text(label), tone, row["reason"] or "", events,
        f"{formats.number(row['bytes'])} B", row["state"] != "pending",
    )  # fmt: skip


def shown_body(raw: bytes) -> tuple[str, bool]:
    """The body for a person to read, JSON laid out; and whether it was cut."""
    text = text_of(raw)
    if text is None:
        text = raw.hex(" ")
    else:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass  # XML, a form, a letter: as it came
    return text[:BODY_SHOWN], len(text) > BODY_SHOWN


@routes.get("/settings/channels/{channel_id}/deliveries")
@require("admin")
async def deliveries(request: web.Request) -> web.StreamResponse:
    """The log, newest first."""
    channel, runtime = await channel_of(request), runtime_of(request)
    formats, troubled = formats_of(request, principal_of(request)), request.query.get("only") == "trouble"
    cursor = request.query.get("cursor")
    found = await runtime.journal.page(channel.id, troubled=troubled, cursor=cursor, limit=PER_PAGE)
    here = f"/settings/channels/{channel.id}/deliveries"
    query = "only=trouble&" if troubled else ""
    values: dict[str, Any] = {
        "channel": channel, "face": _face(request, channel), "troubled": troubled, "here": here,
        "rows": [delivery_row(row, formats) for row in found.data],
        "next_href": f"{here}?{query}cursor={found.next_cursor}" if found.next_cursor else "",
    }  # fmt: skip
    return await page(request, "settings/deliveries.html", values)


@routes.get("/settings/channels/{channel_id}/deliveries/{delivery_id}")
@require("admin")
async def delivery(request: web.Request) -> web.StreamResponse:
    """One delivery with what it held."""
    channel, row = await channel_of(request), await _row(request)
    formats = formats_of(request, principal_of(request))
    body, is_cut = shown_body(bytes(row["body"]))
    values: dict[str, Any] = {
        "channel": channel, "face": _face(request, channel), "row": delivery_row(row, formats), "body": body,
        "is_cut": is_cut, "method": row["method"], "attempts": formats.number(row["attempts"]),
        "lines": [(name, ", ".join(values)) for name, values in sorted(row["headers"].items())],
        "query": [(name, ", ".join(values)) for name, values in row["query"]],
        "here": f"/settings/channels/{channel.id}/deliveries", "again": "again" in request.query,
    }  # fmt: skip
    return await page(request, "settings/delivery.html", values)


@routes.post("/settings/channels/{channel_id}/deliveries/{delivery_id}/again")
@require("admin")
async def again(request: web.Request) -> web.StreamResponse:
    """Process one again."""
    channel, row, runtime = await channel_of(request), await _row(request), runtime_of(request)
    await runtime.journal.again({"_id": row["_id"]})
    await runtime.doorbell.ring("ingest")
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}/deliveries/{row['_id']}?again=1")


@routes.post("/settings/channels/{channel_id}/deliveries/again")
@require("admin")
async def all_again(request: web.Request) -> web.StreamResponse:
    """Process again what failed or could not be read, as after a mended secret or a newer version."""
    channel, runtime = await channel_of(request), runtime_of(request)
    await runtime.journal.again({"channel_id": channel.id, "state": {"$in": ["dead", "quarantined"]}})
    await runtime.doorbell.ring("ingest")
    raise web.HTTPSeeOther(f"/settings/channels/{channel.id}/deliveries?only=trouble")


async def _row(request: web.Request) -> Document:
    channel_id, delivery_id = request.match_info["channel_id"], request.match_info["delivery_id"]
    row: Document | None = None
    if is_id(delivery_id, "dlv"):
        row = await runtime_of(request).journal.one(channel_id, delivery_id)
    if row is None:
        raise NotFound("There is no such delivery; those that went well are kept for 60 days.")
    return row


def _face(request: web.Request, channel: Any) -> Any:
    cards = {card.provider: card for card in runtime_of(request).registry.cards()}
    return face_of(channel.provider, channel.name, cards)
