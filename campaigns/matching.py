"""Does this event begin that journey, and under which key? Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from campaigns.conditions import MISSING, Happened, look_up
from campaigns.models import (
    ChangedTrigger,
    EventTrigger,
    MessageTrigger,
    OrderTrigger,
    ReceiptTrigger,
    SegmentTrigger,
    Trigger,
)

#: An event older than this when we hear of it begins nothing; `event` triggers may say otherwise.
MAX_AGE = timedelta(hours=72)
#: Told by nobody: what is received in answer to something we sent (`campaigns.replies`).
REPLIED = "message.replied"
#: The mark on an event that a machine made, not a person: a scanner followed a link, a proxy loaded a picture.
BOT = "bot"
_SEEN = frozenset({"message.opened", "message.clicked"})
#: Words for a status of an order that shops use, and the event that tells of it.
ORDER_WORDS: Mapping[str, str] = {
    "checkout": "checkout.started", "placed": "order.created", "pending": "order.created", "unpaid": "order.created",
    "shipped": "order.fulfilled", "failed": "order.payment_failed", "canceled": "order.cancelled",
}  # fmt: skip
_OF_FIELD: Mapping[str, tuple[str, ...]] = {
    "stage": ("profile.stage_changed",),
    "tier": ("profile.tier_changed",),
    "score": ("profile.score_changed",),
    "tags": ("profile.tag_added", "profile.tag_removed"),
}


def names_of(trigger: Trigger) -> tuple[str, ...]:
    """Names of the events that may begin it."""
    if isinstance(trigger, EventTrigger):
        return (trigger.event,)
    if isinstance(trigger, MessageTrigger):
        return ("message.received",)
    if isinstance(trigger, OrderTrigger):
        return (ORDER_WORDS.get(trigger.status, f"order.{trigger.status}"),)
    if isinstance(trigger, ChangedTrigger):
        return _OF_FIELD.get(trigger.field, ("profile.updated",))
    if isinstance(trigger, SegmentTrigger):
        return ("segment.entered" if trigger.type == "segment_entered" else "segment.left",)
    if isinstance(trigger, ReceiptTrigger):
        return (f"message.{trigger.what}",)
    return ()


def recorded_names_of(trigger: Trigger) -> tuple[str, ...]:
    """The same as they stand in the database."""
    return tuple("message.received" if name == REPLIED else name for name in names_of(trigger))


def begins(trigger: Trigger, event: Happened, now: datetime, *, of_any_age: bool = False) -> bool:
    """Whether the event, one of `names_of`, begins a run. `of_any_age`: those of the past are asked for."""
    if not of_any_age and now - event.occurred_at > _max_age(trigger):
        return False
    if event.name in _SEEN and event.properties.get(BOT) and not isinstance(trigger, ReceiptTrigger):
        return False  # a link scanner moves nobody
    if isinstance(trigger, EventTrigger | OrderTrigger):
        return trigger.where.matches(event.view(), now)
    if isinstance(trigger, MessageTrigger):
        return _message_begins(trigger, event)
    if isinstance(trigger, ChangedTrigger):
        return _change_begins(trigger, event)
    if isinstance(trigger, SegmentTrigger):
        return event.properties.get("segment_id") == trigger.segment_id
    if isinstance(trigger, ReceiptTrigger):
        return _receipt_begins(trigger, event)
    return False


def _max_age(trigger: Trigger) -> timedelta:
    return trigger.max_age.roughly() if isinstance(trigger, EventTrigger) else MAX_AGE


def cause_of(trigger: Trigger, event: Happened) -> str:
    """What the run begins with; the same cause begins no second one. A message is opened or clicked often, and counts
    once."""
    if isinstance(trigger, ReceiptTrigger):
        return f"{event.properties.get('send_key')}:{trigger.what}"
    return event.id


def key_of(trigger: Trigger, event: Happened) -> str | None:
    """What tells one run of a person from another in mode `per_key`: the order, a named value, the conversation."""
    if isinstance(trigger, EventTrigger) and trigger.key is not None:
        found = look_up(event.view(), trigger.key)
        return None if found is MISSING or found is None else str(found)
    if isinstance(trigger, OrderTrigger):
        found = event.properties.get("order_id") or event.properties.get("external_id")
        return str(found) if found else None
    if isinstance(trigger, MessageTrigger):
        return event.conversation_id
    if isinstance(trigger, SegmentTrigger):
        # the event stands for one transition and sorts by time: it is the number of the membership
        return f"{trigger.segment_id}:{event.id}"
    if isinstance(trigger, ReceiptTrigger):
        return cause_of(trigger, event)
    return None


def _receipt_begins(trigger: ReceiptTrigger, event: Happened) -> bool:
    properties = event.properties
    if not properties.get("send_key"):
        return False  # a colleague wrote it in the provider's own app: it is none of our sends
    if properties.get(BOT) and not trigger.bots:
        return False
    source = (properties.get("source"), properties.get("source_id"))
    if trigger.journey_id is not None and source != ("journey", trigger.journey_id):
        return False
    if trigger.broadcast_id is not None and source != ("broadcast", trigger.broadcast_id):
        return False
    return trigger.step is None or properties.get("node_id") == trigger.step


def _message_begins(trigger: MessageTrigger, event: Happened) -> bool:
    properties = event.properties
    if properties.get("automatic"):
        return False  # an out-of-office note must not start a conversation between machines
    if properties.get("group_id"):
        return False  # said to several people: nobody asked us in private
    if trigger.channel is not None and trigger.channel not in (event.channel_id, properties.get("provider")):
        return False
    if trigger.first_contact and not properties.get("first_contact"):
        return False
    if trigger.keyword is None:
        return True
    words = (trigger.keyword,) if isinstance(trigger.keyword, str) else trigger.keyword
    return any(has_word(str(properties.get("text") or ""), word) for word in words)


def has_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text` as a whole word, whatever the case, width and accents of either.

    Chinese, Japanese and Korean are written without spaces: there a word is found wherever it stands.
    """
    wanted, said = _folded_word(word), _folded_text(text)
    return bool(wanted) and wanted in said and _pattern(wanted).search(said) is not None


