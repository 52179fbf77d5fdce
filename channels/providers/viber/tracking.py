"""What we put into `tracking_data`, and read from it: Viber gives it back with the person's *next* message.

https://developers.viber.com/docs/api/rest-bot-api/#general-send-message-parameters (read 2026-11-28)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from channels.adapter import Unreadable
from channels.reading import mapping, read_json, text
from channels.vocabulary import Button

LIMIT = 4096


class Before(NamedTuple):
    """The message of ours that the person saw last."""

    key: str
    #: Payload → title of its buttons.
    titles: Mapping[str, str]


def tracking(key: str, buttons: Sequence[Button]) -> str:
    """Key and titles as short JSON; the key alone where both are too long for Viber."""
    titles = {payload_of(button): button.title for button in buttons if not button.url}
    full = json.dumps({"key": key, **({"titles": titles} if titles else {})}, ensure_ascii=False)
    return full if len(full) <= LIMIT else json.dumps({"key": key[:1000]})


def sent_before(given: str) -> Before:
    """Read what `tracking` wrote. Raises `Unreadable` for what somebody else put there."""
    found = mapping(read_json(given.encode(errors="replace")))
    key = text(found.get("key"))
    if key is None:
        raise Unreadable("Not our tracking data.")
    titles = {payload: title for payload, each in mapping(found.get("titles")).items() if (title := text(each))}
    return Before(key, titles)


def payload_of(button: Button) -> str:
    """What a pressed button sends."""
    return button.payload or button.title
