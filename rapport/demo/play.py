"""The play: people write, read, answer, buy and receive parcels, at a pace a newcomer can follow."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from pathlib import Path

from base.settings import Settings
from rapport import arriving
from rapport.demo import cast, stage
from rapport.demo.house import prepare_house, prepare_terms
from rapport.demo.page import shop_page
from rapport.demo.past import load_past
from rapport.demo.posting import Posting
from rapport.demo.providers import Delivered, PretendedProviders
from rapport.demo.remembering import remembered
from rapport.demo.setting import prepare_broadcasts, prepare_stage
from rapport.demo.shop import Shop
from rapport.runtime import Runtime, open_runtime
from rapport.serve import stop_event

log = logging.getLogger(__name__)

#: Mean seconds between two messages out of the blue, and between two orders.
WRITES_EVERY_S = 9.0
BUYS_EVERY_S = 25.0
#: How likely somebody answers what a person or a campaign sent.
ANSWERS = 0.6


class Play:
    """Reacts to what reaches the customers' devices, and starts things of its own."""

    def __init__(self, posting: Posting, runtime: Runtime, seed: int = 7) -> None:
        self._posting = posting
        self._runtime = runtime
        self._dice = random.Random(seed)
        self._people = {key: one for one in map(cast.person, range(cast.PEOPLE)) for key in _ids_of(one)}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: dict[tuple[str, str], int] = {}

    def delivered(self, message: Delivered) -> None:
        """A message reached a device."""
        self._begin(self._react(message))

    async def run(self) -> None:
        """Write and buy for ever."""
        shop = Shop(self._runtime.orders, self._runtime.clock, self._dice)
        await asyncio.gather(self._write(), shop.run(BUYS_EVERY_S))

    async def _react(self, message: Delivered) -> None:
        for status, wait_s in (("sent", 0.3), ("delivered", 1.2), ("read", self._dice.uniform(2, 8))):
            await asyncio.sleep(wait_s)
            await self._posting.receipt(message, status)
        one = self._people.get(message.to)
        talk = (message.channel, message.to)
        # Nobody chats for ever: after three answers the person has what they wanted.
        if one is None or self._answers.get(talk, 0) >= 3 or self._dice.random() > ANSWERS:
            return
        self._answers[talk] = self._answers.get(talk, 0) + 1
        await asyncio.sleep(self._dice.uniform(2, 12))
        await self._posting.message(message.channel, one, cast.thanks(one, self._dice), message)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(self._dice.expovariate(1 / WRITES_EVERY_S))
            one = cast.person(self._dice.randrange(cast.PEOPLE))
            channel = self._dice.choice(one.channels)
            await self._posting.message(channel, one, cast.question(one, self._dice))

    def _begin(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _ids_of(one: cast.Person) -> tuple[str, ...]:
    return (one.phone.removeprefix("+"), one.telegram_id, one.email, f"app-{one.number}")


def _progress(folder: Path, say: Callable[[str], None]) -> Callable[[int], None]:
    """Tells the pages of each step, and who looks at the terminal of every tenth."""
    said = -1

    def told(percent: int) -> None:
        nonlocal said
        arriving.tell(folder, percent)
        if percent // 10 > said:
            said = percent // 10
            say(f"Sample data is arriving: {percent} %" if percent < 100 else "All sample data is there.")

    return told


async def play(settings: Settings, *, parent: int | None = None, say: Callable[[str], None] = log.info) -> None:
    """Set the stage (once), load the past (once), then play until told to stop. `say`: a line for who waits."""
    stop = stop_event(parent)
    runtime = await open_runtime(settings, remembered)
    held = stage.load(settings.data, settings.database)
    waiting: list[Delivered] = []
    acts: list[Play] = []
    providers = PretendedProviders(
        lambda message: acts[0].delivered(message) if acts else waiting.append(message),
        lambda: shop_page(settings.base_url, held.webchat),
    )
    posting = Posting(held, settings.base_url, settings.mail_listen)
    try:
        await _listen(providers, held)
        await prepare_stage(runtime, held)
        stage.save(settings.data, held)
        log.info("a shop's page with the chat on it: %s", held.shop_urls[0])
        playing = asyncio.create_task(_perform(runtime, held, posting, acts, waiting, say))
        await asyncio.wait([playing, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    finally:
        await posting.close()
        await providers.stop()
        await runtime.close()


async def _listen(providers: PretendedProviders, held: stage.Stage) -> None:
    try:
        await providers.start(held.http_port, held.smtp_port)
    except OSError:  # somebody else has taken the ports since: take new ones, the channels are told
        await providers.stop()
        await providers.start(0, 0)
    held.http_port, held.smtp_port = providers.ports


async def _perform(
    runtime: Runtime, held: stage.Stage, posting: Posting, acts: list[Play], waiting: list[Delivered],
    say: Callable[[str], None],
) -> None:  # fmt: skip
    acts.append(Play(posting, runtime))
    for message in waiting:
        acts[0].delivered(message)
    if not held.past_loaded:
        await prepare_terms(runtime, held)
        await load_past(runtime, held, _progress(runtime.settings.data, say))
        held.past_loaded = True
        stage.save(runtime.settings.data, held)
    await prepare_house(runtime, held)
    stage.save(runtime.settings.data, held)
    await prepare_broadcasts(runtime, held)
    await acts[0].run()
