"""Fills in canned replies by the template language: the customer, their last order, who answers, the conversation.

What cannot be filled in stays in the text as it is written, so that whoever sends it sees it; `inbox.outbox` sends no
text in which it still stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.errors import FieldError, WrongInput
from campaigns.facts import order_view
from campaigns.namespaces import plain, profile_view
from campaigns.render import Renderer, RenderFailed, RenderItem
from inbox.canned import NAMESPACES
from inbox.models import Conversation
from orders.models import Order

#: One blank; what stands between braces with a percent sign is a condition or a loop.
_BLANK = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_NAMED = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)")
#: Of an order what says what it cost, for whom revenue is covered.
_MONEY = ("total", "lines", "refunds")


@dataclass(frozen=True)
class Answering:
    """Who answers. `masks`: what of customers is covered for them."""

    name: str
    email: str | None = None
    masks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Filled:
    """A text with its blanks filled in, and those that could not be, as they are written."""

    text: str
    blanks: tuple[str, ...]


class CannedWords:
    """Reads and fills in texts of canned replies."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def check(self, text: str) -> None:
        """Raise `WrongInput` for a text that cannot be read or names what is not there."""
        strange = [] if "{%" in text else [each for each in _NAMED.findall(text) if each not in NAMESPACES]
        if strange:
            said = f"knows profile, order, agent and conversation, not {strange[0]}"
            raise WrongInput("The text has faults.", [FieldError("text", said)])
        if text.strip():
            await self._renderer.check({"text": text})

    async def fill(self, text: str, about: Mapping[str, Any], *, locale: str | None, zone: str | None) -> Filled:
        """`about`: the namespaces, of `namespaces_of`."""
        if "{%" in text:
            return await self._whole(text, about, locale, zone)
        parts = _BLANK.split(text)
        blanks = parts[1::2]
        items = [RenderItem({"text": each}, about, locale, zone) for each in blanks]
        made = await self._renderer.render_many(items) if items else []
        missing = []
        for place, (blank, each) in enumerate(zip(blanks, made, strict=True)):
            if isinstance(each, RenderFailed) or each.warnings or not (each.text or "default" in blank):
                missing.append(blank)
            else:
                parts[2 * place + 1] = each.text
        return Filled("".join(parts), tuple(dict.fromkeys(missing)))

    async def _whole(self, text: str, about: Mapping[str, Any], locale: str | None, zone: str | None) -> Filled:
        """With conditions or loops it is filled in whole, or left as it is."""
        (made,) = await self._renderer.render_many([RenderItem({"text": text}, about, locale, zone)])
        if isinstance(made, RenderFailed) or made.warnings:
            return Filled(text, tuple(dict.fromkeys(_BLANK.findall(text))))
        return Filled(made.text, ())


def namespaces_of(
    profile: Mapping[str, Any], orders: Sequence[Order], talk: Conversation, channel_name: str, by: Answering
) -> dict[str, Any]:  # fmt: skip
    """What blanks may name. `orders`: those that who answers may see, the newest first. Pure."""
    person, order = profile_view(profile), plain(order_view(orders))
    if "emails" in by.masks:
        person["email"] = None
    if "phones" in by.masks:
        person["phone"] = None
    if "revenue" in by.masks:
        person["orders"] = {}
        order = {name: value for name, value in order.items() if name not in _MONEY}
    return {
        "profile": person,
        "order": order,
        "agent": {"name": by.name, "first_name": by.name.split()[0] if by.name.strip() else None, "email": by.email},
        "conversation": plain({
            "id": talk.id, "subject": talk.subject, "name": talk.display_name, "channel": channel_name,
            "labels": talk.labels, "priority": talk.priority, "created_at": talk.created_at,
        }),
    }  # fmt: skip
