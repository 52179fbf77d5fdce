"""STOP and START through the real door, on a channel that hears no words itself."""

import asyncio
from collections.abc import Callable

import pytest

from tests.journeys.outside import eventually
from tests.journeys.talks import Person
from tests.journeys.world import World

pytestmark = pytest.mark.timeout(300)


async def test_a_stop_is_answered_once_and_keeps_mailings_away_until_start(
    world: World, somebody: Callable[[str], Person]
) -> None:
    bot, gina = await world.telegram(), somebody("Gina Rossi")
    await bot.says(gina, "/start")
    conversation = await world.conversation(bot.id)
    person, identity = conversation["profile_id"], conversation["identity_id"]
    pair = (identity, "marketing")

    async def answers(count: int) -> bool:
        return len(world.outside.of(bot.account)) == count

    await bot.says(gina, "STOP")
    await eventually(lambda: answers(1), "one answer")
    assert "no more marketing" in (world.outside.of(bot.account)[0].text or "")
    assert not (await world.runtime.consent.allowed([pair]))[pair].ok
    await bot.says(gina, "Stop, please")
    await asyncio.sleep(1.1)  # Telegram counts whole seconds, and of two words at once the no stands
    await bot.says(gina, "START")
    await eventually(lambda: answers(2), "the answer to START, and none to the second STOP")
    assert (await world.runtime.consent.allowed([pair]))[pair].ok
    acts = (await world.api.get(f"/profiles/{person}/consents"))["data"]
    assert [(act["granted"], act["source"], act["proof"]) for act in acts] == [
        (True, "keyword", "START"), (False, "keyword", "Stop, please"), (False, "keyword", "STOP"),
    ]  # fmt: skip
    lines = await world.messages(conversation["id"], "out")
    assert len(lines) == 2 and {line["author"]["type"] for line in lines} == {"system"}
