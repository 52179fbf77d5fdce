"""`rapport check`: one line per thing a deployment needs, each with what to do when it is wrong."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from base.bus import REDIS_DOWN, Bus
from base.errors import Misconfigured, RapportError
from base.mongo import UNAVAILABLE, Database
from base.secret_box import SecretBox
from base.settings import Settings
from channels.store import ChannelStore

#: MongoDB servers whose unauthenticated memory read through zlib (CVE-2025-14847) is mended.
_MENDED = {6: (6, 0, 27), 7: (7, 0, 28), 8: (8, 0, 17)}
#: Clocks further apart than this make times in the inbox look wrong, seconds.
_CLOCK_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One line. `ok` False makes the command exit 1; a hint is shown either way."""

    subject: str
    ok: bool
    text: str


async def findings(
    settings: Settings, box: SecretBox, database: Database, bus: Bus, channels: ChannelStore
) -> AsyncIterator[Finding]:
    """Look at everything, one after the other; a failing part does not hide the next."""
    yield Finding("settings", True, f"{settings.base_url}, data in {settings.data}")
    yield Finding("keys", True, f"new secrets are sealed with {box.key_ids[0]}; {len(box.key_ids)} can be opened with")
    async for finding in _mongo(database):
        yield finding
    yield await _redis(bus)
    async for finding in _channels(channels):
        yield finding


async def _mongo(database: Database) -> AsyncIterator[Finding]:
    try:
        hello = await database.require_replica_set()
        version = str((await database.server_status())["version"])
    except Misconfigured as error:
        yield Finding("mongodb", False, str(error))
        return
    except UNAVAILABLE as error:
        yield Finding("mongodb", False, f"No primary answers ({type(error).__name__}). Check RAPPORT_MONGO_URL.")
        return
    yield Finding("mongodb", True, f"{version}, replica set {hello['setName']}, writes: majority and journal")
    if not _is_mended(version) and await database.speaks_zlib():
        text = (
            f"{version} has CVE-2025-14847; move to 6.0.27, 7.0.28, 8.0.17 or newer, or switch zlib off "
            "(--networkMessageCompressors snappy,zstd)."
        )
        yield Finding("mongodb version", False, text)
    apart = abs((hello["localTime"].astimezone(UTC) - datetime.now(UTC)).total_seconds())
    text = f"{apart:.1f} s from the database's clock"
    yield Finding("time", apart < _CLOCK_S, text if apart < _CLOCK_S else f"{text}: run a time service on both")


def _is_mended(version: str) -> bool:
    numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:3])
    return numbers >= _MENDED.get(numbers[0], (0,))


async def _redis(bus: Bus) -> Finding:
    started = time.perf_counter()
    try:
        found = await bus.check()
    except REDIS_DOWN as error:
        return Finding("redis", False, f"No answer ({type(error).__name__}). Check RAPPORT_REDIS_URL.")
    took_ms = (time.perf_counter() - started) * 1000
    hints = []
    if found["aof"] != "1":
        hints.append("only wake-ups would be lost with it")
    if found["policy"] != "noeviction":
        hints.append("noeviction is better")
    kept = [f"append-only file {'on' if found['aof'] == '1' else 'off'}", f"policy {found['policy']}"]
    return Finding("redis", True, "; ".join([f"{found['version']}, {took_ms:.0f} ms", *kept, *hints]))


async def _channels(channels: ChannelStore) -> AsyncIterator[Finding]:
    try:
        connected = await channels.list()
    except UNAVAILABLE:
        return
    for channel in connected:
        try:
            await channels.account(channel.id)
        except RapportError as error:
            yield Finding(f"channel {channel.name}", False, str(error))
            continue
        ok = channel.state != "paused"
        yield Finding(f"channel {channel.name}", ok, f"{channel.provider}, {channel.state_reason or channel.state}")
    if not connected:
        yield Finding("channels", True, "none connected yet")
