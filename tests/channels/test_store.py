"""Connected accounts: write-only secrets, rotation, pace."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import ClassVar

import pytest
from pydantic import SecretStr

from base.clock import now
from base.errors import WrongInput
from base.http import AddressGuard, HttpClient
from base.mongo import Database
from base.secret_box import SecretBox
from channels.adapter import AccountSettings, Adapter, Card
from channels.capabilities import Capabilities
from channels.registry import Registry
from channels.store import ChannelStore


class DrumSettings(AccountSettings):
    """One secret, one number."""

    secret: SecretStr
    beat: int = 4
    api_base: str = "https://drums.example"


class Drum(Adapter):
    """Settings only."""

    card: ClassVar[Card] = Card("drum", "Drum", "chat", "", DrumSettings)
    capabilities: ClassVar[Capabilities] = Capabilities(text_limit=1)

    def verify(self, *_: object) -> None: ...

    def parse(self, *_: object) -> list[object]:  # type: ignore[override]
        return []


@pytest.fixture
async def store(mongo_url: str, fresh_shaped_database: str) -> AsyncIterator[ChannelStore]:
    database = Database(mongo_url, fresh_shaped_database)
    http = HttpClient(AddressGuard())
    registry = Registry(http, {"drum": Drum})
    yield ChannelStore(database, SecretBox([SecretBox.new_key()]), registry, now, "http://rapport.test")
    await http.close()
    database.close()


async def test_secrets_are_sealed_and_never_shown(store: ChannelStore) -> None:
    channel = await store.add("drum", "Big", {"secret": "boom-boom"})
    row = await store._rows.find_one({})
    assert "boom-boom" not in repr(row) + repr(channel)
    assert channel.secret_names == ("secret",) and channel.settings["beat"] == 4
    account = await store.account(channel.id)
    assert account is not None and account.secrets("secret") == ("boom-boom",)
    assert "boom-boom" not in repr(account)


async def test_faults_carry_their_path(store: ChannelStore) -> None:
    with pytest.raises(WrongInput) as caught:
        await store.add("drum", "x", {"beat": "often", "colour": 1})
    assert {fault.path for fault in caught.value.errors} == {"settings.secret", "settings.beat", "settings.colour"}


async def test_a_replaced_secret_is_accepted_for_a_while(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    for secret in ("two", "three", "four"):
        await store.update(channel.id, settings={"secret": secret})
    await store.update(channel.id, settings={"beat": 3}, name="y")
    account = await store.account(channel.id)
    assert account is not None
    assert account.secrets("secret") == ("four", "three", "two")
    assert account.name == "y" and account.settings.beat == 3


async def test_two_editors_at_once_both_land(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    await asyncio.gather(
        store.update(channel.id, settings={"secret": "two"}), store.update(channel.id, settings={"beat": 9})
    )
    account = await store.account(channel.id)
    assert account is not None and account.secrets("secret")[0] == "two" and account.settings.beat == 9


async def test_all_workers_together_keep_the_rate(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    started, granted = time.monotonic(), 0
    while time.monotonic() - started < 1.5:
        granted += sum(await asyncio.gather(*(store.reserve(channel.id, 7, 40) for _ in range(4))))
        await asyncio.sleep(0.02)
    elapsed = time.monotonic() - started
    assert 40 * elapsed * 0.8 <= granted <= 40 * elapsed + 41


async def test_a_provider_that_asks_to_wait_is_waited_for(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    await store.hold_back(channel.id, 0.5, 20)
    assert await store.reserve(channel.id, 1, 20) == 0
    await asyncio.sleep(0.6)
    assert await store.reserve(channel.id, 1, 20) == 1


async def test_a_paused_channel_says_why_and_starts_again(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    assert await store.pause(channel.id, "account_problem", "token revoked")
    assert not await store.pause(channel.id, "account_problem", "token revoked")
    paused = await store.get(channel.id)
    assert paused is not None and (paused.state, paused.state_reason) == ("paused", "token revoked")
    assert (await store.update(channel.id, state="connected")).state_reason is None


async def test_a_stored_secret_is_not_carried_off_to_another_host(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    with pytest.raises(WrongInput) as caught:
        await store.update(channel.id, settings={"api_base": "https://mallory.example"})
    assert caught.value.errors[0].path == "settings.secret"
    await store.update(channel.id, settings={"api_base": "https://new.example", "secret": "one"})
    await store.update(channel.id, settings={"api_base": "https://new.example", "beat": 2})


async def test_the_figures_of_a_day_go_round_a_ring(store: ChannelStore) -> None:
    channel = await store.add("drum", "x", {"secret": "one"})
    begin = now().replace(minute=30)
    for hours, received in ((0, 2), (0, 3), (1, 5), (23, 7), (25, 11)):
        store._clock = lambda hours=hours: begin + timedelta(hours=hours)  # type: ignore[misc]
        await store.note(channel.id, received=received, sent=1, error={"code": "x", "text": "$boom", "at": begin})
    seen = await store.get(channel.id)
    assert seen is not None and (seen.received, seen.sent) == (28, 5)
    assert [(hour.received, hour.sent, hour.errors) for hour in seen.last_day if hour.received] == [
        (7, 1, 1),
        (11, 1, 1),
    ]
    assert len(seen.last_day) == 24 and seen.last_day[-1].at == (begin + timedelta(hours=25)).replace(
        minute=0, second=0, microsecond=0
    )
    assert seen.last_error is not None and seen.last_error["text"] == "$boom"
