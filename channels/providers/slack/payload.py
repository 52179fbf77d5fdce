"""What Slack posted: JSON events, forms with a JSON payload (buttons, shortcuts), and slash commands as plain forms.

https://docs.slack.dev/apis/events-api, …/interactivity, …/interactivity/implementing-slash-commands
(by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from channels.adapter import Unreadable
from channels.reading import Json, read_json, storable, text

_BOM = b"\xef\xbb\xbf"
#: Passwords for an answer or for the app; they stay in the journal and go no further.
_PRIVATE = frozenset({"token", "response_url", "response_urls"})


def read_payload(body: bytes) -> Json:
    """The object inside; a slash command gets the type `slash_command`. Raises `Unreadable`."""
    body = body.removeprefix(_BOM).strip()
    found = read_json(body) if body.startswith(b"{") else _from_form(body)
    if not isinstance(found, dict):
        raise Unreadable("Slack's payload is no object.")
    return found


def type_of(payload: Json) -> str:
    """The outer type; empty where there is none."""
    return (text(payload.get("type")) or "")[:100]


def shown(payload: Json) -> Json:
    """The payload as events keep it."""
    kept = {name: value for name, value in payload.items() if name not in _PRIVATE}
    return kept or {"type": type_of(payload)}


def _from_form(body: bytes) -> Any:
    try:
        fields: Json = storable(dict(parse_qsl(body.decode(), keep_blank_values=True, errors="replace")))
    except ValueError:
        raise Unreadable("The body is neither JSON nor a form.") from None
    if "payload" in fields:
        return read_json(fields["payload"].encode())
    if "command" in fields:
        return {**fields, "type": "slash_command"}
    if "ssl_check" in fields:
        return {**fields, "type": "ssl_check"}
    raise Unreadable("The form is none of Slack's.")
