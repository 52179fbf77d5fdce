"""How channels look in lists: two letters, a hue, a name. We show no logos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Face:
    """The mark of one channel account. `hue` is one of 24; `label` names the provider, `name` the account."""

    letters: str
    hue: int
    label: str
    name: str
    provider: str


def hue_step(degrees: int) -> int:
    """A hue in degrees as one of the 24 classes of the style sheet."""
    return round(degrees / 15) % 24


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
