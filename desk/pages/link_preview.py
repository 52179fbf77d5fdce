"""Addresses in a message as they will be, with what is added to them for the shop's own statistics. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from campaigns.tracking.rewriting import targets_of
from campaigns.utm import Utm, UtmChoice
from campaigns.wording.parts import texts_of
from channels.vocabulary import Address, OutboundMessage

#: Links that are shown as they will be.
LINKS_SHOWN = 8


def added_to(chosen: Mapping[str, Any] | None, house: Utm) -> Utm | None:
    """What is added in the end; None where that is nothing, or what is chosen cannot be read."""
    try:
        added = UtmChoice.model_validate(chosen or {}).over(house)
    except ValidationError:
        return None
    return added if any(added.model_dump().values()) else None


def links_as_sent(message: OutboundMessage, added: Utm, names: Mapping[str, str], base_url: str) -> tuple[str, ...]:
    """The addresses in it that lead out of the house. `names`: see `campaigns.tracking.rewriting.names_for`."""
    return tuple(targets_of(message, added, names, base_url).values())[:LINKS_SHOWN]


def links_written(content: Mapping[str, Any], added: Utm, names: Mapping[str, str], base_url: str) -> tuple[str, ...]:
    """The same of a content that is not filled in, in all its languages; without addresses that hold a name."""
    text = "\n".join(html.unescape(each) for each in texts_of(content))
    message = OutboundMessage(key="-", to=Address(channel_id="-", external_id="-"), text=text)
    targets = targets_of(message, added, names, base_url)
    return tuple(target for url, target in targets.items() if "{" not in url)[:LINKS_SHOWN]
