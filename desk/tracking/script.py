"""The tracking script as it is served: one file per account, without comments, its choices put in."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from desk.widget.script import Script

FILE = Path(__file__).parent / "tracking.js"
_CONFIG = '"/*CONFIG*/"'
_COMMENT_LINE = re.compile(r"^\s*//.*\n", re.MULTILINE)
_DOC = re.compile(r"^\s*/\*\*.*?\*/\s*\n", re.MULTILINE | re.DOTALL)


@lru_cache(maxsize=1)
def source() -> str:
    """The file without what only people read."""
    code = _COMMENT_LINE.sub("", _DOC.sub("", FILE.read_text("utf-8")))
    return re.sub(r"^[ \t]+", "", code, flags=re.MULTILINE)


@lru_cache(maxsize=64)
def _made(config: str) -> Script:
    body = source().replace(_CONFIG, config).encode()
    return Script(body, gzip.compress(body, 9, mtime=0), f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def script_for(config: Mapping[str, object]) -> Script:
    """The script with these choices (`consent`, `signals`, `storage`)."""
    return _made(json.dumps(dict(config), sort_keys=True))
