"""Slack's text as people read it, our text as Slack takes it, and reactions as emoji.

https://docs.slack.dev/messaging/formatting-message-text (by way of channels.md, read 2026-11-28).
"""

from __future__ import annotations

import re

_MARKUP = re.compile(r"<([^<>\n]{1,3000})>")
_TONE = re.compile(r"(.+?)::skin-tone-([2-6])")
#: Short names of the emoji that people react with most; Slack tells names only.
_EMOJI = {
    "+1": "👍", "thumbsup": "👍", "-1": "👎", "thumbsdown": "👎", "ok_hand": "👌", "clap": "👏", "raised_hands": "🙌",
    "pray": "🙏", "wave": "👋", "muscle": "💪", "point_up": "☝️", "point_right": "👉", "eyes": "👀", "heart": "❤️",
    "broken_heart": "💔", "blue_heart": "💙", "green_heart": "💚", "yellow_heart": "💛", "purple_heart": "💜",
    "grinning": "😀", "smiley": "😃", "smile": "😄", "grin": "😁", "laughing": "😆", "satisfied": "😆", "joy": "😂",
    "rolling_on_the_floor_laughing": "🤣", "slightly_smiling_face": "🙂", "wink": "😉", "blush": "😊",
    "heart_eyes": "😍", "kissing_heart": "😘", "sunglasses": "😎", "thinking_face": "🤔", "neutral_face": "😐",
    "disappointed": "😞", "cry": "😢", "sob": "😭", "angry": "😠", "rage": "😡", "open_mouth": "😮", "scream": "😱",
    "sweat_smile": "😅", "face_with_rolling_eyes": "🙄", "facepalm": "🤦", "shrug": "🤷", "tada": "🎉", "rocket": "🚀",
    "fire": "🔥", "star": "⭐", "sparkles": "✨", "100": "💯", "white_check_mark": "✅", "heavy_check_mark": "✔️",
    "x": "❌", "question": "❓", "exclamation": "❗", "warning": "⚠️", "bulb": "💡", "gift": "🎁", "birthday": "🎂",
    "coffee": "☕", "tea": "🍵", "hourglass": "⌛", "zap": "⚡", "handshake": "🤝", "hugging_face": "🤗",
}  # fmt: skip


#: Emoji → its short name, the first where it has several.
_NAMES = {emoji.replace("\ufe0f", ""): name for name, emoji in reversed(_EMOJI.items())}
#: What a message can be reacted with.
REACTIONS = tuple(dict.fromkeys(_EMOJI.values()))


def name_of(emoji: str) -> str | None:
    """The short name of an emoji; None for one that is not listed here."""
    return _NAMES.get(emoji.replace("\ufe0f", ""))


def readable(text: str) -> str:
    """Links, mentions and dates as words; the three escaped characters as themselves."""
    found = _MARKUP.sub(lambda match: _words(match[1]), text)
    return found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escaped(text: str) -> str:
    """Text of ours, so that nothing in it becomes a mention or a link with another name."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def emoji_of(name: str) -> str:
    """The emoji behind a short name; a workspace's own one, and one that is not listed here, as `:name:`."""
    toned = _TONE.fullmatch(name)
    base, tone = (toned[1], chr(0x1F3F9 + int(toned[2]))) if toned else (name, "")
    found = _EMOJI.get(base)
    return f"{found}{tone}" if found else f":{name}:"


def _words(inside: str) -> str:
    target, bar, label = inside.partition("|")
    if target.startswith("!"):
        return label if bar else "@" + target[1:].partition("^")[0]
    mark = target[:1]
    if mark in ("@", "#"):
        return mark + (label or target[1:]).removeprefix(mark)
    address = target.removeprefix("mailto:").removeprefix("tel:")
    return address if not label or label in (address, target) else f"{label} ({address})"
