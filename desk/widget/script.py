"""The widget's one file: script and style sheet put together, without comments, packed once per process."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
#: Where the style sheet goes in the script.
_STYLE = '"/*STYLE*/"'
_COMMENT_LINE = re.compile(r"^\s*//.*\n", re.MULTILINE)
_DOC = re.compile(r"^\s*/\*\*.*?\*/\s*\n", re.MULTILINE | re.DOTALL)
_CSS_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Script:
    """Ready to be served."""

    body: bytes
    packed: bytes
    tag: str


def load(folder: Path = FOLDER) -> Script:
    """Read, put together, pack."""
    source = (folder / "widget.js").read_text("utf-8")
    style = _CSS_COMMENT.sub("", (folder / "widget.css").read_text("utf-8"))
    style = re.sub(r"\s*([{};:,>])\s*", r"\1", re.sub(r"\s+", " ", style)).strip()
    code = _COMMENT_LINE.sub("", _DOC.sub("", source))
    code = re.sub(r"^[ \t]+", "", code, flags=re.MULTILINE)
    body = code.replace(_STYLE, json.dumps(style, ensure_ascii=False)).encode()
    return Script(body, gzip.compress(body, 9, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def refusal(origin: str) -> bytes:
    """What a page that may not show the chat gets: a sentence for whoever looks into its console."""
    sentence = (
        f"Rapport: the chat is not shown, because {origin} is not among the allowed websites of this channel. "
        "Add it in Rapport under Settings, Channels, Allowed websites."
    )
    return f"console.warn({json.dumps(sentence)});".encode()
