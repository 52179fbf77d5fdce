"""Who has a conversation: a bot, until it or somebody hands over, or people. Pure.

A bot has what is pending and says so; whatever else becomes of a conversation takes it from the bot.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from base.mongo import Document

#: What says that a bot has it.
FIELDS = ("owner", "bot_id")


def has_bot(row: Mapping[str, Any]) -> bool:
    """Whether a bot has it."""
    return row.get("owner") == "bot" and row["status"] == "pending"


def belongs_to(row: Mapping[str, Any], bot_id: str) -> bool:
    """Whether this bot has it."""
    return has_bot(row) and row.get("bot_id") == bot_id


def given_to(bot_id: str) -> Document:
    """The fields of a conversation that a bot has; it waits for nobody else."""
    return {"status": "pending", "owner": "bot", "bot_id": bot_id}


def freed(row: Mapping[str, Any], now: datetime) -> Document:
    """The fields of one that people take from its bot (`FIELDS` go): who has written waits for a person from then on.
    Empty where no bot has it."""
    if not has_bot(row):
        return {}
    return {"status": "open", "reopened_at": now, **({"waiting_since": now} if row.get("last_inbound_at") else {})}
