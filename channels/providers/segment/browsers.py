"""What a browser may tell, and what it may not: a key that stands in a page is everybody's. Pure.

Of a shop's doings a browser knows that somebody looks, fills a cart and *begins* a checkout. Whether an order stands,
was paid or sent back, and what somebody has allowed, the operator's servers know: they have a key of their own.
"""

from __future__ import annotations

from typing import Any

from channels.reading import Json, items, mapping, text
from channels.vocabulary import RESERVED

#: The code of a call that was refused for what it claims.
CODE = "not_for_browsers"
#: Beginnings of names that speak of what servers alone know.
SERVERS_ALONE = ("order.", "checkout.", "payment.", "refund.", "invoice.", "subscription.", *RESERVED)
#: What a page sees of a checkout. It still proves nobody.
BEGUN = frozenset({"checkout.started", "checkout.updated"})


def is_for_servers(event: str) -> bool:
    """Whether an event of this name may come from the operator's servers alone."""
    name = event.strip().casefold()
    return name.startswith(SERVERS_ALONE) and name not in BEGUN


def refused_calls(body: Any) -> list[Json]:
    """`{index, event, code}` of the calls of a batch (or of one call alone) that are refused for their name."""
    batch = mapping(body).get("batch")
    calls = items(batch) if isinstance(batch, list) else [body]
    tracks = ((index, mapping(call)) for index, call in enumerate(calls))
    named = ((index, text(call.get("event"))) for index, call in tracks if call.get("type", "track") == "track")
    return [
        {"index": index, "event": event[:100], "code": CODE}
        for index, event in named
        if event is not None and is_for_servers(event)
    ]
