"""The message templates of a business account, as Meta keeps them.

https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/overview, by way of search
(read 2026-11-28): `GET /{business account}/message_templates`, pages of `data` with `paging.cursors.after`.
"""

from __future__ import annotations

import re
from typing import Literal

from channels.providers.meta.graph import Graph
from channels.reading import Json, items, mapping, text
from channels.vocabulary import ApprovedTemplate, TemplateButton

_FIELDS = "name,language,status,category,components,rejected_reason"
#: Pages of 200; no account may have more than 6,000.
_PAGES, _PER_PAGE = 40, "200"

Status = Literal["approved", "pending", "rejected", "paused", "disabled"]
_STATUS: dict[str, Status] = {
    "APPROVED": "approved", "PENDING": "pending", "IN_APPEAL": "pending", "PENDING_DELETION": "disabled",
    "DELETED": "disabled", "DISABLED": "disabled", "ARCHIVED": "disabled", "LIMIT_EXCEEDED": "disabled",
    "PAUSED": "paused", "REJECTED": "rejected",
}  # fmt: skip
_PLACE = re.compile(r"\{\{\s*\w+\s*\}\}")
_FILES = {"IMAGE": "image", "VIDEO": "video", "DOCUMENT": "document"}


async def all_templates(graph: Graph, business_account_id: str) -> tuple[ApprovedTemplate, ...]:
    """Every page. Raises `SendFailed`."""
    found: list[ApprovedTemplate] = []
    query = {"fields": _FIELDS, "limit": _PER_PAGE}
    for _ in range(_PAGES):
        page = await graph.get(business_account_id, "message_templates", **query)
        found += [each for item in items(page.get("data")) if (each := template_of(mapping(item))) is not None]
        paging = mapping(page.get("paging"))
        after = text(mapping(paging.get("cursors")).get("after"))
        if after is None or text(paging.get("next")) is None:
            break
        query["after"] = after
    return tuple(found)


def template_of(item: Json) -> ApprovedTemplate | None:
    """One template; None without name and language. A status nobody knows counts as pending: it cannot be sent."""
    name, language = text(item.get("name")), text(item.get("language"))
    if name is None or language is None:
        return None
    parts = {str(part.get("type")).upper(): part for part in map(mapping, items(item.get("components")))}
    header, body = parts.get("HEADER", {}), text(parts.get("BODY", {}).get("text")) or ""
    heading, reason = text(header.get("text")), text(item.get("rejected_reason"))
    file = _FILES.get(str(header.get("format")).upper())
    return ApprovedTemplate(
        name=name,
        language=language,
        status=_STATUS.get(str(item.get("status")).upper(), "pending"),
        category=text(item.get("category")),
        body=body,
        header=heading,
        footer=text(parts.get("FOOTER", {}).get("text")),
        body_values=_values(body),
        header_values=1 if file else _values(heading or ""),
        header_file=file,
        buttons=tuple(_button(mapping(each)) for each in items(parts.get("BUTTONS", {}).get("buttons"))),
        reason=None if reason in (None, "NONE") else reason,
    )


def _values(wording: str) -> int:
    return len(set(_PLACE.findall(wording)))


def _button(button: Json) -> TemplateButton:
    takes = _values(text(button.get("url")) or "") > 0 or str(button.get("type")).upper() == "COPY_CODE"
    return TemplateButton(title=text(button.get("text")) or "", value=takes)
