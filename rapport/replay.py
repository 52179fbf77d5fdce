"""Which kept deliveries a person means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from base.errors import WrongInput
from base.ids import is_id


def chosen_deliveries(
    *,
    delivery_id: str | None = None,
    channel: str | None = None,
    state: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """The filter for `Journal.again`. At least one choice is needed, so that nobody replays a year by accident."""
    where: dict[str, Any] = {}
    if delivery_id:
        where["_id"] = _id(delivery_id, "dlv")
    if channel:
        where["channel_id"] = _id(channel, "chn")
    if state:
        where["state"] = state
    times = {"$gte": _aware(since), "$lt": _aware(until)}
    received = {operator: time for operator, time in times.items() if time is not None}
    if received:
        where["received_at"] = received
    if not where:
        raise WrongInput("Say which deliveries: --id, --channel, --state, --since or --until.")
    return where


def _id(text: str, prefix: Any) -> str:
    if not is_id(text, prefix):
        raise WrongInput(f"{text} is not an id that starts with {prefix}_.")
    return text


def _aware(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None else None
