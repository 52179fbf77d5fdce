"""What the caller has begun to write in a conversation: kept on the server, so it is there on every device."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from base.mongo import Document
from desk.api.contract import Call, Operations, not_there
from desk.api.shapes import Body, Query, Time, View
from inbox.drafts import Draft, DraftInput, DraftKey

operations = Operations("drafts")


class DraftQuery(Query):
    """Which of the two: each person has one answer and one note in work per conversation."""

    mode: Literal["reply", "note"] = "reply"


class DraftBody(Body, DraftInput):
    """What is kept of it. An empty one is removed."""

    mode: Literal["reply", "note"] = "reply"
    rev: int = Field(0, ge=0, le=2**53, description="The version that was seen; 0: there was none.")


class DraftView(View):
    """A draft of the caller's. `rev` 0: there is none."""

    text: str
    file_ids: list[str]
    reply_to: str | None
    subject: str | None
    cc: list[str]
    canned_ids: list[str]
    rev: int
    updated_at: Time | None


def draft_view(draft: Draft | None) -> DraftView:
    """As its owner sees it; what is not there is empty."""
    written = draft.written if draft else DraftInput()
    rev, at = (draft.rev, draft.updated_at) if draft else (0, None)
    return DraftView.model_validate({**written.model_dump(), "rev": rev, "updated_at": at})


@operations("GET", "/conversations/{id:cnv}/draft", roles=["agent"], query=DraftQuery, returns=DraftView)
async def get_draft(call: Call) -> Any:
    """The caller's draft in a conversation."""
    row = await _talk(call)
    return draft_view(await call.runtime.drafts.get(DraftKey(row["_id"], call.principal.id, call.query.mode)))


@operations("PUT", "/conversations/{id:cnv}/draft", roles=["agent"], body=DraftBody, returns=DraftView)
async def save_draft(call: Call) -> Any:
    """Keep a draft. 409 `draft_changed` when another window saved or sent it after the version named by `rev`."""
    row, body = await _talk(call), call.body
    written = DraftInput.model_validate(body.model_dump(exclude={"mode", "rev"}))
    key = DraftKey(row["_id"], call.principal.id, body.mode)
    return draft_view(await call.runtime.drafts.save(key, row, written, body.rev))


@operations("DELETE", "/conversations/{id:cnv}/draft", roles=["agent"], query=DraftQuery, status=204)
async def delete_draft(call: Call) -> Any:
    """Throw a draft away."""
    row = await _talk(call)
    await call.runtime.drafts.remove(DraftKey(row["_id"], call.principal.id, call.query.mode))


async def _talk(call: Call) -> Document:
    row: Document | None = await call.runtime.conversations.row(call.path["id"])
    if row is None:
        raise not_there()
    call.must_see(row["channel_id"])
    return row