def is_word(text: str, word: str) -> bool:
    """Whether `text` is `word` and nothing else but signs around it, compared in the same way."""
    return _folded_text(text).strip(_SIGNS) == _folded_word(word)


def folded(text: str) -> str:
    """Without case, width, accents and doubled spaces, for comparing."""
    wide = unicodedata.normalize("NFKD", text)
    plain = "".join(letter for letter in wide if not unicodedata.combining(letter))
    return " ".join(unicodedata.normalize("NFC", plain).casefold().split())


_SIGNS = " .,!?;:。，！？；："
#: One text is looked through for thousands of words: each is folded once.
_folded_text = lru_cache(maxsize=64)(folded)
_folded_word = lru_cache(maxsize=10_000)(folded)


@lru_cache(maxsize=2000)
def _pattern(wanted: str) -> re.Pattern[str]:
    """Literal text between word edges; nothing in it can backtrack."""
    before = r"(?<!\w)" if _spaced(wanted[0]) else ""
    after = r"(?!\w)" if _spaced(wanted[-1]) else ""
    return re.compile(before + re.escape(wanted) + after)


def _spaced(letter: str) -> bool:
    return (letter.isalnum() or letter == "_") and not _EAST_ASIAN.match(letter)


_EAST_ASIAN = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]")


def _change_begins(trigger: ChangedTrigger, event: Happened) -> bool:
    for name, before, after in changes_in(event):
        if name != trigger.field or before == after:
            continue
        if trigger.from_ is not None and not _is(trigger.from_, before):
            continue
        if trigger.to is None or _is(trigger.to, after):
            return True
    return False


def _is(wanted: Any, value: Any) -> bool:
    """A tuple holds all names of one tag (`campaigns.naming`)."""
    return value in wanted if isinstance(wanted, tuple) else bool(value == wanted)


def changes_in(event: Happened) -> list[tuple[str, Any, Any]]:
    """(field, before, after) of each change that a profile's event tells of."""
    properties = event.properties
    if event.name == "profile.tag_added":
        return [("tags", None, properties.get("tag"))]
    if event.name == "profile.tag_removed":
        return [("tags", properties.get("tag"), None)]
    fixed = {"profile.stage_changed": "stage", "profile.tier_changed": "tier", "profile.score_changed": "score"}
    if event.name in fixed:
        return [(fixed[event.name], properties.get("from"), properties.get("to"))]
    listed = dict(properties.get("changes") or {})
    inside = listed.pop("attributes", None) or {}
    named = {**listed, **{f"attributes.{name}": change for name, change in inside.items()}}
    return [(name, change.get("from"), change.get("to")) for name, change in named.items()]
