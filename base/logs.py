"""Structured logs: one line per happening, a request id, no secrets and no personal data."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from aiohttp.http_exceptions import HttpProcessingError

#: Values of these keys never reach a log.
_SECRET_KEYS = re.compile(
    r"(token|secret|password|authorization|cookie|signature|api_key|body|text|email|phone|url)$",
    re.IGNORECASE,
)
#: Things that look like a secret or a person inside free text.
_PATTERNS = (
    (re.compile(r"/bot\d+:[A-Za-z0-9_-]+"), "/bot[token]"),
    (re.compile(r"(?i)(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 [secret]"),
    (re.compile(r"(?i)((?:access_)?token|secret|password|key|signature)=[^&\s\"']+"), r"\1=[secret]"),
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), "://[credentials]@"),
    (re.compile(r"whsec_[A-Za-z0-9+/=]+"), "whsec_[secret]"),
    (re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"), "[email]"),
    (re.compile(r"(?<![\w.])\+\d{8,15}\b"), "[phone]"),
)


def scrub(text: str) -> str:
    """`text` without tokens, credentials, mail addresses and phone numbers."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: drop secret keys, scrub every text, including a traceback."""
    for key, value in list(event.items()):
        if key not in ("event", "exception") and _SECRET_KEYS.search(key):
            event[key] = "[hidden]"
        elif isinstance(value, str):
            event[key] = scrub(value)
    return event


def _keeps(record: logging.LogRecord) -> bool:
    """False for what aiohttp's server reports of broken requests: they are answered, and strangers could fill disks."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error and (error.__cause__ or error), HttpProcessingError | ConnectionError)


def configure(level: str = "INFO", style: str = "text") -> None:
    """Send the standard library's and structlog's records through one redacting chain to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    render: Any = structlog.processors.JSONRenderer() if style == "json" else _plain()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for noisy in ("aiohttp.access", "arq", "pymongo", "asyncio", "mail.log"):
        logging.getLogger(noisy).setLevel("WARNING")
    logging.getLogger("aiohttp.server").addFilter(_keeps)


def _plain() -> Any:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
