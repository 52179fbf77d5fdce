"""What is said to somebody who has pressed a mark, and which of their next words belong to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from base.mongo import Document
from profiles.events import Event
from profiles.opt_words import opt_word

#: So long after a press the next words are its comment.
WORDS_WITHIN = timedelta(hours=1)
#: Language → thanks, which say what becomes of the next message.
THANKS: Mapping[str, str] = {
    "en": "Thank you for your answer! If you would like to tell us more, just write it in your next message.",
    "zh": "感谢您的评价！如果还想告诉我们更多，直接在下一条消息里写下来就好。",
}


def words_of(event: Event) -> str:
    """What a received message may add to a mark. Empty: nothing (a press, a file, a word about being written to, what
    is said in a group or by a machine)."""
    told = event.properties
    if event.name != "message.received" or any(told.get(name) for name in ("payload", "group_id", "automatic")):
        return ""
    text = str(told.get("text") or "").strip()
    return "" if opt_word(text) is not None else text


def commented(event: Event, rows: Iterable[Document]) -> Document | None:
    """The mark to which a message belongs by whom it is from and when it was written: of several the latest."""
    mine = [
        row for row in rows
        if row["identity_id"] == event.identity_id and row["words_from"] <= event.occurred_at < row["words_until"]
    ]  # fmt: skip
    return max(mine, key=lambda row: row["words_from"], default=None)
