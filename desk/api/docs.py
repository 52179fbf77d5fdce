"""The OpenAPI document and a page to read and try it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any

import orjson
from aiohttp import web

from desk.api.contract import Operation
from desk.api.openapi import document
from desk.auth import authenticate, public
from desk.render import page


def routes(operations: Sequence[Operation]) -> list[web.RouteDef]:
    """For the application. Both are public: they show what the source shows."""
    body = orjson.dumps(document(operations, version=_version()))
    etag = hashlib.sha256(body).hexdigest()[:20]

    @public
    async def openapi(request: web.Request) -> web.StreamResponse:
        headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"'}
        if request.headers.get("If-None-Match") == f'"{etag}"':
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", charset="utf-8", headers=headers)

    @public
    async def docs(request: web.Request) -> web.StreamResponse:
        principal = await authenticate(request)
        groups = [(tag, list(each)) for tag, each in groupby(operations, key=lambda operation: operation.tag)]
        values: dict[str, Any] = {"groups": groups, "signed_in": principal is not None, "version": _version()}
        return await page(request, "api_docs.html", values)

    return [web.get("/api/openapi.json", openapi), web.get("/api/docs", docs)]


def _version() -> str:
    try:
        return version("rapport")
    except PackageNotFoundError:
        return "0"
