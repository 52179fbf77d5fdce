"""Raw deliveries of a channel: what came, what became of it, and process it again."""

from __future__ import annotations

import base64
from typing import Any

from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations, not_there
from desk.api.shapes import PageQuery, Time, View, page

operations = Operations("channels")


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    troubled: bool = Field(False, description="Only those that did not go well, or have to be tried again.")


class DeliveryView(View):
    """A request of a provider as it was kept. `state`: pending, done, quarantined (unreadable) or dead."""

    id: str
    channel_id: str
    provider: str
    state: str
    reason: str | None
    events: int | None = Field(description="Events it held; null until it was read.")
    bytes: int
    attempts: int
    received_at: Time


class DeliveryDetail(DeliveryView):
    """With what it held. `body` where it is text, else `body_base64`. Signatures are not kept."""

    method: str
    headers: dict[str, list[str]]
    query: dict[str, list[str]]
    body: str | None
    body_base64: str | None


class Again(View):
    """Whether it was made due again; false: it is waiting already."""

    again: bool


def known_of(row: Document) -> dict[str, Any]:
    """What the log shows of a delivery."""
    return {**{name: row.get(name) for name in DeliveryView.model_fields}, "id": row["_id"]}


@operations("GET", "/channels/{id:chn}/deliveries", roles=["admin"], query=DeliveryQuery, returns=list[DeliveryView])
async def list_deliveries(call: Call) -> Any:
    """List what a channel's provider delivered, newest first."""
    call.must_see(call.path["id"])
    query = call.query
    found = await call.runtime.journal.page(
        call.path["id"], troubled=query.troubled, cursor=query.cursor, limit=query.limit
    )
    return page([DeliveryView(**known_of(row)) for row in found.data], found.next_cursor)


@operations("GET", "/channels/{id:chn}/deliveries/{delivery_id:dlv}", roles=["admin"], returns=DeliveryDetail)
async def get_delivery(call: Call) -> Any:
    """One delivery with its bytes."""
    row = await _seen(call)
    raw = bytes(row["body"])
    text = text_of(raw)
    return DeliveryDetail(
        **known_of(row), method=row["method"], headers=row["headers"], query=dict(row["query"]), body=text,
        body_base64=None if text is not None else base64.b64encode(raw).decode(),
    )  # fmt: skip


@operations("POST", "/channels/{id:chn}/deliveries/{delivery_id:dlv}/again", roles=["admin"], returns=Again)
async def process_again(call: Call) -> Any:
    """Process a delivery again. Effects are unique, so that nothing is doubled."""
    row = await _seen(call)
    count = await call.runtime.journal.again({"_id": row["_id"]})
    await call.runtime.doorbell.ring("ingest")
    return Again(again=bool(count))


async def _seen(call: Call) -> Document:
    call.must_see(call.path["id"])
    row: Document | None = await call.runtime.journal.one(call.path["id"], call.path["delivery_id"])
    if row is None:
        raise not_there()
    return row


def text_of(raw: bytes) -> str | None:
    """The body when it is text that JSON can carry; None for other bytes."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text
