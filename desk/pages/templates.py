"""Templates: the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from desk.auth import require
from desk.i18n import N_, Formats
from desk.keys import runtime_of
from desk.render import page, reader_of

routes = web.RouteTableDef()
KINDS = {"email": N_("E-mail"), "chat": N_("Chat"), "whatsapp": N_("WhatsApp"), "text": N_("Text")}


@dataclass(frozen=True)
class TemplateRow:
    """One template."""

    name: str
    kind: str
    text: str
    revision: int
    at: datetime


def template_row(row: Mapping[str, Any], formats: Formats) -> TemplateRow:
    """One row; the wording is the subject, else the text."""
    content = row.get("content") or {}
    words = content.get("subject") or content.get("text") or content.get("body") or content.get("name") or ""
    kind = str(row.get("kind", ""))
    shown = formats.text(KINDS[kind]) if kind in KINDS else kind
    return TemplateRow(row["name"], shown, " ".join(str(words).split())[:120], row.get("rev", 1), row["updated_at"])


@routes.get("/templates")
@require("viewer")
async def templates(request: web.Request) -> web.StreamResponse:
    """The list, newest first."""
    found = await runtime_of(request).templates.page(limit=200)
    formats = reader_of(request)
    return await page(
        request, "templates/list.html", {"templates": [template_row(each, formats) for each in found.data]}
    )
