"""How channels look in lists: two letters, a hue, a name. We show no logos."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from colorsys import hls_to_rgb
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True)
class Face:
    """The mark of one channel account. `hue` is one of 24; `label` names the provider, `name` the account."""

    letters: str
    hue: int
    label: str
    name: str
    provider: str


@lru_cache(maxsize=360)
def hue_step(degrees: int) -> int:
    """A hue of the usual colour wheel (0 red, 120 green, 240 blue) as one of the 24 steps of the style sheet.

    The sheet counts in OKLCH, whose wheel is turned: there the same green stands at 142 and the same blue at 264.
    """
    red, green, blue = (_linear(channel) for channel in hls_to_rgb(degrees / 360, 0.45, 0.65))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    a = 1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short
    b = 0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short
    return round(math.degrees(math.atan2(b, a)) % 360 / 15) % 24


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def provider_face(card: Any) -> Face:
    """The mark of a provider itself."""
    return Face(card.mark, hue_step(card.hue), card.label, card.label, card.provider)


def face_of(provider: str, name: str | None, cards: Mapping[str, Any]) -> Face:
    """The mark of an account; a plain one when its provider is no longer here."""
    card = cards.get(provider)
    if card is None:
        return Face("··", 14, provider, name or provider, provider)
    return Face(card.mark, hue_step(card.hue), card.label, name or card.label, provider)


class Faces:
    """The marks of all connected accounts, looked up by channel id."""

    def __init__(self, channels: Sequence[Any], cards: Sequence[Any]) -> None:
        self.cards = {card.provider: card for card in cards}
        self.channels = {channel.id: channel for channel in channels}

    def of(self, channel_id: str | None, provider: str = "") -> Face:
        """The mark of an account, also of one that was disconnected."""
        channel = self.channels.get(channel_id or "")
        if channel is None:
            return face_of(provider, None, self.cards)
        return face_of(channel.provider, channel.name, self.cards)
