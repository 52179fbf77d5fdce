"""Marks in valkey: who is somewhere now. Lost, they are only not there."""

import asyncio

from base.bus import Bus


async def test_a_mark_stands_until_its_time_is_over_or_it_is_taken_away(redis_url: str, redis_prefix: str) -> None:
    bus = Bus(redis_url, prefix=redis_prefix)
    await bus.mark("cnv_1", "usr_1", kept_s=1)
    await bus.mark("cnv_1", "usr_2", kept_s=60)
    await bus.mark("cnv_2", "usr_3", kept_s=60)
    assert sorted(await bus.marked("cnv_1")) == ["usr_1", "usr_2"]
    await asyncio.sleep(1.1)
    assert await bus.marked("cnv_1") == ["usr_2"]
    await bus.unmark("cnv_1", "usr_2")
    assert await bus.marked("cnv_1") == []
    await bus.close()


async def test_without_valkey_nobody_is_anywhere() -> None:
    bus = Bus("redis://127.0.0.1:9")
    await bus.mark("cnv_1", "usr_1", kept_s=60)
    await bus.unmark("cnv_1", "usr_1")
    assert await bus.marked("cnv_1") == []
    await bus.close()
