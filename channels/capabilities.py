"""What a channel can carry, as data with its source; asked before a send, so a refusal is a sentence, not a code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from channels.vocabulary import AttachmentKind, Button, Frozen, OutboundMessage, OutboundReaction

#: Behind an emoji it asks for the coloured form; platforms tell and take it with and without.
COLOURED = "\ufe0f"


class Idempotency(StrEnum):
    """What a repeat of the same send key does."""

    #: The provider honours the key: a repeat is the same message.
    KEY = "key"
    #: The key comes back in receipts or echoes: wait for one before repeating.
    ECHO = "echo"
    #: The receiver can drop the double (same Message-ID), the provider does not.
    RECEIVER = "receiver"
    NONE = "none"


class MediaLimit(Frozen):
    """One kind of file the channel takes."""

    kind: AttachmentKind
    max_bytes: int
    media_types: tuple[str, ...] = ()


class Reacting(Frozen):
    """What we may react with. `emojis` empty: any. `within_s`: how old their message may be, in seconds."""

    emojis: tuple[str, ...] = ()
    within_s: int | None = None

    def takes(self, emoji: str) -> bool:
        """Whether this emoji is one of them, with or without the sign that asks for its coloured form."""
        plain = emoji.replace(COLOURED, "")
        return not self.emojis or plain in {each.replace(COLOURED, "") for each in self.emojis}


class Capabilities(Frozen):
    """Limits and windows. Numbers marked by vendors as changing can be overridden per account."""

    text_limit: int
    text_unit: Literal["characters", "utf16", "bytes"] = "characters"
    media: tuple[MediaLimit, ...] = ()
    caption: bool = True
    #: Files go out as addresses that the provider fetches; it takes no bytes.
    files_by_link: bool = False
    buttons: int = 0
    #: How many when one of them is a link; None: the same.
    buttons_with_link: int | None = None
    button_title_limit: int = 20
    templates: bool = False
    location: bool = False
    #: Seconds after the person's last message in which anything may be sent; None: no window.
    reply_window_s: int | None = None
    #: Seconds in which a person, but no machine, may still answer; None: the same as for everybody.
    human_window_s: int | None = None
    #: Outside the window an approved template is the only way.
    template_outside_window: bool = False
    #: Messages we may send within one window; None: no quota.
    window_quota: int | None = None
    rate_per_s: float = 20.0
    idempotency: Idempotency = Idempotency.NONE
    delivery_receipts: bool = False
    read_receipts: bool = False
    #: Theirs are told to us; `reacting`: ours can be sent (None: not).
    reactions: bool = False
    reacting: Reacting | None = None
    edits: bool = False
    deletes: bool = False
    typing: bool = False
    #: The provider's page each of this follows, and the day it was read.
    sources: tuple[str, ...] = ()

    def window_s(self, *, automatic: bool) -> int | None:
        """The reply window for what a machine (`automatic`) or a person wrote; None: no window."""
        if automatic or self.reply_window_s is None or self.human_window_s is None:
            return self.reply_window_s
        return max(self.reply_window_s, self.human_window_s)

    def shows(self, buttons: Sequence[Button]) -> bool:
        """Whether these buttons fit; where they do not, a machine writes them out as text."""
        return len(buttons) <= self._most(buttons)

    def _most(self, buttons: Sequence[Button]) -> int:
        with_link = self.buttons_with_link is not None and any(each.url for each in buttons)
        return self.buttons_with_link or 0 if with_link else self.buttons

    def length_of(self, text: str) -> int:
        """`text` measured in the channel's own unit."""
        if self.text_unit == "utf16":
            return len(text.encode("utf-16-le")) // 2
        if self.text_unit == "bytes":
            return len(text.encode())
        return len(text)

    def objection(self, message: OutboundMessage) -> str | None:
        """A sentence why this channel cannot carry `message`, or None when it can. Windows are asked elsewhere."""
        if message.reaction is not None:
            return self._reaction_objection(message.reaction)
        text = message.text or ""
        if self.length_of(text) > self.text_limit:
            return f"The text is {self.length_of(text)} {self.text_unit} long; this channel takes {self.text_limit}."
        if not self.shows(message.buttons):
            most = self._most(message.buttons)
            return f"This channel shows at most {most} such buttons; the message has {len(message.buttons)}."
        if message.template is not None and not self.templates:
            return "This channel has no approved templates; send the text itself."
        if message.location is not None and not self.location:
            return "This channel cannot carry a location."
        return self._media_objection(message)

    def _reaction_objection(self, reaction: OutboundReaction) -> str | None:
        if self.reacting is None:
            return "This channel carries no reactions of ours."
        if reaction.emoji is not None and not self.reacting.takes(reaction.emoji):
            return "This channel does not take this emoji as a reaction."
        return None

    def _media_objection(self, message: OutboundMessage) -> str | None:
        limits = {limit.kind: limit for limit in self.media}
        for file in message.attachments:
            limit = limits.get(file.kind)
            if limit is None:
                return f"This channel cannot carry a file of the kind {file.kind.value}."
            if file.size_bytes is not None and file.size_bytes > limit.max_bytes:
                return f"The {file.kind.value} has {file.size_bytes} bytes; this channel takes {limit.max_bytes}."
        return None
