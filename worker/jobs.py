"""What arq may start: one job per bell. A job carries no data; it drains what MongoDB says is due."""

from __future__ import annotations

from typing import Any

from worker.drains import Drains


async def ingest(ctx: dict[str, Any]) -> None:
    """Deliveries → messages, receipts, orders."""
    await _answer(ctx, "ingest")


async def react(ctx: dict[str, Any]) -> None:
    """Domain events → journeys start, wake, end."""
    await _answer(ctx, "react")


async def advance(ctx: dict[str, Any]) -> None:
    """Due runs take their next step."""
    await _answer(ctx, "advance")


async def deliver(ctx: dict[str, Any]) -> None:
    """Due sends are handed over."""
    await _answer(ctx, "deliver")


async def fetch(ctx: dict[str, Any]) -> None:
    """Files of messages are downloaded and kept."""
    await _answer(ctx, "fetch")


async def poll(ctx: dict[str, Any]) -> None:
    """Accounts that must be asked are asked."""
    await _answer(ctx, "poll")


async def appraise(ctx: dict[str, Any]) -> None:
    """People about whom something changed are looked at again."""
    await _answer(ctx, "appraise")


async def call(ctx: dict[str, Any]) -> None:
    """Addresses outside are called for journeys."""
    await _answer(ctx, "call")


async def hook(ctx: dict[str, Any]) -> None:
    """Endpoints of the deployment are told what happened."""
    await _answer(ctx, "hook")


async def route(ctx: dict[str, Any]) -> None:
    """Conversations that nobody has go to whoever can take them."""
    await _answer(ctx, "route")


async def automate(ctx: dict[str, Any]) -> None:
    """Rules are asked about what has happened."""
    await _answer(ctx, "automate")


async def tell(ctx: dict[str, Any]) -> None:
    """Colleagues are told what concerns them."""
    await _answer(ctx, "tell")


JOBS = (ingest, react, advance, deliver, fetch, poll, appraise, call, hook, route, automate, tell)


async def _answer(ctx: dict[str, Any], bell: Any) -> None:
    drains: Drains = ctx["drains"]
    await drains.answer(bell)
