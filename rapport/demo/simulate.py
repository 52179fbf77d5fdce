"""`rapport demo simulate`: signed webhooks at a given rate, with figures at the end."""

from __future__ import annotations

import asyncio
import random
import time

from base.errors import Misconfigured, Unavailable, WrongInput
from base.settings import Settings
from rapport.demo import cast, stage
from rapport.demo.posting import Posting


async def simulate(settings: Settings, *, provider: str, rate: float, seconds: float) -> str:
    """Post for `seconds`; a sentence with what was done. Needs the channels of `up --demo`."""
    held = stage.load(settings.data, settings.database)
    if not held.channels:
        raise Misconfigured("There is no demo here yet. Start it with: rapport up --demo")
    if provider not in held.channels:
        raise WrongInput(f"--provider takes one of {', '.join(sorted(held.channels))}.")
    if not 0 < rate <= 2000 or not 0 < seconds <= 3600:
        raise WrongInput("--rate takes up to 2000 a second, --seconds up to 3600.")
    posting = Posting(held, settings.base_url, settings.mail_listen)
    try:
        count, took_s = await _post(posting, provider, rate, seconds)
    finally:
        await posting.close()
    if posting.refused:
        raise Unavailable(f"{posting.refused} of {count} {provider} webhooks were not taken at {settings.base_url}.")
    return f"{count} signed {provider} webhooks in {took_s:.1f} s ({count / took_s:.0f} a second)."


async def _post(posting: Posting, provider: cast.Channel, rate: float, seconds: float) -> tuple[int, float]:
    dice, started = random.Random(), time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    count = 0
    while (elapsed := time.monotonic() - started) < seconds:
        while count < elapsed * rate:
            one = cast.person(dice.randrange(cast.PEOPLE))
            task = asyncio.create_task(posting.message(provider, one, cast.question(one, dice)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            count += 1
        await asyncio.sleep(0.005)
    if under_way:
        await asyncio.wait(under_way)
    return count, time.monotonic() - started
