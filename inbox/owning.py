"""Who has a conversation: a bot, until it or somebody hands over, or people. Pure.

A bot has what is pending and says so; whatever else becomes of a conversation takes it from the bot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from base.mongo import Document

#: Channel → the bot that has its conversations first, of these channels.
BotsOn = Callable[[Iterable[str]], Awaitable[Mapping[str, str]]]
#: Bots → what they are called, also of those that were taken away.
BotNames = Callable[[Iterable[str]], Awaitable[Mapping[str, str]]]
#: Why a bot has lost it: it said so, was silent, failed, its answer did not arrive, it talked in circles, is off,
#: somebody asked for a person, said STOP before it was answered, or a person took it.
Reason = Literal["bot", "silent", "error", "undelivered", "circles", "off", "asked", "stopped", "taken"]
#: What says that a bot has it.
FIELDS = ("owner", "bot_id", "bot_seq")
#: When a bot lost it last; gone once it is resolved, or a person gives it to the bot again.
LEFT = "bot_left_at"
#: Why a bot may say nothing: the last word of the customer was STOP.
ASKED_TO_STOP = "asked_to_stop"
#: What makes a conversation nothing for a bot.
UNFIT = frozenset({"group_id", "parts", "split_from", "merged_into"})


def has_bot(row: Mapping[str, Any]) -> bool:
    """Whether a bot has it."""
    return row.get("owner") == "bot" and row["status"] == "pending"


def belongs_to(row: Mapping[str, Any], bot_id: str) -> bool:
    """Whether this bot has it."""
    return has_bot(row) and row.get("bot_id") == bot_id


def given_to(bot_id: str, row: Mapping[str, Any]) -> Document:
    """The fields of a conversation that a bot has; it waits for nobody else. Lines after `bot_seq` are the bot's to
    hear; what came before is told when it is given."""
    return {"status": "pending", "owner": "bot", "bot_id": bot_id, "bot_seq": row["seq"]}


def freed(row: Mapping[str, Any], now: datetime) -> Document:
    """The fields of one that people take from its bot (`FIELDS` go): who has written waits for a person from then on.
    Empty where no bot has it."""
    if not has_bot(row):
        return {}
    waits = {"waiting_since": now} if row.get("last_inbound_at") else {}
    return {"status": "open", "reopened_at": now, LEFT: now, **waits}


def unfit(row: Mapping[str, Any]) -> bool:
    """Whether it is nothing for a bot: a group, a thread of several conversations, or one that was split off."""
    return any(row.get(name) for name in UNFIT)
