"""Static files: read once, named by a hash of their content, kept by browsers for ever. No build step.

The style sheets in `static/css` are served as one, in the order of their names; htmx comes from its own package.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from desk.auth import public

FOLDER = Path(__file__).parent / "static"
BUNDLE = "rapport.css"
WORTH_PACKING = ("text/", "application/javascript", "image/svg+xml", "application/manifest+json")
TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Asset:
    """One file, ready to be served."""

    body: bytes
    packed: bytes | None
    media_type: str


class Assets:
    """All static files in memory, under one version."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {name: _asset(name, body) for name, body in _read(folder).items()}
        digest = hashlib.sha256()
        for name in sorted(self._files):
            digest.update(name.encode() + b"\0" + self._files[name].body)
        self.version = digest.hexdigest()[:12]

    def url(self, name: str) -> str:
        """Where a file is served. Raises `KeyError` for one that does not exist."""
        if name not in self._files:
            raise KeyError(name)
        return f"/static/{self.version}/{name}"

    @property
    def routes(self) -> list[web.RouteDef]:
        """The one route."""
        return [web.get("/static/{version}/{name:.+}", public(self._serve))]

    async def _serve(self, request: web.Request) -> web.Response:
        asset = self._files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        current = request.match_info["version"] == self.version
        headers = {"Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache"}
        body = asset.body
        if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            body, headers["Content-Encoding"] = asset.packed, "gzip"
        headers["Vary"] = "Accept-Encoding"
        charset = "utf-8" if asset.media_type.startswith("text/") else None
        return web.Response(body=body, content_type=asset.media_type, charset=charset, headers=headers)


def _read(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "css"
    }
    found[BUNDLE] = b"\n".join(path.read_bytes() for path in sorted((folder / "css").glob("*.css")))
    htmx = files("js_lib_htmx") / "static" / "htmx" / "htmx.min.js"
    found["vendor/htmx.min.js"] = htmx.read_bytes()
    return found


def _asset(name: str, body: bytes) -> Asset:
    suffix = Path(name).suffix
    media_type = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    worth = media_type.startswith(WORTH_PACKING) and len(body) > 1000
    return Asset(body, gzip.compress(body, 9, mtime=0) if worth else None, media_type)
